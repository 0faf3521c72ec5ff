"""Greedy layer-wise pretraining: what deep belief networks and stacked autoencoders have in common."""

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .backend import generator, one_thread, to_numpy, xp
from .estimator import Encoder, check_options, know_columns, real_arrays, stays_if_refused
from .layers import ACTIVATIONS, BATCH_NORM, BatchNorm, Dense, Network
from .mlp import MLP
from .training import Divergence, beside

__all__ = ["PretrainedMLP"]


class PretrainedMLP(Encoder, MLP):
    """A multilayer perceptron of logistic units whose hidden layers first learn from images alone, one after another.

    Each layer is the upward half of a small model that learns to describe its input: the images for the first, the
    codes of the layer below for the others. Then the whole network is fine-tuned by back-propagation. Source: Bengio,
    Lamblin, Popovici and Larochelle (2007), *Greedy layer-wise training of deep networks*.

    A subclass names that model, `layer_class`: an estimator with ``parameters_`` W, visible_bias and hidden_bias, and
    with ``from_parameters``.

    Parameters
    ----------
    hidden_sizes : tuple of int
        Units of each hidden layer, from the image upwards.
    pretraining : dict, optional
        Options of `layer_class`; a tuple gives every layer a value of its own. They replace those in
        `PRETRAINING`, the tutorial's.
    learning_rate, n_epochs, batch_size, optimizer, momentum, schedule, decay, warmup, l2, dropout, input_dropout
        Of the fine-tuning, as are all that follow: see `companion.mlp.MLP`.
    gaussian_noise, adversarial, virtual_adversarial, max_norm, averaging
    batch_norm : bool
        Normalise the input of every activation; scale and shift begin with the spread and the mean of these inputs, so
        that fine-tuning begins with the codes that the layers have learned. It leaves layers that generate nothing.
    patience, patience_increase, improvement_threshold
    class_weight : None, "balanced" or dict, optional
        What an image of each class weighs: see `companion.classifier.Classifier.fit`.
    warm_start : bool
        Whether `fit` begins with what was learned before, if anything was.
    random_state : None, int or generator
        Seeds both phases.
    verbose : bool
        Show progress.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        ``W1``, ``b1``, ``visible_bias1``, ``W2``, ...: those of the layers, and, after `fit`, of the softmax on top.
    layers_ : list of estimator
        The layers as models, on the very arrays of the network: what changes one changes the other.
    pretraining_histories_ : list of companion.training.History
        One for each layer.
    classes_, history_
        See `companion.classifier.Classifier`; of the fine-tuning.
    """

    layer_class, PRETRAINING = None, {}
    l1 = 0.0

    def __init__(
        self, *, hidden_sizes=(1000, 1000, 1000), pretraining=None, learning_rate=0.1, n_epochs=1000, batch_size=10,
        optimizer="sgd", momentum=0.0, schedule="constant", decay=0.0, warmup=0, l2=0.0, dropout=0.0,
        input_dropout=0.0, gaussian_noise=0.0, adversarial=0.0, virtual_adversarial=0.0, batch_norm=False,
        max_norm=None, averaging=0.0, patience=20000, patience_increase=2.0, improvement_threshold=0.995,
        class_weight=None, warm_start=False, random_state=None, verbose=False,
    ):  # fmt: skip
        self.hidden_sizes = hidden_sizes
        self.pretraining = pretraining
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.momentum = momentum
        self.schedule = schedule
        self.decay = decay
        self.warmup = warmup
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

    @classmethod
    def from_parameters(cls, parameters, classes=None, **hyperparameters):
        """Make a network that needs no training.

        Parameters
        ----------
        parameters : dict of str to array
            Named as in ``parameters_``; anything but float64 becomes float32. Arrays that fit are shared, not copied.
        classes : array_like (n_classes,), optional
            The labels, in order, if the parameters know of any; 0, 1, 2, ... if not given.

        Raises
        ------
        ValueError
            If an array of a layer is missing, if there is one of another name, if they are not of finite real numbers,
            or if shapes, sizes and classes do not fit each other.
        """
        depth = max(1, _depth(parameters))
        needed = [f"{name}{number}" for number in range(1, depth + 1) for name in ("W", "b", "visible_bias")]
        if missing := [name for name in needed if name not in parameters]:
            raise ValueError(f"expected parameters W1, b1, visible_bias1, ..., found no {', '.join(missing)}")
        arrays = real_arrays(parameters, "W1")
        network = cls(**{"hidden_sizes": tuple(arrays[f"b{n}"].size for n in range(1, depth + 1))} | hyperparameters)
        network._pretrained = f"W{depth + 1}" not in arrays
        outputs = [arrays[name].size for name in ("label_bias", f"b{depth + 1}") if name in arrays]
        if outputs:
            classes = np.arange(outputs[0]) if classes is None else np.array(classes)
            if {classes.size} != set(outputs):
                biases = " and ".join(map(str, outputs))
                raise ValueError(f"expected as many classes as there are biases, found {classes.size}, and {biases}")
        network._restore(arrays, len(arrays["visible_bias1"]), classes if outputs else None)
        network.parameters_ = arrays  # the very ones, where `_restore` has copies
        return network

    @stays_if_refused
    def pretrain(self, X, y=None, *, watch=None, checkpoint=None):
        """Train the layers one after another on images X (n, n_features), without labels.

        The codes of a layer are computed once, when it has learned, and are what the next one learns from.

        Parameters
        ----------
        X : array_like (n, n_features)
        y : ignored
        watch : callable, optional
            ``watch(number, layer)`` is called after every epoch; numbers begin with 1.
        checkpoint : path-like, optional
            Progress is saved beside it, a file for each layer, and resumed from there.

        Raises
        ------
        ValueError
            If a hyper-parameter, of the network or of a layer, or the images are not what they must be.
        companion.training.Divergence
            If the loss of a layer is no longer finite. The layers below it are kept; `fit` begins with pretraining.
        KeyboardInterrupt
            If interrupted. What was learned is kept; layers above start, in `fit`, from random weights.
        """
        self._check_settings()
        codes = self._check_data(X, reset=True)
        self.parameters_, self.pretraining_histories_, self._pretrained = {}, [], True
        for name in ("classes_", "history_"):  # of an earlier fit
            vars(self).pop(name, None)
        n_layers = len(self.hidden_sizes)
        rngs = [None] * n_layers if self.random_state is None else generator(self.random_state).spawn(n_layers)
        for number, rng in enumerate(rngs, start=1):
            layer = self._new_layer(number, rng)
            if self.verbose:
                print(f"Layer {number}: {codes.shape[1]} to {layer.n_hidden}")
            try:
                self._fit_layer(
                    number,
                    layer,
                    codes,
                    y,
                    watch=watch and (lambda layer, number=number: watch(number, layer)),
                    checkpoint=beside(checkpoint, f"layer{number}"),
                )
            except Divergence:
                self._pretrained = False  # `fit` will do it again
                raise
            if number == 1:
                know_columns([self], layer)
            self.pretraining_histories_.append(layer.history_)
            if layer.history_.stopped == "interrupt":
                raise KeyboardInterrupt
            if number < len(rngs):
                codes = self._encoder(number, number).predict(codes)
        return self

    def _options(self, number):
        """Return the options of layer `number`, those of the tutorial where there are no others."""
        options = self.PRETRAINING | (self.pretraining or {})
        for name, value in options.items():
            if isinstance(value, tuple | list):
                if len(value) != len(self.hidden_sizes):
                    raise ValueError(
                        f"pretraining: {name} is {value!r}; expected one value, or {len(self.hidden_sizes)}, one for "
                        "each hidden layer"
                    )
                options[name] = value[number - 1]
        return options

    def _new_layer(self, number, rng):
        """Return the untrained model for layer `number`."""
        n_hidden = self.hidden_sizes[number - 1]
        return self.layer_class(
            **{"n_hidden": n_hidden, "verbose": self.verbose} | self._options(number), random_state=rng
        )

    def _check_settings(self):
        super()._check_settings()
        check_options(self.pretraining, self.layer_class, {"n_hidden", "random_state"})  # which the network decides
        for number in range(1, len(self.hidden_sizes) + 1):
            self._new_layer(number, None)._check_settings()

    def _activation(self, number):
        return getattr(self._new_layer(number, None), "activation", "logistic")

    def _fit_layer(self, number, layer, codes, y, **options):
        """Train `layer` on the codes (n, n_in) below it, and keep its parameters."""
        layer.fit(to_numpy(codes), **options)
        self._keep_layer(number, layer.parameters_)

    def _keep_layer(self, number, parameters):
        names = {"W": "W", "hidden_bias": "b", "visible_bias": "visible_bias"}
        self.parameters_ |= {f"{names[name]}{number}": array for name, array in parameters.items()}

    @property
    def layers_(self):
        """The layers as models of their input, from the image upwards; they share the arrays of the network."""
        check_is_fitted(self, "parameters_")
        layers = [
            self.layer_class.from_parameters(
                *(self.parameters_[f"{name}{number}"] for name in ("W", "visible_bias", "b")), **self._options(number)
            )
            for number in range(1, self._depth + 1)
        ]
        know_columns(layers[:1], self)
        return layers

    @property
    def _depth(self):
        return _depth(self.parameters_)

    def _encoder(self, first, last):
        """Return the network from the input of layer `first` to the codes of layer `last`."""
        layers = []
        for number in range(first, last + 1):
            layers.append(Dense(self.parameters_[f"W{number}"], self.parameters_[f"b{number}"]))
            if f"gamma{number}" in self.parameters_:  # fine-tuned with it
                layers.append(BatchNorm(*(self.parameters_[f"{name}{number}"] for name in BATCH_NORM)))
            layers.append(ACTIVATIONS[self._activation(number)]())
        return Network(layers)

    def _check_depth(self):
        """Raise NotFittedError unless all layers have learned."""
        check_is_fitted(self, "parameters_")
        if self._depth < len(self.hidden_sizes):
            raise NotFittedError(
                f"of the {len(self.hidden_sizes)} layers of this {type(self).__name__} {self._depth} have learned: "
                "pretraining ended early. Call pretrain again"
            )

    def transform(self, X):
        """The codes (n, hidden_sizes[-1]) at the top, for images X (n, n_features)."""
        self._check_depth()
        self._check_settings()
        X = self._check_data(X)
        with one_thread():
            return to_numpy(self._encoder(1, self._depth).predict(X))

    @property
    def _n_features_out(self):
        return self.hidden_sizes[-1] if self.hidden_sizes else self.n_features_in_

    @stays_if_refused
    def fit(self, X, y, validation=None, checkpoint=None, sample_weight=None, unlabelled=None):
        """Fine-tune by back-propagation, after `pretrain` if that has not been called since the last fit.

        See `companion.classifier.Classifier.fit`. If there are images without labels, the layers learn to describe
        these, unless they have learned already; without `virtual_adversarial` the fine-tuning leaves them aside. What
        moves are copies of the pretrained parameters, which then take their place in the network: to fine-tune the same
        layers several times, copy the pretrained model (``copy.deepcopy``). Interrupted while it pretrains, it begins
        anew the next time, or goes on from the checkpoint.
        """
        self._check_settings()
        fresh = self._given() is None
        if fresh or unlabelled is not None:  # before the long part
            self._examples(X, y, validation, sample_weight)
        if unlabelled is not None:
            self._check_unlabelled(unlabelled)
        if fresh:
            names = vars(self).get("feature_names_in_")  # those of X, whatever those of `unlabelled` are
            self._pretrain_on_the_way(X if unlabelled is None else unlabelled, checkpoint)
            vars(self).pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
        if not self.virtual_adversarial:
            unlabelled = None
        return super().fit(X, y, validation, checkpoint, sample_weight, unlabelled)

    @stays_if_refused
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fine-tune in one pass over X and y, after `pretrain` on X if nothing has been pretrained.

        See `companion.classifier.Classifier.partial_fit`.
        """
        if not (self._has_learned() or self._given()):
            self._check_settings()
            self._more_examples(X, y, classes, sample_weight)  # before the long part
            self._pretrain_on_the_way(X)
        return super().partial_fit(X, y, classes, sample_weight)

    def _pretrain_on_the_way(self, X, checkpoint=None):
        """Pretrain as a part of a `fit`: if that is interrupted now, the next one begins with pretraining again."""
        try:
            self.pretrain(X, checkpoint=checkpoint)
        except KeyboardInterrupt:
            self._pretrained = False
            raise

    def _prepare(self, X, first=None):
        at = super()._prepare(X, first)
        self._pretrained = False  # what the next `fit` would have to do again
        return at

    def _given(self):
        return self.parameters_ if getattr(self, "_pretrained", False) else super()._given()

    def _has_learned(self):
        return super()._has_learned() and not getattr(self, "_pretrained", False)

    def network(self, parameters, noise=None):
        if f"W{len(self.hidden_sizes) + 1}" not in parameters:
            raise NotFittedError(f"this {type(self).__name__} is pretrained, but has no softmax yet: call fit")
        return super().network(parameters, noise)

    def _shapes(self, n_features, n_classes, names=()):
        shapes, sizes = super()._shapes(n_features, n_classes), [n_features, *self.hidden_sizes]
        depth = _depth(names) or len(self.hidden_sizes)
        if names and f"W{len(self.hidden_sizes) + 1}" not in names:  # pretrained, perhaps in part, and no more
            kept = {f"{name}{number}" for name in "Wb" for number in range(1, depth + 1)}
            shapes = {name: shape for name, shape in shapes.items() if name in kept}
        return shapes | {f"visible_bias{number}": (size,) for number, size in zip(range(1, depth + 1), sizes)}

    def initial_parameters(self, n_features, n_classes, rng):
        if self._depth > len(self.hidden_sizes):  # fewer are those of a pretraining that ended early
            raise ValueError(f"hidden_sizes: expected the {self._depth} layers that were pretrained, at least, found "
                             f"{len(self.hidden_sizes)}; call pretrain again")  # fmt: skip
        fresh = super().initial_parameters(n_features, n_classes, rng)
        for name, array in self.parameters_.items():
            if name in fresh and fresh[name].shape != array.shape:
                raise ValueError(
                    f"{name}: pretrained with shape {array.shape}, but {n_features} columns and hidden sizes "
                    f"{tuple(self.hidden_sizes)} need {fresh[name].shape}; call pretrain again"
                )
        return fresh | self.parameters_

    def _suit(self, parameters, X):
        """Let batch normalisation give back at first what it takes away, so that the codes are those learned."""
        if not self.batch_norm:
            return
        with one_thread():
            for number in range(1, len(self.hidden_sizes) + 1):
                gamma, beta, mean, variance = (parameters[f"{name}{number}"] for name in BATCH_NORM)
                a = Network([Dense(parameters[f"W{number}"], parameters[f"b{number}"])]).predict(X)
                mean[...], variance[...] = a.mean(axis=0), a.var(axis=0)
                gamma[...], beta[...] = xp.sqrt(variance + BatchNorm.EPSILON), mean
                X = ACTIVATIONS[self._activation(number)]().forward(a)


def _depth(names):
    """Return how many layers there are, by the names of their arrays."""
    return sum(name.startswith("visible_bias") for name in names)
