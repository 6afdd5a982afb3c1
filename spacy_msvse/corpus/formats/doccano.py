"""Posts as doccano exports them, in three shapes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...errors import Errors, MsvseError
from ..rows import Row, shorten
from .options import ReadOptions

#: Keys of the annotation: of entities alone (`label`, in older versions `labels`), of entities with
#: relations or with categories (`entities`), and of the oldest form, with numbers of labels
#: (`annotations`).
KEYS = ("label", "labels", "entities", "annotations")

#: The key of the text in some versions.
TEXT = "data"


def fits(values: Mapping[str, Any], *, empty: bool = False) -> bool:
    """Whether a record has the form of doccano.

    Args:
        values (Mapping): The record.
        empty (bool): Whether a record without entities may be one.

    Returns:
        bool: True if so.
    """
    if not isinstance(values.get("text", values.get(TEXT)), str) or "spans" in values:
        return False
    key = _find_key(values)
    return key is not None and (empty or bool(values[key]))


def adapt(row: Row, options: ReadOptions, labels: Mapping[str, Mapping[int, str]]) -> Row:
    """Make a row in our shape.

    Args:
        row (Row): The record.
        options (ReadOptions): How to read it.
        labels (Mapping): Not used.

    Returns:
        Row: The row.

    Raises:
        MsvseError: If it cannot be used. A message without a code is the reason for this row.
    """
    values = dict(row.values)
    if "text" not in values and isinstance(values.get(TEXT), str):
        values["text"] = values.pop(TEXT)
    key = next((key for key in KEYS if isinstance(values.get(key), list)), None)
    if options.annotation and key is not None:
        if "spans" in values:
            raise MsvseError(f"the row has both 'spans' and '{key}'")
        items = enumerate(values.pop(key))
        values["spans"] = [_make_span(f"{key}.{n}", item, options.labels) for n, item in items]
    return replace(row, values=values)


def _find_key(values: Mapping[str, Any]) -> str | None:
    for key in KEYS:
        found = values.get(key)
        if isinstance(found, list) and all(map(_is_entity, found)):
            return key
    return None


def _is_entity(item: Any) -> bool:
    if isinstance(item, dict):
        return {"start_offset", "end_offset", "label"} <= set(item)
    return isinstance(item, list) and [type(part) for part in item] == [int, int, str]


def _make_span(place: str, item: Any, labels: Mapping[int, str] | None) -> dict[str, Any]:
    if not _is_entity(item):
        expected = "[start, end, label] or an object with start_offset, end_offset and label"
        raise MsvseError(f"'{place}' is {shorten(repr(item))}, not {expected}")
    if isinstance(item, list):
        start, end, label = item
    else:
        start, end, label = item["start_offset"], item["end_offset"], item["label"]
    if isinstance(label, int):
        if labels is None:
            raise MsvseError(Errors.E244.format(key=place.partition(".")[0]))
        if label not in labels:
            raise MsvseError(f"'{place}' has the label {label}, which the labels do not have")
        label = labels[label]
    return {"start": start, "end": end, "label": label}
