"""Chapter 6: contrastive divergence and persistent chains side by side, on images that can all be listed."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import to_numpy
from ..cd_and_pcd import SIDE, CDAndPCD
from ..plots import COLORS, tile_images
from .canvas import Canvas
from .drawing import GREY, INK, Axes, grey_levels, text
from .panel import Panel, control, seed_control, speed_control

__all__ = ["CDAgainstPCD"]

EVERY = 20  # updates from one point of the curves to the next, at most

BOARD, CURVES = (520, 494), (420, 358)
COLUMNS = (4, 274)  # where the two machines begin
TILE, GAP = 20, 5  # pixels of an image, and between two
PITCH, BAR = 35, 40  # of the listed images: distance, and height of a bar that stands for 2 / 30
LEFT, RIGHT = 46, 408  # where the curves begin and end
LIKELIHOOD, ERROR = (LEFT, 58, RIGHT, 206), (LEFT, 272, RIGHT, 340)
KINDS = (COLORS[1], COLORS[0])
OTHER = COLORS[4]


class CDAgainstPCD(Panel):
    """Watch two machines learn the 4 × 4 bars and stripes from the same initial weights, one by CD-k, one by PCD-k.

    There are 30 such images, and 65,536 in all: what each machine believes is known exactly.

    Parameters
    ----------
    seed : int
        Of the initial weights and of all draws: the same seed, the same training.
    """

    description = (
        "The thirty images of bars and stripes, with the probability that CD and PCD give to each as two bars; for "
        "both machines reconstructions, negative particles, framed where they are no image of the data set, and how "
        "much probability lies on the data; beside them exact log-likelihood and reconstruction error over the updates."
    )

    def __init__(self, seed=0):
        self.k = control(widgets.IntSlider, "k, Gibbs steps", 1, 1, 10, continuous_update=False)
        self.rate = control(
            widgets.FloatLogSlider, "learning rate", 0.1, min=-3, max=0, step=0.1, continuous_update=False
        )
        self.speed, self.seed = speed_control(value=20, what="updates a frame"), seed_control(seed)
        self.board = Canvas(scale=1, label="What both machines reconstruct, sample and believe")
        self.curves = Canvas(scale=1, label="Exact log-likelihood and reconstruction error over the updates")
        for each in (self.k, self.rate):
            each.observe(lambda _: self._change(), "value")
        self.seed.observe(lambda _: self.reset(), "value")
        controls = [self.k, self.rate, self.speed, self.seed, self.buttons(anew="new initial weights from the seed")]
        super().__init__([(CURVES[0], [*controls, self.curves]), (BOARD[0], [self.board])])
        self.reset()

    def reset(self):
        """Begin anew, from the seed: the same initial weights for both, and a stream of random numbers for each."""
        self.pair = CDAndPCD(self.k.value, self.rate.value, self.seed.value)
        self.history, self.changes = [], {}
        self.step(0)

    def _change(self):
        """From the next update on use k and the learning rate as they are now."""
        self.pair.set(self.k.value, self.rate.value)
        if self.pair.updates:
            self.changes[self.pair.updates] = f"k {self.k.value}, rate {self.rate.value:.2g}"
        self.refresh()

    def step(self, updates=None):
        """Make so many updates of both machines, by default those of a frame, then draw."""
        left = self.speed.value if updates is None else updates
        while True:
            self.pair.train(min(left, EVERY))
            left -= min(left, EVERY)
            self.history.append((self.pair.updates, *self.pair.measure()))
            if not left:
                break
        self.refresh()

    @property
    def names(self):
        """What the two machines are called, with k as it is now."""
        return [f"{kind}-{self.k.value}" for kind in ("CD", "PCD")]

    def refresh(self):
        """Draw everything anew."""
        board = self._draw_board()
        self.board.draw(np.asarray(board), board.info["images"])
        self.curves.draw(self._draw_curves())
        likelihoods = " and ".join(f"{value:.2f} nats ({name})" for name, value in zip(self.names, self.history[-1][1]))
        self.curves.label = (
            f"Exact log-likelihood, after {self.pair.updates:,} updates {likelihoods}, and reconstruction error"
        )

    def _draw_board(self):
        image = Image.new("RGB", BOARD, "white")
        pair, p = self.pair, self.pair.probabilities()
        draw, n = ImageDraw.Draw(image), len(pair.images)
        words = f"the {n} images; bars: probability by {self.names[0]} (hollow), {self.names[1]} (full); line: 1/{n}"
        text(image, (0, 0), words, 13, INK)
        for i, place in enumerate(pair.places):
            x, y = PITCH * (i % 15) + 3, 24 + (BAR + TILE + 18) * (i // 15)
            _paste(image, pair.images[i : i + 1], (x + 3, y + BAR + 4))
            for kind in range(2):
                height = BAR * min(1, float(p[kind, place]) * n / 2)
                left, right = x + 13 * kind + 1, x + 13 * kind + 11
                box = (left, y + BAR - height, right, y + BAR)
                draw.rectangle(box, fill=KINDS[kind] if kind else "white", outline=KINDS[kind], width=2)
            draw.line((x, y + BAR / 2, x + 25, y + BAR / 2), fill="black")
        for kind, (left, rbm, v) in enumerate(zip(COLUMNS, pair.rbms, pair.particles())):
            other = ~np.isin(pair.number(v), pair.places)
            text(image, (left, 184), self.names[kind], 19, KINDS[kind])
            text(image, (left, 209), "reconstructions of the data", 13, INK)
            _paste(image, to_numpy(rbm.reconstruct(pair.data)), (left, 226))
            words = f"negative particles: {other.mean():.0%} other images"
            text(image, (left, 308), words, 13, INK)
            _paste(image, v[:n], (left, 325), other[:n])
            self._draw_beliefs(image, left, p[kind])
        return image

    def _draw_beliefs(self, image, left, p):
        """How much probability lies on the data, and which other image has most."""
        draw, n = ImageDraw.Draw(image), len(self.pair.images)
        known = p[self.pair.places]
        others = p.copy()
        others[self.pair.places] = 0
        worst = int(others.argmax())
        text(image, (left, 408), f"p(all {n} images) = {known.sum():.2f}", 15, "black")
        draw.rectangle((left + 160, 408, left + 244, 421), outline=INK)
        draw.rectangle((left + 160, 408, left + 160 + round(84 * float(known.sum())), 421), fill=INK)
        text(image, (left, 438), f"likeliest other image: {n * others[worst]:.2f}/{n}", 14, INK)
        _paste(image, to_numpy(self.pair.everything[worst])[None], (left + 195, 434), [True])
        count = int((others > known.min()).sum())
        text(image, (left, 462), f"{count:,} others are likelier than", 14, INK)
        text(image, (left, 479), f"the least likely of the {n}:", 13, INK)
        _paste(image, self.pair.images[known.argmin()][None], (left + 195, 468))

    def _draw_curves(self):
        image, updates = Image.new("RGB", CURVES, "white"), self.pair.updates
        rows = [*self.history[: -1 : max(1, len(self.history) // 400)], self.history[-1]]
        times, means, errors = (np.array(column) for column in zip(*rows))  # the last two: (points, 2)
        # The first climb, from -11, is left out below: what matters happens near the top.
        low, high, best = min(-7.0, float(means[-1].min()) - 0.3), -3.0, -np.log(len(self.pair.images))
        axes = Axes(image, LIKELIHOOD, (0, max(500, updates)), (low, high))
        ticks = {tick: f"{tick:.0f}" for tick in np.arange(np.ceil(low), high, np.ceil(-low / 8))}
        self._draw_axes(axes, "exact log-likelihood, nats per image", times, means, ticks)
        axes.draw.rectangle((LEFT, axes.bottom + 1, *CURVES), fill="white")
        axes.level(best, color="black")
        words = f"the best possible, −log {len(self.pair.images)} = {best:.2f}"
        text(image, (RIGHT, axes.down(best) - 3), words, 13, "black", "rb")
        if self.changes:  # the last one is named, below on the left or on the right of its line
            update, words = list(self.changes.items())[-1]
            x, late = axes.across(update), update > updates / 2
            text(image, (x - 5 if late else x + 5, axes.bottom - 4), words, 13, INK, "rb" if late else "lb")
        low = np.floor(np.log10(max(errors.min(), 1e-12)))
        axes = Axes(image, ERROR, axes.x, (10**low, 10**0.7), "y")
        ticks = {10.0**tick: f"1e{tick:.0f}" if tick else "1" for tick in np.arange(0, low - 1, -2)}
        self._draw_axes(axes, "squared error of reconstruction, log scale", times, errors, ticks)
        axes.below(axes.x[1], f"{updates:,} updates", 1, "rt")
        for y, values, form in ((LIKELIHOOD[1], means[-1], ".2f"), (ERROR[1], errors[-1], ".4f")):
            for kind, (name, value) in enumerate(zip(self.names, values)):
                _mark(image, kind, LEFT + 8 + 190 * kind, y - 28)
                text(image, (LEFT + 20 + 190 * kind, y - 28), f"{name}: {value:{form}}", 15, KINDS[kind], "lm")
        return np.asarray(image)

    def _draw_axes(self, axes, title, times, values, ticks):
        """Draw the curves of both machines, values (points, 2), with axes, and lines where k or the rate changed."""
        text(axes.image, (LEFT, axes.top - 56), title, 15, INK)
        for tick, name in ticks.items():
            axes.level(tick, name, "#eeeeee")
        axes.level(axes.y[0], color=GREY)
        for x in axes.across(list(self.changes)):
            for y in range(axes.top, axes.bottom, 6):
                axes.draw.line((x, y, x, y + 2), fill=GREY)
        x = axes.across(times)
        marked = np.searchsorted(x, np.arange(LEFT + 20, x[-1], 40))
        for kind in range(2):
            axes.curve(times, values[:, kind], KINDS[kind])
            for i in marked[kind::2]:  # in turn, so that neither hides the other's
                _mark(axes.image, kind, *axes.place(times[i], values[i, kind]))


def _paste(image, images, corner, framed=()):
    """Paste images (n, 16) as grey levels, ten in a row, frame those that are `framed`, and note where they are."""
    large = np.kron(images.reshape(-1, SIDE, SIDE), np.ones((TILE // SIDE, TILE // SIDE)))
    large = np.pad(large, ((0, 0), (1, 1), (1, 1)), constant_values=0.6)  # a line around white pixels
    tiles = tile_images(large, min(10, len(images)), large.shape[1:], GAP - 2)
    image.paste(Image.fromarray(grey_levels(tiles)), (corner[0] - 1, corner[1] - 1))
    draw = ImageDraw.Draw(image)
    for i in range(len(images)):
        x, y = corner[0] + (TILE + GAP) * (i % 10), corner[1] + (TILE + GAP) * (i // 10)
        image.info.setdefault("images", []).append((x, y, TILE, TILE))
        if len(framed) and framed[i]:
            draw.rectangle((x - 3, y - 3, x + TILE + 2, y + TILE + 2), outline=OTHER, width=3)


def _mark(image, kind, x, y):
    """Put a hollow circle for CD, or a full square for PCD."""
    draw = ImageDraw.Draw(image)
    if kind:
        draw.rectangle((x - 4, y - 4, x + 4, y + 4), fill=KINDS[1])
    else:
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill="white", outline=KINDS[0], width=2)
