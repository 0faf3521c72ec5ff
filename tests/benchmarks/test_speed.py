"""Speed as ratios, measured in one run: to the bare matrix products, and to other libraries (`make benchmark`).

Each library runs in a process of its own on one thread (ours on two as well), because thread pools that share a process
fight; ours and another take turns, and of the ratios the median, the least and the greatest are kept in
``data/results/benchmarks.json``. Only ratios between libraries are asserted: those to the products depend on the
processor, and are printed with its name.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from companion.results import environment

PAIRS = 3  # ours and theirs in turn, so that a machine that slows down slows both
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COMPANION_BACKEND": "numpy"}
PACKAGES = {"channels_last": "torch", "compiled": "torch", "sklearn64": "sklearn"}  # other libraries are their own


def measure(library, name, batch, threads=1, **options):
    """Return the microseconds that `steps.py` prints, a dict; `threads` share our products."""
    package = PACKAGES.get(library, library)
    if package in ("torch", "sklearn", "jax") and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install -e '.[benchmark]'")
    script = Path(__file__).with_name("steps.py")
    command = [sys.executable, str(script), library, name, str(batch), json.dumps(options)]
    own = os.environ | ONE_THREAD | {"COMPANION_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=own, check=True)
    return json.loads(done.stdout)


def kept(rows, name, batch, beside, ratios, times, **options):
    """Keep and print the median of some ratios, with the least and the greatest; return it."""
    ratio, least, most = median(ratios), min(ratios), max(ratios)
    rows.append({"step": name, "batch": batch, **options, "beside": beside, "ratio": ratio, "range": [least, most],
                 "microseconds": times})  # fmt: skip
    sizes = ", ".join(f"{key} {value}" for key, value in {"batch": batch, **options}.items())
    print(f"\n{environment()['machine']}: {name}, {sizes}: {ratio:.2f} ({least:.2f} to {most:.2f}), {beside}; {times}")
    return ratio


@pytest.mark.parametrize(
    ("name", "batch"),
    [("softmax", 600), ("mlp", 20), ("mlp", 100), ("autoencoder", 20), ("autoencoder", 100), ("rbm", 20), ("rbm", 100),
     ("pcd", 20), ("pcd", 100), ("ais", 100), ("tempering", 20)],
)  # fmt: skip
def test_a_step_costs_what_its_matrix_products_cost_and_little_more(rows, name, batch):
    times = [measure("companion", name, batch) for _ in range(PAIRS)]
    ratios = [each["step"] / each["products"] for each in times]
    ratio = kept(rows, name, batch, "its matrix products", ratios, times[-1])
    assert ratio > 1, "nothing is faster than its own products: the measurement was disturbed"


@pytest.mark.parametrize(
    ("option", "values"),
    [("n_hidden", (64, 256, 1024, 4096)), ("batch", (10, 100, 1000)), ("k", (1, 10, 100)),
     ("n_visible", (28**2, 64**2, 128**2))],
    ids=["hidden units", "batch", "k", "pixels"],
)  # fmt: skip
def test_the_cost_grows_as_that_of_the_products(rows, option, values):
    """A larger machine is not less close to its products: what else is done grows more slowly, or as fast."""
    ratios = []
    for value in values:
        options = {"batch": 100} | {option: value}
        times = measure("companion", "rbm", **options)
        ratio = [times["step"] / times["products"]]
        ratios.append(
            kept(rows, "rbm", beside="its matrix products", ratios=ratio, times=times, grown=option, **options)
        )
    assert ratios[-1] < 1.5 * ratios[0]


# Limits leave room below what an Intel Xeon and an AMD EPYC gave, the lower of the two.
@pytest.mark.parametrize(
    ("library", "name", "batch", "least"),
    [
        ("torch", "softmax", 600, 1.2),
        ("torch", "mlp", 20, 1.0),
        ("torch", "mlp", 100, 1.0),
        ("compiled", "mlp", 20, 1.0),
        ("compiled", "mlp", 100, 1.0),
        ("jax", "mlp", 100, 0.7),  # compiled whole, and not held to one thread
        ("sklearn", "mlp", 20, 1.0),
        ("sklearn", "mlp", 100, 1.0),
        ("torch", "autoencoder", 20, 1.0),
        ("torch", "autoencoder", 100, 1.0),
        ("torch", "rbm", 20, 1.0),
        ("torch", "rbm", 100, 1.0),
        ("jax", "rbm", 100, 0.5),
        ("torch", "pcd", 20, 1.0),
        ("torch", "pcd", 100, 1.0),
        ("torch", "ais", 100, 1.0),
        ("torch", "tempering", 20, 0.9),
        ("torch", "adam", 1, 0.9),
        ("torch", "batchnorm", 100, 0.8),
        ("torch", "lenet", 100, 1.0),
        ("channels_last", "lenet", 100, 0.8),
        ("sklearn", "rbm", 20, 1.4),
        ("sklearn", "rbm", 100, 1.25),  # it needs the same products: 1.6 would be as fast as these alone
        ("sklearn64", "rbm", 20, 1.6),
        ("sklearn64", "rbm", 100, 1.6),
        ("float64", "rbm", 20, 3.0),
        ("float64", "rbm", 100, 3.0),
        ("torch", "rnnrbm", 8, 1.0),
        ("torch", "rnnrbm", 16, 1.0),
        ("torch", "lstm", 20, 0.5),  # one compiled kernel against twenty steps of NumPy
    ],
)
def test_a_step_is_faster_than_elsewhere(rows, library, name, batch, least):
    pairs = [(measure(library, name, batch)["step"], measure("companion", name, batch)["step"]) for _ in range(PAIRS)]
    times = dict(zip(("theirs", "ours"), pairs[-1]))
    assert kept(rows, name, batch, library, [theirs / ours for theirs, ours in pairs], times) >= least


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
@pytest.mark.parametrize(
    ("name", "batch"), [("mlp", 100), ("lenet", 100), ("autoencoder", 100), ("rbm", 100), ("rbm", 500), ("pcd", 100)]
)
def test_a_second_thread_makes_a_step_faster(rows, name, batch):
    """With the same numbers (tests/test_backend.py); large products are shared, and nothing else."""
    pairs = [[measure("companion", name, batch, threads)["step"] for threads in (1, 2)] for _ in range(PAIRS)]
    times = dict(zip(("one thread", "two"), pairs[-1]))
    assert kept(rows, name, batch, "two threads", [one / two for one, two in pairs], times) > 1
