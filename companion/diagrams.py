"""Schematics of the book, all in one style. Each function returns a Matplotlib figure; `plots.show` displays it.

A unit of length is an inch, counted from the lower left corner, so circles are round and letters keep their size. Blue
is what goes forwards or is hidden, vermilion what goes backwards, is visible or is wrong, grey what stands aside.
"""

from itertools import pairwise, product

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from .plots import COLORS, figure, ink

__all__ = [
    "ais_bridge", "autoencoder", "cd_and_pcd", "computation_graph", "deep_belief_network", "forward_and_back",
    "gibbs_chain", "leapfrog", "lenet", "rbm", "replicas", "rnn_rbm", "shared_weights", "softmax_regression",
    "unrolled",
]  # fmt: skip

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = COLORS
GREY = "0.3"
READS = {"arrowstyle": "-|>", "linestyle": ":", "color": GREY, "shrinkA": 19, "shrinkB": 1}


def paper(width, height):
    """Return an empty figure and its one axis, on which a unit is an inch."""
    fig, axis = figure(width, height)
    fig.set_layout_engine("none")
    axis.set_position((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    return fig, axis


def tint(color, strength=0.2):
    """Return the colour, mixed with white."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))


def write(axis, x, y, text, color=BLACK, size=10, **options):
    """Write a text, centred at (x, y)."""
    axis.text(x, y, text, color=ink(color), fontsize=size, zorder=5, **{"ha": "center", "va": "center"} | options)


def unit(axis, x, y, text="", color=BLUE, radius=0.2, fill=0.2, size=11):
    """Draw a unit of a network, a circle with its name."""
    axis.add_patch(Circle((x, y), radius, facecolor=tint(color, fill), edgecolor=color, linewidth=1.4, zorder=3))
    write(axis, x, y, text, size=size)


def box(axis, x, y, text, width=0.9, height=0.42, color=BLUE):
    """Draw an operation, a rounded box with its name, centred at (x, y)."""
    style = "round,pad=0,rounding_size=0.08"
    corner = x - width / 2, y - height / 2
    axis.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc=tint(color), ec=color, lw=1.4, zorder=3))
    write(axis, x, y, text)


def arrow(axis, start, end, color=BLACK, gap=0.22, bend=0.0, style="-|>", line="-", width=1.3):
    """Draw an arrow that keeps `gap` inches away from both places; ``style="-"`` has no head."""
    axis.add_patch(
        FancyArrowPatch(start, end, arrowstyle=style, color=color, linestyle=line, linewidth=width, mutation_scale=11,
                        shrinkA=72 * gap, shrinkB=72 * gap, connectionstyle=f"arc3,rad={bend}", zorder=2)
    )  # fmt: skip


def row(n, centre, y, gap):
    """Return the places of n units side by side."""
    return [(centre + gap * (i - (n - 1) / 2), y) for i in range(n)]


def connect(axis, lower, upper, color="0.75", width=0.7):
    """Draw a line from every place of one layer to every place of another."""
    for (x, y), (u, v) in product(lower, upper):
        axis.plot([x, u], [y, v], color=color, linewidth=width, zorder=1)


# Networks


def softmax_regression():
    """Pixels, scores and probabilities; the unit of one digit is set off."""
    fig, axis = paper(7, 2.9)
    heights = np.array([2.35, 1.8, 1.25, 0.7])
    pixels, scores, answers = ([(x, y) for y in heights] for x in (0.9, 3.2, 5.9))
    kept = [0, 1, 3]  # what the dots stand for has no lines
    connect(axis, [pixels[i] for i in kept], [scores[i] for i in kept])
    connect(axis, [pixels[i] for i in kept], scores[1:2], BLUE, 1.8)
    rows = (pixels, "x", (1, 2, 784), VERMILION), (scores, "a", (0, 1, 9), BLUE), (answers, "p", (0, 1, 9), GREEN)
    for places, letter, numbers, color in rows:
        for i, number in zip(kept, numbers):
            unit(axis, *places[i], f"${letter}_{{{number}}}$", color, 0.23, size=10)
        write(axis, *places[2], "⋮", size=14)
    box(axis, 4.55, heights.mean(), "softmax", 0.85, 2.1, GREY)
    for y in heights[kept]:
        arrow(axis, (3.43, y), (4.12, y), GREY, 0.03)
        arrow(axis, (4.98, y), (5.67, y), GREY, 0.03)
    write(axis, 2.15, 2.25, "$W_{d1}$", BLUE, 11)
    write(axis, 3.62, 1.6, "$+\\,b_1$", BLUE)
    for x, text in ((0.9, "784 pixels"), (3.2, "10 scores $a = xW + b$"), (5.9, "10 probabilities")):
        write(axis, x, 0.22, text)
    return fig


def forward_and_back(x=2.0, w1=0.5, w2=1.5):
    """Return the numbers of `computation_graph`: values, and the loss's derivative with respect to each.

    The network is as small as one can be, h = tanh(x w1) and the score a2 = h w2 of the right one of two classes.
    """
    a1 = x * w1
    h = np.tanh(a1)
    a2 = h * w2
    value = {"x": x, "w1": w1, "a1": a1, "h": h, "w2": w2, "a2": a2, "loss": np.log1p(np.exp(-a2))}
    slope = {"loss": 1.0, "a2": -1 / (1 + np.exp(a2))}
    slope |= {"w2": slope["a2"] * h, "h": slope["a2"] * w2}
    slope["a1"] = slope["h"] * (1 - h**2)
    slope |= {"w1": slope["a1"] * x, "x": slope["a1"] * w1}
    return value, slope


def computation_graph():
    """The smallest network as a graph: values forwards, above; derivatives of the loss backwards, below."""
    fig, axis = paper(7, 2.5)
    value, slope = forward_and_back()
    nodes = [(1.55, "×"), (2.95, "tanh"), (4.35, "×"), (5.75, "$-\\log\\,\\sigma$")]
    for x, text in nodes:
        box(axis, x, 1.15, text, 0.62, color=GREY)
    ends = [0.2, *(x for x, _ in nodes), 7.0]
    names = {"x": "x", "a1": "a_1", "h": "h", "a2": "a_2", "loss": "\\ell"}
    for (start, end), (name, letter) in zip(pairwise(ends), names.items()):
        a, b = start + (0.05 if name == "x" else 0.35), end - (0.05 if name == "loss" else 0.35)
        arrow(axis, (a, 1.22), (b, 1.22), BLUE, 0)
        arrow(axis, (b, 1.08), (a, 1.08), VERMILION, 0)
        write(axis, (a + b) / 2, 1.42, f"${letter} = {value[name]:.2f}$", BLUE, 9.5)
        write(axis, (a + b) / 2, 0.87, f"{slope[name]:.2f}", VERMILION, 9.5)
    for x, name, letter in ((1.55, "w1", "w_1"), (4.35, "w2", "w_2")):
        arrow(axis, (x - 0.07, 2.2), (x - 0.07, 1.38), BLUE, 0)
        arrow(axis, (x + 0.07, 1.38), (x + 0.07, 2.2), VERMILION, 0)
        write(axis, x - 0.13, 1.85, f"${letter} = {value[name]:.2f}$", BLUE, 9.5, ha="right")
        write(axis, x + 0.13, 1.85, f"{slope[name]:.2f}", VERMILION, 9.5, ha="left")
    write(axis, 3.5, 0.45, "values go forwards", BLUE)
    write(axis, 3.5, 0.2, "derivatives of the loss go backwards, times the slope of each box", VERMILION)
    return fig


def shared_weights():
    """A layer of four units on six pixels: dense, sparse, and sparse with shared weights."""
    fig, axis = paper(7, 2.25)
    own, shared = (BLUE, VERMILION, GREEN, PURPLE), (BLUE, VERMILION, GREEN)
    for left, title in ((0.2, "dense: 24 weights"), (2.6, "sparse: 12 weights"), (5.0, "shared: 3 weights")):
        below, above = row(6, left + 0.9, 0.6, 0.36), row(4, left + 0.9, 1.75, 0.36)
        for (j, top), (i, pixel) in product(enumerate(above), enumerate(below)):
            if title.startswith("dense"):
                connect(axis, [pixel], [top], GREY)
            elif 0 <= i - j < 3:
                connect(axis, [pixel], [top], shared[i - j] if title.startswith("shared") else own[j], 1.6)
        for place in below + above:
            unit(axis, *place, color=VERMILION if place in below else BLUE, radius=0.11)
        write(axis, left + 0.9, 0.22, title)
    write(
        axis,
        0.1,
        2.08,
        "above units, below pixels; equal colours in the middle: one unit; on the right: equal weights",
        GREY,
        9,
        ha="left",
    )
    return fig


def lenet():
    """LeNet from left to right, its maps drawn to scale."""
    fig, axis = paper(7, 2.3)
    scale, middle, x = 0.034, 1.2, 0.12
    stages = (1, 28), (20, 24), (20, 12), (50, 8), (50, 4)
    steps = "5 × 5", "pool 2", "5 × 5", "pool 2", "dense", "softmax"
    places = []
    for n, size in stages:
        side, copies, color = scale * size, min(n, 4), BLUE if n > 1 else VERMILION
        for k in range(copies):
            corner = (x + 0.05 * k, middle - side / 2 - 0.05 * (k - (copies - 1) / 2))
            axis.add_patch(Rectangle(corner, side, side, fc=tint(color), ec=BLACK, lw=0.8, zorder=3))
        places.append((x, corner, side))
        name = f"{n} maps" if n > 1 else "image"
        write(axis, (x + corner[0] + side) / 2, 0.28, f"{name}\n{size} × {size}", size=9)
        x = corner[0] + side + 0.5
    for height, name in ((1.3, "500\nunits"), (0.7, "10\ndigits")):
        axis.add_patch(Rectangle((x, middle - height / 2), 0.13, height, fc=tint(GREEN), ec=BLACK, lw=0.8))
        write(axis, x + 0.065, 0.28, name, size=9)
        places.append((x, (x, middle), 0.13))
        x += 0.13 + 0.66
    for (_, corner, side), (start, _, _), text in zip(places, places[1:], steps):
        arrow(axis, (corner[0] + side, middle), (start, middle), gap=0.05)
        write(axis, (corner[0] + side + start) / 2, middle - 0.15, text, size=8)
    # One window, and the one number of a map that it becomes.
    x, y, side, to = 0.52, middle + 0.15, scale * 5, places[1][0] + 0.6
    axis.add_patch(Rectangle((x, y), side, side, fc="none", ec=BLUE, lw=1.6, zorder=4))
    for corner in (y, y + side):
        axis.plot([x + side, to], [corner, y + side / 2], color=BLUE, linewidth=0.9, zorder=4)
    return fig


def autoencoder():
    """A clean image, corrupted, encoded, decoded, and compared with the clean one."""
    fig, axis = paper(7, 3.0)
    clean = np.array([0.1, 0.8, 0.9, 0.3, 0.7, 0.1])
    seen, restored = clean * (1, 1, 0, 1, 0, 1), np.array([0.15, 0.75, 0.7, 0.3, 0.55, 0.1])
    heights = 2.55 - 0.36 * np.arange(6)
    columns = {x: [(x, y) for y in heights] for x in (0.6, 2.4, 5.9)}
    code = [(4.15, y) for y in 2.19 - 0.36 * np.arange(4)]
    connect(axis, columns[2.4], code)
    connect(axis, code, columns[5.9])
    for (x, places), values in zip(columns.items(), (clean, seen, restored)):
        for (_, y), value, was in zip(places, values, clean):
            lost = value < was / 2
            unit(axis, x, y, "×" if lost else "", VERMILION if lost else BLACK, 0.15, 0.8 * value)
    for place in code:
        unit(axis, *place, radius=0.15)
    names = {0.6: "clean $x$", 2.4: "corrupted $\\tilde x$", 4.15: "code $h$", 5.9: "reconstruction $z$"}
    for x, text in names.items():
        write(axis, x, 2.87, text)
    for y in heights:
        arrow(axis, (0.6, y), (2.4, y), VERMILION, 0.2)
    write(axis, 1.5, 2.87, "$q(\\tilde x \\mid x)$", VERMILION)
    write(axis, 3.27, 0.62, "encoder, $W$", BLUE)
    write(axis, 5.05, 0.62, "decoder, $W^\\top$", BLUE)
    arrow(axis, (0.6, 0.6), (5.9, 0.6), GREEN, 0.04, 0.13, "<|-|>")
    write(axis, 3.25, 0.1, "loss: how far is $z$ from the clean $x$?", GREEN)
    return fig


# Machines


def rbm():
    """The bipartite graph of a restricted Boltzmann machine, one of its weights set off."""
    fig, axis = paper(5.2, 2.2)
    visible, hidden = row(3, 1.6, 0.5, 1.1), row(2, 1.6, 1.7, 1.1)
    connect(axis, visible, hidden, GREY, 1.2)
    connect(axis, visible[:1], hidden[-1:], GREEN, 2.4)
    write(axis, 0.45, 1.1, "$W_{12}$", GREEN, 12)
    arrow(axis, (0.57, 1.06), (1.0, 0.86), GREEN, 0.1, 0.1, "-", width=0.8)
    for places, letter, color in ((visible, "v", VERMILION), (hidden, "h", BLUE)):
        for number, (x, y) in enumerate(places, 1):
            unit(axis, x, y, f"${letter}_{number}$", color, 0.25, size=12)
    write(axis, 3.2, 1.7, "hidden units, biases $c_j$", BLUE, ha="left")
    write(axis, 3.2, 1.1, "weights $W_{ij}$, only\nbetween the layers", GREY, ha="left")
    write(axis, 3.2, 0.5, "visible units, biases $b_i$", VERMILION, ha="left")
    return fig


def gibbs_chain():
    """Gibbs sampling unrolled in time: hidden units given the visible ones, visible ones given the hidden."""
    fig, axis = paper(7, 2.2)
    low, high, step = 0.7, 1.7, 0.95
    for t in range(3):
        x = 0.6 + 2 * step * t
        unit(axis, x, low, f"$v^{{({t})}}$", VERMILION, 0.27)
        unit(axis, x + step, high, f"$h^{{({t})}}$", BLUE, 0.27)
        arrow(axis, (x, low), (x + step, high), BLUE, 0.29)
        arrow(axis, (x + step, high), (x + 2 * step, low), VERMILION, 0.29, line="--" if t == 2 else "-")
    unit(axis, x + 2 * step, low, "$v^{(t)}$", VERMILION, 0.27)
    write(axis, 0.98, 1.5, "$p(h \\mid v)$", BLUE, ha="right")
    write(axis, 2.1, 1.5, "$p(v \\mid h)$", VERMILION, ha="left")
    write(axis, 0.6, 0.22, "any start")
    write(axis, 6.3, 0.22, "in the end,\na sample of $p(v)$", va="center", size=9)
    write(axis, 3.45, 0.22, "each layer at once, given the other", GREY)
    return fig


def cd_and_pcd():
    """One landscape of free energy, and what CD and PCD do to it: where particles stand, it is raised."""
    fig, axis = paper(7, 2.7)

    def well(u, centre, depth, width=0.055):
        return -depth * np.exp(-(((u - centre) / width) ** 2) / 2)

    def before(u):
        return 1.75 + well(u, 0.16, 0.75) + well(u, 0.38, 0.75) + well(u, 0.82, 0.95, 0.07)

    def raised(u):  # by persistent chains
        return 1.75 + well(u, 0.16, 0.85) + well(u, 0.38, 0.85) + well(u, 0.82, 0.25, 0.07)

    def dug(u):  # by contrastive divergence: deeper at the data, higher beside them, untouched far away
        rim = sum(-well(u, c, 0.22, 0.04) for c in (0.05, 0.27, 0.49))
        return before(u) + rim + well(u, 0.16, 0.25, 0.04) + well(u, 0.38, 0.25, 0.04)

    u = np.linspace(0, 1, 400)
    for left, name, after, particles in (
        (0.25, "CD: every chain starts anew at the data", dug, (0.22, 0.32)),
        (3.75, "PCD: chains go on from where they are", raised, (0.2, 0.34, 0.81)),
    ):
        axis.plot(left + 3 * u, before(u), color=BLACK, linewidth=1.6)
        axis.plot(left + 3 * u, after(u), color=GREY, linewidth=1.2, linestyle="--")
        for at in (0.16, 0.38):
            unit(axis, left + 3 * at, before(at) + 0.09, color=GREEN, radius=0.07, fill=0.9)
            arrow(axis, (left + 3 * at, 0.85), (left + 3 * at, 0.5), GREEN, 0)
        for at in particles:
            x, y = left + 3 * at, before(at) + 0.09
            unit(axis, x, y, color=VERMILION, radius=0.07, fill=0.9)
            arrow(axis, (x, y + 0.12), (x, y + 0.5), VERMILION, 0)
        write(axis, left + 1.5, 2.5, name, size=11)
    write(axis, 2.7, 0.6, "a false well:\nnobody comes here", VERMILION, 9)
    write(axis, 6.2, 0.6, "a chain came here,\nand fills it", VERMILION, 9)
    write(axis, 3.5, 0.15, "green: data; vermilion: negative particles; dashed: the landscape afterwards", GREY, 9)
    return fig


def deep_belief_network(labels=False):
    """A stack of layers: a Boltzmann machine on top, arrows downwards below it.

    Parameters
    ----------
    labels : bool
        Draw units of a label beside the codes that the machine on top learns.
    """
    fig, axis = paper(6.4, 3.3)
    counts = (6, 5, 6) if labels else (6, 5, 5, 6)
    names = ("v", "h^{(1)}", "h^{(2)}", "h^{(3)}")[: len(counts)]
    heights = np.linspace(0.5, 2.95, len(names))
    layers = [row(n, 1.9, y, 0.42) for n, y in zip(counts, heights)]
    if labels:
        digits = row(3, 3.7, heights[1], 0.34)
        connect(axis, digits, layers[2], SKY, 1.0)
        for place in digits:
            unit(axis, *place, color=ORANGE, radius=0.13)
        write(axis, 4.3, heights[1], "label $y$", ORANGE, ha="left")
    for n, (lower, upper) in enumerate(pairwise(layers)):
        on_top = n == len(layers) - 2
        connect(axis, lower, upper, SKY if on_top else "0.8", 1.0)
        middle = heights[n : n + 2].mean()
        if on_top:
            text = "a Boltzmann machine:\nno direction, a Markov chain"
        else:
            arrow(axis, (1.9, heights[n + 1]), (1.9, heights[n]), BLACK, 0.16, width=2.6)
            text = f"one way: $p({names[n]} \\mid {names[n + 1]})$"
        y = middle + (0.25 if labels and on_top else 0)  # clear of the label's name
        write(axis, 4.3 if labels else 3.4, y, text, BLUE if on_top else BLACK, ha="left")
        if not on_top or not labels:
            arrow(axis, (0.45, heights[n]), (0.45, heights[n + 1]), GREY, 0.14, line="--")
    for name, places, y in zip(names, layers, heights):
        for place in places:
            unit(axis, *place, color=VERMILION if name == "v" else BLUE, radius=0.13)
        write(axis, 0.45, y, f"${name}$", size=12)
    write(axis, 0.2, 0.1, "dashed: the way up, $q(h \\mid v)$", GREY, 9, ha="left")
    return fig


# Chains


def leapfrog():
    """Three leapfrog steps: positions at whole times, momenta at half ones, each moved by the other."""
    fig, axis = paper(7, 2.2)
    momenta = [(0.5, "$p_0$"), (1.4, "$p_{1/2}$"), (3.2, "$p_{3/2}$"), (5.0, "$p_{5/2}$"), (5.9, "$p_3$")]
    positions = [(0.5, "$x_0$"), (2.3, "$x_1$"), (4.1, "$x_2$"), (5.9, "$x_3$")]
    for y, row_of, color in ((1.55, positions, BLUE), (0.75, momenta, VERMILION)):
        for x, name in row_of:
            unit(axis, x, y, name, color, 0.24)
        for (before, _), (after, _) in pairwise(row_of):
            arrow(axis, (before, y), (after, y), color, 0.26, width=1.8)
    for k, (x, _) in enumerate(positions):  # what each move reads: momenta the force here, positions the momentum
        push = (momenta[k][0] + momenta[k + 1][0]) / 2
        axis.annotate("", (push, 0.8), (x, 1.55), arrowprops=READS)
        if k:
            axis.annotate("", ((positions[k - 1][0] + x) / 2, 1.5), (momenta[k][0], 0.75), arrowprops=READS)
    write(axis, 3.5, 2.02, "positions are moved by the momentum: whole steps", BLUE, 9)
    write(axis, 3.5, 0.25, "momenta are pushed by the force: half a step, whole steps, half a step", VERMILION, 9)
    return fig


def ais_bridge():
    """Annealed importance sampling, a bridge of distributions: weigh (across) and move (up or down), in turn."""
    fig, axis = paper(7, 3.1)
    betas = (0, 0.25, 0.5, 0.75, 1)
    y = np.linspace(0.55, 2.75, 500)
    start = np.exp(-(((y - 1.65) / 0.6) ** 2) / 2)
    end = np.exp(-(((y - 1.0) / 0.1) ** 2) / 2) + 0.6 * np.exp(-(((y - 2.35) / 0.12) ** 2) / 2)
    noise = np.random.default_rng(5).uniform(-0.12, 0.12, (len(betas), 3))
    paths = []
    for x, beta, share in zip(np.linspace(0.7, 6.1, len(betas)), betas, (0.13, 0.42, 0.85) + noise):
        density = start ** (1 - beta) * end**beta  # the path of geometric means
        axis.fill_betweenx(y, x, x + 28 * density / density.sum(), color=tint(BLUE, 0.35), zorder=1)
        axis.plot([x, x], y[[0, -1]], color="0.7", linewidth=0.8)
        write(axis, x, 0.35, f"$\\beta = {beta:g}$")
        paths.append((x, np.interp(share, np.cumsum(density) / density.sum(), y)))
    for (x, old), (x_next, new) in pairwise(paths):
        for k, color in enumerate((VERMILION, GREEN, PURPLE)):
            arrow(axis, (x, old[k]), (x_next, old[k]), color, 0.04, line=":")
            arrow(axis, (x_next, old[k]), (x_next, new[k]), color, 0.03)
    for (x, places), (k, color) in product(paths, enumerate((VERMILION, GREEN, PURPLE))):
        unit(axis, x, places[k], color=color, radius=0.05, fill=1)
    write(axis, 0.7, 2.95, "$p_0$, known")
    write(axis, 6.1, 2.95, "the machine")
    write(axis, 3.4, 2.95, "dotted: weigh, at the same state; solid: move, at the new $\\beta$", GREY, 9)
    write(axis, 3.4, 0.1, "states from below to above; blue: how probable they are", GREY, 9)
    return fig


def replicas():
    """Parallel tempering: one chain at each inverse temperature, and neighbours that trade states now and then."""
    fig, axis = paper(7, 3.0)
    betas = (1, 0.7, 0.4, 0.1)
    # When, and between which rung and the one below it, a trade is made, or proposed in vain.
    swaps, refused = ((1, 0), (2, 2), (3, 1), (5, 0), (6, 2), (7, 1), (8, 0)), ((4, 2), (9, 1))
    heights, u = np.linspace(2.45, 0.65, len(betas)), np.linspace(0, 1, 100)
    landscape = np.cos(4 * np.pi * u) * 0.2
    for beta, y in zip(betas, heights):
        axis.plot(0.95 + 0.8 * u, y + beta * landscape, color=BLACK, linewidth=1.2)
        write(axis, 0.4, y, f"$\\beta = {beta:g}$")
    state, times = list(range(len(betas))), np.linspace(2.1, 6.8, 11)
    for t, (x, x_next) in enumerate(pairwise(times)):
        after = state.copy()
        for _, rung in (swap for swap in swaps if swap[0] == t):
            after[rung], after[rung + 1] = after[rung + 1], after[rung]
        for place, name in enumerate(state):
            y = heights[[place, after.index(name)]]
            axis.plot([x, x_next], y, color=COLORS[name], linewidth=2.4, solid_capstyle="round", zorder=3)
        for _, rung in (swap for swap in refused if swap[0] == t):
            write(axis, (x + x_next) / 2, heights[rung : rung + 2].mean(), "×", GREY, 14)
        state = after
    write(axis, 1.35, 2.85, "energy times $\\beta$", size=9)
    write(axis, 4.45, 2.85, "Gibbs steps; a colour is one state on its way", size=9)
    write(axis, 4.45, 0.15, "crossings: accepted trades; ×: a refused one", GREY, 9)  # fmt: skip
    return fig


# Sequences


def unrolled(words):
    """A recurrent network, unrolled over a sentence of about four words."""
    fig, axis = paper(7, 2.5)
    for t, word in enumerate(words, 1):
        x = 7 * (t - 0.5) / len(words)
        for y, letter, color in ((0.6, "x", VERMILION), (1.4, "h", BLUE), (2.2, "y", GREEN)):
            unit(axis, x, y, f"${letter}_{{{t}}}$", color, 0.22)
        for y, name in ((0.6, "W"), (1.4, "V")):
            arrow(axis, (x, y), (x, y + 0.8), gap=0.24)
            write(axis, x + 0.17, y + 0.4, f"${name}$")
        write(axis, x, 0.2, word)
        if t > 1:
            arrow(axis, (x - 7 / len(words), 1.4), (x, 1.4), BLUE, 0.24, width=2)
            write(axis, x - 3.5 / len(words), 1.55, "$U$", BLUE)
    return fig


def rnn_rbm():
    """The RNN-RBM over three steps: states that set, by dashed arrows, the biases of the next step's machine."""
    fig, axis = paper(7, 2.9)
    for k, name in enumerate(("t-1", "t", "t+1")):
        x = 1.5 + 2.4 * k
        state = (x - 2.4, 0.45) if k else (0.15, 0.45)
        for y, letter, color in ((0.45, "u", GREEN), (1.4, "v", VERMILION), (2.45, "h", BLUE)):
            unit(axis, x, y, f"${letter}_{{{name}}}$", color, 0.27, size=10)
        arrow(axis, (x, 1.4), (x, 2.45), gap=0.29, style="-", width=1.8)
        arrow(axis, (x, 1.4), (x, 0.45), gap=0.29)
        arrow(axis, state, (x, 0.45), gap=0.29 if k else 0.27)
        for y in (1.4, 2.45):
            arrow(axis, state, (x, y), GREY, 0.31, line="--")
    places = {"W": (4.05, 1.93), "W_{vu}": (4.1, 0.93), "W_{uu}": (2.7, 0.27), "W_{uv}": (3.15, 0.9)}
    for name, (x, y) in (places | {"W_{uh}": (2.65, 1.75)}).items():
        write(axis, x, y, f"${name}$")
    return fig
