"""The lines of a file of posts, and a record of the rows that cannot be used."""

import codecs
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Errors, MsvseError

#: Instead of a path: standard input or output.
PIPE = Path("-")


@dataclass(frozen=True)
class Row:
    """A row of a file of posts, before it is checked.

    Attributes:
        path (Path): The file.
        line (int): The line where the row starts.
        values (dict): The content by key. A row that is not in the file's format has one key,
            "line".
        problem (str): Why the row cannot be used; None if no problem is known.
    """

    path: Path
    line: int
    values: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why. Its string is `path:line: reason`."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return Errors.E030.format(path=self.path, line=self.line, reason=self.reason)


class BadRowsError(MsvseError):
    """Raised when a file has rows that cannot be used, and the caller did not skip them.

    Args:
        path (Path): The file to convert.
        bad_rows (list[BadRow]): Every row that cannot be used, in this file or in a file beside it.
    """

    def __init__(self, path: Path, bad_rows: list[BadRow]) -> None:
        self.bad_rows = bad_rows
        first = str(bad_rows[0]).removesuffix(".")
        super().__init__(Errors.E034.format(path=path, count=len(bad_rows), first=first))


def read_raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read a file line by line, as bytes.

    Only a line feed ends a line, and only the end of the line is removed. Posts contain no-break
    spaces, line separators and other characters that `str.splitlines` and `str.strip` would remove.

    Args:
        path (Path): A file in UTF-8, or `PIPE`.

    Yields:
        tuple[int, bytes]: The line's number, from 1, and its bytes.
    """
    with sys.stdin.buffer if path == PIPE else path.open("rb") as file_:
        for number, line in enumerate(file_, start=1):
            yield number, line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").rstrip(b"\r\n")


def read_lines(path: Path, bad_rows: list[BadRow]) -> Iterator[tuple[int, str]]:
    """Read a text file line by line. Only a line feed ends a line.

    Args:
        path (Path): A file in UTF-8.
        bad_rows (list[BadRow]): Lines in another encoding are added to it.

    Yields:
        tuple[int, str]: The line's number, from 1, and its text.
    """
    for number, line in read_raw_lines(path):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            bad_rows.append(BadRow(path, number, "the line is not in UTF-8"))
        else:
            yield number, text
