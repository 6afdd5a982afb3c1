"""The code of the README, and processes that run it with an installed wheel."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")


def python_blocks() -> list[str]:
    """The Python code of the README, block by block."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def first_example() -> str:
    """The first block, which needs the wheel of the open data."""
    return python_blocks()[0]


def install_wheel(wheel: Path, site: Path) -> None:
    """Install a wheel, without what it requires, into a folder."""
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", *map(str, install)], check=True)


def run_python(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in a new process that finds the packages of a folder too."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
