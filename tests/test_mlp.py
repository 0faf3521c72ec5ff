"""The multilayer perceptron: scikit-learn's own checks, small problems it must solve, and each of its settings."""

import copy

import numpy as np
import pytest
import scipy.stats
from helpers import Drawn, arrays
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import RandomizedSearchCV

from companion import estimator
from companion.backend import Noise, generator, to_device, to_numpy, xp
from companion.data import load_mnist, plane_points
from companion.functions import log_softmax, softmax
from companion.layers import BatchNorm, Dense, GaussianNoise, ReLU, Tanh, initial_weights
from companion.logistic import LogisticRegression
from companion.mlp import MLP


@pytest.fixture
def problem(rng):
    """Three hundred points about the corners of a square, opposite corners of one class: no line divides them."""
    corners = rng.integers(2, size=(300, 2))
    X = 2.0 * corners - 1 + rng.normal(scale=0.25, size=(300, 2))
    return X.astype(np.float32), corners.sum(axis=1) % 2


EVERYTHING = {
    "hidden_sizes": (12, 8),
    "activation": "relu",
    "learning_rate": 0.05,
    "momentum": 0.5,
    "schedule": "cosine",
    "warmup": 5,
    "l1": 1e-5,
    "dropout": 0.1,
    "input_dropout": 0.05,
    "gaussian_noise": 0.1,
    "adversarial": 0.05,
    "virtual_adversarial": 0.05,
    "batch_norm": True,
    "max_norm": 2.0,
    "averaging": 0.95,
}


# ------------------------------------------------------------------------------------------- what it learns


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
@pytest.mark.parametrize(
    "optimizer",
    [{"optimizer": "sgd", "learning_rate": 0.2, "momentum": 0.9}, {"optimizer": "adam", "learning_rate": 0.02}],
)
def test_it_learns_what_no_line_divides(problem, activation, optimizer):
    X, y = problem
    assert LogisticRegression(random_state=0, n_epochs=50, batch_size=50).fit(X, y).score(X, y) < 0.85
    model = MLP(hidden_sizes=(16,), activation=activation, n_epochs=40, batch_size=30, random_state=0, **optimizer)
    assert model.fit(X, y).score(X, y) >= 0.99
    assert model.history_.train_loss[-1] < 0.1 * model.history_.train_loss[0]


@pytest.mark.parametrize("optimizer", [{}, {"optimizer": "adam", "learning_rate": 0.02, "momentum": 0.0}])
@pytest.mark.slow
def test_it_learns_with_everything_at_once(problem, optimizer):
    X, y = problem
    model = MLP(n_epochs=60, batch_size=20, random_state=0, **(EVERYTHING | optimizer)).fit(X, y)
    assert model.score(X, y) >= 0.97
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in arrays(model).values())
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    # row by row: no statistics of the rows that happen to be predicted together
    np.testing.assert_allclose(model.predict_proba(X[:1]), model.predict_proba(X)[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("K", [2, 5])
def test_the_first_loss_is_that_of_ignorance(rng, K):
    """The top layer starts at zero, so that all classes are equally probable."""
    X, y = rng.normal(size=(50, 4)), np.arange(50) % K
    model = MLP(hidden_sizes=(10, 10), n_epochs=1, batch_size=50, l2=0.0, batch_norm=True).fit(X, y)
    assert model.history_.train_loss == [pytest.approx(np.log(K), rel=1e-6)]


@pytest.mark.parametrize(
    ("settings", "logistic"),
    [
        ({}, {}),
        ({"l1": 0.01, "l2": 0.02, "averaging": 0.9}, {}),
        ({"batch_norm": True, "activation": "relu", "max_norm": 0.01, "dropout": 0.5}, {}),
        ({"input_dropout": 0.3}, {"dropout": 0.3}),
    ],
)
def test_without_hidden_layers_it_is_softmax_regression(problem, settings, logistic):
    """Whatever is said of hidden units; dropout of the pixels is the dropout there."""
    X, y = problem
    common = {"learning_rate": 0.3, "n_epochs": 5, "batch_size": 40, "patience": 5000, "random_state": 3}
    common |= {"l2": 0.0} | {name: value for name, value in settings.items() if name in ("l1", "l2", "averaging")}
    found = MLP(hidden_sizes=(), **(settings | common)).fit(X, y, validation=(X, y))
    expected = LogisticRegression(**(common | logistic)).fit(X, y, validation=(X, y))
    assert set(found.parameters_) == {"W1", "b1"}
    np.testing.assert_array_equal(to_numpy(found.parameters_["W1"]), to_numpy(expected.W_))
    np.testing.assert_array_equal(to_numpy(found.parameters_["b1"]), to_numpy(expected.b_))
    assert found.history_.train_loss == expected.history_.train_loss


@pytest.mark.parametrize("adversarial", [0.0, 0.3])
def test_training_equals_the_same_thing_in_a_few_lines(problem, adversarial):
    """Three epochs of minibatches of 119, 119 and 62, one hidden layer of tanh, momentum, in float64."""
    X, y = problem
    settings = {"hidden_sizes": (6,), "learning_rate": 0.3, "batch_size": 119, "momentum": 0.8, "l1": 1e-3, "l2": 1e-2}
    model = MLP(n_epochs=3, random_state=7, adversarial=adversarial, **settings).fit(X, y)
    rng = np.random.default_rng(7)
    W = [to_numpy(initial_weights(2, 6, "tanh", rng)).astype(float), np.zeros((6, 2))]
    b, V, c = [np.zeros(6), np.zeros(2)], [0, 0], [0, 0]

    def gradients(x, targets):
        h = np.tanh(x @ W[0] + b[0])
        e = np.exp(h @ W[1] + b[1])
        top = (e / e.sum(axis=1, keepdims=True) - np.eye(2)[targets]) / len(x)
        return h, top, top @ W[1].T * (1 - h**2)

    for _ in range(3):
        for batch in np.split(rng.permutation(300), [119, 238]):
            x, half = X[batch].astype(float), (len(batch) + 1) // 2
            _, _, below = gradients(x[:half], y[batch][:half])
            dx = below @ W[0].T
            x[:half] += adversarial * dx / np.linalg.norm(dx, axis=1, keepdims=True).clip(1e-12)
            h, top, below = gradients(x, y[batch])
            for i, (entering, delta) in enumerate([(x, below), (h, top)]):
                V[i] = 0.8 * V[i] - 0.3 * (entering.T @ delta + 1e-3 * np.sign(W[i]) + 2e-2 * W[i])
                c[i] = 0.8 * c[i] - 0.3 * delta.sum(axis=0)
                W[i], b[i] = W[i] + V[i], b[i] + c[i]
    for name, expected in {"W1": W[0], "W2": W[1], "b1": b[0], "b2": b[1]}.items():
        np.testing.assert_allclose(to_numpy(model.parameters_[name]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unlabelled", [False, True])
def test_virtual_adversarial_training_equals_the_same_thing_in_a_few_lines(problem, unlabelled):
    """The way that changes p most, by one step of power iteration; then cross-entropy, and divergence after the way."""
    (X, y), length = problem, 2.0
    U = X[::-2] if unlabelled else None
    settings = {"hidden_sizes": (6,), "learning_rate": 0.3, "batch_size": 119, "l2": 1e-2, "random_state": 7}
    model = MLP(n_epochs=3, virtual_adversarial=length, **settings).fit(X, y, unlabelled=U)
    rng = np.random.default_rng(7)
    W1 = to_numpy(initial_weights(2, 6, "tanh", rng)).astype(float)
    W2, b1, b2 = np.zeros((6, 2)), np.zeros(6), np.zeros(2)

    def forward(x):
        h = np.tanh(x @ W1 + b1)
        e = np.exp(h @ W2 + b2)
        return h, e / e.sum(axis=1, keepdims=True)

    def scaled(moves, length):
        return moves * length / np.linalg.norm(moves, axis=1, keepdims=True).clip(1e-12)

    losses, noise = [], Noise(rng)
    for _ in range(3):
        noise.renew()
        for batch in np.split(rng.permutation(300), [119, 238]):
            x, n, targets = X[batch].astype(float), len(batch), np.eye(2)[y[batch]]
            u = U[rng.integers(len(U), size=n)].astype(float) if unlabelled else x
            p = forward(u)[1]
            h, q = forward(u + scaled(to_numpy(noise.normal(xp.empty((n, 2), xp.float32))), 0.1))
            moved = u + scaled(((q - p) @ W2.T * (1 - h**2)) @ W1.T, length)
            (h, q), wanted = forward(both := np.vstack([x, moved])), np.vstack([targets, p])
            losses.append(
                (wanted * np.log(np.vstack([targets + 1e-300, p]) / q)).sum() / n
                + 1e-2 * sum((W**2).sum() for W in (W1, W2))
            )
            top = (q - wanted) / n
            below = top @ W2.T * (1 - h**2)
            W2, b2 = W2 - 0.3 * (h.T @ top + 2e-2 * W2), b2 - 0.3 * top.sum(axis=0)
            W1, b1 = W1 - 0.3 * (both.T @ below + 2e-2 * W1), b1 - 0.3 * below.sum(axis=0)
    for name, expected in {"W1": W1, "W2": W2, "b1": b1, "b2": b2}.items():
        np.testing.assert_allclose(to_numpy(model.parameters_[name]), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.history_.train_loss, np.reshape(losses, (3, 3)).mean(axis=1), rtol=5e-6)


def test_virtual_moves_change_the_probabilities_almost_most():
    """Of all directions in the plane; a random one does much less."""
    X, y = plane_points("spirals", 200, np.random.default_rng(0))
    model = MLP(hidden_sizes=(30,), optimizer="adam", learning_rate=0.02, n_epochs=60, random_state=0).fit(X, y)
    model.set_params(virtual_adversarial=0.02)
    at, u = model._prepare(X, model.parameters_), to_device(X)

    def divergence(moves):
        p, q = (np.maximum(model.predict_proba(points), 1e-30).astype(float) for points in (X, X + to_numpy(moves)))
        return (p * np.log(p / q)).sum(axis=1)

    found = divergence(model._virtual_move(at, u, to_device(model.predict_proba(X))))
    angles = np.arange(0, 2 * np.pi, np.pi / 30)
    circle = np.array([divergence(0.02 * np.array([[np.cos(a), np.sin(a)]], np.float32)) for a in angles])
    assert 0.7 * circle.max(axis=0).sum() < found.sum() <= 1.01 * circle.max(axis=0).sum()
    assert found.sum() > 1.3 * circle.mean(axis=0).sum()


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("unlabelled", [False, True])
def test_without_a_move_nothing_is_added(problem, monkeypatch, batch_norm, unlabelled):
    """Images that are not moved keep their probabilities, also where they are normalised with their minibatch."""
    X, y = problem
    monkeypatch.setattr(MLP, "_virtual_move", lambda self, at, u, p: 0 * u)
    model = MLP(hidden_sizes=(6, 5), batch_norm=batch_norm, virtual_adversarial=1.0, batch_size=60, random_state=0)
    at = model.set_params(n_epochs=1).fit(X, y)._prepare(X, model.parameters_)
    at.unlabelled = to_device(X[::-2].copy()) if unlabelled else None
    x, targets = to_device(X[:50]), model._encode(y[:50], 50)
    rows = x
    if unlabelled and batch_norm:  # they belong to the minibatch
        drawn = copy.deepcopy(at.rng).integers(150, size=50)
        rows = xp.concatenate([x, at.unlabelled[to_device(drawn)]])
    alone = model._prepare(X, model.parameters_)
    cost = alone.loss.forward(alone.network.forward(rows)[:50], targets)
    alone.network.backward(xp.concatenate([alone.loss.backward(), xp.zeros((len(rows) - 50, 2), xp.float32)]))
    assert float(model._propagate(at, x, targets, None)) == pytest.approx(float(cost), rel=1e-5)
    for found, expected in zip(at.network.gradients, alone.network.gradients):
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-3, atol=1e-6)


def test_points_without_labels_bring_the_boundary_to_where_there_are_none():
    """Two moons, three labels in each: the network that sees the other points as well follows them."""
    X, y = plane_points("moons", 600, np.random.default_rng(0))
    few = np.concatenate([np.flatnonzero(y == k)[:3] for k in (0, 1)])
    plain = MLP(
        hidden_sizes=(50, 50), activation="relu", optimizer="adam", learning_rate=0.01, batch_size=60, n_epochs=400,
        random_state=0,
    )  # fmt: skip
    with_others = clone(plain).set_params(virtual_adversarial=0.15)
    repeated = np.tile(few, 10)  # a minibatch of sixty, and so sixty of the others beside it
    plain.fit(X[repeated], y[repeated])
    with_others.fit(X[repeated], y[repeated], unlabelled=X)
    assert with_others.errors(X, y) < 0.02 < 0.05 < plain.errors(X, y)


@pytest.mark.parametrize("model", [MLP(), LogisticRegression()])
def test_images_without_labels_need_a_use(problem, model):
    X, y = problem
    with pytest.raises(ValueError, match="unlabelled: expected images only where virtual_adversarial is above 0"):
        model.fit(X, y, unlabelled=X)
    with pytest.raises(ValueError, match="3 features"):
        MLP(virtual_adversarial=1.0).fit(X, y, unlabelled=np.zeros((5, 3)))


# ------------------------------------------------------------------------------------------- its settings


@pytest.mark.parametrize("averaging", [0.0, 0.95])
def test_max_norm_bounds_the_columns_of_hidden_layers(problem, averaging):
    X, y = problem
    settings = {"hidden_sizes": (10, 10), "learning_rate": 0.3, "n_epochs": 20, "random_state": 0}
    free = arrays(MLP(**settings).fit(X, y))
    bounded = arrays(MLP(max_norm=0.5, averaging=averaging, **settings).fit(X, y))
    for name in ("W1", "W2"):
        norms = np.linalg.norm(bounded[name], axis=0)
        assert norms.max() <= 0.5 * (1 + 1e-6) < np.linalg.norm(free[name], axis=0).max()
        assert norms.max() > 0.45
    assert np.linalg.norm(bounded["W3"], axis=0).min() > 0.5  # the top layer is free


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("activation", "'tanh' or 'logistic' or 'relu'"),
        ("optimizer", "'sgd' or 'adam'"),
        ("schedule", "'linear' or 'cosine'"),
    ],
)
@pytest.mark.parametrize("word", ["Tanh", "nonsense", None])
def test_a_wrong_word_is_answered_with_the_right_ones(problem, name, expected, word):
    with pytest.raises(ValueError, match=f"{name} is {word!r}; expected .*{expected}"):
        MLP(**{name: word}).fit(*problem)


def test_the_schedule_runs_over_the_whole_training(problem):
    """300 rows in batches of 40 are 8 updates an epoch: the linear one would reach zero after the last of 24."""
    asked = []

    class Watched(estimator.Schedule):
        def __call__(self, t):
            asked.append(rate := super().__call__(t))
            return rate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimator, "Schedule", Watched)
        MLP(hidden_sizes=(4,), n_epochs=3, batch_size=40, schedule="linear", learning_rate=0.24).fit(*problem)
    np.testing.assert_allclose(asked, 0.24 - 0.01 * np.arange(24), rtol=1e-9)


def test_dropout_and_noise_act_in_training_only(problem):
    X, y = problem
    plain = MLP(hidden_sizes=(10,), n_epochs=3, random_state=0).fit(X, y)
    for settings in ({"dropout": 0.5}, {"input_dropout": 0.5}, {"gaussian_noise": 1.0}):
        noisy = clone(plain).set_params(**settings).fit(X, y)
        assert (arrays(noisy)["W1"] != arrays(plain)["W1"]).any()
        quiet = clone(plain).set_params(n_epochs=0).fit(X, y)
        quiet.parameters_ = noisy.parameters_
        np.testing.assert_array_equal(noisy.predict_proba(X), quiet.predict_proba(X))


@pytest.mark.slow
def test_adversarial_examples_in_training_help_against_them():
    """Digits moved by 1 to where the loss grows: the one misreads most of them, the other not half as many."""
    train, valid, _ = load_mnist(verbose=False)

    def misread(adversarial):
        model = MLP(
            hidden_sizes=(100,), activation="relu", optimizer="adam", learning_rate=2e-3, batch_size=50, n_epochs=12,
            adversarial=adversarial, random_state=0,
        ).fit(*train)  # fmt: skip
        dx = model.input_gradient(*valid)
        moved = valid.images + dx / np.linalg.norm(dx, axis=1, keepdims=True).clip(1e-12)
        return model.errors(*valid), model.errors(moved, valid.labels)

    (plain, plain_moved), (trained, trained_moved) = misread(0.0), misread(2.0)
    assert trained_moved < plain_moved / 2 and trained < plain + 0.01


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
def test_gradient_of_the_loss_with_respect_to_the_pixels(problem, activation, central_differences):
    X, y = problem
    y = np.array(["no", "yes"])[y]
    model = MLP(hidden_sizes=(8, 6), activation=activation, dropout=0.2, learning_rate=0.1, n_epochs=5, random_state=0)
    model.fit(X, y)
    found = model.input_gradient(X[:7], y[:7])
    np.testing.assert_allclose(found[3:4], model.input_gradient(X[3:4], y[3:4]), rtol=1e-5, atol=1e-8)

    model.parameters_ = {name: array.astype(np.float64) for name, array in model.parameters_.items()}
    x = to_device(X[:7].astype(np.float64))
    targets = to_device((y[:7] == "yes").astype(int))

    def loss():
        return -log_softmax(model.network(model.parameters_).predict(x))[xp.arange(7), targets].sum()

    np.testing.assert_allclose(found, central_differences(loss, x), rtol=1e-4, atol=1e-6)


def test_gradient_with_respect_to_the_pixels_refuses_what_it_cannot_do(problem):
    X, y = problem
    with pytest.raises(ValueError, match="expected a network without batch normalisation"):
        MLP(hidden_sizes=(4,), batch_norm=True, n_epochs=1).fit(X, y).input_gradient(X, y)
    model = MLP(hidden_sizes=(4,), n_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"labels: expected shape \(2,\), one for each image, found \(3,\)"):
        model.input_gradient(X[:2], y[:3])
    with pytest.raises(ValueError, match="label 7 is none of the classes"):
        model.input_gradient(X[:2], [0, 7])
    with pytest.raises(NotFittedError):
        MLP().input_gradient(X, y)


# ---------------------------------------------------------------------------------------- initial weights


def test_initial_weights_have_the_ranges_of_their_sources():
    rng, shape = np.random.default_rng(0), (300, 150)
    bound = np.sqrt(6 / 450)
    for activation, factor in [("tanh", 1), ("logistic", 4)]:
        W = to_numpy(initial_weights(*shape, activation, rng))
        assert W.shape == shape and W.dtype == np.float32
        assert 0.999 * factor * bound < abs(W).max() <= factor * bound * (1 + 1e-6)
        assert W.var() == pytest.approx((factor * bound) ** 2 / 3, rel=0.02)
        assert abs(W.mean()) < 5 * W.std() / np.sqrt(W.size)
    W = to_numpy(initial_weights(*shape, "relu", rng))
    assert W.shape == shape and W.dtype == np.float32
    assert W.var() == pytest.approx(2 / 300, rel=0.05)
    assert abs((W > 1.96 * W.std()).mean() - 0.025) < 0.004


def variances(activation, scale, factor):
    """What five layers of 300 units make of the variance of their inputs and, backwards, of gradients."""
    rng, layers = np.random.default_rng(2), []
    for _ in range(5):
        W = factor * initial_weights(300, 300, activation, rng)
        layers += [Dense(W, to_device(np.zeros(300, np.float32))), {"tanh": Tanh, "relu": ReLU}[activation]()]
    x = to_device((scale * rng.normal(size=(500, 300))).astype(np.float32))
    delta = to_device(rng.normal(size=(500, 300)).astype(np.float32))
    forward, backward = [], []
    for dense, above in zip(layers[::2], layers[1::2]):
        scores = dense.forward(x)
        forward.append(float(scores.var()))
        x = above.forward(scores)
    for dense, above in zip(layers[-2::-2], layers[::-2]):
        delta = above.backward(delta)
        backward.append(float(delta.var()))
        delta = dense.backward(delta)
    return forward[-1] / forward[0], backward[-1] / backward[0]


@pytest.mark.parametrize(("activation", "scale"), [("tanh", 0.1), ("relu", 1.0)])
def test_variances_last_through_five_layers(activation, scale):
    """With tanh in its linear range, for which the theory is made. Weights 30 % smaller or larger would not do."""
    assert all(1 / 2 < ratio < 2 for ratio in variances(activation, scale, 1.0))
    assert all(ratio < 1 / 8 for ratio in variances(activation, scale, 0.7))
    assert max(variances(activation, scale, 1.3)) > 4


# ------------------------------------------------------------------------------------ among other estimators


@pytest.mark.slow
def test_a_randomized_search_over_its_settings(problem):
    """The numbers come as NumPy's own."""
    X, y = problem
    settings = {
        "hidden_sizes": [(1,), (12,), (12, 6)],
        "learning_rate": scipy.stats.loguniform(0.02, 0.3),
        "optimizer": ["sgd", "adam"],
        "momentum": scipy.stats.uniform(0, 0.9),
        "l2": scipy.stats.loguniform(1e-6, 1e-3),
        "dropout": np.array([0.0, 0.1]),
        "max_norm": np.array([2.0, 4.0]),
        "averaging": np.array([0.0, 0.9]),
        "batch_size": scipy.stats.randint(20, 60),
    }
    search = RandomizedSearchCV(MLP(n_epochs=15, random_state=0), settings, n_iter=6, cv=2, random_state=0, n_jobs=1)
    search.fit(X, y)
    assert search.best_score_ > 0.97 and search.score(X, y) > 0.97
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert all(array.dtype == np.float32 for array in arrays(search.best_estimator_).values())


@pytest.mark.slow
def test_on_the_sample_of_mnist():
    """The test error of 500 digits after learning from 4,000: below 10 %."""
    train, valid, test = load_mnist(verbose=False)
    model = MLP(
        hidden_sizes=(100,), activation="relu", optimizer="adam", learning_rate=2e-3, batch_size=50, n_epochs=15,
        random_state=0,
    ).fit(*train, validation=valid)  # fmt: skip
    assert model.errors(*test) < 0.1
    assert model.errors(*valid) == pytest.approx(model.history_.best_error)
    assert model.history_.train_loss[-1] < 0.15


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden_sizes": 5}, "expected a tuple of positive whole numbers"),
        ({"hidden_sizes": (4, 0)}, "expected a tuple of positive whole numbers"),
        ({"dropout": 1.0}, "expected a number at least 0 and below 1"),
        ({"input_dropout": -0.1}, "expected a number at least 0 and below 1"),
        ({"adversarial": -0.1}, "adversarial is -0.1; expected a number at least 0"),
        ({"adversarial": float("nan")}, "adversarial is nan; expected a number at least 0"),
    ],
)
def test_wrong_numbers_are_named(settings, says):
    with pytest.raises(ValueError, match=says):
        MLP(**settings).fit(np.eye(4), [0, 1, 0, 1])


def test_batch_normalisation_refuses_single_rows(problem):
    """Each is its own mean: the network would see nothing but zeros, and answer the same to everything."""
    X, y = problem
    model = MLP(hidden_sizes=(5,), batch_norm=True, batch_size=1, n_epochs=1, random_state=0)
    with pytest.raises(ValueError, match="batch_norm: expected minibatches of two rows or more, found batch_size=1, "):
        model.fit(X, y)
    model.set_params(batch_size=20).fit(X, y)
    with pytest.raises(ValueError, match="found batch_size=20, n_samples=1"):
        model.partial_fit(X[:1], y[:1])


def test_noise_enters_every_layer():
    model = MLP(hidden_sizes=(4, 3), gaussian_noise=0.1)
    layers = model.network(model.initial_parameters(2, 2, generator(0)), Noise(0)).layers
    assert [isinstance(layer, GaussianNoise) for layer in layers] == [True, False, False] * 2 + [True, False]


def test_a_virtual_move_depends_on_no_other_image_and_the_next_minibatch_on_itself_alone(problem):
    X, y = problem
    model = MLP(hidden_sizes=(6,), batch_norm=True, virtual_adversarial=1.0, n_epochs=1, random_state=0).fit(X, y)
    at, u = model._prepare(X, model.parameters_), to_device(X)
    at.noise, p = Drawn(xp.ones((300, 2))), softmax(at.network.forward(u))
    moves = to_numpy(model._virtual_move(at, u, p)).copy()
    np.testing.assert_allclose(to_numpy(model._virtual_move(at, u[:5], p[:5])), moves[:5], rtol=1e-3)
    model._propagate(at, u, model._encode(y, 300), None)
    assert all(layer.n_rows is None for layer in at.network.layers if isinstance(layer, BatchNorm))


def test_one_image_is_normalised_together_with_the_same_one_moved(problem):
    X, y = problem
    model = MLP(hidden_sizes=(6,), activation="identity", batch_norm=True, virtual_adversarial=1.0, n_epochs=1)
    at = model.set_params(random_state=0).fit(X, y)._prepare(X, model.parameters_)
    assert float(model._propagate(at, to_device(X[:1]), model._encode(y[:1], 1), None)) < 1
