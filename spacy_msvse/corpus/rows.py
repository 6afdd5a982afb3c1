"""The lines of a file, and a record of those that cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import Errors


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, where it is, and why. Its string is `path:line: reason`."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return Errors.E030.format(path=self.path, line=self.line, reason=self.reason)


class BadRowsError(ValueError):
    """Raised when a file holds rows that cannot be used and these are not to be left out.

    path (Path): The file to convert.
    bad_rows (list[BadRow]): Every row that cannot be used, in this file or one beside it.
    """

    def __init__(self, path: Path, bad_rows: list[BadRow]) -> None:
        self.bad_rows = bad_rows
        first = str(bad_rows[0]).removesuffix(".")
        super().__init__(Errors.E034.format(path=path, count=len(bad_rows), first=first))


def read_lines(path: Path, bad_rows: list[BadRow]) -> Iterator[tuple[int, str]]:
    """Read a text file line by line.

    Only a line feed ends a line and only the line's end is cut off: posts hold no-break spaces,
    line separators and other characters that `str.splitlines` and `str.strip` would eat.

    path (Path): A file in UTF-8.
    bad_rows (list[BadRow]): Lines in another encoding are added to it.
    YIELDS (tuple[int, str]): The line's number, from 1, and its text.
    """
    with path.open("rb") as file_:
        for number, line in enumerate(file_, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                bad_rows.append(BadRow(path, number, "the line is not in UTF-8"))
            else:
                yield number, text.rstrip("\r\n")
