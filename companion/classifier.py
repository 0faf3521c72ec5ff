"""What all classifiers of the book share: scikit-learn's conventions, and the training of a network of layers."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy
from .estimator import Estimator, own_copy
from .functions import log_softmax, negative_log_likelihood, softmax, zero_one_loss
from .layers import SoftmaxCrossEntropy
from .optimize import Descent

__all__ = ["Classifier"]


class Classifier(ClassifierMixin, Estimator):
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
        ValueError
            If a hyper-parameter, the images or the labels are not what they must be, or if the checkpoint is that of
            another training: of other settings, data, first parameters or random numbers.
        companion.training.Divergence
            If the loss is no longer finite. The model then has the best parameters so far.
        """
        self._check_settings()
        X = self._check_data(X, reset=True)
        y = self._check_labels(y, len(X))
        self.classes_ = self._classes(y)
        data = [X, self._encode(y, len(X))]
        if validation is not None:
            valid_X = self._check_data(validation[0])
            data += [valid_X, self._encode(validation[1], len(valid_X))]

        rng = generator(self.random_state)
        noise = Noise(rng)
        # Copies: what the first parameters came from, a file or another model, stays as it is.
        first = self._initial_parameters(X.shape[1], len(self.classes_), rng)
        parameters = {name: own_copy(array) for name, array in first.items()}
        network, loss = self._network(parameters, noise), SoftmaxCrossEntropy()
        descent = Descent(self._optimizer(self._n_updates(X)), parameters, network.parameters, self.averaging)
        predictor = self._network(descent.kept, None)

        def step(indices):
            x, labels = X[indices], data[1][indices]
            self._disturb(x, labels, network, loss)
            nll = loss.forward(network.forward(x), labels)
            network.backward(loss.backward())
            cost = nll + network.penalty()
            descent.update(network.gradients, lambda: self._constrain(network))
            return cost

        def validate():
            return zero_one_loss(predictor.predict(data[2]).argmax(axis=1), data[3])

        return self._train(
            step, data, descent, rng=rng, noise=noise, validate=validate if validation is not None else None,
            checkpoint=checkpoint,
        )  # fmt: skip

    def _disturb(self, x, targets, network, loss):
        """Change a minibatch x (n, n_features), in place, before the network learns from it; here it stays."""

    def _constrain(self, network):
        """Put the parameters back to where they may be, after an update; here they may be anywhere."""

    def _check_labels(self, y, n):
        """Return the labels y as a vector (n,) of the host; a column counts as one, with scikit-learn's warning."""
        if y is None:
            raise ValueError("a classifier requires y to be passed, but the target y is None")
        y = column_or_1d(to_numpy(y), warn=True)
        if y.shape != (n,):
            raise ValueError(f"labels: expected shape ({n},), one for each image, found {y.shape}")
        check_classification_targets(y)
        return y

    def _classes(self, y):
        """Return the classes, in order, that a network will tell apart that learns from the labels y."""
        return np.unique(y)

    def _encode(self, y, n):
        """Return the n labels y as column numbers (n,) on the device."""
        y = self._check_labels(y, n)
        if (unknown := ~np.isin(y, self.classes_)).any():
            raise ValueError(f"label {y[unknown].tolist()[0]!r} is none of the classes {self.classes_.tolist()}")
        return to_device(np.searchsorted(self.classes_, y))

    def _scores(self, X):
        """Return what goes into the softmax, (n, n_classes) on the device."""
        check_is_fitted(self)
        X = self._check_data(X)
        with one_thread():
            return self._network(self.parameters_, None).predict(X)

    def predict_proba(self, X):
        """Probabilities (n, n_classes) of the classes for images X (n, n_features)."""
        return to_numpy(softmax(self._scores(X)))

    def predict_log_proba(self, X):
        """Logarithms (n, n_classes), in nats, of the probabilities of the classes for images X (n, n_features)."""
        return to_numpy(log_softmax(self._scores(X)))

    def predict(self, X):
        """The most probable label (n,) of each image in X (n, n_features)."""
        columns = to_numpy(self._scores(X).argmax(axis=1))
        return self.classes_[columns]

    def negative_log_likelihood(self, X, y):
        """Mean of ``-log p(y | x)`` over the images, in nats; penalties are not included."""
        scores = self._scores(X)
        return float(negative_log_likelihood(log_softmax(scores), self._encode(y, len(scores))))

    def errors(self, X, y):
        """Fraction of the images, between 0 and 1, that are given a wrong label."""
        scores = self._scores(X)
        return float(zero_one_loss(scores.argmax(axis=1), self._encode(y, len(scores))))
