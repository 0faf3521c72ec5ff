"""Settings for every test and chapter: the sample of MNIST and NumPy, unless the environment asks for others.

The kernels in which the chapters are run inherit this environment.
"""

import importlib.util
import os

os.environ.setdefault("COMPANION_DATASET", "sample")
os.environ.setdefault("COMPANION_BACKEND", "numpy")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run at a time: the cores are busy as it is

# before anything imports the companion
if os.environ["COMPANION_BACKEND"] == "cupy" and importlib.util.find_spec("cupy") is None:
    import strict_cupy

    strict_cupy.install()

import numpy as np
import pytest

pytest.register_assert_rewrite("helpers")  # so that they say what differed, as tests do


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody calls it
def pytest_xdist_auto_num_workers():
    """One process more than there are cores: kernels that start, and the browser, wait a good deal."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
    """Start the browser's tests before the other quick ones: they wait a good deal, and would be the last to end."""

    def turn(item):
        return 0 if item.path.suffix == ".ipynb" else 1 if "chromium" in item.fixturenames else 2

    items.sort(key=turn)


@pytest.fixture
def rng():
    """A generator that gives every test the same numbers."""
    return np.random.default_rng(5)


@pytest.fixture
def every_epoch(monkeypatch):
    """A checkpoint after every epoch."""
    monkeypatch.setattr("companion.training.CHECKPOINT_SECONDS", 0)


@pytest.fixture
def central_differences():
    """Return the function that estimates a gradient by central differences, one element at a time."""

    def differentiate(f, array, step=1e-5):
        """Gradient of the number f() with respect to `array`, on the device, which f reads."""
        gradient = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            value = float(array[index])
            array[index] = value + step
            above = float(f())
            array[index] = value - step
            gradient[index] = (above - float(f())) / (2 * step)
            array[index] = value
        return gradient

    return differentiate
