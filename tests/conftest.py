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

from companion import optimize, training
from companion.backend import to_numpy


def pytest_xdist_auto_num_workers():
    """One process more than there are cores: kernels that start, and the browser, wait a good deal."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def rng():
    """A generator that gives every test the same numbers."""
    return np.random.default_rng(5)


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


@pytest.fixture
def resumes_bit_for_bit(tmp_path, monkeypatch, capsys):
    """Return the function that interrupts the fit of a classifier, resumes it, and compares it with an unbroken one.

    Momenta, running averages, the average of the parameters, the schedule and all noise must go on where they were.
    """

    def check(make, X, y, validated, before, optimizer="SGD"):
        """Interrupt before the update of this number; return the checkpoint."""
        monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
        checkpoint, validation = tmp_path / "fit.npz", (X[::3], y[::3]) if validated else None
        whole = make().fit(X, y, validation)
        optimizer = getattr(optimize, optimizer)
        update = optimizer.update

        def interrupted(self, parameters, gradients):
            if self.updates == before:
                raise KeyboardInterrupt
            update(self, parameters, gradients)

        with monkeypatch.context() as patch:
            patch.setattr(optimizer, "update", interrupted)
            stopped = make().fit(X, y, validation, checkpoint=checkpoint)
        assert stopped.history_.stopped == "interrupt" and "Interrupted" in capsys.readouterr().out
        resumed = make().fit(X, y, validation, checkpoint=checkpoint)
        assert resumed.parameters_.keys() == whole.parameters_.keys()
        for name, array in whole.parameters_.items():
            np.testing.assert_array_equal(to_numpy(resumed.parameters_[name]), to_numpy(array), err_msg=name)
        times = {"wall_seconds": 0, "cpu_seconds": 0}
        assert vars(resumed.history_) | times == vars(whole.history_) | times
        np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))
        return checkpoint

    return check
