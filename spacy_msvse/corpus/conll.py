"""Posts in CoNLL columns, with picture names in `IMGID:` or `WID:` lines."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

from spacy.training import iob_to_biluo, tags_to_entities

from ..errors import Errors, MsvseError
from ..vision.remote import is_remote, list_remote
from .post import PostRow
from .rows import BadRow, read_raw_lines, shorten

#: Beginnings of lines that name one picture (Twitter) or several pictures (Weibo).
PICTURES_LINE = "WID:"
NAMING_LINES = ("IMGID:", PICTURES_LINE)
DOCUMENT_LINE = "-DOCSTART-"

#: The label of a token outside of all entities.
OUTSIDE = "O"

#: Letters of schemes. B begins an entity; I and M continue it; E and L end it; S, U and W are an
#: entity of one token.
SCHEMES = {"IOB": "BI", "BIOES": "BIES", "BMES": "BMES", "BMEWO": "BMEW", "BILOU": "BILU"}
STARTS, ENDS = "BSUW", "ELSUW"

_PREFIXED = re.compile(r"[BIMELSUW]-\S.*")
#: A label without prefix that may be a prefixed one in another notation, or stand for O.
_DOUBTFUL = re.compile(
    r"[BIMELSUWO][-_.:|/].*|.*[-_.:|/][BIMELSUW]|O|NONE|NULL|NIL|OUT|OUTSIDE|[\W\d_]*",
    re.IGNORECASE,
)


def read_conll(
    path: Path,
    bad_rows: list[BadRow],
    *,
    image_root: str | Path | None = None,
    image_suffix: str = ".jpg",
    label_column: int | None = None,
) -> Iterator[PostRow]:
    """Read posts with one token on each line: the token first and its label last.

    A line `IMGID:<id>` starts a post and names its picture; a blank line ends the post. If no new
    name follows the blank line, the next post has the same picture.

    A line `WID:<id>` names every file of the picture folder whose name starts with `<id>_`, and
    may give several ids. The post has all these pictures, in the order of their names.

    Labels are those of IOB, BIOES, BMES, BMEWO or BILOU. If no label of the file has a prefix,
    each label is a type, and neighbouring tokens of the same type are one entity. An entity that
    is continued but not begun, or begun but not ended, is read as in the usual scorers.

    Args:
        path (Path): The file.
        bad_rows (list[BadRow]): Posts that cannot be used are added to it, each once, with the
            line and the reason. Such a post is left out whole.
        image_root (str / Path): The folder of the pictures, needed for `WID:` lines whose posts
            have several.
        image_suffix (str): Ending that turns the id of a picture into its file name.
        label_column (int): The column of the label, from 1; None for the last.

    Yields:
        PostRow: The posts.

    Raises:
        MsvseError: If the column holds no labels (MSVSE-E140, E081), or the file is not text
            (MSVSE-E130, E131, E132).
    """
    if label_column is not None and label_column < 2:
        setting = {"setting": "label_column", "value": label_column, "expected": "at least 2"}
        raise MsvseError(Errors.E081.format(**setting))
    labels = _Labels(path, label_column)
    folder = _group_pictures(image_root) if image_root else {}
    block = _Block()
    for number, line, problem in _read_lines(path):
        if line.startswith(NAMING_LINES) and "\t" not in line:
            yield from _finish(path, block, bad_rows, labels)
            block = _Block(number, line.partition(":")[2].strip())
            block.pictures = _name_pictures(line, block.id, folder, image_suffix)
            if not block.pictures:
                problem = problem or f"{shorten(line)!r} names no picture"
            if problem is not None:
                block.unnamed = (number, problem)
        elif _ends_post(line):
            if block.tokens or block.problems:
                yield from _finish(path, block, bad_rows, labels)
                block = replace(block, line=0, tokens=[], problems=[])
        else:
            block.line = block.line or number
            try:
                if problem is not None:
                    raise MsvseError(problem)
                block.tokens.append(labels.read_token(line))
            except MsvseError as error:
                block.problems.append((number, str(error)))
    # The last post is often not followed by a blank line.
    yield from _finish(path, block, bad_rows, labels)


@dataclass
class _Block:
    """The lines of one post: the first line, the id, the pictures, (token, label) pairs, and the
    problems of single lines as (line, reason). `unnamed` is the problem of the line that names
    the pictures."""

    line: int = 0
    id: str = ""
    pictures: list[str] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unnamed: tuple[int, str] | None = None


class _Labels:
    """The labels of a file. Their scheme is that of the whole file, which is read once for it."""

    def __init__(self, path: Path, column: int | None) -> None:
        self.column = column
        labels: Counter[str] = Counter()
        widths: Counter[int] = Counter()
        for _, line, problem in _read_lines(path):
            named = line.startswith(NAMING_LINES) and "\t" not in line
            if problem is None and not named and not _ends_post(line):
                columns = _split(line)
                if len(columns) >= max(2, column or 2):
                    labels[self._pick(columns)] += 1
                    widths[len(columns)] += 1
        self.letters = {label[0] for label in labels if _PREFIXED.fullmatch(label)}
        self.width = widths.most_common(1)[0][0] if widths else 0
        if labels and OUTSIDE not in labels and not self.letters:
            names = ", ".join(repr(shorten(label, 20)) for label in list(labels)[:5])
            shown = "the last one" if column is None else column
            raise MsvseError(Errors.E140.format(path=path, column=shown, labels=names))
        self.types = set(labels) - {OUTSIDE} if not self.letters else set()

    @property
    def scheme(self) -> str:
        """The name of the scheme."""
        if not self.letters:
            return "types without prefix" if self.types else "only O"
        for name, letters in SCHEMES.items():
            if self.letters <= set(letters):
                return name
        return f"letters {', '.join(sorted(self.letters))}"

    def _pick(self, columns: list[str]) -> str:
        return columns[(self.column or 0) - 1].strip()

    def read_token(self, line: str) -> tuple[str, str]:
        """Read the token and the label of a line; the label has a prefix."""
        columns = _split(line)
        if len(columns) < max(2, self.column or 2):
            place = "" if self.column is None else f" in column {self.column}"
            raise MsvseError(f"a token and a label{place} are expected, not {shorten(line)!r}")
        token, label = columns[0], self._pick(columns)
        if not token:
            raise MsvseError("the token is empty")
        if label == OUTSIDE:
            return token, label
        if self.letters or not label:
            if not _PREFIXED.fullmatch(label):
                shown = shorten(label)
                raise MsvseError(f"label {shown!r} is not O, B-TYPE, I-TYPE or of a similar scheme")
            return token, label
        if len(columns) != self.width:
            reason = f"{len(columns)} columns, and most other lines have {self.width}"
            raise MsvseError(f"{shorten(line)!r} has {reason}")
        if _DOUBTFUL.fullmatch(label):
            shown = shorten(label)
            raise MsvseError(f"label {shown!r} is neither O, nor B-TYPE, nor a type")
        return token, f"I-{label}"


def _read_lines(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """The number of each line, its text, and the reason why it cannot be used."""
    for number, line in read_raw_lines(path):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            yield number, line.decode("utf-8", "replace"), "the line is not in UTF-8"
        else:
            problem = "the line has a carriage return in it" if "\r" in text else None
            yield number, text, problem


def _ends_post(line: str) -> bool:
    return not line.strip(" \t") or line.startswith(DOCUMENT_LINE)


def _split(line: str) -> list[str]:
    # A token may be an invisible character, so only the separator is removed.
    return line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]


def _group_pictures(image_root: str | Path) -> dict[str, list[str]]:
    """The files of a folder in order, grouped by the part of their name before an underscore."""
    groups = defaultdict(list)
    names = list_remote(image_root) if is_remote(image_root) else os.listdir(image_root)
    for name in sorted(names):
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


def _finish(
    path: Path, block: _Block, bad_rows: list[BadRow], labels: _Labels
) -> Iterator[PostRow]:
    problems = sorted(block.problems)
    if block.unnamed is not None and (block.line == block.unnamed[0] or block.tokens or problems):
        problems.insert(0, block.unnamed)
    if not problems and block.line and not block.tokens:
        problems = [(block.line, "the post has no tokens")]
    if problems:
        (line, reason), *others = problems
        if others:
            count = f"{len(others)} more line{'s' if len(others) > 1 else ''}"
            reason += f"; {count} of the post are malformed"
        bad_rows.append(BadRow(path, line, reason))
    elif block.tokens:
        yield _make_post(path, block, labels.scheme, strict=bool(labels.letters))


def _make_post(path: Path, block: _Block, scheme: str, *, strict: bool) -> PostRow:
    words = [word for word, _ in block.tokens]
    labels, stray_starts = _to_iob([label for _, label in block.tokens])
    starts = list(accumulate((len(word) + 1 for word in words), initial=0))
    entities = [
        (starts[first], starts[last] + len(words[last]), label)
        for label, first, last in tags_to_entities(iob_to_biluo(labels))
    ]
    post = PostRow(path, block.line, words, entities, scheme=scheme)
    post.stray_starts = stray_starts if strict else 0
    if block.pictures:
        post.images = [*block.pictures]
        post.meta = {"id": block.id}
    return post


def _to_iob(labels: list[str]) -> tuple[list[str], int]:
    """Labels of any scheme in IOB, and the number of entities that no letter begins."""
    converted, stray_starts, open_type = [], 0, None
    for label in labels:
        letter, type_ = label[0], label[2:]
        if label == OUTSIDE:
            converted.append(label)
            open_type = None
            continue
        begins = letter in STARTS or open_type != type_
        stray_starts += begins and letter not in STARTS
        converted.append(f"{'B' if begins else 'I'}-{type_}")
        open_type = None if letter in ENDS else type_
    return converted, stray_starts
