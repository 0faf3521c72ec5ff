"""What all panels share: controls that look alike, and a still picture for where no kernel runs."""

import io

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from PIL import ImageDraw, ImageFont

__all__ = ["Panel", "blue_red", "text"]


class Panel(widgets.VBox):
    """A box of controls and pictures with a still picture of itself.

    A subclass has `picture`, which returns the panel as it stands as a PIL image, and `description`, what it shows in
    words. On a page without a kernel the still picture is what there is to see.
    """

    description = ""

    def __init__(self, children):
        super().__init__(children)
        self.layout.width = "fit-content"
        self.layout.max_width = "100%"
        self.layout.padding = "10px"
        self.layout.border = "1px solid #cccccc"
        self.add_class("companion-panel")

    def picture(self):
        """Return the panel as it stands, a PIL image."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        buffer = io.BytesIO()
        image = self.picture()
        image.save(buffer, format="png", optimize=True)
        data = data | {"image/png": buffer.getvalue(), "text/plain": self.description}
        return data, metadata | {"image/png": {"alt": self.description}}


def text(image, position, string, size=15, color="black", anchor="lt"):
    """Write a string on a PIL image; `anchor` is Pillow's, "lt" for left and top."""
    draw = ImageDraw.Draw(image)
    draw.text(position, string, fill=color, font=ImageFont.load_default(size), anchor=anchor)


def blue_red(values, limit):
    """Return colours, uint8 of shape (..., 3), for values from −limit (blue) through 0 (white) to +limit (red)."""
    return colormaps["RdBu_r"](np.clip(values / (2 * limit) + 0.5, 0, 1), bytes=True)[..., :3]
