"""Split posts for training, development and test: no text and no picture is in two of the parts."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Any

from ..errors import Errors, MsvseError
from ..util import replaced_when_done
from ..vision.picture import PictureError, picture_key, read_picture
from .audit import normalize
from .formats.parquet import write_parquet
from .jsonl import PICTURE, RejectedRow, dump_row, parse_row
from .post import PostRow
from .rows import BadRow, BadRowsError, Row


@dataclass(frozen=True)
class Part:
    """A part of a split.

    Attributes:
        path (Path): The file: Parquet for the suffix `.parquet`, otherwise JSONL.
        share (float): The share of the posts that it should have, of a sum of 1.
        posts (int): The posts that it has.
    """

    path: Path
    share: float
    posts: int = 0


@dataclass(frozen=True)
class Split:
    """A split that was made.

    Attributes:
        parts (list[Part]): The parts.
        groups (int): Groups of posts that share a text or a picture with each other.
        largest (int): The posts of the largest group.
        bad_rows (list[BadRow]): Rows that were left out.
        unread (dict): Keys that look like those of a picture and are not read, with the numbers of
            posts that have them.
    """

    parts: list[Part]
    groups: int
    largest: int
    bad_rows: list[BadRow]
    unread: dict[str, int]

    @property
    def posts(self) -> int:
        """The posts of all parts."""
        return sum(part.posts for part in self.parts)


def split(
    read: Callable[[], Iterable[Row]],
    parts: Sequence[Part],
    *,
    source: Path,
    image_root: str | Path | None = None,
    seed: int = 0,
    skip_bad_rows: bool = False,
) -> Split:
    """Divide posts among files, so that no text and no picture is in two of them.

    Texts are equal if they differ only in case, blanks and links; pictures, if their files have the
    same bytes. A picture that cannot be read is known by its name. Rows keep their order and all
    their keys. Texts and pictures are not held in memory.

    Args:
        read (Callable): Reads the rows from the first one. It is called twice.
        parts (Sequence[Part]): The files to write. All are written, or none.
        source (Path): Where the rows are from, for messages.
        image_root (str / Path): The only folder from which pictures are read; None allows any path.
        seed (int): Another number gives another split.
        skip_bad_rows (bool): Whether to leave out rows that cannot be used, instead of failing.

    Returns:
        Split: The parts, with their numbers of posts.

    Raises:
        BadRowsError: If there are rows that cannot be used (MSVSE-E034).
        MsvseError: If there are no posts (MSVSE-E154), if a part would be empty (MSVSE-E249), or
            the disk is full (MSVSE-E190).
    """
    bad_rows: list[BadRow] = []
    groups = _Groups()
    unread: Counter[str] = Counter()
    used = [groups.add(keys) for keys in _find_keys(read(), bad_rows, unread, image_root)]
    if bad_rows and not skip_bad_rows:
        raise BadRowsError(bad_rows)
    if not any(used):
        raise MsvseError(Errors.E154.format(path=source))
    members = groups.collect()
    assigned = _assign(members, [part.share for part in parts], seed)
    counts = [assigned.count(number) for number in range(len(parts))]
    for part, count in zip(parts, counts, strict=True):
        if not count:
            raise MsvseError(Errors.E249.format(path=part.path, groups=len(members)))
    with ExitStack() as stack:
        for number, part in enumerate(parts):
            part.path.parent.mkdir(parents=True, exist_ok=True)
            beside = stack.enter_context(replaced_when_done(part.path))
            places = iter(assigned)
            chosen = [use and next(places) == number for use in used]
            choose = partial(_choose, read, chosen)
            if part.path.suffix.lower() == ".parquet":
                write_parquet(choose, beside)
            else:
                with beside.open("w", encoding="utf-8") as file_:
                    file_.writelines(map(dump_row, choose()))
    done = [Part(part.path, part.share, n) for part, n in zip(parts, counts, strict=True)]
    return Split(done, len(members), max(map(len, members)), bad_rows, unread)


def _find_keys(
    rows: Iterable[Row],
    bad_rows: list[BadRow],
    unread: Counter[str],
    image_root: str | Path | None,
) -> Iterator[list[bytes] | None]:
    """Keys of the text and of the pictures of each row; None for a row that is left out."""
    for row in rows:
        try:
            post = _parse(row)
            unread.update(post.unread_keys.get(PICTURE, ()))
            yield list(_identify(post, image_root))
        except MsvseError as error:
            bad_rows.append(BadRow(row.path, row.line, str(error).rstrip(".")))
            yield None


def _parse(row: Row) -> PostRow:
    try:
        return parse_row(row)
    except RejectedRow:
        # It stays in its part. What else is wrong with it does not matter.
        read = ("text", "words", "tokens", "image", "images")
        values = {key: row.values[key] for key in read if key in row.values}
        return parse_row(Row(row.path, row.line, values))


def _identify(post: PostRow, image_root: str | Path | None) -> Iterator[bytes]:
    text = post.text if isinstance(post.text, str) else " ".join(post.text)
    form = normalize(text)
    if form:
        yield _hash("text", form)
    for image in post.images:
        try:
            yield _hash("picture", picture_key(read_picture(image, image_root)))
        except PictureError:
            if isinstance(image, str):
                yield _hash("name", image)


def _hash(kind: str, content: str) -> bytes:
    return blake2b(f"{kind} {content}".encode(), digest_size=16).digest()


class _Groups:
    """Posts that share a text or a picture, also through other posts."""

    def __init__(self) -> None:
        self.parents: list[int] = []
        self.owners: dict[bytes, int] = {}

    def add(self, keys: list[bytes] | None) -> bool:
        """Add a post by its keys; return whether it is used."""
        if keys is None:
            return False
        number = len(self.parents)
        self.parents.append(number)
        for key in keys:
            owner = self._find(self.owners.setdefault(key, number))
            self.parents[owner] = self._find(number)
        return True

    def _find(self, number: int) -> int:
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def collect(self) -> list[list[int]]:
        """The posts of each group, by number."""
        members: dict[int, list[int]] = {}
        for number in range(len(self.parents)):
            members.setdefault(self._find(number), []).append(number)
        return list(members.values())


def _assign(groups: list[list[int]], shares: Sequence[float], seed: int) -> list[int]:
    """The part of each post. Each group, the largest first, goes to the part that lacks most."""
    order = list(groups)
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)
    total = sum(map(len, groups))
    lacking = [share * total for share in shares]
    empty = set(range(len(shares)))
    parts = [0] * total
    for place, group in enumerate(order):
        open_parts = empty if len(order) - place <= len(empty) else range(len(shares))
        chosen = max(open_parts, key=lambda number: lacking[number])
        lacking[chosen] -= len(group)
        empty.discard(chosen)
        for number in group:
            parts[number] = chosen
    return parts


def _choose(read: Callable[[], Iterable[Row]], chosen: Sequence[bool]) -> Iterator[dict[str, Any]]:
    return (row.values for row in compress(read(), chosen))
