"""Annealed importance sampling, watched, without a kernel: the run is that of `ais`, and ends by itself."""

import asyncio
import warnings
from itertools import islice

import numpy as np
import pytest

from companion.annealing import Anneal, ais, temperature_ladder
from companion.backend import Noise, generator, to_numpy, xp
from companion.functions import bernoulli, sigmoid
from companion.likelihood import exact_log_partition
from companion.widgets.annealing import DOUBTFUL, Annealing

ORANGE = [int(DOUBTFUL[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.fixture
def panel(rbm, base):
    panel = Annealing(rbm, base, seed=4)
    panel.n.value = 200
    yield panel
    panel.close()


def test_the_chains_are_those_of_the_book(panel, rbm, base):
    """Bit for bit: the panel computes nothing itself."""
    panel.step(30)
    noise = Noise(generator(4))
    start = bernoulli(xp.tile(sigmoid(xp.asarray(base)), (100, 1)), noise)
    state = next(islice(Anneal(rbm, start, temperature_ladder(200), base, noise), 29, None))
    np.testing.assert_array_equal(to_numpy(panel.anneal.v), to_numpy(state.v))
    np.testing.assert_array_equal(panel.anneal.log_weights, state.log_weights)
    assert panel.anneal.beta == state.beta == temperature_ladder(200)[30] == panel.curve[-1][0]
    pixels = panel.tiles.pixels[:28, 30 : 30 + 28, 0]  # the second chain
    np.testing.assert_array_equal(pixels, 255 * to_numpy(state.v)[1].reshape(28, 28))


@pytest.mark.parametrize("with_base", [True, False])
def test_the_estimate_at_the_end_is_that_of_ais(rbm, base, with_base):
    base = base if with_base else None
    panel = Annealing(rbm, base, seed=7)
    panel.n.value = 200
    panel.step(1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ais(rbm, base, n_temperatures=200, n_chains=100, random_state=7)
    for name in ("log_z", "std_error", "ess"):
        assert getattr(panel.estimate, name) == getattr(found, name)
    np.testing.assert_array_equal(panel.estimate.log_weights, found.log_weights)
    np.testing.assert_array_equal(to_numpy(panel.anneal.v), to_numpy(found.samples))
    assert panel.estimate.log_z == pytest.approx(exact_log_partition(rbm).log_z, abs=4)


def test_the_estimate_on_the_way(panel, rbm, base):
    """At every step: the mean of the weights so far and, from their spread, how many of them count."""
    assert panel.estimate.ess == 100 and panel.estimate.std_error == 0
    panel.step(120)
    w = np.exp(panel.anneal.log_weights - panel.anneal.log_weights.mean())
    assert panel.curve[-1][1] == panel.estimate.ess == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert panel.estimate.std_error == pytest.approx(w.std(ddof=1) / w.mean() / 10)
    base_log_z = np.logaddexp(0, base.astype(float)).sum() + len(rbm.hidden_bias_) * np.log(2)
    log_z = base_log_z + panel.anneal.log_weights.mean() + np.log(w.mean())
    assert panel.estimate.log_z == pytest.approx(log_z)
    assert len(panel.curve) == 120 and all(1 <= ess <= 100 for _, ess in panel.curve)


def test_one_seed_is_one_run_in_steps_of_any_size(panel, frames):
    panel.step(60)
    together = frames(panel), panel.curve
    panel.again.click()
    assert panel.curve == [] and panel.anneal.beta == 0
    for panel.speed.value in (20, 5, 20, 5, 1, 1, 1, 1, 1, 5):
        panel.one.click()
    assert panel.curve == together[1]
    for now, before in zip(frames(panel), together[0]):
        np.testing.assert_array_equal(now, before)
    panel.seed.value = 5
    panel.step(60)
    assert panel.curve != together[1]


def test_it_begins_anew_when_the_problem_changes(panel):
    for control, value in ((panel.n, 1000), (panel.n_chains, 20), (panel.seed, 9)):
        panel.step(3)
        control.value = value
        assert panel.curve == [] and len(panel.anneal) == panel.n.value and len(panel.anneal.v) == panel.n_chains.value


def test_below_twenty_it_turns_vermilion_and_says_so(panel):
    def vermilion():
        return (panel.plots.pixels == ORANGE).all(axis=2).any()

    panel.step(1)
    assert panel.estimate.ess > 20 and not vermilion() and "below" not in panel.tiles.caption
    panel.n_chains.value = 20  # less than 20 whatever the weights, as soon as they differ
    panel.step(2)
    assert vermilion() and "effective sample size below 20" in panel.tiles.caption


def test_it_ends_at_the_machine_and_leaves_nothing_behind(rbm, base, frames):
    async def play():
        panel = Annealing(rbm, base)
        panel.n.value, panel.speed.value = 200, 20
        assert not panel.running
        panel.play.value = True
        await asyncio.sleep(0)
        assert panel.running
        for _ in range(100):
            await asyncio.sleep(0.05)
            if panel.finished:
                break
        assert panel.anneal.beta == 1 and not panel.running and not panel.play.value, "a pause at beta = 1"
        ends = frames(panel)
        panel.play.value = True  # there is nowhere to go
        await asyncio.sleep(0.1)
        assert not panel.running and all((a == b).all() for a, b in zip(ends, frames(panel)))
        panel.again.click()
        assert panel.anneal.beta == 0 and not panel.finished
        panel.play.value = True
        await asyncio.sleep(0.05)
        panel.play.value = False
        done = len(panel.curve)
        await asyncio.sleep(0.1)
        assert len(panel.curve) == done > 0, "a pause is at once"
        panel.play.value = True
        second = Annealing(rbm, base)
        assert not panel.running and not second.running, "the cell run again leaves one panel, at rest"
        second.play.value = True
        second.close()
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())
