"""A stand-in for CuPy that needs no GPU and is as strict: NumPy inside, and no silent conversion outside.

`install` puts it in place of the module ``cupy``. Where CuPy refuses an argument that NumPy accepts (an
array of the host, the ``mode`` of `take`, the ``where`` of a reduction), so does the stand-in, and
reductions and single elements are arrays without dimensions, as there. It wraps arrays, because a subclass
of `numpy.ndarray` could not refuse `numpy.asarray`. What moves between host and device is counted in
`transfers`. Of CuPy's random numbers there is what the book draws: `random` and `standard_normal` of a
seeded generator.
"""

import importlib.machinery
import sys
import types
from collections import Counter
from numbers import Number

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["install", "ndarray", "transfers"]

transfers = (
    Counter()
)  # so far, "to device" and "to host"; a number that is read off the device counts, as it waits for it

# attributes of NumPy's arrays that CuPy's lack, or that would leak the memory of the host
ABSENT = {"byteswap", "ctypes", "data", "getfield", "resize", "setfield", "setflags"}
# keyword arguments of NumPy's functions that CuPy's lack
REFUSED = {"where", "initial", "subok", "like"}
# these take arrays of the host: the explicit transfer, and its copy
TRANSFERS = {"array", "asarray"}
# Python's bool in NumPy, an array without dimensions in CuPy
PREDICATES = {"allclose", "array_equal", "array_equiv"}


class ndarray(NDArrayOperatorsMixin):  # noqa: N801 (CuPy's name)
    """An array that behaves as if it lived on a device."""

    __hash__ = None

    def __init__(self, host):
        host = np.asarray(host)
        if host.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {host.dtype}")
        self._host = host

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return _apply_ufunc(ufunc, method, *inputs, **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return _lift(function)(*args, **kwargs)

    def __getattr__(self, name):
        # No dunder is forwarded: __array_interface__ would let NumPy in.
        if name.startswith("_") or name in ABSENT:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        value = getattr(self._host, name)
        return _lift(value) if callable(value) else _wrap(value)

    def __getitem__(self, key):
        return _wrap(self._host[_unwrap_key(key)])

    def __setitem__(self, key, value):
        if not isinstance(value, ndarray | Number | np.generic):
            raise TypeError(f"Unsupported type {type(value)}")
        self._host[_unwrap_key(key)] = _unwrap(value)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __len__(self):
        return len(self._host)

    def __float__(self):
        return float(self.get().item())

    def __int__(self):
        return int(self.get().item())

    def __index__(self):
        return self.get().__index__()

    def __bool__(self):
        return bool(self.get())

    def __format__(self, spec):
        return format(self._host.item() if self._host.ndim == 0 else self._host, spec)

    def __repr__(self):
        return repr(self._host)

    def get(self):
        """Return a copy on the host: the explicit transfer."""
        transfers["to host"] += 1
        return self._host.copy()


def _unwrap(value):
    """Return what NumPy is to compute with; refuse arrays of the host."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(map(_unwrap, value))
    return value


def _unwrap_key(key):
    for part in key if isinstance(key, tuple) else (key,):
        if not (part is None or part is Ellipsis or isinstance(part, ndarray | int | np.integer | slice)):
            raise IndexError(f"Unsupported index {type(part)}")
    return _unwrap(key)


def _wrap(value):
    """Return NumPy's result as CuPy would: no scalars, but arrays without dimensions."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(value)
    if isinstance(value, tuple | list) and any(isinstance(part, np.ndarray) for part in value):
        return type(value)(map(_wrap, value))
    return value


def _apply_ufunc(ufunc, method, *inputs, **kwargs):
    if unknown := kwargs.keys() - {"out", "dtype", "casting", "axis", "axes", "keepdims"}:
        raise TypeError(f"Wrong arguments {sorted(unknown)}")
    for value in inputs:
        if not isinstance(value, ndarray | Number | np.generic) and not (method != "__call__" and value is None):
            raise TypeError(f"Unsupported type {type(value)}")
    out = kwargs.pop("out", None)
    if out is not None:
        kwargs["out"] = out = out if isinstance(out, tuple) else (out,)
        if not all(isinstance(value, ndarray) for value in out):
            raise TypeError("return arrays must be of ArrayType")
        kwargs["out"] = _unwrap(out)
    result = getattr(ufunc, method)(*map(_unwrap, inputs), **kwargs)
    if out is None:
        return _wrap(result)
    return out[0] if len(out) == 1 else out  # the very object, so that `a += b` keeps its identity


class _Ufunc:
    """One of NumPy's ufuncs, for arrays of the stand-in only."""

    def __init__(self, ufunc):
        self._ufunc = ufunc

    def __call__(self, *inputs, **kwargs):
        return _apply_ufunc(self._ufunc, "__call__", *inputs, **kwargs)

    def __getattr__(self, method):
        if method not in ("accumulate", "at", "outer", "reduce"):
            raise AttributeError(method)
        return lambda *inputs, **kwargs: _apply_ufunc(self._ufunc, method, *inputs, **kwargs)


def _lift(function):
    """Return a function or method of NumPy for arrays of the stand-in only."""
    if isinstance(function, np.ufunc):
        return _Ufunc(function)
    name = function.__name__

    def lifted(*args, out=None, **kwargs):
        if refused := kwargs.keys() & (REFUSED | ({"mode"} if name in ("take", "put", "choose") else set())):
            raise TypeError(f"{name}() got an unexpected keyword argument {sorted(refused)[0]!r}")
        kwargs = {key: _unwrap(value) for key, value in kwargs.items()}
        if out is not None:
            if not isinstance(out, ndarray):
                raise TypeError(f"Argument 'out' has incorrect type (expected cupy.ndarray, got {type(out)})")
            kwargs["out"] = out._host
        result = function(*map(_unwrap, args), **kwargs)
        if out is not None:
            return out
        return ndarray(result) if name in PREDICATES else _wrap(result)

    return lifted


class Generator:
    """A seeded generator on the device."""

    def __init__(self, seed):
        self._host = np.random.default_rng(seed)

    def random(self, size=None, dtype=np.float64, out=None):
        """Numbers uniform in [0, 1)."""
        return self._fill(self._host.random, size, dtype, out)

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """Numbers of the standard normal distribution."""
        return self._fill(self._host.standard_normal, size, dtype, out)

    def _fill(self, draw, size, dtype, out):
        if out is None:
            return ndarray(draw(size, np.dtype(dtype)))
        if not isinstance(out, ndarray):
            raise TypeError(f"Unsupported type {type(out)}")
        draw(size, np.dtype(dtype), out._host)  # refuses another type or shape than that of `out`, as CuPy does
        return out


def _transfer(name):
    """Return `array` or `asarray`, which also take what lives on the host."""

    def transfer(a, dtype=None, copy=None, **kwargs):
        if isinstance(a, ndarray):
            if name == "asarray" and not copy and (dtype is None or a._host.dtype == dtype) and not kwargs:
                return a
            a = a._host
        else:
            transfers["to device"] += 1
        if isinstance(a, list | tuple):
            a = [part._host if isinstance(part, ndarray) else part for part in a]
        return ndarray(np.array(a, dtype, **kwargs))  # always a copy: host and device share no memory

    return transfer


class _Module(types.ModuleType):
    """The module ``cupy``: what it has of its own below, the rest lifted from NumPy."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        value = getattr(np, name)
        if isinstance(value, types.ModuleType):
            raise AttributeError(f"the stand-in for CuPy has no {name!r}")
        if name in TRANSFERS:
            return _transfer(name)
        return _lift(value) if callable(value) and not isinstance(value, type) else value

    @staticmethod
    def asnumpy(a):
        """Return a copy on the host: the explicit transfer."""
        return a.get() if isinstance(a, ndarray) else np.asarray(a)


def make(devices=1):
    """Return a new stand-in module that says it has so many devices."""
    cupy = _Module("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.ndarray = ndarray
    cupy.random = types.SimpleNamespace(default_rng=Generator)
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=lambda: devices))
    return cupy


def install():
    """Let ``import cupy`` give the stand-in, in this process."""
    sys.modules["cupy"] = make()
