"""Chapter 0: three ways downhill, plain, with momentum, and Adam, from one place on one landscape."""

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from ..backend import generator, to_device, to_numpy
from ..landscapes import Banana, Hills, Valley
from ..optimize import SGD, Adam
from ..plots import COLORS
from .canvas import Canvas
from .drawing import GREY, INK, Axes, text, wide
from .panel import Panel, control, seed_control, speed_control

__all__ = ["Descent"]

SIZE, CURVE = 440, (320, 190)  # pixels of the map and of the curves
LOWEST, HIGHEST = 1e-4, 1e2  # the ends of the logarithmic axis
START = (0.075, 0.2)  # from the left and from the top of the map, as fractions
KINDS = {"plain": COLORS[0], "momentum": COLORS[1], "Adam": COLORS[2]}
BALLS = {"plain": (7, 40), "momentum": (8, 4), "Adam": (9, 3)}  # radius and corners: told apart without colours, too


LANDSCAPES = {"long valley": Valley(), "bent valley": Banana(width=0.8), "two dips": Hills(3.5, share=0.8)}


class Descent(Panel):
    """Balls that roll down a landscape by the companion's optimisers. Click on the map to say where they start.

    Parameters
    ----------
    seed : int
        Of the noise on the gradients: the same seed, the same paths.
    """

    description = (
        "A landscape seen from above, dark where it is low, with the paths of three balls from one start: a circle for "
        "plain gradient descent, a square for momentum, a triangle for Adam; beside it the height of each over the "
        "steps, on a logarithmic axis."
    )

    def __init__(self, seed=0):
        self.start = START
        self.kind = control(widgets.Dropdown, "landscape", options=list(LANDSCAPES))
        self.rate = control(widgets.FloatLogSlider, "learning rate", 0.1, min=-2.5, max=0.5, step=0.1)
        self.momentum = control(widgets.FloatSlider, "momentum", 0.9, min=0, max=0.99, step=0.01)
        self.noise = control(
            widgets.FloatSlider, "noise", 0, min=0, max=1, step=0.05, tooltip="on every gradient, as of a minibatch"
        )
        self.speed, self.seed = speed_control((1, 5, 20)), seed_control(seed)
        self.map = Canvas(scale=1, paintable=True, label="The landscape from above: click where the balls start")
        self.curve = Canvas(scale=1, label="The height of each ball over the steps")
        self.map.on_paint(self.put)
        for each in (self.kind, self.rate, self.momentum, self.noise, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [self.kind, self.rate, self.momentum, self.noise, self.speed, self.seed]
        buttons = self.buttons(anew="all balls at the start")
        super().__init__([(CURVE[0], [*controls, buttons, self.curve]), (SIZE, [self.map])])
        self.reset()

    def put(self, strokes):
        """Let the balls start where the map was touched last."""
        row, column, _ = strokes[-1]
        self.start = column / SIZE, row / SIZE
        self.reset()

    def reset(self):
        """Put all balls back to the start."""
        self.land, rate = LANDSCAPES[self.kind.value], self.rate.value
        left, right, bottom, top = self.land.limits
        start = np.array([left + self.start[0] * (right - left), top - self.start[1] * (top - bottom)])
        self.optimizers = dict(zip(KINDS, (SGD(rate), SGD(rate, self.momentum.value), Adam(rate))))
        self.balls = {name: to_device(start[None].copy()) for name in KINDS}  # (1, 2) each
        for name, optimizer in self.optimizers.items():
            optimizer.start([self.balls[name]])
        x, y = np.meshgrid(np.linspace(left, right, SIZE), np.linspace(top, bottom, SIZE))
        energies = to_numpy(self.land.energy(to_device(np.stack([x.ravel(), y.ravel()], axis=1))))
        self.ground = energies.min()  # the lowest place of the map counts as height 0
        self.background = self._draw_background(energies.reshape(x.shape) - self.ground)
        self.rng, self.steps = generator(self.seed.value), 0
        self.paths = {name: [start] for name in KINDS}
        self.heights = {name: [self._height(self.balls[name])] for name in KINDS}
        self.refresh()

    def _height(self, ball):
        return max(0.0, float(self.land.energy(ball)[0]) - self.ground)

    def step(self, steps=None):
        """Take so many steps, by default those of a frame, with the same noise for all, then draw."""
        for _ in range(steps or self.speed.value):
            noise = to_device(self.noise.value * self.rng.standard_normal((1, 2)))
            for name, ball in self.balls.items():
                self.optimizers[name].update([ball], [self.land.gradient(ball) + noise])
                ball.clip(-50, 50, out=ball)  # far outside: it has diverged, and need not go to infinity
                self.paths[name].append(to_numpy(ball)[0].copy())
                self.heights[name].append(self._height(ball))
            self.steps += 1
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.map.draw(self._draw_map())
        self.curve.draw(self._draw_curve())
        now = ", ".join(f"{name} {heights[-1]:.2g}" for name, heights in self.heights.items())
        self.map.caption = f"step {self.steps:,} · height: {now}"

    @staticmethod
    def _draw_background(heights):
        bands = np.floor(12 * np.sqrt(heights / heights.max())) / 12  # steps of height, like the lines of a map
        return Image.fromarray(colormaps["Greys_r"](0.45 + 0.5 * bands, bytes=True)[..., :3])

    @staticmethod
    def _draw_ball(draw, name, x, y):
        radius, n_corners = BALLS[name]
        draw.regular_polygon((x, y, radius), n_corners, fill=KINDS[name], outline="white", width=2)

    def _draw_map(self):
        image = self.background.copy()
        left, right, bottom, top = self.land.limits
        draw = ImageDraw.Draw(image)
        for (name, color), shift in zip(KINDS.items(), (-1, 0, 1)):
            axes = Axes(image, (shift, shift, SIZE + shift, SIZE + shift), (left, right), (bottom, top))
            path = np.array(self.paths[name]).T
            axes.curve(*path, color)
            self._draw_ball(draw, name, *axes.place(*path[:, -1]))
        x, y = (SIZE * fraction for fraction in self.start)
        draw.line((x - 6, y, x + 6, y), fill="black", width=2)
        draw.line((x, y - 6, x, y + 6), fill="black", width=2)
        return np.asarray(image)

    def _draw_curve(self):
        image, (width, height) = Image.new("RGB", CURVE, "white"), CURVE
        axes = Axes(image, (44, 44, width - 10, height - 22), (0, max(100, self.steps)), (LOWEST, HIGHEST), "y")
        text(image, (0, 0), "height above the lowest point, log scale", 14, INK)
        for mark in range(-4, 3):
            axes.level(10.0**mark, f"1e{mark}" if mark else "1")
        text(image, (width, axes.bottom + 4), f"{axes.x[1]:,} steps", 13, GREY, "rt")
        draw, x = ImageDraw.Draw(image), axes.left
        for name, color in KINDS.items():
            self._draw_ball(draw, name, x, 29)
            text(image, (x + 14, 21), name, 14, color)
            x += wide(name, 14) + 40
            axes.curve(np.arange(len(self.heights[name])), self.heights[name], color)
        for name, heights in self.heights.items():  # of which an interrupt may have left one a step ahead
            self._draw_ball(draw, name, *axes.place(len(heights) - 1, heights[-1]))
        return np.asarray(image)
