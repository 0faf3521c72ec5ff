"""The grammar of flight requests: its posterior against enumeration, F1 against conlleval's rules, files of others."""

import pickle
from itertools import product

import numpy as np
import pytest

from companion.flights import (
    HiddenMarkovModel,
    f1,
    flight_grammar,
    load_atis,
    load_flights,
    mixture,
    phrases,
    read_iob,
)


@pytest.fixture(scope="module")
def grammar():
    return flight_grammar()


@pytest.fixture(scope="module")
def drawn(grammar):
    return grammar.sample(400, np.random.default_rng(3))


def random_model(rng, n_states=4, n_words=3):
    """A model whose states share two tags; some words and some ways are impossible, as in a grammar."""
    transition = rng.random((n_states, n_states)) * (rng.random((n_states, n_states)) < 0.8)
    transition *= rng.uniform(0.6, 0.9, (n_states, 1)) / np.maximum(transition.sum(axis=1, keepdims=True), 1e-9)
    emission = rng.random((n_states, n_words + 1)) * (rng.random((n_states, n_words + 1)) < 0.8)
    emission[:, 0] += 0.1
    emission /= emission.sum(axis=1, keepdims=True)
    start = rng.dirichlet(np.ones(n_states))
    return HiddenMarkovModel(start, transition, emission, "abc"[:n_words], ["O", "B-x", "O", "I-x"][:n_states])


def enumerated(model, sentence, stop=None):
    """p(tags of each word, words up to `stop`), by summing over all paths; the end is the word after the last."""
    words = [model.words.index(w) if w in model.words else len(model.words) for w in sentence]
    ends, stop = stop is None or stop > len(words), min(stop or len(words), len(words))
    table = np.zeros((stop, len(model.tags_)))
    for path in product(range(len(model.tags)), repeat=stop):
        p = model.start[path[0]] * np.prod([model.transition[a, b] for a, b in zip(path, path[1:])])
        p *= np.prod([model.emission[s, w] for s, w in zip(path, words)])
        p *= model.end[path[-1]] if ends else 1
        for t, state in enumerate(path):
            table[t, model.tags_.index(model.tags[state])] += p
    return table


@pytest.mark.parametrize("seed", range(4))
def test_posterior_and_likelihood_are_those_of_enumeration(seed):
    rng = np.random.default_rng(seed)
    model = random_model(rng)
    for sentence in [sentence for sentence in model.sample(50, rng).sentences if len(sentence) <= 5][:5]:
        table = enumerated(model, sentence)
        np.testing.assert_allclose(model.posterior(sentence), table / table[0].sum(), atol=1e-12)
        assert model.log_likelihood(sentence) == pytest.approx(np.log(table[0].sum()))


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
def test_posterior_of_a_window_looks_so_far_and_no_further(ahead):
    rng = np.random.default_rng(7)
    model = random_model(rng)
    for sentence in ("abaca", "ab", "c", "aab?"):
        found = model.posterior(list(sentence), ahead)
        for t in range(len(sentence)):
            table = enumerated(model, sentence, t + ahead + 1)
            np.testing.assert_allclose(found[t], table[t] / table[t].sum(), atol=1e-12)


def test_probabilities_of_the_grammar_sum_to_one(grammar):
    np.testing.assert_allclose(grammar.start.sum(), 1)
    np.testing.assert_allclose(grammar.emission.sum(axis=1), 1)
    assert (grammar.transition.sum(axis=1) <= 1 + 1e-12).all() and grammar.end.max() > 0
    # every state leads to the end: I − T is invertible, and all are absorbed
    absorbed = np.linalg.solve(np.eye(len(grammar.end)) - grammar.transition, grammar.end)
    np.testing.assert_allclose(absorbed, 1)


def test_the_posterior_is_calibrated(grammar, drawn):
    """Of tags said to have probability p, a share of p is right: within four standard errors, for every tenth."""
    said, right = [], []
    for sentence, row in zip(*drawn):
        table = grammar.posterior(sentence)
        said.append(table.ravel())
        right.append((np.array(row)[:, None] == np.array(grammar.tags_)).ravel())
    said, right = np.concatenate(said), np.concatenate(right)
    doubtful = (said > 0.02) & (said < 0.98)
    assert doubtful.sum() > 300
    for low in np.arange(0, 1, 0.2):
        some = doubtful & (said >= low) & (said < low + 0.2)
        # the two tags of one word, and the words of one sentence, are not independent: a wide margin
        assert abs(said[some].mean() - right[some].mean()) < 4 * np.sqrt(0.25 / (some.sum() / 4))


def test_far_words_decide(grammar):
    """The intention, told by the first or the last words, decides on the tag of a day; kept, it stays open."""

    def day(text):
        sentence = text.split()
        return dict(zip(grammar.tags_, grammar.posterior(sentence)[sentence.index("monday")]))

    between = "from boston to denver on delta if possible on monday"
    assert day(f"show me arrivals {between}")["B-arrive.day"] > 0.999
    assert day(f"show me departures {between}")["B-depart.day"] > 0.999
    assert day(f"show me flights {between} that is when they expect us")["B-arrive.day"] > 0.999
    assert 0.5 < day(f"show me flights {between}")["B-depart.day"] < 0.7
    assert 0.2 < day(f"show me flights {between} before noon")["B-depart.day"] < 0.4, "a hint"
    back = "show me arrivals from boston to denver and return please on monday"
    assert day(back)["B-return.day"] > 0.999


def test_one_word_many_tags(grammar):
    sentence = "may i have a ticket from boston to denver with my two children for two on may second".split()
    tags = grammar.predict([sentence])[0]
    assert [tag for word, tag in zip(sentence, tags) if word == "may"][0] == "O"
    assert tags[-2:] == ["B-depart.date", "I-depart.date"] and [
        tags[i] for i, word in enumerate(sentence) if word == "two"
    ] == ["O", "B-depart.time"]


def test_what_the_grammar_does_not_know_is_named(grammar):
    with pytest.raises(ValueError, match="none from 'airport' on"):
        grammar.posterior("show me flights from airport".split())
    with pytest.raises(ValueError, match="may not end with 'to'"):
        grammar.posterior("show me flights from boston to".split())
    with pytest.raises(ValueError, match="found an empty one"):
        grammar.posterior([])
    with pytest.raises(ValueError, match="shapes"):
        HiddenMarkovModel([1.0], [[0.5]], [[1.0]], ["a"], ["O"])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"start": [1.5, -0.5]}, "start: expected probabilities, their sum 1, found -0.5 among them"),
        ({"transition": [[0.5, 0.6], [0, 0]]}, "transition: .* at most 1, found .* sums from 0 to 1.1"),
        ({"emission": [[0.5, np.nan], [0, 1]]}, "emission: expected probabilities"),
        ({"emission": [[0.5, 0.2], [0, 1]]}, "emission: .* sums from 0.7 to 1"),
    ],
)
def test_what_are_no_probabilities_is_refused(bad, message):
    good = {"start": [0.5, 0.5], "transition": [[0.5, 0.5], [0, 0]], "emission": [[0.5, 0.5], [0, 1]]}
    HiddenMarkovModel(**good, words=["a"], tags=["O", "B-x"])
    with pytest.raises(ValueError, match=message):
        HiddenMarkovModel(**good | bad, words=["a"], tags=["O", "B-x"])


@pytest.mark.parametrize(
    ("sentences", "tags", "message"),
    [
        ([["a", "b"]], [["O"]], "as many tags as there are words, row by row, found 1 for 2"),
        ([["a"], ["b"]], [["O"]], "as many tags as there are words, row by row, found 1 for 2"),
        ([["a"], []], [["O"], []], "at least one word, found an empty one"),
        ([], [], "at least one word, found none"),
    ],
)
def test_only_tagged_sentences_are_counted(sentences, tags, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovModel.count(sentences, tags)


def test_requests_are_the_same_anywhere_and_parts_do_not_depend_on_each_other():
    small, large = load_flights((3, 2, 2)), load_flights((5, 2, 2))
    assert large.train.sentences[:3] == small.train.sentences and large.test == small.test
    assert small.train.sentences[0] != small.valid.sentences[0]
    with pytest.raises(ValueError, match="found 'half'"):
        load_flights("half")
    for part in small:
        assert [len(row) for row in part.tags] == [len(sentence) for sentence in part.sentences]


def test_counted_probabilities():
    model = HiddenMarkovModel.count([["a", "b"], ["a"]], [["O", "B-x"], ["O"]], smoothing=0)
    assert model.tags_ == ["B-x", "O"] and model.words == ["a", "b"]
    np.testing.assert_allclose(model.start, [0, 1])
    np.testing.assert_allclose(model.transition, [[0, 0], [0.5, 0]])
    np.testing.assert_allclose(model.end, [1, 0.5])
    np.testing.assert_allclose(model.emission, [[0, 1, 0], [1, 0, 0]])
    assert model.predict([["a", "b"]]) == [["O", "B-x"]]
    smooth = HiddenMarkovModel.count([["a", "b"], ["a"]], [["O", "B-x"], ["O"]])
    np.testing.assert_allclose(smooth.start, [0.1 / 2.2, 2.1 / 2.2])
    np.testing.assert_allclose(smooth.emission[0], [0.1 / 1.3, 1.1 / 1.3, 0.1 / 1.3])
    assert len(smooth.predict([["never", "seen", "a"]])[0]) == 3


def test_mixture():
    assert mixture([(0.25, {1: 1.0}), (0.75, {1: 0.2, None: 0.8})]) == {1: 0.25 + 0.75 * 0.2, None: 0.75 * 0.8}


# ------------------------------------------------------------------------------------------------------------------ F1

CASES = {  # as conlleval reads them
    "B-a I-a O B-b": {("a", 0, 2), ("b", 3, 4)},
    "B-a B-a I-a": {("a", 0, 1), ("a", 1, 3)},
    "I-a I-a O I-b": {("a", 0, 2), ("b", 3, 4)},  # begun by an I
    "B-a I-b I-b": {("a", 0, 1), ("b", 1, 3)},  # another slot
    "O O": set(),
    "B-from.city I-from.city": {("from.city", 0, 2)},
}


@pytest.mark.parametrize("tags", CASES)
def test_phrases(tags):
    assert phrases(tags.split()) == CASES[tags]


def test_f1_by_hand():
    """Three true phrases, four predicted ones, two of them right: 2 × 2 / (3 + 4)."""
    true = ["B-a I-a O B-b".split(), "O B-a O".split()]
    predicted = ["B-a I-a O B-a".split(), "B-b B-a O".split()]
    assert f1(true, predicted) == pytest.approx(4 / 7)
    assert f1(true, true) == 1 and f1([["O"]], [["O"]]) == 1 and f1([["B-a"]], [["O"]]) == 0
    with pytest.raises(ValueError, match="as many predicted"):
        f1(true, predicted[:1])


def test_f1_is_seqevals(rng):
    metrics = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed: pip install seqeval")
    names = ["O", "B-a", "I-a", "B-b", "I-b"]
    for _ in range(50):
        true, guess = ([rng.choice(names, 1 + k).tolist() for k in range(6)] for _ in range(2))
        assert f1(true, guess) == pytest.approx(metrics.f1_score(true, guess, zero_division=1))


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("text", [
    "Flights O\nto O\nNew B-to.city\nYork I-to.city\n\nplease O\n",
    "\n\nFlights NN x O\nto TO x O\nNew NNP x B-to.city\nYork NNP x I-to.city\n\n\nplease UH x O",
    "BOS Flights to New York EOS\tO O O B-to.city I-to.city atis_flight\nBOS please EOS\tO O atis_flight\n",
    "Flights to New York\tO O B-to.city I-to.city\nplease\tO\n",
])  # fmt: skip
def test_both_forms_of_plain_text(tmp_path, text):
    path = tmp_path / "atis.iob"
    for encoding in ("utf8", "utf-8-sig"):  # some editors begin with a mark
        path.write_text(text, encoding=encoding)
        found = read_iob(path)
        assert found.sentences == [["flights", "to", "new", "york"], ["please"]]
        assert found.tags == [["O", "O", "B-to.city", "I-to.city"], ["O"]]


def test_what_other_alphabets_end_lines_with_is_a_word(tmp_path):
    path = tmp_path / "atis.iob"
    path.write_bytes("a O\r\n\x85 O\r\n\u2028 O\r\n\u00a0 B-n\r\nb O\r\n".encode())
    assert read_iob(path).sentences == [["a", "\x85", "\u2028", "\u00a0", "b"]]


def test_a_string_is_no_sentence():
    """Its words would be its letters."""
    model = HiddenMarkovModel.count([["to", "boston"]], [["O", "B-city"]])
    for ask in (model.log_likelihood, model.posterior, lambda text: model.predict([text]),
                lambda text: HiddenMarkovModel.count([text], [list(text)])):  # fmt: skip
        with pytest.raises(ValueError, match="expected a list of words, or of tags, found the string 'to boston'"):
            ask("to boston")


@pytest.mark.parametrize(("content", "message"), [
    (b"please\tO\nflights to boston\tO O B-to.city\nto boston\n", "line 3: expected a tag"),
    (b"flights O\nto\n", "line 2: expected a tag"),
    (b"flights to boston\tO O\n", "line 1: expected a tag"),
    (b"a O\n O\nb O\n", "line 2: expected a tag"),
    (b"BOS fly home EOS\tO O O O go\nBOS show me O O O\nBOS go home EOS\tO O O O go\n", "line 2: expected a tag"),
    (b"BOS fly home EOS\tO O O O go\nBOS show me O O O\n", "line 2: expected a tag"),
    (b"a O\nO\nb O\n", "line 2: expected a tag"),
    (b"\n\n", "found none"),
    (b"\x80\x04\x95 a pickle", "plain text in UTF-8"),
])  # fmt: skip
def test_what_is_no_tagged_text_is_named(tmp_path, content, message):
    path = tmp_path / "atis.iob"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_iob(path)


def test_a_folder_with_atis(tmp_path):
    (tmp_path / "atis.train.iob").write_text("".join(f"w{i} O\n\n" for i in range(10)), encoding="utf8")
    (tmp_path / "atis.test.iob").write_text("x B-a\n", encoding="utf8")
    corpus = load_atis(tmp_path)
    assert corpus.valid.sentences == [["w4"], ["w9"]] and len(corpus.train.sentences) == len(corpus.train.tags) == 8
    (tmp_path / "atis.valid.iob").write_text("y O\n", encoding="utf8")
    assert load_atis(tmp_path).valid.sentences == [["y"]] and len(load_atis(tmp_path).train.sentences) == 10
    with pytest.raises(FileNotFoundError):
        load_atis(tmp_path / "nowhere")


@pytest.mark.parametrize("tags", [["NOUN", "VERB"], ["B-", "O"], [None, "O"], "B-a O"])
def test_f1_of_other_tags_is_refused(tags):
    """It would be 1, with every tag wrong."""
    with pytest.raises(ValueError, match="expected tags O, B-… and I-…|found the string"):
        f1([tags], [tags])


@pytest.mark.parametrize("ahead", [-1, 1.5])
def test_what_lies_ahead_is_counted(grammar, ahead):
    with pytest.raises(ValueError, match="ahead: expected a whole number, at least 0"):
        grammar.posterior("to boston".split(), ahead)


@pytest.mark.parametrize("size", [0, 5, (1, 2), (-1, 1, 1), (1, 1, 1.5), "huge"])
def test_sizes_of_a_corpus_are_three(size):
    with pytest.raises(ValueError, match="expected the size 'full'|size: expected a whole number"):
        load_flights(size)


def test_a_model_whose_sentences_never_end_draws_none():
    model = HiddenMarkovModel([1], [[1]], [[1, 0]], ["a"], ["O"])
    with pytest.raises(ValueError, match="expected an end that can be come to, found none from the state of tag 'O'"):
        model.sample(1, np.random.default_rng(0))


def test_a_word_that_asks_for_no_corpus_is_refused(monkeypatch):
    monkeypatch.setenv("COMPANION_DATASET", "Sample")
    with pytest.raises(ValueError, match="COMPANION_DATASET is 'Sample'; expected 'sample' or 'full'"):
        load_flights()


def test_a_copy_has_probabilities_of_its_own():
    model = HiddenMarkovModel.count([["to", "boston"], ["boston", "to"]], [["O", "B-city"], ["B-city", "O"]])
    before = model.log_likelihood(["to", "boston"])
    again = pickle.loads(pickle.dumps(model))
    again.transition[:] = again.transition[::-1].copy()
    assert again.log_likelihood(["to", "boston"]) != before == model.log_likelihood(["to", "boston"])


def test_what_rounding_leaves_is_no_end():
    """Four probabilities in float32 that leave 1e-8."""
    rows = np.float32([[0.7, 0.1, 0.1, 0.1], *np.zeros((3, 4))])
    says = np.pad(np.eye(4), ((0, 0), (0, 1)))
    model = HiddenMarkovModel([1, 0, 0, 0], rows, says, list("abcd"), ["O"] * 4)
    model.posterior(["a", "b"])
    with pytest.raises(ValueError, match="may not end with 'a'"):
        model.posterior(["a"])


def test_a_word_has_one_column():
    with pytest.raises(ValueError, match="words: expected each of them once"):
        HiddenMarkovModel([1.0], [[0.5]], [[0.3, 0.3, 0.4]], ["a", "a"], ["O"])
