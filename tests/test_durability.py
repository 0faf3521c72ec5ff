"""What may happen to a long training: it is killed, the disk fills, the folder is shut, somebody else writes there."""

import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import arrays, assert_same, contents
from sklearn.base import clone, is_classifier

from companion import training
from companion.autoencoder import DenoisingAutoencoder
from companion.dbn import DBN
from companion.logistic import LogisticRegression
from companion.mlp import MLP
from companion.optimize import Descent
from companion.rbm import RBM
from companion.storage import load, save

LONG = {"n_epochs": 100, "batch_size": 20, "random_state": 0}
MODELS = {
    "LogisticRegression": LogisticRegression(averaging=0.9, **LONG),
    "MLP": MLP(hidden_sizes=(20,), optimizer="adam", dropout=0.2, **LONG),
    "RBM": RBM(n_hidden=20, persistent=True, **LONG),
    "DenoisingAutoencoder": DenoisingAutoencoder(n_hidden=20, **LONG),
    "DBN": DBN(hidden_sizes=(10, 10), pretraining={"n_epochs": 20, "batch_size": 20}, **LONG),
}
alone = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin",  # whose BLAS crashes in a fork
    reason="needs a process that is forked, to be killed",
)


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    return rng.random((400, 30), np.float32), rng.integers(0, 3, 400)


def fresh(name):
    model = MODELS[name]
    return type(model)(**model.get_params(deep=False))


def in_the_background(function):
    """Call the function in a process of its own; return its number."""
    if child := os.fork():
        return child
    try:
        function()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


@alone
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_training_killed_four_times_ends_as_one_left_alone(data, tmp_path, every_epoch, name):
    """Five models, twenty kills, at random moments and without a chance to tidy up."""
    checkpoint, result, when = tmp_path / "run.npz", tmp_path / "result.npz", random.Random(name)
    expected = arrays(fresh(name).fit(*data))

    def learn():
        save(result, arrays(fresh(name).fit(*data, checkpoint=checkpoint)))

    killed_with_a_checkpoint = 0
    for kill in range(4):  # the first may come before there is a checkpoint, the others have something to lose
        child = in_the_background(learn)
        while kill and not checkpoint.exists():
            time.sleep(0.005)
        time.sleep(when.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed_with_a_checkpoint += bool(list(tmp_path.glob("run.npz*")))
    assert killed_with_a_checkpoint >= 3
    assert os.waitpid(in_the_background(learn), 0)[1] == 0
    assert_same(load(result)[0], expected)


@alone
def test_two_processes_with_one_checkpoint_both_end_well(data, tmp_path, every_epoch):
    """They write the same progress to the same file, each of them whole."""
    expected = arrays(fresh("RBM").fit(*data))

    def learn(number):
        save(tmp_path / f"result{number}.npz", arrays(fresh("RBM").fit(*data, checkpoint=tmp_path / "run.npz")))

    children = [in_the_background(lambda number=number: learn(number)) for number in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    for number in range(2):
        assert_same(load(tmp_path / f"result{number}.npz")[0], expected)
    assert contents(tmp_path) == ["result0.npz", "result1.npz", "run.npz"]


def test_a_clock_that_was_set_back_changes_nothing(data, tmp_path, every_epoch, monkeypatch):
    expected = arrays(fresh("MLP").fit(*data))
    checkpoint = tmp_path / "run.npz"
    stopped = fresh("MLP").set_params(verbose=True)
    times = iter(range(2**31, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))

    with pytest.MonkeyPatch.context() as patch:
        saved = training.Training._save

        def interrupted(self):
            saved(self)
            if self.history.epoch == 3 and not self.history.stopped:
                raise KeyboardInterrupt

        patch.setattr(training.Training, "_save", interrupted)
        stopped.fit(*data, checkpoint=checkpoint)
    assert stopped.history_.epoch == 3
    os.utime(checkpoint, (2**32, 2**32))  # written, as it seems, in the year 2106
    resumed = fresh("MLP").fit(*data, checkpoint=checkpoint)
    assert_same(arrays(resumed), expected)
    assert 0 <= resumed.history_.wall_seconds < 60


def test_a_folder_that_is_shut_is_told_before_training(data, tmp_path, monkeypatch):
    """Not an hour later, when the first checkpoint is due."""
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setattr(training.Training, "_run_epochs", lambda *_: pytest.fail("it began"))
    with pytest.raises(OSError, match="file"):
        fresh("RBM").fit(*data, checkpoint=tmp_path / "file" / "run.npz")


@alone
def test_a_folder_that_may_not_be_written_to_is_named(data):
    """Tried as somebody for whom permissions count; what was finished there before can still be had."""
    with tempfile.TemporaryDirectory() as name:  # that of pytest may not be entered by others
        folder = Path(name)
        expected = arrays(fresh("RBM").fit(*data, checkpoint=folder / "finished.npz"))
        load(folder / "finished.npz")  # imports what that takes, as long as it may be read
        folder.chmod(0o555)

        def learn():
            if os.getuid() == 0:
                os.setuid(65534)
            assert_same(arrays(fresh("RBM").fit(*data, checkpoint=folder / "finished.npz")), expected)
            with pytest.raises(PermissionError, match=r"run\.npz"):
                fresh("RBM").fit(*data, checkpoint=folder / "run.npz")
            fresh("RBM").fit(*data)  # without a checkpoint, nothing is written anywhere

        ended = os.waitpid(in_the_background(learn), 0)[1]
        assert ended == 0 and [path.name for path in folder.iterdir()] == ["finished.npz"]
        folder.chmod(0o755)


def test_a_disk_that_fills_up_does_not_end_a_training(data, tmp_path, every_epoch):
    """It goes on, says so, and has the parameters; the file is the last one that could be written."""
    resource = pytest.importorskip("resource")
    checkpoint = tmp_path / "run.npz"
    expected, model = arrays(fresh("MLP").fit(*data)), fresh("MLP").set_params(n_epochs=2)
    model.fit(*data, checkpoint=checkpoint)
    written, before = checkpoint.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    real, calls = training.save, []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) < 5:
            return real(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            return real(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patch.setattr(training, "save", full)
        learned = fresh("MLP").fit(*data, checkpoint=tmp_path / "other.npz")
    assert "could not be written" in str(told[0].message) and "not lost" in str(told[0].message)
    assert len(calls) == len(told) + 4 > 5
    assert_same(arrays(learned), expected)
    assert checkpoint.read_bytes() == written
    assert_same(arrays(fresh("MLP").fit(*data, checkpoint=tmp_path / "other.npz")), expected)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, which is Linux's")
@pytest.mark.parametrize("model", [RBM(n_hidden=16), MLP(hidden_sizes=(8,))], ids=["RBM", "MLP"])
def test_a_million_rows_are_read_from_their_file_as_they_are_needed(model, tmp_path, monkeypatch):
    """400 MB on the disk, of which no copy is made: memory of the process's own hardly grows."""

    def own():
        return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf8"))[1]) / 1e3

    X = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(1_000_000, 100))
    X[::7] = 1
    update, seen = Descent.update, []

    def watched(self, *arguments, **options):
        seen.append(own() if len(seen) % 100 == 0 else 0)
        update(self, *arguments, **options)

    monkeypatch.setattr(Descent, "update", watched)
    before = own()
    model = clone(model).set_params(n_epochs=1, batch_size=1000, random_state=0)
    model.fit(X, np.arange(len(X)) % 3) if is_classifier(model) else model.fit(X)
    assert len(seen) == 1000 and max(seen) - before < 100, f"{max(seen) - before:.0f} MB"
