"""The functions of the models against direct formulas in float64, and by hand."""

import numpy as np
import pytest
import scipy.special

from companion.backend import Noise, generator, to_device, to_numpy, xp
from companion.functions import (
    bernoulli,
    log_softmax,
    negative_log_likelihood,
    sigmoid,
    softmax,
    softplus,
    zero_one_loss,
)
from companion.hmc import Normal
from companion.layers import Dropout, GaussianNoise, SoftmaxCrossEntropy

SHAPES = [(7, 4), (1, 4), (7, 1), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1, 1e3, 1e4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-6)])
def test_log_softmax_is_the_direct_formula(rng, shape, scale, dtype, tolerance):
    scores = (scale * rng.normal(size=shape)).astype(dtype)
    found = to_numpy(log_softmax(to_device(scores)))
    assert found.dtype == dtype
    expected = scipy.special.log_softmax(scores.astype(np.float64), axis=1)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e4])
def test_huge_scores_stay_finite(size, dtype):
    scores = to_device(np.array([[size, -size, 0], [-size, -size, -size], [size, size, size]], dtype))
    log_p, p = to_numpy(log_softmax(scores)), to_numpy(softmax(scores))
    assert np.isfinite(log_p).all() and (log_p <= 0).all()
    np.testing.assert_allclose(log_p[0], [0, -2 * size, -size], rtol=1e-6)
    np.testing.assert_allclose(log_p[1:], -np.log(3), rtol=1e-6)
    np.testing.assert_allclose(p, [[1, 0, 0], [1 / 3] * 3, [1 / 3] * 3], rtol=1e-6)


def test_softmax_by_hand():
    scores = np.log(np.array([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))
    expected = [[1 / 8, 2 / 8, 5 / 8], [3 / 8, 3 / 8, 2 / 8]]
    np.testing.assert_allclose(to_numpy(softmax(to_device(scores))), expected, rtol=1e-14)


@pytest.mark.parametrize("function", [log_softmax, softmax])
def test_a_shift_of_a_row_changes_nothing(rng, function):
    scores, shifts = rng.normal(size=(6, 5)), np.array([[0.0], [1.0], [-30.0], [500.0], [-1e4], [1e4]])
    shifted = to_numpy(function(to_device(scores + shifts)))
    np.testing.assert_allclose(shifted, to_numpy(function(to_device(scores))), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_in_place_gives_the_same_as_not_in_place(rng, shape):
    scores = to_device(rng.normal(size=shape).astype(np.float32))
    expected = to_numpy(log_softmax(scores.copy()))
    elsewhere = to_device(np.full(shape, np.nan, np.float32))
    assert log_softmax(scores, out=elsewhere) is elsewhere
    np.testing.assert_array_equal(to_numpy(elsewhere), expected)
    assert log_softmax(scores, out=scores) is scores
    np.testing.assert_array_equal(to_numpy(scores), expected)


@pytest.mark.parametrize("function", [log_softmax, softmax])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", SHAPES)
def test_without_out_the_scores_stay_as_they_are(rng, function, shape, order):
    """Also where the transpose of the scores is contiguous, and so might be their memory and not a copy."""
    scores = np.asarray(rng.normal(size=shape), order=order)
    on_device = to_device(scores.copy(order="K"))
    function(on_device)
    np.testing.assert_array_equal(to_numpy(on_device), scores)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 5e-16), (np.float32, 1e-7)])
@pytest.mark.parametrize("scale", [1, 10, 1e4])
def test_sigmoid_is_that_of_scipy(rng, dtype, tolerance, scale):
    x = (scale * rng.normal(size=(50, 40))).astype(dtype)
    found = to_numpy(sigmoid(to_device(x)))
    assert found.dtype == dtype and found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found, scipy.special.expit(x.astype(np.float64)), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_by_hand_and_at_its_ends(dtype):
    x = np.array([-1e4, -100, -np.log(3), 0, np.log(3), 100, 1e4], dtype)
    with np.errstate(all="raise"):
        found = to_numpy(sigmoid(to_device(x)))
    np.testing.assert_allclose(found, [0, 0, 1 / 4, 1 / 2, 3 / 4, 1, 1], atol=1e-7)


def test_sigmoid_in_place_gives_the_same_as_not_in_place(rng):
    x = rng.normal(size=(4, 3)).astype(np.float32)
    on_device, elsewhere = to_device(x), to_device(np.full((4, 3), np.nan, np.float32))
    expected = to_numpy(sigmoid(on_device))
    np.testing.assert_array_equal(to_numpy(on_device), x)
    assert sigmoid(on_device, out=elsewhere) is elsewhere
    assert sigmoid(on_device, out=on_device) is on_device
    for found in (elsewhere, on_device):
        np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-15), (np.float32, 3e-7)])
@pytest.mark.parametrize("scale", [1e-6, 1, 10, 1e4])
def test_softplus_is_the_logarithm_of_a_sum(rng, dtype, tolerance, scale):
    """To a relative precision: far below 0 it is e ** x, not 0."""
    x = (scale * rng.normal(size=(50, 40))).astype(dtype)
    on_device = to_device(x.copy())
    found = to_numpy(softplus(on_device))
    assert found.dtype == dtype and found.min() >= 0
    np.testing.assert_array_equal(to_numpy(on_device), x)
    expected = np.logaddexp(0, x.astype(np.float64))
    smallest = np.finfo(dtype).tiny  # below it the precision ends
    np.testing.assert_allclose(found, expected, rtol=2 * tolerance, atol=smallest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_by_hand_and_at_its_ends(dtype):
    largest = np.finfo(dtype).max
    x = np.array([-largest, -1e4, -20, 0, np.log(3), 20, 1e3, 1e4, largest], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = to_numpy(softplus(to_device(x)))
    expected = [0, 0, np.exp(-20.0), np.log(2), np.log(4), 20 + np.exp(-20.0), 1e3, 1e4, largest]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bernoulli_draws_ones_as_often_as_it_should(dtype):
    """Each of several probabilities 40,000 times, within five standard errors; 0 never and 1 always."""
    p, n = np.array([0, 1e-3, 0.1, 0.5, 0.77, 0.999, 1], dtype), 40_000
    drawn = bernoulli(to_device(np.tile(p, (n, 1))), Noise(generator(3)))
    assert drawn.dtype == dtype and drawn.shape == (n, 7)
    drawn = to_numpy(drawn)
    assert set(np.unique(drawn)) == {0, 1}
    assert (abs(drawn.mean(axis=0) - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()
    inner = drawn[:, 1:-1]
    assert abs(np.corrcoef(inner.T) - np.eye(5)).max() < 5 / np.sqrt(n)  # units are independent
    assert abs((inner[1:] * inner[:-1]).mean(axis=0) - p[1:-1] ** 2).max() < 5 * 0.5 / np.sqrt(n)  # and rows


def test_bernoulli_compares_the_probabilities_with_the_noise(rng):
    """A number of the noise below the probability makes a one; the probabilities stay as they are."""
    p = rng.random((30, 20)).astype(np.float32)
    on_device, elsewhere = to_device(p), to_device(np.full(p.shape, np.nan, np.float32))
    uniform = to_numpy(Noise(generator(8)).uniform(xp.empty(p.shape, xp.float32)))
    assert bernoulli(on_device, Noise(generator(8)), out=elsewhere) is elsewhere
    for found in (elsewhere, bernoulli(on_device, Noise(generator(8)))):
        np.testing.assert_array_equal(to_numpy(found), uniform < p)
    np.testing.assert_array_equal(to_numpy(on_device), p)
    noise = Noise(generator(8))
    assert (to_numpy(bernoulli(on_device, noise)) != to_numpy(bernoulli(on_device, noise))).any()


def test_negative_log_likelihood_by_hand():
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    targets = to_device(np.array([1, 2]))
    found = float(negative_log_likelihood(to_device(np.log(p)), targets))
    assert found == pytest.approx((np.log(4) + np.log(1.25)) / 2, rel=1e-14)


def test_zero_one_loss_by_hand():
    predicted, targets = to_device(np.array([3, 1, 4, 1, 5])), to_device(np.array([3, 1, 4, 7, 0]))
    assert float(zero_one_loss(predicted, targets)) == pytest.approx(2 / 5)
    assert float(zero_one_loss(targets, targets)) == 0


def test_what_is_no_noise_yet_becomes_it():
    """A generator of NumPy's has methods of the same names, which take the array for something else."""
    p = to_device(np.full((200, 50), 0.5), np.float32)
    for noise in (3, np.random.default_rng(3), Noise(3), Noise(np.random.default_rng(3))):
        assert abs(float(bernoulli(p, noise).mean()) - 0.5) < 0.02
    for layer in (Dropout(0.5, np.random.default_rng(3)), GaussianNoise(1.0, np.random.default_rng(3))):
        y = to_numpy(layer.forward(p))
        assert abs(y.mean() - 0.5) < 0.05 and 0.4 < y.std() < 1.1
    assert abs(float(Normal(np.zeros(3), np.ones(3)).sample(1000, np.random.default_rng(0)).std()) - 1) < 0.05


@pytest.mark.parametrize("targets", [1, [[0], [1], [1]], [0, 1], [True, False, True], [0.0, 1.0, 1.0]])
def test_targets_of_another_shape_or_kind_are_refused(targets):
    table = log_softmax(to_device(np.zeros((3, 2))))
    with pytest.raises(ValueError, match=r"targets: expected whole numbers of shape \(3,\)"):
        negative_log_likelihood(table, to_device(targets))
    with pytest.raises(ValueError, match="expected as many targets as predictions"):
        zero_one_loss(to_device([0, 1, 1]), to_device([[0], [1], [1]]))


def test_a_target_below_the_first_class_is_not_the_last_one():
    with pytest.raises(ValueError, match="targets: expected columns from 0, found -1"):
        negative_log_likelihood(log_softmax(to_device(np.zeros((3, 2)))), to_device(np.array([0, -1, 1])))


def test_plain_and_whole_numbers_are_taken_for_real_ones():
    assert float(sigmoid(0)) == 0.5 and float(softplus(0.0)) == pytest.approx(np.log(2))
    whole = to_device(np.array([[0, 1, 2]]))
    for function in (sigmoid, softplus, softmax, log_softmax):
        np.testing.assert_allclose(to_numpy(function(whole)), to_numpy(function(whole.astype(float))), rtol=1e-15)
    np.testing.assert_array_equal(to_numpy(bernoulli(to_device(np.array([0, 1])), 0)), [0, 1])
    for into in (lambda: log_softmax(whole, out=whole), lambda: SoftmaxCrossEntropy().forward(whole, whole[0, 1:2])):
        with pytest.raises(TypeError, match="[Cc]annot cast"):  # real ones do not go into whole ones
            into()


@pytest.mark.parametrize("plain", [[0, 1], (0.0, 1.0), to_device(np.array([False, True]))])
def test_lists_and_truths_are_numbers_too(plain):
    np.testing.assert_allclose(to_numpy(sigmoid(plain)), [0.5, 1 / (1 + np.exp(-1))], rtol=1e-15)


@pytest.mark.skipif(xp is not np, reason="CuPy has no masks")
def test_masked_scores_are_refused():
    """The masked class would have its share of the probability, and the mask would be lost."""
    for function in (softmax, log_softmax):
        with pytest.raises(ValueError, match="scores: expected an array without a mask"):
            function(np.ma.array([[1.0, 2.0, 9.0]], mask=[[0, 0, 1]]))
