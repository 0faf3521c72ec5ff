"""Chapter 11: a piano roll that grows, step by step, around the notes that the reader has drawn."""

import ipywidgets as widgets
import numpy as np

from ..backend import Noise, to_numpy
from ..music import LOWEST, N_KEYS, note_name, organ, roll, wav
from ..plots import COLORS
from ..rnnrbm import RNNRBM
from .canvas import Canvas
from .panel import Panel, check_kind, control, seed_control

__all__ = ["Roll"]

CELL, TEMPO = 11, 80  # screen pixels of a step and a key; quarters a minute
PAPER, DARKER, BAR, NOW = (255, 255, 255), (240, 242, 244), (229, 233, 237), (255, 240, 190)
LATE = (250, 214, 190)
WRITTEN, GIVEN, WAITING = (
    [int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (COLORS[0], COLORS[1], COLORS[4])
)
BLACK_KEYS = [(key + LOWEST) % 12 in (1, 3, 6, 8, 10) for key in range(N_KEYS)][::-1]


class Roll(Panel):
    """Watch an RNN-RBM write music, quarter by quarter, below a melody that you draw.

    Parameters
    ----------
    model : companion.rnnrbm.RNNRBM
        Of 46 keys.
    melody : array_like (n,), optional
        MIDI numbers of a soprano that is given at first, 0 where there is none.
    n_steps : int
        Quarters until the page is full.
    seed : int
        The same seed gives the same music.
    """

    description = (
        "A piano roll, time from left to right, high notes on top: notes that were drawn, as a soprano, in vermilion, "
        "those that are still to come in orange; notes that the machine has written below them in blue; "
        "pale orange, what was drawn too late."
    )

    def __init__(self, model, melody=(), n_steps=48, seed=0):
        check_kind(RNNRBM, model=model)
        if model.n_features_in_ != N_KEYS:
            raise ValueError(f"model: expected one of {N_KEYS} keys, found one of {model.n_features_in_}")
        self.model, self.n_steps = model, n_steps
        self.melody = np.zeros(n_steps, int)  # the key drawn for each step, counted from 1; 0 for none
        if np.ndim(melody) != 1:
            raise ValueError(f"melody: expected the shape (n,), one note a quarter, found {np.shape(melody)}")
        keys = roll(np.reshape(melody, (-1, 1)))[:n_steps]
        self.melody[: len(keys)] = np.where(keys.any(axis=1), keys.argmax(axis=1) + 1, 0)
        self.temperature = control(widgets.FloatSlider, "temperature", 1.0, min=0.5, max=2.0, step=0.1)
        self.steps = control(widgets.Dropdown, "Gibbs steps", options=[25, 100, 500], value=100)
        self.seed = seed_control(seed)
        self.erase = control(widgets.Button, "No melody", tooltip="erase all that was drawn")
        self.listen = control(widgets.Button, "Listen", tooltip="play what stands there")
        silence = wav(np.zeros(1))  # a browser complains of a player with nothing in it
        self.sound = widgets.Audio(value=silence, autoplay=True, loop=False, layout=widgets.Layout(width="auto"))
        self.page = Canvas(
            scale=CELL, paintable=True, label="Piano roll: draw a melody with the mouse, Shift erases", on_paper=True
        )
        self.page.on_paint(self.paint)
        self.seed.observe(lambda _: self.reset(), "value")
        self.erase.on_click(lambda _: self.paint([(0, step, True) for step in range(self.n_steps)]))
        self.listen.on_click(lambda _: self.play_sound())
        controls = [self.temperature, self.steps, self.seed, self.buttons(), [self.erase, self.listen], self.sound]
        super().__init__([(300, controls), (CELL * n_steps, [self.page])])
        self.reset()

    def reset(self):
        """Begin anew, with an empty page and the melody as it is drawn."""
        self.noise, self.state, self.music = Noise(self.seed.value), self.model.silence(), []
        self.held = []  # for every quarter that is written, the key that was given, from 1; 0 for none
        self.refresh()

    def step(self, steps=1):
        """Write so many quarters, until the page is full."""
        for _ in range(min(steps, self.n_steps - len(self.music))):
            given = self.given(len(self.music))
            v = self.model.draw(self.state, self.noise, given, self.steps.value, 1 / self.temperature.value)
            self.state = self.model.follow(self.state, v)
            self.held.append(self.melody[len(self.music)])
            self.music.append(to_numpy(v))
        if len(self.music) == self.n_steps:
            self.pause()
        self.refresh()

    def given(self, step):
        """What the melody says of the keys (46,) at a step: it sounds, nothing above it does; nan below it, or None."""
        if not self.melody[step]:
            return None
        keys = np.full(N_KEYS, np.nan)
        keys[self.melody[step] - 1 :] = 0
        keys[self.melody[step] - 1] = 1
        return keys

    def paint(self, strokes):
        """Take (row, column, erase) triples: one note of the melody a column; what is written stays, until `reset`."""
        for row, column, erase in strokes:
            if column < self.n_steps:
                self.melody[column] = 0 if erase else N_KEYS - row
        self.refresh()

    def play_sound(self):
        """Put what stands there into the player."""
        if self.music:
            self.sound.value = wav(organ(np.array(self.music), TEMPO))

    def refresh(self):
        """Draw the page anew."""
        self.page.draw(self._draw())
        words = (
            "the page is full" if len(self.music) == self.n_steps else f"quarter {len(self.music)} of {self.n_steps}"
        )
        keys = f"{note_name(LOWEST)} at the bottom, {note_name(LOWEST + N_KEYS - 1)} at the top"
        late = np.count_nonzero(self.melody[: len(self.held)] != self.held)
        late = f" ({late} changed too late: Reset takes them in)" if late else ""
        self.page.caption = f"{words}, {np.count_nonzero(self.melody)} drawn{late} · {keys}"

    def _draw(self):
        """Return the page, uint8 (46, n_steps, 3): the highest key on top."""
        page = np.empty((N_KEYS, self.n_steps, 3), np.uint8)
        page[:] = PAPER
        page[BLACK_KEYS] = DARKER
        page[:, ::4] = BAR
        now = len(self.music)
        if now < self.n_steps:
            page[:, now] = NOW
        for t in np.flatnonzero(self.melody):
            page[N_KEYS - self.melody[t], t] = LATE if t < now else WAITING
        for t, (keys, held) in enumerate(zip(self.music, self.held)):
            page[::-1, t][keys > 0.5] = WRITTEN
            if held:
                page[N_KEYS - held, t] = GIVEN
        return page
