"""Arrays to and from ``.npz`` files: no pickle, a version in every file, never half a file.

Besides arrays a file holds one JSON text of plain facts (the state of a generator, the names of classes, ...).
"""

import contextlib
import json
import os
import uuid
import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import to_device, to_numpy

__all__ = ["VERSION", "load", "load_model", "replacing", "save", "save_model"]

VERSION = 1
_FACTS = "__companion__"


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside `path`; rename it to `path` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(path, arrays, facts=None):
    """Write arrays and plain facts to an ``.npz`` file, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; its folder is made if missing. A file that is there is replaced at the end, in one step.
    arrays : dict of str to array
        NumPy or CuPy arrays of numbers, booleans or fixed-width strings.
    facts : dict, optional
        Anything that JSON can hold.

    Raises
    ------
    TypeError
        If an array holds Python objects, or a fact is not JSON serializable.
    """
    arrays = {name: to_numpy(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name!r} holds Python objects ({array.dtype}); only numbers and strings are saved")
    text = json.dumps({"version": VERSION, "facts": facts or {}}, default=_plain)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{_FACTS: np.array(text)}, **arrays)


def _plain(fact):
    """Return a NumPy number, such as a search sets among the hyper-parameters, as one that JSON knows."""
    if isinstance(fact, np.generic):
        return fact.item()
    raise TypeError(f"{fact!r} is not JSON serializable")


def load(path):
    """Read a file that `save` wrote.

    Returns
    -------
    arrays : dict of str to numpy.ndarray
    facts : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is not one of this book's, or was written by a newer version.
    """
    foreign = f"{path}: expected an .npz file saved by the companion"
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{foreign}, found something that is no .npz archive at all")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as reason:
        raise ValueError(f"{foreign}, found a damaged one ({reason})") from reason
    if _FACTS not in arrays:
        raise ValueError(f"{foreign}, found an .npz of another origin (it lacks {_FACTS!r})")
    try:
        header = json.loads(str(arrays.pop(_FACTS)))
        header["version"], header["facts"]
    except (ValueError, KeyError, TypeError) as reason:
        raise ValueError(f"{foreign}, found a damaged one ({reason})") from reason
    if header["version"] > VERSION:
        raise ValueError(f"{path}: written in format {header['version']}; this companion reads up to {VERSION}")
    return arrays, header["facts"]


def save_model(path, model):
    """Write a fitted model: its hyper-parameters, its labels and what it has learned (``parameters_``).

    The history of its training is not kept.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If there is nothing to save yet.
    """
    check_is_fitted(model)
    arrays = {f"parameters/{name}": array for name, array in model.parameters_.items()}
    if hasattr(model, "classes_"):
        # Labels that are words may come as Python objects; as strings of fixed width they need no pickle.
        labels = model.classes_
        arrays["classes"] = labels.astype(str) if labels.dtype == object else labels
    facts = {"model": type(model).__name__, "parameters": model.get_params(), "n_features": model.n_features_in_}
    save(path, arrays, facts)


def load_model(path, cls):
    """Read a model of class `cls` that `save_model` wrote.

    Raises
    ------
    ValueError
        If the file holds another kind of model, or none (see `load`).
    """
    arrays, facts = load(path)
    if facts.get("model") != cls.__name__:
        raise ValueError(f"{path}: expected a {cls.__name__}, found {facts.get('model') or 'no model'}")
    # JSON knows no tuples, and no hyper-parameter is a list
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["parameters"].items()}
    model = cls(**given)
    model.n_features_in_ = facts["n_features"]
    if "classes" in arrays:
        model.classes_ = arrays.pop("classes")  # labels may be words, which live on the host only
    model.parameters_ = {name.removeprefix("parameters/"): to_device(array) for name, array in arrays.items()}
    return model
