"""Posts in a JSON array."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import Errors, MsvseError
from ..jsonl import check_values
from ..rows import Row, check_text_file

_BLANKS = re.compile(r"[ \t\r\n]*")


def read_json_array(path: Path) -> Iterator[Row]:
    """Read an array of JSON objects. The file is held in memory, its objects are read one by one.

    Args:
        path (Path): The file.

    Yields:
        Row: The objects. If the array is damaged, the last row has the problem: where it goes on is
            not known.

    Raises:
        MsvseError: If it is not text in UTF-8 (MSVSE-E130, E131, E132), or no array of objects
            (MSVSE-E133).
    """
    check_text_file(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} begins no character"
        raise MsvseError(Errors.E131.format(path=path, reason=reason)) from error
    place = _skip(text, 0)
    if not text[place:]:
        return
    if text[place] != "[":
        raise MsvseError(Errors.E133.format(path=path, given=f"{text[place : place + 10]!r}"))
    decoder = json.JSONDecoder(parse_constant=_refuse)
    line, counted = 1, 0
    place = first = _skip(text, place + 1)
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        start = place
        try:
            values, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            problem = f"the array is not JSON from here on ({_explain(error)})"
            yield Row(path, line, {"line": text[start : start + 1000]}, problem)
            return
        if start == first and not isinstance(values, dict):
            given = "a JSON list that is not one of objects"
            raise MsvseError(Errors.E133.format(path=path, given=given))
        yield _make_row(path, line, values, text[start : min(place, start + 1000)])
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
            if text[place : place + 1] != "]":
                continue
        elif text[place : place + 1] == "]":
            continue
        found = repr(text[place : place + 10]) if text[place:] else "the end of the file"
        problem = f"the array is not JSON from here on (after an object: {found})"
        yield Row(path, line, {"line": text[place : place + 1000]}, problem)
        return
    rest = text[place + 1 :].strip()
    if rest:
        problem = f"there is more after the end of the array: {rest[:20]!r}"
        line += text.count("\n", counted, place)
        yield Row(path, line, {"line": rest[:1000]}, problem)


def _make_row(path: Path, line: int, values: object, shown: str) -> Row:
    try:
        check_values(values)
        if isinstance(values, dict):
            return Row(path, line, values)
        problem = "the element is not a JSON object"
    except ValueError as error:
        problem = f"the object is not JSON that can be kept ({error})"
    return Row(path, line, {"line": shown}, problem)


def _skip(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _explain(error: BaseException) -> str:
    return "too deep" if isinstance(error, RecursionError) else str(error)
