r"""Recurrent networks that read a sequence word by word and give every word a tag.

.. math:: x_t = [e_{w_{t-m}}, \dots, e_{w_t}, \dots, e_{w_{t+m}}], \quad
          h_t = \tanh(x_t W + h_{t-1} U + b), \quad p(y_t \mid w) = \mathrm{softmax}(h_t V + c)

Sequences of a minibatch have unequal lengths. They are packed: the first words of all of them stand first, then all
second words, and so on, longer sequences above shorter ones. What belongs to time t are then the first rows after those
of time t − 1, nothing is filled up, and nothing has to be masked.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .estimator import Estimator, Setting, _real, _whole, one_of, own_copy
from .flights import f1
from .functions import log_softmax, sigmoid, softmax
from .layers import Dense, Dropout, Layer, SoftmaxCrossEntropy, initial_weights
from .optimize import Adam, Descent, Schedule

__all__ = ["LSTM", "Elman", "Packing", "Tagger", "clip_norm"]

PADDING, UNKNOWN = 0, 1  # numbers of what stands beside a sentence, and of a word that was not learned
SPECIAL = ["<padding>", "<unknown>"]


class Packing:
    """Where the elements of sequences of unequal length stand when they are packed.

    Parameters
    ----------
    lengths : array_like (n,)

    Attributes
    ----------
    sizes : list of int
        How many sequences there are at each time.
    times : list of slice
        The rows of each time.
    rows : array (N,), on the device
        The row of each element, sequence after sequence.
    reverse : array (N,), on the device
        The rows in an order that is packed, too, and reads every sequence from its end. Doing it twice undoes it.
    before : array (N − n,), on the device
        The row of the element before, for every row that has one: all but the first n.
    """

    def __init__(self, lengths):
        self.lengths = lengths = np.asarray(lengths)
        rank = np.empty_like(lengths)
        rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
        sizes = (lengths[:, None] > np.arange(lengths.max())).sum(axis=0)
        starts = np.concatenate([[0], sizes.cumsum()])
        t, sequence = self.positions(), np.repeat(np.arange(len(lengths)), lengths)
        rows = starts[t] + rank[sequence]
        reverse = np.empty_like(rows)
        reverse[rows] = starts[lengths[sequence] - 1 - t] + rank[sequence]
        self.sizes, self.times = sizes.tolist(), [slice(*pair) for pair in pairwise(starts.tolist())]
        before = np.arange(sizes[0], starts[-1]) - np.repeat(sizes[:-1], sizes[1:])
        self.rows, self.reverse, self.before = to_device(rows), to_device(reverse), to_device(before)

    def positions(self):
        """Return the position (N,) of every element in its sequence, sequence after sequence, on the host."""
        return np.concatenate([np.arange(length) for length in self.lengths])

    def windows(self, words, width):
        """Return the window of `width` words around each of the words (N,), in packed order: (N, width), on the device."""
        t, length = self.positions()[:, None], np.repeat(self.lengths, self.lengths)[:, None]
        beside = np.arange(width) - width // 2
        inside = (t + beside >= 0) & (t + beside < length)
        places = np.where(inside, np.arange(len(words))[:, None] + beside, 0)
        windows = np.empty_like(places)
        windows[to_numpy(self.rows)] = np.where(inside, words[places], PADDING)
        return to_device(windows)

    def split(self, packed):
        """Return what is packed (N, ...) as a list of arrays, one for each sequence, on the host."""
        return np.split(to_numpy(packed[self.rows]), self.lengths.cumsum()[:-1])


# ------------------------------------------------------------------------------------------------------------- cells


class Elman(Layer):
    r"""The simple recurrent network, :math:`h_t = \tanh(x_t W + h_{t-1} U + b)`, with :math:`h_0 = 0`.

    Source: Elman (1990), *Finding structure in time*.

    Parameters
    ----------
    W : array (n_in, n_hidden)
    b : array (n_hidden,)
    U : array (n_hidden, n_hidden), optional
        Without it nothing is remembered, and a layer of tanh units is left.
    """

    GATES = 1

    def __init__(self, W, b, U=None):
        self.W, self.b, self.U = W, b, U
        self.parameters = (W, b) if U is None else (W, b, U)
        self.gradients = tuple(map(xp.empty_like, self.parameters))

    def forward(self, x, packing):
        """Return the states (N, n_hidden) for packed inputs x (N, n_in)."""
        self._x, self._packing = x, packing
        self._h = h = x @ self.W + self.b
        for now, earlier in _steps(packing):
            if earlier and self.U is not None:
                h[now] += h[earlier] @ self.U
            xp.tanh(h[now], out=h[now])
        return h

    def backward(self, delta):
        r"""Set the gradients from those of the states, delta (N, n_hidden), which is overwritten; return that of x.

        Back in time, each state's gradient is complete when that of the later one has come:
        :math:`\delta a_t = \delta h_t (1 - h_t^2)` and :math:`\delta h_{t-1} \mathrel{+}= \delta a_t U^\top`.
        """
        h = self._h
        slope = 1 - h * h
        for now, earlier in reversed(list(_steps(self._packing))):
            delta[now] *= slope[now]
            if earlier and self.U is not None:
                delta[earlier] += delta[now] @ self.U.T
        return self._collect(delta, h)

    def _collect(self, da, h):
        """Sum the gradients of W, b and U over all times, from those of the activations; return that of x."""
        dW, db, *dU = self.gradients
        xp.matmul(self._x.T, da, out=dW)
        xp.sum(da, axis=0, out=db)
        if dU:
            xp.matmul(h[self._packing.before].T, da[self._packing.sizes[0] :], out=dU[0])
        return da @ self.W.T


class LSTM(Elman):
    r"""Long short-term memory: a cell :math:`c_t` to which is added, and gates that say what comes in and goes out.

    .. math:: i, f, o = \sigma(x_t W + h_{t-1} U + b), \quad g = \tanh(\dots), \quad
              c_t = f \odot c_{t-1} + i \odot g, \quad h_t = o \odot \tanh(c_t)

    Sources: Hochreiter and Schmidhuber (1997), *Long short-term memory*; the forget gate f is that of Gers,
    Schmidhuber and Cummins (2000), *Learning to forget*.

    Parameters
    ----------
    W : array (n_in, 4 n_hidden)
        The columns of i, f, o and g, in this order; so for the others.
    b : array (4 n_hidden,)
    U : array (n_hidden, 4 n_hidden)
    """

    GATES = 4

    def forward(self, x, packing):
        """Return the states (N, n_hidden) for packed inputs x (N, n_in)."""
        self._x, self._packing, n = x, packing, len(self.U)
        self._gates = gates = x @ self.W + self.b
        self._c, self._tanh_c, self._h = (xp.empty((len(x), n), gates.dtype) for _ in range(3))
        for now, earlier in _steps(packing):
            a, c = gates[now], self._c[now]
            if earlier:
                a += self._h[earlier] @ self.U
            sigmoid(a[:, : 3 * n], out=a[:, : 3 * n])
            xp.tanh(a[:, 3 * n :], out=a[:, 3 * n :])
            i, f, o, g = _quarters(a)
            xp.multiply(i, g, out=c)
            if earlier:
                c += f * self._c[earlier]
            xp.tanh(c, out=self._tanh_c[now])
            xp.multiply(o, self._tanh_c[now], out=self._h[now])
        return self._h

    def backward(self, delta):
        """Set the gradients from those of the states, delta (N, n_hidden), which is overwritten; return that of x."""
        da, dc = xp.empty_like(self._gates), xp.zeros_like(self._c)
        i, f, o, g = _quarters(self._gates)
        into_c, c = o * (1 - self._tanh_c**2), self._c
        # how much each activation moves what its gate moves: slopes of the logistic function and of tanh
        slope_i, slope_f, slope_o, slope_g = g * i * (1 - i), f * (1 - f), self._tanh_c * o * (1 - o), i * (1 - g * g)
        for now, earlier in reversed(list(_steps(self._packing))):
            dh, d, (di, df, do, dg) = delta[now], dc[now], _quarters(da[now])
            d += dh * into_c[now]
            xp.multiply(d, slope_i[now], out=di)
            xp.multiply(dh, slope_o[now], out=do)
            xp.multiply(d, slope_g[now], out=dg)
            if earlier:
                xp.multiply(d * c[earlier], slope_f[now], out=df)
                dc[earlier] += d * f[now]
                delta[earlier] += da[now] @ self.U.T
            else:
                df[...] = 0
        return self._collect(da, self._h)


def _steps(packing):
    """Yield, for every time, its rows and the rows of those sequences one time earlier, None at the first."""
    earlier = None
    for size, now in zip(packing.sizes, packing.times):
        yield now, earlier and slice(earlier.start, earlier.start + size)
        earlier = now


def _quarters(a):
    n = a.shape[1] // 4
    return a[:, :n], a[:, n : 2 * n], a[:, 2 * n : 3 * n], a[:, 3 * n :]


def clip_norm(gradients, most):
    """Scale down a list of gradients, in place, so that all together are not longer than `most`; return how long.

    Source: Pascanu, Mikolov and Bengio (2013), *On the difficulty of training recurrent neural networks*, algorithm 1.
    """
    norm = float(xp.sqrt(sum(xp.vdot(gradient, gradient) for gradient in gradients)))
    if norm > most:
        for gradient in gradients:
            gradient *= most / norm
    return norm


# ------------------------------------------------------------------------------------------------------------ tagger

CELLS = {"elman": Elman, "lstm": LSTM, "none": Elman}


class _Network:
    """Embeddings, a recurrent layer or one in each direction, and the softmax's scores, on the arrays given."""

    def __init__(self, parameters, cell, width, dropout=0.0, noise=None):
        self.E, self.width = parameters["E"], width
        self.dE = xp.empty_like(self.E)
        self.cells = [
            CELLS[cell](*(parameters[f"{name}{end}"] for name in ("W", "b", "U") if f"{name}{end}" in parameters))
            for end in ("", "_reverse")
            if f"W{end}" in parameters
        ]
        self.top = Dense(parameters["V"], parameters["c"])
        self.below, self.above = (Dropout(dropout, noise) if dropout and noise else None for _ in range(2))
        layers = [*self.cells, self.top]
        self.parameters = [self.E, *(array for layer in layers for array in layer.parameters)]

    @property
    def gradients(self):
        return [self.dE, *(array for layer in [*self.cells, self.top] for array in layer.gradients)]

    def states(self, words, packing):
        """Return the states (N, n_hidden), of both directions side by side, for the words (N,) of all sequences."""
        self._packing, self._windows = packing, packing.windows(words, self.width)
        x = self.E[self._windows].reshape(len(words), -1)
        if self.below:
            x = self.below.forward(x)
        if len(self.cells) == 1:
            return self.cells[0].forward(x, packing)
        ahead, back = self.cells
        return xp.concatenate(
            [ahead.forward(x, packing), back.forward(x[packing.reverse], packing)[packing.reverse]], axis=1
        )

    def forward(self, words, packing):
        """Return the scores (N, n_tags), packed."""
        h = self.states(words, packing)
        return self.top.forward(self.above.forward(h) if self.above else h)

    def backward(self, delta):
        """Set the gradients from those of the scores; return that of the embeddings in all windows (N, width, n)."""
        dh, reverse = self.top.backward(delta), self._packing.reverse
        if self.above:
            dh = self.above.backward(dh)
        n = dh.shape[1] // len(self.cells)
        dx = self.cells[0].backward(xp.ascontiguousarray(dh[:, :n]))
        if len(self.cells) == 2:
            dx += self.cells[1].backward(dh[:, n:][reverse])[reverse]
        if self.below:
            dx = self.below.backward(dx)
        dx = dx.reshape(*self._windows.shape, -1)
        self.dE[...] = 0
        xp.add.at(self.dE, self._windows, dx)
        return dx


class Tagger(Estimator):
    """A recurrent network that gives every word of a sentence a tag.

    Sources: Deep Learning Tutorials (LISA lab), *Recurrent Neural Networks with Word Embeddings*; Mesnil et al. (2013),
    *Investigation of recurrent-neural-network architectures and learning methods for spoken language understanding*.

    Parameters
    ----------
    n_hidden : int
        Units of the recurrent layer; twice as many in all if `bidirectional`.
    cell : {"elman", "lstm", "none"}
        ``"none"`` remembers nothing: a perceptron that sees the window.
    bidirectional : bool
        Whether a second layer reads every sentence from its end.
    embedding : int
        Numbers that stand for a word.
    window : int, odd
        Words seen at a time, the one to be tagged in the middle.
    learning_rate, n_epochs, batch_size, schedule, averaging
        As in the other models; a minibatch is of sentences. The optimiser is Adam.
    dropout : float
        Fraction of embeddings and of states that is dropped.
    word_dropout : float
        Fraction of the words that are made unknown, so that the network learns what to do with those.
    clip : float, optional
        The greatest norm of a gradient: see `clip_norm`.
    patience, patience_increase, improvement_threshold : float
        Early stopping, used when `fit` is given a validation set.
    random_state : None, int or generator
    verbose : bool

    Attributes
    ----------
    parameters_ : dict of str to array, on the device
        ``E`` (n_features, embedding), ``W``, ``b``, ``U`` of the recurrent layer, those of the other direction with
        ``_reverse`` behind their names, ``V`` (n_states, n_classes), ``c`` (n_classes,).
    feature_names_in_ : numpy.ndarray (n_features,)
        The words, the first two of which stand for padding and for all that were not learned.
    classes_ : numpy.ndarray (n_classes,)
        The tags.
    history_ : companion.training.History
        Its validation error is 1 − F1.
    """

    SETTINGS = {
        "cell": one_of(*CELLS),
        "bidirectional": Setting("True or False", lambda value: isinstance(value, bool | np.bool_)),
        "embedding": _whole(1),
        "window": Setting("an odd number, at least 1", lambda value: _whole(1).accepts(value) and value % 2 == 1),
        "word_dropout": _real(0, below=1),
        "clip": _real(above=0) | Setting("None", lambda value: value is None),
    }

    def __init__(
        self, *, n_hidden=100, cell="elman", bidirectional=False, embedding=50, window=7, learning_rate=0.002,
        n_epochs=20, batch_size=20, schedule="linear", averaging=0.0, dropout=0.0, word_dropout=0.0, clip=1.0,
        patience=1_000_000, patience_increase=2.0, improvement_threshold=0.995, random_state=None, verbose=False,
    ):  # fmt: skip
        self.n_hidden = n_hidden
        self.cell = cell
        self.bidirectional = bidirectional
        self.embedding = embedding
        self.window = window
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.schedule = schedule
        self.averaging = averaging
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.clip = clip
        self.patience = patience
        self.patience_increase = patience_increase
        self.improvement_threshold = improvement_threshold
        self.random_state = random_state
        self.verbose = verbose

    # Training.

    def fit(self, X, y, validation=None, checkpoint=None):
        """Learn from sentences X and their tags y.

        In the loss every word counts the same, whatever the length of its sentence and of the others beside it: a
        minibatch's sum is divided by its number of sentences times the mean length of all.

        Parameters
        ----------
        X, y : list of list of str
            Words and, for each of them, its tag.
        validation : (X, y), optional
            Sentences and tags to choose by: the parameters with the largest F1 on them are kept.
        checkpoint : path-like, optional
            A file to save progress in, and to resume from.

        Raises
        ------
        ValueError
            If a hyper-parameter, the sentences or the tags are not what they must be, or if the checkpoint is that of
            another training.
        companion.training.Divergence
            If the loss is no longer finite.
        """
        self._check_settings()
        _check_sequences(X, "sentences")
        _check_tags(y, X)
        self.feature_names_in_ = np.array(SPECIAL + sorted({w for s in X for w in s} - set(SPECIAL)), object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.classes_ = np.array(sorted({tag for row in y for tag in row}))
        words, number = self._numbers(X), {tag: k for k, tag in enumerate(self.classes_.tolist())}
        targets = [[number[tag] for tag in row] for row in y]
        data = [words, targets]
        validate = None
        if validation is not None:
            _check_tags(validation[1], _check_sequences(validation[0], "sentences"))
            data += [self._numbers(validation[0]), [list(row) for row in validation[1]]]
            at_hand = self._numbers(validation[0])

            def validate():
                return 1 - f1(validation[1], self._tags(predictor, at_hand))

        at = self._prepare(words)
        predictor = _Network(at.descent.kept, self.cell, self.window)

        def step(indices):
            chosen = to_numpy(indices)
            return self._update(at, [words[i] for i in chosen], [targets[i] for i in chosen])

        return self._train(step, data, at, validate=validate, checkpoint=checkpoint)

    def _shapes(self, n_features, n_classes, names=()):
        n, wide = self.n_hidden, CELLS[self.cell].GATES * self.n_hidden
        shapes = {"E": (n_features, self.embedding)}
        for end in ("", "_reverse") if self.bidirectional else ("",):
            shapes |= {f"W{end}": (self.window * self.embedding, wide), f"b{end}": (wide,)}
            if self.cell != "none":
                shapes[f"U{end}"] = (n, wide)
        return shapes | {"V": (n * (1 + self.bidirectional), n_classes), "c": (n_classes,)}

    def _initial_parameters(self, rng):
        parameters, gates = {}, CELLS[self.cell].GATES
        for name, shape in self._shapes(self.n_features_in_, len(self.classes_)).items():
            parameters[name] = xp.zeros(shape, xp.float32)
            if name == "E":
                parameters[name] = to_device(rng.normal(0, 0.3, shape), xp.float32)
            elif name[0] in "WU":
                each = [initial_weights(shape[0], self.n_hidden, "tanh", rng) for _ in range(gates)]
                parameters[name] = xp.concatenate(each, axis=1)
            elif name[0] == "b" and self.cell == "lstm":  # at first everything is remembered
                parameters[name][self.n_hidden : 2 * self.n_hidden] = 1
        return parameters

    def _prepare(self, words):
        """Return what a training on sentences, lists of numbers, works with."""
        rng = generator(self.random_state)
        noise = Noise(rng)
        parameters = {name: own_copy(array) for name, array in self._initial_parameters(rng).items()}
        network = _Network(parameters, self.cell, self.window, self.dropout, noise)
        descent = Descent(self._optimizer(self._n_updates(words)), parameters, network.parameters, self.averaging)
        mean_length = sum(map(len, words)) / len(words)
        return SimpleNamespace(
            rng=rng, noise=noise, network=network, loss=SoftmaxCrossEntropy(), descent=descent, mean_length=mean_length
        )

    def _optimizer(self, n_updates):
        return Adam(Schedule(self.learning_rate, n_updates, self.schedule))

    def _update(self, at, words, targets):
        """Make one update on sentences and tags, lists of lists of numbers; return the loss."""
        packing, words, targets = Packing(list(map(len, words))), np.concatenate(words), np.concatenate(targets)
        if self.word_dropout:
            words = np.where(at.rng.random(len(words)) < self.word_dropout, UNKNOWN, words)
        packed = xp.empty(len(targets), xp.int64)
        packed[packing.rows] = to_device(targets)
        share = len(words) / (len(packing.lengths) * at.mean_length)
        loss = at.loss.forward(at.network.forward(words, packing), packed) * share
        delta = at.loss.backward()
        delta *= share
        at.network.backward(delta)
        gradients = at.network.gradients
        if self.clip:
            clip_norm(gradients, self.clip)
        at.descent.update(gradients)
        return loss

    # What it has learned.

    def predict(self, X):
        """The most probable tag of every word: a list of lists of str, of the lengths of the sentences X."""
        return self._tags(*self._ready(X))

    def predict_proba(self, X):
        """Probabilities of the tags: for every sentence of X an array (n_words, n_classes)."""
        return self._map(*self._ready(X), lambda network, *batch: softmax(network.forward(*batch)))

    def states(self, X):
        """States of the recurrent layer: for every sentence of X an array (n_words, n_states), both directions."""
        return self._map(*self._ready(X), lambda network, *batch: network.states(*batch))

    def score(self, X, y):
        """conlleval's F1 of the predicted tags, between 0 and 1: see `companion.flights.f1`."""
        return f1(_check_tags(y, X), self.predict(X))

    def errors(self, X, y):
        """Fraction of the words, between 0 and 1, that are given a wrong tag."""
        pairs = zip(_check_tags(y, X), self.predict(X))
        return float(np.mean([a != b for row, found in pairs for a, b in zip(row, found)]))

    def negative_log_likelihood(self, X, y):
        """Mean of ``-log p(tag | sentence)`` over the words, in nats; infinite where a tag was never learned."""
        number = {tag: k for k, tag in enumerate(self.classes_.tolist())}
        sentences = self._map(*self._ready(X), lambda network, *batch: log_softmax(network.forward(*batch)))
        return -float(np.mean([
            p[number[tag]] if tag in number else -np.inf
            for log_p, row in zip(sentences, _check_tags(y, X)) for p, tag in zip(log_p, row)
        ]))  # fmt: skip

    def influence(self, sentence, position):
        r"""Return how much every word of a sentence counts for the tag at a position.

        The tag is the one predicted there, and what is returned are the norms of the gradients of its
        :math:`\log p(y_t \mid w)` with respect to the embedding of each word, come back through the states and windows.

        Parameters
        ----------
        sentence : list of str
        position : int
            t, from 0.

        Returns
        -------
        numpy.ndarray (n_words,)
        """
        network, (words,) = self._ready([sentence])
        if not 0 <= position < len(words):
            raise ValueError(f"expected a position from 0 to {len(words) - 1}, found {position}")
        with one_thread():
            scores = network.forward(np.array(words), Packing([len(words)]))
            delta = xp.zeros_like(scores)
            delta[position] = -softmax(scores[position : position + 1])[0]
            delta[position, int(scores[position].argmax())] += 1
            dx = to_numpy(network.backward(delta))
        # a sentence alone is packed in its own order: word s stands at place k of the window around s + width//2 − k
        gradient, half = np.zeros((len(words) + 2 * (self.window // 2), self.embedding)), self.window // 2
        for k in range(self.window):
            gradient[k : k + len(words)] += dx[:, k]
        return np.linalg.norm(gradient[half : half + len(words)], axis=1)

    def known(self, words):
        """Return for every one of the words whether it was learned, a list of bool."""
        return [word in self._number() for word in words]

    def _number(self):
        names = self.feature_names_in_
        if vars(self).get("_numbered", (None,))[0] is not names:
            self._numbered = names, {word: i for i, word in enumerate(names.tolist()) if i > UNKNOWN}
        return self._numbered[1]

    def _numbers(self, X):
        number = self._number()
        return [[number.get(word, UNKNOWN) for word in sentence] for sentence in X]

    def _ready(self, X):
        """Return the network and the sentences X, lists of numbers, or say what is wrong."""
        check_is_fitted(self, "parameters_")
        words = self._numbers(_check_sequences(X, "sentences"))
        return _Network(self.parameters_, self.cell, self.window), words

    @staticmethod
    def _map(network, words, function, at_a_time=200):
        """Return ``function(network, words, packing)`` for all sentences, in the order of the sentences."""
        results = []
        with one_thread():
            for first in range(0, len(words), at_a_time):
                some = words[first : first + at_a_time]
                packing = Packing(list(map(len, some)))
                results += packing.split(function(network, np.concatenate(some), packing))
        return results

    def _tags(self, network, words):
        best = self._map(network, words, lambda network, *batch: network.forward(*batch).argmax(axis=1))
        return [self.classes_[row].tolist() for row in best]


def _check_sequences(X, name):
    """Return X, a sequence of sentences, each a list of at least one str, or raise ValueError."""
    if isinstance(X, str) or not hasattr(X, "__len__") or not len(X):
        raise ValueError(f"{name}: expected a list of at least one, each a list of words, found {X!r:.60}")
    for i, sentence in enumerate(X):
        if isinstance(sentence, str) or not hasattr(sentence, "__len__") or not len(sentence):
            raise ValueError(f"{name}: expected lists of at least one word, found {sentence!r:.60} at {i}")
        if wrong := [word for word in sentence if not isinstance(word, str)]:
            raise ValueError(f"{name}: expected words, found {wrong[0]!r:.60} in number {i}")
    return X


def _check_tags(y, X):
    """Return y, a tag for every word of the sentences X, or raise ValueError."""
    _check_sequences(y, "tags")
    if len(y) != len(X):
        raise ValueError(f"tags: expected those of {len(X)} sentences, found {len(y)}")
    for i, (row, sentence) in enumerate(zip(y, X)):
        if len(row) != len(sentence):
            raise ValueError(f"tags: expected {len(sentence)} for sentence {i}, one a word, found {len(row)}")
    return y
