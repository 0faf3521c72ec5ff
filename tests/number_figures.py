"""Number the figures of the chapters in their order, without executing anything.

``python tests/number_figures.py [NAME ...]``, where NAME is the beginning of a file name, such as 01; all chapters
without one. Every call of `plots.show` that stands by itself in a cell, but for solutions, gets its number; where prose
names a figure by the number that it had, it gets the new one.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

from companion.plots import caption
from companion.storage import replacing

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"


def shown(source):
    """Return the calls of `plots.show` that stand by themselves, as nodes of the syntax tree."""
    calls = [line.value for line in ast.parse(source).body if isinstance(getattr(line, "value", None), ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "plots.show"]


def number_of(call):
    """Return the number of the figure that a call shows, such as "6.3"; None if it has none yet."""
    return next((keyword.value.value for keyword in call.keywords if keyword.arg == "number"), None)


def with_number(source, call, number):
    """Return the source of a cell in which a call has another number, in the book's format."""
    call.keywords = [keyword for keyword in call.keywords if keyword.arg != "number"]
    lines = source.splitlines(keepends=True)
    last = max([*call.args, *call.keywords], key=lambda node: (node.end_lineno, node.end_col_offset))
    # Columns of the syntax tree count bytes.
    kept = "".join(lines[: last.end_lineno - 1]) + lines[last.end_lineno - 1].encode()[: last.end_col_offset].decode()
    rest = lines[call.end_lineno - 1].encode()[call.end_col_offset :].decode() + "".join(lines[call.end_lineno :])
    source = f'{kept}, number="{number}"){rest}'
    command = [sys.executable, "-m", "ruff", "format", "--config", str(CHAPTERS.parent / "pyproject.toml"), "-"]
    return subprocess.run(command, input=source, capture_output=True, encoding="utf8", check=True).stdout.rstrip("\n")


def number_figures(notebook, chapter):
    """Number the figures of one notebook, and return the old numbers with the new ones."""
    moved, n = {}, 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or "solution" in cell["metadata"].get("tags", []):
            continue
        source = "".join(cell["source"])
        for i in range(len(shown(source))):
            n += 1
            call, new = shown(source)[i], f"{chapter}.{n}"
            old = number_of(call)
            if old != new:
                source, moved[old] = with_number(source, call, new), new
        numbers = [number_of(call) for call in shown(source)]
        cell["source"] = source.splitlines(keepends=True)
        cell["outputs"] = captioned(cell["outputs"], numbers) if numbers else cell["outputs"]
    return moved


def captioned(outputs, numbers):
    """Return the outputs of a cell with the captions that its figures would have, were it executed."""
    numbers, found = iter(numbers), []
    for output in outputs:
        data = output.get("data", {})
        if data.get("text/plain", [""])[0].startswith("Figure ") and "image/png" not in data:
            continue  # an old caption
        found.append(output)
        if output["output_type"] == "display_data" and "image/png" in data:
            data = {name: [text] for name, text in caption(next(numbers)).items()}
            found.append({"data": data, "metadata": {}, "output_type": "display_data"})
    return found


if __name__ == "__main__":
    names, moved, notebooks = tuple(sys.argv[1:]) or ("",), {}, {}
    for path in sorted(CHAPTERS.glob("[0-9]*.ipynb")):
        notebooks[path] = json.loads(path.read_text(encoding="utf8"))
        if path.name.startswith(names):
            moved |= number_figures(notebooks[path], int(path.name[:2]))
    for path, notebook in notebooks.items():
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = [
                    re.sub(r"(?<=[Ff]igure )\d+\.\d+\b", lambda old: moved.get(old[0], old[0]), line)
                    for line in cell["source"]
                ]
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
