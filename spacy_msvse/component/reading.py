"""From Docs to posts: which pictures to look at, what a store knows, what cannot be read."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..doc import DESCRIBING_ATTRIBUTES, picture_source
from ..errors import Errors, MsvseError, Warnings
from ..vision.extract import VisualExtractor
from ..vision.features import PictureFeatures
from ..vision.picture import Fetcher, PictureError, probe_picture
from ..vision.store import FeatureStore
from .posts import Post, make_post, needs_picture

#: What may be done about a picture that cannot be read.
POLICIES = ("warn", "error", "ignore")


def read_posts(
    docs: Sequence[Doc],
    views: Sequence[str],
    *,
    masked: Iterable[str] = (),
    vision: VisualExtractor | None = None,
    store: FeatureStore | None = None,
    image_root: str | Path | None = None,
    fetch: Fetcher | None = None,
    policy: str = "warn",
) -> list[Post]:
    """Gather what is known of each Doc's picture, extracting what nobody has told.

    docs (Sequence[Doc]): The Docs.
    views (Sequence[str]): The views that the network reads.
    masked (Iterable[str]): Those of them whose weights are untrained.
    vision (VisualExtractor): What looks at pictures; None looks at none.
    store (FeatureStore): Where features are looked up and kept.
    image_root (Path): The only folder to read pictures from; None allows any path.
    fetch (Fetcher): What fetches http and https URLs; None refuses them.
    policy (str): One of `POLICIES`.
    RETURNS (list): A post for each Doc.
    RAISES (ValueError): For an unreadable picture if the policy is "error" (MSVSE-E020), or a key
        that the store does not hold (MSVSE-E014).
    """
    features: list[PictureFeatures | None] = [None] * len(docs)
    problems: list[str | None] = [None] * len(docs)
    if vision is not None:
        wanted = [view for view in views if view not in masked]
        sources = [picture_source(doc) if needs_picture(doc, wanted) else None for doc in docs]
        outcomes = vision.extract_sources(sources, image_root=image_root, store=store, fetch=fetch)
        for row, (found, problem) in enumerate(outcomes):
            features[row], problems[row] = found, problem
            if problem is not None:
                _report(problem, policy)
    for row, doc in enumerate(docs):
        if isinstance(doc._.image_features, str):
            features[row] = _stored_features(doc._.image_features, vision, store)
    return [
        make_post(doc, views, found, problem, masked)
        for doc, found, problem in zip(docs, features, problems, strict=True)
    ]


@dataclass
class Survey:
    """What a pass over the training examples found.

    labels (set): The labels of all entities.
    region_dim (int): Width of the users' own region vectors; None if there are none.
    """

    labels: set[str] = field(default_factory=set)
    region_dim: int | None = None


def survey(
    examples: Iterable[Example],
    *,
    look: bool,
    image_root: str | Path | None = None,
    fetch: Fetcher | None = None,
) -> Survey:
    """Look through training examples, once: labels, features, whether pictures can be read.

    examples (Iterable[Example]): The examples.
    look (bool): Whether pictures matter at all.
    image_root (Path): The only folder to read pictures from; None allows any path.
    fetch (Fetcher): What fetches http and https URLs; None refuses them.
    RETURNS (Survey): What was found.
    RAISES (ValueError): If pictures are referenced, but none can be read and no post carries
        tags, a caption or features either (MSVSE-E009).
    """
    found = Survey()
    referenced = described = 0
    problems: list[str] = []
    for example in examples:
        found.labels.update(entity.label_ for entity in example.reference.ents)
        doc = example.predicted
        features = doc._.image_features
        if found.region_dim is None and features is not None and not isinstance(features, str):
            found.region_dim = int(np.asarray(features).shape[-1])
        described += any(doc._.get(name) is not None for name in DESCRIBING_ATTRIBUTES)
        source = picture_source(doc)
        if source is None or not look:
            continue
        referenced += 1
        try:
            probe_picture(source, image_root, fetch=fetch)
        except PictureError as error:
            problems.append(str(error))
    if problems and len(problems) == referenced and not described:
        raise MsvseError(Errors.E009.format(count=referenced, reason=problems[0]))
    if problems:
        message = Warnings.W004.format(count=len(problems), total=referenced, first=problems[0])
        warnings.warn(message, stacklevel=3)
    return found


def _stored_features(
    key: str, vision: VisualExtractor | None, store: FeatureStore | None
) -> PictureFeatures:
    found = None
    if store is not None and vision is not None:
        found = store.get(key, vision.fingerprint)
    if found is None:
        raise MsvseError(Errors.E014.format(given=f"the key '{key}', which no store holds"))
    return found


def _report(problem: str, policy: str) -> None:
    if policy == "error":
        raise PictureError(problem)
    if policy == "warn":
        warnings.warn(Warnings.W002.format(problem=problem), stacklevel=4)
