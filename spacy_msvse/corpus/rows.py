"""The lines of a file of posts, and a record of the rows that cannot be used."""

import codecs
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Errors, MsvseError
from ..util import LFS_POINTER

#: Instead of a path: standard input or output.
PIPE = Path("-")


#: How files begin that are given in place of text, and what they are. UTF-32 comes before UTF-16,
#: whose mark is the beginning of its own.
OTHER_CONTENTS = (
    (codecs.BOM_UTF32_LE, "in UTF-32"),
    (codecs.BOM_UTF32_BE, "in UTF-32"),
    (codecs.BOM_UTF16_LE, "in UTF-16"),
    (codecs.BOM_UTF16_BE, "in UTF-16"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file"),
    (b"PAR1", "a Parquet file"),
)


@dataclass(frozen=True)
class Row:
    """A row of posts, in our shape but not yet checked. The reader of every format makes it.

    Attributes:
        path (Path): The file.
        line (int): The line where the row starts; in a file without lines, its number.
        values (dict): The content by key: JSON, but a picture may also be bytes, or what else
            `make_doc` accepts. A row that is not in the file's format has one key, "line".
        problem (str): Why the row cannot be used; None if no problem is known.
        scheme (str): How the file writes its labels; None for spans.
        stray_starts (int): Entities that no letter of the scheme begins.
        tokens_left_out (int): Tokens of the file that are no words of the post: context (X), or
            empty.
    """

    path: Path
    line: int
    values: dict[str, Any]
    problem: str | None = None
    scheme: str | None = None
    stray_starts: int = 0
    tokens_left_out: int = 0


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
        bad_rows (list[BadRow]): Every row that cannot be used, in the file to convert or in a file
            beside it.
    """

    def __init__(self, bad_rows: list[BadRow]) -> None:
        self.bad_rows = bad_rows
        first = str(bad_rows[0]).removesuffix(".")
        paths = "', '".join(dict.fromkeys(str(row.path) for row in bad_rows))
        super().__init__(Errors.E034.format(path=paths, count=len(bad_rows), first=first))


def shorten(text: str, length: int = 60) -> str:
    """Shorten a text for a message.

    Args:
        text (str): The text.
        length (int): The greatest number of characters.

    Returns:
        str: The text, or its beginning with an ellipsis.
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def check_text_file(path: Path, *, any_encoding: bool = False) -> None:
    """Refuse a file that is no text in UTF-8, with one error for the whole file.

    Args:
        path (Path): The file.
        any_encoding (bool): Whether the file says its encoding itself, as XML does. Only a Git LFS
            pointer and a file that cannot be read are refused then.

    Raises:
        MsvseError: If it is a Git LFS pointer (MSVSE-E130), holds something else than text in
            UTF-8 (MSVSE-E131), or cannot be read (MSVSE-E132).
    """
    try:
        with path.open("rb") as file_:
            head = file_.read(1024)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MsvseError(Errors.E132.format(path=path, reason=reason)) from error
    if head.startswith(LFS_POINTER) or not any_encoding:
        _check_head(path, head)


def _check_head(path: Path, head: bytes) -> None:
    if head.startswith(LFS_POINTER):
        raise MsvseError(Errors.E130.format(path=path))
    for start, content in OTHER_CONTENTS:
        if head.startswith(start):
            raise MsvseError(Errors.E131.format(path=path, reason=f"it is {content}"))
    if b"\0" in head:
        reason = "it has NUL bytes, as text in UTF-16 or a binary file"
        raise MsvseError(Errors.E131.format(path=path, reason=reason))


def read_raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read a file line by line, as bytes.

    Only a line feed ends a line, and only the end of the line is removed. Posts contain no-break
    spaces, line separators and other characters that `str.splitlines` and `str.strip` would remove.

    Args:
        path (Path): A file in UTF-8, or `PIPE`.

    Returns:
        Iterator: The number of each line, from 1, and its bytes.

    Raises:
        MsvseError: If the file is not text (MSVSE-E130, E131) or cannot be read (MSVSE-E132). A
            file is checked at once, standard input when it is read.
    """
    if path != PIPE:
        check_text_file(path)
    return _read_raw_lines(path)


def _read_raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with sys.stdin.buffer if path == PIPE else path.open("rb") as file_:
        yield from number_lines(path, file_)


def number_lines(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number the lines of an open file, without their ends.

    Args:
        path (Path): The file, for messages.
        lines (Iterable): Its lines, as bytes.

    Yields:
        tuple[int, bytes]: The number of each line, from 1, and its bytes.

    Raises:
        MsvseError: If the file is not text (MSVSE-E130, E131).
    """
    for number, line in enumerate(lines, start=1):
        if number == 1:
            _check_head(path, line)
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, line.rstrip(b"\r\n")


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
