"""Gradients of the layers against central differences in float64, and what layers keep and share."""

import numpy as np
import pytest

from companion.backend import Noise, to_device, to_numpy
from companion.layers import Dense, Dropout, SoftmaxCrossEntropy
from companion.optimize import SGD

PENALTIES = [(0, 0), (0.3, 0), (0, 0.2), (0.3, 0.2)]


def random_arrays(rng, *shapes):
    """Arrays of float64 on the device, no element near the kink of the l1 penalty at zero."""
    return [to_device(rng.choice([-1, 1], size=shape) * rng.uniform(0.2, 2, size=shape)) for shape in shapes]


@pytest.mark.parametrize("name", ["W", "b", "x"])
@pytest.mark.parametrize(("l1", "l2"), PENALTIES)
def test_dense_gradients(rng, central_differences, name, l1, l2):
    """Of sum(c * output) + penalty for random c, so that every element of the output counts differently."""
    x, W, b, c = random_arrays(rng, (5, 4), (4, 3), (3,), (5, 3))
    layer = Dense(W, b, l1, l2)
    array = {"W": W, "b": b, "x": x}[name]
    expected = central_differences(lambda: (c * layer.forward(x)).sum() + layer.penalty(), array)
    layer.forward(x)
    dx = layer.backward(c)
    found = {"W": layer.dW, "b": layer.db, "x": dx}[name]
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-8, atol=1e-8)


def test_penalty_by_hand():
    layer = Dense(to_device(np.array([[1.0, -2.0], [0.0, 3.0]])), to_device(np.array([100.0, 100.0])), 0.5, 0.25)
    assert float(layer.penalty()) == pytest.approx(0.5 * 6 + 0.25 * 14)


@pytest.mark.parametrize("n", [1, 5])
def test_softmax_cross_entropy_gradient(rng, central_differences, n):
    (scores,) = random_arrays(rng, (n, 4))
    targets, loss = to_device(rng.integers(4, size=n)), SoftmaxCrossEntropy()
    expected = central_differences(lambda: loss.forward(scores.copy(), targets), scores)
    loss.forward(scores.copy(), targets)
    np.testing.assert_allclose(to_numpy(loss.backward()), expected, rtol=1e-8, atol=1e-9)


def test_softmax_cross_entropy_by_hand():
    loss = SoftmaxCrossEntropy()
    scores = to_device(np.log(np.array([[1.0, 3.0], [4.0, 1.0]])))
    assert float(loss.forward(scores, to_device(np.array([0, 0])))) == pytest.approx((np.log(4) + np.log(5 / 4)) / 2)
    np.testing.assert_allclose(to_numpy(loss.backward()), np.array([[-0.75, 0.75], [-0.2, 0.2]]) / 2, rtol=1e-14)


@pytest.mark.parametrize("name", ["W", "b", "x"])
def test_gradients_through_two_layers_and_the_loss(rng, central_differences, name):
    """The gradient that one layer passes to the one below."""
    x, W, b, U, c = random_arrays(rng, (6, 4), (4, 3), (3,), (3, 5), (5,))
    lower, upper, loss = Dense(W, b, 0.01, 0.02), Dense(U, c, 0.03, 0), SoftmaxCrossEntropy()
    targets = to_device(rng.integers(5, size=6))

    def cost():
        nll = loss.forward(upper.forward(lower.forward(x)), targets)
        return nll + lower.penalty() + upper.penalty()

    expected = central_differences(cost, {"W": W, "b": b, "x": x}[name])
    cost()
    dx = lower.backward(upper.backward(loss.backward()))
    np.testing.assert_allclose(to_numpy({"W": lower.dW, "b": lower.db, "x": dx}[name]), expected, rtol=1e-7, atol=1e-9)


def test_buffers_of_another_batch_leave_no_trace(rng):
    """Longer, shorter and longer batches through one layer give what a new layer gives each of them."""
    W, b = random_arrays(rng, (4, 3), (3,))
    kept = Dense(W, b)
    for n in (7, 2, 7, 1, 9):
        x, delta = random_arrays(rng, (n, 4), (n, 3))
        new = Dense(W, b)
        np.testing.assert_array_equal(to_numpy(kept.forward(x)), to_numpy(new.forward(x)))
        np.testing.assert_array_equal(to_numpy(kept.backward(delta)), to_numpy(new.backward(delta)))
        np.testing.assert_array_equal(to_numpy(kept.dW), to_numpy(new.dW))
        np.testing.assert_array_equal(to_numpy(kept.db), to_numpy(new.db))


def test_the_last_batch_writes_into_the_buffer_of_the_first(rng):
    """Buffers are allocated once: the shorter output is the head of the longer one."""
    W, b, x = random_arrays(rng, (4, 3), (3,), (7, 4))
    layer = Dense(W, b)
    long = layer.forward(x)
    long[...] = 0
    short = layer.forward(x[:2])
    np.testing.assert_array_equal(to_numpy(long[:2]), to_numpy(short))


def test_two_owners_of_one_weight_matrix_see_the_same_numbers(rng):
    W, b, c, x = random_arrays(rng, (4, 3), (3,), (3,), (5, 4))
    one, other = Dense(W, b), Dense(W, c)
    before = to_numpy(other.forward(x)).copy()
    one.forward(x)
    one.backward(to_device(np.ones((5, 3))), need_dx=False)
    SGD(0.1).update([one.W], [one.dW])
    step = 0.1 * to_numpy(x).sum(axis=0)  # dW has this column three times
    expected = before - (to_numpy(x) @ step)[:, None]
    np.testing.assert_allclose(to_numpy(other.forward(x)), expected, rtol=1e-12)


def test_without_need_the_gradient_of_the_input_is_not_computed(rng):
    W, b, x = random_arrays(rng, (4, 3), (3,), (5, 4))
    layer = Dense(W, b)
    layer.forward(x)
    assert layer.backward(to_device(np.ones((5, 3))), need_dx=False) is None


def test_float32_agrees_with_float64(rng):
    arrays = random_arrays(rng, (50, 40), (40, 10), (10,))
    targets = to_device(rng.integers(10, size=50))
    found = {}
    for dtype in (np.float64, np.float32):
        x, W, b = (array.astype(dtype) for array in arrays)
        layer, loss = Dense(W, b, 1e-3, 1e-3), SoftmaxCrossEntropy()
        cost = float(loss.forward(layer.forward(x), targets) + layer.penalty())
        layer.backward(loss.backward(), need_dx=False)
        assert layer.dW.dtype == dtype
        found[dtype] = cost, to_numpy(layer.dW), to_numpy(layer.db)
    for single, double in zip(found[np.float32], found[np.float64]):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------------------------------- dropout


class Drawn:
    """Noise that gives the same numbers every time."""

    def __init__(self, numbers):
        self.numbers = numbers

    def uniform(self, out):
        out[...] = self.numbers[: len(out)]
        return out


def test_dropout_by_hand():
    x, original = (to_device(np.array([[1.0, 2.0, 3.0, 4.0]])) for _ in range(2))
    layer = Dropout(0.75, Drawn(to_device(np.array([[0.7, 0.75, 0.9, 0.0]]))))
    np.testing.assert_allclose(to_numpy(layer.forward(x)), [[0, 8, 12, 0]])
    np.testing.assert_array_equal(to_numpy(x), to_numpy(original))
    np.testing.assert_allclose(to_numpy(layer.backward(to_device(np.ones((1, 4))))), [[0, 4, 4, 0]])


@pytest.mark.parametrize("name", ["W", "x"])
def test_gradients_through_dropout(rng, central_differences, name):
    x, W, b, c = random_arrays(rng, (5, 4), (4, 3), (3,), (5, 3))
    dropout, layer = Dropout(0.4, Drawn(to_device(rng.uniform(size=(5, 4))))), Dense(W, b)
    array = {"W": W, "x": x}[name]
    expected = central_differences(lambda: (c * layer.forward(dropout.forward(x))).sum(), array)
    layer.forward(dropout.forward(x))
    dx = dropout.backward(layer.backward(c))
    np.testing.assert_allclose(to_numpy({"W": layer.dW, "x": dx}[name]), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_the_rate_and_keeps_the_mean(dtype, rate):
    """Within five standard errors, in a long batch and in the shorter one after it."""
    layer = Dropout(rate, Noise(np.random.default_rng(1)))
    for n in (400, 200):
        output = to_numpy(layer.forward(to_device(np.full((n, 100), 3, dtype))))
        assert output.dtype == dtype and output.shape == (n, 100)
        kept = (output != 0).mean()
        assert abs(kept - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / output.size)
        np.testing.assert_allclose(output[output != 0], 3 / (1 - rate), rtol=1e-6)
        assert abs(output.mean() - 3) < 5 * 3 * np.sqrt(rate / (1 - rate) / output.size)


def test_dropout_draws_anew_for_every_batch():
    layer, x = Dropout(0.5, Noise(np.random.default_rng(1))), to_device(np.ones((20, 20)))
    first = to_numpy(layer.forward(x)).copy()
    assert 0.3 < (to_numpy(layer.forward(x)) != first).mean() < 0.7
