"""The denoising autoencoder: its gradient, its corruption, principal components without bends, and what it restores."""

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers import arrays
from scipy.linalg import subspace_angles
from sklearn.exceptions import NotFittedError

from companion.autoencoder import DenoisingAutoencoder, ReconstructionGradient
from companion.backend import to_device, to_numpy
from companion.data import load_mnist

KINDS = [("cross_entropy", "logistic"), ("squared", "logistic"), ("squared", "identity")]


@pytest.fixture
def images(rng):
    """Two hundred images of 4 × 4: bars, upright or lying, on a dark ground."""
    images = rng.uniform(0, 0.1, (200, 4, 4)).astype(np.float32)
    for image, lying, place in zip(images, rng.integers(2, size=200), rng.integers(4, size=200)):
        image[(place, slice(None)) if lying else (slice(None), place)] += 0.9
    return images.reshape(200, 16)


# ------------------------------------------------------------------------------------------------- the gradient


@pytest.mark.parametrize("loss, activation", KINDS)
def test_gradient_agrees_with_central_differences(rng, central_differences, loss, activation):
    parameters = [to_device(rng.normal(scale=0.5, size=size)) for size in ((7, 9), 7, 9)]
    model = DenoisingAutoencoder.from_parameters(*parameters, loss=loss, activation=activation)
    clean, seen = to_device(rng.random((5, 7))), to_device(rng.random((5, 7)))
    estimate = ReconstructionGradient(model)
    for rows in (5, 3):  # a shorter minibatch after a longer one
        value = float(estimate(seen[:rows], clean[:rows]))

        def mean_loss(rows=rows):
            return float(model._losses(clean[:rows], model._before_decoding(model.encode(seen[:rows]))).mean())

        assert np.isclose(value, mean_loss())
        for array, gradient in zip(model.parameters_.values(), estimate.gradients):
            numeric = central_differences(mean_loss, array)
            np.testing.assert_allclose(to_numpy(gradient), numeric, rtol=1e-6, atol=1e-8)


def test_cross_entropy_is_the_textbook_formula_and_safe_far_out(rng):
    x = rng.random((4, 6))
    model = DenoisingAutoencoder.from_parameters(rng.normal(size=(6, 3)), rng.normal(size=6), rng.normal(size=3))
    z = to_numpy(model.reconstruct(x))
    formula = -(x * np.log(z) + (1 - x) * np.log(1 - z)).sum(axis=1)
    np.testing.assert_allclose(model.reconstruction_error(x), formula)
    assert np.isclose(model.score(x), -formula.mean())
    sure = DenoisingAutoencoder.from_parameters(np.zeros((2, 1)), [5000.0, -5000.0], [0.0])
    np.testing.assert_allclose(sure.reconstruction_error([[1.0, 0.0], [1.0, 1.0]]), [0, 5000])


def test_one_epoch_of_one_minibatch_is_one_step_of_gradient_descent(images):
    options = {"n_hidden": 5, "corruption_level": 0.0, "batch_size": 200, "learning_rate": 0.1, "random_state": 0}
    start = DenoisingAutoencoder(**options, n_epochs=0).fit(images)
    estimate = ReconstructionGradient(start)
    estimate(to_device(images), to_device(images))
    moved = DenoisingAutoencoder(**options, n_epochs=1, weight_decay=0.01).fit(images)
    decay = 0.01 * to_numpy(start.parameters_["W"])
    for (name, before), gradient in zip(arrays(start).items(), estimate.gradients):
        expected = before - 0.1 * (to_numpy(gradient) + (decay if name == "W" else 0))
        np.testing.assert_allclose(to_numpy(moved.parameters_[name]), expected, atol=1e-6)


# ------------------------------------------------------------------------------------------------- corruption


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", ["masking", "salt_and_pepper"])
def test_corruption_spoils_that_fraction_and_nothing_else(rng, kind, level):
    x = to_device(rng.uniform(0.2, 0.8, (300, 400)).astype(np.float32))
    model = DenoisingAutoencoder(corruption=kind, corruption_level=level)
    spoilt = model.corrupt(x, random_state=3)
    assert spoilt is not x and spoilt.dtype == x.dtype
    assert model.corrupt(np.ones((2, 3), int)).dtype == x.dtype, "grey levels from 0 to 1 may come as integers"
    x, spoilt, again, other = (to_numpy(a) for a in (x, spoilt, model.corrupt(x, 3), model.corrupt(x, 4)))
    np.testing.assert_array_equal(again, spoilt)
    assert level in (0, 1) or (other != spoilt).any()
    changed = spoilt != x
    assert abs(changed.mean() - level) < 5 * np.sqrt(level * (1 - level) / x.size) + 1e-12
    share_of_ones = 0.5 * level if kind == "salt_and_pepper" else 0
    assert abs((spoilt == 1).mean() - share_of_ones) < 5 * 0.5 / np.sqrt(x.size)
    assert np.isin(spoilt[changed], [0, 1]).all()


def test_every_minibatch_is_spoilt_anew(images, monkeypatch):
    seen, corrupt = [], DenoisingAutoencoder._corrupt

    def spy(self, x, noise):
        seen.append((to_numpy(x).copy(), to_numpy(result := corrupt(self, x, noise))))
        return result

    monkeypatch.setattr(DenoisingAutoencoder, "_corrupt", spy)
    DenoisingAutoencoder(n_hidden=4, batch_size=50, n_epochs=3, corruption_level=0.5, random_state=0).fit(images)
    masks = {(spoilt == 0).tobytes() for _, spoilt in seen}
    assert len(seen) == 12 == len(masks)
    np.testing.assert_array_equal(np.sort(np.concatenate([x for x, _ in seen[:4]]), axis=0), np.sort(images, axis=0))


# ------------------------------------------------------------------------------------------------- what it learns


def test_a_linear_one_finds_the_space_of_the_principal_components(rng):
    X = rng.normal(size=(400, 12)) * np.linspace(2, 0.3, 12)
    X = (X - X.mean(axis=0)).astype(np.float32)
    model = DenoisingAutoencoder(
        n_hidden=3, corruption_level=0.0, loss="squared", activation="identity", learning_rate=0.01, n_epochs=60,
        batch_size=50, random_state=0,
    ).fit(X)  # fmt: skip
    components = np.linalg.svd(X, full_matrices=False)[2][:3].T
    W = to_numpy(model.parameters_["W"])
    assert np.degrees(subspace_angles(W, components)).max() < 3
    np.testing.assert_allclose(W.T @ W, np.eye(3), atol=0.02)


@pytest.mark.slow
def test_it_restores_digits():
    train, _, test = load_mnist(False)
    options = {"n_hidden": 200, "n_epochs": 8, "random_state": 0}
    plain = DenoisingAutoencoder(**options, corruption_level=0.0).fit(train.images)
    denoising = DenoisingAutoencoder(**options).fit(train.images)
    holes = denoising.corrupt(test.images, random_state=0)
    restored, kept = (model.reconstruction_error(test.images, holes).mean() for model in (denoising, plain))
    assert restored < kept - 5, "nats"
    assert plain.score(test.images) > denoising.score(test.images)
    assert denoising.history_.train_loss[-1] < denoising.history_.train_loss[0]


def test_codes_and_back(images):
    model = DenoisingAutoencoder(n_hidden=6, n_epochs=2, random_state=0).fit(images)
    codes = model.transform(images)
    assert codes.shape == (200, 6) and codes.dtype == np.float32
    np.testing.assert_allclose(model.inverse_transform(codes), to_numpy(model.reconstruct(images)), atol=1e-6)
    assert list(model.get_feature_names_out())[:2] == ["denoisingautoencoder0", "denoisingautoencoder1"]


# ------------------------------------------------------------------------------- randomness, resume, storage, input


def test_watch_sees_every_epoch(images):
    seen = []
    DenoisingAutoencoder(n_hidden=3, n_epochs=4).fit(images, watch=lambda model: seen.append(model.score(images)))
    assert len(seen) == 4 and len(set(seen)) == 4


def test_parameters_that_fit_are_shared(rng):
    W, b, c = (to_device(rng.random(shape, np.float32)) for shape in ((4, 3), 4, 3))
    model = DenoisingAutoencoder.from_parameters(W, b, c)
    for found, given in zip(model.parameters_.values(), (W, b, c)):
        given += 1
        np.testing.assert_array_equal(to_numpy(found), to_numpy(given))
    with pytest.raises(ValueError, match=r"visible_bias \(n_visible,\).*found \(4, 3\), \(3,\) and \(4,\)"):
        DenoisingAutoencoder.from_parameters(W, c, b)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"corruption": "fog"}, "corruption is 'fog'; expected 'masking' or 'salt_and_pepper'"),
        ({"loss": "absolute"}, "loss is 'absolute'; expected"),
        ({"activation": "relu"}, "activation is 'relu'; expected"),
        ({"activation": "identity"}, "the cross-entropy needs reconstructions between 0 and 1"),
        ({"corruption_level": 1.5}, "corruption_level is 1.5; expected a number at least 0 and at most 1"),
        ({"n_hidden": 0}, "n_hidden is 0; expected a whole number, at least 1"),
        ({"batch_size": 2.5}, "batch_size is 2.5; expected a whole number, at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected a number at least 0"),
        ({"momentum": 1.0}, "momentum is 1.0; expected a number at least 0 and below 1"),
    ],
)
def test_bad_hyper_parameters_are_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        DenoisingAutoencoder(**options).fit(images)


def test_pixels_that_are_no_probabilities_are_told(images):
    with pytest.warns(UserWarning, match="expect values from 0 to 1, found 0 to 2"):
        DenoisingAutoencoder(n_hidden=2, n_epochs=1).fit(np.round(2 * images))


def test_what_is_restored_from_other_values_than_pixels_is_refused(images):
    model = DenoisingAutoencoder(n_hidden=2, n_epochs=1, random_state=0).fit(images)
    for corrupted, says in ((255 * images, "from 0 to 1"), (np.nan * images, "NaN"), (images[1:], "corrupted: .*rows")):
        with pytest.raises(ValueError, match=says), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.reconstruction_error(images, corrupted)


def test_what_is_spoilt_keeps_its_precision():
    spoil = DenoisingAutoencoder(corruption_level=0.5).corrupt
    assert spoil(np.ones((2, 3))).dtype == np.float64 and spoil(np.ones((2, 3), np.float16)).dtype == np.float32


def test_neither_columns_in_another_order_nor_codes_of_nobody_are_read(images):
    table = pd.DataFrame(images).add_prefix("x")
    model = DenoisingAutoencoder(n_hidden=3, n_epochs=1).fit(table)
    with pytest.raises(ValueError, match="feature names"):
        model.corrupt(table.iloc[:, ::-1])
    with pytest.raises(NotFittedError):
        DenoisingAutoencoder().inverse_transform(images)
