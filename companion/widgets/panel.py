"""What all panels share: rows of columns of controls and pictures, running and resting, and a still of it all."""

import asyncio
import io
from contextlib import ExitStack

import ipywidgets as widgets
import numpy as np

from ..backend import to_numpy
from ..checks import check_count, pixel_rows
from .canvas import Canvas
from .still import still_of

__all__ = ["Panel", "check_kind", "control", "seed_control", "speed_control", "touched"]

MOST_SEED = 2**31 - 1  # that the control of a seed can hold
SHRINK = 0.62  # of its width, a column gives up to the others before it goes below them
GAP, LABEL = 18, 110  # pixels: between columns, and the name before a control


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

    @property
    def parts(self):
        """The pictures and controls, in their order."""
        return [part for row in self.rows for _, items in row for item in items for part in np.ravel([item]).tolist()]

    def picture(self):
        """Return the panel as it stands, controls included, a PIL image."""
        return still_of(self.rows, GAP)

    @staticmethod
    def check_digits(images=None, **models):
        """Return images (n, 784) of the host, from 0 to 1; ValueError if they, or models, are no 28 × 28 pixels."""
        for name, model in models.items():
            if (found := getattr(model, "n_features_in_", 784)) != 784:
                raise ValueError(f"{name}: expected a model of 784 pixels, 28 × 28, found one of {found}")
        return None if images is None else to_numpy(pixel_rows("images", images, 784))

    @property
    def running(self):
        """Whether the panel is stepping by itself."""
        return self._task is not None and not self._task.done()

    def run(self, pause=0.03):
        """Call ``step()`` again and again, until `pause`; the notebook stays responsive meanwhile."""

        async def loop():
            while True:
                try:
                    self._frame()
                except Exception as reason:  # nobody waits for this task: say it where it is seen
                    self._task = None
                    self.pause()
                    seen = next(canvas for canvas in self.parts if isinstance(canvas, Canvas))
                    seen.caption = f"stopped: {type(reason).__name__}: {reason}"
                    raise
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
        self.one.on_click(lambda _: self._frame())
        self.play.observe(lambda change: self._switch(change.new, pause), "value")
        self.again.on_click(lambda _: self.reset())
        return [self.one, self.play, self.again, *more]

    def _frame(self):
        """Take a step; what it changes of a canvas, pixels and caption, goes in one message."""
        with ExitStack() as until_done:
            for canvas in self.parts:
                if isinstance(canvas, Canvas):
                    until_done.enter_context(canvas.hold_sync())
            self.step()

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


def check_kind(kind, **models):
    """Raise ValueError unless all models are of this kind, and fitted."""
    for name, model in models.items():
        if not isinstance(model, kind) or not hasattr(model, "parameters_"):
            raise ValueError(f"{name}: expected a fitted {kind.__name__}, found {model!r}")


def control(kind, description, *args, **options):
    """Make a control of a kind of ipywidgets, as wide as its column, its name before it."""
    style = {} if issubclass(kind, widgets.Button | widgets.ToggleButton) else {"description_width": f"{LABEL}px"}
    style |= options.pop("style", {})
    return kind(*args, description=description, layout=widgets.Layout(width="auto"), style=style, **options)


def seed_control(seed, tooltip="the same seed, the same random numbers"):
    """Make the control that holds the seed, or raise ValueError if it could not hold this one."""
    if check_count("seed", seed, least=0) > MOST_SEED:
        raise ValueError(f"seed: expected at most {MOST_SEED:,}, found {seed:,}")
    return control(widgets.BoundedIntText, "seed", seed, 0, MOST_SEED, tooltip=tooltip)


def speed_control(options=(1, 5, 20, 100), value=None, what="steps a frame"):
    """Make the control that says how many steps there are from one picture to the next."""
    return control(widgets.Dropdown, what, options=list(options), value=options[0] if value is None else value)


def touched(strokes):
    """Yield, for every stroke (row, column, erase), the pixels (k,) that it touches, and whether it erases them.

    The brush has 2 × 2 pixels, about as broad as the strokes of MNIST. The 28 × 28 pixels are numbered line by line.
    """
    for row, column, erase in strokes:
        rows, columns = np.arange(row, min(row + 2, 28)), np.arange(column, min(column + 2, 28))
        yield np.add.outer(28 * rows, columns).ravel(), erase


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
