"""The one training loop of the book.

A model hands over a function that makes one update, and the arrays that it changes; the loop does the rest: epochs of
shuffled minibatches, validation, early stopping, the best parameters kept, progress, history, interrupt, checkpoint
and resume.
"""

import dataclasses
import hashlib
import json
import time
import warnings

import numpy as np
from tqdm.auto import tqdm

from .backend import one_thread, to_device, to_numpy, xp
from .data import minibatches
from .optimize import Patience
from .places import at_home
from .storage import expect_file, expect_writable, load, save

__all__ = ["Divergence", "History", "Training", "digest"]

CHECKPOINT_SECONDS = 20  # at most so much work is lost, plus the epoch under way; only that, by an interrupt
ENDLESS = 1e18  # updates that no training makes
# What of an identity is a checksum, and says nothing to a reader.
CHANGED = {"data": "it learned from other data", "start": "it started from other parameters or random numbers"}


@dataclasses.dataclass
class History:
    """What happened during training; one entry in each list for every validation (or epoch, where there is none).

    Attributes
    ----------
    updates : list of int
        Updates done at each entry.
    train_loss : list of float
        Mean loss of the minibatches since the entry before.
    valid_error : list of float
        Validation error; empty without a validation set.
    best_update : int
        The update after which the parameters were best.
    n_batches : int
        Updates in an epoch.
    epoch : int
        Epochs completed.
    stopped : str
        Why training ended: ``"epochs"``, ``"patience"``, ``"interrupt"``, or ``""`` while it runs.
    cpu_seconds, wall_seconds : float
        Time spent, sessions before a resume included.
    """

    n_batches: int
    updates: list = dataclasses.field(default_factory=list)
    train_loss: list = dataclasses.field(default_factory=list)
    valid_error: list = dataclasses.field(default_factory=list)
    best_update: int = 0
    epoch: int = 0
    stopped: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def epochs(self):
        """`updates` counted in epochs, as an array: the horizontal axis of a learning curve."""
        return np.array(self.updates) / self.n_batches

    @property
    def best_error(self):
        """The lowest validation error; nan without a validation set."""
        return min(self.valid_error, default=float("nan"))

    @property
    def last_update(self):
        """Updates done at the latest entry."""
        return self.updates[-1] if self.updates else 0

    @property
    def latest(self):
        """The latest entry, in words."""
        if self.valid_error:
            return f"validation error {self.valid_error[-1]:.2%}"
        return f"loss {self.train_loss[-1]:.4g}"

    def __str__(self):
        why = {"epochs": "All epochs done", "patience": "Patience exhausted", "interrupt": "Interrupted"}
        text = f"{why.get(self.stopped, 'Under way')} after {self.last_update:,} updates ({self.epoch} epochs)"
        if self.valid_error:
            text += f"; best validation error {self.best_error:.2%} after update {self.best_update:,}"
        return text


class Divergence(FloatingPointError):
    """The loss, or what a network answers, is no longer a finite number."""


class Training:
    """A training run: `run` goes on until the epochs, or the patience, are used up.

    Parameters
    ----------
    step : callable
        ``step(indices)`` makes one update on the minibatch with these indices and returns its loss, a number or an
        array without dimensions.
    n : int
        Number of training examples.
    parameters : dict of str to array
        What is learned. Updated in place; holds the best values, by validation error, at the end.
    batch_size, n_epochs : int
    rng : numpy.random.Generator
        Shuffles the examples.
    noise : companion.backend.Noise, optional
        What `step` draws from, if it draws; made from the same `rng`.
    state : dict of str to array, optional
        Whatever else `step` changes (momenta, Markov chains, ...), so that a checkpoint can hold it.
    validate : callable, optional
        Returns the validation error, a number to be made small. Without it the last parameters are the best.
    patience : Patience, optional
        Early stopping by the validation error; without it all epochs are done.
    watch : callable, optional
        Called after every epoch.
    checkpoint : path-like, optional
        A file that is written now and then, and read first if it exists: training then goes on as if it had never
        been interrupted, bit for bit.
    identity : dict, optional
        What makes this training this one (the hyper-parameters): a checkpoint with another identity is refused.
    defaults : dict, optional
        What counts for hyper-parameters that a checkpoint does not know, written when there were none of that name.
        A new one must therefore change nothing by default.
    verbose : bool
        Show progress and say how it ended.

    Raises
    ------
    ValueError
        If the checkpoint is a file of another training.
    OSError
        If the checkpoint could not be written; once training is under way, that is a warning.
    """

    def __init__(
        self, step, n, *, parameters, batch_size, n_epochs, rng, noise=None, state=None, validate=None,
        patience=None, watch=None, checkpoint=None, identity=None, defaults=None, verbose=False,
    ):  # fmt: skip
        batch_size, n_epochs = int(batch_size), int(n_epochs)  # NumPy's own, of few bits, would overflow
        self.step, self.n, self.parameters, self.state = step, n, parameters, state or {}
        self.batch_size, self.n_epochs, self.verbose = batch_size, n_epochs, verbose
        self.rng, self.noise, self.watch, self.validate = rng, noise, watch, validate
        # A copy: what the patience has been through belongs to this training.
        self.patience = dataclasses.replace(patience or Patience(ENDLESS)) if validate else None
        self.checkpoint = None if checkpoint is None else at_home(checkpoint)
        mine = {"n": n, "batch_size": batch_size, "n_epochs": n_epochs, "validated": validate is not None}
        self.identity, self.defaults = _as_in_a_file(mine | (identity or {})), _as_in_a_file(defaults or {})
        self.history = History(n_batches=-(-n // batch_size))
        self.frequency = self.history.n_batches
        if self.patience:  # at least once an epoch, and at least twice before the patience can end
            self.frequency = max(1, min(self.frequency, int(self.patience.patience) // 2))
        self.update = 0
        self.loss_sum = xp.zeros(())  # since the last entry; on the device, so that adding to it does not wait
        self._keep_best()
        self.snapshot = None  # what a checkpoint holds: arrays and facts as they were after the latest epoch
        self._resume()
        if self.checkpoint and not self.history.stopped:
            expect_writable(self.checkpoint)  # not when the first one is due, after hours

    def run(self):
        """Train, and return the `History`.

        Raises
        ------
        Divergence
            If the loss becomes infinite or NaN. The parameters are then the best so far.
        """
        bar = tqdm(disable=not self.verbose, unit=" updates", leave=False)
        # Overflow is looked for in the loss, where it can be explained.
        with (
            one_thread(),
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
            bar,
        ):
            try:
                self._run_epochs(bar)
            except KeyboardInterrupt:
                self.history.stopped = "interrupt"
                print("Interrupted; the parameters are the best so far.")
                if self.snapshot:
                    self._save()
            finally:
                for name, array in self.best.items():
                    self.parameters[name][...] = array
        if self.verbose:
            print(f"{self.history}.")
        return self.history

    def _run_epochs(self, bar):
        clock, saved = _Clock(self.history), time.perf_counter()
        bar.update(self.update)
        while not self.history.stopped:
            if self.history.epoch >= self.n_epochs:
                self.history.stopped = "epochs"
            else:
                self._run_epoch(bar)
            clock.read()
            if self.checkpoint:
                self._take_snapshot()
                if self.history.stopped or time.perf_counter() - saved > CHECKPOINT_SECONDS:
                    self._save()
                    saved = time.perf_counter()
        if self.update > self.history.last_update:  # stopped between two validations
            self._record()

    def _run_epoch(self, bar):
        last = self.n_epochs * self.history.n_batches
        if self.noise:
            self.noise.renew()
        for indices in minibatches(self.n, self.batch_size, self.rng):
            bar.total = min(last, int(self.patience.patience) + 1) if self.patience else last
            self.loss_sum += self.step(indices)
            self.update += 1
            bar.update()
            if self.update % self.frequency == 0:
                self._record()
                bar.set_postfix_str(self.history.latest, refresh=False)
            if self.patience and self.patience.exhausted(self.update - 1):
                self.history.stopped = "patience"
                return
        self.history.epoch += 1
        if self.watch:
            self.watch()

    def _record(self):
        """Validate, add to the history, keep the parameters if they are the best."""
        history = self.history
        loss = float(self.loss_sum) / (self.update - history.last_update)
        self.loss_sum[...] = 0
        check_progress(loss, self.parameters, self.update)
        error = float(self.validate()) if self.validate else None
        history.updates.append(self.update)
        history.train_loss.append(loss)
        if self.validate:
            history.valid_error.append(error)
        if not self.validate or self.patience.improved(self.update - 1, error):
            history.best_update = self.update
            self._keep_best()

    def _keep_best(self):
        # One assignment at the end: an interrupt leaves all of the old arrays or all of the new ones.
        self.best = {name: array.copy() for name, array in self.parameters.items()}

    def _arrays(self):
        """Every array that changes during training, under the name it has in a checkpoint."""
        kinds = {"parameter": self.parameters, "best": self.best, "state": self.state}
        named = {f"{kind}/{name}": array for kind, arrays in kinds.items() for name, array in arrays.items()}
        return named | {"loss_sum": self.loss_sum}

    def _take_snapshot(self):
        facts = {
            "identity": self.identity,
            "update": self.update,
            "history": dataclasses.asdict(self.history),
            "patience": dataclasses.asdict(self.patience) if self.patience else None,
            "generator": self.rng.bit_generator.state,
        }
        self.snapshot = {name: array.copy() for name, array in self._arrays().items()}, facts

    def _save(self):
        try:
            save(self.checkpoint, *self.snapshot)
        except OSError as problem:  # the disk is full: what has been learned is worth more than the file
            warnings.warn(f"{problem}; what was learned is not lost", stacklevel=2)

    def _resume(self):
        """Go back to where the checkpoint stood, if there is one."""
        if not self.checkpoint or not self.checkpoint.exists():
            return
        try:
            arrays, facts = load(self.checkpoint)
        except ValueError as reason:
            raise ValueError(f"{reason}; delete it, or name another file, to start anew") from reason
        try:
            identity, update, history = dict(facts["identity"]), int(facts["update"]), History(**facts["history"])
            patience = facts["patience"] and Patience(**facts["patience"])
            history.epoch = int(history.epoch)
            history.cpu_seconds, history.wall_seconds = float(history.cpu_seconds), float(history.wall_seconds)
            if not all(isinstance(row, list) for row in (history.updates, history.train_loss, history.valid_error)):
                raise ValueError("a history without its rows")
            if wrong := [name for name, array in arrays.items() if array.dtype.kind not in "fiu"]:
                raise ValueError(f"{wrong[0]} is not of numbers")
            mine, state = self.rng.bit_generator.state, dict(facts["generator"])
            self.rng.bit_generator.state = state  # or it is none
            self.rng.bit_generator.state = mine
        except (KeyError, TypeError, ValueError, OverflowError) as reason:
            raise ValueError(f"{self.checkpoint} is no checkpoint of a training ({reason!r}); delete it, or name "
                             "another file, to start anew") from reason  # fmt: skip
        self._check_identity(identity, {name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{self.checkpoint}: expected finite numbers, found {name} with NaN or infinity; "
                                 "delete it, or name another file, to start anew")  # fmt: skip
        for name, array in self._arrays().items():
            # an array of the host, such as a count of updates, stays there
            array[...] = arrays[name] if isinstance(array, np.ndarray) else to_device(arrays[name])
        self.update, self.history, self.patience = update, history, patience
        self.rng.bit_generator.state = state

    def _check_identity(self, saved, shapes):
        mine = self.identity
        saved = {name: value for name, value in self.defaults.items() if name in mine} | saved
        changed = [
            CHANGED.get(key) or f"{key} was {saved.get(key)!r} and is {mine.get(key)!r}"
            for key in sorted(mine.keys() | saved.keys())
            if mine.get(key) != saved.get(key)
        ]
        if changed or shapes != {name: array.shape for name, array in self._arrays().items()}:
            raise ValueError(f"{self.checkpoint} is the checkpoint of another training "
                             f"({', '.join(changed) or 'its arrays have other shapes'}); delete it, or name another "
                             "file, to start anew")  # fmt: skip


def _named_by_words(value):
    """Return a setting whose names, if it is a dict, are words, as those of JSON are; class weights go by label."""
    return {str(name): _named_by_words(part) for name, part in value.items()} if isinstance(value, dict) else value


def _as_in_a_file(settings):
    """Return settings as they will come back from a file."""
    return json.loads(json.dumps(_named_by_words(settings), default=_said))


def _said(value):
    """Return a NumPy number as Python's; of what JSON does not know, the kind."""
    return value.item() if isinstance(value, np.generic) else type(value).__name__


def check_progress(loss, parameters, updates):
    """Raise `Divergence` if the loss, after so many updates, is no finite number, or one of the parameters is none.

    The loss is from before the update: what the last step has done to them it does not tell.
    """
    found = loss if not np.isfinite(loss) else None
    if found is None and not all(bool(xp.isfinite(array).all()) for array in parameters.values()):
        found = "finite, but not the parameters,"
    if found is not None:
        raise Divergence(
            f"the training loss is {found} after {updates:,} updates: the steps are too large. Try a learning rate ten "
            "times smaller, and check that the inputs are scaled (pixels to 0 … 1, other columns to unit variance)."
        )


def finite_scores(scores):
    """Return what goes into a softmax, or raise `Divergence` if it is not finite: its largest would mean nothing."""
    if not bool(xp.isfinite(scores).all()):
        raise Divergence("the network's scores are not finite: its weights have become too large. Train anew with a "
                         "learning rate ten times smaller, or with inputs that are scaled")  # fmt: skip
    return scores


def digest(*values):
    """Return a checksum of arrays and of anything that JSON can hold: equal for equal values, and for no others.

    150 MB, the training images of MNIST, take less than a second.
    """
    total = hashlib.blake2b(digest_size=16)
    for value in values:
        if hasattr(value, "dtype"):
            array = np.ascontiguousarray(to_numpy(value))
            total.update(f"{array.dtype} {array.shape}".encode())
            total.update(array.astype(str).tobytes() if array.dtype.hasobject else array.data.cast("B"))
        else:
            total.update(json.dumps(value, sort_keys=True, default=lambda part: np.asarray(part).tolist()).encode())
    return total.hexdigest()


def beside(checkpoint, part):
    """Return the file for a part of a training: the name is added to, dots in it or not. None if nothing is saved."""
    if checkpoint is None:
        return None
    path = at_home(checkpoint)
    expect_file(path)  # the part may be learned before anything is read from there
    return path.with_name(f"{path.name}.{part}.npz")


class _Clock:
    """Adds the time since it was made to the times in a history."""

    def __init__(self, history):
        self.history = history
        self.wall = history.wall_seconds - time.perf_counter()
        self.cpu = history.cpu_seconds - time.process_time()

    def read(self):
        self.history.wall_seconds = self.wall + time.perf_counter()
        self.history.cpu_seconds = self.cpu + time.process_time()
