"""The stack without a kernel: up by the weights that lead up, down by those that lead down."""

import numpy as np
import pytest

from companion.backend import Noise, generator, to_numpy
from companion.dbn import DBN
from companion.functions import bernoulli, sigmoid
from companion.widgets import Stack

SIZES = 784, 9, 8, 6


@pytest.fixture(scope="module")
def untied():
    """A network as `companion.wake_sleep.UpDown` leaves it: the way down has weights of its own."""
    rng, p = np.random.default_rng(0), {}
    for i, (n_in, n_out) in enumerate(zip(SIZES, SIZES[1:]), start=1):
        p |= {f"W{i}": rng.normal(0, 0.5, (n_in, n_out)), f"b{i}": rng.normal(size=n_out),
              f"visible_bias{i}": rng.normal(size=n_in), f"down_W{i}": rng.normal(0, 0.5, (n_in, n_out))}  # fmt: skip
    del p["down_W3"]
    return DBN.from_parameters({name: array.astype(np.float32) for name, array in p.items()})


@pytest.mark.parametrize("way", ["means", "draws"])
def test_each_layer_comes_down_by_the_weights_that_lead_down(untied, way):
    image, p = np.random.default_rng(1).random((1, 784)).astype(np.float32), untied.parameters_
    panel, noise = Stack(untied, image, seed=5), Noise(generator(5))
    panel.way.value = way

    def passed(means):
        return bernoulli(means, noise) if way == "draws" else means

    up = image
    for layer in (1, 2, 3):
        panel.step()
        up = passed(sigmoid(up @ p[f"W{layer}"] + p[f"b{layer}"]))
        down = up
        for k in range(layer, 0, -1):
            means = sigmoid(down @ p["W3" if k == 3 else f"down_W{k}"].T + p[f"visible_bias{k}"])
            down = passed(means) if k > 1 else means
        np.testing.assert_allclose(panel.down[-1], to_numpy(down)[0], atol=1e-6)
    panel.close()


def test_what_is_said_of_a_layer_is_of_its_units_and_of_the_digit_drawn(untied):
    images = np.random.default_rng(1).random((1, 784)).astype(np.float32)
    before, panel = images.copy(), Stack(untied, images, seed=5)
    panel.paint([(5, 7, False)])
    assert (panel.image.reshape(28, 28)[5:7, 7:9] == 1).all()
    np.testing.assert_array_equal(images, before)
    panel.step()
    assert f"{to_numpy(panel.codes[1]).mean():.0%} of 9 on" in panel.grids[0].caption
    assert f"squared error {((panel.down[0] - panel.image) ** 2).sum():.1f}" in panel.returns[0].caption
    panel.close()


def test_it_rests_at_the_top(untied, monkeypatch):
    panel, rests = Stack(untied, np.zeros((1, 784))), []
    monkeypatch.setattr(panel, "pause", lambda: rests.append(len(panel.codes)))
    for _ in range(3):
        panel.step()
    assert rests == [4]
