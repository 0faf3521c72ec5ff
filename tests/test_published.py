"""The chapters as files: fresh copies, and the reader's own, which nothing overwrites."""

import subprocess

import pytest
from helpers import contents

from companion import __main__ as command_line
from companion import published
from companion.published import copy_chapters, find_chapter, restore

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


def test_what_has_not_changed_is_left_alone(readers):
    path = readers / "06_machine.ipynb"
    before = path.stat().st_mtime_ns
    assert restore("06", readers) == (path, None) and path.stat().st_mtime_ns == before
    path.write_bytes(windows := PUBLISHED.replace(b"\n", b"\r\n"))
    assert restore("06_mach", readers) == (path, None) and path.read_bytes() == windows, "as git writes it on Windows"
    assert contents(readers) == ["06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"]


def test_the_readers_own_is_kept_beside_the_fresh_copy_however_often(readers):
    path = readers / "06_machine.ipynb"
    for number, name in enumerate(("my_06_machine.ipynb", "my_06_machine_2.ipynb", "my_06_machine_3.ipynb")):
        path.write_bytes(own := b"%d" % number)
        assert restore("06_machine.ipynb", readers) == (path, readers / name)
        assert path.read_bytes() == PUBLISHED and (readers / name).read_bytes() == own
    assert (readers / "my_06_machine.ipynb").read_bytes() == b"0" and len(contents(readers)) == 6


def test_what_a_link_leads_to_is_kept_as_well(readers, tmp_path):
    """A reader's own chapters may lie in a folder that is synchronised, or on another disk."""
    path, elsewhere = readers / "06_machine.ipynb", tmp_path / "elsewhere.ipynb"
    path.unlink()
    elsewhere.write_bytes(b"mine")
    path.symlink_to(elsewhere)
    assert restore("06", readers) == (path, readers / "my_06_machine.ipynb")
    assert path.read_bytes() == elsewhere.read_bytes() == PUBLISHED and path.is_symlink()
    assert (readers / "my_06_machine.ipynb").read_bytes() == b"mine"


def test_a_deleted_chapter_comes_back(readers):
    (readers / "07_likelihood.ipynb").unlink()
    assert restore("07", readers) == (readers / "07_likelihood.ipynb", None)
    assert (readers / "07_likelihood.ipynb").read_bytes() == PUBLISHED


@pytest.mark.parametrize("name", ["0", "", "12", "LICENSE", "my_06"])
def test_a_name_is_that_of_one_chapter(readers, name):
    with pytest.raises(ValueError, match="06_machine.ipynb, 07_likelihood.ipynb"):
        find_chapter(name)


def test_without_git_the_reader_is_told_where_a_fresh_copy_is(readers, monkeypatch):
    monkeypatch.setattr(published, "_git", lambda *arguments: (None, "fatal: detected dubious ownership"))
    if published.CHECKOUT:
        (readers / "06_machine.ipynb").write_bytes(b"mine")
        with pytest.raises(ValueError, match="found none .*dubious ownership.*new download"):
            restore("06", readers)
    assert contents(readers) == ["06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"], "nothing was moved"


def test_copies_never_overwrite(readers, tmp_path):
    folder = tmp_path / "class" / "copies"
    assert [path.name for path in copy_chapters(folder)] == ["06_machine.ipynb", "07_likelihood.ipynb", "LICENSE.md"]
    (folder / "06_machine.ipynb").write_bytes(b"mine")
    (folder / "07_likelihood.ipynb").unlink()
    assert copy_chapters(folder) == [folder / "07_likelihood.ipynb"]
    assert (folder / "06_machine.ipynb").read_bytes() == b"mine"


def test_copies_in_a_home_folder_are_the_readers_too(readers, tmp_path, monkeypatch):
    """What is looked for and what is written are the same file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    copy_chapters("~/copies")
    mine = tmp_path / "copies" / "06_machine.ipynb"
    mine.write_bytes(b"mine")
    assert copy_chapters("~/copies") == [] and mine.read_bytes() == b"mine"
    command_line.main(["restore", "06", "--folder=~/copies"])
    assert mine.with_name("my_06_machine.ipynb").read_bytes() == b"mine" and mine.read_bytes() == PUBLISHED


def test_the_command_says_where_both_are(readers, capsys):
    path = readers / "06_machine.ipynb"
    path.write_bytes(b"mine")
    command_line.main(["restore", "06", "--folder", str(readers)])
    which = "last committed" if published.CHECKOUT else "published"
    said = f"{path.as_posix()} is as it was {which}. Yours is now {path.with_name('my_06_machine.ipynb').as_posix()}."
    assert capsys.readouterr().out.strip() == said
    with pytest.raises(SystemExit, match="restore: expected the beginning of one chapter's name, found '9'"):
        command_line.main(["restore", "9"])


def test_a_chapter_may_be_named_with_its_folder(readers):
    assert find_chapter("chapters/06_machine.ipynb") == "06_machine.ipynb"


def test_of_what_git_complains_of_one_line_is_told(readers):
    content, why = published._git("log", "nothing")
    assert content is None and why and "\n" not in why
