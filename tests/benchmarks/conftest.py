"""What the benchmarks measured, kept in two files."""

import json
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from companion.places import DATA
from companion.results import environment
from companion.storage import replacing

PEERS = ("torch", "jax", "blackjax")
MEASURED = {"ratio", "range", "microseconds", "n_epochs", "ours", "torch"}  # the rest of a row says what was


def _rows_of(name):
    """Return a fixture: a list to append what is measured to, dicts.

    They replace those that the file has; others stay if they are of the same machine, versions and backend.
    """

    @pytest.fixture(scope="session")
    def rows():
        rows, path = [], DATA / "results" / f"{name}.json"
        yield rows
        if not rows:  # all was skipped
            return
        earlier, here = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}, environment()
        here["versions"] |= {name: version(name) for name in PEERS if find_spec(name)}
        same = all(earlier.get(name) == value for name, value in here.items())
        kept = {_what(row): row for row in [*(earlier["rows"] if same else []), *rows]}
        with replacing(path) as temporary:
            content = {"rows": list(kept.values()), **here}
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf8")

    return rows


def _what(row):
    return json.dumps({key: value for key, value in row.items() if key not in MEASURED}, sort_keys=True)


rows, quality_rows = _rows_of("benchmarks"), _rows_of("quality")
