"""Make the book as pages: ``python site/build.py``, or ``make book``.

Chapters are shown with their committed outputs; nothing is executed, and no page needs a network. What Sphinx reads is
put together in ``build/book-source``; the pages are in ``build/book``.
"""

import argparse
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

import companion
import record
from companion.places import BOOK
from companion.results import load_weights
from companion.storage import replacing
from companion.widgets.canvas import SCRIPT, STYLE

HERE = Path(__file__).parent
MATHJAX = "sphinx-mathjax-offline"
# Whose licences the pages name; requests has that of MathJax, which comes without its text.
LICENSED = ["sphinx", "pydata-sphinx-theme", "sphinx-book-theme", "sphinx-copybutton", "snowballstemmer", "requests"]
NAME = re.compile(r"\bfa-[a-z0-9-]+")
ICON = re.compile(r"(\.fa-[a-z0-9-]+(?:,\.fa-[a-z0-9-]+)*)\{--fa:[^}]*\}")  # a rule of the theme's style


def main():
    """Put the sources together and call Sphinx; warnings are errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE.parent / "build" / "book", help="folder of the pages")
    output = parser.parse_args().output.resolve()
    begun, source = time.perf_counter(), output.with_name(f"{output.name}-source")
    gather(source)
    trees = output.with_name(f"{output.name}-trees")
    options = ["-qW", "--keep-going", "-c", HERE, "-d", trees]
    own = os.environ | {"BOOK_STATIC": str(source / "static")}  # an option would be cut at a comma
    code = subprocess.call([sys.executable, "-m", "sphinx", *options, source, output], env=own)
    if code:
        sys.exit(code)
    _slim(output)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output / 'index.html'}: {size / 1e6:.1f} MB in {time.perf_counter() - begun:.0f} s. The live pages need")
    print(f'a server, for instance: python -m http.server --bind 127.0.0.1 --directory "{output}"')


def gather(source):
    """Put into the folder `source` all that Sphinx reads; what has not changed keeps its time: it is not read again."""
    text, pictures = record.page()
    for name, content in {"results.md": text, **pictures}.items():
        _write(source / name, content)
    for path in (path for path in HERE.glob("*.md") if path.name != "results.md"):
        _write(source / path.name, path.read_text(encoding="utf8").replace("](../chapters/", "](chapters/"))
    for path in HERE.glob("live/*.md"):
        _copy(path, source / "live" / path.name)
    for path in (BOOK / "chapters").glob("[0-9]*.ipynb"):
        _copy(path, source / "chapters" / path.name)
    _write(source / "gibbs_lab.png", _first_frame(BOOK / "chapters" / "images" / "gibbs_lab.png"))
    _write_interface(source / "api")
    for package in LICENSED:
        _write(source / "licences" / f"{package}.txt", _licence(package))
    static = source / "static"
    for path in filter(Path.is_file, HERE.glob("static/**/*")):
        _copy(path, static / path.relative_to(HERE / "static"))
    for path in HERE.glob("live/*.js"):
        _copy(path, static / "live" / path.name)
    _write(static / "live" / "canvas.js", SCRIPT)
    _write(static / "live" / "canvas.css", STYLE)
    arrays = load_weights("rbm")
    parts = [arrays[name].astype("<f2").tobytes() for name in ("W", "visible_bias", "hidden_bias")]
    _write(static / "live" / "rbm.f16", b"".join(parts))
    mathjax = importlib.metadata.distribution(MATHJAX).locate_file(f"{MATHJAX}/static/mathjax/tex-svg.js")
    _copy(mathjax, static / "mathjax" / "tex-svg.js")


def _licence(package):
    """Return the text of the licence that an installed package has among its own files, bytes."""
    files = [file for file in importlib.metadata.files(package) if file.parts[0].endswith(".dist-info")]
    return next(file for file in files if re.match("LICEN[CS]E|COPYING", file.name)).read_binary()


def _first_frame(path):
    """Return a moving picture as PNG bytes that stand still: the first page is light, and leads to a lab that moves."""
    with Image.open(path) as picture, io.BytesIO() as file:
        picture.save(file, "PNG", optimize=True)
        return file.getvalue()


def _slim(output):
    """Leave out of the theme's files what no page uses: the rules of nearly all of its 2,000 icons, and source maps."""
    for path in output.rglob("*.map"):
        path.unlink()
    users = [*output.rglob("*.html"), *output.rglob("*.js")]
    used = {name for path in users for name in NAME.findall(path.read_text(encoding="utf8"))}
    style = output / "_static" / "styles" / "pydata-sphinx-theme.css"
    _write(
        style,
        ICON.sub(lambda rule: rule[0] if used & set(NAME.findall(rule[1])) else "", style.read_text(encoding="utf8")),
    )


def _write_interface(folder):
    """Write a page for every module of the companion, and a list of them."""
    package = Path(companion.__file__).parent
    modules = sorted(path.stem for path in package.glob("*.py") if not path.stem.startswith("__"))
    options = ["   :members:", "   :show-inheritance:"]
    for module in [*modules, "widgets"]:
        name = f"companion.{module}"
        lines = [name, "=" * len(name), "", f".. automodule:: {name}", *options]
        for part in sorted(package.glob("widgets/[a-z]*.py")) if module == "widgets" else ():
            lines += ["", f".. automodule:: companion.widgets.{part.stem}", *options]
        _write(folder / f"{module}.rst", "\n".join(lines) + "\n")
    listed = "\n".join(f"   {module}" for module in [*modules, "widgets"])
    words = "The companion\n=============\n\n.. automodule:: companion\n\n.. toctree::\n   :maxdepth: 1\n\n"
    _write(folder / "index.rst", f"{words}{listed}\n")


def _copy(source, target):
    _write(target, Path(source).read_bytes())


def _write(target, content):
    content = content.encode() if isinstance(content, str) else content
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != content:
        with replacing(target) as temporary:
            temporary.write_bytes(content)


if __name__ == "__main__":
    main()
