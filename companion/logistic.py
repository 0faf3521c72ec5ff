r"""Softmax regression, which the tutorials call logistic regression: one linear layer and a softmax.

.. math:: p(y = k \mid x) = \frac{e^{a_k}}{\sum_j e^{a_j}}, \qquad a = x W + b
"""

from sklearn.utils.validation import check_is_fitted

from .classifier import Classifier
from .layers import Dense, Dropout, Network, blank_parameters

__all__ = ["LogisticRegression"]


class LogisticRegression(Classifier):
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
    class_weight : None, "balanced" or dict, optional
        What an image of each class weighs: see `companion.classifier.Classifier.fit`.
    warm_start : bool
        Whether `fit` begins with what was learned before, if anything was.
    random_state : None, int or generator
        Seeds the order of the minibatches.
    verbose : bool
        Show progress.

    Attributes
    ----------
    W_ : array (n_features, n_classes), on the device
    b_ : array (n_classes,), on the device
    classes_, history_
        See `companion.classifier.Classifier`.
    """

    def __init__(
        self, *, learning_rate=0.13, n_epochs=1000, batch_size=600, l1=0.0, l2=0.0, dropout=0.0, averaging=0.0,
        patience=5000, patience_increase=2.0, improvement_threshold=0.995, class_weight=None, warm_start=False,
        random_state=None, verbose=False,
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
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _shapes(self, n_features, n_classes, names=()):
        return {"W": (n_features, n_classes), "b": (n_classes,)}

    def initial_parameters(self, n_features, n_classes, rng):
        # Zeros will do: the loss is convex, and the columns of W get different gradients from the first step on.
        return blank_parameters(self._shapes(n_features, n_classes))

    def network(self, parameters, noise=None):
        layers = [Dense(parameters["W"], parameters["b"], self.l1, self.l2)]
        if noise and self.dropout:
            layers.insert(0, Dropout(self.dropout, noise))
        return Network(layers)

    @property
    def W_(self):
        """Weights (n_features, n_classes), on the device."""
        check_is_fitted(self, "parameters_")
        return self.parameters_["W"]

    @property
    def b_(self):
        """Biases (n_classes,), on the device."""
        check_is_fitted(self, "parameters_")
        return self.parameters_["b"]
