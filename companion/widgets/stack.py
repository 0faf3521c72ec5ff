"""Chapter 8: a digit goes up through a stack of machines, layer by layer, and comes down again."""

import ipywidgets as widgets
import numpy as np

from ..backend import Noise, one_thread, to_device, to_numpy
from ..dbn import DBN
from ..functions import bernoulli
from .canvas import Canvas
from .drawing import grey_levels
from .panel import Panel, check_kind, control, seed_control, touched

__all__ = ["Stack"]

WAYS = {"means": False, "draws": True}


class Stack(Panel):
    """A deep belief network as a stack: what each layer makes of the one below, and of the one above.

    Paint on the digit.

    Parameters
    ----------
    dbn : companion.dbn.DBN
        Pretrained on images of 28 × 28 pixels.
    images : array (n, 784)
        Digits to choose from.
    seed : int
        Of the draws: the same seed, and the same clicks, give the same codes.
    """

    description = (
        "A digit, and the units of each layer above it as grids, lit so far as the digit has come up; below each grid "
        "what the layers make of it on the way down to the pixels again."
    )

    def __init__(self, dbn, images, seed=0):
        check_kind(DBN, dbn=dbn)
        self.layers, self.images = dbn.layers_, self.check_digits(images, dbn=dbn)
        self.downward = [*dbn.downward_, self.layers[-1]]  # as they lead down: other weights, if untied
        self.number = control(widgets.BoundedIntText, "digit no.", 0, 0, len(images) - 1)
        self.way = control(
            widgets.ToggleButtons, "pass on", options=list(WAYS), style={"button_width": "60px"},
            tooltips=["the probability of each unit", "a draw of each unit"],
        )  # fmt: skip
        self.seed = seed_control(seed)
        self.empty = control(widgets.Button, "Empty", tooltip="an empty image, to draw on")
        self.pad = Canvas(scale=6, paintable=True, label="The digit, 28 by 28 pixels: paint on it")
        count = len(self.layers)
        self.grids = [Canvas(scale=6, label=f"The units of layer {k}") for k in range(1, count + 1)]
        self.returns = [Canvas(scale=6, label=f"What comes down from layer {k}") for k in range(1, count + 1)]
        self.pad.on_paint(self.paint)
        self.number.observe(lambda _: self.take(self.images[self.number.value]), "value")
        self.way.observe(lambda _: self.reset(), "value")
        self.seed.observe(lambda _: self.reset(), "value")
        self.empty.on_click(lambda _: self.take(np.zeros(784)))
        controls = [self.number, self.way, self.seed, self.buttons(self.empty, pause=0.5, anew="down to the digit")]
        columns = [(180, list(pair)) for pair in zip(self.grids, self.returns)]
        super().__init__([(280, [*controls, self.pad]), *columns])
        self.take(self.images[0])

    def take(self, image):
        """Put a copy of `image` (784,) at the bottom."""
        self.image = np.array(image, np.float32)
        self.reset()

    def paint(self, strokes):
        """Draw on the digit, or erase, and begin at the bottom."""
        for pixels, erase in touched(strokes):
            self.image[pixels] = not erase
        self.reset()

    def reset(self):
        """Go back to the digit at the bottom."""
        self.noise = Noise(self.seed.value)
        self.codes = [to_device(self.image[None])]  # of all layers that the digit has reached
        self.down = []  # for each of them, the pixels that come back
        self.refresh()

    def step(self):
        """Go one layer up, and from there down to the pixels; at the top, begin again."""
        if len(self.codes) > len(self.layers):
            self.reset()
            return
        with one_thread():
            self.codes.append(self._pass(self.layers[len(self.codes) - 1].propup(self.codes[-1])))
            code = self.codes[-1]
            for layer in reversed(self.downward[1 : len(self.codes) - 1]):
                code = self._pass(layer.propdown(code))
            self.down.append(to_numpy(self.downward[0].propdown(code))[0])
        self.refresh()
        if len(self.codes) > len(self.layers):
            self.pause()

    def _pass(self, means):
        return bernoulli(means, self.noise) if WAYS[self.way.value] else means

    def refresh(self):
        """Draw everything anew."""
        self.pad.draw(grey_levels(self.image.reshape(28, 28)))
        self.pad.caption = "the digit"
        for k, (layer, grid, back) in enumerate(zip(self.layers, self.grids, self.returns), start=1):
            n = len(layer.hidden_bias_)
            reached = k < len(self.codes)
            units = to_numpy(self.codes[k])[0] if reached else np.zeros(n)
            grid.draw_units(units)
            grid.caption = f"layer {k}: " + (f"{units.sum() / n:.0%} of {n} on" if reached else f"{n} units")
            pixels = self.down[k - 1] if reached else np.zeros(784)
            back.draw(grey_levels(pixels.reshape(28, 28)))
            error = f"squared error {((pixels - self.image) ** 2).sum():.1f}" if reached else ""
            back.caption = f"down from layer {k}\n{error}" if reached else ""
