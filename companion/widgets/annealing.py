"""Chapter 7: annealed importance sampling, watched: chains on their way from independent pixels to a machine."""

from itertools import groupby, islice

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..annealing import Anneal, temperature_ladder
from ..backend import Noise, to_numpy
from ..likelihood import TRUSTED
from ..plots import COLORS
from ..rbm import RBM
from .canvas import Canvas
from .drawing import INK, PALE, Axes, text
from .panel import Panel, check_kind, control, seed_control, speed_control

__all__ = ["Annealing"]

SHOWN, COLUMNS, SCALE = 20, 5, 2.3  # chains that are shown, in rows of five, enlarged
SIZE, LEFT, RIGHT = (500, 440), 44, 484  # of the plots in pixels, and where their axes begin and end
PROGRESS, SIZES, WEIGHTS = ((LEFT, top, RIGHT, bottom) for top, bottom in ((32, 48), (100, 220), (294, 404)))
NATS, BINS = (-13.25, 6.75), 40  # of the histogram; one of its bars stands over 0
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
FINE, DOUBTFUL = COLORS[:2]
GREY = "#9aa5ad"


class Annealing(Panel):
    """Watch annealed importance sampling estimate log Z: a hundred chains, cooled from noise down to a machine.

    Parameters
    ----------
    rbm : companion.rbm.RBM
        With 784 binary visible units.
    base_bias : array_like (784,), optional
        Biases of the independent pixels that the chains come from, as in `companion.annealing.ais`.
    seed : int
        The run is that of `companion.annealing.ais` with this random state.
    """

    description = (
        "Twenty of the chains as images, noise at first and digits at the end; beside them how far the inverse "
        "temperature β is on its way from 0 to 1, the effective sample size over β, vermilion where it is below "
        "20, the estimate of log Z with its standard error, and a histogram of what the single chains say about it."
    )

    def __init__(self, rbm, base_bias=None, seed=0):
        check_kind(RBM, rbm=rbm)
        self.check_digits(rbm=rbm)
        self.rbm, self.base_bias = rbm, base_bias
        counts = [(f"{n:,}", n) for n in (200, 1000, 5000)]
        self.n = control(widgets.Dropdown, "temperatures", options=counts, value=1000)
        self.n_chains = control(widgets.Dropdown, "chains", options=[20, 100, 250], value=100)
        self.speed, self.seed = speed_control(value=5), seed_control(seed)
        self.tiles = Canvas(scale=SCALE, label="Twenty of the chains as images", on_paper=True)
        self.plots = Canvas(scale=1, label="Progress, effective sample size over β, histogram of the log weights")
        for each in (self.n, self.n_chains, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [self.n, self.n_chains, self.speed, self.seed, self.buttons(pause=0.01)]
        super().__init__([(350, [*controls, self.tiles]), (SIZE[0], [self.plots])])
        self.reset()

    def reset(self):
        """Begin anew at beta = 0: pixels drawn by themselves, random numbers from the seed."""
        noise, n = Noise(self.seed.value), self.n_chains.value
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
        self.tiles.draw_tiles(to_numpy(self.anneal.v[:SHOWN]), COLUMNS)
        self.plots.draw(self._draw_plots())
        self.tiles.caption = f"{SHOWN} of {self.n_chains.value} chains · {self._verdict()}"

    def _verdict(self):
        if self.estimate.ess < TRUSTED:
            few = f"effective sample size below {TRUSTED}: do not trust the error"
            return few + (" · arrived" if self.finished else "")
        return "arrived at the machine" if self.finished else "on their way"

    def _draw_plots(self):
        image = Image.new("RGB", SIZE, "white")
        self._draw_progress(image)
        self._draw_sizes(image)
        where = "log Z" if self.finished else f"log Z at β = {self.anneal.beta:.3f}"
        numbers = f"{where}:  {self.estimate.log_z:.2f} ± {self.estimate.std_error:.2f} nats"
        text(image, (LEFT, 244), numbers, 18)
        self._draw_weights(image)
        return np.asarray(image)

    def _draw_progress(self, image):
        axes, beta = Axes(image, PROGRESS), self.anneal.beta
        text(image, (LEFT, 4), f"β = {beta:.3f}", 18)
        text(image, (RIGHT, 6), f"step {len(self.curve):,} of {len(self.anneal):,}", 15, INK, "rt")
        axes.draw.rectangle(PROGRESS, fill="#eeeeee")
        axes.draw.rectangle((LEFT, axes.top, axes.across(beta), axes.bottom), fill=FINE)
        for rung in self.anneal.betas[:: len(self.anneal) // 50]:  # every fiftieth part of the steps
            axes.upright(rung, "white" if rung < beta else INK, axes.bottom - 4)
        for mark in QUARTERS:
            axes.below(mark, f"{mark:g}")

    def _draw_sizes(self, image):
        n, size = self.n_chains.value, self.estimate.ess
        axes = Axes(image, SIZES, y=(0, n))
        text(image, (LEFT, axes.top - 23), "effective sample size", 15, INK)
        words = f"{size:.1f} of {n}" + (f", below {TRUSTED}" if size < TRUSTED else "")
        text(image, (RIGHT, axes.top - 24), words, 16, DOUBTFUL if size < TRUSTED else FINE, "rt")
        for mark in QUARTERS:
            axes.upright(mark, "#eeeeee")
        for value in {0, TRUSTED, n}:
            axes.level(value, f"{value}", GREY if value == TRUSTED else PALE)
        curve = np.array([(0.0, n), *self.curve])
        for doubtful, piece in groupby(range(1, len(curve)), key=lambda i: curve[i, 1] < TRUSTED):
            piece = list(piece)
            part = curve[piece[0] - 1 : piece[-1] + 1]
            axes.curve(*part.T, DOUBTFUL if doubtful else FINE, 3 if doubtful else 2)

    def _draw_weights(self, image):
        nats = self.estimate.log_weights - self.estimate.log_z
        inside = np.clip(nats, NATS[0], NATS[1] - 1e-9)  # what is further out stands in the last bar
        chains, edges = np.histogram(inside, BINS, NATS)
        chains = chains / len(nats)
        shares = np.histogram(inside, BINS, NATS, weights=np.exp(nats))[0] / len(nats)  # of the sum of all weights
        full = next(full for full in (0.25, 0.5, 1) if max(chains.max(), shares.max()) <= full + 1e-6)
        axes = Axes(image, WEIGHTS, NATS, (0, full))
        axes.bars(edges, chains, GREY, (1, 2))
        axes.bars(edges, shares, FINE, (4, 5))
        text(image, (LEFT, axes.top - 24), "grey: share of the chains", 14, INK)
        text(image, (LEFT + 178, axes.top - 24), "blue: share of the weights", 14, FINE)
        axes.level(full, f"{full:.0%}", None)
        axes.draw.line((LEFT, axes.bottom + 1, RIGHT, axes.bottom + 1), fill=GREY)
        axes.upright(0, "black")
        for mark in (-12, -8, -4, 0, 4):
            axes.below(mark, f"{mark:+d}" if mark else "0")
        words = "log Z by each chain alone, nats from the estimate"
        text(image, ((LEFT + RIGHT) / 2, axes.bottom + 20), words, 14, INK, "mt")
