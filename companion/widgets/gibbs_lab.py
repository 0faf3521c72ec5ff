"""Chapters 6 to 8: the Gibbs lab, chains of a trained machine to start, stop, steer and watch."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import Noise, generator, one_thread, to_device, to_numpy, xp
from ..plots import tile_images
from .canvas import Canvas
from .panel import Panel, text

__all__ = ["GibbsLab"]

TRACE = (250, 96)
REMEMBERED = 300  # steps in the trace of the free energy
ON, OFF = (255, 176, 59), (20, 70, 140)  # clamped pixels: on, off
FIRST, OTHERS = "#D55E00", "#b8c4cc"


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
        "The first of several Gibbs chains, large, with clamped pixels in orange and blue; beside it all chains, the "
        "hidden units of the first as a grid, and the free energy of every chain over the steps."
    )

    def __init__(self, rbm, images, classifier=None, seed=0):
        self.check_digits(images, rbm=rbm, classifier=classifier)
        self.rbm, self.images, self.classifier = rbm, images, classifier
        self.held, self.painted = np.zeros(784, bool), np.zeros(784, np.float32)
        layout, style = widgets.Layout(width="250px"), {"description_width": "90px"}
        common, narrow = {"layout": layout, "style": style}, {"description_width": "44px"}
        self.start = widgets.Dropdown(options=["noise", "digit", "drawing"], description="start from", **common)
        self.number = widgets.BoundedIntText(0, 0, len(images) - 1, description="digit no.", **common)
        self.brush = widgets.ToggleButtons(
            options=["on", "off", "free"], description="brush", style=narrow | {"button_width": "50px"}
        )
        self.n_chains = widgets.IntSlider(1, 1, 20, description="chains", **common)
        self.beta = widgets.FloatSlider(1, min=0.2, max=2, step=0.05, description="inverse temp.", **common)
        self.speed = widgets.Dropdown(options=[1, 5, 20, 100], description="steps a frame", **common)
        self.shown = widgets.ToggleButtons(
            options=["p(v|h)", "v"], description="show", style=narrow | {"button_width": "80px"}
        )
        self.seed = widgets.BoundedIntText(seed, 0, 10**6, description="seed", **common)
        self.release = widgets.Button(
            description="Free all", layout=widgets.Layout(width="74px"), tooltip="no pixel is clamped any more"
        )
        self.said = widgets.HTML(layout=widgets.Layout(width="260px"))
        self.pad = Canvas(scale=9, paintable=True, label="The first chain, 28 by 28 pixels: paint to clamp pixels")
        self.tiles = Canvas(scale=3, label="All chains")
        self.hidden = Canvas(scale=8, label="Hidden units of the first chain: white is on")
        self.trace = Canvas(scale=1, label="Free energy of the chains over the steps")
        self.pad.on_paint(self.paint)
        for control in (self.start, self.number, self.n_chains, self.seed):
            control.observe(lambda _: self.reset(), "value")
        self.beta.observe(lambda _: self._continue(), "value")
        self.shown.observe(lambda _: self.refresh(), "value")
        self.release.on_click(lambda _: self.free())
        buttons = self.buttons("58px", self.release, pause=0.01)
        left = widgets.VBox([self.pad, self.brush, buttons, self.shown])
        middle = widgets.VBox([self.tiles, self.said])
        controls = [self.start, self.number, self.n_chains, self.beta, self.speed, self.seed]
        right = widgets.VBox([*controls, self.hidden, self.trace])
        self.hidden.layout.margin = "4px 0 10px"
        left.layout.margin = middle.layout.margin = "0 16px 0 0"
        super().__init__([widgets.HBox([left, middle, right], layout=self.WRAPPED)])
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
        with one_thread():
            for _ in range(steps or self.speed.value):
                self.v, self.means, self.h = next(self.chains)
                self.steps += 1
                self.energies.append(to_numpy(self.rbm.free_energy(self.v)))
        del self.energies[:-REMEMBERED]
        if self.classifier is not None:
            digits = self.classifier.predict(to_numpy(self.means))
            if self.digits is not None:
                self.switches += digits != self.digits
            self.digits = digits
        self.refresh()

    def paint(self, strokes):
        """Clamp the touched pixels (row, column, erase) as the brush says, or free them."""
        for row, column, erase in strokes:
            free = erase or self.brush.value == "free"
            # A stroke of two by two pixels is about as broad as those of MNIST.
            for i in range(row, min(row + 2, 28)):
                pixels = slice(28 * i + column, 28 * i + min(column + 2, 28))
                self.held[pixels] = not free
                self.painted[pixels] = not free and self.brush.value == "on"
        self._continue()

    def free(self):
        """Let all pixels go."""
        self.held[:] = False
        self.painted[:] = 0
        self._continue()

    def refresh(self):
        """Draw everything anew."""
        images = to_numpy(self.v if self.shown.value == "v" else self.means)
        first = np.repeat(np.uint8(255 * images[0])[:, None], 3, axis=1)
        first[self.held] = np.where(self.painted[self.held, None] > 0, ON, OFF)
        self.pad.draw(first.reshape(28, 28, 3))
        self.tiles.draw(255 * tile_images(images, 4 if len(images) > 1 else 1, gap=2, background=1.0))
        self.tiles.scale = 2.2 if len(images) > 1 else 9.0
        n_hidden = self.rbm.W_.shape[1]
        grid = np.zeros(-(-n_hidden // 25) * 25, np.float32)
        if self.h is not None:
            grid[:n_hidden] = to_numpy(self.h[0])
        self.hidden.draw(255 * grid.reshape(-1, 25))
        self.trace.draw(self._draw_trace())
        self.said.value = f"<span style='font-size:15px; line-height:1.4'>{self._words()}</span>"

    def _words(self):
        words = f"step {self.steps:,}"
        if self.energies:
            words += f" · free energy {self.energies[-1].mean():.0f} nats"
        if self.digits is not None:
            rows = [" ".join(map(str, self.digits[i : i + 4])) for i in range(0, len(self.digits), 4)]
            words += f"<br>looks like {'<br>'.join(['', *rows])}<br>{self.switches.sum()} changes of digit"
        return words

    def _draw_trace(self):
        image, (width, height) = Image.new("RGB", TRACE, "white"), TRACE
        draw = ImageDraw.Draw(image)
        draw.line((0, height - 1, width, height - 1), fill="#bbbbbb")
        if len(self.energies) > 1:
            energies = np.array(self.energies)  # (steps, chains)
            low, high = energies.min(), max(energies.max(), energies.min() + 1)
            x = np.linspace(0, width - 1, len(energies))
            y = 18 + (high - energies.T) / (high - low) * (height - 24)
            for chain, line in reversed(list(enumerate(y))):
                points = np.stack([x, line], axis=1).ravel().tolist()
                draw.line(points, fill=FIRST if chain == 0 else OTHERS, width=2 if chain == 0 else 1)
            text(image, (2, 1), f"free energy, {low:.0f} to {high:.0f} nats", 13, "#444444")
        return np.asarray(image)

    def picture(self):
        """Return first chain, all chains, hidden units and trace, a PIL image."""
        pad = Image.fromarray(self.pad.pixels).resize((252, 252), Image.Resampling.NEAREST)
        scale = self.tiles.scale
        tiles = Image.fromarray(self.tiles.pixels)
        tiles = tiles.resize((round(tiles.width * scale), round(tiles.height * scale)), Image.Resampling.NEAREST)
        hidden = Image.fromarray(self.hidden.pixels)
        hidden = hidden.resize((8 * hidden.width, 8 * hidden.height), Image.Resampling.NEAREST)
        trace = Image.fromarray(self.trace.pixels)
        height = max(300, tiles.height + 20, hidden.height + trace.height + 30)
        image = Image.new("RGB", (252 + tiles.width + max(hidden.width, trace.width) + 60, height), "white")
        image.paste(pad, (10, 10))
        image.paste(tiles, (282, 10))
        image.paste(hidden, (312 + tiles.width, 10))
        image.paste(trace, (312 + tiles.width, 20 + hidden.height))
        text(image, (10, 270), f"step {self.steps:,}", 16, "#444444")
        return image
