"""Requests for flights, word by word with their slots: a grammar whose posterior is known, and readers for real ones.

Tags are IOB: ``B-from.city`` begins a phrase that fills the slot ``from.city``, ``I-from.city`` goes on with it, ``O``
is outside all phrases. The grammar is a hidden Markov model with many states, so that what *can* be known of the tags
of a sentence can be computed, and the errors of a tagger can be set beside the fewest that anything can make.
"""

import re
from bisect import bisect
from functools import cache
from typing import NamedTuple

import numpy as np

from .checks import check_count, check_unmasked
from .data import wanted_dataset
from .places import at_home

__all__ = ["Corpus", "HiddenMarkovModel", "Requests", "f1", "flight_grammar", "load_atis",
           "load_flights", "phrases", "read_iob"]  # fmt: skip

IOB = re.compile(r"O|[BI]-\S+")
SIZES = {"full": (90_000, 1000, 2000), "sample": (1500, 300, 500)}  # sentences to train, to validate and to test


class Requests(NamedTuple):
    """Sentences, a list of lists of words, and their tags, lists of the same lengths."""

    sentences: list
    tags: list


class Corpus(NamedTuple):
    """Requests to learn from, to choose by and, once, to report on."""

    train: Requests
    valid: Requests
    test: Requests


# ------------------------------------------------------------------------------------------------------ phrases, F1


def phrases(tags):
    """Return the phrases of one sentence, a set of (slot, first word, word after the last).

    As in the program conlleval (Tjong Kim Sang and Buchholz, 2000), an ``I-`` that continues nothing begins a phrase.
    Raises ValueError if a tag is not of this kind: ``O``, or ``B-`` or ``I-`` and the name of a slot.
    """
    _check_sentence(tags)
    for tag in tags:
        if not (isinstance(tag, str) and IOB.fullmatch(tag)):
            raise ValueError(f"expected tags O, B-… and I-…, found {tag!r}")
    found, begun, slot = set(), 0, None
    for i, tag in enumerate([*tags, "O"]):
        kind, _, name = tag.partition("-")
        if slot is not None and (kind != "I" or name != slot):
            found.add((slot, begun, i))
            slot = None
        if kind != "O" and slot is None:
            begun, slot = i, name
    return found


def f1(tags, predicted):
    """Return conlleval's F1 over all phrases, between 0 and 1: a phrase counts if its slot and both ends are right.

    Parameters
    ----------
    tags, predicted : list of list of str
        For every sentence the true tags, and as many predicted ones.

    Raises
    ------
    ValueError
        If the lengths differ, or a tag is not ``O``, ``B-…`` or ``I-…``.
    """
    _check_lengths("predicted tags as there are true ones", tags, predicted)
    pairs = [(phrases(true), phrases(guess)) for true, guess in zip(tags, predicted)]
    both = sum(len(true & guess) for true, guess in pairs)
    either = sum(len(true) + len(guess) for true, guess in pairs)
    return 2 * both / either if either else 1.0


def _check_sentence(sentence):
    """Raise ValueError for a string, whose words, or tags, would be its letters."""
    if isinstance(sentence, str):
        raise ValueError(f"expected a list of words, or of tags, found the string {sentence!r}; take its split()")


def _check_lengths(what, expected, rows):
    """Raise ValueError if some rows of tags are not as long as others, or not as many."""
    if (sizes := [len(row) for row in expected]) != (found := [len(row) for row in rows]):
        raise ValueError(f"expected as many {what}, row by row, found {sum(found)} for {sum(sizes)}")


# ---------------------------------------------------------------------------------------------- hidden Markov models


class HiddenMarkovModel:
    """States that follow each other and say a word each; several may stand for one tag.

    Parameters
    ----------
    start : array_like (n_states,)
        Probabilities of the first state.
    transition : array_like (n_states, n_states)
        Probabilities of the next state, a row for each state. What a row lacks to 1 is the probability of the end.
    emission : array_like (n_states, n_words + 1)
        Probabilities of the words; the last column is for a word that is none of them.
    words : sequence of str
    tags : sequence of str
        The tag of each state.

    Attributes
    ----------
    tags_ : list of str
        All tags, in order: the columns of `posterior`.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or rows are no probabilities.
    """

    def __init__(self, start, transition, emission, words, tags):
        for name, given in (("start", start), ("transition", transition), ("emission", emission)):
            check_unmasked(name, given)
        self.start, self.transition, self.emission = (np.array(a, float) for a in (start, transition, emission))
        if len(set(words)) < len(words):
            raise ValueError(f"words: expected each of them once, found {words!r}")
        self.words, self.tags, self.tags_ = list(words), list(tags), sorted(set(tags))
        n_states = len(self.tags)
        expected = {"start": (n_states,), "transition": (n_states,) * 2, "emission": (n_states, len(self.words) + 1)}
        found = {name: getattr(self, name).shape for name in expected}
        if found != expected:
            raise ValueError(f"expected arrays of the shapes {expected}, found {found}")
        for name in expected:
            rows, least = getattr(self, name), 0 if name == "transition" else 1
            sums = rows.sum(axis=-1)
            if not ((rows >= 0).all() and (sums > least - 1e-6).all() and (sums < 1 + 1e-6).all()):
                raise ValueError(
                    f"{name}: expected probabilities, their sum {'1' if least else 'at most 1'}, found "
                    f"{rows.min():.3g} among them, and sums from {sums.min():.3g} to {sums.max():.3g}"
                )
        self.end = 1 - self.transition.sum(axis=1)
        self.end[self.end < 1e-6] = 0  # rounding, of single precision, too
        self._number = {word: i for i, word in enumerate(self.words)}
        self._tag_of = np.searchsorted(self.tags_, self.tags)
        self._says = [np.flatnonzero(column) for column in self.emission.T]  # states, for every word

    def _between(self, word, following):
        """The part of the transitions that can lead from one word to the next."""
        return self.transition[np.ix_(self._says[word], self._says[following])]

    @classmethod
    def count(cls, sentences, tags, smoothing=0.1):
        """Return the model whose states are the tags, its probabilities counted from tagged sentences.

        Parameters
        ----------
        sentences, tags : list of list of str
        smoothing : float
            Added to every count: what never happened is possible.

        Raises
        ------
        ValueError
            If there is no sentence, or one without words or with another number of tags.
        """
        for row in (*sentences, *tags):
            _check_sentence(row)
        _check_lengths("tags as there are words", sentences, tags)
        if not len(sentences) or not all(map(len, sentences)):
            found = "an empty one" if len(sentences) else "none"
            raise ValueError(f"expected sentences of at least one word, found {found}")
        words = sorted({word for sentence in sentences for word in sentence})
        names = sorted({tag for row in tags for tag in row})
        number, state = {word: i for i, word in enumerate(words)}, {name: i for i, name in enumerate(names)}
        start, follow, says = (
            np.full(shape, float(smoothing))
            for shape in (len(names), (len(names), len(names) + 1), (len(names), len(words) + 1))
        )
        for sentence, row in zip(sentences, tags):
            path = [state[tag] for tag in row]
            start[path[0]] += 1
            np.add.at(follow, (path, [*path[1:], -1]), 1)
            np.add.at(says, (path, [number[word] for word in sentence]), 1)
        follow /= follow.sum(axis=1, keepdims=True)
        return cls(start / start.sum(), follow[:, :-1], says / says.sum(axis=1, keepdims=True), words, names)

    def sample(self, n, rng):
        """Draw n sentences with their tags.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator

        Returns
        -------
        Requests
        """
        self._check_ends()
        first, vocabulary = _choices(self.start[None])[0], [*self.words, "<unknown>"]
        following, says = _choices(np.column_stack([self.transition, self.end])), _choices(self.emission)
        sentences, tags = [], []
        for _ in range(n):
            sentence, row = [], []
            state = _draw(first, rng)
            while state < len(self.tags):
                sentence.append(vocabulary[_draw(says[state], rng)])
                row.append(self.tags[state])
                state = _draw(following[state], rng)
            sentences.append(sentence)
            tags.append(row)
        return Requests(sentences, tags)

    def _check_ends(self):
        """Raise ValueError if a sentence could come to where it never ends."""
        follows = self.transition > 0
        come, end = self.start > 0, self.end > 0  # states that are come to, and those from which an end is
        n = -1
        while n < (n := int(come.sum() + end.sum())):
            come, end = come | come @ follows, end | follows @ end
        if (come & ~end).any():
            raise ValueError(f"transition: expected an end that can be come to, found none from the state of tag "
                             f"{self.tags[int(np.argmax(come & ~end))]!r}")  # fmt: skip

    def posterior(self, sentence, ahead=None):
        """Return the probabilities of the tags of every word, given the sentence, by forward-backward.

        Parameters
        ----------
        sentence : list of str
        ahead : int, optional
            How many words after each word may be looked at, and, where there are fewer, the end of the sentence; all if
            not given.

        Returns
        -------
        numpy.ndarray (n_words, n_tags)

        Raises
        ------
        ValueError
            If the sentence is impossible, or empty, or `ahead` not whole or below 0.
        """
        if ahead is not None:
            ahead = check_count("ahead", ahead, least=0)
        words, alphas, _ = self._forward(sentence)
        table = np.zeros((len(words), len(self.tags_)))
        beta, last = None, len(words) - 1
        for t in reversed(range(len(words))):
            if ahead is None and t < last:
                beta = self._back(words, t, beta)
            else:
                beta = self._backward(words, t, last + 1 if ahead is None else min(t + ahead, last + 1))
            states = alphas[t] * beta
            np.add.at(table[t], self._tag_of[self._says[words[t]]], states / states.sum())
        return table

    def log_likelihood(self, sentence):
        """Return the logarithm of the probability of the sentence, in nats; see `posterior` for the errors."""
        words, alphas, log_p = self._forward(sentence)
        return log_p + float(np.log(alphas[-1] @ self.end[self._says[words[-1]]]))

    def predict(self, sentences, ahead=None):
        """Return the most probable tag of every word, lists of the lengths of the sentences.

        Nothing that sees as much (see `posterior`) makes fewer wrong tags on average, if the sentences are the model's.
        """
        return [[self.tags_[k] for k in self.posterior(s, ahead).argmax(axis=1)] for s in sentences]

    def _forward(self, sentence):
        """Return the numbers of the words, p(state | words so far) of each, and log p(words), its end left out."""
        _check_sentence(sentence)
        if not len(sentence):
            raise ValueError("expected a sentence of at least one word, found an empty one")
        words = [self._number.get(word, len(self.words)) for word in sentence]
        alphas, log_p = [], 0.0
        for t, word in enumerate(words):
            states = self._says[word]
            prior = alphas[-1] @ self._between(words[t - 1], word) if t else self.start[states]
            alpha = prior * self.emission[states, word]
            if not (total := alpha.sum()) > 0:
                raise ValueError(f"expected a sentence of the grammar, found one that is none from {sentence[t]!r} on")
            alphas.append(alpha / total)
            log_p += float(np.log(total))
        if not alphas[-1] @ self.end[self._says[words[-1]]] > 0:
            raise ValueError(f"expected a sentence of the grammar, found one that may not end with {sentence[-1]!r}")
        return words, alphas, log_p

    def _backward(self, words, t, stop):
        """Return p(words t + 1 … stop | state at t), up to a factor; the word after the last is the end."""
        last = min(stop, len(words) - 1)
        states = self._says[words[last]]
        beta = self.end[states] if stop > last else np.ones(len(states))
        for s in reversed(range(t, last)):
            beta = self._back(words, s, beta)
        return beta

    def _back(self, words, t, beta):
        """Take beta from word t + 1 back to word t; only ratios count."""
        following = words[t + 1]
        beta = self._between(words[t], following) @ (beta * self.emission[self._says[following], following])
        return beta / beta.max()


def _choices(table):
    """Return for every row of probabilities what is possible, and the sums up to it."""
    possible = [np.flatnonzero(row) for row in table]
    return [(which.tolist(), row[which].cumsum().tolist()) for which, row in zip(possible, table)]


def _draw(choices, rng):
    which, sums = choices
    return which[min(bisect(sums, rng.random() * sums[-1]), len(which) - 1)]


# ------------------------------------------------------------------------------------------------------- the grammar

# What fills a slot, with weights. Alternatives at one place of a phrase are equally probable.
HOURS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
DAYS, MONTHS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday", "march|april|may|june|august"
ORDINALS = "first|second|third|fourth|fifth|sixth|tenth"
NAMES = {
    "city": {
        "atlanta|baltimore|boston|chicago|cleveland|dallas|denver|detroit|houston|memphis|miami|nashville|oakland|"
        "orlando|philadelphia|phoenix|pittsburgh|seattle|tampa|toronto|washington": 20,
        "new york|orleans": 4, "san francisco|diego|jose": 4, "los angeles": 2, "las vegas": 2, "kansas city": 1,
        "salt lake city": 1, "fort worth|lauderdale": 1,
    },
    "day": {DAYS: 6, f"{DAYS} morning|afternoon|evening": 3, "tomorrow|today": 1},
    "date": {ORDINALS: 2, f"{ORDINALS} of {MONTHS}": 2},
    "month": {f"{MONTHS} {ORDINALS}": 1},
    "time": {HOURS: 4, f"{HOURS} am|pm|thirty": 4, "noon|midnight": 1},
    "airline": {"delta|lufthansa|american|united": 4, "american|united airlines": 2, "air canada|france": 1},
    "class": {"first|second|business class": 3, "coach": 1},
    "people": {"one|two|three|four|five|six": 1},
    "meal": {"breakfast|lunch|dinner": 3, "a snack": 1},
}  # fmt: skip
OPENINGS = {
    "": {
        "show|give|find me flights": 4, "i would like a flight": 3, "is there a flight": 3, "flights": 2,
        "i may need two seats": 1, "please look for a plane": 2, "may i have a ticket": 1,
    },
    "depart": {
        "show me departures": 2, "when does the plane leave": 2, "i want to leave by plane": 2,
        "which planes take off": 1,
    },
    "arrive": {
        "show me arrivals": 2, "when does the plane land": 2, "i want to get in by plane": 2, "which planes arrive": 1,
    },
}  # fmt: skip
ROUTES = {
    "from {from.city} to {to.city}": 8,
    "to {to.city} from {from.city}": 4,
    "{from.city} to {to.city}": 2,
    "between {from.city} and {to.city}": 1,
    "out of {from.city} into {to.city}": 1,
    "into {to.city} out of {from.city}": 1,
    "from {from.city} via|through {stop.city} to {to.city}": 2,
    "to {to.city} from {from.city} with a stop in {stop.city}": 2,
    "i live|work in {from.city} and my sister|brother lives|works in {to.city}": 1,
    "my sister|brother lives|works in {to.city} and i live|work in {from.city}": 1,
}
DATES = {"on {when.day}": 4, "{when.day}": 3, "on the {when.date}": 3, "on {when.date:month}": 2}
TIMES = {
    "depart": {"after {when.time}": 5, "before {when.time}": 1, "at|around {when.time}": 4, "for {when.time}": 1},
    "arrive": {"before {when.time}": 5, "after {when.time}": 1, "at|around {when.time}": 4, "for {when.time}": 1},
}
AIRLINES = {"on {airline}": 3, "with {airline}": 2, "flying {airline}": 1}
CLASSES = {"in {class}": 3, "{class}": 2}
PEOPLE = {"for {people}": 1, "for {people} people|passengers": 1}
MEALS = {"with {meal}": 3, "and {meal} on board": 1}
ASIDES = {
    "please": 3,
    "if possible": 2,
    "and money does not matter|count": 2,
    "because my sister|brother gets married there": 1,
    "with my two|three children": 1,
    "at the window if there is room": 1,
    "without waiting for hours": 1,
    "but with no more than one stop": 1,
}
RETURNS = {"and come|fly back": 2, "and return": 2, "returning": 1}
ENDINGS = {
    "depart": {"i cannot get away sooner|earlier": 1, "that is when my holidays start": 1},
    "arrive": {"i have a meeting there then": 1, "that is when they expect us": 1},
}


class _Writer:
    """Makes the states of a grammar, from the end of a sentence to its beginning.

    What comes next is a dict of probabilities by state. States are numbers; the end is None.
    """

    def __init__(self):
        self.states = []  # (words, tag, next)

    def phrase(self, pattern, following, when="", tag="O"):
        """Return where a phrase begins, places separated by blanks, that leads to what is `following`."""
        places = pattern.split()
        for i, place in reversed(list(enumerate(places))):
            if slot := re.fullmatch(r"\{(.+)\}", place):
                name, _, kind = slot[1].replace("when", when).partition(":")
                names = NAMES[kind or name.rpartition(".")[2]]
                following = self.choice(names, following, when, name)
            else:
                inside = tag if tag == "O" else f"{'I' if i else 'B'}-{tag}"
                self.states.append((place.split("|"), inside, following))
                following = {len(self.states) - 1: 1.0}
        return following

    def choice(self, patterns, following, when="", tag="O"):
        """Return where one of the patterns, a dict of weights, begins."""
        total = sum(patterns.values())
        return mixture(
            (weight / total, self.phrase(pattern, following, when, tag)) for pattern, weight in patterns.items()
        )

    def maybe(self, probability, patterns, following, when=""):
        """Return where one of the patterns begins, with this probability, or what is `following`."""
        return mixture([(probability, self.choice(patterns, following, when)), (1 - probability, following)])


def mixture(parts):
    """Mix distributions: pairs of a weight and a dict of probabilities."""
    mixed = {}
    for weight, distribution in parts:
        for state, p in distribution.items():
            mixed[state] = mixed.get(state, 0.0) + weight * p
    return mixed


@cache
def flight_grammar():
    """Return the grammar of requests for flights, a `HiddenMarkovModel`.

    A traveller has an intention, to leave or to arrive at a certain time, that decides on the tags of days, dates and
    times. It may be told by the first words, by the last ones, be hinted at by "before" and "after", or be kept back;
    after "and return" days and times are those of the way back. A state is a word of one phrase with one intention.
    """
    writer, begin = _Writer(), []
    for share, when in ((0.6, "depart"), (0.4, "arrive")):
        end = writer.maybe(0.3, ENDINGS[when], {None: 1.0})
        back = writer.maybe(0.4, TIMES["depart"], end, "return")
        back = writer.maybe(0.7, DATES, back, "return")
        back = writer.maybe(0.2, ASIDES, back)
        on = mixture([(0.35, writer.choice(RETURNS, back)), (0.65, end)])
        on = writer.maybe(0.2, ASIDES, on)
        dated = writer.maybe(0.2, MEALS, on)
        dated = writer.maybe(0.5, TIMES[when], dated, when)
        dated = writer.maybe(0.6, DATES, dated, when)
        dated = writer.maybe(0.2, ASIDES, dated)
        dated = writer.maybe(0.4, AIRLINES, dated)
        flown = writer.maybe(0.25, PEOPLE, on)
        flown = writer.maybe(0.3, CLASSES, flown)
        flown = writer.maybe(0.3, AIRLINES, flown)
        flown = writer.maybe(0.5, DATES, flown, when)
        flown = writer.maybe(0.4, TIMES[when], flown, when)
        flown = writer.maybe(0.2, ASIDES, flown)
        route = writer.choice(ROUTES, mixture([(0.5, dated), (0.5, flown)]))
        begin += [
            (share * 0.5, writer.choice(OPENINGS[""], route)),
            (share * 0.5, writer.choice(OPENINGS[when], route)),
        ]
    return _compile(writer.states, mixture(begin))


def _compile(states, begin):
    """Return the hidden Markov model with these states and this beginning."""
    words = sorted({word for said, _, _ in states for word in said})
    number = {word: i for i, word in enumerate(words)}
    start, transition = np.zeros(len(states)), np.zeros((len(states), len(states)))
    emission = np.zeros((len(states), len(words) + 1))
    start[list(begin)] = list(begin.values())
    for i, (said, _, following) in enumerate(states):
        emission[i, [number[word] for word in said]] = 1 / len(said)
        for state, p in following.items():
            if state is not None:
                transition[i, state] = p
    return HiddenMarkovModel(start, transition, emission, words, [tag for _, tag, _ in states])


# ---------------------------------------------------------------------------------------------------------- corpora


def load_flights(size=None):
    """Draw requests from the grammar, the same ones at every call; do not change them.

    Parameters
    ----------
    size : {"full", "sample"} or (int, int, int), optional
        90,000 / 1,000 / 2,000 sentences to train, validate and test; or fewer, or as many as the three numbers say.
        Unless it is given, the environment variable ``COMPANION_DATASET`` decides, as for the digits; otherwise it is
        ``"full"``.

    Returns
    -------
    Corpus

    Raises
    ------
    ValueError
        If `size` is another word, or not three whole numbers above 0.
    """
    size = (wanted_dataset() or "full") if size is None else size
    sizes = SIZES.get(size) if isinstance(size, str) else size
    if np.shape(sizes) != (3,):
        raise ValueError(f"expected the size 'full', 'sample' or three numbers of sentences, found {size!r}")
    return _draw_corpus(tuple(check_count("size", n) for n in sizes))


@cache
def _draw_corpus(sizes):
    rngs = np.random.default_rng(0).spawn(3)  # more sentences to learn from leave the others as they are
    return Corpus(*(flight_grammar().sample(n, rng) for n, rng in zip(sizes, rngs)))


def read_iob(path):
    """Read tagged sentences from a plain text file, in one of the two forms in which ATIS is handed on.

    Either a word and its tag on a line (what stands between is ignored) and an empty line after every sentence, or a
    whole sentence on a line: words, a tab, tags. There ``BOS`` and ``EOS`` are left out, with their tags, as is what
    follows the tags (the intent). Words become lower case.

    Returns
    -------
    Requests

    Raises
    ------
    ValueError
        If the file is of neither form. The message names the line.
    """
    path, sentences, tags, rows = at_home(path), [], [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # other ends of lines may be words, as U+0085 is
    except UnicodeDecodeError as reason:
        raise ValueError(f"{path.name}: expected plain text in UTF-8, found something else ({reason})") from reason
    on_lines = any("\t" in line and " " in line.partition("\t")[0].strip() for line in lines)  # whole sentences
    for number, line in enumerate([*lines, ""], start=1):
        whole = on_lines and "\t" in line
        words, row = [_parts(part) for part in line.split("\t", 1)] if whole else ([], [])
        parts = _parts(line)
        if whole:
            rows = [(w, t) for w, t in zip(words, row) if w not in ("BOS", "EOS")]
        elif parts:
            rows.append((parts[0], parts[-1]))
        alone = not whole and (len(parts) == 1 or (on_lines and parts))  # words without tags, or tags without words
        if alone or (whole and len(words) > len(row)) or any(not IOB.fullmatch(t) for _, t in rows):
            raise ValueError(
                f"{path.name}, line {number}: expected a tag, O, B-slot or I-slot, for every word, found {line!r}"
            )
        if rows and (whole or not parts):
            sentences.append([word.lower() for word, _ in rows])
            tags.append([tag for _, tag in rows])
            rows = []
    if not sentences:
        raise ValueError(f"{path.name}: expected words with tags, found none")
    return Requests(sentences, tags)


def _parts(line):
    """Cut a line at blanks and tabs; a no-break space is a letter of a word."""
    return [part for part in re.split(r"[ \t]+", line) if part]


def load_atis(folder):
    """Read the ATIS corpus from the files ``atis.train.iob`` and ``atis.test.iob`` of a folder (see `read_iob`).

    Where there is no ``atis.valid.iob``, every fifth of the training sentences is for validation. The corpus belongs
    to the Linguistic Data Consortium (Hemphill, Godfrey and Doddington, 1990) and cannot be shipped.

    Returns
    -------
    Corpus
    """
    folder = at_home(folder)
    train, test = (read_iob(folder / f"atis.{part}.iob") for part in ("train", "test"))
    if (folder / "atis.valid.iob").exists():
        return Corpus(train, read_iob(folder / "atis.valid.iob"), test)
    fifth = [part[4::5] for part in train]
    rest = [[row for i, row in enumerate(part) if i % 5 != 4] for part in train]
    return Corpus(Requests(*rest), Requests(*fifth), test)
