"""Posts as lines of JSON, in Prodigy's shape: one reader and one writer."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
from pydantic import BaseModel, StrictInt, StrictStr, ValidationError
from pydantic_core import from_json
from spacy.tokens import Doc
from spacy.util import get_words_and_spaces

from ..errors import MsvseError
from .post import PostRow
from .rows import BadRow, Row, read_raw_lines

#: The keys that annotation adds to a row. Earlier values of them are replaced.
ADDED = ("spans", "error")


class JsonSpan(BaseModel):
    """An entity, in characters. The end is exclusive."""

    start: StrictInt
    end: StrictInt
    label: StrictStr


class JsonToken(BaseModel):
    """A token as Prodigy writes it. Only its text is used."""

    text: StrictStr


class JsonRow(BaseModel):
    """One line of the file. Other keys are ignored."""

    text: StrictStr | None = None
    words: list[StrictStr] | None = None
    tokens: list[StrictStr | JsonToken] | None = None
    spans: list[JsonSpan] | None = None
    image: StrictStr | None = None
    tags: list[StrictStr] | None = None
    caption: StrictStr | None = None
    texts: dict[StrictStr, StrictStr] | None = None
    meta: dict[str, Any] | None = None
    answer: StrictStr = "accept"


def read_jsonl(path: Path, bad_rows: list[BadRow]) -> Iterator[PostRow]:
    """Read posts like `{"text": ..., "image": ..., "spans": [{"start", "end", "label"}]}`.

    Instead of "text", a row may have "words", or "tokens" as strings or in Prodigy's form. Its
    spans then count characters of the words, joined by blanks. If a row has both, "words" are the
    tokens of "text", and spans count characters of the text. "meta", "tags", "caption" and "texts"
    are optional; an empty caption or list of tags counts as none. A row without "spans" is not
    annotated. A picture may be a path or a base64 `data:` URI.

    Args:
        path (Path): The file.
        bad_rows (list[BadRow]): Rows that cannot be used are added to it.

    Yields:
        PostRow: The posts.
    """
    for row in read_rows(path):
        try:
            yield parse_row(row)
        except MsvseError as error:
            bad_rows.append(BadRow(path, row.line, str(error)))


def read_rows(path: Path) -> Iterator[Row]:
    """Read every row of a file of posts, also rows that cannot be used. Blank lines are skipped.

    Args:
        path (Path): The file, or `PIPE`.

    Yields:
        Row: The rows.
    """
    for number, line in read_raw_lines(path):
        if not line.strip():
            continue
        try:
            # Unlike other parsers, this one refuses lone surrogates, which no tokenizer accepts.
            values = from_json(line, allow_inf_nan=False)
            problem = None if isinstance(values, dict) else "the line is not a JSON object"
            # Docs are saved as msgpack, whose integers have at most 64 bits.
            srsly.msgpack_dumps(values)
        except (ValueError, OverflowError) as error:
            problem = f"the line is not JSON ({str(error).replace(' line 1', '')})"
        if problem is not None:
            values = {"line": line.decode("utf-8", "replace")}
        yield Row(path, number, values, problem)


def parse_row(row: Row) -> PostRow:
    """Check a row and make a post of it.

    Args:
        row (Row): The row.

    Returns:
        PostRow: The post.

    Raises:
        MsvseError: If the row cannot be used. The message is the reason.
    """
    if row.problem is not None:
        raise MsvseError(row.problem)
    try:
        values = JsonRow(**row.values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(key) for key in problem["loc"])
        raise MsvseError(f"'{place}': {problem['msg']}") from error
    if values.answer != "accept":
        raise MsvseError(f"the annotation was not accepted (answer: {values.answer!r})")
    spans = values.spans
    text, spaces = _get_text(values)
    return PostRow(
        row.path,
        row.line,
        text,
        None if spans is None else [(span.start, span.end, span.label) for span in spans],
        image=_get_image(values),
        tags=values.tags or None,
        caption=values.caption or None,
        texts=values.texts or None,
        meta=values.meta or {},
        spaces=spaces,
    )


def kept_values(values: dict[str, Any]) -> dict[str, Any]:
    """The part of a row that annotation does not change.

    Args:
        values (dict): The content of a row.

    Returns:
        dict: The content without the keys that annotation adds.
    """
    kept = {key: value for key, value in values.items() if key not in ADDED}
    if kept.get("text", "") is None:
        del kept["text"]
    return kept


def with_spans(values: dict[str, Any], doc: Doc) -> dict[str, Any]:
    """Add the entities of a Doc to the row that it was made from.

    Args:
        values (dict): The content of the row.
        doc (Doc): The annotated Doc.

    Returns:
        dict: The content, with the text and new "spans".
    """
    values = kept_values(values)
    values.setdefault("text", doc.text)
    values["spans"] = []
    for entity in doc.ents:
        confidence = entity._.confidence
        span = {"start": entity.start_char, "end": entity.end_char, "label": entity.label_}
        # Entities of another component have no confidence.
        score = {} if confidence is None else {"score": round(confidence, 4)}
        values["spans"].append({**span, **score})
    return values


def dump_row(values: dict[str, Any]) -> str:
    """Write a row as a line of JSON.

    Args:
        values (dict): The content of the row.

    Returns:
        str: The line, with its line feed.
    """
    return json.dumps(values, ensure_ascii=False) + "\n"


def _get_text(row: JsonRow) -> tuple[str | list[str], list[bool] | None]:
    """The text or its words, and whether a blank follows each word; None if that is unknown."""
    if row.words is not None:
        words = row.words
    elif row.text is not None:
        return row.text, None
    elif row.tokens is not None:
        words = [token if isinstance(token, str) else token.text for token in row.tokens]
    else:
        raise MsvseError("the post has neither 'text' nor 'words'")
    if not all(words):
        raise MsvseError("a word is empty")
    if row.text is None:
        return words, None
    try:
        return get_words_and_spaces(words, row.text)
    except ValueError as error:
        raise MsvseError("'words' are not those of 'text'") from error


def _get_image(row: JsonRow) -> str | bytes | None:
    if not row.image or not row.image.startswith("data:"):
        return row.image or None
    try:
        return base64.b64decode(row.image.partition(";base64,")[2], validate=True)
    except ValueError as error:
        raise MsvseError(f"the picture's data URI is damaged ({error})") from error
