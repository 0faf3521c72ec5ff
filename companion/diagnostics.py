"""Whether chains mix, how much their samples are worth, and how like the data they are."""

import numpy as np
from scipy.spatial.distance import cdist

from .backend import to_numpy
from .checks import check_count, finite_rows, real_array

__all__ = ["autocorrelation", "effective_sample_size", "precision_and_recall", "total_variation"]


def total_variation(p, q):
    r"""Total variation distance :math:`\frac12 \sum_i |p_i - q_i|`, from 0 to 1, of two distributions (n,).

    Raises ValueError if their shapes differ, if one has a mask or a probability below 0, or if what they sum to is not
    1.
    """
    p, q = (np.asarray(real_array("distributions", array), float) for array in (p, q))
    if p.shape != q.shape:
        raise ValueError(f"expected two distributions over as many states, found arrays of shapes {p.shape}, {q.shape}")
    if (least := min(p.min(initial=0), q.min(initial=0))) < 0:
        raise ValueError(f"expected two distributions, found a probability of {least:.4g}")
    if not np.allclose(sums := [p.sum(), q.sum()], 1, atol=1e-3):
        raise ValueError(f"expected two distributions, found numbers that sum to {sums[0]:.4g} and {sums[1]:.4g}")
    return float(abs(p - q).sum() / 2)


def precision_and_recall(real, made, k=3):
    """Measure how like real images others are, and how varied.

    Around every image of a set lies a ball that reaches to its k-th neighbour in the set. *Precision* is the fraction
    of what was made that lies in a ball of the real ones, *recall* that of the real ones in a ball of what was made.
    Both depend on how many images there are: for comparison take as many other real ones. Source: Kynkäänniemi et al.
    (2019), *Improved precision and recall metric for assessing generative models*, section 2; here with distances
    between pixels.

    Parameters
    ----------
    real, made : array_like (n, n_features), (m, n_features)
    k : int

    Returns
    -------
    dict
        ``precision`` and ``recall``, from 0 to 1.

    Raises
    ------
    ValueError
        If the arrays differ in their columns, one has k rows or fewer, or numbers that are not finite; or if k is not
        whole or below 1.
    """
    k = check_count("k", k)
    real, made = (to_numpy(finite_rows(name, x, None, np.float64)) for name, x in (("real", real), ("made", made)))
    _, exponent = np.frexp(max(np.abs(real).max(), np.abs(made).max()))
    real, made = np.ldexp(real, -exponent), np.ldexp(made, -exponent)  # exactly; squares neither overflow nor vanish
    if real.shape[1] != made.shape[1] or min(len(real), len(made)) <= k:
        raise ValueError(f"expected two arrays of as many columns, and of more than {k} rows, found {real.shape} and "
                         f"{made.shape}")  # fmt: skip

    def among(points, others):
        radii = [np.partition(block, k, axis=1)[:, k] for block in _distances(others, others)]  # the nearest is itself
        radii = np.concatenate(radii)
        return float(np.concatenate([(block <= radii).any(axis=1) for block in _distances(points, others)]).mean())

    return {"precision": among(made, real), "recall": among(real, made)}


def _distances(x, y):
    """Yield the squared Euclidean distances (n, m) between the rows of x (n, d) and y (m, d), some rows at a time.

    They are sums of squared differences, not a product of matrices: equal rows are at 0 from each other, not near it.
    """
    rows = max(1, 2**22 // len(y))  # 32 MB
    for start in range(0, len(x), rows):
        yield cdist(x[start : start + rows], y, "sqeuclidean")


def autocorrelation(series, n_lags=None):
    r"""Autocorrelation of chains, averaged over them: 1 at lag 0; how slowly it falls is how badly they mix.

    Deviations are from the mean of all chains together, so that chains stuck in different places count as correlated.

    Parameters
    ----------
    series : array_like (n_steps,) or (n_steps, n_chains)
        Some number that each state has, for instance its free energy.
    n_lags : int, optional
        All of them, n_steps − 1, if not given.

    Returns
    -------
    numpy.ndarray (n_lags + 1,), n_steps at most

    Raises
    ------
    ValueError
        If the series is of another shape, masked, not finite or always the same, or `n_lags` not whole or below 0.
    """
    series = np.asarray(to_numpy(real_array("series", series)), dtype=np.float64)
    if series.ndim not in (1, 2) or not series.size:
        raise ValueError(f"series: expected the shape (n_steps,) or (n_steps, n_chains), one number for each state, "
                         f"found {series.shape}")  # fmt: skip
    if not np.isfinite(series).all():
        raise ValueError("series: expected finite numbers, found NaN or infinity among them")
    series = series.reshape(len(series), -1)
    n = len(series)
    n_lags = n - 1 if n_lags is None else min(check_count("n_lags", n_lags, least=0), n - 1)
    series = series / (np.abs(series).max() or 1.0)  # so that squares neither overflow nor vanish
    deviations = series - series.mean()
    if (series == series[0, 0]).all():
        raise ValueError("the series never changes: its autocorrelation is not defined")
    spectrum = np.fft.rfft(deviations, 2 * n, axis=0)  # zeros on the end, so that nothing wraps around
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[: n_lags + 1].mean(axis=1)
    covariance /= n - np.arange(n_lags + 1)
    return covariance / covariance[0]


def effective_sample_size(series):
    r"""How many independent draws n states of chains are worth: :math:`n / (1 + 2 \sum_t (1 - t/T)\, \rho_t)`.

    The variance of their mean is that of a single state, divided by this number; among T steps, T − t pairs are t steps
    apart. Chains that never move are worth one draw each. The sum ends where two neighbouring terms first add up to
    less than zero (Geyer, 1992, *Practical Markov chain Monte Carlo*, section 3.3): further out there is only noise.

    Parameters
    ----------
    series : array_like (n_steps,) or (n_steps, n_chains)
        As in `autocorrelation`.
    """
    rho = autocorrelation(series)
    rho *= 1 - np.arange(len(rho)) / len(rho)
    pairs = np.append(rho, [0] * (len(rho) % 2)).reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs < 0)
    pairs = pairs[: ends[0]] if len(ends) else pairs
    n = np.size(to_numpy(series))
    return float(n / max(2 * pairs.sum() - 1, 1 / n))
