"""What several files of tests share and call as functions; fixtures are in conftest.py."""

import itertools
import tracemalloc

import numpy as np

from companion.backend import Noise, to_numpy


def arrays(model):
    """Return copies of a model's parameters, on the host, by name."""
    return {name: to_numpy(array).copy() for name, array in model.parameters_.items()}


def assert_same(found, expected):
    """Two dictionaries must hold the same numbers under the same names, on the host or on the device."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(to_numpy(found[name]), to_numpy(array), err_msg=name)


def states(n):
    """Return all states (2 ** n, n) of n binary units, the last unit changing fastest."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def log_bernoulli(x, log_odds):
    """Return the log-probabilities of states x of independent binary units, which lie along the last axis."""
    return (x * log_odds - np.logaddexp(0, log_odds)).sum(axis=-1)


class Drawn(Noise):
    """Noise that gives the same numbers every time."""

    def __init__(self, numbers):
        self.numbers = numbers

    def uniform(self, out):
        out[...] = self.numbers[: len(out)]
        return out

    normal = uniform


def peak_memory(function, *arguments):
    """Return the most memory, in bytes, that was held at a time during a call."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def contents(folder):
    """Return the names of what is in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
