"""What moves the parameters, and what decides when to stop."""

from dataclasses import dataclass

import numpy as np

from .backend import add_scaled, xp
from .checks import check_count

__all__ = ["SGD", "Adam", "Descent", "MovingAverage", "Patience", "Schedule", "limit_norms"]


BLOCK = 2**15  # numbers: arrays are updated in pieces that stay in the cache while several operations pass over them


def _pieces(*arrays):
    """Cut arrays of one shape into the same pieces, which are views; on a GPU one piece is best."""
    flat = [array.reshape(-1) for array in arrays]
    size = len(flat[0])
    block = BLOCK if xp is np else size
    for start in range(0, size, block):
        yield [array[start : start + block] for array in flat]


def _check_parameters(parameters):
    """Raise ValueError unless all arrays can be moved in place: BLAS would move a copy that nobody sees."""
    for array in parameters:
        if array.dtype not in (xp.float32, xp.float64) or not array.flags.c_contiguous:
            raise ValueError(f"parameters: expected contiguous arrays, float32 or float64, found {array.dtype}, "
                             f"shape {array.shape}, strides {array.strides}")  # fmt: skip


def _fitting(parameters, gradients, remembered=None):
    """Return `gradients`, a list, or raise ValueError unless there is one of its shape for every parameter.

    What is `remembered`, if anything, must be of these parameters, too: `zip` would leave the others where they are.
    """
    gradients, expected = list(gradients), [array.shape for array in parameters]
    if expected != (found := [array.shape for array in gradients]):
        raise ValueError(f"gradients: expected the shapes of the parameters, {expected}, found {found}")
    if remembered is not None and expected != (found := [array.shape for array in remembered]):
        raise ValueError(f"parameters: expected those that `start` was given, of shapes {found}, found {expected}")
    return gradients


class Schedule:
    r"""A learning rate that changes with the number of updates t done so far.

    Parameters
    ----------
    rate : float
        :math:`\eta_0`.
    n_updates : int
        T, the updates of the whole training.
    kind : {"constant", "inverse", "linear", "cosine"}
        :math:`\eta_0`; :math:`\eta_0 / (1 + d\,t)`; :math:`\eta_0 (1 - t / T)`;
        :math:`\eta_0 (1 + \cos(\pi t / T)) / 2`.
    decay : float
        d, for ``"inverse"``.
    warmup : int
        Over so many first updates the rate grows to its value in proportion to the updates done.
    """

    def __init__(self, rate, n_updates, kind="constant", decay=0.0, warmup=0):
        if kind not in ("constant", "inverse", "linear", "cosine"):
            raise ValueError(f"schedule is {kind!r}; expected 'constant', 'inverse', 'linear' or 'cosine'")
        n_updates = check_count("n_updates", n_updates)
        self.rate, self.n_updates, self.kind, self.decay, self.warmup = rate, n_updates, kind, decay, warmup

    def __call__(self, t):
        """Return the rate for the update after t updates."""
        done = min(t / self.n_updates, 1.0)
        factor = {
            "constant": 1.0,
            "inverse": 1 / (1 + self.decay * t),
            "linear": 1 - done,
            "cosine": (1 + np.cos(np.pi * done)) / 2,
        }[self.kind]
        return self.rate * factor * min(1.0, (t + 1) / (self.warmup + 1))

    def ended(self, t):
        """Return whether it has fallen to 0 when t updates are done."""
        return self.kind in ("linear", "cosine") and t >= self.n_updates


class SGD:
    r"""Stochastic gradient descent, in place, with momentum: :math:`v \leftarrow \mu v - \eta g`, then
    :math:`\theta \leftarrow \theta + v`.

    Parameters
    ----------
    learning_rate : float or callable
        :math:`\eta`, or a function of the number of updates done, such as a `Schedule`.
    momentum : float
        :math:`\mu`.
    """

    def __init__(self, learning_rate, momentum=0.0):
        self.learning_rate, self.momentum, self.velocities = learning_rate, float(momentum), []
        self.updates = np.zeros((), np.int64)  # an array, so that a checkpoint can hold it

    def __repr__(self):
        return f"SGD(learning_rate={self.learning_rate}, momentum={self.momentum})"

    def start(self, parameters):
        """Begin anew, the schedule too; return what is remembered of `parameters`, a list of arrays, by name."""
        _check_parameters(parameters)
        self.updates[...] = 0
        self.velocities = [xp.zeros_like(parameter) for parameter in parameters] if self.momentum else []
        return {"updates": self.updates} | {f"velocity{i}": array for i, array in enumerate(self.velocities)}

    def update(self, parameters, gradients):
        """Move `parameters`, a list of arrays, against `gradients`."""
        gradients = _fitting(parameters, gradients, self.velocities if self.momentum else None)
        rate = _rate(self)
        if self.momentum:
            for velocity, gradient in zip(self.velocities, gradients):
                velocity *= self.momentum
                add_scaled(velocity, -rate, gradient)
            gradients, rate = self.velocities, -1.0
        for parameter, gradient in zip(parameters, gradients):
            add_scaled(parameter, -rate, gradient)


class Adam:
    r"""Adam (Kingma and Ba, 2015, algorithm 1): steps of about :math:`\eta` whatever the scale of the gradients.

    Running means of the gradient and of its square,
    :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g` and :math:`s \leftarrow \beta_2 s + (1 - \beta_2) g^2`, both
    freed of their start at zero, give the step :math:`-\eta\, \hat m / (\sqrt{\hat s} + \epsilon)`.

    Parameters
    ----------
    learning_rate : float or callable
        As in `SGD`.
    beta1, beta2, epsilon : float
    """

    def __init__(self, learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.learning_rate, self.beta1, self.beta2, self.epsilon = learning_rate, beta1, beta2, epsilon
        self.updates, self.means, self.squares = np.zeros((), np.int64), [], []

    def __repr__(self):
        return f"Adam(learning_rate={self.learning_rate})"

    def start(self, parameters):
        """Begin anew, the schedule too; return what is remembered of `parameters`, a list of arrays, by name."""
        _check_parameters(parameters)
        self.updates[...] = 0
        self.means = [xp.zeros_like(parameter) for parameter in parameters]
        self.squares = [xp.zeros_like(parameter) for parameter in parameters]
        named = {f"mean{i}": array for i, array in enumerate(self.means)}
        return {"updates": self.updates} | named | {f"square{i}": array for i, array in enumerate(self.squares)}

    def update(self, parameters, gradients):
        """Move `parameters`, a list of arrays, against `gradients`, which are overwritten."""
        gradients = _fitting(parameters, gradients, self.means)
        if len({*map(id, parameters), *map(id, gradients)}) < 2 * len(parameters):
            raise ValueError("gradients: expected arrays of their own, which Adam may overwrite, found one twice")
        rate = _rate(self)
        t = int(self.updates)
        correction = float(np.sqrt(1 - self.beta2**t))  # a number of NumPy's would make float64 of float32
        step = rate * correction / (1 - self.beta1**t)
        for arrays in zip(parameters, gradients, self.means, self.squares):
            for parameter, gradient, mean, square in _pieces(*arrays):
                mean *= self.beta1
                mean += (1 - self.beta1) * gradient
                square *= self.beta2
                gradient *= gradient
                gradient *= 1 - self.beta2
                square += gradient
                xp.sqrt(square, out=gradient)
                gradient += self.epsilon * correction
                xp.divide(mean, gradient, out=gradient)
                gradient *= step
                parameter -= gradient


def _rate(optimizer):
    """Return the rate of the next update, as a Python number, and count that update."""
    rate = optimizer.learning_rate
    rate = float(rate(int(optimizer.updates)) if callable(rate) else rate)
    optimizer.updates += 1
    return rate


def limit_norms(W, most):
    """Scale down the columns of W (n_in, n_out) that are longer than `most`, in place ("max-norm").

    Source: Srivastava et al. (2014), *Dropout*, section 5.1.
    """
    norms = xp.sqrt(xp.einsum("ij,ij->j", W, W))
    W *= xp.minimum(1, most / xp.maximum(norms, 1e-12))


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
        d, just below 1: the average reaches back over about ``1 / (1 - decay)`` updates, or over the last ninth of
        those made so far, if that is less, which it is until ``9 / (1 - decay)`` have been made.

    Attributes
    ----------
    averages : list of array
        Of the shapes of `parameters`.
    updates : array without dimensions
        t, an array so that a checkpoint can hold it.
    """

    def __init__(self, parameters, decay):
        _check_parameters(parameters)
        self.parameters, self.decay = parameters, float(decay)
        self.averages = [parameter.copy() for parameter in parameters]
        self.updates = np.zeros((), np.int64)

    def replace_in(self, named):
        """Return the dict `named` with every averaged array replaced by its average."""
        averages = {id(parameter): average for parameter, average in zip(self.parameters, self.averages)}
        return {name: averages.get(id(array), array) for name, array in named.items()}

    def update(self):
        """Take the parameters as they are now into the averages, in place."""
        self.updates += 1
        d = min(self.decay, float((1 + self.updates) / (10 + self.updates)))
        for average, parameter in zip(self.averages, self.parameters):
            average *= d
            add_scaled(average, 1 - d, parameter)


class Descent:
    """An optimiser at work: what it moves, and what is kept, the same arrays or their running average.

    Parameters
    ----------
    optimizer : SGD or Adam
    parameters : dict of str to array
        Everything that the model has; updated in place.
    moved : list of array, optional
        Those of the parameters that the optimiser moves; all of them if not given.
    averaging : float
        The decay of a `MovingAverage`; 0 for none.

    Attributes
    ----------
    kept : dict of str to array
        What has been learned.
    state : dict of str to array
        Whatever else `update` changes.
    """

    def __init__(self, optimizer, parameters, moved=None, averaging=0.0):
        self.optimizer, self.moved = optimizer, list(parameters.values()) if moved is None else moved
        self.kept, self.state, self._average = parameters, optimizer.start(self.moved), None
        if averaging:
            self._average = MovingAverage(self.moved, averaging)
            self.kept = self._average.replace_in(parameters)
            self.state |= parameters | {"averaged": self._average.updates}

    def update(self, gradients, constrain=None):
        """Move the parameters against `gradients`; `constrain()` may put them back to where they may be."""
        self.optimizer.update(self.moved, gradients)
        if constrain:
            constrain()
        if self._average:
            self._average.update()


@dataclass
class Patience:
    """Early stopping as in the Deep Learning Tutorials (LISA lab, *Getting Started*, section "Early-Stopping").

    Training ends with the update whose number, counted from 0, has reached `patience`. When the validation error falls
    enough, to less than `threshold` times the best so far, the patience grows to `increase` times the updates it took
    to get there.

    Parameters
    ----------
    patience : float
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
