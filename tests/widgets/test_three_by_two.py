"""Three by two, without a kernel: the table is the enumeration, the chain is the book's, the coins are real."""

from itertools import islice, product

import numpy as np
import pytest

from companion.backend import Noise, generator, to_numpy
from companion.diagnostics import effective_sample_size
from companion.rbm import RBM
from companion.widgets.three_by_two import BARS, CELL, CHAPTER, EXACT, FROZEN, GREY, LEFT, RIGHT, TV, ThreeByTwo

V, H = (np.array(list(product((0.0, 1.0), repeat=n))) for n in (3, 2))


@pytest.fixture
def panel():
    panel = ThreeByTwo(seed=3)
    yield panel
    panel.close()


def enumerated(W, b, c, beta=1.0):
    """p(v, h), (8, 4)."""
    W, b, c = map(np.array, (W, b, c))
    weights = np.exp(beta * (V @ W @ H.T + (V @ b)[:, None] + H @ c))
    return weights / weights.sum()


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("machine", [CHAPTER, FROZEN], ids=["chapter", "frozen"])
def test_the_table_is_that_of_all_states(panel, machine, beta):
    panel.set(*machine)
    panel.beta.value = beta
    np.testing.assert_allclose(panel.p_vh, enumerated(*machine, beta), atol=1e-12)
    np.testing.assert_allclose(panel.p_v, enumerated(*machine, beta).sum(axis=1), atol=1e-12)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_the_chain_is_that_of_the_book(panel, beta):
    panel.beta.value = beta
    panel.step(500)
    rbm = RBM.from_parameters(*map(np.array, CHAPTER))
    chain = rbm.chains(np.zeros((1, 3)), Noise(generator(3)), inverse_temperature=beta)
    states = np.array([to_numpy(v)[0] for v, _, _ in islice(chain, 500)])
    np.testing.assert_array_equal(panel.counts, np.bincount((states @ (4, 2, 1)).astype(int), minlength=8))
    np.testing.assert_array_equal(panel.series, states.sum(axis=1))
    assert panel.total_variation == pytest.approx(abs(panel.counts / 500 - panel.p_v).sum() / 2)


def test_one_seed_is_one_chain_in_steps_of_any_size(panel):
    panel.step(111)
    counts, pixels = panel.counts.copy(), panel.board.pixels.copy()
    panel.again.click()
    assert panel.steps == 0 and not panel.counts.any() and panel.tosses == []
    for panel.speed.value in (100, 10, 1):
        panel.one.click()
    np.testing.assert_array_equal(panel.counts, counts)
    np.testing.assert_array_equal(panel.board.pixels, pixels)
    panel.seed.value = 4
    panel.step(111)
    assert (panel.counts != counts).any()


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_the_coins_are_the_ones_that_were_tossed(panel, beta):
    panel.beta.value = beta
    panel.step(7)
    uniform, rbm = generator(3), panel.rbm
    v = np.zeros((1, 3))
    for _ in range(7):
        u_h = uniform.random((1, 2))
        p_h = to_numpy(rbm.propup(v, beta))
        h = (u_h < p_h).astype(float)
        u_v, p_v = uniform.random((1, 3)), to_numpy(rbm.propdown(h, beta))
        v = (u_v < p_v).astype(float)
    names, p, u, x = zip(*panel.tosses)
    assert names == ("h1", "h2", "v1", "v2", "v3")
    np.testing.assert_array_equal(p, np.concatenate([p_h[0], p_v[0]]))
    np.testing.assert_array_equal(u, np.concatenate([u_h[0], u_v[0]]))
    np.testing.assert_array_equal(x, np.concatenate([h[0], v[0]]))


def test_it_converges_and_frozen_it_does_not(panel):
    panel.step(20_000)
    assert panel.total_variation < 0.03
    panel.freeze.click()
    assert panel.W[0][0].value == 5 and panel.steps == 0
    assert panel.p_v[0] == pytest.approx(panel.p_v[7]) and panel.p_v[[0, 7]].sum() > 0.9, "two far modes, alike"
    panel.step(100)
    assert panel.total_variation > 0.4, "it has not left the mode where it began"
    panel.step(3900)
    assert effective_sample_size(panel.series) < 40
    panel.beta.value = 0.5
    panel.thaw.click()
    assert panel.W[0][0].value == 2 and panel.beta.value == 1 and panel.steps == 0
    np.testing.assert_allclose(panel.p_vh, enumerated(*CHAPTER), atol=1e-12)


@pytest.mark.parametrize("name", ["W", "b", "c", "beta"])
def test_another_machine_begins_anew(panel, name):
    panel.step(50)
    control = getattr(panel, name)
    control = control[1][1] if name == "W" else control[0] if name in "bc" else control
    before = panel.p_v.copy()
    control.value += 0.5
    assert panel.steps == 0 and abs(panel.p_v - before).max() > 1e-3
    panel.step(10)
    assert panel.counts.sum() == 10


def test_the_curve_is_the_distance_after_so_many_steps(panel):
    panel.step(300)
    chain = panel.rbm.chains(np.zeros((1, 3)), Noise(generator(3)))
    states = np.array([to_numpy(v)[0] @ (4, 2, 1) for v, _, _ in islice(chain, 300)]).astype(int)
    for n, distance in panel.distances:
        frequencies = np.bincount(states[:n], minlength=8) / n
        assert distance == pytest.approx(abs(frequencies - enumerated(*CHAPTER).sum(axis=1)).sum() / 2)
    assert panel.distances[0][0] == 1 and panel.distances[-1][0] > 280


def rows_of(pixels, x, color):
    return np.flatnonzero((pixels[:, x] == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=1))


def test_bars_are_as_high_as_p_and_the_grey_line_is_that_of_independent_draws(panel):
    p = enumerated(*CHAPTER).sum(axis=1)
    for column in range(8):
        full = rows_of(panel.board.pixels[BARS[0] - 2 : BARS[1]], LEFT + CELL * column + 13, EXACT)
        assert len(full) == pytest.approx(p[column] / p.max() * (BARS[1] - BARS[0]), abs=2)
    at_end = np.sqrt(p * (1 - p) / (2 * np.pi)).sum() / np.sqrt(1000)  # at rest, three decades are shown
    expected = TV[1] - np.log10(at_end) / 3 * (TV[3] - TV[1])
    assert rows_of(panel.curves.pixels[: TV[3]], RIGHT - 1, GREY).mean() == pytest.approx(expected, abs=2)


def test_what_is_drawn_changes_with_the_chain(panel):
    at_rest = [canvas.pixels.copy() for canvas in (panel.board, panel.curves)]
    panel.refresh()
    for canvas, before in zip((panel.board, panel.curves), at_rest):
        np.testing.assert_array_equal(canvas.pixels, before)
    panel.step(100)
    for canvas, before in zip((panel.board, panel.curves), at_rest):
        assert (canvas.pixels != before).any()


def test_the_table_is_written_in_percent_and_the_state_of_the_chain_framed(panel, monkeypatch):
    panel.step(5)
    x, y = LEFT + CELL * int(to_numpy(panel.v)[0] @ (4, 2, 1)), 24 + 34 * int(to_numpy(panel.h)[0] @ (2, 1))
    np.testing.assert_array_equal(panel.board.pixels[y + 16, x - 1], [0xD5, 0x5E, 0x00])
    said = []
    monkeypatch.setattr("companion.widgets.three_by_two.text", lambda image, place, words, *_: said.append(words))
    monkeypatch.setattr("companion.widgets.three_by_two.effective_sample_size", lambda series: 1e6)
    panel.step(95)
    assert all(f"{100 * p:.1f}" in said for p in panel.p_vh.ravel() if p >= 0.0005)
    assert "autocorrelation: 100 steps look like 100 draws" in said, "no more than they are"
