"""Chapter 7: annealed importance sampling, watched: chains on their way from independent pixels to a machine."""

from itertools import groupby, islice

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import Noise, generator, to_numpy
from ..likelihood import TRUSTED, Anneal, temperature_ladder
from ..plots import tile_images
from .canvas import Canvas
from .drawing import INK, PALE, text
from .panel import Panel, control, seed_control, speed_control

__all__ = ["Annealing"]

SHOWN, COLUMNS, SCALE = 20, 5, 2.3  # chains that are shown, in rows of five, enlarged
SIZE, LEFT, RIGHT = (500, 440), 44, 484  # of the plots in pixels, and where their axes begin and end
BAR, SIZES, WEIGHTS = (32, 48), (100, 220), (294, 404)  # progress, curve and histogram: top and bottom
NATS, BINS = (-13.25, 6.75), 40  # of the histogram; one of its bars stands over 0
FINE, DOUBTFUL = "#0072B2", "#D55E00"
GREY = "#9aa5ad"


class Annealing(Panel):
    """Watch annealed importance sampling estimate log Z: a hundred chains, cooled from noise down to a machine.

    Parameters
    ----------
    rbm : companion.rbm.RBM
        With 784 binary visible units.
    base_bias : array_like (784,), optional
        Biases of the independent pixels that the chains come from, as in `companion.likelihood.ais`.
    seed : int
        The run is that of `companion.likelihood.ais` with this random state.
    """

    description = (
        "Twenty of the chains as images, noise at first and digits at the end; beside them how far the inverse "
        "temperature beta is on its way from 0 to 1, the effective sample size over beta, vermilion where it is below "
        "20, the estimate of log Z with its standard error, and a histogram of what the single chains say about it."
    )

    def __init__(self, rbm, base_bias=None, seed=0):
        self.check_digits(rbm=rbm)
        self.rbm, self.base_bias = rbm, base_bias
        counts = [(f"{n:,}", n) for n in (200, 1000, 5000)]
        self.n = control(widgets.Dropdown, "temperatures", options=counts, value=1000)
        self.n_chains = control(widgets.Dropdown, "chains", options=[20, 100, 250], value=100)
        self.speed, self.seed = speed_control(value=5), seed_control(seed)
        self.tiles = Canvas(scale=SCALE, label="Twenty of the chains as images")
        self.plots = Canvas(scale=1, label="Progress, effective sample size over beta, histogram of the log weights")
        for each in (self.n, self.n_chains, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [self.n, self.n_chains, self.speed, self.seed, self.buttons(pause=0.01)]
        super().__init__([(350, [*controls, self.tiles]), (SIZE[0], [self.plots])])
        self.reset()

    def reset(self):
        """Begin anew at beta = 0: pixels drawn by themselves, random numbers from the seed."""
        noise, n = Noise(generator(self.seed.value)), self.n_chains.value
        self.anneal = Anneal(self.rbm, n, temperature_ladder(self.n.value), self.base_bias, noise)
        self.curve = []  # beta and effective sample size after every step
        self.estimate = self.anneal.estimate()
        self.refresh()

    @property
    def finished(self):
        """Whether the chains have arrived at the machine."""
        return len(self.curve) == len(self.anneal)

    def step(self, steps=None):
        """Take so many steps down the ladder, by default those of a frame, then draw; at beta = 1 pause."""
        for _ in islice(self.anneal, steps or self.speed.value):
            self.estimate = self.anneal.estimate()
            self.curve.append((self.anneal.beta, self.estimate.ess))
        self.refresh()
        if self.finished:
            self.pause()

    def refresh(self):
        """Draw everything anew."""
        self.tiles.draw(255 * tile_images(to_numpy(self.anneal.v[:SHOWN]), COLUMNS, gap=2, background=1.0))
        self.plots.draw(self._draw_plots())
        self.tiles.caption = f"{SHOWN} of {self.n_chains.value} chains · {self._verdict()}"

    def _verdict(self):
        if self.estimate.ess < TRUSTED:
            few = f"effective sample size below {TRUSTED}: do not trust the error"
            return few + (" · arrived" if self.finished else "")
        return "arrived at the machine" if self.finished else "on their way"

    def _draw_plots(self):
        image = Image.new("RGB", SIZE, "white")
        draw, beta = ImageDraw.Draw(image), self.anneal.beta
        self._draw_progress(image, draw, beta)
        self._draw_sizes(image, draw)
        where = "log Z" if self.finished else f"log Z at beta = {beta:.3f}"
        numbers = f"{where}:  {self.estimate.log_z:.2f} +/- {self.estimate.std_error:.2f} nats"
        text(image, (LEFT, 244), numbers, 18)
        self._draw_weights(image, draw)
        return np.asarray(image)

    def _draw_progress(self, image, draw, beta):
        text(image, (LEFT, 4), f"beta = {beta:.3f}", 18)
        text(image, (RIGHT, 6), f"step {len(self.curve):,} of {len(self.anneal):,}", 15, INK, "rt")
        draw.rectangle((LEFT, BAR[0], RIGHT, BAR[1]), fill="#eeeeee")
        draw.rectangle((LEFT, BAR[0], _across(beta), BAR[1]), fill=FINE)
        for rung in self.anneal.betas[:: len(self.anneal) // 50]:  # every fiftieth part of the steps
            draw.line((_across(rung), BAR[1] - 4, _across(rung), BAR[1]), fill="white" if rung < beta else INK)
        for mark in (0, 0.25, 0.5, 0.75, 1):
            draw.line((_across(mark), SIZES[0], _across(mark), SIZES[1]), fill="#eeeeee")
            text(image, (_across(mark), BAR[1] + 5), f"{mark:g}", 13, INK, "mt")

    def _draw_sizes(self, image, draw):
        (top, bottom), n = SIZES, self.n_chains.value
        size = self.estimate.ess
        text(image, (LEFT, top - 23), "effective sample size", 15, INK)
        words = f"{size:.1f} of {n}" + (f", below {TRUSTED}" if size < TRUSTED else "")
        text(image, (RIGHT, top - 24), words, 16, DOUBTFUL if size < TRUSTED else FINE, "rt")
        height = {value: bottom - value / n * (bottom - top) for value in (0, TRUSTED, n)}
        for value, y in height.items():
            draw.line((LEFT, y, RIGHT, y), fill=GREY if value == TRUSTED else PALE)
            text(image, (LEFT - 6, y), f"{value}", 13, INK, "rm")
        curve = np.array([(0.0, n), *self.curve])
        points = np.stack([_across(curve[:, 0]), bottom - curve[:, 1] / n * (bottom - top)], axis=1)
        pieces = groupby(range(1, len(curve)), key=lambda i: curve[i, 1] < TRUSTED)
        for doubtful, piece in pieces:
            piece = list(piece)
            line = points[piece[0] - 1 : piece[-1] + 1].ravel().tolist()
            draw.line(line, fill=DOUBTFUL if doubtful else FINE, width=3 if doubtful else 2)

    def _draw_weights(self, image, draw):
        (top, bottom), (low, high) = WEIGHTS, NATS
        nats = self.estimate.log_weights - self.estimate.log_z
        inside = np.clip(nats, low, high - 1e-9)  # what is further out stands in the last bar
        chains = np.histogram(inside, BINS, NATS)[0] / len(nats)
        shares = np.histogram(inside, BINS, NATS, weights=np.exp(nats))[0] / len(nats)  # of the sum of all weights
        full = next(full for full in (0.25, 0.5, 1) if max(chains.max(), shares.max()) <= full + 1e-6)
        width = (RIGHT - LEFT) / BINS
        for k, (count, share) in enumerate(zip(chains, shares)):
            x = LEFT + k * width
            for value, inset, color in ((count, 1, GREY), (share, 4, FINE)):
                if value:
                    y = bottom - value / full * (bottom - top)
                    draw.rectangle((x + inset, y, x + width - inset - 1, bottom), fill=color)
        text(image, (LEFT, top - 24), "grey: share of the chains", 14, INK)
        text(image, (LEFT + 178, top - 24), "blue: share of the weights", 14, FINE)
        text(image, (LEFT - 6, top), f"{full:.0%}", 13, INK, "rm")
        draw.line((LEFT, bottom + 1, RIGHT, bottom + 1), fill=GREY)
        zero = LEFT - low / (high - low) * (RIGHT - LEFT)
        draw.line((zero, top, zero, bottom), fill="black")
        for mark in (-12, -8, -4, 0, 4):
            x = zero + mark / (high - low) * (RIGHT - LEFT)
            text(image, (x, bottom + 5), f"{mark:+d}" if mark else "0", 13, INK, "mt")
        words = "log Z by each chain alone, nats from the estimate"
        text(image, ((LEFT + RIGHT) / 2, bottom + 20), words, 14, INK, "mt")


def _across(beta):
    """Return where an inverse temperature is on the horizontal axis, in pixels."""
    return LEFT + beta * (RIGHT - LEFT)
