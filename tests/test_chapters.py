"""What must hold of every chapter as a file; nbval executes their cells."""

import ast
import importlib
import re
from pathlib import Path

import nbformat
import pytest
from execute_chapters import LANGUAGE

CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("[0-9]*.ipynb"))
MACHINE_PATH = re.compile(r"/(home|root|Users|tmp|work|mnt)/\w|[A-Z]:\\\\")

pytestmark = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@pytest.fixture
def notebook(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def test_metadata_is_that_of_any_machine(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    told = notebook.metadata.language_info
    assert told | {"version": ""} == LANGUAGE | {"version": ""}, "else opening the chapter would change it"
    assert re.fullmatch(r"3\.\d+\.\d+", told.version)
    assert "widgets" not in notebook.metadata, "pages that render notebooks refuse stored widget states"


def test_no_cell_ends_with_a_model_that_describes_itself(notebook):
    """scikit-learn's description has buttons within a button, which screen readers cannot reach, and 40 kB."""
    for cell in code_cells(notebook):
        assert not [o for o in cell.outputs if "sk-estimator" in str(o.get("data", {}).get("text/html", ""))], cell.id


def test_executed_top_to_bottom_without_error(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    assert not [output.ename for output in outputs(notebook) if output.output_type == "error"]
    warned = [o.text for o in outputs(notebook) if o.output_type == "stream" and o.name == "stderr"]
    assert not warned, "warnings and progress bars are not for the reader of the file"


def test_solutions_are_folded_with_what_they_print(notebook):
    for cell in code_cells(notebook):
        if "solution" in cell.metadata.get("tags", []):
            assert cell.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}, cell.id


def test_cell_ids_are_unique(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_cells_are_short_and_pure_python(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 25, f"cell {cell.id} is longer than a reader can hold in mind"
        ast.parse(cell.source)  # no `!` and no `%`: they are not Python, and a failing `!` passes unseen


def test_solutions_are_hidden_numbered_and_last(notebook):
    """Student copies leave them out by their tag, and leave room for an answer by their number."""
    tagged = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    assert tagged == code_cells(notebook)[-len(tagged) :], "a cell between them would be left in, or needs one of them"
    latest, numbers = None, [re.match(r"# (\d+)\. ", cell.source) for cell in tagged]
    for cell, number in zip(tagged, numbers):
        latest = number or latest  # one without goes on with the one above
        assert cell.id.startswith(f"solution-{latest[1]}") and cell.metadata.jupyter.source_hidden
    assert any("\n## Solutions\n" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_sections_come_in_the_order_of_the_book(notebook, path):
    """A title with a number, then the same last sections in every chapter, under headings of two marks."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert notebook.cells[0].source.startswith(f"# {int(path.name[:2])} · ") and len(re.findall("^# ", text, re.M)) == 1
    found = [re.sub(r"^\d+\. ", "", title) for title in re.findall("^## (.+)", text, re.M)]
    order = ["Where we are going", "Running it at full scale", "Summary", "Exercises", "Solutions", "In practice today"]
    assert [title for title in found if title in order] == order and found[-1] == "References"
    assert "What goes wrong, and why" in found and "**You will**" in notebook.cells[0].source


def test_the_test_set_is_opened_last(notebook):
    """Chapter 0 promises it: chosen on the validation set, reported on the test set once, at the end."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search("^## .*Running it at full scale", cell.source, re.M):
            return
        code = re.sub(r"len\(test\.\w+\)", "", cell.source) if cell.cell_type == "code" else ""  # to count is no use
        assert not re.search(r"\btest\.\w|\*test\b", code), f"cell {cell.id}: take the validation set"
    raise AssertionError("there is no section that runs at full scale")


def test_names_no_path_of_a_machine(notebook, path):
    found = MACHINE_PATH.search(path.read_text(encoding="utf8"))
    assert not found, f"{found.group()} in {path.name}"


def test_every_figure_has_alt_text(notebook):
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            alt = output.metadata.get("image/png", {}).get("alt", "")
            assert len(alt) > 20, "display figures with plots.show(figure, 'what it shows')"
        assert "image/svg+xml" not in output.get("data", {})


def test_stored_alt_text_is_that_of_the_source(notebook):
    for cell in code_cells(notebook):
        calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
        shows = [call for call in calls if ast.unparse(call.func) == "plots.show"]
        written = {call.args[1].value for call in shows if isinstance(call.args[1], ast.Constant)}
        assert written <= {o.metadata["image/png"]["alt"] for o in cell.outputs if "image/png" in o.get("data", {})}


def test_every_name_of_the_companion_exists(notebook):
    """Names imported from the companion, and attributes of its modules, resolve: text and package never drift."""
    modules = {}
    tree = ast.parse("\n".join(cell.source for cell in code_cells(notebook)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "companion":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                modules[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "companion":
                    modules[alias.asname or alias.name] = importlib.import_module(alias.name)
    assert modules, "a chapter imports the companion"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = modules.get(node.value.id)
            if owner is not None and not callable(owner) and getattr(owner, "__name__", "").startswith("companion"):
                assert hasattr(owner, node.attr), f"{owner.__name__} has no {node.attr}"
