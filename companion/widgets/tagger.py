"""Chapter 10: a sentence, read word by word: its tags, the states, and from where the gradient of a tag comes."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..plots import COLORS
from ..tagger import Tagger
from .canvas import Canvas
from .drawing import GREY, INK, blue_red, short, text
from .panel import Panel, check_kind, control

__all__ = ["Tagging"]

HEAD, ROW = 26, 25  # pixels: the line of titles, a word
TAG, SURE, STATES, BAR, KNOWN = 112, 256, 304, 580, 712  # where the columns begin
STRIP, LONGEST, WIDTH = 260, 116, 860  # of states, of the longest bar, of all
PALE = "#d5dadd"
MOST = 40  # words


class Tagging(Panel):
    """Type a sentence and watch a tagger read it.

    Parameters
    ----------
    tagger : companion.tagger.Tagger
    grammar : companion.flights.HiddenMarkovModel, optional
        Says, when the sentence has been read, what can be known of its tags.
    sentence : str
    """

    description = (
        "One line for each word that has been read: its tag and how sure the network is, the states of all units from "
        "blue, −1, to red, +1, and a bar in proportion to the gradient of one tag's log-probability with respect to "
        "this word, the longest always of one length; when all words are read, what the grammar knows of their tags."
    )

    def __init__(self, tagger, grammar=None, sentence="show me arrivals from boston to denver on delta on monday"):
        check_kind(Tagger, tagger=tagger)
        self.tagger, self.grammar = tagger, grammar
        self.sentence = control(widgets.Text, "sentence", sentence, continuous_update=False)
        self.target = control(widgets.IntSlider, "gradient of", 0, 0, 1, tooltip="the tag of which word; 0: the last")
        self.canvas = Canvas(scale=1, label="Words, tags, states, and where the gradient comes from")
        self.sentence.observe(lambda _: self.reset(), "value")
        self.target.observe(lambda _: self.refresh(), "value")
        buttons = self.buttons(pause=0.4, anew="read it again")
        super().__init__([(WIDTH, [self.sentence, [self.target, *buttons], self.canvas])])
        self.reset()

    def reset(self):
        """Begin to read, with the first word."""
        typed = self.sentence.value.split()[:MOST]
        self.words = [word if known else word.lower() for word, known in zip(typed, self.tagger.known(typed))]
        self.read = min(1, len(self.words))
        self.target.value, self.target.max = 0, max(1, len(self.words))
        self.refresh()

    def step(self, words=1):
        """Read on; at the end, rest."""
        self.read = min(self.read + words, len(self.words))
        self.refresh()
        if self.read == len(self.words):
            self.pause()

    def refresh(self):
        """Ask the tagger about the words read so far, and draw."""
        self.tags, self.sure, self.influence = [], [], np.zeros(0)
        seen, self.states, self.known = self.words[: self.read], np.zeros((0, 1)), []
        if seen:
            (table,), (self.states,) = self.tagger.predict_proba([seen]), self.tagger.states([seen])
            self.tags = [str(self.tagger.classes_[k]) for k in table.argmax(axis=1)]
            self.sure = table.max(axis=1)
            self.position = min(self.target.value or self.read, self.read) - 1
            self.influence = self.tagger.influence(seen, self.position)
        if self.grammar is not None and self.read == len(self.words) > 0:
            try:
                posterior = self.grammar.posterior(seen)
                self.known = [(self.grammar.tags_[k], row[k]) for k, row in zip(posterior.argmax(axis=1), posterior)]
                words = ""
            except ValueError as reason:
                words = f"The grammar does not say such things: {reason}."
        else:
            words = f"{self.read} of {len(self.words)} words read"
        self.canvas.caption = words
        self.canvas.draw(self._draw())

    def _draw(self):
        image = Image.new("RGB", (WIDTH, HEAD + ROW * max(len(self.words), 1)), "white")
        draw = ImageDraw.Draw(image)
        titles = [(TAG, "tag"), (SURE, "sure"), (STATES, "states of the units"), (BAR, "gradient from")]
        for x, title in [(0, "word"), *titles, *([(KNOWN, "can be known")] if self.known else [])]:
            text(image, (x, 17), title, 15, GREY, "ls")
        for i, (word, known) in enumerate(zip(self.words, self.tagger.known(self.words))):
            middle = HEAD + ROW * i + ROW // 2
            said = short(word, 15, TAG - 20) + ("" if known else " ?")
            text(image, (0, middle), said, 15, INK if i < self.read else PALE, "lm")
            if i < self.read:
                self._draw_word(image, draw, i, middle)
        return np.asarray(image)

    def _draw_word(self, image, draw, i, middle):
        top, bottom = middle - 10, middle + 10
        self._draw_tag(image, draw, self.tags[i], TAG, middle)
        text(image, (SURE + 38, middle), f"{self.sure[i]:.0%}", 14, INK, "rm")
        strip = Image.fromarray(blue_red(self.states[i : i + 1], 1.0))
        image.paste(strip.resize((STRIP, 20), Image.Resampling.NEAREST), (STATES, top))
        longest = max(float(self.influence.max()), 1e-12)
        draw.rectangle((BAR, top + 3, BAR + LONGEST * self.influence[i] / longest, bottom - 3), fill=COLORS[4])
        if i == self.position:  # whose gradient it is
            draw.rectangle((TAG - 3, top - 1, SURE + 42, bottom + 1), outline=COLORS[4], width=2)
        if self.known:
            tag, p = self.known[i]
            same = tag == self.tags[i]
            words = f"{p:.0%}" if same else f"{tag} {p:.0%}"
            text(image, (KNOWN, middle), words, 14, GREY if same else COLORS[1], "lm")

    def _draw_tag(self, image, draw, tag, x, middle):
        kind, dash, slot = tag.partition("-")
        if not dash:  # O, or a tag of another kind
            text(image, (x + 4, middle), short(tag, 14, SURE - x - 6), 14, GREY if tag == "O" else INK, "lm")
            return
        color = {"from": 0, "to": 1, "depart": 2, "arrive": 3, "return": 5}.get(slot.partition(".")[0], 6)
        draw.rectangle((x, middle - 8, x + 5, middle + 8), fill=COLORS[color])
        said = slot if kind == "B" else f"… {slot}"
        text(image, (x + 12, middle), short(said, 14, SURE - x - 14), 14, INK, "lm")
