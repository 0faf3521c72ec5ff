"""Layers: ``forward`` computes the output, ``backward`` the gradients.

``backward`` takes the gradient of the loss with respect to the layer's output and returns the one with respect to
its input. A layer does not copy the arrays it is given: two owners of one weight matrix see the same numbers. Outputs
live in buffers that the next call overwrites; copy what you want to keep.
"""

import numpy as np

from .backend import to_device, xp
from .functions import log_softmax, negative_log_likelihood, sigmoid

__all__ = [
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianNoise",
    "Identity",
    "Images",
    "MaxPool2D",
    "Network",
    "ReLU",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "initial_weights",
]


def _reuse(buffer, shape, dtype):
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
    """

    parameters = gradients = ()

    def __repr__(self):
        return type(self).__name__

    def predict(self, x):
        """Return the output as it is computed when nothing is trained; here, what `forward` returns."""
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
        self._output = self._dx = None

    def __repr__(self):
        return f"Dense({self.W.shape[0]} → {self.W.shape[1]})"

    @property
    def parameters(self):  # noqa: D102
        return self.W, self.b

    @property
    def gradients(self):  # noqa: D102
        return self.dW, self.db

    def forward(self, x):
        """Map x (n, n_in) to scores (n, n_out)."""
        self._x = x
        self._output = _reuse(self._output, (len(x), len(self.b)), self.W.dtype)
        scores = xp.matmul(x, self.W, out=self._output[: len(x)])
        scores += self.b
        return scores

    def backward(self, delta, need_dx=True):
        """Set `dW` and `db` from delta (n, n_out); return the gradient with respect to x (n, n_in), if needed."""
        xp.matmul(self._x.T, delta, out=self.dW)
        xp.sum(delta, axis=0, out=self.db)
        if self.l1:
            self.dW += self.l1 * xp.sign(self.W)
        if self.l2:
            self.dW += 2 * self.l2 * self.W
        if need_dx:  # the first layer's input is data: nothing to pass on
            self._dx = _reuse(self._dx, self._x.shape, self.W.dtype)
            return xp.matmul(delta, self.W.T, out=self._dx[: len(delta)])

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


class Images(Layer):
    """Rows of pixels as images of one channel, in the layout of `Conv2D` and `MaxPool2D`: (1, height, width, n).

    The images are innermost: neighbours in memory are the same pixel of different images, so that a part of all images
    is a few long runs of memory.

    Parameters
    ----------
    height, width : int
        A row is read line by line; where it ends before the image does, the last pixels are 0.
    """

    def __init__(self, height, width):
        self.height, self.width, self._images = height, width, None

    def __repr__(self):
        return f"Images({self.height} × {self.width})"

    def forward(self, x):
        """Return x (n, n_pixels) as images (1, height, width, n)."""
        n, self._n_pixels = x.shape
        self._images = _reuse(self._images, (1, self.height, self.width, n), x.dtype)
        pixels = self._images.reshape(-1, n)
        pixels[: self._n_pixels] = x.T
        pixels[self._n_pixels :] = 0
        return self._images

    def backward(self, delta):
        """Return delta (1, height, width, n) as rows (n, n_pixels)."""
        return delta.reshape(-1, delta.shape[-1])[: self._n_pixels].T


class Flatten(Layer):
    """Images (n_channels, height, width, n) as rows (n, n_channels × height × width)."""

    _dx = None

    def forward(self, x):
        """Return x as rows: the same memory, seen differently."""
        self._shape = x.shape
        return x.reshape(-1, x.shape[-1]).T

    def backward(self, delta):
        """Return delta (n, n_channels × height × width) as images."""
        self._dx = _reuse(self._dx, self._shape, delta.dtype)[: self._shape[0]]
        self._dx.reshape(-1, len(delta))[...] = delta.T
        return self._dx


class Conv2D(Layer):
    r"""Convolution of images with filters, wherever a filter fits entirely ("valid"), plus a bias for each filter.

    .. math:: a_{o,y,x} = b_o + \sum_{c,i,j} W_{o,c,i,j}\, v_{c,\,y+i,\,x+j}

    Filters are not turned by 180° first: strictly, this is a cross-correlation, which everybody calls a convolution.

    The sums are matrix products, of the filters with windows that have been copied side by side (Chellapilla, Puri and
    Simard, 2006, *High performance convolutional neural networks for document processing*). Here only the shifts to
    the right are copied: a window is then a stretch of lines, and the window below it a stretch that starts one line
    later in the same memory.

    Parameters
    ----------
    W : array (n_filters, n_channels, height, width), contiguous
    b : array (n_filters,)

    Attributes
    ----------
    dW, db : array
        Gradients of the loss, of the shapes of `W` and `b`; `backward` overwrites them.
    """

    def __init__(self, W, b):
        self.W, self.b = W, b
        self.dW, self.db = xp.empty_like(W), xp.empty_like(b)
        self._lines = self._output = self._dx = None

    def __repr__(self):
        n_filters, n_channels, height, width = self.W.shape
        return f"Conv2D({n_channels} → {n_filters}, {height} × {width})"

    @property
    def parameters(self):  # noqa: D102
        return self.W, self.b

    @property
    def gradients(self):  # noqa: D102
        return self.dW, self.db

    def _filters(self):
        """Return the filters as rows (n_filters, height × n_channels × width): a line of all channels, the next, ..."""
        return self.W.swapaxes(1, 2).reshape(len(self.W), -1)

    def _windows(self, y):
        """Return the windows whose first line is y as columns (height × n_channels × width, width' × n): a view."""
        return self._lines[y : y + self.W.shape[2]].reshape(self.W[0].size, -1)

    def forward(self, x):
        """Map images x (n_channels, height, width, n) to scores (n_filters, height', width', n)."""
        n_filters, n_channels, height, width = self.W.shape
        rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"filters of {height} × {width} do not fit into images of {x.shape[1]} × {x.shape[2]}")
        shape = x.shape[1], n_channels, width, columns, x.shape[3]
        self._lines = _reuse(self._lines, shape, self.W.dtype)[: x.shape[1]]
        self._output = _reuse(self._output, (n_filters, rows, columns, x.shape[3]), self.W.dtype)
        for j in range(width):
            self._lines[:, :, j] = x[:, :, j : j + columns].swapaxes(0, 1)
        filters, scores = self._filters(), self._output.reshape(n_filters, rows, -1)
        for y in range(rows):
            xp.matmul(filters, self._windows(y), out=scores[:, y])
        scores += self.b[:, None, None]
        return self._output

    def backward(self, delta, need_dx=True):
        """Set `dW` and `db` from delta, of the shape of the scores; return the gradient of x, if needed."""
        n_filters, rows, columns, n = delta.shape
        delta = delta.reshape(n_filters, rows, -1)
        dW = sum(delta[:, y] @ self._windows(y).T for y in range(rows))
        turned = self.dW.swapaxes(1, 2)
        turned[...] = dW.reshape(turned.shape)
        xp.sum(delta, axis=(1, 2), out=self.db)
        if not need_dx:
            return None
        # The lines are not needed any more: in their place, the gradient with respect to them. Windows overlap, and
        # what they share gets the sum of what they send back.
        filters, lines = self._filters().T, self._lines
        lines[...] = 0
        for y in range(rows):
            windows = self._windows(y)
            windows += filters @ delta[:, y]
        _, n_channels, width, _, _ = lines.shape
        self._dx = _reuse(self._dx, (n_channels, len(lines), columns + width - 1, n), lines.dtype)
        self._dx[...] = 0
        for j in range(width):
            self._dx[:, :, j : j + columns] += lines[:, :, j].swapaxes(0, 1)
        return self._dx


class MaxPool2D(Layer):
    """The largest pixel of every window of size × size; the windows lie side by side.

    Parameters
    ----------
    size : int
    border : bool
        Whether the last lines and columns, where they fill no whole window, make smaller windows of their own; without
        the border they are left out.
    """

    def __init__(self, size=2, border=False):
        self.size, self.border = size, border
        self._largest = self._output = self._dx = None

    def __repr__(self):
        return f"MaxPool2D({self.size} × {self.size})"

    def _places(self, images, *pooled):
        """Yield, for every place in a window, its pixels in `images`, and the part of `pooled` arrays that has it."""
        height, width = pooled[0].shape[1:3]
        for i in range(self.size):
            for j in range(self.size):
                pixels = images[:, i : height * self.size : self.size, j : width * self.size : self.size]
                yield pixels, *(array[:, : pixels.shape[1], : pixels.shape[2]] for array in pooled)

    def forward(self, x):
        """Map images x (n_channels, height, width, n) to (n_channels, height / size, width / size, n)."""
        self._x = x
        height, width = (-(-side // self.size) if self.border else side // self.size for side in x.shape[1:3])
        if height < 1 or width < 1:
            raise ValueError(f"no window of {self.size} × {self.size} fits into images of {x.shape[1]} × {x.shape[2]}")
        shape = len(x), height, width, x.shape[3]
        self._largest, self._output = (
            _reuse(buffer, shape, x.dtype)[: len(x)] for buffer in (self._largest, self._output)
        )
        (pixels, largest), *others = self._places(x, self._largest)
        largest[...] = pixels  # the first place, which every window has
        for pixels, largest in others:
            xp.maximum(largest, pixels, out=largest)
        self._output[...] = self._largest  # a copy, which the activation above may overwrite
        return self._output

    def backward(self, delta):
        """Give delta, which is overwritten, to the largest pixel of each window: to the first, where several are."""
        self._dx = _reuse(self._dx, self._x.shape, delta.dtype)[: len(delta)]
        self._dx[:, delta.shape[1] * self.size :] = 0  # what was left out
        self._dx[:, :, delta.shape[2] * self.size :] = 0
        places = zip(self._places(self._x, self._largest), self._places(self._dx, delta))
        for (pixels, largest), (dx, rest) in places:
            xp.multiply(rest, pixels == largest, out=dx)
            rest -= dx  # what one pixel has got is not left for another
        return self._dx


class Dropout(Layer):
    r"""Set each input to zero with probability `rate` and divide the others by 1 − rate, so that means stay the same.

    To predict, nothing is dropped. Source: Srivastava et al. (2014), *Dropout*, section 4.

    Parameters
    ----------
    rate : float
        Between 0 and 1.
    noise : companion.backend.Noise
    """

    def __init__(self, rate, noise):
        self.rate, self.noise = rate, noise
        self._scale = self._output = None

    def __repr__(self):
        return f"Dropout({self.rate})"

    def forward(self, x):
        """Return x (n, n_in) with some of it dropped; x is left as it is."""
        self._scale = _reuse(self._scale, x.shape, x.dtype)
        self._output = _reuse(self._output, x.shape, x.dtype)
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
    noise : companion.backend.Noise
    """

    def __init__(self, scale, noise):
        self.scale, self.noise, self._output = scale, noise, None

    def __repr__(self):
        return f"GaussianNoise({self.scale})"

    def forward(self, x):
        """Return x (n, n_in) plus noise; x is left as it is."""
        self._output = _reuse(self._output, x.shape, x.dtype)
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

    In training m and s are mean and variance of the minibatch; to predict, running averages of them. Source: Ioffe and
    Szegedy (2015), algorithms 1 and 2.

    Parameters
    ----------
    gamma, beta : array (n_in,)
        Scale and shift, learned.
    running_mean, running_var : array (n_in,)
        Updated by `forward`, used by `predict`.
    momentum : float
        How much of the running averages a minibatch leaves as it was.
    """

    def __init__(self, gamma, beta, running_mean, running_var, momentum=0.99, epsilon=1e-5):
        self.gamma, self.beta, self.running_mean, self.running_var = gamma, beta, running_mean, running_var
        self.momentum, self.epsilon = momentum, epsilon
        self.dgamma, self.dbeta = xp.empty_like(gamma), xp.empty_like(beta)
        self._normal = self._output = None

    def __repr__(self):
        return f"BatchNorm({len(self.gamma)})"

    @property
    def parameters(self):  # noqa: D102
        return self.gamma, self.beta

    @property
    def gradients(self):  # noqa: D102
        return self.dgamma, self.dbeta

    def forward(self, x):
        """Normalise x (n, n_in) by its own columns."""
        n = len(x)
        self._normal, self._output = (_reuse(array, x.shape, x.dtype) for array in (self._normal, self._output))
        mean = x.mean(axis=0)
        z = xp.subtract(x, mean, out=self._normal[:n])
        variance = xp.einsum("ij,ij->j", z, z) / n
        if n > 1:  # one row says nothing about the variance
            for running, value in ((self.running_mean, mean), (self.running_var, variance * (n / (n - 1)))):
                running *= self.momentum
                running += (1 - self.momentum) * value
        self._slope = 1 / xp.sqrt(variance + self.epsilon)
        z *= self._slope
        self._z = z
        y = xp.multiply(z, self.gamma, out=self._output[:n])
        y += self.beta
        return y

    def predict(self, x):
        """Normalise x (n, n_in) by the running averages."""
        scale = self.gamma / xp.sqrt(self.running_var + self.epsilon)
        return x * scale + (self.beta - self.running_mean * scale)

    def backward(self, delta, need_dx=True):
        r"""Return the gradient with respect to x, in place of delta (n, n_in).

        Mean and variance depend on x too: with :math:`g = \gamma\, \delta` the gradient is
        :math:`(g - \overline{g} - z\, \overline{g z}) / \sqrt{s + \epsilon}`, where the bar is the mean of a column.
        """
        n, z = len(delta), self._z
        xp.sum(delta, axis=0, out=self.dbeta)
        self.dgamma[...] = xp.einsum("ij,ij->j", delta, z)
        if not need_dx:
            return None
        z *= self.dgamma / n  # the normalised input is not needed any more
        delta -= z
        delta -= self.dbeta / n
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

    def __repr__(self):
        return f"Network({', '.join(map(repr, self.layers))})"

    @property
    def parameters(self):  # noqa: D102
        return [array for layer in self.layers for array in layer.parameters]

    @property
    def gradients(self):  # noqa: D102
        return [array for layer in self.layers for array in layer.gradients]

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
        """Return the mean loss in nats for scores (n, n_classes), which are overwritten, and targets (n,).

        With weights (n,) every row's loss is multiplied by its own before the mean over the n rows is taken.
        """
        self._log_p, self._targets, self._weights = log_softmax(scores, out=scores), targets, weights
        if weights is None:
            return negative_log_likelihood(self._log_p, targets)
        return -(weights * self._log_p[xp.arange(len(targets)), targets]).mean()

    def backward(self):
        r"""Return the gradient with respect to the scores, :math:`(p - \mathrm{onehot}(t)) / n`."""
        n = len(self._targets)
        delta = xp.exp(self._log_p, out=self._log_p)
        delta[xp.arange(n), self._targets] -= 1
        delta /= n
        if self._weights is not None:
            delta *= self._weights[:, None]
        return delta


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
