"""The command line, and what `reproduce` records."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from companion import __main__ as command_line
from companion import data, reproduce
from companion.data import MNIST, Pair
from companion.dbn import DBN
from companion.flights import load_flights
from companion.likelihood import exact_log_partition, log_likelihood
from companion.rbm import RBM
from companion.storage import load_model
from companion.tagger import Tagger


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A recipe on 300 digits instead of 70,000, recorded in a temporary folder."""
    rng = np.random.default_rng(0)
    centres = rng.random((10, 784), np.float32)

    def pair(n):
        labels = rng.integers(0, 10, n)
        return Pair((centres[labels] + 1.5 * rng.standard_normal((n, 784))).astype(np.float32), labels)

    digits = MNIST(pair(300), pair(100), pair(100))
    recipe = {
        "chapter": "01_logistic_regression",
        "model": "companion.logistic.LogisticRegression",
        "judge": "classification",
        "seeds": [3, 4],
        "candidates": [
            {"n_epochs": 3, "learning_rate": 0.02, "l2": 10.0},  # a penalty that leaves nothing to see by
            {"n_epochs": 3, "learning_rate": 0.01, "batch_size": 20},
        ],
        "tutorial": {"test_error": 0.07489},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"small": recipe})
    monkeypatch.setattr(reproduce, "load_mnist", lambda: digits)
    monkeypatch.setattr(reproduce, "find_mnist", lambda: None)
    monkeypatch.setattr(reproduce, "DATA", tmp_path)
    monkeypatch.setenv("COMPANION_DATASET", "")
    return tmp_path


def test_reproduce_chooses_on_validation_and_records_the_run(small, capsys):
    command_line.main(["reproduce", "small"])
    result = json.loads((small / "results" / "small.json").read_text(encoding="utf8"))
    assert result["parameters"]["batch_size"] == 20, "the candidate with the lower validation error"
    assert result["valid_error"] == min(candidate["valid_error"] for candidate in result["candidates"])
    assert result["test_error"] == pytest.approx(np.mean(result["test_errors"])) and result["seeds"] == [3, 4]
    assert 0 < result["test_error"] < 0.5 and result["cpu_minutes"] > 0 and result["backend"] in ("numpy", "cupy")
    assert not list((small / "checkpoints").iterdir()), "checkpoints are cleared away after the result is written"
    assert f"test error {result['test_error']:.2%}" in capsys.readouterr().out


def test_reproduce_goes_on_after_an_interrupt(small, monkeypatch, capsys):
    command_line.main(["reproduce", "small"])
    path = small / "results" / "small.json"
    uninterrupted = json.loads(path.read_text(encoding="utf8"))
    path.unlink()

    from companion import training

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    record, calls = training.Training._record, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        record(self)

    monkeypatch.setattr(training.Training, "_record", interrupted)
    with pytest.raises(SystemExit, match="the same command goes on"):
        command_line.main(["reproduce", "small"])
    assert not path.exists(), "an interrupted run is not a result"
    command_line.main(["reproduce", "small"])
    resumed = json.loads(path.read_text(encoding="utf8"))
    for key in ("test_errors", "valid_error", "parameters", "candidates"):
        assert resumed[key] == uninterrupted[key]


def test_reproduce_holds_a_tagger_against_the_best_possible(small, monkeypatch, capsys):
    corpus = load_flights((80, 30, 30))
    recipe = {
        "chapter": "10_recurrent_network",
        "model": "companion.tagger.Tagger",
        "judge": "tagging",
        "keep_weights": True,
        "seeds": [0, 1],
        "common": {"cell": "gru", "n_hidden": 8, "embedding": 5, "window": 3, "n_epochs": 4, "batch_size": 2},
        "candidates": [{"learning_rate": 1e-6}, {"learning_rate": 0.02}],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"tagger": recipe})
    monkeypatch.setattr(reproduce, "load_flights", lambda size: corpus)
    command_line.main(["reproduce", "tagger"])
    result = json.loads((small / "results" / "tagger.json").read_text(encoding="utf8"))
    others = result["test_error_of_others"]
    assert result["parameters"]["learning_rate"] == 0.02 and "MNIST" not in capsys.readouterr().out
    assert others["best_possible"] <= others["best_possible_without_what_follows"] < others["hidden_markov_model"]
    assert others["best_possible"] < result["test_error"] == pytest.approx(np.mean(result["test_errors"]))
    assert min(result["nats_per_word"]) > result["nats_per_word_at_least"] > 0
    kept = load_model(small / "weights" / "tagger.npz", Tagger)
    assert 1 - kept.score(*corpus.test) == pytest.approx(result["test_errors"][kept.random_state])


def test_reproduce_keeps_the_weights_of_a_density(small, monkeypatch, capsys):
    """The machine is chosen by its validation log-likelihood; what is kept is what was measured, in half precision."""
    rng = np.random.default_rng(1)

    def pair(n):
        return Pair((rng.random((n, 12)) < rng.choice([0.1, 0.9], (n, 1))).astype(np.float32), rng.integers(0, 10, n))

    digits = MNIST(pair(300), pair(100), pair(100))
    recipe = {
        "chapter": "07_likelihood",
        "model": "companion.rbm.RBM",
        "judge": "density",
        "keep_weights": True,
        "seeds": [0, 1],
        "common": {"n_hidden": 4, "n_epochs": 20, "batch_size": 20, "persistent": True},
        "candidates": [{"learning_rate": 1e-6}, {"learning_rate": 0.1, "schedule": "linear"}],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"density": recipe})
    monkeypatch.setattr(reproduce, "load_mnist", lambda: digits)
    for name in ("VALIDATION", "FORWARD", "REVERSE"):
        monkeypatch.setitem(getattr(reproduce.Density, name), "n_temperatures", 300)
    monkeypatch.setattr(reproduce.Density, "LONG_RUN", 200)
    command_line.main(["reproduce", "density"])
    result = json.loads((small / "results" / "density.json").read_text(encoding="utf8"))
    assert result["parameters"]["learning_rate"] == 0.1
    assert result["valid_log_likelihood"] == max(trial["valid_log_likelihood"] for trial in result["candidates"])
    assert f"test log-likelihood {result['test_log_likelihood']:.2f} nats" in capsys.readouterr().out

    kept = np.load(small / "weights" / "density.npz")
    assert kept["W"].dtype == np.float16 and kept["W"].shape == (12, 4)
    monkeypatch.setattr(data, "DATA", small)
    machine = RBM.from_parameters(**data.load_weights("density"))
    exact = log_likelihood(machine, data.binarize(digits.test.images), exact_log_partition(machine)).mean
    for key in ("test_log_likelihood", "test_log_likelihood_reverse"):
        assert result[key] == pytest.approx(exact, abs=0.05)
    assert abs(result["half_precision_cost"]) < 0.01


def test_reproduce_asks_a_belief_network_for_digits(small, monkeypatch, capsys):
    rng = np.random.default_rng(1)
    patterns = np.array([np.arange(12) % 3 == 0, np.arange(12) < 6])

    def pair(n):
        labels = rng.integers(0, 2, n)
        return Pair((patterns[labels] ^ (rng.random((n, 12)) < 0.05)).astype(np.float32), labels)

    digits = MNIST(pair(400), pair(200), pair(200))
    options = {"n_epochs": 40, "batch_size": 20, "persistent": True, "binarize": True, "schedule": "linear"}
    recipe = {
        "chapter": "08_deep_belief_network",
        "model": "companion.dbn.DBN",
        "judge": "dreams",
        "keep_weights": True,
        "seeds": [0],
        "common": {"hidden_sizes": [6, 8]},
        "candidates": [{"pretraining": options | {"learning_rate": rate}} for rate in (1e-6, 0.2)],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"dreams": recipe})
    monkeypatch.setattr(reproduce, "load_mnist", lambda: digits)
    for name in ("VALIDATION", "FORWARD"):
        monkeypatch.setitem(getattr(reproduce.Density, name), "n_temperatures", 300)
    monkeypatch.setitem(reproduce.Dreams.READER, "hidden_sizes", (10,))
    command_line.main(["reproduce", "dreams"])
    result = json.loads((small / "results" / "dreams.json").read_text(encoding="utf8"))
    assert result["parameters"]["pretraining"]["learning_rate"] == 0.2 and result["recognised"] > 0.85
    assert f"{result['recognised']:.1%} of the dreams recognised" in capsys.readouterr().out
    assert abs(result["half_precision_cost"]) < 0.02 and result["cpu_minutes"] > 0
    assert not list((small / "checkpoints").iterdir())

    monkeypatch.setattr(data, "DATA", small)
    dbn = DBN.from_parameters(data.load_weights("dreams"))
    bound = dbn.bound(
        data.binarize(digits.test.images), exact_log_partition(dbn.top_), digits.test.labels, n_samples=50
    )
    assert result["test_bound"] == pytest.approx(bound.mean, abs=0.1)


@pytest.mark.parametrize(
    ("setting", "arguments", "message"),
    [
        ({}, ["reproduce", "nonesuch"], "there are: logistic"),
        ({"COMPANION_DATASET": "sample"}, ["reproduce", "logistic"], "needs all of MNIST, not the sample"),
        ({"COMPANION_DATASET": "some"}, ["info"], "expected 'sample' or 'full'"),
        ({"COMPANION_DATASET": "", "COMPANION_DATA": "nowhere"}, ["info"], "missing train-images-idx3-ubyte"),
    ],
)
def test_errors_are_one_line_that_says_what_was_expected(monkeypatch, setting, arguments, message):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as problem:
        command_line.main(arguments)
    assert message in str(problem.value) and "\n" not in str(problem.value)


def test_info_says_which_data_and_why(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    for dataset, said in (("sample", "COMPANION_DATASET=sample asks for it"), ("", "will be downloaded")):
        monkeypatch.setenv("COMPANION_DATASET", dataset)
        command_line.main(["info"])
        printed = capsys.readouterr().out
        assert said in printed and "numpy 2" in printed and "backend:" in printed


def test_fetch_says_where_mnist_is(monkeypatch, capsys, tmp_path):
    for name in data.FILES:
        (tmp_path / "mnist" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "mnist" / name).touch()
    monkeypatch.setattr(data, "DATA", tmp_path)
    command_line.main(["fetch"])
    assert capsys.readouterr().out.strip().endswith("mnist")


def test_asking_for_a_gpu_that_is_not_there_is_one_line():
    """In a process of its own, because the backend is chosen at the first import."""
    code = "import sys; sys.modules['cupy'] = None; from companion.__main__ import main; main(['info'])"
    environment = {**os.environ, "COMPANION_BACKEND": "cupy"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "needs an NVIDIA GPU" in done.stderr and "Unset COMPANION_BACKEND" in done.stderr
