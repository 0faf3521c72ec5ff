"""Files: what goes in comes out, what is damaged or foreign is refused, and no half file is ever left."""

import errno
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from helpers import peak_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion import storage
from companion.backend import to_device, to_numpy
from companion.logistic import LogisticRegression
from companion.rbm import RBM
from companion.storage import VERSION, load, load_model, replacing, save, save_model

ARRAYS = {
    "float32": np.array([[1.5, -np.inf], [np.nan, 0]], np.float32),
    "float16": np.array([1 / 3, 65504], np.float16),
    "bool": np.array([True, False]),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "uint8": np.arange(256, dtype=np.uint8),
    "string": np.array(["ja", "née", ""]),
    "zero_dimensions": np.array(2.5),
    "empty": np.zeros((0, 784), np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "best/W": np.array([1]),
}


@pytest.fixture
def path(tmp_path):
    """A file in a folder that does not exist yet."""
    return tmp_path / "folder" / "file.npz"


@pytest.mark.parametrize("name", ARRAYS)
def test_round_trip(path, name):
    save(path, {name: ARRAYS[name]})
    arrays, facts = load(path)
    assert facts == {} and arrays.keys() == {name}
    assert arrays[name].dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(arrays[name], ARRAYS[name])


def test_round_trip_from_the_device_with_facts(path, rng):
    W = rng.normal(size=(4, 3)).astype(np.float32)
    facts = {"generator": rng.bit_generator.state, "names": ["a", "ü"], "rate": 0.1, "none": None}
    save(path, {"W": to_device(W), "b": np.zeros(3)}, facts)
    arrays, found = load(path)
    np.testing.assert_array_equal(arrays["W"], W)
    assert found == facts  # the state of a generator is two numbers of 128 bits


@pytest.mark.parametrize(
    ("arrays", "facts", "says"),
    [
        ({"names": np.array(["a", None], object)}, None, "'names' holds Python objects"),
        ({"W": np.zeros(2)}, {"function": print}, "not JSON serializable"),
    ],
)
def test_what_only_a_pickle_could_hold_is_refused(path, arrays, facts, says):
    with pytest.raises(TypeError, match=says):
        save(path, arrays, facts)
    assert not path.exists()


def as_zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def as_npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def as_npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(**content):
    return np.array(json.dumps(content))


REFUSED = {
    "empty": (b"", "no .npz archive"),
    "text": (b"<!DOCTYPE html>", "no .npz archive"),
    "pickle": (pickle.dumps({"W": [1, 2]}), "no .npz archive"),
    "npy": (as_npy(np.arange(3)), "no .npz archive"),
    "npz of objects": (as_npz(W=np.array([None])), "damaged"),
    "npz of another origin": (as_npz(W=np.arange(3)), "another origin"),
    "zip of another origin": (as_zip(readme="hello"), "another origin"),
    "newer version": (as_npz(__companion__=header(version=VERSION + 1, facts={})), f"format {VERSION + 1}"),
    "header that is not JSON": (as_npz(__companion__=np.array("hello")), "expected"),
    "header without a version": (as_npz(__companion__=header(facts={})), "expected"),
    "header of numbers": (as_npz(__companion__=np.arange(3)), "expected"),
}


@pytest.mark.parametrize("content", REFUSED)
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "weights.npz"
    content, says = REFUSED[content]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as error:
        load(path)
    assert str(path) in str(error.value)


def test_a_mask_would_be_lost(path):
    with pytest.raises(ValueError, match="a: expected an array without a mask"):
        save(path, {"a": np.ma.masked_equal([1.0, 999.0], 999)})


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")


@pytest.fixture
def saved(tmp_path):
    """The bytes of a small file of the companion."""
    save(tmp_path / "small.npz", {"W": np.arange(12.0).reshape(3, 4)}, {"a": 1})
    return (tmp_path / "small.npz").read_bytes()


def test_every_truncation_is_refused(tmp_path, saved):
    path = tmp_path / "cut.npz"
    for length in range(len(saved)):
        path.write_bytes(saved[:length])
        with pytest.raises(ValueError, match="cut.npz: expected"):
            load(path)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_damaged_byte_is_noticed_or_harmless(tmp_path, saved, mask):
    """Harmless are, for instance, the dates in the archive; whatever loads has the right numbers."""
    path, refused = tmp_path / "bad.npz", 0
    for position in range(len(saved)):
        damaged = bytearray(saved)
        damaged[position] ^= mask
        path.write_bytes(damaged)
        try:
            arrays, facts = load(path)
        except ValueError as error:
            assert "bad.npz" in str(error)
            refused += 1
        except Exception as error:
            raise AssertionError(f"byte {position} of {len(saved)} gave {error!r}") from error
        else:
            for array in arrays.values():  # the name of a member has no checksum
                np.testing.assert_array_equal(array, np.arange(12.0).reshape(3, 4))
            assert facts == {"a": 1}
    assert refused > len(saved) / 3


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError])
def test_an_interrupted_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, problem):
    path = tmp_path / "file.npz"
    save(path, {"W": np.arange(3)})

    def savez(file, **arrays):
        file.write(b"half of a fi")
        raise problem

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(problem):
        save(path, {"W": np.arange(4)})
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(load(path)[0]["W"], np.arange(3))


def test_the_old_file_is_there_until_the_block_ends(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == path.parent
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


# ----------------------------------------------------------------------------------------------------- models


@pytest.fixture
def X(rng):
    """Sixty rows of four columns, to learn from and to predict."""
    return rng.normal(size=(60, 4)).astype(np.float32)


def fitted(X, labels, **parameters):
    columns = X[:, : len(labels)].argmax(axis=1)
    return LogisticRegression(n_epochs=20, batch_size=20, random_state=0, **parameters).fit(X, labels[columns])


@pytest.mark.parametrize("labels", [np.array([3, 1, 7]), np.array(["sit", "sat", "set"]), np.array([False, True])])
def test_a_loaded_model_predicts_the_same(path, X, labels):
    model = fitted(X, labels, l2=0.01)
    save_model(path, model)
    again = load_model(path, LogisticRegression)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert set(again.predict(X)) <= set(labels.tolist()) and len(set(again.predict(X))) > 1
    assert again.get_params() == model.get_params()
    assert again.W_.dtype == model.W_.dtype and type(again.W_) is type(model.W_)
    with pytest.raises(ValueError, match="features"):
        again.predict(X[:, :3])


def test_a_loaded_model_can_be_saved_again(path, X):
    save_model(path, fitted(X, np.array([0, 1, 2])))
    save_model(path, load_model(path, LogisticRegression))
    W = to_numpy(fitted(X, np.array([0, 1, 2])).W_)
    np.testing.assert_array_equal(to_numpy(load_model(path, LogisticRegression).W_), W)


def test_words_as_python_objects_are_labels_like_others(path, X):
    """Labels that come from pandas are arrays of objects."""
    model = fitted(X, np.array(["sit", "sat", "set"], object))
    save_model(path, model)
    assert load_model(path, LogisticRegression).predict(X).tolist() == model.predict(X).tolist()


def test_hyper_parameters_that_a_search_has_set_can_be_saved(path, X):
    """A grid made with NumPy sets NumPy's numbers."""
    save_model(path, fitted(X, np.array([0, 1, 2]), l2=np.float32(0.5), patience=np.int64(7)))
    parameters = load_model(path, LogisticRegression).get_params()
    assert parameters["l2"] == 0.5 and parameters["patience"] == 7


def test_a_model_of_another_class_is_refused(path, X):
    class Another(LogisticRegression):
        pass

    save_model(path, fitted(X, np.array([0, 1])))
    with pytest.raises(ValueError, match="expected a Another, found LogisticRegression"):
        load_model(path, Another)


def test_a_file_without_a_model_is_refused(path):
    save(path, {"W": np.zeros(3)})
    with pytest.raises(ValueError, match="expected a LogisticRegression, found no model"):
        load_model(path, LogisticRegression)


def test_an_unfitted_model_is_refused(path):
    with pytest.raises(ValueError, match="LogisticRegression instance is not fitted yet"):
        save_model(path, LogisticRegression())
    assert not path.exists()


# ------------------------------------------------------------------------------------------------- what files promise


def rewritten(path, change, compression=zipfile.ZIP_STORED):
    """Write the archive at `path` anew, its dict of members (bytes by name) changed by `change`."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_file_that_unpacks_to_gigabytes_costs_nothing(path):
    save(path, {"W": np.zeros((4000, 4000), np.float32)})
    rewritten(path, lambda members: None, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000

    def read():
        with pytest.raises(ValueError, match="members that are larger than the file"):
            load(path)

    assert peak_memory(read) < 4e6


def test_a_header_that_promises_gigabytes_costs_nothing(path):
    save(path, {"W": np.zeros(10)})
    rewritten(path, lambda members: members.update({"W.npy": members["W.npy"].replace(b"(10,), } ", b"(10**9,)}"[:9])}))
    with pytest.raises(ValueError, match="expected an .npz"):
        load(path)
    save(path, {"W": np.zeros(10)})
    wide = b"(9999999,), }"
    rewritten(path, lambda members: members.update({"W.npy": members["W.npy"].replace(b"(10,), }     ", wide)}))
    with pytest.raises(ValueError, match=r"W, which is said to have shape \(9999999,\)"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"version": "1", "facts": {}}', '{"version": null, "facts": {}}', '{"version": true, "facts": {}}',
        '{"version": 0, "facts": {}}', '{"version": 1, "facts": [1]}', '{"version": 1}', '{"facts": {}}', "[1, 2]",
        "3", "", '{"version": 1, "facts": ' + "[" * 100_000, '{"version": 99, "facts": {}}',
    ],
)  # fmt: skip
def test_a_header_that_is_none_is_refused(path, text):
    save(path, {"W": np.zeros(3)})
    rewritten(path, lambda members: members.update({"__companion__.npy": as_npy(np.array(text))}))
    with pytest.raises(ValueError, match=r"file\.npz: (expected an \.npz|written in format 99)"):
        load(path)


def with_header(text, content=b""):
    """A member whose header is any text."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + content


def test_a_member_that_is_there_twice_is_refused(path):
    save(path, {"b": np.zeros(3)})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("b.npy", as_npy(np.ones(3)))
    with pytest.raises(ValueError, match="expected an .npz"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "facts"),
    [({"a": np.zeros(3, "M8[s]")}, None), ({"a": np.zeros(3, [("x", "f4")])}, None), ({"a": np.zeros(3)}, [1])],
)
def test_what_could_not_be_loaded_is_not_saved(path, arrays, facts):
    with pytest.raises(TypeError):
        save(path, arrays, facts)
    assert not path.exists()


@pytest.mark.parametrize("name", ["allow_pickle", "file", "__companion__", 3])
def test_names_that_would_be_lost_are_refused(path, name):
    with pytest.raises(ValueError, match=f"expected names of arrays that are words, .*; found {name!r}"):
        save(path, {name: np.zeros(3)})
    assert not path.exists()


@pytest.mark.parametrize(
    "members",
    [
        {"notes.txt": b"hello"},
        {"W.npy": b"hello"},
        {"W.npy": as_npy(np.array([None, "x"], object))},
        {"W.npy": as_npy(np.zeros(3, "M8[s]"))},
        {"W.npy": as_npy(np.zeros(3, [("a", "f4")]))},
        {"W.npy": as_npy(np.zeros(3))[:-1]},
        {"W.npy": as_npy(np.zeros(3)) + b"x"},
        {"W.npy": with_header("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }")},  # 0 bytes each
        {"W.npy": with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 0), }")},
        {"W.npy": with_header("{'descr': '|b1', 'fortran_order': False, 'shape': (True,), }", b"x")},
        {"W.npy": with_header("{'descr': (), 'fortran_order': False, 'shape': (1,), }", b"x")},
        {"W.npy": with_header("{'descr': '''")},
        {"W.npy": with_header("{[]: 1}")},
        {"W.npy": with_header("(" * 9000)},
        {"W.npy": with_header("-" * 9000 + "1")},
    ],
)
def test_a_member_that_is_no_array_is_refused(path, members):
    save(path, {"b": np.zeros(3)})
    rewritten(path, lambda found: found.update(members))
    with pytest.raises(ValueError, match="expected an .npz"):
        load(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_whatever_happens_to_a_file_it_is_refused_or_whole(tmp_path, data):
    """Truncated, bytes changed, members left out, renamed, exchanged or compressed: a ValueError, or the arrays."""
    path = tmp_path / "file.npz"
    arrays = {"W": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(3), "words": np.array(["a", "née"])}
    save(path, arrays, {"rate": 0.1})
    content, what = bytearray(path.read_bytes()), data.draw(st.sampled_from(["truncated", "changed", "members"]))
    if what == "members":
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        new = data.draw(st.dictionaries(st.sampled_from([*contents, "x", "../x.npy"]), st.sampled_from([*contents])))
        new |= data.draw(st.sampled_from([{}, {"__companion__.npy": "__companion__.npy"}]))
        with zipfile.ZipFile(path, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_LZMA]))) as archive:
            for name, origin in new.items():
                archive.writestr(name, contents[origin])
    elif what == "truncated":
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
    try:
        found, facts = load(path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    assert facts == {"rate": 0.1}
    for name, array in found.items():
        if what == "members" and new[f"{name}.npy"] == "__companion__.npy":
            assert "rate" in str(array)
        elif what == "members":
            np.testing.assert_array_equal(array, arrays[new[f"{name}.npy"].removesuffix(".npy")])
        else:  # the name of a member has no checksum; its content has
            assert any(np.array_equal(array, one) and array.dtype == one.dtype for one in arrays.values())


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "far" / "file.npz", tmp_path / "link.npz"
    target.parent.mkdir()
    link.symlink_to(target)
    for value in (1.0, 2.0):
        save(link, {"a": np.array(value)})
        assert link.is_symlink() and load(target)[0]["a"] == value
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for taken, error in (("pipe", OSError), ("", IsADirectoryError)):
        with pytest.raises(error, match="expected the path of a file, found something else"):
            save(tmp_path / taken, {"a": np.ones(1)})
    with pytest.raises(OSError, match="expected the path of a file, found something else"):
        load(tmp_path / "pipe")  # which nobody fills
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(os.name == "nt", reason="rights are others there")
def test_who_may_read_a_file_may_read_the_next(path):
    save(path, {"a": np.array(1.0)})
    os.chmod(path, 0o600)
    save(path, {"a": np.array(2.0)})
    assert load(path)[0]["a"] == 2 and os.stat(path).st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_old_file_and_no_other(path, monkeypatch):
    save(path, {"a": np.array(1.0)})

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"a": np.array(2.0)})
    monkeypatch.undo()
    assert load(path)[0]["a"] == 1.0 and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_the_error_names_the_file_and_not_the_temporary_one(path, monkeypatch, number):
    """A folder or a disk that may not be written to, or is full: as `open` puts it."""
    save(path, {"a": np.array(1.0)})

    def refuses(name, mode):
        raise OSError(number, os.strerror(number), str(name))

    monkeypatch.setattr(storage, "open", refuses, raising=False)
    with pytest.raises(OSError, match="could not be written.*it is as it was") as error:
        save(path, {"a": np.array(2.0)})
    monkeypatch.undo()
    assert error.value.errno == number and error.value.filename == str(path)
    assert load(path)[0]["a"] == 1.0 and list(path.parent.iterdir()) == [path]


def test_a_disk_that_takes_no_more_leaves_the_old_file(path):
    """A limit of the system on the size of files stands for the disk: the writing really fails, half way."""
    resource = pytest.importorskip("resource")
    save(path, {"a": np.array(1.0)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="could not be written") as error:
            save(path, {"a": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename == str(path)
    assert load(path)[0]["a"] == 1.0 and list(path.parent.iterdir()) == [path]


def test_a_tilde_is_the_home_folder_for_files_that_are_written_too(tmp_path, monkeypatch, X):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    model = LogisticRegression(n_epochs=1, random_state=0).fit(X, np.arange(len(X)) % 2, checkpoint="~/run.npz")
    save_model("~/model.npz", model)
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"run.npz", "model.npz"}
    np.testing.assert_array_equal(load_model("~/model.npz", LogisticRegression).predict(X), model.predict(X))
    save_model("~model.npz", model)  # a name that only begins so
    LogisticRegression(n_epochs=1).fit(X, np.arange(len(X)) % 2, checkpoint="~run.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"home", "~model.npz", "~run.npz"}


def test_what_has_learned_from_other_values_than_pixels_takes_them_again(path, X):
    with pytest.warns(UserWarning, match="from 0 to 1"):
        model = RBM(n_hidden=3, n_epochs=1, random_state=0).fit(X)
    save_model(path, model)
    measured = load_model(path, RBM).pseudo_log_likelihood(X)
    np.testing.assert_array_equal(to_numpy(measured), to_numpy(model.pseudo_log_likelihood(X)))


@pytest.mark.parametrize(
    ("names", "facts", "says"),
    [({"feature_names": np.array(["a"])}, {}, "expected 4 names of features, found"),
     ({}, {"pixels_": 1}, "expected pixels_ true or false, found 1")],
)  # fmt: skip
def test_what_a_model_remembers_is_checked(path, X, names, facts, says):
    save_model(path, fitted(X, np.array([0, 1])))
    arrays, known = load(path)
    save(path, arrays | names, known | facts)
    with pytest.raises(ValueError, match=says):
        load_model(path, LogisticRegression)


def test_an_error_of_another_file_names_that_one(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(path):
        open(tmp_path / "elsewhere")


def test_a_generator_that_has_no_sequence_of_seeds_comes_back(path, X):
    rng = np.random.Generator(np.random.RandomState(3)._bit_generator)
    save_model(path, fitted(X, np.array([0, 1])).set_params(random_state=rng))
    assert load_model(path, LogisticRegression).random_state.random() == rng.random()


def test_a_file_that_its_owner_made_read_only_stays(tmp_path):
    path = tmp_path / "best.npz"
    save(path, {"a": np.zeros(1)})
    path.chmod(0o444)
    with pytest.raises(OSError, match="is there, and read-only"):
        save(path, {"a": np.ones(1)})
    with pytest.raises(OSError, match="cannot be written .*read-only"):
        storage.expect_writable(path)
    assert load(path)[0]["a"][0] == 0


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(tmp_path, monkeypatch):
    path, read = tmp_path / "a.npz", storage._read_arrays
    save(path, {"a": np.zeros(1000)})

    def replaced(archive, n_bytes):
        save(path, {"a": np.zeros(1)})
        return read(archive, n_bytes)

    monkeypatch.setattr(storage, "_read_arrays", replaced)
    assert len(load(path)[0]["a"]) == 1000


def test_words_that_would_lose_their_end_are_not_saved(tmp_path):
    model = LogisticRegression(n_epochs=1).fit(np.eye(3), np.array(["a", "a\0", "c"], object))
    with pytest.raises(ValueError, match="without zeros"):
        save_model(tmp_path / "a.npz", model)
    with pytest.raises(ValueError, match="expected names of arrays that are words"):
        save(tmp_path / "b.npz", {"a\0b": np.ones(1)})
