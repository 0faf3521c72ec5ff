"""Write the tables of results in README.md anew, from the records: ``python tests/readme_tables.py``."""

import re
from pathlib import Path

from companion.tables import table

README = Path(__file__).parents[1] / "README.md"


def renewed(text):
    """Return `text` with every table between ``<!-- JUDGE -->`` and ``<!-- end -->`` as the records have it."""
    return re.sub(
        r"(<!-- (?!end)([\w ]+) -->\n).*?(?=<!-- end -->)",
        lambda found: f"{found[1]}{table(found[2])}\n",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf8")), encoding="utf8")
