r"""The autoencoder, which learns codes that its input can be restored from; the denoising one sees it spoilt.

.. math:: h = s(\tilde x W + c), \qquad z = s(h W^\top + b)

Rows are examples: x (n, n_visible), h (n, n_hidden), W (n_visible, n_hidden). Decoder and encoder share their weights.
"""

from types import SimpleNamespace

from sklearn.utils.validation import check_is_fitted

from .backend import Noise, add_scaled, generator, matmul, one_thread, to_device, to_numpy, xp
from .checks import real_array
from .estimator import TiedLayer, check_columns, one_of, own_copy
from .functions import sigmoid, softplus
from .layers import initial_weights
from .optimize import Descent

__all__ = ["DenoisingAutoencoder", "ReconstructionGradient"]


class DenoisingAutoencoder(TiedLayer):
    r"""An autoencoder with tied weights that learns to restore its input from a corrupted copy.

    Sources: Vincent, Larochelle, Bengio and Manzagol (2008), *Extracting and composing robust features with denoising
    autoencoders*; Deep Learning Tutorials (LISA lab), *Denoising Autoencoders*, whose settings are the defaults.

    Parameters
    ----------
    n_hidden : int
    corruption : {"masking", "salt_and_pepper"}
        What becomes of the pixels that are spoilt: 0, or 0 or 1 with equal chances.
    corruption_level : float
        Fraction of the pixels that are spoilt, 0 ≤ level ≤ 1, drawn anew for every minibatch. 0 is the plain
        autoencoder.
    loss : {"cross_entropy", "squared"}
        Between the restored and the clean image, summed over pixels. The first takes pixels as probabilities, 0 to 1.
    activation : {"logistic", "identity"}
        Of code and reconstruction; the identity goes with the squared loss.
    learning_rate, n_epochs, batch_size
    momentum : float
    schedule, decay, warmup
        How the learning rate changes: see `companion.optimize.Schedule`.
    weight_decay : float
        :math:`\lambda` of a penalty :math:`\lambda \|W\|^2 / 2`.
    averaging : float
        As in `companion.optimize.MovingAverage`; 0 for none.
    warm_start : bool
        Whether `fit` begins with what was learned before, if anything was.
    random_state : None, int or generator
        Seeds initial weights, order of the minibatches and corruption.
    verbose : bool
        Show progress.

    Attributes
    ----------
    parameters_, W_, visible_bias_, hidden_bias_
        See `companion.estimator.TiedLayer`.
    pixels_ : bool
        Whether it learned by the cross-entropy, from values from 0 to 1.
    history_ : companion.training.History
        Its ``train_loss`` is that of restoring corrupted images, per image.
    """

    SETTINGS = {
        "corruption": one_of("masking", "salt_and_pepper"),
        "loss": one_of("cross_entropy", "squared"),
        "activation": one_of("logistic", "identity"),
    }
    PIXELS = "cross-entropies", "use loss='squared' with activation='identity'"

    def __init__(
        self, *, n_hidden=500, corruption="masking", corruption_level=0.3, loss="cross_entropy", activation="logistic",
        learning_rate=0.1, n_epochs=15, batch_size=20, momentum=0.0, schedule="constant", decay=0.0, warmup=0,
        weight_decay=0.0, averaging=0.0, warm_start=False, random_state=None, verbose=False,
    ):  # fmt: skip
        self.n_hidden = n_hidden
        self.corruption = corruption
        self.corruption_level = corruption_level
        self.loss = loss
        self.activation = activation
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.momentum = momentum
        self.schedule = schedule
        self.decay = decay
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _takes_pixels(self):
        return self.loss == "cross_entropy"

    # The two halves, on the device.

    def corrupt(self, x, random_state=None):
        """Spoil images x (n, n_visible); `random_state` is a seed, a NumPy generator or a `companion.backend.Noise`."""
        self._check_settings()
        check_columns(self, x)
        x = to_device(real_array("x", x))
        return self._corrupt(x if x.dtype == xp.float64 else x.astype(xp.float32, copy=False), Noise.of(random_state))

    def _corrupt(self, x, noise):
        level = self.corruption_level
        if not level:
            return x.copy()
        uniform = noise.uniform(xp.empty_like(x))
        if self.corruption == "masking":
            return xp.multiply(uniform >= level, x, out=uniform)
        return xp.where(uniform >= level, x, uniform < level / 2)  # of the spoilt pixels half become 1

    def encode(self, x, out=None):
        """Codes (n, n_hidden) of images x (n, n_visible)."""
        h = matmul(self._visible(x), self.W_, out=out)
        h += self.parameters_["hidden_bias"]
        return self._activate(h)

    def decode(self, h):
        """Images (n, n_visible) for codes h (n, n_hidden)."""
        return self._activate(self._before_decoding(h))

    def reconstruct(self, x):
        """What becomes of images x (n, n_visible) on their way through the code."""
        self._check_settings()
        with one_thread():
            return self.decode(self.encode(x))

    def _before_decoding(self, h, out=None):
        a = matmul(self._hidden(h), self.W_.T, out=out)
        a += self.parameters_["visible_bias"]
        return a

    def _activate(self, a):
        return sigmoid(a, out=a) if self.activation == "logistic" else a

    def _losses(self, x, a):
        """Losses (n,) of answering images x (n, n_visible) with the reconstructions that follow from `a`."""
        if self.loss == "cross_entropy":
            return (softplus(a) - x * a).sum(axis=1)
        return ((self._activate(a.copy()) - x) ** 2).sum(axis=1)

    # What scikit-learn asks for.

    def transform(self, X):
        """Codes (n, n_hidden) of X (n, n_features)."""
        with one_thread():
            return to_numpy(self.encode(self._checked(X)))

    def inverse_transform(self, X):
        """Images (n, n_features) for codes X (n, n_hidden)."""
        check_is_fitted(self, "parameters_")
        with one_thread():
            return to_numpy(self.decode(X))

    def reconstruction_error(self, X, corrupted=None):
        """Losses (n,) of restoring X (n, n_features), in nats per image for the cross-entropy.

        Parameters
        ----------
        X : array_like (n, n_features)
        corrupted : array_like (n, n_features), optional
            What the images are restored from; otherwise from themselves.

        Raises
        ------
        ValueError
            If there are not as many of both, or they are no images of this model.
        """
        x = self._checked(X)
        begun = x if corrupted is None else self._checked(corrupted)
        if len(begun) != len(x):
            raise ValueError(f"corrupted: expected as many rows as X has, {len(x)}, found {len(begun)}")
        for images in (x, begun):
            self.check_pixels(images)
        with one_thread():
            a = self._before_decoding(self.encode(begun))
            return to_numpy(self._losses(x, a))

    def score(self, X, y=None):
        """Minus the mean `reconstruction_error` of X: for searches. Labels are ignored."""
        return -float(self.reconstruction_error(X).mean())

    # Learning.

    def _prepare(self, X, first=None):
        rng = generator(self.random_state)
        W, b, c = first.values() if first else (
            initial_weights(X.shape[1], self.n_hidden, self.activation, rng),
            xp.zeros(X.shape[1], xp.float32),
            xp.zeros(self.n_hidden, xp.float32),
        )  # fmt: skip
        moving = self.from_parameters(*map(own_copy, (W, b, c)), loss=self.loss, activation=self.activation)
        descent = Descent(self._optimizer(self._n_updates(X)), moving.parameters_, averaging=self.averaging)
        gradient = ReconstructionGradient(moving)
        return SimpleNamespace(rng=rng, noise=Noise(rng), descent=descent, gradient=gradient, state={})

    def _update(self, at, x):
        loss = at.gradient(self._corrupt(x, at.noise), x)
        if self.weight_decay:
            add_scaled(at.gradient.gradients[0], self.weight_decay, at.gradient.autoencoder.W_)
        at.descent.update(at.gradient.gradients)
        return loss

    def _check_settings(self):
        super()._check_settings()
        if self.activation == "identity" and self.loss == "cross_entropy":
            raise ValueError("the cross-entropy needs reconstructions between 0 and 1; expected activation='logistic'")


class ReconstructionGradient:
    r"""The gradient of the mean loss of a minibatch; W has two terms, for its two places.

    .. math:: \frac{\partial \ell}{\partial W} = \tilde x^\top \delta^{(1)} + \delta^{(2)\top} h
              = \begin{pmatrix} \tilde x \\ \delta^{(2)} \end{pmatrix}^{\!\top}
                \begin{pmatrix} \delta^{(1)} \\ h \end{pmatrix}, \qquad
              \frac{\partial \ell}{\partial b} = \delta^{(2)}, \qquad \frac{\partial \ell}{\partial c} = \delta^{(1)}

    with :math:`\delta^{(2)} = \partial \ell / \partial (h W^\top + b)` and :math:`\delta^{(1)} = (\delta^{(2)} W) \odot
    s'`; the two terms are one matrix product of stacked arrays.

    Parameters
    ----------
    autoencoder : DenoisingAutoencoder

    Attributes
    ----------
    gradients : list of array
        For W, b and c; overwritten by every call.
    """

    def __init__(self, autoencoder):
        self.autoencoder = autoencoder
        self.gradients = [xp.empty_like(parameter) for parameter in autoencoder.parameters_.values()]
        self._rows = 0

    def __call__(self, seen, clean):
        """Set `gradients` for restoring `clean` from `seen`, both (n, n_visible); return the mean loss."""
        model, W, n = self.autoencoder, self.autoencoder.parameters_["W"], len(seen)
        if n > self._rows:  # a shorter minibatch uses part of the buffers
            self._rows = n
            self._v, self._h = (xp.empty((2 * n, size), W.dtype) for size in W.shape)
        V, H = self._v[: 2 * n], self._h[: 2 * n]  # (seen, delta2) and (delta1, h)
        V[:n] = seen
        h, delta1 = model.encode(V[:n], out=H[n:]), H[:n]
        a = model._before_decoding(h, out=V[n:])
        loss = model._losses(clean, a).mean()
        logistic = model.activation == "logistic"
        delta2 = z = model._activate(a)
        if model.loss == "cross_entropy":
            delta2 -= clean
            delta2 /= n
        else:
            slope = z * (1 - z) if logistic else 1.0
            delta2 -= clean
            delta2 *= slope
            delta2 *= 2 / n
        matmul(delta2, W, out=delta1)
        if logistic:
            delta1 *= h
            delta1 *= 1 - h
        matmul(V.T, H, out=self.gradients[0])
        xp.sum(delta2, axis=0, out=self.gradients[1])
        xp.sum(delta1, axis=0, out=self.gradients[2])
        return loss
