"""Chapter 4: a digit, drawn or chosen, is corrupted and restored; again and again, it walks among digits."""

import copy

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..backend import generator, one_thread, to_numpy
from ..plots import tile_images
from .canvas import Canvas
from .panel import Panel, text

__all__ = ["Denoising"]

KEPT, INK = 12, "#444444"  # restored images in the strip
KINDS = {"masking": "masking", "salt and pepper": "salt_and_pepper"}


class Denoising(Panel):
    """A denoising autoencoder at work on one image of 28 × 28 pixels.

    Paint on the clean image, or on the corrupted one. A step corrupts anew, the clean image or the one restored last;
    the latter is a walk: corrupt, restore, corrupt, restore.

    Parameters
    ----------
    model : companion.autoencoder.DenoisingAutoencoder
        Fitted, with 784 visible units.
    images : array (n, 784)
        Digits to choose from.
    seed : int
        The same seed, and the same clicks, give the same corruption.
    """

    description = (
        "A digit, the same digit corrupted, and what the autoencoder makes of it, side by side, with the "
        "peak signal-to-noise ratios before and after; below, the images restored at the last steps."
    )

    def __init__(self, model, images, seed=0):
        self.check_digits(images, model=model)
        self.model, self.images = model, images
        layout, style = widgets.Layout(width="290px"), {"description_width": "70px"}
        common = {"layout": layout, "style": style}
        self.number = widgets.BoundedIntText(0, 0, len(images) - 1, description="digit no.", **common)
        self.level = widgets.FloatSlider(
            model.corruption_level, min=0, max=0.9, step=0.05, description="level", readout_format=".0%", **common
        )
        self.seed = widgets.BoundedIntText(seed, 0, 10**6, description="seed", **common)
        kind = next(name for name, kind in KINDS.items() if kind == model.corruption)
        toggles = {
            "layout": widgets.Layout(width="400px"),
            "style": {"description_width": "initial", "button_width": "140px"},
        }
        self.kind = widgets.ToggleButtons(options=list(KINDS), value=kind, description="corruption", **toggles)
        self.source = widgets.ToggleButtons(
            options=["clean image", "restored image"], description="a step corrupts the", **toggles
        )
        self.source.tooltips = ["corrupts the clean image anew", "corrupts the restored image: a walk"]
        self.empty = widgets.Button(
            description="Empty", layout=widgets.Layout(width="80px"), tooltip="an empty image, to draw on"
        )
        self.pad = Canvas(scale=9, paintable=True, label="The clean image, 28 by 28 pixels: paint on it")
        self.spoilt = Canvas(scale=9, paintable=True, label="The corrupted image: paint on it")
        self.result = Canvas(scale=9, label="The restored image")
        self.strip = Canvas(scale=2.2, label="The images restored at the last steps, the newest on the right")
        self.pad.on_paint(self.paint)
        self.spoilt.on_paint(self.spoil)
        self.number.observe(lambda _: self.take(self.images[self.number.value]), "value")
        for control in (self.kind, self.level, self.seed):
            control.observe(lambda _: self.reset(), "value")
        self.empty.on_click(lambda _: self.take(np.zeros(784)))
        self.words = [widgets.HTML() for _ in range(3)]
        pictures = [widgets.VBox(pair) for pair in zip((self.pad, self.spoilt, self.result), self.words)]
        for column in pictures[:2]:
            column.layout.margin = "0 16px 0 0"
        left = widgets.VBox([self.number, self.level, self.seed])
        right = widgets.VBox([self.kind, self.source, self.buttons("80px", self.empty, pause=0.2)])
        left.layout.margin = "0 24px 0 0"
        rows = [widgets.HBox(row, layout=self.WRAPPED) for row in (pictures, [left, right])]
        super().__init__([*rows, self.strip])
        self.take(images[0])

    def take(self, image):
        """Make a copy of `image` (784,) the clean one, and begin anew."""
        self.clean = np.array(image, np.float32)
        self.reset()

    def reset(self):
        """Begin anew from the clean image, with random numbers from the seed: one step."""
        kind, level = KINDS[self.kind.value], self.level.value
        self.spoiler = copy.copy(self.model).set_params(corruption=kind, corruption_level=level)
        self.rng, self.steps, self.restored, self.past = generator(self.seed.value), 0, None, []
        self.step()

    def step(self):
        """Corrupt the clean or the restored image, and restore it."""
        walks = self.source.value == "restored image" and self.restored is not None
        image = self.restored if walks else self.clean
        self.corrupted = to_numpy(self.spoiler.corrupt(image[None], self.rng))[0]
        self.steps += 1
        self.past = self.past[1 - KEPT :]
        self.past.append(None)
        self._restore()

    def _restore(self):
        with one_thread():
            self.restored = to_numpy(self.model.reconstruct(self.corrupted[None]))[0]
        self.past[-1] = self.restored
        self.refresh()

    def paint(self, strokes):
        """Draw on the clean image, or erase, and begin anew."""
        self._draw(self.clean, strokes)
        self.reset()

    def spoil(self, strokes):
        """Draw on the corrupted image, or erase, and restore it."""
        self._draw(self.corrupted, strokes)
        self._restore()

    def _draw(self, image, strokes):
        for row, column, erase in strokes:  # two by two pixels: about as broad as the strokes of MNIST
            image.reshape(28, 28)[row : row + 2, column : column + 2] = not erase

    def psnr(self, image):
        r"""Peak signal-to-noise ratio of an image, in dB: :math:`-10 \log_{10}` of its mean squared error."""
        error = float(((image - self.clean) ** 2).mean())
        return -10 * np.log10(error) if error else np.inf

    def _captions(self):
        return (
            f"clean · step {self.steps:,}",
            f"corrupted · {self.psnr(self.corrupted):.1f} dB",
            f"restored · {self.psnr(self.restored):.1f} dB",
        )

    def refresh(self):
        """Draw everything anew."""
        for canvas, image in zip((self.pad, self.spoilt, self.result), (self.clean, self.corrupted, self.restored)):
            canvas.draw(np.uint8(255 * image.reshape(28, 28)))
        blank = [np.ones(784, np.float32)] * (KEPT - len(self.past))
        self.strip.draw(255 * tile_images(np.stack(self.past + blank), KEPT, gap=2))
        for words, caption in zip(self.words, self._captions()):
            words.value = f"<span style='font-size:15px'>{caption}</span>"

    def picture(self):
        """Return clean, corrupted and restored image, and the strip of the last steps, a PIL image."""
        parts = []
        for canvas in (self.pad, self.spoilt, self.result, self.strip):
            part = Image.fromarray(canvas.pixels)
            size = round(part.width * canvas.scale), round(part.height * canvas.scale)
            parts.append(part.resize(size, Image.Resampling.NEAREST))
        *large, strip = parts
        image = Image.new("RGB", (3 * 252 + 56, 252 + strip.height + 62), "white")
        for i, (part, caption) in enumerate(zip(large, self._captions())):
            image.paste(part, (10 + 268 * i, 10))
            text(image, (10 + 268 * i, 270), caption, 16, INK)
        image.paste(strip, (10, 302))
        return image
