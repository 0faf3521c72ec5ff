r"""The deep belief network: restricted Boltzmann machines, each on the codes of the one below.

.. math:: p(v, h^{(1)}, \dots, h^{(L)}) = p(v \mid h^{(1)})\, \cdots\, p(h^{(L-2)} \mid h^{(L-1)})\;
          p(h^{(L-1)}, h^{(L)})

The two layers on top are a restricted Boltzmann machine; below, every layer is drawn given the one above. Read upwards,
and with a softmax on top, the same weights are a network that classifies.
"""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .checks import check_count, check_unmasked, finite_rows
from .classifier import unknown_labels
from .estimator import check_columns, know_columns
from .functions import bernoulli, sigmoid, softplus
from .likelihood import LogLikelihood, LogPartition, check_binary, check_machine, images_of
from .pretraining import PretrainedMLP
from .rbm import RBM

__all__ = ["DBN"]


class DBN(PretrainedMLP):
    r"""A deep belief network: pretrained layer by layer, fine-tuned as a classifier, or left to dream.

    Sources: Hinton, Osindero and Teh (2006), *A fast learning algorithm for deep belief nets*; Deep Learning Tutorials
    (LISA lab), *Deep Belief Networks*, whose settings are the defaults.

    With labels given to `pretrain`, the machine on top learns them together with the codes, and can then be asked for
    images of a class. Fine-tuning moves the weights to where they classify best; the network that generates is the one
    before fine-tuning.

    Parameters
    ----------
    hidden_sizes, pretraining, learning_rate, ...
        See `companion.pretraining.PretrainedMLP`; `pretraining` has options of `companion.rbm.RBM`. With
        ``binarize=(False, True, True)`` the upper layers learn from binary draws of the codes below, fresh for every
        minibatch, otherwise from their probabilities. Only the images may be Gaussian, if the network is to generate.

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        And, after `pretrain` with labels, ``label_weights`` (n_classes, hidden_sizes[-1]) and ``label_bias``
        (n_classes,); after `companion.wake_sleep.UpDown`, ``down_W1``, ``down_W2``, ... for every layer below the top,
        of the shapes of ``W1``, ``W2``, ..., which then lead up only.
    """

    layer_class = RBM
    PRETRAINING = {"learning_rate": 0.01, "n_epochs": 100, "batch_size": 10}

    @classmethod
    def upside_down(cls, machine, **hyperparameters):
        """Make a network of two layers that gives every image the probability that a machine gives it.

        Below is the machine, on top the same one upside down: where a second layer can begin and lose nothing. Source:
        Hinton, Osindero and Teh (2006), section 4.

        Parameters
        ----------
        machine : companion.rbm.RBM
            Of binary images. Its arrays are copied.
        """
        check_machine(machine)
        W, b, c = (machine.parameters_[name].copy() for name in ("W", "visible_bias", "hidden_bias"))
        layers = {"W1": W, "visible_bias1": b, "b1": c, "W2": W.T.copy(), "visible_bias2": c.copy(), "b2": b.copy()}
        network = cls.from_parameters(layers, **hyperparameters)
        know_columns([network], machine)
        return network

    def pretrain(self, X, y=None, *, watch=None, checkpoint=None):
        """Train the layers one after another on images X (n, n_features).

        Parameters
        ----------
        X : array_like (n, n_features)
        y : array_like (n,), optional
            Labels, for the machine on top to learn beside the codes, as units of their own, which are binary.
        watch, checkpoint
            See `companion.pretraining.PretrainedMLP.pretrain`.
        """
        if y is not None:
            y = self._check_labels(y, X.shape[0] if hasattr(X, "shape") else len(X))
            self._check_settings()
            if not self.hidden_sizes:
                raise ValueError("y: expected labels only for a network with a layer to learn them, found none")
            check_binary(self._new_layer(len(self.hidden_sizes), None))  # before the long part
        return super().pretrain(X, y, watch=watch, checkpoint=checkpoint)

    def _options(self, number):
        options = super()._options(number)
        if number > 1 and isinstance((self.pretraining or {}).get("visible"), str):
            options["visible"] = "binary"  # one word is that of the images: codes are probabilities, whatever those are
        return options

    def _shapes(self, n_features, n_classes, names=()):
        shapes = super()._shapes(n_features, n_classes, names)
        if "label_weights" in names:
            shapes |= {"label_weights": (n_classes, self.hidden_sizes[-1]), "label_bias": (n_classes,)}
        if "down_W1" in names:
            below = range(1, len(self.hidden_sizes))
            shapes |= {f"down_W{number}": shapes[f"W{number}"] for number in below}
        return shapes

    def _classes(self, y):
        """Return the classes; those of the label units, where there are any."""
        if "label_weights" not in (self._given() or {}):
            return super()._classes(y)
        if (unknown := unknown_labels(y, self.classes_)).any():
            raise ValueError(
                f"pretrained with the labels {self.classes_.tolist()}, found {y[unknown].tolist()[0]!r}; call pretrain "
                "again, with these labels or with none"
            )
        return self.classes_

    def _fit_layer(self, number, layer, codes, y, **options):
        if y is None or number < len(self.hidden_sizes):
            return super()._fit_layer(number, layer, codes, y, **options)
        n, self.classes_ = codes.shape[1], np.unique(y)
        layer.fit(to_numpy(xp.concatenate([codes, self._one_hot(y, len(codes))], axis=1)), **options)
        joint = layer.parameters_
        # Views: the network's weights and those of the labels are parts of the machine's.
        self._keep_layer(number, joint | {"W": joint["W"][:n], "visible_bias": joint["visible_bias"][:n]})
        self.parameters_ |= {"label_weights": joint["W"][n:], "label_bias": joint["visible_bias"][n:]}

    def _one_hot(self, y, n):
        """Return the states (n, n_classes) of the label units for n labels y."""
        return xp.eye(len(self.classes_), dtype=xp.float32)[self._encode(y, n)]

    # The generative side.

    def _generative_layers(self):
        """Return `layers_`, if all have learned, and those are binary of which binary states would be drawn."""
        self._check_depth()
        layers = self.layers_
        if not layers:
            raise ValueError(f"expected a network of at least one hidden layer, found hidden_sizes={self.hidden_sizes}")
        for layer in layers[1:] or (layers if "label_weights" in self.parameters_ else []):
            check_binary(layer)
        if "gamma1" in self.parameters_:
            raise ValueError("expected machines, found layers that were fine-tuned with batch normalisation")
        return layers

    @property
    def downward_(self):
        """The layers below the top as they lead down, from the image upwards: those of `layers_`, unless untied."""
        layers, parameters = self._generative_layers()[:-1], self.parameters_
        if "down_W1" not in parameters:
            return layers
        untied = [
            RBM.from_parameters(
                parameters[f"down_W{number}"], layer.visible_bias_, layer.hidden_bias_, visible=layer.visible
            )
            for number, layer in enumerate(layers, start=1)
        ]
        know_columns(untied[:1], self)
        return untied

    @property
    def top_(self):
        """The machine on top, an `RBM`; its visible units are the codes below it, then those of the labels, if any."""
        top, parameters = self._generative_layers()[-1], self.parameters_
        if "label_weights" not in parameters:
            return top
        return RBM.from_parameters(
            xp.concatenate([top.W_, parameters["label_weights"]]),
            xp.concatenate([top.visible_bias_, parameters["label_bias"]]),
            top.hidden_bias_,
        )

    def with_label(self, codes, label=None):
        """Set label units beside codes; return the visible units of the machine on top, and which are the labels'.

        Parameters
        ----------
        codes : array (n, n_codes)
        label : one of the classes, or array_like (n,) of them, optional
            Without it the label units are off.

        Returns
        -------
        v : array (n, n_codes + n_classes)
        clamp : array of bool (n_codes + n_classes,)
            True for the label units: what `RBM.chains` should hold, to keep to the label.

        Raises
        ------
        ValueError
            If the network learned no labels, or not this one, or if there are neither one label nor n of them; if the
            codes are of another shape, or not finite.
        """
        check_is_fitted(self, "parameters_")
        if "label_weights" not in self.parameters_:
            raise ValueError("this network has learned no labels; give them to pretrain")
        codes = finite_rows("codes", codes, *self._codes())
        v = xp.zeros((len(codes), codes.shape[1] + len(self.classes_)), codes.dtype)
        v[:, : codes.shape[1]] = codes
        if label is not None:
            check_unmasked("label", label)
            if np.shape(label) not in ((), (len(codes),)):
                raise ValueError(f"label: expected one, or {len(codes)}, one for each row, found {np.shape(label)}")
            v[:, codes.shape[1] :] = self._one_hot(np.broadcast_to(label, len(codes)), len(codes))
        return v, xp.arange(v.shape[1]) >= codes.shape[1]

    def _codes(self):
        """How many codes the layer below the top has, and in what precision."""
        W = self.parameters_[f"W{self._depth}"]
        return len(W), W.dtype

    def propdown(self, codes, rng):
        """Pass codes (n, n_codes) of the layer below the top down to the image.

        Layers on the way are drawn; what is returned are the means (n, n_features) of the pixels.

        Parameters
        ----------
        codes : array (n, n_codes)
            Label units behind them are left out.
        rng : int, numpy.random.Generator or companion.backend.Noise

        Raises
        ------
        ValueError
            If the codes are of another shape, or not finite.
        """
        noise, (n_codes, dtype) = Noise.of(rng), self._codes()
        means = codes = finite_rows("codes", codes, dtype=dtype)[:, :n_codes]
        if codes.shape[1] != n_codes:
            raise ValueError(f"codes: expected the shape (n, {n_codes}), found {codes.shape}")
        with one_thread():
            for layer in reversed(self.downward_):
                means = layer.propdown(codes)
                codes = bernoulli(means, noise)
        return means

    def sample(self, n=1, steps=1000, *, label=None, inverse_temperature=1.0, random_state=None):
        """Dream: run n Gibbs chains in the machine on top, from coin tosses, and pass their last states down.

        Parameters
        ----------
        n, steps : int
        label : one of the classes, or array_like (n,) of them, optional
            What to dream of: the label units are clamped to it.
        inverse_temperature : float
            See `companion.rbm.RBM.chains`.
        random_state : None, int or generator

        Returns
        -------
        array (n, n_features), on the device
            Means of the pixels.

        Raises
        ------
        ValueError
            If a layer has not learned or has a parameter that is not finite, if one above the images is Gaussian, or if
            an argument is not what it must be.
        """
        n = check_count("n", n)
        rng, top = generator(random_state), self.top_
        noise = Noise(rng)
        start = to_device(rng.integers(0, 2, (n, top.n_features_in_)), top.W_.dtype)
        clamp = None
        if label is not None:
            start, clamp = self.with_label(start[:, : len(self.layers_[-1].visible_bias_)], label)
        codes = top.sample(
            steps=steps, start=start, clamp=clamp, inverse_temperature=inverse_temperature,
            means=len(self.layers_) == 1, random_state=noise,
        )  # fmt: skip
        return self.propdown(codes, noise)

    def bound(self, v, partition, y=None, *, n_samples=1, random_state=None):
        r"""Estimate the variational lower bound on the mean log-likelihood of binary images v (n, n_features).

        .. math:: \log p(v) \ge \left\langle \log p(v, h^{(1)}, \dots, h^{(L-1)}) - \log q(h^{(1)}, \dots, h^{(L-1)}
                  \mid v) \right\rangle_q

        where q draws every layer given the one below. Source: Hinton, Osindero and Teh (2006), section 4; Salakhutdinov
        and Murray (2008), section 4.

        Parameters
        ----------
        v : array_like (n, n_features), binary
        partition : companion.likelihood.LogPartition or float
            log Z of the machine on top, `top_`.
        y : array_like (n,), optional
            Labels, needed where the network has learned them: the bound is then that of log p(v, y), which is below
            log p(v).
        n_samples : int
            Draws from q for each image.
        random_state : None, int or generator

        Returns
        -------
        companion.likelihood.LogLikelihood
            In nats per image.

        Raises
        ------
        ValueError
            If a layer has not learned, is Gaussian or has a parameter that is not finite; otherwise as
            `companion.likelihood.log_likelihood`.
        """
        upward = self._check_bound(y)
        n_samples = check_count("n_samples", n_samples)
        check_columns(self, v)
        v, partition = images_of(upward[0], v), LogPartition.of(partition)
        if y is not None:
            y = self._check_labels(y, len(v))
        noise, top = Noise(random_state), self.top_
        total, layers = 0.0, list(zip(upward, self.downward_))
        with one_thread():
            for _ in range(n_samples):
                below = v
                for q, p in layers:
                    up = below @ q.W_ + q.hidden_bias_
                    above = bernoulli(sigmoid(up), noise)
                    down = above @ p.W_.T + p.visible_bias_
                    total = total + _log_bernoulli(below, down) - _log_bernoulli(above, up)
                    below = above
                total = total - top.free_energy(below if y is None else self.with_label(below, y)[0])
        return LogLikelihood.of_images(to_numpy(total).astype(np.float64) / n_samples, partition)

    def _check_bound(self, y):
        """Return `layers_`, if a bound on the log-likelihood can be had of them, with such labels y or with none."""
        layers = self._generative_layers()
        check_binary(layers[0])
        if (y is None) == ("label_weights" in self.parameters_):
            raise ValueError("expected labels y if the network has learned labels, and only then")
        return layers


def _log_bernoulli(x, log_odds):
    """Log-probabilities (n,) of the binary rows x under independent units with these log-odds."""
    return (x * log_odds - softplus(log_odds)).sum(axis=1)
