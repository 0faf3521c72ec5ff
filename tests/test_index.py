"""``from companion import …``: the index of the book, and how little it costs."""

import importlib
import os
import pkgutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

import companion
from companion import places
from companion.estimator import Estimator
from companion.widgets.panel import Panel


@pytest.mark.parametrize("module", companion._INDEX)
def test_every_name_of_the_index_is_public_in_its_module(module):
    names = companion._INDEX[module].split()
    public = importlib.import_module(f"companion.{module}").__all__
    assert set(names) <= set(public)
    for name in names:
        assert getattr(companion, name) is getattr(importlib.import_module(f"companion.{module}"), name)


def test_no_name_stands_twice_and_none_hides_a_module():
    assert (
        len(set(companion.__all__)) == len(companion.__all__) == sum(len(v.split()) for v in companion._INDEX.values())
    )
    modules = {module.name for module in pkgutil.iter_modules(companion.__path__)}
    assert not modules & set(companion.__all__)
    assert set(companion.__all__) <= set(dir(companion)), "completion offers them before they are imported"


def test_every_model_and_every_panel_is_in_the_index():
    def leaves(cls):
        return set().union(*map(leaves, cls.__subclasses__())) | {cls}

    for module in pkgutil.walk_packages(companion.__path__, "companion."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    bases = {"Estimator", "TiedLayer", "Classifier", "PretrainedMLP", "Panel"}
    ours = {cls.__name__ for cls in leaves(Estimator) | leaves(Panel) if cls.__module__.startswith("companion.")}
    assert ours - bases <= set(companion.__all__)


def test_another_name_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="module 'companion' has no attribute 'nonesuch'"):
        companion.nonesuch  # noqa: B018
    with pytest.raises(ImportError, match="nonesuch"):
        from companion import nonesuch  # noqa: F401


def test_only_what_is_named_is_imported():
    """`import companion` costs a millisecond: it imports nothing. Weights and records come without a model."""
    code = "import sys; old = set(sys.modules); {}; print(*(set(sys.modules) - old)); "
    steps = [
        "import companion",
        "from companion import load_weights, read_result",
        "from companion import RBM, load_mnist",
    ]
    absent = [
        {"numpy", "companion.backend"},
        {"companion.estimator", "companion.data"},
        {"companion.mlp", "ipywidgets"},
    ]
    command = [sys.executable, "-c", "".join(map(code.format, steps))]
    own = os.environ | {"COMPANION_BACKEND": "numpy"}
    lines = subprocess.check_output(command, text=True, env=own).splitlines()
    for line, new, other in zip(lines, ("companion", "companion.results", "companion.rbm"), absent, strict=True):
        assert new in line.split() and not (other | {"matplotlib"}) & set(line.split())


@pytest.mark.parametrize(
    ("system", "scratch", "set_before", "expected"),
    [
        ("nt", "C:/Users/Müller/Temp", None, "D:/ProgramData"),
        ("nt", "C:/Users/Müller/Temp", "E:/mine", "E:/mine"),
        ("nt", "C:/Users/Miller/Temp", None, None),
        ("posix", "/home/müller/tmp", None, None),
    ],
)
def test_joblib_keeps_its_files_where_it_can_name_them(monkeypatch, system, scratch, set_before, expected):
    """On Windows its processes are told of folders in ASCII; a search by somebody called Müller would fail."""
    monkeypatch.setenv("PROGRAMDATA", "D:/ProgramData")
    monkeypatch.delenv("JOBLIB_TEMP_FOLDER", raising=False)
    if set_before:
        monkeypatch.setenv("JOBLIB_TEMP_FOLDER", set_before)
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: scratch)
    monkeypatch.setattr(places, "os", SimpleNamespace(name=system, environ=os.environ))
    places._plain_scratch()
    assert os.environ.get("JOBLIB_TEMP_FOLDER") == expected
    monkeypatch.delenv("JOBLIB_TEMP_FOLDER", raising=False)
