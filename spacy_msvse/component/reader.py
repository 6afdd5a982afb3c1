"""Reads the views of Docs, and decides which are used, absent, unreadable or masked."""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ..doc import (
    ABSENT,
    MASKED,
    UNREADABLE,
    USED,
    check_numbers,
    get_picture_attributes,
    picture_sources,
)
from ..errors import Errors, MsvseError, Warnings
from ..network.base import Reads
from ..values import check_caption, check_features, check_regions, check_tags, check_texts
from ..vision.extraction import (
    Extraction,
    PostSource,
    Problem,
    extract_posts,
    reading_threads,
)
from ..vision.extractor import VisualExtractor
from ..vision.features import (
    Features,
    RegionFeatures,
    View,
    merge_features,
    without_pictures,
)
from ..vision.picture import Fetcher, PictureError
from ..vision.store import FeatureStore

#: How many pictures of a post are read by default.
MAX_PICTURES = 4


@dataclass
class ReadPost:
    """A Doc and the content of the views that the network reads.

    Attributes:
        doc (Doc): The text.
        vectors (dict): View to region vectors, for the views that are present.
        texts (dict): View to text, for the views that are present.
        status (dict): View to "used", "absent", "unreadable" or "masked". A view is used if it is
            from any of the pictures.
        problems (list): What could not be read, and why.
        extracted (dict): View to extracted value, in the form of the Doc's attributes.
        pictures (int): How many pictures are read.
        left_out (int): How many further pictures are not read.
        parts (dict): Number of a picture to the texts that were extracted from it, for the views
            that the network reads; empty for a post with one picture.
    """

    doc: Doc
    vectors: dict[str, RegionFeatures] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    extracted: dict[str, Any] = field(default_factory=dict)
    pictures: int = 0
    left_out: int = 0
    parts: dict[int, Features] = field(default_factory=dict)

    def without(self, views: Collection[str]) -> "ReadPost":
        """Mask views.

        Args:
            views (Collection): Names of views.

        Returns:
            ReadPost: The post, without the content of these views.
        """
        return replace(
            self,
            vectors={view: value for view, value in self.vectors.items() if view not in views},
            texts={view: value for view, value in self.texts.items() if view not in views},
            status={
                view: MASKED if view in views and status == USED else status
                for view, status in self.status.items()
            },
        )

    def without_picture(self, number: int) -> "ReadPost":
        """Mask what was read from one picture. Views that the user gave as one text, and texts of
        extractors that read whole posts, stay.

        Args:
            number (int): The number of the picture, from 0.

        Returns:
            ReadPost: The post, without the regions of the picture and its texts.
        """
        vectors = {view: without_pictures(one, [number]) for view, one in self.vectors.items()}
        others = {n: part for n, part in self.parts.items() if n != number}
        texts = {**self.texts}
        if number in self.parts:
            joined = merge_features(others)
            texts.update({view: join_words(joined.get(view, "")) for view in self.parts[number]})
        kept = {view: one for view, one in vectors.items() if one is not None}
        post = replace(self, vectors=kept, texts={v: text for v, text in texts.items() if text})
        gone = {*self.vectors, *self.texts} - {*post.vectors, *post.texts}
        return replace(post, status={**self.status, **dict.fromkeys(gone, MASKED)})


def join_words(content: View) -> str:
    """A textual view as the network reads it.

    Args:
        content (str / list[str]): A text, or words.

    Returns:
        str: The text, or the words with commas between them.
    """
    return ", ".join(content) if isinstance(content, list) else str(content)


@dataclass(frozen=True)
class Reader:
    """Reads the views of Docs: what the user gave first, then what extractors find.

    Attributes:
        reads (Reads): The views that the network reads.
        vision (VisualExtractor): The extractors; None reads only what the user gave.
        store (FeatureStore): The store of extracted features; None for no store.
        image_root (Path): The only folder to read pictures from; None allows any path.
        fetch (Callable): Fetches http and https URLs; None refuses them.
        policy (str): One of `POLICIES`.
        max_pictures (int): How many pictures of a post are read, the first ones.
    """

    reads: Reads
    vision: VisualExtractor | None = None
    store: FeatureStore | None = None
    image_root: str | Path | None = None
    fetch: Fetcher | None = None
    policy: str = "warn"
    max_pictures: int = MAX_PICTURES

    def read(self, docs: Sequence[Doc], masked: Collection[str] = ()) -> list[ReadPost]:
        """Read the views of Docs. A Doc with a value that cannot be used, which a file may hold,
        is read without views. Further pictures than `max_pictures` are not read, and are problems.

        Args:
            docs (Sequence[Doc]): The Docs.
            masked (Collection): Views that are not extracted and not used.

        Returns:
            list: A post for each Doc.

        Raises:
            Exception: The error of an extractor that fails on every item of its first batch.
            MsvseError: For a key that the store does not have (MSVSE-E014), a view of another form
                than the network reads (MSVSE-E170), an extractor without weights (MSVSE-E012), or a
                store that is damaged (MSVSE-E060) or cannot be written (MSVSE-E065). If the policy
                is "error", also for a value that cannot be used (MSVSE-E035; MSVSE-E014 for region
                vectors, MSVSE-E071 for regions, MSVSE-E240 for those of other pictures), a picture
                that cannot or must not be read (MSVSE-E020, MSVSE-E021, MSVSE-E022, MSVSE-E056) or
                that an extractor fails on (MSVSE-E061).
        """
        views = dict.fromkeys(self.reads.vectors, True)
        views.update(dict.fromkeys((*self.reads.texts, *self.reads.joint), False))
        sources: list[PostSource] = []
        refused: list[str | None] = []
        for doc in docs:
            try:
                sources.append(self._source(doc, views.keys() - {*masked}))
                refused.append(None)
            except MsvseError as error:
                if self.policy == "error":
                    raise
                sources.append(PostSource(doc.text, views=frozenset()))
                refused.append(str(error))
        extractions = self._extract(sources)
        for doc, extraction, reason in zip(docs, extractions, refused, strict=True):
            if reason is None and (keys := stored_keys(doc)):
                self._add_stored(extraction, keys[: self.max_pictures])
        failed = [one.problems[0].reason for one in extractions if one.problems]
        self._report([*failed, *filter(None, refused)])
        posts = []
        for doc, source, extraction, reason in zip(
            docs, sources, extractions, refused, strict=True
        ):
            post = ReadPost(doc, extracted=attributes(extraction.features))
            problems = [Problem(None, None, reason)] if reason else extraction.problems
            for view, is_vectors in views.items():
                content = source.given.get(view, extraction.features.get(view))
                found = [one for one in problems if one.view in (view, None)]
                self._add(post, view, content, found, view in masked, is_vectors)
            if reason is None and views:
                self._count_pictures(post, source, extraction)
            posts.append(post)
        return posts

    def _source(self, doc: Doc, wanted: Collection[str]) -> PostSource:
        """The post, for an extraction of the views that are to be used."""
        stored = ("regions",) if stored_keys(doc) else ()
        wanted = {view for view in wanted if view not in stored}
        return post_source(doc, wanted, self.max_pictures)

    def _count_pictures(self, post: ReadPost, source: PostSource, extraction: Extraction) -> None:
        """Add the number of pictures that are read and of those that are not, and the parts."""
        features = post.doc._.image_features
        several = len(features) if isinstance(features, list) else features is not None
        pictures = 0 if self.vision is None else len(post.doc._.images)
        total = pictures or int(several)
        post.pictures = min(total, self.max_pictures)
        post.left_out = total - post.pictures
        reason = f"only the first {self.max_pictures} pictures are read (`max_pictures`)"
        post.problems += [Problem(n, None, reason) for n in range(post.pictures, total)]
        for number, features in extraction.texts.items():
            kept = {v: f for v, f in features.items() if v in post.texts and v not in source.given}
            post.parts[number] = kept

    def _extract(self, sources: Sequence[PostSource]) -> list[Extraction]:
        if self.vision is None:
            return [Extraction() for _ in sources]
        pictures = (picture for source in sources for picture in source.pictures)
        extractions = extract_posts(
            self.vision,
            sources,
            image_root=self.image_root,
            store=self.store,
            fetch=self.fetch,
            workers=reading_threads(self.image_root, pictures),
        )
        return list(extractions)

    def _report(self, problems: Sequence[str]) -> None:
        """Apply the policy to the problems, one for each post."""
        if problems and self.policy == "error":
            raise PictureError(problems[0])
        if problems and self.policy == "warn":
            message = Warnings.W002.format(count=len(problems), problem=problems[0])
            warnings.warn(message, stacklevel=4)

    def _add(
        self,
        post: ReadPost,
        view: str,
        content: View | None,
        problems: Sequence[Problem],
        masked: bool,
        is_vectors: bool,
    ) -> None:
        """Decide the status of a view, and add its content if it is used."""
        if isinstance(content, list):
            content = join_words(content)
        nothing = content is None or (isinstance(content, str) and not content)
        # A masked view is not extracted. It is masked if the post has a picture, else absent.
        if masked and (post.doc._.image is not None or not nothing):
            post.status[view] = MASKED
            return
        post.problems += [one._replace(view=view) for one in problems]
        if content is None or nothing:
            post.status[view] = UNREADABLE if problems else ABSENT
        elif isinstance(content, RegionFeatures) != is_vectors:
            forms = ("a text", "region vectors")
            given, expected = forms[not is_vectors], forms[is_vectors]
            raise MsvseError(Errors.E170.format(view=view, given=given, expected=expected))
        else:
            post.status[view] = USED
            if isinstance(content, RegionFeatures):
                post.vectors[view] = content
            else:
                post.texts[view] = content

    def _add_stored(self, extraction: Extraction, keys: Sequence[str | None]) -> None:
        """Add the features of records that the user named, or the reason why one is damaged."""
        records: dict[int, Features] = {}
        for number, key in enumerate(keys):
            found = problem = None
            if key is None:
                continue
            if self.store is not None and self.vision is not None:
                found, problem = self.store.look_up(key, self.vision.fingerprint)
            if problem is not None:
                assert self.store is not None
                message = Errors.E192.format(key=key, path=self.store.path, reason=problem)
                extraction.problems.append(Problem(number, "regions", message))
            elif found is None:
                given = f"the key '{key}', which is in no feature store"
                raise MsvseError(Errors.E014.format(given=given))
            else:
                records[number] = found
        extraction.features.update(merge_features(records))


def stored_keys(doc: Doc) -> list[str | None]:
    """The keys of stored features that a user gave.

    Args:
        doc (Doc): The post.

    Returns:
        list: A key or None for each picture; empty if no key was given.
    """
    features = doc._.image_features
    keys = features if isinstance(features, list) else [features]
    return keys if any(isinstance(key, str) for key in keys) else []


def post_source(
    doc: Doc, wanted: Collection[str] | None = None, max_pictures: int = MAX_PICTURES
) -> PostSource:
    """Collect the parts of a Doc that an extraction needs.

    The key of a post in a feature store depends on them, so that everything that extracts features
    calls this function.

    Args:
        doc (Doc): The Doc.
        wanted (Collection): Names of the views to extract; None for all that an extractor fills.
        max_pictures (int): How many pictures are read, the first ones.

    Returns:
        PostSource: Its text and pictures, and all views that the user gave.

    Raises:
        MsvseError: If a file of Docs held a wrong value (MSVSE-E035; MSVSE-E014 for region vectors,
            MSVSE-E071 for regions, MSVSE-E240 for those of other pictures).
    """
    return PostSource(
        doc.text,
        picture_sources(doc)[:max_pictures],
        None if wanted is None else frozenset(wanted),
        given_views(doc, max_pictures),
    )


def given_views(doc: Doc, max_pictures: int = MAX_PICTURES) -> dict[str, View]:
    """Collect the views that the user gave.

    Args:
        doc (Doc): The Doc.
        max_pictures (int): Of how many pictures the region vectors are read.

    Returns:
        dict: View to its content, which may be an empty text or list. Region vectors have the boxes
            of the regions that the user gave; without as many regions of a picture as vectors, each
            box is the whole picture. A key in a feature store does not count.

    Raises:
        MsvseError: If a file of Docs held a wrong value (MSVSE-E035; MSVSE-E014 for region vectors,
            MSVSE-E071 for regions, MSVSE-E240 for those of other pictures).
    """
    values = get_picture_attributes(doc)
    given: dict[str, View] = {**(check_texts(values.get("image_texts")) or {})}
    tags, caption = check_tags(values.get("image_tags")), check_caption(values.get("image_caption"))
    if tags is not None:
        given["tags"] = tags
    if caption is not None:
        given["caption"] = caption
    features = check_features(values.get("image_features"))
    regions = check_regions(values.get("image_regions")) or ()
    check_numbers(len(picture_sources(doc)), features, regions)
    found: dict[int, Features] = {}
    parts = features if isinstance(features, list) else [features]
    for number, part in enumerate(parts[:max_pictures]):
        if part is not None and not isinstance(part, str):
            vectors = np.asarray(part, dtype="float32")
            own = [region[2:6] for region in regions if region[6] == number]
            boxes = np.asarray(own, dtype="float32")
            if len(boxes) != len(vectors):
                boxes = np.tile(np.asarray([0, 0, 1, 1], dtype="float32"), (len(vectors), 1))
            found[number] = {"regions": RegionFeatures(vectors, boxes)}
    given.update(merge_features(found))
    return given


def attributes(features: Features) -> dict[str, Any]:
    """Extracted views as values of a Doc's attributes, in types that msgpack can hold.

    Args:
        features (dict): View to its content.

    Returns:
        dict: View to a text, a list of words, or a list of regions as tuples (label, score, x1, y1,
            x2, y2, picture). Of all views of vectors, only "regions" has an attribute.
    """
    values: dict[str, Any] = {}
    for view, content in features.items():
        if not isinstance(content, RegionFeatures):
            values[view] = content
        elif view == "regions":
            labels = content.labels or [""] * len(content.boxes)
            scores = content.scores or [0.0] * len(content.boxes)
            numbers = [0] * len(labels) if content.pictures is None else content.pictures.tolist()
            rows = zip(labels, scores, content.boxes.tolist(), numbers, strict=True)
            values[view] = [(label, float(score), *box, n) for label, score, box, n in rows]
    return values
