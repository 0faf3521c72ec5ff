"""Layers: ``forward`` computes the output, ``backward`` the gradients.

``backward`` takes the gradient of the loss with respect to the layer's output and returns the one with respect to
its input. A layer does not copy the arrays it is given: two owners of one weight matrix see the same numbers. Outputs
live in buffers that the next call overwrites; copy what you want to keep.
"""

import numpy as np

from .backend import Noise, matmul, to_device, xp
from .functions import check_targets, log_p_of, log_softmax, sigmoid

__all__ = [
    "ACTIVATIONS",
    "BATCH_NORM",
    "BatchNorm",
    "Dense",
    "Dropout",
    "GaussianNoise",
    "Identity",
    "Layer",
    "Network",
    "ReLU",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "blank_parameters",
    "initial_weights",
    "reuse",
]


def reuse(buffer, shape, dtype):
    """Return `buffer` if it has room for `shape`, a new array otherwise (the last minibatch may be shorter)."""
    if buffer is None or len(buffer) < shape[0] or buffer.shape[1:] != shape[1:] or buffer.dtype != dtype:
        return xp.empty(shape, dtype)
    return buffer


class Layer:
    """What layers have in common.

    Attributes
    ----------
    parameters, gradients : tuple of array
        What is learned, and the gradients of the loss that `backward` leaves, in the same order.
    share : float
        Of a minibatch: `backward` adds so much of the penalties' gradients. `companion.image_layers.Pieces` sets it.
    """

    parameters, gradients, share = (), (), 1.0

    def __repr__(self):
        return type(self).__name__

    def predict(self, x):
        """Return the output as it is computed when nothing is trained; here, what `forward` returns."""
        return self.forward(x)

    def again(self, x):
        """Return what `forward` returned for the minibatch x, and get ready for `backward` as it does."""
        return self.forward(x)

    def penalty(self):
        """Return what the layer adds to the loss."""
        return 0.0


class Dense(Layer):
    r"""The affine map :math:`a = x W + b`, with its penalty :math:`\lambda_1 \|W\|_1 + \lambda_2 \|W\|_2^2`.

    Parameters
    ----------
    W : array (n_in, n_out)
    b : array (n_out,)
    l1, l2 : float
        :math:`\lambda_1` and :math:`\lambda_2`. Biases are not penalised.

    Attributes
    ----------
    dW, db : array
        Gradients of loss and penalty, of the shapes of `W` and `b`; `backward` overwrites them.
    """

    def __init__(self, W, b, l1=0.0, l2=0.0):
        self.W, self.b, self.l1, self.l2 = W, b, float(l1), float(l2)
        self.dW, self.db = xp.empty_like(W), xp.empty_like(b)
        self.parameters, self.gradients = (W, b), (self.dW, self.db)
        self._output = self._dx = None

    def __repr__(self):
        return f"Dense({self.W.shape[0]} → {self.W.shape[1]})"

    def forward(self, x):
        """Map x (n, n_in) to scores (n, n_out)."""
        self._x = x
        self._output = reuse(self._output, (len(x), len(self.b)), self.W.dtype)
        scores = matmul(x, self.W, out=self._output[: len(x)])
        scores += self.b
        return scores

    def backward(self, delta, need_dx=True):
        """Set `dW` and `db` from delta (n, n_out); return the gradient with respect to x (n, n_in), if needed."""
        matmul(self._x.T, delta, out=self.dW)
        xp.sum(delta, axis=0, out=self.db)
        if self.l1:
            self.dW += self.l1 * self.share * xp.sign(self.W)
        if self.l2:
            self.dW += 2 * self.l2 * self.share * self.W
        if need_dx:  # the first layer's input is data: nothing to pass on
            self._dx = reuse(self._dx, self._x.shape, self.W.dtype)
            return matmul(delta, self.W.T, out=self._dx[: len(delta)])

    def penalty(self):
        """Return the penalty as it stands, a number to add to the loss."""
        return self.l1 * xp.abs(self.W).sum() + self.l2 * (self.W**2).sum() if self.l1 or self.l2 else 0.0


class Identity(Layer):
    """Every number as it is: a layer without a nonlinearity."""

    def forward(self, x):
        """Return x itself."""
        return x

    def backward(self, delta):
        """Return delta itself."""
        return delta


class Tanh(Layer):
    """The hyperbolic tangent of every number; overwrites its input."""

    def forward(self, x):
        """Return tanh x, in place of x."""
        self._y = xp.tanh(x, out=x)
        return self._y

    def backward(self, delta):
        """Return delta times 1 − tanh², in place of delta."""
        slope = xp.multiply(self._y, self._y, out=self._y)  # the output is not needed any more
        xp.subtract(1, slope, out=slope)
        delta *= slope
        return delta


class Sigmoid(Layer):
    """The logistic function of every number; overwrites its input."""

    def forward(self, x):
        """Return σ(x), in place of x."""
        self._y = sigmoid(x, out=x)
        return self._y

    def backward(self, delta):
        """Return delta times σ (1 − σ), in place of delta."""
        delta *= self._y
        delta *= xp.subtract(1, self._y, out=self._y)  # the output is not needed any more
        return delta


class ReLU(Layer):
    """max(0, x) for every number; overwrites its input."""

    def forward(self, x):
        """Return max(0, x), in place of x."""
        self._y = xp.maximum(x, 0, out=x)
        return self._y

    def backward(self, delta):
        """Return delta where the output was positive, 0 elsewhere, in place of delta."""
        delta *= self._y > 0  # at 0 itself, where there is no derivative, 0 is as good a choice as any
        return delta


ACTIVATIONS = {"tanh": Tanh, "logistic": Sigmoid, "relu": ReLU, "identity": Identity}
BATCH_NORM = ("gamma", "beta", "running_mean", "running_var")  # what `BatchNorm` is given


class Dropout(Layer):
    r"""Set each input to zero with probability `rate` and divide the others by 1 − rate, so that means stay the same.

    To predict, nothing is dropped. Source: Srivastava et al. (2014), *Dropout*, section 4.

    Parameters
    ----------
    rate : float
        Between 0 and 1.
    noise : companion.backend.Noise, int or numpy.random.Generator
    """

    def __init__(self, rate, noise):
        self.rate, self.noise = rate, Noise.of(noise)
        self._scale = self._output = None

    def __repr__(self):
        return f"Dropout({self.rate})"

    def forward(self, x):
        """Return x (n, n_in) with some of it dropped; x is left as it is."""
        self._scale = reuse(self._scale, x.shape, x.dtype)
        self._output = reuse(self._output, x.shape, x.dtype)
        self._kept = self.noise.uniform(self._scale[: len(x)])
        xp.greater_equal(self._kept, self.rate, out=self._kept)
        self._kept *= 1 / (1 - self.rate)
        return xp.multiply(x, self._kept, out=self._output[: len(x)])

    def predict(self, x):
        """Return x itself."""
        return x

    def backward(self, delta):
        """Return delta (n, n_in), overwritten, where the inputs were kept."""
        delta *= self._kept
        return delta


class GaussianNoise(Layer):
    """Add normal noise of standard deviation `scale` to every input; none to predict.

    Parameters
    ----------
    scale : float
    noise : companion.backend.Noise, int or numpy.random.Generator
    """

    def __init__(self, scale, noise):
        self.scale, self.noise, self._output = scale, Noise.of(noise), None

    def __repr__(self):
        return f"GaussianNoise({self.scale})"

    def forward(self, x):
        """Return x (n, n_in) plus noise; x is left as it is."""
        self._output = reuse(self._output, x.shape, x.dtype)
        y = self.noise.normal(self._output[: len(x)])
        y *= self.scale
        y += x
        return y

    def predict(self, x):
        """Return x itself."""
        return x

    def backward(self, delta):
        """Return delta itself: the noise does not depend on x."""
        return delta


class BatchNorm(Layer):
    r"""Batch normalisation: :math:`y = \gamma\, (x - m) / \sqrt{s + \epsilon} + \beta`, column by column.

    In training m and s are mean and variance of the minibatch, or of its first rows; to predict, running averages of
    them. Source: Ioffe and Szegedy (2015), algorithms 1 and 2.

    Parameters
    ----------
    gamma, beta : array (n_in,)
        Scale and shift, learned.
    running_mean, running_var : array (n_in,)
        Updated by `forward`, used by `predict`.
    momentum : float
        How much of the running averages a call of `forward` keeps, if it has rows to compute new ones from.
    epsilon : float
        Added to the variance.

    Attributes
    ----------
    n_rows : int, optional
        From how many rows, the first ones, m and s are computed; the others are normalised by these as well, as if they
        were predicted. With 0, m and s of the last call are kept; None, at the start, means all rows.
    """

    EPSILON = 1e-5

    def __init__(self, gamma, beta, running_mean, running_var, momentum=0.99, epsilon=EPSILON):
        self.gamma, self.beta, self.running_mean, self.running_var = gamma, beta, running_mean, running_var
        self.momentum, self.epsilon, self.n_rows = momentum, epsilon, None
        self.dgamma, self.dbeta = xp.empty_like(gamma), xp.empty_like(beta)
        self.parameters, self.gradients = (gamma, beta), (self.dgamma, self.dbeta)
        self._normal = self._output = None

    def __repr__(self):
        return f"{type(self).__name__}({len(self.gamma)})"

    def forward(self, x):
        """Normalise x (n, n_in) by its own columns, or by those of its first rows."""
        n = len(x)
        self._normal, self._output = (self._room(array, x) for array in (self._normal, self._output))
        self._n = n if self.n_rows is None else self.n_rows
        if self._n:
            self._mean = x[: self._n].mean(axis=0)
        z = xp.subtract(x, self._mean, out=self._normal[:n])
        if self._n:
            self._measure(z[: self._n])
        z *= self._slope
        self._z = z
        y = xp.multiply(z, self.gamma, out=self._output[:n])
        y += self.beta
        return y

    def again(self, x):
        """Normalise x as `forward` did, and leave the running averages as they are: they know of it."""
        running = self.running_mean.copy(), self.running_var.copy()
        y = self.forward(x)
        self.running_mean[...], self.running_var[...] = running
        return y

    def _room(self, buffer, x):
        return reuse(buffer, x.shape, x.dtype)

    def _measure(self, z):
        """Take the variance from z (n, n_in), whose columns have the mean 0, and both into the running averages."""
        n, variance = len(z), xp.einsum("ij,ij->j", z, z) / len(z)
        if n > 1:  # one row says nothing about the variance
            for running, value in ((self.running_mean, self._mean), (self.running_var, variance * (n / (n - 1)))):
                running *= self.momentum
                running += (1 - self.momentum) * value
        self._slope = 1 / xp.sqrt(variance + self.epsilon)

    def predict(self, x):
        """Normalise x (n, n_in) by the running averages."""
        scale = self.gamma / xp.sqrt(self.running_var + self.epsilon)
        return x * scale + (self.beta - self.running_mean * scale)

    def backward(self, delta, need_dx=True):
        r"""Return the gradient with respect to x, in place of delta (n, n_in).

        Mean and variance depend on x too: with :math:`g = \gamma\, \delta` the gradient is
        :math:`(g - \overline{g} - z\, \overline{g z}) / \sqrt{s + \epsilon}`, where the bar is the mean of a column.
        For rows that m and s do not depend on, it is :math:`g / \sqrt{s + \epsilon}`; for the others the bar is then
        the sum over all rows, divided by the number of the others.
        """
        n, z = self._n, self._z
        xp.sum(delta, axis=0, out=self.dbeta)
        self.dgamma[...] = xp.einsum("ij,ij->j", delta, z)
        if not need_dx:
            return None
        if n:
            z[:n] *= self.dgamma / n  # the normalised input is not needed any more
            delta[:n] -= z[:n]
            delta[:n] -= self.dbeta / n
        delta *= self.gamma * self._slope
        return delta


class Network(Layer):
    """Layers, one after the other.

    Parameters
    ----------
    layers : list of Layer
    """

    ROWS = 2000  # predicted at a time: bounds the memory, and keeps the layers' buffers small

    def __init__(self, layers):
        self.layers = layers
        self.parameters = [array for layer in layers for array in layer.parameters]
        self.gradients = [array for layer in layers for array in layer.gradients]

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    def forward(self, x):
        """Return the output for a minibatch x (n, n_in) while training."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, delta, need_dx=False):
        """Set the gradients of all layers from delta (n, n_out); return the gradient of the input, if needed."""
        first = next(i for i, layer in enumerate(self.layers) if layer.parameters)
        for layer in reversed(self.layers[first + 1 :]):
            delta = layer.backward(delta)
        delta = self.layers[first].backward(delta, need_dx=need_dx)
        if need_dx:  # below the first parameters there is nothing else to know
            for layer in reversed(self.layers[:first]):
                delta = layer.backward(delta)
            return delta

    def predict(self, X):
        """Return the output (n, n_out) for any number of rows X (n, n_in), in an array of its own."""
        outputs = []
        for start in range(0, len(X), self.ROWS):
            x = X[start : start + self.ROWS]
            for layer in self.layers:
                x = layer.predict(x)
            outputs.append(x.copy())
        return xp.concatenate(outputs)

    def penalty(self):
        """Return the sum of the layers' penalties."""
        return sum(layer.penalty() for layer in self.layers)


class SoftmaxCrossEntropy:
    """The loss at the top of a classifier: softmax and mean negative log-likelihood in one stable step."""

    def forward(self, scores, targets, weights=None):
        """Return the mean loss in nats for scores (n, n_classes), which are overwritten, and targets (n,) from 0.

        With weights (n,) every row's loss is multiplied by its own before the mean over the n rows is taken.
        """
        self._log_p, self._targets, self._weights = log_softmax(scores, out=scores), targets, weights
        log_p = log_p_of(self._log_p, targets)
        if xp is np:  # a GPU would be waited for
            check_targets(targets)
        return -(log_p if weights is None else weights * log_p).mean()

    def backward(self):
        r"""Return the gradient with respect to the scores, :math:`(p - \mathrm{onehot}(t)) / n`."""
        n = len(self._targets)
        delta = xp.exp(self._log_p, out=self._log_p)
        delta[xp.arange(n), self._targets] -= 1
        delta /= n
        if self._weights is not None:
            delta *= self._weights[:, None]
        return delta


def blank_parameters(shapes):
    """Return parameters that nothing was drawn for yet, in float32, on the device: a dict of the shapes by name.

    All are zero but the gains and variances of batch normalisation, which are one. Weights that feed a softmax may stay
    zero: the first prediction is then one of ignorance.
    """
    ones = ("gamma", "running_var")
    return {name: xp.full(shape, float(name.startswith(ones)), xp.float32) for name, shape in shapes.items()}


def initial_weights(n_in, n_out, activation, rng):
    r"""Draw a weight matrix for a layer with this activation, float32, on the device.

    * ``"tanh"``, ``"identity"``: uniform within :math:`\pm\sqrt{6 / (n_{in} + n_{out})}` (Glorot and Bengio, 2010),
      which keeps the variance of activations and of gradients about the same from layer to layer;
    * ``"logistic"``: four times that, because the logistic function is a tanh of slope 1/4;
    * ``"relu"``: normal of variance :math:`2 / n_{in}` (He et al., 2015): half of the inputs are zero.
    """
    if activation == "relu":
        W = rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)
    else:
        bound = np.sqrt(6 / (n_in + n_out)) * (4 if activation == "logistic" else 1)
        W = rng.uniform(-bound, bound, (n_in, n_out))
    return to_device(W, xp.float32)
