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
    get_picture_attributes,
    picture_source,
)
from ..errors import Errors, MsvseError, Warnings
from ..network.base import Reads
from ..values import check_caption, check_features, check_regions, check_tags, check_texts
from ..vision.extraction import Extraction, PostSource, extract_posts, reading_threads
from ..vision.extractor import VisualExtractor
from ..vision.features import Features, RegionFeatures, View
from ..vision.picture import Fetcher, PictureError
from ..vision.store import FeatureStore


@dataclass
class ReadPost:
    """A Doc and the content of the views that the network reads.

    Attributes:
        doc (Doc): The text.
        vectors (dict): View to region vectors, for the views that are present.
        texts (dict): View to text, for the views that are present.
        status (dict): View to "used", "absent", "unreadable" or "masked".
        problems (dict): View to the reason why it is unreadable.
        extracted (dict): View to extracted value, in the form of the Doc's attributes.
    """

    doc: Doc
    vectors: dict[str, RegionFeatures] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    extracted: dict[str, Any] = field(default_factory=dict)

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
    """

    reads: Reads
    vision: VisualExtractor | None = None
    store: FeatureStore | None = None
    image_root: str | Path | None = None
    fetch: Fetcher | None = None
    policy: str = "warn"

    def read(self, docs: Sequence[Doc], masked: Collection[str] = ()) -> list[ReadPost]:
        """Read the views of Docs. A Doc with a value that cannot be used, which a file may hold,
        is read without views.

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
                vectors, MSVSE-E071 for regions), a picture that cannot or must not be read
                (MSVSE-E020, MSVSE-E021, MSVSE-E022, MSVSE-E056) or that an extractor fails on
                (MSVSE-E061).
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
            if reason is None and isinstance(doc._.image_features, str):
                self._add_stored(extraction, doc._.image_features)
        failed = [next(iter(one.problems.values())) for one in extractions if one.problems]
        self._report([*failed, *filter(None, refused)])
        posts = []
        for doc, source, extraction, reason in zip(
            docs, sources, extractions, refused, strict=True
        ):
            post = ReadPost(doc, extracted=attributes(extraction.features))
            for view, is_vectors in views.items():
                content = source.given.get(view, extraction.features.get(view))
                problem = reason or extraction.problems.get(view)
                self._add(post, view, content, problem, view in masked, is_vectors)
            posts.append(post)
        return posts

    def _source(self, doc: Doc, wanted: Collection[str]) -> PostSource:
        """The post, for an extraction of the views that are to be used."""
        stored = ("regions",) if isinstance(doc._.image_features, str) else ()
        return post_source(doc, {view for view in wanted if view not in stored})

    def _extract(self, sources: Sequence[PostSource]) -> list[Extraction]:
        if self.vision is None:
            return [Extraction({}, {}) for _ in sources]
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
        problem: str | None,
        masked: bool,
        is_vectors: bool,
    ) -> None:
        """Decide the status of a view, and add its content if it is used."""
        if isinstance(content, list):
            content = ", ".join(content)
        nothing = content is None or (isinstance(content, str) and not content)
        # A masked view is not extracted. It is masked if the post has a picture, else absent.
        if masked and (post.doc._.image is not None or not nothing):
            post.status[view] = MASKED
        elif content is None or nothing:
            post.status[view] = UNREADABLE if problem else ABSENT
            if problem:
                post.problems[view] = problem
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

    def _add_stored(self, extraction: Extraction, key: str) -> None:
        """Add the features of a record that the user named, or the reason why it is damaged."""
        found = problem = None
        if self.store is not None and self.vision is not None:
            found, problem = self.store.look_up(key, self.vision.fingerprint)
            if problem is not None:
                path = self.store.path
                message = Errors.E192.format(key=key, path=path, reason=problem)
                extraction.problems["regions"] = message
        if found is None and problem is None:
            given = f"the key '{key}', which is in no feature store"
            raise MsvseError(Errors.E014.format(given=given))
        extraction.features.update(found or {})


def post_source(doc: Doc, wanted: Collection[str] | None = None) -> PostSource:
    """Collect the parts of a Doc that an extraction needs.

    The key of a post in a feature store depends on them, so that everything that extracts features
    calls this function.

    Args:
        doc (Doc): The Doc.
        wanted (Collection): Names of the views to extract; None for all that an extractor fills.

    Returns:
        PostSource: Its text and pictures, and all views that the user gave.

    Raises:
        MsvseError: If a file of Docs held a wrong value (MSVSE-E035; MSVSE-E014 for region vectors,
            MSVSE-E071 for regions).
    """
    picture = picture_source(doc)
    return PostSource(
        doc.text,
        () if picture is None else (picture,),
        None if wanted is None else frozenset(wanted),
        given_views(doc),
    )


def given_views(doc: Doc) -> dict[str, View]:
    """Collect the views that the user gave.

    Args:
        doc (Doc): The Doc.

    Returns:
        dict: View to its content, which may be an empty text or list. Region vectors have the boxes
            of the regions that the user gave; without as many regions as vectors, each box is the
            whole picture. A key in a feature store does not count.

    Raises:
        MsvseError: If a file of Docs held a wrong value (MSVSE-E035; MSVSE-E014 for region vectors,
            MSVSE-E071 for regions).
    """
    values = get_picture_attributes(doc)
    given: dict[str, View] = {**(check_texts(values.get("image_texts")) or {})}
    tags, caption = check_tags(values.get("image_tags")), check_caption(values.get("image_caption"))
    if tags is not None:
        given["tags"] = tags
    if caption is not None:
        given["caption"] = caption
    features = check_features(values.get("image_features"))
    if features is not None and not isinstance(features, str):
        vectors = np.asarray(features, dtype="float32")
        regions = check_regions(values.get("image_regions")) or ()
        boxes = np.asarray([region[2:6] for region in regions], dtype="float32")
        if len(boxes) != len(vectors):
            boxes = np.tile(np.asarray([0, 0, 1, 1], dtype="float32"), (len(vectors), 1))
        given["regions"] = RegionFeatures(vectors, boxes)
    return given


def attributes(features: Features) -> dict[str, Any]:
    """Extracted views as values of a Doc's attributes, in types that msgpack can hold.

    Args:
        features (dict): View to its content.

    Returns:
        dict: View to a text, a list of words, or a list of regions as tuples (label, score, x1, y1,
            x2, y2). Of all views of vectors, only "regions" has an attribute.
    """
    values: dict[str, Any] = {}
    for view, content in features.items():
        if not isinstance(content, RegionFeatures):
            values[view] = content
        elif view == "regions":
            labels = content.labels or [""] * len(content.boxes)
            scores = content.scores or [0.0] * len(content.boxes)
            rows = zip(labels, scores, content.boxes.tolist(), strict=True)
            values[view] = [(label, float(score), *box) for label, score, box in rows]
    return values
