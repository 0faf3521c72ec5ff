"""The functions of the models, each safe for any finite input, for NumPy and CuPy alike.

Rows are examples. ``out`` may be the input itself. Whole numbers, and plain Python ones, are taken as floats.
"""

from .backend import Noise, xp
from .checks import check_unmasked

__all__ = ["bernoulli", "log_softmax", "negative_log_likelihood", "sigmoid", "softmax", "softplus", "zero_one_loss"]


def floating(x):
    """Return an array as it is if it holds floating-point numbers; others, and plain numbers, in float64."""
    plain = isinstance(x, int | float | list | tuple)
    return xp.asarray(x, xp.float64) if plain or x.dtype.kind in "biu" else x


def log_softmax(scores, out=None):
    r"""Logarithm of the softmax, row by row: :math:`a_k - \log\sum_j e^{a_j}`.

    The largest score is subtracted first. That changes nothing in the result, and no exponential can overflow.

    Parameters
    ----------
    scores : array (n, n_classes)
    out : array (n, n_classes), optional

    Returns
    -------
    array (n, n_classes)
        In nats; every value is at most 0.
    """
    check_unmasked("scores", scores)
    scores = floating(scores)
    a = xp.array(scores.T, order="C")  # one class a row: sums over long rows are far faster than over short ones
    a -= a.max(axis=0)
    a -= xp.log(xp.exp(a).sum(axis=0))
    if out is None:
        return xp.ascontiguousarray(a.T)
    xp.copyto(out, a.T, casting="same_kind")  # not into whole numbers
    return out


def sigmoid(x, out=None):
    r"""Logistic function :math:`\sigma(x) = 1 / (1 + e^{-x})`.

    Computed as :math:`(1 + \tanh(x / 2)) / 2`, which cannot overflow and is several times faster. Do not take its
    logarithm: far below 0 it is rounded to 0.
    """
    x = floating(x)
    out = xp.multiply(x, 0.5, out=xp.empty_like(x) if out is None else out)
    xp.tanh(out, out=out)
    out += 1
    out *= 0.5
    return out


def softplus(x):
    r"""Logarithm :math:`\log(1 + e^x)`, computed as :math:`\max(x, 0) + \log(1 + e^{-|x|})`, which cannot overflow."""
    x = floating(x)
    t = xp.abs(x, out=xp.empty_like(x))
    xp.negative(t, out=t)
    xp.exp(t, out=t)
    # log1p(t), which NumPy computes many times as slowly as a logarithm on some processors: with u = 1 + t as it is
    # rounded, the log of u, and to first order that of the rest, (t - (u - 1)) / u.
    u = xp.add(t, 1, out=xp.empty_like(t))
    t -= u - 1
    t /= u
    xp.log(u, out=u)
    u += t
    u += xp.maximum(x, 0, out=t)
    return u


def bernoulli(probabilities, noise, out=None):
    """Draw ones with these probabilities, zeros otherwise.

    Parameters
    ----------
    probabilities : array, any shape
    noise : companion.backend.Noise, int or numpy.random.Generator
    out : array of the same shape and type, optional
        Another array than `probabilities`.

    Returns
    -------
    array of the type of `probabilities`
    """
    probabilities = floating(probabilities)
    uniform = Noise.of(noise).uniform(xp.empty_like(probabilities) if out is None else out)
    return xp.less(uniform, probabilities, out=uniform)


def softmax(scores):
    """Turn each row of scores (n, n_classes) into probabilities that sum to one."""
    p = log_softmax(scores)
    return xp.exp(p, out=p)


def negative_log_likelihood(log_probabilities, targets):
    """Mean of ``-log p(target)`` over the rows, in nats.

    Parameters
    ----------
    log_probabilities : array (n, n_classes)
    targets : integer array (n,)
        The column of the right class in each row.

    Raises
    ------
    ValueError
        If the targets are of another shape or kind, or one is negative.
    """
    log_p = log_p_of(log_probabilities, targets)
    check_targets(targets)
    return -log_p.mean()


def log_p_of(log_probabilities, targets):
    """Pick the column that is each row's target, which is not negative; ValueError for another shape or kind."""
    n = len(log_probabilities)
    if targets.shape != (n,) or targets.dtype.kind not in "iu":
        raise ValueError(f"targets: expected whole numbers of shape ({n},), one for each row, found {targets.dtype} of "
                         f"shape {targets.shape}")  # fmt: skip
    return log_probabilities[xp.arange(n), targets]


def check_targets(targets):
    """Raise ValueError if a target is negative: NumPy would count columns from the last one."""
    if len(targets) and int(targets.min()) < 0:
        raise ValueError(f"targets: expected columns from 0, found {int(targets.min())}")


def zero_one_loss(predicted, targets):
    """Fraction of rows, between 0 and 1, whose predicted class (n,) is not the target (n,).

    Raises ValueError if their shapes differ.
    """
    if predicted.shape != targets.shape:
        raise ValueError(f"expected as many targets as predictions, found shapes {targets.shape}, {predicted.shape}")
    return (predicted != targets).mean()
