"""What panels draw with: ink, words, bars, and the colours of signed numbers."""

from functools import cache

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

__all__ = ["GREY", "INK", "PALE", "blue_red", "label_bars", "text", "wide"]

INK, GREY, PALE = "#444444", "#6d777e", "#dddddd"
IN_LATIN = str.maketrans({"β": "beta", "×": "x", "−": "-"})  # what the font lacks

_font = cache(ImageFont.load_default)


def wide(string, size):
    """Return how wide a string will be, in pixels."""
    return _font(size).getlength(string)


def text(image, position, string, size=15, color="black", anchor="lt"):
    """Write a string on a PIL image; `anchor` is Pillow's, "lt" for left and top."""
    draw = ImageDraw.Draw(image)
    draw.text(position, string.translate(IN_LATIN), fill=color, font=_font(size), anchor=anchor)


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
