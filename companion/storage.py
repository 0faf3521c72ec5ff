"""Arrays to and from ``.npz`` files: no pickle, a version in every file, never half a file.

Besides arrays a file holds one JSON text of plain facts (the state of a generator, the names of classes, ...).
"""

import contextlib
import errno
import json
import math
import os
import shutil
import uuid
import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .backend import to_numpy
from .checks import check_finite, check_unmasked
from .places import at_home

__all__ = ["VERSION", "expect_file", "expect_writable", "load", "load_model", "replacing", "save", "save_model"]

VERSION = 1
_FACTS = "__companion__"
_TAKEN = (_FACTS, "file", "allow_pickle")
_KINDS = "biufcUS"  # of arrays: booleans, integers, real and complex numbers, strings; none needs a pickle


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside `path`; rename it to `path` only if the block ends without an error."""
    path = _place(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    try:
        yield temporary
        if os.name != "nt":  # where what is read-only could be neither renamed nor taken away
            with contextlib.suppress(OSError):  # there is none yet, or the disk knows nothing of it
                shutil.copymode(path, temporary)  # who may read it
        os.replace(temporary, path)
    except OSError as reason:
        if reason.errno is None or str(reason.filename) not in ("None", str(temporary)):
            raise
        # The number decides on the class. A name that nobody has given, and that is gone, would explain nothing.
        raise OSError(reason.errno, f"could not be written ({reason.strerror}); it is as it was", str(path)) from reason
    finally:
        temporary.unlink(missing_ok=True)


def expect_writable(path):
    """Raise OSError, naming `path`, if no file can be written there."""
    try:
        path = _place(path)
        trial = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")  # tempfile would try for ever on Windows
        with open(trial, "xb"):
            pass
        trial.unlink()
    except OSError as reason:
        raise OSError(reason.errno, f"cannot be written ({reason.strerror})", str(path)) from reason


def _place(path):
    """Return where a file is to be, in a folder made if missing. A link stays one: what it leads to is replaced."""
    path = Path(os.path.realpath(at_home(path)))
    expect_file(path)
    if path.exists() and not path.stat().st_mode & 0o222:  # renaming would not ask
        raise OSError(errno.EACCES, "is there, and read-only", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def expect_file(path):
    """Raise OSError if there is something at `path` that is no file: a folder, a device, a pipe that nobody fills."""
    if path.exists() and not path.is_file():
        number = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(number, "expected the path of a file, found something else", str(path))


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
    ValueError
        If an array has a name that is no word, or one that `numpy.savez` needs for itself; or if it has a mask.
    TypeError
        If an array holds Python objects, dates or records, if the facts are no dict, or one not JSON serializable.
    OSError
        If the disk is full, the folder may not be written to, or the file is there and read-only; a file that was there
        is as it was.
    """
    for name, array in arrays.items():
        check_unmasked(name, array)
    arrays = {name: to_numpy(array) for name, array in arrays.items()}
    if taken := [name for name in arrays if not isinstance(name, str) or name in _TAKEN or "\0" in name]:
        raise ValueError(f"expected names of arrays that are words, other than {', '.join(_TAKEN)}; found {taken[0]!r}")
    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS:
            what = "Python objects" if array.dtype.hasobject else "something else"
            raise TypeError(f"{name!r} holds {what} ({array.dtype}); only numbers and strings are saved")
    if not isinstance(facts or {}, dict):
        raise TypeError(f"expected facts as a dict, found {facts!r}")
    text = json.dumps({"version": VERSION, "facts": facts or {}}, default=_plain)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{_FACTS: np.array(text)}, **arrays)


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
    path = at_home(path)
    expect_file(path)
    foreign = f"{path}: expected an .npz file saved by the companion"
    file = open(path, "rb")  # once: meanwhile another may take its place
    if not zipfile.is_zipfile(file):
        file.close()
        raise ValueError(f"{foreign}, found something that is no .npz archive at all")
    try:
        with file, zipfile.ZipFile(file) as archive:
            if f"{_FACTS}.npy" not in archive.namelist():
                raise ValueError(f"it is of another origin, and lacks {_FACTS!r}")
            arrays = _read_arrays(archive, os.fstat(file.fileno()).st_size)
        header = json.loads(str(arrays.pop(_FACTS)))
        if not isinstance(header, dict) or not isinstance(header.get("facts"), dict):
            raise ValueError("no facts in it")
        version = header.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise ValueError(f"the version {version!r}")
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as reason:
        raise ValueError(f"{foreign}, found a damaged or foreign one: {reason}") from reason  # RecursionError included
    if version > VERSION:
        raise ValueError(f"{path}: written in format {version}; this companion reads up to {VERSION}")
    return arrays, header["facts"]


def _read_arrays(archive, n_bytes):
    """Read all members of an archive of `n_bytes`, or raise ValueError before anything large is allocated.

    `save` does not compress: an array takes as many bytes in the file as in memory, and no header can promise more.
    """
    arrays, members = {}, archive.infolist()
    if sum(member.file_size for member in members) > n_bytes:
        raise ValueError("members that are larger than the file")
    for member in members:
        name = member.filename.removesuffix(".npy")
        if member.compress_type != zipfile.ZIP_STORED or name == member.filename or name in arrays:
            raise ValueError(f"the member {member.filename!r}, which is compressed, no array, or there twice")
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):  # the others are for records and for headers of more than 64 kB
                raise ValueError(f"an array in version {version} of its format")
            try:
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            except Exception as reason:  # the text is parsed as Python's, and fails in as many ways
                raise ValueError(f"{name} with a header that is none ({reason or type(reason).__name__})") from reason
            possible = dtype.kind in _KINDS and dtype.itemsize and all(type(n) is int and n >= 0 for n in shape)
            if not possible or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                raise ValueError(f"{name}, which is said to have shape {shape} and type {dtype}")
        with archive.open(member) as file:
            arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def save_model(path, model):
    """Write a fitted model: its hyper-parameters, its labels and what it has learned (``parameters_``).

    A generator among the hyper-parameters is saved as it stands. The history of the training is not kept.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If there is nothing to save yet.
    ValueError
        If there is another model among the hyper-parameters, such as that of a `companion.wake_sleep.UpDown`; or what
        was written could not be read again: a setting is not what it may be, or no longer that of the arrays, or these
        are not finite.
    """
    check_is_fitted(model, "parameters_")
    settings = model.get_params(deep=False)
    if inner := [name for name, value in settings.items() if isinstance(value, BaseEstimator)]:
        raise ValueError(f"expected a model with plain hyper-parameters, found a {type(model).__name__}, whose "
                         f"{inner[0]} is a model itself: save its network_")  # fmt: skip
    model._check_parameters(model.parameters_, model.n_features_in_, len(getattr(model, "classes_", ())))
    for name, array in model.parameters_.items():
        check_finite(name, array)
    arrays = {f"parameters/{name}": array for name, array in model.parameters_.items()}
    if hasattr(model, "classes_"):
        labels = model.classes_
        arrays["classes"] = _fixed_width("label", labels) if labels.dtype == object else labels
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = _fixed_width("name of a feature", model.feature_names_in_)
    settings = {name: _with_pairs(value) for name, value in settings.items()}
    for name, value in settings.items():
        try:
            json.dumps(value, default=_plain)
        except TypeError:
            raise ValueError(
                f"{name} is a {type(value).__name__}; expected what a file can hold: numbers, words, a generator"
            ) from None
    facts = {"model": type(model).__name__, "parameters": settings, "n_features": model.n_features_in_}
    save(path, arrays, facts | {name: vars(model)[name] for name in REMEMBERED if name in vars(model)})


def load_model(path, cls):
    """Read a model of class `cls` that `save_model` wrote.

    Raises
    ------
    ValueError
        If the file holds another kind of model, or none (see `load`), or if its settings, labels or arrays are not
        what such a model can have.
    """
    if not isinstance(cls, type):
        raise ValueError(f"cls: expected a class of models, such as MLP, found {cls!r}")
    arrays, facts = load(path)
    if facts.get("model") != cls.__name__:
        raise ValueError(f"{path}: expected a {cls.__name__}, found {facts.get('model') or 'no model'}")
    try:
        given = facts.get("parameters")
        known = cls().get_params().keys()
        if not isinstance(given, dict) or given.keys() - known:
            raise ValueError(f"expected hyper-parameters among {', '.join(known)}, found {given!r}")
        model = cls(**{name: _unplain(value) for name, value in given.items()})
        classes, names = arrays.pop("classes", None), arrays.pop("feature_names", None)
        parameters = {name.removeprefix("parameters/"): array for name, array in arrays.items()}
        for name in REMEMBERED & facts.keys():
            if not isinstance(facts[name], bool):
                raise ValueError(f"expected {name} true or false, found {facts[name]!r}")
            setattr(model, name, facts[name])
        model._restore(parameters, facts.get("n_features"), classes)
        if names is not None:
            if names.shape != (model.n_features_in_,):
                raise ValueError(f"expected {model.n_features_in_} names of features, found {names.shape}")
            model.feature_names_in_ = names.astype(object)
        elif cls.NAMED:
            raise ValueError("expected the names of its features, found none")
    except ValueError as reason:
        raise ValueError(f"{path}: {reason}") from reason
    return model


REMEMBERED = {"_pretrained", "pixels_"}  # what else a model knows of its past


def _plain(fact):
    """Return a NumPy number, such as a search sets among the hyper-parameters, or a generator as JSON knows it."""
    if isinstance(fact, np.generic | np.ndarray):
        return fact.tolist()
    if isinstance(fact, np.random.RandomState):
        return {"RandomState": fact.get_state(legacy=False)}
    if isinstance(fact, np.random.Generator):
        sequence = fact.bit_generator.seed_seq  # which counts the generators that were spawned
        known = sequence.state if isinstance(sequence, np.random.SeedSequence) else None
        return {"Generator": fact.bit_generator.state | {"seed_sequence": known}}
    raise TypeError(f"{fact!r} is not JSON serializable")


def _fixed_width(what, words):
    """Return words that are Python objects as strings of fixed width, which need no pickle."""
    array = words.astype(str)
    if (lost := array != words).any():
        raise ValueError(f"expected a {what} without zeros (\\0) at its end, found {words[lost][0]!r}")
    return array


def _with_pairs(value):
    """Return a setting whose dicts, where their keys are not plain words, are lists of pairs: JSON has words only."""
    if not isinstance(value, dict):
        return value
    parts = {key: _with_pairs(part) for key, part in value.items()}
    words = all(isinstance(key, str) and key not in _READ_AS for key in parts)
    return parts if words else {"pairs": list(parts.items())}


def _unplain(value):
    """Return what `_plain` was given; JSON knows no tuples, and no hyper-parameter is a list."""
    if isinstance(value, list):
        return tuple(_unplain(part) for part in value)
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), None)
    if len(value) > 1 or kind not in _READ_AS:
        return {name: _unplain(part) for name, part in value.items()}
    try:
        return _READ_AS[kind](value[kind])
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as reason:
        raise ValueError(f"expected {kind} as `save_model` writes it, found another ({reason!r})") from reason


def _bits(state):
    """Return NumPy's source of random bits in this state, which spawns the generators that it would have spawned."""
    kind, sequence = getattr(np.random, state["bit_generator"]), state.get("seed_sequence")
    if not isinstance(kind, type) or not issubclass(kind, np.random.BitGenerator):
        raise ValueError(f"found {kind!r}")
    if sequence and sequence["pool_size"] > 64:  # words; 4 unless somebody asked for more
        raise ValueError(f"found a pool of {sequence['pool_size']!r}")
    bits = kind(np.random.SeedSequence(**sequence) if sequence else None)
    bits.state = state
    return bits


_READ_AS = {  # a dict with one of these for its only key
    "pairs": lambda pairs: {key: _unplain(part) for key, part in pairs},
    "Generator": lambda state: np.random.Generator(_bits(state)),
    "RandomState": lambda state: np.random.RandomState(_bits(state)),
}
