"""The figures that lay images out: every pixel where it belongs, whatever the names beside it."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from companion import plots
from companion.training import History


def pixels(fig):
    return np.asarray(Image.open(io.BytesIO(plots.png(fig, dpi=100))).convert("L"))


def test_tiles_are_laid_out_row_by_row():
    images = np.arange(5, dtype=np.float32)[:, None] * np.ones(6, np.float32)
    tiles = plots.tile_images(images, columns=2, shape=(2, 3), gap=1, background=9)
    assert tiles.shape == (8, 7)
    for k in range(5):
        row, column = 3 * (k // 2), 4 * (k % 2)
        assert (tiles[row : row + 2, column : column + 3] == k).all()
    assert (tiles[2] == 9).all() and (tiles[:, 3] == 9).all() and (tiles[6:, 4:] == 9).all()


@pytest.mark.parametrize("names", [("a", "b"), ("a name that is rather long", "b")])
def test_strips_show_all_images_in_one_size_and_the_whole_name(names):
    black, white = np.zeros((4, 784), np.float32), np.ones((8, 784), np.float32)
    fig = plots.image_strips(dict(zip(names, (black, white))), columns=4)
    first, second = (axis.get_window_extent() for axis in fig.axes)
    assert first.width == pytest.approx(second.width)
    assert second.height == pytest.approx(2 * first.height, rel=0.06), "eight images, four in a line"
    assert first.width / first.height == pytest.approx(4, rel=0.06), "pixels are square"
    fig.canvas.draw()
    for name in fig.texts:
        box = name.get_window_extent()
        assert box.x0 >= 0 and box.x1 < first.x0, "beside the images, inside the figure"
    assert (pixels(fig)[:, int(first.x0) + 5 :] < 50).any()


def test_strips_take_integers_and_signed_values():
    strips = {"integers": np.eye(28, dtype=int).reshape(1, 784), "signed": -np.ones((1, 784))}
    with np.errstate(all="raise"):
        fig = plots.image_strips(strips, columns=1, limit=1)
    for axis in fig.axes:
        assert axis.images[0].get_clim() == (-1, 1)


def test_learning_curves_leave_out_the_mean_over_a_rest_of_an_epoch():
    """Patience ends a training one update after an epoch: that one's loss is no mean."""
    history = History(4, [4, 8, 9], [0.8, 0.6, 0.1], [0.3, 0.2, 0.25])
    history.best_update = 8
    losses, errors = plots.learning_curves(history).axes
    assert losses.lines[0].get_ydata().tolist() == [0.8, 0.6]
    assert errors.lines[0].get_xdata().tolist() == [1, 2, 2.25]


def test_the_sign_of_a_number_is_a_minus_and_a_hyphen_stays_one():
    fig, axis = plots.figure()
    axis.plot([0, 1], label="CD-1: -3.13")
    axis.set(title="784-500, -.5", xlabel="$-x$")
    legend = axis.legend()
    plots.png(fig)
    assert legend.get_texts()[0].get_text() == "CD-1: −3.13"
    assert (axis.get_title(), axis.get_xlabel()) == ("784-500, −.5", "$-x$")


def test_titles_are_found_by_their_places():
    titles = pd.Series([5, 6, 7], index=[2, 1, 0])
    fig = plots.image_grid(np.zeros((3, 784)), titles)
    assert [axis.get_title() for axis in fig.axes[:3]] == ["5", "6", "7"]


def test_learning_curves_need_something_to_draw():
    with pytest.raises(ValueError, match="expected that of a training with a validation set"):
        plots.learning_curves(History(4, [4], [0.8]))


@pytest.mark.parametrize("shape", [(49, 64), (784, 3), (5, 64), (0, 784), (16, 49), (4, 196), (5, 28), (2, 14, 28)])
def test_images_of_another_size_are_refused(shape):
    """Their pixels would make other pictures, as many as happen to fit."""
    for draw in (plots.tile_images, plots.image_grid, lambda images: plots.image_strips({"a": images})):
        with pytest.raises(ValueError, match=r"images: expected the shape \(n, 784\)"):
            draw(np.zeros(shape))
    with pytest.raises(ValueError, match="images: expected the shape"):
        plots.weight_images(np.zeros((3, 784)))


def test_what_would_make_a_wrong_picture_is_refused():
    with pytest.raises(ValueError, match="found whole numbers up to 255: divide by the most"):
        plots.image_grid(np.full((1, 784), 255, np.uint8))
    with pytest.raises(ValueError, match="titles: expected 2, one for each image, found 1"):
        plots.image_grid(np.zeros((2, 784)), ["a"])
    with pytest.raises(ValueError, match="W: expected finite weights"):
        plots.weight_images(np.full((784, 2), np.nan))


def test_whole_numbers_are_no_pixels_whatever_their_kind():
    for images in (np.full((2, 64), 16), np.full((2, 64), 16, np.uint8)):
        for draw in (
            plots.image_grid,
            plots.tile_images,
            lambda images, shape: plots.image_strips({"a": images}, shape=shape),
        ):
            with pytest.raises(
                ValueError, match="found whole numbers up to 16: divide by the most that a pixel can be"
            ):
                draw(images, shape=(8, 8))
    signed = np.arange(-8, 8).reshape(4, 4)
    plots.image_grid(signed, shape=(2, 2), limit=8)
    plots.image_strips({"a": signed}, shape=(2, 2), limit=8)
    plots.weight_images(signed, shape=(2, 2))
    tiles = plots.tile_images(np.ones((1, 4), int), columns=2, shape=(2, 2), background=0.5)
    np.testing.assert_array_equal(tiles, [[1, 1, 0.5, 0.5, 0.5], [1, 1, 0.5, 0.5, 0.5]])


def test_grey_levels_are_from_black_to_white_and_signed_values_on_both_sides_of_0():
    dim, W = np.full((2, 784), 0.4), np.zeros((784, 2))
    for fig in (plots.image_grid(dim), plots.image_strips({"a": dim})):
        assert fig.axes[0].images[0].get_clim() == (0, 1)
    assert len(plots.image_grid(dim).axes) == 2, "no room for images that are not there"
    assert plots.image_grid(dim, limit=3).axes[0].images[0].get_clim() == (-3, 3)
    assert plots.weight_images(W).axes[0].images[0].get_clim() == (-1, 1)
    W[0, 0] = -3
    assert plots.weight_images(W).axes[0].images[0].get_clim() == (-3, 3)


def test_images_make_a_square_where_nobody_says_otherwise():
    assert plots.tile_images(np.zeros((5, 784))).shape == (2 * 29 - 1, 3 * 29 - 1)


def test_a_figure_is_shown_in_its_size_with_its_words_and_its_number(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    monkeypatch.setattr(plots, "png", lambda fig: b"a picture")
    plots.show(plots.figure(3, 2)[0], "a line", "6.3")
    plots.show(plots.figure(3, 2)[0], "a line")
    (first, options), (below, _), (second, _) = shown
    assert options["metadata"] == {"image/png": {"alt": "a line", "width": 300, "height": 200}}
    assert below["text/markdown"] == "**Figure 6.3**" and first == second


def test_a_picture_has_the_resolution_that_is_asked_for():
    fig = plots.figure(1, 0.5)[0]
    assert [Image.open(io.BytesIO(plots.png(fig, *dpi))).size for dpi in ((), (50,))] == [(160, 80), (50, 25)]


def test_learning_curves_are_in_per_cent_and_mark_the_lowest_error():
    history = History(4, [4, 8], [0.8, 0.6], [0.3, 0.2])
    history.best_update = 8
    curve, best = plots.learning_curves(history).axes[1].lines
    np.testing.assert_allclose(curve.get_ydata(), [30, 20])
    np.testing.assert_allclose(best.get_xydata(), [[2, 20]])
