"""Moving through the epochs without a kernel: chains are the book's, and go on when the machine changes."""

import asyncio
from itertools import islice

import numpy as np
import pytest

from companion.backend import Noise, generator, to_numpy
from companion.rbm import RBM
from companion.widgets.epoch_scrubber import EpochScrubber


def parameters(scale, n_hidden=70, dtype=np.float16):
    rng = np.random.default_rng(0)
    W, b, c = rng.standard_normal((784, n_hidden)), rng.standard_normal(784) - 2, rng.standard_normal(n_hidden)
    return {name: (scale * a).astype(dtype) for name, a in (("W", 0.1 * W), ("visible_bias", b), ("hidden_bias", c))}


@pytest.fixture(scope="module")
def recorded():
    return {5: parameters(1.0), 0: parameters(0.1), 12: parameters(-1.5), 1: parameters(0.5)}


@pytest.fixture(scope="module")
def images():
    return (np.random.default_rng(1).random((30, 784)) < 0.2).astype(np.float32)


@pytest.fixture
def panel(recorded, images):
    panel = EpochScrubber(recorded, images, seed=4)
    yield panel
    panel.close()


def machine(recorded, epoch):
    return RBM.from_parameters(**{name: array.astype(np.float32) for name, array in recorded[epoch].items()})


def visible(panel):
    return to_numpy(panel.v).copy()


def test_epochs_are_in_order_and_the_first_is_shown(panel):
    assert panel.epoch.options == (0, 1, 5, 12) and panel.epoch.value == 0


def test_in_one_epoch_the_chains_are_those_of_the_book(panel, recorded):
    """Bit for bit: the panel computes nothing itself."""
    panel.epoch.value = 5
    panel.reset()
    rng = generator(4)
    noise = Noise(rng)
    start = rng.integers(0, 2, (12, 784))
    np.testing.assert_array_equal(visible(panel), start)
    panel.step(25)
    v, means, h = next(islice(machine(recorded, 5).chains(start, noise), 24, None))
    for found, expected in ((panel.v, v), (panel.means, means), (panel.h, h)):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


def test_moving_keeps_the_states_and_changes_the_machine(panel, recorded):
    """Two machines by hand, one after the other, with one stream of random numbers."""
    panel.step(10)
    before, means = visible(panel), to_numpy(panel.means).copy()
    panel.epoch.value = 12
    np.testing.assert_array_equal(visible(panel), before)
    np.testing.assert_array_equal(to_numpy(panel.means), means)
    assert panel.steps == 10
    panel.step(7)
    rng = generator(4)
    noise, v = Noise(rng), rng.integers(0, 2, (12, 784))
    for epoch, steps in ((0, 10), (12, 7)):
        v, _, _ = next(islice(machine(recorded, epoch).chains(v, noise), steps - 1, None))
    np.testing.assert_array_equal(visible(panel), to_numpy(v))
    assert panel.epochs == [0] * 10 + [12] * 7


def test_passing_over_an_epoch_without_a_step_changes_nothing(panel):
    panel.step(5)
    panel.epoch.value = 12
    panel.epoch.value = 0
    panel.step(5)
    passed = visible(panel)
    panel.reset()
    panel.step(10)
    np.testing.assert_array_equal(visible(panel), passed)


def test_the_same_seed_and_clicks_give_the_same_chains(recorded, images):
    ends = []
    for seed in (2, 2, 3):
        panel = EpochScrubber(recorded, images, seed=seed)
        panel.speed.value = 5
        for panel.epoch.value in (0, 5, 1):
            panel.one.click()
        ends.append([visible(panel), panel.trace.pixels.copy()])
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][1], ends[1][1])
    assert not np.array_equal(ends[0][0], ends[2][0])


def test_reset_begins_anew_where_the_slider_is(panel):
    panel.epoch.value = 5
    panel.step(8)
    first = visible(panel)
    panel.step(8)
    panel.again.click()
    assert panel.steps == 0 and panel.epoch.value == 5 and panel.energies == panel.epochs == []
    panel.step(8)
    np.testing.assert_array_equal(visible(panel), first)


def test_chains_can_start_at_images(panel, images, recorded):
    panel.start.value = "images"
    np.testing.assert_array_equal(visible(panel), images[:12])
    few = EpochScrubber(recorded, images[:5])
    few.start.value = "images"
    np.testing.assert_array_equal(visible(few), images[np.arange(12) % 5])
    assert EpochScrubber(recorded).start.options == ("noise",)


def test_free_energies_are_those_of_the_machine_less_those_of_the_images(panel, recorded, images):
    for epoch in (5, 12):
        panel.epoch.value = epoch
        panel.step(3)
        W, b, c = (array.astype(np.float64) for array in recorded[epoch].values())
        chains, data = (-(v @ b) - np.logaddexp(0, v @ W + c).sum(axis=1) for v in (visible(panel), images))
        np.testing.assert_allclose(panel.energies[-1], chains - data.mean(), rtol=1e-4, atol=1e-3)
    plain = EpochScrubber(recorded)
    plain.step(1)
    rbm = RBM.from_parameters(**recorded[0])
    np.testing.assert_array_equal(plain.energies[0], to_numpy(rbm.free_energy(plain.v)))


def test_filters_are_of_the_same_units_on_one_scale(panel, recorded):
    """A weight has its colour whatever the epoch: half the weights, and colours half as strong."""
    limit, panes = panel.limit, {}
    for epoch in (12, 1):
        panel.epoch.value = epoch
        assert panel.limit == limit
        panes[epoch] = panel.filters.pixels.astype(int)
        W = recorded[epoch]["W"].astype(np.float32)
        for unit in (0, 9, 63):
            row, column = unit // 8 * 29, unit % 8 * 29
            tile = panes[epoch][row : row + 28, column : column + 28].reshape(784, 3)
            w = W[:, unit]
            assert (tile[w > 0.02, 0] > tile[w > 0.02, 2]).all() and (tile[w < -0.02, 0] < tile[w < -0.02, 2]).all()
    strength = {epoch: np.abs(pane[..., 0] - pane[..., 2]).mean() for epoch, pane in panes.items()}
    assert strength[12] > 1.5 * strength[1]
    assert panes[1].shape == (231, 231, 3)


def test_a_change_of_epoch_is_marked_in_the_trace(panel):
    panel.step(150)
    column = 46 + round(150 * (439 - 46) / 300)
    assert (panel.trace.pixels[40:, column - 1 : column + 2].max(axis=2) > 0).all(axis=0).all()
    panel.epoch.value = 5
    panel.step(10)
    dark = (panel.trace.pixels[40:, column - 2 : column + 3].max(axis=2) == 0).sum(axis=0)
    assert dark.max() > 60


def test_old_steps_are_forgotten(panel):
    panel.step(310)
    assert len(panel.energies) == len(panel.epochs) == 300 and panel.steps == 310


def test_small_machines_and_float64():
    rng = np.random.default_rng(2)
    small = {"W": rng.standard_normal((16, 5)), "visible_bias": np.zeros(16), "hidden_bias": np.zeros(5)}
    panel = EpochScrubber({3: small})
    panel.step(4)
    assert panel.rbm.W_.dtype == np.float64 and panel.v.shape == (12, 16)
    assert panel.picture().width < 1000


def test_what_does_not_fit_is_refused(recorded, images):
    with pytest.raises(ValueError, match="no epoch"):
        EpochScrubber({})
    with pytest.raises(ValueError, match="expected epochs that are numbers, found 'last'"):
        EpochScrubber({0: parameters(1.0), "last": parameters(1.0)})
    with pytest.raises(ValueError, match=r"epoch 7 have shapes.*\(784, 60\).*expected.*\(784, 70\)"):
        EpochScrubber(recorded | {7: parameters(1.0, n_hidden=60)})
    with pytest.raises(ValueError, match="epoch 0 have shapes"):
        EpochScrubber({0: parameters(1.0) | {"hidden_bias": np.zeros(3)}})
    with pytest.raises(ValueError, match="square"):
        EpochScrubber({0: {"W": np.zeros((10, 3)), "visible_bias": np.zeros(10), "hidden_bias": np.zeros(3)}})
    with pytest.raises(ValueError, match=r"images: expected an array of shape \(n, 784\).*found \(30, 700\)"):
        EpochScrubber(recorded, images[:, :700])
    for bad, found in ((255 * images, "pixels from 0 to 1, found 0 to 255"), (np.nan * images, "finite numbers")):
        with pytest.raises(ValueError, match=f"images: expected {found}"):
            EpochScrubber(recorded, bad)


def test_what_was_recorded_stays_as_it_was(recorded, images):
    before = {epoch: {name: array.copy() for name, array in machine.items()} for epoch, machine in recorded.items()}
    panel = EpochScrubber(recorded, images)
    for panel.epoch.value in (12, 0):
        panel.step(3)
    for epoch, arrays in recorded.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, before[epoch][name])


def test_a_training_can_be_recorded_by_watching_it(images):
    """As a chapter does: what is recorded is the machine of that epoch, not that of the end."""
    recorded, ends = {}, []

    def watch(rbm):
        recorded[len(recorded) + 1] = {
            name: to_numpy(array).astype(np.float16) for name, array in rbm.parameters_.items()
        }
        ends.append(to_numpy(rbm.W_).copy())

    RBM(n_hidden=10, learning_rate=0.05, batch_size=10, n_epochs=3, random_state=0).fit(images, watch=watch)
    panel = EpochScrubber(recorded, images)
    for panel.epoch.value, W in zip((1, 2, 3), ends):
        np.testing.assert_allclose(to_numpy(panel.rbm.W_), W, rtol=1e-3, atol=1e-4)
    assert not np.allclose(ends[0], ends[2], rtol=1e-3, atol=1e-4), "so the epochs can be told apart"


def test_it_runs_on_when_the_epoch_changes(recorded, images):
    async def play():
        panel = EpochScrubber(recorded, images)
        panel.play.value = True
        for epoch in (0, 5):
            panel.epoch.value = epoch
            for _ in range(100):
                await asyncio.sleep(0.02)
                if epoch in panel.epochs:
                    break
        assert panel.running and set(panel.epochs) == {0, 5}
        panel.close()

    asyncio.run(play())
