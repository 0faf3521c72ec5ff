"""EXPERIMENTAL: the book as a JupyterLite site, with Python in the reader's browser: ``python site/lite.py``.

It needs a network, and ``pip install build hatchling jupyterlite-core jupyterlite-pyodide-kernel``. Chapters get a
first cell that installs the companion in the browser. What trains for long is slow there, and Voilà and searches on
several processes are not there at all. Whether every chapter runs on such a site has not been tried.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "lite"
FIRST = {
    "cell_type": "code",
    "execution_count": None,
    "id": "install",
    "metadata": {},
    "outputs": [],
    "source": ["import piplite\n", "\n", 'await piplite.install(["deep-beliefs", "ipykernel"])'],
}


def with_first_cell(text):
    """Return the text of a notebook for a kernel in the browser."""
    notebook = json.loads(text)
    notebook["cells"].insert(0, FIRST)
    notebook["metadata"]["kernelspec"] = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (BUILD / "chapters").mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "chapters").glob("[0-9]*.ipynb")):
        copy = with_first_cell(path.read_text(encoding="utf8"))
        (BUILD / "chapters" / path.name).write_text(copy, encoding="utf8")
    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", BUILD / "wheel", ROOT]
    subprocess.run(wheel, check=True)
    newest = max((BUILD / "wheel").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    lite = ["jupyter", "lite", "build", "--contents", "chapters", "--output-dir", "site", "--piplite-wheels", newest]
    subprocess.run(lite, cwd=BUILD, check=True)
    print(f"Serve {(BUILD / 'site').relative_to(ROOT).as_posix()} with: python -m http.server")
