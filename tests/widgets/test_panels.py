"""What holds for every panel: its still, its run and its rest, what it sends, and one seed for one course of things."""

import asyncio
import io
from collections import Counter

import ipywidgets as widgets
import numpy as np
import pytest
from PIL import Image, ImageColor

import companion.widgets
from companion.autoencoder import DenoisingAutoencoder
from companion.data import load_mnist
from companion.dbn import DBN
from companion.flights import flight_grammar, load_flights
from companion.logistic import LogisticRegression
from companion.mlp import MLP
from companion.plots import COLORS
from companion.rbm import RBM
from companion.results import load_weights
from companion.rnnrbm import RNNRBM
from companion.tagger import Tagger
from companion.widgets import (
    Adversary,
    Annealing,
    CDAgainstPCD,
    Contributions,
    Denoising,
    Descent,
    Dreams,
    EpochScrubber,
    FilterSlider,
    GibbsLab,
    Playground,
    Puck,
    Roll,
    Sandwich,
    Stack,
    Tagging,
    Tempering,
    ThreeByTwo,
    drawing,
    still,
)
from companion.widgets.canvas import Canvas
from companion.widgets.drawing import text, wide

WIDEST, HIGHEST = 1000, 640  # pixels: the room that a notebook leaves on a laptop
LARGEST = 40_000  # bytes of a frame on its way to the browser


@pytest.fixture(scope="module")
def make():
    """Return the function that makes a panel by its name, with models that have hardly learned."""
    train, valid, _ = load_mnist(verbose=False)
    X, y = train.images[:500], train.labels[:500]
    quick = {"n_epochs": 1, "random_state": 0}
    rbm = RBM.from_parameters(**load_weights("rbm"))
    classifier = LogisticRegression(**quick).fit(X, y)
    network = MLP(hidden_sizes=(10,), **quick).fit(X, y)
    autoencoder = DenoisingAutoencoder(n_hidden=20, **quick).fit(X)
    dbn = DBN(hidden_sizes=(20, 30), pretraining={"n_epochs": 1}, random_state=0).pretrain(X, y)
    tagger = Tagger(n_hidden=8, embedding=4, window=3, **quick).fit(*load_flights((60, 20, 2)).train)
    small = RBM(n_hidden=8, **quick).fit(X[:, 300:340])
    singer = RNNRBM.from_parameters(load_weights("rnnrbm"))
    recorded = {epoch: {name: epoch / 2 * array for name, array in load_weights("rbm").items()} for epoch in (1, 2)}
    ways = {
        "Adversary": lambda seed: Adversary({"plain": network, "hardened": network}, X, y, seed),
        "Annealing": lambda seed: Annealing(rbm, seed=seed),
        "CDAgainstPCD": CDAgainstPCD,
        "Contributions": lambda seed: Contributions(classifier, X, y, seed),
        "Denoising": lambda seed: Denoising(autoencoder, X, seed),
        "Descent": Descent,
        "Dreams": lambda seed: Dreams(dbn, classifier, seed),
        "EpochScrubber": lambda seed: EpochScrubber(recorded, X, seed),
        "FilterSlider": lambda seed: FilterSlider(X, seed=seed),
        "GibbsLab": lambda seed: GibbsLab(rbm, X, classifier, seed),
        "Playground": Playground,
        "Puck": lambda seed: Puck(seed=seed),
        "Roll": lambda seed: Roll(singer, seed=seed),
        "Sandwich": lambda seed: Sandwich(small, small.sample(200, 20, random_state=0), seed=seed),
        "Stack": lambda seed: Stack(dbn, X, seed),
        "Tagging": lambda seed: Tagging(tagger, flight_grammar()),
        "Tempering": lambda seed: Tempering(rbm, classifier, seed=seed),
        "ThreeByTwo": ThreeByTwo,
    }
    return lambda name, seed=0: ways[name](seed)


def canvases(panel):
    """Return the pictures of a panel, in their order."""
    return [item for item in panel.parts if isinstance(item, Canvas)]


EVERY = companion.widgets.__all__
STEPPING = [name for name in EVERY if name != "Contributions"]


@pytest.mark.parametrize("name", ["Dreams", "EpochScrubber", "GibbsLab", "Tempering", "ThreeByTwo"])
def test_an_interrupt_does_not_end_the_chains(make, monkeypatch, name):
    """As it would a generator, which then has nothing more to give."""
    panel, step = make(name), RBM.gibbs_vhv

    def interrupted(*_):
        raise KeyboardInterrupt

    panel.step(2)
    with monkeypatch.context() as patch:
        patch.setattr(RBM, "gibbs_vhv", interrupted)
        with pytest.raises(KeyboardInterrupt):
            panel.step(1)
    before = panel.picture()
    panel.step(3)
    assert RBM.gibbs_vhv is step and panel.steps == 5 and panel.picture() != before


@pytest.mark.parametrize("name", EVERY)
def test_a_still_picture_stands_in_where_no_kernel_runs(make, name):
    """Whole on a laptop, with alternative text; it changes with what is shown."""
    panel = make(name)
    for change in range(2):
        data, metadata = panel._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        assert metadata["image/png"]["alt"] == data["text/plain"] == panel.description and len(panel.description) > 20
        image = Image.open(io.BytesIO(data["image/png"]))
        assert image.size == panel.picture().size
        assert image.width <= WIDEST and image.height <= HIGHEST
        pixels = np.asarray(image.convert("RGB"))
        assert len(np.unique(pixels @ np.array([65536, 256, 1]))) > 20 and pixels[0].min() == 255, "on its own white"
        if change == 0 and name in STEPPING:
            before = pixels
            for _ in range(2):
                panel.step()
        elif name in STEPPING:
            assert pixels.shape != before.shape or (pixels != before).any()


@pytest.mark.parametrize("name", EVERY)
def test_controls_come_first_and_pictures_have_names(make, name):
    panel = make(name)
    first = panel.rows[0][0][1][0]
    assert not isinstance(first, Canvas)
    assert max(sum(width for width, _ in row) + 18 * (len(row) - 1) for row in panel.rows) <= 978
    assert all(len(canvas.label) > 8 for canvas in canvases(panel))


@pytest.mark.parametrize("name", EVERY)
def test_names_of_controls_have_room(make, name):
    """Measured as they are drawn in a still; front ends cut what is longer."""
    for item in make(name).parts:
        if width := getattr(getattr(item, "style", None), "description_width", None):
            assert wide(item.description, 14) <= int(width.removesuffix("px")) - 6, item.description


@pytest.mark.parametrize("name", EVERY)
def test_frames_are_small(make, name):
    """What a step sends, or a control that is used: all pictures and captions together, as they go over the wire."""
    panel = make(name)
    if name in ("GibbsLab", "Dreams"):
        panel.n_chains.value = 20

    def sent_by(action):
        before = {canvas: canvas.number for canvas in canvases(panel)}
        action()
        return sum(
            len(canvas.frame) + len(canvas.caption.encode()) for canvas in before if canvas.number > before[canvas]
        )

    actions = [panel.step] * 4 if name in STEPPING else []
    for item in panel.parts:
        if isinstance(item, widgets.Button) and item.description != "Run":
            actions.append(item.click)
        for value in [*getattr(item, "options", ()), getattr(item, "max", None), getattr(item, "min", None)]:
            if value is not None:
                value = value[1] if isinstance(value, tuple) else value
                actions.append(lambda item=item, value=value: setattr(item, "value", value))
    assert 0 < max(map(sent_by, actions)) <= LARGEST


@pytest.mark.parametrize("name", STEPPING)
def test_a_frame_is_one_message_for_each_picture(make, name, monkeypatch):
    panel, sent, send_state = make(name), Counter(), Canvas.send_state
    monkeypatch.setattr(Canvas, "send_state", lambda self, key=None: sent.update([self]) or send_state(self, key))
    panel.one.click()
    assert set(sent.values()) == {1}


@pytest.mark.parametrize("name", STEPPING)
def test_one_seed_is_one_course_of_things(make, name):
    def frames(seed):
        panel = make(name, seed)
        panel.step()
        panel.step()
        return [canvas.pixels for canvas in canvases(panel)]

    first, second, other = frames(3), frames(3), frames(4)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    if name not in (
        "FilterSlider",
        "Adversary",
        "Descent",
        "Stack",
        "Tagging",
    ):  # by default it draws nothing
        assert any(a.shape != b.shape or (a != b).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", STEPPING)
def test_it_runs_pauses_and_leaves_nothing_behind(make, name):
    """The button says what it will do; the cell run again leaves one panel, at rest."""

    async def play():
        panel, steps = make(name), []
        step = panel.step
        panel.step = lambda *arguments: (steps.append(1), step(*arguments))
        assert not panel.running and panel.play.description == "Run"
        panel.play.value = True
        for _ in range(100):
            await asyncio.sleep(0.02)
            if steps:
                break
        assert panel.running and panel.play.description == "Pause"
        panel.play.value = False
        assert (done := len(steps)) and not panel.running and panel.play.description == "Run"
        await asyncio.sleep(0.1)
        assert len(steps) == done, "a pause is at once"
        panel.play.value = True
        again = make(name)
        assert not panel.running and not again.running and not panel.play.value
        again.play.value = True
        again.close()
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())


@pytest.mark.parametrize("color", [*COLORS, "#dddddd", "#444444", "black"])
def test_letters_are_dark_enough_on_white(color):
    """Their darkest pixel has the contrast of 4.5 that the letters of the schematics have; no other hue."""
    image = Image.new("RGB", (60, 40), "white")
    text(image, (2, 2), "###", 30, color)
    pixels = np.asarray(image).reshape(-1, 3)
    darkest = pixels[pixels.sum(axis=1).argmin()] / 255
    linear = np.where(darkest <= 0.04045, darkest / 12.92, ((darkest + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 4.45  # rounded to 255 steps
    order = np.argsort(np.array(ImageColor.getrgb(color)), kind="stable")
    assert (np.diff(darkest[order]) >= 0).all()


def test_what_stops_a_running_panel_is_said(monkeypatch):
    """Nobody waits for the task in which it runs."""

    async def run():
        panel = Playground(seed=0)
        monkeypatch.setattr(panel, "step", lambda: 1 / 0)
        panel.play.value = True
        await asyncio.sleep(0.05)
        return panel

    panel = asyncio.run(run())
    assert not panel.running and not panel.play.value and panel.play.description == "Run"
    assert any("stopped: ZeroDivisionError: division by zero" in getattr(part, "caption", "") for part in panel.parts)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, None])
def test_seeds_are_not_bent(seed):
    with pytest.raises(ValueError, match="seed: expected"):
        Playground(seed=seed)


def test_letters_of_other_languages_are_no_boxes():
    box = bytes(drawing._font(16).getmask("\uffff"))
    for word in ("Zürich", "ß", "Ж", "♯", "→"):
        assert all(bytes(font.getmask(letter)) != box for part, font in drawing._runs(word, 16) for letter in part)
    assert (
        drawing.short("ankle-boot", 13, 40).endswith("…")
        and drawing.wide(drawing.short("ankle-boot", 13, 40), 13) <= 40
    )
    assert drawing.short("dress", 13, 100) == "dress"
    assert [drawing.brief(value) for value in (-271_365, 12_345_678, -999.4)] == ["-271k", "12M", "-999"]


def test_a_long_seed_is_kept_and_a_divergence_is_said():
    panel = Playground(seed=20_250_930)
    assert panel.seed.value == 20_250_930
    panel.losses.append(0.5)
    panel.parameters["W1"][:] = np.nan
    panel.step()
    assert "diverged: a smaller rate, then Reset" in panel.plane.caption and len(panel.losses) == 2
    panel.reset()
    panel.step()
    assert "nats" in panel.plane.caption


def test_sliders_stand_in_a_still_where_they_stand():
    sliders = (
        widgets.IntSlider(7, min=5, max=9), widgets.FloatLogSlider(100, base=100, min=0, max=2),
        widgets.SelectionSlider(options=[1, 2, 3], value=2),
    )  # fmt: skip
    assert [still._position(slider)[0] for slider in sliders] == [0.5, 0.5, 0.5]


def test_of_buttons_in_a_still_those_that_are_on_are_blue():
    def blue(item, width):
        return (np.asarray(still._still(item, width)) == ImageColor.getrgb(still.CHOSEN)).all(axis=2)

    style = {"description_width": "20px"}
    keys = widgets.ToggleButtons(options=["a", "b"] + 20 * ["long"], index=1, style=style)
    columns = np.flatnonzero(blue(keys, 200).any(axis=0))
    assert columns.min() > 40 and columns.max() < 80 and blue(keys, 200).shape[0] > still.LINE, "in rows"
    assert blue(widgets.ToggleButton(True), 50).any() and not blue(widgets.ToggleButton(False), 50).any()


def test_a_still_names_what_is_chosen_shrinks_what_is_wide_and_leaves_out_what_is_hidden(monkeypatch):
    said, canvas = [], Canvas(scale=10)
    monkeypatch.setattr(still, "text", lambda image, place, words, *_: said.append(words))
    still._still(widgets.Dropdown(options=[("yes", 1)], style={"description_width": "20px"}), 100)
    assert "yes" in said
    canvas.draw(np.zeros((28, 28)))
    assert still._still(canvas, 140).width == 140 and still._is_seen(canvas)
    canvas.layout.display = "none"
    assert not still._is_seen(canvas)
    assert list(still._wrapped("aa bb", wide("aa", 14) + 1)) == ["aa", "bb"]
