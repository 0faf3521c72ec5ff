"""Recurrent layers: back-propagation through time against differences, packed sequences against one at a time."""

import numpy as np
import pytest

from companion.backend import to_device, to_numpy, xp
from companion.recurrent import GRU, LSTM, Elman, Packing, clip_norm, orthogonal

LENGTHS = [3, 1, 5, 3, 2]
CELLS = {"elman": Elman, "lstm": LSTM, "gru": GRU}
every_cell = pytest.mark.parametrize("name", CELLS)


def make(name, rng, n_in=3, n_hidden=4):
    """A layer of float64 with weights of about one half."""
    wide = CELLS[name].GATES * n_hidden
    shapes = (n_in, wide), (wide,), (n_hidden, wide)
    return CELLS[name](*(to_device(0.6 * rng.standard_normal(shape)) for shape in shapes))


# ------------------------------------------------------------------------------------------------------------- packing


def test_packing_by_hand():
    """Sequences a a, b b b, c: the longest first, all first elements before all second ones."""
    packing = Packing([2, 3, 1])
    assert packing.sizes == [3, 2, 1] and packing.times == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert to_numpy(packing.rows).tolist() == [1, 4, 0, 3, 5, 2]
    packed = np.empty(6, "U2")
    packed[to_numpy(packing.rows)] = ["a0", "a1", "b0", "b1", "b2", "c0"]
    assert packed.tolist() == ["b0", "a0", "c0", "b1", "a1", "b2"]
    assert packed[to_numpy(packing.reverse)].tolist() == ["b2", "a1", "c0", "b1", "a0", "b0"]
    assert packed[to_numpy(packing.before)].tolist() == ["b0", "a0", "b1"]


@pytest.mark.parametrize("lengths", [[1], [4], [1, 1], LENGTHS, [7, 1, 7]])
def test_packing_keeps_everything(lengths, rng):
    packing, n = Packing(lengths), sum(lengths)
    assert sorted(to_numpy(packing.rows)) == list(range(n))
    reverse = to_numpy(packing.reverse)
    np.testing.assert_array_equal(reverse[reverse], np.arange(n))
    x = to_device(rng.normal(size=(n, 2)))
    packed = xp.empty_like(x)
    packed[packing.rows] = x
    parts = packing.split(packed)
    assert [len(part) for part in parts] == lengths
    np.testing.assert_array_equal(np.concatenate(parts), to_numpy(x))
    backwards = packing.split(packed[packing.reverse])
    for part, mirrored in zip(parts, backwards):
        np.testing.assert_array_equal(part[::-1], mirrored)


def test_windows_do_not_look_into_other_sequences():
    packing = Packing([3, 1])
    windows = packing.split(packing.windows(np.array([11, 12, 13, 21]), 3, padding=-1))
    np.testing.assert_array_equal(windows[0], [[-1, 11, 12], [11, 12, 13], [12, 13, -1]])
    np.testing.assert_array_equal(windows[1], [[-1, 21, -1]])
    wide = packing.split(packing.windows(np.array([11, 12, 13, 21]), 5))
    np.testing.assert_array_equal(wide[0], [[0, 0, 11, 12, 13], [0, 11, 12, 13, 0], [11, 12, 13, 0, 0]])


# --------------------------------------------------------------------------------------------------------------- cells


@every_cell
@pytest.mark.parametrize("what", ["W", "b", "U", "x"])
def test_gradients_through_time(rng, central_differences, name, what):
    """Of sum(c * states) for random c: every state of every sequence counts differently."""
    layer, packing = make(name, rng), Packing(LENGTHS)
    x, c = to_device(rng.normal(size=(sum(LENGTHS), 3))), to_device(rng.normal(size=(sum(LENGTHS), 4)))
    array = {"W": layer.W, "b": layer.b, "U": layer.U, "x": x}[what]
    expected = central_differences(lambda: (c * layer.forward(x, packing)).sum(), array)
    layer.forward(x, packing)
    dx = layer.backward(c.copy())
    found = dict(zip(("W", "b", "U"), layer.gradients)) | {"x": dx}
    np.testing.assert_allclose(to_numpy(found[what]), expected, rtol=1e-7, atol=1e-8)


@every_cell
def test_packed_sequences_are_those_one_at_a_time(rng, name):
    """States equal, and gradients are the sums over the sequences: neighbours and their lengths do not matter."""
    layer, packing = make(name, rng), Packing(LENGTHS)
    parts = [rng.normal(size=(length, 3)) for length in LENGTHS]
    ways = [rng.normal(size=(length, 4)) for length in LENGTHS]

    def pack(rows):
        packed = xp.empty((sum(LENGTHS), rows[0].shape[1]), xp.float64)
        packed[packing.rows] = to_device(np.concatenate(rows))
        return packed

    together = packing.split(layer.forward(pack(parts), packing))
    dx = packing.split(layer.backward(pack(ways)))
    gradients = [to_numpy(gradient).copy() for gradient in layer.gradients]
    summed = [np.zeros_like(gradient) for gradient in gradients]
    for part, way, h, back in zip(parts, ways, together, dx):
        alone = layer.forward(to_device(part), Packing([len(part)]))
        np.testing.assert_allclose(h, to_numpy(alone), rtol=1e-12)
        np.testing.assert_allclose(back, to_numpy(layer.backward(to_device(way.copy()))), rtol=1e-10, atol=1e-13)
        for total, gradient in zip(summed, layer.gradients):
            total += to_numpy(gradient)
    for total, gradient in zip(summed, gradients):
        np.testing.assert_allclose(total, gradient, rtol=1e-10, atol=1e-13)


def test_elman_by_hand(rng):
    layer = make("elman", rng)
    x = rng.normal(size=(4, 3))
    W, b, U = map(to_numpy, layer.parameters)
    h, expected = np.zeros(4), []
    for row in x:
        h = np.tanh(row @ W + h @ U + b)
        expected.append(h)
    np.testing.assert_allclose(to_numpy(layer.forward(to_device(x), Packing([4]))), expected, rtol=1e-12)


def test_what_remembers_nothing_is_a_layer_of_tanh_units(rng):
    full = make("elman", rng)
    layer = Elman(full.W, full.b)
    x, packing = to_device(rng.normal(size=(11, 3))), Packing([5, 6])
    np.testing.assert_allclose(to_numpy(layer.forward(x, packing)), np.tanh(to_numpy(x @ full.W + full.b)), rtol=1e-12)
    assert len(layer.gradients) == 2


def test_a_gate_that_is_open_keeps_the_cell():
    """With forget gates at one and input gates at zero the first cell is carried on; the gradient comes back whole."""
    n = 2
    W, U, b = xp.zeros((3, 4 * n)), xp.zeros((n, 4 * n)), xp.full(4 * n, 40.0)
    b[:n] = -40
    W[0, :n] = 80  # the first input opens the input gate
    W[1, 3 * n :] = 1
    b[3 * n :] = 0
    x = xp.zeros((50, 3))
    x[0] = to_device(np.array([1.0, 0.3, 0.0]))
    layer = LSTM(W, b, U)
    h = layer.forward(x, Packing([50]))
    np.testing.assert_allclose(to_numpy(h), np.tanh(np.tanh(0.3)), rtol=1e-9)
    delta = xp.zeros_like(h)
    delta[49] = 1
    dx = to_numpy(layer.backward(delta))
    np.testing.assert_allclose(dx[0, 1], 2 * (1 - np.tanh(np.tanh(0.3)) ** 2) * (1 - np.tanh(0.3) ** 2), rtol=1e-9)


def test_first_weights():
    rng = np.random.default_rng(0)
    W, b, U = LSTM.initial(5, 7, rng)
    assert W.shape == (5, 28) and U.shape == (7, 28) and W.dtype == np.float32
    np.testing.assert_array_equal(to_numpy(b), np.repeat([0, 2, 0, 0], 7))
    np.testing.assert_allclose(to_numpy(U[:, 7:14] @ U[:, 7:14].T), np.eye(7), atol=1e-6)
    np.testing.assert_array_equal(to_numpy(GRU.initial(5, 7, rng)[1]), np.repeat([1, 0, 0], 7))
    assert len(Elman.initial(5, 7, rng, remembers=False)) == 2


def test_clipping(rng):
    gradients = [to_device(rng.normal(size=shape)) for shape in ((3, 2), (4,))]
    kept = [to_numpy(gradient).copy() for gradient in gradients]
    norm = np.sqrt(sum((array**2).sum() for array in kept))
    assert clip_norm(gradients, norm + 1) == pytest.approx(norm)
    for gradient, array in zip(gradients, kept):
        np.testing.assert_array_equal(to_numpy(gradient), array)
    assert clip_norm(gradients, norm / 4) == pytest.approx(norm)
    for gradient, array in zip(gradients, kept):
        np.testing.assert_allclose(to_numpy(gradient), array / 4)


@pytest.mark.parametrize("cell", [Elman, LSTM, GRU])
@pytest.mark.parametrize("n", [4, 7])
def test_inputs_are_as_many_as_were_packed(rng, cell, n):
    with pytest.raises(ValueError, match=f"x: expected 5 rows, one for each element, found {n}"):
        cell(*cell.initial(2, 3, rng)).forward(to_device(np.zeros((n, 2)), np.float32), Packing([3, 2]))


def test_rotations_are_of_all_kinds(rng):
    assert {np.sign(orthogonal(3, rng)[0, 0]) for _ in range(20)} == {-1, 1}
