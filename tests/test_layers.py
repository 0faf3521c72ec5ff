"""Gradients of the layers against central differences in float64, and what layers keep and share."""

import numpy as np
import pytest
from helpers import Drawn

from companion.backend import Noise, to_device, to_numpy, xp
from companion.image_layers import BatchNorm2D, Conv2D, Flatten, Images, Pieces
from companion.layers import (
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)
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


# ------------------------------------------------------------------------------------------------ activations

ACTIVATIONS = [Tanh, Sigmoid, ReLU]


@pytest.mark.parametrize("name", ["W", "b", "x"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_through_an_activation(rng, central_differences, activation, name):
    """Above a dense layer, whose output it may overwrite; no unit near the kink of the rectifier."""
    x, W, b, c = random_arrays(rng, (5, 4), (4, 3), (3,), (5, 3))
    assert float(abs(x @ W + b).min()) > 1e-3
    layer, above = Dense(W, b), activation()
    array = {"W": W, "b": b, "x": x}[name]
    expected = central_differences(lambda: (c * above.forward(layer.forward(x))).sum(), array)
    above.forward(layer.forward(x))
    dx = layer.backward(above.backward(c.copy()))
    found = {"W": layer.dW, "b": layer.db, "x": dx}[name]
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("activation", "function", "slope"),
    [
        (Tanh, np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (Sigmoid, lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
        (ReLU, lambda x: x * (x > 0), lambda x: 1.0 * (x > 0)),
    ],
)
def test_activations_by_their_formulas_in_place(activation, function, slope):
    x = np.array([[-2.0, -0.5, 0.0], [0.25, 1.0, 3.0]])
    layer, there, delta = activation(), to_device(x.copy()), to_device(np.full((2, 3), 7.0))
    assert layer.forward(there) is there and layer.parameters == ()
    np.testing.assert_allclose(to_numpy(there), function(x), rtol=1e-14, atol=1e-15)
    assert layer.backward(delta) is delta
    np.testing.assert_allclose(to_numpy(delta), 7 * slope(x), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(to_numpy(layer.predict(to_device(x.copy()))), function(x), rtol=1e-14, atol=1e-15)


# ---------------------------------------------------------------------------------------------- Gaussian noise


def test_gaussian_noise_by_hand():
    x, original = (to_device(np.array([[1.0, 2.0, 3.0]])) for _ in range(2))
    layer = GaussianNoise(0.5, Drawn(to_device(np.array([[-2.0, 0.0, 1.0]]))))
    np.testing.assert_allclose(to_numpy(layer.forward(x)), [[0, 2, 3.5]])
    np.testing.assert_array_equal(to_numpy(x), to_numpy(original))
    np.testing.assert_array_equal(to_numpy(layer.backward(x.copy())), to_numpy(original))


@pytest.mark.parametrize("name", ["W", "x"])
def test_gradients_through_gaussian_noise(rng, central_differences, name):
    x, W, b, c, drawn = random_arrays(rng, (5, 4), (4, 3), (3,), (5, 3), (5, 4))
    noise, layer = GaussianNoise(0.3, Drawn(drawn)), Dense(W, b)
    array = {"W": W, "x": x}[name]
    expected = central_differences(lambda: (c * layer.forward(noise.forward(x)) ** 2).sum(), array)
    scores = layer.forward(noise.forward(x))
    dx = noise.backward(layer.backward(2 * c * scores))
    np.testing.assert_allclose(to_numpy({"W": layer.dW, "x": dx}[name]), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.01, 2.0])
def test_gaussian_noise_has_the_mean_and_the_variance_it_says(dtype, scale):
    """Within five standard errors, in a long batch and in the shorter one after it; drawn anew every time."""
    layer, outputs = GaussianNoise(scale, Noise(np.random.default_rng(1))), []
    for n in (400, 200):
        output = to_numpy(layer.forward(to_device(np.full((n, 100), 3, dtype)))).astype(np.float64)
        outputs.append(output.copy())
        assert abs(output.mean() - 3) < 5 * scale / np.sqrt(output.size)
        assert abs(output.var() / scale**2 - 1) < 5 * np.sqrt(2 / output.size) + 1e-4
        assert abs(((output - 3) ** 4).mean() / scale**4 - 3) < 5 * np.sqrt(96 / output.size) + 1e-3
    assert (outputs[0][:200] != outputs[1]).mean() > 0.9


@pytest.mark.parametrize("layer", [Dropout(0.5, None), GaussianNoise(0.5, None)])
def test_to_predict_there_is_no_noise(rng, layer):
    x = to_device(rng.normal(size=(3, 4)))
    assert layer.predict(x) is x


# ---------------------------------------------------------------------------------------- batch normalisation


def batch_norm(gamma, beta, **settings):
    """A layer with the running averages with which training starts."""
    return BatchNorm(gamma, beta, to_device(np.zeros(len(gamma))), to_device(np.ones(len(gamma))), **settings)


@pytest.mark.parametrize("name", ["gamma", "beta", "x"])
@pytest.mark.parametrize(("n", "n_rows"), [(2, None), (5, None), (5, 3), (5, 0)])
def test_batch_norm_gradients(rng, central_differences, n, n_rows, name):
    """Mean and variance depend on x, too, or on some of its rows; the bottom of the root is large enough to count."""
    before, x, gamma, beta, c = random_arrays(rng, (6, 4), (n, 4), (4,), (4,), (n, 4))
    layer = batch_norm(gamma, beta, epsilon=0.1)
    layer.forward(before)
    layer.n_rows = n_rows
    array = {"gamma": gamma, "beta": beta, "x": x}[name]
    expected = central_differences(lambda: (c * layer.forward(x)).sum(), array)
    layer.forward(x)
    dx = layer.backward(c.copy())
    found = {"gamma": layer.dgamma, "beta": layer.dbeta, "x": dx}[name]
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-7, atol=1e-8)


def test_rows_normalised_by_others(rng):
    """By the first ones, or by those of the call before: what they would be beside them; the averages count those."""
    x, z, gamma, beta = random_arrays(rng, (5, 4), (3, 4), (4,), (4,))
    plain, layer = batch_norm(gamma, beta), batch_norm(gamma, beta)
    expected = to_numpy(plain.forward(x)).copy()
    layer.n_rows = 5
    y = to_numpy(layer.forward(to_device(np.vstack([to_numpy(array) for array in (x, x[:2], z)])))).copy()
    np.testing.assert_allclose(y[:5], expected, rtol=1e-12)
    np.testing.assert_allclose(y[5:7], expected[:2], rtol=1e-12)
    layer.n_rows = 0
    np.testing.assert_allclose(to_numpy(layer.forward(z)), y[7:], rtol=1e-12)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(to_numpy(getattr(layer, name)), to_numpy(getattr(plain, name)), rtol=1e-12)


def test_batch_norm_gives_each_column_the_mean_beta_and_the_deviation_gamma(rng):
    x, gamma, beta = rng.normal(3, 10, size=(50, 4)), np.array([1.0, 2.0, 0.5, 0.0]), np.array([0.0, 1.0, -1.0, 4.0])
    there = to_device(x)
    y = to_numpy(batch_norm(to_device(gamma), to_device(beta), epsilon=0).forward(there))
    np.testing.assert_allclose(y.mean(axis=0), beta, atol=1e-13)
    np.testing.assert_allclose(y.std(axis=0), gamma, atol=1e-13)
    np.testing.assert_array_equal(to_numpy(there), x)


def test_running_averages_of_two_batches_by_hand():
    layer = batch_norm(to_device(np.array([2.0])), to_device(np.array([1.0])), momentum=0.75, epsilon=0.25)
    layer.forward(to_device(np.array([[1.0], [3.0]])))  # mean 2, unbiased variance 2
    layer.forward(to_device(np.array([[0.0], [3.0], [6.0]])))  # mean 3, unbiased variance 9
    mean, var = 0.75 * (0.25 * 2) + 0.25 * 3, 0.75 * (0.75 + 0.25 * 2) + 0.25 * 9
    assert float(layer.running_mean[0]) == pytest.approx(mean, rel=1e-14)
    assert float(layer.running_var[0]) == pytest.approx(var, rel=1e-14)
    found = layer.predict(to_device(np.array([[5.0]])))
    assert float(found[0, 0]) == pytest.approx(1 + 2 * (5 - mean) / np.sqrt(var + 0.25), rel=1e-14)


def test_after_many_batches_it_predicts_by_the_population(rng):
    """Batches of four: a biased variance would be a quarter too small. Predicting leaves the averages alone."""
    means, deviation = rng.normal(size=100), 3.0
    layer = batch_norm(to_device(np.ones(100)), to_device(np.zeros(100)))
    for _ in range(1500):
        layer.forward(to_device(means + deviation * rng.normal(size=(4, 100))))
    # over the last 200 batches or so: standard errors of 0.1 for a mean, and of 0.6 % for the mean variance
    np.testing.assert_allclose(to_numpy(layer.running_mean), means, atol=0.6)
    assert to_numpy(layer.running_var).mean() == pytest.approx(deviation**2, rel=0.03)
    before = to_numpy(layer.running_mean).copy(), to_numpy(layer.running_var).copy()
    x = means + deviation * rng.normal(size=(2000, 100))
    there = to_device(x)
    y = to_numpy(layer.predict(there))
    assert abs(y.mean()) < 0.02 and y.var(axis=0).mean() == pytest.approx(1, rel=0.03)
    np.testing.assert_array_equal(to_numpy(there), x)
    np.testing.assert_array_equal(to_numpy(layer.running_mean), before[0])
    np.testing.assert_array_equal(to_numpy(layer.running_var), before[1])
    np.testing.assert_allclose(to_numpy(layer.predict(there[:1])), y[:1], rtol=1e-12)  # row by row


def test_batch_norm_of_images_is_that_of_their_pixels(rng):
    """Every pixel of every image is a row; fewer images after many, as at the end of an epoch."""
    gamma, beta = random_arrays(rng, (3,), (3,))
    arrays = [to_device(array) for array in (np.zeros(3), np.ones(3))]
    plain, layer = batch_norm(gamma, beta), BatchNorm2D(gamma, beta, *arrays)
    for n in (6, 6, 2):
        x, delta = rng.normal(2, 3, size=(3, 4, 5, n)), rng.normal(size=(3, 4, 5, n))
        rows = [to_device(array.reshape(3, -1).T.copy()) for array in (x, delta)]
        found = [layer.forward(to_device(x)), layer.backward(to_device(delta.copy())), layer.predict(to_device(x))]
        expected = [plain.forward(rows[0]), plain.backward(rows[1].copy()), plain.predict(rows[0])]
        for one, other in zip(found, expected):
            np.testing.assert_allclose(to_numpy(one), to_numpy(other).T.reshape(x.shape), rtol=1e-9, atol=1e-12)
        for name in ("dgamma", "dbeta", "running_mean", "running_var"):
            np.testing.assert_allclose(to_numpy(getattr(layer, name)), to_numpy(getattr(plain, name)), rtol=1e-9)


@pytest.mark.parametrize("x", [np.array([[3.0, -2.0]]), np.full((6, 2), 5.0)])
def test_batch_norm_of_one_row_and_of_constant_columns_is_beta(x):
    layer = batch_norm(to_device(np.array([2.0, 3.0])), to_device(np.array([0.5, -1.0])))
    for _ in range(3):
        np.testing.assert_allclose(to_numpy(layer.forward(to_device(x))), np.tile([0.5, -1], (len(x), 1)), atol=1e-12)
        dx = to_numpy(layer.backward(to_device(np.ones(x.shape))))
        np.testing.assert_allclose(dx, 0, atol=1e-10)
    np.testing.assert_allclose(to_numpy(layer.dgamma), 0, atol=1e-12)
    np.testing.assert_allclose(to_numpy(layer.dbeta), len(x))
    assert np.isfinite(to_numpy(layer.running_var)).all() and np.isfinite(to_numpy(layer.predict(to_device(x)))).all()


# ---------------------------------------------------------------------------------------------------- networks


def network_arrays(rng, dtype=np.float64):
    """The arrays of a network of two dense layers, 5 → 6 → 3, with batch normalisation between them."""
    shapes = {"W1": (5, 6), "b1": 6, "gamma": 6, "beta": 6, "mean": 6, "var": 6, "W2": (6, 3), "b2": 3}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    arrays["var"] **= 2
    return {name: to_device(array.astype(dtype)) for name, array in arrays.items()}


def make_network(arrays, drawn=None, noisy=True):
    """A network on these very arrays; with `noisy`, dropout between its halves, and noise on the input."""
    noise = [GaussianNoise(0.1, drawn), Dropout(0.4, drawn)] if noisy else [None, None]
    layers = [
        noise[0],
        Dense(arrays["W1"], arrays["b1"], l1=0.01, l2=0.02),
        BatchNorm(arrays["gamma"], arrays["beta"], arrays["mean"], arrays["var"]),
        ReLU(),
        noise[1],
        Dense(arrays["W2"], arrays["b2"], l2=0.03),
    ]
    return Network([layer for layer in layers if layer])


@pytest.mark.parametrize("i", [*range(6), "x"])
def test_gradients_of_a_whole_network_and_its_loss(rng, central_differences, i):
    arrays = network_arrays(rng)
    (x,) = random_arrays(rng, (7, 5))
    network, loss = make_network(arrays, noisy=False), SoftmaxCrossEntropy()
    network.layers.insert(3, Dropout(0.4, Drawn(to_device(rng.uniform(size=(7, 6))))))
    network.layers.insert(0, GaussianNoise(0.1, Drawn(to_device(rng.normal(size=(7, 5))))))
    targets = to_device(rng.integers(3, size=7))

    def cost():
        nll = loss.forward(network.forward(x), targets)
        return nll + network.penalty()

    expected = central_differences(cost, x if i == "x" else network.parameters[i])
    cost()
    dx = network.backward(loss.backward(), need_dx=i == "x")
    assert len(network.parameters) == len(network.gradients) == 6
    np.testing.assert_allclose(to_numpy(dx if i == "x" else network.gradients[i]), expected, rtol=1e-6, atol=1e-9)


def test_parameters_and_gradients_of_a_network_are_those_of_its_layers(rng):
    arrays = network_arrays(rng)
    network = make_network(arrays)
    names = ("W1", "b1", "gamma", "beta", "W2", "b2")  # the running averages are not learned
    assert all(found is arrays[name] for found, name in zip(network.parameters, names, strict=True))
    assert [array.shape for array in network.gradients] == [array.shape for array in network.parameters]
    assert float(network.penalty()) == pytest.approx(sum(float(layer.penalty()) for layer in network.layers))
    assert all(word in repr(network) for word in ("Dense(5 → 6)", "BatchNorm(6)", "Dropout(0.4)", "GaussianNoise(0.1)"))


@pytest.mark.parametrize("rows", [1, 3, 10, 11])
def test_a_network_predicts_in_pieces_what_it_predicts_at_once(rng, monkeypatch, rows):
    x = to_device(rng.normal(size=(10, 5)))
    network = make_network(network_arrays(rng))
    whole = to_numpy(network.predict(x))
    monkeypatch.setattr(Network, "ROWS", rows)
    np.testing.assert_allclose(to_numpy(network.predict(x)), whole, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("top", ["Dense", "ReLU", "Dropout"])
def test_what_a_network_predicts_stays_and_so_does_its_input(rng, top):
    """The layers' buffers are overwritten by the next call."""
    W, b = random_arrays(rng, (4, 3), (3,))
    network = Network([Dense(W, b), *{"Dense": [], "ReLU": [ReLU()], "Dropout": [Dropout(0.5, None)]}[top]])
    x = to_device(rng.normal(size=(6, 4)))
    original, first = to_numpy(x).copy(), network.predict(x)
    kept = to_numpy(first).copy()
    network.predict(x + 1)
    network.predict(x[:2] - 1)
    np.testing.assert_array_equal(to_numpy(first), kept)
    first[...] = 0
    np.testing.assert_array_equal(to_numpy(network.predict(x)), kept)
    np.testing.assert_array_equal(to_numpy(x), original)


def test_dropout_and_noise_are_for_training_only(rng):
    """Without a source of noise to draw from, too."""
    arrays, x = network_arrays(rng), to_device(rng.normal(size=(10, 5)))
    plain = to_numpy(make_network(arrays, noisy=False).predict(x))
    np.testing.assert_array_equal(to_numpy(make_network(arrays).predict(x)), plain)
    noisy = make_network(arrays, Noise(np.random.default_rng(0)))
    np.testing.assert_array_equal(to_numpy(noisy.predict(x)), plain)
    assert (to_numpy(noisy.forward(x)) != plain).mean() > 0.5


def test_two_networks_on_the_same_arrays_learn_together(rng):
    """One trains, the other predicts: weights and running averages are one and the same memory."""
    arrays, x = network_arrays(rng), to_device(rng.normal(size=(10, 5)))
    trained, other = make_network(arrays, Noise(np.random.default_rng(0))), make_network(arrays)
    before = to_numpy(other.predict(x))
    averages = to_numpy(arrays["mean"]).copy(), to_numpy(arrays["var"]).copy()
    loss, targets = SoftmaxCrossEntropy(), to_device(rng.integers(3, size=10))
    for _ in range(3):
        loss.forward(trained.forward(x), targets)
        trained.backward(loss.backward())
        SGD(0.1).update(trained.parameters, trained.gradients)
    after = to_numpy(other.predict(x))
    assert (after != before).all()
    assert (to_numpy(arrays["mean"]) != averages[0]).all() and (to_numpy(arrays["var"]) != averages[1]).all()
    np.testing.assert_array_equal(after, to_numpy(trained.predict(x)))
    fresh = make_network({name: to_device(to_numpy(array).copy()) for name, array in arrays.items()})
    np.testing.assert_array_equal(after, to_numpy(fresh.predict(x)))


def test_buffers_of_a_network_leave_no_trace(rng):
    """Longer, shorter and longer batches through one network give what a new one gives each of them."""
    numbers, loss = to_device(rng.uniform(size=(9, 6))), SoftmaxCrossEntropy()
    arrays = network_arrays(rng)

    def build():
        network = make_network(arrays, noisy=False)
        network.layers.insert(3, Dropout(0.4, Drawn(numbers)))
        network.layers.insert(0, GaussianNoise(0.1, Drawn(numbers[:, :5])))
        return network

    kept = build()
    for n in (7, 2, 7, 1, 9):
        x, targets = to_device(rng.normal(size=(n, 5))), to_device(rng.integers(3, size=n))
        found = []
        for network in (kept, build()):
            nll = float(loss.forward(network.forward(x), targets))
            network.backward(loss.backward())
            found.append([nll, *(to_numpy(gradient) for gradient in network.gradients)])
        for one, other in zip(*found):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_of_float32_stays_one(rng, activation):
    arrays = network_arrays(rng, np.float32)
    network, loss = make_network(arrays, Noise(np.random.default_rng(0))), SoftmaxCrossEntropy()
    network.layers[3] = activation()
    x, targets = to_device(rng.normal(size=(10, 5)).astype(np.float32)), to_device(rng.integers(3, size=10))
    output = network.forward(x)
    loss.forward(output, targets)
    delta = loss.backward()
    network.backward(delta)
    for array in (output, delta, network.predict(x), *network.gradients, *arrays.values()):
        assert array.dtype == np.float32
    assert all(np.isfinite(to_numpy(array)).all() for array in arrays.values())


def test_a_second_pass_over_the_pieces_leaves_the_running_averages(rng, monkeypatch):
    monkeypatch.setattr(Pieces, "ROWS", 4)
    gain, bias, mean, variance = xp.ones(2), xp.zeros(2), xp.zeros(2), xp.ones(2)
    filters = Conv2D(to_device(rng.normal(size=(2, 1, 3, 3))), xp.zeros(2))
    pieces = Pieces([Images(4, 4), filters, BatchNorm2D(gain, bias, mean, variance), Flatten()])
    scores = pieces.forward(to_device(rng.normal(size=(10, 16))))
    kept = to_numpy(mean).copy(), to_numpy(variance).copy()
    pieces.backward(scores)
    for array, before in zip((mean, variance), kept):
        np.testing.assert_array_equal(to_numpy(array), before)


def test_pieces_of_dense_layers_share_the_penalties(rng, monkeypatch):
    monkeypatch.setattr(Pieces, "ROWS", 4)
    x, delta, W, b = random_arrays(rng, (10, 3), (10, 2), (3, 2), 2)
    whole, pieces = (kind([Dense(W, b, l1=0.3, l2=0.2)]) for kind in (Network, Pieces))
    for network in (whole, pieces):
        network.forward(x)
        network.backward(delta)
    np.testing.assert_allclose(to_numpy(pieces.gradients[0]), to_numpy(whole.gradients[0]), rtol=1e-9)


@pytest.mark.parametrize(
    "layer", [Dropout(0.5, 0), GaussianNoise(0.1, 0), BatchNorm2D(*(xp.ones(1) for _ in range(4)))]
)
def test_a_buffer_of_another_precision_is_not_used_again(layer):
    x = xp.ones((1, 2, 2, 3))
    assert layer.forward(x.astype(np.float32)).dtype == np.float32 and layer.forward(x).dtype == np.float64


@pytest.mark.skipif(xp is not np, reason="a GPU would be waited for")
def test_a_loss_refuses_negative_targets():
    """NumPy would count classes from the last one."""
    with pytest.raises(ValueError, match="targets: expected columns from 0, found -1"):
        SoftmaxCrossEntropy().forward(np.zeros((1, 3)), np.array([-1]))
