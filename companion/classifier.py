"""What all classifiers of the book share: scikit-learn's conventions, and the training of a network of layers."""

from types import SimpleNamespace

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .checks import check_pair, check_undated, check_unmasked
from .estimator import Estimator, own_copy, stays_if_refused
from .functions import log_softmax, negative_log_likelihood, softmax, zero_one_loss
from .layers import SoftmaxCrossEntropy
from .optimize import Descent
from .training import finite_scores

__all__ = ["Classifier"]


class Classifier(ClassifierMixin, Estimator):
    """A network with a softmax on top, trained by minibatches; the base of the book's classifiers.

    A subclass has, among its hyper-parameters, ``learning_rate``, ``n_epochs``, ``batch_size``, ``averaging``,
    ``patience``, ``patience_increase``, ``improvement_threshold``, ``class_weight``, ``warm_start``, ``random_state``
    and ``verbose``, and two methods:

    * ``initial_parameters(n_features, n_classes, rng)`` returns a dict of arrays on the device;
    * ``network(parameters, noise=None)`` returns a `companion.layers.Network` that works on those very arrays; without
      `noise` it will only predict.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        What has been learned.
    classes_ : numpy.ndarray (n_classes,)
        The labels, in the order of the network's outputs.
    history_ : companion.training.History
        Losses, validation errors and times.
    """

    @stays_if_refused
    def fit(self, X, y, validation=None, checkpoint=None, sample_weight=None, unlabelled=None):
        """Learn from images X (n, n_features) and labels y (n,).

        Parameters
        ----------
        validation : (X, y), optional
            Images and labels to choose by: the parameters with the lowest error on them are kept, and training stops
            when the patience is exhausted.
        checkpoint : path-like, optional
            A file to save progress in, and to resume from.
        sample_weight : array_like (n,), optional
            What each image weighs in the loss, beside its class (`class_weight`); only their ratios count, since the
            weights are divided by their mean. An image of weight 2 counts as two, in the mean over minibatches. What
            `virtual_adversarial` adds has no weights, nor have the means and variances of batch normalisation, nor
            pretraining: there every image counts as one.
        unlabelled : array_like (m, n_features), optional
            Images without labels, for a network with `virtual_adversarial`: an equal number is drawn beside each
            minibatch.

        Raises
        ------
        ValueError
            If a hyper-parameter, the images or the labels are not what they must be, or if the checkpoint is that of
            another training: of other settings, data, first parameters or random numbers.
        companion.training.Divergence
            If the loss, or a score on the validation set, is no longer finite. The model then has the best parameters
            so far.
        """
        self._check_settings()
        goes_on, given = self._goes_on(), self._given()
        X, targets, weights, *valid = self._examples(X, y, validation, sample_weight)
        data = [X, targets, *valid] if weights is None else [X, targets, weights, *valid]
        if unlabelled is not None:
            if not getattr(self, "virtual_adversarial", 0):
                raise ValueError("unlabelled: expected images only where virtual_adversarial is above 0, found some")
            data.append(unlabelled := self._check_unlabelled(unlabelled))
        at = self._prepare(X, given if goes_on else None)
        at.unlabelled = unlabelled
        predictor = self.network(at.descent.kept)

        def step(indices):
            return self._update(at, X[indices], targets[indices], weights if weights is None else weights[indices])

        def validate():
            return zero_one_loss(finite_scores(predictor.predict(valid[0])).argmax(axis=1), valid[1])

        return self._train(step, data, at, given=given, validate=validate if valid else None, checkpoint=checkpoint)

    def _examples(self, X, y, validation, sample_weight):
        """Return, on the device, what `fit` was given: X, targets, weights or None, and X and targets to choose by.

        The columns and the classes are those that the model has from now on, unless it begins with what it learned.
        """
        X = self._check_data(X, reset=self._given() is None)
        self._check_batches(len(X))
        y = self._check_labels(y, len(X))
        if not self._goes_on():
            self.classes_ = self._classes(y)
        weights = self._weights(X, y, sample_weight)
        if weights is not None:
            if not weights.sum() > 0:
                raise ValueError("sample_weight: expected a weight above 0 somewhere, found none")
            weights = to_device(weights / weights.mean(), xp.float32)  # the rate means the same, whatever their scale
        examples = [X, self._encode(y, len(X)), weights]
        if validation is not None:
            valid_X, valid_y = check_pair(validation)
            valid_X = self._check_data(valid_X)
            examples += [valid_X, self._encode(valid_y, len(valid_X))]
        return examples

    @stays_if_refused
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go once over images X (n, n_features) with labels y (n,), in minibatches; call it again to go on.

        What training works with (momenta, averages, random numbers) goes on too, as long as the hyper-parameters stay,
        also in a pickled copy; the schedule runs over ``n_epochs`` times what the first call was given.

        Parameters
        ----------
        classes : array_like (n_classes,)
            All the labels there will be; needed at the first call, unless the model was fitted before.
        sample_weight : array_like (n,), optional
            How much each image counts: here as it is, not divided by the mean, which may change from call to call.

        Raises
        ------
        ValueError
            As `fit`; or if ``class_weight`` is "balanced", for which all examples would have to be known.
        companion.training.Divergence
            If the loss is no longer finite. The model is then as it was before.
        """
        self._check_settings()
        first = self.parameters_ if self._has_learned() else None
        X, targets, weights = self._more_examples(X, y, classes, sample_weight)
        return self._pass_over(
            lambda: self._prepare(X, first),
            lambda at, i: self._update(at, X[i], targets[i], weights if weights is None else weights[i]),
            len(X),
        )

    def _more_examples(self, X, y, classes, sample_weight):
        """Return, on the device, what `partial_fit` was given: X, targets, and weights or None."""
        X = self._check_data(X, reset="parameters_" not in vars(self))
        self._check_batches(len(X))
        if isinstance(classes, set | frozenset):  # of which NumPy would make one object
            classes = list(classes)
        if not self._has_learned():
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit")
            classes = check_words("classes", classes)
            check_classification_targets(np.repeat(classes, 2))  # once each might be numbers to regress on
            self.classes_ = self._classes(np.unique(classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"expected the classes {self.classes_.tolist()}, found {np.unique(classes).tolist()}")
        y = self._check_labels(y, len(X))
        if self.class_weight == "balanced":
            raise ValueError("class_weight is 'balanced', which takes all examples to be known; expected a dict")
        weights = self._weights(X, y, sample_weight)
        return X, self._encode(y, len(X)), weights if weights is None else to_device(weights, xp.float32)

    def _check_batches(self, n):
        """Raise ValueError if batch normalisation would see single rows: each is its own mean, and nothing is left."""
        if getattr(self, "batch_norm", False) and min(self.batch_size, n) == 1:
            raise ValueError(f"batch_norm: expected minibatches of two rows or more, found "
                             f"batch_size={self.batch_size}, n_samples={n}")  # fmt: skip

    def _has_learned(self):
        """Return whether there is a network that classifies."""
        return "parameters_" in vars(self) and "classes_" in vars(self)

    def _goes_on(self):
        return self.warm_start and self._has_learned()

    def _prepare(self, X, first=None):
        """Return what a training on X works with; `first` are parameters to begin with, otherwise there are fresh ones.

        What moves are copies: what the first parameters came from, a file or another model, stays as it is.
        """
        rng = generator(self.random_state)
        noise = Noise(rng)
        if first is None:
            first = self.initial_parameters(X.shape[1], len(self.classes_), rng)
            self._suit(first, X)
        else:
            self._check_parameters(first, X.shape[1], len(self.classes_))
        parameters = {name: own_copy(array) for name, array in first.items()}
        network = self.network(parameters, noise)
        descent = Descent(self._optimizer(self._n_updates(X)), parameters, network.parameters, self.averaging)
        return SimpleNamespace(
            rng=rng, noise=noise, network=network, loss=SoftmaxCrossEntropy(), descent=descent, unlabelled=None
        )

    def _suit(self, parameters, X):
        """Change fresh parameters, in place, so that they suit the images X that training begins with; here they do."""

    def _update(self, at, x, targets, weights=None):
        """Make one update on the minibatch x (n, n_features) with its targets (n,); return its loss and penalty."""
        cost = self._propagate(at, x, targets, weights) + at.network.penalty()
        at.descent.update(at.network.gradients, lambda: self._constrain(at.network))
        return cost

    def _propagate(self, at, x, targets, weights):
        """Return the loss of the minibatch, penalties left out; the gradients, theirs too, are then in the network."""
        nll = at.loss.forward(at.network.forward(x), targets, weights)
        at.network.backward(at.loss.backward())
        return nll

    def _check_unlabelled(self, unlabelled):
        """Return images without labels as `_check_data` does, or raise ValueError, which says that it is about them."""
        try:
            return self._check_data(unlabelled)
        except ValueError as reason:
            raise ValueError(f"unlabelled: {reason}") from None

    def _weights(self, X, y, sample_weight):
        """Return the weights (n,) of the images, as they were given; None if all are the same."""
        if sample_weight is None and self.class_weight is None:
            return None
        check_unmasked("sample_weight", sample_weight)
        check_undated("sample_weight", sample_weight)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.class_weight is None:
            return weights
        if not isinstance(self.class_weight, dict):  # balanced: the classes count alike, weights and all
            names, columns = np.unique(y, return_inverse=True)
            together = len(names) * np.bincount(columns, weights)
            return weights * (weights.sum() / np.where(together > 0, together, 1))[columns]
        # Of all classes, whether they occur in y or not. scikit-learn would take the word "1" for the number.
        given, classes = self.class_weight, self.classes_.tolist()
        if not given.keys() <= set(classes) and not set(classes) <= given.keys():
            raise ValueError(f"class_weight: expected weights of the classes {classes}, found {given}")
        return weights * np.array([given.get(label, 1.0) for label in classes])[to_numpy(self._encode(y, len(X)))]

    def _constrain(self, network):
        """Put the parameters back to where they may be, after an update; here they may be anywhere."""

    def _check_labels(self, y, n):
        """Return the labels y as a vector (n,) of the host; a column counts as one, with scikit-learn's warning."""
        if y is None:
            raise ValueError("a classifier requires y to be passed, but the target y is None")
        check_unmasked("y", y)
        y = column_or_1d(check_words("labels", y), warn=True)
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
        with_and_without_sign = {y.dtype.kind, self.classes_.dtype.kind} == {"i", "u"}
        alike = y.astype(self.classes_.dtype) if with_and_without_sign else y  # NumPy would look them up as float64
        if (unknown := unknown_labels(alike, self.classes_) | (alike != y)).any():
            raise ValueError(f"label {y[unknown].tolist()[0]!r} is none of the classes {self.classes_.tolist()}")
        return to_device(np.searchsorted(self.classes_, alike))

    def _scores(self, X):
        """Return what goes into the softmax, (n, n_classes) on the device."""
        check_is_fitted(self)
        X = self._check_data(X)
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):
            return finite_scores(self._fitted_network().predict(X))

    def _fitted_network(self):
        """Return the network that predicts, or raise ValueError if it cannot be that of the settings."""
        self._check_parameters(self.parameters_, self.n_features_in_, len(getattr(self, "classes_", ())))
        return self.network(self.parameters_)

    # All of these raise `companion.training.Divergence` if the weights are so large that the scores are not finite.

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


def check_words(name, labels):
    """Return labels as an array on the host; ValueError if one is missing, or among words is none, or a mask is on.

    NumPy would make words of what stands in a list beside words: "nan", "5".
    """
    check_unmasked(name, labels)
    given = labels if isinstance(labels, list | tuple) else []
    array = to_numpy(labels)
    if array.dtype.kind == "U" and not all(isinstance(label, str) for label in np.ravel(np.array(given, object))):
        array = np.array(given, object)
    if array.dtype == object:
        flat = array.ravel()
        if missing := [i for i, label in enumerate(flat) if _is_missing(label)]:
            raise ValueError(f"{name}: expected one for each image, found {flat[missing[0]]!r} for image {missing[0]}")
        words = [isinstance(label, str) for label in flat]
        if any(words) and not all(words):
            raise ValueError(
                f"{name}: expected words, or numbers, found both: {flat[words.index(False)]!r} among words"
            )
    if array.dtype.kind in "mMVT":  # T: words that scikit-learn does not know yet
        raise ValueError(f"{name}: expected numbers, or words as str or object, found {array.dtype}")
    return array


def _is_missing(label):
    """Return whether a label is none: None, not a number, or what will not say whether it is itself, as pandas' NA."""
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):
        return True


def unknown_labels(y, classes):
    """Return which of the labels y (n,) are none of the classes; no word is one of numbers, nor a number one of words.

    NumPy may compare the number 10 with the word "10", which comes before the word "2".
    """
    words = [array.dtype.kind in "OUS" for array in (y, classes)]
    return ~np.isin(y, classes) if words[0] == words[1] else np.ones(len(y), bool)
