"""The schematics: their numbers are right, and nothing that is written leaves the paper or lies on something else."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from companion import diagrams

ARGUMENTS = {"unrolled": ("flights to new york".split(),), "deep_belief_network": (True,)}
FIGURES = [name for name in diagrams.__all__ if name != "forward_and_back"]


def test_derivatives_in_the_computation_graph_are_those_of_its_loss():
    start, step = {"x": 2.0, "w1": 0.5, "w2": 1.5}, 1e-6
    slope = diagrams.forward_and_back(**start)[1]
    for name in start:
        up, down = (diagrams.forward_and_back(**start | {name: start[name] + d})[0]["loss"] for d in (step, -step))
        assert slope[name] == pytest.approx((up - down) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("name", FIGURES)
def test_texts_lie_on_the_paper_and_apart(name):
    fig = getattr(diagrams, name)(*ARGUMENTS.get(name, ()))
    texts = [text for text in fig.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    width, height = fig.get_size_inches() * fig.dpi
    for text, box in zip(texts, boxes):
        assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height, text.get_text()
        assert text.get_fontsize() >= 8, "readable at the width of a notebook"
        assert contrast(text.get_color()) >= 4.5 - 1e-6, f"readable on a projector: {text.get_text()}"
    for i, box in enumerate(boxes):
        crossed = [texts[j].get_text() for j in range(i) if np.all(overlap(box, boxes[j]) > 1)]
        assert not crossed, f"{texts[i].get_text()} lies on {crossed}"


def contrast(color):
    """Return the contrast of a colour with white, as WCAG 2.1 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def overlap(one, other):
    """Return how far two boxes overlap, in pixels, along both axes."""
    return np.minimum(one.max, other.max) - np.maximum(one.min, other.min)


def test_accepted_trades_cross_and_refused_ones_do_not():
    paths = [line.get_ydata() for line in diagrams.replicas().axes[0].lines if line.get_linewidth() == 2.4]
    assert sum(y[0] != y[1] for y in paths) == 2 * 7


def test_the_bridge_leads_from_the_broad_hill_to_the_steep_ones():
    outlines = [fill.get_paths()[0].vertices for fill in diagrams.ais_bridge().axes[0].collections]
    tops = [outline[outline[:, 0].argmax(), 1] for outline in (outlines[0], outlines[-1])]
    np.testing.assert_allclose(tops, [1.65, 1.0], atol=0.02)
