"""Balls that roll downhill, and log Z from both sides, without a kernel: the optimisers and chains are the book's."""

import numpy as np
import pytest

from companion.annealing import ais, reverse_ais
from companion.backend import generator, to_device, to_numpy
from companion.likelihood import exact_log_partition
from companion.optimize import SGD, Adam
from companion.rbm import RBM
from companion.widgets import Descent, Sandwich
from companion.widgets.descent import LANDSCAPES
from companion.widgets.sandwich import BINS, FORWARD, REVERSE, Axes


@pytest.fixture
def descent():
    panel = Descent(seed=3)
    yield panel
    panel.close()


def test_balls_roll_from_where_the_map_was_touched_as_the_optimizers_of_the_book(descent):
    descent.noise.value, descent.momentum.value = 0.5, 0.8
    descent.put([(0, 0, False), (110, 330, False)])
    land = LANDSCAPES["long valley"]
    left, right, bottom, top = land.limits
    start = [[left + 0.75 * (right - left), top - 0.25 * (top - bottom)]]
    balls = [to_device(np.array(start)) for _ in range(3)]
    optimizers, rng = [SGD(0.1), SGD(0.1, 0.8), Adam(0.1)], generator(3)
    for optimizer, ball in zip(optimizers, balls):
        optimizer.start([ball])
    for _ in range(6):
        noise = to_device(0.5 * rng.standard_normal((1, 2)))
        for optimizer, ball in zip(optimizers, balls):
            optimizer.update([ball], [land.gradient(ball) + noise])
    descent.step(6)
    for path, ball in zip(descent.paths.values(), balls):
        np.testing.assert_array_equal(path[-1], to_numpy(ball)[0])


def test_an_interrupt_leaves_a_panel_that_can_be_drawn(descent, monkeypatch):
    """Of the ball that had moved already, too; and the next steps go on."""
    update, count = Adam.update, iter(range(9))

    def interrupted(*arguments):
        if next(count) == 2:
            raise KeyboardInterrupt
        update(*arguments)

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        descent.step(5)
    descent.step(3)
    assert [len(heights) for heights in descent.heights.values()] == [7, 7, 6] and descent.steps == 5


def test_heights_are_above_the_lowest_place_of_the_map(descent):
    descent.kind.value = "two dips"
    land = descent.land
    x, y = np.meshgrid(np.linspace(*land.limits[:2], 400), np.linspace(*land.limits[2:], 400))
    lowest = land.energy(to_device(np.stack([x.ravel(), y.ravel()], axis=1))).min()
    expected = float(land.energy(to_device(descent.paths["plain"][0][None]))[0] - lowest)
    assert descent.heights["plain"][0] == pytest.approx(expected, abs=0.01)


def test_a_ball_that_flies_off_stays_where_numbers_are(descent):
    descent.rate.value = 10**0.5
    descent.step(1000)
    assert np.abs(descent.paths["plain"]).max() == 50


def test_runs_are_those_of_the_book_and_drawn_each_on_its_side(monkeypatch):
    rng = np.random.default_rng(0)
    rbm, base = RBM.from_parameters(rng.normal(size=(6, 4)), rng.normal(size=6), np.zeros(4)), np.linspace(-1, 1, 6)
    samples, drawn = to_numpy(rbm.sample(150, 50, random_state=0)), {}
    monkeypatch.setattr(Axes, "bars", lambda self, edges, counts, color: drawn.update({color: (edges, counts)}))
    panel = Sandwich(rbm, samples, base, seed=3)
    panel.step()
    for number, run in enumerate(panel.runs):
        rng = generator([3, number])
        start = samples[rng.choice(len(samples), 100)]
        forward = ais(rbm, base, n_temperatures=50, n_chains=100, random_state=rng)
        reverse = reverse_ais(rbm, start, base, n_temperatures=50, random_state=rng)
        assert [side.log_z for side in run] == [forward.log_z, reverse.log_z]
    assert f"gap {reverse.log_z - forward.log_z:.2f} nats" in panel.plots.caption
    for color, side in ((FORWARD, forward), (REVERSE, reverse)):
        edges, counts = drawn[color]
        off = side.log_weights - exact_log_partition(rbm).log_z
        np.testing.assert_array_equal(counts, np.histogram(off, BINS, (edges[0], edges[-1]))[0])
    assert Sandwich(rbm, samples, base, log_z=12.0).exact == 12
