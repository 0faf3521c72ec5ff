"""Settings for every test and chapter: the sample of MNIST and NumPy, unless the environment asks for others.

The kernels in which the chapters are run inherit this environment.
"""

import asyncio
import importlib.util
import os

os.environ.setdefault("COMPANION_DATASET", "sample")
os.environ.setdefault("COMPANION_BACKEND", "numpy")

# before anything imports the companion
if os.environ["COMPANION_BACKEND"] == "cupy" and importlib.util.find_spec("cupy") is None:
    import strict_cupy

    strict_cupy.install()

import numpy as np
import pytest


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
def runs_and_rests():
    """Return the function that runs and pauses a panel, makes it once more, and closes it: nothing is left behind."""

    def check(make, count=lambda panel: panel.steps, meanwhile=lambda panel: None):
        async def play():
            panel = make()
            assert not panel.running
            panel.play.value = True
            await asyncio.sleep(0.3)
            meanwhile(panel)
            assert panel.running
            await asyncio.sleep(0.2)
            panel.play.value = False
            assert (done := count(panel)) > 0 and not panel.running
            await asyncio.sleep(0.1)
            assert count(panel) == done, "a pause is at once"
            panel.play.value = True
            again = make()
            assert not panel.running and not again.running, "the cell run again leaves one panel, at rest"
            assert not panel.play.value
            again.play.value = True
            again.close()
            await asyncio.sleep(0.05)
            assert len(asyncio.all_tasks()) == 1
            return panel

        return asyncio.run(play())

    return check
