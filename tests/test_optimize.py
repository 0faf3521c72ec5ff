"""Gradient descent and early stopping by hand."""

import math

import numpy as np
import pytest

from companion.backend import to_device, to_numpy
from companion.optimize import SGD, MovingAverage, Patience


def test_sgd_by_hand_and_in_place():
    w, b = to_device(np.array([[1.0, 2.0], [3.0, 4.0]])), to_device(np.array([0.5]))
    shared = w[0]  # a view: whoever shares the memory sees the step
    SGD(0.1).update([w, b], [to_device(np.array([[10.0, -10.0], [0.0, 5.0]])), to_device(np.array([2.0]))])
    np.testing.assert_allclose(to_numpy(w), [[0, 3], [3, 3.5]])
    np.testing.assert_allclose(to_numpy(b), [0.3])
    np.testing.assert_allclose(to_numpy(shared), [0, 3])


def test_moving_average_by_hand():
    """The decay is 2/11 after one update, 3/12 after two; the third time it is the given 0.27, not 4/13."""
    w = to_device(np.array([11.0]))
    average = MovingAverage([w], 0.27)
    (mean,) = average.averages
    expected = 11.0
    for value, decay in [(0.0, 2 / 11), (8.0, 3 / 12), (-1.0, 0.27)]:
        w[...] = value
        average.update()
        expected = decay * expected + (1 - decay) * value
        assert float(mean[0]) == pytest.approx(expected, rel=1e-14)
    assert average.averages[0] is mean and int(average.updates) == 3
    assert float(w[0]) == -1  # only looked at


def test_the_average_of_constant_parameters_is_those_parameters(rng):
    w = to_device(rng.normal(size=(3, 2)))
    average = MovingAverage([w], 0.999)
    for _ in range(50):
        average.update()
    np.testing.assert_allclose(to_numpy(average.averages[0]), to_numpy(w), rtol=1e-12)


def test_the_average_comes_closer_to_the_minimum_than_the_last_parameters(rng):
    """Steps of constant size on a noisy quadratic with its minimum at zero."""
    w = to_device(np.ones(200))
    optimizer, average = SGD(0.1), MovingAverage([w], 0.99)
    for _ in range(1000):
        optimizer.update([w], [w + to_device(rng.normal(size=200))])
        average.update()
    last, mean = float((w**2).mean()), float((average.averages[0] ** 2).mean())
    # stationary variances: rate / (2 - rate) of the last, about (1 - decay) / 2 of the average
    assert 0.03 < last < 0.08 and mean < 0.01


# Worked by hand with the rule of the Deep Learning Tutorials, from patience 10, increase 2, threshold 0.995:
#
#     if error < best:
#         if error < best * improvement_threshold: patience = max(patience, iteration * patience_increase)
#         best = error
#     if patience <= iteration: stop
#
# iteration, error, is it the best?, patience after it
TABLE = [
    (4, 0.5000, True, 10),  # significant (best was infinite), but 2 * 4 is less than 10
    (9, 0.4000, True, 18),  # below 0.4975: significant
    (14, 0.3000, True, 28),  # below 0.3980: significant
    (19, 0.2990, True, 28),  # the best, but not below 0.2985
    (24, 0.2976, True, 28),  # below 0.2985, but the best is 0.2990 by now: 0.297505 would be needed
    (27, 0.2976, False, 28),  # as good is not better
]
STOP = 28


def test_patience_follows_the_rule_of_the_tutorials():
    patience = Patience(patience=10, increase=2, threshold=0.995)
    steps = {iteration: (error, best, left) for iteration, error, best, left in TABLE}
    for iteration in range(STOP):
        if iteration in steps:
            error, best, left = steps[iteration]
            assert patience.improved(iteration, error) is best
            assert patience.patience == left
        assert not patience.exhausted(iteration)
    assert patience.exhausted(STOP)
    assert patience.best == 0.2976


def test_an_insignificant_improvement_is_the_best_but_does_not_extend():
    patience = Patience(patience=10, best=0.4)
    assert patience.improved(100, 0.3981)
    assert patience.patience == 10 and patience.best == 0.3981


def test_a_perfect_score_ends_in_finite_time():
    """Nothing is below zero: the patience grows once and then runs out."""
    patience = Patience(patience=10)
    assert patience.improved(20, 0.0) and not patience.improved(30, 0.0)
    assert not patience.exhausted(39) and patience.exhausted(40)


@pytest.mark.parametrize("best", [math.inf, 0.4])
def test_nan_is_no_improvement(best):
    """The tutorials ask ``error < best``, which nan is not; it must not become the best either."""
    patience = Patience(patience=10, best=best)
    assert not patience.improved(9, math.nan)
    assert patience.best == best and patience.patience == 10
    assert patience.improved(9, 0.3)
