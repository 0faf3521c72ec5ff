r"""The recurrent temporal RBM of music, RNN-RBM: at every step a restricted Boltzmann machine with biases of its own.

.. math:: u_t = \tanh(d + v_t W_{vu} + u_{t-1} W_{uu}), \qquad b_t = b + u_{t-1} W_{uv}, \qquad c_t = c + u_{t-1} W_{uh}

The machine of step t has the weights W, which all steps share, the visible biases :math:`b_t` and the hidden biases
:math:`c_t`; what sounded before it knows from the state :math:`u_{t-1}` alone, and :math:`u_0 = 0`. So

.. math:: \log p(v_1, \dots, v_T) = \sum_t \left(-F_t(v_t) - \log Z_t\right).

Source: Boulanger-Lewandowski, Bengio and Vincent (2012), *Modeling temporal dependencies in high-dimensional sequences:
application to polyphonic music generation and transcription*, section 4. Rows are steps; likelihoods are in nats.
"""

from itertools import combinations, count
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .checks import check_count, check_unmasked
from .estimator import SETTINGS, Estimator, check_options, own_copy, real_arrays, stays_if_refused
from .functions import bernoulli, sigmoid, softplus
from .likelihood import exact_log_partition, temperature_ladder
from .optimize import Descent
from .rbm import RBM, log_odds
from .recurrent import Elman, Packing

__all__ = [
    "RNNRBM", "SequenceLikelihood", "StepMachines", "StepPartitions", "annealed_log_partitions",
    "counted_log_partitions", "exact_log_partitions", "log_mean", "sequence_likelihood",
]  # fmt: skip

BLOCK = 2**17  # numbers: what one pass over them works on stays in the cache
FIRST, FADING = 0.01, np.float32(0.5)  # first weights: their standard deviation; what of a state is left a step later
ANNEALING = np.linspace(0.5, 0.95, 10).tolist()  # inverse temperatures of a chain that cools down


class StepMachines(NamedTuple):
    """The machines of some steps: W (n_keys, n_hidden) for all, biases (n_steps, n_keys) and (n_steps, n_hidden)."""

    W: object
    visible_bias: object
    hidden_bias: object

    def free_energy(self, v):
        """Free energies (n_steps,) of one state v (n_steps, n_keys) for each machine."""
        return -(v * self.visible_bias).sum(axis=1) - softplus(v @ self.W + self.hidden_bias).sum(axis=1)

    def gibbs(self, v, noise, steps, inverse_temperature=1.0, clamp=None):
        """Take so many Gibbs steps from v (n_steps, n_keys), one chain a machine; return the new states.

        Where `clamp` (n_steps, n_keys) is true, v stays.
        """
        W, (x, a), first = self.W, (xp.empty_like(self.hidden_bias), xp.empty_like(self.visible_bias)), v
        h, v = xp.empty_like(x), xp.array(v, copy=True)
        for _ in range(steps):
            xp.matmul(v, W, out=x)
            x += self.hidden_bias
            x *= inverse_temperature
            bernoulli(sigmoid(x, out=x), noise, out=h)
            xp.matmul(h, W.T, out=a)
            a += self.visible_bias
            a *= inverse_temperature
            bernoulli(sigmoid(a, out=a), noise, out=v)
            if clamp is not None:
                v[...] = xp.where(clamp, first, v)
        return v


class SequenceLikelihood(NamedTuple):
    """Mean log-likelihood in nats a step, its error from log Z, and that of the pieces (a draw of others).

    An error that one chain, or one piece, cannot tell is nan.
    """

    mean: float
    log_z_error: float
    piece_error: float


class StepPartitions(NamedTuple):
    """What annealing found, step by step.

    ``log_weights`` (n_steps, n_chains) are estimates of log Z, in nats; ``samples`` (n_chains, n_steps, n_keys) are the
    ends of their chains. Backwards it is 1 / Z whose estimates are right on average: their mean is
    ``-log_mean(-log_weights)``.
    """

    log_weights: np.ndarray
    samples: np.ndarray

    @property
    def log_z(self):
        """The estimates of log Z (n_steps,), from all chains of a step together, that began at independent keys."""
        return log_mean(self.log_weights)

    def resampled(self, rng):
        """Return as many samples, of each step drawn by their weights: nearer to its machine's."""
        w = np.exp(self.log_weights - self.log_weights.max(axis=1, keepdims=True))
        ends = (w / w.sum(axis=1, keepdims=True)).cumsum(axis=1)  # (n_steps, n_chains)
        chosen = (rng.random((len(self.samples), len(w), 1)) > ends[None, :, :-1]).sum(axis=2)
        return self.samples[chosen, np.arange(len(w))]


class RNNRBM(Estimator):
    r"""A sequence of restricted Boltzmann machines whose biases a recurrent network sets.

    Trained by contrastive divergence at all steps at once for the machines, and by back-propagation through time for
    the rest. Chords come first: give `pretraining` to train the machine of single steps before the whole (chapter 11).

    Parameters
    ----------
    n_hidden, n_recurrent : int
        Hidden units of the machines, and units of the recurrent network.
    learning_rate, n_epochs, schedule
        Of Adam (`companion.optimize`).
    batch_size : int
        Pieces in a minibatch.
    k : int
        Gibbs steps before the negative statistics are taken.
    persistent : bool
        Every step of every piece keeps a chain of its own, which goes on when the piece comes again.
    dropout : float
        Fraction of the inputs of the recurrent network, and of its states where the biases read them, left out.
    transpose : int
        Shift every piece, each time that it comes, by up to so many semitones, as far as its notes allow.
    weight_decay : float
        :math:`\lambda` of a penalty :math:`\lambda \|\theta\|^2 / 2` on all weights.
    averaging : float
        As in `companion.optimize.MovingAverage`; 0 for none.
    pretraining : dict or None
        Options of the `companion.rbm.RBM` that is trained on single steps first; None for no pretraining.
    random_state : None, int or generator
    verbose : bool

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        ``W``, ``visible_bias``, ``hidden_bias``, ``W_uv``, ``W_uh``, ``W_vu``, ``W_uu``, ``state_bias``.
    history_ : companion.training.History
        Its ``train_loss`` is the mean free energy of the data less that of the chains: no measure of quality.
    pretraining_histories_ : list of companion.training.History
    """

    SETTINGS = {"n_recurrent": SETTINGS["n_hidden"], "transpose": SETTINGS["n_epochs"]}

    def __init__(
        self, *, n_hidden=150, n_recurrent=100, learning_rate=1e-3, n_epochs=100, schedule="linear", batch_size=16,
        k=15, persistent=False, dropout=0.0, transpose=0, weight_decay=0.0, averaging=0.0, optimizer="adam",
        pretraining=None, random_state=None, verbose=False,
    ):  # fmt: skip
        self.n_hidden = n_hidden
        self.n_recurrent = n_recurrent
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.schedule = schedule
        self.batch_size = batch_size
        self.k = k
        self.persistent = persistent
        self.dropout = dropout
        self.transpose = transpose
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.optimizer = optimizer
        self.pretraining = pretraining
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_parameters(cls, parameters, **hyperparameters):
        """Make a model that needs no training from `parameters`, a dict of arrays (see ``parameters_``).

        Raises
        ------
        ValueError
            If an array is missing, or is not of finite real numbers, or if their shapes do not fit each other.
        """
        arrays = real_arrays(parameters, "W") if {"W", "state_bias"} <= parameters.keys() else {}
        if not arrays or arrays["W"].ndim != 2:
            found = ", ".join(f"{name} {np.shape(array)}" for name, array in parameters.items()) or "none"
            raise ValueError(
                f"expected W (n_keys, n_hidden) and state_bias (n_recurrent,) among the parameters, found {found}"
            )
        (n_keys, n_hidden), n_recurrent = arrays["W"].shape, arrays["state_bias"].size
        model = cls(**{"n_hidden": n_hidden, "n_recurrent": n_recurrent} | hyperparameters)
        model._restore(arrays, n_keys)
        return model

    # Learning.

    @stays_if_refused
    def fit(self, X, y=None, *, watch=None, checkpoint=None):
        """Train on X, a list of rolls (n_steps, n_keys) of zeros and ones; lengths may differ.

        Parameters
        ----------
        X : list of array_like
        y : ignored
        watch : callable, optional
            ``watch(self)`` is called after every epoch.
        checkpoint : path-like, optional
            A file to save progress in, and to resume from; one more, beside it, is for the pretraining.

        Raises
        ------
        ValueError
            If a setting or a roll is not what it must be, or the checkpoint is that of another training.
        companion.training.Divergence
            If the loss is no longer finite.
        KeyboardInterrupt
            If interrupted while it pretrains.
        """
        self._check_settings()
        rolls = self._check_rolls(X, reset=True)
        rng = generator(self.random_state)
        frames, lengths = np.concatenate(rolls), np.array([len(roll) for roll in rolls])
        self.n_features_in_ = frames.shape[1]
        first = self._initial_parameters(frames, rng, checkpoint)
        at = self._prepare(frames, lengths, first, rng)
        return self._train(
            lambda pieces: self._update(at, pieces), [lengths, frames], at,
            state=at.state, watch=watch, checkpoint=checkpoint,
        )  # fmt: skip

    def _check_settings(self):
        super()._check_settings()
        check_options(self.pretraining, RBM, {"n_hidden", "visible", "random_state", "verbose"})  # decided here
        RBM(**self.pretraining or {})._check_settings()

    def _initial_parameters(self, frames, rng, checkpoint=None):
        """Return the pretrained static machine, or a random one, and small random weights for the rest."""
        shapes = self._shapes(frames.shape[1])
        draws = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        first = {name: to_device((FIRST if draw.ndim == 2 else 0) * draw) for name, draw in draws.items()}
        # A state that turns and fades: the network begins with a memory of a few steps, one that does not explode.
        first["W_uu"] = to_device(FADING * np.linalg.qr(draws["W_uu"])[0])
        first["W_vu"] = to_device(np.float32(0.5) * draws["W_vu"])  # of four notes: about 1 goes into the tanh
        first["visible_bias"] = log_odds(frames)
        self.pretraining_histories_ = []
        if self.pretraining is not None:
            static = RBM(n_hidden=self.n_hidden, random_state=rng, verbose=self.verbose, **self.pretraining)
            shifted = [_shifted(frames, shift) for shift in range(-self.transpose, self.transpose + 1)]
            path = checkpoint and Path(checkpoint)
            static.fit(np.concatenate(shifted), checkpoint=path and path.with_name(f"{path.name}.static.npz"))
            first |= static.parameters_
            self.pretraining_histories_ = [static.history_]
            if static.history_.stopped == "interrupt":  # what was learned is in its checkpoint, if there is one
                raise KeyboardInterrupt
        return first

    def _shapes(self, n_features, n_classes=0, names=()):
        n, H, R = n_features, self.n_hidden, self.n_recurrent
        return {
            "W": (n, H), "visible_bias": (n,), "hidden_bias": (H,), "W_uv": (R, n), "W_uh": (R, H),
            "W_vu": (n, R), "W_uu": (R, R), "state_bias": (R,),
        }  # fmt: skip

    def _prepare(self, frames, lengths, first, rng):
        noise = Noise(rng)
        moving = {name: own_copy(array) for name, array in first.items()}
        descent = Descent(self._optimizer(self._n_updates(lengths)), moving, averaging=self.averaging)
        frames = to_device(frames)
        state = {"chains": frames.copy()} if self.persistent else {}
        keys = [np.flatnonzero(piece.any(axis=0)) for piece in np.split(to_numpy(frames), np.cumsum(lengths)[:-1])]
        last = frames.shape[1] - 1
        room = [(min(self.transpose, k[0]), min(self.transpose, last - k[-1])) if len(k) else (0, 0) for k in keys]
        return SimpleNamespace(
            rng=rng, noise=noise, descent=descent, state=state, moving=moving, frames=frames, lengths=lengths,
            starts=np.cumsum(lengths) - lengths, room=room,
        )  # fmt: skip

    def _update(self, at, pieces):
        """Make one update on the pieces with these numbers; return its loss."""
        pieces = to_numpy(pieces)  # what is only counted stays on the host
        lengths = at.lengths[pieces]
        shifts = [int(at.rng.integers(-at.room[i][0], at.room[i][1] + 1)) if self.transpose else 0 for i in pieces]
        rows = _rows(at.starts[pieces], lengths)
        shift = np.repeat(shifts, lengths)
        v = _shifted_rows(at.frames[to_device(rows)], shift)
        chains = _shifted_rows(at.state["chains"][to_device(rows)], shift) if self.persistent else None
        loss, gradients, chains = self.gradients(
            at.moving, v, lengths, at.noise, chains=chains, k=self.k, dropout=self.dropout
        )
        if self.persistent:
            at.state["chains"][to_device(rows)] = _shifted_rows(chains, -shift)
        if self.weight_decay:
            for name, gradient in gradients.items():
                if gradient.ndim == 2:
                    gradient += self.weight_decay * at.moving[name]
        at.descent.update([gradients[name] for name in at.moving])
        return loss

    @staticmethod
    def gradients(p, v, lengths, noise, *, chains=None, k=1, dropout=0.0):
        """Return loss, gradients and the ends of the chains, for the steps v (n_steps, n_keys) of some pieces.

        Parameters
        ----------
        p : dict of str to array
            The parameters.
        v : array (n_steps, n_keys)
            The steps of all pieces, one piece after the other.
        lengths : array_like (n_pieces,)
            Steps of each piece.
        noise : companion.backend.Noise
        chains : array (n_steps, n_keys), optional
            Where the chains begin; at v if not given.
        k : int
        dropout : float

        Returns
        -------
        loss : array without dimensions
            Mean of :math:`F_t(v_t) - F_t(v_t^*)`.
        gradients : dict of str to array
            Of the loss, with the ends of the chains held as they are.
        chains : array (n_steps, n_keys)
        """
        states = _States(p, v, lengths, noise, dropout)
        before, machines = states.before, _machines(p, states.before)
        ends = machines.gibbs(v if chains is None else chains, noise, k)
        x_data, x_ends = v @ p["W"] + machines.hidden_bias, ends @ p["W"] + machines.hidden_bias
        loss = softplus(x_ends).sum() - softplus(x_data).sum() + ((ends - v) * machines.visible_bias).sum()
        h_data, h_ends = sigmoid(x_data, out=x_data), sigmoid(x_ends, out=x_ends)
        # What the loss, a mean over the steps, gains from the biases of each step.
        n = len(v)
        grad_b, grad_c = (ends - v) / n, (h_ends - h_data) / n
        gradients = {
            "W": (ends.T @ h_ends - v.T @ h_data) / n,
            "visible_bias": grad_b.sum(axis=0),
            "hidden_bias": grad_c.sum(axis=0),
            "W_uv": before.T @ grad_b,
            "W_uh": before.T @ grad_c,
        }
        gradients |= states.backward(grad_b @ p["W_uv"].T + grad_c @ p["W_uh"].T)
        return loss / n, gradients, ends

    # What it knows at each step.

    def _learned(self):
        """Return the parameters, or say that there are none, or none for the present settings."""
        check_is_fitted(self, "parameters_")
        self._check_parameters(self.parameters_, self.n_features_in_)
        return self.parameters_

    def machines(self, X):
        """Return the `StepMachines` of a roll X (n_steps, n_keys): each knows the steps before its own."""
        return self.all_machines([X])[1]

    def all_machines(self, X):
        """Return the steps of all rolls in the list X, (n_steps, n_keys), and the `StepMachines` of all of them."""
        p, rolls = self._learned(), self._check_rolls(X)
        v = to_device(np.concatenate(rolls), p["W"].dtype)
        with one_thread():
            return v, _machines(p, _States(p, v, list(map(len, rolls))).before)

    def log_likelihood(self, X, *, n_temperatures=1000, n_chains=5, random_state=None):
        """Estimate the log-likelihood of the rolls in the list X, in nats a step, by annealing at every step.

        Returns
        -------
        SequenceLikelihood
        """
        X = self._check_rolls(X)
        v, machines = self.all_machines(X)
        found = annealed_log_partitions(
            machines, n_temperatures=n_temperatures, n_chains=n_chains, random_state=random_state
        )
        return sequence_likelihood(-to_numpy(machines.free_energy(v)), found.log_weights, [len(roll) for roll in X])

    def frame_accuracy(self, X, *, steps=100, n_chains=10, random_state=None):
        r"""Expected accuracy of the notes drawn at each step: true positives over all that sounds or should.

        :math:`\sum TP / \sum (TP + FP + FN)`, as Bay, Ehmann and Downie (2009) define it for transcription; at each
        step notes are drawn given the true past, `n_chains` times, by `steps` Gibbs steps that begin at the notes of
        the step before, the first at silence. Where nothing sounds, and nothing should, it is 1.

        Raises
        ------
        ValueError
            If a roll is not what it must be, or there would be no step or no chain.
        """
        check_count("steps", steps)
        check_count("n_chains", n_chains)
        v, machines = self.all_machines(X)
        before = np.concatenate([np.pad(roll, ((1, 0), (0, 0)))[:-1] for roll in self._check_rolls(X)])
        before, noise, hits, all_ = to_device(before, v.dtype), Noise.of(random_state), 0.0, 0.0
        with one_thread():
            for _ in range(n_chains):
                drawn = machines.gibbs(before, noise, steps)
                hits += float((drawn * v).sum())
                all_ += float(xp.maximum(drawn, v).sum())
        return hits / all_ if all_ else 1.0

    # Writing music.

    def generate(
        self, n_steps, *, prime=None, clamp=None, steps=500, inverse_temperature=1.0, anneal=True, random_state=None
    ):
        """Write a roll, step by step; see `write` for the parameters. Returns float32 (n_steps, n_keys)."""
        check_count("n_steps", n_steps)
        writer = self.write(prime=prime, clamp=clamp, steps=steps, inverse_temperature=inverse_temperature,
                            anneal=anneal, random_state=random_state)  # fmt: skip
        return np.array([to_numpy(next(writer)) for _ in range(n_steps)])

    def write(self, *, prime=None, clamp=None, steps=500, inverse_temperature=1.0, anneal=True, random_state=None):
        """Return an iterator that writes for ever: steps (n_keys,), each drawn given those before it.

        Parameters
        ----------
        prime : array_like (n_prime, n_keys), optional
            A beginning, which is given out first.
        clamp : array_like (n_clamped, n_keys), optional
            Values of 0 or 1 for keys that are given, nan for those that the machine fills in: a voice, say.
        steps : int
            Gibbs steps for each step of music: with few, chains stick to chords that no one would write.
        inverse_temperature : float
            Above 1 the music keeps to what is likely, below 1 it dares more.
        anneal : bool
            Warm the chain up at first and let it cool down: fewer chains stick.
        random_state : None, int, generator or companion.backend.Noise

        Returns
        -------
        iterator of array (n_keys,)

        Raises
        ------
        ValueError
            If `prime` or `clamp` is not what it must be, `steps` is below 1, or the temperature no number.
        """
        self._learned()
        check_count("steps", steps)
        if not 0 <= inverse_temperature < float("inf"):
            raise ValueError(
                f"inverse_temperature: expected a finite number, at least 0, found {inverse_temperature!r}"
            )
        prime = () if prime is None else _check_roll("prime", prime, self.n_features_in_)
        clamp = () if clamp is None else _check_roll("clamp", clamp, self.n_features_in_, gaps=True)

        def written():
            noise, u = Noise.of(random_state), self.silence()
            for t in count():
                if t < len(prime):
                    v = to_device(prime[t], u.dtype)
                else:
                    given = clamp[t] if t < len(clamp) else None
                    v = self.draw(u, noise, given, steps, inverse_temperature, anneal)
                yield v
                u = self.follow(u, v)

        return written()

    def silence(self):
        """Return the state (n_recurrent,) before the first step: zeros."""
        return xp.zeros(self.n_recurrent, self.parameters_["W"].dtype)

    def follow(self, u, v):
        """Return the state (n_recurrent,) after the step v (n_keys,), from u, that before it."""
        p = self.parameters_
        return xp.tanh(v @ p["W_vu"] + p["state_bias"] + u @ p["W_uu"])

    def draw(self, u, noise, given=None, steps=500, inverse_temperature=1.0, anneal=True):
        """Draw a step (n_keys,) from the machine that the state u (n_recurrent,) makes; see `write`.

        `given` (n_keys,) has 0 or 1 for keys that are given, nan for others.
        """
        p = self.parameters_
        machine = _machines(p, u[None])
        v, clamp = bernoulli(sigmoid(machine.visible_bias), noise), None
        if given is not None:
            given = to_device(_check_roll("given", to_numpy(given)[None], self.n_features_in_, gaps=True), v.dtype)
            clamp = ~xp.isnan(given)
            v = xp.where(clamp, given, v)
        with one_thread():
            if anneal:  # half of the steps while it cools down
                for beta in ANNEALING:
                    part = -(-steps // (2 * len(ANNEALING)))
                    v = machine.gibbs(v, noise, part, beta * inverse_temperature, clamp)
                steps -= steps // 2
            return machine.gibbs(v, noise, steps, inverse_temperature, clamp)[0]

    def _check_rolls(self, X, reset=False):
        """Return X as a list of float32 arrays, or raise ValueError."""
        if isinstance(X, np.ndarray) and X.ndim == 2:
            raise ValueError("expected a list of rolls (n_steps, n_keys), found one array: put it into a list")
        rolls, width = [], None if reset else getattr(self, "n_features_in_", None)
        for i, roll in enumerate(X):
            rolls.append(_check_roll(f"roll {i}", roll, width))
            width = rolls[-1].shape[1]
            if not len(rolls[-1]):
                raise ValueError(f"roll {i}: expected at least one step, found none")
        if not rolls:
            raise ValueError("expected at least one roll, found none")
        return rolls


def _check_roll(name, roll, n_keys=None, gaps=False):
    """Return a roll as a float32 array (n_steps, n_keys) of zeros and ones, or nan if `gaps`; or raise ValueError."""
    check_unmasked(name, roll)
    if hasattr(roll, "voices"):
        raise ValueError(f"{name}: expected a table (n_steps, n_keys), found a {type(roll).__name__}: take its .roll")
    roll = np.asarray(to_numpy(roll), np.float32)
    if roll.ndim != 2 or n_keys not in (None, roll.shape[1]):
        raise ValueError(f"{name}: expected shape (n_steps, {n_keys or 'n_keys'}), found {roll.shape}")
    if not (np.isin(roll, (0, 1)) | (np.isnan(roll) if gaps else False)).all():
        raise ValueError(f"{name}: expected zeros and ones{', nan where nothing is given' * gaps}, found others")
    return roll


def _machines(p, before):
    """Return the `StepMachines` of some steps from the states before them (n_steps, n_recurrent)."""
    return StepMachines(p["W"], before @ p["W_uv"] + p["visible_bias"], before @ p["W_uh"] + p["hidden_bias"])


class _States:
    """The recurrent states of some pieces, forth and, through time, back: `companion.recurrent.Elman` at work.

    Rows are steps, piece after piece; `before` (n_steps, n_recurrent) are the states that each step finds.
    """

    def __init__(self, p, v, lengths, noise=None, dropout=0.0):
        self.packing, keep = Packing(lengths), 1 - dropout
        if dropout:
            v = v * bernoulli(xp.full_like(v, keep), noise) / keep
        self.network = Elman(p["W_vu"], p["state_bias"], p["W_uu"])
        packed = xp.empty_like(v)
        packed[self.packing.rows] = v
        after, first = self.network.forward(packed, self.packing), self.packing.sizes[0]
        before = xp.zeros_like(after)  # the first step of every piece finds zeros
        before[first:] = after[self.packing.before]
        self.before = before[self.packing.rows]
        self.mask = bernoulli(xp.full_like(self.before, keep), noise) / keep if dropout else None
        if dropout:
            self.before *= self.mask

    def backward(self, grad_before):
        """Return the gradients for W_vu, d and W_uu, from that for the states before each step."""
        packed = xp.empty_like(grad_before)
        packed[self.packing.rows] = grad_before if self.mask is None else grad_before * self.mask
        delta = xp.zeros_like(packed)
        delta[self.packing.before] = packed[self.packing.sizes[0] :]
        self.network.backward(delta)
        return dict(zip(("W_vu", "state_bias", "W_uu"), self.network.gradients))


def _rows(starts, lengths):
    """Return where the steps of some pieces are in the data, piece after piece."""
    return np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths)])


def _shifted(rows, shift):
    """Rows (n, n_keys) transposed by so many keys, those of them that have room."""
    if not shift:
        return rows
    edge = rows[:, -shift:] if shift > 0 else rows[:, :-shift]
    return np.roll(rows[~edge.any(axis=1)], shift, axis=1)


def _shifted_rows(rows, shift):
    """Rows (n, n_keys), each transposed by a number of keys of its own (n,), around the ends."""
    if not np.any(shift):
        return rows
    keys = (np.arange(rows.shape[1]) - shift[:, None]) % rows.shape[1]
    return xp.take_along_axis(rows, to_device(keys), axis=1)


# ------------------------------------------------------------------------------------------------------- likelihood


def sequence_likelihood(minus_free_energies, log_w, lengths):
    """Return the `SequenceLikelihood` from what machines and annealing say of each step.

    Parameters
    ----------
    minus_free_energies : numpy.ndarray (n_steps,)
    log_w : numpy.ndarray (n_steps, n_chains) or (n_steps,)
        Log weights, each an estimate of log Z; or its exact values.
    lengths : list of int
        Steps of each piece.

    Raises
    ------
    ValueError
        If the steps of the pieces are not as many as there are free energies and weights, or a piece has none; if
        there are numbers that are not finite.
    """
    minus_free_energies, log_w = (np.asarray(x, np.float64) for x in (minus_free_energies, log_w))
    for name, array in {"minus_free_energies": minus_free_energies, "log_w": log_w}.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, found NaN or infinity among them")
    exact = log_w.ndim == 1
    if (
        log_w.ndim > 2
        or minus_free_energies.ndim != 1
        or len(log_w) != len(minus_free_energies)
        or sum(lengths) != len(log_w)
        or min(lengths, default=0) < 1
    ):
        raise ValueError(f"lengths: expected the steps of each piece, {len(minus_free_energies)} together, found "
                         f"{list(lengths)} for log weights of shape {log_w.shape}")  # fmt: skip
    log_w = log_w.reshape(len(log_w), -1)
    w, n_chains = np.exp(log_w - log_w.max(axis=1, keepdims=True)), log_w.shape[1]
    if exact:
        error = np.zeros(len(w))
    elif n_chains > 1:
        error = w.std(axis=1, ddof=1) / w.mean(axis=1) / np.sqrt(n_chains)
    else:  # of a single chain nobody knows
        error = np.full(len(w), np.nan)
    steps = minus_free_energies - log_mean(log_w)
    sums = np.add.reduceat(steps, np.cumsum([0, *lengths[:-1]]))
    about, n = sums - steps.mean() * np.array(lengths), len(sums)  # the error of a ratio: sums by steps
    spread = np.sqrt((about**2).sum() * n / (n - 1)) / len(steps) if n > 1 else np.nan
    return SequenceLikelihood(float(steps.mean()), float(np.sqrt((error**2).sum()) / len(w)), float(spread))


def log_mean(log_w):
    """Logarithms (n_steps,) of the means over the chains of weights whose logarithms are (n_steps, n_chains)."""
    top = log_w.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(log_w - top).mean(axis=1))


def annealed_log_partitions(machines, *, n_temperatures=1000, n_chains=5, start=None, random_state=None):
    r"""Estimate log Z of every step's machine by annealed importance sampling, all of them side by side.

    As `companion.likelihood.ais`, with biases that differ from row to row; chains begin at independent keys with the
    biases :math:`b_t`'s mean over the steps. A short ladder makes log Z too low, and the likelihood too high.

    Parameters
    ----------
    machines : StepMachines
    n_temperatures, n_chains : int
    start : array_like (n_chains, n_steps, n_keys), optional
        Samples of the machines: anneal backwards from them, for estimates from above.
    random_state

    Returns
    -------
    StepPartitions

    Raises
    ------
    ValueError
        If there would be no temperature or no chain, or `start` has another shape, or other values than zeros and ones.
    """
    noise, betas = Noise.of(random_state), temperature_ladder(n_temperatures).tolist()
    W, B, C = machines
    if start is not None:
        betas, n_chains = betas[::-1], len(start)
        if (found := np.shape(start))[1:] != B.shape:
            raise ValueError(f"start: expected shape (n_chains, {', '.join(map(str, B.shape))}), found {found}")
        for samples in start:
            _check_roll("start", samples)
    check_count("n_chains", n_chains)
    base = B.mean(axis=0)
    rows = max(1, BLOCK // W.shape[1])
    log_w, samples = np.empty((n_chains, len(B))), np.empty((n_chains, *B.shape), np.float32)
    with one_thread():
        for chain in range(n_chains):
            for first in range(0, len(B), rows):
                part = slice(first, first + rows)
                block = StepMachines(W, B[part], C[part])
                v = None if start is None else own_copy(to_device(start[chain][part], W.dtype))
                log_w[chain, part], v = _anneal(block, base, betas, v, noise)
                samples[chain, part] = to_numpy(v)
    return StepPartitions(log_w.T, samples)


def _anneal(machines, base, betas, v, noise):
    """Estimates (n_steps,) of log Z by one chain a machine, and the ends of the chains (n_steps, n_keys)."""
    W, B, C = machines
    if v is None:
        v = bernoulli(xp.broadcast_to(sigmoid(base), B.shape).copy(), noise)
    difference, log_w = B - base, xp.zeros(len(B), xp.float64)
    x, a, h = xp.empty_like(C), xp.empty_like(B), xp.empty_like(C)
    for before, beta in zip(betas[:-1], betas[1:]):
        xp.matmul(v, W, out=x)
        x += C
        log_w += (beta - before) * (v * difference).sum(axis=1)  # first weigh,
        log_w += _softplus_change(x, before, beta)
        x *= beta  # then move
        bernoulli(sigmoid(x, out=x), noise, out=h)
        h *= beta
        xp.matmul(h, W.T, out=a)
        a += base
        a += beta * difference
        bernoulli(sigmoid(a, out=a), noise, out=v)
    base_log_z = float(softplus(base.astype(xp.float64)).sum()) + C.shape[1] * np.log(2)
    return base_log_z + (1 if betas[0] == 0 else -1) * to_numpy(log_w), v


def _softplus_change(x, before, beta):
    r"""What the sums over the columns of softplus(βx) gain (n,) from one β to the next: one logarithm a row.

    Of :math:`\max(\beta x, 0) + \log(1 + e^{-\beta |x|})` the second terms give a product of ratios near 1.
    """
    size = xp.abs(x)
    ratio, below = size * -beta, size * -before
    xp.exp(ratio, out=ratio)
    xp.exp(below, out=below)
    ratio += 1
    below += 1
    ratio /= below
    change = xp.log(xp.prod(ratio, axis=1, dtype=xp.float64))
    change += (beta - before) / 2 * (size.sum(axis=1) + x.sum(axis=1))  # max(x, 0) is half of |x| + x
    return change


def counted_log_partitions(machines, most_notes=4):
    r"""Log of the part of each step's Z that is in chords of at most so many notes: a strict lower bound on log Z.

    .. math:: Z_t \ge \sum_{|v| \le 4} e^{-F_t(v)}

    46 keys have 179,447 such chords, and music in four parts little else: what the bound misses is the probability
    that the machine gives to more notes.

    Parameters
    ----------
    machines : StepMachines
    most_notes : int

    Returns
    -------
    numpy.ndarray (n_steps,), float64
    """
    check_count("most_notes", most_notes, least=0)
    W, B, C = machines
    n = len(W)
    most_notes = min(most_notes, n)
    chords = np.concatenate([_chords(n, notes, most_notes) for notes in range(most_notes + 1)])
    result = np.full(len(B), -np.inf)
    rows = max(1, 4 * BLOCK // W.shape[1])
    padded = xp.concatenate([W, xp.zeros((1, W.shape[1]), W.dtype)])  # the key that pads a chord weighs nothing
    with one_thread():
        for first in range(0, len(chords), rows):
            keys = to_device(chords[first : first + rows])
            inputs = padded[keys].sum(axis=1)
            for t in range(len(B)):
                bias = xp.append(B[t], xp.zeros(1, B.dtype))[keys].sum(axis=1)
                terms = bias.astype(xp.float64) + softplus(inputs + C[t]).sum(axis=1)
                top = float(terms.max())
                result[t] = np.logaddexp(result[t], top + float(xp.log(xp.exp(terms - top).sum())))
    return result


def _chords(n, size, most):
    """All sets (n_chords, most) of `size` keys, padded by the number n."""
    sets = np.array(list(combinations(range(n), size)), int)
    return np.pad(sets, ((0, 0), (0, most - size)), constant_values=n)


def exact_log_partitions(machines):
    """Log Z (n_steps,) of every machine by summing over the states of its smaller layer: up to 12 units or so."""
    return np.array([
        exact_log_partition(RBM.from_parameters(machines.W, b, c)).log_z
        for b, c in zip(machines.visible_bias, machines.hidden_bias)
    ])  # fmt: skip
