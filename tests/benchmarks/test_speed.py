"""Speed as ratios, measured in one run: to the bare matrix products, and to other libraries (`make benchmark`).

Each library runs in a process of its own on one thread, because thread pools that share a process fight. Only ratios
between libraries are asserted: those to the products depend on the processor, and are printed with its name. All of
them are kept in ``data/results/benchmarks.json``.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from companion.places import DATA
from companion.results import environment
from companion.storage import replacing


@pytest.fixture(scope="module")
def rows():
    """What was measured, a list of dicts that is written when the last ratio has been taken."""
    rows = []
    yield rows
    with replacing(DATA / "results" / "benchmarks.json") as temporary:
        temporary.write_text(json.dumps({"rows": rows, **environment()}, indent=2) + "\n", encoding="utf8")


def measure(library, name, batch):
    """Return the microseconds that `steps.py` prints, a dict."""
    package = {"channels_last": "torch"}.get(library, library)
    if package in ("torch", "sklearn") and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install -e '.[benchmark]'")
    script = Path(__file__).with_name("steps.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COMPANION_BACKEND": "numpy"}
    command = [sys.executable, str(script), library, name, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "batch"),
    [("softmax", 600), ("mlp", 20), ("mlp", 100), ("autoencoder", 20), ("autoencoder", 100), ("rbm", 20), ("rbm", 100)],
)
def test_a_step_costs_what_its_matrix_products_cost_and_little_more(rows, name, batch):
    times = measure("companion", name, batch)
    ratio = times["step"] / times["products"]
    rows.append({"step": name, "batch": batch, "beside": "matrix products", "microseconds": times, "ratio": ratio})
    print(
        f"\n{environment()['machine']}: {name}, batch {batch}: {ratio:.2f} × its products ({times['products']:.0f} µs)"
    )
    assert ratio > 1, "nothing is faster than its own products: the measurement was disturbed"


@pytest.mark.parametrize(
    ("library", "name", "batch", "least"),
    [
        ("torch", "softmax", 600, 1.5),
        ("torch", "mlp", 20, 1.0),
        ("torch", "mlp", 100, 1.0),
        ("sklearn", "mlp", 20, 1.0),
        ("sklearn", "mlp", 100, 1.0),
        ("torch", "autoencoder", 20, 1.0),
        ("torch", "autoencoder", 100, 1.0),
        ("torch", "rbm", 20, 1.0),
        ("torch", "rbm", 100, 1.0),
        ("torch", "lenet", 100, 1.0),
        ("channels_last", "lenet", 100, 0.8),
        ("sklearn", "rbm", 20, 1.4),
        ("sklearn", "rbm", 100, 1.25),  # it needs the same products: 1.6 would be as fast as these alone
        ("sklearn64", "rbm", 20, 1.6),
        ("sklearn64", "rbm", 100, 1.6),
        ("float64", "rbm", 20, 3.5),
        ("float64", "rbm", 100, 3.5),
        ("torch", "rnnrbm", 8, 1.0),
        ("torch", "rnnrbm", 16, 1.0),
        ("torch", "lstm", 20, 0.5),  # one compiled kernel against twenty steps of NumPy
    ],
)
def test_a_step_is_faster_than_elsewhere(rows, library, name, batch, least):
    theirs, ours = measure(library, name, batch)["step"], measure("companion", name, batch)["step"]
    times = {"theirs": theirs, "ours": ours}
    rows.append({"step": name, "batch": batch, "beside": library, "microseconds": times, "ratio": theirs / ours})
    print(f"\n{name}, batch {batch}: {library} {theirs:.0f} µs, {theirs / ours:.2f} × ours ({ours:.0f} µs)")
    assert theirs / ours >= least
