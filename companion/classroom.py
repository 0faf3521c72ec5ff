"""Copies of the chapters for a class: for every exercise room to answer and a check, in place of its solution.

The chapters are the one source: the asserts at the end of a solution are the check, what stands above them is the
answer. The same two parts are marked for nbgrader and for otter-grader, which strip the answers themselves.
"""

import ast
import contextlib
import json
import re
import textwrap

from .published import copy_chapters

__all__ = ["FORMATS", "check", "class_copy", "student_copies"]


@contextlib.contextmanager
def check(exercise):
    """Say in a sentence whether the asserts of the block hold: no check ends in a traceback, or stops Run All.

    Parameters
    ----------
    exercise : int
        Its number, for the sentence.
    """
    try:
        yield
    except AssertionError as unmet:
        print(f"Exercise {exercise}: not yet. What the check expects is\n{unmet}")
    except Exception as problem:
        check_itself = problem.__traceback__.tb_next.tb_next is None  # not a function of the answer's that it calls
        if type(problem) is NameError and check_itself:
            print(f"Exercise {exercise}: the check reads `{problem.name}`, which is not there yet.")
            return
        print(
            f"Exercise {exercise}: the check cannot use your answer yet ({type(problem).__name__}: {problem}). "
            "What it expects is said in its cell."
        )
    else:
        print(f"Exercise {exercise}: the check passes.")


def parted(solution):
    """Return the answer and the check of a solution: what stands above the asserts at its end, and these.

    Parameters
    ----------
    solution : str

    Returns
    -------
    answer, check : str
        Put together with a line break they are the solution again.
    """
    statements, lines = ast.parse(solution).body, solution.split("\n")
    first = len(lines) + 1
    while statements and isinstance(statements[-1], ast.Assert):
        first = statements.pop().lineno
    return "\n".join(lines[: first - 1]), "\n".join(lines[first - 1 :])


def names_read(answer, check):
    """Return the names that `check` reads and `answer` defines, in the order in which the check comes upon them."""
    nodes = list(ast.walk(ast.parse(answer)))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = [node for node in ast.walk(ast.parse(check)) if isinstance(node, ast.Name) and node.id in defined]
    return list(dict.fromkeys(node.id for node in sorted(read, key=lambda node: (node.lineno, node.col_offset))))


def _cell(name, source, kind="code", **metadata):
    """Return a cell of a notebook, not executed."""
    cell = {"cell_type": kind, "id": name, "metadata": metadata, "source": source.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _room(number, answer, check):
    """Return the comment with which a cell for an answer begins."""
    if not check:
        return f"# {number}. Your answer goes here. No check can judge it: say what you see, with a figure or a number."
    return f"# {number}. Your answer goes here. The check below reads: {', '.join(names_read(answer, check))}."


def _student(number, answer, check):
    """Return an empty cell for the answer and one with the check."""
    yield _cell(f"answer-{number}", _room(number, answer, check) + "\n", tags=["answer"])
    if check:
        block = textwrap.indent(check, "    ")
        source = f"from companion.classroom import check\n\nwith check({number}):\n{block}"
        yield _cell(f"check-{number}", source, tags=["check"])


def _nbgrader(number, answer, check):
    """Return the cells for `nbgrader generate_assignment`; what has no check is marked by a person."""
    facts = {"schema_version": 3, "task": False, "cell_type": "code"}
    source = f"{_room(number, answer, check)}\n### BEGIN SOLUTION\n{answer}\n### END SOLUTION"
    marks = {"grade_id": f"answer-{number}", "solution": True, "locked": False, "grade": not check}
    yield _cell(f"answer-{number}", source, nbgrader=facts | marks | ({} if check else {"points": 1}))
    if check:
        marks = {"grade_id": f"check-{number}", "solution": False, "locked": True, "grade": True, "points": 1}
        yield _cell(f"check-{number}", check, nbgrader=facts | marks)


def _otter(number, answer, check):
    """Return the cells for `otter assign`; what has no check is marked by a person."""

    def raw(name, source):
        return _cell(f"{name}-{number}", source, kind="raw")

    manual = "" if check else "\nmanual: true"
    yield raw("question", f"# BEGIN QUESTION\nname: q{number}\npoints: 1{manual}")
    yield raw("solution-begins", "# BEGIN SOLUTION")
    source = f"{_room(number, answer, check)}\n# BEGIN SOLUTION\n{answer}\n# END SOLUTION"
    yield _cell(f"answer-{number}", source)
    yield raw("solution-ends", "# END SOLUTION")
    if check:
        yield raw("tests-begin", "# BEGIN TESTS")
        yield _cell(f"check-{number}", check)
        yield raw("tests-end", "# END TESTS")
    yield raw("question-ends", "# END QUESTION")


FORMATS = {"student": _student, "nbgrader": _nbgrader, "otter": _otter}


def class_copy(text, format="student"):
    """Return the text of a chapter for a class.

    Parameters
    ----------
    text : str
        The notebook as it was published.
    format : str
        One of `FORMATS`. In ``student`` nothing of a solution is left: neither code nor outputs. In ``nbgrader`` and
        ``otter`` the answers are there, between the marks that those programs know; both make the students' copies.

    Returns
    -------
    str
    """
    notebook = json.loads(text)
    cells, solutions, numbers, place = [], {}, [], 0
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if "solution" in cell["metadata"].get("tags", []):
            if number := re.match(r"# (\d+)\. ", source):
                latest = solutions.setdefault(int(number[1]), [])
            elif not solutions:
                raise ValueError(f"expected a first solution that begins with '# 1. ', found {source[:40]!r}")
            latest.append(source)  # one without a number goes on with the one above
            continue
        cells.append(cell)
        before, heading, _ = source.partition("\n## Solutions\n")
        if cell["cell_type"] == "markdown" and heading:
            cell["source"] = f"{before}\n## Your answers\n\nA cell for each, below.".splitlines(keepends=True)
            numbers, place = re.findall(r"^(\d+)\. \*", before.partition("## Exercises")[2], re.M), len(cells)
    for number in map(int, reversed(numbers)):
        solution = "\n\n\n".join(solutions.get(number, ["pass"]))
        cells[place:place] = FORMATS[format](number, *parted(solution))
    if format == "otter":
        cells.insert(0, _cell("assignment", "# ASSIGNMENT CONFIG\nexport_cell: false", kind="raw"))
    return json.dumps(notebook | {"cells": cells}, indent=1, ensure_ascii=False) + "\n"


def student_copies(folder, format="student"):
    """Copy all chapters, as `class_copy` changes them, into `folder`; what is there already stays (`copy_chapters`)."""
    return copy_chapters(folder, lambda text: class_copy(text, format))
