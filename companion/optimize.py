"""What moves the parameters, and what decides when to stop."""

from dataclasses import dataclass

import numpy as np

__all__ = ["SGD", "MovingAverage", "Patience"]


class SGD:
    """Stochastic gradient descent: every step subtracts ``learning_rate`` times the gradient, in place."""

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def __repr__(self):
        return f"SGD(learning_rate={self.learning_rate})"

    def update(self, parameters, gradients):
        """Move `parameters`, a list of arrays, against `gradients`, which are overwritten."""
        for parameter, gradient in zip(parameters, gradients):
            gradient *= self.learning_rate
            parameter -= gradient


class MovingAverage:
    r"""Running average of parameters, :math:`\bar\theta \leftarrow d\,\bar\theta + (1 - d)\,\theta`.

    Steps of constant size keep jumping about the minimum; their average sits much closer to it (Polyak and Juditsky,
    1992). Early on, `decay` is held down to :math:`(1 + t) / (10 + t)` after t updates, so that the start is
    forgotten.

    Parameters
    ----------
    parameters : list of array
        What is averaged.
    decay : float
        d, just below 1: the average reaches back over about ``1 / (1 - decay)`` updates.

    Attributes
    ----------
    averages : list of array
        Of the shapes of `parameters`.
    updates : array without dimensions
        t, an array so that a checkpoint can hold it.
    """

    def __init__(self, parameters, decay):
        self.parameters, self.decay = parameters, decay
        self.averages = [parameter.copy() for parameter in parameters]
        self.updates = np.zeros((), np.int64)

    def update(self):
        """Take the parameters as they are now into the averages, in place."""
        self.updates += 1
        d = min(self.decay, float((1 + self.updates) / (10 + self.updates)))
        for average, parameter in zip(self.averages, self.parameters):
            average *= d
            average += (1 - d) * parameter


@dataclass
class Patience:
    """Early stopping as in the Deep Learning Tutorials (LISA lab, *Getting Started*, section "Early-Stopping").

    Training goes on while the count of updates is below `patience`. When the validation error falls enough, to less
    than `threshold` times the best so far, the patience grows to `increase` times the updates it took to get there.

    Parameters
    ----------
    patience : int
        Updates to do in any case.
    increase : float
        How much longer to wait after a significant improvement.
    threshold : float
        An improvement is significant if the error falls below `threshold` × the best.
    best : float
        The lowest validation error so far.
    """

    patience: float = 5000
    increase: float = 2.0
    threshold: float = 0.995
    best: float = float("inf")

    def improved(self, iteration, error):
        """Take note of the validation error at `iteration` (updates count from 0); return whether it is the best."""
        if not error < self.best:  # nan is no improvement
            return False
        if error < self.best * self.threshold:
            self.patience = max(self.patience, iteration * self.increase)
        self.best = error
        return True

    def exhausted(self, iteration):
        """Return whether training should stop after `iteration`."""
        return self.patience <= iteration
