"""Posts as Hugging Face keeps them: tokens, and a label for each, as a number or a text."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from typing import Any

from ...errors import Errors, MsvseError
from ..rows import Row, shorten
from ..schemes import (
    CONTEXT,
    OUTSIDE,
    PREFIXED,
    find_letters,
    get_type,
    has_context,
    make_spans,
    name_scheme,
    read_label,
)
from .options import ReadOptions

WORDS = ("tokens", "words")

#: Keys of the labels, the most specific first. Our own `tags` are words for the picture.
KEYS = ("ner_tags", "ner_labels", "ner", "iob_tags", "bio_tags", "labels", "label", "tags")


def fits(values: Mapping[str, Any], *, empty: bool = False) -> bool:
    """Whether a record has tokens, and as many labels.

    Args:
        values (Mapping): The record.
        empty (bool): Whether a record without tokens may be one.

    Returns:
        bool: True if so.
    """
    words = _find_words(values)
    key = _find_key(values)
    if "spans" in values or words is None or key is None:
        return False
    labels = values[key]
    if not labels:
        return empty and not values[words]
    are_labels = all(isinstance(label, int) for label in labels) or all(
        isinstance(label, str) and (label == OUTSIDE or PREFIXED.fullmatch(label) or key != "tags")
        for label in labels
    )
    return are_labels and len(labels) == len(values[words])


def adapt(row: Row, options: ReadOptions, labels: Mapping[str, Mapping[int, str]]) -> Row:
    """Make a row in our shape.

    Args:
        row (Row): The record.
        options (ReadOptions): How to read it.
        labels (Mapping): Key to the label of each number, if the container has them.

    Returns:
        Row: The row.

    Raises:
        MsvseError: If it cannot be used. A message without a code is the reason for this row.
    """
    values = dict(row.values)
    words, key = _find_words(values), _find_key(values)
    if words is None or key is None:
        return row
    if not options.annotation:
        if key == "tags":  # ours are words for the picture
            del values[key]
        return replace(row, values=values)
    tags, tokens = values.pop(key), values.pop(words)
    if len(tags) != len(tokens):
        raise MsvseError(f"the row has {len(tokens)} '{words}', but {len(tags)} '{key}'")
    if "spans" in values:
        raise MsvseError(f"the row has both 'spans' and '{key}'")
    known = options.labels or labels.get(key)
    read = [_read_tag(place, tag, key, known) for place, tag in enumerate(tags)]
    if not all(isinstance(token, str) and token for token in tokens):
        raise MsvseError(f"'{words}' are not all texts, or one is empty")
    all_labels = list(known.values()) if known else read
    context = has_context(known.values()) if known else CONTEXT in read
    letters = find_letters(all_labels, context=context)
    is_own = [not (context and get_type(tag) == CONTEXT) for tag in read]
    values["words"] = list(compress(tokens, is_own))
    left_out = [token for token, own in zip(tokens, is_own, strict=True) if not own]
    if left_out:
        values["texts"] = {**(values.get("texts") or {}), "context": " ".join(left_out)}
        values.pop("text", None)  # it has the context, too
    prefixed = [
        read_label(tag, prefixed=_is_prefixed(tag, letters, known))
        for tag in compress(read, is_own)
    ]
    values["spans"], stray_starts = make_spans(values["words"], prefixed, values.get("text"))
    return replace(
        row,
        values=values,
        scheme=name_scheme(letters, types=True) if known else "labels of tokens",
        stray_starts=stray_starts if letters else 0,
        tokens_left_out=len(left_out),
    )


def _is_prefixed(tag: str, letters: set[str], known: Mapping[int, str] | None) -> bool:
    """Whether a label must have a prefix. Without a list of labels, each one shows it itself."""
    return bool(letters) if known else bool(PREFIXED.fullmatch(tag))


def _find_words(values: Mapping[str, Any]) -> str | None:
    for key in WORDS:
        words = values.get(key)
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return key
    return None


def _find_key(values: Mapping[str, Any]) -> str | None:
    return next((key for key in KEYS if isinstance(values.get(key), list)), None)


def _read_tag(place: int, tag: Any, key: str, labels: Mapping[int, str] | None) -> str:
    if isinstance(tag, int) and not isinstance(tag, bool):
        if labels is None:
            raise MsvseError(Errors.E244.format(key=key))
        if tag not in labels:
            raise MsvseError(f"'{key}.{place}' is {tag}, which the labels do not have")
        return labels[tag]
    if not isinstance(tag, str) or not tag:
        raise MsvseError(f"'{key}.{place}' is {shorten(repr(tag))}, neither a number nor a label")
    return tag
