"""Count entities, pictures, views and duplicates in the splits of a corpus."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..component.architectures import default_views
from ..component.defaults import DEFAULT_CONFIG
from ..component.reader import given_views
from ..doc import DESCRIBING_ATTRIBUTES, get_picture_attributes
from ..errors import MsvseError
from ..picture_values import check_picture
from ..values import CHECKS
from ..vision.picture import (
    PictureError,
    decode_picture,
    find_picture,
    picture_key,
    picture_name,
    read_picture,
)
from .post import WORDS_GIVEN
from .reader import read_docs

#: How many examples are kept of each kind of occurrence.
MAX_EXAMPLES = 5

#: A link, also if a tokenizer split it into "http://t." and "co/...".
LINK = re.compile(r"https?:\S*(\s*co/\S+)?", re.IGNORECASE)

_PREFIX = re.compile(r"[BIMELSUW]-(?=.)")
_SEPARATORS = re.compile(r"[\W_]+")

#: What two posts may have in common.
TEXT, PICTURE, BOTH = KINDS = ("text", "picture", "text and picture")


@dataclass
class Occurrences:
    """How often something occurs, with the first examples.

    Attributes:
        count (int): The number of occurrences.
        examples (list[str]): The first `MAX_EXAMPLES` of them.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str, count: int = 1) -> None:
        """Add to the count.

        Args:
            example (str): The place.
            count (int): The number of occurrences there.
        """
        self.count += count
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


@dataclass
class PictureProblem:
    """A picture that cannot be used.

    Attributes:
        post (int): Number of the post in its split, from 1.
        picture (str): The path, or the number of bytes.
        reason (str): The reason.
    """

    post: int
    picture: str
    reason: str


@dataclass
class SplitAudit:
    """Counts of a split.

    Attributes:
        posts (int): Posts.
        tokens (int): Tokens.
        empty_posts (Occurrences): Posts without a word.
        labels (Counter): Entities by label.
        unannotated_posts (Occurrences): Posts in which no token is annotated.
        partly_annotated_posts (Occurrences): Posts in which some tokens are not annotated.
        misaligned_entities (Occurrences): Entities that begin or end inside a token of the
            tokenizer.
        whitespace_edges (Occurrences): Entities that begin or end with whitespace.
        punctuation_edges (Occurrences): Entities that begin or end with punctuation.
        pictures (int): Pictures of posts.
        posts_with_pictures (int): Posts with a picture.
        posts_with_several_pictures (int): Posts with more than one.
        readable (int): Pictures that can be read and decoded.
        missing (list): Pictures that do not exist.
        broken (list): Pictures that exist but cannot be decoded.
        refused (list): Pictures that must not be read: outside the picture folder, or a URL.
        described (int): Posts that give tags, a caption, further texts or region vectors.
        tags (int): Posts that give tags.
        captions (int): Posts that give a caption.
        texts (Counter): Posts that give each further text, by its name.
        region_widths (Counter): Posts that give region vectors, by their width.
        bad_values (Occurrences): Posts with tags, a caption, texts or region vectors that cannot be
            used. They are read without views.
        views (Counter): Posts that have each view: they give it, or they have a readable picture
            from which it can be extracted. The extractor may still find nothing.
        repeated_texts (Occurrences): Posts with the text of an earlier post.
        shared_pictures (Occurrences): Posts with a picture of an earlier post. Pictures are
            compared by content, or by name if they cannot be read.
        repeated_posts (Occurrences): Posts with the text and all pictures of an earlier post.
    """

    posts: int = 0
    tokens: int = 0
    empty_posts: Occurrences = field(default_factory=Occurrences)
    labels: Counter[str] = field(default_factory=Counter)
    unannotated_posts: Occurrences = field(default_factory=Occurrences)
    partly_annotated_posts: Occurrences = field(default_factory=Occurrences)
    misaligned_entities: Occurrences = field(default_factory=Occurrences)
    whitespace_edges: Occurrences = field(default_factory=Occurrences)
    punctuation_edges: Occurrences = field(default_factory=Occurrences)
    pictures: int = 0
    posts_with_pictures: int = 0
    posts_with_several_pictures: int = 0
    readable: int = 0
    missing: list[PictureProblem] = field(default_factory=list)
    broken: list[PictureProblem] = field(default_factory=list)
    refused: list[PictureProblem] = field(default_factory=list)
    described: int = 0
    tags: int = 0
    captions: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    region_widths: Counter[int] = field(default_factory=Counter)
    bad_values: Occurrences = field(default_factory=Occurrences)
    views: Counter[str] = field(default_factory=Counter)
    repeated_texts: Occurrences = field(default_factory=Occurrences)
    shared_pictures: Occurrences = field(default_factory=Occurrences)
    repeated_posts: Occurrences = field(default_factory=Occurrences)

    @property
    def entities(self) -> int:
        """The number of entities of all labels."""
        return self.labels.total()

    def view_share(self, view: str) -> float:
        """The share of posts that have a view.

        Args:
            view (str): Name of the view.

        Returns:
            float: In [0, 1].
        """
        return self.views[view] / max(1, self.posts)


@dataclass
class Leak:
    """What two splits have in common.

    Attributes:
        kind (str): One of `KINDS`.
        earlier (str): Name of the training split, or of the split that is closer to it.
        later (str): Name of the other split.
        posts (Occurrences): Posts of the later split whose text, or one of whose pictures, is in
            the earlier split.
    """

    kind: str
    earlier: str
    later: str
    posts: Occurrences


@dataclass
class Audit:
    """Counts of a corpus.

    Attributes:
        splits (dict): Counts by the name of the split.
        leaks (list): What each pair of splits has in common, also if that is nothing.
        image_root (str): The picture folder, or None.
        views (tuple): The views that were counted.
    """

    splits: dict[str, SplitAudit]
    leaks: list[Leak]
    image_root: str | None
    views: tuple[str, ...]

    def similar_labels(self) -> list[Counter[str]]:
        """Find labels that are probably one: they differ only in case, blanks, separators or the
        prefix of a token's label.

        Returns:
            list[Counter]: Groups of labels with their entities in all splits. A label alone is a
                group if it has a blank at an edge, or a prefix.
        """
        groups: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for split in self.splits.values():
            for label, count in split.labels.items():
                groups[_SEPARATORS.sub("", _PREFIX.sub("", label.strip())).casefold()][label] += (
                    count
                )
        return [
            group
            for group in groups.values()
            if len(group) > 1 or any(_PREFIX.match(one) or one != one.strip() for one in group)
        ]


def audit(
    paths: Mapping[str, str | Path],
    nlp: Language,
    *,
    image_root: str | Path | None = None,
    views: Sequence[str] | None = None,
    extracted: Collection[str] | None = None,
    progress: bool = False,
) -> Audit:
    """Check the splits of a corpus. Every picture is decoded, one at a time, and none is kept.

    Args:
        paths (Mapping): Name of each split to its `.spacy` file or folder, the training split
            first.
        nlp (Language): The tokenizer that training will use.
        image_root (Path): The only folder from which pictures are read; None allows any path.
        views (Sequence[str]): The views that a pipeline will read. Defaults to those of the default
            config.
        extracted (Collection[str]): The views that an extractor can fill from a picture. Defaults
            to those of the default config.
        progress (bool): Whether to show a progress bar.

    Returns:
        Audit: The counts.

    Raises:
        MsvseError: If the posts of a path cannot be read (MSVSE-E033, MSVSE-E042, MSVSE-E130).
    """
    if views is None:
        views = default_views()
    if extracted is None:
        extracted = [view for view in views if DEFAULT_CONFIG["vision"].get(view)]
    pictures = _PictureChecker(image_root)
    contents = {}
    splits = {}
    for name, path in paths.items():
        auditor = _SplitAuditor(nlp, pictures, views, extracted)
        for doc in read_docs(path, nlp, progress=progress):
            auditor.count(doc)
        splits[name], contents[name] = auditor.counts, auditor.contents
    leaks = [
        _find_leak(kind, earlier, later, contents)
        for earlier, later in combinations(paths, 2)
        for kind in KINDS
    ]
    return Audit(splits, leaks, None if image_root is None else str(image_root), tuple(views))


def normalize(text: str) -> str:
    """Find a form that is the same for texts that differ only in case, space and links.

    Corpora with the same posts tokenize them differently: "@user" or "@", "user"; with the link,
    without it or with half of it.

    Args:
        text (str): The text.

    Returns:
        str: The form. It is empty only if the text is.
    """
    return _squeeze(LINK.sub("", text)) or _squeeze(text)


def _squeeze(text: str) -> str:
    return "".join(text.split()).casefold()


class _Contents:
    """The texts and pictures of a split: those of each post, and all of them."""

    def __init__(self) -> None:
        self.posts: dict[str, list[tuple[set[Any], str]]] = {kind: [] for kind in KINDS}
        self.known: dict[str, set[Any]] = {kind: set() for kind in KINDS}

    def add(self, kind: str, contents: Iterable[Any], name: str) -> bool:
        """Add a post; return whether an earlier post has one of its contents."""
        own = set(contents)
        is_known = not own.isdisjoint(self.known[kind])
        self.posts[kind].append((own, name))
        self.known[kind] |= own
        return is_known


def _find_leak(kind: str, earlier: str, later: str, contents: Mapping[str, _Contents]) -> Leak:
    posts = Occurrences()
    known = contents[earlier].known[kind]
    for own, name in contents[later].posts[kind]:
        if not own.isdisjoint(known):
            posts.add(name)
    return Leak(kind, earlier, later, posts)


@dataclass
class _CheckedPicture:
    """The result for a picture: `status` is a field of `SplitAudit`, `key` identifies it."""

    status: str
    key: str | None = None
    reason: str = ""


class _PictureChecker:
    """Reads pictures, and decodes each content once."""

    def __init__(self, image_root: str | Path | None) -> None:
        self.image_root = image_root
        self._readable: set[str] = set()

    def check(self, source: Any) -> _CheckedPicture:
        """Check an item of `doc._.images`."""
        try:
            source = check_picture(source)
        except MsvseError as error:
            return _CheckedPicture("refused", reason=str(error))
        # A picture that cannot be read is identified by its name.
        name = source if isinstance(source, str) else None
        try:
            if isinstance(source, str):
                find_picture(source, self.image_root)
        except PictureError as error:
            return _CheckedPicture("refused", name, str(error))
        try:
            data = read_picture(source, self.image_root)
            key = picture_key(data)
            if key not in self._readable:
                # All bytes are decoded at any size, and a small size is faster.
                decode_picture(data, picture_name(source), shrink_to=1)
                self._readable.add(key)
        except PictureError as error:
            missing = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
            return _CheckedPicture("missing" if missing else "broken", name, str(error))
        return _CheckedPicture("readable", key)


class _SplitAuditor:
    """Counts the posts of one split, one by one."""

    def __init__(
        self,
        nlp: Language,
        pictures: _PictureChecker,
        views: Sequence[str],
        extracted: Collection[str],
    ) -> None:
        self.nlp = nlp
        self.pictures = pictures
        self.views = views
        self.extracted = extracted
        self.counts = SplitAudit()
        self.contents = _Contents()

    def count(self, doc: Doc) -> None:
        """Add a gold post to the counts."""
        counts = self.counts
        counts.posts += 1
        counts.tokens += len(doc)
        values = get_picture_attributes(doc)
        self._count_entities(doc)
        self._count_descriptions(values)
        checked = self._count_pictures(values.get("images"))
        readable = any(one.status == "readable" for one in checked)
        counts.views.update(self._find_views(doc, readable))
        keys = [one.key for one in checked if one.key is not None]
        text = normalize(doc.text)
        if not text:
            counts.empty_posts.add(f"post {counts.posts}")
            return
        name = f"post {counts.posts}: {_shorten(doc.text)}"
        if self.contents.add(TEXT, [text], name):
            counts.repeated_texts.add(name)
        if keys and self.contents.add(BOTH, [(text, *keys)], name):
            counts.repeated_posts.add(name)

    def _find_views(self, doc: Doc, readable: bool) -> dict[str, int]:
        """1 for each view that the post has: it gives it, or it can be extracted; else 0."""
        try:
            given = given_views(doc)
        except MsvseError:  # a file may hold anything, and such a post is read without views
            return dict.fromkeys(self.views, 0)
        extracted = self.extracted if readable else ()
        return {view: bool(given.get(view, view in extracted)) for view in self.views}

    def _count_entities(self, doc: Doc) -> None:
        counts = self.counts
        counts.labels.update(entity.label_ for entity in doc.ents)
        name = f"post {counts.posts}: {_shorten(doc.text)}"
        unknown = sum(not token.ent_iob for token in doc)
        if unknown and unknown == len(doc):
            counts.unannotated_posts.add(name)
        elif unknown:
            counts.partly_annotated_posts.add(name)
        # Training tokenizes the text again, unless the post was given as words.
        given = doc.has_unknown_spaces or doc.user_data.get(WORDS_GIVEN)
        tokenized = doc if given else self.nlp.make_doc(doc.text)
        for entity in doc.ents:
            name = f"post {counts.posts}: {entity.text!r} ({entity.label_})"
            first, last = entity[0], entity[-1]
            if tokenized.char_span(entity.start_char, entity.end_char) is None:
                counts.misaligned_entities.add(name)
            if first.is_space or last.is_space:
                counts.whitespace_edges.add(name)
            elif first.is_punct or last.is_punct:
                counts.punctuation_edges.add(name)

    def _count_descriptions(self, values: Mapping[str, Any]) -> None:
        counts = self.counts
        counts.described += any(name in values for name in DESCRIBING_ATTRIBUTES)
        usable = {}
        for name in DESCRIBING_ATTRIBUTES:
            try:
                usable[name] = CHECKS[name](values.get(name))
            except MsvseError:  # a file may hold anything
                counts.bad_values.add(f"post {counts.posts}: {name}")
        counts.tags += bool(usable.get("image_tags"))
        counts.captions += bool(usable.get("image_caption"))
        texts = usable.get("image_texts") or {}
        counts.texts.update(name for name, text in texts.items() if text)
        features = usable.get("image_features")
        parts = features if isinstance(features, list) else [features]
        vectors = next((one for one in parts if one is not None and not isinstance(one, str)), None)
        if vectors is not None:
            counts.region_widths[vectors.shape[1]] += 1

    def _count_pictures(self, sources: Any) -> list[_CheckedPicture]:
        if sources is None:
            return []
        # A file may hold anything.
        sources = sources if isinstance(sources, list) else [sources]
        self.counts.posts_with_pictures += 1
        self.counts.posts_with_several_pictures += len(sources) > 1
        named = [self._count_picture(source) for source in sources]
        names = [f"post {self.counts.posts}: {name}" for name, _ in named]
        keys = {one.key: name for name, (_, one) in zip(names, named, strict=True) if one.key}
        shared = [name for key, name in keys.items() if key in self.contents.known[PICTURE]]
        if keys and self.contents.add(PICTURE, keys, [*shared, *keys.values()][0]):
            self.counts.shared_pictures.add(shared[0])
        return [checked for _, checked in named]

    def _count_picture(self, source: Any) -> tuple[str, _CheckedPicture]:
        """Count a picture; return its name and the result."""
        counts = self.counts
        counts.pictures += 1
        checked = self.pictures.check(source)
        name = picture_name(source) if isinstance(source, str | bytes) else repr(source)
        if checked.status == "readable":
            counts.readable += 1
        else:
            getattr(counts, checked.status).append(
                PictureProblem(counts.posts, name, checked.reason)
            )
        return name, checked


def _shorten(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
