"""One pass over the training examples: labels, given features, readable pictures."""

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.training import Example

from ..doc import DESCRIBING_ATTRIBUTES, get_picture_attributes, picture_sources
from ..errors import Errors, MsvseError, Warnings
from ..vision.extraction import WORKERS, in_order
from ..vision.extractor import VisualExtractor
from ..vision.features import RegionFeatures
from ..vision.picture import Fetcher, PictureError, probe_picture
from .reader import given_views


@dataclass
class Survey:
    """Facts about the training examples.

    Attributes:
        labels (set): The labels of all entities.
        posts (int): Number of examples.
        posts_with_views (int): Those of them that have a picture or another view.
        lost (int): Examples whose gold side has a picture or another view, but not the side that
            is predicted.
        texts (set): Names of the textual views in `image_texts`.
        region_dim (int): Width of the region vectors that users gave; None if there are none.
        with_more_pictures (int): Examples with more pictures than are read.
        annotated (int): Examples with entities whose predicted side has all of them already.
        with_entities (int): Examples with entities.
    """

    labels: set[str] = field(default_factory=set)
    posts: int = 0
    posts_with_views: int = 0
    lost: int = 0
    texts: set[str] = field(default_factory=set)
    region_dim: int | None = None
    with_more_pictures: int = 0
    annotated: int = 0
    with_entities: int = 0

    @property
    def knows_answers(self) -> bool:
        """Whether the predicted sides have the gold entities, so that scores would be perfect."""
        return 0 < self.with_entities == self.annotated


def has_answer(example: Example) -> bool:
    """Whether the predicted side of an example has its gold entities, of which there is one.

    Args:
        example (Example): The example.

    Returns:
        bool: True if so.
    """
    gold, predicted = (
        [(span.start_char, span.end_char, span.label_) for span in doc.ents]
        for doc in (example.reference, example.predicted)
    )
    return bool(gold) and gold == predicted


def survey_examples(
    examples: Iterable[Example],
    *,
    vision: VisualExtractor | None,
    max_pictures: int,
    image_root: str | Path | None = None,
    fetch: Fetcher | None = None,
) -> Survey:
    """Collect facts about the training examples, and warn of pictures that cannot be read.

    Args:
        examples (Iterable[Example]): The examples.
        vision (VisualExtractor): The extractors, whose limits pictures must keep; None if pictures
            are not used at all.
        max_pictures (int): How many pictures of a post are read, the first ones.
        image_root (Path): The only folder to read pictures from; None allows any path.
        fetch (Callable): Fetches http and https URLs; None refuses them.

    Returns:
        Survey: The facts.

    Raises:
        MsvseError: If pictures are referenced, but none can be read and no post has tags, a
            caption, texts or features either (MSVSE-E009).
    """
    found = Survey()
    referenced = described = 0

    def sources() -> Iterator[str | bytes | MsvseError]:
        """Each picture, or the reason why a post cannot be used."""
        nonlocal referenced, described
        for example in examples:
            found.labels.update(entity.label_ for entity in example.reference.ents)
            doc = example.predicted
            found.posts += 1
            found.with_entities += bool(example.reference.ents)
            found.annotated += has_answer(example)
            has_views = bool(get_picture_attributes(doc).keys() - {"meta"})
            found.posts_with_views += has_views
            if not has_views and get_picture_attributes(example.reference).keys() - {"meta"}:
                found.lost += 1
            try:
                # A file of Docs may hold anything.
                given, pictures = given_views(doc), picture_sources(doc)
            except MsvseError as error:
                referenced += 1
                yield error
                continue
            found.texts.update(given)
            regions = given.get("regions")
            if isinstance(regions, RegionFeatures) and regions.vectors is not None:
                found.region_dim = found.region_dim or int(regions.vectors.shape[1])
            described += any(doc._.get(name) is not None for name in DESCRIBING_ATTRIBUTES)
            if vision is not None:
                found.with_more_pictures += len(pictures) > max_pictures
                referenced += len(pictures[:max_pictures])
                yield from pictures[:max_pictures]

    limits: dict[str, Any] = {}
    if vision is not None:
        limits = {"max_pixels": vision.max_pixels, "shrink_to": vision.shrink_to}

    def probe(source: str | bytes | MsvseError) -> str | None:
        if isinstance(source, MsvseError):
            return str(source)
        try:
            probe_picture(source, image_root, fetch=fetch, **limits)
        except PictureError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(WORKERS) as pool:
        # A fetcher of the user is called by one thread only.
        probed = in_order(pool if fetch is None else None, probe, sources(), 4 * WORKERS)
        problems = [problem for problem in probed if problem is not None]
    if problems and len(problems) == referenced and not described:
        raise MsvseError(Errors.E009.format(count=referenced, reason=problems[0]))
    if problems:
        message = Warnings.W004.format(count=len(problems), total=referenced, first=problems[0])
        warnings.warn(message, stacklevel=3)
    return found
