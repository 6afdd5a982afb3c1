"""Checks of outputs, before any work is done."""

import os
from pathlib import Path

from ..corpus.rows import PIPE
from ..errors import Errors, MsvseError


def check_output(output: Path | None, *inputs: Path | None) -> None:
    """Check that an output can be written and replaces no input. Nothing is created.

    Args:
        output (Path): The file or folder; None or `PIPE` for none.
        inputs (Path): The files and folders that are read; None for none.

    Raises:
        MsvseError: If the output is an input (MSVSE-E091), or cannot be written (MSVSE-E161).
    """
    if output is None or output == PIPE:
        return
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            raise MsvseError(Errors.E091.format(path=path))
    parent = output if output.is_dir() else output.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        reason = f"'{parent}' is not a folder"
    elif not os.access(parent, os.W_OK | os.X_OK):
        reason = f"the folder '{parent}' does not permit it"
    else:
        return
    raise MsvseError(Errors.E161.format(path=output, reason=reason))
