"""The chapters as files: fresh copies, and the reader's own, which nothing overwrites."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from companion import __main__ as command_line
from companion import published
from companion.published import copy_chapters, find_chapter, restore, without_solutions

CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("[0-9]*.ipynb"))

PUBLISHED = b'{"cells": []}\n'


@pytest.fixture(params=["checkout", "wheel"])
def readers(request, tmp_path, monkeypatch):
    """A small book of two chapters, as a checkout with git or as it lies in a wheel; give the reader's folder."""
    folder = tmp_path / "book" / "chapters"
    folder.mkdir(parents=True)
    for name in ("06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"):
        (folder / name).write_bytes(PUBLISHED)
    monkeypatch.setattr(published, "FOLDER", folder)
    monkeypatch.setattr(published, "CHECKOUT", folder.parent if request.param == "checkout" else None)
    if request.param == "wheel":
        copy_chapters(tmp_path / "mine")
        return tmp_path / "mine"
    identity = ["-c", "user.name=A reader", "-c", "user.email=reader@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "The book"]):
        subprocess.run(["git", *command], cwd=folder.parent, check=True)
    return folder


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_has_not_changed_is_left_alone(readers):
    path = readers / "06_machine.ipynb"
    before = path.stat().st_mtime_ns
    assert restore("06", readers) == (path, None)
    path.write_bytes(PUBLISHED.replace(b"\n", b"\r\n"))
    assert restore("06_mach", readers) == (path, None), "as git writes it on Windows"
    assert before and files(readers) == ["06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"]


def test_the_readers_own_is_kept_beside_the_fresh_copy_however_often(readers):
    path = readers / "06_machine.ipynb"
    for number, name in enumerate(("my_06_machine.ipynb", "my_06_machine_2.ipynb", "my_06_machine_3.ipynb")):
        path.write_bytes(own := b"%d" % number)
        assert restore("06_machine.ipynb", readers) == (path, readers / name)
        assert path.read_bytes() == PUBLISHED and (readers / name).read_bytes() == own
    assert (readers / "my_06_machine.ipynb").read_bytes() == b"0" and len(files(readers)) == 6


def test_a_deleted_chapter_comes_back(readers):
    (readers / "07_likelihood.ipynb").unlink()
    assert restore("07", readers) == (readers / "07_likelihood.ipynb", None)
    assert (readers / "07_likelihood.ipynb").read_bytes() == PUBLISHED


@pytest.mark.parametrize("name", ["0", "", "12", "LICENSE", "my_06"])
def test_a_name_is_that_of_one_chapter(readers, name):
    with pytest.raises(ValueError, match="06_machine.ipynb, 07_likelihood.ipynb"):
        find_chapter(name)


def test_without_git_the_reader_is_told_where_a_fresh_copy_is(readers, monkeypatch):
    monkeypatch.setattr(published, "_git", lambda *arguments: None)
    if published.CHECKOUT:
        (readers / "06_machine.ipynb").write_bytes(b"mine")
        with pytest.raises(ValueError, match="new download"):
            restore("06", readers)
    assert files(readers) == ["06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"], "nothing was moved"


def test_copies_never_overwrite(readers, tmp_path):
    folder = tmp_path / "class" / "copies"
    assert [path.name for path in copy_chapters(folder)] == ["06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"]
    (folder / "06_machine.ipynb").write_bytes(b"mine")
    (folder / "07_likelihood.ipynb").unlink()
    assert copy_chapters(folder) == [folder / "07_likelihood.ipynb"]
    assert (folder / "06_machine.ipynb").read_bytes() == b"mine"


def test_the_command_says_where_both_are(readers, capsys):
    path = readers / "06_machine.ipynb"
    path.write_bytes(b"mine")
    command_line.main(["restore", "06", "--folder", str(readers)])
    said = f"{path.as_posix()} is as it was published. Yours is now {path.with_name('my_06_machine.ipynb').as_posix()}."
    assert capsys.readouterr().out.strip() == said
    with pytest.raises(SystemExit, match="restore: expected the beginning of one chapter's name, found '9'"):
        command_line.main(["restore", "9"])


# ------------------------------------------------------------------------------------------------ copies for a class


def sources(cells):
    return ["".join(cell["source"]) for cell in cells]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    """A published chapter, its copy for a student, both as dictionaries, and the text of the copy."""
    text = request.param.read_text(encoding="utf8")
    copy = without_solutions(text)
    return json.loads(text)["cells"], json.loads(copy)["cells"], copy


def is_solution(cell):
    return "solution" in cell["metadata"].get("tags", [])


def test_nothing_of_a_solution_is_left(chapter):
    """Neither its code, nor what it printed, nor its pictures and what they are called."""
    published, _, copy = chapter
    secret = [cell for cell in published if is_solution(cell)]
    public = json.dumps([cell for cell in published if not is_solution(cell)], ensure_ascii=False)
    lines = [line for source in sources(secret) for line in source.splitlines()]
    for output in (output for cell in secret for output in cell["outputs"]):
        lines += "".join(output.get("text", [])).splitlines()
        for kind, content in output.get("data", {}).items():
            lines += [content[:400]] if kind == "image/png" else "".join(content).splitlines()
    lines = {json.dumps(line.strip(), ensure_ascii=False)[1:-1] for line in lines}
    telling = {line for line in lines if len(line) > 12 and line not in public}
    assert len(telling) > 10
    assert not {line for line in telling if line in copy}
    assert "source_hidden" not in copy and "Solutions" not in copy


def test_every_exercise_has_a_cell_that_fails_kindly_until_it_is_answered(chapter):
    """With the solutions filled in, the code is that of the published chapter, which runs as a test."""
    published, copy, _ = chapter
    parts = [source for cell, source in zip(published, sources(published)) if is_solution(cell)]
    solutions = [part for part in parts if re.match(r"# \d+\. ", part)]  # the others go on with the one above
    answers = [cell for cell in copy if "answer" in cell["metadata"].get("tags", [])]
    assert len(answers) == len(solutions)
    for solution, cell, source in zip(solutions, answers, sources(answers)):
        number = solution.split(".")[0].removeprefix("# ")
        with pytest.raises(NotImplementedError, match=f"^exercise {number} waits for your answer$"):
            exec(source, {})
        assert cell["metadata"]["tags"] == ["answer", "raises-exception"], "Run All goes on below it"
        assert cell["outputs"] == [] and cell["execution_count"] is None
        cell["source"] = solution
    code = [source for cell, source in zip(copy, sources(copy)) if cell["cell_type"] == "code"]
    whole = [source for cell, source in zip(published, sources(published)) if cell["cell_type"] == "code"]
    assert code == [source for source in whole if source not in parts or source in solutions]


def test_a_class_gets_all_chapters_and_keeps_its_own_work(tmp_path, capsys):
    command_line.main(["student", str(tmp_path / "class")])
    assert {path.name for path in CHAPTERS} < set(files(tmp_path / "class"))
    (tmp_path / "class" / CHAPTERS[0].name).write_text("answered", encoding="utf8")
    command_line.main(["student", str(tmp_path / "class")])
    assert (tmp_path / "class" / CHAPTERS[0].name).read_text(encoding="utf8") == "answered"
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 files are now in ")
