"""The training loop: what it keeps, when it stops, and that a resumed run is an uninterrupted one."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from companion import training
from companion.backend import Noise, to_device, to_numpy
from companion.optimize import MovingAverage, Patience
from companion.storage import load, save
from companion.training import Divergence, History, Training

N, BATCH = 23, 5  # five minibatches an epoch, the last one of three


def counting(w, events=None):
    """A step that adds 1 to w; `events`, by number of the update, are raised, or returned as the loss."""
    events = events or {}

    def step(indices):
        w[...] += 1
        event = events.get(int(w[0]), 0.25)
        if isinstance(event, type):
            raise event
        return event

    return step


def train(w, step=None, errors=None, **settings):
    """Train with a validation error from the list `errors` each time; w counts the updates."""
    settings = {"batch_size": BATCH, "n_epochs": 5, "rng": np.random.default_rng(0)} | settings
    if errors:
        settings["validate"] = iter(errors).__next__
    return Training(step or counting(w), N, parameters={"w": w}, **settings)


@pytest.fixture
def w():
    """One parameter, which counts the updates."""
    return to_device(np.zeros(1))


# ----------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("patience", [None, Patience(1000)])
def test_the_parameters_with_the_lowest_validation_error_come_back(w, patience):
    history = train(w, errors=[0.5, 0.3, 0.1, 0.2, 0.4], patience=patience).run()
    assert float(w[0]) == 3 * 5 == history.best_update
    assert history.best_error == 0.1 and history.valid_error == [0.5, 0.3, 0.1, 0.2, 0.4]
    assert history.updates == [5, 10, 15, 20, 25] and history.stopped == "epochs" and history.epoch == 5
    np.testing.assert_array_equal(history.epochs, [1, 2, 3, 4, 5])


def test_of_two_equally_good_the_first_is_kept(w):
    assert train(w, errors=[0.5, 0.2, 0.2, 0.2, 0.3]).run().best_update == float(w[0]) == 10


def test_without_validation_the_last_parameters_are_kept(w):
    history = train(w, patience=Patience(2)).run()  # no error, so nothing to be patient about
    assert float(w[0]) == 25 == history.best_update
    assert history.valid_error == [] and math.isnan(history.best_error)


@pytest.mark.parametrize("patience", [None, Patience(1000)])
def test_a_validation_error_of_nan_is_not_the_best(w, patience):
    train(w, errors=[0.5, 0.3, math.nan, 0.4, math.nan], patience=patience).run()
    assert float(w[0]) == 10


def test_the_loss_in_the_history_is_the_mean_since_the_entry_before(w):
    losses = dict(enumerate(np.random.default_rng(0).uniform(size=25), start=1))
    history = train(w, counting(w, losses)).run()
    expected = np.array(list(losses.values())).reshape(5, 5).mean(axis=1)
    np.testing.assert_allclose(history.train_loss, expected, rtol=1e-12)


def test_every_example_is_seen_once_an_epoch_and_the_ragged_batch_is_used(w):
    batches = []

    def step(indices):
        batches.append(to_numpy(indices))
        return 0.0

    train(w, step, n_epochs=3).run()
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3] * 3
    epochs = np.concatenate(batches).reshape(3, N)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(N), (3, 1)))
    assert (epochs[0] != epochs[1]).any() and (epochs[0] != np.arange(N)).any()


# ------------------------------------------------------------------------------------------------ the watcher


@pytest.mark.parametrize("settings", [{}, {"errors": [0.5, 0.1, 0.3, 0.4, 0.4]}], ids=["no validation", "validation"])
def test_the_watcher_is_called_once_after_each_epoch(w, settings):
    """It sees the parameters as they are then, not the best so far, and the entry of its epoch in the history."""
    seen = []

    def watch():
        seen.append((float(w[0]), run.history.epoch, len(run.history.train_loss)))

    run = train(w, watch=watch, **settings)
    run.run()
    assert seen == [(5 * epoch, epoch, epoch) for epoch in (1, 2, 3, 4, 5)]
    assert float(w[0]) == (10 if settings else 25)


def test_the_watcher_is_not_called_for_half_an_epoch(w):
    """Neither when the patience ends within it nor at an interrupt; nor for epochs before a resume."""
    seen = []

    def watch():
        seen.append(float(w[0]))

    train(w, errors=[0.5, 0.2, 0.3, 0.4], patience=Patience(4, 2), watch=watch).run()
    assert seen == [5]
    seen.clear()
    w[...] = 0
    train(w, counting(w, {18: KeyboardInterrupt}), watch=watch).run()
    assert seen == [5, 10, 15]


def test_a_resumed_run_is_watched_from_where_it_stood(tmp_path, every_epoch, w):
    seen = []
    settings = {"checkpoint": tmp_path / "run.npz", "watch": lambda: seen.append(float(w[0]))}
    train(w, counting(w, {18: KeyboardInterrupt}), **settings).run()
    train(w, **settings).run()
    assert seen == [5, 10, 15, 20, 25]


def test_what_the_watcher_raises_is_not_swallowed(w):
    def watch():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(w, watch=watch).run()


# --------------------------------------------------------------------------------------------- early stopping


def test_patience_stops_at_the_update_that_a_table_by_hand_says(w):
    """The table of test_optimize: patience 10, 18, 28; nothing significant up to iteration 28, update 29."""
    errors = [0.5, 0.4, 0.3, 0.299, 0.2976, 0.3]
    history = train(w, errors=errors, n_epochs=100, patience=Patience(10, 2, 0.995)).run()
    assert history.stopped == "patience" and history.epoch == 5
    assert history.updates == [5, 10, 15, 20, 25, 29]  # the last one, because training ended there
    assert history.valid_error == errors
    assert history.best_update == float(w[0]) == 25


def test_a_short_patience_validates_within_the_epoch(w):
    """Validation at least twice before the patience can end: every second update for a patience of 4."""
    history = train(w, errors=[0.5, 0.2, 0.3, 0.4], patience=Patience(4, 2)).run()
    # iterations 1 and 3 extend to max(4, 2) and max(4, 6); stopped at iteration 6, which is update 7
    assert history.updates == [2, 4, 6, 7] and history.best_update == 4 and history.stopped == "patience"


# ----------------------------------------------------------------------------------- interrupt and divergence


def test_an_interrupt_keeps_the_best_and_says_so(w, capsys):
    history = train(w, counting(w, {18: KeyboardInterrupt}), errors=[0.5, 0.1, 0.3]).run()
    assert history.stopped == "interrupt" and float(w[0]) == 10
    assert "Interrupted" in capsys.readouterr().out


def test_an_interrupt_while_validating_leaves_a_history_that_can_be_drawn(w):
    """As many errors as updates: the two are the axes of the learning curve."""

    def validate():
        if float(w[0]) == 15:
            raise KeyboardInterrupt
        return 1 / float(w[0])

    history = train(w, validate=validate).run()
    assert history.stopped == "interrupt" and float(w[0]) == 10
    assert len(history.updates) == len(history.train_loss) == len(history.valid_error) == 2


@pytest.mark.parametrize("loss", [math.inf, -math.inf, math.nan])
def test_divergence_gives_advice_and_the_best_parameters(w, loss):
    run = train(w, counting(w, {17: loss}), errors=[0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(Divergence, match="after 20 updates.*learning rate"):
        run.run()
    assert float(w[0]) == 5
    assert np.isfinite(run.history.train_loss).all()


def test_another_exception_is_not_swallowed(w):
    with pytest.raises(ZeroDivisionError):
        train(w, counting(w, {17: ZeroDivisionError}), errors=[0.3, 0.1, 0.2]).run()
    assert float(w[0]) == 10


def test_the_loop_is_silent_unless_it_is_asked(w, capsys):
    train(w, errors=[0.5, 0.3, 0.25, 0.4, 0.4]).run()
    assert capsys.readouterr() == ("", "")
    train(w, errors=[0.5, 0.3, 0.25, 0.4, 0.4], verbose=True).run()
    assert capsys.readouterr().out == (
        "All epochs done after 25 updates (5 epochs); best validation error 25.00% after update 15.\n"
    )


def test_a_step_runs_on_one_blas_thread(w):
    """Two are slower on small minibatches; afterwards there are as many as before."""

    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    inside = []

    def step(indices):
        inside.append(threads())
        return 0.0

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        train(w, step, n_epochs=1).run()
        assert threads() == before
    assert inside and all(number == 1 for numbers in inside for number in numbers)


# -------------------------------------------------------------------------------------- checkpoint and resume


class Momentum:
    """Momentum towards the mean of noisy data: it changes parameters, velocity and average, and draws."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.noise = Noise(self.rng)
        self.data = to_device(np.random.default_rng(9).normal(size=(N, 4)))
        self.w, self.velocity, self.blur = (to_device(np.full(4, value)) for value in (float(seed), 0.0, 0.0))
        self.average = MovingAverage([self.w], 0.9)
        self.updates_here = 0

    def train(self, checkpoint=None, stop=None, patience=None, validated=True, **settings):
        """Train for six epochs, or until interrupted within the update `stop` of this session."""

        def step(indices):
            self.updates_here += 1
            error = self.w - self.data[indices].mean(axis=0)
            self.velocity *= 0.5
            self.velocity -= 0.05 * (error + 0.1 * self.noise.uniform(self.blur))
            if self.updates_here == stop:  # half an update is done by now
                raise KeyboardInterrupt
            self.w += self.velocity
            self.average.update()
            return (error**2).sum()

        settings = {"n_epochs": 6, "batch_size": BATCH, "identity": {"learning_rate": 0.05}} | settings
        self.training = Training(
            step,
            N,
            parameters={"w": self.average.averages[0]},
            state={"w": self.w, "velocity": self.velocity, "updates": self.average.updates},
            validate=(lambda: ((self.w - self.data.mean(axis=0)) ** 2).sum()) if validated else None,
            patience=patience and Patience(patience),
            checkpoint=checkpoint,
            rng=self.rng,
            noise=self.noise,
            **settings,
        )
        self.history = self.training.run()
        return self

    def outcome(self):
        """Everything that a resumed run must have in common with an uninterrupted one."""
        arrays = self.training.state | {"mean": self.average.averages[0], "best": self.training.best["w"]}
        facts = dict(vars(self.history), wall_seconds=None, cpu_seconds=None)
        return (
            {name: to_numpy(array).tolist() for name, array in arrays.items()},
            facts,
            self.rng.bit_generator.state,
        )


SETTINGS = [
    {"validated": False},
    {"validated": True},
    {"patience": 6},  # validates every third update, which does not divide the epoch of five
    {"patience": 4, "n_epochs": 60},  # ends by patience, in the middle of an epoch
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["no validation", "validation", "patience", "patience ends"])
@pytest.mark.parametrize("stops", [[13], [3], [5], [8, 4, 12]])
def test_a_resumed_run_is_an_uninterrupted_one_bit_for_bit(tmp_path, every_epoch, settings, stops):
    """Each session starts from other parameters and another seed: all that counts is in the checkpoint."""
    whole = Momentum(seed=1).train(**settings)
    assert whole.history.stopped == ("patience" if settings.get("n_epochs") else "epochs")
    seeds = [1] + [2 + session for session in range(len(stops))]
    if stops[0] < 6:  # interrupted before the first checkpoint: the next session starts anew
        seeds = [2, 1]
    for seed, stop in zip(seeds, stops):
        stopped = Momentum(seed).train(tmp_path / "run.npz", stop, **settings)
        assert stopped.history.stopped == "interrupt"
    resumed = Momentum(seeds[-1]).train(tmp_path / "run.npz", **settings)
    assert resumed.updates_here < whole.updates_here or stops[0] < 6
    assert resumed.outcome() == whole.outcome()


def test_a_finished_checkpoint_resumes_to_the_same_result_at_once(tmp_path):
    for settings in SETTINGS:
        checkpoint = tmp_path / f"{len(settings)}{settings}.npz"
        finished = Momentum(seed=1).train(checkpoint, **settings)
        again = Momentum(seed=2).train(checkpoint, **settings)
        assert again.updates_here == 0
        assert again.outcome() == finished.outcome()


def test_times_add_up_over_sessions(tmp_path, every_epoch):
    stopped = Momentum(1).train(tmp_path / "run.npz", stop=28)
    resumed = Momentum(1).train(tmp_path / "run.npz")
    assert resumed.history.wall_seconds > stopped.history.wall_seconds > 0
    assert resumed.history.cpu_seconds >= stopped.history.cpu_seconds >= 0  # clocks tick by 16 ms in places


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"identity": {"learning_rate": 0.1}}, "learning_rate was 0.05 and is 0.1"),
        ({"identity": {"learning_rate": 0.05, "l1": 1}}, "l1 was None and is 1"),
        ({"n_epochs": 7}, "n_epochs was 6 and is 7"),
        ({"batch_size": 4}, "batch_size was 5 and is 4"),
        ({"validated": False}, "another training"),  # its history would be of two kinds
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, settings, says):
    Momentum(1).train(tmp_path / "run.npz")
    with pytest.raises(ValueError, match=f"run.npz is the checkpoint of (another training .*)?{says}"):
        Momentum(1).train(tmp_path / "run.npz", **settings)


def test_an_option_that_a_checkpoint_does_not_know_had_its_default(tmp_path, every_epoch):
    """A new option with a default does not make older checkpoints those of another training."""
    Momentum(1).train(tmp_path / "run.npz", stop=28)
    identity = {"learning_rate": 0.05, "l1": 0}
    with pytest.raises(ValueError, match="l1 was 1 and is 0"):
        Momentum(1).train(tmp_path / "run.npz", identity=identity, defaults={"l1": 1})
    resumed = Momentum(1).train(tmp_path / "run.npz", identity=identity, defaults={"l1": 0, "l2": 0})
    assert resumed.outcome() == Momentum(1).train().outcome()


def test_a_checkpoint_without_validation_is_refused_by_a_training_with(tmp_path):
    Momentum(1).train(tmp_path / "run.npz", validated=False)
    with pytest.raises(ValueError, match="another training"):
        Momentum(1).train(tmp_path / "run.npz", patience=100)


@pytest.mark.parametrize("shape", [(2,), (1, 1)])
def test_a_checkpoint_of_other_shapes_is_refused(tmp_path, w, shape):
    train(w, checkpoint=tmp_path / "run.npz").run()
    with pytest.raises(ValueError, match="its arrays have other shapes"):
        train(to_device(np.zeros(shape)), checkpoint=tmp_path / "run.npz").run()


def test_other_files_are_refused_as_checkpoints(tmp_path, w):
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="damaged.npz: expected"):
        train(w, checkpoint=tmp_path / "damaged.npz").run()
    save(tmp_path / "weights.npz", {"w": np.zeros(1)})
    with pytest.raises(ValueError, match="weights.npz is no checkpoint of a training"):
        train(w, checkpoint=tmp_path / "weights.npz").run()
    assert float(w[0]) == 0  # refused before anything was touched


@pytest.mark.parametrize(
    "change",
    [
        *({lacking: None} for lacking in ("identity", "update", "history", "generator", "patience")),
        *({"history": history} for history in ([], 3, {"n_batches": 5, "colour": 1}, {})),
        {"identity": 7}, {"update": "many"}, {"patience": 3}, {"patience": {"colour": 1}}, {"generator": [1]},
    ],
)  # fmt: skip
def test_a_checkpoint_that_lacks_facts_is_none(tmp_path, w, change):
    path, validated = tmp_path / "run.npz", {"validate": lambda: 0.5}
    train(w, checkpoint=path, **validated).run()
    arrays, facts = load(path)
    save(path, arrays, {name: fact for name, fact in (facts | change).items() if fact is not None})
    with pytest.raises(ValueError, match="run.npz is no checkpoint of a training .*; delete it, or name another file"):
        train(w, checkpoint=path, **validated)
    assert float(w[0]) == 5  # the best of the training before


def test_numbers_of_numpy_tell_trainings_apart(tmp_path, w):
    identity = {"l2": np.float32(0.5), "class_weight": {np.int64(0): np.int64(2)}}
    train(w, checkpoint=tmp_path / "run.npz", identity=identity).run()
    train(w, checkpoint=tmp_path / "run.npz", identity={"l2": 0.5, "class_weight": {0: 2}})
    with pytest.raises(ValueError, match="l2 was 0.5 and is 0.25"):
        train(w, checkpoint=tmp_path / "run.npz", identity=identity | {"l2": np.float32(0.25)})


def test_a_checkpoint_is_not_written_more_often_than_needed(tmp_path, monkeypatch, w):
    """Within the first seconds only the end of the training is saved."""
    saves = []
    monkeypatch.setattr(training, "save", lambda path, arrays, facts: saves.append(facts["update"]))
    train(w, checkpoint=tmp_path / "run.npz").run()
    assert saves == [25]


def test_history_says_how_it_ended():
    history = History(n_batches=10, updates=[10, 20], train_loss=[1, 0.5], stopped="patience", epoch=2)
    assert str(history) == "Patience exhausted after 20 updates (2 epochs)"


def test_a_patience_belongs_to_the_caller():
    """Whatever one training has been through, the next begins with it as it was given."""
    patience, ends = Patience(1000), []
    for _ in range(2):
        w = to_device(np.zeros(1))
        ends.append(train(w, errors=[0.5, 0.2, 0.3, 0.4, 0.4], patience=patience).run().best_update)
    assert ends[0] == ends[1] > 0 and patience == Patience(1000)


def test_a_patience_of_one_update_validates_after_each(w):
    history = train(w, errors=[0.5, 0.5], patience=Patience(1, 0)).run()
    assert history.updates == [1, 2] and history.stopped == "patience"


def test_the_next_checkpoint_is_due_as_long_after_the_last_one(tmp_path, monkeypatch, w):
    """Of updates that take three seconds each, ten are more than twenty seconds."""
    saves, clock = [], SimpleNamespace(perf_counter=lambda: 3 * float(w[0]), process_time=lambda: 0.0)
    monkeypatch.setattr(training, "save", lambda path, arrays, facts: saves.append(facts["update"]))
    monkeypatch.setattr(training, "time", clock)
    train(w, checkpoint=tmp_path / "run.npz").run()
    assert saves == [10, 20, 25]


def test_an_interrupt_saves_the_epochs_before_it(tmp_path, w):
    train(w, counting(w, {12: KeyboardInterrupt}), checkpoint=tmp_path / "run.npz").run()
    assert load(tmp_path / "run.npz")[1]["update"] == 10


def test_a_checkpoint_that_is_refused_leaves_the_generator(tmp_path, w):
    train(w, checkpoint=tmp_path / "run.npz").run()
    rng = np.random.default_rng(3)
    with pytest.raises(ValueError, match="n_epochs was 5 and is 6"):
        train(w, checkpoint=tmp_path / "run.npz", n_epochs=6, rng=rng)
    assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state


def test_a_finished_checkpoint_is_read_where_nothing_can_be_written(tmp_path, monkeypatch, w):
    train(w, checkpoint=tmp_path / "run.npz").run()

    def refuse(path):
        raise OSError("read-only")

    monkeypatch.setattr(training, "expect_writable", refuse)
    assert train(w, checkpoint=tmp_path / "run.npz").run().epoch == 5
    with pytest.raises(OSError, match="read-only"):
        train(w, checkpoint=tmp_path / "new.npz")
