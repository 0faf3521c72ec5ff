"""The browser, a JupyterLab and its pages, for the files that test in them; each names its NOTEBOOKS, {name: cells}."""

import shutil

import nbformat
import pytest
from browser import CHAPTER, CHROMIUM, FLAGS, Page, is_root, jupyterlab


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: install Chromium, or nobody has seen that the panels work")
    reason = "playwright is not installed: pip install -e '.[test]'"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    with sync_api.sync_playwright() as playwright:
        flags = FLAGS + (["--no-sandbox"] if is_root() else [])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def book(request, tmp_path_factory):
    """A JupyterLab that serves a copy of the chapter and the file's notebooks: its address and its folder.

    What it saves by itself it would save every second.
    """
    folder, settings = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("jupyter")
    own = settings / "lab" / "@jupyterlab" / "docmanager-extension" / "plugin.jupyterlab-settings"
    own.parent.mkdir(parents=True)
    own.write_text('{"autosaveInterval": 1}', encoding="utf8")
    shutil.copy(CHAPTER, folder)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for name, sources in request.module.NOTEBOOKS.items():
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / f"{name}.ipynb")
    with jupyterlab(folder, settings) as address:
        yield address, folder
        log = (settings / "server.log").read_text(encoding="utf8").splitlines()
    assert log == ["Opening the book in JupyterLab; Ctrl-C here ends it."], "and nothing that frightens"


@pytest.fixture
def page(chromium, book):
    page = Page(chromium, book[0])
    yield page
    page.close()
