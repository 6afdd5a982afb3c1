"""Rows of posts in our shape, which is Prodigy's: their checks, their lines of JSON."""

import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import srsly
from pydantic import (
    BaseModel,
    Discriminator,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
)
from pydantic_core import from_json
from spacy.tokens import Doc
from spacy.util import get_words_and_spaces

from ..doc import VIEW_ATTRIBUTES
from ..errors import Errors, MsvseError
from ..picture_values import check_picture, is_missing
from ..values import check_pictures
from .boxes import Box, make_box
from .post import PostRow, hint_at_wide_characters
from .rows import BadRow, Row, read_raw_lines, shorten

#: The keys that annotation adds to a row. Earlier values of them are replaced.
ADDED = ("spans", "error")

#: The key of an annotated row that says whether a server was asked about its post. It is added only
#: if a server is asked for some of the rows.
ASKED = "asked"

#: What the offsets of spans count: characters (Python), UTF-16 units (JavaScript, Java), or bytes.
Offsets = Literal["characters", "utf16", "utf8"]
OFFSETS: tuple[str, ...] = get_args(Offsets)
_UNITS = {"characters": ("utf-32-le", 4), "utf16": ("utf-16-le", 2), "utf8": ("utf-8", 1)}

#: Answers of Prodigy to rows and spans that are not gold.
REJECTED = ("reject", "ignore")

#: Prodigy's interfaces that show a single span, and in which all entities are marked. The values
#: of "_view_id".
BINARY_VIEW, MANUAL_VIEW = "ner", "ner_manual"

ANNOTATION, PICTURE, CAPTION, TAGS = "annotation", "a picture", "a caption", "tags"

#: Keys that look like none of these.
OTHER = "other"
# fmt: off
#: Names of keys that are likely to hold annotation, a picture, its caption or its tags, in lower
#: case and without separators.
LIKELY_KEYS = {
    ANNOTATION: {
        "annotation", "annotations", "bilou", "bio", "biotags", "completions", "ent", "entities",
        "entity", "ents", "iob", "iobtags", "label", "labels", "mentions", "ner", "nerlabels",
        "nertag", "nertags", "prediction", "predictions", "results", "span", "spans",
        "taggedtokens", "tokenlabels",
    },
    PICTURE: {
        "image", "imagefile", "imagefilename", "imagefiles", "imageid", "imageids", "imagename",
        "imagenames", "imagepath", "imagepaths", "images", "imageurl", "imageurls", "img",
        "imgid", "imgids", "imgpath", "imgs", "imgurl", "media", "mediaurl", "mediaurls", "photo",
        "photos", "pic", "pics", "picture", "pictures",
    },
    CAPTION: {
        "caption", "captions", "imagealt", "imagecaption", "imagecaptions", "imagedescription",
        "imgcaption", "imgcaptions",
    },
    TAGS: {"imagelabels", "imagetag", "imagetags", "imgtag", "imgtags", "tag", "tags"},
}
# fmt: on
_PICTURE_NAME = re.compile(
    r"data:image/.*|.*\.(jpe?g|png|gif|webp|bmp|tiff?|avif|hei[cf])", re.I | re.S
)
_TOKEN_LABEL = re.compile(r"O|[BIMELSUW]-\S+")

#: How picture files begin.
_MAGIC = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}

_BOX_KEYS = {"points", "x", "y", "width", "height", "center"}


Number = StrictInt | StrictFloat


class JsonSpan(BaseModel):
    """An entity, in characters. The end is exclusive. "text" must be what the offsets delimit."""

    start: StrictInt
    end: StrictInt
    label: StrictStr
    text: StrictStr | None = None
    answer: Literal["accept", "reject", "ignore"] = "accept"


class JsonBox(BaseModel):
    """A box that Prodigy keeps among the spans, in pixels."""

    label: StrictStr
    x: Number | None = None
    y: Number | None = None
    width: Number | None = None
    height: Number | None = None
    points: list[tuple[Number, Number]] | None = None
    answer: Literal["accept", "reject", "ignore"] = "accept"


def _kind_of_span(span: Any) -> str:
    is_box = isinstance(span, dict) and not {"start", "end"} & set(span) and _BOX_KEYS & set(span)
    return "box" if is_box else "span"


class JsonToken(BaseModel):
    """A token as Prodigy writes it."""

    text: StrictStr
    start: StrictInt | None = None
    end: StrictInt | None = None


class JsonRow(BaseModel):
    """One line of the file. Other keys are not read."""

    text: StrictStr | None = None
    words: list[StrictStr] | None = None
    tokens: list[StrictStr | JsonToken] | None = None
    spans: (
        list[
            Annotated[
                Annotated[JsonSpan, Tag("span")] | Annotated[JsonBox, Tag("box")],
                Discriminator(_kind_of_span),
            ]
        ]
        | None
    ) = None
    image: Any = None
    images: Any = None
    tags: list[StrictStr] | None = None
    caption: StrictStr | None = None
    texts: dict[StrictStr, StrictStr] | None = None
    meta: dict[str, Any] | None = None
    width: Any = None
    height: Any = None


#: The keys that are read. Prodigy's answer is read before the row is.
READ = {*JsonRow.model_fields, "answer"}


class RejectedRow(MsvseError):
    """Raised for a row that a person has rejected or ignored.

    Args:
        answer (str): The answer of the person.
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer
        super().__init__(f"the annotation was not accepted (answer: {answer!r})")


def parse_rows(
    rows: Iterable[Row],
    bad_rows: list[BadRow],
    *,
    rejected: Counter[str] | None = None,
    offsets: Offsets = "characters",
    binary: bool = False,
) -> Iterator[PostRow]:
    """Make posts of rows like `{"text": ..., "image": ..., "spans": [{"start", "end", "label"}]}`.

    Instead of "text", a row may have "words", or "tokens" as strings or in Prodigy's form. Its
    spans then count characters of the words, joined by blanks. If a row has both, "words" or
    "tokens" are the tokens of "text", and spans count characters of the text. "meta", "tags",
    "caption" and "texts" are optional; an empty caption or list of tags counts as none. A row
    without "spans" is not annotated. A picture may be a path, a base64 `data:` URI, or any other
    picture that `make_doc` accepts. "images" is a list of several pictures; "image" beside it must
    be the first of them.

    As Prodigy writes them, spans may be boxes of the picture: they become "boxes" of the meta if
    the row has the "width" and the "height" of the picture. A row or a span with the "answer"
    "reject" or "ignore" is not gold.

    Args:
        rows (Iterable[Row]): The rows.
        bad_rows (list[BadRow]): Rows that cannot be used are added to it.
        rejected (Counter[str]): Rows that were rejected or ignored are counted in it, by their
            answer. By default they are added to `bad_rows`.
        offsets (str): What the offsets of spans count: "characters", "utf16" units as in
            JavaScript, or bytes in "utf8".
        binary (bool): Whether rows are answers to a single span, as those of Prodigy's interface
            "ner". The labels of all other tokens are then missing. Rows that name another
            interface are not concerned.

    Yields:
        PostRow: The posts.

    Raises:
        MsvseError: If the unit of the offsets is unknown (MSVSE-E081), or as the reader of the
            rows does.
    """
    if offsets not in OFFSETS:
        expected = f"one of {', '.join(OFFSETS)}"
        raise MsvseError(Errors.E081.format(setting="offsets", value=offsets, expected=expected))
    for row in rows:
        try:
            yield parse_row(row, offsets=offsets, binary=binary)
        except RejectedRow as error:
            if rejected is None:
                bad_rows.append(BadRow(row.path, row.line, str(error)))
            else:
                rejected[error.answer] += 1
        except MsvseError as error:
            bad_rows.append(BadRow(row.path, row.line, str(error).rstrip(".")))


def read_rows(path: Path) -> Iterator[Row]:
    """Read every line of a file as a row, also lines that cannot be used. Blank lines are skipped.

    Args:
        path (Path): The file, or `PIPE`.

    Returns:
        Iterator[Row]: The rows.

    Raises:
        MsvseError: If the file does not hold JSON objects line by line (MSVSE-E133), or is not text
            (MSVSE-E130, E131, E132). The error comes before the first row is read.
    """
    lines = ((number, line) for number, line in read_raw_lines(path) if line.strip())
    first = next(lines, None)
    if first is None:
        return iter(())
    start = first[1].strip()
    if start.startswith(b"[") or start == b"{":
        array = "a JSON list (an array is read from a file, with the format 'json')"
        given = array if start.startswith(b"[") else "an object over several lines"
        raise MsvseError(Errors.E133.format(path=path, given=given))
    return (parse_line(path, number, line) for number, line in chain([first], lines))


def parse_line(path: Path, number: int, line: bytes) -> Row:
    """Parse a line of JSON as a row, also a line that cannot be used.

    Args:
        path (Path): The file.
        number (int): The number of the line.
        line (bytes): The line.

    Returns:
        Row: The row, with a problem if the line is no JSON object.
    """
    try:
        # Unlike other parsers, this one refuses lone surrogates, which no tokenizer accepts.
        values = from_json(line, allow_inf_nan=False)
        check_values(values)
        problem = None if isinstance(values, dict) else "the line is not a JSON object"
    except ValueError as error:
        problem = f"the line is not JSON ({str(error).replace(' line 1', '')})"
    if problem is not None:
        values = {"line": line.decode("utf-8", "replace")}
    return Row(path, number, values, problem)


def check_values(values: Any) -> None:
    """Check that values can be written as JSON and kept in a file of Docs.

    Args:
        values (Any): The content of a row. The pictures of a row in Python are no such values.

    Raises:
        ValueError: If not. The message is the reason.
    """
    try:
        # Docs are saved as msgpack, whose integers have at most 64 bits.
        srsly.msgpack_dumps(values)
        # A number such as 1e999 is infinite, and JSON has no form of it.
        json.dumps(values, allow_nan=False)
    except (OverflowError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def parse_row(row: Row, *, offsets: Offsets = "characters", binary: bool = False) -> PostRow:
    """Check a row and make a post of it.

    Args:
        row (Row): The row.
        offsets (str): What the offsets of spans count, as for `parse_rows`.
        binary (bool): Whether tokens outside of the spans have missing labels, as for `parse_rows`.

    Returns:
        PostRow: The post.

    Raises:
        RejectedRow: If the row was rejected or ignored.
        MsvseError: If the row cannot be used. The message is the reason.
    """
    if row.problem is not None:
        raise MsvseError(row.problem)
    answer = row.values.get("answer", "accept")
    if answer in REJECTED:
        raise RejectedRow(answer)
    if answer != "accept":
        raise MsvseError(f"'answer' is {answer!r}, but must be accept, reject or ignore")
    try:
        values = JsonRow(**row.values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(key) for key in problem["loc"] if key not in ("span", "box"))
        raise MsvseError(f"'{place}': {problem['msg']}") from error
    _check_descriptions(values)
    text, spaces = _get_text(values, offsets)
    spans = [span for span in values.spans or () if isinstance(span, JsonSpan)]
    boxes = [box for box in values.spans or () if isinstance(box, JsonBox)]
    accepted = [span for span in spans if span.answer == "accept"]
    view = row.values.get("_view_id")
    # Spans that are all boxes say nothing about the text.
    annotated = values.spans is not None and (bool(spans) or not boxes)
    # A person who accepts a text and marks nothing in it has found no entity.
    annotated |= values.spans is None and view == MANUAL_VIEW and "answer" in row.values
    post = PostRow(
        row.path,
        row.line,
        text,
        _read_spans(values, accepted, offsets) if annotated else None,
        images=_get_images(values),
        tags=values.tags or None,
        caption=values.caption or None,
        texts=values.texts or None,
        meta=values.meta or {},
        spaces=spaces,
        stray_starts=row.stray_starts,
        tokens_left_out=row.tokens_left_out,
        scheme=row.scheme or "spans",
        spans_rejected=len(spans) - len(accepted),
    )
    post.binary = view == BINARY_VIEW and bool(spans)
    post.complete = not (binary and view in (None, BINARY_VIEW))
    _add_boxes(post, values, [box for box in boxes if box.answer == "accept"])
    post.unread_keys = _find_unread_keys(row.values, post)
    return post


def list_keys(keys: Mapping[str, int]) -> str:
    """List keys that are not read, for a message.

    Args:
        keys (Mapping): Key to the number of posts that have it.

    Returns:
        str: The keys with their numbers.
    """
    return ", ".join(f"'{key}' ({count} post{'s'[: count != 1]})" for key, count in keys.items())


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
    return json.dumps(values, ensure_ascii=False, default=_encode_bytes) + "\n"


def _encode_bytes(value: Any) -> str:
    """A picture that a row has as bytes, as a data URI."""
    if not isinstance(value, bytes):
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
    return f"data:{_find_mime(value)};base64,{b64encode(value).decode('ascii')}"


def _find_mime(data: bytes) -> str:
    found = next((mime for start, mime in _MAGIC.items() if data.startswith(start)), "")
    return found or ("image/webp" if data[8:12] == b"WEBP" else "application/octet-stream")


def _check_descriptions(row: JsonRow) -> None:
    for number, span in enumerate(row.spans or ()):
        if not span.label.strip():
            raise MsvseError(f"the label of span {number} is empty")
    for name in row.texts or ():
        if name in VIEW_ATTRIBUTES:
            raise MsvseError(f"'texts' cannot have {name!r}: {name!r} is a key of its own")
    words = row.words if row.words is not None else row.tokens
    if row.tags and words and len(row.tags) == len(words) and _are_token_labels(row.tags):
        raise MsvseError("'tags' are labels of tokens, but words that describe the picture belong")


def _are_token_labels(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) and _TOKEN_LABEL.fullmatch(value) for value in values)


def _get_text(row: JsonRow, offsets: str) -> tuple[str | list[str], list[bool] | None]:
    """The text or its words, and whether a blank follows each word; None if that is unknown."""
    tokens = None
    if row.tokens is not None:
        tokens = [token if isinstance(token, str) else token.text for token in row.tokens]
    if row.words is not None and tokens is not None and row.words != tokens:
        raise MsvseError("'words' and 'tokens' differ")
    name, words = ("words", row.words) if row.words is not None else ("tokens", tokens)
    if words is None:
        if row.text is None:
            raise MsvseError("the post has neither 'text' nor 'words'")
        return row.text, None
    if not all(words):
        raise MsvseError("a word is empty")
    if row.text is None:
        return words, None
    # Pieces of words, such as "##ing", are not those of the text, but their places are.
    for candidate in (words, _cut_tokens(row, offsets)):
        try:
            if candidate is not None:
                return get_words_and_spaces(candidate, row.text)
        except ValueError:
            continue
    raise MsvseError(f"'{name}' are not those of 'text'")


def _cut_tokens(row: JsonRow, offsets: str) -> list[str] | None:
    """The tokens as their offsets cut them out of the text; None if they are not in order."""
    places = _find_places(row.text or "", offsets)
    words, last = [], 0
    for token in row.tokens or ():
        if isinstance(token, str):
            return None
        start, end = places.get(token.start, -1), places.get(token.end, -1)
        if not last <= start <= end:
            return None
        if start < end:
            words.append((row.text or "")[start:end])
            last = end
    return words


def _find_places(text: str, offsets: str) -> dict[int | None, int]:
    """Offset in a unit to offset in characters."""
    encoding, size = _UNITS[offsets]
    ends = accumulate((len(char.encode(encoding)) // size for char in text), initial=0)
    return {end: place for place, end in enumerate(ends)}


def _read_spans(
    row: JsonRow, spans: Sequence[JsonSpan], offsets: str
) -> list[tuple[int, int, str]]:
    """Entities in characters; the same one twice is one entity."""
    words = row.words if row.words is not None else row.tokens
    text = row.text
    if text is None:
        text = " ".join(word if isinstance(word, str) else word.text for word in words or ())
    places = _find_places(text, offsets) if spans else {}
    entities = []
    for span in spans:
        start, end = places.get(span.start), places.get(span.end)
        inside = start is not None and end is not None
        if span.text is not None and not (inside and _same(text[start:end], span.text)):
            own = f"its own 'text' is {shorten(span.text)!r}"
            reason = f"contradicts the text: {own}; {_explain_offsets(span, text)}"
            raise MsvseError(f"span {span.start}-{span.end} {reason}")
        if start is None or end is None:
            hint = hint_at_wide_characters(text) if offsets == "characters" else ""
            place = f"{span.start}-{span.end}"
            raise MsvseError(f"entity {place} lies outside the text or inside a character{hint}")
        entities.append((start, end, span.label))
    return list(dict.fromkeys(entities))


def _same(left: str, right: str) -> bool:
    """Whether two texts are equal, apart from blanks: words are joined by blanks of ours."""
    return "".join(left.split()) == "".join(right.split())


def _explain_offsets(span: JsonSpan, text: str) -> str:
    """How offsets would have to be read to fit the text of their span."""
    for last, hint in ((0, "its offsets fit with --offsets {}"), (1, "the end is exclusive")):
        for unit in OFFSETS:
            places = _find_places(text, unit)
            start, end = places.get(span.start), places.get(span.end + last)
            if None not in (start, end) and _same(text[start:end], span.text or ""):
                return hint.format(unit)
    return "offsets count characters of the text"


def _add_boxes(post: PostRow, row: JsonRow, drawn: list[JsonBox]) -> None:
    """Put boxes into the meta, relative to the picture."""
    if not drawn:
        return
    size = [row.width, row.height]
    known = all(isinstance(side, int | float) and side > 0 for side in size)
    if not known or "boxes" in post.meta:
        post.boxes_left_out = len(drawn)
        return
    boxes: list[Box] = []
    for box in drawn:
        try:
            boxes.append(make_box(box.label, _find_corners(box), size, clip=True))
        except (ValueError, TypeError) as error:
            shown = box.model_dump(exclude_none=True, exclude={"answer"})
            reason = f"span {shown} is not a box in a picture of {size}"
            raise MsvseError(reason) from error
    post.meta = {**post.meta, "boxes": boxes}


def _find_corners(box: JsonBox) -> list[float]:
    """The outermost corners of a box or a polygon, in pixels."""
    if box.points:
        xs, ys = zip(*box.points, strict=True)
        return [min(xs), min(ys), max(xs), max(ys)]
    if box.x is None or box.y is None or box.width is None or box.height is None:
        raise ValueError
    return [box.x, box.y, box.x + box.width, box.y + box.height]


def _find_unread_keys(values: Mapping[str, Any], post: PostRow) -> dict[str, list[str]]:
    """Keys that are not read, by what they look like if the post lacks that."""
    lacking = {
        ANNOTATION: not post.entities,
        PICTURE: not post.images,
        CAPTION: values.get("caption") is None,
        TAGS: values.get("tags") is None,
    }
    looks = {ANNOTATION: _looks_like_annotation, PICTURE: looks_like_picture}
    found: dict[str, list[str]] = {}
    for key, value in values.items():
        if key in READ or key.startswith("_") or value in (None, "", [], {}):
            continue
        kinds = [
            kind
            for kind in LIKELY_KEYS
            if lacking[kind]
            and (is_named_like(key, kind) or (kind in looks and looks[kind](value)))
        ]
        for kind in kinds or [OTHER]:
            found.setdefault(kind, []).append(key)
    return found


def is_named_like(key: str, kind: str) -> bool:
    """Whether a key has a name that is likely for a kind of content.

    Args:
        key (str): The key.
        kind (str): One of those of `LIKELY_KEYS`, such as `PICTURE`.

    Returns:
        bool: True if so.
    """
    return re.sub(r"[\W_]", "", key).casefold() in LIKELY_KEYS[kind]


def _looks_like_annotation(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return _are_token_labels(value) or all(_looks_like_span(item) for item in value)


def _looks_like_span(value: Any) -> bool:
    if isinstance(value, dict):
        return {"start", "end"} <= set(value)
    return isinstance(value, list) and [type(part) for part in value] == [int, int, str]


def looks_like_picture(value: Any) -> bool:
    """Whether a value looks like the name or the data URI of a picture, or a list of these.

    Args:
        value (Any): The value of a key.

    Returns:
        bool: True if so.
    """
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) and _PICTURE_NAME.fullmatch(item) for item in items)


def _get_images(row: JsonRow) -> list[str | bytes]:
    image = _check("image", check_picture, row.image)
    images: list[str | bytes] = _check("images", check_pictures, row.images) or []
    if is_missing(row.images):
        return [] if image is None else [image]
    if image is not None and images[:1] != [image]:
        raise MsvseError("'image' is not the first of 'images'; leave out one of the two")
    return images


def _check(key: str, check: Callable[[Any], Any], value: Any) -> Any:
    """The checked value of a key, which the error names."""
    try:
        return check(value)
    except MsvseError as error:
        raise MsvseError(f"'{key}': {str(error).rstrip('.')}") from error
