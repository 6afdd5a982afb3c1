"""The formats that rows are written in, and how lines of JSON become another format."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from ...errors import Errors, MsvseError
from ..jsonl import read_rows
from ..rows import PIPE
from .label_studio import write_label_studio
from .parquet import import_arrow, write_parquet

OutputFormat = Literal["jsonl", "parquet", "label-studio"]

OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)

#: Suffixes of other outputs than JSONL.
SUFFIXES: dict[str, OutputFormat] = {".parquet": "parquet", ".json": "label-studio"}

#: What rows were written as, for a message.
TITLES = {
    "jsonl": "JSONL",
    "parquet": "Parquet",
    "label-studio": "predictions of Label Studio",
}


def choose_output(path: Path, given: OutputFormat | None) -> OutputFormat:
    """Choose the format of an output, and check that it can be written.

    Args:
        path (Path): The output, or `PIPE`.
        given (str): The format that was asked for; None to choose by the suffix.

    Returns:
        str: The format.

    Raises:
        MsvseError: If standard output cannot take it (MSVSE-E246), or a package for it is not
            installed (MSVSE-E245).
    """
    found = given or SUFFIXES.get(path.suffix.lower(), "jsonl")
    if path == PIPE and found != "jsonl":
        raise MsvseError(Errors.E246.format(format=found))
    if found == "parquet":
        import_arrow()
    return found


def finish_output(lines: Path, path: Path, format: OutputFormat, model: str) -> None:
    """Make the output of a file of lines of JSON that has all rows. The file is then gone.

    Whatever the format, an unfinished output holds lines of JSON, so every run can be continued.

    Args:
        lines (Path): The file.
        path (Path): The output, which is written completely or not at all.
        format (str): Its format.
        model (str): The name of the pipeline that annotated the rows.

    Raises:
        MsvseError: If the disk is full (MSVSE-E190). The lines stay.
    """
    if format == "jsonl":
        os.replace(lines, path)
        return
    read = partial(_read, lines)
    if format == "parquet":
        write_parquet(read, path)
    else:
        write_label_studio(read, path, model=model)
    lines.unlink()


def _read(path: Path) -> Iterator[dict[str, Any]]:
    return (row.values for row in read_rows(path))
