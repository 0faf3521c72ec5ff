"""What the benchmarks measured, kept in one file."""

import json

import pytest

from companion.places import DATA
from companion.results import environment
from companion.storage import replacing


@pytest.fixture(scope="session")
def rows():
    """Return a list to append what was measured to, dicts; it is written when the last ratio has been taken."""
    rows = []
    yield rows
    with replacing(DATA / "results" / "benchmarks.json") as temporary:
        temporary.write_text(json.dumps({"rows": rows, **environment()}, indent=2) + "\n", encoding="utf8")
