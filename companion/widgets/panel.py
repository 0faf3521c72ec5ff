"""What all panels share: controls that look alike, and a still picture for where no kernel runs."""

import asyncio
import io
from functools import cache

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Panel", "blue_red", "label_bars", "text"]


class Panel(widgets.VBox):
    """A box of controls and pictures with a still picture of itself.

    A subclass has `picture`, which returns the panel as it stands as a PIL image, and `description`, what it shows in
    words. On a page without a kernel the still picture is what there is to see.
    """

    description = ""
    WRAPPED = {"flex_flow": "row wrap"}  # on a narrow page, columns go below each other
    play = _task = None
    _latest = {}

    def __init__(self, children):
        super().__init__(children)
        # One panel of a kind runs at a time: a cell that is run again does not leave its old panel running.
        if earlier := Panel._latest.get(type(self)):
            earlier.pause()
        Panel._latest[type(self)] = self
        self.layout.width = "fit-content"
        self.layout.max_width = "100%"
        self.layout.padding = "10px"
        self.layout.border = "1px solid #cccccc"
        self.add_class("companion-panel")

    def picture(self):
        """Return the panel as it stands, a PIL image."""
        raise NotImplementedError

    @staticmethod
    def check_digits(images=None, **models):
        """Raise ValueError unless images are (n, 784), from 0 to 1, and all models are of 28 × 28 pixels."""
        if images is not None:
            shape = np.shape(images)
            if len(shape) != 2 or shape[1] != 784 or not shape[0]:
                raise ValueError(f"images: expected shape (n, 784), digits of 28 × 28 pixels, found {shape}")
            if not (images.min() >= 0 and images.max() <= 1):
                raise ValueError(f"images: expected 0 to 1, found {images.min():.3g} to {images.max():.3g}")
        for name, model in models.items():
            if (found := getattr(model, "n_features_in_", 784)) != 784:
                raise ValueError(f"{name}: expected a model of 784 pixels, 28 × 28, found one of {found}")

    @property
    def running(self):
        """Whether the panel is stepping by itself."""
        return self._task is not None and not self._task.done()

    def run(self, pause=0.03):
        """Call ``step()`` again and again, until `pause`; the notebook stays responsive meanwhile."""

        async def loop():
            while True:
                self.step()
                await asyncio.sleep(pause)  # lets the clicks and strokes in

        self._cancel()
        self._task = asyncio.ensure_future(loop())

    def pause(self):
        """Stop stepping, at once."""
        self._cancel()
        if self.play is not None:
            self.play.value = False

    def buttons(self, width, *more, pause=0.03, anew="begin anew, from the seed"):
        """Make the buttons Step, Run and Reset, and put them in a row with `more`.

        They call ``step()``, `run` with `pause` or `pause`, and ``reset()``; `anew` says what the last one does.
        """
        layout = widgets.Layout(width=width)
        self.one = widgets.Button(description="Step", layout=layout, tooltip="one frame")
        self.play = widgets.ToggleButton(description="Run", layout=layout, tooltip="run or pause")
        self.again = widgets.Button(description="Reset", layout=layout, tooltip=anew)
        self.one.on_click(lambda _: self.step())
        self.play.observe(lambda change: self.run(pause) if change.new else self.pause(), "value")
        self.again.on_click(lambda _: self.reset())
        return widgets.HBox([self.one, self.play, self.again, *more])

    def _cancel(self):
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self):
        """Leave nothing running behind."""
        self.pause()
        super().close()

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        buffer = io.BytesIO()
        image = self.picture()
        image.save(buffer, format="png", optimize=True)
        data = data | {"image/png": buffer.getvalue(), "text/plain": self.description}
        return data, metadata | {"image/png": {"alt": self.description}}


_font = cache(ImageFont.load_default)


def text(image, position, string, size=15, color="black", anchor="lt"):
    """Write a string on a PIL image; `anchor` is Pillow's, "lt" for left and top."""
    draw = ImageDraw.Draw(image)
    draw.text(position, string, fill=color, font=_font(size), anchor=anchor)


def label_bars(labels, values, title, color, size):
    """Return a bar for each label, as high as its value between 0 and 1, below a title: uint8 (height, width, 3)."""
    width, height = size
    image = Image.new("RGB", size, "white")
    draw, pitch, bottom = ImageDraw.Draw(image), width / len(labels), height - 22
    text(image, (2, 1), title, 15, "#444444")
    for i, (label, value) in enumerate(zip(labels, values)):
        x = pitch * i + 3
        draw.rectangle((x, 26, x + pitch - 6, bottom), outline="#cccccc")
        draw.rectangle((x, bottom - float(value) * (bottom - 26), x + pitch - 6, bottom), fill=color)
        text(image, (x + pitch / 2 - 3, bottom + 5), str(label), 15, "#444444", "mt")
    return np.asarray(image)


def blue_red(values, limit):
    """Return colours, uint8 of shape (..., 3), for values from −limit (blue) through 0 (white) to +limit (red)."""
    return colormaps["RdBu_r"](np.clip(values / (2 * limit) + 0.5, 0, 1), bytes=True)[..., :3]
