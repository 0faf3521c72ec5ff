"""The puck and the walk beside it, without a kernel: both are the book's chains, at one cost, from one start."""

import numpy as np
import pytest

from companion.backend import generator, to_device, to_numpy
from companion.diagnostics import effective_sample_size
from companion.hmc import HMC, Metropolis
from companion.widgets.puck import HEAD, LANDSCAPES, REJECTED, SIDE, Puck


@pytest.fixture
def panel():
    panel = Puck(seed=4)
    yield panel
    panel.close()


def test_both_chains_are_those_of_the_book(panel):
    """Bit for bit, and from one start: the panel computes nothing itself."""
    panel.mass.value = 2.0
    place, first, second = generator(4).spawn(3)
    target = LANDSCAPES["banana"]
    start = to_device(target.draw(1, place))
    np.testing.assert_array_equal(panel.slid, to_numpy(start))
    np.testing.assert_array_equal(panel.walked, to_numpy(start))
    panel.step(30)
    puck = HMC(target.energy, target.gradient, start, step_size=panel.step_size.value, n_steps=20,
               mass=[1.0, panel.mass.value], random_state=first)  # fmt: skip
    walk = Metropolis(target.energy, start, step_size=0.5, random_state=second)
    np.testing.assert_array_equal(panel.slid[1:], to_numpy(puck.draw(30))[:, 0])
    np.testing.assert_array_equal(panel.walked[1:], to_numpy(walk.draw(600))[:, 0])
    expected = effective_sample_size(np.array(panel.slid)[:, 0]), effective_sample_size(np.array(panel.walked)[:, 0])
    assert panel.worth == expected


def test_one_seed_is_one_run_in_frames_of_any_size(panel, frames):
    panel.step(37)
    together = frames(panel)
    panel.again.click()
    assert panel.steps == 0 and not panel.accepted.any()
    for panel.speed.value in (20, 5, 5, 5, 1, 1):
        panel.one.click()
    for now, before in zip(frames(panel), together):
        np.testing.assert_array_equal(now, before)
    panel.seed.value = 5
    panel.step(37)
    assert any((a != b).any() for a, b in zip(frames(panel), together))


def test_rejected_ends_are_kept_and_counted(panel):
    panel.step_size.value = 0.4
    panel.step(30)
    moved = np.ptp(np.diff(panel.slid, axis=0), axis=1) > 0
    assert 0 < len(panel.rejected) == 30 - panel.accepted[0] and panel.accepted[0] == moved.sum()
    panel.step(100)
    assert len(panel.rejected) == REJECTED


def test_the_puck_is_where_it_is_drawn(panel):
    """Its colour is found on the map, at the place of the state."""
    panel.step(10)
    left, right, bottom, top = panel.target.limits
    x, y = panel.slid[-1]
    column, row = SIDE * (x - left) / (right - left), HEAD + SIDE * (top - y) / (top - bottom)
    np.testing.assert_array_equal(panel.maps.pixels[round(row), round(column)], [0x00, 0x72, 0xB2])


@pytest.mark.parametrize(
    ("control", "value"),
    [("landscape", "funnel"), ("step_size", 0.5), ("length", 3), ("mass", 5.0), ("walk_step", 2.0), ("seed", 9)],
)
def test_it_begins_anew_when_the_problem_changes(panel, control, value):
    panel.step(5)
    getattr(panel, control).value = value
    assert panel.steps == 0 and len(panel.slid) == len(panel.walked) == 1 and panel.rejected == []
    panel.step(5)
    assert len(panel.walked) == 1 + 5 * panel.length.value


def test_a_puck_that_flies_off_is_drawn_and_said(panel):
    """Far too large a step: every end is rejected, most of them out of sight."""
    panel.landscape.value, panel.step_size.value = "ridge", 3.0
    panel.step(12)
    assert panel.accepted[0] == 0 and np.isnan(panel.worth[0]) and panel.worth[1] > 0


@pytest.mark.filterwarnings("error")
def test_a_puck_as_far_away_as_numbers_go_is_out_of_sight(panel):
    far = np.array([[1e308, -1e308], [np.inf, np.nan]])
    assert ((panel._pixels(far) == -99) | (panel._pixels(far) == SIDE + 99)).all()


def test_old_states_are_forgotten(panel, monkeypatch):
    monkeypatch.setattr("companion.widgets.puck.KEPT", 50)
    panel.step(60)
    assert len(panel.slid) == len(panel.walked) == 50 and panel.steps == 60 and min(panel.worth) > 0


@pytest.mark.parametrize("landscape", ["banana", "two hills"])
def test_the_picture_for_pages_without_a_kernel(landscape):
    panel = Puck(landscape)
    panel.step(20)
    bundle, metadata = panel._repr_mimebundle_()
    assert bundle["image/png"][:4] == b"\x89PNG" and len(metadata["image/png"]["alt"]) > 20
    picture = np.asarray(panel.picture())
    assert picture.shape[1] < 1000 and len(np.unique(picture @ [65536, 256, 1])) > 12
    panel.close()


def test_a_few_states_are_worth_nothing_yet_and_what_is_said_of_the_walk_is_the_walks(panel, monkeypatch):
    said = []
    monkeypatch.setattr("companion.widgets.puck.text", lambda image, place, words, *_: said.append(words))
    panel.step(5)
    assert f"random walk: 100 moves, {panel.accepted[1] / 100:.0%} accepted" in said
    assert np.isnan(panel.worth[0]) and panel.worth[1] > 0


def test_a_puck_that_was_rejected_stays_where_it_was(panel):
    panel.step_size.value = 0.4
    panel.step(1)
    while panel.puck.accepted[0]:
        panel.step(1)
    left, right, bottom, top = panel.target.limits
    x, y = panel.slid[-1]
    column, row = SIDE * (x - left) / (right - left), HEAD + SIDE * (top - y) / (top - bottom)
    np.testing.assert_array_equal(panel.maps.pixels[round(row), round(column)], [0x00, 0x72, 0xB2])


def test_lags_are_counted_in_evaluations(panel):
    """Twenty lags of the puck, of twenty steps each, reach as far as four hundred of the walk."""
    panel.step(60)
    lags = panel.curves.pixels[HEAD : HEAD + 100, -120:]
    assert (lags == [0x00, 0x72, 0xB2]).all(axis=2).any()


def test_what_a_screen_reader_is_told_is_of_now(panel):
    panel.step(5)
    assert "after 5 moves" in panel.maps.label
    panel.reset()
    assert "after 0 moves, 0% of them accepted" in panel.maps.label
