"""What the headline runs left: their records, their weights, and the recipes that they followed.

They are read from where `companion.reproduce` writes and, failing that, from where they were published; in a checkout
both are the folder ``data``. No model is imported here.
"""

import json
import os
import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .backend import xp_name
from .places import BOOK, DATA
from .storage import load

__all__ = ["environment", "find_weights", "load_weights", "read_result", "recipes"]

RECORDED = {"backend", "machine", "versions"}  # of every run, by `environment`
PACKAGES = ("numpy", "scikit-learn", "matplotlib", "jupyterlab", "ipywidgets", "anywidget")


def recipes():
    """Return the recipes of ``recipes.toml``, a dict by name."""
    return tomllib.loads((Path(__file__).parent / "recipes.toml").read_text(encoding="utf8"))


def _find(folder, name, suffix, what):
    """Return the path of a file of `DATA` or, failing that, of the published ones."""
    folders = [place / folder for place in (DATA, BOOK / "data")]
    for place in folders:
        if (path := place / f"{name}{suffix}").is_file():
            return path
    names = sorted({path.stem for place in folders for path in place.glob(f"*{suffix}")})
    raise FileNotFoundError(f"no {what} {name!r}; there are: {', '.join(names) or 'none'}")


def read_result(name):
    """Return what was recorded of the headline run `name`, a dict.

    Raises
    ------
    FileNotFoundError
        If there is no record of this name.
    ValueError
        If the file holds something else.
    """
    path = _find("results", name, ".json", "recorded result")
    try:
        record = json.loads(path.read_text(encoding="utf8"))
    except ValueError as reason:
        raise ValueError(f"{path}: expected a record in JSON, found another ({reason})") from reason
    if not isinstance(record, dict) or not RECORDED <= record.keys():
        raise ValueError(f"{path}: expected a record that has {', '.join(sorted(RECORDED))}, found another")
    return record


def find_weights(name):
    """Return the path of the trained weights of the headline run `name`.

    Raises
    ------
    FileNotFoundError
        If there are none of this name.
    """
    return _find("weights", name, ".npz", "trained weights")


def load_weights(name):
    """Load the trained parameters of the headline run `name`: a dict of str to float32 array (of the host).

    They were made by ``python -m companion reproduce NAME``, and are at hand without training or network.

    Raises
    ------
    FileNotFoundError
        If there are none of this name.
    ValueError
        If the file is damaged, has numbers that are not finite, or holds a whole model.
    """
    path = find_weights(name)
    arrays, facts = load(path)
    if cls := facts.get("model"):  # words and settings are a part of it
        by = f"companion.storage.load_model(find_weights({name!r}), {cls})"
        raise ValueError(f"{path}: expected arrays alone, found a whole {cls}, to be loaded by {by}")
    for each, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{path}: expected finite numbers, found others in {each}")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def environment():
    """Return versions, backend and machine, as they are recorded beside every result."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "none"  # in a browser there is no JupyterLab of its own
    return {"versions": versions, "backend": xp_name, "machine": _machine()}


def _machine():
    """Name the processor, the number of its cores and the operating system; nothing that names an owner."""
    model, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text(encoding="utf8").splitlines() if line.startswith("model name")]
        model = named[0].split(":")[1].strip() if named else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"
