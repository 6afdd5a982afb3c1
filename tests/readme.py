"""The README, the pages, and their code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")


def read_page(name: str) -> str:
    """A page of the documentation."""
    return (ROOT / "docs" / name).read_text(encoding="utf8")


def python_blocks(text: str = README) -> list[str]:
    """The Python code of a page, block by block."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def first_example() -> str:
    """The first block. It needs the wheel of the workflow `open`."""
    block = python_blocks()[0]
    assert "en_msvse_open" in block
    return block
