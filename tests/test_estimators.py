"""What holds for every model alike: settings, data, labels, checkpoints and files are checked; what was lent stays."""

import copy
import inspect
import pickle
import warnings
import zipfile
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import assert_same
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from companion import training
from companion.annealing import ais
from companion.autoencoder import DenoisingAutoencoder
from companion.backend import add_scaled, generator, to_device, to_numpy, xp
from companion.checks import real_array
from companion.dbn import DBN
from companion.diagnostics import total_variation
from companion.layers import SoftmaxCrossEntropy
from companion.lenet import LeNet
from companion.likelihood import exact_log_partition, log_likelihood
from companion.logistic import LogisticRegression
from companion.mlp import MLP
from companion.rbm import RBM
from companion.rnnrbm import RNNRBM
from companion.stacked import StackedDenoisingAutoencoder
from companion.storage import load, load_model, save, save_model
from companion.tagger import Tagger
from companion.wake_sleep import UpDown

QUICK = {"n_epochs": 2, "batch_size": 20, "random_state": 0}
STACK = QUICK | {"hidden_sizes": (6, 5), "pretraining": {"n_epochs": 2, "batch_size": 20}}
CLASSIFIERS = {
    "LogisticRegression": LogisticRegression(**QUICK),
    "MLP": MLP(hidden_sizes=(6,), **QUICK),
    "LeNet": LeNet(n_filters=(2,), filter_size=3, n_hidden=5, warmup=0, **QUICK),
    "StackedDenoisingAutoencoder": StackedDenoisingAutoencoder(**STACK),
    "DBN": DBN(**STACK),
}
LAYERS = {"RBM": RBM(n_hidden=6, **QUICK), "DenoisingAutoencoder": DenoisingAutoencoder(n_hidden=6, **QUICK)}
MODELS = CLASSIFIERS | LAYERS
VARIANTS = MODELS | {
    "batch normalisation": MLP(
        hidden_sizes=(6, 4), activation="relu", batch_norm=True, gaussian_noise=0.2, optimizer="adam", averaging=0.9,
        **QUICK,
    ),
    "normalised maps": LeNet(n_filters=(2,), n_convolutions=2, filter_size=3, n_hidden=5, batch_norm=True, **QUICK),
    "normalised stack": StackedDenoisingAutoencoder(batch_norm=True, **STACK),
    "Gaussian RBM": RBM(n_hidden=6, visible="gaussian", **QUICK | {"learning_rate": 0.01}),
    "persistent chains": RBM(n_hidden=6, persistent=True, centered=True, averaging=0.9, momentum=0.5, **QUICK),
    "Gaussian DBN": DBN(**STACK | {"pretraining": {"visible": "gaussian", "n_epochs": 2, "batch_size": 20}}),
    "linear stack": StackedDenoisingAutoencoder(
        **STACK | {"pretraining": {"loss": "squared", "activation": "identity", "n_epochs": 2, "batch_size": 20}}
    ),
    "a tuple of options": DBN(**STACK | {"pretraining": {"n_epochs": (1, 2), "batch_size": 20}}),
}  # fmt: skip
every_model = pytest.mark.parametrize("name", MODELS)
every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)
every_variant = pytest.mark.parametrize("name", VARIANTS)


# ------------------------------------------------------------------------------------------ scikit-learn's conventions

FINE_TUNED = {"hidden_sizes": (20,), "n_epochs": 25, "learning_rate": 0.5, "momentum": 0.5}
CONVENTIONAL = [
    LogisticRegression(n_epochs=100, learning_rate=0.5, batch_size=20),
    MLP(hidden_sizes=(20,), n_epochs=30, learning_rate=0.1),
    LeNet(n_filters=(3, 4), filter_size=3, n_hidden=10, n_epochs=15, learning_rate=0.02, batch_size=20, warmup=0),
    LeNet(n_filters=(3,), filter_size=3, n_hidden=10, n_epochs=15, learning_rate=0.02, batch_size=20, batch_norm=True),
    DenoisingAutoencoder(n_hidden=20),
    DenoisingAutoencoder(
        n_hidden=20, corruption="salt_and_pepper", loss="squared", momentum=0.5, averaging=0.9, weight_decay=1e-3
    ),
    RBM(n_hidden=20),
    RBM(n_hidden=20, visible="gaussian", learning_rate=0.01),
    RBM(n_hidden=20, persistent=True, centered=True, averaging=0.9),
    DBN(**FINE_TUNED, pretraining={"learning_rate": 0.1, "n_epochs": 3}),
    StackedDenoisingAutoencoder(**FINE_TUNED, pretraining={"learning_rate": 0.1, "n_epochs": 3}),
]


def not_to_be_had(model):
    """Return the checks that a model cannot pass, with the reason."""
    if not hasattr(model, "predict"):
        return {}
    reason = "copies fall into other minibatches than a weighted row, and float32 differs by more than the check's 1e-7"
    return {"check_sample_weight_equivalence_on_dense_data": f"{reason}: see test_a_weight_is_a_number_of_copies"}


@parametrize_with_checks(CONVENTIONAL, expected_failed_checks=not_to_be_had)
@pytest.mark.filterwarnings("ignore:binary visible units expect", "ignore:cross-entropies expect")
@pytest.mark.filterwarnings("ignore:expected pixels from 0 to 1")
def test_scikit_learn_finds_nothing_to_object(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 3, 60)
    means = rng.random((3, 25))
    return np.clip(means[y] + 0.1 * rng.normal(size=(60, 25)), 0, 1).astype(np.float32), y


def host(parameters):
    return {name: to_numpy(array).copy() for name, array in parameters.items()}


# -------------------------------------------------------------------------------------------------------- settings

NUMBERS = {
    "batch_size": (-3, 0, 1.5, "auto", None, True, np.nan),
    "n_epochs": (-1, 1.5, None, "3"),
    "learning_rate": (-0.1, np.nan, np.inf, None, "fast"),
    "momentum": (-0.1, 1, 1.5),
    "averaging": (-0.1, 1.0, 2),
    "decay": (-1, None),
    "warmup": (-1, 0.5),
    "schedule": ("exponential", None),
    "l1": (-1,),
    "l2": (-1, np.nan),
    "weight_decay": (-1,),
    "max_norm": (-1, 0, "none"),
    "gaussian_noise": (-1,),
    "adversarial": (-1, np.inf),
    "virtual_adversarial": (-1, np.inf),
    "dropout": (-0.2, 1, 1.5),
    "input_dropout": (-0.2, 1),
    "conv_dropout": (-0.2, 1),
    "patience": (None, -1, np.nan),
    "patience_increase": (-1, None),
    "improvement_threshold": (-1, 1.5),
    "hidden_sizes": (5, (10.0,), (4, 0), (4, -1), None, "50"),
    "n_filters": (5, (), (4, 0), (2.5,)),
    "n_convolutions": (0, 2.5, (1, 2)),
    "filter_size": (0, 2.5),
    "pool_size": (0, None),
    "n_hidden": (0, -1, 2.5),
    "image_shape": (28, (5,), (5, 5, 1), (5.0, 5.0), (-5, -5)),
    "optimizer": ("Adam", None),
    "activation": ("Tanh", None, 3),
    "batch_norm": ("yes", 2),
    "persistent": ("yes",),
    "k": (0, 1.5),
    "visible": ("Gaussian", None),
    "sparsity_target": (-0.1, 1),
    "corruption": ("fog",),
    "corruption_level": (-0.1, 1.5),
    "loss": ("absolute",),
    "class_weight": ("auto", {0: -1}, {0: np.nan}, {0: "much"}),
    "random_state": ("x", 1.5, -1, {}),
    "pretraining": (3, "none", {"n_epoch": 3}, {"n_epochs": -1}, {"batch_size": (20, 0)}),
}


@every_model
def test_settings_that_make_no_sense_are_named(data, name):
    model = MODELS[name]
    tried = [(key, value) for key in model.get_params(deep=False) for value in NUMBERS.get(key, ())]
    assert len(tried) > 20
    for key, value in tried:
        with pytest.raises(ValueError, match=r"\bexpected\b") as raised:
            clone(model).set_params(**{key: value}).fit(*data)
        assert key in str(raised.value) or key == "pretraining", raised.value


@every_model
def test_numbers_of_numpy_are_numbers(data, name):
    clone(MODELS[name]).set_params(batch_size=np.int64(20), learning_rate=np.float32(0.01)).fit(*data)


# -------------------------------------------------------------------------------------------------------- checkpoints


@every_model
@pytest.mark.parametrize("changed", ["rows", "seed", "generator", "labels", "validation"])
def test_a_checkpoint_of_another_training_is_refused(data, tmp_path, name, changed):
    """As many rows, the same settings: only what is in the data, or in the generator, tells the two apart."""
    (X, y), file = data, tmp_path / "run.npz"
    classifier = name in CLASSIFIERS
    if not classifier and changed in ("labels", "validation"):
        pytest.skip("learns without")
    options = {"validation": (X[:20], y[:20])} if classifier and changed == "validation" else {}
    model = clone(MODELS[name])
    if changed == "generator":
        model.set_params(random_state=np.random.default_rng(0))
    model.fit(X, y, checkpoint=file, **options)
    again = clone(MODELS[name])
    if changed == "rows":
        X = X[::-1].copy()
    elif changed == "seed":
        again.set_params(random_state=1)
    elif changed == "generator":
        again.set_params(random_state=np.random.default_rng(1))
    elif changed == "labels":
        y = y[::-1].copy()
    else:
        options = {"validation": (X[20:40], y[20:40])}
    with pytest.raises(ValueError, match="the checkpoint of another training .*(data|random numbers)"):
        again.fit(X, y, checkpoint=file, **options)


@every_model
def test_a_finished_checkpoint_gives_the_same_model(data, tmp_path, name):
    first = clone(MODELS[name]).fit(*data, checkpoint=tmp_path / "run.npz")
    again = clone(MODELS[name]).fit(*data, checkpoint=tmp_path / "run.npz")
    assert_same(host(first.parameters_), host(again.parameters_))


def test_without_a_seed_a_run_can_be_resumed_too(data, tmp_path):
    for model in (DBN(**STACK | {"random_state": None}), MLP(**QUICK | {"random_state": None})):
        file = tmp_path / f"{type(model).__name__}.npz"
        first = clone(model).fit(*data, checkpoint=file)
        assert_same(host(first.parameters_), host(clone(model).fit(*data, checkpoint=file).parameters_))


@every_model
def test_a_checkpoint_with_nan_is_refused(data, tmp_path, name):
    file = tmp_path / "run.npz"
    clone(MODELS[name]).fit(*data, checkpoint=file)
    arrays, facts = load(file)
    spoilt = next(key for key in arrays if key.startswith("best/"))
    arrays[spoilt] = np.full_like(arrays[spoilt], np.nan)
    save(file, arrays, facts)
    with pytest.raises(ValueError, match="expected finite numbers"):
        clone(MODELS[name]).fit(*data, checkpoint=file)


def test_layers_of_two_runs_have_files_of_their_own(data, tmp_path):
    for rate in (0.1, 0.5):
        model = DBN(**STACK | {"pretraining": {"learning_rate": rate, "n_epochs": 1, "batch_size": 20}})
        model.fit(*data, checkpoint=tmp_path / f"dbn-rate{rate}")
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("train", [
    lambda X, y: MLP(hidden_sizes=(3,), n_epochs=1).fit(X, y, checkpoint=""),
    lambda X, y: DBN(hidden_sizes=(3,), pretraining={"n_epochs": 1}).pretrain(X, checkpoint=""),
    lambda X, y: RNNRBM(n_epochs=1, pretraining={"n_epochs": 1}).fit([np.eye(4)], checkpoint=""),
])  # fmt: skip
def test_an_empty_name_is_no_checkpoint(data, train):
    """Nor is it none: what was to be saved would be lost, in silence."""
    with pytest.raises(IsADirectoryError):
        train(*data)


@pytest.mark.parametrize("kind", ["warm start", "pretrained", "UpDown"])
def test_other_first_parameters_are_another_training_also_without_a_seed(data, tmp_path, kind):
    (X, y), unseeded = data, QUICK | {"random_state": None}
    labels = [y] if kind == "pretrained" else []
    dbns = [clone(MODELS["DBN"]).set_params(random_state=seed).pretrain(X) for seed in (0, 1)]
    arrays = [[dbn.parameters_[name] for name in ("W1", "visible_bias1", "b1")] for dbn in dbns]
    one, other = {
        "warm start": lambda: [RBM.from_parameters(*each, warm_start=True, **unseeded) for each in arrays],
        "pretrained": lambda: [dbn.set_params(random_state=None) for dbn in dbns],
        "UpDown": lambda: [UpDown(dbn, **unseeded) for dbn in dbns],
    }[kind]()
    same, file = copy.deepcopy(one), tmp_path / "run.npz"
    end = host(one.fit(X, *labels, checkpoint=file).parameters_)
    assert_same(host(same.fit(X, *labels, checkpoint=file).parameters_), end)
    with pytest.raises(ValueError, match="the checkpoint of another training .*other parameters"):
        other.fit(X, *labels, checkpoint=file)


# -------------------------------------------------------------------------------------- what is refused changes nothing

REFUSED = {
    "labels": lambda X, y, file: {"y": y[:5]},
    "columns": lambda X, y, file: {"X": X[:, :9], "y": y[:5]},
    "validation": lambda X, y, file: {"y": y + 100, "validation": (X, y)},
    "half a pair": lambda X, y, file: {"y": y + 100, "validation": (X,)},
    "numbers": lambda X, y, file: {"X": np.full((60, 9), 1e38)},
    "checkpoint": lambda X, y, file: {"X": X[::-1].copy(), "checkpoint": file},
    "folder": lambda X, y, file: {"checkpoint": file / "inside a file"},
}
METHODS = ("fit", "partial_fit", "pretrain")


def may_be_refused(name, method, why):
    """Return whether the method exists, and minds."""
    taken = inspect.signature(getattr(MODELS[name], method, lambda: None)).parameters
    reads_labels = name in CLASSIFIERS and method != "pretrain" or name == "DBN"
    given = REFUSED[why](np.zeros((60, 25)), np.zeros(60), Path()).keys()
    return bool(taken) and given <= taken.keys() and (reads_labels or why not in ("labels", "columns"))


def assert_it_stays_where_refused(model, learn):
    before, parameters = vars(model).copy(), host(model.parameters_)
    with pytest.raises((ValueError, OSError, IndexError)):
        learn()
    assert vars(model).keys() == before.keys() and all(vars(model)[key] is value for key, value in before.items())
    assert_same(host(model.parameters_), parameters)


@pytest.mark.parametrize(
    ("name", "method", "why"), [case for case in product(MODELS, METHODS, REFUSED) if may_be_refused(*case)]
)
def test_a_refused_training_leaves_the_model_as_it_was(data, tmp_path, name, why, method):
    (X, y), file = data, tmp_path / "run.npz"
    for one in (file, *(file.with_name(f"{file.name}.layer{number}.npz") for number in (1, 2))):
        one.write_text("no checkpoint at all")
    model = clone(MODELS[name]).fit(X, y)
    assert_it_stays_where_refused(model, lambda: getattr(model, method)(**{"X": X, "y": y} | REFUSED[why](X, y, file)))


@pytest.mark.parametrize("kind", ["UpDown", "Tagger", "RNNRBM"])
def test_so_do_those_that_learn_from_something_else(data, tmp_path, kind):
    model, learned, other = {
        "UpDown": lambda: (UpDown(clone(MODELS["DBN"]).pretrain(data[0]), **QUICK), [data[0]], [1 - data[0]]),
        "Tagger": lambda: (Tagger(n_hidden=4, **QUICK), [[["a", "b"]], [["x", "y"]]], [[["c"]], [["z"]]]),
        "RNNRBM": lambda: (RNNRBM(n_hidden=4, n_recurrent=3, **QUICK), [[np.eye(5)]], [[np.eye(6)]]),
    }[kind]()
    model.fit(*learned)
    assert_it_stays_where_refused(model, lambda: model.fit(*other, checkpoint=tmp_path))


@pytest.mark.parametrize("name", ["MLP", "RBM", "DBN", "StackedDenoisingAutoencoder"])
@pytest.mark.parametrize("why", [KeyboardInterrupt, MemoryError, KeyError, UserWarning])
def test_whatever_comes_before_the_training_it_stays(data, name, why, monkeypatch):
    X, y = data
    model = clone(MODELS[name]).fit(X, y)
    before, parameters = vars(model).copy(), host(model.parameters_)

    def fail(*_):
        raise why

    monkeypatch.setattr(getattr(model, "layer_class", type(model)), "_prepare", fail)  # of the first layer
    with pytest.raises(why):
        model.fit(X[:, :9], y + 100)
    assert vars(model).keys() == before.keys() and all(vars(model)[key] is value for key, value in before.items())
    assert_same(host(model.parameters_), parameters)


def test_a_checkpoint_of_the_second_layer_is_refused_as_well(data, tmp_path):
    """What the first layer learned meanwhile is in its own."""
    model = clone(MODELS["DBN"]).pretrain(data[0], checkpoint=tmp_path / "run")
    parameters = host(model.parameters_)
    model.set_params(pretraining={"n_epochs": (2, 3), "batch_size": 20})
    with pytest.raises(ValueError, match=r"layer2.npz is the checkpoint .*n_epochs was 2 and is 3"):
        model.pretrain(data[0], checkpoint=tmp_path / "run")
    assert_same(host(model.parameters_), parameters)


def test_what_was_learned_before_watch_failed_is_kept(data):
    def fail(model):
        assert model.history_.epoch == 1 and model.history_.train_loss
        raise ValueError("no such axes")

    model = clone(MODELS["RBM"])
    with pytest.raises(ValueError, match="no such axes"):
        model.fit(data[0], watch=fail)
    once = clone(MODELS["RBM"]).set_params(n_epochs=1).fit(data[0])
    assert_same(host(model.parameters_), host(once.parameters_))
    with pytest.raises(ValueError, match="no such axes"):
        model.fit(data[0], watch=fail)  # sees this training, and not that before


@pytest.mark.parametrize("name", ["DBN", "StackedDenoisingAutoencoder"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_everything_is_checked_before_the_long_part(data, name, method, monkeypatch):
    X, y = data
    options = {"fit": {"validation": (X, y + 9)}, "partial_fit": {"classes": [0, 1]}}[method]
    monkeypatch.setattr(type(MODELS[name]), "_fit_layer", lambda *_, **__: pytest.fail("it pretrains"))
    with pytest.raises(ValueError, match="is none of the classes"):
        getattr(clone(MODELS[name]), method)(X, y, **options)


@pytest.mark.parametrize("kind", ["DBN", "UpDown"])
def test_columns_in_another_order_than_those_of_the_pretraining_are_refused(data, kind):
    X, y = pd.DataFrame(data[0], columns=[f"pixel {i}" for i in range(25)]), data[1]
    dbn = clone(MODELS["DBN"]).pretrain(X)
    with pytest.raises(ValueError, match="feature names should match"):
        (dbn if kind == "DBN" else UpDown(dbn, **QUICK)).fit(X.iloc[:, ::-1], y if kind == "DBN" else None)


@pytest.mark.parametrize("ask", [
    lambda rbm, dbn, dae, X: log_likelihood(rbm, X, 0.0), lambda rbm, dbn, dae, X: rbm.pseudo_log_likelihood(X),
    lambda rbm, dbn, dae, X: dbn.bound(X, 0.0), lambda rbm, dbn, dae, X: dae.reconstruction_error(1 - X[::-1], X),
    lambda rbm, dbn, dae, X: rbm.free_energy(X), lambda rbm, dbn, dae, X: rbm.reconstruct(X),
    lambda rbm, dbn, dae, X: dae.reconstruct(X), lambda rbm, dbn, dae, X: rbm.sample(start=X, steps=1),
])  # fmt: skip
def test_no_likelihood_of_columns_in_another_order(data, ask):
    X = pd.DataFrame(data[0], columns=[f"pixel {i}" for i in range(25)])
    models = [clone(MODELS[name]).fit(X) for name in LAYERS]
    models.insert(1, clone(MODELS["DBN"]).pretrain(X))
    ask(*models, X)
    with pytest.raises(ValueError, match="feature names should match"):
        ask(*models, X.iloc[:, ::-1])


@pytest.mark.parametrize("name", ["DBN", "StackedDenoisingAutoencoder"])
def test_fewer_layers_than_were_pretrained_are_told(data, name):
    model = clone(MODELS[name]).pretrain(data[0]).set_params(hidden_sizes=(6,))
    with pytest.raises(ValueError, match="expected the 2 layers that were pretrained, at least, found 1"):
        model.fit(*data)


def test_digest_tells_arrays_apart():
    x = np.arange(6, dtype=np.float32)
    others = [x[::-1], x.reshape(2, 3), x.astype(np.float64), x + 1]
    digests = {training.digest(array) for array in [x, *others]}
    assert len(digests) == 5 and training.digest(x) == training.digest(x.copy())
    assert training.digest({"a": 1}) != training.digest({"a": 2})


# ---------------------------------------------------------------------------------------------- what was only lent


def read_only(array):
    array = to_numpy(array).copy()
    array.flags.writeable = False
    return array


@pytest.mark.skipif(xp is not np, reason="arrays of the host")
@pytest.mark.parametrize("name", ["DBN", "StackedDenoisingAutoencoder"])
def test_training_moves_copies(data, tmp_path, name):
    """Read-only memory ends in BLAS with a segmentation fault; memory that can be written to would be changed."""
    model = clone(MODELS[name]).pretrain(data[0])
    lent = {key: read_only(array) for key, array in model.parameters_.items()}
    before = {key: array.copy() for key, array in lent.items()}
    network = type(model).from_parameters(lent, **model.get_params()).fit(*data)
    assert_same(lent, before)
    ordinary = {key: array.copy() for key, array in before.items()}
    same = type(model).from_parameters(ordinary, **model.get_params()).fit(*data)
    assert_same(ordinary, before)
    assert_same(host(same.parameters_), host(network.parameters_))
    for key, array in before.items():
        np.save(tmp_path / f"{key}.npy", array)
    mapped = {key: np.load(tmp_path / f"{key}.npy", mmap_mode="r") for key in before}
    again = type(model).from_parameters(mapped, **model.get_params()).fit(*data)
    assert_same(host(again.parameters_), host(network.parameters_))


@pytest.mark.skipif(xp is not np, reason="arrays of the host")
@every_model
def test_a_model_in_mapped_memory_trains_and_predicts(data, tmp_path, name):
    model = clone(MODELS[name]).fit(*data)
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    method = "predict_proba" if name in CLASSIFIERS else "transform"
    np.testing.assert_array_equal(getattr(mapped, method)(data[0]), getattr(model, method)(data[0]))
    assert_same(host(mapped.fit(*data).parameters_), host(clone(model).fit(*data).parameters_))


@pytest.mark.skipif(xp is not np, reason="BLAS of the host")
@pytest.mark.parametrize("kind", ["read-only", "a view of every other"])
def test_blas_writes_only_where_it_may(kind):
    target = np.zeros((4, 4), np.float32)
    target.flags.writeable = kind != "read-only"
    with pytest.raises(ValueError, match="contiguous array that may be written to"):
        add_scaled(target if kind == "read-only" else target[:, ::2], 1.0, np.ones((4, 2), np.float32))
    assert not target.any()


# ------------------------------------------------------------------------------------------------ labels and pixels


@every_classifier
def test_a_column_of_labels_is_the_vector(data, name):
    X, y = data
    model = clone(MODELS[name]).fit(X, y)
    for right, wrong in (
        (model.errors(X, y), lambda: model.errors(X, y[:, None])),
        (model.negative_log_likelihood(X, y), lambda: model.negative_log_likelihood(X, y[:, None])),
    ):
        with pytest.warns(DataConversionWarning):
            assert wrong() == right
    with pytest.warns(DataConversionWarning):
        column = clone(model).fit(X, y[:, None], validation=(X, y[:, None]))
    assert_same(host(column.parameters_), host(clone(model).fit(X, y, validation=(X, y)).parameters_))


@every_classifier
@pytest.mark.parametrize("kind", ["too few", "words", "one-hot", "continuous", "unknown", "none"])
def test_other_labels_are_refused(data, name, kind):
    X, y = data
    strange = {
        "too few": y[:5], "words": y.astype(str), "one-hot": np.eye(3)[y], "continuous": y + 0.5,
        "unknown": np.where(y == 1, 7, y), "none": None,
    }[kind]  # fmt: skip
    model = clone(MODELS[name]).fit(X, y)
    for ask in (
        lambda: model.errors(X, strange),
        lambda: model.negative_log_likelihood(X, strange),
        lambda: clone(model).fit(X, y, validation=(X, strange)),
    ):
        with pytest.raises(ValueError):
            ask()
    if kind not in ("words", "unknown"):  # which another model may learn
        with pytest.raises(ValueError):
            clone(model).fit(X, strange)
        if kind != "none" and name == "DBN":
            with pytest.raises(ValueError):
                clone(model).pretrain(X, strange)


def test_label_units_keep_their_classes(data):
    X, y = data
    dbn = clone(MODELS["DBN"]).pretrain(X, y)
    with pytest.raises(ValueError, match=r"pretrained with the labels \[0, 1, 2\], found '[abc]'"):
        copy.deepcopy(dbn).fit(X, np.array(["a", "b", "c"])[y])
    some = y < 2  # a part of the classes will do: the network then knows of all
    assert copy.deepcopy(dbn).fit(X[some], y[some]).classes_.tolist() == [0, 1, 2]
    assert dbn.fit(X, y).sample(2, 3, label=1, random_state=0).shape == (2, 25)


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name != "LogisticRegression"])
def test_settings_that_were_changed_since_the_fit_are_told(data, name):
    """Where the shapes give it away; a network of the new settings would answer all the same, or with a KeyError."""
    X, y = data
    model, changes = clone(MODELS[name]).fit(X, y), {"hidden_sizes": [(6,), (6, 6), (6, 5, 4), ()], "n_hidden": [4]}
    tried = [(key, value) for key in changes for value in changes[key] if value != getattr(model, key, value)]
    assert tried
    for key, value in tried:
        model.set_params(**{key: value})
        for ask in (model.predict, model.predict_proba, lambda X: model.errors(X, y)):
            with pytest.raises(ValueError, match="the settings are no longer those they were learned with"):
                ask(X)


@pytest.mark.parametrize(("name", "masked"), [*product(MODELS, ["X"]), *product(CLASSIFIERS, ["y", "sample_weight"])])
def test_masked_arrays_are_refused(data, name, masked):
    given = dict(zip(("X", "y"), data)) | ({"sample_weight": np.ones(60)} if masked == "sample_weight" else {})
    given[masked] = np.ma.masked_array(given[masked], given[masked] == given[masked].flat[0])
    with pytest.raises(ValueError, match=f"{masked}: expected an array without a mask"):
        clone(MODELS[name]).fit(**given)


def test_so_are_they_wherever_a_machine_takes_an_array(data):
    X, machine = np.ma.masked_equal(data[0], 0), clone(MODELS["RBM"]).fit(data[0])
    with pytest.raises(ValueError, match="base_bias: expected an array without a mask"):
        ais(machine, np.ma.masked_equal(np.arange(25.0), 3))
    with pytest.raises(ValueError, match="x: expected an array without a mask"):
        clone(MODELS["DenoisingAutoencoder"]).fit(data[0]).corrupt(X)
    with pytest.raises(ValueError, match="clamp: expected an array without a mask"):
        machine.sample(start=np.zeros((1, 25)), clamp=X[0])
    with pytest.raises(ValueError, match="label: expected an array without a mask"):
        clone(MODELS["DBN"]).pretrain(*data).with_label(np.zeros((2, 6)), np.ma.masked_equal([0, 1], 1))
    with pytest.raises(ValueError, match="classes: expected an array without a mask"):
        clone(MODELS["MLP"]).partial_fit(*data, classes=np.ma.masked_equal([0, 1, 2], 1))
    with pytest.raises(ValueError, match="distributions: expected an array without a mask"):
        total_variation(np.ma.masked_equal([0.5, 0.5, 0], 0), [1, 0, 0])


def test_log_probabilities_are_those_of_the_probabilities(data):
    for model in CLASSIFIERS.values():
        model = clone(model).fit(*data)
        np.testing.assert_allclose(np.exp(model.predict_log_proba(data[0])), model.predict_proba(data[0]), rtol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_scores_that_cannot_be_are_refused(data, name):
    X = data[0]
    model = clone(MODELS[name]).fit(X)
    for ask in (model.score, getattr(model, "score_samples", None) or model.reconstruction_error):
        with pytest.raises(ValueError, match="expect values from 0 to 1, found 0 to 255"):
            with warnings.catch_warnings(action="ignore"):
                ask(255 * X)
    with pytest.warns(UserWarning, match="expect values from 0 to 1"):
        model.transform(255 * X)


@every_classifier
def test_bytes_in_place_of_pixels_are_told(data, name):
    X, y = data
    for tell in (
        lambda: clone(MODELS[name]).set_params(learning_rate=1e-6).fit(255 * X, y),
        lambda: clone(MODELS[name]).fit(X, y).predict(255 * X),
    ):
        with pytest.warns(UserWarning, match="from 0 to 1") as told:
            tell()
        assert {warning.filename for warning in told} == {__file__}, "the reader's line, which Python tells once each"


@every_model
def test_numbers_that_overflow_are_refused(data, name):
    X, y = data
    with pytest.raises(ValueError, match="expected numbers whose squares"):
        clone(MODELS[name]).fit(1e38 * X, y)


def test_states_are_rows(data):
    rbm, autoencoder = (clone(model).fit(data[0]) for model in LAYERS.values())
    for ask in (rbm.free_energy, rbm.propup, rbm.reconstruct, autoencoder.encode, autoencoder.reconstruct):
        for v in (data[0][0], data[0][:, :-1], data[0][None]):
            with pytest.raises(ValueError, match=r"shape \(n, 25\)"):
                ask(v)
    with pytest.raises(ValueError, match=r"expected h of shape \(n, 6\)"):
        rbm.energy(data[0], np.zeros(6, np.float32))


# ------------------------------------------------------------------------------------------------------- round trips


def answers(model, X, y):
    """Everything that a fitted model says, and what it goes on to learn, as arrays."""
    said = {}
    if hasattr(model, "classes_") and hasattr(model, "predict_proba"):
        said["probabilities"] = model.predict_proba(X)
    if hasattr(model, "transform"):
        said["codes"] = model.transform(X)
    if hasattr(model, "score"):
        said["score"] = np.array(model.score(X, y))
    if isinstance(model, RBM | DBN):
        said["samples"] = to_numpy(model.sample(3, 4, random_state=7))
    for number, layer in enumerate(getattr(model, "layers_", [])):
        said[f"layer {number}"] = to_numpy(layer.reconstruct(to_numpy(xp.zeros((2, layer.n_features_in_)))))
    return said | {
        f"learned again/{name}": array for name, array in host(copy.deepcopy(model).fit(X, y).parameters_).items()
    }


@every_variant
def test_a_seed_gives_the_same_run_again(data, name):
    def fit(seed):
        return host(clone(VARIANTS[name]).set_params(random_state=seed).fit(*data).parameters_)

    first = fit(3)
    assert_same(first, fit(3))
    assert_same(first, fit(np.random.default_rng(3)))
    assert any((array != first[key]).any() for key, array in fit(4).items())


@every_variant
@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy", "clone"])
def test_a_round_trip_loses_nothing(data, tmp_path, name, way):
    X, y = data
    model = clone(VARIANTS[name]).fit(X, y)
    if way == "file":
        save_model(tmp_path / "model.npz", model)
        again = load_model(tmp_path / "model.npz", type(model))
        assert again.get_params() == model.get_params()
    elif way == "clone":
        again = clone(model).fit(X, y)
    else:
        again = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    assert_same(answers(again, X, y), answers(model, X, y))


@pytest.mark.parametrize("name", ["DBN", "StackedDenoisingAutoencoder", "Gaussian DBN", "linear stack"])
@pytest.mark.parametrize("way", ["file", "from_parameters"])
def test_what_was_pretrained_stays_so(data, tmp_path, name, way):
    X, y = data
    model = clone(VARIANTS[name]).pretrain(X)
    if way == "file":
        save_model(tmp_path / "model.npz", model)
        again = load_model(tmp_path / "model.npz", type(model))
    else:
        again = type(model).from_parameters(model.parameters_, **model.get_params())
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    with pytest.raises(NotFittedError, match="has no softmax yet"):
        again.predict(X)
    seen = set(host(again.parameters_))
    assert_same(host(again.fit(X, y).parameters_), host(model.fit(X, y).parameters_))
    assert "W3" not in seen


def test_layers_are_of_the_kind_they_learned_as(data):
    X = 5 + data[0]
    dbn = DBN(**STACK | {"pretraining": {"visible": "gaussian", "n_epochs": 5, "learning_rate": 0.01}}).pretrain(X)
    assert [layer.visible for layer in dbn.layers_] == ["gaussian", "binary"]
    assert 4 < float(dbn.sample(20, 5, random_state=0).mean()) < 7
    with pytest.raises(ValueError, match="expected binary visible units, found 'gaussian'"):
        dbn.bound(X, None)
    stack = clone(VARIANTS["linear stack"]).pretrain(data[0])
    first, second = (to_numpy(layer.W_) for layer in stack.layers_)
    biases = [to_numpy(layer.hidden_bias_) for layer in stack.layers_]
    np.testing.assert_allclose(
        stack.transform(data[0]), (data[0] @ first + biases[0]) @ second + biases[1], rtol=1e-4, atol=1e-5
    )


def test_names_of_columns_and_generators_come_back(data, tmp_path):
    X, y = pd.DataFrame(data[0], columns=[f"pixel {i}" for i in range(25)]), data[1]
    spawned = np.random.default_rng([3, 2**80]).spawn(2)[1]
    for random_state in (spawned, np.random.RandomState(3), np.random.Generator(np.random.Philox(1))):
        model = MLP(**QUICK | {"random_state": random_state}).fit(X, y)
        save_model(tmp_path / "model.npz", model)
        again = load_model(tmp_path / "model.npz", MLP)
        assert again.feature_names_in_.tolist() == X.columns.tolist()
        with pytest.raises(ValueError, match="feature names should match"):
            again.predict(X[X.columns[::-1]])
        assert_same(host(again.fit(X, y).parameters_), host(model.fit(X, y).parameters_))


def test_a_generator_that_was_saved_spawns_what_it_would_have_spawned(data, tmp_path):
    rng = np.random.default_rng(3)
    rng.spawn(2)
    model = clone(MODELS["DBN"]).set_params(random_state=rng, warm_start=True).fit(*data)
    save_model(tmp_path / "model.npz", model)
    once, again = (load_model(tmp_path / "model.npz", DBN).pretrain(data[0]) for _ in range(2))
    assert_same(host(again.parameters_), host(once.parameters_))
    assert_same(host(model.pretrain(data[0]).parameters_), host(once.parameters_))
    arrays, facts = load(tmp_path / "model.npz")
    sequence = facts["parameters"]["random_state"]["Generator"].pop("seed_sequence")
    save(tmp_path / "old.npz", arrays, facts)  # as files were before, which did not say
    assert (
        load_model(tmp_path / "old.npz", DBN).random_state.random()
        == load_model(tmp_path / "model.npz", DBN).random_state.random()
    )
    for wrong in ({"pool_size": 10**15}, {"entropy": "x"}, {"n_children_spawned": -1}, {"colour": 3}):
        facts["parameters"]["random_state"]["Generator"]["seed_sequence"] = sequence | wrong
        save(tmp_path / "bad.npz", arrays, facts)
        with pytest.raises(ValueError, match="bad.npz: expected Generator as"):
            load_model(tmp_path / "bad.npz", DBN)


@pytest.mark.parametrize(
    "labels", [[0, 1, 2], [False, True], [0.0, 1.0, 2.0], ["a", "b", "c"], ["pairs"] * 3], ids=lambda each: str(each[0])
)
@pytest.mark.parametrize("of_numpy", [False, True])
def test_weights_of_classes_come_back(data, tmp_path, labels, of_numpy):
    X, labels = data[0], np.array(labels)
    y = labels[data[1] % len(labels)]
    weights = dict(zip(labels if of_numpy else labels.tolist(), (1, 2.5, 3)))
    model = clone(MODELS["LogisticRegression"]).set_params(class_weight=weights).fit(X, y, checkpoint=tmp_path / "run")
    save_model(tmp_path / "model.npz", model)
    again = load_model(tmp_path / "model.npz", LogisticRegression)
    assert again.class_weight == weights
    assert_same(host(again.fit(X, y, checkpoint=tmp_path / "run").parameters_), host(model.parameters_))


def test_an_interrupted_pretraining_has_no_codes_yet(data, tmp_path, monkeypatch):
    fit_layer = DBN._fit_layer

    def interrupted(self, number, layer, codes, y, **options):
        if number == 2:
            raise KeyboardInterrupt
        fit_layer(self, number, layer, codes, y, **options)

    monkeypatch.setattr(DBN, "_fit_layer", interrupted)
    model = clone(MODELS["DBN"])
    with pytest.raises(KeyboardInterrupt):
        model.pretrain(data[0])
    with pytest.raises(NotFittedError, match="of the 2 layers of this DBN 1 have learned"):
        model.transform(data[0])
    save_model(tmp_path / "model.npz", model)
    for begun in (load_model(tmp_path / "model.npz", DBN), model):  # those above begin at random
        assert np.isfinite(begun.fit(*data).predict_proba(data[0])).all()


@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", ["DBN", "StackedDenoisingAutoencoder"])
def test_a_fit_that_is_interrupted_in_its_pretraining_begins_anew(data, monkeypatch, name, learn):
    """The next one is what an undisturbed one is, without a word said: what was half learned counts for nothing."""
    X, y = data
    options = {"classes": np.unique(y)} if learn == "partial_fit" else {}
    expected = getattr(clone(MODELS[name]), learn)(X, y, **options)
    model, fit_layer, calls = clone(MODELS[name]), type(MODELS[name])._fit_layer, []

    def interrupted(self, number, layer, codes, y, **options):
        fit_layer(self, number, layer, codes, y, **options)
        calls.append(number)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(model), "_fit_layer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        getattr(model, learn)(X, y, **options)
    getattr(model, learn)(X, y, **options)
    assert calls == [1, 1, 2]
    assert_same(host(model.parameters_), host(expected.parameters_))


@pytest.mark.parametrize(
    ("name", "setting", "ask"),
    [
        ("MLP", {"activation": "foo"}, lambda model, X: model.predict(X)),
        ("LeNet", {"n_filters": 3}, lambda model, X: model.predict(X)),
        ("DenoisingAutoencoder", {"activation": "tanh"}, lambda model, X: model.transform(X)),
        ("DenoisingAutoencoder", {"loss": "foo"}, lambda model, X: model.score(X)),
        ("DenoisingAutoencoder", {"corruption_level": 7}, lambda model, X: model.corrupt(X)),
        ("DenoisingAutoencoder", {"activation": "tanh"}, lambda model, X: model.reconstruct(X)),
        ("RBM", {"visible": "Gaussian"}, lambda model, X: model.transform(X)),
        ("RBM", {"visible": "Gaussian"}, lambda model, X: model.sample(3, 2, random_state=0)),
        ("DBN", {"hidden_sizes": "no"}, lambda model, X: model.predict(X)),
    ],
)
def test_a_setting_that_cannot_be_is_refused_after_fit_as_before(data, name, setting, ask):
    model = clone(MODELS[name]).fit(*data).set_params(**setting)
    with pytest.raises(ValueError, match=f"{list(setting)[0]} is .*; expected"):
        ask(model, data[0])


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
def test_a_missing_label_among_words_is_named(data, learn, missing):
    X, y = data
    words = np.array([f"class {label}" for label in y], object)
    options = {"classes": set(words)} if learn == "partial_fit" else {}
    getattr(getattr(MLP(hidden_sizes=(3,), n_epochs=1), learn)(X, words, **options), learn)(X, words, **options)
    words[5] = missing
    with pytest.raises(ValueError, match=f"labels: expected one for each image, found {missing} for image 5"):
        getattr(MLP(hidden_sizes=(3,), n_epochs=1), learn)(X, words, **options)


# -------------------------------------------------------------------------------------------- files that nobody trusts


def test_a_setting_that_no_file_holds_is_named(data, tmp_path):
    model = clone(MODELS["MLP"]).set_params(random_state=np.random.SeedSequence(1)).fit(*data)
    with pytest.raises(ValueError, match="random_state is a SeedSequence; expected what a file can hold"):
        save_model(tmp_path / "model.npz", model)


@pytest.mark.parametrize("cls", ["MLP", MLP()])
def test_a_file_is_read_as_a_class_of_models(tmp_path, cls):
    with pytest.raises(ValueError, match="cls: expected a class of models, such as MLP, found"):
        load_model(tmp_path / "model.npz", cls)


@every_model
def test_a_file_that_holds_something_else_is_refused(data, tmp_path, name):
    model, file = clone(MODELS[name]).fit(*data), tmp_path / "model.npz"
    save_model(file, model)
    arrays, facts = load(file)
    first = next(key for key in arrays if key.startswith("parameters/"))
    bias = next(key for key in arrays if arrays[key].ndim == 1 and key.startswith("parameters/"))
    spoilt = [
        (arrays | {first: np.full_like(arrays[first], np.nan)}, facts),
        (arrays | {first: arrays[first].astype(complex)}, facts),
        (arrays | {first: arrays[first].astype(str)}, facts),
        (arrays | {bias: arrays[bias][:1]}, facts),
        (arrays | {first: arrays[first].T[:-1]}, facts),
        ({key: array for key, array in arrays.items() if key != bias}, facts),
        (arrays | {"parameters/more": np.zeros(3)}, facts),
        (arrays, facts | {"parameters": [1, 2]}),
        (arrays, facts | {"parameters": facts["parameters"] | {"colour": 3}}),
        (arrays, facts | {"parameters": facts["parameters"] | {"batch_size": -1}}),
        (
            arrays,
            facts | {"parameters": facts["parameters"] | {"random_state": {"Generator": {"bit_generator": "exit"}}}},
        ),
        (arrays, facts | {"n_features": 7}),
        (arrays, facts | {"n_features": "many"}),
        (arrays, {key: value for key, value in facts.items() if key != "n_features"}),
        (arrays, {key: value for key, value in facts.items() if key != "parameters"}),
    ]
    size = {"n_hidden", "hidden_sizes"} & facts["parameters"].keys()
    spoilt += [(arrays, facts | {"parameters": facts["parameters"] | {key: 999 if key == "n_hidden" else [999, 9]}})
               for key in size]  # fmt: skip
    if name in CLASSIFIERS:
        spoilt += [(arrays | {"classes": classes}, facts) for classes in (np.arange(2), np.eye(3), np.zeros(3, int))]
    for wrong, said in spoilt:
        save(file, wrong, said)
        with pytest.raises(ValueError, match="model.npz: expected|model.npz: .*expected"):
            load_model(file, type(model))


@pytest.mark.parametrize("change", [
    lambda model: model.set_params(hidden_sizes=(7,)), lambda model: model.set_params(learning_rate=-1.0),
    lambda model: model.parameters_["b1"].fill(np.nan),
])  # fmt: skip
def test_nothing_is_saved_that_could_not_be_read_again(data, tmp_path, change):
    model = clone(MODELS["MLP"]).fit(*data)
    change(model)
    with pytest.raises(ValueError):
        save_model(tmp_path / "model.npz", model)
    assert not list(tmp_path.iterdir())


def test_a_file_promises_nothing_that_is_allocated(data, tmp_path):
    """A petabyte of hidden units, said the header; what counts is what is there."""
    model, file = clone(MODELS["MLP"]).fit(*data), tmp_path / "model.npz"
    save_model(file, model)
    arrays, facts = load(file)
    save(file, arrays, facts | {"parameters": facts["parameters"] | {"hidden_sizes": [10**12]}})
    with pytest.raises(ValueError, match="expected arrays of the shapes"):
        load_model(file, MLP)


def test_what_lends_its_arrays_is_described_by_its_shapes(data):
    for model in VARIANTS.values():
        model = clone(model).fit(*data)
        shapes = model._shapes(25, 3, host(model.parameters_))
        assert shapes == {name: array.shape for name, array in model.parameters_.items()}
        assert all(to_device(array).flags.c_contiguous for array in model.parameters_.values())


# ------------------------------------------------------------------------------------------- in passes, and by weights


@every_variant
@pytest.mark.parametrize("way", ["same", "pickle", "deepcopy"])
def test_passes_go_on_where_they_were(data, name, way):
    """As many passes over the same data as `fit` makes, with the same random numbers, are that fit."""
    X, y = data
    model, options = clone(VARIANTS[name]), {}
    whole = clone(model).fit(X, y)
    if hasattr(model, "pretrain"):
        model.pretrain(X)
    if hasattr(model, "predict"):
        options["classes"] = [0, 1, 2]
    for _ in range(model.n_epochs):
        model.partial_fit(X, y, **options)
        if way != "same":
            model = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    assert_same(host(model.parameters_), host(whole.parameters_))


def test_passes_after_another_pretraining_begin_with_that(data):
    (X, y), classes = data, [0, 1, 2]
    dbn = clone(MODELS["DBN"]).pretrain(X).partial_fit(X, y, classes).pretrain(1 - X)
    expected = clone(MODELS["DBN"]).pretrain(1 - X).partial_fit(X, y, classes)
    assert_same(host(dbn.partial_fit(X, y, classes).parameters_), host(expected.parameters_))
    before = host(dbn.parameters_)
    fine = UpDown(dbn, **QUICK).fit(X).network_
    expected = host(DBN.from_parameters(fine.parameters_, **STACK).partial_fit(X, y, classes).parameters_)
    assert_same(host(fine.partial_fit(X, y, classes).parameters_), expected)
    assert_same(host(dbn.parameters_), before)


@every_model
def test_passes_take_what_comes(data, name):
    X, y = data
    model, options = clone(MODELS[name]), {"classes": [0, 1, 2]} if name in CLASSIFIERS else {}
    model.partial_fit(X[:30], y[:30], **options).partial_fit(X[30:41], y[30:41])
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, 1:], y)
    before = host(model.parameters_)
    fitted = clone(model).fit(X, y)
    went_on = copy.deepcopy(fitted).partial_fit(X, y)
    first = next(iter(before))
    assert not np.array_equal(host(went_on.parameters_)[first], host(fitted.parameters_)[first])
    if name in CLASSIFIERS:
        with pytest.raises(ValueError, match="classes must be passed on the first call"):
            clone(model).partial_fit(X, y)
        with pytest.raises(ValueError, match=r"expected the classes \[0, 1, 2\]"):
            model.partial_fit(X, y, classes=[0, 1])
        with pytest.raises(ValueError, match="7 is none of the classes"):
            model.partial_fit(X, np.full(60, 7))


@every_classifier
def test_a_weight_holds_from_pass_to_pass(data, name):
    """Rows with a weight of 3 in a pass of their own count three times what they count without."""
    X, y = data
    model = clone(MODELS[name]).set_params(learning_rate=0.01)
    if "optimizer" in model.get_params():
        model.set_params(optimizer="sgd")  # Adam's steps are of one size
    model.fit(X, y)
    before, moved, of_one = host(model.parameters_), {}, np.flatnonzero(y == y[0])[:2]
    for weight in (1, 3):
        went_on = copy.deepcopy(model).set_params(class_weight={y[0]: weight}).partial_fit(X[of_one], y[of_one])
        moved[weight] = {key: array - before[key] for key, array in host(went_on.parameters_).items()}
    for key in [key for key in before if key.startswith("b") and moved[1][key].any()]:
        np.testing.assert_allclose(moved[3][key], 3 * moved[1][key], rtol=0.01, atol=1e-6)
    kinds = np.unique(y)
    some = {kinds[0]: 2.0, kinds[1]: 5.0}  # the others weigh 1, whatever a pass has of them
    rows = y != kinds[1]
    model.set_params(class_weight=some).partial_fit(X[rows], y[rows])
    with pytest.raises(ValueError, match="class_weight is 'balanced'"):
        model.set_params(class_weight="balanced").partial_fit(X, y)


def test_a_pass_that_diverges_leaves_what_was_there(data):
    X, y = data
    model = MLP(hidden_sizes=(5,), activation="relu", batch_size=10, random_state=0).partial_fit(X, y, [0, 1, 2])
    before = host(model.parameters_)
    model.set_params(learning_rate=1e8)
    with pytest.raises(training.Divergence):
        for _ in range(5):
            before = host(model.parameters_)
            model.partial_fit(X, y)
    assert_same(host(model.parameters_), before)
    assert np.isfinite(model.set_params(learning_rate=0.1).partial_fit(X, y).predict_proba(X)).all()


@pytest.mark.parametrize("name", ["MLP", "DBN", "RBM"])
def test_a_first_pass_that_diverges_leaves_nothing(data, name):
    X, y = data
    model, classes = clone(MODELS[name]).set_params(learning_rate=1e38, batch_size=10), {"classes": [0, 1, 2]}
    if name == "MLP":
        model.set_params(activation="relu")
    if name == "DBN":
        model.pretrain(X)
    before = vars(model).copy()
    with pytest.raises(training.Divergence):
        model.partial_fit(X, y, **classes if name in CLASSIFIERS else {})
    assert vars(model).keys() == before.keys() and all(vars(model)[key] is value for key, value in before.items())


@every_model
def test_a_warm_start_begins_where_the_last_fit_ended(data, name):
    X, y = data
    model = clone(MODELS[name]).set_params(warm_start=True, learning_rate=0.01).fit(X, y)
    end = host(model.parameters_)
    assert_same(host(copy.deepcopy(model).set_params(n_epochs=0).fit(X, y).parameters_), end)
    lent = model.parameters_
    again = model.fit(X, y)
    assert_same(host(lent), end)
    assert any(not np.array_equal(host(again.parameters_)[key], end[key]) for key in end)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, 1:], y)
    size = next(key for key in ("hidden_sizes", "n_hidden", "") if key in model.get_params() or not key)
    if size:
        model.set_params(**{size: (7, 5) if size == "hidden_sizes" else 7})
        for learn in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match="expected parameters of the shapes"):
                learn(X, y)


@every_classifier
def test_a_weight_is_a_number_of_copies(data, name):
    """In one minibatch of everything, since a pass in several shuffles the copies apart."""
    X, y = data
    model = clone(MODELS[name]).set_params(batch_size=1000, n_epochs=3)
    for rate in ("dropout", "conv_dropout"):
        if rate in model.get_params():
            model.set_params(**{rate: 0.0})
    if hasattr(model, "pretrain"):
        model.pretrain(X)
    copies = np.random.default_rng(0).integers(0, 4, 60)
    weighted = copy.deepcopy(model).fit(X, y, sample_weight=copies)
    repeated = copy.deepcopy(model).fit(np.repeat(X, copies, axis=0), np.repeat(y, copies))
    plain = copy.deepcopy(model).fit(X, y)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-5)
    assert np.abs(weighted.predict_proba(X) - plain.predict_proba(X)).max() > 2e-4
    some = y != 0
    balanced = copy.deepcopy(model).set_params(class_weight="balanced").fit(X, y)
    by_hand = copy.deepcopy(model).fit(X, y, sample_weight=(60 / (3 * np.bincount(y)))[y])
    assert_same(host(balanced.parameters_), host(by_hand.parameters_))
    balanced = copy.deepcopy(model).set_params(class_weight="balanced")
    weighted = copy.deepcopy(balanced).fit(X, y, sample_weight=copies)
    repeated = copy.deepcopy(balanced).fit(np.repeat(X, copies, axis=0), np.repeat(y, copies))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-5)
    without = copy.deepcopy(model).set_params(class_weight={0: 0.0}).fit(X, y)
    assert without.classes_.tolist() == [0, 1, 2] and (without.predict(X[some]) != 0).all()
    for wrong in (np.ones(5), -np.ones(60), np.zeros(60), np.full(60, np.nan)):
        with pytest.raises(ValueError):
            copy.deepcopy(model).fit(X, y, sample_weight=wrong)


def test_the_gradient_of_a_weighted_loss_is_that_of_its_differences():
    rng = np.random.default_rng(0)
    scores, targets, weights = rng.normal(size=(7, 4)), rng.integers(0, 4, 7), 3 * rng.random(7)
    loss = SoftmaxCrossEntropy()

    def at(moved):
        return float(loss.forward(to_device(moved.copy()), to_device(targets), to_device(weights)))

    at(scores)
    gradient, step = to_numpy(loss.backward()).copy(), 1e-6
    for i, j in np.ndindex(scores.shape):
        move = np.zeros_like(scores)
        move[i, j] = step
        assert abs((at(scores + move) - at(scores - move)) / (2 * step) - gradient[i, j]) < 1e-8


@pytest.mark.parametrize("random_state", [0, "a generator"])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(batch_size=10, averaging=0.9, random_state=0),
        MLP(hidden_sizes=(5,), batch_size=10, optimizer="adam", random_state=0),
        RBM(n_hidden=5, batch_size=10, momentum=0.5, random_state=0),
        DenoisingAutoencoder(n_hidden=5, batch_size=10, averaging=0.9, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_copy_goes_on_as_the_model_itself(tmp_path, model, random_state):
    """Joblib writes every array by itself: what training moves and what the model answers with would be two."""
    rng = generator(0)
    X, y = rng.random((40, 6), np.float32), np.arange(40) % 2
    given = {"y": y, "classes": [0, 1]} if hasattr(model, "predict") else {}
    model = clone(model).set_params(random_state=random_state if random_state == 0 else rng).partial_fit(X, **given)
    joblib.dump(model, tmp_path / "model")
    copies = joblib.load(tmp_path / "model", mmap_mode="r"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    before = host(model.parameters_)
    model.partial_fit(X, **given)
    for each in copies:
        assert_same(each.partial_fit(X, **given).parameters_, model.parameters_)
        assert all((array != before[name]).any() for name, array in host(each.parameters_).items())


@pytest.mark.parametrize("validation", [(1,), (1, 2, 3), 0.1, {"X": 1}], ids=str)
def test_validation_is_a_pair(validation):
    X, y = generator(0).random((10, 4), np.float32), np.arange(10) % 2
    with pytest.raises(ValueError, match=r"validation: expected a pair \(X, y\)"):
        LogisticRegression().fit(X, y, validation=validation)
    with pytest.raises(ValueError, match=r"validation: expected a pair \(X, y\)"):
        Tagger().fit([["a", "b"]], [["O", "B-x"]], validation=validation)


@pytest.mark.parametrize("model", [RBM(n_hidden=4, random_state=0), DenoisingAutoencoder(n_hidden=4, random_state=0)])
def test_arrays_in_another_order_are_the_same_model(tmp_path, model):
    """As many visible as hidden units: biases in the order of a file would be taken for each other."""
    X = generator(0).random((30, 4), np.float32)
    model.set_params(n_epochs=1).fit(X)
    save_model(tmp_path / "model.npz", model)
    with zipfile.ZipFile(tmp_path / "model.npz") as archive, zipfile.ZipFile(tmp_path / "other.npz", "w") as other:
        for name in sorted(archive.namelist(), reverse=True):
            other.writestr(name, archive.read(name))
    one, two = (load_model(tmp_path / f"{name}.npz", type(model)).partial_fit(X) for name in ("model", "other"))
    assert_same(one.parameters_, two.parameters_)


def test_rows_are_compared_with_as_many():
    X = generator(0).random((6, 4), np.float32)
    model = DenoisingAutoencoder(n_hidden=3, n_epochs=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="corrupted: expected as many rows as X has, 6, found 1"):
        model.reconstruction_error(X, X[:1])
    rbm = RBM(n_hidden=3, n_epochs=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="expected as many rows of h as of v, found 1 and 6"):
        rbm.energy(X, np.ones((1, 3)))
    with pytest.raises(ValueError, match="v: expected real numbers"):
        rbm.free_energy(X.astype(complex))


@pytest.mark.parametrize("of_words", [False, True])
def test_words_are_no_numbers_however_many_classes_there_are(of_words):
    """With many, NumPy compared 10 with "10", which comes before "2"."""
    y = np.arange(94) % 47
    images, others = np.eye(47, dtype=np.float32)[y], y.astype(str)
    if of_words:
        y, others = others, y
    model = LogisticRegression(n_epochs=3, random_state=0).fit(images, y)
    dbn = DBN(hidden_sizes=(5,), pretraining={"n_epochs": 1}, random_state=0).pretrain(images, y)
    for ask in (
        lambda: model.errors(images, others),
        lambda: clone(model).fit(images, y, validation=(images, others)),
        lambda: clone(model).partial_fit(images, others, classes=np.unique(y)),
        lambda: dbn.with_label(np.zeros((1, 47), np.float32), others[10]),
    ):
        with pytest.raises(ValueError, match="is none of the classes"):
            ask()
    with pytest.raises(ValueError, match="pretrained with the labels"):
        dbn.fit(images, others)


def test_a_network_that_answers_no_numbers_answers_nothing(data):
    """Weights that are finite may be too large for the next layer; the first class is no answer then."""
    X, y = data
    model = MLP(hidden_sizes=(5, 5), activation="relu", **QUICK).fit(X, y)
    for name in ("W1", "W2", "W3"):
        model.parameters_[name][...] = 1e20
    for ask in (model.predict, model.predict_proba, lambda X: model.errors(X, y)):
        with pytest.raises(training.Divergence, match="scores are not finite"):
            ask(X)
    with pytest.raises(training.Divergence, match="scores are not finite"):  # after an update whose loss still was
        clone(model).set_params(learning_rate=1e30, n_epochs=1, batch_size=60).fit(X, y, validation=(X, y))


def test_classes_of_partial_fit_are_labels_such_as_fit_takes(data):
    X, y = data
    with pytest.raises(ValueError, match="[Uu]nknown label type"):
        LogisticRegression(n_epochs=1).partial_fit(X, 5 * y, classes=np.array([0, 5, 10], object))


@pytest.mark.parametrize("spoil", [
    lambda arrays, facts: arrays.update({key: array.astype(str) for key, array in arrays.items() if "best/" in key}),
    lambda arrays, facts: facts["history"].update(updates=None),
    lambda arrays, facts: facts.update(generator={"a": 1}),
    lambda arrays, facts: facts["generator"]["state"].update(state=2**200),
    lambda arrays, facts: facts["history"].update(cpu_seconds=None),
    lambda arrays, facts: facts["history"].update(epoch="two"),
    lambda arrays, facts: facts.update(update=float("inf")),
])  # fmt: skip
def test_a_checkpoint_that_was_altered_inside_is_none(data, tmp_path, spoil):
    file, model = tmp_path / "run.npz", LogisticRegression(**QUICK)
    clone(model).fit(*data, checkpoint=file)
    arrays, facts = load(file)
    spoil(arrays, facts)
    save(file, arrays, facts)
    with pytest.raises(ValueError, match="run.npz is no checkpoint of a training"):
        clone(model).fit(*data, checkpoint=file)


def test_words_that_look_like_numbers_weigh_what_is_given_to_them(data):
    """scikit-learn's function looks for the number, as which OpenML's digits would weigh."""
    X, y = data
    heavy = LogisticRegression(**QUICK, class_weight={0: 5.0, 1: 1.0, 2: 1.0}).fit(X, y)
    words = LogisticRegression(**QUICK, class_weight={"0": 5.0, "1": 1.0, "2": 1.0}).fit(X, y.astype(str))
    assert_same(host(heavy.parameters_), host(words.parameters_))
    with pytest.raises(ValueError, match="class_weight: expected weights of the classes"):
        LogisticRegression(**QUICK, class_weight={0: 5.0}).fit(X, y.astype(str))


def test_chains_of_a_copy_go_on_as_those_of_the_model(data):
    model = RBM(n_hidden=5, persistent=True, batch_size=10, random_state=0).partial_fit(data[0])
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        went_on = copy.deepcopy(model).partial_fit(data[0])
        again.partial_fit(data[0])
        np.testing.assert_array_equal(to_numpy(again.chains_), to_numpy(went_on.chains_))
        assert (to_numpy(again.chains_) != to_numpy(model.chains_)).any()


def test_labels_with_and_without_a_sign_are_the_same_numbers(data):
    """As float64, as NumPy compares them, neighbours above 2 ** 53 are one."""
    X, y = data
    large = 2**60 + y
    model = LogisticRegression(**QUICK).fit(X, large)
    assert model.errors(X, large.astype(np.uint64)) == model.errors(X, large) < 0.6
    with pytest.raises(ValueError, match="none of the classes"):
        LogisticRegression(**QUICK).fit(X, y.astype(np.uint64)).errors(X, -1 - y)


def test_labels_that_are_dates_are_refused(data):
    dates = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")[data[1]]
    with pytest.raises(ValueError, match="labels: expected numbers, or words as str or object, found datetime64"):
        LogisticRegression(**QUICK).fit(data[0], dates)


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="this NumPy has no words of any length")
def test_words_that_scikit_learn_does_not_know_are_refused(data):
    with pytest.raises(ValueError, match="words as str or object, found StringDType"):
        LogisticRegression(**QUICK).fit(data[0], np.array(["a", "bb", "c"], np.dtypes.StringDType())[data[1]])


@pytest.mark.parametrize("ask", [
    lambda: LogisticRegression().W_,
    lambda: LogisticRegression().b_,
    lambda: DBN().with_label(np.zeros((1, 3))),
    lambda: RNNRBM().silence(),
    lambda: RNNRBM().follow(np.zeros(3), np.zeros(5)),
    lambda: RNNRBM().draw(np.zeros(3), 0),
])  # fmt: skip
def test_what_is_not_fitted_says_so(ask):
    with pytest.raises(NotFittedError):
        ask()


ROLLS = [np.eye(6)[np.arange(start, start + 12) % 6] for start in range(4)]
SENTENCES = [["fly", "to", "rome"], ["to", "rome"]] * 3, [["O", "O", "B-to"], ["O", "B-to"]] * 3
SMALL = {"hidden_sizes": (5, 4), "pretraining": {"n_epochs": 1}, "random_state": 0}


@pytest.mark.parametrize("fit", [
    lambda X, d: RNNRBM(n_hidden=4, n_recurrent=3, n_epochs=3, k=1, random_state=0, averaging=d).fit(ROLLS),
    lambda X, d: DenoisingAutoencoder(n_hidden=4, n_epochs=3, random_state=0, averaging=d).fit(X),
    lambda X, d: Tagger(n_hidden=4, embedding=3, window=3, n_epochs=3, random_state=0, averaging=d).fit(*SENTENCES),
    lambda X, d: UpDown(DBN(**SMALL).pretrain(X), n_epochs=3, random_state=0, averaging=d).fit(X),
], ids=["RNNRBM", "DenoisingAutoencoder", "Tagger", "UpDown"])  # fmt: skip
def test_what_is_kept_is_an_average_if_that_is_asked_for(data, fit):
    kept, last = (fit(data[0], averaging).parameters_ for averaging in (0.9, 0.0))
    assert any((to_numpy(kept[name]) != to_numpy(last[name])).any() for name in kept)


def test_a_checkpoint_knows_weights_and_images_without_labels(data, tmp_path):
    (X, y), file = data, tmp_path / "run.npz"
    model = MLP(hidden_sizes=(3,), virtual_adversarial=0.1, **QUICK)
    given = {"sample_weight": 1 + y, "unlabelled": X}
    model.fit(X, y, checkpoint=file, **given)
    for other in ({"sample_weight": 3 - y}, {"unlabelled": 1 - X}):
        with pytest.raises(ValueError, match="it learned from other data"):
            model.fit(X, y, checkpoint=file, **given | other)


def test_weights_of_more_classes_than_there_are_and_a_class_that_weighs_nothing(data):
    X, y = data
    plain = LogisticRegression(**QUICK).fit(X, y)
    more = LogisticRegression(**QUICK, class_weight={0: 1.0, 1: 1.0, 2: 1.0, 3: 9.0}).fit(X, y)
    assert_same(host(more.parameters_), host(plain.parameters_))
    balanced = LogisticRegression(**QUICK, class_weight="balanced").fit(X, y, sample_weight=(y > 0).astype(float))
    assert (balanced.predict(X) > 0).all()


def test_a_missing_label_of_pandas_is_named(data):
    words = np.array(["a", "b"] * 30, object)
    words[5] = pd.NA
    with pytest.raises(ValueError, match="labels: expected one for each image, found <NA> for image 5"):
        LogisticRegression().fit(data[0], words)


def test_whether_progress_is_shown_changes_nothing_that_is_learned(data):
    X = data[0]
    quiet = RBM(n_hidden=6, momentum=0.5, **QUICK).fit(X)
    ends = [copy.deepcopy(quiet).partial_fit(X).set_params(verbose=shown).partial_fit(X) for shown in (False, True)]
    assert_same(*(host(end.parameters_) for end in ends))


def test_momenta_begin_anew_after_a_pass_that_diverged(data):
    X, y = data
    model = MLP(hidden_sizes=(3,), activation="identity", momentum=0.5, **QUICK).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(training.Divergence), pytest.warns(UserWarning, match="scale them"):
        model.partial_fit(1e16 * X, y)
    assert np.isfinite(model.partial_fit(X, y).predict_proba(X)).all()


def test_a_pass_needs_no_epochs(data):
    LogisticRegression(n_epochs=0).partial_fit(*data, classes=[0, 1, 2])


@pytest.mark.parametrize("labels", [["a", "b", float("nan"), "a"], ["a", "b", 5, "a"], ["a", None, "b", "a"]])
@pytest.mark.parametrize("given", [list, tuple, lambda labels: np.array(labels, object)])
def test_what_is_no_word_among_words_is_refused(labels, given):
    """NumPy makes words of it: three classes, "nan" or "5" among them."""
    X = np.eye(4)
    with pytest.raises(ValueError, match="labels: expected"):
        LogisticRegression(n_epochs=1).fit(X, given(labels))
    with pytest.raises(ValueError, match="classes: expected"):
        LogisticRegression().partial_fit(X, ["a", "b", "a", "b"], classes=given(labels))
    assert LogisticRegression(n_epochs=1).fit(X, given(["a", "b", "c", "a"])).classes_.tolist() == ["a", "b", "c"]


def test_a_list_of_masked_rows_is_refused():
    images = np.random.default_rng(0).random((9, 4))
    rows = list(np.ma.array(images[:5], mask=images[:5] > 0.5))
    for take in (RBM(n_hidden=2, n_epochs=1).fit, RBM(n_hidden=2).fit(images).free_energy):
        with pytest.raises(ValueError, match="expected an array without a mask"):
            take(rows)


def test_a_checkpoint_of_before_an_option_was_there_goes_on(tmp_path, data):
    """As if it had been there with its default; with another value the training is another."""
    model, path = MODELS["LeNet"], tmp_path / "run.npz"
    whole = clone(model).fit(*data, checkpoint=path)
    arrays_there, facts = load(path)
    for name in ("n_convolutions", "gaussian_noise"):
        del facts["identity"][name]
    save(path, arrays_there, facts)
    with pytest.raises(ValueError, match="another training .*gaussian_noise was 0.0 and is 0.1"):
        clone(model).set_params(gaussian_noise=0.1).fit(*data, checkpoint=path)
    assert_same(host(clone(model).fit(*data, checkpoint=path).parameters_), host(whole.parameters_))


def test_dates_are_no_weights(data):
    weights = np.arange(len(data[1])).astype("m8[s]")
    with pytest.raises(ValueError, match="sample_weight: expected real numbers, found timedelta64"):
        LogisticRegression(**QUICK).fit(*data, sample_weight=weights)


def test_what_is_no_probability_is_not_said_to_be_one():
    """A machine that learned from other values than pixels takes them again, but no likelihood can be said of them."""
    X = np.random.default_rng(0).integers(0, 4, (40, 9)).astype(np.float32)
    pixels = (X > 1).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine = RBM(n_hidden=3, n_epochs=2, random_state=0).fit(X)
        network = DBN(hidden_sizes=(4, 3), pretraining={"n_epochs": 1}, random_state=0).pretrain(X)
        for ask in (
            lambda: log_likelihood(machine, X, exact_log_partition(machine)),
            lambda: network.bound(X, 0.0, random_state=0),
            lambda: UpDown(network, n_epochs=1).fit(X),
        ):
            with pytest.raises(ValueError, match="expect values from 0 to 1, found 0 to 3"):
                ask()
        assert np.isfinite(machine.score(X))
        assert np.isfinite(RBM(n_hidden=3).partial_fit(pixels).partial_fit(X).score(X))
        machine.set_params(warm_start=True).fit(pixels)
        with pytest.raises(ValueError, match="expect values from 0 to 1, found 0 to 3"):
            machine.score(X)


def test_dates_are_no_pixels():
    dates = np.array([["1970", "1971"], ["1971", "1970"]]).astype("M8[Y]")
    objects = np.empty((2, 2), object)
    objects[...] = [list(row) for row in dates]
    for X in (dates, dates - dates[0, 0], pd.DataFrame(dates.astype("M8[s]")), [list(row) for row in dates], objects):
        with pytest.raises(ValueError, match="X: expected real numbers, found (datetime|timedelta)64"):
            RBM(n_hidden=2, n_epochs=1).fit(X)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "int64"])
def test_tables_of_pandas_own_numbers_are_taken(dtype):
    X = (np.random.default_rng(0).random((9, 4)) > 0.5) * 1
    table, rbm = pd.DataFrame(X, columns=list("abcd")).astype(dtype), RBM(n_hidden=2, n_epochs=1, random_state=0)
    rbm.fit(table)
    np.testing.assert_allclose(to_numpy(rbm.free_energy(table)), to_numpy(rbm.free_energy(X)))
    assert log_likelihood(rbm, table, 0.0) == log_likelihood(rbm, X, 0.0)
    assert real_array("X", table.astype("float32")).dtype == np.float32


def test_the_end_of_a_schedule_is_said():
    """The rate is 0 from then on; before, nothing is said."""
    images = np.random.default_rng(0).random((9, 4))
    model = MLP(hidden_sizes=(3,), schedule="linear", n_epochs=2, random_state=0)
    with warnings.catch_warnings(action="error"):
        for _ in range(2):
            model.partial_fit(images, np.arange(len(images)) % 2, classes=[0, 1])
    with pytest.warns(UserWarning, match="schedule is 'linear', and has come to its end after .* is 0 from here on"):
        model.partial_fit(images, np.arange(len(images)) % 2)


def test_the_last_update_may_be_the_one_that_diverges():
    """The loss is from before it. The model is then as it was."""
    images = np.random.default_rng(0).random((9, 4))
    model = RBM(n_hidden=3, batch_size=len(images), learning_rate=0.1, random_state=0).partial_fit(images)
    before = {name: to_numpy(array).copy() for name, array in model.parameters_.items()}
    with pytest.raises(training.Divergence), np.errstate(all="ignore"):
        model.set_params(learning_rate=1e39).partial_fit(images)
    assert_same(before, model.parameters_)
    with pytest.raises(training.Divergence), np.errstate(all="ignore"):
        RBM(n_hidden=3, batch_size=len(images), learning_rate=1e39, n_epochs=1, random_state=0).fit(images)


def test_tables_of_other_libraries_are_arrays_where_they_say_so():
    """A type without a kind is none of pandas' numbers."""

    class Table:
        dtypes = ["Float64"]

        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3))

    assert real_array("X", Table()).shape == (2, 3)
