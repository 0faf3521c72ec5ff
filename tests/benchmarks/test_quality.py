"""Minutes to a quality, beside PyTorch with the same recipe: the figure that readers feel (`make benchmark`)."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from companion.data import find_mnist
from companion.results import environment

AT_MOST = {
    "mlp": 1.1,
    "rbm": 1.0,
    "rbm_wide": 1.0,
}  # of PyTorch's time: the perceptron's is the same, within what a run differs
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COMPANION_THREADS": "1"}
ONE_THREAD |= {"COMPANION_BACKEND": "numpy"}


def trained(library, name, n_epochs):
    """Return the minutes of processor time and the figure that `quality.py` prints."""
    command = [sys.executable, str(Path(__file__).with_name("quality.py")), library, name, str(n_epochs)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "wanted", "n_epochs"),
    [
        ("mlp", 0.02, 5),
        ("mlp", 0.015, 12),
        ("mlp", 0.01, 100),
        ("rbm", -90, 18),
        ("rbm", -86, 75),
        ("rbm_wide", -84, 300),
    ],
)
def test_the_quality_comes_no_later_than_elsewhere(quality_rows, name, wanted, n_epochs):
    """So many epochs are what the recipe, its rate falling to zero, takes for the quality in both libraries."""
    if (source := find_mnist()) is None or source.kind == "sample":
        pytest.skip("a quality is that on all of MNIST")
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: pip install -e '.[benchmark]'")
    ours, theirs = (trained(library, name, n_epochs) for library in ("companion", "torch"))
    print(f"\n{environment()['machine']}: {name} to {wanted} in {n_epochs} epochs: {ours}; PyTorch {theirs}")
    sign = 1 if name == "mlp" else -1
    assert all(sign * found["figure"] <= sign * wanted for found in (ours, theirs))
    quality_rows.append({"recipe": name, "wanted": wanted, "n_epochs": n_epochs, "ours": ours, "torch": theirs})
    assert ours["minutes"] < AT_MOST[name] * theirs["minutes"]
