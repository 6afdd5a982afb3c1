"""Posts as lines of JSON, in Prodigy's shape."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
from pydantic import BaseModel, StrictInt, StrictStr, ValidationError

from .posts import Post
from .rows import BadRow, read_lines


class SpanRow(BaseModel):
    """An entity, in characters."""

    start: StrictInt
    end: StrictInt
    label: StrictStr


class TokenRow(BaseModel):
    """A token as Prodigy writes it; only its text is used."""

    text: StrictStr


class PostRow(BaseModel):
    """One line of the file. Keys not named here are passed over."""

    text: StrictStr | None = None
    words: list[StrictStr] | None = None
    tokens: list[StrictStr | TokenRow] | None = None
    spans: list[SpanRow] | None = None
    image: StrictStr | None = None
    tags: list[StrictStr] | None = None
    caption: StrictStr | None = None
    texts: dict[StrictStr, StrictStr] | None = None
    meta: dict[str, Any] | None = None
    answer: StrictStr = "accept"


def read_jsonl(path: Path, bad_rows: list[BadRow]) -> Iterator[Post]:
    """Read posts like `{"text": ..., "image": ..., "spans": [{"start", "end", "label"}]}`.

    Instead of "text" a row may hold "words", or "tokens" as strings or in Prodigy's form; its
    spans then count characters of the words joined by blanks. "meta", "tags", "caption" and
    "texts" may be added; an empty caption or list of tags is taken for none. A row without
    "spans" is not annotated. A picture may be a path or a base64 `data:` URI.

    path (Path): The file.
    bad_rows (list[BadRow]): Rows that cannot be used are added to it.
    YIELDS (Post): The posts.
    """
    for number, line in read_lines(path, bad_rows):
        if not line.strip():
            continue
        try:
            yield _make_post(path, number, _read_row(line))
        except ValueError as error:
            bad_rows.append(BadRow(path, number, str(error)))


def _read_row(line: str) -> PostRow:
    try:
        values = srsly.json_loads(line)
    except ValueError as error:
        raise ValueError(f"the line is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError("the line is not a JSON object")
    try:
        return PostRow(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(key) for key in problem["loc"])
        raise ValueError(f"'{place}': {problem['msg']}") from error


def _make_post(path: Path, number: int, row: PostRow) -> Post:
    if row.answer != "accept":
        raise ValueError(f"the annotation was not accepted (answer: {row.answer!r})")
    return Post(
        path,
        number,
        _get_text(row),
        None if row.spans is None else [(span.start, span.end, span.label) for span in row.spans],
        image=_get_image(row),
        tags=row.tags or None,
        caption=row.caption or None,
        texts=row.texts or None,
        meta=row.meta or {},
    )


def _get_text(row: PostRow) -> str | list[str]:
    if row.words is not None:
        words = row.words
    elif row.text is not None:
        return row.text
    elif row.tokens is not None:
        words = [token if isinstance(token, str) else token.text for token in row.tokens]
    else:
        raise ValueError("the post has neither 'text' nor 'words'")
    if not all(words):
        raise ValueError("a word is empty")
    return words


def _get_image(row: PostRow) -> str | bytes | None:
    if not row.image or not row.image.startswith("data:"):
        return row.image or None
    try:
        return base64.b64decode(row.image.partition(";base64,")[2], validate=True)
    except ValueError as error:
        raise ValueError(f"the picture's data URI is damaged ({error})") from error
