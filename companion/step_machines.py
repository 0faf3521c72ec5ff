r"""The machines of an RNN-RBM, one for each step, and how probable they find what sounds there.

.. math:: \log p(v_1, \dots, v_T) = \sum_t \left(-F_t(v_t) - \log Z_t\right)

Log Z of every step is annealed, bounded by counting, or summed over all states. Rows are steps; all is in nats.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from .annealing import temperature_ladder
from .backend import Noise, one_thread, to_device, to_numpy, xp
from .checks import check_count, check_undated, check_unmasked
from .estimator import own_copy
from .functions import bernoulli, sigmoid, softplus
from .likelihood import exact_log_partition, log_sum_exp
from .rbm import RBM

__all__ = [
    "SequenceLikelihood", "StepMachines", "StepPartitions", "annealed_log_partitions", "counted_log_partitions",
    "exact_log_partitions", "log_mean", "sequence_likelihood",
]  # fmt: skip

BLOCK = 2**17  # numbers: what one pass over them works on stays in the cache


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

        Where `clamp` (n_steps, n_keys) is true, v stays. `noise` is a `companion.backend.Noise`, a generator or a seed.
        """
        noise = Noise.of(noise)
        W, (x, a), first = self.W, (xp.empty_like(self.hidden_bias), xp.empty_like(self.visible_bias)), v
        h, v = xp.empty_like(x), xp.array(v, W.dtype, copy=True)
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

    An error that cannot be estimated, from a single chain or piece, is nan.
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
        """Return as many samples, drawn by their weights at each step: nearer to those of its machine."""
        ends = softmax(self.log_weights, axis=1).cumsum(axis=1)  # (n_steps, n_chains)
        chosen = (rng.random((len(self.samples), len(ends), 1)) > ends[None, :, :-1]).sum(axis=2)
        return self.samples[chosen, np.arange(len(ends))]


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
    check_unmasked("minus_free_energies", minus_free_energies)
    check_unmasked("log_w", log_w)
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
    return logsumexp(log_w, axis=1) - np.log(log_w.shape[1])


def annealed_log_partitions(machines, *, n_temperatures=1000, n_chains=5, start=None, random_state=None):
    r"""Estimate log Z of every step's machine by annealed importance sampling, all of them side by side.

    As `companion.annealing.ais`, with biases that differ from row to row; chains begin at independent keys, whose
    biases are the mean of :math:`b_t` over the steps. A short ladder makes log Z too low, and the likelihood too high.

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
            check_roll("start", samples)
    n_chains = check_count("n_chains", n_chains)
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
    r"""What the sums over the columns of softplus(βx) gain (n,) from one β to the next: a logarithm for every thousand.

    Of :math:`\max(\beta x, 0) + \log(1 + e^{-\beta |x|})` the second terms give a product of ratios near 1.
    """
    size = xp.abs(x)
    ratio, below = size * -beta, size * -before
    xp.exp(ratio, out=ratio)
    xp.exp(below, out=below)
    ratio += 1
    below += 1
    ratio /= below
    # Each is from 1/2 to 2: a product of a thousand is still a number.
    pieces = (ratio[:, first : first + 1000] for first in range(0, x.shape[1], 1000))
    change = sum(xp.log(xp.prod(piece, axis=1, dtype=xp.float64)) for piece in pieces)
    change += (beta - before) / 2 * (size.sum(axis=1) + x.sum(axis=1))  # max(x, 0) is half of |x| + x
    return change


def counted_log_partitions(machines, most_notes=4):
    r"""Log of the part of each step's Z that is in chords of at most so many notes: a strict lower bound on log Z.

    .. math:: Z_t \ge \sum_{|v| \le 4} e^{-F_t(v)}

    46 keys have 179,447 such chords, and music in four parts has little else: what the bound misses is the probability
    that the machine gives to more notes.

    Parameters
    ----------
    machines : StepMachines
    most_notes : int

    Returns
    -------
    numpy.ndarray (n_steps,), float64
    """
    most_notes = check_count("most_notes", most_notes, least=0)
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
                result[t] = np.logaddexp(result[t], float(log_sum_exp(terms)))
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


def check_roll(name, roll, n_keys=None, gaps=False):
    """Return a roll as a float32 array (n_steps, n_keys) of zeros and ones, or nan if `gaps`; or raise ValueError."""
    check_unmasked(name, roll)
    if hasattr(roll, "voices"):
        raise ValueError(f"{name}: expected a table (n_steps, n_keys), found a {type(roll).__name__}: take its .roll")
    check_undated(name, roll)
    roll = np.asarray(to_numpy(roll), np.float32)
    if roll.ndim != 2 or n_keys not in (None, roll.shape[1]):
        raise ValueError(f"{name}: expected shape (n_steps, {n_keys or 'n_keys'}), found {roll.shape}")
    if not (np.isin(roll, (0, 1)) | (np.isnan(roll) if gaps else False)).all():
        raise ValueError(f"{name}: expected zeros and ones{', nan where nothing is given' * gaps}, found others")
    return roll
