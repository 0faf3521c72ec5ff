"""Chapter 8: a deep belief network dreams, of any digit or of the one that it is asked for."""

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..backend import Noise, generator, one_thread, to_device, to_numpy
from ..plots import COLORS, tile_images
from .canvas import Canvas
from .panel import Panel, label_bars, text

__all__ = ["Dreams"]

ANY = "any"  # not None, which a row of buttons takes for no choice
BARS, CODES = (250, 150), 25  # pixels of the label bars; codes in a row
HELD, FREE, INK = COLORS[1], COLORS[0], "#444444"


class Dreams(Panel):
    """Gibbs chains in the machine on top of a deep belief network, passed down to pixels as they run.

    The label units can be clamped, and changed while the chains run: they keep their states, and are drawn towards the
    new label.

    Parameters
    ----------
    dbn : companion.dbn.DBN
        Pretrained with labels, on images of 28 × 28 pixels.
    classifier : estimator, optional
        Says which label each dream looks like.
    seed : int
        The same seed, and the same clicks, give the same dreams.
    """

    description = (
        "The dream of the first of several chains, large; beside it the dreams of all chains, the codes of the first "
        "as a grid, and how likely its label units are to be on, as bars."
    )

    def __init__(self, dbn, classifier=None, seed=0):
        self.check_digits(dbn=dbn, classifier=classifier)
        self.dbn, self.top, self.classifier = dbn, dbn.top_, classifier
        self.n_codes = len(dbn.layers_[-1].visible_bias_)
        layout, style = widgets.Layout(width="250px"), {"description_width": "90px"}
        common = {"layout": layout, "style": style}
        self.label = widgets.ToggleButtons(
            options=[("any", ANY), *((str(label), label) for label in dbn.classes_.tolist())],
            description="dream of",
            style={"description_width": "64px", "button_width": "38px"},
        )
        self.n_chains = widgets.IntSlider(12, 1, 20, description="chains", **common)
        self.beta = widgets.FloatSlider(1, min=0.2, max=2, step=0.05, description="inverse temp.", **common)
        self.speed = widgets.Dropdown(options=[1, 5, 20, 100], description="steps a frame", **common)
        self.seed = widgets.BoundedIntText(seed, 0, 10**6, description="seed", **common)
        self.said = widgets.HTML(layout=widgets.Layout(width="260px"))
        self.large = Canvas(scale=9, label="The dream of the first chain")
        self.tiles = Canvas(scale=2.2, label="The dreams of all chains")
        self.codes = Canvas(scale=8, label="Codes of the first chain, below the machine on top: white is on")
        self.bars = Canvas(scale=1, label="How likely the label units of the first chain are to be on")
        for control in (self.n_chains, self.seed):
            control.observe(lambda _: self.reset(), "value")
        for control in (self.label, self.beta):
            control.observe(lambda _: self._continue(), "value")
        left = widgets.VBox([self.large, self.buttons("80px", pause=0.01)])
        middle = widgets.VBox([self.tiles, self.said])
        right = widgets.VBox([self.n_chains, self.beta, self.speed, self.seed, self.codes, self.bars])
        left.layout.margin = middle.layout.margin = "0 16px 0 0"
        self.codes.layout.margin = "4px 0 10px"
        super().__init__([self.label, widgets.HBox([left, middle, right], layout=self.WRAPPED)])
        self.reset()

    def reset(self):
        """Begin anew: coin tosses for all units below the top, random numbers from the seed."""
        rng = generator(self.seed.value)
        # What is drawn on the way down has numbers of its own: the chains on top do not notice it.
        self.noise, self.down = map(Noise, rng.spawn(2))
        self.v = to_device(rng.integers(0, 2, (self.n_chains.value, self.top.n_features_in_)), self.top.W_.dtype)
        self.steps = 0
        self._continue()
        self.means, self.images = self.v, to_numpy(self.dbn.propdown(self.v, self.down))
        self.refresh()

    def _continue(self):
        """Go on from the present states, with label and temperature as they are now."""
        clamp = None
        if self.label.value != ANY:
            self.v, clamp = self.dbn.with_label(self.v[:, : self.n_codes], self.label.value)
        self.chains = self.top.chains(self.v, self.noise, clamp, self.beta.value)

    def step(self, steps=None):
        """Take so many Gibbs steps, by default those of a frame, pass the codes down, then draw."""
        with one_thread():
            for _ in range(steps or self.speed.value):
                self.v, self.means, _ = next(self.chains)
                self.steps += 1
        self.images = to_numpy(self.dbn.propdown(self.v, self.down))
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.large.draw(np.uint8(255 * self.images[0]).reshape(28, 28))
        self.tiles.draw(255 * tile_images(self.images, 4, gap=2))
        grid = np.zeros(-(-self.n_codes // CODES) * CODES, np.float32)
        grid[: self.n_codes] = to_numpy(self.v[0, : self.n_codes])
        self.codes.draw(255 * grid.reshape(-1, CODES))
        self.bars.draw(self._draw_bars())
        words = f"step {self.steps:,}"
        if self.classifier is not None:
            digits = self.classifier.predict(self.images)
            rows = [" ".join(map(str, digits[i : i + 4])) for i in range(0, len(digits), 4)]
            words += f"<br>looks like {'<br>'.join(['', *rows])}"
            if self.label.value != ANY:
                words += f"<br>{(digits == self.label.value).mean():.0%} as asked for"
        self.said.value = f"<span style='font-size:15px; line-height:1.4'>{words}</span>"

    def _draw_bars(self):
        held = self.label.value != ANY
        title = "label units, clamped" if held else "label units: p(on)"
        means = to_numpy(self.means[0, self.n_codes :])
        return label_bars(self.dbn.classes_, means, title, HELD if held else FREE, BARS)

    def picture(self):
        """Return first dream, all dreams, codes and label bars, a PIL image."""
        parts = []
        for canvas in (self.large, self.tiles, self.codes, self.bars):
            part = Image.fromarray(canvas.pixels)
            size = round(part.width * canvas.scale), round(part.height * canvas.scale)
            parts.append(part.resize(size, Image.Resampling.NEAREST))
        large, tiles, codes, bars = parts
        height = max(300, tiles.height + 20, codes.height + bars.height + 30)
        image = Image.new("RGB", (large.width + tiles.width + bars.width + 60, height), "white")
        image.paste(large, (10, 10))
        image.paste(tiles, (large.width + 30, 10))
        image.paste(codes, (large.width + tiles.width + 50, 10))
        image.paste(bars, (large.width + tiles.width + 50, 20 + codes.height))
        asked = "any digit" if self.label.value == ANY else f"a {self.label.value}"
        text(image, (10, large.height + 18), f"step {self.steps:,}, dreaming of {asked}", 16, INK)
        return image
