r"""Softmax regression, which the tutorials call logistic regression: one linear layer and a softmax.

.. math:: p(y = k \mid x) = \frac{e^{a_k}}{\sum_j e^{a_j}}, \qquad a = x W + b
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .backend import Noise, generator, to_device, to_numpy, xp
from .functions import log_softmax, negative_log_likelihood, softmax, zero_one_loss
from .layers import Dense, Dropout, SoftmaxCrossEntropy
from .optimize import SGD, MovingAverage, Patience
from .training import Training

__all__ = ["LogisticRegression"]


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """Softmax regression, trained by minibatch gradient descent.

    Source: Deep Learning Tutorials (LISA lab), *Classifying MNIST digits using Logistic Regression*, whose settings
    are the defaults.

    Parameters
    ----------
    learning_rate : float
    n_epochs : int
        At most so many; with a validation set the patience usually ends training earlier.
    batch_size : int
    l1, l2 : float
        Penalties on the weights, not on the biases: l1 times the sum of the absolute values, l2 times the sum of the
        squares, added to the loss.
    dropout : float
        Fraction of the inputs that is set to zero, drawn anew for every minibatch (see `companion.layers.Dropout`).
    averaging : float
        0 keeps the parameters as they come; d < 1 keeps their running average with this decay (see
        `companion.optimize.MovingAverage`), which is what is validated and predicts.
    patience, patience_increase, improvement_threshold : float
        Early stopping, used when `fit` is given a validation set: see `companion.optimize.Patience`.
    random_state : None, int or generator
        Seeds the order of the minibatches.
    verbose : bool
        Show progress.

    Attributes
    ----------
    W_ : array (n_features, n_classes), on the device
    b_ : array (n_classes,), on the device
    classes_ : numpy.ndarray (n_classes,)
        The labels, in the order of the columns of `W_`.
    history_ : History
        Losses, validation errors and times.
    """

    def __init__(
        self, *, learning_rate=0.13, n_epochs=1000, batch_size=600, l1=0.0, l2=0.0, dropout=0.0,
        averaging=0.0, patience=5000, patience_increase=2.0, improvement_threshold=0.995, random_state=None, verbose=False,
    ):  # fmt: skip
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.l1 = l1
        self.l2 = l2
        self.dropout = dropout
        self.averaging = averaging
        self.patience = patience
        self.patience_increase = patience_increase
        self.improvement_threshold = improvement_threshold
        self.random_state = random_state
        self.verbose = verbose

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
        W = xp.zeros((X.shape[1], len(self.classes_)), xp.float32)
        b = xp.zeros(len(self.classes_), xp.float32)
        layer, loss, optimizer = Dense(W, b, self.l1, self.l2), SoftmaxCrossEntropy(), SGD(self.learning_rate)
        rng = generator(self.random_state)
        noise = Noise(rng)
        dropout = Dropout(self.dropout, noise) if self.dropout else None
        average = MovingAverage([W, b], self.averaging) if self.averaging else None
        self.W_, self.b_ = average.averages if average else (W, b)

        def step(indices):
            x = dropout.forward(X[indices]) if dropout else X[indices]
            nll = loss.forward(layer.forward(x), targets[indices])
            layer.backward(loss.backward(), need_dx=False)
            cost = nll + layer.penalty()
            optimizer.update([W, b], [layer.dW, layer.db])
            if average:
                average.update()
            return cost

        if validation is not None:
            valid_X = to_device(validate_data(self, validation[0], dtype=np.float32, reset=False))
            valid_targets = self._encode(validation[1])
            if valid_targets.shape != (len(valid_X),):
                expected = f"({len(valid_X)},), one for each image"
                raise ValueError(f"validation labels: expected shape {expected}, found {valid_targets.shape}")

        def validate():
            return zero_one_loss((valid_X @ self.W_ + self.b_).argmax(axis=1), valid_targets)

        self.history_ = Training(
            step,
            len(X),
            parameters={"W": self.W_, "b": self.b_},
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            rng=rng,
            noise=noise,
            state={"W": W, "b": b, "updates": average.updates} if average else None,
            validate=validate if validation is not None else None,
            patience=Patience(self.patience, self.patience_increase, self.improvement_threshold),
            checkpoint=checkpoint,
            identity={name: value for name, value in self.get_params().items() if name != "verbose"},
            verbose=self.verbose,
        ).run()
        return self

    def _encode(self, y):
        """Return the labels y (n,) as column numbers on the device."""
        columns = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (unknown := self.classes_[columns] != y).any():
            raise ValueError(
                f"label {np.asarray(y)[unknown].tolist()[0]!r} is none of the classes {self.classes_.tolist()}"
            )
        return to_device(columns)

    def _scores(self, X):
        check_is_fitted(self)
        X = to_device(validate_data(self, X, dtype=np.float32, reset=False))
        return X @ self.W_ + self.b_

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
