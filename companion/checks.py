"""What numbers must be before anything is computed from them: ValueErrors that say what was expected, and what came."""

from numbers import Integral, Real

import numpy as np

from .backend import to_device, xp

__all__ = [
    "are_pixels", "check_count", "check_finite", "check_pair", "check_temperature", "check_undated", "check_unmasked",
    "finite_rows", "pixel_rows", "real_array",
]  # fmt: skip


def check_count(name, value, least=1):
    """Return `value`, or raise ValueError unless it is a whole number, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}: expected a whole number, at least {least}, found {value!r}")
    return int(value)  # NumPy's own would overflow in what is computed from it


def check_pair(validation):
    """Return `validation`, or raise ValueError unless it is a pair: examples, and what is known of them."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        what = f"{len(validation)} parts" if isinstance(validation, tuple | list) else type(validation).__name__
        raise ValueError(f"validation: expected a pair (X, y), found {what}")
    return validation


def check_temperature(value, above=False):
    """Raise ValueError unless `value` is an inverse temperature: finite, and not below 0, or even above it."""
    number = value.item() if getattr(value, "shape", None) == () else value
    possible = isinstance(number, Real) and not isinstance(number, bool) and 0 <= number < np.inf
    if not possible or above and number == 0:
        raise ValueError(
            f"inverse_temperature: expected a finite number {'above 0' if above else 'from 0'}, found {value!r}"
        )


def check_finite(name, array):
    """Raise ValueError unless all of `array`, on the device, is finite."""
    if not bool(xp.isfinite(array).all()):
        raise ValueError(f"{name}: expected finite numbers, found NaN or infinity among them")


def check_unmasked(name, array):
    """Raise ValueError for a masked array, or a list of some: what a mask hides would count like all the rest."""
    parts = array if isinstance(array, list | tuple) else [array]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise ValueError(f"{name}: expected an array without a mask, found a masked one; fill it, or leave rows out")


def check_undated(name, array):
    """Raise ValueError for NumPy's dates and durations, whatever holds them: it would make numbers of them."""
    types = np.ravel(getattr(array, "dtypes", getattr(array, "dtype", None))).tolist()
    if not all(hasattr(of, "kind") for of in types):  # a list, or a table that has types of its own
        types = [np.asarray(array).dtype]
    if any(of.kind == "O" for of in types):
        types += [value.dtype for value in np.asarray(array).ravel() if isinstance(value, np.generic)]
    for of in types:
        if of.kind in "mM":
            raise ValueError(f"{name}: expected real numbers, found {of}")


def real_array(name, array):
    """Return `array`, on the side where it is, if it has real numbers, none of them masked."""
    check_unmasked(name, array)
    types = np.ravel(getattr(array, "dtypes", [])).tolist()
    if not all(isinstance(of, np.dtype) for of in types) and all(
        getattr(of, "kind", None) in [*"fiub"] for of in types
    ):
        array = array.to_numpy(float)  # a table with numbers of pandas' own, of which NumPy would make objects
    array = array if isinstance(array, xp.ndarray) else np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, found {array.dtype}")
    return array


def finite_rows(name, array, width=None, dtype=None):
    """Return `array` (n, width) on the device, if it has at least one row, and finite numbers, none of them masked."""
    array = to_device(real_array(name, array), dtype)
    if array.ndim != 2 or not array.size or width not in (None, array.shape[1]):
        raise ValueError(f"{name}: expected an array of shape (n, {width or 'n_features'}), one row a state, found "
                         f"{array.shape}")  # fmt: skip
    check_finite(name, array)
    return array


def pixel_rows(name, images, n_pixels=None, dtype=None):
    """Return `images` (n, n_pixels) on the device, if they are such rows of numbers from 0 to 1."""
    images = finite_rows(name, images, n_pixels, dtype)
    if not are_pixels(images):
        raise ValueError(f"{name}: expected pixels from 0 to 1, found {float(images.min()):.3g} to "
                         f"{float(images.max()):.3g}")  # fmt: skip
    return images


def are_pixels(v):
    """Return whether all of v is from 0 to 1, up to rounding."""
    return -1e-6 <= float(v.min()) and float(v.max()) <= 1 + 1e-6
