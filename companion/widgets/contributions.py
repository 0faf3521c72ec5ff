"""Chapter 1: what each pixel of a digit says for and against each class."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import generator, to_device, to_numpy
from ..functions import softmax
from ..logistic import LogisticRegression
from ..plots import COLORS
from .canvas import Canvas
from .drawing import INK, PALE, blue_red, grey_levels, short, text, wide
from .panel import Panel, check_kind, control

__all__ = ["Contributions"]

# A round, soft brush, as broad as the strokes of MNIST.
OFFSETS = np.stack(np.mgrid[-2:3, -2:3], axis=-1).reshape(-1, 2)
BRUSH = np.clip(1.9 - np.hypot(*OFFSETS.T), 0, 1)

TILE, GAP = 84, 14  # screen pixels: a contribution image, and the space between two
BAR = 58  # below it: the class and its score, the bar, the probability


class Contributions(Panel):
    r"""Draw a digit, or pick one, and see :math:`x_d W_{dk}`: what each pixel adds to the score of each class.

    Parameters
    ----------
    model : companion.logistic.LogisticRegression
        Fitted on images of 28 × 28 pixels.
    images : array (n, 784)
        Digits to pick from.
    labels : array (n,)
    seed : int
        Of the button that picks at random: the same seed picks the same digits.
    """

    description = (
        "A digit at the left; beside it, for each class, which of its pixels speak for the class (red) and which "
        "against it (blue), with score and probability. The most probable class is framed."
    )

    def __init__(self, model, images, labels, seed=0):
        check_kind(LogisticRegression, model=model)
        if len(model.classes_) > 10:
            raise ValueError(f"model: expected at most ten classes, found {len(model.classes_)}")
        self.model, self.images, self.labels = model, self.check_digits(images, model=model), to_numpy(labels)
        if self.labels.shape != (len(images),):
            raise ValueError(f"labels: expected shape ({len(images)},), one for each image, found {self.labels.shape}")
        self.rng = generator(seed)
        self.x = np.zeros(784, np.float32)
        self.pad = Canvas(scale=8, paintable=True, label="Pad of 28 by 28 pixels: paint a digit here")
        self.pad.on_paint(self.paint)
        self.view = Canvas(scale=1, label=self.description)
        self.pick = control(widgets.IntSlider, "digit no.", 0, 0, len(images) - 1)
        self.strength = control(widgets.FloatSlider, "strength", 1, min=0, max=3, step=0.05)
        self.random = control(widgets.Button, "Random digit")
        self.clear = control(widgets.Button, "Clear", tooltip="an empty pad, to draw on")
        self.pick.observe(lambda change: self.show(change.new), "value")
        self.strength.observe(lambda change: self.refresh(), "value")
        self.random.on_click(lambda _: self.pick_at_random())
        self.clear.on_click(lambda _: self.wipe())
        controls = [self.pick, self.strength, [self.random, self.clear]]
        super().__init__([(280, [*controls, self.pad]), (5 * TILE + 4 * GAP + 8, [self.view])])
        self.show(0)

    def show(self, number):
        """Put the digit of this number on the pad."""
        self.x[:] = self.images[number]
        self.refresh(f"label: {self.labels[number]}")

    def pick_at_random(self):
        """Put a digit drawn at random on the pad."""
        number = int(self.rng.integers(len(self.images)))
        if number == self.pick.value:  # the slider would not notice
            self.show(number)
        self.pick.value = number

    def wipe(self):
        """Leave no ink on the pad."""
        self.x[:] = 0
        self.refresh("draw with the mouse; right button erases")

    def paint(self, strokes):
        """Add ink, or take it away, around the pixels (row, column, erase) that were touched."""
        for row, column, erase in strokes:
            where = OFFSETS + (row, column)
            inside = ((where >= 0) & (where < 28)).all(axis=1)
            pixels, ink = where[inside] @ (28, 1), BRUSH[inside].astype(np.float32)
            self.x[pixels] = np.minimum(self.x[pixels], 1 - ink) if erase else np.maximum(self.x[pixels], ink)
        self.refresh("your drawing")

    def evaluate(self):
        """Return contributions (784, n_classes), scores and probabilities (n_classes,) of what is on the pad."""
        W, b = self.strength.value * self.model.W_, self.strength.value * self.model.b_
        contributions = to_device(self.x)[:, None] * W
        scores = (contributions.sum(axis=0) + b)[None]
        return to_numpy(contributions), to_numpy(scores)[0], to_numpy(softmax(scores))[0]

    def refresh(self, said=None):
        """Draw everything anew; `said` is the line below the pad, if it changes."""
        if said is not None:
            self.pad.caption = said
        self.pad.draw(grey_levels(self.x.reshape(28, 28)))
        self.view.draw(self._draw())

    def _draw(self):
        """Return the ten classes, two rows of five, as uint8 (height, width, 3)."""
        contributions, scores, probabilities = self.evaluate()
        # One scale for all classes, digits and strengths. A little less than the largest weight of the trained model:
        # the few contributions beyond it saturate, and the many small ones can be seen.
        limit = 0.6 * float(abs(self.model.W_).max()) or 1.0
        colors = blue_red(contributions.T.reshape(-1, 28, 28), limit)
        image = Image.new("RGB", (5 * TILE + 4 * GAP + 8, 2 * (TILE + BAR) + GAP + 8), "white")
        for k, label in enumerate(self.model.classes_):
            left, top = 4 + (k % 5) * (TILE + GAP), 4 + (k // 5) * (TILE + BAR + GAP)
            tile = Image.fromarray(colors[k])
            image.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
            first = probabilities[k] == probabilities.max()
            draw = ImageDraw.Draw(image)
            frame = (left - 3, top - 3, left + TILE + 2, top + TILE + 2)
            draw.rectangle(frame, outline="black" if first else PALE, width=3 if first else 1)
            score = f"{scores[k]:+.1f}" if round(float(scores[k]), 1) else "0.0"  # no sign left over
            text(image, (left, top + TILE + 8), short(f"{label}", 20, TILE - 6 - wide(score, 14)), 20)
            text(image, (left + TILE, top + TILE + 11), score, 14, INK, "rt")
            bar = top + TILE + 33
            draw.rectangle((left, bar, left + TILE, bar + 6), fill="#e6e6e6")
            draw.rectangle((left, bar, left + probabilities[k] * TILE, bar + 6), fill=COLORS[0])
            text(image, (left + TILE, bar + 11), f"{probabilities[k]:.1%}", 14, anchor="rt")
        return np.asarray(image)
