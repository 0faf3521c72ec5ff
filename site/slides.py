"""A deck of slides for every chapter, from its stored outputs: ``python site/slides.py [NAME ...]``, into build/slides.

A cell is on a slide if JupyterLab's own metadata says so (the property inspector's *Slide Type*): *Slide* begins one,
``-`` goes on with it. Of a text a slide shows heading, first sentence, equations and lists, and the speaker's notes
(key S) the whole; of a cell that draws, the picture; of any other its code and what it prints. reveal.js and MathJax
are fetched by npm, once; a deck then needs no network, and its folder can be copied to a stick.
"""

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
from base64 import b64encode
from pathlib import Path

import jinja2
from nbconvert.filters import Highlight2HTML, markdown2html
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"
BUILD = ROOT / "build" / "slides"
PACKAGES = {  # of npm: the SHA-512 of its archive, the files that a deck needs of each, and their names there
    "reveal.js@5.2.1": (
        "r7//6mIM5p34hFiDMvYfXgyjXqGRta+/psd9YtytsgRlrpRzFv4RbH76TXd2qD+7ZPZEbpBDhdRhJaFgfQ7zNQ==",
        {"dist/reveal.js": "reveal.js", "dist/reveal.css": "reveal.css", "plugin/notes/notes.js": "notes.js",
         "LICENSE": "reveal-licence.txt"},
    ),
    "mathjax@3.2.2": (
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        {"es5/tex-svg.js": "tex-svg.js", "LICENSE": "mathjax-licence.txt"},
    ),
}  # fmt: skip
CODE_LINES, PRINTED_LINES = 16, 10
SHORT = 80  # words: a text that fills a slide by itself
HEADING = re.compile(r"^#{1,3} (.+)$", re.M)
BLOCK = re.compile(r"\$\$.+?\$\$|\\begin\{(\w+\*?)\}.+?\\end\{\1\}", re.S)


def fetch(folder):
    """Put the files of `PACKAGES` into `folder`, by npm; those that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")  # on Windows it is npm.cmd, which `run` would not find by itself
    for package, (digest, files) in PACKAGES.items():
        if all((folder / name).exists() for name in files.values()):
            continue
        if npm is None:
            sys.exit("The slides need npm, once: install Node.js")
        packed = subprocess.run([npm, "pack", "--json", package], cwd=folder, check=True, capture_output=True)
        archive = folder / json.loads(packed.stdout)[0]["filename"]
        if (found := b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()) != digest:
            sys.exit(f"{package}: expected an archive of SHA-512 {digest}, found {found}")
        with tarfile.open(archive) as tar:
            for name, target in files.items():
                (folder / target).write_bytes(tar.extractfile(f"package/{name}").read())
        archive.unlink()


def shortened(text, alone=False):
    """Return a text's equations, lists, tables, pictures, and its first sentence: of each paragraph, if `alone`."""
    if alone and len(text.split()) < SHORT:
        return text
    parts, plain = [], True
    for part in re.split(r"\n\s*\n", BLOCK.sub(lambda found: f"\n\n{found[0]}\n\n", text.strip())):
        if BLOCK.match(part) or re.match(r"[|!]|[*-] |\d+\. ", part):
            parts.append(part)
        elif plain and part.strip():
            parts.append(_first_sentence(part))
            plain = alone
    return "\n\n".join(parts)


def _first_sentence(text):
    """Return the first sentence: up to a full stop, or the like, outside of mathematics, code and brackets."""
    text = " ".join(text.split())
    masked = re.sub(r"\$[^$]*\$|`[^`]*`|\([^)]*\)|\*\*[^*]*\*\*", lambda found: "x" * len(found[0]), text)
    end = re.search(r"[.?!:](?= [A-Z$`*(\d“])", masked)
    return text[: end.end()].rstrip(":") + "." * text[: end.end()].endswith(":") if end else text


def rendered(text):
    """Return Markdown as HTML, its pictures inside it; links to chapters lead to their decks."""

    def inside(found):
        return f'src="data:image/png;base64,{b64encode((CHAPTERS / found[1]).read_bytes()).decode()}"'

    text = re.sub(r'href="(\w+)\.ipynb', r'href="\1.html', markdown2html(text))
    return re.sub(r'src="(images/[^"]+)"', inside, text).strip()


def shown(cell, alone):
    """Return what a slide shows of a cell, HTML; of a text more, if it is `alone` there."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return f'<div class="text">{rendered(shortened(source, alone))}</div>'
    pictures, printed = [], []
    for output in cell["outputs"]:
        if png := output.get("data", {}).get("image/png"):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            image = "".join(png).replace("\n", "")
            pictures.append(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{image}">')
        elif text := "".join(output.get("text", output.get("data", {}).get("text/plain", []))):
            printed += text.rstrip().split("\n")
    if pictures:
        return f'<div class="picture">{"".join(pictures)}</div>'
    block = ""
    if not printed or (source.count("\n") < CODE_LINES and "read_result(" not in source):
        block = f'<div class="code">{Highlight2HTML()(source, language="python")}</div>'
    if printed:
        more = ["…"] * (len(printed) > PRINTED_LINES)
        block += f'<pre class="printed">{html.escape(chr(10).join(printed[:PRINTED_LINES] + more))}</pre>'
    return block


def slides(notebook):
    """Return the slides of a notebook: dictionaries with the HTML of `heading`, `body` and `notes`."""
    deck, section = [], ""
    cells = [(cell, cell["metadata"].get("slideshow", {}).get("slide_type")) for cell in notebook["cells"]]
    kinds = [kind for _, kind in cells if kind in ("slide", "-")] + ["slide"]
    for cell, kind in cells:
        source, heading = "".join(cell["source"]), ""
        if cell["cell_type"] == "markdown" and (found := HEADING.split(source))[1:]:
            heading, source = found[1:3]  # up to the next heading
            section = found[-2]
        if kind not in ("slide", "-"):
            continue
        kinds.pop(0)
        if kind == "slide":
            deck.append(
                {
                    "heading": rendered(heading or section).removeprefix("<p>").removesuffix("</p>"),
                    "body": "",
                    "notes": "",
                }
            )
        deck[-1]["body"] += shown(cell | {"source": source}, alone=kind == kinds[0] == "slide" and len(deck) > 1)
        if cell["cell_type"] == "markdown":
            deck[-1]["notes"] += rendered(source)
    return deck


def build(paths, folder=BUILD):
    """Write a deck for each notebook, and a page that names them, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent))
    template, decks = environment.get_template("slides.html"), []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf8"))
        deck = slides(notebook)
        title = re.sub("<[^>]+>", "", deck[0]["heading"])
        style = HtmlFormatter(style="friendly").get_style_defs(".highlight")
        page = template.render(title=title, slides=deck, style=style)
        (folder / f"{path.stem}.html").write_text(page, encoding="utf8")
        decks.append(f'<li><a href="{path.stem}.html">{title}</a> ({len(deck)} slides)</li>')
    head = '<!doctype html><html lang="en"><meta charset="utf8"><title>Deep Beliefs: slides</title>'
    page = f'{head}<body style="font: 1.2em sans-serif; margin: 3em"><h1>Slides</h1><ul>{"".join(decks)}</ul>'
    (folder / "index.html").write_text(page, encoding="utf8")


if __name__ == "__main__":
    chosen = [
        path for path in sorted(CHAPTERS.glob("[0-9]*.ipynb")) if path.name.startswith(tuple(sys.argv[1:] or [""]))
    ]
    fetch(BUILD)
    build(chosen)
    print(f"{len(chosen)} decks are in {BUILD.relative_to(ROOT).as_posix()}; open index.html there in a browser.")
