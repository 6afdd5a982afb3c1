"""Posts in tables of text, CSV and TSV. The first line names the columns."""

import ast
import csv
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import Errors, MsvseError
from ..rows import Row, check_text_file
from .recognise import SEPARATORS, split_header
from .values import make_row

#: Columns whose cells are text, whatever they begin with.
TEXTS = ("text", "caption")

#: Columns whose cells are lists. A cell that is no list is one of words, or of tags with commas.
WORDS, TAGS = ("words", "tokens"), "tags"

#: Characters of the largest cell: a picture as a data URI.
MAX_CELL = 2**31 - 1


def read_table(path: Path, container: str) -> Iterator[Row]:
    """Read a table whose columns are the keys of rows. Lists and objects in cells are JSON, or
    written as Python does. An empty cell is no value.

    Args:
        path (Path): The file.
        container (str): "csv" or "tsv".

    Yields:
        Row: The rows. `line` is the line where a row starts.

    Raises:
        MsvseError: If it is not text (MSVSE-E130, E131, E132), or its first line does not name the
            columns (MSVSE-E133).
    """
    check_text_file(path)
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file_:
        header = file_.readline()
        if not header.strip():
            return
        columns, separator = _read_header(path, header, container)
        reader = csv.reader(file_, delimiter=separator, strict=True)
        while True:
            line = reader.line_num + 2
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(path, line, {"line": f"line {line}"}, f"the row is not CSV ({error})")
                continue
            if cells:
                yield _make_row(path, line, columns, cells)


def _read_header(path: Path, header: str, container: str) -> tuple[list[str], str]:
    if _has_other_encoding(header):
        reason = "the first line is in another encoding"
        raise MsvseError(Errors.E131.format(path=path, reason=reason))
    split = partial(split_header, header.rstrip("\r\n"))
    separator = max(SEPARATORS[container], key=lambda one: len(split(one)))
    columns = split(separator)
    if not all(columns) or len(set(columns)) < len(columns):
        given = f"the columns {', '.join(map(repr, columns[:5]))}"
        raise MsvseError(Errors.E254.format(path=path, given=given))
    return columns, separator


def _make_row(path: Path, line: int, columns: list[str], cells: list[str]) -> Row:
    joined = "".join(cells)
    if len(cells) != len(columns):
        reason = f"the row has {len(cells)} cells, but there are {len(columns)} columns"
        return Row(path, line, {"line": joined[:1000]}, reason)
    if _has_other_encoding(joined):
        shown = joined[:1000].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return Row(path, line, {"line": shown}, "the row is not in UTF-8")
    values = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell:
            try:
                values[column] = _read_cell(column, cell)
            except ValueError as error:
                reason = f"'{column}' is neither JSON nor a list of Python ({error})"
                return Row(path, line, {"line": joined[:1000]}, reason)
    return make_row(path, line, values)


def _has_other_encoding(text: str) -> bool:
    """Whether bytes of a text were not in UTF-8: they are surrogates."""
    return not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text)


def _read_cell(column: str, cell: str) -> Any:
    if column in TEXTS:
        return cell
    if cell[0] in "[{" and cell[-1] in "]}":
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            pass
        try:
            return ast.literal_eval(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError(str(error) or type(error).__name__) from error
    if column in WORDS:
        return cell.split()
    if column == TAGS:
        return [tag.strip() for tag in cell.split(",") if tag.strip()]
    return cell
