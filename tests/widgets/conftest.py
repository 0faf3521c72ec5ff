"""What the tests of panels share: small machines, images and pictures, and a browser with a JupyterLab and its pages.

Files that test in the browser name their NOTEBOOKS, {name: cells}.
"""

import shutil
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from browser import CHAPTER, CHROMIUM, FLAGS, Page, is_root, jupyterlab

from companion.rbm import RBM
from companion.widgets.canvas import Canvas


@pytest.fixture(scope="module")
def rbm():
    """A machine of 784 pixels and six hidden units, small enough for an exact partition function."""
    rng = np.random.default_rng(0)
    W, b, c = 0.25 * rng.standard_normal((784, 6)), rng.standard_normal(784) - 2, rng.standard_normal(6)
    return RBM.from_parameters(W.astype(np.float32), b.astype(np.float32), c.astype(np.float32))


@pytest.fixture(scope="module")
def base():
    """Biases of 784 pixels with which chains and estimates begin."""
    return np.linspace(-3, 0, 784, dtype=np.float32)


@pytest.fixture
def images(rng):
    """Five images of 784 grey pixels, most of them black."""
    return (rng.random((5, 784)) * (rng.random((5, 784)) < 0.3)).astype(np.float32)


@pytest.fixture
def parity():
    """A classifier that calls an image with an even number of bright pixels 0, others 1."""
    return SimpleNamespace(predict=lambda images: (images > 0.5).sum(axis=1).astype(int) % 2)


@pytest.fixture
def frames():
    """Return the function that copies the pixels of a panel's pictures, in their order."""
    return lambda panel: [part.pixels.copy() for part in panel.parts if isinstance(part, Canvas)]


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
    assert log[0] == "Opening the book in JupyterLab; Ctrl-C here, twice, ends it."
    # Once in many runs a kernel is told to end just when its page goes, and Jupyter complains of that; of nothing else.
    gone = any("WebSocketClosedError" in line or "Socket operation on non-socket" in line for line in log)
    assert gone or not log[1:], "and nothing that frightens"


@pytest.fixture
def page(chromium, book):
    page = Page(chromium, book[0])
    yield page
    page.close()
