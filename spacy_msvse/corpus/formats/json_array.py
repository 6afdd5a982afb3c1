"""Posts in a JSON array."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import Errors, MsvseError
from ..jsonl import check_values
from ..rows import Row, check_text_file

_NAMES: dict[type, str] = {dict: "object", list: "array"}

_BLANKS = re.compile(r"[ \t\r\n]*")


def read_json_array(
    path: Path, *, kind: type = dict, adapt: Callable[[Any], dict[str, Any]] = dict
) -> Iterator[Row]:
    """Read an array of JSON objects. The file is held in memory, its objects are read one by one.

    Args:
        path (Path): The file.
        kind (type): The type of the elements in Python: dict for objects, list for arrays.
        adapt (Callable): Makes the values of a row of an element. It raises an MsvseError without a
            code for one that cannot be used.

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
        if start == first and not isinstance(values, kind):
            given = f"a JSON list that is not one of {_NAMES[kind]}s"
            raise MsvseError(Errors.E133.format(path=path, given=given))
        shown = text[start : min(place, start + 1000)]
        yield _make_row(path, line, values, shown, kind, adapt)
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


def _make_row(
    path: Path,
    line: int,
    values: object,
    shown: str,
    kind: type,
    adapt: Callable[[Any], dict[str, Any]],
) -> Row:
    try:
        check_values(values)
        if isinstance(values, kind):
            return Row(path, line, adapt(values))
        problem = f"the element is not a JSON {_NAMES[kind]}"
    except MsvseError as error:
        problem = str(error)
    except ValueError as error:
        problem = f"the {_NAMES[kind]} is not JSON that can be kept ({error})"
    return Row(path, line, {"line": shown}, problem)


def _skip(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _explain(error: BaseException) -> str:
    return "too deep" if isinstance(error, RecursionError) else str(error)
