"""Up-down fine-tuning: the gradients of its phases against finite differences and enumeration, and what it improves."""

from itertools import product

import numpy as np
import pytest
from helpers import arrays, assert_same, log_bernoulli, states
from sklearn.base import clone

from companion.backend import Noise, generator, to_device, to_numpy, xp
from companion.dbn import DBN
from companion.likelihood import exact_log_partition
from companion.rbm import ContrastiveDivergence
from companion.storage import load_model, save_model
from companion.wake_sleep import UpDown, WakeSleep, _network

SIZES = 4, 3, 2, 3
PRETRAINING = {"learning_rate": 0.1, "n_epochs": 2}


@pytest.fixture
def parameters(rng):
    """Of 4 pixels and 3, 2 and 3 hidden units, in float64; the way up and the way down have nothing in common."""
    p = {}
    for i, (n_in, n_out) in enumerate(zip(SIZES[:-1], SIZES[1:-1]), start=1):
        for way, size in (("up", n_out), ("down", n_in)):
            p |= {f"{way}_W{i}": rng.normal(0, 1.2, (n_in, n_out)), f"{way}_b{i}": rng.normal(size=size)}
    return p | {"W": rng.normal(size=SIZES[2:]), "visible_bias": rng.normal(size=2), "hidden_bias": rng.normal(size=3)}


def device(parameters):
    return {name: to_device(array.copy()) for name, array in parameters.items()}


def log_q(p, v, h1, h2):
    return log_bernoulli(h1, v @ p["up_W1"] + p["up_b1"]) + log_bernoulli(h2, h1 @ p["up_W2"] + p["up_b2"])


def log_down(p, v, h1, h2):
    """Log p(v, h1 | h2)."""
    return log_bernoulli(v, h1 @ p["down_W1"].T + p["down_b1"]) + log_bernoulli(h1, h2 @ p["down_W2"].T + p["down_b2"])


def log_top(p, h2):
    codes = states(2)
    minus_F = codes @ p["visible_bias"] + np.logaddexp(0, codes @ p["W"] + p["hidden_bias"]).sum(axis=1)
    mine = h2 @ p["visible_bias"] + np.logaddexp(0, h2 @ p["W"] + p["hidden_bias"]).sum(axis=-1)
    return mine - np.logaddexp.reduce(minus_F)


def everything():
    """All states of v, h1 and h2 together, one a row of each."""
    rows = np.array(list(product(range(16), range(8), range(4))))
    return states(4)[rows[:, 0]], states(3)[rows[:, 1]], states(2)[rows[:, 2]]


def slopes(function, p, names):
    """Derivatives by central differences."""
    found = {}
    for name in names:
        found[name] = np.empty_like(p[name])
        for index in np.ndindex(p[name].shape):
            there = [p | {name: p[name].copy()} for _ in range(2)]
            there[0][name][index] += 1e-6
            there[1][name][index] -= 1e-6
            found[name][index] = (function(there[0]) - function(there[1])) / 2e-6
    return found


UP, DOWN = (tuple(f"{way}_{kind}{i}" for i in (1, 2) for kind in "Wb") for way in ("up", "down"))


def test_each_phase_is_the_slope_of_what_it_climbs_at_the_states_drawn(parameters, monkeypatch):
    drawn = {}
    for phase in ("wake", "sleep"):
        method = getattr(WakeSleep, phase)

        def keep(self, start, method=method, phase=phase):
            drawn[phase] = method(self, start)
            return drawn[phase]

        monkeypatch.setattr(WakeSleep, phase, keep)
    gradients = WakeSleep(device(parameters), Noise(generator(0)), k=3)
    gradients(to_device(np.tile(states(4), (3, 1))))
    awake, asleep = ([to_numpy(layer) for layer in drawn[phase]] for phase in ("wake", "sleep"))
    assert [layer.shape[1] for layer in awake] == [layer.shape[1] for layer in asleep] == [4, 3, 2]
    expected = slopes(lambda p: -log_down(p, *awake).mean(), parameters, DOWN)
    expected |= slopes(lambda p: -log_q(p, *asleep).mean(), parameters, UP)
    for name, slope in expected.items():
        np.testing.assert_allclose(to_numpy(gradients.gradients[name]), slope, atol=1e-8, err_msg=name)


def test_over_many_draws_the_phases_are_those_of_the_enumeration(parameters):
    """Wake: the slope of ⟨log p(v, h)⟩ under q, for given images; sleep: that of ⟨log q(h | v)⟩ under p."""
    n, images, (v, h1, h2) = 40_000, states(4)[[3, 9]], everything()
    q = np.exp(log_q(parameters, v, h1, h2)) * (v[:, None] == images).all(axis=2).any(axis=1) / 2
    p = np.exp(log_down(parameters, v, h1, h2) + log_top(parameters, h2))
    assert q.sum() == pytest.approx(1) and p.sum() == pytest.approx(1)
    expected = slopes(lambda theta: -q @ log_down(theta, v, h1, h2), parameters, DOWN)
    expected |= slopes(lambda theta: -q @ log_top(theta, h2), parameters, ("W", "visible_bias", "hidden_bias"))
    expected |= slopes(lambda theta: -p @ log_q(theta, v, h1, h2), parameters, UP)
    gradients = WakeSleep(device(parameters), Noise(generator(1)), k=30)
    gradients(to_device(np.tile(images, (n // 2, 1))))
    for name, slope in expected.items():
        np.testing.assert_allclose(to_numpy(gradients.gradients[name]), slope, atol=4.5 / np.sqrt(n), err_msg=name)


def network(parameters):
    tied = {"W1": np.zeros((4, 3)), "visible_bias1": np.zeros(4), "b1": np.zeros(3), "W2": np.zeros((3, 2)),
            "visible_bias2": np.zeros(3), "b2": np.zeros(2), "W3": np.zeros((2, 3)), "visible_bias3": np.zeros(2),
            "b3": np.zeros(3)}  # fmt: skip
    return _network(DBN.from_parameters(tied), device(parameters))


def test_the_bound_of_two_ways_is_the_enumerated_one_and_lies_below_the_truth(parameters):
    dbn, (v, h1, h2) = network(parameters), everything()
    log_p = (log_down(parameters, v, h1, h2) + log_top(parameters, h2)).reshape(16, -1)
    log_q_ = log_q(parameters, v, h1, h2).reshape(16, -1)
    exact = (np.exp(log_q_) * (log_p - log_q_)).sum(axis=1)
    assert (exact < np.logaddexp.reduce(log_p, axis=1)).all()
    partition = exact_log_partition(dbn.top_)
    found = dbn.bound(np.tile(states(4), (20, 1)), partition, n_samples=200, random_state=0)
    assert found.mean == pytest.approx(exact.mean(), abs=0.03)
    dreams = to_numpy(dbn.sample(20_000, 50, random_state=0))
    marginal = np.exp(np.logaddexp.reduce(log_p, axis=1)) @ states(4)
    np.testing.assert_allclose(dreams.mean(axis=0), marginal, atol=4 * 0.5 / np.sqrt(20_000))


@pytest.fixture
def problem(rng):
    """Two patterns of 16 pixels, a tenth of them flipped, with labels."""
    patterns = np.stack([np.arange(16) < 8, np.arange(16) % 4 < 2])
    y = rng.integers(2, size=300)
    return (patterns[y] ^ (rng.random((300, 16)) < 0.1)).astype(np.float32), y


@pytest.mark.parametrize("labelled", [False, True], ids=["no labels", "labels"])
def test_the_bound_rises_and_the_network_given_stays_as_it_was(problem, labelled):
    X, y = problem[0], problem[1] if labelled else None
    dbn = DBN(hidden_sizes=(8, 6), pretraining=PRETRAINING, random_state=0).pretrain(X, y)
    before = arrays(dbn)
    fine = UpDown(dbn, learning_rate=0.1, n_epochs=20, batch_size=20, k=2, random_state=0).fit(X, y).network_
    assert_same(dbn.parameters_, before)
    bounds = [net.bound(X, exact_log_partition(net.top_), y, n_samples=30, random_state=1).mean for net in (dbn, fine)]
    assert bounds[1] > bounds[0] + 0.05
    assert fine.parameters_.keys() - dbn.parameters_.keys() == {"down_W1"}
    assert fine.transform(X).shape == (300, 6)


def test_the_machine_on_top_learns_as_one_alone_does(problem):
    """A stack of one layer has nothing below the top: what is left is contrastive divergence."""
    X, _ = problem
    dbn = DBN(hidden_sizes=(6,), pretraining=PRETRAINING, random_state=0).pretrain(X)
    gradients = WakeSleep(dict(dbn.top_.parameters_), Noise(generator(2)), k=2)
    alone = ContrastiveDivergence(dbn.top_, Noise(generator(2)), k=2)
    assert float(gradients(to_device(X))) == float(alone(to_device(X)))
    for mine, theirs in zip(gradients.gradients.values(), alone.gradients, strict=True):
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))


@pytest.mark.parametrize("persistent", [True, False])
def test_seeds_checkpoints_and_files(problem, tmp_path, persistent):
    X, y = problem
    dbn = DBN(hidden_sizes=(8, 7, 6), pretraining=PRETRAINING, random_state=0).pretrain(X, y)

    def trained(**options):
        at = {"checkpoint": options.pop("checkpoint", None), "watch": options.pop("watch", None)}
        settings = {"n_epochs": 4, "batch_size": 40, "persistent": persistent, "averaging": 0.9, "random_state": 3}
        return UpDown(dbn, **settings | options).fit(X, y, **at).network_

    def stop(model):
        if model.history_.epoch == 2:
            raise KeyboardInterrupt

    once = trained()
    trained(checkpoint=tmp_path / "progress.npz", watch=stop)
    again = trained(checkpoint=tmp_path / "progress.npz")
    save_model(tmp_path / "dbn.npz", again)
    loaded = load_model(tmp_path / "dbn.npz", DBN)
    for other in (again, loaded):
        assert_same(other.parameters_, once.parameters_)
    dreams = [to_numpy(net.sample(3, 5, label=y[0], random_state=0)) for net in (once, loaded)]
    np.testing.assert_array_equal(*dreams)
    assert once.parameters_["down_W2"].shape == (8, 7) and xp.abs(once.parameters_["W2"]).max() > 0


def test_a_clone_is_for_the_same_network_which_is_what_can_be_saved(problem, tmp_path):
    X, _ = problem
    dbn = DBN(hidden_sizes=(8, 6), pretraining=PRETRAINING, random_state=0).pretrain(X)
    model = UpDown(dbn, n_epochs=1, random_state=np.random.default_rng(0))
    copied = clone(model)
    assert copied.dbn is dbn and copied.random_state is not model.random_state
    model.fit(X), copied.fit(X)
    assert_same(copied.parameters_, model.parameters_)
    with pytest.raises(ValueError, match="found a UpDown, whose dbn is a model itself: save its network_"):
        save_model(tmp_path / "model.npz", model)


def test_bad_input_is_explained(problem):
    X, y = problem
    dbn = DBN(hidden_sizes=(8, 6), pretraining=PRETRAINING | {"n_epochs": 0}, random_state=0).pretrain(X)
    with pytest.raises(ValueError, match="expected labels y if the network has learned labels"):
        UpDown(dbn).fit(X, y)
    labelled = DBN(hidden_sizes=(8, 6), pretraining=PRETRAINING | {"n_epochs": 0}, random_state=0).pretrain(X, y)
    with pytest.raises(ValueError, match="is none of the classes"):
        UpDown(labelled).fit(X, y + 100)
    with pytest.raises(ValueError, match="X has 15 features, but DBN is expecting 16"):
        UpDown(dbn).fit(X[:, 1:])
    with pytest.raises(ValueError, match="k is 0; expected a whole number"):
        UpDown(dbn, k=0).fit(X)
    with pytest.raises(ValueError, match="expect values from 0 to 1"):
        UpDown(dbn).fit(2 * X)
    with pytest.raises(ValueError, match="expected binary visible units, found 'gaussian'"):
        UpDown(DBN(hidden_sizes=(8, 6), pretraining={"visible": "gaussian", "n_epochs": 0}).pretrain(X)).fit(X)
    for wrong, says in [
        (None, "expected a companion.dbn.DBN to begin with, found NoneType"), (dbn.top_, "found RBM"),
        (DBN(), "DBN instance is not fitted yet"), (DBN(hidden_sizes=()).pretrain(X), "at least one hidden layer"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=says):
            UpDown(wrong).fit(X)


def test_chains_begin_at_the_images_again_and_again():
    """The machines hand on what they see."""
    W, b = 40 * np.eye(3), np.full(3, -20.0)
    dbn = DBN.from_parameters({"W1": W, "b1": b, "visible_bias1": b, "W2": W, "b2": b, "visible_bias2": b})
    at = UpDown(dbn, batch_size=5, random_state=0)._prepare(to_device(np.eye(3, dtype=np.float32)[:2]))
    np.testing.assert_array_equal(to_numpy(at.gradients.state["chains"]), np.eye(3)[[0, 1, 0, 1, 0]])


def test_pixels_are_drawn_for_every_minibatch(rng, monkeypatch):
    seen, wake = [], WakeSleep.wake
    monkeypatch.setattr(WakeSleep, "wake", lambda self, v: seen.append(to_numpy(v).copy()) or wake(self, v))
    X = rng.random((60, 9), np.float32)
    dbn = DBN(hidden_sizes=(5, 4), pretraining={"n_epochs": 1}, random_state=0).pretrain(X)
    UpDown(dbn, n_epochs=2, batch_size=60, random_state=0).fit(X)
    assert np.isin(seen, (0, 1)).all() and (seen[-1] != seen[-2]).any()
