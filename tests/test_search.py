"""Hyper-parameter searches of scikit-learn over the real estimator, on this machine and on a cluster."""

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV

from companion.data import plane_points
from companion.mlp import MLP


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


@pytest.mark.slow
def test_the_same_search_on_a_dask_cluster_of_two_workers(points, serial):
    """One line more, and the work is done by two other processes."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -e '.[cluster]'")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with cluster, distributed.Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        with joblib.parallel_config(backend="dask"):
            found = search().fit(*points)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])
    assert found.best_params_ == serial.best_params_
