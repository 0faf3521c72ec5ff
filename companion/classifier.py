"""What all classifiers of the book share: scikit-learn's conventions, and the training of a network of layers."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .functions import log_softmax, negative_log_likelihood, softmax, zero_one_loss
from .layers import SoftmaxCrossEntropy
from .optimize import SGD, MovingAverage, Patience
from .training import Training

__all__ = ["Classifier", "initial_weights"]


class Classifier(ClassifierMixin, BaseEstimator):
    """A network with a softmax on top, trained by minibatches; the base of the book's classifiers.

    A subclass has, among its hyper-parameters, ``learning_rate``, ``n_epochs``, ``batch_size``, ``averaging``,
    ``patience``, ``patience_increase``, ``improvement_threshold``, ``random_state`` and ``verbose``, and two methods:

    * ``_initial_parameters(n_features, n_classes, rng)`` returns a dict of arrays on the device;
    * ``_network(parameters, noise)`` returns a `companion.layers.Network` that works on those very arrays; `noise` is
      None where it will only predict.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        What has been learned.
    classes_ : numpy.ndarray (n_classes,)
        The labels, in the order of the network's outputs.
    history_ : companion.training.History
        Losses, validation errors and times.
    """

    def fit(self, X, y, validation=None, checkpoint=None):
        """Learn from images X (n, n_features) and labels y (n,).

        Parameters
        ----------
        validation : (X, y), optional
            Images and labels to choose by: the parameters with the lowest error on them are kept, and training stops
            when the patience is exhausted.
        checkpoint : path-like, optional
            A file to save progress in, and to resume from.

        Raises
        ------
        companion.training.Divergence
            If the loss is no longer finite. The model then has the best parameters so far.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        X, targets = to_device(X), self._encode(y)
        if validation is not None:
            valid_X = to_device(validate_data(self, validation[0], dtype=np.float32, reset=False))
            valid_targets = self._encode(validation[1], len(valid_X))

        rng = generator(self.random_state)
        noise = Noise(rng)
        parameters = self._initial_parameters(X.shape[1], len(self.classes_), rng)
        network, loss = self._network(parameters, noise), SoftmaxCrossEntropy()
        optimizer = self._optimizer(n_updates=self.n_epochs * -(-len(X) // self.batch_size))
        state = optimizer.start(network.parameters)
        average = MovingAverage(network.parameters, self.averaging) if self.averaging else None
        self.parameters_ = average.replace_in(parameters) if average else parameters
        if average:  # then what moves is not what is kept
            state |= parameters | {"averaged": average.updates}
        predictor = self._network(self.parameters_, None)

        def step(indices):
            x, labels = X[indices], targets[indices]
            self._disturb(x, labels, network, loss)
            nll = loss.forward(network.forward(x), labels)
            network.backward(loss.backward())
            cost = nll + network.penalty()
            optimizer.update(network.parameters, network.gradients)
            self._constrain(network)
            if average:
                average.update()
            return cost

        def validate():
            return zero_one_loss(predictor.predict(valid_X).argmax(axis=1), valid_targets)

        self.history_ = Training(
            step,
            len(X),
            parameters=self.parameters_,
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            rng=rng,
            noise=noise,
            state=state,
            validate=validate if validation is not None else None,
            patience=Patience(self.patience, self.patience_increase, self.improvement_threshold),
            checkpoint=checkpoint,
            identity={name: value for name, value in self.get_params().items() if name != "verbose"},
            verbose=self.verbose,
        ).run()
        return self

    def _optimizer(self, n_updates):
        """Return what moves the parameters in a training of `n_updates`."""
        return SGD(self.learning_rate)

    def _disturb(self, x, targets, network, loss):
        """Change a minibatch x (n, n_features), in place, before the network learns from it; here it stays."""

    def _constrain(self, network):
        """Put the parameters back to where they may be, after an update; here they may be anywhere."""

    def _encode(self, y, n=None):
        """Return the labels y as column numbers (n,) on the device."""
        y = np.asarray(y)
        if n is not None and y.shape != (n,):
            raise ValueError(f"labels: expected shape ({n},), one for each image, found {y.shape}")
        columns = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (unknown := self.classes_[columns] != y).any():
            raise ValueError(f"label {y[unknown].tolist()[0]!r} is none of the classes {self.classes_.tolist()}")
        return to_device(columns)

    def _scores(self, X):
        """Return what goes into the softmax, (n, n_classes) on the device."""
        check_is_fitted(self)
        X = to_device(validate_data(self, X, dtype=np.float32, reset=False))
        with one_thread():
            return self._network(self.parameters_, None).predict(X)

    def predict_proba(self, X):
        """Probabilities (n, n_classes) of the classes for images X (n, n_features)."""
        return to_numpy(softmax(self._scores(X)))

    def predict(self, X):
        """The most probable label (n,) of each image in X (n, n_features)."""
        columns = to_numpy(self._scores(X).argmax(axis=1))
        return self.classes_[columns]

    def negative_log_likelihood(self, X, y):
        """Mean of ``-log p(y | x)`` over the images, in nats; penalties are not included."""
        return float(negative_log_likelihood(log_softmax(self._scores(X)), self._encode(y)))

    def errors(self, X, y):
        """Fraction of the images, between 0 and 1, that are given a wrong label."""
        return float(zero_one_loss(self.predict(X), y))


def initial_weights(n_in, n_out, activation, rng):
    r"""Draw a weight matrix for a layer with this activation, float32, on the device.

    * ``"tanh"``: uniform within :math:`\pm\sqrt{6 / (n_{in} + n_{out})}` (Glorot and Bengio, 2010), which keeps the
      variance of activations and of gradients about the same from layer to layer;
    * ``"logistic"``: four times that, because the logistic function is a tanh of slope 1/4;
    * ``"relu"``: normal of variance :math:`2 / n_{in}` (He et al., 2015): half of the inputs are zero.
    """
    if activation == "relu":
        W = rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)
    else:
        bound = np.sqrt(6 / (n_in + n_out)) * (4 if activation == "logistic" else 1)
        W = rng.uniform(-bound, bound, (n_in, n_out))
    return to_device(W, xp.float32)
