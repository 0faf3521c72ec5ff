"""Chains at many temperatures: log Z by annealed importance sampling, forth and back, and parallel tempering.

Estimates of log Z are for binary units; everything is in nats.
"""

import time
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from .backend import Noise, one_thread, to_device, to_numpy, xp
from .checks import check_count, check_finite, finite_rows, real_array
from .estimator import check_columns, own_copy
from .functions import bernoulli, sigmoid, softplus
from .likelihood import LogPartition, check_machine, warn_unless_trusted

__all__ = [
    "Anneal", "ParallelTempering", "ais", "parallel_tempering", "reverse_ais", "temperature_ladder",
]  # fmt: skip

FARTHEST = 1000  # of the pixels to begin with: beyond, chains stand still, all alike, and their sums are rounded away
BLOCK, BLOCKS = 240_000, 4  # numbers that move together, at least, and how many such blocks there are, at most


def temperature_ladder(n):
    r"""Inverse temperatures from 0 to 1, n + 1 of them, closer together where it matters.

    5 % of the steps lie in [0, .5), 27 % in [.5, .9) and 68 % in [.9, 1]: about the proportions 500 : 4,000 : 10,000 of
    Salakhutdinov and Murray (2008), section 5.
    """
    n = check_count("n", n)
    return np.interp(np.linspace(0, 1, n + 1), [0, 0.05, 0.32, 1], [0, 0.5, 0.9, 1])


class Anneal:
    r"""Chains whose distribution moves from one inverse temperature to the next.

    At :math:`\beta` the distribution is, up to a factor,

    .. math:: p^*_\beta(v) = e^{((1 - \beta) a + \beta b)^\top v} \prod_j (1 + e^{\beta (v^\top W + c)_j}),

    that of the machine at :math:`\beta = 1`, and at 0 that of independent pixels with the biases a. An iterator: every
    step takes the log weights from :math:`\beta_{t - 1}` to :math:`\beta_t` at the present states, and only then moves
    these by one Gibbs step at :math:`\beta_t`. Source: Salakhutdinov and Murray (2008), *On the quantitative analysis
    of deep belief networks*, which follows Neal (2001).

    Parameters
    ----------
    rbm : companion.rbm.RBM
    v : array (n_chains, n_visible) or int
        Samples at the first temperature; or their number, if the ladder rises: the chains are then drawn here, from the
        independent pixels.
    betas : array_like (n_steps + 1,)
        Rising from 0 to 1, or falling from 1 to 0.
    base_bias : array_like (n_visible,), optional
        a; zeros, that is pixels by the toss of a coin, if not given.
    rng : int, numpy.random.Generator or companion.backend.Noise

    Attributes
    ----------
    v : array (n_chains, n_visible)
        The present states.
    beta : float
        Their inverse temperature.
    log_weights : numpy.ndarray (n_chains,), float64

    Raises
    ------
    ValueError
        If the ladder does not run from 0 up to 1 or from 1 down to 0; if states are not zeros and ones, biases are not
        finite or beyond ± 1,000, or there are not as many of either as visible units; if the machine has a parameter
        that is not finite, or units that are not binary.
    """

    def __init__(self, rbm, v, betas, base_bias=None, rng=None):
        check_machine(rbm)
        self.path = _Path(rbm, np.zeros(len(rbm.visible_bias_)) if base_bias is None else base_bias)
        self.betas = ladder(betas)
        ends, steps = (self.betas[:1], self.betas[-1:]), np.diff(self.betas)
        up, down = ends == ([0], [1]) and (steps >= 0).all(), ends == ([1], [0]) and (steps <= 0).all()
        if not (up or down):
            raise ValueError(
                f"betas: expected a ladder from 0 up to 1, or from 1 down to 0, found {_in_short(self.betas)}"
            )
        self.beta, self._next = self.betas[0], 1
        self.noise = Noise.of(rng)
        if isinstance(v, Integral):
            v = check_count("v", v)
            if down:
                raise ValueError(f"v: expected samples of the machine for a ladder that falls from 1, found {v!r}")
            v = self.path.start(v, self.noise)
        self.v = own_copy(_states_of(rbm, v, "v"))
        self._log_weights = xp.zeros(len(self.v), xp.float64)

    @property
    def log_weights(self):
        """What the chains have gathered so far, numpy.ndarray (n_chains,), float64."""
        return to_numpy(self._log_weights).copy()

    def __len__(self):
        return len(self.betas) - 1

    def __iter__(self):
        return self

    def __next__(self):
        if self._next == len(self.betas):
            raise StopIteration
        beta = self.betas[self._next]
        with one_thread():
            x, tilt = self.path.inputs(self.v)
            gain = self.path.log_p(beta, x, tilt) - self.path.log_p(self.beta, x, tilt)
            log_weights, v = self._log_weights + gain, self.path.move(beta, x, self.noise)
        # All at once: a step that is interrupted has not been made.
        self._log_weights, self.v, self.beta, self._next = log_weights, v, beta, self._next + 1
        return self

    def estimate(self):
        """Estimate log Z by the weights so far.

        Returns
        -------
        LogPartition
            Of the distribution at the present temperature on a ladder that rises; of the machine on one that falls.

        Raises
        ------
        ValueError
            If the ladder falls and is not yet at 0: only there is it known what the weights are to be compared with.
        """
        log_weights, base_log_z = self.log_weights, self.path.base_log_z
        rising = self.betas[0] == 0
        if not rising and self.beta != 0:
            raise ValueError(f"expected a ladder that begins or has ended at 0, found one at {self.beta:.3g}")
        return LogPartition.of_weights(log_weights, base_log_z, self.v, 1 if rising else -1)


class _Path:
    """The distributions between independent pixels with biases `base_bias` and a machine."""

    def __init__(self, rbm, base_bias):
        check_machine(rbm)
        self.W, self.b, self.c = map(own_copy, (rbm.W_, rbm.visible_bias_, rbm.hidden_bias_))  # it may learn meanwhile
        given = self.b if base_bias is None else to_device(real_array("base_bias", base_bias), self.W.dtype)
        self.base_bias = own_copy(given)
        if self.base_bias.shape != self.b.shape:
            raise ValueError(f"base_bias: expected {len(self.b)} finite numbers, one for each visible unit, found "
                             f"an array of shape {self.base_bias.shape}")  # fmt: skip
        check_finite("base_bias", self.base_bias)
        if base_bias is not None and (largest := float(xp.abs(self.base_bias).max())) > FARTHEST:
            raise ValueError(f"base_bias: expected log-odds, up to {FARTHEST:,} in size, found {largest:.3g}")
        self.difference = self.b - self.base_bias

    @property
    def base_log_z(self):
        """The log Z at the inverse temperature 0, where the hidden units are fair coins."""
        return float(softplus(self.base_bias.astype(xp.float64)).sum()) + len(self.c) * np.log(2)

    def start(self, n, noise):
        """Draw n states at the inverse temperature 0."""
        return bernoulli(xp.broadcast_to(sigmoid(self.base_bias), (n, len(self.b))).copy(), noise)

    def inputs(self, v):
        """What log p depends on: the inputs (..., n_hidden) of the hidden units, and the tilt (..., 1) of biases."""
        rows = v.reshape(-1, v.shape[-1])  # of all temperatures in one product, which is faster than one for each
        return (rows @ self.W + self.c).reshape(*v.shape[:-1], -1), (v @ self.difference)[..., None]

    def log_p(self, beta, x, tilt):
        """Log of the unnormalised probability at `beta`, less a term that is the same at every temperature."""
        return (beta * tilt)[..., 0] + softplus(beta * x).sum(axis=-1)

    def move(self, beta, x, noise):
        """One Gibbs step at `beta` from states with the inputs x; return the new states."""
        h = bernoulli(sigmoid(beta * x), noise)
        h *= beta
        a = (h.reshape(-1, h.shape[-1]) @ self.W.T).reshape(*h.shape[:-1], -1)
        a += self.base_bias + beta * self.difference
        return bernoulli(sigmoid(a), noise)


def ais(rbm, base_bias=None, *, n_temperatures=5000, n_chains=100, n_jobs=None, random_state=None, verbose=False):
    """Estimate log Z by annealed importance sampling.

    Chains start at independent pixels, whose log Z is known, and are cooled down to the machine: see `Anneal`. The
    mean of their weights estimates Z without bias, so that log Z is underestimated, the less so the slower the
    cooling: E[estimate] ≤ log Z.

    **What it cannot know.** Error and effective sample size are computed from the chains that there are. If none of
    these has reached a mode of the machine, neither shows it: all weights may agree, and log Z is too low by that
    mode's share, without a warning. The biases of the machine itself can point at one mode of two: chains that start
    there may miss the other. Coin tosses, the default, are no nearer to one image than to another, and find modes that
    grow as the machine cools; but a narrow mode among very many images is missed from there too. No number of the run
    shows it: compare another start, for instance the means of the data, and `reverse_ais` from samples of the machine.

    Parameters
    ----------
    rbm : companion.rbm.RBM
    base_bias : array_like (n_visible,), optional
        Biases of the independent pixels: zeros, that is coin tosses, if not given. For a machine that has learned
        images those with their means, `companion.rbm.log_odds`, need fewer temperatures.
    n_temperatures, n_chains : int
        A figure to be printed takes at least 5,000 × 100 (about a quarter of a minute for 784–500).
    n_jobs : None or int
        How many threads share the chains: −1 for all cores, None for one. Inside ``joblib.parallel_config`` its
        processes, or the workers of a cluster, share them, with None as many as it says. The numbers are the same, bit
        for bit. Chains go in blocks, in one if they are few, because smaller products take longer in total: for 784–500
        every two hundred chains can keep a core busy, up to four cores.
    random_state : None, int or generator
    verbose : bool
        Show progress, that of each block by itself.

    Returns
    -------
    LogPartition

    Raises
    ------
    ValueError
        If a number is not whole or below 1, if the biases are not finite, beyond ± 1,000 or not as many as there are
        visible units, or if the machine has a parameter that is not finite, or units that are not binary.

    Warns
    -----
    UserWarning
        If the effective sample size is too low to trust the standard error. A missing warning proves nothing: see
        above.
    """
    n_temperatures, n_chains = check_count("n_temperatures", n_temperatures), check_count("n_chains", n_chains)
    noise = Noise.of(random_state)
    start = Anneal(rbm, n_chains, [0, 1], base_bias, noise).v
    return _run(rbm, start, temperature_ladder(n_temperatures), base_bias, noise, n_jobs, verbose)


def reverse_ais(rbm, samples, base_bias=None, *, n_temperatures=5000, n_jobs=None, random_state=None, verbose=False):
    """Estimate log Z by annealing backwards, from the machine to independent pixels.

    Now 1 / Z is estimated without bias, so that log Z is overestimated: with `ais` it makes a sandwich. That holds for
    `samples` from the machine itself; chains that have missed some of its modes make the estimate too low.

    Parameters
    ----------
    rbm : companion.rbm.RBM
    samples : array_like (n_chains, n_visible)
        Independent samples of the machine, or the ends of long chains.
    base_bias, n_temperatures, n_jobs, random_state, verbose
        As in `ais`.

    Returns
    -------
    LogPartition

    Raises
    ------
    ValueError
        As `ais`, and if the samples are others than zeros and ones, or of another width.
    """
    n_temperatures = check_count("n_temperatures", n_temperatures)
    check_machine(rbm)
    samples = _states_of(rbm, samples, "samples")
    return _run(rbm, samples, temperature_ladder(n_temperatures)[::-1], base_bias, random_state, n_jobs, verbose)


def _run(rbm, v, betas, base_bias, random_state, n_jobs, verbose):
    """Take chains down the whole ladder; return the estimate, with a warning if its error cannot be trusted."""
    noise = Noise.of(random_state)
    blocks = [Anneal(rbm, v[rows], betas, base_bias, part) for rows, part in noise.parts(len(v), _block(rbm, len(v)))]
    blocks = _in_threads(blocks, len(betas) - 1, n_jobs, unit=" temperatures", disable=not verbose, leave=False)
    noise.follow(blocks[-1].noise)
    log_weights = np.concatenate([block.log_weights for block in blocks])
    samples = xp.concatenate([block.v for block in blocks])
    base_log_z = blocks[0].path.base_log_z
    found = LogPartition.of_weights(log_weights, base_log_z, samples, 1 if betas[0] == 0 else -1)
    return warn_unless_trusted(found)


def _block(rbm, n, states=1):
    """Return how many of n chains, of so many states each, move together, however many threads there are."""
    numbers = n * states * sum(rbm.W_.shape)
    return -(-n // min(max(numbers // BLOCK, 1), BLOCKS))


class _Walk:
    """So many steps of some chains, in whichever thread or process it is called, unless `stop` is set meanwhile."""

    def __init__(self, chains, n_steps):
        self.chains, self.n_steps = chains, n_steps
        self.walking = self.stop = False

    def __call__(self, **bar):
        """Return the chains where the steps have led them; show a progress bar with these options."""
        self.walking = True  # before `stop` is looked at: who sets that and finds nobody walking can be sure of it
        try:
            for _ in tqdm(range(self.n_steps), **bar):
                if self.stop:
                    break
                next(self.chains)
            return self.chains
        finally:
            self.walking = False


def _in_threads(blocks, n_steps, n_jobs, **bar):
    """Return blocks of chains after so many steps, from as many threads, or from what joblib is configured for."""
    if n_jobs is not None and not (isinstance(n_jobs, Integral) and n_jobs):
        raise ValueError(f"n_jobs: expected a whole number other than 0, or None, found {n_jobs!r}")
    walks = [_Walk(chains, n_steps) for chains in blocks]
    with one_thread():
        try:
            # Blocks sent to processes are copies of their own; joblib would map large ones, not to be written to.
            return Parallel(n_jobs, prefer="threads", max_nbytes=None)(delayed(walk)(**bar) for walk in walks)
        except BaseException:  # also an interrupt: what comes next must not share the machine with what goes on
            for walk in walks:
                walk.stop = True
            while any(walk.walking for walk in walks):
                time.sleep(0.001)
            raise


class ParallelTempering:
    r"""Chains at several inverse temperatures that trade places: the hot ones roam, the cold ones are the samples.

    An iterator: every step proposes to swap neighbours, accepted with the probability that leaves their joint
    distribution as it is, and moves all states by one Gibbs step. The distributions are those of `Anneal`. Sources:
    Swendsen and Wang (1986); Desjardins et al. (2010), *Parallel tempering for training of restricted Boltzmann
    machines*.

    Parameters
    ----------
    rbm : companion.rbm.RBM
    v : array_like (n_chains, n_visible)
        Where the chains begin, at every temperature.
    betas : array_like (n_temperatures,)
        Falling from 1, not below 0: the first is the machine itself.
    base_bias : array_like (n_visible,), optional
        Biases of the hottest chains: best the log-odds of the data, or these chains may be stuck too. If not given, the
        biases of the machine.
    rng : int, numpy.random.Generator or companion.backend.Noise

    Attributes
    ----------
    v : array (n_temperatures, n_chains, n_visible)
        The present states; ``v[0]`` are samples of the machine.
    replica : array of int (n_temperatures, n_chains)
        Where each state began: its row at the start.
    swap_rates : numpy.ndarray (n_temperatures - 1,)
        Fraction of the proposals accepted so far, between every two neighbours.

    Raises
    ------
    ValueError
        If the ladder does not fall from 1, or ends below 0; otherwise as `Anneal`.
    """

    def __init__(self, rbm, v, betas, base_bias=None, rng=None):
        self.path = _Path(rbm, base_bias)
        betas = ladder(betas)
        if not (betas and betas[0] == 1 and (np.diff(betas) < 0).all() and betas[-1] >= 0):
            raise ValueError(f"betas: expected a ladder that falls from 1, not below 0, found {_in_short(betas)}")
        v = _states_of(rbm, v, "v")
        self.v = xp.repeat(v[None], len(betas), axis=0)
        self.betas = to_device(betas, rbm.W_.dtype)[:, None, None]
        self.replica = xp.repeat(xp.arange(len(betas))[:, None], len(v), axis=1)
        self.noise = Noise.of(rng)
        self._accepted, self._tried = xp.zeros(len(betas) - 1, xp.float64), np.zeros(len(betas) - 1)
        self._steps = 0

    @property
    def swap_rates(self):
        """Fraction of the proposals accepted so far, between every two neighbours; nan where there was none."""
        with np.errstate(invalid="ignore"):
            return to_numpy(self._accepted) / self._tried

    def __iter__(self):
        return self

    def __next__(self):
        with one_thread():
            x, tilt = self.path.inputs(self.v)
            replica, *counts = self._swap(x, tilt)
            v = self.path.move(self.betas, x, self.noise)
        # All at once: a step that is interrupted has not been made.
        self.v, self.replica, (self._accepted, self._tried), self._steps = v, replica, counts, self._steps + 1
        return self

    def _swap(self, x, tilt):
        """Propose to swap every second pair of neighbours, even ones and odd ones in turn; swap their x in place.

        Return what `replica`, and the counts of accepted proposals and of all, are then.
        """
        log_p, betas = self.path.log_p, self.betas
        replica, accepted_so_far, tried = self.replica.copy(), self._accepted.copy(), self._tried.copy()
        cold, hot = slice(self._steps % 2, len(betas) - 1, 2), slice(self._steps % 2 + 1, None, 2)
        if not len(betas[cold]):
            return replica, accepted_so_far, tried
        gain = sum(
            log_p(betas[there], x[here], tilt[here]) - log_p(betas[here], x[here], tilt[here])
            for here, there in ((cold, hot), (hot, cold))
        )
        accepted = self.noise.uniform(xp.empty_like(gain)) < xp.exp(xp.minimum(gain, 0))
        for array in (x, replica):
            swap = accepted.reshape(accepted.shape + (1,) * (array.ndim - 2))
            array[cold], array[hot] = xp.where(swap, array[hot], array[cold]), xp.where(swap, array[cold], array[hot])
        accepted_so_far[cold] += accepted.sum(axis=1)
        tried[cold] += accepted.shape[1]
        return replica, accepted_so_far, tried


def parallel_tempering(rbm, n=100, steps=1000, *, betas, base_bias=None, n_jobs=None, random_state=None):
    """Draw n samples by `ParallelTempering`.

    Parameters
    ----------
    rbm : companion.rbm.RBM
    n, steps : int
        Number of chains at each temperature, and their length.
    betas : array_like (n_temperatures,)
        Falling from 1 to where the chains mix well.
    base_bias : array_like (n_visible,), optional
    n_jobs : None or int
        As in `ais`.
    random_state : None, int or generator

    Returns
    -------
    samples : array (n, n_visible)
    swap_rates : numpy.ndarray (n_temperatures - 1,)
        Between every two neighbours; where it is much below .1, the ladder has too few rungs.

    Raises
    ------
    ValueError
        As `ParallelTempering`; or if n is not whole or below 1, or steps not whole or below 0.
    """
    n, steps = check_count("n", n), check_count("steps", steps, least=0)
    noise = Noise.of(random_state)
    start, betas = _Path(rbm, base_bias).start(n, noise), ladder(betas)
    blocks = [
        ParallelTempering(rbm, start[rows], betas, base_bias, part)
        for rows, part in noise.parts(n, _block(rbm, n, len(betas)), axis=1)
    ]
    blocks = _in_threads(blocks, steps, n_jobs, disable=True)
    noise.follow(blocks[-1].noise)
    with np.errstate(invalid="ignore"):  # a ladder of which nothing was tried
        swap_rates = sum(to_numpy(block._accepted) for block in blocks) / sum(block._tried for block in blocks)
    return xp.concatenate([block.v[0] for block in blocks]), swap_rates


def _states_of(rbm, v, name):
    """Return v (n, n_visible) on the device, in the machine's precision, if its rows are states of the machine."""
    check_columns(rbm, v)
    v = finite_rows(name, v, len(rbm.visible_bias_), rbm.W_.dtype)
    if not bool(((v == 0) | (v == 1)).all()):
        raise ValueError(f"{name}: expected binary states, zeros and ones, found values from {float(v.min()):.3g} to "
                         f"{float(v.max()):.3g}")  # fmt: skip
    return v


def ladder(betas):
    """Return inverse temperatures as Python numbers, which leave float32 as it is."""
    try:
        return [float(beta) for beta in betas]
    except TypeError as reason:
        raise ValueError(f"betas: expected a sequence of numbers, found {betas!r}") from reason


def _in_short(betas):
    values = [f"{beta:.3g}" for beta in betas]
    return ", ".join(values if len(values) < 8 else [*values[:3], "…", *values[-3:]]) or "none"
