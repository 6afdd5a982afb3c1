"""Reads the views of Docs, and decides which are used, absent, unreadable or masked."""

import warnings
from collections.abc import Collection, Iterable, Sequence
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
    VIEW_ATTRIBUTES,
    get_picture_attributes,
    picture_source,
)
from ..errors import Errors, MsvseError, Warnings
from ..network.base import Reads
from ..vision.extraction import Extraction, PostSource, extract_posts
from ..vision.extractor import VisualExtractor
from ..vision.features import Features, RegionFeatures, View, check_vectors
from ..vision.picture import Fetcher, PictureError
from ..vision.store import FeatureStore

#: What to do about a picture that cannot be read.
POLICIES = ("warn", "error", "ignore")


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
        """Read the views of Docs.

        Args:
            docs (Sequence[Doc]): The Docs.
            masked (Collection): Views that are not extracted and not used.

        Returns:
            list: A post for each Doc.

        Raises:
            MsvseError: For a picture that is neither a path nor bytes (MSVSE-E008), region vectors
                that are not a table of numbers or a key that the store does not have (MSVSE-E014),
                a malformed region beside region vectors (MSVSE-E071), a view of another form than
                the network reads (MSVSE-E170), or a store that is damaged (MSVSE-E060) or cannot be
                written (MSVSE-E065). If the policy is "error", also for a picture that cannot or
                must not be read (MSVSE-E020, E021, E022, E056), or that an extractor fails on
                (MSVSE-E061).
        """
        views = dict.fromkeys(self.reads.vectors, True)
        views.update(dict.fromkeys((*self.reads.texts, *self.reads.joint), False))
        sources = [self._source(doc, views.keys() - {*masked}) for doc in docs]
        extractions = self._extract(sources)
        posts = []
        for doc, source, extraction in zip(docs, sources, extractions, strict=True):
            if isinstance(doc._.image_features, str):
                extraction.features.update(self._stored(doc._.image_features))
            post = ReadPost(doc, extracted=attributes(extraction.features))
            for view, is_vectors in views.items():
                content = source.given.get(view, extraction.features.get(view))
                problem = extraction.problems.get(view)
                self._add(post, view, content, problem, view in masked, is_vectors)
            posts.append(post)
        return posts

    def _source(self, doc: Doc, wanted: Collection[str]) -> PostSource:
        """The post, for an extraction of the views that are to be used."""
        stored = ("regions",) if isinstance(doc._.image_features, str) else ()
        return post_source(doc, {view for view in wanted if view not in stored})

    def _extract(self, sources: Sequence[PostSource]) -> Iterable[Extraction]:
        if self.vision is None:
            return [Extraction({}, {}) for _ in sources]
        extractions = extract_posts(
            self.vision, sources, image_root=self.image_root, store=self.store, fetch=self.fetch
        )
        return list(map(self._report, extractions))

    def _report(self, extraction: Extraction) -> Extraction:
        for problem in dict.fromkeys(extraction.problems.values()):
            if self.policy == "error":
                raise PictureError(problem)
            if self.policy == "warn":
                warnings.warn(Warnings.W002.format(problem=problem), stacklevel=5)
        return extraction

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
        if masked and (post.doc._.image or not nothing):
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

    def _stored(self, key: str) -> Features:
        found = None
        if self.store is not None and self.vision is not None:
            found = self.store.get(key, self.vision.fingerprint)
        if found is None:
            given = f"the key '{key}', which is in no feature store"
            raise MsvseError(Errors.E014.format(given=given))
        return found


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
        MsvseError: If its picture is neither a path nor bytes (MSVSE-E008), its region vectors are
            not a table of numbers (MSVSE-E014), or a region beside them is malformed (MSVSE-E071).
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
        dict: View to its content, which may be an empty text or list. A key in a feature store does
            not count.

    Raises:
        MsvseError: If region vectors are not a table of numbers (MSVSE-E014), or a region beside
            them is malformed (MSVSE-E071).
    """
    values = get_picture_attributes(doc)
    texts = values.get("image_texts", {})
    given: dict[str, View] = {
        view: text
        for view, text in texts.items()
        if text is not None and view not in VIEW_ATTRIBUTES
    }
    if "image_tags" in values:
        given["tags"] = list(values["image_tags"])
    if "image_caption" in values:
        given["caption"] = values["image_caption"]
    vectors = values.get("image_features")
    if vectors is not None and not isinstance(vectors, str):
        given["regions"] = _given_regions(vectors, values.get("image_regions", ()))
    return given


def _given_regions(values: Any, regions: Sequence[Any]) -> RegionFeatures:
    """Region vectors with the boxes of the regions that the user gave. Without as many regions as
    vectors, each box is the whole picture."""
    vectors = check_vectors(values)
    boxes = np.asarray([_box(region) for region in regions], dtype="float32")
    if len(boxes) != len(vectors):
        boxes = np.tile(np.asarray([0, 0, 1, 1], dtype="float32"), (len(vectors), 1))
    return RegionFeatures(vectors, boxes)


def _box(region: Any) -> list[float]:
    try:
        _, _, left, top, right, bottom = region
        return [float(left), float(top), float(right), float(bottom)]
    except (TypeError, ValueError) as error:
        raise MsvseError(Errors.E071.format(region=region)) from error


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
