"""Chapter 9: a puck that slides over a landscape of energy, beside a random walk from the same start."""

import ipywidgets as widgets
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageColor, ImageDraw

from ..backend import generator, to_device, to_numpy
from ..diagnostics import autocorrelation, effective_sample_size
from ..hmc import HMC, Metropolis
from ..landscapes import Banana, Funnel, Hills, Ridge
from ..plots import COLORS
from .canvas import Canvas
from .drawing import INK, Axes, text
from .panel import Panel, control, seed_control, speed_control

__all__ = ["Puck"]

SIDE, GAP, HEAD = 340, 20, 24  # pixels: a map, between two, and the words above each
TRACE, CURVE = (440, 150), (240, 150)  # the two plots below: the first variable over time, its autocorrelation
WINDOW, LAGS = 2000, 400  # evaluations of energy or gradient that they show
KEPT, DOTS, REJECTED = 20_000, 3000, 40  # states remembered, those on the maps, and ends that were rejected
SLIDING, WALKING = COLORS[0], COLORS[1]
LANDSCAPES = {"banana": Banana(), "ridge": Ridge(), "two hills": Hills(), "funnel": Funnel()}


class Puck(Panel):
    """Watch Hamiltonian Monte Carlo in two dimensions, and random-walk Metropolis at the same cost beside it.

    For every trajectory the walk makes as many transitions as the trajectory has leapfrog steps.

    Parameters
    ----------
    landscape : {"banana", "ridge", "two hills", "funnel"}
    seed : int
        The same seed gives the same start and the same chains.
    """

    description = (
        "Two maps of one landscape, dark where it is probable: on the left the last trajectory of the puck with its "
        "leapfrog steps, earlier states as dots, rejected ends as crosses; on the right a random walk. Below, the first"
        " variable of both over as many evaluations, and its autocorrelation."
    )

    def __init__(self, landscape="banana", seed=0):
        self.landscape = control(widgets.Dropdown, "landscape", options=list(LANDSCAPES), value=landscape)
        self.step_size = control(widgets.FloatLogSlider, "step size", 0.16, min=-2, max=0.5, step=0.05)
        self.length = control(widgets.IntSlider, "leapfrog steps", 20, 1, 60)
        self.mass = control(widgets.FloatLogSlider, "vertical mass", 1, min=-1.5, max=1.5, step=0.1)
        self.walk_step = control(widgets.FloatLogSlider, "walk's step", 0.5, min=-2, max=1, step=0.1)
        self.speed, self.seed = speed_control((1, 5, 20), what="moves a frame"), seed_control(seed)
        self.maps = Canvas(scale=1, label="The puck on its landscape, and a random walk on the same")
        self.curves = Canvas(scale=1, label="The first variable of both over time, and its autocorrelation")
        chosen = [self.landscape, self.step_size, self.length, self.mass, self.walk_step]
        for each in (*chosen, self.seed):
            each.observe(lambda _: self.reset(), "value")
        controls = [*chosen, self.speed, self.seed, self.buttons(pause=0.08)]
        super().__init__([(250, controls), (2 * SIDE + GAP, [self.maps, self.curves])])
        self.add_class("companion-wide")
        self.reset()

    def reset(self):
        """Begin anew, both at one exact draw; three streams of random numbers from the seed."""
        place, first, second = generator(self.seed.value).spawn(3)
        self.target, length = LANDSCAPES[self.landscape.value], self.length.value
        start = to_device(self.target.draw(1, place))
        self.puck = HMC(self.target.energy, self.target.gradient, start, step_size=self.step_size.value,
                        n_steps=length, mass=[1.0, self.mass.value], record=True, random_state=first)  # fmt: skip
        self.walk = Metropolis(self.target.energy, start, step_size=self.walk_step.value, random_state=second)
        self.slid = [to_numpy(start)[0]]  # states after every trajectory, and after every step of the walk
        self.walked = [to_numpy(start)[0]]
        self.rejected = []  # ends of trajectories
        self.steps, self.accepted = 0, np.zeros(2, int)
        self._background = self._draw_background()
        self.refresh()

    def step(self, moves=None):
        """Make so many trajectories, by default those of a frame, and the walk that costs the same; then draw."""
        for _ in range(moves or self.speed.value):
            next(self.puck)
            self.steps += 1
            self.slid.append(to_numpy(self.puck.x)[0])
            self.accepted[0] += bool(self.puck.accepted[0])
            if not self.puck.accepted[0]:
                self.rejected.append(to_numpy(self.puck.proposal)[0])
            for _ in range(self.puck.cost):
                next(self.walk)
                self.walked.append(to_numpy(self.walk.x)[0])
                self.accepted[1] += bool(self.walk.accepted[0])
        del self.slid[:-KEPT], self.walked[:-KEPT], self.rejected[:-REJECTED]
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.maps.draw(self._draw_maps())
        self.curves.draw(self._draw_curves())
        slid, walked = self.accepted / np.maximum((self.steps, self.puck.cost * self.steps), 1)
        self.maps.label = (
            f"The puck on its landscape, after {self.steps:,} moves, {slid:.0%} of them accepted, and a random walk on "
            f"the same, {walked:.0%} accepted"
        )

    @property
    def worth(self):
        """Effective samples of the first variable in the states kept, of puck and walk; nan for one that stood."""
        found = []
        for states in (self.slid, self.walked):
            series = np.array(states)[:, 0]
            found.append(effective_sample_size(series) if _moved(series) else np.nan)
        return tuple(found)

    def _draw_background(self):
        """The density on a grid, relative to its highest value there: grey, with steps as contours."""
        left, right, bottom, top = self.target.limits
        x, y = np.meshgrid(np.linspace(left, right, SIDE), np.linspace(top, bottom, SIDE))
        energies = to_numpy(self.target.energy(to_device(np.stack([x.ravel(), y.ravel()], axis=1))))
        levels = np.floor(np.minimum(energies - energies.min(), 8)).reshape(SIDE, SIDE)
        return colormaps["Greys"](0.5 - levels / 16, bytes=True)[..., :3]

    def _pixels(self, states):
        """Where on a map the states (n, 2) are, in pixels; far ones out of sight."""
        left, right, bottom, top = self.target.limits
        near = np.clip(np.reshape(states, (-1, 2)), -1e6, 1e6)  # nearer than where numbers end
        unit = (near - [left, top]) / [right - left, bottom - top]
        return np.nan_to_num(SIDE * unit, nan=-99).clip(-99, SIDE + 99)

    def _draw_maps(self):
        image = Image.new("RGB", (2 * SIDE + GAP, SIDE + HEAD), "white")
        trail = self.walked[-self.puck.cost - 1 :]  # what the walk did in the time of the last trajectory
        path = [to_numpy(x)[0] for x in self.puck.path] if self.steps else self.slid
        parts = (
            (0, "puck", SLIDING, self.slid, path, self.steps),
            (SIDE + GAP, "random walk", WALKING, self.walked, trail, self.puck.cost * self.steps),
        )
        for k, (left, name, color, states, path, moves) in enumerate(parts):
            part = self._background.copy()
            x, y = self._pixels(states[-DOTS:]).astype(int).T
            x, y = np.stack([x, y])[:, (x > 0) & (x < SIDE) & (y > 0) & (y < SIDE)]
            for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
                part[y - down, x - right] = ImageColor.getrgb(color)
            part = Image.fromarray(part)
            draw = ImageDraw.Draw(part)
            if k == 0:
                for x, y in self._pixels(self.rejected):
                    _cross(draw, x, y, "black", 3)
            points = self._pixels(path)
            draw.line(points.ravel().tolist(), fill="black", width=2)
            for x, y in points:
                draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="white", outline="black")
            x, y = points[-1]
            if k == 0 and self.steps and not self.puck.accepted[0]:
                _cross(draw, x, y, "black", 7)
                x, y = points[0]
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=color, outline="white")
            image.paste(part, (left, HEAD))
            said = f"{name}: {moves:,} moves" + (f", {self.accepted[k] / moves:.0%} accepted" if moves else "")
            text(image, (left, 4), said, 16, color)
        return np.asarray(image)

    def _draw_curves(self):
        image = Image.new("RGB", (2 * SIDE + GAP, TRACE[1] + HEAD), "white")
        length = self.puck.cost
        now, right = length * self.steps, 2 * SIDE + GAP - CURVE[0]
        text(image, (0, 4), f"horizontal place over the last {WINDOW:,} evaluations, of {now:,}", 15, INK)
        text(image, (right, 4), f"autocorrelation, lags to {LAGS}", 15, INK)
        (low, high), begin, half = self.target.limits[:2], max(0, now - WINDOW), TRACE[1] // 2
        lags = Axes(image, (right, HEAD + 6, right + CURVE[0], HEAD + TRACE[1] - 46), (0, LAGS))
        lags.level(0, color="#cccccc")
        for k, (states, color, every) in enumerate(((self.slid, SLIDING, length), (self.walked, WALKING, 1))):
            series = np.array(states)[:, 0]
            times = now - every * np.arange(len(series))[::-1]
            seen, top = times >= begin, HEAD + half * k + 4
            trace = Axes(image, (0, top, TRACE[0], top + half - 8), (begin, begin + WINDOW), (low, high))
            trace.curve(times[seen], series[seen].clip(low, high), color, 1)
            if _moved(series):
                rho = autocorrelation(series, min(LAGS // every, len(series) // 2))
                lags.curve(every * np.arange(len(rho)), rho.clip(-0.2), color)
        for k, (worth, color) in enumerate(zip(self.worth, (SLIDING, WALKING))):
            said = "has not moved" if np.isnan(worth) else f"worth {worth:,.0f}"
            text(image, (right + 120 * k, lags.bottom + 29), said, 15, color)
        return np.asarray(image)


def _moved(series):
    """Whether there is enough of a series, and it has changed, for an autocorrelation."""
    return len(series) > 8 and np.ptp(series) > 0


def _cross(draw, x, y, color, size):
    draw.line((x - size, y - size, x + size, y + size), fill=color, width=2)
    draw.line((x - size, y + size, x + size, y - size), fill=color, width=2)
