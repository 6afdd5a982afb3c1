"""Posts in CoNLL columns, with the pictures' names on `IMGID:` lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

from spacy.training import iob_to_biluo, tags_to_entities

from .posts import Post
from .rows import BadRow, read_lines

PICTURE_LINE = "IMGID:"
DOCUMENT_LINE = "-DOCSTART-"


def read_conll(path: Path, bad_rows: list[BadRow], *, image_suffix: str = ".jpg") -> Iterator[Post]:
    """Read posts whose tokens stand one on a line, the token first and its IOB label last.

    A line `IMGID:<id>` starts a post and names its picture; a blank line ends it. Where a blank
    line is not followed by a new name, what follows belongs to the same picture. An `I-` that
    continues nothing opens an entity, as the usual scorers read it.

    path (Path): The file.
    bad_rows (list[BadRow]): Rows that cannot be used are added to it; the rest of their post is
        kept.
    image_suffix (str): Makes the name of a picture file out of its id.
    YIELDS (Post): The posts.
    """
    block = _Block()
    for number, line in read_lines(path, bad_rows):
        if line.startswith(PICTURE_LINE) and "\t" not in line:
            yield from _finish(path, block, image_suffix, bad_rows)
            block = _Block(number, line.removeprefix(PICTURE_LINE).strip())
            if not block.picture:
                bad_rows.append(BadRow(path, number, f"'{PICTURE_LINE}' names no picture"))
        elif not line.strip(" \t") or line.startswith(DOCUMENT_LINE):
            if block.tokens:
                yield from _finish(path, block, image_suffix, bad_rows)
                block = _Block(picture=block.picture)
        else:
            block.line = block.line or number
            try:
                block.tokens.append(_read_token(line))
            except ValueError as error:
                bad_rows.append(BadRow(path, number, str(error)))
    # The last post is often not followed by a blank line.
    yield from _finish(path, block, image_suffix, bad_rows)


@dataclass
class _Block:
    """The lines of one post: where they start, its picture's id, and (token, label) pairs."""

    line: int = 0
    picture: str = ""
    tokens: list[tuple[str, str]] = field(default_factory=list)


def _read_token(line: str) -> tuple[str, str]:
    # A token may be an invisible character, so nothing but the separator is taken off it.
    columns = line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]
    if len(columns) < 2:
        raise ValueError(f"a token and a label are expected, not {line!r}")
    token, label = columns[0], columns[-1].strip()
    if not token:
        raise ValueError("the token is empty")
    if label != "O" and not (label.startswith(("B-", "I-")) and label[2:]):
        raise ValueError(f"label {label!r} is not O, B-TYPE or I-TYPE")
    return token, label


def _finish(path: Path, block: _Block, image_suffix: str, bad_rows: list[BadRow]) -> Iterator[Post]:
    if block.tokens:
        yield _make_post(path, block, image_suffix)
    elif block.line:
        bad_rows.append(BadRow(path, block.line, "the post has no tokens"))


def _make_post(path: Path, block: _Block, image_suffix: str) -> Post:
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
    post = Post(path, block.line, words, entities, stray_starts=stray_starts)
    if block.picture:
        post.image = block.picture.removesuffix(image_suffix) + image_suffix
        post.meta = {"id": block.picture}
    return post
