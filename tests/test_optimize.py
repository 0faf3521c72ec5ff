"""Optimisers against their formulas in textbook form, schedules and early stopping by hand."""

import math

import numpy as np
import pytest

from companion import optimize
from companion.backend import add_scaled, to_device, to_numpy, xp
from companion.optimize import SGD, Adam, Descent, MovingAverage, Patience, Schedule, limit_norms


def test_sgd_by_hand_and_in_place():
    w, b = to_device(np.array([[1.0, 2.0], [3.0, 4.0]])), to_device(np.array([0.5]))
    shared = w[0]  # a view: whoever shares the memory sees the step
    SGD(0.1).update([w, b], [to_device(np.array([[10.0, -10.0], [0.0, 5.0]])), to_device(np.array([2.0]))])
    np.testing.assert_allclose(to_numpy(w), [[0, 3], [3, 3.5]], atol=1e-15)
    np.testing.assert_allclose(to_numpy(b), [0.3])
    np.testing.assert_allclose(to_numpy(shared), [0, 3], atol=1e-15)


# -------------------------------------------------------------------------------------------- momentum and Adam

SHAPES = [(300, 150), (7,), (1, 1)]  # the first is updated in pieces, the last of which is shorter
assert optimize.BLOCK < 300 * 150 < 2 * optimize.BLOCK


def rate_of(t):
    """A learning rate that is another one for every update."""
    return 0.1 / (1 + t)


def textbook_momentum(parameters, gradients, mu):
    velocities = [0.0] * len(parameters)
    for t, step in enumerate(gradients):
        velocities = [mu * v - rate_of(t) * g for v, g in zip(velocities, step)]
        parameters = [p + v for p, v in zip(parameters, velocities)]
    return parameters


def textbook_adam(parameters, gradients, beta1, beta2, epsilon):
    m, s = [0.0] * len(parameters), [0.0] * len(parameters)
    for t, step in enumerate(gradients, start=1):
        m = [beta1 * a + (1 - beta1) * g for a, g in zip(m, step)]
        s = [beta2 * a + (1 - beta2) * g**2 for a, g in zip(s, step)]
        unbiased = [(a / (1 - beta1**t), b / (1 - beta2**t)) for a, b in zip(m, s)]
        parameters = [p - rate_of(t - 1) * a / (np.sqrt(b) + epsilon) for p, (a, b) in zip(parameters, unbiased)]
    return parameters


OPTIMIZERS = {
    "momentum": (lambda: SGD(rate_of, 0.9), lambda p, g: textbook_momentum(p, g, 0.9)),
    "no momentum": (lambda: SGD(rate_of), lambda p, g: textbook_momentum(p, g, 0.0)),
    "Adam": (lambda: Adam(rate_of), lambda p, g: textbook_adam(p, g, 0.9, 0.999, 1e-8)),
    "Adam, other betas": (lambda: Adam(rate_of, 0.5, 0.9, 0.3), lambda p, g: textbook_adam(p, g, 0.5, 0.9, 0.3)),
}


@pytest.fixture
def course(rng):
    """Parameters, and the gradients of six updates, of several shapes."""
    return [rng.normal(size=s) for s in SHAPES], [[rng.normal(size=s) for s in SHAPES] for _ in range(6)]


def follow(optimizer, parameters, gradients):
    for step in gradients:
        optimizer.update(parameters, [to_device(g.astype(p.dtype)) for p, g in zip(parameters, step)])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_optimizers_are_those_of_the_textbook(course, name, dtype, tolerance):
    start, gradients = course
    make, textbook = OPTIMIZERS[name]
    optimizer, parameters = make(), [to_device(p.astype(dtype)) for p in start]
    state = optimizer.start(parameters)
    follow(optimizer, parameters, gradients)
    for found, expected in zip(parameters, textbook(start, gradients)):
        assert found.dtype == dtype
        np.testing.assert_allclose(to_numpy(found), expected, rtol=tolerance, atol=tolerance)
    assert int(state["updates"]) == int(optimizer.updates) == 6
    assert all(array.dtype == dtype for name, array in state.items() if name != "updates")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_start_returns_is_all_that_an_optimizer_remembers(course, name):
    """Put into another optimiser, it goes on bit for bit."""
    start, gradients = course
    optimizer, parameters = OPTIMIZERS[name][0](), [to_device(p) for p in start]
    state = optimizer.start(parameters)
    follow(optimizer, parameters, gradients[:3])
    saved, copies = {name: array.copy() for name, array in state.items()}, [p.copy() for p in parameters]
    follow(optimizer, parameters, gradients[3:])

    other = OPTIMIZERS[name][0]()
    restored = other.start(copies)
    assert restored.keys() == saved.keys()
    for key, array in restored.items():
        array[...] = saved[key]
    follow(other, copies, gradients[3:])
    for found, expected in zip(copies, parameters):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_the_first_step_of_adam_has_the_size_of_the_rate(scale):
    g = scale * np.array([3.0, -1.0, 0.01, 0.0])
    w, optimizer = to_device(np.zeros(4)), Adam(0.02)
    optimizer.start([w])
    optimizer.update([w], [to_device(g.copy())])
    np.testing.assert_allclose(to_numpy(w), -0.02 * g / (abs(g) + 1e-8), rtol=1e-12)
    np.testing.assert_allclose(to_numpy(w), -0.02 * np.sign(g), rtol=0.02)


def test_momentum_by_hand():
    """Of a constant gradient: steps of 1, 1.5, 1.75 times the rate, on the way to 2."""
    w, optimizer = to_device(np.zeros(1)), SGD(0.1, momentum=0.5)
    optimizer.start([w])
    places = [0.0]
    for _ in range(3):
        optimizer.update([w], [to_device(np.ones(1))])
        places.append(float(w[0]))
    np.testing.assert_allclose(np.diff(places), [-0.1, -0.15, -0.175], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (7,), (7, 4), (300, 150), (2, 3, 4)])
@pytest.mark.parametrize("scale", [-0.3, 0, 2])
def test_add_scaled_adds_in_place(rng, dtype, shape, scale):
    target, array = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    there, other = to_device(target.copy()), to_device(array)
    view = there[:1]
    add_scaled(there, scale, other)
    expected = target.astype(np.float64) + scale * array.astype(np.float64)
    tolerance = 10 * np.finfo(dtype).eps
    assert there.dtype == dtype
    np.testing.assert_allclose(to_numpy(there), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(to_numpy(view), to_numpy(there)[:1])
    np.testing.assert_array_equal(to_numpy(other), array)


# ------------------------------------------------------------------------------------------ the learning rate


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, {0: 0.2, 1: 0.2, 99: 0.2, 1000: 0.2}),
        ({"kind": "inverse", "decay": 0.5}, {0: 0.2, 1: 0.2 / 1.5, 2: 0.1, 18: 0.02}),
        ({"kind": "linear"}, {0: 0.2, 25: 0.15, 50: 0.1, 99: 0.002, 100: 0, 200: 0}),
        ({"kind": "cosine"}, {0: 0.2, 50: 0.1, 100: 0, 25: 0.1 * (1 + 0.5**0.5), 200: 0}),
        ({"warmup": 4}, {0: 0.04, 1: 0.08, 2: 0.12, 3: 0.16, 4: 0.2, 5: 0.2}),
        ({"kind": "linear", "warmup": 1}, {0: 0.1, 1: 0.198, 50: 0.1}),
    ],
)
def test_schedules_by_hand(settings, rates):
    schedule = Schedule(0.2, 100, **settings)
    for t, rate in rates.items():
        assert schedule(t) == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="schedule is 'exponential'; expected 'constant', 'inverse', 'linear'"):
        Schedule(0.1, 10, "exponential")


def test_an_optimizer_asks_its_schedule_once_for_every_update():
    asked = []
    w, optimizer = to_device(np.zeros(1)), SGD(lambda t: asked.append(t) or 2.0**-t)
    optimizer.start([w])
    for _ in range(4):
        optimizer.update([w], [to_device(np.ones(1))])
    assert asked == [0, 1, 2, 3] and float(w[0]) == -1.875


# ------------------------------------------------------------------------------------------- norms and averages


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limit_norms_shortens_the_columns_that_are_too_long(dtype):
    W = np.array([[3.0, 0.3, 0.0, 1.2, -30.0], [4.0, 0.4, 0.0, -1.6, 40.0]], dtype)  # norms 5, 0.5, 0, 2, 50
    there = to_device(W.copy())
    limit_norms(there, 2.0)
    found = to_numpy(there)
    np.testing.assert_array_equal(found[:, 1:3], W[:, 1:3])
    np.testing.assert_allclose(found, [[1.2, 0.3, 0, 1.2, -1.2], [1.6, 0.4, 0, -1.6, 1.6]], rtol=1e-6)
    assert found.dtype == dtype


def test_replace_in_puts_averages_in_place_of_what_is_averaged():
    w, b, other = (to_device(np.full(2, value)) for value in (1.0, 1.0, 1.0))  # told apart by identity, not by value
    average = MovingAverage([w, b], 0.9)
    named = {"b": b, "other": other, "w": w}
    replaced = average.replace_in(named)
    assert list(replaced) == ["b", "other", "w"] and named["w"] is w
    assert replaced["w"] is average.averages[0] and replaced["b"] is average.averages[1]
    assert replaced["other"] is other
    w[...] = 5
    average.update()
    assert float(replaced["w"][0]) == pytest.approx(2 / 11 + 5 * 9 / 11) and float(replaced["b"][0]) == 1


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


@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: SGD(0.1, 0.5), lambda: Adam(0.1)])
def test_what_could_not_be_moved_is_refused(make):
    """BLAS and views would move a part, or a copy that nobody sees."""
    w = to_device(np.ones((2, 3)))
    cases = [
        ([w.astype(np.int64)], [w.astype(np.int64)]),
        ([w.astype(np.float16)], [w.astype(np.float16)]),
        ([w.T], [w.T.copy()]),
        ([w.astype(">f8") if xp is np else w.T], [w]),
        ([w], [w.T.copy()]),
        ([w], [w[0]]),
        ([w, w], [w]),
    ]
    for parameters, gradients in cases:
        optimizer, before = make(), to_numpy(parameters[0]).copy()
        with pytest.raises(ValueError, match="parameters: expected contiguous|gradients: expected the shapes"):
            optimizer.start(parameters)
            optimizer.update(parameters, gradients)
        np.testing.assert_array_equal(to_numpy(parameters[0]), before)


@pytest.mark.parametrize("make", [lambda: SGD(0.1, 0.5), lambda: Adam(0.1)])
def test_an_optimizer_moves_all_that_it_is_given_or_nothing(make):
    """What it remembers are arrays of some parameters; others would stay where they are, without a word."""
    W, b = to_device(np.zeros((2, 2))), to_device(np.zeros(2))
    gradients = [to_device(np.ones((2, 2))), to_device(np.ones(2))]
    begun = make()
    begun.start([W])
    for optimizer in (begun, make()):
        with pytest.raises(ValueError, match="parameters: expected those that `start` was given"):
            optimizer.update([W, b], gradients)
    assert not to_numpy(W).any() and not to_numpy(b).any()


@pytest.mark.parametrize("make", [lambda rate: SGD(rate), lambda rate: SGD(rate, 0.5), lambda rate: Adam(rate)])
def test_start_begins_anew(make):
    """Its schedule, too, and what Adam knows of how many updates its means are of."""
    optimizer, ends = make(Schedule(0.1, 20, "linear")), []
    for _ in range(2):
        w = to_device(np.array([4.0, -1.0]))
        optimizer.start([w])
        for _ in range(20):
            optimizer.update([w], [2 * w])
        ends.append(to_numpy(w))
    np.testing.assert_array_equal(*ends)
    assert abs(ends[0][0]) < 4


def test_adam_overwrites_no_gradient_that_it_still_needs():
    a, b, g = (to_device(np.array([3.0])) for _ in range(3))
    for parameters, gradients in (([a, b], [g, g]), ([a], [a])):
        optimizer = Adam(0.1)
        optimizer.start(parameters)
        with pytest.raises(ValueError, match="gradients: expected arrays of their own"):
            optimizer.update(parameters, gradients)


@pytest.mark.skipif(xp is not np, reason="only BLAS is deceived")
@pytest.mark.parametrize("kind", ["i8", "f2", ">f8"])
def test_blas_moves_what_it_can_move_or_says_so(kind):
    with pytest.raises(ValueError, match="expected an array of float32 or float64, found"):
        add_scaled(np.array([3, 4], kind), 0.1, np.ones(2))
    with pytest.raises(ValueError, match="parameters: expected contiguous arrays"):
        MovingAverage([np.array([3, 4], kind)], 0.9)


def test_limit_norms_divides_by_no_norm_of_zero():
    with np.errstate(divide="raise"):
        limit_norms(xp.zeros((2, 3)), 2.0)


def test_an_improvement_to_the_threshold_is_not_below_it():
    patience = Patience(patience=10, threshold=0.5, best=0.5)
    assert patience.improved(100, 0.25) and patience.patience == 10


def test_what_is_not_moved_is_kept_as_it_is():
    moved, other = xp.zeros(2), xp.zeros(2)
    descent = Descent(SGD(0.1), {"moved": moved, "other": other}, [moved], averaging=0.9)
    assert descent.kept["other"] is other and descent.kept["moved"] is not moved
