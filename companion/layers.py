"""Layers: ``forward`` computes the output, ``backward`` the gradients.

``backward`` takes the gradient of the loss with respect to the layer's output and returns the one with respect to
its input. A layer does not copy the arrays it is given: two owners of one weight matrix see the same numbers. Outputs
live in buffers that the next call overwrites; copy what you want to keep.
"""

from .backend import xp
from .functions import log_softmax, negative_log_likelihood

__all__ = ["Dense", "Dropout", "SoftmaxCrossEntropy"]


def _reuse(buffer, shape, dtype):
    """Return `buffer` if it has room for `shape`, a new array otherwise (the last minibatch may be shorter)."""
    if buffer is None or len(buffer) < shape[0] or buffer.shape[1:] != shape[1:] or buffer.dtype != dtype:
        return xp.empty(shape, dtype)
    return buffer


class Dense:
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
        self.W, self.b, self.l1, self.l2 = W, b, l1, l2
        self.dW, self.db = xp.zeros_like(W), xp.zeros_like(b)
        self._output = self._dx = None

    def __repr__(self):
        return f"Dense({self.W.shape[0]} → {self.W.shape[1]})"

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
        """The penalty as it stands, a number to add to the loss."""
        return self.l1 * xp.abs(self.W).sum() + self.l2 * (self.W**2).sum() if self.l1 or self.l2 else 0.0


class Dropout:
    r"""Set each input to zero with probability `rate` and divide the others by 1 − rate, so that means stay the same.

    For training only: to predict, leave the layer out. Source: Srivastava et al. (2014), *Dropout*, section 4.

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

    def backward(self, delta):
        """Return delta (n, n_in), overwritten, where the inputs were kept."""
        delta *= self._kept
        return delta


class SoftmaxCrossEntropy:
    """The loss at the top of a classifier: softmax and mean negative log-likelihood in one stable step."""

    def forward(self, scores, targets):
        """Return the mean loss in nats for scores (n, n_classes), which are overwritten, and targets (n,)."""
        self._log_p, self._targets = log_softmax(scores, out=scores), targets
        return negative_log_likelihood(self._log_p, targets)

    def backward(self):
        r"""Return the gradient with respect to the scores, :math:`(p - \mathrm{onehot}(t)) / n`."""
        n = len(self._targets)
        delta = xp.exp(self._log_p, out=self._log_p)
        delta[xp.arange(n), self._targets] -= 1
        delta /= n
        return delta
