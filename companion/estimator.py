"""What every model of the book has at its edge: settings, data and labels that are checked, and one way to train."""

import functools
import inspect
import pickle
import sys
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .backend import one_thread, to_device, xp
from .checks import are_pixels, check_finite, check_undated, check_unmasked, real_array
from .data import minibatches
from .optimize import SGD, Adam, Patience, Schedule
from .training import Divergence, Training, check_progress, digest

__all__ = ["Encoder", "Estimator", "TiedLayer"]

LARGEST = 10.0  # root of the mean square of inputs: pixels of 0 … 1 have .3, standardised columns 1, bytes 80


class Setting:
    """What a hyper-parameter may be: `accepts(value)` decides, `expected` says it in words."""

    def __init__(self, expected, accepts):
        self.expected, self.accepts = expected, accepts

    def __or__(self, other):
        return Setting(
            f"{self.expected}, or {other.expected}", lambda value: self.accepts(value) or other.accepts(value)
        )


def _is_number(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool) and bool(np.isfinite(value))


def _whole(least):
    return Setting(f"a whole number, at least {least}", lambda v: _is_number(v, Integral) and v >= least)


def _real(low=0, below=None, most=None, above=None):
    words = [f"above {above}" if above is not None else f"at least {low}"]
    words += [f"below {below}"] * (below is not None) + [f"at most {most}"] * (most is not None)

    def accepts(value):
        return (
            _is_number(value, Real)
            and (value > above if above is not None else value >= low)
            and (below is None or value < below)
            and (most is None or value <= most)
        )

    return Setting(f"a number {' and '.join(words)}", accepts)


def one_of(*choices):
    """Return the `Setting` that is one of these words."""
    return Setting(" or ".join(map(repr, choices)), lambda value: isinstance(value, str) and value in choices)


def _sizes(fewest, most=None):
    count = "two positive whole numbers" if most == fewest == 2 else "positive whole numbers"
    least = ", at least one" if fewest == 1 else ""
    return Setting(
        f"a tuple of {count}{least}",
        lambda value: (
            isinstance(value, tuple | list)
            and fewest <= len(value) <= (most or len(value))
            and all(_is_number(size, Integral) and size >= 1 for size in value)
        ),
    )


def _weights():
    weight = _real()
    return Setting(
        "a dict of weights, each of them at least 0",
        lambda value: isinstance(value, dict) and all(map(weight.accepts, value.values())),
    )


_FRACTION = _real(0, below=1)
_NONE = Setting("None", lambda value: value is None)
_FLAG = Setting("True or False", lambda value: isinstance(value, bool | np.bool_))

# A name means the same in every model; where a model has its own choices, its SETTINGS say so.
SETTINGS = (
    dict.fromkeys(("n_hidden", "batch_size", "k", "filter_size", "pool_size", "n_convolutions"), _whole(1))
    | dict.fromkeys(("n_epochs", "warmup"), _whole(0))
    | dict.fromkeys(("learning_rate", "decay", "l1", "l2", "weight_decay", "sparsity_cost"), _real())
    | dict.fromkeys(("gaussian_noise", "adversarial", "virtual_adversarial", "patience", "patience_increase"), _real())
    | dict.fromkeys(("momentum", "averaging", "dropout", "input_dropout", "conv_dropout", "sparsity_target"), _FRACTION)
    | dict.fromkeys(("corruption_level", "improvement_threshold"), _real(0, most=1))
    | dict.fromkeys(("batch_norm", "persistent", "binarize", "centered", "warm_start"), _FLAG)
    | {
        "hidden_sizes": _sizes(0),
        "n_filters": _sizes(1),
        "image_shape": _sizes(2, 2) | _NONE,
        "max_norm": _real(above=0) | _NONE,
        "schedule": one_of("constant", "inverse", "linear", "cosine"),
        "optimizer": one_of("sgd", "adam"),
        "class_weight": one_of("balanced") | _weights() | _NONE,
        "pretraining": Setting("a dict of options", lambda value: isinstance(value, dict)) | _NONE,
    }
)


def warn_caller(message):
    """Warn, and name the line that called the companion, however deep in it this is."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_back.f_globals.get("__package__") == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level + 1)


def check_columns(model, X):
    """Raise ValueError if X is a table whose columns are not, by name and order, those that the model has learned."""
    if hasattr(X, "columns") and hasattr(model, "feature_names_in_"):
        validate_data(model, X, reset=False, skip_check_array=True)


def check_options(options, cls, own):
    """Raise ValueError unless `options`, a dict or None, are options of the model `cls`, and not in `own`."""
    known = cls().get_params().keys() - own
    if unknown := (options or {}).keys() - known:
        raise ValueError(
            f"pretraining: expected options of {cls.__name__}, which takes no {', '.join(sorted(map(str, unknown)))} "
            f"here; there are {', '.join(sorted(known))}"
        )


def stays_if_refused(learn):
    """Decorate a method that learns: where it fails before training has begun, the model stays as it was."""

    @functools.wraps(learn)
    def learn_or_stay(self, *arguments, **options):
        before = vars(self).copy()
        try:
            return learn(self, *arguments, **options)
        except BaseException as reason:
            # Has anything been learned? A pretraining that is interrupted leaves no history, but parameters; one that
            # diverges in an upper layer, the histories of those below.
            signs = {KeyboardInterrupt: ["parameters_"], Divergence: ["history_", "pretraining_histories_"]}
            signs = signs.get(type(reason), ["history_"])
            if not any(vars(self).get(sign) and vars(self)[sign] is not before.get(sign) for sign in signs):
                vars(self).clear()
                vars(self).update(before)
            raise

    return learn_or_stay


class Estimator(BaseEstimator):
    """The base of all models: scikit-learn's conventions, with everything checked before it is used.

    Where a model refuses what it is given to learn from, it stays as it was. Settings that say what is computed from
    the parameters (``activation``, ``visible``, ``image_shape``) have to stay as they are after `fit`: as long as the
    shapes of the parameters fit, a change is not noticed.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        What has been learned.
    history_ : companion.training.History
        Losses, validation errors and times.
    """

    SETTINGS = {}  # of this model, beside or in place of those in `companion.estimator.SETTINGS`
    NAMED = False  # whether it cannot do without the names of its features

    def _check_settings(self):
        """Raise ValueError for the first hyper-parameter that is not what it may be."""
        settings = SETTINGS | self.SETTINGS
        for name, value in vars(self).items():  # `get_params` takes several times as long
            if name in settings and not settings[name].accepts(value):
                raise ValueError(f"{name} is {value!r}; expected {settings[name].expected}")

    # Data.

    def _check_data(self, X, reset=False):
        """Return X (n, n_features) in float32 on the device, or raise ValueError; `fit` resets what is expected."""
        check_unmasked("X", X)
        check_undated("X", X)
        X = to_device(validate_data(self, X, dtype=np.float32, reset=reset))
        size = float(xp.sqrt(xp.vdot(X, X) / X.size))
        if not np.isfinite(size):
            raise ValueError(f"X has values up to {float(xp.abs(X).max()):.3g}; expected numbers whose squares "
                             "float32 can add up: scale the columns")  # fmt: skip
        self._check_range(X, size)
        return X

    def _check_range(self, X, size):
        """Warn of inputs, of the root mean square `size`, that a network hardly learns from."""
        if size > LARGEST:
            warn_caller(
                f"expected pixels from 0 to 1, or columns of unit variance; found values from {float(X.min()):.3g} to "
                f"{float(X.max()):.3g}, with which training hardly gets anywhere: scale them"
            )

    # Files.

    def _shapes(self, n_features, n_classes, names=()):
        """Return what ``parameters_`` holds, a dict of str to shape; `names` are those found, where that matters."""
        raise NotImplementedError

    def _restore(self, parameters, n_features, classes=None):
        """Take over `parameters`, a dict of arrays from a file that nobody trusts, or raise ValueError."""
        self._check_settings()
        if not _is_number(n_features, Integral) or n_features < 1:
            raise ValueError(f"expected n_features, a whole number above 0, found {n_features!r}")
        if classes is not None and (classes.ndim != 1 or not np.array_equal(classes, np.unique(classes))):
            raise ValueError(f"expected classes in order, each of them once, found {classes!r}")
        self.n_features_in_ = n_features
        found = {name: array.shape for name, array in parameters.items()}
        expected = self._shapes(n_features, 0 if classes is None else len(classes), found)
        if found != expected:
            raise ValueError(f"expected arrays of the shapes {expected}, found {found}")
        for name, array in parameters.items():
            if array.dtype not in (np.float32, np.float64) or not np.isfinite(array).all():
                raise ValueError(f"expected {name} of finite float32 or float64 numbers, found {array.dtype}")
        # In the order of training, whatever that of the file is.
        self.parameters_ = {name: own_copy(to_device(parameters[name])) for name in expected}
        if classes is not None:
            self.classes_ = classes  # labels may be words, which live on the host only

    def __getstate__(self):
        """What a copy is made of: what training works with, packed together with what it shares with the model.

        Those are the arrays, chains among them, and a generator; joblib, which writes every array by itself, would part
        them.
        """
        state = dict(super().__getstate__())
        if "_learner" in state:
            names = ("parameters_", "random_state", "_learner", "chains_")
            together = {name: state.pop(name) for name in names if name in state}
            state["_together"] = pickle.dumps(together, pickle.HIGHEST_PROTOCOL)
        return state

    def __setstate__(self, state):
        super().__setstate__(state | pickle.loads(state["_together"]) if "_together" in state else state)
        vars(self).pop("_together", None)

    # Training.

    def _optimizer(self, n_updates):
        """Return what moves the parameters in a training of `n_updates`."""
        options = self.get_params(deep=False)
        schedule = {name: options[name] for name in ("schedule", "decay", "warmup") if name in options}
        rate = Schedule(self.learning_rate, n_updates, schedule.pop("schedule", "constant"), **schedule)
        return Adam(rate) if getattr(self, "optimizer", "sgd") == "adam" else SGD(rate, options.get("momentum", 0.0))

    def _n_updates(self, X):
        return max(1, int(self.n_epochs)) * -(-len(X) // int(self.batch_size))

    def _check_parameters(self, first, n_features, n_classes=0):
        """Raise ValueError unless the settings are such as may be, and the parameters, learned before, fit them."""
        self._check_settings()
        found = {name: array.shape for name, array in first.items()}
        if found != (expected := self._shapes(n_features, n_classes, found)):
            raise ValueError(f"expected parameters of the shapes {expected}, found {found}; the settings are no longer "
                             "those they were learned with")  # fmt: skip

    def _train(self, step, data, at, *, given=None, state=None, validate=None, watch=None, checkpoint=None):
        """Run the training loop on `data`, a list of arrays that begins with X; set `parameters_` and `history_`.

        `step` and the other options are those of `companion.training.Training`; `at` has what ``_prepare`` made;
        `given` are the parameters that it begins with, where they are no fresh ones.
        """
        options, kept = self.get_params(deep=False), at.descent.kept
        identity = {name: value for name, value in options.items() if name not in ("verbose", "random_state")}
        if checkpoint is not None:  # what makes this training this one, beside its settings
            identity["data"] = digest(*data)
            if self.random_state is not None:  # otherwise nobody asked for these random numbers and no others
                identity["start"] = digest(*kept.values(), at.rng.bit_generator.state)
            elif given is not None:
                identity["start"] = digest(*(given[name] for name in sorted(given)))
        training = Training(
            step,
            len(data[0]),
            parameters=kept,
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            rng=at.rng,
            noise=at.noise,
            state=at.descent.state | (state or {}),
            validate=validate,
            patience=Patience(self.patience, self.patience_increase, self.improvement_threshold) if validate else None,
            watch=watch and (lambda: watch(self)),
            checkpoint=checkpoint,
            identity=identity,
            defaults={name: option.default for name, option in inspect.signature(type(self)).parameters.items()},
            verbose=self.verbose,
        )
        vars(self).pop("_learner", None)
        self.parameters_, self.history_ = kept, training.history
        training.run()
        return self

    def _goes_on(self):
        """Return whether the next `fit` begins with what the last one has learned."""
        return self.warm_start and "parameters_" in vars(self)

    def _given(self):
        """Return the parameters that the next `fit` begins with, or None if it draws fresh ones."""
        return self.parameters_ if self._goes_on() else None

    def _pass_over(self, prepare, step, n):
        """Go once over n examples, in minibatches, from where the last such pass ended; see ``partial_fit``.

        ``prepare()`` makes what a training works with; ``step(at, indices)`` makes an update.
        """
        settings = {name: value for name, value in self.get_params().items() if name != "verbose"}
        learner = vars(self).get("_learner")
        if learner is None or learner.settings != settings or learner.descent.kept is not self.parameters_:
            self._learner = prepare()
            self._learner.settings = settings
        at = self._learner
        self.parameters_ = at.descent.kept
        if not hasattr(at, "before"):
            at.before = {name: xp.empty_like(array) for name, array in self.parameters_.items()}
        for name, array in self.parameters_.items():
            at.before[name][...] = array
        at.noise.renew()
        rate = getattr(at.descent.optimizer, "learning_rate", None)
        if isinstance(rate, Schedule) and rate.ended(int(at.descent.optimizer.updates)):
            warn_caller(
                f"schedule is {rate.kind!r}, and has come to its end after {rate.n_updates:,} updates: the rate of "
                "partial_fit is 0 from here on; take schedule='constant', or more n_epochs"
            )
        loss, n_batches = 0.0, 0
        with one_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for indices in minibatches(n, self.batch_size, at.rng):
                loss += step(at, indices)
                n_batches += 1
        try:
            check_progress(float(loss) / n_batches, self.parameters_, int(at.descent.optimizer.updates))
        except Divergence:  # as if it had not been called; momenta and averages begin anew
            for name, array in at.before.items():
                self.parameters_[name][...] = array
            at.settings = None
            raise
        return self


class Encoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """What makes codes of images, in single precision, by `transform`: scikit-learn's conventions for that."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class TiedLayer(Encoder, Estimator):
    """A layer of hidden units whose weights lead up and, transposed, down again.

    A subclass's PIXELS says what takes numbers for probabilities, and a remedy; its `_takes_pixels`, whether it does.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        ``W`` (n_visible, n_hidden), ``visible_bias`` (n_visible,), ``hidden_bias`` (n_hidden,).
    W_, visible_bias_, hidden_bias_ : array
        The same, by name.
    """

    @classmethod
    def from_parameters(cls, W, visible_bias, hidden_bias, **hyperparameters):
        """Make a model that needs no training.

        Parameters
        ----------
        W : array_like (n_visible, n_hidden)
            float64 stays float64; anything else becomes float32. Arrays that fit are shared, not copied.
        visible_bias : array_like (n_visible,)
        hidden_bias : array_like (n_hidden,)

        Raises
        ------
        ValueError
            If the arrays are not of finite real numbers, or their shapes do not fit each other, or a hyper-parameter is
            not what it may be.
        """
        given = real_arrays({"W": W, "visible_bias": visible_bias, "hidden_bias": hidden_bias}, "W")
        for name, array in given.items():
            check_finite(name, array)
        W, visible_bias, hidden_bias = given.values()
        if W.ndim != 2 or visible_bias.shape != W.shape[:1] or hidden_bias.shape != W.shape[1:]:
            raise ValueError(
                "expected W (n_visible, n_hidden), visible_bias (n_visible,) and hidden_bias (n_hidden,), found "
                f"{W.shape}, {visible_bias.shape} and {hidden_bias.shape}"
            )
        model = cls(**{"n_hidden": W.shape[1]} | hyperparameters)
        model._check_settings()
        if model.n_hidden != W.shape[1]:
            raise ValueError(f"n_hidden is {model.n_hidden}; expected the {W.shape[1]} columns of W")
        model.parameters_ = given
        model.n_features_in_ = W.shape[0]
        return model

    @property
    def W_(self):
        """Weights (n_visible, n_hidden)."""
        return self._parameter("W")

    @property
    def visible_bias_(self):
        """Biases b (n_visible,) of the visible units."""
        return self._parameter("visible_bias")

    @property
    def hidden_bias_(self):
        """Biases c (n_hidden,) of the hidden units."""
        return self._parameter("hidden_bias")

    def _parameter(self, name):
        if "parameters_" not in vars(self):
            cls = type(self).__name__
            raise AttributeError(f"this {cls} has no {name} yet: call fit, or use {cls}.from_parameters")
        return self.parameters_[name]

    def _shapes(self, n_features, n_classes=0, names=()):
        return {"W": (n_features, self.n_hidden), "visible_bias": (n_features,), "hidden_bias": (self.n_hidden,)}

    @stays_if_refused
    def fit(self, X, y=None, *, watch=None, checkpoint=None):
        """Train on X (n, n_features).

        Parameters
        ----------
        X : array_like (n, n_features)
        y : ignored
        watch : callable, optional
            ``watch(self)`` is called after every epoch.
        checkpoint : path-like, optional
            A file to save progress in, and to resume from, with all that training works with.

        Raises
        ------
        ValueError
            If a hyper-parameter or the data are not what they must be, or if the checkpoint is that of another
            training: of other settings, data, first parameters or random numbers.
        companion.training.Divergence
            If the loss is no longer finite.
        """
        self._check_settings()
        given = self._given()
        X = self._check_data(X, reset=given is None)
        self.pixels_ = self._takes_pixels and are_pixels(X)
        if given is not None:
            self._check_parameters(given, X.shape[1])
        at = self._prepare(X, given)
        return self._train(
            lambda indices: self._update(at, X[indices]), [X], at,
            given=given, state=at.state, watch=watch, checkpoint=checkpoint,
        )  # fmt: skip

    @stays_if_refused
    def partial_fit(self, X, y=None):
        """Go once over X (n, n_features), in minibatches, and learn from it; call it again to go on.

        What training works with (momenta, chains, averages, random numbers) goes on too, as long as the
        hyper-parameters stay, also in a pickled copy; the schedule runs over ``n_epochs`` times what the first call
        was given.

        Raises
        ------
        ValueError
            As `fit`.
        companion.training.Divergence
            If the loss is no longer finite. The model is then as it was before.
        """
        self._check_settings()
        first = getattr(self, "parameters_", None)
        X = self._check_data(X, reset=first is None)
        self.pixels_ = self._takes_pixels and are_pixels(X)
        if first:
            self._check_parameters(first, X.shape[1])
        return self._pass_over(
            lambda: self._prepare(X, first), lambda at, indices: self._update(at, X[indices]), len(X)
        )

    def _prepare(self, X, first=None):
        """Return what a training on X works with: rng, noise, descent, state; `first` are parameters to begin with."""
        raise NotImplementedError

    def _update(self, at, x):
        """Make one update on the minibatch x (n, n_features); return its loss."""
        raise NotImplementedError

    def _check_range(self, X, size):
        if not self._takes_pixels:
            super()._check_range(X, size)
        elif not are_pixels(X):
            warn_caller(self._no_pixels(X))

    def check_pixels(self, v, always=False):
        """Raise ValueError if v (n, n_visible) has values that are no probabilities, where the model needs them.

        A model that itself learned from such values, and gave a warning then, is left alone: scikit-learn expects a
        score of whatever was learned. But not `always`: what is computed would be no likelihood.
        """
        if self._takes_pixels and (always or getattr(self, "pixels_", True)) and not are_pixels(v):
            raise ValueError(self._no_pixels(v))

    def _no_pixels(self, v):
        where, remedy = self.PIXELS
        low, high = float(v.min()), float(v.max())
        return f"{where} expect values from 0 to 1, found {low:.3g} to {high:.3g}; scale the columns, or {remedy}"

    def _visible(self, v):
        """Return v (n, n_visible) on the device, in the type of the weights."""
        check_columns(self, v)
        return self._rows(v, "v", 0)

    def _hidden(self, h):
        """Return h (n, n_hidden) on the device, in the type of the weights."""
        return self._rows(h, "h", 1)

    def _rows(self, states, name, axis):
        states, width = to_device(real_array(name, states), self.W_.dtype), self.W_.shape[axis]
        if states.ndim != 2 or states.shape[1] != width:
            raise ValueError(f"expected {name} of shape (n, {width}), one row for each state, found {states.shape}")
        return states

    def _checked(self, X):
        check_is_fitted(self, "parameters_")
        self._check_settings()
        return self._check_data(X)

    @property
    def _n_features_out(self):
        return self.W_.shape[1]


def real_arrays(given, first):
    """Return arrays of real numbers, a dict, on the device and contiguous, all in the precision of the one `first`.

    float64 stays float64; anything else becomes float32. Arrays that fit are not copied.
    """
    arrays = {name: real_array(name, array) for name, array in given.items()}
    dtype = xp.float64 if arrays[first].dtype == np.float64 else xp.float32
    return {name: xp.ascontiguousarray(to_device(array, dtype)) for name, array in arrays.items()}


def know_columns(models, of):
    """Tell models what the model `of` knows of its columns: their names, and whether they are pixels."""
    known = {name: vars(of)[name] for name in ("feature_names_in_", "pixels_") if name in vars(of)}
    for model in models:
        vars(model).update(known)


def own_copy(array):
    """Return a contiguous copy, on the device, that training may write into."""
    return xp.array(array, order="C")
