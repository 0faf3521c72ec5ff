"""The chapters as one book: they name, follow and cite each other, and its pages of terms keep to what they say."""

import re
from itertools import chain, product
from pathlib import Path

import nbformat
import pytest
from number_figures import number_of, shown

from companion.plots import caption

ROOT = Path(__file__).parents[1]
CHAPTERS = {path.name: path for path in sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
ITALIC = re.compile(r"(?<![\w*])\*(\S[^*\n]*\S)\*")
FOREIGN = re.compile(r"chapter 10 of Géron|TensorFlow\*, chapter 10")  # a chapter of another book


EACH = pytest.mark.parametrize("name", CHAPTERS)


def prose_cells(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]


PROSE = {name: prose_cells(path) for name, path in CHAPTERS.items()}
TEXT = {name: " ".join("\n".join(cells).split()) for name, cells in PROSE.items()}


def table(page):
    """Return the rows of all tables of a page of the book, as lists of cells."""
    lines = (ROOT / "site" / page).read_text(encoding="utf8").splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")]
    return [row for row in rows if ".ipynb" in row[-1]]


def chapters_in(cell):
    return [Path(target).name for _, target in LINK.findall(cell)]


def plain(title):
    return re.sub(r"\W+", " ", title).casefold().strip()


@EACH
def test_chapters_lead_to_the_previous_and_the_next(name):
    order = list(CHAPTERS)
    beside = [order[i] for i in (order.index(name) - 1, order.index(name) + 1) if 0 <= i < len(order)]
    for cell in (PROSE[name][1], PROSE[name][-1]):
        assert [target for _, target in LINK.findall(cell)] == beside
        for title, target in LINK.findall(cell):
            assert PROSE[target][0].startswith(f"# {title}\n")


@EACH
def test_a_chapter_that_is_named_is_a_link(name):
    text = FOREIGN.sub("", "\n".join(PROSE[name]))
    for label, target in LINK.findall(text):
        if number := re.fullmatch(r"[Cc]hapter (\d+)", label):
            assert target.startswith(f"{int(number[1]):02}_"), f"{label} leads to {target}"
        if not target.startswith(("http", "#")):
            assert (ROOT / "chapters" / target.partition("#")[0]).exists(), target
    assert not re.findall(r"[Cc]hapters? \d+", LINK.sub("", text))


@EACH
def test_references_are_in_the_bibliography(name):
    known = [plain(title) for title in ITALIC.findall((ROOT / "site/bibliography.md").read_text(encoding="utf8"))]
    references = "\n".join(PROSE[name]).rpartition("## References")[2]
    titles = ITALIC.findall(references)
    assert len(titles) > 3
    for title in titles:
        assert any(entry.startswith(plain(title)) for entry in known), f"{title} is missing in site/bibliography.md"


def test_works_of_the_bibliography_can_be_found_and_are_cited():
    lines = (ROOT / "site/bibliography.md").read_text(encoding="utf8").partition("## Papers")[2].splitlines()
    works = [line for line in lines if line.startswith("* ")]
    for work in works:
        source, _, cited = work.partition(". Cited in ")
        assert re.search(r"\]\(https://\S+\)$", source), f"no DOI or address: {work}"
        surname = re.match(r"\* ([^,]+),", work)[1]
        assert chapters_in(cited), work
        for name in chapters_in(cited):
            assert surname in TEXT[name], f"{surname} is not cited in {name}"
    assert len(works) == len(set(works)) > 90


def test_every_term_of_the_glossary_is_used_where_it_is_said_to_be():
    rows = table("glossary.md")
    for english, korean, chinese, where in rows:
        (name,) = chapters_in(where)
        assert english.partition(" (")[0].casefold() in TEXT[name].casefold(), f"{english} is not in {name}"
        assert re.search("[가-힣A-Z]", korean) and re.search("[\u4e00-\u9fff]|^[A-Za-z-]+$", chinese), english
    assert len(rows) > 120 and [row[0] for row in rows] == sorted((row[0] for row in rows), key=str.casefold)


def test_every_symbol_of_the_notation_occurs_in_its_chapters():
    def flat(formula):
        return re.sub(r"[\s{}]", "", formula)

    formulas = {name: flat(" ".join(re.findall(r"\$\$.*?\$\$|\$[^$]+\$", text))) for name, text in TEXT.items()}
    rows = table("notation.md")
    for symbols, *cells in rows:
        for symbol, name in product(re.findall(r"\$([^$]+)\$", symbols), chain(*map(chapters_in, cells))):
            assert flat(symbol) in formulas[name], f"{symbol} is not in {name}"
    assert len(rows) > 60


def test_korean_summaries_tell_of_every_chapter_in_order():
    sections = (ROOT / "site/korean.md").read_text(encoding="utf8").split("\n## ")[1:]
    assert [chapters_in(section)[0] for section in sections] == list(CHAPTERS)
    for section in sections:
        hangul = len(re.findall("[가-힣]", section))
        assert hangul > 250, "half a page"


@EACH
def test_every_recall_question_has_its_answer(name):
    (cell,) = [cell for cell in PROSE[name] if "## Recall" in cell or "Can you say, without looking back" in cell]
    questions, _, rest = re.split("## Recall|Can you say, without looking back", cell)[1].partition("<details>")
    answers = rest.partition("</details>")[0]
    asked = len(re.findall(r"^\d\. ", questions, flags=re.M)) or questions.count("?")
    assert len(re.findall(r"^\d\. \S", answers, flags=re.M)) == asked


@EACH
def test_figures_are_numbered_in_order_and_named_by_numbers_that_exist(name):
    """Put right by ``python tests/number_figures.py``."""
    notebook, chapter = nbformat.read(CHAPTERS[name], as_version=4), int(name[:2])
    code = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", [])
    ]
    calls = [call for cell in code for call in shown(cell.source)]
    assert [number_of(call) for call in calls] == [f"{chapter}.{n}" for n in range(1, len(calls) + 1)]
    captions = [caption(number) for number in map(number_of, calls)]
    stored = [output.data for cell in code for output in cell.outputs if "text/markdown" in output.get("data", {})]
    assert stored == captions
    for number in re.findall(r"[Ff]igure (\d+\.\d+)", TEXT[name]):
        assert number.startswith(f"{chapter}.") and int(number.partition(".")[2]) <= len(calls)


def test_every_equation_that_prose_refers_to_has_its_number():
    tags = [tag for text in TEXT.values() for tag in re.findall(r"\\tag\{(\d+\.\d+)\}", text)]
    named = [number for text in TEXT.values() for number in re.findall(r"[Ee]quation \((\d+\.\d+)\)", text)]
    assert len(tags) == len(set(tags)) and set(tags) == set(named)
    for name, text in TEXT.items():
        assert all(int(tag.split(".")[0]) == int(name[:2]) for tag in re.findall(r"\\tag\{(\d+\.\d+)\}", text))
