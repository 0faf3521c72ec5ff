"""Hyper-parameter searches of scikit-learn over the real estimator, on this machine and on a cluster."""

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV

from companion import judges, reproduce
from companion.annealing import ais, parallel_tempering
from companion.data import plane_points
from companion.flights import load_flights
from companion.mlp import MLP
from companion.rbm import RBM


def search(**options):
    space = {"learning_rate": loguniform(1e-4, 1e-1), "hidden_sizes": [(5,), (20,)], "activation": ["tanh", "relu"]}
    model = MLP(optimizer="adam", n_epochs=60, l2=0.0, random_state=0)
    return RandomizedSearchCV(model, space, n_iter=6, cv=2, random_state=1, **options)


@pytest.fixture(scope="module")
def points():
    return plane_points("moons", 200, np.random.default_rng(0))


@pytest.fixture(scope="module")
def serial(points):
    return search().fit(*points)


def test_a_search_finds_what_separates_the_moons(serial):
    assert serial.best_score_ > 0.95, "no line gives more than about 0.9"
    assert len(set(serial.cv_results_["mean_test_score"])) > 2


def test_parallel_search_gives_the_same_scores(points, serial):
    found = search(n_jobs=2).fit(*points)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])


@pytest.fixture
def rbm():
    """A machine of 800 units, of which a few hundred chains are several blocks."""
    return RBM.from_parameters(*(np.random.default_rng(0).normal(0, 0.05, n) for n in [(500, 300), 500, 300]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the effective sample size")
def test_processes_of_joblib_move_chains_as_one_thread_does(rbm):
    """Bit for bit, also in blocks above a megabyte, which joblib would map read-only."""
    n, betas = 600, np.linspace(1, 0.5, 6)
    assert n * len(betas) * 500 * rbm.W_.itemsize / 4 > 1e6
    alone = parallel_tempering(rbm, n, 3, betas=betas, random_state=0)
    with joblib.parallel_config("loky", n_jobs=2):
        found = parallel_tempering(rbm, n, 3, betas=betas, random_state=0)
    for array, expected in zip(found, alone):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the effective sample size")
def test_a_dask_cluster_of_two_workers_gives_the_same(points, serial, rbm, tmp_path, monkeypatch):
    """One line more, and the work is done by two other processes: a search, chains, the runs of a recipe."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -e '.[cluster]'")
    recipe = {
        "chapter": "10_recurrent_network",
        "model": "companion.tagger.Tagger",
        "judge": "tagging",
        "seeds": [0, 1],
        "candidates": [{"cell": "gru", "n_hidden": 8, "embedding": 5, "n_epochs": 4, "batch_size": 2}],
        "tutorial": {},
    }
    monkeypatch.setattr(reproduce, "DATA", tmp_path)
    monkeypatch.setattr(reproduce, "recipes", lambda: {"tagger": recipe})
    monkeypatch.setattr(judges, "load_flights", lambda size: load_flights((80, 30, 30)))

    def shrink():
        from companion import annealing, flights, judges, reproduce

        judges.load_flights = lambda size: flights.load_flights((80, 30, 30))
        reproduce.done = []

        def noted(function):
            def call(*args, **options):
                reproduce.done.append(function.__name__)
                return function(*args, **options)

            return call

        annealing._Walk.__call__ = noted(annealing._Walk.__call__)
        reproduce._train_apart = noted(reproduce._train_apart)

    def done():
        from companion import reproduce

        return reproduce.done

    def chains_and_runs(jobs):
        annealed = ais(rbm, n_temperatures=20, n_chains=640, random_state=0)
        tempered = parallel_tempering(rbm, 600, 10, betas=np.linspace(1, 0.5, 6), random_state=0)
        return annealed.log_weights, *tempered, reproduce.reproduce("tagger", jobs=jobs)["test_errors"]

    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with cluster, distributed.Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        client.run(shrink)
        with joblib.parallel_config(backend="dask"):
            found, there = search().fit(*points), chains_and_runs(2)
        by_worker = list(client.run(done).values())
    assert all("__call__" in names for names in by_worker), "both move chains"
    assert sum(names.count("_train_apart") for names in by_worker) == 2
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])
    assert found.best_params_ == serial.best_params_
    for far, near in zip(there, chains_and_runs(1)):
        np.testing.assert_array_equal(far, near)
