"""A chapter in a real browser: it is opened, run, saved and opened again, and the Gibbs lab has a page of its own."""

import contextlib
import json
import platform
import shutil

import pytest
from browser import CHAPTER, Page, gibbs_lab, notebook7, paint_a_line, pixels, the_line, until_changed

SAVED = """
import numpy as np
from companion.rbm import RBM
from companion.widgets import ThreeByTwo

RBM(n_hidden=5, n_epochs=3, verbose=True).fit(np.eye(20, dtype=np.float32))
ThreeByTwo(seed=0)
"""
NOTEBOOKS = {"saved": [SAVED]}


def test_a_chapter_opens_unchanged_is_saved_when_the_reader_says_so_and_runs(page, book):
    path = book[1] / CHAPTER.name
    published = path.read_bytes()
    page.open(CHAPTER.name)
    page.page.wait_for_timeout(3000)
    assert path.read_bytes() == published
    model = "window.jupyterapp.shell.currentWidget.model"
    version = json.loads(published)["metadata"]["language_info"]["version"]
    assert page.page.evaluate(f"() => {model}.dirty") == (version != platform.python_version())
    page.page.evaluate(f"() => {model}.sharedModel.insertCell(0, {{cell_type: 'code', source: '1 + 1'}})")
    page.page.wait_for_timeout(3000)
    assert page.page.evaluate(f"() => {model}.dirty") and path.read_bytes() == published
    page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    assert b"1 + 1" in path.read_bytes()
    page.run_all()
    assert page.outputs("error") == 0 and page.outputs("display_data") > 0


@pytest.mark.parametrize("front_end", ["JupyterLab", pytest.param("Notebook", marks=pytest.mark.slow)])
def test_a_saved_notebook_keeps_its_pictures(chromium, book, tmp_path, front_end):
    """Run all, save, close, open again: the still stands where the panel was, and no error anywhere."""
    if front_end == "JupyterLab":
        served, folder, where = contextlib.nullcontext(book[0]), book[1], "lab/tree"
    else:
        folder = tmp_path / "own"
        folder.mkdir()
        shutil.copy(book[1] / "saved.ipynb", folder)
        served, where = notebook7(folder, tmp_path), "notebooks"
    with served as address:
        page = Page(chromium, address)
        page.run("saved.ipynb", where=where)
        page.page.locator("canvas.companion-canvas").first.wait_for(timeout=60_000)
        page.page.get_by_role("button", name="Step", exact=True).click()
        page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        page.page.wait_for_timeout(1000)
        assert page.page.locator("canvas.companion-canvas").first.is_visible(), "what is open stays as it is"
        saved = json.loads((folder / "saved.ipynb").read_text(encoding="utf8"))
        kinds = [set(output.get("data", {})) for cell in saved["cells"] for output in cell["outputs"]]
        assert {"image/png", "text/plain"} in kinds and "widget-view" not in str(kinds)
        assert "widgets" not in saved["metadata"]
        page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.page.close()
        page = Page(chromium, address)
        page.open("saved.ipynb", where)
        image = page.page.locator(".jp-OutputArea img").first
        image.wait_for(timeout=30_000)
        assert image.bounding_box()["width"] > 600
        assert page.page.get_by_text("model not found").count() == 0
        assert not page.page.get_by_text("Error displaying").count()
        page.page.close()


WHOLE = """() => { const box = document.querySelector(".companion-panel").getBoundingClientRect();
    const first = document.querySelector(".companion-panel canvas").getBoundingClientRect();
    return [box.x, box.y, box.right, box.bottom, first.width, document.documentElement.scrollWidth]; }"""


def test_the_lab_opens_alone_for_a_projector(chromium, tmp_path):
    """``python -m companion lab``: the same panel as a page of its own, filled by it, painted on with the mouse."""
    with gibbs_lab(tmp_path) as address:
        lab = Page(chromium, address)
        page = lab.page
        page.goto(address)
        pad = page.locator("canvas.companion-canvas").first
        pad.wait_for(timeout=60_000)
        assert page.title() == "The Gibbs lab" == page.get_by_role("heading").inner_text().strip("¶")
        assert "Run lets the machine dream the rest" in page.locator("p").first.inner_text()
        for width, height in ((820, 1180), (1920, 1080), (1400, 1000)):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(500)
            left, top, right, bottom, large, needed = page.evaluate(WHOLE)
            assert 0 <= left < right <= width and 0 < top < bottom <= height and needed <= width, "whole, in the window"
            assert large > (380 if width > 1000 else 250), "large enough for the last row"
            filled = max((right - left) / width, (bottom - top) / (height - top))
            assert filled > (0.95 if width > 1000 else 0.8), "as large as it can be"
            slider = page.locator(".companion-panel .noUi-base").first.bounding_box()
            assert slider["width"] > 80, "long enough for a finger"
            assert abs(left + right - width) < 20, "in the middle"
        paint_a_line(page, pad)
        page.get_by_role("button", name="Run", exact=True).click()
        running = until_changed(page, pad, pixels(pad))
        until_changed(page, pad, running)
        the_line(running)
        page.wait_for_timeout(1000)
        left, top, right, bottom, *_ = page.evaluate(WHOLE)
        assert bottom <= 1000, "what is written below the pictures makes room for itself"
        assert max((right - left) / 1400, (bottom - top) / (1000 - top)) > 0.95, "it still fills the page"
        page.close()
        log = (tmp_path / "server.log").read_text(encoding="utf8").splitlines()
    assert lab.hosts <= {"127.0.0.1", "local"} and lab.complaints == []
    opening = "Opening the Gibbs lab in a browser; Ctrl-C here ends it."
    assert log == [opening, "[Voila] Voilà is running at:", f"{address}/"], "and nothing that frightens"
