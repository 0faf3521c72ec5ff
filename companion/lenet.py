r"""LeNet, the convolutional network: filters and pooling, twice, then a multilayer perceptron.

.. math:: h^{(1)} &= s(\mathrm{pool}(x * W^{(1)} + b^{(1)})), \quad
          h^{(2)} = s(\mathrm{pool}(h^{(1)} * W^{(2)} + b^{(2)})), \\
          h^{(3)} &= s(h^{(2)} W^{(3)} + b^{(3)}), \quad p(y \mid x) = \mathrm{softmax}(h^{(3)} W^{(4)} + b^{(4)})
"""

from math import isqrt, prod

from .backend import xp
from .classifier import Classifier
from .estimator import one_of
from .image_layers import BatchNorm2D, Conv2D, Flatten, Images, MaxPool2D, Pieces
from .layers import (
    ACTIVATIONS,
    BATCH_NORM,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Network,
    blank_parameters,
    initial_weights,
)

__all__ = ["LeNet"]


class LeNet(Classifier):
    """A convolutional network, trained by back-propagation.

    Source: LeCun, Bottou, Bengio and Haffner (1998), *Gradient-based learning applied to document recognition*, in the
    form of the Deep Learning Tutorials (LISA lab), *Convolutional Neural Networks (LeNet)*, whose sizes are the
    defaults. The other defaults are newer, and made for a few epochs of MNIST.

    Parameters
    ----------
    n_filters : tuple of int
        Filters of each stage, from the image upwards.
    n_convolutions : int
        Convolutions of each stage, each with its activation; the last of them is pooled. Source of more than one:
        Simonyan and Zisserman (2015), *Very deep convolutional networks for large-scale image recognition*, section 2.
    filter_size, pool_size : int
        Sides of the filters and of the windows of the pooling. Pooling keeps the border of images that its windows do
        not divide (see `companion.image_layers.MaxPool2D`).
    n_hidden : int
        Units of the dense layer between the last pooling and the softmax.
    image_shape : tuple (height, width), optional
        How a row of pixels is read, line by line; then the pixels must be as many, and the filters must fit. By default
        the image is the smallest square that holds the row, its last pixels 0 if they are missing, and filters are no
        larger than what they are moved over: thus any row will do, down to a single number. Only rows that are three
        squares, as colours are, are refused.
    activation : {"tanh", "logistic", "relu", "identity"}
        After each pooling (and each convolution without one), and of the dense layer.
    learning_rate, n_epochs, batch_size
    optimizer : {"sgd", "adam"}
    momentum : float
        For ``"sgd"``.
    schedule, decay, warmup
        How the learning rate changes: see `companion.optimize.Schedule`.
    l2 : float
        Penalty on all weights, not on biases.
    dropout, conv_dropout : float
        Fraction of the hidden units of the dense layer, and of the outputs of the last pooling, that is dropped.
    gaussian_noise : float
        Standard deviation of the noise added to the pixels.
    batch_norm : bool
        Normalise the input of every activation; that of the filters over all places of a hundred images at a time (see
        `companion.image_layers.Pieces`), however many more a minibatch has.
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
        ``W1`` (n_filters[0], 1, filter_size, filter_size), ``b1``, ``W2`` (n_filters[1], n_filters[0], ...), ``b2``,
        ... (with one convolution a stage), and for the two dense layers, numbered on after all convolutions, ``W3``
        (n_filters[-1] × what the last pooling leaves of height and width, n_hidden), ``b3``, ``W4`` (n_hidden,
        n_classes), ``b4``; with batch normalisation, for all but the last, ``gamma1``, ``beta1``, ``running_mean1``,
        ``running_var1``, ...
    classes_, history_
        See `companion.classifier.Classifier`.
    """

    SETTINGS = {"activation": one_of(*ACTIVATIONS)}

    def __init__(
        self, *, n_filters=(20, 50), n_convolutions=1, filter_size=5, pool_size=2, n_hidden=500, image_shape=None,
        activation="relu", learning_rate=1.5e-3, n_epochs=6, batch_size=100, optimizer="adam", momentum=0.0,
        schedule="cosine", decay=0.0, warmup=100, l2=0.0, dropout=0.5, conv_dropout=0.25, gaussian_noise=0.0,
        batch_norm=False, averaging=0.999, patience=10000, patience_increase=2.0, improvement_threshold=0.995,
        class_weight=None, warm_start=False, random_state=None, verbose=False,
    ):  # fmt: skip
        self.n_filters = n_filters
        self.n_convolutions = n_convolutions
        self.filter_size = filter_size
        self.pool_size = pool_size
        self.n_hidden = n_hidden
        self.image_shape = image_shape
        self.activation = activation
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
        self.conv_dropout = conv_dropout
        self.gaussian_noise = gaussian_noise
        self.batch_norm = batch_norm
        self.averaging = averaging
        self.patience = patience
        self.patience_increase = patience_increase
        self.improvement_threshold = improvement_threshold
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _image(self):
        """Return height and width of the image that a row of `n_features_in_` pixels is read as."""
        n_pixels = self.n_features_in_
        if self.image_shape is None:
            channel = isqrt(n_pixels // 3)
            if channel >= 8 and 3 * channel**2 == n_pixels:
                raise ValueError(
                    f"expected images of one channel, found rows of {n_pixels} pixels, three times "
                    f"{channel} × {channel}: of colours take the mean; other images need an image_shape"
                )
            side = isqrt(n_pixels - 1) + 1
            return side, side
        height, width = self.image_shape
        if height * width != n_pixels:
            raise ValueError(
                f"image_shape is {height} × {width}; expected rows of {height * width} pixels, found {n_pixels}"
            )
        return height, width

    def _convolutions(self):
        """Return, for each convolution from the image upwards, its number of filters and whether pooling follows."""
        return [
            (n_filters, number == self.n_convolutions)
            for n_filters in self.n_filters
            for number in range(1, self.n_convolutions + 1)
        ]

    def _shapes(self, n_features, n_classes, names=()):
        weights, sides, n_channels = [], self._image(), 1
        for i, (n_filters, pooled) in enumerate(self._convolutions(), start=1):
            window = [min(self.filter_size, side) for side in sides]
            if self.image_shape is not None and min(window) < self.filter_size:
                raise ValueError(
                    f"convolution {i}: filter_size is {self.filter_size}; expected at most {min(sides)}, because its "
                    f"images are {sides[0]} × {sides[1]} (the first ones {' × '.join(map(str, self.image_shape))})"
                )
            weights.append((n_filters, n_channels, *window))
            sides = [side - inner + 1 for side, inner in zip(sides, window)]
            if pooled:
                sides = [-(-side // self.pool_size) for side in sides]
            n_channels = n_filters
        weights += [(n_channels * prod(sides), self.n_hidden), (self.n_hidden, n_classes)]
        biases = [W[0] if len(W) == 4 else W[1] for W in weights]
        shapes = {}
        for i, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
            shapes |= {f"W{i}": W, f"b{i}": (b,)}
            if self.batch_norm and i < len(weights):
                shapes |= {f"{name}{i}": (b,) for name in BATCH_NORM}
        return shapes

    def initial_parameters(self, n_features, n_classes, rng):
        shapes = self._shapes(n_features, n_classes)
        parameters = blank_parameters(shapes)  # the top layer stays so
        for i in range(1, len(self._convolutions()) + 2):
            shape = shapes[f"W{i}"]
            if len(shape) == 2:
                parameters[f"W{i}"] = initial_weights(*shape, self.activation, rng)
            else:  # a weight matrix whose inputs are the pixels in a window
                W = initial_weights(prod(shape[1:]), shape[0], self.activation, rng)
                parameters[f"W{i}"] = xp.ascontiguousarray(W.T).reshape(shape)
        return parameters

    def network(self, parameters, noise=None):
        activation, convolutions = ACTIVATIONS[self.activation], self._convolutions()

        def own(number, *names):
            return [parameters[f"{name}{number}"] for name in names]

        def activated(number, normalise):
            return [normalise(*own(number, *BATCH_NORM)), activation()] if self.batch_norm else [activation()]

        layers = [Images(*self._image())]
        for i, (_, pooled) in enumerate(convolutions, start=1):
            layers.append(Conv2D(*own(i, "W", "b"), self.l2))
            if pooled:
                # The activation grows with its input: after the pooling it gives the same, of a quarter of the numbers.
                layers.append(MaxPool2D(self.pool_size, border=True))
            layers += activated(i, BatchNorm2D)
        layers = [Pieces([*layers, Flatten()])]
        if noise and self.gaussian_noise:
            layers.insert(0, GaussianNoise(self.gaussian_noise, noise))
        if noise and self.conv_dropout:
            layers.append(Dropout(self.conv_dropout, noise))
        top = len(convolutions) + 2
        layers += [Dense(*own(top - 1, "W", "b"), l2=self.l2), *activated(top - 1, BatchNorm)]
        if noise and self.dropout:
            layers.append(Dropout(self.dropout, noise))
        return Network([*layers, Dense(*own(top, "W", "b"), l2=self.l2)])
