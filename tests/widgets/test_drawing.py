"""What panels are drawn with, looked at pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from companion.widgets.drawing import Axes, blue_red, grey_levels, label_bars, text

WHITE, RED = (255, 255, 255), (255, 0, 0)


@pytest.fixture
def paper():
    return Image.new("RGB", (120, 80), "white")


def where(image, color):
    """The box of the pixels that have a colour: left, top, right, bottom, all within."""
    rows, columns = np.nonzero((np.asarray(image) == color).all(axis=2))
    return (columns.min(), rows.min(), columns.max(), rows.max()) if len(rows) else None


def ink(image):
    """The box of all that is not white."""
    rows, columns = np.nonzero((np.asarray(image) != WHITE).any(axis=2))
    return (columns.min(), rows.min(), columns.max(), rows.max()) if len(rows) else None


@pytest.mark.parametrize(
    ("log", "x", "across", "y", "down"),
    [
        ("", (0, 5, 10), (20, 60, 100), (-1, 0, 1), (70, 40, 10)),
        ("x", (1, 10, 100), (20, 60, 100), (-1, 0, 1), (70, 40, 10)),
        ("x", (0.1, 1000), (20, 100), (0,), (40,)),  # beyond the ends: at them
        ("y", (0, 5, 10), (20, 60, 100), (1, 10, 100), (70, 40, 10)),
    ],
)
def test_values_have_their_places(paper, log, x, across, y, down):
    ends = {"x": (1, 100) if "x" in log else (0, 10), "y": (1, 100) if "y" in log else (-1, 1)}
    axes = Axes(paper, (20, 10, 100, 70), log=log, **ends)
    np.testing.assert_allclose(axes.across(np.array(x)), across)
    np.testing.assert_allclose(axes.down(np.array(y)), down)
    np.testing.assert_allclose(axes.place(x[0], y[0]), (across[0], down[0]))


def test_lines_and_bars_lie_where_their_values_are(paper):
    axes = Axes(paper, (20, 10, 100, 70), (0, 4), (0, 2))
    axes.curve([1], [1], RED)
    assert ink(paper) is None, "a point is no line"
    axes.bars(np.arange(5), [0, 1, 2, 0], RED, inset=(2, 3))
    pixels = (np.asarray(paper) == RED).all(axis=2)
    assert where(paper, RED) == (42, 10, 77, 70)
    assert pixels[:, 50].nonzero()[0].tolist() == list(range(40, 71))  # half as high
    assert not pixels[:, 58:62].any() and pixels[70].sum() == 2 * (20 - 5 + 1)
    axes.upright(0.5, "#0000ff")
    assert where(paper, (0, 0, 255)) == (30, 10, 30, 70)
    axes.upright(3.5, "#00ff00", top=50)
    assert where(paper, (0, 255, 0)) == (90, 50, 90, 70)
    axes.level(0.5, color="#00ffff")
    assert where(paper, (0, 255, 255)) == (20, 55, 100, 55)
    axes.curve([0, 4], [2, 2], "#ff00ff", width=1)
    assert where(paper, (255, 0, 255)) == (20, 10, 100, 10)


def test_names_stand_beside_the_box_and_below_it(paper):
    axes = Axes(paper, (40, 10, 100, 50), (0, 4), (0, 2))
    axes.level(1, "12", color=None, gap=6)
    left, top, right, bottom = ink(paper)
    assert 32 <= right <= 34 and abs((top + bottom) / 2 - 30) <= 1 and left > 10
    paper.paste("white", (0, 0, *paper.size))
    axes.below(2, "12", gap=5)
    left, top, right, bottom = ink(paper)
    assert 55 <= top <= 59 and bottom < 70 and abs((left + right) / 2 - 70) <= 1


@pytest.mark.parametrize(("anchor", "left", "right"), [("lt", 60, None), ("rt", None, 60), ("mt", None, None)])
def test_text_begins_ends_or_is_centred_where_it_is_told_to(paper, anchor, left, right):
    text(paper, (60, 20), "HOH", 13, anchor=anchor)
    found = ink(paper)
    if left:
        assert 60 <= found[0] <= 62
    elif right:
        assert 57 <= found[2] <= 60
    else:
        assert abs((found[0] + found[2]) / 2 - 60) <= 1
    assert 20 <= found[1] <= 24


def test_a_bar_for_each_label_is_as_high_as_its_value():
    drawn = label_bars("abcd", [0, 0.5, 1, 0.25], "p(label)", "#ff0000", (200, 128))
    assert drawn.shape == (128, 200, 3)
    assert (drawn[:20, :60] < 200).any() and (drawn[:26, 100:] == 255).all(), "the title, at the left"
    red = (drawn == RED).all(axis=2)
    heights = red[26:107].sum(axis=0)
    assert [heights[25 + 50 * i] for i in range(4)] == [1, 41, 81, 21]  # with the line that stands for zero
    assert red[106].nonzero()[0].tolist() == [x for i in range(4) for x in range(50 * i + 3, 50 * i + 48)]
    for i in range(4):
        below = (drawn[110:, 50 * i : 50 * i + 50] != 255).any(axis=2).any(axis=0).nonzero()[0]
        assert abs(below.mean() - 25) <= 2 and len(below) > 3, "its name, in the middle below it"


def test_colours_of_values():
    np.testing.assert_array_equal(grey_levels(np.array([-1, 0, 0.5, 1, 7])), [0, 0, 127, 255, 255])
    low, zero, high, beyond = blue_red(np.array([-2.0, 0, 2, 9]), 2).astype(int)
    assert low[2] > low[0] + 50 and high[0] > high[2] + 50 and zero.min() > 240
    np.testing.assert_array_equal(beyond, high)
    half = blue_red(np.array([1.0]), 2).astype(int)[0]
    assert zero[1] > half[1] > high[1]
