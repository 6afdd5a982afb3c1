"""The code of the README."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf8")


def python_blocks() -> list[str]:
    """The Python code of the README, block by block."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def first_example() -> str:
    """The first block. It needs the wheel of the workflow `open`."""
    block = python_blocks()[0]
    assert "en_msvse_open" in block
    return block
