"""A sentence, read word by word, without a kernel: tags, states and gradients are the tagger's own."""

import numpy as np
import pytest
from PIL import Image

from companion.flights import flight_grammar, load_flights
from companion.plots import COLORS
from companion.tagger import Tagger
from companion.widgets.drawing import GREY, blue_red
from companion.widgets.tagger import BAR, HEAD, KNOWN, LONGEST, ROW, STATES, Tagging

SENTENCE = "show me arrivals from boston to denver on monday"


@pytest.fixture(scope="module")
def tagger():
    options = {"n_hidden": 26, "embedding": 4, "window": 3, "n_epochs": 3, "random_state": 0, "learning_rate": 0.01}
    return Tagger(**options, cell="lstm").fit(*load_flights((60, 20, 2)).train)


@pytest.fixture
def panel(tagger):
    panel = Tagging(tagger, flight_grammar(), SENTENCE)
    yield panel
    panel.close()


def test_what_is_shown_is_the_taggers(panel, tagger):
    for read in range(1, 10):
        seen = SENTENCE.split()[:read]
        assert panel.read == read and panel.tags == tagger.predict([seen])[0]
        np.testing.assert_array_equal(panel.states, tagger.states([seen])[0])
        np.testing.assert_array_equal(panel.influence, tagger.influence(seen, read - 1))
        panel.one.click()
    assert panel.read == 9, "there is no more to read"


def test_pixels_are_states_and_gradients(panel):
    panel.step(8)
    longest = panel.influence.max()
    for i in range(9):
        middle = HEAD + ROW * i + ROW // 2
        strip = panel.canvas.pixels[middle, STATES : STATES + 260 : 10]
        np.testing.assert_array_equal(strip, blue_red(panel.states[i], 1.0))
        bar = (panel.canvas.pixels[middle, BAR : BAR + LONGEST + 2] != 255).any(axis=1).sum()
        assert abs(bar - LONGEST * panel.influence[i] / longest) < 2


def test_the_gradient_of_any_word(panel, tagger):
    panel.step(8)
    panel.target.value = 4
    np.testing.assert_array_equal(panel.influence, tagger.influence(SENTENCE.split(), 3))
    panel.again.click()
    assert panel.read == 1 and panel.target.value == 0


def test_what_can_be_known_is_the_grammars(panel):
    assert not panel.known
    panel.step(8)
    posterior = flight_grammar().posterior(SENTENCE.split())
    assert [tag for tag, _ in panel.known] == flight_grammar().predict([SENTENCE.split()])[0]
    np.testing.assert_allclose([p for _, p in panel.known], posterior.max(axis=1))


@pytest.mark.parametrize("sentence", ["", "   ", "Take me to the zeppelin", "a " * 100])
def test_anything_may_be_typed(panel, sentence):
    panel.sentence.value = sentence
    panel.step(100)
    assert panel.read == len(panel.words) <= 40 and not panel.known
    assert ("does not say" in panel.canvas.caption) == bool(sentence.strip())
    assert panel.picture().width < 1000


def test_words_keep_the_case_in_which_they_were_learned():
    words = "Wir fliegen nach Zürich".split()
    tagger = Tagger(n_epochs=1, random_state=0).fit([words], [["PRON", "VERB", "ADP", "NOUN"]])
    panel = Tagging(tagger, sentence="Wir FLIEGEN nach Zürich")
    assert panel.words == words
    panel.step(3)
    assert len(panel.tags) == 4 and set(panel.tags) <= {"PRON", "VERB", "ADP", "NOUN"}
    image = np.zeros((40, 300, 3), np.uint8) + 255
    picture = Image.fromarray(image)
    panel._draw_tag(picture, None, "NOUN", 10, 20)
    assert (np.asarray(picture) < 255).any(), "a tag without B- or I- is written as it is"


def test_the_gradient_is_of_a_word_that_has_been_read(panel):
    panel.target.value = 4
    assert panel.position == 0
    panel.step(2)
    assert panel.position == 2


def test_what_is_known_otherwise_and_what_goes_on_are_set_off(panel, monkeypatch):
    panel.step(8)
    drawn = {}
    monkeypatch.setattr(
        "companion.widgets.tagger.text", lambda image, at, words, size, color, *_: drawn.update({at: (words, color)})
    )
    panel.tags[0], panel.tags[1] = panel.known[0][0], "I-from.city"
    panel._draw()
    color = [drawn[KNOWN, HEAD + ROW * i + ROW // 2][1] for i in (0, 1)]
    assert color == [GREY, COLORS[1]] and "… from.city" in [words for words, _ in drawn.values()]
