"""Posts in Python: rows from any source, Docs and examples from rows."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..doc import get_picture_attributes, set_picture_attributes
from ..errors import Errors, MsvseError
from .formats.frames import ROWS
from .formats.options import ReadOptions
from .formats.table import open_posts
from .jsonl import Offsets, RejectedRow, parse_row
from .post import WORDS_GIVEN, PostRow
from .rows import BadRow, Row


def read_posts(
    source: Any,
    format: str | None = None,
    *,
    labels: list[str] | Mapping[int, str] | None = None,
    offsets: Offsets = "characters",
    image_root: str | Path | None = None,
    image_suffix: str = ".jpg",
    token_column: int = 1,
    label_column: int | None = None,
    bad_rows: list[BadRow] | None = None,
) -> Iterator[dict[str, Any]]:
    """Read posts in any format as rows of one shape, one by one.

    A row has "text", or "words", or both; and, if the post has them, "image" (a path or bytes)
    or "images" (a list of them), "spans" (a list of {"start", "end", "label"} in characters),
    "tags", "caption", "texts" and "meta". A row without "spans" is not annotated. Other keys stay.
    Posts that a person has rejected or ignored are left out.

    Args:
        source (Any): A file, a folder of texts and pictures, a DataFrame of pandas or Polars, a
            table of Arrow, a data set of Hugging Face, or an iterable of dictionaries.
        format (str): The container ("jsonl", "json", "csv", "tsv", "parquet", "conll", "folder") or
            the shape ("posts", "doccano", "label-studio", "label-studio-min", "hugging-face").
            Defaults to None: both are recognised.
        labels (list / Mapping): For labels that are numbers, the label of each number.
        offsets (str): What the offsets of spans count: "characters", "utf16" units or bytes
            ("utf8").
        image_root (str / Path): For CoNLL, the folder of the pictures of `WID:` lines.
        image_suffix (str): For CoNLL, the ending that turns the id of a picture into a file name.
        token_column (int): For CoNLL, the column of the token, from 1.
        label_column (int): For CoNLL, the column of the label, from 1; None for the last.
        bad_rows (list): Rows that cannot be used are added to it and left out. Defaults to None:
            the first one is an error.

    Yields:
        dict: The rows.

    Raises:
        MsvseError: If a row cannot be used (MSVSE-E030), the format is not recognised (MSVSE-E138)
            or does not fit (MSVSE-E253), or the source cannot be read.
    """
    if labels is not None and not isinstance(labels, Mapping):
        labels = dict(enumerate(labels))
    options = ReadOptions(
        format=format,
        labels=labels,
        image_root=image_root,
        image_suffix=image_suffix,
        token_column=token_column,
        label_column=label_column,
    )
    for row in open_posts(source, options).rows:
        post = _parse(row, bad_rows, offsets=offsets)
        if post is not None:
            yield _make_values(row, post)


def make_docs(
    nlp: Language,
    rows: Iterable[Mapping[str, Any]],
    *,
    image_root: str | Path | None = None,
    label_map: Mapping[str, str] | None = None,
    binary: bool = False,
    bad_rows: list[BadRow] | None = None,
) -> Iterator[Doc]:
    """Make Docs of rows, with their gold entities and their pictures.

    Args:
        nlp (Language): The pipeline whose tokenizer and vocabulary to use. It is not run.
        rows (Iterable[Mapping]): Rows as `read_posts` yields them.
        image_root (str / Path): The folder of the pictures; nothing outside it is accepted.
            Defaults to None, which does not change the paths.
        label_map (Mapping): Labels to rename.
        binary (bool): Whether rows are answers to a single span: the labels of all other tokens are
            then missing.
        bad_rows (list): Rows that cannot be used are added to it and left out. Defaults to None:
            the first one is an error.

    Yields:
        Doc: The Docs. One of a row without "spans" has no annotation.

    Raises:
        MsvseError: If a row cannot be used (MSVSE-E030).
    """
    for number, values in enumerate(rows, start=1):
        if not isinstance(values, Mapping):
            reason = f"the row is a {type(values).__name__}, not a mapping"
            _refuse(Row(ROWS, number, {}), reason, bad_rows)
            continue
        row = Row(ROWS, number, dict(values))
        post = _parse(row, bad_rows, binary=binary)
        if post is None:
            continue
        try:
            if image_root is not None:
                from ..vision.picture import locate_pictures

                post.images = locate_pictures(post.images, image_root)
            doc = post.to_doc(nlp, label_map)
        except ValueError as error:
            _refuse(row, str(error), bad_rows)
        else:
            yield doc


def make_examples(
    nlp: Language,
    rows: Iterable[Mapping[str, Any]],
    *,
    image_root: str | Path | None = None,
    label_map: Mapping[str, str] | None = None,
    binary: bool = False,
    bad_rows: list[BadRow] | None = None,
) -> Iterator[Example]:
    """Make examples of rows, to train on or to score. The side to be predicted has the text and the
    pictures, but no entities.

    Args:
        nlp (Language): The pipeline whose tokenizer and vocabulary to use. It is not run.
        rows (Iterable[Mapping]): Rows as `read_posts` yields them.
        image_root (str / Path): The folder of the pictures; nothing outside it is accepted.
            Defaults to None, which does not change the paths.
        label_map (Mapping): Labels to rename.
        binary (bool): Whether rows are answers to a single span.
        bad_rows (list): Rows that cannot be used are added to it and left out. Defaults to None:
            the first one is an error.

    Yields:
        Example: The examples.

    Raises:
        MsvseError: If a row cannot be used (MSVSE-E030).
    """
    docs = make_docs(
        nlp,
        rows,
        image_root=image_root,
        label_map=label_map,
        binary=binary,
        bad_rows=bad_rows,
    )
    for gold in docs:
        if gold.has_unknown_spaces or gold.user_data.get(WORDS_GIVEN):
            words = [token.text for token in gold]
            spaces = [bool(token.whitespace_) for token in gold]
            predicted = Doc(nlp.vocab, words=words, spaces=spaces)
        else:
            predicted = nlp.make_doc(gold.text)
        set_picture_attributes(predicted, get_picture_attributes(gold))
        yield Example(predicted, gold)


def _parse(row: Row, bad_rows: list[BadRow] | None, **settings: Any) -> PostRow | None:
    """The post of a row; None if it is left out."""
    try:
        return parse_row(row, **settings)
    except RejectedRow:
        return None
    except MsvseError as error:
        _refuse(row, str(error), bad_rows)
        return None


def _refuse(row: Row, reason: str, bad_rows: list[BadRow] | None) -> None:
    reason = reason.rstrip(".")
    if bad_rows is None:
        raise MsvseError(Errors.E030.format(path=row.path, line=row.line, reason=reason))
    bad_rows.append(BadRow(row.path, row.line, reason))


def _make_values(row: Row, post: PostRow) -> dict[str, Any]:
    """The values of a row, with the picture and the spans as they were read."""
    values = {key: value for key, value in row.values.items() if value is not None}
    values.pop("answer", None)
    given = values.pop("spans", None)
    if post.entities is not None:
        values["spans"] = _make_spans(given or (), post.entities)
    if "images" in values:
        values.pop("image", None)
        values["images"] = post.images
    elif post.images:
        values["image"] = post.images[0]
    if post.meta:
        values["meta"] = post.meta
    return values


def _make_spans(
    given: Iterable[Mapping[str, Any]], entities: list[tuple[int, int, str]]
) -> list[dict[str, Any]]:
    accepted = [one for one in given if "start" in one and one.get("answer", "accept") == "accept"]
    spans: list[dict[str, Any]] = [
        {"start": start, "end": end, "label": label} for start, end, label in entities
    ]
    # The same span twice is one entity. Then it is not known which score is whose.
    if len(accepted) == len(spans):
        for span, one in zip(spans, accepted, strict=True):
            span |= {"score": one["score"]} if "score" in one else {}
    return spans
