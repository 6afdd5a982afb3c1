"""Posts in CoNLL columns, with picture names in `IMGID:` or `WID:` lines."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import Errors, MsvseError
from ..vision.remote import is_remote, list_remote
from .rows import Row, read_raw_lines, shorten
from .schemes import (
    CONTEXT,
    OUTSIDE,
    find_letters,
    get_type,
    has_context,
    make_spans,
    name_scheme,
    read_label,
)

#: Beginnings of lines that name one picture (Twitter) or several pictures (Weibo).
PICTURES_LINE = "WID:"
NAMING_LINES = ("IMGID:", PICTURES_LINE)
DOCUMENT_LINE = "-DOCSTART-"

#: A comment before the first token of a post, as in CoNLL-U (`# sent_id = 1`) and MultiCoNER
#: (`# id 1`). `#` may also be a token.
COMMENT = re.compile(
    r"# +(?:(?P<name>[\w.]+) *= *(?P<value>.*)|id (?P<id>\S+).*|new(?:doc|par)\b.*)"
)

#: Names of comments that give the id of a post.
ID_NAMES = ("id", "sent_id")

#: The endings of picture files. An id with one of them is the name of the file.
_PICTURE_FILE = re.compile(r".+\.(jpe?g|png|gif|webp|bmp|tiff?|avif|heic|heif)", re.I)

_NAME, _END, _COMMENT, _TOKEN = "name", "end", "comment", "token"


def read_conll(
    path: Path,
    *,
    image_root: str | Path | None = None,
    image_suffix: str = ".jpg",
    token_column: int = 1,
    label_column: int | None = None,
) -> Iterator[Row]:
    """Read posts with one token on each line: by default, the token first and its label last.

    A line `IMGID:<id>` starts a post and names its picture; a blank line ends the post. If no new
    name follows the blank line, the next post has the same picture. An id that ends like a picture
    file is the name of the file.

    A line `WID:<id>` names every file of the picture folder whose name starts with `<id>_`, and
    may give several ids. The post has all these pictures, in the order of their names.

    Comments such as `# id <id>` or `# sent_id = <id>` may stand before the first token of a post;
    the id goes to the post's `meta`.

    Labels are those of IOB1, IOB2, BIOES, BMES, BMEWO or BILOU. If no label of the file has a
    prefix, each label is a type, and neighbouring tokens of the same type are one entity. An entity
    that is continued but not begun, or begun but not ended, is read as in the usual scorers.

    A token that is empty and labelled O is left out: an invisible character was lost. In a file
    with other types, tokens with the label or the type X are context: they are no words
    of the post, and are in its texts, under "context".

    Args:
        path (Path): The file.
        image_root (str / Path): The folder of the pictures, needed for `WID:` lines whose posts
            have several.
        image_suffix (str): Ending that turns the id of a picture into its file name.
        token_column (int): The column of the token, from 1.
        label_column (int): The column of the label, from 1; None for the last.

    Yields:
        Row: The posts. One that cannot be used is one row with the first problem and its line.

    Raises:
        MsvseError: If a column is no column of tokens or labels (MSVSE-E140, E081), or the file is
            not text (MSVSE-E130, E131, E132).
    """
    for name, column in (("token_column", token_column), ("label_column", label_column)):
        if column is not None and column < 1:
            raise MsvseError(Errors.E081.format(setting=name, value=column, expected="at least 1"))
    if token_column == label_column:
        expected = "another column than that of the tokens"
        setting = {"setting": "label_column", "value": label_column, "expected": expected}
        raise MsvseError(Errors.E081.format(**setting))
    labels = _Labels(path, token_column, label_column)
    folder = _group_pictures(image_root) if image_root else {}
    block = _Block()
    for kind, number, line, problem in _read_lines(path):
        if kind == _NAME:
            yield from _finish(path, block, labels)
            comment_id = None if block.tokens or block.problems else block.comment_id
            block = _Block(number, line.partition(":")[2].strip(), comment_id=comment_id)
            block.pictures = _name_pictures(line, block.id, folder, image_suffix)
            if not block.pictures:
                problem = problem or f"{shorten(line)!r} names no picture"
            if problem is not None:
                block.unnamed = (number, problem)
        elif kind == _COMMENT:
            block.comment_id = _find_id(line) or block.comment_id
        elif kind == _END:
            if block.tokens or block.problems:
                yield from _finish(path, block, labels)
                block = replace(block, line=0, tokens=[], problems=[], comment_id=None)
        else:
            block.line = block.line or number
            try:
                if problem is not None:
                    raise MsvseError(problem)
                block.tokens.append(labels.read_token(line))
            except MsvseError as error:
                block.problems.append((number, str(error)))
    # The last post is often not followed by a blank line.
    yield from _finish(path, block, labels)


@dataclass
class _Block:
    """The lines of one post: the first line, the id, the pictures, (token, label) pairs, the
    problems of single lines as (line, reason), and the id of a comment. `unnamed` is the problem of
    the line that names the pictures."""

    line: int = 0
    id: str = ""
    pictures: list[str] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unnamed: tuple[int, str] | None = None
    comment_id: str | None = None


class _Labels:
    """The labels of a file. Their scheme is that of the whole file, which is read once for it."""

    def __init__(self, path: Path, token_column: int, column: int | None) -> None:
        self.token_column = token_column
        self.column = column
        self.columns = max(2, token_column, column or 0)
        labels: Counter[str] = Counter()
        widths: Counter[int] = Counter()
        # Entities that I begins, and those that B begins but need not in IOB1, or must not.
        inside = adjacent = apart = 0
        previous = OUTSIDE
        for kind, _, line, problem in _read_lines(path):
            columns = _split(line) if kind == _TOKEN and problem is None else []
            if len(columns) < self.columns:
                previous = OUTSIDE
                continue
            label = self._pick(columns)
            labels[label] += 1
            widths[len(columns)] += 1
            continues = get_type(label) == get_type(previous)
            inside += label[:2] == "I-" and not continues
            adjacent += label[:2] == "B-" and continues
            apart += label[:2] == "B-" and not continues
            previous = label
        self.context = has_context(labels)
        self.letters = find_letters(labels, context=self.context)
        self.width = widths.most_common(1)[0][0] if widths else 0
        if labels and OUTSIDE not in labels and not self.letters:
            names = ", ".join(repr(shorten(label, 20)) for label in list(labels)[:5])
            shown = "the last one" if column is None else column
            raise MsvseError(Errors.E140.format(path=path, column=shown, labels=names))
        self.scheme = name_scheme(self.letters, types=bool(set(labels) - {OUTSIDE}))
        #: Whether the scheme begins each entity with a letter of its own.
        self.strict = bool(self.letters)
        if self.letters <= set("BI") and inside and not apart:
            self.scheme, self.strict = "IOB1" if adjacent else "IO", False

    def _pick(self, columns: list[str]) -> str:
        return columns[(self.column or 0) - 1].strip()

    def read_token(self, line: str) -> tuple[str, str]:
        """Read the token and the label of a line; the label has a prefix, or is X."""
        columns = _split(line)
        if len(columns) < self.columns:
            place = "" if self.column is None else f" in column {self.column}"
            raise MsvseError(f"a token and a label{place} are expected, not {shorten(line)!r}")
        token, label = columns[self.token_column - 1], self._pick(columns)
        if not token and label != OUTSIDE:
            raise MsvseError(f"the token is empty, and its label is {shorten(label)!r}")
        if self.context and get_type(label) == CONTEXT:
            return token, CONTEXT
        found = read_label(label, prefixed=bool(self.letters))
        if found != label and len(columns) != self.width:
            reason = f"{len(columns)} columns, and most other lines have {self.width}"
            raise MsvseError(f"{shorten(line)!r} has {reason}")
        return token, found


def _read_lines(path: Path) -> Iterator[tuple[str, int, str, str | None]]:
    """The kind of each line, its number, its text, and the reason why it cannot be used."""
    begun = False  # whether a token of the post was read
    for number, raw in read_raw_lines(path):
        problem = None
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            line, problem = raw.decode("utf-8", "replace"), "the line is not in UTF-8"
        if problem is None and "\r" in line:
            problem = "the line has a carriage return in it"
        kind = _TOKEN
        if line.startswith(NAMING_LINES) and "\t" not in line:
            kind = _NAME
        elif not line.strip(" \t") or line.startswith(DOCUMENT_LINE):
            kind = _END
        elif not begun and COMMENT.fullmatch(line):
            kind = _COMMENT
        begun = kind == _TOKEN
        yield kind, number, line, problem


def _find_id(comment: str) -> str | None:
    found = COMMENT.fullmatch(comment)
    if found is None:
        return None
    return found["id"] or (found["value"].strip() if found["name"] in ID_NAMES else None) or None


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
        is_file = part.endswith(image_suffix) or _PICTURE_FILE.fullmatch(part)
        return part if is_file else part + image_suffix

    if not line.startswith(PICTURES_LINE):
        return [name(id_)] if id_ else []
    groups = [folder.get(part, [name(part)]) for part in re.split(r"[\s,;]+", id_) if part]
    return [picture for group in groups for picture in group]


def _finish(path: Path, block: _Block, labels: _Labels) -> Iterator[Row]:
    problems = sorted(block.problems)
    if block.unnamed is not None and (block.line == block.unnamed[0] or block.tokens or problems):
        problems.insert(0, block.unnamed)
    own = [(token, label) for token, label in block.tokens if token and label != CONTEXT]
    if not problems and block.line and not own:
        kind = "no tokens but those of context (X)" if any(map(_is_context, block.tokens)) else ""
        problems = [(block.line, f"the post has {kind or 'no tokens'}")]
    if problems:
        (line, reason), *others = problems
        if others:
            count = f"{len(others)} more line{'s' if len(others) > 1 else ''}"
            reason += f"; {count} of the post are malformed"
        values = {"words": [token for token, _ in block.tokens]} if block.tokens else {}
        yield Row(path, line, values, reason)
    elif own:
        yield _make_row(path, block, own, labels)


def _is_context(token: tuple[str, str]) -> bool:
    return token[1] == CONTEXT


def _make_row(path: Path, block: _Block, own: list[tuple[str, str]], labels: _Labels) -> Row:
    words = [word for word, _ in own]
    spans, stray_starts = make_spans(words, [label for _, label in own])
    values: dict[str, Any] = {"words": words, "spans": spans}
    context = [token for token, _ in filter(_is_context, block.tokens)]
    if context:
        values["texts"] = {"context": " ".join(context)}
    ids = {"id": block.comment_id} if block.comment_id else {}
    if block.pictures:
        values["images" if len(block.pictures) > 1 else "image"] = (
            [*block.pictures] if len(block.pictures) > 1 else block.pictures[0]
        )
        ids = {"id": block.id} | ({"comment_id": block.comment_id} if block.comment_id else {})
    if ids:
        values["meta"] = ids
    return Row(
        path,
        block.line,
        values,
        scheme=labels.scheme,
        stray_starts=stray_starts if labels.strict else 0,
        tokens_left_out=len(block.tokens) - len(own),
    )
