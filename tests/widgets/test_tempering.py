"""Parallel tempering, watched, without a kernel: the chains are the book's, swaps and changes of digit are real."""

from itertools import islice

import numpy as np
import pytest

from companion.annealing import ParallelTempering
from companion.backend import Noise, generator, to_device, to_numpy, xp
from companion.functions import bernoulli, sigmoid
from companion.mlp import MLP
from companion.widgets.tempering import REPLICAS, ROW, Tempering


class Script:
    """Reads its answers from a list: one row for each time that it is asked."""

    def __init__(self, rows):
        self.rows = iter(rows)

    def predict(self, images):
        row = np.array(next(self.rows))
        assert len(row) == len(images)
        return row


@pytest.fixture
def panel(rbm, base, parity):
    panel = Tempering(rbm, parity, base, seed=4)
    yield panel
    panel.close()


def test_both_kinds_of_chains_are_those_of_the_book(panel, rbm, base):
    """Bit for bit, and from one start: the panel computes nothing itself."""
    first, second = generator(4).spawn(2)
    noise = Noise(first)
    start = bernoulli(sigmoid(to_device(base))[None], noise)
    for v in (*panel.tempering.v[:, 0], *panel.plain):
        np.testing.assert_array_equal(to_numpy(v), to_numpy(start[0]))
    panel.step(25)
    tempering = next(islice(ParallelTempering(rbm, start, np.linspace(1, 0.8, 6), base, noise), 24, None))
    plain = next(islice(rbm.chains(xp.repeat(start, 6, axis=0), Noise(second)), 24, None))[0]
    np.testing.assert_array_equal(to_numpy(panel.tempering.v), to_numpy(tempering.v))
    np.testing.assert_array_equal(panel.tempering.swap_rates, tempering.swap_rates)
    np.testing.assert_array_equal(to_numpy(panel.plain), to_numpy(plain))


def test_one_seed_is_one_run_in_steps_of_any_size(panel, frames):
    panel.step(37)
    together = frames(panel), panel.switches
    panel.again.click()
    assert panel.steps == 0 and not panel.switches.any()
    for panel.speed.value in (20, 5, 5, 5, 1, 1):
        panel.one.click()
    np.testing.assert_array_equal(panel.switches, together[1])
    for now, before in zip(frames(panel), together[0]):
        np.testing.assert_array_equal(now, before)
    panel.seed.value = 5
    panel.step(37)
    assert any((a != b).any() for a, b in zip(frames(panel), together[0]))


def test_the_swaps_are_those_that_happened(panel):
    """Applied to the replicas before a step they give those after it; the rates count them, and are the model's."""
    counts, previous = np.zeros(5), np.arange(6)
    for step in range(60):
        panel.step(1)
        replicas = to_numpy(panel.tempering.replica[:, 0])
        assert sorted(replicas) == list(range(6))
        for cold, hot in panel.swaps:
            assert hot == cold + 1 and cold % 2 == step % 2, "neighbours, even and odd ones in turn"
            previous[[cold, hot]] = previous[[hot, cold]]
            counts[cold] += 1
        np.testing.assert_array_equal(previous, replicas)
    np.testing.assert_allclose(panel.tempering.swap_rates, counts / 30)
    assert counts.any()


def test_each_row_has_the_colour_of_its_replica(panel):
    panel.step(11)
    top = panel.ladder.pixels.shape[0] - 6 * ROW
    for k, replica in enumerate(to_numpy(panel.tempering.replica[:, 0])):
        expected = [int(REPLICAS[replica][i : i + 2], 16) for i in (1, 3, 5)]
        found = panel.ladder.pixels[top + ROW * k + ROW // 2, 338 - 8]  # in the disc, beside its number
        np.testing.assert_array_equal(found, expected)
        tile = panel.ladder.pixels[top + ROW * k + 2 : top + ROW * k + 58 : 2, 356 : 356 + 56 : 2, 0]
        np.testing.assert_array_equal(tile, 255 * to_numpy(panel.tempering.v[k, 0]).reshape(28, 28))


def test_changes_of_digit_at_beta_1_are_counted(rbm, base):
    """Two temperatures, so the answers are: coldest, hottest, plain, plain. The hottest does not count."""
    first = [[0] * 12]  # the panel begins with six temperatures
    made_up = [[3, 0, 5, 5], [3, 1, 5, 7], [8, 2, 5, 5], [8, 3, 5, 5], [3, 4, 5, 9]]
    panel = Tempering(rbm, Script(first + made_up), base)
    panel.n.value = 2
    panel.step(4)
    assert panel.switches.tolist() == [2, 0, 3]
    np.testing.assert_array_equal(panel.digits, made_up)


def test_changes_of_digit_are_those_of_the_chains(panel, parity):
    labels = []
    for _ in range(30):
        panel.step()
        labels.append(parity.predict(to_numpy(xp.concatenate([panel.tempering.v[:1, 0], panel.plain]))))
    start = parity.predict(
        to_numpy(bernoulli(sigmoid(to_device(panel.base_bias))[None], Noise(generator(4).spawn(1)[0])))
    )
    path = np.concatenate([np.repeat(start, 7)[None], labels])
    np.testing.assert_array_equal(panel.switches, (path[1:] != path[:-1]).sum(axis=0))


def test_old_steps_are_forgotten_and_counts_kept(panel):
    panel.step(350)
    assert len(panel.digits) == 301 and len(panel.travels) == 41
    assert panel.switches[0] > 0 and panel.steps == 350


@pytest.mark.parametrize(("control", "value"), [("n", 8), ("n", 2), ("hottest", 0.5), ("seed", 9)])
def test_it_begins_anew_when_the_problem_changes(panel, control, value):
    panel.step(5)
    getattr(panel, control).value = value
    assert panel.steps == 0 and panel.swaps == [] and len(panel.plain) == panel.n.value
    np.testing.assert_allclose(
        to_numpy(panel.tempering.betas).ravel(), np.linspace(1, panel.hottest.value, panel.n.value)
    )
    panel.step(5)


def test_a_classifier_may_know_one_class(rbm):
    one = MLP(hidden_sizes=(2,), n_epochs=1).fit(np.eye(len(rbm.W_), dtype=np.float32), np.zeros(len(rbm.W_)))
    panel = Tempering(rbm, one)
    panel.step(3)
    assert not panel.switches.any() and len(panel.digits) == 4


def test_without_a_classifier_it_counts_nothing(rbm):
    panel = Tempering(rbm)
    panel.step(5)
    assert panel.digits == [] and not panel.switches.any()


def test_changes_of_the_plain_chains_are_said_of_one_and_of_all(panel, monkeypatch):
    said = []
    panel.step(30)
    monkeypatch.setattr("companion.widgets.tempering.text", lambda image, place, words, *_, **__: said.append(words))
    panel.refresh()
    plain = panel.switches[1:]
    assert f"plain: {plain.mean():.1f} changes a chain, {plain.sum()} in all 6" in said
