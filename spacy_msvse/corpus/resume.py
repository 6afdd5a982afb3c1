"""Annotated rows in a file that a run adds to where an earlier one was stopped."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from spacy.tokens import Doc

from ..errors import Errors, MsvseError
from .rows import Row

#: What annotation adds to a row; what stood there gives way.
ADDED = ("spans", "error")


def kept_values(values: dict[str, Any]) -> dict[str, Any]:
    """What of a row annotation leaves as it is.

    values (dict): What the row says.
    RETURNS (dict): The same without what is added anew.
    """
    kept = {key: value for key, value in values.items() if key not in ADDED}
    if kept.get("text", "") is None:
        del kept["text"]
    return kept


def with_spans(values: dict[str, Any], doc: Doc) -> dict[str, Any]:
    """Add what was found to what a row says.

    values (dict): What the row says.
    doc (Doc): The same, annotated.
    RETURNS (dict): What is kept of it, the text, and "spans".
    """
    values = kept_values(values)
    values.setdefault("text", doc.text)
    values["spans"] = []
    for entity in doc.ents:
        confidence = entity._.confidence
        span = {"start": entity.start_char, "end": entity.end_char, "label": entity.label_}
        # Another component's entities have none.
        score = {} if confidence is None else {"score": round(confidence, 4)}
        values["spans"].append({**span, **score})
    return values


def dump_row(values: dict[str, Any]) -> str:
    """RETURNS (str): An annotated row as the line to write."""
    return json.dumps(values, ensure_ascii=False) + "\n"


def skip_written(path: Path, rows: Iterator[Row]) -> tuple[int, Iterator[Row]]:
    """Go on where an earlier run was stopped, wherever that was.

    A row is written as one line, so whatever kills a run leaves whole lines and at most one that
    lacks its end. The whole ones are counted, their rows skipped, and the half one is cut off.
    What was in a row stays in it, so each line tells whether it was made of the row in its place;
    the file holds no other state that could disagree with it.

    path (Path): The file of an earlier run.
    rows (Iterator): The rows of the input, from the first.
    RETURNS (tuple): How many rows are done, and an iterator over the others.
    RAISES (ValueError): If the file does not belong to these rows; it is left as it is
        (MSVSE-E090).
    """
    done = end = 0
    with path.open("r+b") as file_:
        for line in file_:
            row = next(rows, None)
            whole = line.endswith(b"\n")
            if row is None or not (_is_made_of if whole else _begins_like)(line, row):
                source = "the input" if row is None else row.path
                raise MsvseError(Errors.E090.format(row=done + 1, path=path, source=source))
            if not whole:
                rows = chain([row], rows)
                break
            done, end = done + 1, end + len(line)
        file_.truncate(end)
    return done, rows


def _is_made_of(line: bytes, row: Row) -> bool:
    try:
        written = from_json(line)
    except ValueError:
        return False
    if not isinstance(written, dict) or written.keys().isdisjoint(ADDED):
        return False
    kept = kept_values(row.values)
    if "text" not in kept:
        written.pop("text", None)  # made of the words
    return kept_values(written) == kept


def _begins_like(line: bytes, row: Row) -> bool:
    beginning = dump_row(kept_values(row.values)).rstrip("}\n").encode("utf-8")
    return beginning.startswith(line) or line.startswith(beginning)
