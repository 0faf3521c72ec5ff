"""Run the quick tests with the oldest and the newest versions of what the book depends on.

``python tests/versions.py [PYTHON RESOLUTION]``, such as ``3.11 lowest-direct``; all pairs below without. It needs uv,
which finds the Pythons or fetches them, and makes its environments in ``build/versions`` or in ``VERSIONS_FOLDER``.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("VERSIONS_FOLDER", ROOT / "build" / "versions"))
PAIRS = [("3.11", "lowest-direct"), ("3.11", "highest"), ("3.12", "highest"), ("3.13", "highest")]
TOOLS = ["pytest>=8.2", "pytest-xdist>=3.8", "hypothesis>=6.100", "ruff>=0.8"]
QUICK = "backend functions layers optimize storage rbm likelihood logistic mlp data plots classroom index"


def quick_tests(python, resolution):
    """Install the book for a version of Python, with `resolution` as uv calls it, and run the quick tests there."""
    folder = FOLDER / f"{python}-{resolution}"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    print(f"Python {python}, {resolution}", flush=True)
    if not interpreter.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", python, folder], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", interpreter, "--resolution", resolution]
    subprocess.run([*install, "--editable", ROOT, *TOOLS], check=True)
    subprocess.run([interpreter, "-m", "companion", "info"], check=True)
    files = [f"tests/test_{name}.py" for name in QUICK.split()] + ["tests/widgets/test_three_by_two.py"]
    command = [interpreter, "-m", "pytest", "-q", "-o", "addopts=", "-m", "not slow", *files]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"COMPANION_DATASET": "sample"}, check=True)


if __name__ == "__main__":
    for pair in [sys.argv[1:]] if sys.argv[1:] else PAIRS:
        quick_tests(*pair)
