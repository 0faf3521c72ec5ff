"""Where things lie. In a checkout: beside the companion. Installed from a wheel: inside it, and in the user's cache.

Nothing is ever written into the folder that packages are installed in.
"""

import os
import tempfile
from pathlib import Path

__all__ = ["BOOK", "CHECKOUT", "DATA", "JUPYTER", "ROOT", "at_home", "shown"]

_HERE = Path(__file__).resolve().parent

#: The folder of the checkout in which this companion lies, or None.
CHECKOUT = _HERE.parent if all((_HERE.parent / name).exists() for name in ("pyproject.toml", "chapters")) else None
#: Holds ``chapters``, ``data/results`` and ``data/weights`` as they were published.
BOOK = CHECKOUT or _HERE / "book"
#: What a relative path that a reader names is relative to.
ROOT = CHECKOUT or Path()
#: The book's own settings and templates for JupyterLab and Voilà.
JUPYTER = _HERE / "jupyter"


def _data():
    """Return the folder for downloads, caches, checkpoints, and what the reader reproduces."""
    if CHECKOUT:
        return CHECKOUT / "data"
    import platformdirs

    return platformdirs.user_cache_path("deep-beliefs", appauthor=False)


DATA = _data()


def _plain_scratch():
    """On Windows, let joblib keep its files where paths are ASCII: of others it cannot tell its processes."""
    if os.name == "nt" and not tempfile.gettempdir().isascii():
        os.environ.setdefault("JOBLIB_TEMP_FOLDER", os.environ.get("PROGRAMDATA", r"C:\ProgramData"))


_plain_scratch()


def at_home(path):
    """Return the path that a reader names, with the home folder in place of ``~``; other names may begin so, too."""
    return Path(os.path.expanduser(path))


def shown(path, root=ROOT):
    """Return `path` as it is told to the reader: short inside `root`, whole elsewhere; with slashes."""
    path, root = Path(path), Path(root)
    return (path.relative_to(root) if path.is_relative_to(root) and path != root else path).as_posix()
