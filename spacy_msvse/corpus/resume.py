"""A file of annotated rows that a later run can continue after an interruption."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from pydantic_core import from_json

from ..errors import Errors, MsvseError
from ..util import coded_full_disk, open_unlinked
from .jsonl import ASKED, dump_row, kept_values
from .rows import PIPE, Row


def partial_path(path: Path) -> Path:
    """The file beside the output that contains the rows of an unfinished run.

    Args:
        path (Path): The output.

    Returns:
        Path: Its name with `.partial` at the end.
    """
    return path.with_name(f"{path.name}.partial")


def write_rows(
    rows: Iterable[Row], path: Path, finish: Callable[[Path, Path], None] = os.replace
) -> Iterator[Row]:
    """Append annotated rows to the unfinished output, and finish it when there are no more rows.

    Args:
        rows (Iterable[Row]): The rows. Each is on disk before the next one is requested.
        path (Path): The output, or `PIPE`.
        finish (Callable): Makes the output, its second argument, of the unfinished one, the lines
            of JSON. Defaults to renaming it.

    Yields:
        Row: The same rows.

    Raises:
        MsvseError: If the disk is full (MSVSE-E190). The rows before stay in the unfinished output.
    """
    if path == PIPE:
        yield from _append(rows, sys.stdout.buffer, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    # Without a buffer, an error leaves nothing that closing the file would try to write again.
    with _open(partial, "ab", buffering=0) as file_:
        yield from _append(rows, file_, path)
    finish(partial, path)


def _append(rows: Iterable[Row], file_: IO[bytes], path: Path) -> Iterator[Row]:
    for row in rows:
        with coded_full_disk(path):
            rest = memoryview(dump_row(row.values).encode("utf-8"))
            while rest:  # a nearly full disk takes a part
                rest = rest[file_.write(rest) :]
            file_.flush()
        yield row


def skip_written(
    path: Path, rows: Iterator[Row], batch_size: int = 1
) -> tuple[int, list[Row], Iterator[Row]]:
    """Skip the rows that an interrupted run has written.

    Each row is one line, so an interruption leaves whole lines and at most one incomplete line,
    which is removed. The last whole line is compared with the row that it must come from.

    Args:
        path (Path): The output, or `PIPE`.
        rows (Iterator[Row]): The rows of the input, from the first one.
        batch_size (int): The number of rows of a batch.

    Returns:
        tuple: The number of rows that are done; those of them that belong to the first batch that
            is not done, which is annotated again as a whole; an iterator over the other rows.

    Raises:
        MsvseError: If the file was made from other rows (MSVSE-E090). It is not changed then.
    """
    partial = partial_path(path)
    if path == PIPE or not partial.exists():
        return 0, [], rows
    done = end = 0
    last = b""
    with _open(partial, "r+b") as file_:
        for line in file_:
            if line.endswith(b"\n"):
                done, end, last = done + 1, end + len(line), line
        skipped = deque(enumerate(islice(rows, done), start=1), maxlen=max(batch_size, 1))
        if done and not (skipped and skipped[-1][0] == done and _is_from(last, skipped[-1][1])):
            raise MsvseError(Errors.E090.format(row=done, path=partial))
        file_.truncate(end)
    return done, [row for number, row in skipped if number > done - done % batch_size], rows


def _open(partial: Path, mode: str, buffering: int = -1) -> IO[bytes]:
    # The name is known beforehand, so somebody may have put a link there.
    return open(partial, mode, buffering, opener=open_unlinked)


def _is_from(line: bytes, row: Row) -> bool:
    """Whether a written line was made from a row."""
    try:
        written = from_json(line)
    except ValueError:
        return False
    if not isinstance(written, dict):
        return False
    # A picture may be bytes, which are written as a data URI.
    written, kept = kept_values(written), kept_values(from_json(dump_row(row.values)))
    if "text" not in kept:
        written.pop("text", None)  # it was made from the words
    for values in (written, kept):
        values.pop(ASKED, None)
    return written == kept
