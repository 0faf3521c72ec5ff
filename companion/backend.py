"""Where arrays live: ``xp`` is CuPy when a GPU answers, NumPy otherwise.

The rest of the book writes ``xp.exp(x)`` and never asks which of the two it is. This is the only file that names
CuPy. Nothing converts silently: arrays go to the device through `to_device`, once, and come back through `to_numpy`,
at the edge (figures, files, scikit-learn's answers).

The environment variable ``COMPANION_BACKEND`` overrides the choice: ``numpy`` or ``cupy``. Another one,
``COMPANION_THREADS``, says how many threads the large matrix products of a training may use on the processor: 1 unless
it is set, because on a machine that has other work several threads wait for each other.
"""

import contextvars
import copy
import importlib.util
import itertools
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from scipy.linalg import get_blas_funcs
from threadpoolctl import ThreadpoolController

__all__ = ["Noise", "add_scaled", "generator", "matmul", "one_thread", "to_device", "to_numpy", "xp", "xp_name"]


def _cupy_that_works():
    """Return the module ``cupy`` after a tiny computation on a device; raise whatever stands in the way."""
    import cupy

    # Without a device `import cupy` succeeds silently, so ask for one, and for a result.
    if cupy.cuda.runtime.getDeviceCount() < 1 or int(cupy.arange(3).sum()) != 3:
        raise RuntimeError("no GPU answers")
    return cupy


def _choose(wanted=None):
    """Return the array module: NumPy, or CuPy if it works.

    Parameters
    ----------
    wanted : {None, "numpy", "cupy"}
        None takes CuPy where it works and NumPy otherwise.

    Raises
    ------
    ValueError
        If `wanted` is another word.
    RuntimeError
        If `wanted` is ``"cupy"`` and CuPy is not installed or no GPU answers.
    """
    if wanted not in (None, "", "numpy", "cupy"):
        raise ValueError(f"COMPANION_BACKEND is {wanted!r}; expected 'numpy' or 'cupy', or leave it unset")
    if wanted == "numpy":
        return np
    if not wanted and importlib.util.find_spec("cupy") is None:  # 0.1 ms; an import would be far slower
        return np
    try:
        return _cupy_that_works()
    except Exception as reason:  # CuPy's own errors have no common base, and may come from the driver
        if wanted == "cupy":
            raise RuntimeError(
                f"COMPANION_BACKEND=cupy, but CuPy cannot be used here ({type(reason).__name__}: {reason}). "
                "It needs an NVIDIA GPU and one of the packages cupy-cuda12x or cupy-cuda13x. "
                "Unset COMPANION_BACKEND to go on with NumPy."
            ) from reason
        return np


xp = _choose(os.environ.get("COMPANION_BACKEND"))
xp_name = xp.__name__


def _count(threads):
    """Return the number of threads that a matrix product may use, from the words of the environment.

    Raises
    ------
    ValueError
        Unless it is a whole number, at least 1.
    """
    if threads and not (threads.isascii() and threads.isdecimal() and int(threads)):
        raise ValueError(f"COMPANION_THREADS is {threads!r}; expected a whole number, at least 1, or leave it unset")
    return int(threads or 1)


# Multiplications of each thread, at least: for fewer, waking it takes too long; far fewer are summed in another order.
SHARED = 2**23
THREADS = _count(os.environ.get("COMPANION_THREADS"))


def to_device(array, dtype=None):
    """Move `array` to where ``xp`` computes (no copy if it is there already).

    Parameters
    ----------
    array : array_like, any shape
    dtype : dtype, optional
        Converted to this on the way, for instance ``xp.float32``.
    """
    return xp.asarray(array, dtype=dtype)


def to_numpy(array):
    """Bring `array` back to NumPy (no copy if it is there already)."""
    return array if isinstance(array, np.ndarray) else xp.asnumpy(array) if xp is not np else np.asarray(array)


@cache
def _axpy(dtype):
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"expected an array of float32 or float64, found {dtype}")
    return get_blas_funcs("axpy", dtype=dtype)


def add_scaled(target, scale, array):
    """Add `scale` times `array` to `target`, in place; both are contiguous and of one shape and type.

    With NumPy this is the BLAS routine axpy: one pass over the memory where ``target += scale * array`` makes three.
    """
    if xp is np:
        # BLAS asks nobody: it would write into read-only memory, or into a copy that nobody sees.
        if not (target.flags.c_contiguous and target.flags.writeable):
            raise ValueError("expected a contiguous array that may be written to, found one that is not")
        _axpy(target.dtype)(array.reshape(-1), target.reshape(-1), a=scale)
    else:
        target += scale * array


@cache
def _helpers(process):
    """Return the threads that help in this process (a fork has none of its parent's), and a lock for who uses them."""
    return ThreadPoolExecutor(THREADS - 1, "companion-matmul"), threading.Lock()


def matmul(a, b, out=None):
    """Return ``xp.matmul(a, b, out=out)`` of two matrices; with NumPy, large ones on ``COMPANION_THREADS`` threads.

    Each thread makes some rows. With OpenBLAS every number comes out as it does on one thread, bit for bit: it takes
    rows by four, or by twelve, and so do the threads; a single column, which it sums in other ways, is left to one.
    (Where it divides a product among threads of its own, it cuts the sums in other places.)
    """
    n_rows, n_columns = len(a), b.shape[1]
    large = n_columns > 1 and n_rows >= 12 * THREADS and n_rows * len(b) * n_columns >= SHARED * THREADS
    if xp is not np or THREADS == 1 or not large:
        return xp.matmul(a, b, out=out)
    helpers, used = _helpers(os.getpid())
    if not used.acquire(blocking=False):  # by another thread's product
        return xp.matmul(a, b, out=out)
    try:
        out = xp.empty((n_rows, n_columns), np.result_type(a, b)) if out is None else out
        ends = [round(n_rows * i / THREADS / 12) * 12 for i in range(THREADS)] + [n_rows]
        mine, *others = [(a[i:j], b, out[i:j]) for i, j in itertools.pairwise(ends)]
        # What `np.errstate` says is of a context; a thread has one of its own.
        helping = [helpers.submit(contextvars.copy_context().run, xp.matmul, *rows) for rows in others]
        try:
            xp.matmul(*mine)
        finally:  # at an interrupt, too: nobody writes into `out` when it is used again
            for part in helping:
                part.result()
    finally:
        used.release()
    return out


_threadpools = cache(ThreadpoolController)  # looking for the libraries takes a millisecond: once is enough


class _OneThread:
    """Limits BLAS from the first that enters, of however many threads of Python, to the last that leaves."""

    def __init__(self):
        self.lock, self.users, self.limited = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            if not self.users:
                self.limited = _threadpools().limit(limits=1, user_api="blas")
            self.users += 1

    def __exit__(self, *_):
        with self.lock:
            self.users -= 1
            if not self.users:
                self.limited.restore_original_limits()


_one_thread = _OneThread()


def one_thread():
    """Return a context in which BLAS uses one thread: two make small products slower, by far on a busy machine."""
    return _one_thread


def generator(random_state=None):
    """Return the one random generator that a model passes down.

    It lives on the host, also when ``xp`` is CuPy: its state can be saved and restored exactly, which is what lets a
    resumed run equal an uninterrupted one.

    Parameters
    ----------
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        A `numpy.random.Generator` is returned as it is; a `RandomState`, which scikit-learn hands out, seeds a new
        generator; None asks the operating system for a seed.

    Raises
    ------
    ValueError
        If `random_state` is something else.
    """
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31, size=4)
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as reason:
        raise ValueError(f"random_state is {random_state!r}; expected None, a whole number, at least 0, or a generator "
                         "of NumPy's") from reason  # fmt: skip


def _uniform_by_words(rng, out):
    """Return ``rng.random(out.shape, np.float32, out)``, bit for bit, in 0.6 of its time where calls are what costs.

    For generators of NumPy's default kind, PCG64; others cut their bits in other ways.

    PCG64 makes 64 random bits a call. NumPy calls it twice for two numbers and has it keep half of the bits for the
    second call; here a call serves both. Source: NumPy, ``distributions.c``, ``random_standard_uniform_f``.
    """
    bits, numbers = rng.bit_generator, out.reshape(-1)
    if bits.state["has_uint32"]:  # half a word from an earlier draw comes first
        numbers[0] = rng.random(dtype=np.float32)
        numbers = numbers[1:]
    pairs = len(numbers) // 2
    words = bits.random_raw(pairs).astype("<u8", copy=False).view("<u4")
    words >>= 8  # as many bits as a float32 holds
    np.multiply(words, np.float32(2**-24), out=numbers[: 2 * pairs], dtype=np.float32)
    if len(numbers) % 2:
        numbers[-1] = rng.random(dtype=np.float32)
    return out


class Noise:
    """Random numbers where the arrays live, all following from one host generator.

    With NumPy they come from `rng` itself. With CuPy they come from a generator on the device that is seeded from `rng`
    at the first draw after `renew`; training renews at the start of every epoch, so that the state of `rng` is all a
    checkpoint must hold. Where nothing is drawn, `rng` is left alone.

    Parameters
    ----------
    rng : numpy.random.Generator, or what `generator` makes one of
    """

    def __init__(self, rng):
        self._rng = generator(rng)
        self.renew()

    @classmethod
    def of(cls, random_state):
        """Return `random_state` itself if it is a `Noise`; otherwise one that follows from it (see `generator`)."""
        return random_state if isinstance(random_state, cls) else cls(random_state)

    def renew(self):
        """Start a new stream on the device; with NumPy nothing changes."""
        self._device = self._rng if xp is np else None

    def _generator(self):
        if self._device is None:
            self._device = xp.random.default_rng(int(self._rng.integers(2**63)))
        return self._device

    def parts(self, n, size, axis=0):
        """Divide the uniform numbers for arrays of n rows among blocks of rows, each for a thread of its own.

        A part gives its rows the very numbers that they would have been given in the whole array; it has no normal
        ones. When all are done, `follow` one of them. Where numbers cannot be skipped (CuPy; NumPy's other generators)
        there is one block.

        Parameters
        ----------
        n : int
            Rows of every array that will be filled.
        size : int
            Rows of a block, at most.
        axis : int
            Which one the rows lie on.

        Returns
        -------
        list of (slice, Noise)
        """
        if xp is not np or not isinstance(self._rng.bit_generator, np.random.PCG64) or n <= size:
            return [(slice(0, n), self)]
        return [
            (slice(start, min(start + size, n)), _Part(copy.deepcopy(self._rng), start, min(start + size, n), n, axis))
            for start in range(0, n, size)
        ]

    def follow(self, part):
        """Go on where one of the `parts` has come to: all of them come to the same place."""
        self._rng.bit_generator.state = part._rng.bit_generator.state

    def uniform(self, out):
        """Fill the float32 or float64 array `out` with numbers uniform in [0, 1) and return it."""
        rng = self._generator()
        many = out.dtype == np.float32 and out.size >= 10_000 and out.flags.c_contiguous
        if xp is np and many and isinstance(rng.bit_generator, np.random.PCG64):
            return _uniform_by_words(rng, out)
        return rng.random(out.shape, dtype=out.dtype, out=out)

    def normal(self, out):
        """Fill the float32 or float64 array `out` with numbers of the standard normal distribution and return it."""
        return self._generator().standard_normal(out.shape, dtype=out.dtype, out=out)


class _Part(Noise):
    """The uniform numbers of rows `start` to `stop` of n, on one axis; those of the other rows are skipped."""

    def __init__(self, rng, start, stop, n, axis):
        super().__init__(rng)
        self._before, self._after, self._axis = start, n - stop, axis

    def uniform(self, out):
        width = math.prod(out.shape[self._axis + 1 :])
        for rows in out.reshape(-1, *out.shape[self._axis :]):
            _skip(self._rng, self._before * width, out.dtype)
            super().uniform(rows)
            _skip(self._rng, self._after * width, out.dtype)
        return out

    def normal(self, out):
        raise NotImplementedError("only uniform numbers are divided: how many words a normal one takes is not known")


def _skip(rng, n, dtype):
    """Leave the generator, a PCG64, where drawing n uniform numbers of this type would."""
    bits = rng.bit_generator
    if dtype == np.float64:
        state = bits.state
        bits.advance(n)  # a word each; it would drop the half of a word that is left of float32 numbers
        bits.state = bits.state | {name: state[name] for name in ("has_uint32", "uinteger")}
    elif n:  # two to a word
        if bits.state["has_uint32"]:
            rng.random(dtype=np.float32)
            n -= 1
        bits.advance(n // 2)
        if n % 2:
            rng.random(dtype=np.float32)
