"""Chapter 7: parallel tempering, watched: chains at several temperatures that trade places, beside plain ones."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..annealing import ParallelTempering
from ..backend import Noise, generator, one_thread, to_device, to_numpy, xp
from ..functions import bernoulli, sigmoid
from ..plots import COLORS
from ..rbm import RBM
from .canvas import Canvas
from .drawing import GREY, INK, PALE, Axes, grey_levels, short, text
from .panel import Panel, check_kind, control, seed_control, speed_control

__all__ = ["Tempering"]

ROW, HEAD, TILE = 60, 44, 56  # pixels: a temperature, the head above them, an image of twice 28
TRAVELS, CROSSING, TILES, PLAIN, WIDTH = (66, 262), (262, 338), 356, 472, 560  # columns of the ladder
TRACE, STRIP, TRACE_LEFT, DIGIT = (300, 250), 128, 26, 10  # of the digits: strips, a digit's height
REMEMBERED, TRAVELLED = 300, 40  # steps in the traces of the digit, and in the paths of the replicas
TEMPERED, GIBBS = COLORS[0], COLORS[1]
REPLICAS = [*COLORS, "#8a8a8a"]  # a colour for each replica; its number for who cannot tell them apart
NUMBERS = ["white", "white", "white", "black", "black", "black", "white", "black"]  # on these


class Tempering(Panel):
    """Watch parallel tempering: one chain at each of several temperatures, and as many plain ones at beta = 1.

    All begin at the same image, drawn with every pixel by itself. A step of tempering costs as much as one of all plain
    chains together.

    Parameters
    ----------
    rbm : companion.rbm.RBM
        With 784 binary visible units.
    classifier : estimator, optional
        Says which digit an image is; changes of it are counted at beta = 1, with tempering and without.
    base_bias : array_like (784,), optional
        As in `companion.annealing.ParallelTempering`.
    seed : int
        The same seed gives the same chains.
    """

    description = (
        "One row for each inverse temperature, coldest on top: the paths on which numbered replicas came there, the "
        "trades of the last step as crossing lines, how often neighbours trade, and the present image. Beside them as "
        "many plain Gibbs chains, and the digit over the steps with tempering and without, its changes counted."
    )

    def __init__(self, rbm, classifier=None, base_bias=None, seed=0):
        check_kind(RBM, rbm=rbm)
        self.check_digits(rbm=rbm, classifier=classifier)
        self.rbm, self.classifier, self.base_bias = rbm, classifier, base_bias
        self.n = control(widgets.IntSlider, "temperatures", 6, 2, 8)
        self.hottest = control(widgets.FloatSlider, "lowest β", 0.8, min=0.5, max=0.95, step=0.05)
        self.speed, self.seed = speed_control(), seed_control(seed)
        self.ladder = Canvas(scale=1, label="Chains by temperature, their trades, and plain chains")
        self.trace = Canvas(scale=1, label="The digit at β = 1 over the steps, with tempering and without")
        for each in (self.n, self.hottest, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [self.n, self.hottest, self.speed, self.seed, self.buttons()]
        super().__init__(
            [(TRACE[0], [*controls, *([self.trace] if classifier is not None else [])]), (WIDTH, [self.ladder])]
        )
        self.reset()

    def reset(self):
        """Begin anew, all chains at one image; two streams of random numbers from the seed."""
        n, (first, second) = self.n.value, generator(self.seed.value).spawn(2)
        noise = Noise(first)
        base = self.rbm.visible_bias_ if self.base_bias is None else to_device(self.base_bias, self.rbm.W_.dtype)
        start = bernoulli(sigmoid(base)[None], noise)
        betas = np.linspace(1, self.hottest.value, n)
        self.tempering = ParallelTempering(self.rbm, start, betas, self.base_bias, noise)
        self.plain = xp.repeat(start, n, axis=0)
        self.chains = self.rbm.chains(self.plain, Noise(second))
        self.betas, self.steps = betas, 0
        self.travels = [self._replicas()]  # which replica is at which temperature, after every step
        self.digits = [self._classify()] if self.classifier is not None else []
        self.switches = np.zeros(1 + n, int)  # of the coldest chain, and of the plain ones
        self.refresh()

    def step(self, steps=None):
        """Take so many steps, by default those of a frame, then draw."""
        for _ in range(steps or self.speed.value):
            next(self.tempering)
            self.plain, _, _ = next(self.chains)
            self.steps += 1
            self.travels.append(self._replicas())
            if self.classifier is not None:
                self.digits.append(self._classify())
                self.switches += self._cold(self.digits[-1]) != self._cold(self.digits[-2])
        del self.travels[: -TRAVELLED - 1], self.digits[: -REMEMBERED - 1]
        self.refresh()

    def _replicas(self):
        return to_numpy(self.tempering.replica[:, 0])

    def _classify(self):
        """Return the digits of all chains: those of every temperature, then the plain ones."""
        with one_thread():
            return self.classifier.predict(to_numpy(xp.concatenate([self.tempering.v[:, 0], self.plain])))

    def _cold(self, digits):
        """Of all digits, those at beta = 1: the coldest chain's, then those of the plain chains."""
        return np.append(digits[:1], digits[self.n.value :])

    @property
    def swaps(self):
        """Pairs (colder, hotter) of rows that traded places in the last step."""
        if not self.steps:
            return []
        before, after = self.travels[-2:]
        return [(k, k + 1) for k in range(self.n.value - 1) if after[k] == before[k + 1]]

    def refresh(self):
        """Draw everything anew."""
        tiles = [(x, int(_row(k)) - TILE // 2, TILE, TILE) for k in range(self.n.value) for x in (TILES, PLAIN)]
        self.ladder.draw(self._draw_ladder(), tiles)
        self.trace.draw(self._draw_trace())
        self.ladder.caption = f"step {self.steps:,} · trades in the last: {len(self.swaps)}"

    def _draw_ladder(self):
        n = self.n.value
        image = Image.new("RGB", (WIDTH, HEAD + n * ROW), "white")
        draw = ImageDraw.Draw(image)
        digits = self.digits[-1] if self.digits else [""] * (2 * n)
        heads = ((TRAVELS[0], f"the last {TRAVELLED} steps"), (CROSSING[0] + 8, "trades"), (TILES, "tempering"))
        text(image, (0, 4), "β", 15, INK)
        for x, words in (*heads, (PLAIN, "plain")):
            text(image, (x, 4), words, 15, TEMPERED if x == TILES else GIBBS if x == PLAIN else INK)
        text(image, (0, 22), "accepted", 13, GREY)
        text(image, (PLAIN, 22), "β = 1", 13, INK)
        for k, y in enumerate(_row(np.arange(n))):
            text(image, (0, y), f"{self.betas[k]:.3g}", 16, anchor="lm")
            for x, v, digit in ((TILES, self.tempering.v[k, 0], digits[k]), (PLAIN, self.plain[k], digits[n + k])):
                tile = Image.fromarray(grey_levels(to_numpy(v).reshape(28, 28)))
                image.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), (x, int(y) - TILE // 2))
                room = (PLAIN if x == TILES else WIDTH) - x - TILE - 10
                size = 18 if len(f"{digit}") < 3 else 12
                text(image, (x + TILE + 6, y), short(f"{digit}", size, room), size, INK, "lm")
        for x, color in ((TILES, TEMPERED), (PLAIN, GIBBS)):  # around the two chains whose digits are traced
            draw.rectangle((x - 2, HEAD, x + TILE + 1, HEAD + TILE + 3), outline=color, width=2)
        self._draw_travels(draw)
        for k, rate in enumerate(self.tempering.swap_rates):
            if np.isfinite(rate):
                text(image, (0, _row(k + 0.5)), f"{rate:.0%}", 13, GREY, "lm")
                draw.line((34, _row(k) + 12, 34, _row(k + 1) - 12), fill=PALE)
        for k, replica in enumerate(self.travels[-1]):
            x, y = CROSSING[1], _row(k)
            draw.ellipse((x - 11, y - 11, x + 11, y + 11), fill=REPLICAS[replica])
            text(image, (x, y), f"{replica + 1}", 14, NUMBERS[replica], "mm")
        return np.asarray(image)

    def _draw_travels(self, draw):
        """The path of every replica over the steps, and the last step again, large."""
        places = np.argsort(self.travels, axis=1)  # (steps, replicas): the row that each one is in
        ends = np.linspace(*TRAVELS, TRAVELLED)[-len(places) + 1 :] if len(places) > 1 else []
        earlier = _row(places[:-1])
        for replica, color in enumerate(REPLICAS[: self.n.value]):
            if len(ends) > 1:
                draw.line(np.stack([ends, earlier[:, replica]], axis=1).ravel().tolist(), fill=color, width=2)
            before, now = _row(places[-2:, replica])[[0, -1]]
            line = (CROSSING[0], before, CROSSING[0] + 12, before, CROSSING[1] - 20, now, CROSSING[1], now)
            draw.line(line, fill=color, width=4, joint="curve")

    def _draw_trace(self):
        image = Image.new("RGB", TRACE, "white")
        if not self.digits:
            return np.asarray(image)
        n, classes = self.n.value, getattr(self.classifier, "classes_", np.arange(10))  # or words
        cold = np.searchsorted(classes, [self._cold(digits) for digits in self.digits])
        each = self.switches[1:].mean()
        lines = (
            (cold[:, 0], TEMPERED, f"tempering, β = 1: {self.switches[0]:,} changes of digit"),
            (cold[:, 1], GIBBS, f"plain: {each:,.1f} changes a chain, {self.switches[1:].sum():,} in all {n}"),
        )
        for top, (digits, color, words) in zip((0, STRIP), lines):
            text(image, (0, top + 2), words, 15, color)
            box = (TRACE_LEFT, top + 24, TRACE[0] - 1, top + 24 + 9 * DIGIT)
            axes = Axes(image, box, (0, REMEMBERED), (0, max(1, len(classes) - 1)))
            for k in range(0, len(classes), 3):
                axes.level(k, short(f"{classes[k]}", 13, TRACE_LEFT - 8), "#e8e8e8", 8)
            # steps, not slopes: a digit is kept until it changes
            axes.curve(np.repeat(np.arange(len(digits)), 2)[1:], np.repeat(digits, 2)[:-1], color)
        return np.asarray(image)


def _row(k):
    """Return the height of the middle of row k, in pixels."""
    return HEAD + ROW * (k + 0.5)
