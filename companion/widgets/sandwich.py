"""Chapter 7: log Z from below and from above, by chains that go to a machine and chains that come back from it."""

import warnings

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..annealing import ais, reverse_ais
from ..backend import generator, to_numpy
from ..checks import pixel_rows
from ..likelihood import LogPartition, exact_log_partition
from ..plots import COLORS
from ..rbm import RBM
from .canvas import Canvas
from .drawing import GREY, INK, Axes, brief, text
from .panel import Panel, check_kind, control, seed_control

__all__ = ["Sandwich"]

SIZE, LEFT, RIGHT = (540, 400), 20, 520  # pixels of the plots, and where their axis begins and ends
ABOVE, BELOW, RUNS = (60, 150), (160, 250), (300, 372)  # histograms of both directions, and the runs: top and bottom
BINS, COUNTS = 50, (10, 20, 50, 100, 200, 500, 1000)
FORWARD, REVERSE = COLORS[0], COLORS[1]


class Sandwich(Panel):
    """Annealed importance sampling in both directions, run after run, around the exact log Z of a small machine.

    Parameters
    ----------
    rbm : companion.rbm.RBM
        Of at most 25 units in the smaller layer, so that log Z is known.
    samples : array (n, n_visible)
        Samples of the machine, at which the chains that come back begin.
    base_bias : array_like (n_visible,), optional
        As in `companion.annealing.ais`.
    seed : int
        Of the first run; every further run has the next one.
    log_z : float or companion.likelihood.LogPartition, optional
        The exact value, if it is known already: with 20 hidden units the sum takes seconds.

    Raises
    ------
    ValueError
        If the machine is too large for an exact log Z, or the samples are none of its own.
    """

    description = (
        "What single chains say about log Z, as two histograms around the exact value: those that go to the machine "
        "mostly below it, those that come back mostly above; underneath, the estimates of run after run."
    )

    def __init__(self, rbm, samples, base_bias=None, seed=0, log_z=None):
        check_kind(RBM, rbm=rbm)
        self.rbm, self.base_bias = rbm, base_bias
        self.samples = to_numpy(pixel_rows("samples", samples, rbm.n_features_in_))
        self.exact = (exact_log_partition(rbm) if log_z is None else LogPartition.of(log_z)).log_z
        self.n = control(widgets.SelectionSlider, "temperatures", options=COUNTS, value=50, continuous_update=False)
        self.n_chains = control(widgets.Dropdown, "chains", options=[20, 100], value=100)
        self.seed = seed_control(seed)
        self.plots = Canvas(scale=1, label="Histograms of log weights from both sides, and the estimates of all runs")
        for each in (self.n, self.n_chains, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [self.n, self.n_chains, self.seed, self.buttons(pause=0.2, anew="forget all runs")]
        super().__init__([(300, controls), (SIZE[0], [self.plots])])
        self.reset()

    def reset(self):
        """Forget all runs, and make the first."""
        self.runs = []
        self.step()

    def step(self):
        """Make one more run in each direction."""
        n, temperatures = self.n_chains.value, self.n.value
        rng = generator([self.seed.value, len(self.runs)])
        start = self.samples[rng.choice(len(self.samples), n)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few effective samples: the histograms show them
            forward = ais(self.rbm, self.base_bias, n_temperatures=temperatures, n_chains=n, random_state=rng)
            reverse = reverse_ais(self.rbm, start, self.base_bias, n_temperatures=temperatures, random_state=rng)
        self.runs.append((forward, reverse))
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.plots.draw(self._draw())
        gaps = np.array([reverse.log_z - forward.log_z for forward, reverse in self.runs])
        runs = "1 run" if len(gaps) == 1 else f"{len(gaps)} runs"
        words = f"{runs} · exact log Z {self.exact:.2f} nats · gap {gaps[-1]:.2f} nats"
        self.plots.caption = words + (f", {gaps.mean():.2f} in the mean" if len(gaps) > 1 else "")

    def _draw(self):
        image = Image.new("RGB", SIZE, "white")
        forward, reverse = self.runs[-1]
        off = [partition.log_weights - self.exact for partition in (reverse, forward)]
        reach = max(1.0, 1.05 * float(np.abs(np.concatenate(off)).max()))
        text(image, (LEFT, 2), f"log Z by each of {self.n_chains.value} chains of the latest run, in nats", 14, INK)
        rows = ((ABOVE, off[0], REVERSE, "back from the machine"), (BELOW, off[1], FORWARD, "on the way to it"))
        for (top, bottom), nats, color, words in rows:
            counts, edges = np.histogram(nats, BINS, (-reach, reach))
            axes = Axes(image, (LEFT, top + 18, RIGHT, bottom), (-reach, reach), (0, counts.max()))
            axes.bars(edges, counts, color)
            axes.level(0, color=GREY)
            text(image, (LEFT, top - 2), words, 14, color)
        text(image, (LEFT, RUNS[0] - 24), "the estimates of all runs", 14, INK)
        rows = min(60, max(10, len(self.runs)))
        axes = Axes(image, (LEFT, RUNS[0], RIGHT, RUNS[1]), (-reach, reach), (rows, 0))
        for k, pair in enumerate(self.runs[-60:]):
            for partition, color in zip(pair, (FORWARD, REVERSE)):
                x, y = axes.place(np.clip(partition.log_z - self.exact, -reach, reach), k + 0.5)
                error = partition.std_error / reach * (RIGHT - LEFT) / 2
                axes.draw.line((x - error, y, x + error, y), fill=color)
                axes.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
        axes.upright(0, "black", 22)
        axes.level(rows)
        for mark in (-reach, -reach / 2, 0, reach / 2, reach):
            axes.below(mark, brief(mark, "+.1f" if reach < 100 else "+.0f") if mark else "0", 6)
        return np.asarray(image)
