"""Chapter 4: a digit, drawn or chosen, is corrupted and restored; again and again, it walks among digits."""

import copy

import ipywidgets as widgets
import numpy as np

from ..autoencoder import DenoisingAutoencoder
from ..backend import generator, one_thread, to_numpy
from .canvas import Canvas
from .drawing import grey_levels
from .panel import Panel, check_kind, control, seed_control, touched

__all__ = ["Denoising"]

KEPT = 12  # restored images in the strip
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
        check_kind(DenoisingAutoencoder, model=model)
        self.model, self.images = model, self.check_digits(images, model=model)
        kind = next(name for name, kind in KINDS.items() if kind == model.corruption)
        self.number = control(widgets.BoundedIntText, "digit no.", 0, 0, len(images) - 1)
        self.kind = control(widgets.Dropdown, "corruption", options=list(KINDS), value=kind)
        self.level = control(
            widgets.FloatSlider,
            "level",
            model.corruption_level,
            min=0,
            max=max(0.9, model.corruption_level),
            step=0.05,
            readout_format=".0%",
        )
        self.source = control(
            widgets.Dropdown, "a step corrupts", options=["clean image", "restored image"],
            tooltip="the clean image anew, or the one restored last: a walk",
        )  # fmt: skip
        self.seed = seed_control(seed)
        self.empty = control(widgets.Button, "Empty", tooltip="an empty image, to draw on")
        self.pad = Canvas(scale=7.5, paintable=True, label="The clean image, 28 by 28 pixels: paint on it")
        self.noisy = Canvas(scale=7.5, paintable=True, label="The corrupted image: paint on it")
        self.result = Canvas(scale=7.5, label="The restored image")
        self.strip = Canvas(
            scale=2.2, label="The images restored at the last steps, the newest on the right", on_paper=True
        )
        self.pad.on_paint(self.paint)
        self.noisy.on_paint(self.corrupt)
        self.number.observe(lambda _: self.take(self.images[self.number.value]), "value")
        for each in (self.kind, self.level, self.seed):
            each.observe(lambda _: self.reset(), "value")
        self.empty.on_click(lambda _: self.take(np.zeros(784)))
        controls = [self.number, self.kind, self.level, self.source, self.seed, self.buttons(self.empty, pause=0.2)]
        pictures = [(210, [canvas]) for canvas in (self.pad, self.noisy, self.result)]
        super().__init__([(280, controls), *pictures], [(792, [self.strip])])
        self.take(self.images[0])

    def take(self, image):
        """Make a copy of `image` (784,) the clean one, and begin anew."""
        self.clean = np.array(image, np.float32)
        self.reset()

    def reset(self):
        """Begin anew from the clean image, with random numbers from the seed: one step."""
        kind, level = KINDS[self.kind.value], self.level.value
        self.corruption = copy.copy(self.model).set_params(corruption=kind, corruption_level=level)
        self.rng, self.steps, self.restored, self.past = generator(self.seed.value), 0, None, []
        self.step()

    def step(self):
        """Corrupt the clean or the restored image, and restore it."""
        walks = self.source.value == "restored image" and self.restored is not None
        image = self.restored if walks else self.clean
        self.corrupted = to_numpy(self.corruption.corrupt(image[None], self.rng))[0]
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

    def corrupt(self, strokes):
        """Draw on the corrupted image, or erase, and restore it."""
        self._draw(self.corrupted, strokes)
        self._restore()

    def _draw(self, image, strokes):
        for pixels, erase in touched(strokes):
            image[pixels] = not erase

    def psnr(self, image):
        r"""Peak signal-to-noise ratio of an image, in dB: :math:`-10 \log_{10}` of its mean squared error."""
        error = float(((image - self.clean) ** 2).mean())
        return -10 * np.log10(error) if error else np.inf

    def refresh(self):
        """Draw everything anew."""
        for canvas, image in zip((self.pad, self.noisy, self.result), (self.clean, self.corrupted, self.restored)):
            canvas.draw(grey_levels(image.reshape(28, 28)))
        self.strip.draw_tiles(np.stack(self.past), KEPT)
        self.pad.caption = f"clean · step {self.steps:,}"
        self.noisy.caption = f"corrupted · {self.psnr(self.corrupted):.1f} dB"
        self.result.caption = f"restored · {self.psnr(self.restored):.1f} dB"
        self.strip.caption = "restored at the last steps, the newest on the right"
