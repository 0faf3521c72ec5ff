"""The Gibbs lab without a kernel: its chains are the machine's, and its controls do what they say."""

import json
from itertools import islice

import numpy as np
import pytest

from companion.backend import Noise, generator, to_device, to_numpy
from companion.places import JUPYTER
from companion.rbm import RBM
from companion.results import load_weights
from companion.widgets import GibbsLab


@pytest.fixture(scope="module")
def rbm():
    return RBM.from_parameters(**load_weights("rbm"))


@pytest.fixture
def lab(rbm, rng):
    return GibbsLab(rbm, (rng.random((5, 784)) < 0.3).astype(np.float32), seed=3)


def row(i, columns, erase=False):
    return [(i, j, erase) for j in columns]


def test_the_chain_is_that_of_the_machine(lab, rbm):
    """Bit for bit: the panel computes nothing itself."""
    start = to_numpy(lab.v)
    rng = generator(3)
    assert (start == rng.integers(0, 2, (1, 784))).all()
    lab.step(7)
    v, means, h = next(islice(rbm.chains(start, Noise(rng)), 6, None))
    for found, expected in ((lab.v, v), (lab.means, means), (lab.h, h)):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))
    assert lab.steps == 7 and len(lab.energies) == 7
    np.testing.assert_array_equal(lab.energies[-1], to_numpy(rbm.free_energy(v)))


def test_the_same_seed_and_the_same_clicks_give_the_same_chains(lab):
    def play(seed=8):
        lab.seed.value = seed
        lab.n_chains.value = 3
        lab.reset()
        lab.step(5)
        lab.paint(row(9, range(4, 20)))
        lab.step(5)
        lab.beta.value = 0.7
        lab.step(5)
        frames = [canvas.pixels.copy() for canvas in (lab.pad, lab.tiles, lab.hidden, lab.trace)]
        lab.free()
        lab.beta.value = 1
        return frames

    for first, second in zip(play(), play()):
        np.testing.assert_array_equal(first, second)
    assert (play(9)[1] != play()[1]).any()


def test_clamped_pixels_never_change_and_come_free_again(lab):
    lab.n_chains.value = 4
    lab.paint(row(5, range(6, 20)))
    lab.brush.value = "off"
    lab.paint(row(20, range(6, 20)))
    on = np.zeros((28, 28), bool)
    on[5:7, 6:21] = True
    off = np.roll(on, 15, axis=0)
    np.testing.assert_array_equal(lab.held.reshape(28, 28), on | off)
    for _ in range(30):
        lab.step()
        v = to_numpy(lab.v).reshape(4, 28, 28)
        assert (v[:, on] == 1).all() and (v[:, off] == 0).all()
    frame = lab.pad.pixels
    assert len(np.unique(frame[on], axis=0)) == len(np.unique(frame[off], axis=0)) == 1, "each in its own colour"

    lab.paint(row(5, range(6, 20), erase=True))
    np.testing.assert_array_equal(lab.held.reshape(28, 28), off)
    lab.brush.value = "free"
    lab.paint(row(20, range(6, 20)))
    assert not lab.held.any()
    before = to_numpy(lab.v)
    lab.step(30)
    assert (to_numpy(lab.v) != before)[:, on.ravel()].any()


def test_what_is_said_of_the_first_chain_is_of_the_pixels_that_are_shown(rbm, rng, parity):
    lab = GibbsLab(rbm, (rng.random((5, 784)) < 0.3).astype(np.float32), parity, seed=3)
    lab.step(1)
    assert "looks like" in lab.pad.caption
    lab.paint([(i, j, False) for i in range(0, 28, 2) for j in range(0, 28, 2)])
    assert f"free energy {float(rbm.free_energy(lab.v[:1])[0]):.0f} nats" in lab.pad.caption
    read, changes = parity.predict(to_numpy(lab.means)), lab.switches.copy()
    assert f"looks like {read[0]}," in lab.pad.caption
    lab.step(1)
    again = parity.predict(to_numpy(lab.means))
    np.testing.assert_array_equal(lab.switches, changes + (again != read))
    lab.close()


def test_painting_stays_on_the_pad(lab):
    lab.paint([(27, 27, False), (0, 27, False), (27, 0, False)])
    held = lab.held.reshape(28, 28)
    assert held.sum() == 5 and held[27, 27] and held[:2, 27].all() and held[27, :2].all()


def test_chains_start_where_they_are_told(lab):
    lab.start.value = "digit"
    lab.number.value = 2
    lab.n_chains.value = 3
    assert (to_numpy(lab.v) == lab.images[2]).all()
    lab.paint(row(10, range(5, 15)))
    lab.start.value = "drawing"
    assert to_numpy(lab.v)[0].sum() == 2 * 11 and not lab.held.any(), "a start is no clamp"
    assert lab.steps == 0


def test_temperature_is_that_of_the_machine(lab, rbm):
    lab.beta.value = 0.3
    state, rng = lab.v, lab.noise
    rng = Noise(np.random.Generator(type(rng._rng.bit_generator)()))
    rng._rng.bit_generator.state = lab.noise._rng.bit_generator.state
    rng.renew()
    lab.step(3)
    v, *_ = next(islice(rbm.chains(to_device(state), rng, inverse_temperature=0.3), 2, None))
    np.testing.assert_array_equal(to_numpy(lab.v), to_numpy(v))


def test_changes_of_digit_are_counted(rbm, rng, parity):
    lab = GibbsLab(rbm, rng.random((2, 784)), parity, seed=0)
    lab.n_chains.value = 2
    labels = []
    for _ in range(20):
        lab.step()
        labels.append(parity.predict(to_numpy(lab.means)))
    expected = (np.diff(labels, axis=0) != 0).sum(axis=0)
    np.testing.assert_array_equal(lab.switches, expected)
    assert f"{expected.sum()} changes of digit" in lab.tiles.caption
    lab.reset()
    lab.step(20)  # a frame of many steps counts as many
    np.testing.assert_array_equal(lab.switches, expected)


def test_the_stored_picture_of_the_lab_is_described_as_the_panel_is():
    """The notebook that opens for a projector was executed, and not before the panel's last change."""
    notebook = json.loads((JUPYTER / "gibbs_lab.ipynb").read_text(encoding="utf8"))
    (cell,) = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    (output,) = cell["outputs"]
    assert cell["execution_count"] == 1 and "".join(output["data"]["text/plain"]) == GibbsLab.description
    assert output["metadata"]["image/png"]["alt"] == GibbsLab.description and output["data"]["image/png"]


def test_grey_digits_begin_in_black_and_white_and_draws_can_be_shown(rbm, images):
    lab = GibbsLab(rbm, images, seed=3)
    lab.start.value, lab.shown.value = "digit", "v"
    assert set(np.unique(to_numpy(lab.v))) == {0, 1}
    lab.step(1)
    np.testing.assert_array_equal(lab.pad.pixels[..., 0], 255 * to_numpy(lab.v)[0].reshape(28, 28))


def test_a_drawing_is_freed_with_its_pixels_and_old_steps_are_forgotten(lab, monkeypatch):
    monkeypatch.setattr("companion.widgets.gibbs_lab.REMEMBERED", 5)
    lab.paint(row(9, range(4, 20)))
    lab.step(9)
    lab.release.click()
    lab.step(1)
    assert len(lab.energies) == 5
    lab.start.value = "drawing"
    assert not to_numpy(lab.v).any()


def test_a_machine_of_other_than_binary_pixels_is_refused(images):
    gaussian = RBM(n_hidden=2, n_epochs=1, visible="gaussian", random_state=0).fit(images)
    with pytest.raises(ValueError, match="binary"):
        GibbsLab(gaussian, images)
