"""Dreams without a kernel: the chains are those of the network, the labels are kept, and can change on the way."""

from itertools import islice

import numpy as np
import pytest

from companion.backend import Noise, generator, to_numpy
from companion.dbn import DBN
from companion.widgets import Dreams


@pytest.fixture(scope="module")
def dbn():
    rng, sizes, p = np.random.default_rng(0), (784, 9, 6), {}
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:]), start=1):
        p |= {f"W{i}": rng.normal(0, 0.5, (n_in, n_out)), f"b{i}": rng.normal(size=n_out),
              f"visible_bias{i}": rng.normal(size=n_in)}  # fmt: skip
    p |= {"label_weights": rng.normal(0, 2, (10, 6)), "label_bias": rng.normal(size=10)}
    return DBN.from_parameters({name: array.astype(np.float32) for name, array in p.items()})


@pytest.fixture
def panel(dbn, parity):
    panel = Dreams(dbn, parity, seed=2)
    yield panel
    panel.close()


def labels(panel):
    return to_numpy(panel.v)[:, 9:]


@pytest.mark.parametrize("label", ["any", 7])
def test_the_chains_are_those_of_the_machine_on_top(panel, dbn, label):
    panel.label.value = label
    start = to_numpy(panel.v).copy()
    panel.step(8)
    noise, down = map(Noise, generator(2).spawn(2))
    clamp = None if label == "any" else np.arange(19) >= 9
    v = next(islice(dbn.top_.chains(start, noise, clamp), 7, None))[0]
    np.testing.assert_array_equal(to_numpy(panel.v), to_numpy(v))
    dbn.propdown(start, down)  # the pictures of the start
    np.testing.assert_array_equal(panel.images, to_numpy(dbn.propdown(v, down)))
    np.testing.assert_array_equal(panel.large.pixels[..., 0], np.uint8(255 * panel.images[0]).reshape(28, 28))


def test_a_label_is_kept_and_can_change_while_the_codes_go_on(panel):
    panel.step(3)
    codes = to_numpy(panel.v)[:, :9].copy()
    panel.label.value = 4
    np.testing.assert_array_equal(to_numpy(panel.v)[:, :9], codes)
    for label in (4, 1):
        panel.label.value = label
        panel.step(5)
        np.testing.assert_array_equal(labels(panel), np.tile(np.arange(10) == label, (12, 1)))
    panel.label.label = "any"
    assert panel.label.index == 0, "the button stays pressed"
    panel.step(20)
    assert (labels(panel) != np.tile(np.arange(10) == 1, (12, 1))).any(), "free again"


def test_one_seed_is_one_dream(panel, frames):
    def play():
        panel.label.label = "any"
        panel.again.click()
        panel.step(5)
        panel.label.value = 3
        panel.beta.value = 0.8
        panel.step(5)
        panel.beta.value = 1
        return frames(panel)

    first = play()
    for now, before in zip(play(), first):
        np.testing.assert_array_equal(now, before)
    panel.seed.value = 3
    assert any((now != before).any() for now, before in zip(play(), first))


def test_labels_that_are_read_as_words_count(dbn):
    class Words:
        def predict(self, images):
            return np.array(["7"] * 3 + ["1"] * (len(images) - 3))

    panel = Dreams(dbn, Words())
    panel.label.value = 7
    panel.step(1)
    assert "25% as asked for" in panel.tiles.caption
    panel.close()


def test_chains_are_as_many_as_asked_for_and_read_by_the_classifier(panel, parity):
    panel.n_chains.value = 20
    panel.label.value = 1
    panel.step(2)
    assert panel.v.shape == (20, 19) and panel.images.shape == (20, 784)
    share = (parity.predict(panel.images) == 1).mean()
    assert f"{share:.0%} as asked for" in panel.tiles.caption and "step 2" in panel.large.caption


def test_what_is_asked_for_is_said_and_its_bars_have_another_colour(panel):
    def has(color):
        return (panel.bars.pixels == color).all(axis=2).any()

    held, free = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)
    assert has(free) and not has(held) and "asked for any digit" in panel.large.caption
    panel.label.value = 7
    panel.step(1)
    assert has(held) and not has(free) and "asked for a 7" in panel.large.caption
