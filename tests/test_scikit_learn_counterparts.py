"""What scikit-learn tests of its BernoulliRBM and its MLPClassifier, asked of `RBM` and `MLP`.

Without a counterpart here, and why:

* sparse X: the answer is a refusal that says so; a minibatch of pixels is dense, and densifying is the reader's line;
* the solver L-BFGS, ``max_fun``, ``tol`` and ``n_iter_no_change``: the book trains by minibatches and stops by patience
  on a validation set (`test_a_patience_that_ends`), never by the training loss;
* ``learning_rate="adaptive"``: schedules are fixed in advance, so that a resumed run equals an unbroken one;
* ``shuffle=False``: minibatches are always drawn anew; the seed says how;
* ``early_stopping=True`` splits the training set by itself, with classes in proportion; here the reader hands over the
  validation set, and there is nothing to stratify;
* regressors, Poisson losses, several outputs and several labels for one image: no chapter has them;
* ``n_iter_`` that counts on over warm starts: every `fit` has a history of its own, and a schedule of its own;
* float64 in, float64 out: training is in float32, whatever comes in.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import BernoulliRBM, MLPClassifier

from companion.backend import to_device, to_numpy
from companion.mlp import MLP
from companion.rbm import RBM
from companion.training import Divergence

SETTINGS = {"n_hidden": 64, "persistent": True, "learning_rate": 0.1, "batch_size": 10, "random_state": 9}


@pytest.fixture(scope="module")
def digits():
    """Small images, 8 × 8, from 0 to 1, and what they show."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def rbm(digits):
    """A machine that has learned the digits."""
    return RBM(n_epochs=7, **SETTINGS).fit(digits[0])


# ------------------------------------------------------------------------------------------------------- BernoulliRBM


def test_fit_is_as_good_as_theirs_and_leaves_the_data_alone(digits, rbm):
    X = digits[0].copy()
    theirs = BernoulliRBM(64, learning_rate=0.1, batch_size=10, n_iter=7, random_state=9).fit(X)
    np.testing.assert_array_equal(X, digits[0])
    learned = RBM.from_parameters(theirs.components_.T, theirs.intercept_visible_, theirs.intercept_hidden_)
    assert rbm.score(X) > learned.score(X) - 0.5
    assert rbm.score(X) == pytest.approx(-22, abs=1)


def test_energies_and_features_are_theirs(digits, rbm):
    theirs = BernoulliRBM(64)
    theirs.components_ = to_numpy(rbm.W_).T
    theirs.intercept_visible_, theirs.intercept_hidden_ = to_numpy(rbm.visible_bias_), to_numpy(rbm.hidden_bias_)
    theirs.n_features_in_ = 64
    np.testing.assert_allclose(rbm.transform(digits[0]), theirs.transform(digits[0]), atol=1e-5)
    free_energy = to_numpy(rbm.free_energy(to_device(digits[0])))
    np.testing.assert_allclose(free_energy, theirs._free_energy(digits[0]), atol=1e-3)


def test_passes_over_pieces_get_as_far_as_fit(digits, rbm):
    X, piecewise = digits[0], RBM(n_epochs=7, **SETTINGS)
    for _ in range(7):
        for start in range(0, len(X), 600):
            piecewise.partial_fit(X[start : start + 600])
    assert piecewise.score(X) == pytest.approx(rbm.score(X), abs=0.5)


def test_hidden_draws_have_their_means(digits, rbm):
    x = to_device(np.repeat(digits[0][:1], 10_000, axis=0))
    means, h = rbm.sample_h_given_v(x, np.random.default_rng(0))
    np.testing.assert_allclose(to_numpy(h.mean(axis=0)), to_numpy(means[0]), atol=5 * 0.5 / 100)


def test_a_machine_that_is_sure_stays_where_it_is():
    rbm = RBM.from_parameters(np.full((2, 1), 40.0), np.full(2, -20.0), np.array([-40.0]))
    states = to_device(np.array([[0.0, 0.0], [1.0, 1.0]]))
    for _, v in zip(range(100), (v for v, _, _ in rbm.chains(states, 0))):
        np.testing.assert_array_equal(to_numpy(v), to_numpy(states))


def test_gibbs_steps_are_finite_and_differ(digits, rbm):
    rng = np.random.default_rng(0)
    first, second = (to_numpy(rbm.gibbs_vhv(to_device(digits[0]), rng)[2]) for _ in range(2))
    assert np.isfinite(first).all() and (first != second).any(axis=1).all()


def test_scores_are_not_clipped_and_stay_finite():
    """The worst images of a machine that is sure cost what they should, to the last nat."""
    rbm = RBM.from_parameters(np.zeros((1000, 2)), np.full(1000, -500.0), np.zeros(2))
    np.testing.assert_allclose(rbm.score_samples(np.ones((1, 1000))), -500_000, rtol=1e-6)
    rbm = RBM.from_parameters(np.full((1000, 2), 100.0), np.full(1000, -500.0), np.zeros(2))
    assert np.isfinite(rbm.score_samples(np.vstack([np.zeros(1000), np.ones(1000)]))).all()


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, sparse.lil_matrix])
@pytest.mark.parametrize("model", [RBM(), MLP()], ids=["RBM", "MLP"])
def test_sparse_matrices_are_refused_in_words(kind, model):
    with pytest.raises(TypeError, match=r"[Ss]parse.*dense"):
        model.fit(kind(np.eye(4)), [0, 1, 0, 1])
    if isinstance(model, RBM):
        with pytest.raises(TypeError, match=r"[Ss]parse.*dense"):
            model.partial_fit(kind(np.eye(4)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_features_are_float32_and_the_same_whatever_comes_in(dtype):
    X = np.array([[0, 1, 1], [1, 0, 1]])
    settings = {"n_hidden": 2, "n_epochs": 3, "random_state": 0}
    expected = RBM(**settings).fit_transform(X.astype(np.float32))
    features = RBM(**settings).fit_transform(X.astype(dtype))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, expected)


@pytest.mark.parametrize("model", [RBM(n_epochs=2, verbose=True), MLP(n_epochs=2, verbose=True)], ids=["RBM", "MLP"])
def test_verbose_tells_how_it_went(digits, capsys, model):
    model.fit(digits[0][:50], digits[1][:50])
    told = capsys.readouterr()
    assert "All epochs done after" in told.out and "updates" in told.err


# ------------------------------------------------------------------------------------------------------ MLPClassifier


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32), y


def in_theirs(ours, X, y, **settings):
    """Return an MLPClassifier with the parameters of an MLP."""
    theirs = MLPClassifier(ours.hidden_sizes, max_iter=1, batch_size=len(X), **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one iteration does not converge
        theirs.partial_fit(X, y, classes=np.unique(y))
    del theirs._optimizer
    arrays = [to_numpy(array) for array in ours.parameters_.values()]
    theirs.coefs_ = [array.astype(np.float32) for array in arrays if array.ndim == 2]
    theirs.intercepts_ = [array.astype(np.float32) for array in arrays if array.ndim == 1]
    return theirs


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_steps_on_the_whole_set_are_theirs(iris, activation, optimizer):
    """Thirty updates from the same parameters, with momentum and a penalty, lead to the same network."""
    # Balanced classes of centred columns have bias gradients of zero, whose rounding errors Adam would magnify.
    X, y, alpha = iris[0][20:], iris[1][20:], 1.5
    options = {"learning_rate": 0.01, "batch_size": len(X), "optimizer": optimizer, "activation": activation}
    options |= {"momentum": 0.9 if optimizer == "sgd" else 0.0, "l1": 0.0, "l2": alpha / (2 * len(X)), "n_epochs": 30}
    ours = MLP(hidden_sizes=(5, 4), random_state=0, warm_start=True, **options)
    ours.set_params(n_epochs=0).fit(X, y)
    theirs = in_theirs(
        ours, X, y, activation=activation, solver=optimizer, alpha=alpha,
        learning_rate_init=0.01, momentum=0.9, nesterovs_momentum=False,
    )  # fmt: skip
    before = ours.predict_proba(X)
    np.testing.assert_allclose(before, theirs.predict_proba(X), atol=1e-6)
    ours.set_params(n_epochs=30).fit(X, y)
    for _ in range(30):
        theirs.partial_fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert np.abs(ours.predict_proba(X) - before).max() > 0.05


def test_a_larger_penalty_makes_smaller_weights(iris):
    sizes = []
    for l2 in (0.0, 1e-3, 1e-2, 1e-1):
        model = MLP(hidden_sizes=(10,), l2=l2, n_epochs=50, learning_rate=0.1, random_state=1).fit(*iris)
        sizes.append(sum(float(abs(array).sum()) for array in model.parameters_.values() if array.ndim == 2))
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("activation", ["tanh", "relu", "logistic"])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_it_learns_digits_and_its_probabilities_are_such(digits, activation, n_classes):
    X, y = digits[0][digits[1] < n_classes], digits[1][digits[1] < n_classes]
    model = MLP(
        hidden_sizes=(50,), activation=activation, optimizer="adam", learning_rate=0.01, n_epochs=30, random_state=1
    )
    probabilities = model.fit(X[:150], y[:150]).predict_proba(X)
    assert model.score(X[:150], y[:150]) > 0.95
    assert probabilities.shape == (len(X), n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(probabilities), rtol=1e-3, atol=1e-5)
    if n_classes == 2:
        assert roc_auc_score(y, probabilities[:, 1]) > 0.99


def test_passes_need_all_classes_at_first(iris):
    X, y = iris
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLP().partial_fit(X, y)
    model = MLP(hidden_sizes=(4,)).partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])  # the third has not come yet
    assert model.partial_fit(X, y).predict_proba(X).shape == (150, 3)
    with pytest.raises(ValueError, match="expected the classes"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="none of the classes"):
        model.partial_fit(X, y + 1)


def test_a_warm_start_goes_on_with_the_same_classes_only(iris):
    X, y = iris
    model = MLP(hidden_sizes=(10,), n_epochs=10, learning_rate=0.1, warm_start=True, random_state=0).fit(X, y)
    before = model.negative_log_likelihood(X, y)
    assert model.fit(X, y).negative_log_likelihood(X, y) < before
    assert model.history_.epoch == 10
    for labels in (y + 1, np.array(list("abc"))[y], np.where(y == 2, 3, y)):
        with pytest.raises(ValueError, match="none of the classes"):
            model.fit(X, labels)


def test_a_patience_that_ends(iris):
    """Training stops before its epochs do, with the parameters that were best on the validation set."""
    X, y = iris
    model = MLP(hidden_sizes=(10,), n_epochs=3000, batch_size=10, patience=300, learning_rate=0.1, random_state=0)
    model.fit(X[::2], y[::2], validation=(X[1::2], y[1::2]))
    assert model.history_.stopped == "patience" and model.history_.epoch < 1000
    assert model.errors(X[1::2], y[1::2]) == pytest.approx(model.history_.best_error)
    assert model.history_.best_error < 0.1


def test_numbers_that_explode_are_told(iris):
    X, y = iris
    with pytest.raises(Divergence, match="the steps are too large"):
        MLP(hidden_sizes=(5, 5), activation="relu", learning_rate=1e15, n_epochs=20, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="square"):
        MLP().fit(X * 1e30, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_and_probabilities_are_float32(iris, dtype):
    model = MLP(hidden_sizes=(4,), n_epochs=2, random_state=0).fit(iris[0].astype(dtype), iris[1])
    assert {array.dtype for array in map(to_numpy, model.parameters_.values())} == {np.dtype(np.float32)}
    assert model.predict_proba(iris[0]).dtype == np.float32
    same = MLP(hidden_sizes=(4,), n_epochs=2, random_state=0).fit(*iris)
    np.testing.assert_array_equal(model.predict_proba(iris[0]), same.predict_proba(iris[0]))


def test_a_table_keeps_its_names_without_a_warning(iris):
    X = pd.DataFrame(iris[0], columns=["a", "b", "c", "d"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MLP(hidden_sizes=(4,), n_epochs=2).fit(X, iris[1], validation=(X, iris[1]))
        model.predict(X)
        model.partial_fit(X, iris[1])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["d", "c", "b", "a"]])


def test_weights_of_examples_move_the_border(iris):
    X, y = iris
    heavy = np.where(y == 1, 20.0, 1.0)
    options = {"hidden_sizes": (10,), "n_epochs": 30, "learning_rate": 0.05, "random_state": 0}
    plain, weighted = MLP(**options).fit(X, y), MLP(**options).fit(X, y, sample_weight=heavy)
    assert (weighted.predict(X) == 1).sum() > (plain.predict(X) == 1).sum()
    same = MLP(**options).fit(X, y, sample_weight=np.full(150, 7.0))
    np.testing.assert_allclose(same.predict_proba(X), plain.predict_proba(X), atol=1e-5)
