"""What all panels share: rows of columns of controls and pictures, and a still of them for where no kernel runs."""

import asyncio
import io
from functools import cache

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from .canvas import Canvas

__all__ = [
    "GREY", "INK", "PALE", "Panel", "blue_red", "control", "label_bars", "seed_control", "speed_control", "text",
    "touched",
]  # fmt: skip

INK, GREY, PALE, HIGHLIGHT = "#444444", "#6d777e", "#dddddd", "#0072B2"
IN_LATIN = str.maketrans({"β": "beta", "×": "x", "−": "-"})  # what the font of the stills lacks
SHRINK = 0.62  # of its width, a column gives up to the others before it goes below them
GAP, EDGE, LINE, LABEL = 18, 10, 34, 110  # of a still, in pixels: between columns, around all, a control, its name


class Panel(widgets.VBox):
    """Rows of columns: what a subclass declares once is both the live view and the still picture.

    A subclass calls ``super().__init__(*rows)``. A row is a list of columns, a column a pair ``(width, items)``, its
    width in pixels, and an item a `Canvas` with its caption, a control, or a list of those side by side. Columns shrink
    where the page is narrow, and go below each other where it is narrower still: controls come first.

    ``description`` says what the panel shows in words.
    """

    description = ""
    play = _task = None
    _latest = {}

    def __init__(self, *rows):
        self.rows = rows
        super().__init__([_box(map(_column, row), "row") for row in rows])
        # One panel of a kind runs at a time: a cell that is run again does not leave its old panel running.
        if earlier := Panel._latest.get(type(self)):
            earlier.pause()
        Panel._latest[type(self)] = self
        self.layout.max_width = f"{max(map(_natural, rows)) + 22}px"
        self.add_class("companion-panel")

    def picture(self):
        """Return the panel as it stands, controls included, a PIL image."""
        return _below([_beside([_column_still(*column) for column in row], GAP) for row in self.rows], 6, EDGE)

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

    def buttons(self, *more, pause=0.03, anew="begin anew, from the seed"):
        """Make the buttons Step, Run and Reset; return them, and `more`, as a list.

        They call ``step()``, `run` with `pause` or `pause`, and ``reset()``; `anew` says what the last one does.
        """
        self.one = control(widgets.Button, "Step", tooltip="one frame")
        self.play = control(widgets.ToggleButton, "Run", tooltip="run or pause")
        self.again = control(widgets.Button, "Reset", tooltip=anew)
        self.one.on_click(lambda _: self.step())
        self.play.observe(lambda change: self._switch(change.new, pause), "value")
        self.again.on_click(lambda _: self.reset())
        return [self.one, self.play, self.again, *more]

    def _switch(self, on, pause):
        self.play.description = "Pause" if on else "Run"
        if on:
            self.run(pause)
        else:
            self.pause()

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
        image.save(buffer, format="png")
        data = data | {"image/png": buffer.getvalue(), "text/plain": self.description}
        return data, metadata | {"image/png": {"alt": self.description}}


_font = cache(ImageFont.load_default)


def control(kind, description, *args, **options):
    """Make a control of a kind of ipywidgets, as wide as its column, its name before it."""
    style = {} if issubclass(kind, widgets.Button | widgets.ToggleButton) else {"description_width": f"{LABEL}px"}
    style |= options.pop("style", {})
    return kind(*args, description=description, layout=widgets.Layout(width="auto"), style=style, **options)


def seed_control(seed, tooltip="the same seed, the same random numbers"):
    """Make the control that holds the seed."""
    return control(widgets.BoundedIntText, "seed", seed, 0, 10**6, tooltip=tooltip)


def speed_control(options=(1, 5, 20, 100), value=None, what="steps a frame"):
    """Make the control that says how many steps there are from one picture to the next."""
    return control(widgets.Dropdown, what, options=list(options), value=options[0] if value is None else value)


def touched(strokes, side=28):
    """Yield, for every stroke (row, column, erase), the pixels (k,) that it touches, and whether it erases them.

    The brush has 2 × 2 pixels, about as broad as the strokes of MNIST. Pixels are numbered line by line.
    """
    for row, column, erase in strokes:
        rows, columns = np.arange(row, min(row + 2, side)), np.arange(column, min(column + 2, side))
        yield np.add.outer(side * rows, columns).ravel(), erase


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


# ------------------------------------------------------------------------------- the view, and the still picture of it


def _box(items, name):
    box = widgets.HBox(list(items))
    box.add_class(f"companion-{name}")
    return box


def _column(column):
    """Return a column as a box that grows up to its width, and goes below the one before it rather than shrink more."""
    width, items = column
    box = widgets.VBox([_box(item, "line") if isinstance(item, list) else item for item in items])
    box.layout.flex, box.layout.max_width, box.layout.min_width = f"1 1 {SHRINK * width:.0f}px", f"{width}px", "0"
    return box


def _natural(row):
    """Return the width of a row of columns, in pixels."""
    return sum(width for width, _ in row) + GAP * (len(row) - 1)


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
    left = int(item.style.description_width.removesuffix("px"))
    text(image, (left - 6, LINE // 2), item.description, 14, INK, "rm")
    draw, right = ImageDraw.Draw(image), width - 1
    if isinstance(item, widgets.ToggleButtons):
        return _keys_still(item, width)
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
        if line and _font(14).getlength(f"{line} {word}") > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _keys_still(item, width):
    """Return a row of buttons, the chosen one filled; as many rows as they need."""
    labels = [option[0] if isinstance(option, tuple) else str(option) for option in item.options]
    widths = [round(_font(14).getlength(label)) + 18 for label in labels]
    places, x, y = [], LABEL, 0
    for size in widths:
        if x > LABEL and x + size > width:
            x, y = LABEL, y + LINE
        places.append((x, y))
        x += size + 3
    image = Image.new("RGB", (width, y + LINE), "white")
    text(image, (LABEL - 6, LINE // 2), item.description, 14, INK, "rm")
    for label, size, (x, y) in zip(labels, widths, places):
        _key(image, (x, x + size), label, label == item.label, y)
    return image


def _key(image, ends, words, on=False, y=0):
    """Draw a button."""
    ImageDraw.Draw(image).rounded_rectangle(
        (ends[0], y + 2, ends[1], y + LINE - 3), 4, fill=HIGHLIGHT if on else "#eeeeee", outline=GREY
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
