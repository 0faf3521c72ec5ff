"""Write the tables of README.md and site/results.md anew, from the records: ``python tests/readme_tables.py``."""

import re
from pathlib import Path

from companion.tables import table

PAGES = [Path(__file__).parents[1] / name for name in ("README.md", "site/results.md")]


def renewed(text):
    """Return `text` with every table between ``<!-- JUDGE -->`` and ``<!-- end -->`` as the records have it."""
    return re.sub(
        r"(<!-- (?!end|picture)([\w ]+) -->\n).*?(?=<!-- end -->)",
        lambda found: f"{found[1]}{table(found[2])}\n",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf8")), encoding="utf8")
