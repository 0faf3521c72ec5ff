"""Densities to try samplers on, each with its energy, its gradient, and exact draws to compare with.

``energy(x)`` returns (n,) for x (n, d), in nats and without the constant log Z; ``gradient(x)`` its derivatives (n, d);
``draw(n, rng)`` independent exact samples (n, d), on the host. ``limits`` are those of a picture: left, right, bottom,
top.
"""

import numpy as np

from .backend import to_device, xp
from .functions import floating

__all__ = ["Banana", "Funnel", "Hills", "Ridge", "Valley"]


class Valley:
    r"""Two independent variables, :math:`x_1 \sim N(0, s^2)` and :math:`x_2 \sim N(0, w^2)`: a valley along an axis.

    Parameters
    ----------
    length, width : float
        s and w.
    """

    limits = (-2, 2, -2, 2)

    def __init__(self, length=10**0.5, width=0.5**0.5):
        self.scales = np.array([length, width])

    def energy(self, x):
        return 0.5 * (self.gradient(x) * x).sum(axis=1)

    def gradient(self, x):
        x = floating(x)
        return x / to_device(self.scales**2, x.dtype)

    def draw(self, n, rng):
        return self.scales * rng.standard_normal((n, 2))


class Ridge:
    """Two variables of variance one with a correlation: a ridge along the diagonal.

    Parameters
    ----------
    correlation : float
        Between −1 and 1. The variances along the ridge and across it are 1 + correlation and 1 − correlation.
    """

    limits = (-3.5, 3.5, -3.5, 3.5)

    def __init__(self, correlation=0.95):
        self.covariance = np.array([[1.0, correlation], [correlation, 1.0]])
        self.precision = np.linalg.inv(self.covariance)

    def energy(self, x):
        return 0.5 * (self.gradient(x) * x).sum(axis=1)

    def gradient(self, x):
        x = floating(x)
        return x @ to_device(self.precision, x.dtype)

    def draw(self, n, rng):
        return rng.multivariate_normal([0, 0], self.covariance, n)


class Banana:
    r"""A bent valley: :math:`x_1 \sim N(0, s^2)`, and :math:`x_2 \sim N(x_1^2 / 2, w^2)`.

    Parameters
    ----------
    length, width : float
        s and w.
    """

    limits = (-3.5, 3.5, -1.6, 5.4)

    def __init__(self, length=1.25, width=0.3):
        self.length, self.width = length, width

    def energy(self, x):
        x = floating(x)
        return 0.5 * ((x[:, 0] / self.length) ** 2 + ((x[:, 1] - 0.5 * x[:, 0] ** 2) / self.width) ** 2)

    def gradient(self, x):
        x = floating(x)
        across = (x[:, 1] - 0.5 * x[:, 0] ** 2) / self.width**2
        return xp.stack([x[:, 0] * (1 / self.length**2 - across), across], axis=1)

    def draw(self, n, rng):
        first = self.length * rng.standard_normal(n)
        return np.stack([first, 0.5 * first**2 + self.width * rng.standard_normal(n)], axis=1)


class Hills:
    """Two normal hills of variance one on the first axis, at ± distance / 2.

    Parameters
    ----------
    distance : float
        Between their tops.
    share : float
        Weight of the hill on the right.
    """

    limits = (-6, 6, -6, 6)

    def __init__(self, distance=5.0, share=0.5):
        self.distance, self.share = distance, share

    def _odds(self, x):
        """Log of the odds (n,) that x belongs to the hill on the right."""
        return self.distance * x[:, 0] + np.log(self.share / (1 - self.share))

    def energy(self, x):
        x = floating(x)
        # Those of the hill on the left, less a constant.
        squares = 0.5 * (x**2).sum(axis=1) + 0.5 * self.distance * x[:, 0]
        return squares - xp.logaddexp(0 * squares, self._odds(x))

    def gradient(self, x):
        x = floating(x)
        gradient = x.copy()
        gradient[:, 0] -= 0.5 * self.distance * xp.tanh(0.5 * self._odds(x))
        return gradient

    def draw(self, n, rng):
        x = rng.standard_normal((n, 2))
        x[:, 0] += self.distance * ((rng.random(n) < self.share) - 0.5)
        return x


class Funnel:
    r"""Neal's funnel: :math:`x_1 \sim N(0, s^2)` is the log variance of :math:`x_2`.

    Its neck is as narrow as its mouth is wide: no step size suits both.

    Parameters
    ----------
    scale : float
        s; 3 in Neal (2003), *Slice sampling*, section 8.
    """

    limits = (-6, 6, -6, 6)

    def __init__(self, scale=3.0):
        self.scale = scale

    def energy(self, x):
        x = floating(x)
        first = x[:, 0]
        spread = (x[:, 1:] ** 2).sum(axis=1) * xp.exp(-first)
        return 0.5 * ((first / self.scale) ** 2 + spread + first)

    def gradient(self, x):
        x = floating(x)
        pull = x * xp.exp(-x[:, :1])
        pull[:, 0] = x[:, 0] / self.scale**2 + 0.5 - 0.5 * (x[:, 1:] * pull[:, 1:]).sum(axis=1)
        return pull

    def draw(self, n, rng):
        x = rng.standard_normal((n, 2))
        x[:, 0] *= self.scale
        x[:, 1:] *= np.exp(0.5 * x[:, :1])
        return x
