"""A real JupyterLab and a real Chromium, for tests that read chapters and press buttons as a reader would."""

import base64
import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# All chapters run as notebooks; in the browser one stands for all.
CHAPTER = Path(__file__).parents[2] / "chapters" / "01_logistic_regression.ipynb"
FLAGS = (
    "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage"
).split()


def is_root():
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextlib.contextmanager
def jupyterlab(folder, settings):
    """Serve the notebooks of `folder` on this machine, all settings in the folder `settings`; give the address."""
    token = "--IdentityProvider.token=book"
    options = [token, f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    with _serving(["companion", "run"], "--ServerApp.port", options, "/api?token=book", settings) as address:
        yield address


@contextlib.contextmanager
def notebook7(folder, settings):
    """Serve the notebooks of `folder` by a Jupyter Notebook that knows nothing of the book; give the address."""
    options = ["--IdentityProvider.token=book", f"--ServerApp.root_dir={folder}", "--ServerApp.allow_root=True"]
    options.append("--JupyterNotebookApp.expose_app_in_browser=True")
    with _serving(["notebook"], "--ServerApp.port", options, "/api?token=book", settings) as address:
        yield address


@contextlib.contextmanager
def gibbs_lab(settings):
    """Serve the page with the Gibbs lab; give the address."""
    with _serving(["companion", "lab"], "--Voila.port", [], "/voila/static/voila.js", settings) as address:
        yield address


@contextlib.contextmanager
def _serving(words, port_option, options, ready, settings):
    """Run ``python -m WORDS`` until the block ends; it is up when `ready` is there to be read."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(settings / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(settings / "lab"), "JUPYTERLAB_WORKSPACES_DIR": str(settings / "workspaces")}
    command = [sys.executable, "-m", *words, "--no-browser", f"{port_option}={port}", *options]
    group = {"start_new_session": True} if os.name == "posix" else {}
    log = open(settings / "server.log", "wb")
    server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT, **group)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address + ready, server, settings / "server.log")
        yield address
    finally:
        # the whole group, so that kernels end with their server
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM) if group else server.terminate()
        server.wait(30)
        log.close()


def _wait_for(url, server, log):
    for _ in range(300):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2)
            return
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf8')[-2000:]}")


class Page:
    """A notebook in JupyterLab, with what the browser complained about and whom it asked."""

    def __init__(self, browser, address):
        self.address = address
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.complaints, self.hosts = [], set()
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlparse(request.url).hostname or "local"))

    def open(self, name, where="lab/tree"):
        """Open a notebook; give back when its kernel is ready."""
        self.page.goto(f"{self.address}/{where}/{name}?token=book&reset", wait_until="domcontentloaded")
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady"
            " && window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )

    def run(self, name, where="lab/tree"):
        """Open a notebook and run all its cells, to the end."""
        self.open(name, where)
        self.run_all()

    def run_all(self):
        """Run all cells of the notebook that is open, to the end."""
        self.page.set_default_timeout(240_000)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.set_default_timeout(20_000)

    def close(self):
        """Close it; nothing was asked of the reader or of another machine, and nobody complained."""
        asked = self.page.get_by_text("Jupyter news").count()
        self.page.close()
        assert not asked, "nobody is asked about news"
        assert self.hosts <= {"127.0.0.1", "local"}, "no request leaves the machine"
        assert not self.complaints

    def outputs(self, kind):
        """Count the outputs of a kind, such as "error", in the notebook as it stands."""
        count = """kind => { let n = 0; for (const cell of window.jupyterapp.shell.currentWidget.model.cells)
            for (const output of cell.toJSON().outputs || []) n += output.output_type === kind; return n; }"""
        return self.page.evaluate(count, kind)


def pixels(canvas):
    """The picture on a canvas of the page, an array (height, width, 4); of several, all their bytes in a row."""
    canvas.first.wait_for(state="attached")
    pngs = canvas.evaluate_all("all => all.map(c => c.toDataURL('image/png').split(',')[1])")  # numbers take seconds
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")) for png in pngs]
    return pictures[0] if len(pictures) == 1 else np.concatenate([picture.ravel() for picture in pictures])


def until(page, canvas, true, what):
    """Wait until something is true of what is seen on canvases, and return their pixels."""
    for _ in range(200):
        if true(seen := pixels(canvas)):
            return seen
        page.wait_for_timeout(50)
    raise AssertionError(what)


def until_changed(page, canvas, before):
    """Wait for the next frame after `before`, and return its pixels."""
    return until(page, canvas, lambda after: not np.array_equal(after, before), "the picture did not change")


def paint_a_line(page, pad):
    """Draw with the mouse, from left to right, near the top of a pad of 28 × 28 pixels."""
    box = pad.bounding_box()
    side = box["width"] / 28
    page.mouse.move(box["x"] + 8.5 * side, box["y"] + 5.5 * side)
    page.mouse.down()
    page.mouse.move(box["x"] + 20.5 * side, box["y"] + 5.5 * side, steps=5)
    page.mouse.up()


def the_line(picture):
    """Return which pixels are clamped, orange: those of the line, and no others."""
    clamped = (picture[:, :, 0] == 255) & (picture[:, :, 2] == 59)
    assert clamped[5:7, 8:22].all() and clamped.sum() == 28
    return clamped
