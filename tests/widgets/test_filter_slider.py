"""The sliding filter without a kernel: every sum is what a loop finds, and the map holds those that were visited."""

import asyncio

import numpy as np
import pytest

from companion.backend import to_device, to_numpy
from companion.image_layers import Conv2D
from companion.widgets import FilterSlider
from companion.widgets.drawing import blue_red
from companion.widgets.filter_slider import BY_HAND


@pytest.fixture
def learned(rng):
    return rng.normal(size=(3, 5, 5))


@pytest.fixture
def panel(images, learned):
    panel = FilterSlider(images, learned, seed=3)
    yield panel
    panel.close()


def loop(image, kernel):
    """Sums of products, window by window: no filter is turned."""
    image, sums = image.reshape(28, 28).astype(float), np.zeros((24, 24))
    for y in range(24):
        for x in range(24):
            sums[y, x] = sum(kernel[i, j] * image[y + i, x + j] for i in range(5) for j in range(5))
    return sums


def convolution(image, kernel):
    """The same from the layer, with its images innermost."""
    layer = Conv2D(to_device(np.float32(kernel[None, None])), to_device(np.zeros(1, np.float32)))
    return to_numpy(layer.forward(to_device(image.reshape(1, 28, 28, 1))))[0, ..., 0]


def place_in_map(panel, row, column):
    """The colour in the middle of a place of the map."""
    return panel.map.pixels[10 * row + 5, 10 * column + 3]


def test_every_filter_gives_the_sums_of_a_loop_and_the_bits_of_the_layer(panel, images):
    panel.number.value = 2
    assert [name for name in panel.filters if name.startswith("learned")] == [f"learned, no. {i}" for i in range(3)]
    for name, kernel in panel.filters.items():
        panel.filter.value = name
        np.testing.assert_allclose(panel.feature_map, loop(images[2], kernel), atol=1e-5)
        np.testing.assert_array_equal(panel.feature_map, convolution(images[2], kernel))


def test_one_pixel_selects_the_middle_of_the_window(panel, images):
    panel.filter.value = "one pixel"
    np.testing.assert_array_equal(panel.feature_map, images[0].reshape(28, 28)[2:26, 2:26])


def test_hand_made_filters_see_what_their_names_say():
    upright = np.zeros((28, 28), np.float32)
    upright[:, 14:] = 1
    even = np.ones((28, 28), np.float32)
    for name, sees_upright, sees_lying, sees_even in (
        ("vertical edge", True, False, False), ("horizontal edge", False, True, False), ("outline", True, True, False),
        ("blur", True, True, True),
    ):  # fmt: skip
        for image, sees in ((upright, sees_upright), (upright.T, sees_lying), (even, sees_even)):
            assert (np.abs(loop(image, BY_HAND[name])).max() > 0.3) == sees, name
    assert loop(upright, BY_HAND["vertical edge"]).max() > 0, "positive where it becomes brighter to the right"


def test_a_scan_goes_line_by_line_and_fills_the_map(panel):
    assert panel.seen.sum() == 1
    for steps in range(1, 100):
        panel.one.click()
        assert (panel.row.value, panel.column.value) == divmod(steps, 24)
        if steps == 30:
            colours = blue_red(panel.feature_map, np.abs(panel.feature_map).max())
            np.testing.assert_array_equal(place_in_map(panel, 1, 2), colours[1, 2])
            np.testing.assert_array_equal(place_in_map(panel, 1, 7), (225, 225, 225))
    np.testing.assert_array_equal(np.flatnonzero(panel.seen), range(100))
    panel.place(23, 23)
    panel.step()
    assert (panel.row.value, panel.column.value) == (0, 0)
    panel.again.click()
    assert panel.seen.sum() == 1 and panel.steps == 0


def test_sliders_put_the_window_and_draw_once(panel):
    panel.row.value, panel.column.value = 20, 7
    assert np.argwhere(panel.seen).tolist() == [[0, 0], [20, 0], [20, 7]]
    before = panel.pad.number
    panel.place(3, 4)
    assert panel.pad.number == before + 1 and (panel.row.value, panel.column.value) == (3, 4)
    tinted = np.argwhere(np.ptp(panel.pad.pixels, axis=2) > 0)
    assert tinted.min(axis=0).tolist() == [3, 4] and tinted.max(axis=0).tolist() == [7, 8] and len(tinted) == 25
    assert "row 3, column 4" in panel.pad.caption


def test_painting_alters_the_map_only_where_windows_hold_the_pixels(panel):
    panel.empty.click()
    panel.whole.click()
    assert panel.seen.all() and not panel.feature_map.any()
    panel.filter.value = "blur"
    panel.paint([(10, 12, False), (20, 20, False), (20, 20, True)])
    expected = np.zeros((28, 28))
    expected[10:12, 12:14] = 1
    np.testing.assert_array_equal(panel.image.reshape(28, 28), expected)
    assert np.argwhere(panel.feature_map).min(axis=0).tolist() == [6, 8]
    assert np.argwhere(panel.feature_map).max(axis=0).tolist() == [11, 13]
    assert panel.feature_map[9, 9] == pytest.approx(4 / 25)


def test_images_given_are_left_as_they_are(panel, images):
    before = images.copy()
    panel.paint([(5, 5, False), (9, 9, True)])
    np.testing.assert_array_equal(images, before)


def test_the_random_filter_is_the_seed_s(panel, frames):
    def play(seed):
        panel.number.value, panel.seed.value, panel.filter.value = 1, seed, "random"
        panel.again.click()
        for _ in range(10):
            panel.one.click()
        return frames(panel)

    first, other = play(3), play(4)
    assert any((a != b).any() for a, b in zip(first, other))
    for a, b in zip(first, play(3)):
        np.testing.assert_array_equal(a, b)


def test_a_run_ends_at_the_last_place(images):
    async def play():
        panel = FilterSlider(images)
        panel.place(23, 21)
        panel.play.value = True
        for _ in range(50):
            await asyncio.sleep(0.05)
            if not panel.running:
                break
        assert not panel.running and not panel.play.value
        assert (panel.row.value, panel.column.value, panel.steps) == (23, 23, 2)
        panel.close()

    asyncio.run(play())


def test_the_pooled_map_has_the_largest_of_four_places_once_all_are_seen(panel):
    panel.place(0, 1)
    panel.place(1, 0)
    np.testing.assert_array_equal(panel.pooled.pixels[0, 0], (225, 225, 225))
    panel.whole.click()
    values = panel.feature_map
    largest = [[values[i : i + 2, j : j + 2].max() for j in range(0, 24, 2)] for i in range(0, 24, 2)]
    np.testing.assert_array_equal(panel.pooled.pixels, blue_red(np.array(largest), float(np.abs(values).max())))


def test_the_board_shows_pixels_filter_and_products(panel, monkeypatch):
    said = []
    monkeypatch.setattr("companion.widgets.filter_slider.text", lambda image, place, words, *_: said.append(words))
    panel.place(5, 6)
    pixels, kernel = panel.image.reshape(28, 28)[5:10, 6:11], panel.filters[panel.filter.value]
    for table, values in enumerate((pixels, kernel, pixels * kernel)):  # 25 numbers, a title, a sign
        assert said[27 * table :][:25] == [f"{value:z.2f}" for value in values.ravel()]
