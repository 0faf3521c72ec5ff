"""Chapter 5: a digit, chosen or drawn, is moved step by step to where a network misreads it, while others look on."""

import ipywidgets as widgets
import numpy as np

from ..backend import generator, to_numpy
from ..mlp import MLP
from ..plots import COLORS
from .canvas import Canvas
from .drawing import blue_red, grey_levels, label_bars
from .panel import Panel, check_kind, control, seed_control, touched

__all__ = ["Adversary"]

ANY = "any"  # not None, which a menu takes for no choice
STEP = 0.25  # Euclidean distance; a digit is about 9 long
SIDE, BAR = 210, 300  # pixels of an image, and of the bars of a network
RIGHT, WRONG = COLORS[:2]
STRONG = 0.5  # the change of a pixel that has the full colour


class Adversary(Panel):
    """Steps along the gradient of one network's loss, or at random, and what all networks read meanwhile.

    Pixels stay between 0 and 1. Paint on the digit; its label is then yours to say.

    Parameters
    ----------
    networks : dict of str to companion.mlp.MLP
        Fitted on images of 28 × 28 pixels, without batch normalisation.
    images : array (n, 784)
        Digits to choose from.
    labels : array (n,)
    seed : int
        Of the move at random: the same seed gives the same direction.
    """

    description = (
        "A digit, what has been added to it (red) and taken away (blue), and the digit so moved, side by side; below, "
        "for each network, how probable it finds each label, as bars, orange where it misreads."
    )

    def __init__(self, networks, images, labels, seed=0):
        check_kind(MLP, **networks)
        if untold := [name for name, network in networks.items() if not hasattr(network, "classes_")]:
            raise ValueError(f"networks: expected them to have learned labels, found that {', '.join(untold)} has not")
        if normalised := [name for name, network in networks.items() if network.batch_norm]:
            raise ValueError(
                f"networks: expected them without batch normalisation, found it in {', '.join(normalised)}"
            )
        self.networks, self.images = networks, self.check_digits(images, **networks)
        self.labels = to_numpy(labels)
        classes = self._classes()
        self.number = control(widgets.BoundedIntText, "digit no.", 0, 0, len(images) - 1)
        self.label = control(widgets.Dropdown, "its label", options=classes)
        self.goal = control(widgets.Dropdown, "to be read as", options=[("anything else", ANY), *classes])
        self.aim = control(
            widgets.Dropdown, "move", options=[*((f"against {name}", name) for name in networks), ("at random", ANY)]
        )
        self.seed = seed_control(seed)
        self.empty = control(widgets.Button, "Empty", tooltip="an empty image, to draw on")
        self.pad = Canvas(scale=7.5, paintable=True, label="The digit, 28 by 28 pixels: paint on it")
        self.change = Canvas(
            scale=7.5, label="What has been added to the digit, red, and taken away, blue", on_paper=True
        )
        self.result = Canvas(scale=7.5, label="The digit so moved")
        self.bars = {name: Canvas(scale=1, label=f"How probable {name} finds each label") for name in networks}
        self.pad.on_paint(self.paint)
        self.number.observe(lambda change: self.take(self.images[change.new], self.labels[change.new]), "value")
        for each in (self.label, self.seed):
            each.observe(lambda _: self.reset(), "value")
        self.empty.on_click(lambda _: self.take(np.zeros(784), self.label.value))
        buttons = self.buttons(self.empty, pause=0.2, anew="back to the digit")
        controls = [self.number, self.label, self.goal, self.aim, self.seed, buttons]
        pictures = [(SIDE, [canvas]) for canvas in (self.pad, self.change, self.result)]
        super().__init__([(280, controls), *pictures], [(BAR, [canvas]) for canvas in self.bars.values()])
        self.take(self.images[0], self.labels[0])

    def _classes(self):
        """Return the classes of the networks as a menu has them, or raise ValueError if they or the labels differ."""
        found = {name: network.classes_.tolist() for name, network in self.networks.items()}
        classes = next(iter(found.values()), [])
        if not classes or any(each != classes for each in found.values()):
            raise ValueError(f"networks: expected at least one, and the same classes in all, found {found}")
        if self.labels.shape != (n := len(self.images),) or not set(self.labels.tolist()) <= set(classes):
            there = np.unique(self.labels).tolist()
            raise ValueError(f"labels: expected {n} of the classes {classes}, found {len(self.labels)} of {there}")
        return [(str(label), label) for label in classes]

    def take(self, image, label):
        """Make a copy of `image` (784,), with this label, the one to be moved."""
        self.digit = np.array(image, np.float32)
        self.label.value = label
        self.reset()

    def reset(self):
        """Go back to the digit as it was, and draw the direction at random anew from the seed."""
        self.image, self.steps = self.digit.copy(), 0
        self.blind = generator(self.seed.value).standard_normal(784, np.float32)
        self.read = {name: network.predict(self.image[None])[0] for name, network in self.networks.items()}
        self.refresh()

    def step(self):
        """Go a step, and read."""
        uphill = self.uphill()
        self.image += STEP / max(np.linalg.norm(uphill), 1e-12) * uphill
        self.image.clip(0, 1, out=self.image)
        self.steps += 1
        self.refresh()

    def uphill(self):
        """Return the direction (784,) of the next step: up the loss of the label, or down that of the goal."""
        if self.aim.value == ANY:
            return self.blind
        network, goal = self.networks[self.aim.value], self.goal.value
        if goal == ANY:
            return network.input_gradient(self.image[None], [self.label.value])[0]
        return -network.input_gradient(self.image[None], [goal])[0]

    def paint(self, strokes):
        """Draw on the digit, or erase, and begin anew."""
        for pixels, erase in touched(strokes):
            self.digit[pixels] = not erase
        self.reset()

    @property
    def distance(self):
        """How far the digit has been moved, a Euclidean distance."""
        return float(np.linalg.norm(self.image - self.digit))

    def refresh(self):
        """Read the moved digit, and draw everything anew."""
        self.pad.draw(grey_levels(self.digit.reshape(28, 28)))
        self.change.draw(blue_red((self.image - self.digit).reshape(28, 28), STRONG))
        self.result.draw(grey_levels(self.image.reshape(28, 28)))
        for name, network in self.networks.items():
            p = network.predict_proba(self.image[None])[0]
            now = network.classes_[p.argmax()]
            first = f"{self.read[name]}, now " if self.steps else ""
            title = f"{name}: {first}{now} ({p.max():.0%})"
            color = RIGHT if now == self.label.value else WRONG
            self.bars[name].draw(label_bars(network.classes_, p, title, color, (BAR, 130)))
        self.pad.caption = f"digit · label {self.label.value}"
        self.change.caption = f"moved by {self.distance:.2f}"
        self.result.caption = f"moved digit · step {self.steps:,}"
