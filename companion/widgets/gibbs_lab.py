"""Chapters 6 to 8: the Gibbs lab, chains of a trained machine to start, stop, steer and watch."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import Noise, generator, one_thread, to_device, to_numpy, xp
from ..likelihood import check_binary
from ..plots import COLORS
from ..rbm import RBM
from .canvas import Canvas
from .drawing import INK, Axes, grey_levels, text
from .panel import Panel, check_kind, control, seed_control, speed_control, touched

__all__ = ["GibbsLab"]

TRACE = (262, 96)
TRACED = "free energy of each chain, the first one orange"
REMEMBERED = 300  # steps in the trace of the free energy
ON, OFF = (255, 176, 59), (20, 70, 140)  # clamped pixels: on, off
FIRST, OTHERS = COLORS[1], "#b8c4cc"


class GibbsLab(Panel):
    """Gibbs chains of a machine with 28 × 28 visible units, from noise, from a digit, or from what you draw.

    Paint on the first chain: painted pixels are *clamped*, they keep their value in all chains and the others are drawn
    given them.

    Parameters
    ----------
    rbm : companion.rbm.RBM
        With 784 binary visible units.
    images : array (n, 784)
        Digits to start from.
    classifier : estimator, optional
        Says which digit each chain looks like.
    seed : int
        The same seed, and the same clicks, give the same chains.
    """

    description = (
        "The first of several Gibbs chains, large, clamped pixels, if there are any, in orange and blue; "
        "beside it all chains, the hidden units of the first as a grid, and the free energy of every chain over the "
        "steps."
    )

    def __init__(self, rbm, images, classifier=None, seed=0):
        check_kind(RBM, rbm=rbm)
        check_binary(rbm)
        self.images = self.check_digits(images, rbm=rbm, classifier=classifier)
        self.rbm, self.classifier = rbm, classifier
        self.held, self.painted = np.zeros(784, bool), np.zeros(784, np.float32)
        self.start = control(
            widgets.Dropdown, "start from", options=["noise", "digit", "drawing"],
            tooltip="a drawing is where the chains begin, not what they must keep",
        )  # fmt: skip
        self.number = control(widgets.BoundedIntText, "digit no.", 0, 0, len(images) - 1)
        self.n_chains = control(widgets.IntSlider, "chains", 1, 1, 20)
        self.beta = control(widgets.FloatSlider, "inverse temp.", 1, min=0.2, max=2, step=0.05)
        self.speed, self.seed = speed_control(), seed_control(seed)
        self.brush = control(
            widgets.ToggleButtons, "brush", options=["on", "off", "free"], style={"button_width": "48px"},
            tooltips=["clamp pixels on", "clamp pixels off", "let pixels go"],
        )  # fmt: skip
        self.shown = control(
            widgets.ToggleButtons, "show", options=["p(v|h)", "v"], style={"button_width": "74px"},
            tooltips=["the means that pixels are drawn from", "the pixels as they are drawn"],
        )  # fmt: skip
        self.release = control(widgets.Button, "Free all", tooltip="no pixel is clamped any more")
        self.pad = Canvas(scale=9, paintable=True, label="The first chain, 28 by 28 pixels: paint to clamp pixels")
        self.tiles = Canvas(scale=2.2, label="All chains", on_paper=True)
        self.hidden = Canvas(scale=7, label="Hidden units of the first chain: white is on")
        self.trace = Canvas(scale=1, label="Free energy of the chains over the steps", caption=TRACED)
        self.pad.on_paint(self.paint)
        for each in (self.start, self.number, self.n_chains, self.seed):
            each.observe(lambda _: self.reset(), "value")
        self.beta.observe(lambda _: self._continue(), "value")
        self.shown.observe(lambda _: self.refresh(), "value")
        self.release.on_click(lambda _: self.free())
        controls = [self.start, self.number, self.n_chains, self.beta, self.speed, self.seed, self.brush, self.shown]
        super().__init__(
            [
                (300, [*controls, self.buttons(self.release, pause=0.01)]),
                (252, [self.pad, self.hidden]),
                (266, [self.tiles, self.trace]),
            ]
        )
        self.reset()

    def reset(self):
        """Begin anew: chains where `start` says, random numbers from the seed. Clamped pixels stay clamped."""
        n, rng = self.n_chains.value, generator(self.seed.value)
        self.noise = Noise(rng)
        if self.start.value == "noise":
            v = rng.integers(0, 2, (n, 784))
        elif self.start.value == "digit":
            v = np.repeat(np.round(self.images[self.number.value])[None], n, axis=0)
        else:  # the drawing is where the chains begin, not what they must keep
            v = np.repeat(self.painted[None], n, axis=0)
            self.held[:] = False
        self.v = self.means = to_device(v, self.rbm.W_.dtype)
        self.h = None
        self.steps, self.switches, self.digits, self.energies = 0, np.zeros(n, int), None, []
        self._continue()

    def _continue(self):
        """Go on from the present states, with the clamped pixels and the temperature as they are now."""
        held, painted = to_device(self.held), to_device(self.painted, self.v.dtype)
        self.v, self.means = xp.where(held, painted, self.v), xp.where(held, painted, self.means)
        self.chains = self.rbm.chains(self.v, self.noise, self.held, self.beta.value)
        self.refresh()

    def step(self, steps=None):
        """Take so many Gibbs steps, by default those of a frame, then draw."""
        seen = []
        with one_thread():
            for _ in range(steps or self.speed.value):
                self.v, self.means, self.h = next(self.chains)
                self.steps += 1
                self.energies.append(to_numpy(self.rbm.free_energy(self.v)))
                seen.append(self.means)
        del self.energies[:-REMEMBERED]
        if self.classifier is not None:
            read = self.classifier.predict(to_numpy(xp.concatenate(seen))).reshape(len(seen), -1)  # (steps, chains)
            path = read if self.digits is None else np.concatenate([self.digits[None], read])
            self.switches += (path[1:] != path[:-1]).sum(axis=0)
            self.digits = read[-1]
        self.refresh()

    def paint(self, strokes):
        """Clamp the touched pixels (row, column, erase) as the brush says, or free them."""
        for pixels, erase in touched(strokes):
            free = erase or self.brush.value == "free"
            self.held[pixels] = not free
            self.painted[pixels] = not free and self.brush.value == "on"
        self._continue()
        if self.digits is not None:  # that the reader's pixels change it is no change of the chain's
            self.digits = self.classifier.predict(to_numpy(self.means))
            self._write()

    def free(self):
        """Let all pixels go."""
        self.held[:] = False
        self.painted[:] = 0
        self._continue()

    def refresh(self):
        """Draw everything anew."""
        images = to_numpy(self.v if self.shown.value == "v" else self.means)
        first = np.repeat(grey_levels(images[0])[:, None], 3, axis=1)
        first[self.held] = np.where(self.painted[self.held, None] > 0, ON, OFF)
        self.pad.draw(first.reshape(28, 28, 3))
        if len(images) > 1:
            self.tiles.draw_tiles(images, 4)
        self.tiles.layout.display = "none" if len(images) == 1 else None  # the pad shows it
        self.hidden.draw_units(np.zeros(self.rbm.W_.shape[1]) if self.h is None else to_numpy(self.h[0]))
        self.trace.draw(self._draw_trace())
        self._write()

    def _write(self):
        n, words = len(self.v), f"first chain · step {self.steps:,}"
        if self.digits is not None:
            words += f"\nlooks like {self.digits[0]}, {_times(self.switches[0])} changed"
        if self.energies:
            words += f"\nfree energy {float(self.rbm.free_energy(self.v[:1])[0]):.0f} nats"
        if self.start.value == "drawing":
            words += "\npaint, then Reset: chains begin at the drawing"
        self.pad.caption = words
        state = "all off before the first step" if self.h is None else f"{float(self.h[0].mean()):.0%} on"
        self.hidden.caption = f"its {self.rbm.W_.shape[1]} hidden units, {state}"
        if n > 1:
            words = f"all {n} chains"
            if self.digits is not None:
                words += f", read as {' '.join(map(str, self.digits))}"
                words += f"\n{self.switches.sum():,} changes of digit in {n} chains, {self.switches.mean():.1f} in each"
            self.tiles.caption = words

    def _draw_trace(self):
        image, (width, height) = Image.new("RGB", TRACE, "white"), TRACE
        ImageDraw.Draw(image).line((0, height - 1, width, height - 1), fill="#bbbbbb")
        if len(self.energies) > 1:
            energies = np.array(self.energies)  # (steps, chains)
            low, high = energies.min(), max(energies.max(), energies.min() + 1)
            steps = np.arange(len(energies))
            axes = Axes(image, (0, 18, width - 1, height - 6), (0, steps[-1]), (low, high))
            for line in energies.T[:0:-1]:
                axes.curve(steps, line, OTHERS, 1)
            axes.curve(steps, energies[:, 0], FIRST)
            text(image, (2, 1), f"free energy, {low:.0f} to {high:.0f} nats", 13, INK)
        return np.asarray(image)


def _times(count):
    return "never" if not count else "once" if count == 1 else f"{count:,} times"
