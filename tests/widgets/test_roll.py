"""The growing piano roll without a kernel: what is drawn stays, what is written is the model's."""

import numpy as np
import pytest

from companion import music
from companion.backend import Noise, generator, to_numpy
from companion.music import LOWEST, N_KEYS
from companion.rnnrbm import RNNRBM
from companion.widgets.roll import GIVEN, LATE, NOW, TEMPO, WAITING, WRITTEN, Roll


@pytest.fixture(scope="module")
def model():
    model, rng = RNNRBM(n_hidden=5, n_recurrent=4), np.random.default_rng(0)
    shapes = model._shapes(N_KEYS)
    model._restore({name: (0.3 * rng.standard_normal(s)).astype(np.float32) for name, s in shapes.items()}, N_KEYS)
    model.parameters_["visible_bias"] -= 2
    return model


@pytest.fixture
def panel(model):
    panel = Roll(model, [72, 0, 74], n_steps=12, seed=3)
    panel.steps.value = 25
    return panel


def test_it_writes_what_the_model_writes(panel, model):
    panel.step(12)
    clamp = np.full((3, N_KEYS), np.nan)
    for t, number in ((0, 72), (2, 74)):
        clamp[t, number - LOWEST :] = 0
        clamp[t, number - LOWEST] = 1
    noise = Noise(generator(3))
    expected = model.generate(12, clamp=clamp, steps=25, random_state=noise)
    np.testing.assert_array_equal(panel.music, expected)


def test_one_seed_is_one_piece(panel):
    panel.step(12)
    first = np.array(panel.music)
    panel.again.click()
    assert not panel.music
    for _ in range(12):
        panel.one.click()
    np.testing.assert_array_equal(panel.music, first)
    panel.seed.value = 4
    panel.step(12)
    assert (np.array(panel.music) != first).any()


def test_a_melody_is_drawn_kept_and_erased(panel):
    row = N_KEYS - 1 - (76 - LOWEST)
    panel.paint([(row, 5, False), (row, 99, False)])
    assert panel.melody[5] == 76 - LOWEST + 1
    panel.step(8)
    keys = panel.music[5]
    assert keys[76 - LOWEST] == 1 and not keys[76 - LOWEST + 1 :].any(), "it sounds, and is the highest"
    panel.paint([(0, 5, True)])
    assert panel.melody[5] == 0 and panel.given(5) is None
    panel.erase.click()
    assert not panel.melody.any()


def test_the_page_shows_what_stands_there(panel):
    panel.paint([(0, 11, False)])
    panel.step(6)
    page = panel.page.pixels
    assert page.shape == (N_KEYS, 12, 3)
    np.testing.assert_array_equal(page[0, 11], WAITING)
    np.testing.assert_array_equal(page[N_KEYS - 1 - (72 - LOWEST), 0], GIVEN)
    np.testing.assert_array_equal(page[5, 6], NOW)
    blue = (page == WRITTEN).all(axis=2)[::-1, :6].T
    given = (page == GIVEN).all(axis=2)[::-1, :6].T
    np.testing.assert_array_equal(blue | given, np.array(panel.music) > 0.5)


def test_what_is_painted_over_a_written_step_waits_for_the_next_piece(panel):
    panel.step(6)
    before = np.array(panel.music)
    free = int(np.flatnonzero(panel.music[3][:40] == 0)[0])
    panel.paint([(N_KEYS - 1 - free, 3, False)])
    np.testing.assert_array_equal(panel.music, before)
    np.testing.assert_array_equal(panel.page.pixels[N_KEYS - 1 - free, 3], LATE)
    assert "1 changed too late: Reset takes them in" in panel.page.caption
    panel.reset()
    np.testing.assert_array_equal(panel.page.pixels[N_KEYS - 1 - free, 3], WAITING)
    assert "too late" not in panel.page.caption


def test_what_was_given_stays_so_and_what_was_written_too(panel):
    """Whatever is drawn over it, or erased."""
    panel.step(6)
    before = panel.page.pixels.copy()
    written = int(np.flatnonzero(panel.music[5])[0])
    panel.paint([(N_KEYS - 1 - written, 5, False)])
    np.testing.assert_array_equal(panel.page.pixels[:, :6], before[:, :6])
    panel.erase.click()
    np.testing.assert_array_equal(panel.page.pixels[:, :6], before[:, :6])


def test_the_page_ends_and_it_stops(panel):
    panel.step(50)
    assert len(panel.music) == 12 and "full" in panel.page.caption
    panel.step()
    assert len(panel.music) == 12


def test_the_temperature_is_that_of_the_next_steps(panel, model):
    panel.temperature.value = 0.5
    panel.step(1)
    clamp = panel.given(0)
    expected = model.draw(model.silence(), Noise(generator(3)), clamp, 25, 2.0)
    np.testing.assert_array_equal(panel.music[0], to_numpy(expected))


def test_it_is_heard(panel):
    panel.listen.click()
    assert len(panel.sound.value) < 50, "nothing stands there yet"
    panel.step(2)
    panel.listen.click()
    assert panel.sound.value[:4] == b"RIFF" and len(panel.sound.value) < 300_000


def test_a_model_of_other_keys_is_refused():
    other = RNNRBM(n_hidden=2, n_recurrent=2, n_epochs=0).fit([np.eye(88)])
    with pytest.raises(ValueError, match="expected one of 46 keys, found one of 88"):
        Roll(other)


@pytest.mark.parametrize("note", [30, 82, 60.5, np.nan, -1])
def test_a_melody_keeps_to_the_keys(model, note):
    with pytest.raises(ValueError, match=f"expected notes from 36 to 81, 0 for silence, found {note}"):
        Roll(model, [60, note])


def test_a_melody_is_one_voice(model):
    with pytest.raises(ValueError, match=r"melody: expected the shape \(n,\), one note a quarter, found \(2, 4\)"):
        Roll(model, np.full((2, 4), 60))


def test_rows_of_black_keys_are_darker(panel):
    rows = [N_KEYS - 1 - (number - LOWEST) for number in (60, 61, 70, 71)]
    assert [bool((panel.page.pixels[row, 1] < 255).all()) for row in rows] == [False, True, True, False]


def test_it_is_heard_at_the_tempo_of_the_page(panel):
    panel.step(2)
    panel.listen.click()
    assert len(panel.sound.value) == 44 + 2 * 2 * int(music.RATE * 60 / TEMPO)


def test_a_melody_may_be_longer_than_the_page(model):
    assert (Roll(model, [60] * 20, n_steps=12).melody == 60 - LOWEST + 1).all()
