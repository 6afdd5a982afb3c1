"""What the network is told of each post: the user's own words first, then the extractor's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ..errors import Errors, MsvseError
from ..network.config import REGIONS
from ..vision.features import PictureFeatures

USED, ABSENT, UNREADABLE, MASKED = "used", "absent", "unreadable", "masked"


@dataclass
class Post:
    """A Doc and its views.

    doc (Doc): The text.
    regions (np.ndarray): float32 of shape (R, D), or None.
    boxes (np.ndarray): float32 of shape (R, 4), relative to the picture, or None.
    pixels (np.ndarray): uint8 of shape (H, W, 3), for a network that makes the regions of them, or
        None.
    texts (dict): The textual views that are present, by name.
    status (dict): View name to "used", "absent", "unreadable" or "masked".
    extracted (dict): Attribute name to value, for what an extractor saw and the user did not set.
    problem (str): Why the picture could not be read, or None.
    """

    doc: Doc
    regions: np.ndarray | None = None
    boxes: np.ndarray | None = None
    pixels: np.ndarray | None = None
    texts: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    extracted: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def given(doc: Doc, name: str) -> Any:
    """An attribute as the user set it; None where nobody or an extractor did.

    doc (Doc): The Doc.
    name (str): Name of the attribute.
    RETURNS (Any): Its value.
    """
    return None if name in (doc._.image_extracted or ()) else doc._.get(name)


def needs_picture(doc: Doc, views: Iterable[str]) -> bool:
    """Whether a view has to be extracted from the picture because the user did not give it.

    doc (Doc): The Doc.
    views (Iterable[str]): The views that the network reads.
    RETURNS (bool): True if so.
    """
    return any(given_view(doc, view) is None for view in views)


def make_post(
    doc: Doc,
    views: Sequence[str],
    features: PictureFeatures | None = None,
    problem: str | None = None,
    masked: Iterable[str] = (),
) -> Post:
    """Decide what each view of a post is.

    doc (Doc): The Doc.
    views (Sequence[str]): The views that the network reads.
    features (PictureFeatures): What an extractor saw, None if it did not look or could not.
    problem (str): Why it could not.
    masked (Iterable[str]): Views whose weights are untrained.
    RETURNS (Post): The post.
    """
    post = Post(doc, problem=problem)
    if features is not None:
        post.extracted = _extracted_attributes(doc, features)
    for view in views:
        value = given_view(doc, view)
        if value is None and features is not None:
            value = _extracted_view(features, view)
        nothing = value is None or len(value) == 0
        # A masked view is not extracted for its own sake, so there may be nothing to mask yet.
        if view in masked and (doc._.image or not nothing):
            post.status[view] = MASKED
        elif nothing:
            post.status[view] = UNREADABLE if problem else ABSENT
        elif features is not None and value is features.pixels:
            post.status[view] = USED
            post.pixels, post.boxes = features.pixels, features.boxes
        elif view == REGIONS:
            post.status[view] = USED
            post.regions, post.boxes = _regions(doc, value, features)
        else:
            post.status[view] = USED
            post.texts[view] = value
    return post


def given_view(doc: Doc, view: str) -> Any:
    """A view as the user gave it.

    doc (Doc): The Doc.
    view (str): Name of the view.
    RETURNS (Any): Region vectors, or the text; None where it is not given.
    """
    if view == REGIONS:
        return _given_vectors(doc)
    if view == "tags":
        tags = given(doc, "image_tags")
        return None if tags is None else ", ".join(tags)
    if view == "caption":
        return given(doc, "image_caption")
    return (given(doc, "image_texts") or {}).get(view)


def _given_vectors(doc: Doc) -> Any:
    """The user's own region vectors. A key in a store is none: it names what was extracted."""
    vectors = doc._.image_features
    return None if isinstance(vectors, str) else vectors


def _extracted_view(features: PictureFeatures, view: str) -> Any:
    if view == REGIONS:
        return features.regions if features.pixels is None else features.pixels
    if view == "tags":
        return ", ".join(features.tags or ())
    if view == "caption":
        return features.caption
    return features.texts.get(view)


def _regions(
    doc: Doc, vectors: Any, features: PictureFeatures | None
) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.asarray(vectors, dtype="float32")
    if vectors.ndim != 2 or not len(vectors):
        raise MsvseError(Errors.E014.format(given=f"shape {vectors.shape}"))
    whole = np.tile(np.asarray([0, 0, 1, 1], dtype="float32"), (len(vectors), 1))
    if _given_vectors(doc) is None:
        boxes = None if features is None else features.boxes
    else:
        regions = given(doc, "image_regions") or ()
        boxes = np.asarray([region[2:6] for region in regions], dtype="float32")
    # Vectors whose boxes nobody told are taken to be of the whole picture.
    return vectors, boxes if boxes is not None and len(boxes) == len(vectors) else whole


def _extracted_attributes(doc: Doc, features: PictureFeatures) -> dict[str, Any]:
    """What an extractor adds to a Doc's attributes, in types that msgpack can hold."""
    values: dict[str, Any] = {
        "image_tags": features.tags,
        "image_caption": features.caption,
        "image_texts": features.texts or None,
    }
    if features.boxes is not None:
        names = features.region_labels or [""] * len(features.boxes)
        scores = features.region_scores or [0.0] * len(features.boxes)
        rows = zip(names, scores, features.boxes.tolist(), strict=True)
        values["image_regions"] = [(name, float(score), *box) for name, score, box in rows]
    return {
        name: value
        for name, value in values.items()
        if value is not None and given(doc, name) is None
    }
