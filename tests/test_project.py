"""The doors of the project agree with each other: environment.yml, pyproject.toml, Makefile, README."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from readme_tables import PAGES, renewed

import companion
from companion.results import recipes
from companion.tables import TABLES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def read(name):
    return (ROOT / name).read_text(encoding="utf8")


def test_environment_installs_this_checkout_and_the_same_python():
    """The conda door adds nothing to the one list of dependencies."""
    lines = [line.strip() for line in read("environment.yml").splitlines() if line.strip().startswith("- ")]
    packages = [line[2:] for line in lines]
    assert packages == ["conda-forge", f"python{PROJECT['requires-python']}", "pip", "pip:", '"-e .[test]"']


def test_every_dependency_is_a_range_with_its_reason():
    text = read("pyproject.toml")
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    for requirement in PROJECT["dependencies"] + extras:
        assert re.fullmatch(r"[\w-]+>=[\d.]+(,<[\d.]+)?(; sys_platform != 'emscripten')?", requirement), (
            f"{requirement}: a lower bound, not a pin"
        )
        for line in (line for line in text.splitlines() if f'"{requirement}"' in line):
            assert len(line.partition("#")[2].strip()) > 5, f"{requirement} lacks its reason"


def test_readme_names_commands_that_exist():
    words = set(re.findall(r"`make (\w+)", read("README.md")))
    targets = set(re.findall(r"^(\w+):", read("Makefile"), flags=re.M))
    assert {"run", "test"} <= words <= targets


def test_readme_tells_every_chapter_and_its_links_lead_somewhere():
    text = read("README.md")
    for chapter in (ROOT / "chapters").glob("[0-9]*.ipynb"):
        assert f"(chapters/{chapter.name})" in text
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("name", recipes())
def test_the_page_of_results_quotes_the_records(name):
    """The tables say what was measured, digit by digit."""
    record = json.loads((ROOT / "data" / "results" / f"{name}.json").read_text(encoding="utf8"))
    number = record["chapter"].split("_")[0].lstrip("0")
    if "test_error" in record:
        quoted = f"**{100 * record['test_error']:.2f} ± {100 * record['test_error_std']:.2f} %**"
    else:
        what = "test_bound" if "test_bound" in record else "test_log_likelihood"
        spread = f" ± {record[f'{what}_std']:.2f}" if f"{what}_std" in record else ""  # one seed has none
        quoted = f"**{record[what]:.2f}{spread}** nats".replace("-", "−")
    pages = ["site/results.md", *["README.md"] * ("headline" in recipes()[name] and "recognition_rate" not in record)]
    for page in pages:
        assert [line for line in read(page).splitlines() if line.startswith(f"| {number} |") and quoted in line]


def test_no_data_set_and_nothing_large_is_committed():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        assert not re.search(r"ubyte|mnist\.(npz|pkl)|uv\.lock|\.pyc$", name), name
        assert not (ROOT / name).exists() or (ROOT / name).stat().st_size < 4_000_000, name
    ignored = subprocess.run(["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""  # committed all the same


def test_the_tables_of_results_are_those_of_the_records():
    """To write them anew: ``python tests/readme_tables.py``."""
    pages = [page.read_text(encoding="utf8") for page in PAGES]
    assert pages == [renewed(text) for text in pages]
    assert sorted(re.findall("<!-- (?!end|picture)([\\w ]+) -->", "".join(pages))) == sorted(TABLES)


def test_an_older_python_is_refused_before_an_environment_is_made_of_it(tmp_path):
    """Otherwise the folder would stay, and the right Python, given afterwards, would be the wrong one again."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    old = tmp_path / "old"
    old.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" -c "import sys; sys.version_info = (3, 10, 1); $@"\n')
    old.chmod(0o755)
    made = subprocess.run(["make", "run", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, encoding="utf8")
    assert made.returncode and "needs Python 3.11 or newer" in made.stderr and not (tmp_path / ".venv").exists()


def test_the_same_version_and_licence_are_said_everywhere():
    version = PROJECT["version"]
    cited = dict(re.findall(r"^([\w-]+): ([^#\n]+?) *(?:#.*)?$", read("CITATION.cff"), re.M))
    assert companion.__version__ == version == cited["version"] and f"## {version}\n" in read("CHANGELOG.md")
    assert all(
        f"version {version}, {cited['date-released'][:4]}" in read(name) for name in ("README.md", "site/index.md")
    )
    assert cited["license"] == "BSD-3-Clause" and PROJECT["license"].startswith("BSD-3-Clause AND CC-BY-4.0")
    conditions = read("LICENSE").partition("Copyright (c)")[2]
    assert conditions in read("chapters/LICENSE.md"), "it goes with the copies for a class"
    for name in ("chapters/LICENSE.md", "site/licences.md"):
        assert all(
            url in read(name) for url in ("licenses/by/4.0/", "licenses/by/2.0/", "danielbuechele/6061409035", "MNIST")
        )
