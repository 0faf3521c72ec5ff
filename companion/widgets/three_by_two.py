"""Chapter 6: a machine so small that all its states are listed, and a Gibbs chain that is to find their frequencies."""

from itertools import product

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import Noise, generator, to_device, to_numpy
from ..diagnostics import autocorrelation, effective_sample_size, total_variation
from ..likelihood import exact_log_partition
from ..plots import COLORS
from ..rbm import RBM
from .canvas import Canvas
from .drawing import GREY, INK, Axes, text
from .panel import Panel, control, seed_control, speed_control

__all__ = ["ThreeByTwo"]

V, H = (np.array(list(product((0.0, 1.0), repeat=n))) for n in (3, 2))
CHAPTER = [[2.0, -1.0], [2.0, 1.5], [-1.5, 2.0]], [-1.0, 0.0, -0.5], [-0.5, -1.0]  # W, b and c of section 1
FROZEN = [[5.0, 5.0]] * 3, [-5.0] * 3, [-7.5] * 2  # all units on or all off, equally likely, and hardly a way between
REMEMBERED, LAGS = 20_000, 40  # steps in the autocorrelation, and how far it is drawn

BOARD, CURVES, CELL, LEFT, BARS = (520, 336), (410, 506), 54, 74, (208, 306)
EDGE, RIGHT = 56, 398  # where the curves begin and end
TV, CORRELATION = (EDGE, 178, RIGHT, 318), (EDGE + 4, 372, RIGHT - 4, 452)
EXACT, CHAIN, PALE = COLORS[0], COLORS[1], "#e4e4e4"


class _Remembering(Noise):
    """Noise that keeps its latest uniform numbers, for looking at."""

    def __init__(self, rng):
        super().__init__(rng)
        self.drawn = []

    def uniform(self, out):
        u = super().uniform(out)
        self.drawn = [*self.drawn[-1:], u[0].copy()]
        return u


class ThreeByTwo(Panel):
    """A machine of three visible and two hidden units: what it believes, exactly, and what a Gibbs chain makes of it.

    Parameters
    ----------
    seed : int
        The same seed, and the same parameters, give the same chain.
    """

    description = (
        "The probabilities of all 32 states of a machine of three visible and two hidden units as a table, and those "
        "of the eight images as bars beside the frequencies in a Gibbs chain; the coin tosses of the latest step; "
        "total variation against steps on logarithmic axes; the autocorrelation of the chain."
    )

    def __init__(self, seed=0):
        def slider(name, low, high, **options):
            return control(
                widgets.FloatSlider, name, max(low, 0), min=low, max=high, continuous_update=False,
                style={"description_width": "38px"}, **{"step": 0.1, "readout_format": ".1f"} | options,
            )  # fmt: skip

        self.W = [[slider(f"W{i}{j}", -8, 8) for j in (1, 2)] for i in (1, 2, 3)]
        self.b, self.c = [slider(f"b{i}", -12, 12) for i in (1, 2, 3)], [slider(f"c{j}", -12, 12) for j in (1, 2)]
        self.beta = slider("β", 0.1, 2, step=0.05, readout_format=".2f", tooltip="inverse temperature")
        self.speed, self.seed = speed_control((1, 10, 100, 1000)), seed_control(seed)
        self.freeze = control(widgets.Button, "Freeze", tooltip="two far modes: hardly any mixing")
        self.thaw = control(widgets.Button, "Thaw", tooltip="the machine of the chapter")
        self.board = Canvas(scale=1, label="Exact probabilities of all states, and the frequencies in the chain")
        self.curves = Canvas(scale=1, label="The latest coin tosses, total variation and autocorrelation")
        for each in (*sum(self.W, []), *self.b, *self.c, self.beta, self.seed):
            each.observe(lambda _: self.reset(), "value")
        self.freeze.on_click(lambda _: self.set(*FROZEN))
        self.thaw.on_click(lambda _: self.set(*CHAPTER))
        parameters = [[*weights, bias] for weights, bias in zip(self.W, self.b)] + [[*self.c, self.beta]]
        buttons = self.buttons(self.freeze, self.thaw, pause=0.02)
        left = [*parameters, [self.speed, self.seed], buttons, self.board]
        super().__init__([(BOARD[0], left), (CURVES[0], [self.curves])])
        self._setting = False
        self.set(*CHAPTER)

    def set(self, W, b, c):
        """Move the sliders to W (3, 2), b (3,) and c (2,), with beta at 1, and begin anew."""
        self._setting = True  # one new beginning, not twelve
        for each, value in zip((*sum(self.W, []), *self.b, *self.c), (*np.ravel(W), *b, *c)):
            each.value = value
        self.beta.value = 1
        self._setting = False
        self.reset()

    def reset(self):
        """Begin anew: the machine of the sliders, a chain from the image 000, random numbers from the seed."""
        if self._setting:
            return
        W, b, c = ([control.value for control in controls] for controls in (sum(self.W, []), self.b, self.c))
        W, beta = np.reshape(W, (3, 2)), self.beta.value
        self.rbm = RBM.from_parameters(W, np.array(b), np.array(c))
        at_beta = RBM.from_parameters(beta * W, beta * np.array(b), beta * np.array(c))
        energies = to_numpy(self.rbm.energy(np.repeat(V, 4, axis=0), np.tile(H, (8, 1)))).reshape(8, 4)
        self.p_vh = np.exp(-beta * energies - exact_log_partition(at_beta).log_z)
        self.p_v = self.p_vh.sum(axis=1)
        self.noise = _Remembering(generator(self.seed.value))
        self.v, self.h, self.tosses = to_device(np.zeros((1, 3))), None, []
        self.chains = self.rbm.chains(self.v, self.noise, inverse_temperature=beta)
        self.counts, self.steps, self.distances, self.series = np.zeros(8, int), 0, [], []
        self.refresh()

    def step(self, steps=None):
        """Take so many Gibbs steps, by default those of a frame, then draw."""
        for _ in range(steps or self.speed.value):
            before = self.v
            self.v, means, self.h = next(self.chains)
            state = to_numpy(self.v)[0]
            self.counts[int(state @ (4, 2, 1))] += 1
            self.series.append(state.sum())
            self.steps += 1
            if self.steps >= 1.05 * (self.distances[-1][0] if self.distances else 0):
                self.distances.append((self.steps, self.total_variation))
        del self.series[:-REMEMBERED]
        # Of the latest step: unit, probability of a one, uniform number, result.
        p_h = self.rbm.propup(before, self.beta.value)
        rows = zip(("h", "v"), (p_h, means), self.noise.drawn, (self.h, self.v))
        self.tosses = [
            (f"{layer}{i}", *map(float, unit))
            for layer, p, u, x in rows
            for i, unit in enumerate(zip(p[0], u, x[0]), start=1)
        ]
        self.refresh()

    @property
    def frequencies(self):
        """How often each image (8,) was seen, as a fraction of the steps."""
        return self.counts / max(self.steps, 1)

    @property
    def total_variation(self):
        """How far the frequencies are from the probabilities; nan before the first step."""
        return total_variation(self.frequencies, self.p_v) if self.steps else float("nan")

    def refresh(self):
        """Draw everything anew."""
        self.board.draw(self._draw_board())
        self.curves.draw(self._draw_curves())
        latest = f": {self.total_variation:.3f}" if self.steps else ""
        self.curves.label = (
            f"The latest coin tosses, autocorrelation, and total variation{latest}, after {self.steps:,} steps"
        )

    def _draw_board(self):
        image = Image.new("RGB", BOARD, "white")
        draw = ImageDraw.Draw(image)
        text(image, (0, 0), "p(v, h) in percent, exact; framed: where the chain is", 15, INK)
        now = None if self.h is None else (int(to_numpy(self.v)[0] @ (4, 2, 1)), int(to_numpy(self.h)[0] @ (2, 1)))
        for row in range(4):
            y = 24 + 34 * row
            text(image, (LEFT - 8, y + 16), "h = " + "".join(f"{bit:.0f}" for bit in H[row]), 15, INK, "rm")
            for column in range(8):
                x, p = LEFT + CELL * column, self.p_vh[column, row]
                shade = round(255 * (1 - min(1.0, p / self.p_vh.max())))
                draw.rectangle((x, y, x + CELL - 3, y + 31), fill=(shade,) * 3, outline=PALE)
                number = "0" if p < 0.0005 else f"{100 * p:.1f}"
                text(image, (x + CELL // 2, y + 16), number, 14, "white" if shade < 128 else "black", "mm")
        if now:
            x, y = LEFT + CELL * now[0], 24 + 34 * now[1]
            draw.rectangle((x - 2, y - 2, x + CELL - 1, y + 33), outline=CHAIN, width=4)
        text(image, (0, BARS[0] - 42), "p(v), exact (full), and frequencies in the chain (hollow)", 15, INK)
        most = max(self.p_v.max(), self.frequencies.max(), 0.25)
        for column, (p, frequency) in enumerate(zip(self.p_v, self.frequencies)):
            x, height = LEFT + CELL * column, BARS[1] - BARS[0]
            draw.rectangle((x + 3, BARS[1] - p / most * height, x + 23, BARS[1]), fill=EXACT)
            top = BARS[1] - frequency / most * height
            if frequency:
                draw.rectangle((x + 27, min(top, BARS[1] - 4), x + 47, BARS[1]), fill="white", outline=CHAIN, width=3)
            name = "".join(f"{bit:.0f}" for bit in V[column])
            text(image, (x + 25, BARS[1] + 11), name, 15, INK, "mt")
        draw.line((LEFT, BARS[1], LEFT + 8 * CELL, BARS[1]), fill=GREY)
        for mark in (0, most):
            text(image, (LEFT - 8, BARS[1] - mark / most * (BARS[1] - BARS[0])), f"{mark:.0%}", 14, INK, "rm")
        text(image, (LEFT - 8, BARS[1] + 11), "v =", 15, INK, "rt")
        return np.asarray(image)

    def _draw_curves(self):
        image = Image.new("RGB", CURVES, "white")
        text(image, (0, 0), f"step {self.steps:,}: each unit is on if u < p", 15, INK)
        for row, toss in enumerate(self.tosses):
            self._draw_toss(image, 22 + 24 * row, *toss)
        self._draw_distances(image)
        self._draw_correlation(image)
        return np.asarray(image)

    def _draw_toss(self, image, y, unit, p, u, x):
        """Draw a bar as long as the probability, and a needle where the uniform number fell."""
        draw, (left, right) = ImageDraw.Draw(image), (34, 214)
        text(image, (0, y + 9), unit, 15, INK, "lm")
        draw.rectangle((left, y + 2, right, y + 16), outline=GREY)
        draw.rectangle((left, y + 2, left + p * (right - left), y + 16), fill=EXACT)
        needle = left + u * (right - left)
        draw.line((needle, y - 1, needle, y + 19), fill=CHAIN, width=4)
        text(image, (right + 14, y + 9), f"p {p:.3f}   u {u:.3f}   {unit} = {x:.0f}", 15, "black", "lm")

    def _draw_distances(self, image):
        decades = max(3, int(np.ceil(np.log10(max(self.steps, 1)))))
        axes = Axes(image, TV, (1.0, 10.0**decades), (1e-3, 1), "xy")
        latest = f": {self.total_variation:.3f}" if self.steps else ""
        text(image, (0, axes.top - 26), f"total variation{latest}; grey: independent draws", 15, INK)
        for value in (1, 0.1, 0.01, 0.001):
            axes.level(value, f"{value:g}", PALE)
        expected = np.sqrt(self.p_v * (1 - self.p_v) / (2 * np.pi)).sum() / np.sqrt(axes.x)
        axes.curve(axes.x, expected, GREY)
        for exponent in range(decades + 1):
            axes.upright(10**exponent, GREY, axes.bottom + 4)
            if (decades - exponent) % (1 + decades // 5) == 0:  # room for the numbers
                axes.below(10**exponent, f"{10**exponent:,}", 6, "rt" if exponent == decades else "mt")
        axes.curve(*np.reshape(self.distances, (-1, 2)).T, CHAIN)

    def _draw_correlation(self, image):
        series, axes, room = np.array(self.series), Axes(image, CORRELATION, (0, LAGS)), 14  # for noise, below 0
        axes.draw.line((EDGE, axes.bottom, RIGHT, axes.bottom), fill=GREY)
        for mark in (0, 1):
            axes.level(mark, f"{mark}", None, 10)
        for lag in (0, 10, 20, 30, 40):
            axes.below(lag, f"{lag}", room + 6)
        text(image, (RIGHT, axes.bottom + room + 22), "lag, steps", 13, INK, "rt")
        title = (0, axes.top - 26)
        if len(series) <= LAGS or series.std() == 0:  # a chain that has not moved is worth nothing yet
            text(image, title, "autocorrelation of the number of pixels on", 15, INK)
            return
        worth = min(effective_sample_size(series), len(series))
        text(image, title, f"autocorrelation: {len(series):,} steps look like {worth:,.0f} draws", 15, INK)
        rho = autocorrelation(series, LAGS)
        for x, y in axes.place(np.arange(len(rho)), rho).tolist():
            ends = sorted((axes.bottom, min(y, axes.bottom + room)))
            axes.draw.rectangle((x - 3, ends[0], x + 3, ends[1]), fill=CHAIN)
