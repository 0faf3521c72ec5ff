"""The companion by itself: what a reader has who installs the wheel and nothing else."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PUBLISHED = [
    *sorted(ROOT.glob("chapters/[0-9]*.ipynb")),
    *ROOT.glob("data/results/*.json"),
    *ROOT.glob("data/weights/*"),
]
SEEN = """
import json, sys
from pathlib import Path

import companion
from companion import RBM, load_mnist, load_weights, read_result
from companion.__main__ import main
from companion.places import CHECKOUT, DATA

assert CHECKOUT is None
rbm = RBM.from_parameters(**load_weights("rbm"))
train, valid, test = load_mnist()
main(["restore", "06"])
main(["reproduce"])
folder = Path("deep-beliefs")
(folder / "06_restricted_boltzmann_machine.ipynb").write_text("mine")
main(["restore", "06"])
print(json.dumps({"package": companion.__file__, "data": str(DATA), "log_likelihood": read_result("rbm")["name"],
    "shapes": [rbm.W_.shape, train.images.shape], "here": sorted(str(p) for p in Path().rglob("*"))}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that this checkout makes; as it is built by pip, without a network."""
    pytest.importorskip("hatchling", reason="builds the wheel: pip install -e '.[test]'")
    folder = tmp_path_factory.mktemp("wheel")
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, folder], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf8"
    )
    return folder / done.stdout.split()[-1]


def test_the_wheel_holds_the_companion_the_book_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"companion/book/{path.relative_to(ROOT).as_posix()}" for path in PUBLISHED} <= names
    # Python's files, the recipes, the book's own settings and the page for a projector
    package = {
        p
        for p in (ROOT / "companion").rglob("*")
        if p.is_file() and not {".", "_"} & {part[0] for part in p.parent.relative_to(ROOT).parts}
    }
    assert {path.relative_to(ROOT).as_posix() for path in package} <= names
    own = wheel.name.removesuffix("-py3-none-any.whl")
    others = {name for name in names if not name.startswith(("companion/", f"{own}.dist-info/"))}
    assert {name.rpartition("/")[0] for name in others} <= {f"{own}.data/data/etc/jupyter/jupyter_server_config.d"}
    assert not [name for name in names if "mnist/" in name or "checkpoint" in name or "/my_" in name]
    assert wheel.stat().st_size < 25e6


@pytest.mark.slow
def test_from_the_wheel_everything_works_in_an_empty_folder_and_nothing_is_written_beside_it(wheel, tmp_path):
    site, here, home = (tmp_path / name for name in ("site", "here", "home"))
    here.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if "__pycache__" not in str(path)}
    own = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home), "LOCALAPPDATA": str(home)}
    own |= {"XDG_CACHE_HOME": str(home / ".cache"), "COMPANION_DATASET": "sample", "COMPANION_DATA": ""}
    own |= {"COMPANION_BACKEND": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", SEEN], cwd=here, env=os.environ | own, capture_output=True, text=True, encoding="utf8"
    )
    assert done.returncode == 0, done.stderr
    *said, seen = done.stdout.splitlines()
    seen = json.loads(seen)
    assert seen["package"].startswith(str(site)) and seen["data"].startswith(str(home)), "not this checkout"
    assert seen["shapes"] == [[784, 500], [4000, 784]] and seen["log_likelihood"] == "rbm"
    chapter = "06_restricted_boltzmann_machine.ipynb"
    files = [str(Path("deep-beliefs", name)) for name in (chapter, f"my_{chapter}")]
    assert seen["here"] == ["deep-beliefs", *files], "one chapter, asked for, and the reader's own"
    assert (here / files[0]).read_bytes() == (ROOT / "chapters" / chapter).read_bytes()
    assert (here / files[1]).read_text(encoding="utf8") == "mine"
    after = {path: path.stat().st_mtime_ns for path in site.rglob("*") if "__pycache__" not in str(path)}
    assert after == before
