"""The panels in a real browser: they answer mouse and keyboard, in a JupyterLab."""

import io

import numpy as np
import pytest
from axe_playwright_python import base as axe
from browser import Page, paint_a_line, pixels, the_line, until, until_changed
from PIL import Image

# Every panel is a cell of one notebook.
PANELS = {}
PANELS["contributions"] = """
from companion.data import load_mnist
from companion.logistic import LogisticRegression
from companion.widgets import Contributions

train, valid, test = load_mnist()
model = LogisticRegression(n_epochs=20, random_state=0).fit(*train)
panel = Contributions(model, *valid)
panel
"""
PANELS["playground"] = """
from companion.widgets import Playground

Playground(seed=0)
"""
PANELS["gibbs_lab"] = """
from companion.data import load_mnist
from companion.results import load_weights
from companion.logistic import LogisticRegression
from companion.rbm import RBM
from companion.widgets import GibbsLab

train, valid, test = load_mnist()
classifier = LogisticRegression(n_epochs=20, random_state=0).fit(*train)
GibbsLab(RBM.from_parameters(**load_weights("rbm")), test.images, classifier, seed=1)
"""

for name, made in (("annealing", "Annealing(rbm, seed=1)"), ("tempering", "Tempering(rbm, seed=1)")):
    PANELS[name] = f"""
from companion.results import load_weights
from companion.rbm import RBM
from companion.widgets import Annealing, Tempering

rbm = RBM.from_parameters(**load_weights("rbm"))
{made}
"""
PANELS["three_by_two"] = "from companion.widgets import ThreeByTwo\nThreeByTwo(seed=0)"
PANELS["cd_against_pcd"] = "from companion.widgets import CDAgainstPCD\nCDAgainstPCD(seed=0)"
PANELS["epoch_scrubber"] = """
from companion.results import load_weights
from companion.widgets import EpochScrubber

weights = load_weights("rbm")
EpochScrubber({epoch: {name: epoch / 2 * array for name, array in weights.items()} for epoch in (1, 2)})
"""
PANELS["dreams"] = """
from companion.data import load_mnist
from companion.results import load_weights
from companion.dbn import DBN
from companion.logistic import LogisticRegression
from companion.widgets import Dreams

train, valid, test = load_mnist()
reader = LogisticRegression(n_epochs=20, random_state=0).fit(*train)
Dreams(DBN.from_parameters(load_weights("dbn_dreams")), reader, seed=1)
"""
PANELS["denoising"] = """
from companion.autoencoder import DenoisingAutoencoder
from companion.data import load_mnist
from companion.widgets import Denoising

train, valid, test = load_mnist()
Denoising(DenoisingAutoencoder(n_hidden=100, n_epochs=2, random_state=0).fit(train.images), test.images, seed=1)
"""
PANELS["filter_slider"] = """
from companion.data import load_mnist
from companion.widgets import FilterSlider

train, valid, test = load_mnist()
FilterSlider(test.images, seed=1)
"""
PANELS["adversary"] = """
from companion.data import load_mnist
from companion.mlp import MLP
from companion.widgets import Adversary

train, valid, test = load_mnist()
model = MLP(hidden_sizes=(50,), activation="relu", learning_rate=0.1, n_epochs=3, random_state=0).fit(*train)
Adversary({"a network": model}, *test)
"""
PANELS["descent"] = "from companion.widgets import Descent\nDescent(seed=0)"
PANELS["puck"] = "from companion.widgets import Puck\nPuck(seed=0)"
PANELS["sandwich"] = """
from companion.data import load_mnist
from companion.rbm import RBM
from companion.widgets import Sandwich

train, valid, test = load_mnist()
small = RBM(n_hidden=8, n_epochs=1, random_state=0).fit(train.images[:500])
Sandwich(small, small.sample(200, 20, random_state=0))
"""
PANELS["stack"] = """
import numpy as np
from companion.data import load_mnist
from companion.dbn import DBN
from companion.widgets import Stack

train, valid, test = load_mnist()
sizes, rng, parameters = (784, 500, 500, 1000), np.random.default_rng(0), {}  # as in the chapter, untrained
for k, (below, above) in enumerate(zip(sizes, sizes[1:]), start=1):
    parameters[f"W{k}"] = rng.normal(0, 0.2, (below, above)).astype(np.float32)
    parameters |= {f"visible_bias{k}": np.zeros(below, np.float32), f"b{k}": np.zeros(above, np.float32)}
Stack(DBN.from_parameters(parameters), test.images)
"""
PANELS["tagging"] = """
from companion.flights import flight_grammar
from companion.results import find_weights
from companion.storage import load_model
from companion.tagger import Tagger
from companion.widgets import Tagging

words = "show me flights from boston to new york on delta if possible on monday before nine"
Tagging(load_model(find_weights("tagger"), Tagger), flight_grammar(), words)
"""
PANELS["roll"] = """
from companion.results import load_weights
from companion.rnnrbm import RNNRBM
from companion.widgets import Roll

Roll(RNNRBM.from_parameters(load_weights("rnnrbm")), [67, 67, 69, 71], seed=2)
"""
NOTEBOOKS = {"panels": list(PANELS.values())}
# Those without a test of their own:
OTHERS = [name for name in PANELS if name not in ("contributions", "playground", "gibbs_lab")]
ENDING = ("stack", "tagging", "roll")  # panels that pause by themselves when they are through


# The kernel answers in turn: when it does, all that a reader did before is done, and its frames are here, to be drawn.
ANSWER = """async () => {
    await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestKernelInfo();
    for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); }"""


def at_rest(page, canvas):
    """Wait until the last frame that was on its way has arrived on canvases, and return their pixels."""
    last = None
    for _ in range(60):
        page.evaluate(ANSWER)
        if (frames := canvas.evaluate_all("all => all.map(c => c.dataset.frame)")) == last:
            return pixels(canvas)
        last = frames
        page.wait_for_timeout(200)  # a loop that was told to pause may end its turn
    raise AssertionError("it does not come to rest")


@pytest.fixture(scope="module")
def panels(chromium, book):
    """The page of the notebook, whose cells all run in one kernel."""
    page = Page(chromium, book[0])
    page.run("panels.ipynb")
    page.page.locator(".jp-CodeCell").last.locator("canvas.companion-canvas").first.wait_for(timeout=240_000)
    yield page
    page.close()


def cell_of(page, name):
    """Return the cell of a panel, brought into view."""
    cell = page.locator(".jp-CodeCell").nth(list(PANELS).index(name))
    cell.locator(".jp-OutputArea canvas.companion-canvas").first.scroll_into_view_if_needed()
    return cell


def test_contributions_answer_mouse_and_keyboard(panels):
    page, cell = panels.page, cell_of(panels.page, "contributions")
    pad, view = (cell.locator(".jp-OutputArea canvas.companion-canvas").nth(i) for i in (0, 1))
    assert "paint a digit" in pad.get_attribute("aria-label")
    assert (pad.get_attribute("tabindex"), view.get_attribute("tabindex")) == ("0", "-1"), (
        "no idle stop for the Tab key"
    )
    cell.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("c => !c.getContext('2d').getImageData(14, 14, 1, 1).data[0]", arg=pad.element_handle())
    blank, before = pixels(pad), pixels(view)
    assert not blank[:, :, :3].any()

    box = pad.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.8, steps=4)
    page.mouse.up()
    until_changed(page, view, before)
    stroke = at_rest(page, pad)[:, :, 0]
    assert (stroke[7:22, 13:16].max(axis=1) == 255).all(), "a fast stroke leaves no gaps"
    assert not stroke[:, :10].any() and not stroke[:, 18:].any()

    drawn = pixels(view)
    cell.get_by_role("slider").nth(1).focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    until_changed(page, view, drawn)
    np.testing.assert_array_equal(pixels(pad)[:, :, 0], stroke)

    pad.focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    for key, ink in (("Space", 255), ("Shift+Space", 0), ("Space", 255), ("Delete", 0)):
        before = pixels(view)
        pad.focus()
        page.keyboard.press(key)
        until_changed(page, view, before)
        pad.evaluate("c => c.blur()")  # the cursor is drawn over the picture while the pad has the focus
        until(page, pad, lambda seen, ink=ink: seen[14, 5, 0] == ink, f"{key} paints {ink}")


def test_playground_runs_pauses_and_starts_anew(panels):
    page, cell = panels.page, cell_of(panels.page, "playground")
    plane = cell.locator(".jp-OutputArea canvas.companion-canvas").first
    start = pixels(plane)
    cell.get_by_role("button", name="Step", exact=True).focus()
    page.keyboard.press("Enter")
    stepped = until_changed(page, plane, start)

    cell.get_by_role("button", name="Run", exact=True).click()
    running = until_changed(page, plane, stepped)
    goal = int(plane.get_attribute("data-frame")) + 6
    until_changed(page, plane, running)
    page.wait_for_function(  # it goes on by itself, on a busy machine too
        "([canvas, goal]) => Number(canvas.dataset.frame) >= goal", arg=[plane.element_handle(), goal]
    )
    cell.get_by_role("button", name="Pause", exact=True).click()
    at_rest(page, plane)
    frame = plane.get_attribute("data-frame")
    page.wait_for_timeout(500)
    assert plane.get_attribute("data-frame") == frame, "and rests when it is paused"

    trained = pixels(plane)
    cell.get_by_role("button", name="Reset").click()
    np.testing.assert_array_equal(until_changed(page, plane, trained), start)


def test_gibbs_lab_chains_step_run_pause_and_keep_what_is_clamped(panels):
    page, cell = panels.page, cell_of(panels.page, "gibbs_lab")
    pad, tiles = (cell.locator(".jp-OutputArea canvas.companion-canvas").nth(i) for i in (0, 1))

    def press(name):
        cell.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Enter")

    def rest():
        return at_rest(page, pad)

    start = rest()
    np.testing.assert_array_equal(rest(), start, "at rest nothing changes")
    press("Step")
    first = until_changed(page, pad, start)
    press("Reset")
    np.testing.assert_array_equal(until_changed(page, pad, first), start)
    press("Step")
    np.testing.assert_array_equal(until_changed(page, pad, start), first, "the same seed, the same chain")

    pad.scroll_into_view_if_needed()
    paint_a_line(page, pad)
    painted = rest()
    clamped = the_line(painted)
    for _ in range(3):
        before = pixels(pad)
        press("Step")
        after = until_changed(page, pad, before)
        np.testing.assert_array_equal(after[clamped], painted[clamped])

    def frames(seconds):
        number = "c => Number(c.dataset.frame)"
        begun = tiles.evaluate(number)
        page.wait_for_timeout(1000 * seconds)
        return (tiles.evaluate(number) - begun) / seconds

    rates = {}
    for chains in (1, 20):
        slider = cell.get_by_role("slider").first
        slider.focus()
        page.keyboard.press("Home" if chains == 1 else "End")
        page.wait_for_timeout(300)
        press("Run")
        page.wait_for_timeout(300)
        rates[chains] = frames(3)
        press("Pause")
        still = rest()
        np.testing.assert_array_equal(rest(), still, "and rests when it is paused")
        np.testing.assert_array_equal(still[clamped], painted[clamped])
    print(f"\nframes a second in the browser: {rates}")
    assert min(rates.values()) > 1

    beta = cell.get_by_role("slider").nth(1)
    beta.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    np.testing.assert_array_equal(rest(), still, "a new temperature shows at the next step")
    press("Step")
    until_changed(page, pad, still)
    press("Free all")
    assert not ((p := rest())[:, :, 0] != p[:, :, 2]).any(), "nothing is clamped any more"


@pytest.mark.parametrize("name", OTHERS)
def test_panels_step_run_and_start_anew(panels, name):
    page, cell = panels.page, cell_of(panels.page, name)
    all_of_it = cell.locator(".jp-OutputArea canvas.companion-canvas")

    def button(name):
        return cell.get_by_role("button", name=name, exact=True)

    start = at_rest(page, all_of_it)
    button("Step").click()
    stepped = until_changed(page, all_of_it, start)
    button("Run").click()
    until_changed(page, all_of_it, stepped)
    button("Run" if name in ENDING else "Pause").click(trial=name in ENDING, timeout=60_000)
    still = at_rest(page, all_of_it)
    page.wait_for_timeout(500)
    np.testing.assert_array_equal(pixels(all_of_it), still, "at rest nothing changes")
    assert not np.array_equal(still, start)
    button("Reset").click()
    until(page, all_of_it, lambda seen: np.array_equal(seen, start), "it does not start anew")


@pytest.mark.parametrize(("width", "height", "browsing"), [(1366, 768, True), (1400, 1000, True), (820, 1180, False)])
def test_all_of_a_panel_is_seen_at_once(panels, width, height, browsing):
    """On a laptop with the file browser open, on a larger screen, on a tablet without: at most 640 pixels high."""
    page = panels.page
    page.set_viewport_size({"width": width, "height": height})
    if page.locator("#jp-left-stack").is_visible() != browsing:
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.wait_for_timeout(1000)
    for name in OTHERS:
        cell = cell_of(page, name)
        box, room = (
            cell.locator(place).first.bounding_box() for place in (".companion-panel", ".jp-OutputArea-output")
        )
        assert box["height"] <= 640, f"{name}: {box}"
        assert box["width"] <= room["width"] + 1, f"{name}: {box} in {room}"
        first = cell.locator(".companion-panel .widget-label").first.bounding_box()
        picture = cell.locator("canvas.companion-canvas").first.bounding_box()
        assert first["y"] < picture["y"] + 60 and first["x"] < box["x"] + 60, f"{name}: controls come first"
        heights = cell.locator(".companion-panel button").evaluate_all("all => all.map(b => b.offsetHeight)")
        assert min(heights) >= 36, f"{name}: buttons for fingers"


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_screen_readers_find_nothing_unnamed_and_dark_pages_nothing_white(panels, theme):
    page = panels.page
    page.evaluate(f"() => window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
    page.wait_for_timeout(1000)
    page.evaluate(axe.AXE_SCRIPT)
    for name in OTHERS:
        panel = cell_of(page, name).locator(".companion-panel")
        found = page.evaluate("panel => axe.run(panel)", panel.element_handle())
        serious = [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert not serious and len(found["passes"]) > 5, f"{name}: {found['violations']}"
        handles = panel.locator(".noUi-handle").evaluate_all("all => all.map(h => h.getAttribute('aria-label'))")
        groups = panel.locator(".widget-toggle-buttons").evaluate_all(
            "all => all.map(g => g.getAttribute('aria-label'))"
        )
        assert all(handles + groups), f"{name}: {handles}, {groups}"
        unlike = panel.locator(".widget-inline-hbox:has(.noUi-handle):has(.widget-readout)").evaluate_all("""
            all => all.map(box => [box.querySelector('.noUi-handle').getAttribute('aria-valuetext'),
                                   box.querySelector('.widget-readout').textContent]).filter(([a, b]) => a !== b)""")
        assert not unlike, f"{name}: sliders say {unlike}"
        run = panel.get_by_role("button", name="Run", exact=True)  # its name says it: Pause, pressed, would be misread
        assert run.get_attribute("aria-pressed") is None
        brushes = panel.locator(".widget-toggle-buttons button").evaluate_all(
            "all => all.map(b => [b.getAttribute('aria-pressed'), String(b.classList.contains('mod-active'))])"
        )
        assert all(said == is_so for said, is_so in brushes)
        assert panel.locator("[title=null]").count() == 0
        shot = np.asarray(Image.open(io.BytesIO(panel.screenshot())).convert("L"))
        assert (np.median(shot) < 60) == (theme == "Dark"), f"{name}: the page's colour behind everything"
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")


def test_keys_pressed_in_a_panel_are_not_the_notebooks(panels):
    """An x would cut the cell, an arrow go to the next one, with the focus."""
    page, cell = panels.page, cell_of(panels.page, "playground")
    n_cells = page.locator(".jp-CodeCell").count()
    cell.get_by_role("button", name="Step", exact=True).focus()
    page.keyboard.press("x")
    choice = cell.get_by_role("combobox").first
    before = choice.input_value()
    choice.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("([each, before]) => each.value !== before", arg=[choice.element_handle(), before])
    assert page.locator(".jp-CodeCell").count() == n_cells
    assert choice.evaluate("each => each === document.activeElement")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("([each, before]) => each.value === before", arg=[choice.element_handle(), before])


def test_the_keyboard_sees_where_it_paints_and_a_second_finger_does_not(panels):
    page, cell = panels.page, cell_of(panels.page, "contributions")
    pad = cell.locator(".jp-OutputArea canvas.companion-canvas").first
    pad.click()  # the mouse needs no cursor: the next one begins in the middle
    cell.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    until(page, pad, lambda seen: not seen[:, :, :3].any(), "an empty pad")
    pad.focus()
    cursor = until(page, pad, lambda seen: seen[14:16, 14:16, 0].any(), "a cursor before the first key")
    assert cursor[14:16, 14:16, 0].tolist() == [[0, 255], [255, 0]], "black and white: seen on any ground"
    page.keyboard.press("ArrowRight")
    said = cell.locator(".companion-spoken").first
    page.wait_for_function("each => each.textContent === 'row 15, column 16'", arg=said.element_handle())
    for key in ["ArrowRight", "ArrowDown"] * 16:
        page.keyboard.press(key)
    until(page, pad, lambda seen: seen[26:28, 26:28, 0].any(), "a cursor in the corner, too")
    box = pad.bounding_box()
    for identity, row, kind in ((1, 4, "down"), (2, 24, "down"), (2, 20, "move"), (1, 5, "move")):
        where = {"clientX": box["x"] + 5.5 * box["width"] / 28, "clientY": box["y"] + (row + 0.5) * box["height"] / 28}
        pad.dispatch_event(f"pointer{kind}", {"pointerId": identity, "pointerType": "touch", "buttons": 1, **where})
    painted = until(page, pad, lambda seen: seen[5, 5, 0] == 255, "the first finger paints")
    assert not painted[8:, :, 0].any(), "no line to the second"
    pad.dispatch_event("pointercancel", {"pointerId": 1, "bubbles": True})
    where = {"clientX": box["x"] + 5.5 * box["width"] / 28, "clientY": box["y"] + 24.5 * box["height"] / 28}
    pad.dispatch_event("pointerdown", {"pointerId": 1, "pointerType": "touch", "buttons": 1, **where})
    until(page, pad, lambda seen: seen[24, 5, 0] == 255, "the next finger paints again")
    pad.dispatch_event("pointerup", {"pointerId": 1, "bubbles": True})
