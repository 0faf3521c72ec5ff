r"""The restricted Boltzmann machine: visible units v, hidden units h, and weights between the two kinds.

.. math:: E(v, h) = -b^\top v - c^\top h - v^\top W h, \qquad p(v, h) = \frac{e^{-E(v, h)}}{Z}

Rows are examples: v (n, n_visible), h (n, n_hidden), W (n_visible, n_hidden). Energies and log-likelihoods are in nats.
"""

from itertools import islice
from types import SimpleNamespace

import numpy as np
from sklearn.utils.metaestimators import available_if

from .backend import Noise, add_scaled, generator, matmul, one_thread, to_device, to_numpy, xp
from .checks import check_count, check_finite, check_temperature, finite_rows, pixel_rows, real_array
from .estimator import TiedLayer, check_columns, one_of, own_copy
from .functions import bernoulli, sigmoid, softplus
from .optimize import Descent

__all__ = ["RBM", "ContrastiveDivergence", "log_odds"]

OFFSET_MEMORY = 0.99  # centring: how much of the running mean of the hidden units an update keeps
ACTIVITY_MEMORY = 0.9  # sparsity: the same for the mean activity (Hinton, 2012, section 11: 0.9 to 0.99)


class RBM(TiedLayer):
    r"""A restricted Boltzmann machine, trained by contrastive divergence.

    Visible units are binary, or Gaussian of variance one; hidden units are binary. Sources: Hinton (2002), *Training
    products of experts by minimizing contrastive divergence*; Tieleman (2008) for persistent chains; Hinton (2012),
    *A practical guide*, for what the options are good for; Melchior, Fischer and Wiskott (2016) for centring.

    Parameters
    ----------
    n_hidden : int
    visible : {"binary", "gaussian"}
        Binary units take pixels from 0 to 1, as probabilities; Gaussian ones take real numbers, scaled so that what
        the hidden units leave unexplained has a variance of one.
    learning_rate, n_epochs, batch_size
    k : int
        Gibbs steps before the negative statistics are taken.
    persistent : bool
        Chains go on from update to update (PCD-k), as many as a minibatch has rows; otherwise they start at the data
        (CD-k).
    binarize : bool
        Draw binary pixels afresh for every minibatch, with the grey levels as probabilities.
    centered : bool
        Follow the centred gradient: units enter it less their means.
    optimizer : {"sgd", "adam"}
        Steps along the gradient, or those of Adam, which are of one size whatever its scale: for rare ones.
    momentum : float
        Of ``"sgd"``.
    schedule, decay, warmup
        How the learning rate changes: see `companion.optimize.Schedule`.
    weight_decay : float
        :math:`\lambda` of a penalty :math:`\lambda \|W\|^2 / 2`.
    sparsity_target, sparsity_cost : float
        Pull the mean activity of every hidden unit towards the target, with the force of the cost.
    averaging : float
        As in `companion.optimize.MovingAverage`; 0 for none.
    warm_start : bool
        Whether `fit` begins with what was learned before, if anything was.
    random_state : None, int or generator
        Seeds initial weights, order of the minibatches and chains.
    verbose : bool
        Show progress.

    Attributes
    ----------
    parameters_, W_, visible_bias_, hidden_bias_
        See `companion.estimator.TiedLayer`.
    pixels_ : bool
        Whether the units are binary and learned from values from 0 to 1.
    chains_ : array (batch_size, n_hidden), on the device
        Hidden states of the persistent chains, if there are any.
    history_ : companion.training.History
        Its ``train_loss`` is the mean energy of the data less that of the chains, hidden units at their means: what an
        update makes smaller, and no measure of quality (chapter 6 shows why).
    """

    SETTINGS = {"visible": one_of("binary", "gaussian")}
    PIXELS = "binary visible units", "use visible='gaussian'"

    def __init__(
        self, *, n_hidden=500, visible="binary", learning_rate=0.1, n_epochs=15, batch_size=100, k=1, persistent=False,
        binarize=False, centered=False, momentum=0.0, schedule="constant", decay=0.0, warmup=0, weight_decay=0.0,
        sparsity_target=0.1, sparsity_cost=0.0, averaging=0.0, optimizer="sgd", warm_start=False, random_state=None,
        verbose=False,
    ):  # fmt: skip
        self.n_hidden = n_hidden
        self.visible = visible
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.k = k
        self.persistent = persistent
        self.binarize = binarize
        self.centered = centered
        self.momentum = momentum
        self.schedule = schedule
        self.decay = decay
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.averaging = averaging
        self.optimizer = optimizer
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _takes_pixels(self):
        return self.visible == "binary"

    @classmethod
    def from_parameters(
        cls, W, visible_bias, hidden_bias, *, visible_offset=None, hidden_offset=None, **hyperparameters
    ):
        r"""Make a machine that needs no training: see `companion.estimator.TiedLayer.from_parameters`.

        Parameters
        ----------
        W, visible_bias, hidden_bias
        visible_offset, hidden_offset : array_like (n_visible,) and (n_hidden,), optional
            :math:`\mu` and :math:`\lambda` of a centred machine, whose energy is
            :math:`-b^\top(v - \mu) - c^\top(h - \lambda) - (v - \mu)^\top W (h - \lambda)`, for Gaussian units with
            :math:`\|v - b\|^2 / 2` in place of the first term; they are taken into the biases, which leaves the
            distribution as it is.
        """
        rbm = super().from_parameters(W, visible_bias, hidden_bias, **hyperparameters)
        W, b, c = rbm.parameters_.values()
        for name, offset, bias in (("visible_offset", visible_offset, b), ("hidden_offset", hidden_offset, c)):
            if offset is not None:
                check_finite(name, to_device(real_array(name, offset)))
                if np.shape(offset) != bias.shape:
                    raise ValueError(f"{name}: expected shape {bias.shape}, one a unit, found {np.shape(offset)}")
        if hidden_offset is not None:
            b = b - W @ to_device(hidden_offset, W.dtype)
        if visible_offset is not None:
            c = c - to_device(visible_offset, W.dtype) @ W
        rbm.parameters_ |= {"visible_bias": b, "hidden_bias": c}
        return rbm

    # Energy and conditional distributions.

    def energy(self, v, h):
        r"""Energies (n,) of the states v (n, n_visible) with h (n, n_hidden).

        :math:`E(v, h) = -b^\top v - c^\top h - v^\top W h`; Gaussian units have :math:`\|v - b\|^2 / 2` for
        :math:`-b^\top v`. Raises ValueError unless v and h have as many rows.
        """
        v, h = self._visible(v), self._hidden(h)
        if len(v) != len(h):
            raise ValueError(f"expected as many rows of h as of v, found {len(h)} and {len(v)}")
        return self._visible_energy(v) - ((v @ self.W_ + self.hidden_bias_) * h).sum(axis=1)

    def free_energy(self, v, inverse_temperature=1.0):
        r"""Free energies (n,): :math:`F(v) = -\log\sum_h e^{-E(v, h)} = -b^\top v - \sum_j \log(1 + e^{x_j})`.

        with :math:`x = v^\top W + c`. At an inverse temperature :math:`\beta`, energies are multiplied by it.
        """
        v = self._visible(v)
        with one_thread():
            check_temperature(inverse_temperature)
            x = inverse_temperature * (v @ self.W_ + self.hidden_bias_)
            return inverse_temperature * self._visible_energy(v) - softplus(x).sum(axis=1)

    def free_energy_gradient(self, v):
        r"""Gradients (n, n_visible) of the free energies, for real-valued v: :math:`-b - W \sigma(x)`.

        Gaussian units have :math:`v - b` for :math:`-b`.
        """
        v = self._visible(v)
        with one_thread():
            gradient = self.propup(v) @ self.W_.T
        xp.negative(gradient, out=gradient)
        gradient += v - self.visible_bias_ if self.visible == "gaussian" else -self.visible_bias_
        return gradient

    def _visible_energy(self, v):
        if self.visible == "gaussian":
            return 0.5 * ((v - self.visible_bias_) ** 2).sum(axis=1)
        return -(v @ self.visible_bias_)

    def propup(self, v, inverse_temperature=1.0):
        r"""Probabilities (n, n_hidden) :math:`p(h_j = 1 \mid v) = \sigma(\beta (v^\top W + c)_j)`."""
        x = self._visible(v) @ self.W_
        x += self.hidden_bias_
        if inverse_temperature != 1:
            self._check_temperature(inverse_temperature)
            x *= inverse_temperature
        return sigmoid(x, out=x)

    def propdown(self, h, inverse_temperature=1.0, out=None):
        r"""Means (n, n_visible) of the visible units given h.

        :math:`p(v_i = 1 \mid h) = \sigma(\beta (W h + b)_i)`; Gaussian units have the mean :math:`(W h + b)_i`.
        """
        if inverse_temperature != 1:
            self._check_temperature(inverse_temperature)
        a = matmul(self._hidden(h), self.W_.T, out=out)
        a += self.visible_bias_
        if self.visible == "gaussian":
            return a
        if inverse_temperature != 1:
            a *= inverse_temperature
        return sigmoid(a, out=a)

    # Sampling. `rng` is a seed, a NumPy generator or a `companion.backend.Noise`.

    def sample_h_given_v(self, v, rng, inverse_temperature=1.0):
        """Draw h from p(h | v); return its means and the draw, both (n, n_hidden)."""
        means = self.propup(v, inverse_temperature)
        return means, bernoulli(means, Noise.of(rng))

    def sample_v_given_h(self, h, rng, inverse_temperature=1.0):
        """Draw v from p(v | h); return its means and the draw, both (n, n_visible)."""
        means = self.propdown(h, inverse_temperature)
        return means, self._draw_visible(means, Noise.of(rng), inverse_temperature)

    def _draw_visible(self, means, noise, inverse_temperature=1.0, out=None):
        if self.visible == "binary":
            return bernoulli(means, noise, out)
        draw = noise.normal(xp.empty_like(means) if out is None else out)
        draw *= inverse_temperature**-0.5
        draw += means
        return draw

    def gibbs_vhv(self, v, rng, inverse_temperature=1.0):
        """One Gibbs step from visible to visible; return the draw of h, the means of v and the draw of v."""
        noise = Noise.of(rng)
        _, h = self.sample_h_given_v(v, noise, inverse_temperature)
        return h, *self.sample_v_given_h(h, noise, inverse_temperature)

    def chains(self, start, rng, clamp=None, inverse_temperature=1.0):
        """Run Gibbs chains for ever: an iterator over their states.

        Parameters
        ----------
        start : array_like (n, n_visible)
            Where the n chains begin.
        rng : int, numpy.random.Generator or companion.backend.Noise
        clamp : array_like of bool (n_visible,) or (n, n_visible), optional
            Visible units that keep the values of `start`; the others are then drawn given them.
        inverse_temperature : float
            Above 1 the chains are colder and keep to the modes; below 1 they are hotter and roam.

        Yields
        ------
        v, means, h : array
            The new visible state (n, n_visible), the means that it was drawn from, and the hidden state (n, n_hidden)
            in between. The chain goes on from this v: copy it to change it.

        Raises
        ------
        ValueError
            At once, if `start`, `clamp` or the inverse temperature is not what it must be, or if the machine has a
            parameter that is not finite.
        """
        self._check_settings()
        self.check_finite()
        check_columns(self, start)
        start = finite_rows("start", start, len(self.visible_bias_), self.W_.dtype)
        self.check_pixels(start)
        self._check_temperature(inverse_temperature)
        if clamp is not None:
            clamp = to_device(real_array("clamp", clamp))
            if not bool(((clamp == 0) | (clamp == 1)).all()):
                raise ValueError(f"clamp: expected true where a unit keeps its value of `start`, false elsewhere, "
                                 f"found {float(clamp.min()):.3g} to {float(clamp.max()):.3g}")  # fmt: skip
            if clamp.shape not in (start.shape, start.shape[1:]):
                raise ValueError(f"clamp: expected shape {start.shape[1:]} or {start.shape}, found {clamp.shape}")
            clamp = clamp.astype(bool)
        return _Chains(self, own_copy(start), Noise.of(rng), clamp, inverse_temperature)

    def sample(
        self, n=1, steps=1000, *, start=None, clamp=None, inverse_temperature=1.0, means=False, random_state=None
    ):
        """Draw n samples, each by a Gibbs chain of its own; see `chains` for `clamp` and `inverse_temperature`.

        Parameters
        ----------
        n : int
            Number of chains; that of the rows of `start`, if there is one.
        steps : int
            Gibbs steps, from visible to visible, before the state is taken.
        start : array_like (n_visible,) or (n, n_visible), optional
            Where the chains begin; otherwise at coin tosses (for Gaussian units, at normal noise).
        means : bool
            Return the means that the last states were drawn from: what most printed "samples" are.
        random_state : None, int or generator

        Returns
        -------
        array (n, n_visible), on the device

        Raises
        ------
        ValueError
            If `n` is not whole or below 1, or `steps` not whole or below 0; if there is a `clamp` without `start`,
            whose values it keeps; otherwise as `chains`.
        """
        n = check_count("n", n)
        steps = check_count("steps", steps, least=0)
        noise = Noise.of(random_state)
        if start is None:
            if clamp is not None:
                raise ValueError("clamp: expected `start` with it, whose values the clamped units keep, found none")
            state = xp.full((n, len(self.visible_bias_)), 0.0 if self.visible == "gaussian" else 0.5, self.W_.dtype)
            state = self._draw_visible(state, noise)
        else:
            check_columns(self, start)
            state = xp.atleast_2d(to_device(real_array("start", start), self.W_.dtype))
        states = self.chains(state, noise, clamp, inverse_temperature)
        v, v_means, _ = next(islice(states, steps - 1, None)) if steps else (states.v, states.v, None)
        return v_means if means else v

    def reconstruct(self, v):
        """Send v (n, n_visible) up and down again, by means, and return the means (n, n_visible)."""
        return self.propdown(self.propup(v))

    # How good is it?

    @available_if(lambda self: self.visible == "binary")
    def pseudo_log_likelihood(self, v):
        r"""Pseudo-log-likelihoods (n,), in nats: :math:`\sum_i \log p(v_i \mid v_{-i})` (Besag, 1975).

        Nothing is drawn at random. A grey level counts as the probability of a one:
        :math:`v_i \log p_i + (1 - v_i) \log(1 - p_i)` with :math:`p_i = p(v_i = 1 \mid v_{-i})`.

        Parameters
        ----------
        v : array_like (n, n_visible), from 0 to 1
        """
        W, b = self.W_, self.visible_bias_
        check_columns(self, v)
        v = finite_rows("v", v, len(b), W.dtype)
        self.check_pixels(v)
        rows = max(1, 2**17 // W.shape[1])  # a block of this size stays in the cache
        result = xp.zeros(len(v), v.dtype)
        for start in range(0, len(v), rows):
            block = v[start : start + rows]
            x = block @ W + self.hidden_bias_
            for i in range(len(W)):
                off = x - xp.outer(block[:, i], W[i])  # what the hidden units get when v_i = 0
                log_odds = b[i] + (softplus(off + W[i]) - softplus(off)).sum(axis=1)
                result[start : start + rows] += block[:, i] * log_odds - softplus(log_odds)
        return result

    @available_if(lambda self: self.visible == "binary")
    def score_samples(self, X):
        """Pseudo-log-likelihoods (n,) of the rows of X (n, n_features), in nats; the same at every call."""
        return to_numpy(self.pseudo_log_likelihood(self._checked(X)))

    @available_if(lambda self: self.visible == "binary")
    def score(self, X, y=None):
        """Mean pseudo-log-likelihood of the rows of X, in nats: for searches. Labels are ignored."""
        return float(self.score_samples(X).mean())

    def transform(self, X):
        """Features (n, n_hidden) of X (n, n_features): the probabilities of the hidden units."""
        return to_numpy(self.propup(self._checked(X)))

    # Learning.

    def _prepare(self, X, first=None):
        rng = generator(self.random_state)
        noise = Noise(rng)
        W, b, c = first.values() if first else self._initial_parameters(X, rng)
        moving = RBM.from_parameters(*map(own_copy, (W, b, c)), visible=self.visible)
        estimate = ContrastiveDivergence(
            moving,
            noise,
            k=self.k,
            n_chains=self.batch_size if self.persistent else 0,
            visible_offset=X.mean(axis=0) if self.centered else None,
            sparsity_target=self.sparsity_target,
            sparsity_cost=self.sparsity_cost,
        )
        vars(self).pop("chains_", None)  # those of an earlier fit
        if self.persistent:
            self.chains_ = estimate.state["chains"]
        descent = Descent(self._optimizer(self._n_updates(X)), moving.parameters_, averaging=self.averaging)
        return SimpleNamespace(rng=rng, noise=noise, descent=descent, estimate=estimate, state=estimate.state)

    def _update(self, at, v):
        if self.binarize:
            v = bernoulli(v, at.noise)
        loss = at.estimate(v)
        if self.weight_decay:
            add_scaled(at.estimate.gradients[0], self.weight_decay, at.estimate.rbm.W_)
        at.descent.update(at.estimate.gradients)
        return loss

    def _check_settings(self):
        super()._check_settings()
        if self.binarize and self.visible == "gaussian":
            raise ValueError("binarize draws binary pixels; Gaussian visible units have none")

    def _check_temperature(self, inverse_temperature):
        """Raise ValueError for an inverse temperature that is none; Gaussian units do not melt altogether."""
        check_temperature(inverse_temperature, above=self.visible == "gaussian")

    def check_finite(self):
        """Raise ValueError if a parameter is not finite."""
        for name in ("W_", "visible_bias_", "hidden_bias_"):
            check_finite(f"rbm.{name}", getattr(self, name))

    def _initial_parameters(self, X, rng):
        """Small random weights; visible biases that make the pixel means right as long as the weights are small.

        Source: Hinton (2012), section 8.
        """
        W = to_device(0.01 * rng.standard_normal((X.shape[1], self.n_hidden)), xp.float32)
        b = _log_odds(X) if self.visible == "binary" else X.mean(axis=0)
        return W, b, xp.zeros(self.n_hidden, xp.float32)


class _Chains:
    """What `RBM.chains` returns. An interrupt does not end it, as it would a generator: the step is taken again."""

    def __init__(self, rbm, start, noise, held, inverse_temperature):
        self.rbm, self.start, self.held = rbm, start, held
        self.v, self.noise, self.inverse_temperature = start, noise, inverse_temperature

    def __iter__(self):
        return self

    def __next__(self):
        with one_thread():
            h, means, v = self.rbm.gibbs_vhv(self.v, self.noise, self.inverse_temperature)
        if self.held is not None:
            v, means = xp.where(self.held, self.start, v), xp.where(self.held, self.start, means)
        self.v = v
        return v, means, h


class ContrastiveDivergence:
    r"""The gradient of minus the log-likelihood of a minibatch, with samples for the expectation under the model.

    .. math:: -\frac{\partial \log p(v)}{\partial W}
              = -\langle v h^\top \rangle_\text{data} + \langle v h^\top \rangle_\text{model},

    likewise :math:`-\langle v \rangle_\text{data} + \langle v \rangle_\text{model}` for b and
    :math:`-\langle h \rangle_\text{data} + \langle h \rangle_\text{model}` for c. Hidden units enter by their means
    given v, in both phases. The means are over the rows of the minibatch, and over the rows of the chains, whatever
    their numbers: a short minibatch has the same expectation as a whole one.

    Parameters
    ----------
    rbm : RBM
    noise : companion.backend.Noise
    k : int
        Gibbs steps before the statistics of the model are taken.
    n_chains : int
        Persistent chains; with 0 of them the chains start at the minibatch.
    visible_offset : array (n_visible,), optional
        :math:`\mu`, the pixel means. If given, the gradient is the centred one, with :math:`\lambda` a running mean of
        the hidden units: in place of :math:`\langle v h^\top \rangle` it has
        :math:`\langle (v - \mu)(h - \lambda)^\top \rangle`, written in terms of the plain parameters (Melchior,
        Fischer and Wiskott, 2016, algorithm 1).
    sparsity_target, sparsity_cost : float
        Gradient of the cross-entropy between target and mean activity (Hinton, 2012, section 11).

    Attributes
    ----------
    gradients : list of array
        For W, b and c; overwritten by every call.
    state : dict of str to array
        What calls change: the chains (as their hidden states), and running means.
    """

    def __init__(self, rbm, noise, *, k=1, n_chains=0, visible_offset=None, sparsity_target=0.1, sparsity_cost=0.0):
        self.rbm, self.noise, self.k = rbm, Noise.of(noise), k
        self.sparsity_target, self.sparsity_cost = sparsity_target, sparsity_cost
        self.gradients = [xp.empty_like(parameter) for parameter in rbm.parameters_.values()]
        dtype, n_hidden = rbm.W_.dtype, rbm.W_.shape[1]
        self.mu, self.state = visible_offset, {}
        if n_chains:
            self.state["chains"] = bernoulli(xp.full((n_chains, n_hidden), 0.5, dtype), self.noise)
        if visible_offset is not None:
            self.state["hidden_offset"] = xp.full(n_hidden, 0.5, dtype)
        if sparsity_cost:
            self.state["activity"] = xp.full(n_hidden, sparsity_target, dtype)
        self._rows = self._n = 0

    def __call__(self, v):
        """Set `gradients` for the minibatch v (n, n_visible); return the mean energy of data less that of chains."""
        rbm, chains, n = self.rbm, self.state.get("chains"), len(v)
        m = n if chains is None else len(chains)
        self._allocate(n, m)
        V = self._v[: n + m]
        V[:n] = v
        positive = self._up(0, n)
        h = bernoulli(positive, self.noise, out=self._h[:n]) if chains is None else chains
        for step in range(self.k):
            means = rbm.propdown(h, out=self._means[:m])
            rbm._draw_visible(means, self.noise, out=V[n:])
            negative = self._up(n, n + m)
            if chains is not None or step < self.k - 1:  # the last draw is for chains that go on
                bernoulli(negative, self.noise, out=h)
        return self._statistics(n, m)

    @property
    def particles(self):
        """Visible states (n, n_visible) at which the chains ended in the last call; overwritten by the next."""
        return self._v[self._n : len(self._signs)]

    def _allocate(self, n, m):
        """Make the buffers at the first call, or for a larger minibatch; a shorter one uses part of them."""
        (n_visible, n_hidden), dtype = self.rbm.W_.shape, self.rbm.W_.dtype
        if n + m > self._rows:
            self._rows = n + m
            self._v, self._p = (xp.empty((n + m + 2, size), dtype) for size in (n_visible, n_hidden))
            self._x = xp.empty((n + m, n_hidden), dtype)
            self._means, self._h = xp.empty((m, n_visible), dtype), xp.empty((m, n_hidden), dtype)
        if n != self._n:  # what turns a sum over the rows into the mean of the chains less that of the data
            self._n, self._signs = n, xp.concatenate([xp.full(n, -1 / n, dtype), xp.full(m, 1 / m, dtype)])

    def _up(self, start, stop):
        """Hidden means for the rows start … stop; what went into the sigmoid is kept for the energy."""
        x = matmul(self._v[start:stop], self.rbm.W_, out=self._x[start:stop])
        x += self.rbm.hidden_bias_
        return sigmoid(x, out=self._p[start:stop])

    def _statistics(self, n, m):
        """Turn the n + m rows of states into gradients.

        Those of chapter 6, where v0 and p0 are the data with their hidden means, v1 and p1 the chains with theirs:
        ``grad_W = v1.T @ p1 / m - v0.T @ p0 / n``, ``grad_b = v1.mean(axis=0) - v0.mean(axis=0)`` and
        ``grad_c = p1.mean(axis=0) - p0.mean(axis=0)``. Here both lie in one array, so that one product does.
        """
        V, P, X = self._v[: n + m], self._p[: n + m], self._x[: n + m]
        grad_W, grad_b, grad_c = self.gradients
        mean_h = P[:n].mean(axis=0) if self.sparsity_cost or self.mu is not None else None
        xp.matmul(self._signs, V, out=grad_b)
        xp.matmul(self._signs, P, out=grad_c)
        P *= self._signs[:, None]
        loss = xp.vdot(X, P) + xp.vdot(self.rbm.visible_bias_, grad_b)
        if self.rbm.visible == "gaussian":
            loss -= 0.5 * xp.vdot(self._signs, (V * V).sum(axis=1))
        if self.sparsity_cost:  # a force of its own, which is no part of the energy
            activity = _follow(self.state["activity"], mean_h, ACTIVITY_MEMORY)
            force = self.sparsity_cost * (self.sparsity_target - activity)
            P[:n] -= force / n
            grad_c -= force
        if self.mu is None:
            matmul(V.T, P, out=grad_W)
            return loss
        # ⟨(v − μ)(h − λ)ᵀ⟩ = ⟨v hᵀ⟩ − ⟨v⟩ λᵀ − μ ⟨h⟩ᵀ + a constant: two more rows in the same product
        mu, lam, rows = self.mu, self.state["hidden_offset"], n + m + 2
        self._v[rows - 2], self._p[rows - 2] = grad_b, -lam
        self._v[rows - 1], self._p[rows - 1] = -mu, grad_c
        matmul(self._v[:rows].T, self._p[:rows], out=grad_W)
        grad_b -= grad_W @ lam
        grad_c -= mu @ grad_W
        _follow(lam, mean_h, OFFSET_MEMORY)
        return loss


def log_odds(v):
    r"""Log-odds (n_visible,) of the means of v (n, n_visible): the biases of independent pixels that have these means.

    The means are taken as if a row of ones and a row of zeros had been seen too: no pixel is impossible, none certain.

    Raises
    ------
    ValueError
        If v has no rows, or not only numbers from 0 to 1.
    """
    return _log_odds(pixel_rows("v", v, dtype=xp.float32))


def _log_odds(v):
    """Return the log-odds for any v, on the device: means of columns that are no pixels count as 0 or 1."""
    means = (xp.clip(v.mean(axis=0), 0, 1) * len(v) + 1) / (len(v) + 2)
    return xp.log(means / (1 - means))


def _follow(mean, value, memory):
    """Take `value` into the running `mean`, in place; return it."""
    mean *= memory
    mean += (1 - memory) * value
    return mean
