"""Captions of Wikinews with their pictures: the data set WikiDiverse (Wang et al., ACL 2022)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ...errors import MsvseError
from ..rows import Row, shorten
from .json_array import read_json_array

#: What a record is, for messages.
_EXPECTED = "[caption, URL of the picture, topic, [[words, type, start, end, URL], ...]]"

#: A part of the URLs of Wikimedia Commons, whose files have a free licence.
COMMONS = "/wikipedia/commons/"


def read_wikidiverse(path: Path) -> Iterator[Row]:
    """Read a JSON array of records like `["Ada in Rome.", "https://.../Ada.jpg", "arts", [["Ada",
    "Person", 0, 3, "https://..."]]]`.

    Offsets count characters, and the end is exclusive. The file of a picture is named by the MD5
    hash of the last part of its URL, with its suffix; SVG files were turned into PNG. The topic and
    the URL are in the `meta` of the post, as "topic" and "source".

    Args:
        path (Path): The file.

    Yields:
        Row: The records. One that has another form, or a mention whose words are not those of the
            text at its place, has a problem.

    Raises:
        MsvseError: If it is not text in UTF-8 (MSVSE-E130, E131, E132), or no array (MSVSE-E133).
    """
    return read_json_array(path, kind=list, adapt=_adapt)


def _adapt(record: list[Any]) -> dict[str, Any]:
    if [type(one) for one in record] != [str, str, str, list]:
        raise MsvseError(f"the record is {shorten(repr(record))}, not {_EXPECTED}")
    text, source, topic, mentions = record
    values: dict[str, Any] = {
        "text": text,
        "spans": [_make_span(text, mention) for mention in mentions],
        "meta": {"topic": topic},
    }
    if source:
        values["image"] = name_picture(source)
        values["meta"]["source"] = source
    return values


def _make_span(text: str, mention: Any) -> dict[str, Any]:
    if not isinstance(mention, list) or [type(one) for one in mention[:4]] != [str, str, int, int]:
        raise MsvseError(f"the mention is {shorten(repr(mention))}, not of {_EXPECTED}")
    words, label, start, end = mention[:4]
    if not 0 <= start < end <= len(text) or text[start:end] != words:
        found = text[max(start, 0) : max(end, 0)]
        raise MsvseError(f"the mention {words!r} is not at {start}-{end}: there is {found!r}")
    return {"start": start, "end": end, "label": label}


def name_picture(source: str) -> str:
    """The name of the file of a picture.

    Args:
        source (str): Its URL.

    Returns:
        str: The name.
    """
    name = source.rsplit("/", 1)[-1]
    suffix = PurePosixPath(name).suffix
    digest = hashlib.md5(name.encode("utf-8"), usedforsecurity=False).hexdigest()
    return digest + (".png" if suffix.lower() == ".svg" else suffix)


def is_free(source: str) -> bool:
    """Whether a picture is of Wikimedia Commons. Other pictures of Wikipedia and Wikinews may be
    there by fair use only.

    Args:
        source (str): Its URL.

    Returns:
        bool: True if so.
    """
    parts = urlsplit(source)
    return parts.hostname == "upload.wikimedia.org" and COMMONS in parts.path


def find_page(source: str) -> str:
    """The page of a picture of Wikimedia Commons, which names its author and its licence.

    Args:
        source (str): Its URL.

    Returns:
        str: The URL of the page.
    """
    return f"https://commons.wikimedia.org/wiki/File:{source.rsplit('/', 1)[-1]}"
