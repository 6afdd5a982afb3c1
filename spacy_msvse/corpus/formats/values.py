"""Values of tables and of Python as the values of a row: JSON, with pictures as they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...picture_values import is_missing
from ..jsonl import check_values
from ..rows import Row

#: Keys that hold pictures.
PICTURES = ("image", "images")

#: The key of the name of a picture that a row has as bytes, and which is not read.
NAME = "image_path"


def make_row(path: Path, line: int, values: Mapping[Any, Any]) -> Row:
    """Make a row of the values of a table or of Python. What is missing has no key.

    Args:
        path (Path): Where the values are from.
        line (int): The number of the row.
        values (Mapping): Column or key to value.

    Returns:
        Row: The row; with a problem if a value is no JSON.
    """
    kept: dict[str, Any] = {}
    picture = values.get("image")
    if isinstance(picture, Mapping) and picture.get("bytes") and picture.get("path"):
        kept[NAME] = picture["path"]
    for key, value in values.items():
        value = _clean_picture(value) if key in PICTURES else _clean(value)
        if value is not None:
            kept[str(key)] = value
    problem = None
    try:
        check_values({key: value for key, value in kept.items() if key not in PICTURES})
    except ValueError as error:
        problem = f"a value is no JSON ({error})"
        kept = {"line": repr(kept)[:1000]}
    return Row(path, line, kept, problem)


def _clean(value: Any) -> Any:
    """A value in types of JSON. Other types stay, and are refused by the check."""
    if is_missing(value):
        return None
    if isinstance(value, str | bool | int | float | bytes):
        return value
    if isinstance(value, Mapping):
        cleaned = {str(key): _clean(one) for key, one in value.items()}
        return {key: one for key, one in cleaned.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    if hasattr(value, "tolist"):  # of numpy
        return _clean(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def _clean_picture(value: Any) -> Any:
    """A picture, or pictures. `{"bytes", "path"}` is how Hugging Face keeps one."""
    if is_missing(value):
        return None
    if isinstance(value, Mapping) and set(value) <= {"bytes", "path"}:
        found = value.get("bytes")
        return value.get("path") if is_missing(found) else found
    if isinstance(value, list | tuple):
        return [_clean_picture(one) for one in value] or None
    return value
