"""LeNet: scikit-learn's own checks, its geometry, the pieces of a minibatch, and small problems it must solve."""

from contextlib import nullcontext

import numpy as np
import pytest
from helpers import arrays, assert_same, peak_memory

from companion.backend import Noise, generator, one_thread, to_device, to_numpy
from companion.data import load_mnist
from companion.image_layers import Pieces
from companion.layers import SoftmaxCrossEntropy
from companion.lenet import LeNet

SMALL = {"n_filters": (3, 4), "filter_size": 3, "n_hidden": 10}
PLAIN = {"dropout": 0.0, "conv_dropout": 0.0, "averaging": 0.0}
EVERYTHING = SMALL | {
    "image_shape": (9, 10),
    "activation": "tanh",
    "momentum": 0.5,
    "schedule": "linear",
    "warmup": 5,
    "l2": 1e-4,
    "dropout": 0.2,
    "conv_dropout": 0.1,
    "gaussian_noise": 0.1,
    "averaging": 0.95,
    "learning_rate": 0.02,
}


@pytest.fixture
def problem(rng):
    """Three hundred images of 9 × 10 with one bar of five pixels, upright or lying, anywhere; noise all over."""
    images, y = 0.2 * rng.normal(size=(300, 9, 10)), rng.integers(2, size=300)
    for image, upright in zip(images, y):
        i, j = rng.integers(5), rng.integers(6)
        image[(slice(i, i + 5), j) if upright else (i, slice(j, j + 5))] += 1
    return images.reshape(300, 90).astype(np.float32), y


def build(n_pixels, n_classes=3, dtype=np.float64, **settings):
    """A network with random parameters, and these, as `LeNet` makes them for rows of so many pixels."""
    model = LeNet(**settings)
    model.n_features_in_ = n_pixels
    rng = np.random.default_rng(1)
    initial = model.initial_parameters(n_pixels, n_classes, generator(rng))
    # biases and the top layer start at zero
    there = {name: to_device(rng.normal(scale=0.3, size=array.shape).astype(dtype)) for name, array in initial.items()}
    for name in there:
        if name.startswith("running_var"):
            there[name] **= 2
    return model.network(there), there


# ------------------------------------------------------------------------------------------- what it learns


@pytest.mark.parametrize(
    "settings", [{}, {"activation": "tanh"}, {"optimizer": "sgd", "momentum": 0.9}, {"batch_norm": True}]
)
def test_it_learns_to_tell_bars_anywhere(problem, settings):
    X, y = problem
    rate = 0.1 if "momentum" in settings else 0.01
    model = LeNet(
        **SMALL, image_shape=(9, 10), n_epochs=20, batch_size=20, learning_rate=rate, warmup=10, random_state=0,
        **(PLAIN | settings),
    ).fit(X[:200], y[:200])  # fmt: skip
    assert model.score(X[200:], y[200:]) >= 0.97
    assert model.history_.train_loss[0] == pytest.approx(np.log(2), abs=0.4)
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in arrays(model).values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.slow
def test_it_learns_with_everything_at_once(problem, optimizer):
    X, y = problem
    settings = EVERYTHING | {"learning_rate": {"sgd": 0.1, "adam": 0.02}[optimizer], "optimizer": optimizer}
    model = LeNet(**settings, n_epochs=30, batch_size=20, random_state=0).fit(X, y)
    assert model.score(X, y) >= 0.95
    np.testing.assert_allclose(model.predict_proba(X[:1]), model.predict_proba(X)[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_on_the_sample_of_mnist():
    """A small one, in three epochs: the test error of 500 digits after learning from 4,000 is below 7 %."""
    train, valid, test = load_mnist(verbose=False)
    model = LeNet(n_filters=(6, 12), n_hidden=60, n_epochs=4, batch_size=50, warmup=20, learning_rate=4e-3,
                  dropout=0.2, random_state=0).fit(*train, validation=valid)  # fmt: skip
    assert model.errors(*test) < 0.07
    assert model.errors(*valid) == pytest.approx(model.history_.best_error)


# ------------------------------------------------------------------------------------------------ its geometry


def shapes(n_pixels, **settings):
    return {name: array.shape for name, array in build(n_pixels, 10, **settings)[1].items()}


def test_the_shapes_of_the_tutorial():
    found = shapes(784)
    assert found == {
        "W1": (20, 1, 5, 5), "b1": (20,), "W2": (50, 20, 5, 5), "b2": (50,),
        "W3": (800, 500), "b3": (500,), "W4": (500, 10), "b4": (10,),
    }  # fmt: skip
    assert shapes(784, image_shape=(28, 28)) == found


@pytest.mark.parametrize(
    ("n_pixels", "settings", "filters", "n_features"),
    [
        (1024, {}, [(20, 1, 5, 5), (50, 20, 5, 5)], 50 * 5 * 5),  # 32, 28, 14, 10, 5
        (729, {}, [(20, 1, 5, 5), (50, 20, 5, 5)], 50 * 4 * 4),  # 27, 23, 12 with the border, 8, 4
        (784, {"n_filters": (4,), "filter_size": 3, "pool_size": 3}, [(4, 1, 3, 3)], 4 * 9 * 9),
        (784, {"n_filters": (4, 5, 6), "filter_size": 2, "pool_size": 1}, [(4, 1, 2, 2), (5, 4, 2, 2), (6, 5, 2, 2)],
         6 * 25 * 25),
        (600, {"image_shape": (20, 30)}, [(20, 1, 5, 5), (50, 20, 5, 5)], 50 * 2 * 5),  # 16 × 26, 8 × 13, 4 × 9
        (784, {"n_filters": (4, 6), "filter_size": 3, "n_convolutions": 2},  # 28, 26, 24, 12, 10, 8, 4
         [(4, 1, 3, 3), (4, 4, 3, 3), (6, 4, 3, 3), (6, 6, 3, 3)], 6 * 4 * 4),
        (64, {}, [(20, 1, 5, 5), (50, 20, 2, 2)], 50),  # 8, 4, 2: the upper filters are no larger than that
        (5, {}, [(20, 1, 3, 3), (50, 20, 1, 1)], 50),
        (1, {}, [(20, 1, 1, 1), (50, 20, 1, 1)], 50),
    ],
)  # fmt: skip
def test_shapes_follow_from_the_image(n_pixels, settings, filters, n_features):
    found = shapes(n_pixels, **settings)
    assert [found[f"W{i}"] for i in range(1, len(filters) + 1)] == filters
    assert found[f"W{len(filters) + 1}"] == (n_features, 500)
    network, there = build(n_pixels, 10, **settings)
    x = to_device(np.random.default_rng(0).normal(size=(3, n_pixels)))
    assert network.forward(x).shape == (3, 10) and len(network.parameters) == len(there)


def test_the_layers_in_their_order():
    network, _ = build(784)
    assert repr(network) == (
        "Network(Pieces(Images(28 × 28), Conv2D(1 → 20, 5 × 5), MaxPool2D(2 × 2), ReLU, Conv2D(20 → 50, 5 × 5), "
        "MaxPool2D(2 × 2), ReLU, Flatten), Dense(800 → 500), ReLU, Dense(500 → 3))"
    )


@pytest.mark.parametrize("side", [9, 12])
def test_a_turned_image_with_turned_filters_gives_the_same(rng, side):
    """Lines and columns are not confused anywhere: rows, filters, border, and the features of the dense layer."""
    settings = {"n_filters": (3, 4), "filter_size": 3, "n_hidden": 6}
    network, there = build(side * 13, image_shape=(side, 13), **settings)
    turned, other = build(side * 13, image_shape=(13, side), **settings)
    height, width = {9: 1, 12: 2}[side], 2  # 9, 7, 4, 2, 1; 12, 10, 5, 3, 2; 13, 11, 6, 4, 2
    for name, array in there.items():
        new = array.swapaxes(2, 3) if array.ndim == 4 else array
        if name == "W3":
            new = array.reshape(4, height, width, 6).swapaxes(1, 2).reshape(-1, 6)
        other[name][...] = new
    x = rng.normal(size=(5, side, 13))
    found, expected = (
        to_numpy(n.predict(to_device(rows.reshape(5, -1)))) for n, rows in [(turned, x.swapaxes(1, 2)), (network, x)]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_layers_in_their_order_with_batch_normalisation():
    network, there = build(784, batch_norm=True)
    assert repr(network) == (
        "Network(Pieces(Images(28 × 28), Conv2D(1 → 20, 5 × 5), MaxPool2D(2 × 2), BatchNorm2D(20), ReLU, "
        "Conv2D(20 → 50, 5 × 5), MaxPool2D(2 × 2), BatchNorm2D(50), ReLU, Flatten), Dense(800 → 500), BatchNorm(500), "
        "ReLU, Dense(500 → 3))"
    )
    assert len(there) == 8 + 3 * 4 and len(network.parameters) == 8 + 3 * 2


def test_a_stage_of_two_convolutions_pools_once():
    network, there = build(784, n_filters=(20, 50), n_convolutions=2, filter_size=3, batch_norm=True)
    assert repr(network) == (
        "Network(Pieces(Images(28 × 28), Conv2D(1 → 20, 3 × 3), BatchNorm2D(20), ReLU, Conv2D(20 → 20, 3 × 3), "
        "MaxPool2D(2 × 2), BatchNorm2D(20), ReLU, Conv2D(20 → 50, 3 × 3), BatchNorm2D(50), ReLU, "
        "Conv2D(50 → 50, 3 × 3), MaxPool2D(2 × 2), BatchNorm2D(50), ReLU, Flatten), Dense(800 → 500), BatchNorm(500), "
        "ReLU, Dense(500 → 3))"
    )
    assert len(there) == 12 + 5 * 4 and len(network.parameters) == 12 + 5 * 2


def test_missing_pixels_are_zeros(problem):
    """Ninety features are read as 10 × 10 pixels: ten zeros more change nothing."""
    X, y = problem
    settings = SMALL | {"n_epochs": 2, "random_state": 0}
    model = LeNet(**settings).fit(X, y)
    longer = np.hstack([X, np.zeros((300, 10), np.float32)])
    assert_same(arrays(LeNet(**settings, image_shape=(10, 10)).fit(longer, y)), arrays(model))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_shape": (9, 9)}, "image_shape is 9 × 9; expected rows of 81 pixels, found 90"),
        ({"image_shape": (3, 30)}, "convolution 1: filter_size is 5; expected at most 3, .* 3 × 30"),
        ({"image_shape": (9, 10)}, "convolution 2: .*expected at most 3, .* 3 × 3 .the first ones 9 × 10"),
        ({"image_shape": (9, 10), "n_convolutions": 3, "filter_size": 4}, "convolution 3: .* at most 3, .* 3 × 4 "),
        ({"n_convolutions": 0}, "n_convolutions is 0; expected a whole number, at least 1"),
        ({"n_filters": 5}, "n_filters is 5; expected a tuple of positive whole numbers"),
        ({"n_filters": ()}, "expected a tuple of positive whole numbers, at least one"),
        ({"n_filters": (4, 0)}, "expected a tuple of positive whole numbers"),
        ({"filter_size": 0}, "filter_size is 0; expected a whole number, at least 1"),
        ({"pool_size": 0}, "pool_size is 0; expected a whole number, at least 1"),
        ({"n_hidden": 0}, "n_hidden is 0; expected a whole number, at least 1"),
        ({"dropout": 1.0}, "expected a number at least 0 and below 1"),
        ({"conv_dropout": -0.1}, "expected a number at least 0 and below 1"),
        ({"activation": "softplus"}, "activation is 'softplus'; expected 'tanh' or 'logistic' or 'relu'"),
        ({"optimizer": "Adam"}, "optimizer is 'Adam'; expected 'sgd' or 'adam'"),
        ({"schedule": "none"}, "schedule is 'none'; expected .*'cosine'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(problem, settings, says):
    with pytest.raises(ValueError, match=says):
        LeNet(**settings).fit(*problem)


# ------------------------------------------------------------------------------------ the pieces of a minibatch


@pytest.mark.parametrize(
    ("activation", "batch_norm", "n_convolutions"),
    [("relu", False, 1), ("tanh", False, 1), ("tanh", True, 1), ("tanh", False, 2), ("tanh", True, 2)],
)
@pytest.mark.parametrize("rows", [2, 5, 100])
def test_gradients_of_the_whole_network(
    monkeypatch, rng, central_differences, activation, batch_norm, n_convolutions, rows
):
    """Of loss and penalty, by central differences; five images in pieces of so many rows."""
    monkeypatch.setattr(Pieces, "ROWS", rows)
    settings = {"activation": activation, "batch_norm": batch_norm, "n_convolutions": n_convolutions, "l2": 0.02}
    network, there = build(49, **settings, n_filters=(2, 3), filter_size=2, n_hidden=4)
    x, targets = to_device(rng.normal(size=(5, 49))), to_device(rng.integers(3, size=5))
    loss = SoftmaxCrossEntropy()

    def cost():
        return loss.forward(network.forward(x), targets) + network.penalty()

    by_hand = 0.02 * sum((to_numpy(array) ** 2).sum() for name, array in there.items() if name.startswith("W"))
    assert float(network.penalty()) == pytest.approx(by_hand, rel=1e-12)
    for array, gradient in zip(network.parameters, network.gradients, strict=True):
        expected = central_differences(cost, array, step=1e-6)
        cost()
        network.backward(loss.backward())
        np.testing.assert_allclose(to_numpy(gradient), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n", [1, 30, 31, 200])
def test_pieces_make_no_difference(monkeypatch, rng, n):
    """One image, a whole piece, a piece and an image, many pieces: scores and gradients are those of one piece."""
    x, targets, loss = to_device(rng.normal(size=(n, 81))), to_device(rng.integers(3, size=n)), SoftmaxCrossEntropy()
    results = []
    for rows in (1000, 30):
        monkeypatch.setattr(Pieces, "ROWS", rows)
        network, _ = build(81, l2=0.1, **SMALL)
        scores = to_numpy(network.forward(x)).copy()
        loss.forward(network.forward(x), targets)
        below = to_numpy(network.backward(loss.backward(), need_dx=True)).copy()
        assert below.shape == (n, 81) and (below != 0).any()
        results.append([scores, below, to_numpy(network.predict(x)), *map(to_numpy, network.gradients)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-13)


def test_a_fit_does_not_depend_on_the_pieces(monkeypatch, problem):
    """Dropout included, which is drawn for the whole minibatch; up to the rounding of sums in another order."""
    X, y = problem
    settings = EVERYTHING | {"n_epochs": 3, "batch_size": 120, "random_state": 0}
    whole = arrays(LeNet(**settings).fit(X, y))
    monkeypatch.setattr(Pieces, "ROWS", 50)
    for name, array in arrays(LeNet(**settings).fit(X, y)).items():
        np.testing.assert_allclose(array, whole[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("what", ["a step", "a prediction"])
@pytest.mark.slow
def test_memory_hardly_grows_with_the_minibatch(what):
    """Twenty times the images take less than twice the memory; in one piece they would take 17 times as much."""
    X = to_device(np.random.default_rng(0).random((2000, 784), np.float32))

    def work(n):
        network, _ = build(784, 10, np.float32)
        if what == "a step":
            network.backward(0 * network.forward(X[:n]))
        else:
            network.predict(X[:n])

    with one_thread():
        piece, batch = (peak_memory(work, n) for n in (Pieces.ROWS, 20 * Pieces.ROWS))
    assert batch < 2 * piece


# ------------------------------------------------------------------------------- randomness, resume, storage


def test_dropout_and_noise_are_where_they_say():
    model = LeNet(dropout=0.5, conv_dropout=0.25, gaussian_noise=0.1)
    model.n_features_in_ = 784
    parameters = model.initial_parameters(784, 10, generator(0))
    network = model.network(parameters, noise=Noise(0))
    assert repr(network.layers[0]) == "GaussianNoise(0.1)" and isinstance(network.layers[1], Pieces)
    assert [repr(layer) for layer in network.layers[2:]] == [
        "Dropout(0.25)", "Dense(800 → 500)", "ReLU", "Dropout(0.5)", "Dense(500 → 10)",
    ]  # fmt: skip
    assert len(model.network(parameters).layers) == 4  # to predict, none of the three


def test_initial_weights_keep_the_variance():
    """He's, of variance 2 / fan-in, where the fan-in of a filter is the pixels that it sees."""
    model = LeNet(n_filters=(200, 100))
    model.n_features_in_ = 784
    initial = model.initial_parameters(784, 10, generator(0))
    for name, fan_in in [("W1", 25), ("W2", 200 * 25), ("W3", 100 * 16)]:
        assert to_numpy(initial[name]).var() == pytest.approx(2 / fan_in, rel=0.1)
    assert not any(to_numpy(initial[name]).any() for name in ("b1", "b2", "b3", "W4", "b4"))


def test_colours_are_not_read_as_one_large_image():
    X, y = np.random.default_rng(0).random((6, 3 * 32 * 32)), np.arange(6) % 2
    with pytest.raises(ValueError, match="found rows of 3072 pixels, three times 32 × 32"):
        LeNet(**SMALL, n_epochs=1).fit(X, y)
    assert LeNet(**SMALL, n_epochs=0, image_shape=(96, 32)).fit(X, y).predict(X).shape == (6,)


@pytest.mark.parametrize(("side", "refused"), [(7, False), (8, True)])
def test_squares_smaller_than_eight_are_not_taken_for_colours(side, refused):
    X, y = np.zeros((2, 3 * side**2)), np.arange(2)
    with pytest.raises(ValueError, match="three times 8 × 8") if refused else nullcontext():
        LeNet(**SMALL, n_epochs=0).fit(X, y)
