"""Captions, tags and further texts about pictures, from separate files."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from spacy.language import Language

from ..util import with_slashes
from .rows import BadRow, check_text_file, read_lines, shorten

#: Keys of the name of a picture, and of its caption or its tags, in a list of records.
NAME_KEYS = (
    *("image", "picture", "file_name", "filename", "img"),
    *("image_id", "img_id", "id", "name"),
)
CAPTION_KEYS = ("caption", "text", "sentence", "description")
TAGS_KEYS = ("tags", "labels", "objects", "words")


class Descriptions:
    """Captions or tags of pictures, found by the picture of a post.

    Args:
        values (Mapping[str, Any]): Captions or tags by the name of the picture.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {with_slashes(name): value for name, value in values.items()}
        names = [(PurePosixPath(name).name, name) for name in self.values]
        counts = Counter(short for short, _ in names)
        # A file name that two folders have says nothing.
        self._names = {short: name for short, name in names if counts[short] == 1}

    def find(self, picture: str | bytes | None) -> Any:
        """Find the description of a picture: by its path, or else by its file name alone, or else
        by its path or its file name without suffix.

        Args:
            picture (str / bytes): The picture of a post.

        Returns:
            Any: The picture's caption or tags, or None.
        """
        if not isinstance(picture, str):
            return None
        picture = with_slashes(picture)
        path = PurePosixPath(picture)
        stem = path.name.removesuffix(path.suffix)
        for name in (picture, str(path), path.name, str(path.parent / stem), stem):
            if name in self.values:
                return self.values[name]
        for name in (path.name, stem):
            if name in self._names:
                return self.values[self._names[name]]
        return None


def read_captions(
    path: Path, bad_rows: list[BadRow], kind: str = "caption", keys: Iterable[str] = CAPTION_KEYS
) -> dict[str, str]:
    """Read the captions of pictures, or other texts about them. Empty ones are left out.

    Args:
        path (Path): Lines `<picture> :<caption>`, or JSON: an object `{"<picture>": "<caption>"}`,
            a list or lines of objects such as `{"image": "<picture>", "caption": "<caption>"}`, or
            a list of pairs.
        bad_rows (list[BadRow]): Captions that cannot be used are added to it.
        kind (str): What the texts are, for messages.
        keys (Iterable[str]): The keys of the text in an object.

    Returns:
        dict[str, str]: Captions by the name of the picture.

    Raises:
        MsvseError: If the file is not text (MSVSE-E130, E131) or cannot be read (MSVSE-E132).
    """
    check_text_file(path)
    entries = _read_json(path, keys, bad_rows) if _is_json(path) else _read_pairs(path, bad_rows)
    captions: dict[str, str] = {}
    for line, name, caption in entries:
        if isinstance(caption, list) and len(caption) == 1:
            caption = caption[0]
        if not isinstance(caption, str):
            bad_rows.append(BadRow(path, line, f"the {kind} of {name!r} is not one text"))
        elif captions.setdefault(name, caption.strip()) != caption.strip():
            bad_rows.append(BadRow(path, line, f"{name!r} has two texts as {kind}"))
    return {name: caption for name, caption in captions.items() if caption}


def read_tags(path: Path, nlp: Language, bad_rows: list[BadRow]) -> dict[str, list[str]]:
    """Read the tags of pictures. A sentence is reduced to its content words.

    Args:
        path (Path): A JSON file `{"<picture>": ["<tag>", ...]}` or `{"<picture>": "<sentence>"}`;
            or a list or lines of objects such as `{"image": "<picture>", "tags": ["<tag>"]}`.
        nlp (Language): Gives the tokenizer and the stop words for sentences.
        bad_rows (list[BadRow]): Tags that cannot be used are added to it.

    Returns:
        dict[str, list[str]]: Tags by the name of the picture.

    Raises:
        MsvseError: If the file is not text (MSVSE-E130, E131) or cannot be read (MSVSE-E132).
    """
    check_text_file(path)
    tags: dict[str, list[str]] = {}
    for line, name, value in _read_json(path, TAGS_KEYS, bad_rows):
        if isinstance(value, str):
            value = find_content_words(nlp, value)
        elif isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            value = [tag for tag in value if tag.strip()]
        else:
            bad_rows.append(BadRow(path, line, f"the tags of {name!r} are not text"))
            continue
        if tags.setdefault(name, value) != value:
            bad_rows.append(BadRow(path, line, f"{name!r} has tags twice"))
    return {name: value for name, value in tags.items() if value}


def find_content_words(nlp: Language, sentence: str) -> list[str]:
    """Find the content words of a sentence about a picture.

    Args:
        nlp (Language): Gives the tokenizer and the stop words.
        sentence (str): The sentence.

    Returns:
        list[str]: Its words in lower case and in order, without repeats, stop words and
            punctuation.
    """
    words = [
        token.lower_
        for token in nlp.make_doc(sentence)
        if not (token.is_stop or token.is_punct or token.is_space)
    ]
    return list(dict.fromkeys(words))


def _is_json(path: Path) -> bool:
    with path.open("rb") as file_:
        return file_.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"["))


def _read_pairs(path: Path, bad_rows: list[BadRow]) -> Iterator[tuple[int, str, str]]:
    for number, line in read_lines(path, bad_rows):
        name, colon, value = line.partition(":")
        if colon and name.strip():
            yield number, name.strip(), value
        elif line.strip():
            bad_rows.append(BadRow(path, number, "'<picture> :<caption>' is expected"))


def _read_json(
    path: Path, keys: Iterable[str], bad_rows: list[BadRow]
) -> Iterator[tuple[int, str, Any]]:
    """The line, the picture and the description of each entry of a JSON file."""
    for number, value in _parse_json(path, bad_rows):
        try:
            entries = list(_list_entries(value, keys))
        except ValueError as error:
            bad_rows.append(BadRow(path, number, str(error)))
            continue
        for name, description in entries:
            try:
                json.dumps([name, description], ensure_ascii=False).encode("utf-8")
            except (UnicodeEncodeError, RecursionError) as error:
                has = "a lone surrogate" if isinstance(error, ValueError) else "too many levels"
                bad_rows.append(BadRow(path, number, f"the description of {name!r} has {has}"))
            else:
                yield number, name, description


class _Object(dict[str, Any]):
    """A JSON object that also has its pairs, in which a key may occur twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _list_entries(value: Any, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """The pictures and descriptions in an object, or in a list of records or pairs."""
    if isinstance(value, _Object):
        record = _read_record(value, keys)
        if record is None and set(NAME_KEYS) & set(value):
            raise ValueError(f"{shorten(repr(value))} has not one picture and one description")
        yield from value.pairs if record is None else [record]
        return
    expected = "a JSON object by picture, or a list of objects with picture and description,"
    for item in value if isinstance(value, list) else [value]:
        record = _read_record(item, keys) if isinstance(item, _Object) else None
        if record is not None:
            yield record
        elif isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], item[1]
        else:
            raise ValueError(f"{expected} is expected, not {shorten(repr(item))}")


def _read_record(item: Mapping[str, Any], keys: Iterable[str]) -> tuple[str, Any] | None:
    """The picture and the description of a record such as {"image": ..., "caption": ...}; None if
    it has none of them, or several."""
    # A file name comes before an id.
    names = [item[key] for key in NAME_KEYS if isinstance(item.get(key), str | int)]
    values = [item[key] for key in keys if key in item]
    if not names or len(values) != 1:
        return None
    return str(names[0]), values[0]


def _parse_json(path: Path, bad_rows: list[BadRow]) -> Iterator[tuple[int, Any]]:
    """The whole file as one value, or one value a line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        bad_rows.append(BadRow(path, 1, "the file is not in UTF-8"))
        return
    # Unlike srsly's parser, the one of the standard library reports the line of an error.
    parse = json.JSONDecoder(object_pairs_hook=_Object).decode
    try:
        yield 1, parse(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            bad_rows.append(BadRow(path, error.lineno, f"the file is not JSON ({error.msg})"))
            return
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                yield number, parse(line)
            except (ValueError, RecursionError) as problem:
                bad_rows.append(BadRow(path, number, f"the line is not JSON ({problem})"))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nesting
        bad_rows.append(BadRow(path, 1, f"the file cannot be read as JSON ({error})"))
