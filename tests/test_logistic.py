"""Softmax regression: scikit-learn's own checks, its optimum, and the same model again in ten lines."""

import numpy as np
import pytest
import sklearn.linear_model
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from companion.backend import to_device, to_numpy
from companion.data import load_mnist
from companion.layers import Dense, SoftmaxCrossEntropy
from companion.logistic import LogisticRegression
from companion.training import Divergence


@pytest.fixture
def problem(rng):
    """Ninety rows of four columns from three overlapping classes: the optimum is finite."""
    y = np.repeat([0, 1, 2], 30)
    centres = np.array([[1.0, 0, 0.5, 0], [0, 1, 0, 0.5], [-0.5, -0.5, 1, 0]])
    return (centres[y] + rng.normal(size=(90, 4))).astype(np.float32), y


def gradient(X, y, W, b):
    """Gradients of the mean negative log-likelihood in float64, from its formula."""
    X, W, b = (np.asarray(array, np.float64) for array in (X, W, b))
    p = np.exp(X @ W + b)
    p /= p.sum(axis=1, keepdims=True)
    delta = (p - np.eye(len(b))[y]) / len(X)
    return X.T @ delta, delta.sum(axis=0)


def numpy_parameters(model):
    return to_numpy(model.W_).copy(), to_numpy(model.b_).copy()


# ------------------------------------------------------------------------------------------- what it computes


@pytest.mark.parametrize("name", ["W", "b"])
@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0.1, 0), (0, 0.1), (0.1, 0.1)])
def test_gradients_of_the_penalised_likelihood(rng, problem, central_differences, name, l1, l2):
    """Central differences, and the formula written independently."""
    X, y = problem
    W, b = rng.choice([-1, 1], size=(4, 3)) * rng.uniform(0.2, 1, size=(4, 3)), rng.normal(size=3)
    on_device = {"W": to_device(W.copy()), "b": to_device(b.copy())}
    layer, loss = Dense(on_device["W"], on_device["b"], l1, l2), SoftmaxCrossEntropy()
    x, targets = to_device(X.astype(np.float64)), to_device(y)

    def cost():
        return loss.forward(layer.forward(x), targets) + layer.penalty()

    differences = central_differences(cost, on_device[name])
    cost()
    layer.backward(loss.backward(), need_dx=False)
    dW, db = gradient(X, y, W, b)
    expected = {"W": dW + l1 * np.sign(W) + 2 * l2 * W, "b": db}[name]
    found = to_numpy({"W": layer.dW, "b": layer.db}[name])
    np.testing.assert_allclose(found, differences, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0.01, 0.02)])
def test_training_equals_the_same_thing_in_ten_lines(problem, l1, l2):
    """Three epochs of minibatches of 40, 40 and 10, in float64: a ragged batch counts by its own length."""
    X, y = problem
    model = LogisticRegression(n_epochs=3, batch_size=40, learning_rate=0.5, l1=l1, l2=l2, random_state=7).fit(X, y)
    W, b, rng, losses = np.zeros((4, 3)), np.zeros(3), np.random.default_rng(7), []
    for _ in range(3):
        order = rng.permutation(90)
        for batch in np.split(order, [40, 80]):
            a = X[batch].astype(np.float64) @ W + b
            nll = (np.log(np.exp(a).sum(axis=1)) - a[np.arange(len(batch)), y[batch]]).mean()
            losses.append(nll + l1 * np.abs(W).sum() + l2 * (W**2).sum())
            dW, db = gradient(X[batch], y[batch], W, b)
            W, b = W - 0.5 * (dW + l1 * np.sign(W) + 2 * l2 * W), b - 0.5 * db
    np.testing.assert_allclose(to_numpy(model.W_), W, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_numpy(model.b_), b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.history_.train_loss, np.reshape(losses, (3, 3)).mean(axis=1), rtol=1e-5)
    assert model.W_.dtype == model.b_.dtype == np.float32


@pytest.mark.parametrize("l2", [0, 0.01, 0.1])
def test_converges_to_the_optimum_of_scikit_learn(problem, l2):
    """C / 2 times the sum of squares and the sum of losses there, l2 and the mean here."""
    X, y = problem
    found = LogisticRegression(learning_rate=0.5, batch_size=90, n_epochs=1500, l2=l2).fit(X, y)
    C = 1 / (2 * len(X) * l2) if l2 else np.inf
    expected = sklearn.linear_model.LogisticRegression(C=C, tol=1e-9, max_iter=10_000).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-3)


@pytest.mark.slow
def test_l1_reaches_the_optimality_conditions(problem):
    """Where a weight stays, the gradient of the loss balances l1; where it vanishes, it is smaller."""
    X, y = problem
    l1, learning_rate = 0.05, 0.02
    model = LogisticRegression(learning_rate=learning_rate, batch_size=90, n_epochs=3000, l1=l1).fit(X, y)
    W, b = numpy_parameters(model)
    dW, db = gradient(X, y, W, b)
    vanished = np.abs(W) <= 2 * learning_rate * l1  # steps of a fixed size jump about zero
    assert 2 <= vanished.sum() <= 10
    np.testing.assert_allclose(dW[~vanished], -l1 * np.sign(W[~vanished]), atol=1e-3)
    assert (np.abs(dW[vanished]) < l1 + 1e-3).all()
    np.testing.assert_allclose(db, 0, atol=1e-3)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_stronger_penalty_makes_smaller_weights(problem, penalty):
    sizes = []
    for strength in (0, 0.003, 0.03, 0.3):
        model = LogisticRegression(batch_size=90, n_epochs=300, **{penalty: strength}).fit(*problem)
        sizes.append(np.abs(to_numpy(model.W_)).sum())
    assert all(weaker > 1.05 * stronger for weaker, stronger in zip(sizes, sizes[1:]))


def test_the_average_of_the_parameters_is_what_predicts(problem):
    """Against the same training written again; the plain parameters would be elsewhere."""
    X, y = problem
    settings = {"batch_size": 90, "learning_rate": 0.5, "random_state": 0}
    model = LogisticRegression(n_epochs=30, averaging=0.9, **settings).fit(X, y)
    mean = np.zeros((4, 3))
    for t in range(1, 31):
        decay = min(0.9, (1 + t) / (10 + t))
        W, _ = numpy_parameters(LogisticRegression(n_epochs=t, **settings).fit(X, y))
        mean = decay * mean + (1 - decay) * W
    np.testing.assert_allclose(to_numpy(model.W_), mean, rtol=1e-4)
    assert np.abs(W - mean).max() > 0.02
    scores = X @ to_numpy(model.W_) + to_numpy(model.b_)
    np.testing.assert_array_equal(model.predict(X), scores.argmax(axis=1))


def test_dropout_trains_on_noise_and_predicts_without(problem):
    X, y = problem
    model = LogisticRegression(n_epochs=200, batch_size=30, dropout=0.5, random_state=0).fit(X, y)
    plain = LogisticRegression(n_epochs=200, batch_size=30, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    assert np.abs(to_numpy(model.W_)).sum() < 0.95 * np.abs(to_numpy(plain.W_)).sum()  # a penalty of its own kind
    assert model.score(X, y) > 0.6


# -------------------------------------------------------------------------------------------- what it answers


@pytest.fixture
def fitted(problem):
    """A model after a short training."""
    return LogisticRegression(n_epochs=50, batch_size=30, random_state=0).fit(*problem)


def test_probabilities_are_the_softmax_of_the_scores(problem, fitted):
    X, _ = problem
    p = fitted.predict_proba(X)
    assert isinstance(p, np.ndarray) and p.shape == (90, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    W, b = numpy_parameters(fitted)
    e = np.exp(X.astype(np.float64) @ W + b)
    np.testing.assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(fitted.predict(X), p.argmax(axis=1))


def test_losses_are_those_of_scikit_learn(problem, fitted):
    X, y = problem
    assert fitted.errors(X, y) == pytest.approx(1 - fitted.score(X, y))
    assert 0 < fitted.errors(X, y) < 0.5
    assert fitted.negative_log_likelihood(X, y) == pytest.approx(log_loss(y, fitted.predict_proba(X)), rel=1e-5)
    assert fitted.errors(X.tolist(), y.tolist()) == fitted.errors(X, y)


def test_words_are_labels_like_numbers(problem, fitted):
    X, y = problem
    words = np.array(["ape", "bee", "cat"])
    named = clone(fitted).fit(X, words[y], validation=(X[:9], words[y[:9]]))
    np.testing.assert_array_equal(named.classes_, words)
    numbered = clone(fitted).fit(X, y, validation=(X[:9], y[:9]))
    np.testing.assert_array_equal(named.predict(X), words[numbered.predict(X)])
    assert named.errors(X, words[y]) == numbered.errors(X, y)
    assert named.negative_log_likelihood(X, words[y]) == numbered.negative_log_likelihood(X, y)


def test_labels_need_not_be_0_to_n(problem, fitted):
    X, y = problem
    odd = np.array([-5, 2, 1000])
    np.testing.assert_array_equal(clone(fitted).fit(X, odd[y]).predict(X), odd[fitted.predict(X)])


@pytest.mark.parametrize(
    ("labels", "unknown"),
    [
        (np.array([0, 1, 2]), 7),
        (np.array([0, 1, 2]), -1),
        (np.array(["a", "b", "c"]), "d"),
        (np.arange(3), 0.5),
    ],
)
def test_an_unknown_label_is_named(problem, labels, unknown):
    X, y = problem
    model = LogisticRegression(n_epochs=1)
    strange = np.array([*labels[y[:3]].tolist(), unknown])
    expected = "Unknown label type: continuous" if unknown == 0.5 else f"{unknown}.* is none of the classes"
    with pytest.raises(ValueError, match=expected):
        model.fit(X, labels[y], validation=(X[:4], strange))
    model.fit(X, labels[y])
    with pytest.raises(ValueError, match=expected):
        model.negative_log_likelihood(X[:4], strange)


@pytest.mark.parametrize("y_valid", ["one-hot", "one label for all"])
def test_validation_labels_are_one_for_each_image(problem, y_valid):
    """Broadcasting would compare each image with the labels of all."""
    X, y = problem
    y_valid = {"one-hot": np.eye(3)[y[::2]], "one label for all": y[:1]}[y_valid]
    with pytest.raises(ValueError):
        LogisticRegression(n_epochs=1).fit(X, y, validation=(X[::2], y_valid))


@pytest.mark.parametrize("averaging", [0, 0.9])
def test_it_chooses_by_the_validation_set(problem, averaging):
    """The parameters are those with the lowest error on it; what is validated is what predicts."""
    X, y = problem
    model = LogisticRegression(n_epochs=40, batch_size=5, learning_rate=3.0, averaging=averaging, random_state=0)
    model.fit(X[::2], y[::2], validation=(X[1::2], y[1::2]))
    assert model.errors(X[1::2], y[1::2]) == pytest.approx(min(model.history_.valid_error))
    assert model.history_.valid_error[-1] > min(model.history_.valid_error)


# ----------------------------------------------------------------------------- randomness, resume, divergence


def test_divergence_is_explained(problem):
    X, y = problem
    model = LogisticRegression(n_epochs=100, learning_rate=1e3, l2=1.0, random_state=0)
    with pytest.raises(Divergence, match="learning rate"):
        model.fit(X, y, validation=(X, y))
    assert np.isfinite(model.predict_proba(X)).all()


# ------------------------------------------------------------------------------------- among other estimators


def test_in_a_pipeline_a_grid_search_and_cross_validation(problem):
    X, y = problem
    words = np.array(["ape", "bee", "cat"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression(n_epochs=60, random_state=0))
    grid = {"logisticregression__l2": [0.0, 3.0], "logisticregression__batch_size": [20, 90]}
    search = GridSearchCV(model, grid, cv=3).fit(100 * X + 7, words)
    assert search.best_params_["logisticregression__l2"] == 0
    assert search.best_score_ > 0.6
    assert set(search.predict(100 * X + 7)) == {"ape", "bee", "cat"}
    scores = cross_val_score(clone(model), X, words, cv=3)
    assert scores.min() > 0.5
    reference = cross_val_score(sklearn.linear_model.LogisticRegression(), X, words, cv=3)
    np.testing.assert_allclose(scores.mean(), reference.mean(), atol=0.05)


def test_on_the_sample_of_mnist():
    """The test error of 500 digits after learning from 4,000: below 13 %."""
    train, valid, test = load_mnist(verbose=False)
    model = LogisticRegression(n_epochs=60, random_state=0).fit(*train, validation=valid)
    assert model.errors(*test) < 0.13
    assert model.errors(*valid) == pytest.approx(model.history_.best_error)
    assert model.history_.train_loss[-1] < 0.5
    assert model.negative_log_likelihood(*test) < 0.5
