"""Captions and tags of pictures, from separate files."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from spacy.language import Language

from .rows import BadRow, read_lines


def read_captions(path: Path, bad_rows: list[BadRow]) -> dict[str, str]:
    """Read the captions of pictures. Empty captions are left out.

    Args:
        path (Path): A JSON file `{"<picture>": "<caption>"}`, or lines `<picture> :<caption>`.
        bad_rows (list[BadRow]): Captions that cannot be used are added to it.

    Returns:
        dict[str, str]: Captions by the name of the picture.
    """
    captions = {}
    pairs = _read_json(path, bad_rows) if _is_json(path) else _read_pairs(path, bad_rows)
    for line, name, caption in pairs:
        if not isinstance(caption, str):
            bad_rows.append(BadRow(path, line, f"the caption of {name!r} is not text"))
        elif caption.strip():
            captions[name] = caption.strip()
    return captions


def read_tags(path: Path, nlp: Language, bad_rows: list[BadRow]) -> dict[str, list[str]]:
    """Read the tags of pictures. A sentence is reduced to its content words.

    Args:
        path (Path): A JSON file `{"<picture>": ["<tag>", ...]}` or `{"<picture>": "<sentence>"}`.
        nlp (Language): Gives the tokenizer and the stop words for sentences.
        bad_rows (list[BadRow]): Tags that cannot be used are added to it.

    Returns:
        dict[str, list[str]]: Tags by the name of the picture.
    """
    tags = {}
    for line, name, value in _read_json(path, bad_rows):
        if isinstance(value, str):
            tags[name] = find_content_words(nlp, value)
        elif isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            tags[name] = [tag for tag in value if tag.strip()]
        else:
            bad_rows.append(BadRow(path, line, f"the tags of {name!r} are not text"))
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


def find_description(descriptions: dict[str, Any], picture: str | bytes | None) -> Any:
    """Find the description of a picture by its path, or else by its file name alone.

    Args:
        descriptions (dict): Captions or tags by the name of the picture.
        picture (str / bytes): The picture of a post.

    Returns:
        Any: The picture's caption or tags, or None.
    """
    if not isinstance(picture, str):
        return None
    return descriptions.get(picture, descriptions.get(PurePosixPath(picture).name))


def _is_json(path: Path) -> bool:
    with path.open("rb") as file_:
        return file_.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _read_pairs(path: Path, bad_rows: list[BadRow]) -> Iterator[tuple[int, str, str]]:
    for number, line in read_lines(path, bad_rows):
        name, colon, value = line.partition(":")
        if colon and name.strip():
            yield number, name.strip(), value
        elif line.strip():
            bad_rows.append(BadRow(path, number, "'<picture> :<caption>' is expected"))


def _read_json(path: Path, bad_rows: list[BadRow]) -> Iterator[tuple[int, str, Any]]:
    # Unlike srsly's parser, the one of the standard library reports the line of an error.
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        bad_rows.append(BadRow(path, error.lineno, f"the file is not JSON ({error.msg})"))
        return
    except UnicodeDecodeError:
        bad_rows.append(BadRow(path, 1, "the file is not in UTF-8"))
        return
    if not isinstance(values, dict):
        bad_rows.append(BadRow(path, 1, "a JSON object by picture is expected"))
        return
    for name, value in values.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            bad_rows.append(BadRow(path, 1, f"the description of {name!r} has a lone surrogate"))
        else:
            yield 1, name, value
