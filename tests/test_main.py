"""The command line, and what `reproduce` records."""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest

from companion import __main__ as command_line
from companion import data, judges, places, published, reproduce, results
from companion.annealing import ais
from companion.backend import to_device, to_numpy
from companion.data import MNIST, Pair
from companion.dbn import DBN
from companion.flights import load_flights
from companion.likelihood import LogPartition, exact_log_partition, log_likelihood
from companion.logistic import LogisticRegression
from companion.mlp import MLP
from companion.music import Chorales, _toy_pieces
from companion.rbm import RBM
from companion.rnnrbm import RNNRBM
from companion.step_machines import StepMachines, exact_log_partitions
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
    monkeypatch.setattr(judges, "load_mnist", lambda: digits)
    monkeypatch.setattr(judges, "find_mnist", lambda: None)
    monkeypatch.setattr(judges, "fetch_mnist", lambda: None)
    monkeypatch.setattr(reproduce, "DATA", tmp_path)
    monkeypatch.setenv("COMPANION_DATASET", "")
    return tmp_path


def test_reproduce_chooses_on_validation_and_records_the_run(small, capsys):
    command_line.main(["reproduce", "small"])
    result = json.loads((small / "results" / "small.json").read_text(encoding="utf8"))
    assert result["parameters"]["batch_size"] == 20, "the candidate with the lower validation error"
    assert result["valid_error"] == min(candidate["valid_error"] for candidate in result["candidates"])
    assert result["test_error"] == pytest.approx(np.mean(result["test_errors"])) and result["seeds"] == [3, 4]
    assert 0 < result["test_error"] < 0.5 and result["wall_minutes"] > 0 and result["backend"] in ("numpy", "cupy")
    assert not list((small / "checkpoints").iterdir()), "checkpoints are cleared away after the result is written"
    assert f"test error {result['test_error']:.2%}" in capsys.readouterr().out


def test_reproduce_goes_on_after_an_interrupt(small, monkeypatch):
    command_line.main(["reproduce", "small"])
    path = small / "results" / "small.json"
    uninterrupted = json.loads(path.read_text(encoding="utf8"))
    path.unlink()

    from companion import training

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
    assert list((small / "checkpoints").iterdir()), "the epochs that were done are kept, however short they were"
    command_line.main(["reproduce", "small"])
    resumed = json.loads(path.read_text(encoding="utf8"))
    for key in ("test_errors", "valid_error", "parameters", "candidates"):
        assert resumed[key] == uninterrupted[key]


def test_runs_side_by_side_are_those_one_after_the_other(small):
    alone = reproduce.reproduce("small")
    with joblib.parallel_config(backend="threading"):  # in processes the replaced digits are not seen
        together = reproduce.reproduce("small", jobs=2)
    for key in ("test_errors", "valid_error", "parameters", "candidates"):
        assert together[key] == alone[key]
    assert not list((small / "checkpoints").iterdir())


@pytest.mark.parametrize("jobs", [0, -1])
def test_less_than_one_run_at_a_time_is_refused_before_the_training(small, jobs):
    with pytest.raises(ValueError, match=f"jobs: expected at least 1, found {jobs}"):
        reproduce.reproduce("small", jobs=jobs)


def test_a_record_is_checked_with_one_seed_and_left_as_it_is(small, monkeypatch, capsys):
    command_line.main(["reproduce", "--all"])
    monkeypatch.setattr(results, "DATA", small)
    path = small / "results" / "small.json"
    record = path.read_text(encoding="utf8")
    command_line.main(["reproduce", "small", "--check"])
    assert "borne out" in capsys.readouterr().out and path.read_text(encoding="utf8") == record
    assert not list((small / "checkpoints").iterdir())
    path.write_text(json.dumps(json.loads(record) | {"test_error": 0.9}), encoding="utf8")
    with pytest.raises(SystemExit, match="not borne out: small"):
        command_line.main(["reproduce", "small", "--check", "--jobs", "2"])
    said = capsys.readouterr().out
    assert "small: recorded 0.9000, found" in said and "not borne out" in said
    with pytest.raises(SystemExit, match="jobs: expected at least 1, found 0"):
        command_line.main(["reproduce", "small", "--check", "--jobs", "0"])
    for lacking in ({"seeds": []}, {"seeds": 0}, {"parameters": None}, {"test_error": None}, {"test_error_std": "a"}):
        path.write_text(json.dumps(json.loads(record) | lacking), encoding="utf8")
        with pytest.raises(SystemExit, match=f"the record of small: expected its {next(iter(lacking))}, found"):
            command_line.main(["reproduce", "small", "--check"])


def test_what_is_refitted_learns_the_validation_digits_too_by_the_settings_that_were_chosen(small, monkeypatch, capsys):
    monkeypatch.setattr(results, "DATA", small)
    recipe = reproduce.recipes()["small"]
    again = recipe | {"refit": "small", "candidates": [{"n_epochs": 2}]}
    monkeypatch.setattr(reproduce, "recipes", lambda: {"small": recipe, "again": again})
    with pytest.raises(FileNotFoundError, match="no recorded result 'small'"):
        reproduce.reproduce("again")
    chosen, result = reproduce.reproduce("small"), reproduce.reproduce("again")
    assert result["parameters"] == chosen["parameters"] | {"n_epochs": 2}
    assert not {"valid_error", "valid_errors", "candidates"} & result.keys() and "those of small" in result["selection"]
    train, valid, test = judges.load_mnist()
    X, y = np.concatenate([train.images, valid.images]), np.concatenate([train.labels, valid.labels])
    models = [LogisticRegression(**result["parameters"], random_state=seed).fit(X, y) for seed in result["seeds"]]
    assert result["test_errors"] == [model.errors(*test) for model in models]
    command_line.main(["reproduce", "again", "--check"])
    assert "borne out" in capsys.readouterr().out
    monkeypatch.setitem(again, "judge", "tagging")
    with pytest.raises(
        ValueError, match="expected to refit what is judged by classification, density or bound, found 'tagging'"
    ):
        reproduce.reproduce("again")


@pytest.mark.parametrize("found", [0.9, np.nan])
def test_all_are_checked_before_it_is_said_which_are_not_borne_out(monkeypatch, capsys, found):
    checks = {"one": (found, 0.1, 0.05), "two": (0.1, 0.1, 0.05), "three": (0.2, 0.1, 0.05)}
    asked = []
    monkeypatch.setattr(reproduce, "recipes", lambda: checks)
    monkeypatch.setattr(reproduce, "read_result", lambda name: {})
    monkeypatch.setattr(reproduce, "check", lambda name, jobs: (asked.append(jobs), checks[name])[1])
    with pytest.raises(SystemExit) as problem:
        command_line.main(["reproduce", "--all", "--check", "--jobs", "3"])
    assert problem.value.code == "reproduce: not borne out: one, three" and asked == [3, 3, 3]
    assert [line.endswith("not borne out") for line in capsys.readouterr().out.splitlines()] == [True, False, True]


def test_a_record_that_cannot_be_read_stops_a_check_of_all_before_the_first(small, monkeypatch):
    monkeypatch.setattr(reproduce, "check", lambda *_: pytest.fail("hours pass"))
    monkeypatch.setattr(results, "DATA", small)
    (small / "results").mkdir()
    (small / "results" / "small.json").write_text("{")
    with pytest.raises(SystemExit, match="small.json: expected a record in JSON"):
        command_line.main(["reproduce", "--all", "--check"])


def test_a_record_that_cannot_be_read_is_listed_and_replaced(small, monkeypatch, capsys):
    monkeypatch.setattr(results, "DATA", small)
    monkeypatch.setattr(results, "recipes", reproduce.recipes)
    (small / "results").mkdir()
    path = small / "results" / "small.json"
    for text in ("{", "[]", "{}", json.dumps(results.environment())):
        path.write_text(text)
        command_line.main(["reproduce"])
        assert capsys.readouterr().out.splitlines()[4].endswith("  unreadable")
    command_line.main(["reproduce", "small"])
    assert results.read_result("small")["name"] == "small"


@pytest.mark.parametrize("folder", ["results", "weights"])
def test_where_nothing_can_be_written_is_said_before_the_training(small, monkeypatch, folder):
    recipe = reproduce.recipes()["small"] | {"keep_weights": True}
    monkeypatch.setattr(reproduce, "recipes", lambda: {"small": recipe})
    monkeypatch.setattr(reproduce, "_train", lambda *_: pytest.fail("it trains"))
    (small / folder).touch()
    with pytest.raises(SystemExit, match=f"cannot be written .*{folder}"):
        command_line.main(["reproduce", "small"])


@pytest.mark.parametrize("place", ["own", "foreign", "wheel", "none"])
def test_the_revision_is_that_of_the_books_own_repository(monkeypatch, tmp_path, place):
    book = tmp_path / "book"
    (book / "companion").mkdir(parents=True)
    (book / "companion" / "a.py").touch()
    if place != "none":
        at = book if place == "own" else tmp_path
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
            subprocess.run([*git, *command], cwd=at, check=True)
    monkeypatch.setattr(reproduce, "BOOK", book)
    monkeypatch.setattr(reproduce, "CHECKOUT", None if place == "wheel" else book)
    revision = reproduce._revision()
    assert (revision is not None) == (place == "own")
    if place == "own":
        (book / "companion" / "a.py").write_text("changed")
        assert len(revision) == 12 and reproduce._revision() == f"{revision}-dirty"


@pytest.mark.parametrize("weights", [{"W": np.ones((2, 2))}, {"W1": np.ones((2, 2)), "b1": np.ones(2)}])
def test_a_bound_begins_at_a_machine(monkeypatch, weights):
    monkeypatch.setattr(judges, "load_weights", lambda name: weights)
    with pytest.raises(ValueError, match=r"weights 'rbm': expected \['W', 'hidden_bias', 'visible_bias'\], found"):
        judges.Bound(two_patterns(), "rbm")


def test_reproduce_tells_few_labels_and_gives_the_images_without_theirs(small, monkeypatch):
    """A draw for every seed, as many of each class; the validation set is there to choose by, not to stop early."""
    seen, fit = [], MLP.fit

    def watched(self, X, y, **options):
        seen.append((np.bincount(y).tolist(), len(options["unlabelled"]), X[0, 0], options.keys()))
        return fit(self, X, y, **options)

    recipe = {
        "chapter": "08_deep_belief_network",
        "model": "companion.mlp.MLP",
        "judge": "few labels",
        "n_labels": 50,
        "seeds": [0, 1],
        "candidates": [{"hidden_sizes": (20,), "n_epochs": 20, "batch_size": 50, "virtual_adversarial": 1.0}],
        "tutorial": {},
    }
    monkeypatch.setattr(MLP, "fit", watched)
    monkeypatch.setattr(reproduce, "recipes", lambda: {"few": recipe})
    command_line.main(["reproduce", "few"])
    result = json.loads((small / "results" / "few.json").read_text(encoding="utf8"))
    assert [told[:2] for told in seen] == [([5] * 10, 300)] * 2 and seen[0][2] != seen[1][2]
    assert "validation" not in seen[0][3]
    assert 0 < result["valid_error"] < 0.9 and len(result["test_errors"]) == 2


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
    monkeypatch.setattr(judges, "load_flights", lambda size: corpus)
    command_line.main(["reproduce", "tagger"])
    result = json.loads((small / "results" / "tagger.json").read_text(encoding="utf8"))
    others = result["test_error_of_others"]
    assert result["parameters"]["learning_rate"] == 0.02 and "MNIST" not in capsys.readouterr().out
    assert others["best_possible"] <= others["best_possible_without_what_follows"] < others["hidden_markov_model"]
    assert others["best_possible"] < result["test_error"] == pytest.approx(np.mean(result["test_errors"]))
    assert min(result["nats_per_word"]) > result["nats_per_word_at_least"] > 0
    kept = load_model(small / "weights" / "tagger.npz", Tagger)
    assert 1 - kept.score(*corpus.test) == pytest.approx(result["test_errors"][kept.random_state])
    X, y = corpus.test
    assert kept.random_state == np.argmin(result["valid_errors"]) and result["ahead"] == 1
    assert result["nats_per_word"][kept.random_state] == pytest.approx(kept.negative_log_likelihood(X, y))
    settings = kept.get_params() | {"cell": "none", "bidirectional": False, "window": 7}
    window = Tagger(**settings).fit(*corpus.train, validation=corpus.valid)
    assert others["window_of_7"] == pytest.approx(1 - window.score(X, y))


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
    again = recipe | {"refit": "density", "keep_weights": False, "candidates": [{"n_epochs": 15}]}
    again["n_temperatures"] = 400
    monkeypatch.setattr(reproduce, "recipes", lambda: {"density": recipe, "again": again})
    monkeypatch.setattr(judges, "load_mnist", lambda: digits)
    for name in ("VALIDATION", "FORWARD", "REVERSE"):
        monkeypatch.setitem(getattr(judges.Density, name), "n_temperatures", 300)
    monkeypatch.setattr(judges.Density, "LONG_RUN", 200)
    command_line.main(["reproduce", "density"])
    result = json.loads((small / "results" / "density.json").read_text(encoding="utf8"))
    assert result["parameters"]["learning_rate"] == 0.1
    assert result["valid_log_likelihood"] == max(trial["valid_log_likelihood"] for trial in result["candidates"])
    seeds = result["test_log_likelihoods"]
    assert result["test_log_likelihood"] == pytest.approx(np.mean(seeds))
    assert result["test_log_likelihood_std"] == pytest.approx(np.std(seeds, ddof=1)) and seeds[0] != seeds[1]
    said = capsys.readouterr().out
    assert f"test log-likelihood {np.mean(seeds):.2f} ± {np.std(seeds, ddof=1):.2f} nats" in said

    kept = np.load(small / "weights" / "density.npz")
    assert kept["W"].dtype == np.float16 and kept["W"].shape == (12, 4)
    monkeypatch.setattr(results, "DATA", small)
    machine = RBM.from_parameters(**results.load_weights("density"))
    exact = log_likelihood(machine, data.binarize(digits.test.images), exact_log_partition(machine)).mean
    assert result["seed"] == 0  # the first one's machine is kept, whichever is better
    sizes = result["effective_sample_sizes"]
    assert sizes[0] == result["forward"]["effective_sample_size"] and len(set(sizes)) == len(result["seeds"])
    for found in (seeds[0], result["test_log_likelihood_reverse"]):
        assert found == pytest.approx(exact, abs=0.05)
    assert abs(result["half_precision_cost"]) < 0.01

    refitted = reproduce.reproduce("again")
    assert refitted["parameters"] == result["parameters"] | {"n_epochs": 15}
    for record, n in ((result, 300), (refitted, 400)):
        assert record["forward"]["n_temperatures"] == record["reverse"]["n_temperatures"] == n
    machine = RBM(**refitted["parameters"], random_state=0).fit(
        np.concatenate([digits.train.images, digits.valid.images])
    )
    exact = log_likelihood(machine, data.binarize(digits.test.images), exact_log_partition(machine)).mean
    assert refitted["test_log_likelihoods"][0] == pytest.approx(exact, abs=0.05)
    assert not {"valid_log_likelihood", "candidates"} & refitted.keys()


def test_reproduce_measures_machines_by_all_that_is_used_to_judge_them(small, monkeypatch):
    """Log Z is annealed from both sides where it cannot be summed, and agrees with the sum here, where it can."""
    rng = np.random.default_rng(1)
    digits = MNIST(*(Pair((rng.random((n, 12)) < 0.4).astype(np.float32), np.zeros(n, int)) for n in (200, 100, 100)))
    recipe = {
        "chapter": "07_likelihood",
        "model": "companion.rbm.RBM",
        "judge": "measures",
        "seeds": [0, 1],
        "common": {"n_hidden": 4, "n_epochs": 10, "batch_size": 20},
        "candidates": [{"persistent": False}, {"persistent": True}],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"ranking": recipe})
    monkeypatch.setattr(judges, "load_mnist", lambda: digits)
    monkeypatch.setitem(judges.Measures.ANNEALING, "n_temperatures", 300)
    found = []
    for most in (25, 0):  # summed, annealed
        monkeypatch.setattr(judges, "MOST_UNITS", most)
        found.append(reproduce.reproduce("ranking")["measured"])
    kinds = [(machine["settings"]["persistent"], machine["seed"]) for machine in found[0]]
    assert kinds == [(False, 0), (False, 1), (True, 0), (True, 1)]
    for summed, annealed in zip(*found):
        assert "forward" not in summed and annealed["forward"]["effective_sample_size"] > 20
        assert summed["pseudo_log_likelihood"] == annealed["pseudo_log_likelihood"]
        for side in ("log_likelihood", "log_likelihood_reverse"):
            assert annealed[side] == pytest.approx(summed["log_likelihood"], abs=0.05)


def two_patterns():
    """Two digits of twelve pixels, of which a few are wrong."""
    rng = np.random.default_rng(1)
    patterns = np.array([np.arange(12) % 3 == 0, np.arange(12) < 6])

    def pair(n):
        labels = rng.integers(0, 2, n)
        return Pair((patterns[labels] ^ (rng.random((n, 12)) < 0.05)).astype(np.float32), labels)

    return MNIST(pair(400), pair(200), pair(200))


def test_reproduce_asks_a_belief_network_for_digits(small, monkeypatch, capsys):
    digits = two_patterns()
    options = {"n_epochs": 40, "batch_size": 20, "persistent": True, "binarize": True, "schedule": "linear"}
    recipe = {
        "chapter": "08_deep_belief_network",
        "model": "companion.dbn.DBN",
        "judge": "dreams",
        "keep_weights": True,
        "seeds": [1, 0],
        "common": {"hidden_sizes": [6, 8]},
        "candidates": [{"pretraining": options | {"learning_rate": rate}} for rate in (1e-6, 0.2)],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"dreams": recipe})
    monkeypatch.setattr(judges, "load_mnist", lambda: digits)
    for name in ("VALIDATION", "FORWARD"):
        monkeypatch.setitem(getattr(judges.Density, name), "n_temperatures", 300)
    monkeypatch.setitem(judges.Dreams.READER, "hidden_sizes", (10,))
    command_line.main(["reproduce", "dreams"])
    result = json.loads((small / "results" / "dreams.json").read_text(encoding="utf8"))
    assert result["parameters"]["pretraining"]["learning_rate"] == 0.2 and result["recognition_rate"] > 0.85
    assert result["recognition_rate"] == pytest.approx(np.mean(result["recognition_rates"]))
    assert np.mean(result["recognised_of_each"]) == pytest.approx(result["recognition_rates"][0], abs=0.02)
    read = f"{result['recognition_rate']:.1%} ± {result['recognition_rate_std']:.1%} of the dreams recognised"
    assert read in capsys.readouterr().out
    assert abs(result["half_precision_cost"]) < 0.02 and result["wall_minutes"] > 0
    assert min(result["among_test_digits"].values()) > 0.9 < min(result["training_digits_among_them"].values())
    assert not list((small / "checkpoints").iterdir())

    monkeypatch.setattr(results, "DATA", small)
    dbn = DBN.from_parameters(results.load_weights("dreams"))
    bound = dbn.bound(
        data.binarize(digits.test.images), exact_log_partition(dbn.top_), digits.test.labels, n_samples=50
    )
    assert result["seed"] == 1 and result["test_bounds"][0] == pytest.approx(bound.mean, abs=0.1)
    assert result["test_bound"] == pytest.approx(np.mean(result["test_bounds"]))


def test_reproduce_goes_on_from_a_machine_with_itself_on_top(small, monkeypatch, capsys):
    """The bound begins at the likelihood of a machine that has learned little, and is chosen, and rises."""
    digits = two_patterns()
    machine = RBM(n_hidden=6, n_epochs=2, binarize=True, persistent=True, random_state=0).fit(digits.train.images)
    recipe = {
        "chapter": "08_deep_belief_network",
        "model": "companion.wake_sleep.UpDown",
        "judge": "bound",
        "machine": "rbm",
        "seeds": [0, 1],
        "common": {"n_epochs": 40, "batch_size": 20},
        "candidates": [{"learning_rate": 0.0}, {"learning_rate": 0.5}],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"bound": recipe})
    monkeypatch.setattr(judges, "load_mnist", lambda: digits)
    monkeypatch.setattr(judges, "load_weights", lambda name: machine.parameters_ if name == "rbm" else None)
    for name in ("VALIDATION", "FORWARD", "REVERSE"):
        monkeypatch.setitem(getattr(judges.Density, name), "n_temperatures", 300)
    monkeypatch.setattr(judges.Density, "LONG_RUN", 200)
    command_line.main(["reproduce", "bound"])
    result = json.loads((small / "results" / "bound.json").read_text(encoding="utf8"))
    unmoved, moved = (candidate["valid_bound"] for candidate in result["candidates"])
    images = data.binarize(digits.valid.images)
    assert unmoved == pytest.approx(log_likelihood(machine, images, exact_log_partition(machine)).mean, abs=0.05)
    assert result["valid_bound"] == moved > unmoved + 1 and result["parameters"]["learning_rate"] == 0.5
    first, second = result["test_bounds"]
    assert first == pytest.approx(result["test_bound_reverse"], abs=0.05) and result["seed"] == 0
    assert f"test bound {(first + second) / 2:.2f} ± {result['test_bound_std']:.2f} nats" in capsys.readouterr().out


def test_reproduce_measures_music(small, monkeypatch, capsys):
    """Of two candidates one learns; what is recorded agrees with exact values, and what is kept with what was found."""
    chorales = Chorales(*(part[:n] for part, n in zip(_toy_pieces(), (20, 4, 4))))
    recipe = {
        "chapter": "11_music",
        "model": "companion.rnnrbm.RNNRBM",
        "judge": "music",
        "keep_weights": True,
        "seeds": [0, 1],
        "common": {"n_hidden": 6, "n_recurrent": 5, "n_epochs": 5, "batch_size": 4, "k": 2},
        "candidates": [{"learning_rate": 1e-6}, {"learning_rate": 0.02}],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: {"music": recipe})
    monkeypatch.setattr(judges, "load_chorales", lambda: chorales)
    with pytest.raises(SystemExit, match="needs Bach's chorales"):
        command_line.main(["reproduce", "music"])
    bach = [[piece._replace(name="bwv") for piece in part] for part in chorales]
    monkeypatch.setattr(judges, "load_chorales", lambda: Chorales(*bach))
    for name in ("VALIDATION", "TEST"):
        monkeypatch.setitem(getattr(judges.Music, name), "n_temperatures", 100)
    monkeypatch.setattr(judges.Music, "PART", 2)
    monkeypatch.setattr(judges.Music, "LONG_RUN", 100)
    command_line.main(["reproduce", "music"])
    result = json.loads((small / "results" / "music.json").read_text(encoding="utf8"))
    assert result["parameters"]["learning_rate"] == 0.02
    assert f"test log-likelihood {result['test_log_likelihood']:.2f} ± " in capsys.readouterr().out
    monkeypatch.setattr(results, "DATA", small)
    model = RNNRBM.from_parameters(results.load_weights("music"))
    v, machines = model.all_machines([piece.roll for piece in chorales.test])
    steps = -to_numpy(machines.free_energy(v)) - exact_log_partitions(machines)
    exact = float(steps.reshape(4, -1)[:, :: judges.Music.EVERY].mean())
    best = int(np.argmax(result["valid_log_likelihoods"]))
    assert result["test_log_likelihoods"][best] == pytest.approx(exact, abs=0.05)
    part = result["part"][best]
    assert part["ais"] == pytest.approx(part["reverse"], abs=0.1) and part["counted"] >= part["ais"] - 0.05


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


def test_a_training_that_diverges_is_one_line(small, monkeypatch):
    from companion import training

    def diverges(self):
        training.check_progress(float("nan"), {}, 3)

    monkeypatch.setattr(training.Training, "_record", diverges)
    with pytest.raises(SystemExit, match="^reproduce: the training loss is nan after 3 updates"):
        command_line.main(["reproduce", "small"])


def test_info_says_which_data_and_why(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    sample = "data:     the packaged sample of 5,000 digits"
    for dataset, network, said in (
        ("sample", True, f"{sample} (COMPANION_DATASET=sample asks for it)"),
        ("", True, f"data:     all of MNIST (will be downloaded to {(tmp_path / 'mnist').as_posix()}, once)"),
        ("", False, f"{sample} (there is no network to download MNIST)"),
        (
            "full",
            False,
            "data:     none (COMPANION_DATASET=full asks for all of MNIST, but there is no network to download MNIST)",
        ),
    ):
        monkeypatch.setenv("COMPANION_DATASET", dataset)
        monkeypatch.setattr(data, "network_answers", lambda network=network: network)
        command_line.main(["info"])
        printed = capsys.readouterr().out
        assert printed.splitlines()[-1] == said and "numpy 2" in printed and "backend:" in printed


@pytest.mark.parametrize("arguments", [["fetch"], ["reproduce", "logistic"]])
def test_offline_one_line_says_what_to_do(monkeypatch, tmp_path, arguments):
    """The message names what the reader did; the reader has set no variable, so it blames none."""
    for name in ("COMPANION_DATA", "COMPANION_DATASET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.setattr(data, "network_answers", lambda: False)
    with pytest.raises(SystemExit) as problem:
        command_line.main(arguments)
    assert str(problem.value) == (
        f"{arguments[0]}: there is no network to download MNIST. Put its four files into data/mnist, or name their "
        "folder in the environment variable COMPANION_DATA."
    )


@pytest.mark.parametrize("arguments", [["reproduce"], ["reproduce", "--help"]])
def test_reproduce_lists_its_names_with_what_they_take(capsys, arguments):
    with contextlib.suppress(SystemExit):
        command_line.main(arguments)
    printed = capsys.readouterr().out
    for name, recipe in results.recipes().items():
        line = next(line for line in printed.splitlines() if line.startswith(f"  {name} "))
        minutes = results.read_result(name)["cpu_minutes_all_candidates"]
        minutes *= 6 / 4 if name == "dbn_dreams" else 1  # whose second candidate was recorded with one seed of three
        assert recipe["model"].rpartition(".")[2] in line and line.endswith(f" {minutes:.0f} CPU minutes")
        assert len(line) <= 100


@pytest.mark.parametrize("options", [["--check"], ["--jobs", "3"]])
def test_reproduce_asks_what_the_options_are_for(options):
    with pytest.raises(SystemExit, match="expected NAME or --all beside --check and --jobs"):
        command_line.main(["reproduce", *options])


def test_the_lab_finds_data_that_are_named_from_here(monkeypatch, tmp_path):
    """Its kernel runs elsewhere."""
    app = pytest.importorskip("voila.app")
    monkeypatch.setattr(app.Voila, "launch_instance", lambda given: None)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("COMPANION_DATA", "digits")
    command_line.lab([])
    assert os.environ["COMPANION_DATA"] == str(tmp_path / "digits")


def test_a_class_without_a_name_is_refused(monkeypatch, tmp_path):
    """An unset variable of a shell is an empty word."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="student: expected the name of a folder"):
        command_line.main(["student", ""])
    assert not list(tmp_path.iterdir())


def test_what_was_done_is_kept_by_reproduce_only(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "info", interrupted)
    with pytest.raises(SystemExit, match=r"^Interrupted\.$"):
        command_line.main(["info"])


@pytest.mark.parametrize(("word", "whose"), [("run", "JupyterLab"), ("lab", "Voilà")])
def test_help_says_what_is_passed_on(capsys, word, whose):
    with pytest.raises(SystemExit):
        command_line.main([word, "--help"])
    printed = capsys.readouterr().out
    assert f"passed on to {whose}" in printed and "--no-browser" in printed and "=9000" in printed


@pytest.mark.parametrize("given", [["--ip=0.0.0.0"], ["--ip", "0.0.0.0"], ["--ServerApp.ip=0.0.0.0"]])
def test_a_setting_of_ours_gives_way_to_the_readers_by_each_of_its_names(given):
    settings = command_line._unless_given(["--ServerApp.ip=127.0.0.1", "--allow-root"], given)
    assert settings == ["--allow-root", *given]


@pytest.mark.parametrize(
    "mine, made", [("1_homework.ipynb", "deep-beliefs"), ("06_restricted_boltzmann_machine.ipynb", "")]
)
def test_a_folder_is_the_books_by_its_chapters_not_by_a_digit(monkeypatch, tmp_path, mine, made):
    monkeypatch.setattr(places, "CHECKOUT", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / mine).touch()
    assert command_line._folder(None) == tmp_path / made


@pytest.mark.parametrize("place", ["checkout", "wheel", "wheel, again", "folder", "within"])
def test_run_opens_the_checkout_or_copies_that_are_the_readers(monkeypatch, tmp_path, capsys, place):
    """From a wheel they are put into a folder of their own below the current one, or used where they are."""
    labapp = pytest.importorskip("jupyterlab.labapp")
    given = []
    monkeypatch.setattr(labapp.LabApp, "launch_instance", given.extend)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("COMPANION_DATA", "digits")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "deep-beliefs"
    if place.startswith("wheel"):
        monkeypatch.setattr(places, "CHECKOUT", None)
        monkeypatch.setattr(places, "ROOT", Path())
    if place == "wheel, again":
        published.copy_chapters(tmp_path)
        folder = tmp_path
    if place == "folder":
        folder = tmp_path / "class"
    if place == "checkout":
        folder = places.ROOT
    named = ["--folder", "class"] if place == "folder" else []
    if place == "within":  # a folder of the checkout, with what an address must not have as it is
        monkeypatch.setattr(places, "CHECKOUT", tmp_path)
        folder, named = tmp_path, ["--folder", "mine #1 (50%)"]
    command_line.main(["run", *named, "--port", "9000", "--ServerApp.ip=0.0.0.0"])
    below = {"checkout": "chapters/", "within": "mine #1 (50%)/"}.get(place, "")
    address = {"within": "mine%20%231%20%2850%25%29/"}.get(place, below)
    assert f"--ServerApp.root_dir={folder}" in given
    assert f"--LabApp.default_url=/lab/tree/{address}00_getting_started.ipynb" in given
    assert Path(os.environ["PATH"].split(os.pathsep)[0], "python").exists(), (
        "what a terminal of JupyterLab calls python"
    )
    assert given[-3:] == ["--port", "9000", "--ServerApp.ip=0.0.0.0"] and "--ServerApp.ip=127.0.0.1" not in given
    assert "--folder" not in given
    copies = len(list(published.FOLDER.glob("[0-9]*.ipynb")))
    assert len(list((folder / below).glob("[0-9]*.ipynb"))) == copies
    told = f"{copies + 1} files of the book are now in {(folder / below).as_posix()}; they are yours to change."
    assert (told in capsys.readouterr().out) == (place in ("wheel", "folder", "within"))
    assert os.environ["COMPANION_DATA"] == str((places.ROOT / "digits").resolve()), "wherever a notebook lies"


@pytest.mark.parametrize("command", [["run", "--folder"], ["student"], ["restore", "06", "--folder"]])
def test_a_file_is_no_folder_for_chapters(tmp_path, command):
    (tmp_path / "afile").touch()
    with pytest.raises(SystemExit, match="afile: expected a folder for the chapters, found a file"):
        command_line.main([*command, str(tmp_path / "afile")])


def test_fetch_says_where_mnist_is(monkeypatch, capsys, tmp_path):
    small = bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3])  # an IDX file
    monkeypatch.setattr(data, "FILES", dict.fromkeys(data.FILES, hashlib.sha256(small).hexdigest()))
    monkeypatch.setattr(data, "DATA", tmp_path)
    (tmp_path / "mnist").mkdir()
    for name in data.FILES:
        (tmp_path / "mnist" / name).write_bytes(small)
    command_line.main(["fetch"])
    assert capsys.readouterr().out.strip().endswith("mnist")
    (tmp_path / "mnist" / name).write_bytes(damaged := small[:-1] + b"4")
    with pytest.raises(SystemExit, match=f"{name}: .*delete that file, and fetch again"):
        command_line.main(["fetch"])
    assert (tmp_path / "mnist" / name).read_bytes() == damaged


def test_letters_that_a_terminal_lacks_do_not_end_a_command():
    """A file that the output goes to has few of them on Windows, and hours of training may have come before."""
    code = "from companion.__main__ import main; main(['info']); print('1 − F1')"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout.strip().endswith(b"1 ? F1")


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_whoever_has_read_enough_ends_a_command_silently():
    code = "from companion.__main__ import main; input(); main(['info'])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=environment)  # fmt: skip
    command.stdout.close()
    command.stdin.write("go\n")
    command.stdin.close()
    assert command.stderr.read() == "" and command.wait() == 1


@pytest.mark.parametrize("asked", ["info", "reproduce"])
def test_asking_for_a_gpu_that_is_not_there_is_one_line(asked):
    """In a process of its own, because the backend is chosen at the first import."""
    code = f"import sys; sys.modules['cupy'] = None; from companion.__main__ import main; main(['{asked}'])"
    environment = {**os.environ, "COMPANION_BACKEND": "cupy"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "needs an NVIDIA GPU" in done.stderr and "Unset COMPANION_BACKEND" in done.stderr


@pytest.mark.parametrize(
    ("asked", "said"), [("3", "numpy, 3 threads"), ("1", "numpy"), ("two", "expected a whole num")]
)
def test_info_says_how_many_threads_there_are(asked, said):
    own = os.environ | {"COMPANION_BACKEND": "numpy", "COMPANION_THREADS": asked}
    done = subprocess.run([sys.executable, "-m", "companion", "info"], capture_output=True, text=True, env=own)
    if asked == "two":
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    else:
        assert f"backend:  {said}\n" in done.stdout


def test_few_labels_are_told_of_different_images_and_models_chosen_on_the_validation_set(small):
    digits, told = judges.load_mnist(), []
    model = SimpleNamespace(random_state=0, fit=lambda X, y, **_: told.append(X), errors=lambda X, y: X)
    judge = judges.FewLabels(digits, 200)
    judge.fit(model, None)
    assert len(np.unique(told[0], axis=0)) == 200 and judge.validate(model) is digits.valid.images


def grey_patterns():
    """The two digits in grey, and other ones for each use."""
    return MNIST(*(Pair(np.abs(pair.images - np.float32(level)), pair.labels) for pair, level in
                   zip(two_patterns(), (0.1, 0.2, 0.3))))  # fmt: skip


def test_what_is_recorded_of_a_density_is_what_it_is_called(monkeypatch):
    """Of a machine that rounding costs much, on digits that rounding changes; log Z is known exactly."""
    digits = grey_patterns()
    machine = RBM(n_hidden=4, n_epochs=3, random_state=0).fit(digits.train.images)
    second = RBM(n_hidden=4, n_epochs=1, random_state=1).fit(digits.train.images)
    monkeypatch.setattr(judges, "_half", lambda model: {k: to_numpy(a).round(0) for k, a in model.parameters_.items()})
    for name in ("FORWARD", "REVERSE"):
        monkeypatch.setitem(getattr(judges.Density, name), "n_temperatures", 200)
    monkeypatch.setattr(judges.Density, "LONG_RUN", 100)
    judge = judges.Density(digits)
    found, images = judge.test([machine, second], []), data.binarize(digits.test.images)

    def exactly(model, images):
        return log_likelihood(model, images, exact_log_partition(model))

    rounded = np.round(digits.test.images)
    assert found["test_log_likelihood_thresholded"] == pytest.approx(exactly(machine, rounded).mean, abs=0.02)
    for name, of in (("", images), ("_thresholded", rounded)):
        expected = float(to_numpy(machine.pseudo_log_likelihood(of)).mean())
        assert found[f"test_pseudo_log_likelihood{name}"] == pytest.approx(expected)
    cost = exactly(machine, images).mean - exactly(RBM.from_parameters(**judge.half), images).mean
    assert found["half_precision_cost"] == pytest.approx(cost, abs=0.03) and cost > 0.2
    assert found["image_error"] == pytest.approx(exactly(machine, images).image_error)


def test_chains_go_back_from_where_others_came_by_their_weights_in_so_many_threads(small, monkeypatch):
    monkeypatch.setattr(judges, "load_mnist", two_patterns)
    monkeypatch.setattr(judges, "reverse_ais", lambda *_, n_jobs, **options: n_jobs)
    forward = SimpleNamespace(log_weights=np.array([0.0, -1e3, -1e3]), samples=to_device(np.arange(3)))
    model = SimpleNamespace(sample=lambda start, **_: start)
    threads, start = judges.judge_of({"judge": "density"}, 2)._backwards(model, forward, None)
    assert threads == 2 and to_numpy(start).tolist() == [0, 0, 0]


def test_measures_are_those_of_each_machine(monkeypatch):
    digits = two_patterns()
    monkeypatch.setattr(judges.Measures, "FEW", 10)
    judge, images = judges.Measures(digits), data.binarize(digits.valid.images)
    machines = [RBM(n_hidden=4, n_epochs=1, random_state=seed).fit(digits.train.images) for seed in (0, 1)]
    for machine in machines:
        judge.validate(machine)
    measured, one = judge.measured[1], machines[1]
    expected = ((to_numpy(one.reconstruct(images)) - images) ** 2).sum(axis=1).mean()
    assert measured["reconstruction_error"] == pytest.approx(expected, rel=1e-5)
    expected = float(to_numpy(one.pseudo_log_likelihood(images[:10])).mean())
    assert measured["pseudo_log_likelihood"] == pytest.approx(expected, rel=1e-5)
    assert len(judge.test(machines[1:], [])["test_log_likelihoods"]) == 1


def test_a_bound_is_taken_on_the_digits_that_it_is_named_after(monkeypatch):
    weights = {"W": np.zeros((12, 2)), "visible_bias": np.zeros(12), "hidden_bias": np.zeros(2)}
    monkeypatch.setattr(judges, "load_weights", lambda name: weights)
    digits = two_patterns()
    judge = judges.Bound(digits, "rbm")
    network = SimpleNamespace(top_=None, layers_=[SimpleNamespace(transform=lambda images: images)])
    np.testing.assert_array_equal(judge._base(network), judge.base_bias)
    judge._anneal = lambda network, **_: LogPartition(0.0)
    judge._backwards = lambda *_, **__: (LogPartition(0.0), None)
    judge._bound = lambda network, images, partition: SimpleNamespace(mean=float(images.mean()), image_error=0)
    found = judge.test([SimpleNamespace(network_=network, random_state=0)], [])
    assert found["train_bound"] == float(digits.train.images.mean()) and found["test_bounds"] == [
        float(digits.test.images.mean())
    ]


def test_dreams_are_held_against_as_many_digits_of_the_test_set(monkeypatch):
    digits, judge = two_patterns(), judges.Dreams(two_patterns())
    network = SimpleNamespace(
        top_=None, random_state=0, classes_=np.arange(2), parameters_={},
        bound=lambda *_, **__: SimpleNamespace(mean=0.0, image_error=0.0),
        sample=lambda n, *_, **__: np.ones((n, 12), np.float32),
    )  # fmt: skip
    reader = SimpleNamespace(predict=lambda images: np.zeros(len(images)), errors=lambda X, y: X)
    monkeypatch.setattr(judges, "ais", lambda *_, **__: LogPartition(0.0))
    monkeypatch.setattr(judges, "DBN", SimpleNamespace(from_parameters=lambda parameters: network))
    monkeypatch.setattr(judges, "MLP", lambda **_: SimpleNamespace(fit=lambda X, y: reader))
    monkeypatch.setattr(judges, "precision_and_recall", lambda real, made: (real, made))
    monkeypatch.setattr(judge, "_rounded_bound", lambda *_: 0.0)
    found = judge.test([network], [])
    (real, made), (same, others) = found["among_test_digits"], found["training_digits_among_them"]
    first = [
        np.concatenate([pair.images[pair.labels == k][:100] for k in (0, 1)]) for pair in (digits.test, digits.train)
    ]
    for images, expected in ((real, first[0]), (same, first[0]), (others, first[1]), (made, np.ones((200, 12)))):
        np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(found["reader_test_error"], digits.test.images)


def test_log_z_of_a_rounded_network_is_that_of_its_own_top(monkeypatch):
    W = np.random.default_rng(0).normal(size=(6, 4))
    tops = [RBM.from_parameters(W + shift, np.zeros(6), np.zeros(4)) for shift in (0, 0.1)]
    models = [SimpleNamespace(top_=top) for top in tops]
    judge = judges.Dreams(two_patterns())
    monkeypatch.setattr(judge, "_bound", lambda model, pair, partition: SimpleNamespace(mean=partition.log_z))
    found = judge._rounded_bound(*models, ais(tops[0], n_temperatures=200, n_chains=500, random_state=0))
    assert found == pytest.approx(exact_log_partition(tops[1]).log_z, abs=0.1)


class Writer:
    """Stands for an RNN-RBM."""

    parameters_ = {}

    def __init__(self, seed):
        self.random_state = seed

    @classmethod
    def from_parameters(cls, parameters):
        return cls(None)

    def frame_accuracy(self, *_, **__):
        return 0.5


def test_the_best_by_validation_is_measured_in_music_and_what_rounding_costs_it(monkeypatch):
    judge, models = judges.Music(_toy_pieces()), [Writer(0), Writer(1)]
    monkeypatch.setattr(judge, "_part", lambda model: None)
    monkeypatch.setattr(judge, "_hasty", lambda model, n: n if model is models[1] else n - 3)
    monkeypatch.setattr(judge, "_likelihood", lambda model, *_, **__: SimpleNamespace(
        mean=0.0, log_z_error=model.random_state, piece_error=model.random_state))  # fmt: skip
    found = judge.test(models, [-2.0, -1.0])
    assert (found["seed"], found["log_z_error"], found["piece_error"], found["half_precision_cost"]) == (1, 1, 1, 3)


def test_of_machines_that_are_silent_all_samples_have_at_most_four_notes(monkeypatch):
    judge = judges.Music(_toy_pieces())
    silent = StepMachines(np.zeros((6, 2)), np.full((40, 6), -30.0), np.zeros((40, 2)))
    monkeypatch.setattr(judge, "_some", lambda *_: (np.zeros(40), silent, None))
    monkeypatch.setattr(judges.Music, "TEST", {"n_temperatures": 20, "n_chains": 2})
    monkeypatch.setattr(judges.Music, "LONG_RUN", 1)
    assert judge._part(None)["at_most_four_notes"] == 1


def test_a_check_trains_the_seed_that_was_measured_and_allows_three_deviations(small, monkeypatch):
    monkeypatch.setattr(results, "DATA", small)
    record, path = reproduce.reproduce("small"), small / "results" / "small.json"
    for seed, error in zip((3, 4), record["test_errors"], strict=True):
        path.write_text(json.dumps(record | {"seed": seed, "test_error_std": 0.01}), encoding="utf8")
        assert reproduce.check("small") == (error, record["test_error"], pytest.approx(0.03))
    path.write_text(json.dumps(record), encoding="utf8")
    assert reproduce.check("small")[0] == record["test_errors"][0] != record["test_errors"][1]


def test_minutes_are_those_of_one_run_of_the_chosen_and_of_all_runs(small, monkeypatch):
    monkeypatch.setattr(reproduce, "_seconds", lambda model, clock: {"cpu": 60, "wall": 120}[clock])
    result = reproduce.reproduce("small")
    assert (result["cpu_minutes"], result["wall_minutes"], result["cpu_minutes_all_candidates"]) == (1, 2, 4)


def test_checkpoints_of_other_runs_are_kept(tmp_path):
    for name in ("a-0-1.npz", "a-0-1.layer1.npz", "a-0-11.npz", "b-0-1.npz"):
        (tmp_path / name).touch()
    reproduce._forget(tmp_path / "a-0-1.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-0-11.npz", "b-0-1.npz"]


def test_a_run_is_interrupted_if_one_of_its_trainings_is():
    def fit(model, checkpoint):
        model.pretraining_histories_ = [SimpleNamespace(stopped=None)]
        model.history_ = SimpleNamespace(stopped="interrupt")

    with pytest.raises(KeyboardInterrupt):
        reproduce._train({"model": "companion.mlp.MLP"}, SimpleNamespace(fit=fit), {}, 0, None)


def test_an_environment_names_its_processor_and_what_is_not_there(monkeypatch):
    monkeypatch.setattr(results, "PACKAGES", ("no-such-package",))
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "flags : a\nmodel name\t: A fast one\n")
    facts = results.environment()
    assert facts["versions"]["no-such-package"] == "none" and facts["machine"].startswith("A fast one, ")


def test_a_folder_is_told_by_its_whole_name_and_what_lies_in_it_by_a_short_one(tmp_path):
    found = [places.shown(path, tmp_path) for path in (tmp_path, tmp_path / "a" / "b")]
    assert found == [tmp_path.as_posix(), "a/b"]


def test_what_the_book_brings_comes_before_what_else_is_there(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "there")
    command_line._offer("JUPYTER_PATH", "ours")
    assert os.environ["JUPYTER_PATH"] == os.pathsep.join(("ours", "there"))


def test_of_what_servers_log_errors_and_addresses_are_let_through():
    def record(words, level=logging.INFO):
        return logging.LogRecord("server", level, "", 0, words, (), None)

    said = [record("a"), record("http://a"), record("a", logging.ERROR), record("WebSocketClosedError()")]
    assert [command_line._address(each) for each in said] == [False, True, True, False]
    assert [command_line._closed(each) for each in said] == [True, True, True, False]


@pytest.mark.parametrize("typed", ["deep-beliefs", "python -m companion"])
def test_the_reader_is_told_what_the_reader_has_typed(monkeypatch, typed):
    monkeypatch.setattr(sys, "argv", ["/bin/deep-beliefs" if typed == "deep-beliefs" else "companion/__main__.py"])
    assert command_line._called() == typed


def test_an_option_of_nobodys_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(command_line, "info", lambda: pytest.fail("it goes on"))
    with pytest.raises(SystemExit):
        command_line.main(["info", "--colour"])
    assert "unrecognised arguments: --colour" in capsys.readouterr().err


def test_a_name_that_is_none_is_said_without_ornaments():
    with pytest.raises(SystemExit, match="^reproduce: no recipe 'nonesuch'; there are: logistic"):
        command_line.main(["reproduce", "nonesuch"])


@pytest.mark.parametrize("user", [0, 1000])
def test_root_may_open_the_book_where_there_is_no_one_else(monkeypatch, user):
    labapp, given = pytest.importorskip("jupyterlab.labapp"), []
    monkeypatch.setattr(labapp.LabApp, "launch_instance", given.extend)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    command_line.run([])
    assert ("--allow-root" in given) == (user == 0)


def test_a_tagger_is_said_beside_the_least_that_is_possible(monkeypatch, capsys):
    result = {"test_error": 0.05, "test_error_of_others": {"best_possible": 0.04}, "seeds": [0], "cpu_minutes": 1}
    monkeypatch.setattr(reproduce, "reproduce", lambda name, jobs: result)
    command_line._record("tagger", 1)
    said = "tagger: test error 5.00% (1 − F1; the least possible is 4.00%), seeds [0], 1.00 CPU minutes each"
    assert said in capsys.readouterr().out


def test_data_may_be_at_home(monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("COMPANION_DATA", "~/digits")
    command_line._data_from_here()
    assert os.environ["COMPANION_DATA"] == str(tmp_path / "digits")


@pytest.mark.parametrize("beside", [[], ["pyproject.toml"], ["chapters"], ["pyproject.toml", "chapters"]])
def test_a_checkout_is_known_by_its_chapters(tmp_path, beside):
    """A file `pyproject.toml` alone lies among packages, too, where some wheel has dropped it."""
    (tmp_path / "companion").mkdir()
    for name in beside:
        (tmp_path / name).mkdir() if name == "chapters" else (tmp_path / name).touch()
    copy = shutil.copy(places.__file__, tmp_path / "companion")
    spec = importlib.util.spec_from_file_location("places", copy)
    spec.loader.exec_module(found := importlib.util.module_from_spec(spec))
    assert found.CHECKOUT == (tmp_path if len(beside) == 2 else None)
    assert found.DATA.is_relative_to(tmp_path) == (len(beside) == 2)
