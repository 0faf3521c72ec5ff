"""A still picture of a panel: its pictures with their captions, and its controls as they stand."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..plots import COLORS
from .canvas import Canvas
from .drawing import GREY, INK, text, wide

__all__ = ["still_of"]

EDGE, LINE, CHOSEN = 10, 34, COLORS[0]  # pixels around all, and of a control; a button that is on


def still_of(rows, gap):
    """Return a PIL image of rows of columns ``(width, items)``, as a panel declares them, so many pixels apart."""
    return _below([_beside([_column_still(*column) for column in row], gap) for row in rows], 6, EDGE)


def _beside(images, gap):
    images = [image for image in images if image.height]
    whole = Image.new(
        "RGB", (sum(i.width for i in images) + gap * (len(images) - 1), max(i.height for i in images)), "white"
    )
    x = 0
    for image in images:
        whole.paste(image, (x, 0))
        x += image.width + gap
    return whole


def _below(images, gap, edge=0):
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    whole = Image.new("RGB", (max(i.width for i in images) + 2 * edge, max(height, 0) + 2 * edge), "white")
    y = edge
    for image in images:
        whole.paste(image, (edge, y))
        y += image.height + gap
    return whole


def _column_still(width, items):
    shown = [item for item in items if isinstance(item, list) or _is_seen(item)]
    parts = [
        _beside([_still(part, width // len(item) - 4) for part in item], 4)
        if isinstance(item, list)
        else _still(item, width)
        for item in shown
    ]
    return _below([*parts, Image.new("RGB", (width, 0))], 4)


def _is_seen(item):
    """Whether an item has its place in a still: not what is hidden, and nothing that can only be heard."""
    return item.layout.display != "none" and (isinstance(item, Canvas) or hasattr(item, "description"))


def _still(item, width):
    """Return one item, at most so many pixels wide, as a PIL image."""
    if isinstance(item, Canvas):
        return _canvas_still(item, width)
    image = Image.new("RGB", (width, LINE), "white")
    if isinstance(item, widgets.Button | widgets.ToggleButton):
        _key(image, (0, width - 1), item.description, getattr(item, "value", False))
        return image
    if isinstance(item, widgets.ToggleButtons):
        return _keys_still(item, width)
    left = _label(item)
    text(image, (left - 6, LINE // 2), item.description, 14, INK, "rm")
    draw, right = ImageDraw.Draw(image), width - 1
    if isinstance(item, widgets.IntSlider | widgets.FloatSlider | widgets.FloatLogSlider | widgets.SelectionSlider):
        share, shown = _position(item)
        right -= 58
        x, y = left + 8 + share * (right - left - 16), LINE // 2
        draw.line((left + 2, y, right, y), fill=GREY, width=3)
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill="white", outline=GREY, width=2)
        text(image, (right + 10, y), shown, 14, INK, "lm")
    else:
        draw.rectangle((left, 3, right, LINE - 4), outline=GREY)
        shown = item.label if isinstance(item, widgets.Dropdown) else item.value
        text(image, (left + 8, LINE // 2), f"{shown}", 14, INK, "lm")
    return image


def _canvas_still(canvas, width):
    image = Image.fromarray(canvas.pixels)
    scale = min(canvas.scale, width / max(image.width, 1))
    if image.width and scale != 1:
        resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
        image = image.resize((round(scale * image.width), round(scale * image.height)), resample)
    lines = [line for words in canvas.caption.splitlines() for line in _wrapped(words, width)]
    caption = Image.new("RGB", (width, 19 * len(lines) + 4 * bool(lines)), "white")
    for i, line in enumerate(lines):
        text(caption, (0, 3 + 19 * i), line, 14, INK)
    return _below([image, caption], 0)


def _wrapped(words, width):
    """Yield the lines that some words fill."""
    line = ""
    for word in words.split(" "):
        if line and wide(f"{line} {word}", 14) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _keys_still(item, width):
    """Return a row of buttons, the chosen one filled; as many rows as they need."""
    labels = [option[0] if isinstance(option, tuple) else str(option) for option in item.options]
    widths = [round(wide(label, 14)) + 18 for label in labels]
    left = _label(item)
    places, x, y = [], left, 0
    for size in widths:
        if x > left and x + size > width:
            x, y = left, y + LINE
        places.append((x, y))
        x += size + 3
    image = Image.new("RGB", (width, y + LINE), "white")
    text(image, (left - 6, LINE // 2), item.description, 14, INK, "rm")
    for label, size, (x, y) in zip(labels, widths, places):
        _key(image, (x, x + size), label, label == item.label, y)
    return image


def _key(image, ends, words, on=False, y=0):
    """Draw a button."""
    ImageDraw.Draw(image).rounded_rectangle(
        (ends[0], y + 2, ends[1], y + LINE - 3), 4, fill=CHOSEN if on else "#eeeeee", outline=GREY
    )
    text(image, (sum(ends) // 2, y + LINE // 2), words, 14, "white" if on else INK, "mm")


def _position(slider):
    """Return how far to the right a slider stands, from 0 to 1, and its readout."""
    if isinstance(slider, widgets.SelectionSlider):
        return slider.index / max(1, len(slider.options) - 1), f"{slider.label}"
    shown = slider.value
    if isinstance(slider, widgets.FloatLogSlider):
        shown = np.log(slider.value) / np.log(slider.base)
    readout = format(slider.value, slider.readout_format if slider.readout_format != "d" else ",d")
    return (shown - slider.min) / max(slider.max - slider.min, 1e-9), readout


def _label(item):
    """Return how much room the name of a control has, in pixels."""
    return int(item.style.description_width.removesuffix("px"))
