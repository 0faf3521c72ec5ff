"""The tagger: gradients of the whole network, sentences of unequal length, resume, files, what it says of itself."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from companion.backend import to_device, to_numpy, xp
from companion.flights import load_flights
from companion.layers import SoftmaxCrossEntropy
from companion.optimize import Adam
from companion.recurrent import Packing
from companion.storage import load, load_model, save, save_model
from companion.tagger import UNKNOWN, Tagger, _Network
from companion.training import Divergence

QUICK = {
    "n_hidden": 6, "embedding": 4, "window": 3, "n_epochs": 3, "batch_size": 4, "learning_rate": 0.01,
    "random_state": 0,
}  # fmt: skip
VARIANTS = {
    "elman": {},
    "no memory": {"cell": "none"},
    "lstm": {"cell": "lstm", "dropout": 0.2},
    "gru": {"cell": "gru", "averaging": 0.9},
    "both ways": {"bidirectional": True, "word_dropout": 0.1},
}
every_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)


@pytest.fixture(scope="module")
def requests():
    return load_flights((40, 20, 2))


@pytest.fixture(scope="module")
def fitted(requests):
    return Tagger(**QUICK, cell="lstm", bidirectional=True).fit(*requests.train)


def network(rng, options, n_words=7, n_tags=5):
    """A network of float64 with random parameters."""
    options = {name: value for name, value in options.items() if name in ("cell", "bidirectional")}
    tagger = Tagger(**QUICK | options)
    shapes = tagger._shapes(n_words, n_tags)
    parameters = {name: to_device(0.5 * rng.standard_normal(shape)) for name, shape in shapes.items()}
    return _Network(parameters, tagger.cell, tagger.window)


@every_variant
def test_gradients_of_the_whole_network(rng, central_differences, options):
    net, lengths = network(rng, options), [2, 4, 1]
    packing, loss = Packing(lengths), SoftmaxCrossEntropy()
    words, targets = rng.integers(0, 7, 7), to_device(rng.integers(0, 5, 7))
    loss.forward(net.forward(words, packing), targets)
    net.backward(loss.backward())
    for parameter, gradient in zip(net.parameters, [to_numpy(gradient).copy() for gradient in net.gradients]):
        expected = central_differences(lambda: loss.forward(net.forward(words, packing), targets), parameter)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


@every_variant
def test_sentences_do_not_touch_each_other(requests, options):
    model = Tagger(**QUICK | options).fit(*requests.train)
    together = model.predict_proba(requests.valid.sentences)
    for sentence, table, tags in zip(requests.valid.sentences, together, model.predict(requests.valid.sentences)):
        (alone,) = model.predict_proba([sentence])
        np.testing.assert_allclose(table, alone, atol=1e-6)
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        assert [model.classes_[k] for k in table.argmax(axis=1)] == tags


def test_every_word_counts_the_same(requests):
    """The mean of the minibatches' losses is that over all words, however they fall into minibatches."""
    X, y = requests.train
    for batch_size in (40, 8, 1):
        model = Tagger(**QUICK | {"batch_size": batch_size, "learning_rate": 0.0, "n_epochs": 1}).fit(X, y)
        assert model.history_.train_loss[0] == pytest.approx(model.negative_log_likelihood(X, y), rel=1e-5)


def test_the_gradient_of_a_minibatch_is_right_on_average(requests):
    """The mean of its expectation over all minibatches of one sentence is the gradient over all words."""
    X, y = (part[:9] for part in requests.train)
    model = Tagger(**QUICK)
    model.fit(X, y)
    words = model._numbers(X)
    number = {tag: k for k, tag in enumerate(model.classes_.tolist())}
    targets = [[number[tag] for tag in row] for row in y]
    seen = []

    class Watched:
        def update(self, gradients):
            seen.append([to_numpy(gradient).copy() for gradient in gradients])

    at = model._prepare(words)
    model.clip, at.descent = None, Watched()
    for w, t in zip(words, targets):
        model._update(at, [w], [t])
    single = [np.mean(parts, axis=0) for parts in zip(*seen)]
    model._update(at, words, targets)
    for mean, whole in zip(single, seen[-1]):
        np.testing.assert_allclose(mean, whole, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_it_learns_what_is_far_away():
    """A word decides on the tag of another one, far outside the window: a memory is needed."""
    rng = np.random.default_rng(0)
    X = [[str(rng.choice(["left", "right"])), *["and"] * int(rng.integers(3, 6)), "turn"] for _ in range(150)]
    y = [["O"] * (len(s) - 1) + [f"B-{s[0]}"] for s in X]
    options = QUICK | {"n_epochs": 20, "n_hidden": 20, "batch_size": 10, "learning_rate": 0.02}
    assert Tagger(**options, cell="lstm").fit(X, y).score(X, y) == 1
    assert Tagger(**options, cell="none").fit(X, y).score(X, y) < 0.75
    mirrored, tags = [s[::-1] for s in X], [row[::-1] for row in y]
    assert Tagger(**options, cell="lstm").fit(mirrored, tags).score(mirrored, tags) < 0.75, "what comes cannot be known"
    assert Tagger(**options, cell="gru", bidirectional=True).fit(mirrored, tags).score(mirrored, tags) == 1


def test_validation_chooses_by_f1(requests):
    model = Tagger(**QUICK).fit(*requests.train, validation=requests.valid)
    assert model.history_.best_error == pytest.approx(1 - model.score(*requests.valid), abs=1e-9)
    assert len(model.history_.valid_error) == 3


@every_variant
def test_saved_and_loaded(requests, tmp_path, options):
    model = Tagger(**QUICK | options).fit(*requests.train)
    save_model(tmp_path / "tagger.npz", model)
    again = load_model(tmp_path / "tagger.npz", Tagger)
    assert again.get_params() == model.get_params()
    assert again.predict(requests.valid.sentences) == model.predict(requests.valid.sentences)
    for a, b in zip(again.predict_proba(requests.valid.sentences), model.predict_proba(requests.valid.sentences)):
        np.testing.assert_array_equal(a, b)
    assert again.known(["boston", "airport"]) == model.known(["boston", "airport"]) == [True, False]
    arrays, facts = load(tmp_path / "tagger.npz")
    save(tmp_path / "tagger.npz", {name: array for name, array in arrays.items() if name != "feature_names"}, facts)
    with pytest.raises(ValueError, match="tagger.npz: expected the names of its features, found none"):
        load_model(tmp_path / "tagger.npz", Tagger)


def test_scores_by_hand(fitted, requests):
    X, y = requests.train  # all of whose tags were learned
    predicted, tables = fitted.predict(X), fitted.predict_proba(X)
    pairs = [(a, b) for row, found in zip(y, predicted) for a, b in zip(row, found)]
    assert fitted.errors(X, y) == pytest.approx(np.mean([a != b for a, b in pairs]))
    column = {tag: k for k, tag in enumerate(fitted.classes_)}
    logs = [np.log(p[column[tag]]) for table, row in zip(tables, y) for p, tag in zip(table, row)]
    assert fitted.negative_log_likelihood(X, y) == pytest.approx(-np.mean(logs), rel=1e-4)
    strange = [["B-never" for _ in row] for row in y]
    assert fitted.negative_log_likelihood(X, strange) == np.inf and fitted.errors(X, strange) == 1


def test_a_tagger_that_answers_no_numbers_answers_nothing(requests):
    tagger = Tagger(**QUICK).fit(*requests.train)
    for array in tagger.parameters_.values():
        array[...] = 3e38
    X, y = requests.valid
    for ask in (tagger.predict, tagger.predict_proba, lambda X: tagger.negative_log_likelihood(X, y),
                lambda X: tagger.influence(X[0], 0)):  # fmt: skip
        with pytest.raises(Divergence, match="scores are not finite"):
            ask(X)


@pytest.mark.slow
def test_influence_is_a_gradient(requests):
    """Against differences of log p with respect to one word's own embedding, made large for float32's sake."""
    model = Tagger(**QUICK, cell="lstm", bidirectional=True).fit(*requests.train)
    sentence, t = requests.valid.sentences[0][:9], 4
    model.parameters_ = {name: array.astype(xp.float64) for name, array in model.parameters_.items()}
    found = model.influence(sentence, t)
    assert found.shape == (9,) and (found > 0).all()
    words = np.array(model._numbers([sentence])[0])
    k = int(model.predict_proba([sentence])[0][t].argmax())
    for s in (0, 4, 8):
        gradient = []
        for i in range(model.embedding):
            sides = []
            for step in (1e-5, -1e-5):
                E = to_numpy(model.parameters_["E"]).copy()
                E = np.vstack([E, E[words[s]]])  # a word of its own, which occurs only here
                E[-1, i] += step
                net = _Network(model.parameters_ | {"E": to_device(E)}, model.cell, model.window)
                own = words.copy()
                own[s] = len(E) - 1
                scores = to_numpy(net.forward(own, Packing([9])))[t]
                sides.append(scores[k] - np.log(np.exp(scores).sum()))
            gradient.append((sides[0] - sides[1]) / 2e-5)
        assert found[s] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_without_memory_nothing_comes_from_outside_the_window(requests):
    model = Tagger(**QUICK, cell="none").fit(*requests.train)
    found = model.influence(requests.valid.sentences[0][:8], 3)
    assert (found[2:5] > 0).all() and not found[:2].any() and not found[5:].any()


def test_unknown_words_have_a_vector_of_their_own(fitted):
    assert fitted.predict([["zeppelin", "to", "atlantis"]]) == fitted.predict([["xyzzy", "to", "plugh"]])
    assert fitted.known(["to", "zeppelin", "<unknown>", "<padding>"]) == [True, False, False, False]
    with pytest.raises(ValueError, match="words: expected a list of words, found the string 'to boston'"):
        fitted.known("to boston")
    assert fitted.feature_names_in_[:2].tolist() == ["<padding>", "<unknown>"]
    assert fitted.states([["to"]])[0].shape == (1, 12)


@pytest.mark.parametrize(("X", "y", "message"), [
    ("a sentence", [["O"]], "sentences: expected a list"),
    ([], [], "sentences: expected a list"),
    (["a sentence"], [["O"]], "expected lists of at least one word, found 'a sentence'"),
    ([["a"], []], [["O"], []], "found \\[\\] at 1"),
    ([["a", 3]], [["O", "O"]], "expected words, found 3"),
    ([["a"]], [["O"], ["O"]], "those of 1 sentences, found 2"),
    ([["a", "b"]], [["O"]], "expected 2 for sentence 0"),
    ([["a"]], None, "tags: expected a list"),
])  # fmt: skip
def test_what_is_no_sentence_is_named(X, y, message):
    with pytest.raises(ValueError, match=message):
        Tagger(**QUICK).fit(X, y)


@pytest.mark.parametrize(("name", "value"), [
    ("cell", "transformer"), ("window", 4), ("window", 0), ("embedding", 0), ("n_hidden", 1.5), ("dropout", 1),
    ("word_dropout", -0.1), ("clip", 0), ("bidirectional", 2), ("n_epochs", -1),
])  # fmt: skip
def test_settings(name, value):
    with pytest.raises(ValueError, match=f"{name} is"):
        Tagger(**{name: value}).fit([["a"]], [["O"]])


def test_before_it_is_fitted(fitted):
    model = clone(fitted)
    assert model.get_params() == fitted.get_params() and not hasattr(model, "parameters_")
    with pytest.raises(NotFittedError):
        model.predict([["a"]])
    for position in (2, -1, 1.0):
        with pytest.raises(ValueError, match=f"position from 0 to 1, found {position}"):
            fitted.influence(["a", "b"], position)


def test_gradients_are_clipped_and_words_dropped():
    X, y = load_flights((40, 20, 2)).train
    settings = {"n_hidden": 6, "embedding": 4, "window": 3, "batch_size": 4, "n_epochs": 1, "random_state": 0}
    model = Tagger(word_dropout=0.3, clip=1e-3, **settings).fit(X, y)
    words, seen, norms = model._numbers(X), [], []
    at = model._prepare(words)
    forward = at.network.forward
    at.network.forward = lambda words, packing: seen.append(words) or forward(words, packing)
    at.descent = SimpleNamespace(update=lambda gradients: norms.append(sum(float((g**2).sum()) for g in gradients)))
    for _ in range(20):
        model._update(at, words, [[0] * len(row) for row in words])
    assert norms == pytest.approx([1e-6] * 20, rel=1e-3)
    assert (np.concatenate(seen) == UNKNOWN).mean() == pytest.approx(0.3, abs=0.03)


def test_it_learns_by_adam():
    assert isinstance(Tagger()._optimizer(1), Adam)
