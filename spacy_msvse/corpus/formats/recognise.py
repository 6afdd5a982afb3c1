"""Recognise the container of a file of posts, by its content and then by its suffix."""

import csv
from pathlib import Path

from ...errors import Errors, MsvseError
from ..conll import COMMENT, DOCUMENT_LINE, NAMING_LINES
from ..rows import PIPE, check_text_file
from ..schemes import OUTSIDE, PREFIXED

#: Suffixes of files, in lower case, and the container that each of them means if the content shows
#: none.
SUFFIXES = {
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    **dict.fromkeys((".txt", ".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes"), "conll"),
    **dict.fromkeys((".ner", ".iob1", ".bilou"), "conll"),
}

#: Bytes of a file that are looked at.
HEAD = 1 << 16

#: Columns of which a table of posts has at least one, and the separators of the containers.
TEXT_COLUMNS = {"text", "words", "tokens"}
SEPARATORS = {"csv": (",", ";"), "tsv": ("\t",)}


def recognise(path: Path) -> str | None:
    """Recognise the container of a file of posts. Nothing but its beginning is read.

    Args:
        path (Path): The file, a folder, or `PIPE`, which must hold lines of JSON.

    Returns:
        str: The name of the container; None if neither the content nor the suffix shows it.

    Raises:
        MsvseError: If it is not text and no Parquet file (MSVSE-E130, E131), cannot be read
            (MSVSE-E132), or is a set of relations, MNRE (MSVSE-E243).
    """
    if path == PIPE:
        return "jsonl"
    if path.is_dir():
        return "folder"
    by_suffix = SUFFIXES.get(path.suffix.lower())
    head = _read_head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if by_suffix == "parquet":
        return by_suffix
    check_text_file(path)
    lines = head.decode("utf-8-sig", "replace").split("\n")
    if len(head) == HEAD and len(lines) > 1:
        lines.pop()  # its end may be missing
    lines = [line.rstrip("\r") for line in lines if line.strip()]
    if not lines:
        return by_suffix
    first = lines[0].strip()
    if first.startswith("{'") and "'token'" in first and "'relation'" in first:
        raise MsvseError(Errors.E243.format(path=path))
    if _is_conll(lines[:10]):
        return "conll"
    if first.startswith(("{", "[")):
        return "json" if first.startswith("[") else "jsonl"
    return _find_table(lines[0], by_suffix) or by_suffix


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file_:
            return file_.read(HEAD)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MsvseError(Errors.E132.format(path=path, reason=reason)) from error


def _is_conll(lines: list[str]) -> bool:
    """Whether lines name pictures, or end with labels that no text ends with."""
    tokens = [line for line in lines if not COMMENT.fullmatch(line)]
    if tokens and tokens[0].startswith((*NAMING_LINES, DOCUMENT_LINE)):
        return True
    columns = [line.split("\t") if "\t" in line else line.split() for line in tokens]
    return bool(columns) and all(
        len(parts) > 1 and (parts[-1].strip() == OUTSIDE or PREFIXED.fullmatch(parts[-1].strip()))
        for parts in columns
    )


def _find_table(header: str, by_suffix: str | None) -> str | None:
    """The container of a table whose first line names a column of texts."""
    for name, separators in SEPARATORS.items():
        for separator in separators:
            columns = split_header(header, separator)
            known = TEXT_COLUMNS & set(columns) and len(set(columns)) == len(columns)
            if known and (len(columns) > 1 or by_suffix == name):
                return name
    return None


def split_header(header: str, separator: str) -> list[str]:
    """Split the first line of a table.

    Args:
        header (str): The line.
        separator (str): What is between columns.

    Returns:
        list: The names of the columns.
    """
    try:
        return [name.strip() for name in next(csv.reader([header], delimiter=separator))]
    except (csv.Error, StopIteration):
        return []
