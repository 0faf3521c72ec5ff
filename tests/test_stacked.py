"""Stacked denoising autoencoders: what `companion.pretraining` and `companion.autoencoder` make together."""

import numpy as np
import pytest

from companion.autoencoder import DenoisingAutoencoder
from companion.backend import generator, to_numpy
from companion.data import load_mnist
from companion.stacked import StackedDenoisingAutoencoder
from companion.training import Divergence

QUICK = {"hidden_sizes": (12, 8), "pretraining": {"corruption_level": (0.1, 0.3), "learning_rate": 0.1, "n_epochs": 3},
         "n_epochs": 5}  # fmt: skip


@pytest.fixture
def problem(rng):
    return rng.random((200, 16), np.float32), rng.integers(2, size=200)


def test_each_layer_learns_to_restore_the_codes_below_with_a_corruption_of_its_own(problem):
    stack = StackedDenoisingAutoencoder(**QUICK, random_state=3).pretrain(problem[0])
    codes = problem[0]
    for rng, layer, level in zip(generator(3).spawn(2), stack.layers_, (0.1, 0.3)):
        by_hand = DenoisingAutoencoder(
            n_hidden=layer.n_hidden, **stack.PRETRAINING | QUICK["pretraining"] | {"corruption_level": level},
            random_state=rng,
        ).fit(codes)  # fmt: skip
        for name, array in by_hand.parameters_.items():
            np.testing.assert_allclose(to_numpy(layer.parameters_[name]), to_numpy(array), atol=1e-6)
        codes = by_hand.transform(codes)
    np.testing.assert_allclose(stack.transform(problem[0]), codes, atol=1e-6)


@pytest.mark.slow
def test_it_learns_digits_from_few_labels():
    train, valid, _ = load_mnist(False)
    few = train.images[:300], train.labels[:300]
    options = {"learning_rate": 0.1, "momentum": 0.9, "batch_size": 20, "n_epochs": 15, "random_state": 0}
    layers = {"corruption_level": 0.2, "learning_rate": 0.1, "batch_size": 20}
    errors = {}
    for n_epochs in (0, 5):
        stack = StackedDenoisingAutoencoder(
            hidden_sizes=(150, 150), pretraining=layers | {"n_epochs": n_epochs}, **options
        )
        errors[n_epochs] = stack.pretrain(train.images).fit(*few).errors(*valid)
    assert errors[5] < errors[0] - 0.01


def test_what_the_lower_layers_learned_outlives_a_divergence_above(rng):
    """As it outlives an interrupt; in a `fit` pretraining then begins again."""
    X = rng.random((40, 6))
    wild = {"loss": "squared", "activation": "identity", "learning_rate": (0.01, 1e8), "n_epochs": 20}
    stack = StackedDenoisingAutoencoder(hidden_sizes=(4, 3), pretraining=wild, n_epochs=1, random_state=0)
    with pytest.raises(Divergence):
        stack.pretrain(X)
    calm = wild | {"learning_rate": 0.01}
    one = StackedDenoisingAutoencoder(hidden_sizes=(4, 3), pretraining=calm, n_epochs=1, random_state=0).pretrain(X)
    np.testing.assert_array_equal(to_numpy(stack.parameters_["W1"]), to_numpy(one.parameters_["W1"]))
    assert "W2" not in stack.parameters_ and len(stack.pretraining_histories_) == 1
    stack.set_params(pretraining=calm).fit(X, rng.integers(0, 2, 40))
    assert len(stack.pretraining_histories_) == 2

    again = StackedDenoisingAutoencoder(hidden_sizes=(4, 3), pretraining=wild, n_epochs=1, random_state=0)
    y = rng.integers(0, 2, 40)
    with pytest.raises(Divergence):
        again.fit(X, y)
    again.set_params(pretraining=calm).fit(X, y)
    fresh = StackedDenoisingAutoencoder(hidden_sizes=(4, 3), pretraining=calm, n_epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fresh.predict_proba(X))
