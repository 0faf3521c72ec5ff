"""What panels draw with: ink, words, axes, bars, and the colours of signed numbers."""

import re
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib import colormaps, get_data_path
from PIL import Image, ImageDraw, ImageFont

from ..plots import ink

__all__ = ["GREY", "INK", "PALE", "Axes", "blue_red", "brief", "grey_levels", "label_bars", "short", "text", "wide"]

INK, GREY, PALE = "#444444", "#6d777e", "#dddddd"

_font = cache(ImageFont.load_default)


@cache
def _figures_font(size):
    """Return the font of figures, made to look as large and as heavy as Pillow's."""
    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 0.85 * size)


@cache
def _lacking(letter):
    """Whether Pillow's font has a box for a letter, as for one that nobody has."""
    return bytes(_font(16).getmask(letter)) == bytes(_font(16).getmask("\uffff"))


def _runs(string, size):
    """Return the parts of a string, each with the font that has its letters; hyphens before numbers become minus."""
    string = re.sub(r"(?<![\w-])-(?=\d)", "−", string)
    return [("".join(part), (_figures_font if lacking else _font)(size)) for lacking, part in groupby(string, _lacking)]


def wide(string, size):
    """Return how wide a string will be, in pixels."""
    return sum(font.getlength(part) for part, font in _runs(string, size))


def short(string, size, room):
    """Return a string, or as much of its beginning as fits into so many pixels."""
    n = min(len(string), int(room))  # no letter is narrower than a pixel
    while n and wide(string[:n] + "…" * (n < len(string)), size) > room:
        n -= 1
    return string[:n] + "…" * (n < len(string))


def brief(value, form=".0f"):
    """Return a number of at most five digits, in thousands from 10,000 on, in millions from 10,000,000 on."""
    for least, unit, letter in ((1e7, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:{form}}{letter}"
    return f"{value:{form}}"


@cache
def _legible(color):
    """Return the colour as letters of it are written: as `companion.plots.ink` has it, but white on something dark."""
    return color if color == "white" else tuple(round(255 * part) for part in ink(color))


def text(image, position, string, size=15, color="black", anchor="lt"):
    """Write a string on a PIL image, dark enough to be read; `anchor` is Pillow's, "lt" for left and top."""
    draw, plain = ImageDraw.Draw(image), _font(size)
    across = position[0] - {"l": 0, "m": 0.5, "r": 1}[anchor[0]] * wide(string, size)
    base = position[1] + plain.getbbox(string, anchor=f"l{anchor[1]}")[1] - plain.getbbox(string, anchor="ls")[1]
    for part, font in _runs(string, size):
        draw.text((across, base), part, fill=_legible(color), font=font, anchor="ls")
        across += font.getlength(part)


class Axes:
    """A box on a picture, in which the values of two variables have their places.

    Parameters
    ----------
    image : PIL.Image.Image
    box : tuple of int
        Left, top, right and bottom, in pixels.
    x, y : tuple of float
        The values at the left and at the right, at the bottom and at the top.
    log : {"", "x", "y", "xy"}
        What is on a logarithmic scale; values beyond the ends of such a scale stand at them.
    """

    def __init__(self, image, box, x=(0, 1), y=(0, 1), log=""):
        self.image, self.draw = image, ImageDraw.Draw(image)
        self.left, self.top, self.right, self.bottom = box
        self.x, self.y, self.log = x, y, log

    def across(self, x):
        """Return where values of x are, in pixels from the left of the picture."""
        return np.round(self.left + _share(x, *self.x, "x" in self.log) * (self.right - self.left), 6)

    def down(self, y):
        """Return where values of y are, in pixels from the top of the picture."""
        return np.round(self.bottom - _share(y, *self.y, "y" in self.log) * (self.bottom - self.top), 6)

    def place(self, x, y):
        """Return the places (..., 2) of points, in pixels from the left and from the top."""
        places = np.empty((*np.shape(x), 2))
        places[..., 0], places[..., 1] = self.across(x), self.down(y)
        return places

    def curve(self, x, y, color, width=2):
        """Draw a line through points, once there are two."""
        places = self.place(x, y)
        if len(places) > 1:
            self.draw.line(places.ravel().tolist(), fill=color, width=width)

    def bars(self, edges, values, color, inset=(1, 1)):
        """Draw a histogram, its bars narrower than from edge (n + 1) to edge, on the left and on the right."""
        x = self.across(edges).tolist()
        for left, right, value, top in zip(x, x[1:], values, self.down(values).tolist()):
            if value:
                self.draw.rectangle((left + inset[0], top, right - inset[1], self.bottom), fill=color)

    def level(self, y, name="", color=PALE, gap=6):
        """Draw a line at the height of a value, unless `color` is None, and write its name at the left."""
        height = float(self.down(y))
        if color is not None:
            self.draw.line((self.left, height, self.right, height), fill=color)
        text(self.image, (self.left - gap, height), name, 13, INK, "rm")

    def upright(self, x, color, top=None):
        """Draw a line from the bottom to the top."""
        place = float(self.across(x))
        self.draw.line((place, self.top if top is None else top, place, self.bottom), fill=color)

    def below(self, x, name, gap=5, anchor="mt"):
        """Write the name of a value below the box."""
        text(self.image, (float(self.across(x)), self.bottom + gap), name, 13, INK, anchor)


def _share(values, low, high, log):
    """Return how much of the way from `low` to `high` lies before each of some values."""
    if log:
        values, low, high = np.log10(np.clip(values, low, high)), np.log10(low), np.log10(high)
    return (np.asarray(values, float) - low) / (high - low)


def label_bars(labels, values, title, color, size):
    """Return a bar for each label, as high as its value between 0 and 1, below a title: uint8 (height, width, 3)."""
    width, height = size
    image = Image.new("RGB", size, "white")
    draw, pitch, bottom = ImageDraw.Draw(image), width / len(labels), height - 22
    letters = 15 if pitch > 20 else 10  # their size
    text(image, (2, 1), title, 15, INK)
    for i, (label, value) in enumerate(zip(labels, values)):
        x = pitch * i + 3
        draw.rectangle((x, 26, x + pitch - 6, bottom), outline="#cccccc")
        draw.rectangle((x, bottom - float(value) * (bottom - 26), x + pitch - 6, bottom), fill=color)
        text(image, (x + pitch / 2 - 3, bottom + 5), short(str(label), letters, pitch - 2), letters, INK, "mt")
    return np.asarray(image)


def grey_levels(values):
    """Return grey levels, uint8, for values from 0 (black) to 1 (white); what is beyond is as black, or as white."""
    return np.uint8(255 * np.clip(values, 0, 1))


def blue_red(values, limit):
    """Return colours, uint8 of shape (..., 3), for values from −limit (blue) through 0 (white) to +limit (red)."""
    return colormaps["RdBu_r"](np.clip(values / (2 * limit) + 0.5, 0, 1), bytes=True)[..., :3]
