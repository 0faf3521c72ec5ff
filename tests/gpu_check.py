"""On a machine with an NVIDIA GPU: ``make gpu-check``, some minutes. Nobody has run this on one yet.

First how many updates a second each model makes on the GPU, and on the processor beside it, through `fit` as a reader
calls it; then the tests of the models and samplers, with CuPy: gradients against finite differences, samplers against
enumeration, resumed runs bit for bit. ``--processor`` measures the processor alone.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MEASURE = """
import json
from companion import DBN, DenoisingAutoencoder, LeNet, MLP, RBM, load_mnist
from companion.backend import xp_name

train = load_mnist(verbose=False).train
each = {"batch_size": 100, "random_state": 0}
models = {
    "MLP 784-500-10": MLP(hidden_sizes=(500,), **each),
    "MLP 784-2000-2000-10": MLP(hidden_sizes=(2000, 2000), activation="relu", **each),
    "LeNet": LeNet(**each),
    "autoencoder 784-500": DenoisingAutoencoder(n_hidden=500, **each),
    "RBM 784-500, CD-1": RBM(n_hidden=500, **each),
    "RBM 784-4000, PCD-1": RBM(n_hidden=4000, persistent=True, **each),
}
rates = {}
for name, model in models.items():
    data = (train.images, train.labels) if hasattr(model, "predict") else (train.images,)
    model.set_params(n_epochs=1).fit(*data)  # kernels are compiled at their first call
    history = model.set_params(n_epochs=5).fit(*data).history_
    rates[name] = 5 * len(train.images) / 100 / history.wall_seconds
print(json.dumps([xp_name, rates]))
"""


def rates(backend):
    """Return the updates a second of each model on ``"numpy"`` or ``"cupy"``, a dict."""
    environment = os.environ | {"COMPANION_BACKEND": backend, "COMPANION_DATASET": "sample"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found, measured = json.loads(done.stdout.splitlines()[-1])
    assert found == backend
    return measured


def main():
    """Print a table, then run the tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processor", action="store_true", help="leave out the GPU: what the table is beside")
    backends = ["numpy"] if parser.parse_args().processor else ["numpy", "cupy"]
    measured = {backend: rates(backend) for backend in reversed(backends)}  # where no GPU answers, this says so first
    for name in measured["numpy"]:
        print(f"{name:24}", *(f"{backend} {measured[backend][name]:8,.0f} updates a second" for backend in backends))
    if "cupy" in backends:
        from test_backend import MODEL_TESTS

        files = [str(HERE / f"test_{name}.py") for name in MODEL_TESTS]
        command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-m", "not slow", *files]
        subprocess.run(command, cwd=HERE.parent, env=os.environ | {"COMPANION_BACKEND": "cupy"}, check=True)


if __name__ == "__main__":
    main()
