"""The decks: which cells they take, what they show of them, and that they need no network."""

import hashlib
import importlib.util
import io
import json
import re
import tarfile
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def slides():
    """The builder, which is a script."""
    specification = importlib.util.spec_from_file_location("slides", ROOT / "site" / "slides.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(slides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    slides.build(CHAPTERS, folder)
    return folder


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_deck_is_a_lecture(slides, built, path):
    notebook = json.loads(path.read_text(encoding="utf8"))
    cells = notebook["cells"]
    kinds = [cell["metadata"].get("slideshow", {}).get("slide_type") for cell in cells]
    assert set(kinds) <= {None, "slide", "-"} and kinds[0] == "slide"
    assert 12 <= kinds.count("slide") <= 20
    for cell, kind in zip(cells, kinds):
        assert kind is None or "solution" not in cell["metadata"].get("tags", []), "students see the slides"
    page = (built / f"{path.stem}.html").read_text(encoding="utf8")
    assert page.count("<section") == kinds.count("slide")
    assert not re.search(r"(src|href)=\"(https?:)?//", re.sub(r"<a [^>]*>", "", page)), "it would need a network"
    for slide in slides.slides(notebook)[1:]:
        assert re.search(r"<img|<pre|<li>|<table|[$]", slide["body"]), f"a paragraph alone: {slide['body']}"
    for alt in re.findall(r'<img alt="([^"]*)"', page):
        assert len(alt) > 10, "for those who hear it"
    assert "Summary" in page and "## " not in re.sub(
        r"<aside.*?</aside>|<pre.*?</pre>|base64,[^\"]*", "", page, flags=re.S
    )


def test_all_decks_are_named_on_one_page(built):
    page = (built / "index.html").read_text(encoding="utf8")
    assert re.findall(r'href="(\w+)\.html"', page) == [path.stem for path in CHAPTERS]


def test_what_a_deck_needs_is_fetched_once(slides, tmp_path, monkeypatch):
    """Of each package the files that are named, and its licence; what is there stays, and asks nobody."""
    archives, packages, asked = {}, {}, []
    for package, (_, files) in slides.PACKAGES.items():
        assert "LICENSE" in files, "others may only have its files together with it"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name in [*files, "more.js"]:
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(name)
                tar.addfile(member, io.BytesIO(name.encode()))
        archives[package] = packed.getvalue()
        packages[package] = b64encode(hashlib.sha512(archives[package]).digest()).decode(), files
    monkeypatch.setattr(slides, "PACKAGES", packages)

    def npm(command, cwd, check, capture_output):
        assert command[:3] == ["/bin/npm", "pack", "--json"] and check and capture_output
        asked.append(command[3])
        (cwd / "it.tgz").write_bytes(archives[command[3]])
        return SimpleNamespace(stdout=b'[{"filename": "it.tgz"}]')

    monkeypatch.setattr(slides.subprocess, "run", npm)
    monkeypatch.setattr(slides.shutil, "which", {"npm": "/bin/npm"}.get)
    folder = tmp_path / "new" / "folder"
    slides.fetch(folder)
    wanted = {target: name for _, files in packages.values() for name, target in files.items()}
    assert {path.name: path.read_text() for path in folder.iterdir()} == wanted
    slides.fetch(folder)
    assert asked == list(packages)
    (folder / "tex-svg.js").unlink()
    slides.fetch(folder)
    assert asked[2:] == ["mathjax@3.2.2"]
    (folder / "tex-svg.js").unlink()
    archives["mathjax@3.2.2"] += b"altered"
    with pytest.raises(SystemExit, match="mathjax@3.2.2: expected an archive of SHA-512"):
        slides.fetch(folder)
    assert not (folder / "tex-svg.js").exists()
    monkeypatch.setattr(slides.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="need npm"):
        slides.fetch(folder)


def test_of_a_text_the_slide_shows_what_can_be_read_from_afar(slides):
    text = "One (e.g. this. One) of $x. Y$. Two.\n\n$$z$$\n\nThree. Four.\n\n* five\n* six " + 80 * "word "
    assert slides.shortened(text).split("\n\n")[:2] == ["One (e.g. this. One) of $x. Y$.", "$$z$$"]
    assert "Three." not in slides.shortened(text) and "* five" in slides.shortened(text)
    assert "Three." in slides.shortened(text, alone=True) and "Four." not in slides.shortened(text, alone=True)
    assert slides.shortened("Short. Whole.", alone=True) == "Short. Whole."


def test_a_slide_takes_a_text_up_to_the_next_heading_and_keeps_the_whole_in_its_notes(slides):
    def cell(kind, source):
        metadata = {"slideshow": {"slide_type": kind}} if kind else {}
        return {"cell_type": "markdown", "metadata": metadata, "source": [source]}

    texts = [
        cell("slide", "# Title\n\nIt is. So."),
        cell(None, "## A"),
        cell("slide", "It goes. On."),
        cell("-", "And. Yes."),
    ]
    deck = slides.slides({"cells": [*texts, cell("slide", "Before.\n\n## B *b*\n\nAfter.\n\n### C\n\nLast.")]})
    assert [slide["heading"] for slide in deck] == ["Title", "A", "B <em>b</em>"]
    assert "It goes." in deck[1]["body"] and "On." not in deck[1]["body"] and "On." in deck[1]["notes"]
    assert "After." in deck[2]["body"] and not {"Before.", "Last."} & set(re.findall(r"\w+\.", deck[2]["body"]))


def test_a_sentence_that_leads_to_a_list_ends_with_a_full_stop(slides):
    assert slides.shortened("This is it: A list. More.") == "This is it."


def test_of_what_is_printed_the_beginning_is_shown_and_code_that_reads_a_record_is_not(slides):
    def shown(source, output):
        return slides.shown({"cell_type": "code", "source": [source], "outputs": [output]}, alone=False)

    assert ["…" in shown("a", {"text": "line\n" * n}) for n in (10, 11)] == [False, True]
    assert ['class="code"' in shown(source, {"text": "1"}) for source in ("a", 'read_result("mlp")')] == [True, False]
    picture = {"data": {"image/png": "iVBO"}, "metadata": {"image/png": {"alt": 'a "b" < c'}}}
    assert 'alt="a &quot;b&quot; &lt; c"' in shown("a", picture)


def test_links_between_chapters_lead_to_decks(slides):
    assert 'href="06_rbm.html#a"' in slides.rendered("[a](06_rbm.ipynb#a)")
