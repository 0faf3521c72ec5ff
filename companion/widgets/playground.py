"""Chapter 2: a network on points in the plane, trained step by step."""

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..backend import generator, to_device, to_numpy
from ..data import PLANE, plane_points
from ..functions import softmax
from ..layers import ACTIVATIONS, SoftmaxCrossEntropy
from ..mlp import MLP
from ..optimize import SGD
from ..plots import COLORS
from .canvas import Canvas
from .drawing import Axes, blue_red, text
from .panel import Panel, control, seed_control

__all__ = ["Playground"]

SIZE, REACH = 440, 1.2  # screen pixels of the picture, and how far it reaches from the origin
CELLS = 120  # the decision surface is computed on so many by so many points
CURVE = (320, 120)


class Playground(Panel):
    """Watch a small multilayer perceptron bend the plane until its two classes come apart.

    Parameters
    ----------
    seed : int
        Of the points and of the initial weights: the same seed, the same training.
    """

    description = (
        "Points of two classes in the plane over the probability that a small network gives to each place, blue to "
        "red; thin lines where single hidden units change sign; below, the loss over the steps."
    )

    def __init__(self, seed=0):
        self.kind = control(widgets.Dropdown, "points", options=PLANE)
        self.first = control(widgets.IntSlider, "units, layer 1", 4, 1, 16)
        self.second = control(widgets.IntSlider, "units, layer 2", 0, 0, 16)
        self.activation = control(widgets.Dropdown, "activation", options=list(ACTIVATIONS))
        self.rate = control(widgets.FloatLogSlider, "learning rate", 0.3, min=-2, max=1.5, step=0.1)
        self.seed = seed_control(seed)
        self.plane = Canvas(scale=1, label=self.description)
        self.curve = Canvas(scale=1, label="The training loss over the steps")
        for each in (self.kind, self.first, self.second, self.activation, self.seed):
            each.observe(lambda _: self.reset(), "value")
        self.rate.observe(lambda change: setattr(self.optimizer, "learning_rate", change.new), "value")
        controls = [self.kind, self.first, self.second, self.activation, self.rate, self.seed]
        buttons = self.buttons(anew="new initial weights from the seed")
        super().__init__([(CURVE[0], [*controls, buttons, self.curve]), (SIZE, [self.plane])])
        side = np.linspace(-REACH, REACH, CELLS, dtype=np.float32)
        self.grid = to_device(np.stack(np.meshgrid(side, -side), axis=-1).reshape(-1, 2))
        self.reset()

    def reset(self):
        """Draw points and initial weights anew, from the seed."""
        rng = generator(self.seed.value)
        self.points, self.labels = plane_points(self.kind.value, 300, rng)
        self.X, self.targets = to_device(self.points), to_device(self.labels)
        sizes = (self.first.value, self.second.value) if self.second.value else (self.first.value,)
        model = MLP(hidden_sizes=sizes, activation=self.activation.value, l2=0.0)
        self.parameters = model.initial_parameters(2, 2, rng)
        self.network, self.loss = model.network(self.parameters), SoftmaxCrossEntropy()
        self.optimizer = SGD(self.rate.value)
        self.losses = []
        self.refresh()

    def step(self, updates=10):
        """Do so many steps of gradient descent on all points, then draw."""
        for _ in range(updates):
            nll = self.loss.forward(self.network.forward(self.X), self.targets)
            self.network.backward(self.loss.backward())
            self.optimizer.update(self.network.parameters, self.network.gradients)
            self.losses.append(float(nll))
            if not np.isfinite(self.losses[-1]):
                self.pause()
                break
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.plane.draw(self._draw_plane())
        self.curve.draw(self._draw_curve())
        scores = self.network.predict(self.X)
        wrong = float((scores.argmax(axis=1) != self.targets).mean())
        nll = float(self.loss.forward(scores, self.targets))  # after the last update, as the share that is wrong
        if not np.isfinite([*self.losses[-1:], nll]).all():
            loss = "diverged: a smaller rate, then Reset"
        else:
            loss = f"{nll:.3f} nats" if self.losses else "not trained yet"
        self.plane.caption = f"step {len(self.losses):,} · {loss} · {wrong:.1%} of the points wrong"

    def _draw_plane(self):
        p = to_numpy(softmax(self.network.predict(self.grid)))[:, 1].reshape(CELLS, CELLS)
        # half the strength of the colours, so that points and lines stand out
        image = Image.fromarray(blue_red(np.nan_to_num(p, nan=0.5) - 0.5, 1.0)).resize(
            (SIZE, SIZE), Image.Resampling.BILINEAR
        )
        axes = Axes(image, (0, 0, SIZE, SIZE), (-REACH, REACH), (-REACH, REACH))
        W, b = to_numpy(self.parameters["W1"]), to_numpy(self.parameters["b1"])
        for weights, bias in zip(W.T, b):
            length = float(np.hypot(*weights)) + 1e-9
            foot, along = -bias / length**2 * weights, np.array([-weights[1], weights[0]]) / length
            axes.curve(*np.stack([foot - 4 * along, foot + 4 * along], axis=1), "#555555", 1)
        for (x, y), label in zip(axes.place(*self.points.T).tolist(), self.labels):
            if label:
                axes.draw.polygon([(x, y - 4), (x - 4, y + 3), (x + 4, y + 3)], fill=COLORS[1], outline="white")
            else:
                axes.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=COLORS[0], outline="white")
        return np.asarray(image)

    def _draw_curve(self):
        image, (width, height) = Image.new("RGB", CURVE, "white"), CURVE
        losses = np.array(self.losses[:: max(1, len(self.losses) // width)])
        top = max(0.75, min(3.0, losses.max(initial=0)))
        axes = Axes(image, (34, 8, width - 1, height - 8), (0, max(1, len(losses) - 1)), (0, top))
        for mark, name in ((np.log(2), "log 2"), (0, "0")):
            axes.level(mark, color="#bbbbbb")
            text(image, (2, axes.down(mark)), name, 12, "#666666", "lm")
        axes.curve(np.arange(len(losses)), np.nan_to_num(losses, nan=top).clip(0, top), COLORS[0])
        return np.asarray(image)
