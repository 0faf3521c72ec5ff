"""A training that was interrupted and goes on from its checkpoint ends with the bits of an unbroken one: every model.

Momenta, running averages, chains, the average of the parameters, the schedule, the patience and all noise must go on
where they were.
"""

import numpy as np
import pytest
from helpers import assert_same
from sklearn.base import clone, is_classifier

from companion.autoencoder import DenoisingAutoencoder
from companion.backend import generator, to_numpy
from companion.dbn import DBN
from companion.flights import load_flights
from companion.lenet import LeNet
from companion.logistic import LogisticRegression
from companion.mlp import MLP
from companion.music import ToyComposer, roll
from companion.optimize import Descent
from companion.rbm import RBM
from companion.rnnrbm import RNNRBM
from companion.stacked import StackedDenoisingAutoencoder
from companion.tagger import Tagger

QUICK = {"n_epochs": 5, "batch_size": 15, "random_state": 1}
NOISY = QUICK | {"momentum": 0.5, "l2": 1e-4, "schedule": "linear", "dropout": 0.2, "averaging": 0.9}
ADAM = {"optimizer": "adam", "learning_rate": 1e-3, "momentum": 0.0, "averaging": 0.0}
DEEP = {"hidden_sizes": (6, 5), "activation": "relu", "batch_norm": True, "gaussian_noise": 0.2, "warmup": 5}
CONVOLUTIONS = {
    "n_filters": (2, 3),
    "filter_size": 2,
    "n_hidden": 5,
    "warmup": 0,
    "conv_dropout": 0.1,
    "gaussian_noise": 0.1,
}
LAYER = {"n_epochs": 4, "batch_size": 15}
STACK = QUICK | {"hidden_sizes": (6, 5), "pretraining": LAYER, "averaging": 0.9}
WORDS = QUICK | {"n_hidden": 6, "embedding": 4}
NOTES = {"n_hidden": 6, "n_recurrent": 5, "n_epochs": 5, "batch_size": 2, "k": 2, "random_state": 0}
MODELS = {
    "softmax": LogisticRegression(**QUICK),
    "softmax, noise and average": LogisticRegression(dropout=0.3, averaging=0.9, **QUICK),
    "MLP": MLP(**NOISY | DEEP),
    "MLP, Adam": MLP(**NOISY | DEEP | ADAM),
    "LeNet": LeNet(**NOISY | CONVOLUTIONS),
    "LeNet, Adam": LeNet(batch_norm=True, **NOISY | CONVOLUTIONS | ADAM),
    "autoencoder": DenoisingAutoencoder(
        n_hidden=5, momentum=0.7, schedule="linear", weight_decay=1e-3, averaging=0.9, corruption="salt_and_pepper",
        **QUICK,
    ),
    "stacked autoencoder": StackedDenoisingAutoencoder(**STACK),
    "CD": RBM(n_hidden=5, **QUICK),
    "PCD": RBM(n_hidden=5, persistent=True, **QUICK),
    "centered": RBM(n_hidden=5, centered=True, **QUICK),
    "sparsity": RBM(n_hidden=5, sparsity_target=0.3, sparsity_cost=0.5, **QUICK),
    "Gaussian": RBM(n_hidden=5, visible="gaussian", learning_rate=0.05, **QUICK),
    "RBM, everything": RBM(
        n_hidden=5, k=2, persistent=True, centered=True, binarize=True, momentum=0.7, weight_decay=0.1, averaging=0.9,
        schedule="linear", **QUICK,
    ),
    "DBN": DBN(**STACK),
    "DBN, batch normalisation": DBN(batch_norm=True, dropout=0.2, **STACK),
    "Elman": Tagger(cell="elman", **WORDS),
    "LSTM": Tagger(cell="lstm", bidirectional=True, word_dropout=0.1, averaging=0.9, **WORDS),
    "RNN-RBM": RNNRBM(**NOTES),
    "RNN-RBM, everything": RNNRBM(
        persistent=True, dropout=0.3, transpose=2, averaging=0.9, weight_decay=1e-3,
        pretraining={"n_epochs": 3, "batch_size": 40}, **NOTES,
    ),
}  # fmt: skip
# Their interrupts may come before they are whole.
PRETRAINED = ("stacked autoencoder", "DBN", "DBN, batch normalisation", "RNN-RBM, everything")


@pytest.fixture(scope="module")
def data():
    """What each kind of model learns from, and a validation set or None."""
    rng, flights = generator(5), load_flights((40, 20, 2))
    X, y = rng.random((60, 25), np.float32), rng.integers(3, size=60)
    return {
        Tagger: (flights.train.sentences, flights.train.tags, flights.valid),
        RNNRBM: ([roll(ToyComposer().compose(12, rng)) for _ in range(6)], None, None),
        "classifier": (X, y, (X[::3], y[::3])),
        "layer": (X, None, None),
    }


def the_data(data, model):
    return data.get(type(model)) or data["classifier" if is_classifier(model) else "layer"]


def fit(model, data, validated, **more):
    X, y, validation = the_data(data, model)
    if validated:
        more["validation"] = validation
    return clone(model).fit(X, y, **more)


def facts(model):
    """What a training leaves, but for the time that it took."""
    histories = [*getattr(model, "pretraining_histories_", []), model.history_]
    chains = {"chains": model.chains_} if hasattr(model, "chains_") else {}
    arrays = {name: to_numpy(array) for name, array in (model.parameters_ | chains).items()}
    return [vars(history) | {"wall_seconds": 0, "cpu_seconds": 0} for history in histories], arrays


VALIDATED = [(name, True) for name, model in MODELS.items() if is_classifier(model) or isinstance(model, Tagger)]


@pytest.mark.parametrize("at", [0.25, 0.6, 0.9])
@pytest.mark.parametrize("name, validated", [(name, False) for name in MODELS] + VALIDATED)
def test_a_resumed_training_is_an_unbroken_one(name, validated, at, data, tmp_path, every_epoch, monkeypatch, capsys):
    """Interrupted in the middle of an epoch after this part of all updates, of pretraining and all, and resumed."""
    model, update, updates = MODELS[name], Descent.update, 0

    def counted(self, *arguments, **options):
        nonlocal updates
        updates += 1
        update(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Descent, "update", counted)
        whole = fit(model, data, validated)

    left = int(at * updates)

    def interrupted(self, *arguments, **options):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        update(self, *arguments, **options)

    checkpoint = tmp_path / "rate0.1"
    with monkeypatch.context() as patch:
        patch.setattr(Descent, "update", interrupted)
        try:
            stopped = fit(model, data, validated, checkpoint=checkpoint)
        except KeyboardInterrupt:
            assert name in PRETRAINED
        else:
            assert stopped.history_.stopped == "interrupt"
    assert "Interrupted" in capsys.readouterr().out
    files = [path.name for path in tmp_path.iterdir()]
    assert files and all(file.startswith("rate0.1") for file in files), "names are appended to, whatever dots they have"

    resumed = fit(model, data, validated, checkpoint=checkpoint)
    (histories, arrays), (expected_histories, expected_arrays) = facts(resumed), facts(whole)
    assert histories == expected_histories
    assert_same(arrays, expected_arrays)
    with pytest.raises(ValueError, match="another training .*n_epochs was 5 and is 6"):
        fit(clone(model).set_params(n_epochs=6), data, validated, checkpoint=checkpoint)
