"""Chapter 0: three ways downhill, plain, with momentum, and Adam, from one place on one landscape."""

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from ..backend import generator, to_device, to_numpy
from ..optimize import SGD, Adam
from ..plots import COLORS
from .canvas import Canvas
from .panel import GREY, INK, PALE, Panel, control, seed_control, speed_control, text

__all__ = ["Descent"]

SIZE, REACH, CURVE = 440, 2.0, (320, 190)  # pixels of the map, how far it reaches from the origin, pixels of the curves
LOWEST = 1e-4  # the end of the logarithmic axis
START = (-1.7, 1.2)
KINDS = {"plain": COLORS[0], "momentum": COLORS[1], "Adam": COLORS[2]}


def _valley(x, y):
    return 0.05 * x**2 + y**2, (0.1 * x, 2 * y)


def _bend(x, y):  # Rosenbrock's, flatter, its lowest point at (1, 1)
    return (
        0.1 * (1 - x) ** 2 + 0.5 * (y - x**2) ** 2,
        (-0.2 * (1 - x) - 2 * x * (y - x**2), y - x**2),
    )


def _dips(x, y):  # a shallow dip on the left, a deep one on the right
    left, right = np.exp(-2 * ((x + 1) ** 2 + y**2)), np.exp(-2 * ((x - 1) ** 2 + y**2))
    slope_x = 0.1 * x + 2 * (x + 1) * left + 4 * (x - 1) * right
    return 0.05 * (x**2 + y**2) + 1.05 - 0.5 * left - right, (slope_x, 0.1 * y + 2 * y * left + 4 * y * right)


LANDSCAPES = {"long valley": _valley, "bent valley": _bend, "two dips": _dips}


class Descent(Panel):
    """Balls that roll down a landscape by the companion's optimisers. Click on the map to say where they start.

    Parameters
    ----------
    seed : int
        Of the noise on the gradients: the same seed, the same paths.
    """

    description = (
        "A landscape seen from above, dark where it is low, with the paths of three balls from one start: plain "
        "gradient descent, momentum and Adam; beside it the height of each over the steps, on a logarithmic axis."
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
        self.start = (column / SIZE * 2 - 1) * REACH, (1 - row / SIZE * 2) * REACH
        self.reset()

    def reset(self):
        """Put all balls back to the start."""
        rate = self.rate.value
        optimizers = (SGD(rate), SGD(rate, self.momentum.value), Adam(rate))
        self.balls = {name: to_device(np.array(self.start)) for name in KINDS}
        self.optimizers = dict(zip(KINDS, optimizers))
        for name, optimizer in self.optimizers.items():
            optimizer.start([self.balls[name]])
        self.rng, self.steps = generator(self.seed.value), 0
        self.paths = {name: [self.start] for name in KINDS}
        self.heights = {name: [self.height(*self.start)] for name in KINDS}
        self.refresh()

    def height(self, x, y):
        """Return the height of the landscape above its lowest point."""
        value = LANDSCAPES[self.kind.value](x, y)[0]
        return value - self._ground()

    def _ground(self):
        grid = np.linspace(-REACH, REACH, 201)
        return LANDSCAPES[self.kind.value](*np.meshgrid(grid, grid))[0].min()

    def step(self, steps=None):
        """Take so many steps, by default those of a frame, with the same noise for all, then draw."""
        for _ in range(steps or self.speed.value):
            noise = self.noise.value * self.rng.standard_normal(2)
            for name, ball in self.balls.items():
                _, slope = LANDSCAPES[self.kind.value](*to_numpy(ball))
                self.optimizers[name].update([ball], [to_device(np.array(slope) + noise)])
                place = np.clip(to_numpy(ball), -50, 50)  # far outside: it has diverged, and need not go to infinity
                ball[...] = to_device(place)
                self.paths[name].append(tuple(place.tolist()))
                self.heights[name].append(self.height(*place))
            self.steps += 1
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.map.draw(self._draw_map())
        self.curve.draw(self._draw_curve())
        now = ", ".join(f"{name} {heights[-1]:.2g}" for name, heights in self.heights.items())
        self.map.caption = f"step {self.steps:,} · height: {now}"

    def _draw_map(self):
        side = np.linspace(-REACH, REACH, SIZE // 4)
        heights = LANDSCAPES[self.kind.value](*np.meshgrid(side, -side))[0]
        levels = np.sqrt((heights - heights.min()) / np.ptp(heights))
        bands = np.floor(12 * levels) / 12  # steps of height, like the lines of a map
        image = Image.fromarray(colormaps["Greys_r"](0.45 + 0.5 * bands, bytes=True)[..., :3])
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        draw = ImageDraw.Draw(image)
        for (name, color), shift in zip(KINDS.items(), (-1, 0, 1)):
            path = [(x + shift, y + shift) for x, y in map(_pixel, self.paths[name])]
            if len(path) > 1:
                draw.line(path, fill=color, width=2)
            x, y = path[-1]
            draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=color, outline="white", width=2)
        x, y = _pixel(self.start)
        draw.line((x - 6, y, x + 6, y), fill="black", width=2)
        draw.line((x, y - 6, x, y + 6), fill="black", width=2)
        return np.asarray(image)

    def _draw_curve(self):
        image, (width, height) = Image.new("RGB", CURVE, "white"), CURVE
        draw, left, top, bottom = ImageDraw.Draw(image), 44, 44, height - 22
        text(image, (0, 0), "height above the lowest point, log scale", 14, INK)
        x = left
        for name, color in KINDS.items():
            text(image, (x, 21), name, 14, color)
            x += 92
        low, high = np.log10(LOWEST), max(1.0, np.log10(max(max(h) for h in self.heights.values())))
        for mark in range(int(low), int(high) + 1):
            y = bottom - (mark - low) / (high - low) * (bottom - top)
            draw.line((left, y, width, y), fill=PALE)
            text(image, (left - 6, y), f"1e{mark}" if mark else "1", 13, INK, "rm")
        across = max(100, self.steps)
        text(image, (width, bottom + 4), f"{across:,} steps", 13, GREY, "rt")
        for name, color in KINDS.items():
            logs = np.log10(np.maximum(self.heights[name], LOWEST))
            xs = left + np.arange(len(logs)) * (width - 1 - left) / across
            ys = bottom - (logs - low) / (high - low) * (bottom - top)
            if len(xs) > 1:
                draw.line(np.stack([xs, ys], axis=1).ravel().tolist(), fill=color, width=2)
        return np.asarray(image)


def _pixel(place):
    """Return where a place of the plane is on the map, (x, y)."""
    x, y = place
    return (x / REACH + 1) * SIZE / 2, (1 - y / REACH) * SIZE / 2
