"""Run chapters top to bottom on all of MNIST and store what they print and draw.

``python tests/execute_chapters.py [NAME ...]``, where NAME is the beginning of a file name, such as 01; all chapters
without one. Outputs that mean nothing without a kernel (progress bars, live views of panels) are left out.
"""

import os
import platform
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from companion.saving import still
from companion.storage import replacing

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
# All that a kernel says of itself: JupyterLab adds what is missing when a chapter is opened, and counts it as changed.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": platform.python_version(),
}


def execute(path):
    """Execute one notebook and replace its file, unless a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=1800, kernel_name="python3", record_timing=False, store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()  # fmt: skip
    normalise(notebook)
    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)


def normalise(notebook):
    """Keep of the metadata and the outputs only what a reader of the file can use."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": LANGUAGE,
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = joined(output for output in map(still, cell.outputs) if output)


def joined(outputs):
    """Return the outputs with the pieces of one printed text put together, however they happened to arrive."""
    whole = []
    for output in outputs:
        if output.output_type == "stream" and whole and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


if __name__ == "__main__":
    os.environ["COMPANION_DATASET"] = "full"
    os.environ["COMPANION_BACKEND"] = "numpy"
    for chapter in sorted(CHAPTERS.glob("[0-9]*.ipynb")):
        if not sys.argv[1:] or chapter.name.startswith(tuple(sys.argv[1:])):
            start = time.perf_counter()
            execute(chapter)
            print(f"{chapter.name}: {time.perf_counter() - start:.0f} s")
