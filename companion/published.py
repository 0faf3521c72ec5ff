"""The chapters as files: their names, fresh copies of them, and the reader's own, never overwritten."""

import shutil
import subprocess
from pathlib import Path

from .places import BOOK, CHECKOUT, at_home
from .storage import replacing

__all__ = ["FOLDER", "PATTERN", "copy_chapters", "find_chapter", "restore"]

PATTERN = "[0-9]*.ipynb"  # a name that begins otherwise is the reader's
FOLDER = BOOK / "chapters"


def _git(*arguments):
    """Return what git says in the checkout, bytes; or None, where there is no git, repository or file; and why."""
    try:
        return subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, check=True).stdout, ""
    except OSError as problem:
        return None, str(problem)
    except subprocess.CalledProcessError as problem:
        return None, problem.stderr.decode(errors="replace").partition("\n")[0]


def _names():
    """Return the file names of all chapters, in reading order; of the committed ones too, should one be deleted."""
    committed = (_git("ls-tree", "--name-only", "HEAD", "./chapters/")[0] or b"").decode() if CHECKOUT else ""
    names = {Path(line).name for line in committed.splitlines() if Path(line).match(PATTERN)}
    return sorted(names | {path.name for path in FOLDER.glob(PATTERN)})


def find_chapter(name):
    """Return the file name of the one chapter whose name begins with `name`, such as ``06`` or ``06_restricted``.

    Raises
    ------
    ValueError
        If none does, or several do.
    """
    names = _names()
    found = [chapter for chapter in names if chapter.startswith(Path(name).name)]
    if len(found) != 1:
        raise ValueError(f"expected the beginning of one chapter's name, found {name!r}; there are: {', '.join(names)}")
    return found[0]


def _published(name):
    """Return the bytes of a chapter as it was published: out of the wheel, or as it was last committed."""
    if not CHECKOUT:
        return (FOLDER / name).read_bytes()
    content, why = _git("show", f"HEAD:./chapters/{name}")
    if content is None:
        raise ValueError(
            f"expected a git checkout that holds {name} as it was published, found none ({why}): take the file out of "
            "a new download of the book"
        )
    return content


def restore(name, folder=FOLDER):
    """Put a fresh copy of a chapter into `folder`, and keep the reader's own beside it, under a name with ``my_``.

    Parameters
    ----------
    name : str
        The beginning of its file name, such as ``06``.
    folder : path-like

    Returns
    -------
    path, kept : Path, Path or None
        The fresh copy; and the reader's own under its new name, None if it was not there or had no changes.

    Raises
    ------
    ValueError
        If `name` is not that of one chapter, nothing is known of its published version, or `folder` is a file.
    """
    path = _expect_folder(folder) / find_chapter(name)
    content, kept = _published(path.name), None
    if path.exists() and path.read_bytes().replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n"):
        return path, None
    if path.exists():
        kept = _unused(path.with_name(f"my_{path.name}"))
        with replacing(kept) as temporary:
            shutil.copyfile(path, temporary)  # not renamed: it may be a link
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path, kept


def _unused(path):
    """Return `path`, or the first of ``…_2``, ``…_3``, … beside it that is not there yet."""
    stem, number = path.stem, 1
    while path.exists():
        number += 1
        path = path.with_name(f"{stem}_{number}{path.suffix}")
    return path


def _expect_folder(folder):
    """Return `folder` as a path, or raise ValueError if it is a file."""
    folder = at_home(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder for the chapters, found a file")
    return folder


def copy_chapters(folder, change=lambda notebook: notebook):
    """Copy all chapters into `folder`, made if missing; a file that is there already is the reader's, and stays.

    Parameters
    ----------
    folder : path-like
    change : callable
        From the text of a notebook to that of its copy.

    Returns
    -------
    list of Path
        Those that were written.

    Raises
    ------
    ValueError
        If `folder` is a file, or a chapter is no notebook; nothing has been written then.
    """
    texts, folder = {}, _expect_folder(folder)
    for source in [*sorted(FOLDER.glob(PATTERN)), FOLDER / "LICENSE.md"]:
        if not (path := folder / source.name).exists():
            text = source.read_text(encoding="utf8")
            try:
                texts[path] = change(text) if source.suffix == ".ipynb" else text
            except (ValueError, KeyError) as reason:
                raise ValueError(f"{source}: expected a notebook of the book, found another ({reason})") from reason
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf8", newline="\n")
    return list(texts)
