r"""A network that reads a sentence and gives every word a tag: embeddings, a window, a recurrent layer, a softmax.

.. math:: x_t = [e_{w_{t-m}}, \dots, e_{w_t}, \dots, e_{w_{t+m}}], \quad
          h_t = \tanh(x_t W + h_{t-1} U + b), \quad p(y_t \mid w) = \mathrm{softmax}(h_t V + c)
"""

from numbers import Integral
from types import SimpleNamespace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .backend import Noise, generator, one_thread, to_device, to_numpy, xp
from .checks import check_pair
from .estimator import SETTINGS, Estimator, Setting, one_of, own_copy, stays_if_refused
from .flights import f1
from .functions import log_softmax, softmax
from .layers import Dense, Dropout, SoftmaxCrossEntropy
from .optimize import Descent
from .recurrent import GRU, LSTM, Elman, Packing, clip_norm
from .training import finite_scores

__all__ = ["Tagger"]

PADDING, UNKNOWN = 0, 1  # numbers of what stands beside a sentence, and of a word that was not learned
SPECIAL = ["<padding>", "<unknown>"]

CELLS = {"elman": Elman, "lstm": LSTM, "gru": GRU, "none": Elman}


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
        self._packing, self._windows = packing, packing.windows(words, self.width, PADDING)
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
        # Number by number, which NumPy adds many times as fast as row by row.
        places = self._windows[:, :, None] * self.E.shape[1] + xp.arange(self.E.shape[1])
        self.dE[...] = 0
        xp.add.at(self.dE.reshape(-1), places.reshape(-1), dx.reshape(-1))
        return dx


class Tagger(Estimator):
    """A recurrent network that gives every word of a sentence a tag.

    Sources: Deep Learning Tutorials (LISA lab), *Recurrent Neural Networks with Word Embeddings*; Mesnil et al. (2013),
    *Investigation of recurrent-neural-network architectures and learning methods for spoken language understanding*.

    Parameters
    ----------
    n_hidden : int
        Units of the recurrent layer; twice as many in all if `bidirectional`.
    cell : {"elman", "lstm", "gru", "none"}
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

    NAMED = True  # the words it knows
    optimizer = "adam"
    SETTINGS = {
        "cell": one_of(*CELLS),
        "bidirectional": SETTINGS["persistent"],
        "embedding": SETTINGS["n_hidden"],
        "window": Setting("an odd number, at least 1", lambda v: SETTINGS["n_hidden"].accepts(v) and v % 2 == 1),
        "word_dropout": SETTINGS["dropout"],
        "clip": SETTINGS["max_norm"],
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

    @stays_if_refused
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
            sentences, tags = check_pair(validation)
            _check_tags(tags, _check_sequences(sentences, "sentences"))
            f1(tags, tags)  # said before the training, not after an epoch
            at_hand = self._numbers(sentences)
            data += [at_hand, [list(row) for row in tags]]

            def validate():
                return 1 - f1(tags, self._tags(predictor, at_hand))

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
        shapes = self._shapes(self.n_features_in_, len(self.classes_))
        parameters = {name: xp.zeros(shapes[name], xp.float32) for name in ("E", "V", "c")}
        parameters["E"] = to_device(rng.normal(0, 0.3, shapes["E"]), xp.float32)
        options = {"remembers": False} if self.cell == "none" else {}
        for end in ("", "_reverse") if self.bidirectional else ("",):
            arrays = CELLS[self.cell].initial(self.window * self.embedding, self.n_hidden, rng, **options)
            parameters |= {f"{name}{end}": array for name, array in zip("WbU", arrays)}
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

    # What it has learned; all but `states` raise `companion.training.Divergence` if the scores are not finite.

    def predict(self, X):
        """The most probable tag of every word: a list of lists of str, of the lengths of the sentences X."""
        return self._tags(*self._ready(X))

    def predict_proba(self, X):
        """Probabilities of the tags: for every sentence of X an array (n_words, n_classes)."""
        return self._map(*self._ready(X), lambda *batch: softmax(_scores(*batch)))

    def states(self, X):
        """States of the recurrent layer: for every sentence of X an array (n_words, n_states), both directions."""
        return self._map(*self._ready(X), lambda network, *batch: network.states(*batch))

    def score(self, X, y):
        """F1 of the predicted tags, as conlleval counts it, between 0 and 1: see `companion.flights.f1`."""
        return f1(_check_tags(y, X), self.predict(X))

    def errors(self, X, y):
        """Fraction of the words, between 0 and 1, that are given a wrong tag."""
        pairs = zip(_check_tags(y, X), self.predict(X))
        return float(np.mean([a != b for row, found in pairs for a, b in zip(row, found)]))

    def negative_log_likelihood(self, X, y):
        """Mean of ``-log p(tag | sentence)`` over the words, in nats; infinite where a tag was never learned."""
        sentences = self._map(*self._ready(X), lambda *batch: log_softmax(_scores(*batch)))
        number = {tag: k for k, tag in enumerate(self.classes_.tolist())}
        return -float(np.mean([
            p[number[tag]] if tag in number else -np.inf
            for log_p, row in zip(sentences, _check_tags(y, X)) for p, tag in zip(log_p, row)
        ]))  # fmt: skip

    def influence(self, sentence, position):
        r"""Return how much every word of a sentence counts for the tag at a position.

        The tag is the one predicted there, and what is returned are the norms of the gradients of its
        :math:`\log p(y_t \mid w)` with respect to each word's embedding, carried back through the states and windows.

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
        if isinstance(position, bool) or not isinstance(position, Integral) or not 0 <= position < len(words):
            raise ValueError(f"expected a position from 0 to {len(words) - 1}, found {position!r}")
        with one_thread():
            scores = _scores(network, np.array(words), Packing([len(words)]))
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
        check_is_fitted(self, "parameters_")
        if isinstance(words, str):  # whose words would be its letters
            raise ValueError(f"words: expected a list of words, found the string {words!r:.60}")
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
        self._check_parameters(self.parameters_, self.n_features_in_, len(self.classes_))
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
        best = self._map(network, words, lambda *batch: _scores(*batch).argmax(axis=1))
        return [self.classes_[row].tolist() for row in best]


def _scores(network, words, packing):
    """Return what goes into the softmax (n_words, n_classes), or raise `Divergence`."""
    with np.errstate(over="ignore", invalid="ignore"):
        return finite_scores(network.forward(words, packing))


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
