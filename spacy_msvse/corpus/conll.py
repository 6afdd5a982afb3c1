"""Posts in CoNLL columns, with picture names in `IMGID:` or `WID:` lines."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

from spacy.training import iob_to_biluo, tags_to_entities

from ..errors import MsvseError
from .post import PostRow
from .rows import BadRow, read_lines

#: Beginnings of lines that name one picture (Twitter) or several pictures (Weibo).
PICTURES_LINE = "WID:"
NAMING_LINES = ("IMGID:", PICTURES_LINE)
DOCUMENT_LINE = "-DOCSTART-"


def read_conll(
    path: Path,
    bad_rows: list[BadRow],
    *,
    image_root: str | Path | None = None,
    image_suffix: str = ".jpg",
    label_column: int | None = None,
) -> Iterator[PostRow]:
    """Read posts with one token on each line: the token first and its IOB label last.

    A line `IMGID:<id>` starts a post and names its picture; a blank line ends the post. If no new
    name follows the blank line, the next post has the same picture. An `I-` that continues no
    entity starts one, as in the usual scorers.

    A line `WID:<id>` names every file of the picture folder whose name starts with `<id>_`, and
    may give several ids. The post's picture is the first one. If there are more, the names of all
    are in the post's `meta`, under "pictures".

    Args:
        path (Path): The file.
        bad_rows (list[BadRow]): Rows that cannot be used are added to it. The rest of the post is
            kept.
        image_root (str / Path): The folder of the pictures, needed if posts have several.
        image_suffix (str): Ending that turns the id of a picture into its file name.
        label_column (int): The column of the label, from 1; None for the last.

    Yields:
        PostRow: The posts.
    """
    folder = _group_pictures(image_root) if image_root else {}
    block = _Block()
    for number, line in read_lines(path, bad_rows):
        if line.startswith(NAMING_LINES) and "\t" not in line:
            yield from _finish(path, block, bad_rows)
            block = _Block(number, line.partition(":")[2].strip())
            block.pictures = _name_pictures(line, block.id, folder, image_suffix)
            if not block.pictures:
                bad_rows.append(BadRow(path, number, f"{line!r} names no picture"))
        elif not line.strip(" \t") or line.startswith(DOCUMENT_LINE):
            if block.tokens:
                yield from _finish(path, block, bad_rows)
                block = _Block(id=block.id, pictures=block.pictures)
        else:
            block.line = block.line or number
            try:
                block.tokens.append(_read_token(line, label_column))
            except MsvseError as error:
                bad_rows.append(BadRow(path, number, str(error)))
    # The last post is often not followed by a blank line.
    yield from _finish(path, block, bad_rows)


@dataclass
class _Block:
    """The lines of one post: the first line, the id, the pictures, and (token, label) pairs."""

    line: int = 0
    id: str = ""
    pictures: list[str] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)


def _group_pictures(image_root: str | Path) -> dict[str, list[str]]:
    """The files of a folder in order, grouped by the part of their name before an underscore."""
    groups = defaultdict(list)
    for name in sorted(os.listdir(image_root)):
        groups[name.partition("_")[0]].append(name)
    return groups


def _name_pictures(
    line: str, id_: str, folder: Mapping[str, list[str]], image_suffix: str
) -> list[str]:
    def name(part: str) -> str:
        return part.removesuffix(image_suffix) + image_suffix

    if not line.startswith(PICTURES_LINE):
        return [name(id_)] if id_ else []
    groups = [folder.get(part, [name(part)]) for part in re.split(r"[\s,;]+", id_) if part]
    return [picture for group in groups for picture in group]


def _read_token(line: str, label_column: int | None) -> tuple[str, str]:
    # A token may be an invisible character, so only the separator is removed.
    columns = line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]
    if len(columns) < max(2, label_column or 2):
        place = "" if label_column is None else f" in column {label_column}"
        raise MsvseError(f"a token and a label{place} are expected, not {line!r}")
    token, label = columns[0], columns[(label_column or 0) - 1].strip()
    if not token:
        raise MsvseError("the token is empty")
    if label != "O" and not (label.startswith(("B-", "I-")) and label[2:]):
        raise MsvseError(f"label {label!r} is not O, B-TYPE or I-TYPE")
    return token, label


def _finish(path: Path, block: _Block, bad_rows: list[BadRow]) -> Iterator[PostRow]:
    if block.tokens:
        yield _make_post(path, block)
    elif block.line:
        bad_rows.append(BadRow(path, block.line, "the post has no tokens"))


def _make_post(path: Path, block: _Block) -> PostRow:
    words = [word for word, _ in block.tokens]
    labels = [label for _, label in block.tokens]
    starts = list(accumulate((len(word) + 1 for word in words), initial=0))
    entities = [
        (starts[first], starts[last] + len(words[last]), label)
        for label, first, last in tags_to_entities(iob_to_biluo(labels))
    ]
    stray_starts = sum(
        label.startswith("I-") and previous[2:] != label[2:]
        for previous, label in pairwise(["O", *labels])
    )
    post = PostRow(path, block.line, words, entities, stray_starts=stray_starts)
    if block.pictures:
        post.image = block.pictures[0]
        post.meta = {"id": block.id}
    if len(block.pictures) > 1:
        post.meta["pictures"] = block.pictures
        post.pictures_left_out = len(block.pictures) - 1
    return post
