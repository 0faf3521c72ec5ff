"""Copies for a class: nothing of a solution is left, every check fails kindly until it is answered, then passes."""

import ast
import builtins
import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from companion import _INDEX, published, widgets
from companion import __main__ as command_line
from companion.classroom import FORMATS, check, class_copy, names_read, parted
from companion.likelihood import exact_log_partition
from companion.rbm import RBM

CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("[0-9]*.ipynb"))


def sources(cells):
    return ["".join(cell["source"]) for cell in cells]


def tagged(cells, tag):
    return [cell for cell in cells if tag in cell["metadata"].get("tags", [])]


class Book:
    """A published chapter, the exercises that it sets and solves, and the cells of its copy in a format."""

    def __init__(self, path):
        self.text = path.read_text(encoding="utf8")
        self.cells = json.loads(self.text)["cells"]
        self.secret = tagged(self.cells, "solution")
        self.public = [cell for cell in self.cells if cell not in self.secret]
        exercises = next(source for source in sources(self.cells) if "\n## Solutions\n" in source)
        exercises = exercises.partition("## Exercises")[2].partition("## Solutions")[0]
        self.numbers = [int(number) for number in re.findall(r"^(\d+)\. \*", exercises, re.M)]
        pieces = re.split(r"^# (\d+)\. ", "\n\n\n".join(sources(self.secret)), flags=re.M)[1:]
        self.solutions = {int(n): f"# {n}. {source.rstrip()}" for n, source in zip(pieces[::2], pieces[1::2])}

    def copy(self, format="student"):
        return json.loads(class_copy(self.text, format))["cells"]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def book(request):
    return Book(request.param)


def defined(source):
    """Return the names that some code binds."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imported = (alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names)
    return names | {(alias.asname or alias.name).split(".")[0] for alias in imported}


class Anything:
    """What stands for a thing of the chapter: whatever a check does with it succeeds, and is true."""

    def itself(self, *arguments, **options):
        return self

    def __iter__(self):
        return iter([self])

    __getattr__ = __call__ = __getitem__ = itself
    for operator in "lt le gt ge eq ne add radd sub rsub mul rmul truediv rtruediv pow matmul abs".split():
        locals()[f"__{operator}__"] = itself


def test_every_exercise_has_a_solution_with_a_check_or_none(book):
    """A check is one or more asserts at the end of the solution, each of which tells what it expects, and of what."""
    assert book.numbers == list(range(1, len(book.numbers) + 1)) and len(book.numbers) >= 5
    assert list(book.solutions) == book.numbers[: len(book.solutions)], "those without one come last"
    for number, solution in book.solutions.items():
        answer, check = parted(solution)
        assert f"{answer}\n{check}" == solution
        asserts = ast.parse(check).body
        assert asserts and all(node.msg for node in asserts), number
        for name in names_read(answer, check)[:1]:
            told = " ".join(node.msg.value for node in asserts)
            assert re.search(rf"\b{name}\b", told), f"{number}: {told}"


def test_every_check_fails_kindly_until_the_exercise_is_answered(book, capsys):
    """Whatever else the chapter and the other answers define, it reads a name that only this answer gives.

    That the checks pass with the solutions filled in needs no run of its own: they are the last lines of those, which
    run whenever the chapter is tested.
    """
    rooms, checks = (tagged(book.copy(), tag) for tag in ("answer", "check"))
    assert [cell["id"] for cell in rooms] == [f"answer-{number}" for number in book.numbers]
    assert [cell["id"] for cell in checks] == [f"check-{number}" for number in book.solutions]
    for number, cell in zip(book.solutions, checks):
        others = [source for k, source in book.solutions.items() if k != number]
        there = set().union(
            *map(defined, [s for c, s in zip(book.public, sources(book.public)) if c["cell_type"] == "code"])
        )
        fresh = defined(book.solutions[number]) - there - set(dir(builtins))
        assert fresh - set().union(*map(defined, others)), "a check must not pass by what another exercise left"
        room = "".join(rooms[number - 1]["source"])
        namespace = dict.fromkeys(there, Anything())
        exec(f"{room}\n{''.join(cell['source'])}", namespace)
        said = capsys.readouterr().out
        found = re.fullmatch(rf"Exercise {number}: the check reads `(\w+)`, which is not there yet.\n", said)
        assert found and found[1] in fresh and re.search(rf"\b{found[1]}\b", room), said
        block = re.sub("^    ", "", "".join(cell["source"]).partition(f"with check({number}):\n")[2], flags=re.M)
        assert block == parted(book.solutions[number])[1], "what is checked is what the chapter's test has seen hold"


def test_nothing_of_an_answer_is_left(book):
    """Neither its code, nor what it printed, nor its pictures and what they are called."""
    public = json.dumps([book.public, [parted(s)[1] for s in book.solutions.values()]], ensure_ascii=False)
    lines = [line for solution in book.solutions.values() for line in parted(solution)[0].splitlines()]
    for output in (output for cell in book.secret for output in cell["outputs"]):
        lines += "".join(output.get("text", [])).splitlines()
        for kind, content in output.get("data", {}).items():
            lines += [content[:400]] if kind == "image/png" else "".join(content).splitlines()
    lines = {json.dumps(line.strip(), ensure_ascii=False)[1:-1] for line in lines}
    telling = {line for line in lines if len(line) > 12 and line not in public}
    assert len(telling) > 10
    copy = class_copy(book.text)
    assert not {line for line in telling if line in copy}
    assert "source_hidden" not in copy and "Solutions" not in copy
    assert [cell for cell in book.copy() if cell["cell_type"] == "code" and cell["execution_count"]] == [
        cell for cell in book.public if cell["cell_type"] == "code"
    ], "the rest of the chapter is as it was"


def test_graders_get_the_same_exercises_and_strip_the_same_answers(book):
    for format, mark in (("nbgrader", "### "), ("otter", "# ")):
        copy = class_copy(book.text, format)
        nbformat.validate(nbformat.reads(copy, as_version=4))
        cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(copy)["cells"]}
        for number, solution in book.solutions.items():
            answer, check = parted(solution)
            room, _, rest = cells[f"answer-{number}"].partition(f"\n{mark}BEGIN SOLUTION\n")
            assert room.startswith(f"# {number}. Your answer") and rest == f"{answer}\n{mark}END SOLUTION"
            assert cells[f"check-{number}"] == check
        assert [name for name in cells if name.startswith("answer-")] == [f"answer-{k}" for k in book.numbers]
    ids = [c["metadata"]["nbgrader"]["grade_id"] for c in book.copy("nbgrader") if "nbgrader" in c["metadata"]]
    assert len(ids) == len(set(ids)) == len(book.numbers) + len(book.solutions)
    raw = [cell for cell in book.copy("otter") if cell["cell_type"] == "raw"]
    text = "\n".join(sources(raw))
    for thing, times in (
        ("QUESTION", len(book.numbers)),
        ("SOLUTION", len(book.numbers)),
        ("TESTS", len(book.solutions)),
    ):
        assert text.count(f"# BEGIN {thing}") == text.count(f"# END {thing}") == times


@pytest.mark.parametrize(
    "answer, says",
    [
        ("W", "the check reads `W`, which is not there yet."),
        ("answer()", "the check cannot use your answer yet (NameError: name 'nump' is not defined"),
        ("assert 1 > 2, 'W: the weights'", "not yet. What the check expects is\nW: the weights"),
        ("None + 1", "the check cannot use your answer yet (TypeError: unsupported operand type(s)"),
        ("pass", "the check passes."),
    ],
)
def test_a_check_says_what_it_sees_and_never_raises(answer, says, capsys):
    def typed():
        return nump  # noqa: F821

    exec(f"with check(7):\n    {answer}", {"check": check, "answer": typed})
    assert capsys.readouterr().out.startswith(f"Exercise 7: {says}")


MEANS = np.random.default_rng(0).random((10, 784))
MEANS[0], MEANS[1] = 0.9, 0.1
THETA = np.ones((3, 8)), np.arange(3.0), np.arange(8.0)
BASS = np.full((2, 46), np.nan)
TAGS = SimpleNamespace(tags_=["O", "B-people", "B-depart.time", "I-depart.time", "B-arrive.time"])


@pytest.mark.parametrize(("chapter", "number", "wrong"), [
    ("00", 2, {"means": MEANS, "mean_ink": MEANS.mean(axis=0)}),  # the wrong axis
    ("00", 2, {"means": MEANS, "mean_ink": MEANS.mean()}),
    ("00", 1, {"modest": [0.4, 0.8, 0.8, 0.3], "reckless": [0.8, 0.8, 0.8, 1e-3]}),  # two mistakes
    ("01", 3, {"before": 0.07, "after": 0.9}),  # the images were shuffled
    ("06", 5, {"restarted": -4.30, "final": {"CD-1": -4.311, "exact": -4.1}}),  # CD-1 itself
    ("07", 2, {"over_v": 1.0, "over_h": 1.0, "tiny": RBM.from_parameters(np.ones((2, 2)), [0, 0], [0, 0])}),
    ("10", 1, {"of_two": np.array([0, 0, 0, 0.6, 0]), "grammar": TAGS}),  # those of the next word
    ("11", 4, {"above": np.zeros((2, 46)), "bass": BASS, "held": ~np.isnan(BASS)}),  # nothing was held
])  # fmt: skip
def test_a_check_sees_the_usual_slips(chapter, number, wrong):
    book = Book(next(path for path in CHAPTERS if path.name.startswith(chapter)))
    at_hand = {"np": np, "exact_log_partition": exact_log_partition}
    with pytest.raises(AssertionError):
        exec(parted(book.solutions[number])[1], at_hand | wrong)


def test_renaming_a_unit_takes_more_than_exchanging_two():
    """Exercise 2 of chapter 6: p(v) stays, and so do the visible biases, but the machine is not the one asked for."""
    book = Book(next(path for path in CHAPTERS if path.name.startswith("06")))
    order = [1, 0, *range(2, 8)]
    exchanged = THETA[0][:, order], THETA[1], THETA[2][order]
    at_hand = {"np": np, "everything": None, "log_p": lambda *_: 0.0, "theta": THETA, "flipped": exchanged}
    with pytest.raises(AssertionError, match="visible biases have to change"):
        exec(parted(book.solutions[2])[1], at_hand)


def test_a_check_lets_the_reader_interrupt():
    with pytest.raises(KeyboardInterrupt), check(7):
        raise KeyboardInterrupt


@pytest.mark.parametrize("format", FORMATS)
def test_a_class_gets_all_chapters_and_keeps_its_own_work(format, tmp_path, capsys):
    folder = tmp_path / "class"
    command_line.main(["student", str(folder), "--format", format])
    assert {path.name for path in CHAPTERS} < {path.name for path in folder.iterdir()}
    (folder / CHAPTERS[0].name).write_text("answered", encoding="utf8")
    (folder / CHAPTERS[1].name).unlink()
    command_line.main(["student", str(folder), "--format", format])
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 files were written to ")
    with pytest.raises(SystemExit, match="expected a folder without the chapters, found them; they are as they were"):
        command_line.main(["student", str(folder), "--format", format])
    assert (folder / CHAPTERS[0].name).read_text(encoding="utf8") == "answered"


def test_a_chapter_that_is_no_notebook_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    (tmp_path / "book").mkdir()
    whole = CHAPTERS[0].read_text(encoding="utf8")
    for name, text in (("00_first.ipynb", whole), ("05_fifth.ipynb", "x"), ("LICENSE.md", "")):
        (tmp_path / "book" / name).write_text(text, encoding="utf8")
    monkeypatch.setattr(published, "FOLDER", tmp_path / "book")
    with pytest.raises(SystemExit, match="05_fifth.ipynb: expected a notebook of the book, found another"):
        command_line.main(["student", str(tmp_path / "class")])
    assert not (tmp_path / "class").exists()


def test_the_guide_names_controls_that_the_panels_have():
    """What an instructor is told to press is there, under that name."""
    guide = (Path(__file__).parents[1] / "site" / "teaching.md").read_text(encoding="utf8")
    told = re.findall(r"\*\*Panel\*\* `(\w+)`[:,](.*?)(?=\n\n|\*\*Panel)", guide, flags=re.S)
    assert len(told) == guide.count("**Panel**") and {panel for panel, _ in told} == set(_INDEX["widgets"].split())
    shared = (Path(widgets.__file__).parent / "panel.py").read_text(encoding="utf8")
    for panel, text in told:
        code = Path(inspect.getfile(getattr(widgets, panel))).read_text(encoding="utf8") + shared
        for name in re.findall(r"`([^`]+)`", text):
            assert f'"{" ".join(name.split())}"' in code, f"{panel}: {name}"


def exercises(*solutions):
    """A chapter of so many exercises and these solutions."""
    tasks = "".join(f"{n}. *Do it.*\n" for n in range(1, len(solutions) + 1))
    text = {"cell_type": "markdown", "metadata": {}, "source": [f"## Exercises\n\n{tasks}\n## Solutions\n"]}
    solved = [{"cell_type": "code", "metadata": {"tags": ["solution"]}, "source": [each]} for each in solutions]
    return json.dumps({"cells": [text, *solved]})


def test_what_has_no_check_is_marked_by_a_person():
    text = exercises("# 1. \na = 1\nassert a == 1", "# 2. \nb = 2")
    marks = [cell["metadata"]["nbgrader"] for cell in json.loads(class_copy(text, "nbgrader"))["cells"][1:]]
    assert [(m["grade_id"], m["solution"], m["locked"], m["grade"], m.get("points")) for m in marks] == [
        ("answer-1", True, False, False, None), ("check-1", False, True, True, 1), ("answer-2", True, False, True, 1)
    ]  # fmt: skip
    raw = [source for source in sources(json.loads(class_copy(text, "otter"))["cells"]) if "BEGIN QUESTION" in source]
    assert ["manual: true" in source for source in raw] == [False, True]


def test_otter_is_told_first_that_it_gets_an_assignment():
    assert sources(json.loads(class_copy(exercises("# 1. \na = 1"), "otter"))["cells"])[0].startswith("# ASSIGNMENT")


def test_names_are_told_in_the_order_in_which_they_are_read():
    assert names_read("a = b = 1", "assert abs(a) < b") == ["a", "b"]


def test_a_solution_of_no_exercise_is_refused():
    with pytest.raises(ValueError, match="expected a first solution that begins with '# 1. ', found 'a = 1'"):
        class_copy(exercises("a = 1"))
