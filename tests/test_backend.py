"""The choice between NumPy and CuPy, to the device and back, and the models on a strict stand-in for CuPy."""

import copy
import importlib.machinery
import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import strict_cupy
from threadpoolctl import threadpool_info, threadpool_limits

from companion import backend
from companion.backend import Noise, generator, one_thread, to_device, to_numpy, xp

HERE = Path(__file__).parent
CUPY = importlib.util.find_spec("cupy") is not None  # the real one, or the stand-in in its place
# on the stand-in; also what to run on a machine with a GPU, with COMPANION_BACKEND=cupy
MODEL_TESTS = (
    "functions layers conv optimize training storage logistic mlp lenet rbm likelihood dbn autoencoder stacked "
    "recurrent tagger rnnrbm hmc wake_sleep resume".split()
)


# ------------------------------------------------------------------------------------------------- the choice


fake = strict_cupy.make()


def fake_cupy(count=lambda: 1, arange=fake.arange):
    """A module ``cupy`` with the parts that the choice asks for."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count))
    cupy.arange = arange
    return cupy


def fails(*_):
    raise OSError("CUDA driver version is insufficient")


UNUSABLE = {
    "not installed": None,
    "no device": fake_cupy(count=lambda: 0),
    "no driver": fake_cupy(count=fails),
    "computes nothing": fake_cupy(arange=fails),
    "computes wrongly": fake_cupy(arange=lambda n: np.arange(n) + 1),
}


@pytest.mark.parametrize("what", UNUSABLE)
@pytest.mark.parametrize("wanted", [None, ""])
def test_without_a_gpu_numpy_is_taken_silently(monkeypatch, what, wanted):
    monkeypatch.setitem(sys.modules, "cupy", UNUSABLE[what])
    with warnings.catch_warnings(action="error"):
        assert backend._choose(wanted) is np


@pytest.mark.parametrize("what", UNUSABLE)
def test_cupy_asked_for_in_vain_is_a_clear_error(monkeypatch, what):
    monkeypatch.setitem(sys.modules, "cupy", UNUSABLE[what])
    with pytest.raises(RuntimeError, match="COMPANION_BACKEND=cupy.*needs an NVIDIA GPU.*Unset COMPANION_BACKEND"):
        backend._choose("cupy")


def test_the_reason_of_the_driver_is_passed_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", UNUSABLE["no driver"])
    with pytest.raises(RuntimeError, match="OSError: CUDA driver version is insufficient"):
        backend._choose("cupy")


@pytest.mark.parametrize("wanted", [None, "", "cupy"])
def test_cupy_that_works_is_taken(monkeypatch, wanted):
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert backend._choose(wanted) is cupy


def test_numpy_can_be_asked_for_where_cupy_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    assert backend._choose("numpy") is np


@pytest.mark.parametrize("word", ["torch", "CuPy", "gpu"])
def test_another_word_is_refused(word):
    with pytest.raises(ValueError, match=f"COMPANION_BACKEND is '{word}'; expected 'numpy' or 'cupy'"):
        backend._choose(word)


def run(code, *options, **environment):
    """Run Python code in a process with another environment; None unsets a variable."""
    environment = {name: value for name, value in (os.environ | environment).items() if value is not None}
    return subprocess.run([sys.executable, *options, "-c", code], env=environment, capture_output=True, text=True)


def test_importing_the_backend_gives_no_warning():
    ran = run("import companion.backend as b; print(b.xp_name)", "-W", "error", COMPANION_BACKEND=None)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip() in ("numpy", "cupy") if CUPY else ran.stdout.strip() == "numpy"


def test_the_environment_decides():
    ran = run("import companion.backend", COMPANION_BACKEND="nonsense")
    assert ran.returncode != 0 and "COMPANION_BACKEND is 'nonsense'" in ran.stderr


# --------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_there_and_back(rng, dtype):
    array = (10 * rng.normal(size=(3, 4))).astype(dtype)
    there = to_device(array)
    assert isinstance(there, xp.ndarray) and there.dtype == dtype
    back = to_numpy(there)
    assert type(back) is np.ndarray and back.dtype == dtype
    np.testing.assert_array_equal(back, array)


def test_what_is_there_already_is_not_copied():
    there, here = to_device(np.arange(3)), np.arange(3)
    assert to_device(there) is there
    assert to_numpy(here) is here


def test_the_type_can_change_on_the_way():
    assert to_device([1, 2], dtype=xp.float32).dtype == np.float32
    assert to_device(np.arange(3), dtype=xp.float32).dtype == np.float32


def test_numbers_and_lists_come_back_as_arrays():
    np.testing.assert_array_equal(to_numpy([1, 2]), np.array([1, 2]))
    assert to_numpy(to_device(np.ones(3)).sum()).shape == ()


# ---------------------------------------------------------------------------------------------- the generator


def test_a_number_seeds_the_generator():
    np.testing.assert_array_equal(generator(7).random(5), np.random.default_rng(7).random(5))
    assert (generator(7).random(5) != generator(8).random(5)).any()


def test_none_asks_for_a_new_seed():
    assert (generator().random(5) != generator().random(5)).any()


def test_a_generator_is_the_generator():
    rng = np.random.default_rng(0)
    assert generator(rng) is rng


def test_a_random_state_seeds_a_generator_and_moves_on():
    state, same = np.random.RandomState(1), np.random.RandomState(1)
    first, second = generator(state).random(5), generator(state).random(5)
    np.testing.assert_array_equal(first, generator(same).random(5))
    assert (first != second).any()


def test_the_global_seed_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (that it is not touched is the point)
    Noise(generator()).uniform(xp.empty(3))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_uniform(dtype):
    """Mean, variance and the ends, within five standard errors, written into the array that is given."""
    out = xp.full((100, 100), 7, dtype)
    assert Noise(generator(0)).uniform(out) is out
    numbers = to_numpy(out).astype(np.float64)
    assert out.dtype == dtype and numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / 10_000)
    assert abs(numbers.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / 10_000)
    assert numbers.min() < 0.001 and numbers.max() > 0.999


@pytest.mark.skipif(xp is not np, reason="NumPy's own numbers")
@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.SFC64, np.random.MT19937])
def test_noise_by_words_is_that_of_the_generator_bit_for_bit(bits):
    """Odd sizes leave half a word for the next draw; small ones and others are mixed among them."""
    ours, theirs = np.random.Generator(bits(3)), np.random.Generator(bits(3))
    noise = Noise(ours)
    for shape in ((100, 200), 10_001, 3, (101, 101), 20_000, 5, (103, 101), 10_001):
        expected = theirs.random(shape, dtype=np.float32)
        np.testing.assert_array_equal(noise.uniform(np.empty(shape, np.float32)), expected)
        assert ours.integers(1000) == theirs.integers(1000) and ours.random() == theirs.random()
        ours.integers(9, dtype=np.uint32), theirs.integers(9, dtype=np.uint32)  # keeps half a word, or uses it


@pytest.mark.skipif(xp is not np, reason="NumPy's own numbers")
@pytest.mark.parametrize(
    ("shape", "axis", "size"),
    [((7, 5), 0, 3), ((2, 7, 5), 1, 3), ((101, 333), 0, 50), ((3, 9), 1, 2), ((7,), 0, 3), ((5, 2), 0, 9)],
)
@pytest.mark.parametrize("dtypes", [[np.float32], [np.float64], [np.float32, np.float64]])
def test_parts_of_an_array_are_given_the_numbers_of_the_whole(dtypes, shape, axis, size):
    """Bit for bit, draw after draw, with half a word left or not; afterwards the generator goes on as if undivided."""
    whole, divided = Noise(generator(3)), Noise(generator(3))
    parts = divided.parts(shape[axis], size, axis)
    assert len(parts) == -(-shape[axis] // size)
    for dtype in dtypes * 4:
        expected, found = whole.uniform(np.empty(shape, dtype)), np.empty(shape, dtype)
        for rows, part in parts:
            index = (slice(None),) * axis + (rows,)
            found[index] = part.uniform(np.empty(found[index].shape, dtype))
        np.testing.assert_array_equal(found, expected)
    for _, part in parts:
        divided.follow(part)
        after = [copy.deepcopy(noise).uniform(np.empty(5, np.float32)) for noise in (whole, divided)]
        np.testing.assert_array_equal(*after)
    if len(parts) > 1:
        with pytest.raises(NotImplementedError):
            part.normal(np.empty(3))


def test_where_numbers_cannot_be_skipped_there_is_one_part():
    noise = Noise(np.random.Generator(np.random.SFC64(0)))
    ((rows, part),) = noise.parts(100, 7)
    assert rows == slice(0, 100) and part is noise
    noise.follow(part)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_normal(dtype):
    """The first four moments and a tail, within five standard errors, written into the array that is given."""
    out = xp.full((100, 100), 7, dtype)
    assert Noise(generator(0)).normal(out) is out
    numbers = to_numpy(out).astype(np.float64)
    assert out.dtype == dtype
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((numbers**power).mean() - moment) < 5 * np.sqrt(variance / 10_000)
    assert abs((numbers > 1.96).mean() - 0.025) < 5 * np.sqrt(0.025 / 10_000)


@pytest.mark.parametrize("draw", [Noise.uniform, Noise.normal])
def test_noise_follows_from_the_state_of_the_generator(draw):
    """A checkpoint relies on it: the state at the start of an epoch, and `renew`, give its numbers again."""

    def epoch(rng, noise):
        noise.renew()
        return to_numpy(draw(noise, xp.empty((3, 4)))).copy()

    rng = generator(4)
    noise = Noise(rng)
    first, state = epoch(rng, noise), rng.bit_generator.state
    second = epoch(rng, noise)
    assert (first != second).any()
    other = generator(99)
    other_noise = Noise(other)
    other.bit_generator.state = state
    np.testing.assert_array_equal(epoch(other, other_noise), second)


# -------------------------------------------------------------------------- the stand-in is as strict as CuPy


A, B = (fake.asarray(np.arange(6.0).reshape(2, 3) + shift) for shift in (0, 1))
HOST = np.ones((2, 3))

IMPLICIT = {
    "asarray": lambda: np.asarray(A),
    "array": lambda: np.array(A, dtype=np.float32),
    "ufunc, second": lambda: np.add(A, HOST),
    "ufunc, first": lambda: np.add(HOST, A),
    "operator": lambda: A + HOST,
    "operator of the host": lambda: HOST + A,
    "comparison": lambda: A == HOST,
    "product": lambda: A @ HOST.T,
    "product of the host": lambda: HOST @ A.T,
    "in place": lambda: A.__iadd__(HOST),
    "in place of the host": lambda: np.ones((2, 3)).__iadd__(A),
    "out on the host": lambda: np.exp(A, out=np.ones((2, 3))),
    "module's ufunc": lambda: fake.exp(HOST),
    "module's out on the host": lambda: fake.exp(A, out=HOST),
    "module's function": lambda: fake.sum(HOST, axis=0),
    "module's function, out on the host": lambda: fake.sum(A, axis=0, out=np.ones(3)),
    "function of two": lambda: fake.concatenate([A, HOST]),
    "keyword": lambda: fake.clip(A, a_min=HOST, a_max=5),
    "NumPy's function": lambda: np.concatenate([A, HOST]),
    "method": lambda: A.dot(HOST.T),
    "assertion": lambda: np.testing.assert_array_equal(HOST, A),
    "list to a ufunc": lambda: fake.exp([1.0, 2.0]),
    "assignment": lambda: A.__setitem__(0, HOST[0]),
    "assignment of a list": lambda: A.__setitem__(0, [1, 2, 3]),
    "assignment on the host": lambda: np.ones((2, 3)).__setitem__(..., A),
    "einsum": lambda: fake.einsum("ij,ij->j", A, HOST),
    "einsum of the host": lambda: np.einsum("ij,ij->j", HOST, A),
    "a number of the host in an array": lambda: A * np.array(2.0),
    "where": lambda: fake.sum(A, where=A > 1),
    "where of a ufunc": lambda: fake.exp(A, where=A > 1),
    "mode of take": lambda: fake.take(A, fake.asarray([0]), mode="clip"),
    "mode of the method": lambda: A.take(fake.asarray([0]), mode="clip"),
    "hash": lambda: hash(A),
    "two numbers as one": lambda: float(A),
}


@pytest.mark.parametrize("what", IMPLICIT)
def test_the_stand_in_refuses_what_cupy_refuses(what):
    before = A.get()
    with pytest.raises((TypeError, ValueError)):
        IMPLICIT[what]()
    np.testing.assert_array_equal(A.get(), before)


@pytest.mark.parametrize("index", [np.array([0]), [0], np.array([True, False]), (slice(None), np.array([1]))])
def test_the_stand_in_refuses_an_index_from_the_host(index):
    with pytest.raises(IndexError):
        A[index]
    with pytest.raises(IndexError):
        A[index] = 0


@pytest.mark.parametrize("name", ["__array_interface__", "__array_struct__", "data", "ctypes", "nonsense"])
def test_the_stand_in_does_not_leak_its_memory(name):
    with pytest.raises(AttributeError):
        getattr(A, name)


@pytest.mark.parametrize("name", ["linalg", "nonsense", "__path__"])
def test_the_stand_in_has_no_more_than_it_says(name):
    assert not hasattr(fake, name)


def test_the_stand_in_shares_no_memory_with_the_host():
    host = np.zeros(3)
    there = fake.asarray(host)
    there[...] = 1
    back = there.get()
    back[:] = 2
    assert host.tolist() == [0, 0, 0] and fake.asnumpy(there).tolist() == [1, 1, 1]


@pytest.mark.parametrize("words", [np.array(["a"]), np.array([None])])
def test_the_stand_in_holds_numbers_only(words):
    with pytest.raises(ValueError, match="Unsupported dtype"):
        fake.asarray(words)


def test_the_stand_in_has_arrays_where_numpy_has_scalars():
    for result in (
        A.sum(),
        A[0, 1],
        fake.exp(1.0),
        fake.mean(A),
        A.max(),
        next(iter(A[0])),
        fake.allclose(A, A),
    ):
        assert type(result) is fake.ndarray and result.shape == ()
    assert float(A.sum()) == 15 and int(A[1, 2]) == 5 and bool(A.sum() > 14) and f"{A.sum():.1f}" == "15.0"


def test_the_stand_in_computes_what_numpy_computes():
    a, b = A.get(), B.get()
    i = fake.asarray([1, 0])
    pairs = [
        (A @ B.T, a @ b.T),
        (2 * A - B / 3, 2 * a - b / 3),
        (fake.concatenate([A, B]), np.concatenate([a, b])),
        (np.exp(A), np.exp(a)),
        (A[fake.arange(2), i], a[np.arange(2), [1, 0]]),
        (A[A > 2], a[a > 2]),
        (A[:, None, ::-1], a[:, None, ::-1]),
        (fake.where(A > 2, A, B), np.where(a > 2, a, b)),
        (A.take(i, axis=1), a.take([1, 0], axis=1)),
        (fake.add.reduce(A, axis=1), np.add.reduce(a, axis=1)),
        (A.T.copy().reshape(-1), a.T.reshape(-1)),
        (fake.einsum("ij,ij->j", A, B), np.einsum("ij,ij->j", a, b)),
        (fake.einsum("ij,kj->ik", A, B), np.einsum("ij,kj->ik", a, b)),
        (fake.minimum(1, 3 / fake.maximum(A, 1e-12)), np.minimum(1, 3 / np.maximum(a, 1e-12))),
        (fake.subtract(1, A), 1 - a),
        (fake.zeros_like(A), np.zeros_like(a)),
    ]
    for found, expected in pairs:
        np.testing.assert_array_equal(found.get(), expected)


def test_the_stand_in_writes_in_place_and_through_views():
    a = fake.zeros((2, 3))
    alias, row = a, a[1]
    a += 1
    a[0] = fake.asarray([5.0, 6.0, 7.0])
    a[fake.asarray([1]), fake.asarray([2])] -= 4
    assert alias is a and row.get().tolist() == [1, 1, -3] and a[0].get().tolist() == [5, 6, 7]
    total, out = fake.zeros(()), fake.zeros(3)
    alias = total
    total += a.sum()
    assert alias is total and float(alias) == 17
    assert fake.sum(a, axis=0, out=out) is out and out.get().tolist() == [6, 7, 4]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(a)).get(), a.get())


@pytest.mark.parametrize("name", ["random", "standard_normal"])
def test_the_stand_in_draws_what_a_seed_says(name):
    out, draw = fake.zeros((2, 3), np.float32), getattr(fake.random.default_rng(1), name)
    assert draw(out.shape, dtype=out.dtype, out=out) is out
    expected = getattr(np.random.default_rng(1), name)((2, 3), np.float32)
    np.testing.assert_array_equal(out.get(), expected)
    drawn = getattr(fake.random.default_rng(1), name)((2, 3), np.float32)
    np.testing.assert_array_equal(drawn.get(), expected)
    with pytest.raises(TypeError):
        draw((2, 3), out=HOST)
    with pytest.raises(TypeError):
        draw((2, 3), np.float64, out=out)
    with pytest.raises(ValueError):
        draw((3, 2), np.float32, out=out)


@pytest.mark.slow
@pytest.mark.skipif(CUPY, reason="where CuPy is, the same tests run on it: COMPANION_BACKEND=cupy pytest")
def test_the_models_convert_nothing_silently():
    """Their tests, in a process whose CuPy is the stand-in."""
    files = [str(HERE / f"test_{name}.py") for name in MODEL_TESTS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *files,
        "-q",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-k",
        # of scikit-learn's checks, these will do
        "not scikit_learn or test_logistic and (dtypes or classifiers_train)",
        "-m",
        "not slow",
    ]
    environment = os.environ | {"COMPANION_BACKEND": "cupy"}
    ran = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout


STEPS = """
import sys

import numpy as np
import strict_cupy

strict_cupy.install()

from companion import DBN, DenoisingAutoencoder, LeNet, LogisticRegression, MLP, RBM
from companion.annealing import Anneal, ParallelTempering
from companion.wake_sleep import UpDown

rng = np.random.default_rng(0)
X, y = rng.random((400, 144)).astype(np.float32), rng.integers(0, 3, 400)
each = {"batch_size": 10, "n_epochs": 1, "random_state": 0}
machine = RBM(n_hidden=20, **each).fit(X)
stack = DBN(hidden_sizes=(20, 10), pretraining={"n_epochs": 1, "batch_size": 10}, random_state=0).pretrain(X)


def tempered(n):
    chains = ParallelTempering(machine, np.zeros((5, 144)), np.linspace(1, 0.5, 4), rng=0)
    for _ in range(n // 10):
        next(chains)


def annealed(n):
    for _ in Anneal(machine, 5, np.linspace(0, 1, n // 10 + 1), rng=0):
        pass


models = {
    "softmax": LogisticRegression(**each),
    "MLP": MLP(hidden_sizes=(20,), dropout=0.2, batch_norm=True, optimizer="adam", averaging=0.9, **each),
    "LeNet": LeNet(filter_size=3, n_filters=(3, 4), n_convolutions=2, n_hidden=10, conv_dropout=0.1,
                   gaussian_noise=0.1, batch_norm=True, **each),
    "autoencoder": DenoisingAutoencoder(n_hidden=20, averaging=0.9, **each),
    "RBM": RBM(n_hidden=20, persistent=True, centered=True, sparsity_cost=0.1, binarize=True, **each),
}
runs = {name: lambda n, model=model: model.fit(X[:n], y[:n]) for name, model in models.items()}
runs |= {"up-down": lambda n: UpDown(stack, **each).fit(X[:n]), "tempering": tempered, "annealing": annealed}
for name, run in runs.items():
    counts = []
    for n in (200, 400):  # twenty steps, and forty
        strict_cupy.transfers.clear()
        run(n)
        counts.append(dict(strict_cupy.transfers))
    if counts[0] != counts[1]:
        print(name, *counts)
"""


@pytest.mark.skipif(CUPY, reason="counted on the stand-in")
def test_a_step_moves_nothing_between_host_and_device():
    """Twice as many steps move as much: the data, once."""
    environment = os.environ | {"COMPANION_BACKEND": "cupy", "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-W", "ignore", "-c", STEPS]
    ran = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout == ""


@pytest.mark.skipif(xp is not np, reason="a GPU has no such threads")
def test_blas_has_its_threads_back_when_the_last_has_left():
    """Whoever enters second finds one thread, and must not hand that on when all have left."""
    with threadpool_limits(2, "blas"):
        before, first, second = threadpool_info(), one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert set(blas) == {1} or sys.platform == "darwin", "no BLAS is found: threadpoolctl is too old for NumPy's"
        second.__exit__(None, None, None)
        assert threadpool_info() == before


def test_many_uniform_numbers_go_into_an_array_of_another_order():
    x = xp.full((200, 100), -1, xp.float32)
    Noise(0).uniform(x.T)
    assert float(x.min()) >= 0


# ------------------------------------------------------------------------------------------------- products on threads


@pytest.fixture
def threads(monkeypatch):
    """Return a function that sets the number of threads, and lets them share small products too."""

    def use(n, shared=2**17):
        backend._helpers.cache_clear()
        monkeypatch.setattr(backend, "THREADS", n)
        monkeypatch.setattr(backend, "SHARED", shared)

    yield use
    backend._helpers.cache_clear()


of_the_processor = pytest.mark.skipif(xp is not np, reason="threads of the processor")
of_openblas = pytest.mark.skipif(
    not any(library["internal_api"] == "openblas" for library in threadpool_info()), reason="other BLAS cut otherwise"
)


@of_the_processor
@of_openblas
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(100, 784, 500), (202, 500, 784), (61, 1000, 330), (784, 100, 512), (784, 22_000, 1)]
)
def test_threads_make_the_product_of_one_bit_for_bit(rng, threads, n, rows, inner, columns, dtype):
    """However the matrices lie in memory, and whether or not there is a place for the product."""
    a, b = rng.standard_normal((rows, inner)).astype(dtype), rng.standard_normal((inner, columns)).astype(dtype)
    with one_thread():
        for left, right in [(a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b)), (a[:, ::2], b[::2])]:
            threads(1)
            expected, out = backend.matmul(left, right), np.empty((rows, columns), dtype)
            threads(n)
            assert backend.matmul(left, right, out=out) is out
            np.testing.assert_array_equal(out, expected)
            found = backend.matmul(left, right)
            assert found.dtype == dtype and (found == expected).all()


@of_the_processor
@of_openblas
@pytest.mark.parametrize(("rows", "inner", "columns"), [(287, 784, 75), (240, 784, 90), (1500, 784, 500)])
def test_many_threads_make_the_product_of_one_too(rng, threads, rows, inner, columns):
    """Of a few rows OpenBLAS takes the sums otherwise: such a product is left to one thread."""
    a, b = rng.standard_normal((rows, inner), np.float32), rng.standard_normal((inner, columns), np.float32)
    threads(20, backend.SHARED)
    with one_thread():
        np.testing.assert_array_equal(backend.matmul(a, b), a @ b)


@of_the_processor
def test_rows_are_shared_by_as_many_threads_as_are_asked_for(threads, monkeypatch):
    """Also where rows are many more or hardly enough; with too few of them, or too small a product, one makes all."""
    made = []

    def recorded(a, b, out=None):
        made.append((threading.current_thread().name.rpartition("_")[0], len(a)))
        return np.dot(a, b, out=out)

    def shares(rows, inner=400, columns=400):
        made.clear()
        backend.matmul(np.ones((rows, inner)), np.ones((inner, columns)))
        return sorted(n for _, n in made), [name for name, _ in made].count("companion-matmul")

    numpy = types.SimpleNamespace(matmul=recorded, empty=np.empty, result_type=np.result_type)
    monkeypatch.setattr(backend, "xp", numpy)
    monkeypatch.setattr(backend, "np", numpy)
    threads(3)
    assert shares(100) == ([28, 36, 36], 2)
    assert shares(36) == ([12, 12, 12], 2)
    assert shares(35) == ([35], 0)
    assert shares(100, inner=40, columns=40) == ([100], 0)
    threads(1)
    assert shares(100) == ([100], 0)


@of_the_processor
@of_openblas
def test_products_of_many_threads_at_once_are_right(rng, threads):
    """One of them has the helpers; the others go on alone."""
    threads(2)
    a, b = rng.standard_normal((4, 60, 300)), rng.standard_normal((300, 200))
    with one_thread(), ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for left, found in zip(a, pool.map(lambda left: backend.matmul(left, b), a)):
                np.testing.assert_array_equal(found, left @ b)


@of_the_processor
def test_what_is_said_of_overflow_holds_for_all_threads(threads):
    """Training looks for it in the loss; a warning from another thread would be one too many."""
    threads(2)
    a, b = np.full((100, 300), 1e30, np.float32), np.full((300, 200), 1e30, np.float32)
    with one_thread(), warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("error")
        assert np.isinf(backend.matmul(a, b)).all()
    with one_thread(), np.errstate(over="raise"), pytest.raises(FloatingPointError):
        backend.matmul(a, b)


@of_the_processor
def test_a_product_that_cannot_be_made_leaves_the_helpers_free(threads):
    threads(2)
    a, b = np.ones((100, 300)), np.ones((300, 200))
    with pytest.raises(ValueError, match="matmul"):
        backend.matmul(a, b[1:])
    with pytest.raises(ValueError, match="read-only"):
        out = np.empty((100, 200))
        out.flags.writeable = False
        backend.matmul(a, b, out=out)
    assert backend._helpers(os.getpid())[1].acquire(blocking=False)


@of_the_processor
@pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="processes that are forked, and multiply"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own(threads):
    """Threads do not come along; waiting for those of the parent would never end."""
    threads(2)
    a, b = np.ones((100, 300)), np.ones((300, 200))
    backend.matmul(a, b)
    child = os.fork()
    if not child:
        os._exit(0 if backend.matmul(a, b)[99, 199] == 300 else 1)
    for _ in range(500):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child waits for ever")
    assert status == 0


FITS = """
import numpy as np
from companion import backend
backend.SHARED = 2**19
from companion.autoencoder import DenoisingAutoencoder
from companion.lenet import LeNet
from companion.mlp import MLP
from companion.rbm import RBM
rng = np.random.default_rng(0)
X, y = rng.random((120, 784), np.float32), rng.integers(0, 3, 120)
for model in (RBM(n_hidden=200, n_epochs=2, batch_size=60, k=2, persistent=True, centered=True, random_state=0),
              DenoisingAutoencoder(n_hidden=200, n_epochs=2, batch_size=60, random_state=0),
              MLP(hidden_sizes=(300,), n_epochs=2, batch_size=60, random_state=0),
              LeNet(n_filters=(24, 48), n_epochs=1, batch_size=60, random_state=0)):
    for name, array in model.fit(X, y).parameters_.items():
        print(type(model).__name__, name, hash(array.tobytes()))
print(backend._helpers.cache_info().currsize)
"""


@of_the_processor
@of_openblas
def test_models_learn_the_same_on_two_threads():
    """All of them, bit for bit; and the second thread was there."""
    one, two = (run(FITS, COMPANION_THREADS=n, PYTHONHASHSEED="0").stdout.splitlines() for n in (None, "2"))
    assert len(one) == 19 and one[:-1] == two[:-1] and (one[-1], two[-1]) == ("0", "1")


@pytest.mark.parametrize("words", ["0", "-1", "two", "1.5", "²"])
def test_a_number_of_threads_that_is_none_is_refused(words):
    with pytest.raises(ValueError, match=f"COMPANION_THREADS is '{words}'; expected a whole number, at least 1"):
        backend._count(words)


@pytest.mark.parametrize(("words", "number"), [(None, 1), ("", 1), ("1", 1), ("12", 12)])
def test_without_a_number_of_threads_there_is_one(words, number):
    assert backend._count(words) == number
