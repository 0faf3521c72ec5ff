r"""How good a restricted Boltzmann machine is: its partition function, and what follows from it; in nats.

.. math:: \log p(v) = -F(v) - \log Z, \qquad Z = \sum_v e^{-F(v)}
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import to_numpy, xp
from .checks import finite_rows
from .estimator import check_columns, warn_caller
from .functions import softplus
from .rbm import RBM

__all__ = ["LogLikelihood", "LogPartition", "exact_log_partition", "log_likelihood"]

MOST_UNITS = 25  # 2 ** 25 states take about a minute
TRUSTED = 20  # below this effective sample size an error bar lies


@dataclass
class LogPartition:
    r"""An estimate of log Z.

    Attributes
    ----------
    log_z : float
        In nats.
    std_error : float
        Its standard error, in nats; 0 for an exact value.
    ess : float
        Effective sample size of the weights, :math:`(\sum w)^2 / \sum w^2`: below 20 or so the standard error is not
        to be trusted.
    log_weights : numpy.ndarray (n_chains,)
        Log importance weights of the chains, each an estimate of log Z by itself, biased downwards (upwards for
        `companion.annealing.reverse_ais`).
    samples : array (n_chains, n_visible)
        Where the chains ended.
    """

    log_z: float
    std_error: float = 0.0
    ess: float = float("inf")
    log_weights: np.ndarray = field(default=None, repr=False, compare=False)
    samples: object = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        if not np.isfinite(self.log_z):
            raise ValueError(f"expected a finite log Z, found {self.log_z}; energies too large to add up give no other")

    @classmethod
    def of(cls, partition):
        """Return `partition` itself if it is a `LogPartition`; otherwise one that has this number for log Z."""
        if isinstance(partition, cls):
            return partition
        try:
            if isinstance(partition, str):
                raise TypeError("a word")
            log_z = float(partition)
        except (TypeError, ValueError) as reason:
            raise ValueError(f"expected a LogPartition, or log Z as a number, found {partition!r}") from reason
        return cls(log_z)

    @classmethod
    def of_weights(cls, log_weights, base_log_z, samples, sign=1):
        """Estimate log Z by annealed chains.

        Parameters
        ----------
        log_weights : numpy.ndarray (n_chains,), float64
            Of Z relative to the base; of the base relative to Z if `sign` is −1.
        base_log_z : float
        samples : array (n_chains, d)
        sign : {1, -1}
        """
        n, top = len(log_weights), log_weights.max()
        weights = np.exp(log_weights - top)
        ess = weights.sum() ** 2 / (weights**2).sum()
        # The standard error of a logarithm is that of the mean, relative to the mean.
        relative = weights.std(ddof=1) / weights.mean() / np.sqrt(n) if n > 1 else float("nan")
        log_z = base_log_z + sign * (top + np.log(weights.mean()))
        return cls(float(log_z), float(relative), float(ess), base_log_z + sign * log_weights, samples)


class LogLikelihood(NamedTuple):
    """Mean log-likelihood of some images, in nats per image, and its two errors, in nats.

    ``log_z_error`` is that of log Z, the same for all images; ``image_error`` is how much another draw of as many
    images would change the mean: their standard deviation over the root of their number.
    """

    mean: float
    log_z_error: float
    image_error: float

    @classmethod
    def of_images(cls, log_p, partition):
        """Average over images, from the logarithms (n,) of their unnormalised probabilities, in float64."""
        spread = log_p.std(ddof=1) / np.sqrt(len(log_p)) if len(log_p) > 1 else float("nan")
        return cls(float(log_p.mean() - partition.log_z), float(partition.std_error), float(spread))


def exact_log_partition(rbm):
    r"""Log Z by summing over all states of the smaller layer; the other layer is summed in closed form.

    .. math:: Z = \sum_h e^{c^\top h} \prod_i (1 + e^{b_i + (W h)_i})

    Gaussian visible units can only be integrated, which gives each the factor
    :math:`\sqrt{2 \pi}\, e^{((b_i + (W h)_i)^2 - b_i^2) / 2}`, so that the hidden units are enumerated.

    Parameters
    ----------
    rbm : companion.rbm.RBM

    Returns
    -------
    LogPartition

    Raises
    ------
    ValueError
        If both layers have more than 25 units; of a machine with Gaussian visible units, if the hidden layer has; or if
        the machine has a parameter that is not finite.
    """
    check_machine(rbm, binary=False)
    gaussian = rbm.visible == "gaussian"
    W, near, far = rbm.W_.T, rbm.hidden_bias_, rbm.visible_bias_  # `near` is the layer that is enumerated
    if len(near) > len(far) and not gaussian:
        W, near, far = W.T, far, near
    if gaussian:  # squares of large biases would leave little of what float32 holds
        W, near, far = (array.astype(xp.float64) for array in (W, near, far))
    n = len(near)
    if n > MOST_UNITS:
        raise ValueError(
            f"the {'hidden' if gaussian else 'smaller'} layer has {n} units, that is 2 ** {n} states; at most "
            f"{MOST_UNITS} units can be summed over. Use ais for an estimate."
        )
    # The states are those of the first few units, combined with those of the rest: their inputs are added, not
    # multiplied out again for every state.
    low = min(n, 8)  # so many that the block of inputs stays in the cache
    states = _states(low, W.dtype)
    inputs, biases = states @ W[:low] + far, states @ near[:low]
    log_sums = []
    for start in range(0, 2 ** (n - low), 1024):
        states = _states(n - low, W.dtype, start, start + 1024)
        for more_input, more_bias in zip(states @ W[low:], states @ near[low:]):
            terms = (biases + more_bias).astype(xp.float64)
            x = inputs + more_input
            terms += (0.5 * x * x if gaussian else softplus(x)).sum(axis=1)
            log_sums.append(log_sum_exp(terms))
    log_z = float(log_sum_exp(xp.stack(log_sums)))
    if gaussian:
        log_z += 0.5 * (len(far) * np.log(2 * np.pi) - float((far**2).sum()))
    return LogPartition(log_z)


def _states(n, dtype, start=0, stop=None):
    """Rows `start` to `stop` of all states (2 ** n, n) of n binary units; the first unit changes fastest."""
    numbers = xp.arange(start, 2**n if stop is None else min(stop, 2**n))
    return (numbers[:, None] >> xp.arange(n) & 1).astype(dtype)


def log_sum_exp(x):
    """Return the logarithm of the sum of the exponentials of x (n,), on the device."""
    top = x.max()
    return top + xp.log(xp.exp(x - top).sum())


def log_likelihood(rbm, v, partition):
    r"""Mean of :math:`\log p(v) = -F(v) - \log Z` over the rows of v.

    Parameters
    ----------
    rbm : companion.rbm.RBM
    v : array_like (n, n_visible); of binary units, from 0 to 1
    partition : LogPartition or float
        log Z, exact or annealed (`companion.annealing`).

    Returns
    -------
    LogLikelihood
        In nats per image.

    Raises
    ------
    ValueError
        If v has other values than from 0 to 1, so that what comes out would be no log-likelihood, another width, or
        names of columns that are not those learned; or if log Z or a parameter of the machine is not finite.
    """
    check_machine(rbm, binary=False)
    v, partition = images_of(rbm, v), LogPartition.of(partition)
    return LogLikelihood.of_images(-to_numpy(rbm.free_energy(v)).astype(np.float64), partition)


def images_of(rbm, v):
    """Return v (n, n_visible) on the device, in the machine's precision, if it can be asked how probable they are."""
    check_columns(rbm, v)
    v = finite_rows("v", v, len(rbm.visible_bias_), rbm.W_.dtype)
    rbm.check_pixels(v, always=True)
    return v


def warn_unless_trusted(found):
    """Return the estimate `found`, with a warning if its effective sample size is below 20."""
    if found.ess < TRUSTED:
        warn_caller(
            f"the effective sample size is {found.ess:.1f} of {len(found.log_weights)} chains, less than {TRUSTED}: "
            "the standard error cannot be trusted, and a mode that no chain has seen is in neither. Take more "
            "temperatures, or more chains, and compare another start."
        )
    return found


def check_machine(rbm, binary=True):
    """Raise ValueError unless `rbm` is a machine that has learned, with finite parameters and binary units."""
    if not isinstance(rbm, RBM):
        raise ValueError(f"expected a companion.rbm.RBM, found {type(rbm).__name__}; of a deep network take its top_")
    check_is_fitted(rbm, "parameters_")
    if binary:
        check_binary(rbm)
    rbm.check_finite()


def check_binary(rbm):
    """Raise ValueError unless the visible units of a machine are binary."""
    if rbm.visible != "binary":
        raise ValueError(f"expected binary visible units, found {rbm.visible!r} ones")
