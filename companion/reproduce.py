"""The headline results: train by recipe, choose on the validation set, report the test set once, record everything."""

import datetime
import importlib
import json
import os
import platform
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .backend import xp_name
from .data import DATA, find_mnist, load_mnist
from .storage import replacing

__all__ = ["environment", "read_result", "recipes", "reproduce"]

PACKAGES = ("numpy", "scikit-learn", "matplotlib", "jupyterlab", "ipywidgets", "anywidget")


def recipes():
    """Return the recipes of ``recipes.toml``, a dict by name."""
    return tomllib.loads((Path(__file__).parent / "recipes.toml").read_text(encoding="utf8"))


def read_result(name):
    """Return what was recorded of the headline run `name`, a dict."""
    return json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf8"))


def environment():
    """Return versions, backend and machine, as they are recorded beside every result."""
    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    return {"versions": versions, "backend": xp_name, "machine": _machine()}


def _machine():
    """Name the processor, the number of its cores and the operating system; nothing that names an owner."""
    model, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text(encoding="utf8").splitlines() if line.startswith("model name")]
        model = named[0].split(":")[1].strip() if named else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def reproduce(name):
    """Run the recipe `name` and write ``data/results/NAME.json``.

    A run that is interrupted goes on where it was when it is started again.

    Returns
    -------
    dict
        What was written: ``test_error`` is a fraction, the mean over the seeds, ``test_error_std`` their standard
        deviation; minutes are those of one training run of the chosen candidate.

    Raises
    ------
    KeyError
        If there is no such recipe.
    FileNotFoundError
        If MNIST is neither there nor can be downloaded.
    ValueError
        If the environment asks for the sample: headline results are on all of MNIST.
    KeyboardInterrupt
        If training was interrupted; nothing is recorded then.
    """
    if name not in recipes():
        raise KeyError(f"no recipe {name!r}; there are: {', '.join(recipes())}")
    recipe = recipes()[name]
    module, _, cls = recipe["model"].rpartition(".")
    cls = getattr(importlib.import_module(module), cls)
    if (source := find_mnist()) and source.kind == "sample":
        raise ValueError(f"a headline result needs all of MNIST, not the sample ({source.reason})")
    os.environ["COMPANION_DATASET"] = "full"
    train, valid, test = load_mnist()

    trials = []
    candidates = [recipe.get("common", {}) | candidate for candidate in recipe["candidates"]]
    for number, candidate in enumerate(candidates):
        models = []
        for seed in recipe["seeds"]:
            print(
                f"{name}: candidate {number + 1} of {len(candidates)} {recipe['candidates'][number]}, seed {seed}",
                flush=True,
            )
            checkpoint = _checkpoint(name, number, seed)
            model = cls(**candidate, random_state=seed, verbose=True)
            model.fit(*train, validation=valid, checkpoint=checkpoint)
            if model.history_.stopped == "interrupt":
                raise KeyboardInterrupt
            models.append(model)
        trials.append((float(np.mean([model.history_.best_error for model in models])), candidate, models))
    valid_error, parameters, chosen = min(trials, key=lambda trial: trial[0])
    test_errors = [model.errors(*test) for model in chosen]
    result = {
        "name": name,
        "chapter": recipe["chapter"],
        "model": recipe["model"],
        "parameters": parameters,
        "test_error": float(np.mean(test_errors)),
        "test_error_std": float(np.std(test_errors)),
        "test_errors": test_errors,
        "valid_error": valid_error,
        "seeds": recipe["seeds"],
        "selection": "lowest mean validation error over the seeds; the test set was used once, for the chosen one",
        "candidates": [{"parameters": candidate, "valid_error": error} for error, candidate, _ in trials],
        "cpu_minutes": float(np.mean([model.history_.cpu_seconds for model in chosen])) / 60,
        "wall_minutes": float(np.mean([model.history_.wall_seconds for model in chosen])) / 60,
        "cpu_minutes_all_candidates": sum(m.history_.cpu_seconds for *_, models in trials for m in models) / 60,
        "tutorial": recipe["tutorial"],
        "recorded": datetime.date.today().isoformat(),
        **environment(),
    }
    with replacing(DATA / "results" / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    for number in range(len(recipe["candidates"])):
        for seed in recipe["seeds"]:
            _checkpoint(name, number, seed).unlink(missing_ok=True)
    return result


def _checkpoint(name, number, seed):
    return DATA / "checkpoints" / f"{name}-{number}-{seed}.npz"
