r"""The recurrent temporal RBM of music, RNN-RBM: at every step a restricted Boltzmann machine with biases of its own.

.. math:: u_t = \tanh(d + v_t W_{vu} + u_{t-1} W_{uu}), \qquad b_t = b + u_{t-1} W_{uv}, \qquad c_t = c + u_{t-1} W_{uh}

The machine of step t has the weights W, which all steps share, the visible biases :math:`b_t` and the hidden biases
:math:`c_t`; what sounded before it knows from the state :math:`u_{t-1}` alone, and :math:`u_0 = 0`. So

.. math:: \log p(v_1, \dots, v_T) = \sum_t \left(-F_t(v_t) - \log Z_t\right).

Source: Boulanger-Lewandowski, Bengio and Vincent (2012), *Modeling temporal dependencies in high-dimensional sequences:
application to polyphonic music generation and transcription*, section 4. Rows are steps; likelihoods are in nats.
"""

from types import SimpleNamespace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .checks import check_count, check_temperature
from .estimator import SETTINGS, Estimator, check_options, own_copy, real_arrays, stays_if_refused
from .functions import bernoulli, sigmoid, softplus
from .optimize import Descent
from .rbm import RBM, log_odds
from .recurrent import Elman, Packing
from .step_machines import StepMachines, annealed_log_partitions, check_roll, sequence_likelihood
from .training import beside

__all__ = ["RNNRBM"]

FIRST, FADING = 0.01, np.float32(0.5)  # initial weights: their standard deviation; what of a state is left a step later
ANNEALING = np.linspace(0.5, 0.95, 10).tolist()  # inverse temperatures of a chain that cools down


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

    optimizer = "adam"
    SETTINGS = {"n_recurrent": SETTINGS["n_hidden"], "transpose": SETTINGS["n_epochs"]}

    def __init__(
        self, *, n_hidden=150, n_recurrent=100, learning_rate=1e-3, n_epochs=100, schedule="linear", batch_size=16,
        k=15, persistent=False, dropout=0.0, transpose=0, weight_decay=0.0, averaging=0.0,
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
            seed = None if self.random_state is None else rng  # without one, any random numbers will do to resume
            static = RBM(n_hidden=self.n_hidden, random_state=seed, verbose=self.verbose, **self.pretraining)
            shifted = [_shifted(frames, shift) for shift in range(-self.transpose, self.transpose + 1)]
            static.fit(np.concatenate(shifted), checkpoint=beside(checkpoint, "static"))
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
        noise : companion.backend.Noise, numpy.random.Generator or int
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
        noise = Noise.of(noise)
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
        steps = check_count("steps", steps)
        n_chains = check_count("n_chains", n_chains)
        X = self._check_rolls(X)
        v, machines = self.all_machines(X)
        before = np.concatenate([np.pad(roll, ((1, 0), (0, 0)))[:-1] for roll in X])
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
        n_steps = check_count("n_steps", n_steps)
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
        steps = check_count("steps", steps)
        check_temperature(inverse_temperature)
        prime = () if prime is None else check_roll("prime", prime, self.n_features_in_).copy()
        clamp = () if clamp is None else check_roll("clamp", clamp, self.n_features_in_, gaps=True).copy()

        options = {"steps": steps, "inverse_temperature": inverse_temperature, "anneal": anneal}
        return _Writer(self, prime, clamp, Noise.of(random_state), options)

    def silence(self):
        """Return the state (n_recurrent,) before the first step: zeros."""
        check_is_fitted(self, "parameters_")
        return xp.zeros(self.n_recurrent, self.parameters_["W"].dtype)

    def follow(self, u, v):
        """Return the state (n_recurrent,) after the step v (n_keys,), from u, that before it."""
        check_is_fitted(self, "parameters_")
        p = self.parameters_
        return xp.tanh(v @ p["W_vu"] + p["state_bias"] + u @ p["W_uu"])

    def draw(self, u, noise, given=None, steps=500, inverse_temperature=1.0, anneal=True):
        """Draw a step (n_keys,) from the machine that the state u (n_recurrent,) makes; see `write`.

        `given` (n_keys,) has 0 or 1 for keys that are given, nan for others; `noise` is a `companion.backend.Noise`,
        a generator or a seed.
        """
        check_is_fitted(self, "parameters_")
        steps = check_count("steps", steps)
        check_temperature(inverse_temperature)
        p, noise = self.parameters_, Noise.of(noise)
        machine = _machines(p, u[None])
        v, clamp = bernoulli(sigmoid(machine.visible_bias), noise), None
        if given is not None:
            given = to_device(check_roll("given", to_numpy(given)[None], self.n_features_in_, gaps=True), v.dtype)
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
        if hasattr(X, "voices"):
            raise ValueError(f"expected a list of rolls (n_steps, n_keys), found a {type(X).__name__}: take its .roll, "
                             "in a list")  # fmt: skip
        rolls, width = [], None if reset else getattr(self, "n_features_in_", None)
        for i, roll in enumerate(X):
            rolls.append(check_roll(f"roll {i}", roll, width))
            width = rolls[-1].shape[1]
            if not len(rolls[-1]):
                raise ValueError(f"roll {i}: expected at least one step, found none")
        if not rolls:
            raise ValueError("expected at least one roll, found none")
        return rolls


class _Writer:
    """What `RNNRBM.write` returns. An interrupt does not end it, as it would a generator: the step is drawn again."""

    def __init__(self, model, prime, clamp, noise, options):
        self.model, self.prime, self.clamp, self.noise, self.options = model, prime, clamp, noise, options
        self.t, self.u = 0, model.silence()

    def __iter__(self):
        return self

    def __next__(self):
        if self.t < len(self.prime):
            v = own_copy(to_device(self.prime[self.t], self.u.dtype))
        else:
            given = self.clamp[self.t] if self.t < len(self.clamp) else None
            v = self.model.draw(self.u, self.noise, given, **self.options)
        self.u = self.model.follow(self.u, v)
        self.t += 1
        return v


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
