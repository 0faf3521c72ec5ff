"""The book as pages: it builds without a warning, reads without a network, and its panels draw what Python draws."""

import base64
import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from PIL import Image

from companion.backend import Noise, to_device, to_numpy
from companion.data import bars_and_stripes
from companion.likelihood import exact_log_partition
from companion.optimize import SGD
from companion.rbm import RBM, ContrastiveDivergence
from companion.results import load_weights

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "widgets"))
from browser import CHROMIUM, FLAGS, is_root  # noqa: E402

NODE = shutil.which("node")
TINY = ([[2.0, -1.0], [2.0, 1.5], [-1.5, 2.0]], [-1.0, 0.0, -0.5], [-0.5, -1.0])  # chapter 6, section 1
# One page of each kind is walked; the links of all are followed. BOOK_PAGES=all walks every one.
WALKED = ["index", "results", "search", "chapters/08_deep_belief_network", "api/rbm"]
LIVE = ["live/three_by_two", "live/gibbs_lab", "live/cd_against_pcd"]
needs_sphinx = pytest.mark.skipif(
    importlib.util.find_spec("sphinx_book_theme") is None, reason="Sphinx is not installed: pip install -e '.[book]'"
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: install Chromium, or nobody has seen the pages"
)


def test_the_moving_picture_is_of_the_lab_as_it_is():
    """What chance draws may differ from processor to processor; sizes, pixels that are held and captions may not."""
    spec = importlib.util.spec_from_file_location("picture", ROOT / "site" / "picture.py")
    spec.loader.exec_module(picture := importlib.util.module_from_spec(spec))
    lab = picture.lab()
    lab.step()
    now, kept = picture.still(lab), Image.open(picture.PICTURE)
    assert kept.size == now.size and kept.n_frames == picture.FRAMES and picture.PICTURE.stat().st_size < 600_000
    now, kept = np.asarray(now).astype(int), np.asarray(kept.convert("RGB")).astype(int)
    same = np.abs(now - kept).max(axis=2) < 40
    held = lab.held.reshape(28, 28).repeat(9, axis=0).repeat(9, axis=1)
    assert lab.held.sum() > 30 and same[10:262, 10:262][held].all()
    assert same[335:355, 282:].all()  # "all 20 chains"


# The mathematics, which exists twice. Python's uniform numbers are handed to JavaScript.


@pytest.fixture
def javascript(tmp_path):
    """Return the function that runs the body of a JavaScript module over ``input``, and returns its ``output``.

    In Node where there is one, otherwise in Chromium.
    """
    if NODE is None and CHROMIUM is None:
        pytest.skip("NO JAVASCRIPT: install Node or Chromium, or nobody knows that the live pages sample rightly")
    for path in (ROOT / "site" / "live").glob("*.js"):
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')

    def run(imports, body, **given):
        module = "\n".join(f'import {{ {names} }} from "./{name}.js";' for name, names in imports.items())
        module += f"\nexport default function (input) {{\n{body}\nreturn output; }}\n"
        (tmp_path / "test.js").write_text(module)
        (tmp_path / "input.json").write_text(json.dumps(given, default=_packed))
        (tmp_path / "unpack.js").write_text(UNPACK)
        if NODE:
            (tmp_path / "main.js").write_text(
                'import fs from "fs"; import run from "./test.js"; import { unpack } from "./unpack.js";'
                'console.log(JSON.stringify(run(unpack(fs.readFileSync("input.json", "utf8")))))'
            )
            return json.loads(subprocess.check_output([NODE, "main.js"], cwd=tmp_path))
        with serving(tmp_path) as address, chromium() as browser:
            page = browser.new_page()
            page.goto(f"{address}/package.json")
            return page.evaluate(
                "async () => { const test = await import('/test.js'), { unpack } = await import('/unpack.js');"
                "  return test.default(unpack(await (await fetch('/input.json')).text())); }"
            )

    return run


UNPACK = """
export const unpack = (text) => JSON.parse(text, (_, value) => {
  if (typeof value?.float64 !== "string") return value;
  const bytes = atob(value.float64), numbers = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) numbers[i] = bytes.charCodeAt(i);
  return new Float64Array(numbers.buffer);
});
"""


def _packed(array):
    """Hand an array over as the bytes of its numbers, which reach JavaScript as they are, and soon."""
    return {"float64": base64.b64encode(np.asarray(array, "<f8").tobytes()).decode()}


class _Recorded(Noise):
    """Noise that keeps every uniform number it draws."""

    def __init__(self, seed):
        super().__init__(np.random.default_rng(seed))
        self.numbers = []

    def uniform(self, out):
        u = super().uniform(out)
        self.numbers.append(to_numpy(u).flatten())  # a copy: the array itself becomes the draw
        return u


def test_javascript_gives_the_same_states_for_a_thousand_steps(javascript):
    """The machine that the book ships; pixels clamped from step 400 on, another temperature from step 700 on."""
    rbm = RBM.from_parameters(**{name: np.float64(array) for name, array in load_weights("rbm").items()})
    noise, start = _Recorded(3), np.random.default_rng(4).integers(0, 2, (1, 784)).astype(float)
    held, painted = np.arange(784) % 28 < 9, np.arange(784) // 28 % 2
    on, energies, v = [], [], to_device(start)
    for steps, clamp, beta in ((400, None, 1.0), (300, held, 1.0), (300, held, 0.8)):
        v = v if clamp is None else to_device(np.where(held, painted, to_numpy(v)))
        for v, _, h in islice(rbm.chains(v, noise, clamp, beta), steps):  # noqa: B020, goes on from where it was
            on.append([np.flatnonzero(to_numpy(v)[0]).sum(), np.flatnonzero(to_numpy(h)[0]).sum()])
            energies.append(float(rbm.free_energy(v)[0]))
        if clamp is None:  # where the pixels are painted
            clamped = float(rbm.free_energy(np.where(held, painted, to_numpy(v)))[0])
    output = javascript(
        {"rbm": "RBM, Chains"},
        """
        const rbm = new RBM(input.W, input.b, input.c), output = { on: [], energies: [] };
        let next = 0;
        const chains = new Chains(rbm, [input.start], () => input.uniform[next++]);
        const places = (bits) => bits.reduce((sum, bit, i) => sum + bit * i, 0);
        for (let step = 0; step < 1000; step++) {
          if (step === 400) chains.clamp(input.held, input.painted), (output.clamped = chains.chains[0].energy);
          chains.beta = step < 700 ? 1 : 0.8;
          chains.step();
          output.on.push([places(chains.chains[0].v), places(chains.chains[0].h)]);
          output.energies.push(chains.chains[0].energy);
        }
        output.used = next;
        """,
        W=to_numpy(rbm.W_), b=to_numpy(rbm.visible_bias_), c=to_numpy(rbm.hidden_bias_), start=start,
        held=held.astype(int), painted=painted, uniform=np.concatenate(noise.numbers),
    )  # fmt: skip
    assert output["used"] == 1000 * 1284
    assert output["on"] == np.array(on).tolist()
    np.testing.assert_allclose([*output["energies"], output["clamped"]], [*energies, clamped], rtol=1e-9)


def test_javascript_finds_the_exact_frequencies_of_three_by_two(javascript):
    output = javascript(
        {"rbm": "RBM, Chains, exactTable, exactLogPartition", "random": "random"},
        """
        const rbm = new RBM(input.W.flat(), input.b, input.c), counts = new Array(8).fill(0);
        const chains = new Chains(rbm, [[0, 0, 0]], random(1));
        for (let step = 0; step < 200000; step++) {
          chains.step();
          const { v } = chains.chains[0];
          counts[4 * v[0] + 2 * v[1] + v[2]]++;
        }
        const output = { table: exactTable(rbm), cold: exactTable(rbm, 2), logZ: exactLogPartition(rbm), counts };
        """,
        W=TINY[0], b=TINY[1], c=TINY[2],
    )  # fmt: skip
    rbm = RBM.from_parameters(*map(np.array, TINY))
    v, h = (np.array(list(np.ndindex(*[2] * n)), float) for n in (3, 2))
    energies = to_numpy(rbm.energy(np.repeat(v, 4, axis=0), np.tile(h, (8, 1)))).reshape(8, 4)
    for table, beta in (("table", 1), ("cold", 2)):
        weights = np.exp(-beta * energies)
        np.testing.assert_allclose(output[table], weights / weights.sum(), rtol=1e-9)
    assert output["logZ"] == pytest.approx(exact_log_partition(rbm).log_z, abs=1e-9)
    exact = np.sum(output["table"], axis=1)
    # Total variation of 200,000 independent draws is about .002; the chain's are worth a third of them at least.
    assert abs(np.array(output["counts"]) / 200_000 - exact).sum() / 2 < 0.01


@pytest.mark.parametrize("persistent", [False, True], ids=["CD-2", "PCD-2"])
def test_javascript_learns_the_same_parameters(javascript, persistent):
    images = bars_and_stripes(4)
    W = 0.1 * np.random.default_rng(0).standard_normal((16, 12))
    rbm, noise = RBM.from_parameters(W.copy(), np.zeros(16), np.zeros(12)), _Recorded(6)
    estimate = ContrastiveDivergence(rbm, noise, k=2, n_chains=30 * persistent)
    optimizer = SGD(0.5)
    for _ in range(50):
        estimate(to_device(images))
        optimizer.update(list(rbm.parameters_.values()), estimate.gradients)
    output = javascript(
        {"rbm": "RBM", "learning": "ContrastiveDivergence, barsAndStripes"},
        """
        const rbm = new RBM(input.W, new Float64Array(16), new Float64Array(12));
        let next = 0;
        const learner = new ContrastiveDivergence(rbm, () => input.uniform[next++], { k: 2, nChains: input.chains });
        for (let update = 0; update < 50; update++) learner.update(barsAndStripes(4), 0.5);
        const output = [rbm.W, rbm.visibleBias, rbm.hiddenBias].map((each) => [...each]);
        """,
        W=W, uniform=np.concatenate(noise.numbers), chains=30 * persistent,
    )  # fmt: skip
    for found, expected in zip(output, rbm.parameters_.values()):
        np.testing.assert_allclose(found, to_numpy(expected).ravel(), atol=1e-9)


def test_javascript_reads_half_precision(javascript):
    bits = np.array([0, 1, 0x3C00, 0xC248, 0x7BFF, 0x0400, 0x83FF, 0x3555], np.uint16)
    output = javascript({"weights": "single"}, "const output = input.bits.map(single);", bits=bits.tolist())
    np.testing.assert_array_equal(output, bits.view(np.float16).astype(float))


# The pages.


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Build the pages, once; return their folder."""
    folder = tmp_path_factory.mktemp("site") / "book"
    command = [sys.executable, str(ROOT / "site" / "build.py"), "--output", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert built.returncode == 0, f"warnings are errors:\n{built.stderr[-3000:]}"
    return folder


class _Links(HTMLParser):
    """Gather what a page points to, and what can be pointed to on it."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.names, self.images = [], set(), []
        self.feed(path.read_text(encoding="utf8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        self.targets += [given[key] for key in ("href", "src") if given.get(key)]
        if tag == "img":
            self.images.append(given)


@needs_sphinx
def test_every_internal_link_of_the_site_leads_somewhere(book):
    pages = {path: _Links(path) for path in book.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlparse(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            names = pages[file].names if file in pages else None
            if not file.is_file() or (parts.fragment and names is not None and unquote(parts.fragment) not in names):
                broken.append(f"{path.relative_to(book)}: {target}")
    assert not broken
    assert len(pages) > 40
    assert not [path.name for path in pages if str(ROOT) in path.read_text("utf8")], "a folder of this machine"


@needs_sphinx
def test_names_in_the_code_of_a_chapter_lead_to_their_pages(book):
    link = re.compile(r'<a class="code-link" href="\.\./api/([^"]*)" title="([^"]*)">(.*?)</a>')
    for path in book.glob("chapters/*.html"):
        found = {(re.sub("<[^>]*>", "", code), name, page) for page, name, code in link.findall(path.read_text("utf8"))}
        assert len(found) > 20, path.name
        for code, name, page in found:  # a renamed import would be the one exception
            assert code.split(".")[-1] == name.split(".")[-1], (code, name)
            assert page.endswith(("#" + name, "#module-" + name))
    tagger = (book / "chapters" / "10_recurrent_network.html").read_text("utf8")
    shown = {(re.sub("<[^>]*>", "", code), name) for _, name, code in link.findall(tagger)}
    assert {("Tagger", "companion.tagger.Tagger"), ("window.score", "companion.tagger.Tagger.score")} <= shown
    assert ("probe.predict", "companion.classifier.Classifier.predict") in shown, "inherited"


@needs_sphinx
def test_site_has_the_alternative_texts_of_the_chapters_and_is_light(book):
    texts = set()
    for path in (ROOT / "chapters").glob("[0-9]*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
            texts |= {
                o["metadata"]["image/png"]["alt"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
            }
    shown = [image for path in book.glob("chapters/*.html") for image in _Links(path).images]
    assert {" ".join(image["alt"].split()) for image in shown if "alt" in image} >= {
        " ".join(text.split()) for text in texts
    }
    assert not list(book.rglob("*.ipynb")), "copies of the notebooks double the size"
    assert sum(path.stat().st_size for path in book.rglob("*") if path.is_file()) < 25e6


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class serving:
    """Serve a folder on this machine; the address is what ``with`` gives."""

    def __init__(self, folder):
        handler = functools.partial(_Quiet, directory=folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


class chromium:
    """A real browser; it is what ``with`` gives."""

    def __enter__(self):
        sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
        self.playwright = sync_api.sync_playwright().start()
        options = [*FLAGS, "--no-sandbox"] if is_root() else FLAGS
        self.browser = self.playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        return self.browser

    def __exit__(self, *error):
        self.browser.close()
        self.playwright.stop()


@pytest.fixture(scope="module")
def visit(book):
    """Return the function that opens a page; at the end nobody else was asked, and nothing was complained of."""
    hosts, complaints = set(), []
    with serving(book) as address, chromium() as browser:

        def open_page(name, width=1280, scheme="light"):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
            page.on("console", lambda m: m.type == "error" and complaints.append(f"{name}: {m.text} {m.location}"))
            page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
            page.goto(f"{address}/{name}.html", wait_until="load")
            return page

        yield open_page
    assert not complaints
    assert hosts <= {"127.0.0.1", None}, "a page asked another host"


def axe_findings(page):
    """Return what axe calls serious or critical on a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]  # else it asks for styles anew
    return [(each["id"], each["nodes"][0]["html"][:300]) for each in found if each["impact"] in ("serious", "critical")]


def pages(book):
    every = [path.relative_to(book).with_suffix("").as_posix() for path in book.rglob("*.html")]
    every = [name for name in every if not name.startswith("_static")]
    return every if os.environ.get("BOOK_PAGES") == "all" else [name for name in every if name in WALKED + LIVE]


# What code prints is scrolled by nobody; a formula that begins to the left of its box, nobody can scroll to; no full
# stop begins a line.
CUT = """() => [
  ...[...document.querySelectorAll(".cell_output pre")].filter((each) => each.scrollWidth > each.clientWidth + 1),
  ...[...document.querySelectorAll("div.math")].filter((box) => {
    const drawn = box.querySelector("mjx-container svg");
    return drawn && drawn.getBoundingClientRect().left < box.getBoundingClientRect().left - 1;
  }),
  ...[...document.querySelectorAll("span.math")].filter((formula) => {
    const after = formula.nextSibling, range = document.createRange();
    if (after?.nodeType !== Node.TEXT_NODE || !/^[.,;:!?)]/.test(after.data)) return false;
    range.setStart(after, 0);
    range.setEnd(after, 1);
    return range.getBoundingClientRect().top > formula.getBoundingClientRect().bottom;
  }),
].map((each) => each.textContent.slice(0, 80))"""


@needs_sphinx
@needs_browser
def test_pages_read_well_on_a_desk_on_a_phone_and_in_the_dark(visit, book):
    for name in pages(book):
        page = visit(name, width=390)
        mathematics = page.locator("span.math, div.math").count()
        if mathematics:
            page.wait_for_function("() => document.querySelectorAll('mjx-container').length > 0", timeout=60_000)
            page.evaluate("() => MathJax.startup.promise")
            assert page.locator("mjx-container").count() >= mathematics, name
            assert page.locator("mjx-merror, [data-mjx-error]").count() == 0, name
        assert not page.evaluate(CUT), f"{name}: cannot be read, not by scrolling either"
        width = page.evaluate("() => document.scrollingElement.scrollWidth")
        assert width <= 390, f"{name} is {width} pixels wide on a phone of 390"
        assert not axe_findings(page), name
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
        assert not axe_findings(page), f"{name} in the dark"
        page.close()


@needs_sphinx
@needs_browser
def test_first_page_is_light(visit):
    page = visit("index")
    page.wait_for_load_state("networkidle")
    size = page.evaluate("() => performance.getEntries().reduce((sum, each) => sum + (each.encodedBodySize ?? 0), 0)")
    assert 100_000 < size < 1_000_000


@needs_sphinx
@needs_browser
@pytest.mark.parametrize("name", LIVE)
def test_live_page_moves_by_key_and_rests(visit, name):
    page = visit(name)
    play = page.get_by_role("button", name="Run", exact=True)
    page.wait_for_selector(".live-buttons", timeout=30_000)
    state = """() => document.getElementById("live").innerText
        + [...document.querySelectorAll("#live canvas")].map((canvas) => canvas.toDataURL())"""
    before = page.evaluate(state)
    play.press("Enter")
    page.wait_for_function(f"before => ({state})() !== before", arg=before, timeout=20_000)
    page.get_by_role("button", name="Pause", exact=True).press("Enter")
    page.get_by_role("button", name="Reset", exact=True).press("Enter")
    page.wait_for_function(f"before => ({state})() === before", arg=before, timeout=20_000)
    page.close()


@needs_sphinx
@needs_browser
def test_gibbs_lab_keeps_what_is_painted_by_finger_and_by_key(visit):
    page = visit("live/gibbs_lab", width=390)
    pad = page.locator("#live canvas").first
    pad.wait_for(timeout=30_000)
    pad.scroll_into_view_if_needed()
    pad.focus()
    page.keyboard.press("Space")
    pad.dispatch_event("pointerdown", {"pointerId": 1, "pointerType": "touch", "buttons": 1, **_at(pad, 4, 4)})
    orange = """canvas => { const { data } = canvas.getContext("2d").getImageData(0, 0, 28, 28); let count = 0;
        for (let i = 0; i < data.length; i += 4) count += data[i] === 255 && data[i + 1] === 176; return count; }"""
    page.wait_for_function(f"() => ({orange})(document.querySelector('#live canvas')) >= 7", timeout=10_000)
    page.get_by_role("button", name="Step", exact=True).click()
    page.wait_for_function("() => /step 1\\b/.test(document.getElementById('live').innerText)", timeout=10_000)
    assert 7 <= pad.evaluate(orange) <= 8  # two strokes of 2 × 2 pixels, less the one under the cursor
    page.close()


def _at(pad, row, column):
    """Where a pixel of the pad is on the page, as an event tells it."""
    box = pad.bounding_box()
    return {
        "clientX": box["x"] + (column + 0.5) * box["width"] / 28,
        "clientY": box["y"] + (row + 0.5) * box["height"] / 28,
    }


@needs_sphinx
@needs_browser
def test_on_a_wide_page_everything_has_a_name_and_words_have_their_language(visit):
    page = visit("glossary", width=1280)
    assert not axe_findings(page)
    languages = "all => all.map(row => [...row.cells].map(cell => cell.lang).join())"
    assert set(page.locator("article tbody tr").evaluate_all(languages)) >= {",ko,zh-Hans,"}
    page.close()
    page = visit("korean", width=1280)
    assert page.locator("article [lang=ko] h1").count() == 1
    page.close()


@needs_sphinx
@needs_browser
def test_formulas_are_no_stops_for_the_tab_key_and_copying_keeps_the_place(visit):
    page = visit("chapters/09_hamiltonian_monte_carlo", width=1280)
    page.wait_for_function("() => document.querySelectorAll('mjx-container').length > 20", timeout=60_000)
    page.evaluate("() => MathJax.startup.promise")
    assert page.locator("mjx-container[tabindex='0']").count() == 0
    button = page.locator(".copybtn").first
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert button.evaluate("each => each === document.activeElement")
    page.close()
