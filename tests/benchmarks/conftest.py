"""What the benchmarks measured, kept in two files."""

import json

import pytest

from companion.places import DATA
from companion.results import environment
from companion.storage import replacing

MEASURED = {"ratio", "range", "microseconds", "n_epochs", "ours", "torch"}  # the rest of a row says what was


def _rows_of(name):
    """Return a fixture: a list to append what is measured to, dicts; they replace what the file has of this machine."""

    @pytest.fixture(scope="session")
    def rows():
        rows, path = [], DATA / "results" / f"{name}.json"
        yield rows
        earlier = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
        same = earlier["rows"] if earlier.get("machine") == environment()["machine"] else []
        kept = {_what(row): row for row in [*same, *rows]}
        with replacing(path) as temporary:
            content = {"rows": list(kept.values()), **environment()}
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf8")

    return rows


def _what(row):
    return json.dumps({key: value for key, value in row.items() if key not in MEASURED}, sort_keys=True)


rows, quality_rows = _rows_of("benchmarks"), _rows_of("quality")
