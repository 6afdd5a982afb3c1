"""Posts as lines of JSON, in Prodigy's shape."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
from pydantic import BaseModel, StrictInt, StrictStr, ValidationError
from pydantic_core import from_json
from spacy.util import get_words_and_spaces

from .posts import Post
from .rows import BadRow, Row, read_raw_lines


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
    spans then count characters of the words joined by blanks. With both, "words" tell how "text"
    is cut, and spans count characters of the text. "meta", "tags", "caption" and
    "texts" may be added; an empty caption or list of tags is taken for none. A row without
    "spans" is not annotated. A picture may be a path or a base64 `data:` URI.

    path (Path): The file.
    bad_rows (list[BadRow]): Rows that cannot be used are added to it.
    YIELDS (Post): The posts.
    """
    for row in read_rows(path):
        try:
            yield make_post(row)
        except ValueError as error:
            bad_rows.append(BadRow(path, row.line, str(error)))


def read_rows(path: Path) -> Iterator[Row]:
    """Read a file of posts row by row, whether they can be used or not. Blank lines are no rows.

    path (Path): The file, or `PIPE`.
    YIELDS (Row): The rows.
    """
    for number, line in read_raw_lines(path):
        if not line.strip():
            continue
        try:
            # Unlike others, this parser refuses half a surrogate pair, which no tokenizer takes.
            values = from_json(line, allow_inf_nan=False)
            problem = None if isinstance(values, dict) else "the line is not a JSON object"
            srsly.msgpack_dumps(values)  # as Docs are saved, which has no integers of any size
        except (ValueError, OverflowError) as error:
            problem = f"the line is not JSON ({str(error).replace(' line 1', '')})"
        if problem is not None:
            values = {"line": line.decode("utf-8", "replace")}
        yield Row(path, number, values, problem)


def make_post(row: Row) -> Post:
    """Make a row into a post.

    row (Row): The row.
    RETURNS (Post): The post.
    RAISES (ValueError): If the row cannot be used; says why.
    """
    if row.problem is not None:
        raise ValueError(row.problem)
    try:
        values = PostRow(**row.values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(key) for key in problem["loc"])
        raise ValueError(f"'{place}': {problem['msg']}") from error
    if values.answer != "accept":
        raise ValueError(f"the annotation was not accepted (answer: {values.answer!r})")
    spans = values.spans
    text, spaces = _get_text(values)
    return Post(
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


def _get_text(row: PostRow) -> tuple[str | list[str], list[bool] | None]:
    """The text or its words, and which words a blank follows, as far as the row tells."""
    if row.words is not None:
        words = row.words
    elif row.text is not None:
        return row.text, None
    elif row.tokens is not None:
        words = [token if isinstance(token, str) else token.text for token in row.tokens]
    else:
        raise ValueError("the post has neither 'text' nor 'words'")
    if not all(words):
        raise ValueError("a word is empty")
    if row.text is None:
        return words, None
    try:
        return get_words_and_spaces(words, row.text)
    except ValueError as error:
        raise ValueError("'words' are not those of 'text'") from error


def _get_image(row: PostRow) -> str | bytes | None:
    if not row.image or not row.image.startswith("data:"):
        return row.image or None
    try:
        return base64.b64decode(row.image.partition(";base64,")[2], validate=True)
    except ValueError as error:
        raise ValueError(f"the picture's data URI is damaged ({error})") from error
