"""Count what is in the splits of a corpus: entities, pictures, views, and what splits share."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training.corpus import FILE_TYPE, walk_corpus
from tqdm import tqdm

from ..doc import DESCRIBING_ATTRIBUTES, get_picture_attributes
from ..errors import Errors, MsvseError
from ..network.config import REGIONS
from ..vision.picture import (
    PictureError,
    decode_picture,
    picture_key,
    picture_name,
    read_picture,
    resolve_picture_path,
)

#: How many examples of a finding are kept.
MAX_EXAMPLES = 5

#: A link, also one that a tokenizer cut into "http://t." and "co/...".
LINK = re.compile(r"https?:\S*(\s*co/\S+)?", re.IGNORECASE)

#: What posts may have in common.
TEXT, PICTURE, BOTH = KINDS = ("text", "picture", "text and picture")


@dataclass
class Finding:
    """How often something was found, and where first.

    count (int): How often.
    examples (list[str]): The first few.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str, count: int = 1) -> None:
        """Count in.

        example (str): Where it was found.
        count (int): How often.
        """
        self.count += count
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


@dataclass
class PictureProblem:
    """A picture that cannot be used.

    post (int): Number of the post in its split, from 1.
    picture (str): The path, or the number of bytes.
    reason (str): What is wrong.
    """

    post: int
    picture: str
    reason: str


@dataclass
class SplitAudit:
    """What was counted in a split.

    posts (int): Posts.
    tokens (int): Tokens.
    empty_posts (Finding): Posts without a word.
    labels (Counter): Entities by label.
    unannotated_posts (Finding): Posts in which no token says whether it is of an entity.
    partly_annotated_posts (Finding): Posts in which some tokens do not.
    misaligned_entities (Finding): Entities that begin or end inside a token of the tokenizer.
    whitespace_edges (Finding): Entities that begin or end with whitespace.
    punctuation_edges (Finding): Entities that begin or end with punctuation.
    pictures (int): Posts that reference a picture.
    readable (int): Those whose picture can be read and decoded.
    missing (list): Those whose picture is not there.
    broken (list): Those whose picture is there but cannot be decoded.
    refused (list): Those whose picture must not be read: outside the picture folder, or a URL.
    described (int): Posts that bring tags, a caption, further texts or region vectors.
    tags (int): Posts that bring tags.
    captions (int): Posts that bring a caption.
    texts (Counter): Posts that bring each further text, by its name.
    region_widths (Counter): Posts that bring region vectors, by their width.
    bad_regions (Finding): Posts whose region vectors are no table of numbers, or an empty one.
    views (Counter): Posts that carry each view: bring it, or have a picture to extract it from, in
        which an extractor may yet find nothing.
    repeated_texts (Finding): Posts whose text an earlier one has.
    shared_pictures (Finding): Posts whose picture an earlier one has: by content, or by name where
        it cannot be read.
    repeated_posts (Finding): Posts whose text and picture an earlier one has.
    """

    posts: int = 0
    tokens: int = 0
    empty_posts: Finding = field(default_factory=Finding)
    labels: Counter[str] = field(default_factory=Counter)
    unannotated_posts: Finding = field(default_factory=Finding)
    partly_annotated_posts: Finding = field(default_factory=Finding)
    misaligned_entities: Finding = field(default_factory=Finding)
    whitespace_edges: Finding = field(default_factory=Finding)
    punctuation_edges: Finding = field(default_factory=Finding)
    pictures: int = 0
    readable: int = 0
    missing: list[PictureProblem] = field(default_factory=list)
    broken: list[PictureProblem] = field(default_factory=list)
    refused: list[PictureProblem] = field(default_factory=list)
    described: int = 0
    tags: int = 0
    captions: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    region_widths: Counter[int] = field(default_factory=Counter)
    bad_regions: Finding = field(default_factory=Finding)
    views: Counter[str] = field(default_factory=Counter)
    repeated_texts: Finding = field(default_factory=Finding)
    shared_pictures: Finding = field(default_factory=Finding)
    repeated_posts: Finding = field(default_factory=Finding)

    @property
    def entities(self) -> int:
        """Entities of all labels."""
        return self.labels.total()

    def view_share(self, view: str) -> float:
        """The share of posts that carry a view.

        view (str): Name of the view.
        RETURNS (float): In [0, 1].
        """
        return self.views[view] / max(1, self.posts)


@dataclass
class Leak:
    """What two splits share.

    kind (str): One of `KINDS`.
    earlier (str): Name of the split that is trained on, or nearer to it.
    later (str): Name of the other.
    posts (Finding): Posts of the later one whose text or picture the earlier one has.
    """

    kind: str
    earlier: str
    later: str
    posts: Finding


@dataclass
class Audit:
    """What was counted in a corpus.

    splits (dict): Name to counts.
    leaks (list): What each two splits share, also if it is nothing.
    image_root (str): The picture folder, or None.
    views (tuple): The views that the posts were looked through for.
    """

    splits: dict[str, SplitAudit]
    leaks: list[Leak]
    image_root: str | None
    views: tuple[str, ...]


def audit(
    paths: Mapping[str, str | Path],
    nlp: Language,
    *,
    image_root: str | Path | None = None,
    views: Sequence[str] = (REGIONS, "tags", "caption"),
    extracted: Collection[str] = (REGIONS, "tags", "caption"),
    progress: bool = False,
) -> Audit:
    """Look through the splits of a corpus. Every picture is decoded, one at a time, and none kept.

    paths (Mapping): Name of each split to its `.spacy` file or folder, training first.
    nlp (Language): The tokenizer that training will use.
    image_root (Path): The only folder to read pictures from; None allows any path.
    views (Sequence[str]): The views that a pipeline will read.
    extracted (Collection[str]): Those that an extractor fills from a picture.
    progress (bool): Whether to show a progress bar.
    RETURNS (Audit): The counts.
    RAISES (ValueError): If a path holds no posts that can be read (MSVSE-E042).
    """
    looker = _Looker(image_root)
    contents = {}
    splits = {}
    for name, path in paths.items():
        auditor = _SplitAuditor(nlp, looker, views, extracted)
        for doc in read_docs(path, nlp, progress=progress):
            auditor.count(doc)
        splits[name], contents[name] = auditor.found, auditor.contents
    leaks = [
        _find_leak(kind, earlier, later, contents)
        for earlier, later in combinations(paths, 2)
        for kind in KINDS
    ]
    return Audit(splits, leaks, None if image_root is None else str(image_root), tuple(views))


def read_docs(path: str | Path, nlp: Language, *, progress: bool = False) -> Iterator[Doc]:
    """Read gold Docs one by one.

    path (Path): A `.spacy` file or a folder of such files.
    nlp (Language): Gives the vocabulary.
    progress (bool): Whether to show a progress bar for each file.
    YIELDS (Doc): The Docs.
    RAISES (ValueError): If there is no such file, or one that cannot be read (MSVSE-E042).
    """
    files = walk_corpus(path, FILE_TYPE) if Path(path).exists() else []
    if not files:
        raise MsvseError(Errors.E042.format(path=path, reason=f"it is no {FILE_TYPE} file"))
    for file in files:
        try:
            doc_bin = DocBin().from_disk(file)
        except Exception as error:  # zlib's, msgpack's, or a key that is missing
            raise MsvseError(Errors.E042.format(path=file, reason=error)) from error
        docs = doc_bin.get_docs(nlp.vocab)
        yield from tqdm(
            docs, total=len(doc_bin), desc=Path(file).name, unit=" posts", disable=not progress
        )


def normalize(text: str) -> str:
    """Bring texts that differ in case, space and links only to the same form.

    Corpora that share posts cut them differently: "@user" or "@", "user"; with their links, without
    them or with half of one.

    text (str): A text.
    RETURNS (str): The form; empty only if the text is.
    """
    return _squeeze(LINK.sub("", text)) or _squeeze(text)


def _squeeze(text: str) -> str:
    return "".join(text.split()).casefold()


class _Contents:
    """How many posts of a split have a text, a picture or both, and a name for each."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[Any]] = {kind: Counter() for kind in KINDS}
        self.names: dict[str, dict[Any, str]] = {kind: {} for kind in KINDS}

    def add(self, kind: str, content: Any, name: str) -> bool:
        """Count a post in, and tell whether an earlier one has the same content."""
        self.counts[kind][content] += 1
        self.names[kind].setdefault(content, name)
        return self.counts[kind][content] > 1


def _find_leak(kind: str, earlier: str, later: str, contents: Mapping[str, _Contents]) -> Leak:
    posts = Finding()
    known = contents[earlier].counts[kind]
    for content, count in contents[later].counts[kind].items():
        if content in known:
            posts.add(contents[later].names[kind][content], count)
    return Leak(kind, earlier, later, posts)


@dataclass
class _Look:
    """What became of a picture: `status` is a field of `SplitAudit`, `key` tells it from others."""

    status: str
    key: str | None = None
    reason: str = ""


class _Looker:
    """Reads pictures, and decodes each content once."""

    def __init__(self, image_root: str | Path | None) -> None:
        self.image_root = image_root
        self._readable: set[str] = set()

    def look(self, source: Any) -> _Look:
        """Look at a picture.

        source (Any): What stands in `doc._.image`.
        RETURNS (_Look): What became of it.
        """
        if not isinstance(source, str | bytes):
            return _Look("refused", reason=Errors.E008.format(type=type(source).__name__))
        # The name has to do where the content cannot be read.
        name = source if isinstance(source, str) else None
        try:
            if isinstance(source, str):
                resolve_picture_path(source, self.image_root)
        except PictureError as error:
            return _Look("refused", name, str(error))
        try:
            data = read_picture(source, self.image_root)
            key = picture_key(data)
            if key not in self._readable:
                # Damage further on shows at any size; a small one is decoded faster.
                decode_picture(data, picture_name(source), shrink_to=1)
                self._readable.add(key)
        except PictureError as error:
            missing = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
            return _Look("missing" if missing else "broken", name, str(error))
        return _Look("readable", key)


class _SplitAuditor:
    """Counts the posts of one split, one by one."""

    def __init__(
        self, nlp: Language, looker: _Looker, views: Sequence[str], extracted: Collection[str]
    ) -> None:
        self.nlp = nlp
        self.looker = looker
        self.views = views
        self.extracted = extracted
        self.found = SplitAudit()
        self.contents = _Contents()

    def count(self, doc: Doc) -> None:
        """Count a post in.

        doc (Doc): The gold post.
        """
        found = self.found
        found.posts += 1
        found.tokens += len(doc)
        values = get_picture_attributes(doc)
        self._count_entities(doc)
        self._count_descriptions(values)
        look = self._count_picture(values.get("image") or None)
        for view in self.views:
            value = _given(values, view)
            if value is None:
                carried = look.status == "readable" and view in self.extracted
            else:
                carried = len(value) > 0
            found.views[view] += carried
        text = normalize(doc.text)
        if not text:
            found.empty_posts.add(f"post {found.posts}")
            return
        name = f"post {found.posts}: {_shorten(doc.text)}"
        if self.contents.add(TEXT, text, name):
            found.repeated_texts.add(name)
        if look.key is not None and self.contents.add(BOTH, (text, look.key), name):
            found.repeated_posts.add(name)

    def _count_entities(self, doc: Doc) -> None:
        found = self.found
        found.labels.update(entity.label_ for entity in doc.ents)
        name = f"post {found.posts}: {_shorten(doc.text)}"
        unknown = sum(not token.ent_iob for token in doc)
        if unknown and unknown == len(doc):
            found.unannotated_posts.add(name)
        elif unknown:
            found.partly_annotated_posts.add(name)
        # Training tokenizes anew unless the post was given as words.
        tokenized = doc if doc.has_unknown_spaces else self.nlp.make_doc(doc.text)
        for entity in doc.ents:
            name = f"post {found.posts}: {entity.text!r} ({entity.label_})"
            first, last = entity[0], entity[-1]
            if tokenized.char_span(entity.start_char, entity.end_char) is None:
                found.misaligned_entities.add(name)
            if first.is_space or last.is_space:
                found.whitespace_edges.add(name)
            elif first.is_punct or last.is_punct:
                found.punctuation_edges.add(name)

    def _count_descriptions(self, values: Mapping[str, Any]) -> None:
        found = self.found
        found.described += any(name in values for name in DESCRIBING_ATTRIBUTES)
        found.tags += bool(values.get("image_tags"))
        found.captions += bool(values.get("image_caption"))
        found.texts.update(name for name, text in values.get("image_texts", {}).items() if text)
        vectors = values.get("image_features")
        if vectors is None or isinstance(vectors, str):
            return
        try:
            rows, width = np.asarray(vectors, dtype="float32").shape
        except ValueError:  # of another number of dimensions, ragged, or no numbers
            rows, width = 0, 0
        if rows:
            found.region_widths[width] += 1
        else:
            found.bad_regions.add(f"post {found.posts}")

    def _count_picture(self, source: Any) -> _Look:
        found = self.found
        if source is None:
            return _Look("absent")
        found.pictures += 1
        look = self.looker.look(source)
        name = picture_name(source) if isinstance(source, str | bytes) else repr(source)
        if look.status == "readable":
            found.readable += 1
        else:
            getattr(found, look.status).append(PictureProblem(found.posts, name, look.reason))
        if look.key and self.contents.add(PICTURE, look.key, f"post {found.posts}: {name}"):
            found.shared_pictures.add(f"post {found.posts}: {name}")
        return look


def _given(values: Mapping[str, Any], view: str) -> Any:
    """What a post itself says of a view; None if it says nothing."""
    if view == REGIONS:
        return values.get("image_features")
    if view in ("tags", "caption"):
        return values.get(f"image_{view}")
    return values.get("image_texts", {}).get(view)


def _shorten(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
