"""Deep belief networks: greedy learning, weights in common, fine-tuning; and, by enumeration, what they dream."""

import copy
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from helpers import arrays, assert_same, log_bernoulli, states
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from companion.backend import generator, to_device, to_numpy, xp
from companion.data import load_mnist
from companion.dbn import DBN
from companion.layers import Network
from companion.likelihood import exact_log_partition, log_likelihood
from companion.mlp import MLP
from companion.rbm import RBM
from companion.storage import load_model, save_model
from companion.wake_sleep import UpDown

QUICK = {"hidden_sizes": (12, 8), "pretraining": {"learning_rate": 0.1, "n_epochs": 3}, "n_epochs": 5}


@pytest.fixture
def problem(rng):
    """Two hundred noisy bars, upright or lying, in images of 4 × 4."""
    y = rng.integers(2, size=200)
    images = np.zeros((200, 4, 4), np.float32)
    for image, lying, place in zip(images, y, rng.integers(4, size=200)):
        image[(place, slice(None)) if lying else (slice(None), place)] = 0.9
    return (images + rng.uniform(0, 0.1, images.shape).astype(np.float32)).reshape(200, 16), y


# ---------------------------------------------------------------------------------------- greedy, and then fine


def test_each_layer_is_a_machine_trained_on_the_codes_below(problem):
    X, _ = problem
    options = {"learning_rate": 0.1, "n_epochs": 4, "batch_size": 20, "binarize": (False, True), "persistent": True}
    dbn = DBN(hidden_sizes=(12, 8), pretraining=options, random_state=3).pretrain(X)
    codes = X
    for number, (rng, layer) in enumerate(zip(generator(3).spawn(2), dbn.layers_), start=1):
        by_hand = RBM(n_hidden=layer.n_hidden, random_state=rng, **options | {"binarize": number == 2}).fit(codes)
        for name, array in by_hand.parameters_.items():
            np.testing.assert_allclose(to_numpy(layer.parameters_[name]), to_numpy(array), atol=1e-6)
        codes = by_hand.transform(codes)
    np.testing.assert_allclose(dbn.transform(X), codes, atol=1e-6)
    assert [history.epoch for history in dbn.pretraining_histories_] == [4, 4]


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_machines_and_network_have_the_same_arrays(problem, averaging):
    dbn = DBN(**QUICK, averaging=averaging, random_state=0).pretrain(problem[0])
    pretrained = arrays(dbn)
    for fine_tuned in (False, True):
        if fine_tuned:
            dbn.fit(*problem)
        for number, layer in enumerate(dbn.layers_, start=1):
            for array, name in ((layer.W_, "W"), (layer.hidden_bias_, "b"), (layer.visible_bias_, "visible_bias")):
                array += 1
                np.testing.assert_array_equal(to_numpy(dbn.parameters_[f"{name}{number}"]), to_numpy(array))
                array -= 1
    assert abs(to_numpy(dbn.layers_[0].W_) - pretrained["W1"]).max() > 3e-5, "fine-tuning moves the machines' weights"
    dbn.layers_[0].W_[...] = 0
    assert len(np.unique(dbn.predict_proba(problem[0]), axis=0)) == 1, "and the machines the network's"


def test_fine_tuning_goes_on_in_copies(problem):
    dbn = DBN(**QUICK, random_state=0).pretrain(problem[0])
    lent, before = dbn.parameters_, arrays(dbn)
    dbn.fit(*problem)
    assert_same(lent, before)
    assert not np.array_equal(arrays(dbn)["W1"], before["W1"])


def test_both_phases_at_once_and_one_by_one(problem):
    at_once = DBN(**QUICK, random_state=1).fit(*problem)
    one_by_one = DBN(**QUICK, random_state=1).pretrain(problem[0]).fit(*problem)
    assert_same(one_by_one.parameters_, at_once.parameters_)
    assert_same(copy.deepcopy(at_once).fit(*problem).parameters_, at_once.parameters_)
    assert_same(clone(at_once).fit(*problem).parameters_, at_once.parameters_)


@pytest.mark.parametrize("length", [0.0, 0.2])
def test_layers_learn_from_the_images_without_labels(problem, length):
    X, y = problem
    few, options = slice(0, 40), QUICK | {"virtual_adversarial": length, "random_state": 1}
    at_once = DBN(**options).fit(X[few], y[few], unlabelled=X)
    apart = DBN(**options).pretrain(X).fit(X[few], y[few], unlabelled=X)
    assert_same(apart.parameters_, at_once.parameters_)
    without = DBN(**options).pretrain(X).fit(X[few], y[few])
    assert bool(length) != np.array_equal(without.parameters_["W1"], at_once.parameters_["W1"])
    for network in (DBN(**options), DBN(**options).pretrain(X)):  # also where they would be left aside
        for wrong, words in [
            (X[:, 1:], "has 15 features, but DBN is expecting 16"), ([], "Expected 2D array"),
            (X[0], "Expected 2D array"), (np.full_like(X, np.nan), "contains NaN"),
        ]:  # fmt: skip
            with pytest.raises(ValueError, match=f"unlabelled: .*{words}"):
                network.fit(X[few], y[few], unlabelled=wrong)
        for wrong in ([], X[0]):
            with pytest.raises(ValueError, match="Expected 2D array"):
                network.fit(wrong, y[few], unlabelled=X)


def test_images_without_labels_have_the_columns_of_the_others(problem):
    """Those of a table by name: others, or the same in another order, are refused; the right ones raise no warning."""
    X, y = pd.DataFrame(problem[0]).add_prefix("pixel "), problem[1]
    network = DBN(**QUICK, random_state=1)
    with warnings.catch_warnings(action="error"):
        network.fit(X[:40], y[:40], unlabelled=X)
    with pytest.raises(ValueError, match="unlabelled: The feature names should match"):
        network.fit(X[:40], y[:40], unlabelled=X[X.columns[::-1]])


def test_fine_tuning_is_that_of_a_perceptron_that_starts_there(problem, monkeypatch):
    options = {"learning_rate": 0.05, "n_epochs": 3, "dropout": 0.3, "input_dropout": 0.1, "gaussian_noise": 0.1,
               "adversarial": 0.1, "max_norm": 2.0, "momentum": 0.5, "schedule": "linear", "batch_size": 30,
               }  # fmt: skip
    dbn = DBN(**QUICK | options, random_state=2).pretrain(problem[0])
    start, initial = arrays(dbn), MLP.initial_parameters

    def pretrained(self, *arguments):
        return initial(self, *arguments) | {name: to_device(a.copy()) for name, a in start.items() if name[0] != "v"}

    dbn.fit(*problem)
    monkeypatch.setattr(MLP, "initial_parameters", pretrained)
    mlp = MLP(hidden_sizes=(12, 8), activation="logistic", l2=0.0, **options, random_state=2).fit(*problem)
    assert_same({name: dbn.parameters_[name] for name in mlp.parameters_}, mlp.parameters_)


def test_batch_normalisation_begins_with_the_codes_that_were_learned(problem):
    """With and without it the network is the same before the first update, and what trains then sees the same codes."""
    X, y = problem
    pretrained = DBN(**QUICK, random_state=0).pretrain(X)
    codes = pretrained.transform(X)
    normal = copy.deepcopy(pretrained).set_params(batch_norm=True, n_epochs=0, l2=0.0).fit(X, y)
    np.testing.assert_allclose(normal.transform(X), codes, atol=1e-5)
    whole = to_numpy(Network(normal.network(normal.parameters_).layers[:-1]).forward(to_device(X)))
    np.testing.assert_allclose(whole, codes, atol=1e-5)
    normal.set_params(n_epochs=30, optimizer="adam", learning_rate=0.03)
    trained = clone(normal).fit(X, y)
    assert trained.score(X, y) > 0.95 and np.abs(trained.transform(X) - codes).max() > 0.01
    scores = to_numpy(trained.network(trained.parameters_).layers[-1].predict(to_device(trained.transform(X))))
    np.testing.assert_array_equal(scores.argmax(axis=1), np.searchsorted(trained.classes_, trained.predict(X)))
    for ask in (trained.sample, lambda: trained.bound(np.ones((2, 16)), 3.0), UpDown(trained).fit):
        with pytest.raises(ValueError, match="fine-tuned with batch normalisation"):
            ask(*([X] if ask.__name__ == "fit" else []))


@pytest.mark.slow
def test_it_learns_digits():
    train, _, test = load_mnist(False)
    dbn = DBN(hidden_sizes=(100, 100), pretraining={"n_epochs": 5, "batch_size": 20, "learning_rate": 0.1},
              batch_size=20, momentum=0.9, n_epochs=8, random_state=0)  # fmt: skip
    dbn.pretrain(train.images)
    linear = MLP(hidden_sizes=(), n_epochs=20, learning_rate=0.1, random_state=0)
    codes = [dbn.transform(images) for images in (train.images, test.images)]
    assert linear.fit(codes[0], train.labels).errors(codes[1], test.labels) < 0.16, "features that nobody labelled"
    assert dbn.fit(*train).errors(*test) < 0.085


def test_an_interrupt_keeps_what_was_learned(problem):
    def stop(number, layer):
        if number == 2:
            raise KeyboardInterrupt

    dbn = DBN(**QUICK, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        dbn.pretrain(problem[0], watch=stop)
    assert len(dbn.layers_) == 2 and dbn.transform(problem[0]).shape == (200, 8)
    assert_same(dbn.layers_[0].parameters_, DBN(**QUICK, random_state=0).pretrain(problem[0]).layers_[0].parameters_)
    dbn.fit(*problem)
    assert dbn.predict(problem[0]).shape == (200,)


def test_watch_sees_every_epoch_of_every_layer(problem):
    seen = []
    DBN(**QUICK, random_state=0).pretrain(problem[0], watch=lambda number, layer: seen.append((number, layer.W_.shape)))
    assert seen == [(1, (16, 12))] * 3 + [(2, (12, 8))] * 3


@pytest.mark.parametrize("phase", ["pretrained", "with labels", "fine-tuned"])
def test_saved_and_loaded(problem, tmp_path, phase):
    X, y = problem
    dbn = DBN(**QUICK, random_state=0).pretrain(X, y if phase == "with labels" else None)
    if phase == "fine-tuned":
        dbn.fit(X, y)
    save_model(tmp_path / "dbn.npz", dbn)
    loaded = load_model(tmp_path / "dbn.npz", DBN)
    assert_same(loaded.parameters_, dbn.parameters_)
    np.testing.assert_array_equal(loaded.transform(X), dbn.transform(X))
    if phase == "fine-tuned":
        np.testing.assert_array_equal(loaded.predict_proba(X), dbn.predict_proba(X))
    else:
        with pytest.raises(NotFittedError, match="has no softmax yet: call fit"):
            loaded.predict(X)
        again = DBN.from_parameters(arrays(dbn), classes=getattr(dbn, "classes_", None))
        label = y[0] if phase == "with labels" else None
        for other in (loaded, again):
            np.testing.assert_array_equal(
                to_numpy(other.sample(3, 5, label=label, random_state=0)),
                to_numpy(dbn.sample(3, 5, label=label, random_state=0)),
            )


def test_bad_input_is_explained(problem):
    X, y = problem
    with pytest.raises(ValueError, match="pretraining: k is .1, 2, 3.; expected one value, or 2, one for each"):
        DBN(**QUICK | {"pretraining": {"k": (1, 2, 3)}}).pretrain(X)
    with pytest.raises(ValueError, match="RBM, which takes no n_epoch here;"):
        DBN(**QUICK | {"pretraining": {"n_epoch": 3}}).pretrain(X)
    with pytest.raises(ValueError, match="labels: expected shape"):
        DBN(**QUICK).pretrain(X, y[:-1])
    with pytest.raises(ValueError, match="W2: pretrained with shape"):
        DBN(**QUICK).pretrain(X).set_params(hidden_sizes=(12, 9)).fit(X, y)
    dbn = DBN(**QUICK).pretrain(X)
    with pytest.raises(ValueError, match="has learned no labels"):
        dbn.sample(label=1)
    with pytest.raises(ValueError, match="expected labels y if the network has learned labels"):
        dbn.bound(X.round(), 0.0, y)
    with pytest.raises(ValueError, match=r"label 7 is none of the classes \[0, 1\]"):
        DBN(**QUICK).pretrain(X, y).sample(2, 1, label=[0, 7])
    with pytest.raises(ValueError, match="found no W1, visible_bias1"):
        DBN.from_parameters({"b1": np.zeros(3)})
    with pytest.raises(ValueError, match="expected arrays of the shapes"):
        parts = {"W1": np.zeros((4, 3)), "W2": np.zeros((2, 2)), "visible_bias1": np.zeros(4)}
        DBN.from_parameters(parts | {"b1": np.zeros(3), "visible_bias2": np.zeros(2), "b2": np.zeros(2)})


@pytest.mark.parametrize(
    ("change", "classes", "says"),
    [
        ({"W1": np.full((4, 3), np.nan)}, None, "W1 of finite"),
        ({"W1": np.ones((4, 3), complex)}, None, "W1: expected real numbers, found complex128"),
        ({"b1": np.array(["1", "2", "3"])}, None, "b1: expected real numbers, found <U1"),
        ({"b2": None}, None, "found no b2"),
        ({"W2": None}, None, "found no W2"),
        ({"visible_bias2": None}, None, "as many classes as there are biases, found 2, and 2 and 5"),
        ({"label_bias": None}, None, "expected arrays of the shapes"),
        ({"label_weights": np.zeros((2, 4))}, None, "expected arrays of the shapes"),
        ({"down_W1": np.zeros((3, 4))}, None, "expected arrays of the shapes"),
        ({"nonsense": np.zeros(2)}, None, "expected arrays of the shapes"),
        ({}, [3, 3], "classes in order, each of them once"),
        ({}, [7, 3], "classes in order, each of them once"),
        ({}, [[3, 7]], "classes in order, each of them once"),
        ({}, [3, 5, 7], "as many classes as there are biases, found 3, and 2"),
    ],
)
def test_parameters_of_no_network_are_refused(change, classes, says):
    shapes = {"W1": (4, 3), "visible_bias1": 4, "b1": 3, "W2": (3, 5), "visible_bias2": 3, "b2": 5,
              "label_weights": (2, 5), "label_bias": 2}  # fmt: skip
    parts = {name: np.ones(shape) for name, shape in shapes.items()}
    network = DBN.from_parameters({name: array.tolist() for name, array in parts.items()}, [3, 7])
    assert network.sample(2, 2, label=7, random_state=0).shape == (2, 4)
    one = DBN.from_parameters({name: np.full(shape, 0.1) for name, shape in list(shapes.items())[:3]})
    means = to_numpy(one.sample(5, 3, random_state=0))
    assert ((means > 0) & (means < 1)).all(), "means of the pixels, also of a single layer"
    with pytest.raises(ValueError, match=says):
        DBN.from_parameters({name: array for name, array in (parts | change).items() if array is not None}, classes)


def test_arrays_of_another_order_are_shared_with_the_machines_too():
    W = np.asfortranarray(np.ones((4, 3)))
    network = DBN.from_parameters({"W1": W, "visible_bias1": np.zeros(4), "b1": np.zeros(3)})
    network.layers_[0].W_[...] = 2
    assert float(network.parameters_["W1"].min()) == 2


QUITE_GAUSSIAN = {"hidden_sizes": (5, 4), "pretraining": {"visible": ("binary", "gaussian"), "n_epochs": 0}}


@pytest.mark.parametrize(
    "ask",
    [
        lambda X, y: DBN(hidden_sizes=(4,), pretraining={"visible": "gaussian", "n_epochs": 0}).pretrain(3 * X, y),
        lambda X, y: DBN(**QUITE_GAUSSIAN).pretrain(X, y),
        lambda X, y: DBN(**QUITE_GAUSSIAN).pretrain(X).bound(X, 3.0),
        lambda X, y: DBN(**QUITE_GAUSSIAN | {"pretraining": {"visible": "gaussian"}}).pretrain(X).bound(X, 3.0),
        lambda X, y: DBN(**QUITE_GAUSSIAN).pretrain(X).sample(),
        lambda X, y: UpDown(DBN(**QUITE_GAUSSIAN).pretrain(X)).fit(X),
        lambda X, y: DBN.upside_down(RBM(n_hidden=3, n_epochs=0, visible="gaussian").fit(X)),
        lambda X, y: DBN.from_parameters(
            {"W1": np.zeros((4, 3)), "visible_bias1": np.zeros(4), "b1": np.zeros(3),
             "label_weights": np.zeros((2, 3)), "label_bias": np.zeros(2)}, pretraining={"visible": "gaussian"},
        ).top_,
    ],
)  # fmt: skip
def test_gaussian_units_are_not_read_as_binary_ones(problem, ask):
    with pytest.raises(ValueError, match="expected binary visible units, found 'gaussian' ones"):
        ask(*problem)


@pytest.mark.parametrize("ask", [DBN.sample, lambda dbn: dbn.bound(np.ones((2, 16)), 3.0), lambda dbn: dbn.top_])
def test_what_has_not_learned_as_a_whole_generates_nothing(problem, ask):
    def stop(number, layer):
        raise KeyboardInterrupt

    interrupted = DBN(**QUICK)
    with pytest.raises(KeyboardInterrupt):
        interrupted.pretrain(problem[0], watch=stop)
    for network, says in [
        (DBN(), "not fitted yet"), (interrupted, "of the 2 layers of this DBN 1 have learned"),
        (DBN(hidden_sizes=()).pretrain(problem[0]), "at least one hidden layer"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=says):
            ask(network)


# ------------------------------------------------------------------------------------- what a small network believes


def sigma(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(params=[False, True], ids=["no labels", "labels"])
def small(request, rng):
    """A network of 4 pixels, 3, 3 and 2 hidden units, in float64, perhaps with two labels; and all of log p."""
    sizes, p = (4, 3, 3, 2), {}
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:]), start=1):
        p |= {f"W{i}": rng.normal(0, 1.2, (n_in, n_out)), f"b{i}": rng.normal(size=n_out),
              f"visible_bias{i}": rng.normal(size=n_in)}  # fmt: skip
    if request.param:
        p |= {"label_weights": rng.normal(0, 1.5, (2, 2)), "label_bias": rng.normal(size=2)}
    return DBN.from_parameters(p, classes=np.array([3, 7]) if request.param else None), p


def log_top(p, h, label=None):
    """Log-probability of the codes h, and of the label units, under the machine on top, by enumeration."""
    W, b = p["W3"], p["visible_bias3"]
    if "label_weights" in p:
        W, b = np.concatenate([W, p["label_weights"]]), np.concatenate([b, p["label_bias"]])
        h = np.concatenate([h, np.broadcast_to(label, (len(h), 2))], axis=1)
    everything = states(len(b))
    minus_F = everything @ b + np.logaddexp(0, everything @ W + p["b3"]).sum(axis=1)
    return h @ b + np.logaddexp(0, h @ W + p["b3"]).sum(axis=1) - np.logaddexp.reduce(minus_F)


def joint(p, label=None):
    """Log p(v, h1, h2), and of the label, (16, 8, 8)."""
    v, h = states(4), states(3)
    lower = [log_bernoulli(x[:, None], h @ p[f"W{i}"].T + p[f"visible_bias{i}"]) for i, x in ((1, v), (2, h))]
    return lower[0][:, :, None] + lower[1] + log_top(p, h, label)


def labels(p):
    return [None] if "label_weights" not in p else [np.array([1.0, 0.0]), np.array([0.0, 1.0])]


def test_the_bound_is_the_enumerated_one_and_lies_below_the_truth(small):
    dbn, p = small
    v, h = states(4), states(3)
    partition = exact_log_partition(dbn.top_)
    for number, label in enumerate(labels(p)):
        log_p = joint(p, label)
        # q(h1 | v) q(h2 | h1), as arrays (h1, v) and (h2, h1)
        q1, q2 = log_bernoulli(h[:, None], v @ p["W1"] + p["b1"]), log_bernoulli(h[:, None], h @ p["W2"] + p["b2"])
        log_q = q1.T[:, :, None] + q2.T
        exact = (np.exp(log_q) * (log_p - log_q)).sum(axis=(1, 2))
        assert (exact < np.logaddexp.reduce(log_p.reshape(16, -1), axis=1)).all()
        copies = 20  # of each image, at the price of one
        y = None if label is None else np.repeat(dbn.classes_[number], copies * 16)
        found = dbn.bound(np.tile(v, (copies, 1)), partition, y, n_samples=200, random_state=0)
        assert found.mean == pytest.approx(exact.mean(), abs=0.02)
        assert found.image_error == pytest.approx(exact.std() / np.sqrt(copies * 16), rel=0.05)


def test_the_bound_is_tight_where_the_layer_above_is_the_one_below_upside_down(rng):
    """Then p(h1) on top is that of the machine below, whose posterior q is exact: every sample gives log p(v)."""
    W, b, c = rng.normal(size=(5, 4)), rng.normal(size=5), rng.normal(size=4)
    machine, v = RBM.from_parameters(W, b, c), states(5)
    dbn = DBN.upside_down(machine)
    assert not any(np.shares_memory(*map(to_numpy, pair)) for pair in product(dbn.parameters_.values(), (W, b, c)))
    expected = log_likelihood(machine, v, exact_log_partition(machine))
    found = dbn.bound(v, exact_log_partition(dbn.top_), random_state=0)
    assert found.mean == pytest.approx(expected.mean, abs=1e-10)
    assert found.image_error == pytest.approx(expected.image_error, rel=1e-10)
    assert dbn.bound(v, exact_log_partition(dbn.top_).log_z, random_state=0) == found
    assert [type(number) for number in found] == [float] * 3
    assert np.isnan(dbn.bound(v[:1], 3.0).image_error)
    single = DBN.from_parameters({"W1": W, "visible_bias1": b, "b1": c})
    assert single.bound(v, exact_log_partition(machine)).mean == pytest.approx(expected.mean, abs=1e-10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"v": 255 * np.ones((9, 4))}, "expect values from 0 to 1, found 255 to 255"),
        ({"v": np.full((9, 4), np.nan)}, "v: expected finite numbers"),
        ({"v": np.ma.masked_less(np.eye(4)[np.zeros(9, int)], 1)}, "v: expected an array without a mask"),
        ({"v": np.ones((0, 4))}, r"v: expected .* \(n, 4\), .* found \(0, 4\)"),
        ({"v": np.ones((9, 3))}, r"v: expected .* \(n, 4\), .* found \(9, 3\)"),
        ({"v": np.ones(4)}, r"v: expected .* \(n, 4\), .* found \(4,\)"),
        ({"partition": None}, "expected a LogPartition, or log Z as a number, found None"),
        ({"partition": np.nan}, "expected a finite log Z, found nan"),
        ({"n_samples": 0}, "n_samples: expected a whole number, at least 1, found 0"),
        ({"y": [3]}, r"labels: expected shape \(9,\)"),
        ({"y": [3] * 8}, r"labels: expected shape \(9,\)"),
        ({"y": [4] * 9}, r"label 4 is none of the classes"),
    ],
)
def test_what_has_no_bound_is_refused(small, change, says):
    dbn, p = small
    if "label_weights" not in p and "y" in change:
        says = "expected labels y if the network has learned labels"
    y = {"y": [3] * 9} if "label_weights" in p else {}
    with pytest.raises(ValueError, match=says):
        dbn.bound(**{"v": np.ones((9, 4)), "partition": 3.0} | y | change)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n": -1}, "n: expected a whole number, at least 1, found -1"),
        ({"steps": -1}, "steps: expected a whole number, at least 0, found -1"),
        ({"inverse_temperature": np.nan}, "inverse_temperature: expected a finite number"),
        ({"label": [3, 7]}, r"label: expected one, or 9, one for each row, found \(2,\)"),
    ],
)
def test_dreams_that_nobody_can_dream_are_refused(small, wrong, says):
    dbn, p = small
    with pytest.raises(ValueError, match=says if "label_weights" in p or "label" not in wrong else "no labels"):
        dbn.sample(**{"n": 9, "steps": 2} | wrong)


def test_dreams_have_the_probabilities_of_the_enumeration(small):
    """Of the last layer's draws and the pixels' means: the mean of the means is the marginal of the pixels."""
    dbn, p = small
    n = 20_000
    for number, label in enumerate(labels(p)):
        probability = np.exp(np.logaddexp.reduce(joint(p, label).reshape(16, -1), axis=1))
        probability /= probability.sum()  # given the label, if there is one
        images = to_numpy(dbn.sample(n, 60, label=None if label is None else dbn.classes_[number], random_state=number))
        pairs = np.einsum("ni,nj->ij", images, images) / n  # means of two pixels: independent given h1
        h1 = np.exp(np.logaddexp.reduce(joint(p, label), axis=(0, 2)))
        means = sigma(states(3) @ p["W1"].T + p["visible_bias1"])
        expected = np.einsum("h,hi,hj->ij", h1 / h1.sum(), means, means)
        np.testing.assert_allclose(images.mean(axis=0), probability @ states(4), atol=4 * 0.5 / np.sqrt(n))
        np.testing.assert_allclose(pairs, expected, atol=4 * 0.5 / np.sqrt(n))


def test_dreams_are_of_the_label_that_is_clamped(rng):
    """Two patterns with a twentieth of their pixels flipped: each dreamt when asked for, both without asking."""
    patterns = np.stack([np.arange(16) < 8, np.arange(16) % 4 < 2])
    y = rng.integers(2, size=400)
    X = (patterns[y] ^ (rng.random((400, 16)) < 0.05)).astype(np.float32)
    options = {"learning_rate": 0.2, "n_epochs": 60, "persistent": True, "batch_size": 20, "binarize": True}
    dbn = DBN(hidden_sizes=(12, 20), pretraining=options | {"schedule": "linear"}, random_state=0).pretrain(X, y)

    start, clamp = dbn.with_label(xp.zeros((4, 12), xp.float32), [0, 1, 1, 0])
    np.testing.assert_array_equal(to_numpy(start)[:, 12:], [[1, 0], [0, 1], [0, 1], [1, 0]])
    v = dbn.top_.sample(steps=20, start=start, clamp=clamp, random_state=0)
    np.testing.assert_array_equal(to_numpy(v)[:, 12:], to_numpy(start)[:, 12:])

    for label in (0, 1, None):
        dreamt = to_numpy(dbn.sample(200, 300, label=label, random_state=1))
        recognised = np.abs(dreamt[:, None] - patterns).sum(axis=2).argmin(axis=1)
        if label is None:
            assert 0.05 < recognised.mean() < 0.95
        else:
            assert (recognised == label).mean() > 0.9


def test_labels_are_learned_by_the_machine_on_top_alone(problem):
    X, y = problem
    dbn = DBN(**QUICK, random_state=4).pretrain(X, y)
    without = DBN(**QUICK, random_state=4).pretrain(X)
    assert_same(dbn.layers_[0].parameters_, without.layers_[0].parameters_)
    assert dbn.top_.W_.shape == (12 + 2, 8) and dbn.parameters_["label_weights"].shape == (2, 8)
    codes = np.concatenate([to_numpy(dbn._encoder(1, 1).predict(to_device(X))), y[:, None] == [0, 1]], axis=1)
    rng = generator(4).spawn(2)[1]
    by_hand = RBM(n_hidden=8, **DBN.PRETRAINING | QUICK["pretraining"], random_state=rng).fit(codes)
    for name, array in by_hand.parameters_.items():
        np.testing.assert_allclose(to_numpy(dbn.top_.parameters_[name]), to_numpy(array), atol=1e-6)


def test_stacks_of_any_depth(problem):
    for sizes in ((5,), (6, 5, 4, 3)):
        dbn = DBN(hidden_sizes=sizes, pretraining={"n_epochs": 1}, n_epochs=1, random_state=0).fit(*problem)
        assert dbn.transform(problem[0]).shape == (200, sizes[-1]) and len(dbn.layers_) == len(sizes)
        assert dbn.get_feature_names_out()[-1] == f"dbn{sizes[-1] - 1}"
        assert dbn.sample(3, 2, random_state=0).shape == (3, 16)


def test_dreams_begin_with_coin_tosses_and_what_is_passed_down_is_drawn():
    below = {"W1": 100 * np.eye(50), "visible_bias1": np.full(50, -50), "b1": np.zeros(50)}  # pixels are the codes
    top = {"W2": np.zeros((50, 1)), "visible_bias2": np.zeros(50), "b2": np.zeros(1)}  # which are fair coins
    for steps in (0, 1):
        pixels = to_numpy(DBN.from_parameters(below | top).sample(20, steps, random_state=0))
        assert 0.45 < pixels.mean() < 0.55 and (abs(pixels - 0.5) > 0.49).all()


def test_gaussian_images_are_led_down_to_by_gaussian_units_also_where_ways_are_untied():
    p = {"W1": np.ones((3, 2)), "visible_bias1": np.full(3, 5.0), "b1": np.zeros(2), "down_W1": np.zeros((3, 2))}
    p |= {"W2": np.zeros((2, 2)), "visible_bias2": np.zeros(2), "b2": np.zeros(2)}
    dbn = DBN.from_parameters(p, pretraining={"visible": "gaussian"})
    assert (to_numpy(dbn.sample(2, steps=1, random_state=0)) == 5).all()


def test_the_names_of_the_classes_are_the_networks_own():
    learned = DBN(hidden_sizes=(3,), pretraining={"n_epochs": 1}, n_epochs=1, random_state=0)
    X, y = np.random.default_rng(0).random((20, 4)), np.arange(20) % 2
    classes = np.array([10, 20])
    network = DBN.from_parameters(learned.fit(X, y).parameters_, classes)
    classes[:] = 1, 2
    np.testing.assert_array_equal(network.predict(X), 10 + 10 * learned.predict(X))


def test_the_machines_in_a_network_know_the_columns():
    """Names of columns, in their order, and that values are no pixels: a table in another order is refused."""
    X = pd.DataFrame((np.random.default_rng(0).random((40, 4)) < [0.9, 0.9, 0.1, 0.1]) * 1.0, columns=list("abcd"))
    turned, short = X[list("dcba")], {"n_epochs": 1}
    machine = RBM(n_hidden=3, n_epochs=1, random_state=0).fit(X)
    network = DBN(hidden_sizes=(3,), pretraining=short, random_state=0).pretrain(X)
    deep = DBN(hidden_sizes=(3, 2), pretraining=short, random_state=0).pretrain(X)
    untied = UpDown(deep, n_epochs=1, random_state=0).fit(X).network_
    for first in (network.layers_[0], network.top_, deep.downward_[0], untied.downward_[0]):
        first.free_energy(X)
        with pytest.raises(ValueError, match="feature names|another order"):
            log_likelihood(first, turned, 0.0)
    upside_down = DBN.upside_down(machine)
    upside_down.bound(X, 0.0, random_state=0)
    with pytest.raises(ValueError, match="feature names|another order"):
        upside_down.bound(turned, 0.0, random_state=0)
    with pytest.warns(UserWarning, match="expect values from 0 to 1"):
        network.pretrain(2 * X)
    assert np.isfinite(to_numpy(network.layers_[0].pseudo_log_likelihood(2 * X))).all()


@pytest.mark.parametrize("named", ["X", "unlabelled"])
def test_images_without_labels_do_not_rename_the_columns(named):
    X, y = np.random.default_rng(0).random((40, 4)), np.arange(40) % 2
    table = pd.DataFrame(X, columns=list("abcd"))
    options = {"hidden_sizes": (3,), "pretraining": {"n_epochs": 1}, "n_epochs": 1, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = DBN(**options).fit(table, y, unlabelled=X) if named == "X" else DBN(**options).fit(X, y, unlabelled=table)
    assert getattr(net, "feature_names_in_", np.array([])).tolist() == (list("abcd") if named == "X" else [])


def test_a_network_without_hidden_layers_has_names_of_features():
    X, y = np.random.default_rng(0).random((9, 4)), np.arange(9) % 3
    network = DBN(hidden_sizes=(), n_epochs=1, random_state=0).fit(X, y)
    assert network.transform(X).shape[1] == len(network.get_feature_names_out()) == 4
    with pytest.raises(ValueError, match="y: expected labels only for a network with a layer to learn them"):
        DBN(hidden_sizes=()).pretrain(X, y)
