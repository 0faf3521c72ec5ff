r"""The multilayer perceptron: layers of hidden units between the image and the softmax.

.. math:: h^{(1)} = s(x W^{(1)} + b^{(1)}), \quad h^{(2)} = s(h^{(1)} W^{(2)} + b^{(2)}), \quad \dots, \quad
          p(y \mid x) = \mathrm{softmax}(h^{(L)} W^{(L + 1)} + b^{(L + 1)})
"""

from itertools import pairwise

from sklearn.utils.validation import check_is_fitted

from .backend import one_thread, to_device, to_numpy, xp
from .classifier import Classifier
from .estimator import one_of
from .functions import log_softmax, softmax
from .layers import (
    ACTIVATIONS,
    BATCH_NORM,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Network,
    SoftmaxCrossEntropy,
    blank_parameters,
    initial_weights,
)
from .optimize import limit_norms

__all__ = ["MLP"]

BESIDE = 0.1  # how far from an image its divergence is differentiated: far enough for float32


class MLP(Classifier):
    """A multilayer perceptron, trained by back-propagation.

    Source: Deep Learning Tutorials (LISA lab), *Multilayer Perceptron*, whose settings are the defaults.

    Parameters
    ----------
    hidden_sizes : tuple of int
        Units of each hidden layer, from the image upwards.
    activation : {"tanh", "logistic", "relu", "identity"}
        With the identity, layers on layers are no more than one: linear.
    learning_rate, n_epochs, batch_size
    optimizer : {"sgd", "adam"}
    momentum : float
        For ``"sgd"``.
    schedule, decay, warmup
        How the learning rate changes: see `companion.optimize.Schedule`.
    l1, l2 : float
        Penalties on all weights, not on biases.
    dropout, input_dropout : float
        Fraction of the hidden units, and of the pixels, that is dropped.
    gaussian_noise : float
        Standard deviation of the noise added to the input of every layer.
    adversarial : float
        How far half of the images of every minibatch are moved, before the network learns from them, in the direction
        in which their loss grows most: a Euclidean distance. Sources: Goodfellow, Shlens and Szegedy (2015),
        *Explaining and harnessing adversarial examples*, section 6, where distance is the greatest change of a pixel;
        with the Euclidean one, Miyato et al. (2016), *Distributional smoothing with virtual adversarial training*.
    virtual_adversarial : float
        How far images are moved, a Euclidean distance, in nearly the direction in which the network's own probabilities
        change most; to the loss is added the Kullback–Leibler divergence of those after from those before, which count
        as given. No label is needed: the images are the `unlabelled` of `fit`; without any, and in `partial_fit`, those
        with labels, half of them moved already where `adversarial` is above 0. Batch normalisation takes mean and
        variance from the images that are not moved; of one alone, which has no variance, from both. Dropout and noise
        make the two differ by themselves; that is counted, too.
        Source: Miyato et al. (2016), sections 2 and 3.
    batch_norm : bool
        Normalise the input of every activation.
    max_norm : float, optional
        The longest that the incoming weights of a hidden unit may be.
    averaging : float
        As in `companion.optimize.MovingAverage`; 0 for none.
    patience, patience_increase, improvement_threshold : float
        Early stopping, used when `fit` is given a validation set: see `companion.optimize.Patience`.
    class_weight : None, "balanced" or dict, optional
        What an image of each class weighs: see `companion.classifier.Classifier.fit`.
    warm_start : bool
        Whether `fit` begins with what was learned before, if anything was.
    random_state : None, int or generator
        Seeds initial weights, order of the minibatches, dropout and noise.
    verbose : bool
        Show progress.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        ``W1`` (n_features, hidden_sizes[0]), ``b1``, ``W2``, ... and, with batch normalisation, ``gamma1``, ``beta1``,
        ``running_mean1``, ``running_var1``, ...
    classes_, history_
        See `companion.classifier.Classifier`.
    """

    SETTINGS = {"activation": one_of(*ACTIVATIONS)}

    def __init__(
        self, *, hidden_sizes=(500,), activation="tanh", learning_rate=0.01, n_epochs=1000, batch_size=20,
        optimizer="sgd", momentum=0.0, schedule="constant", decay=0.0, warmup=0, l1=0.0, l2=1e-4, dropout=0.0,
        input_dropout=0.0, gaussian_noise=0.0, adversarial=0.0, virtual_adversarial=0.0, batch_norm=False,
        max_norm=None, averaging=0.0, patience=10000, patience_increase=2.0, improvement_threshold=0.995,
        class_weight=None, warm_start=False, random_state=None, verbose=False,
    ):  # fmt: skip
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.momentum = momentum
        self.schedule = schedule
        self.decay = decay
        self.warmup = warmup
        self.l1 = l1
        self.l2 = l2
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.gaussian_noise = gaussian_noise
        self.adversarial = adversarial
        self.virtual_adversarial = virtual_adversarial
        self.batch_norm = batch_norm
        self.max_norm = max_norm
        self.averaging = averaging
        self.patience = patience
        self.patience_increase = patience_increase
        self.improvement_threshold = improvement_threshold
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _shapes(self, n_features, n_classes, names=()):
        sizes, shapes = [n_features, *self.hidden_sizes, n_classes], {}
        for i, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            shapes |= {f"W{i}": (n_in, n_out), f"b{i}": (n_out,)}
            if self.batch_norm and i <= len(self.hidden_sizes):
                shapes |= {f"{name}{i}": (n_out,) for name in BATCH_NORM}
        return shapes

    def initial_parameters(self, n_features, n_classes, rng):
        parameters = blank_parameters(MLP._shapes(self, n_features, n_classes))  # the top layer stays so
        for i in range(1, len(self.hidden_sizes) + 1):
            W = parameters[f"W{i}"]
            parameters[f"W{i}"] = initial_weights(*W.shape, self._activation(i), rng)
        return parameters

    def _activation(self, number):
        """Return the activation of hidden layer `number`; they count from 1."""
        return self.activation

    def network(self, parameters, noise=None):
        layers = []
        for i in range(1, len(self.hidden_sizes) + 2):
            if noise and (rate := self.input_dropout if i == 1 else self.dropout):
                layers.append(Dropout(rate, noise))
            if noise and self.gaussian_noise:
                layers.append(GaussianNoise(self.gaussian_noise, noise))
            layers.append(Dense(parameters[f"W{i}"], parameters[f"b{i}"], self.l1, self.l2))
            if i <= len(self.hidden_sizes):
                if self.batch_norm:
                    layers.append(BatchNorm(*(parameters[f"{name}{i}"] for name in BATCH_NORM)))
                layers.append(ACTIVATIONS[self._activation(i)]())
        return Network(layers)

    def _propagate(self, at, x, targets, weights):
        if self.adversarial:
            half = -(-len(x) // 2)
            x[:half] += _as_long_as(self.adversarial, _input_gradient(at.network, at.loss, x[:half], targets[:half]))
        if not self.virtual_adversarial:
            return super()._propagate(at, x, targets, weights)
        try:
            return self._propagate_moved(at, x, targets, weights)
        finally:  # an interrupt, too, leaves the network as the next minibatch expects it
            _normalise_by(None, at.network)

    def _propagate_moved(self, at, x, targets, weights):
        n, clean = len(x), x
        if at.unlabelled is not None:
            u = at.unlabelled[to_device(at.rng.integers(len(at.unlabelled), size=n))]
            clean = xp.concatenate([x, u]) if self.batch_norm else u
        p = softmax(at.network.forward(clean)[-n:])  # the network's own labels, which count as given
        moved = clean[-n:] + self._virtual_move(at, clean[-n:], p)
        first = clean if self.batch_norm else x
        _normalise_by(len(first) if len(first) > 1 else None, at.network)  # one alone has no variance
        scores = at.network.forward(xp.concatenate([first, moved]))
        nll = at.loss.forward(scores[:n], targets, weights)
        log_q = log_softmax(scores[-n:])
        divergence = (p * (xp.log(xp.maximum(p, 1e-30)) - log_q)).sum() / n  # the limit of 0 log 0 is 0
        between = xp.zeros_like(scores[n:-n])  # images without labels that are not moved
        at.network.backward(xp.concatenate([at.loss.backward(), between, (xp.exp(log_q) - p) / n]))
        return nll + divergence

    def _virtual_move(self, at, u, p):
        """Return for images u (n, n_features) the moves that change their probabilities p (n, n_classes) most.

        At u itself the divergence has its minimum; a little beside it the gradient is the Hessian times the way there.
        That product turns a random direction towards the first eigenvector: one step of power iteration.
        """
        beside = u + _as_long_as(BESIDE, at.noise.normal(xp.empty_like(u)))
        _normalise_by(0, at.network)
        delta = softmax(at.network.forward(beside)) - p
        return _as_long_as(self.virtual_adversarial, at.network.backward(delta, need_dx=True))

    def _constrain(self, network):
        if self.max_norm:
            for layer in network.layers[:-1]:
                if isinstance(layer, Dense):
                    limit_norms(layer.W, self.max_norm)

    def input_gradient(self, X, y):
        """Gradient of ``-log p(y | x)``, in nats, with respect to the pixels of each image.

        Parameters
        ----------
        X : array_like (n, n_features)
        y : array_like (n,)

        Returns
        -------
        numpy.ndarray (n, n_features)

        Raises
        ------
        ValueError
            If the network has batch normalisation, because of which the loss of an image depends on other images.
        """
        check_is_fitted(self)
        if self.batch_norm:
            raise ValueError("input_gradient: expected a network without batch normalisation, found one with it")
        X = self._check_data(X)
        network, targets = self._fitted_network(), self._encode(y, len(X))
        with one_thread():
            return len(X) * to_numpy(_input_gradient(network, SoftmaxCrossEntropy(), X, targets))


def _normalise_by(n_rows, network):
    """Let the first rows of what comes next, all of them (None) or what came last (0) decide mean and variance."""
    for layer in network.layers:
        if isinstance(layer, BatchNorm):
            layer.n_rows = n_rows


def _as_long_as(length, moves):
    """Give each of the moves (n, n_features), in place, this length; one of nearly no length hardly grows."""
    moves *= (length / xp.maximum(xp.sqrt(xp.einsum("ij,ij->i", moves, moves)), 1e-12))[:, None]
    return moves


def _input_gradient(network, loss, x, targets):
    """Return the gradient of the mean loss of a minibatch with respect to x (n, n_features)."""
    loss.forward(network.forward(x), targets)
    return network.backward(loss.backward(), need_dx=True)
