"""Chapter 6: the epochs of a training to move through, while chains go on in the machine as it was then."""

from math import isqrt
from numbers import Real

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..backend import Noise, generator, to_device, to_numpy
from ..checks import pixel_rows
from ..plots import COLORS, tile_images
from ..rbm import RBM
from .canvas import Canvas
from .drawing import GREY, INK, PALE, Axes, blue_red, brief, text
from .panel import Panel, control, seed_control, speed_control

__all__ = ["EpochScrubber"]

UNITS, COLUMNS = 64, 8  # filters that are shown, and how many in a row
CHAINS = 12
FILTERS, TILES, TRACE, AXIS = 464, 440, (440, 160), 46  # pixels on the screen
REMEMBERED = 300  # steps in the trace
MEAN, OTHERS = COLORS[1], "#b8c4cc"
GAP, SHADES = 110, 16  # grey between the filters; shades of blue, and of red


class EpochScrubber(Panel):
    """Move through the epochs of a training: filters as they were then, and chains that go on in that machine.

    The chains keep their states when the epoch changes; the next step is one of the other machine.

    Parameters
    ----------
    recorded : dict of int to dict
        For each epoch that was recorded, the parameters ``W`` (n_visible, n_hidden), ``visible_bias`` and
        ``hidden_bias`` of a machine with binary units, for instance as copies in float16 by a ``watch`` of
        `companion.rbm.RBM.fit`. Images are square.
    images : array (n, n_visible), optional
        Chains can start at the first of them, and free energies are then shown less their mean: energies of two
        machines have no common zero, such differences can be compared.
    seed : int
        The same seed, and the same clicks, give the same chains.

    Raises
    ------
    ValueError
        If nothing was recorded, or shapes do not fit each other, or the images.
    """

    description = (
        "Filters of the same hidden units, red and blue, at the epoch chosen; beside them twelve Gibbs chains that run "
        "in the machine of that epoch, and their free energies over the steps, with the changes of epoch marked."
    )

    def __init__(self, recorded, images=None, seed=0):
        if odd := [epoch for epoch in recorded if not isinstance(epoch, Real)]:
            raise ValueError(f"recorded: expected epochs that are numbers, found {odd[0]!r}")
        self.recorded = dict(sorted(recorded.items()))
        self.side = self._check()
        self.images = None if images is None else to_numpy(pixel_rows("images", images, self.side**2))
        W = np.stack([np.asarray(parameters["W"])[:, :UNITS] for parameters in self.recorded.values()])
        self.limit = float(np.quantile(np.abs(W.astype(np.float32)), 0.998)) or 1.0  # one scale for all epochs
        self.epoch = control(widgets.SelectionSlider, "epoch", options=list(self.recorded))
        starts = ["noise"] if images is None else ["noise", "images"]
        self.start = control(widgets.Dropdown, "start from", options=starts)
        self.speed, self.seed = speed_control(), seed_control(seed)
        legend = f"{W.shape[2]} hidden units: red excites, blue inhibits; one scale at all epochs"
        scale = FILTERS / (COLUMNS * (self.side + 1))
        self.filters = Canvas(scale=scale, label=legend, caption=legend, on_paper=True)
        self.tiles = Canvas(scale=TILES / (6 * (self.side + 2)), label="All chains", on_paper=True)
        self.trace = Canvas(scale=1, label="Free energy of the chains over the steps, and the changes of epoch")
        self.epoch.observe(lambda _: self._continue(), "value")
        for each in (self.start, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [self.epoch, [self.start, self.speed], self.seed, self.buttons(anew="new chains from the seed")]
        super().__init__([(TRACE[0], [*controls, self.tiles, self.trace]), (FILTERS, [self.filters])])
        self.reset()

    def _check(self):
        """Return the side of the images, or raise ValueError if machines do not fit each other."""
        if not self.recorded:
            raise ValueError("recorded has no epoch; record the parameters of at least one")
        expected = ["W", "hidden_bias", "visible_bias"]
        for epoch, parameters in self.recorded.items():
            if sorted(parameters) != expected or not all(np.isfinite(to_numpy(a)).all() for a in parameters.values()):
                raise ValueError(f"epoch {epoch}: expected finite arrays {', '.join(expected)}, found "
                                 f"{', '.join(parameters)}, or numbers that are not finite")  # fmt: skip
        shapes = {
            epoch: [np.shape(parameters[name]) for name in ("W", "visible_bias", "hidden_bias")]
            for epoch, parameters in self.recorded.items()
        }
        expected = next(iter(shapes.values()))
        for epoch, found in shapes.items():
            W, *biases = found
            if len(W) != 2 or biases != [W[:1], W[1:]] or found != expected:
                names = "W, visible_bias and hidden_bias"
                raise ValueError(f"{names} of epoch {epoch} have shapes {found}; expected {expected} throughout")
        n_visible = expected[0][0]
        side = isqrt(n_visible)
        if side**2 != n_visible:
            raise ValueError(f"the machines have {n_visible} visible units, which do not make a square image")
        return side

    def reset(self):
        """Begin anew: chains where `start` says, random numbers from the seed, at the epoch that is chosen."""
        rng = generator(self.seed.value)
        self.noise = Noise(rng)
        if self.start.value == "noise":
            v = rng.integers(0, 2, (CHAINS, self.side**2))
        else:
            v = np.round(np.resize(self.images, (CHAINS, self.side**2)))
        self.v = self.means = to_device(v, np.float32)
        self.h = None
        self.steps, self.energies, self.epochs = 0, [], []
        self._continue()

    def _continue(self):
        """Go on from the present states in the machine of the epoch that is chosen."""
        self.rbm = RBM.from_parameters(**self.recorded[self.epoch.value])
        self.chains = self.rbm.chains(self.v, self.noise)
        self.level = 0.0 if self.images is None else float(self.rbm.free_energy(self.images).mean())
        self.refresh()

    def step(self, steps=None):
        """Take so many Gibbs steps, by default those of a frame, then draw."""
        for _ in range(steps or self.speed.value):
            self.v, self.means, self.h = next(self.chains)
            self.steps += 1
            self.energies.append(to_numpy(self.rbm.free_energy(self.v)) - self.level)
            self.epochs.append(self.epoch.value)
        del self.energies[:-REMEMBERED], self.epochs[:-REMEMBERED]
        self._draw_chains()

    def refresh(self):
        """Draw everything anew."""
        filters = to_numpy(self.rbm.W_[:, :UNITS]).T
        tiles = tile_images(filters, COLUMNS, (self.side, self.side), background=np.nan)
        shades = np.round(np.nan_to_num(tiles) / self.limit * SHADES) / SHADES  # noise of fewer colours is soon sent
        pixels = blue_red(shades, 1.0)
        pixels[np.isnan(tiles)] = GAP
        self.filters.draw(pixels)
        self._draw_chains()

    def _draw_chains(self):
        self.tiles.draw_tiles(to_numpy(self.means), 6)
        self.trace.draw(self._draw_trace())
        words = f"epoch {self.epoch.value} · step {self.steps:,}"
        if self.h is not None:
            words += f" · {float(self.h.mean()):.0%} of the hidden units on"
        self.tiles.caption = words

    def _draw_trace(self):
        image, (width, height) = Image.new("RGB", TRACE, "white"), TRACE
        less = "" if self.images is None else ", less that of the images"
        text(image, (0, 2), f"free energy of the chains{less}, nats", 15, INK)
        if not self.energies:
            return np.asarray(image)
        energies = np.array(self.energies).T  # (chains, steps)
        marks = [float(energies.min()), float(energies.max())]
        if self.images is not None:  # zero has a meaning only then
            marks = [min(0.0, marks[0]), 0.0, max(0.0, marks[1])]
        low, high = marks[0], max(marks[-1], marks[0] + 1)
        axes = Axes(image, (AXIS, 46, width - 1, height - 6), (0, REMEMBERED), (low, high))
        for mark in marks:
            apart = mark == 0 or len(marks) == 2 or abs(mark) > 0.16 * (high - low)
            axes.level(mark, brief(mark) if apart else "", GREY if mark == 0 else PALE)
        steps, room = np.arange(energies.shape[1]), 0
        for line in energies:
            axes.curve(steps, line, OTHERS, 1)
        axes.curve(steps, energies.mean(axis=0), MEAN)
        for i, (epoch, x) in enumerate(zip(self.epochs, axes.across(steps))):
            if i and epoch == self.epochs[i - 1]:
                continue
            if i:
                axes.draw.line((x, axes.top - 8, x, height), fill="black")
            if x >= room:
                label = f"{epoch}" if i else f"epoch {epoch}"
                text(image, (x + 3, 24), label, 13, "black")
                room = x + 10 + 8 * len(label)
        return np.asarray(image)
