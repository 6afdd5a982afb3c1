"""Views of a post, and the interface of the extractors that fill them. No torch here."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import srsly
from PIL.Image import Image
from pydantic import AfterValidator, Field

from ..errors import Errors, MsvseError

#: What one item of `Extractor.extract` may be.
READS = ("picture", "text", "post")


@dataclass
class RegionFeatures:
    """Region vectors of one post, and where the regions are.

    Attributes:
        vectors (np.ndarray): float32 of shape (R, D) with R >= 1. None if a trainable backbone
            computes them from `pixels`.
        boxes (np.ndarray): float32 of shape (R, 4): x1, y1, x2, y2 of each region, relative to the
            width and height of its picture. A region that stands for the whole picture has the box
            (0, 0, 1, 1), and is the first one. The cells of a pyramid stand for the picture, or for
            the crop, that they divide; there is no such region then.
        labels (list): One word for each region, "" where the extractor names none.
        scores (list): Confidence in each label, in [0, 1].
        pictures (np.ndarray): int64 of shape (R,): the number of each region's picture within the
            post; None if all are of picture 0.
        pixels (np.ndarray): uint8 of shape (H, W, 3): the picture at the size of a backbone that
            trains with the pipeline. Of several pictures, of shape (Q, H, W, 3): those that have
            regions, in order, each with the same number of regions.
    """

    vectors: np.ndarray | None
    boxes: np.ndarray
    labels: list[str] | None = None
    scores: list[float] | None = None
    pictures: np.ndarray | None = None
    pixels: np.ndarray | None = None


#: The content of a view: region vectors, a text, or a list of words.
View = RegionFeatures | str | list[str]

#: Content by the name of its view. A view that nothing filled is missing.
Features = dict[str, View]


@dataclass(frozen=True)
class PostContent:
    """One item of an extractor that reads whole posts.

    Attributes:
        text (str): The text of the post.
        pictures (tuple): Its pictures that could be read, in order, each of mode RGB; possibly
            none.
    """

    text: str
    pictures: tuple[Image, ...] = ()


class UnansweredError(MsvseError):
    """Raised by an extractor for an item that gets no answer. It says nothing about other items,
    so it never ends a run. The item is not stored, and the next run asks for it again.

    Args:
        reason (str): The reason.
        name (str): The item, for the message.
    """

    def __init__(self, reason: str, name: str = "a post") -> None:
        self.reason = reason.rstrip(".")
        super().__init__(Errors.E222.format(name=name, reason=self.reason))


class Extractor(Protocol):
    """A model that fills one or more views.

    Two extractors with equal settings compare equal, so that an extractor that is named for several
    views runs once. Construction loads no weights: `initialize` or `from_files` loads them.

    An extractor may also have:

    - `reads`, one of `READS`: what one item of `extract` is. "picture", the default, is an RGB
      picture; "text" is the text of a post, also of a post without picture; "post" is a
      `PostContent`.
    - `batch_size`: the number of items in a batch of `extract`.
    - `levels`: the widths of the parts of a region vector, such as those of the levels of a feature
      pyramid. They add up to `region_dim`. One part is the default.
    - `to(device)`, which moves it to a torch device.
    - `prepare(item)`, which does the work that needs no model, such as resizing. It runs in several
      threads while the model computes. `extract` accepts its results and unprepared items.
    - `reads_views`: whether `extract` of an extractor that reads posts uses `known`. True is the
      default. If false, its stored features stay valid when other views of a post change.
    - `concurrency`: the number of threads that call `extract`, each with one item, for an extractor
      of texts or posts that waits for another machine. Each result is stored as soon as those
      before it are.
    - `ready`: whether `extract` may be called now. If false, only stored features are used, and a
      view that is not stored is absent. True is the default.
    """

    @property
    def fills(self) -> tuple[str, ...]:
        """Names of the views that this extractor can fill."""
        ...

    @property
    def fingerprint(self) -> str:
        """A name for the model and its settings; features of equal fingerprints are equal."""
        ...

    @property
    def region_dim(self) -> int:
        """Width of a region vector; 0 for an extractor that fills no regions.

        Raises:
            MsvseError: If it depends on weights that are not loaded (MSVSE-E012).
        """
        ...

    def initialize(self) -> None:
        """Load the weights from their source. Called at `[initialize]` only.

        Raises:
            MsvseError: If the weights cannot be found (MSVSE-E011).
        """
        ...

    def extract(self, items: Sequence[Any], known: Sequence[Features]) -> list[Features]:
        """Extract the features of a batch.

        Args:
            items (Sequence): Items of the kind that `reads` names, or the results of `prepare`.
            known (Sequence[Features]): Views of each item that are known already. For a picture:
                those of the extractors before this one. For a post: those of its pictures and those
                that the user gave. For a text: none.

        Returns:
            list: New features of each item, of views in `fills`.
        """
        ...

    def to_files(self) -> dict[str, bytes]:
        """Save weights and vocabulary.

        Returns:
            dict: File name to content, weights as safetensors; empty if there is nothing.
        """
        ...

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore the state that `to_files` saved, without a network and without weight packages.

        Args:
            files (Mapping): File name to content.
        """
        ...


def _check_extractor(value: Any) -> Any:
    if isinstance(value, type) or not (hasattr(value, "fills") and hasattr(value, "extract")):
        raise ValueError
    return value


#: A setting: an extractor. A protocol as the type would read `fingerprint`, which needs weights.
AnyExtractor = Annotated[
    Any, AfterValidator(_check_extractor), Field(description="an extractor, a section with @misc")
]


def get_reads(extractor: Any) -> Literal["picture", "text", "post"]:
    """Name what one item of an extractor is.

    Args:
        extractor (Extractor): The extractor.

    Returns:
        str: One of `READS`.
    """
    reads: Literal["picture", "text", "post"] = getattr(extractor, "reads", "picture")
    return reads


def uses_views(extractor: Any) -> bool:
    """Whether the features of an item depend on views that are known already.

    Args:
        extractor (Extractor): An extractor of texts or posts.

    Returns:
        bool: Its `reads_views`, for an extractor of posts; False for one of texts.
    """
    return get_reads(extractor) == "post" and bool(getattr(extractor, "reads_views", True))


def get_levels(extractor: Any) -> tuple[int, ...]:
    """Name the widths of the parts of a region vector.

    Args:
        extractor (Extractor): An extractor of regions.

    Returns:
        tuple: Its `levels`, or its `region_dim` alone.

    Raises:
        MsvseError: If they depend on weights that are not loaded (MSVSE-E012).
    """
    levels = getattr(extractor, "levels", None) or (extractor.region_dim,)
    return tuple(int(width) for width in levels)


def make_fingerprint(parts: Any) -> str:
    """Compute the fingerprint of an extractor from everything that its features depend on.

    Args:
        parts (Any): A value that JSON can hold: a model and its settings.

    Returns:
        str: SHA-256 in hex.
    """
    return hashlib.sha256(srsly.json_dumps(parts, sort_keys=True).encode()).hexdigest()


def round_vectors(features: Features) -> Features:
    """Round region vectors to the precision of a store, so that stored and new features are equal.

    Args:
        features (Features): Features of one item.

    Returns:
        Features: The same, with vectors that 16 bits can hold.
    """
    rounded: Features = {}
    for name, view in features.items():
        if isinstance(view, RegionFeatures) and view.vectors is not None:
            with np.errstate(over="ignore"):  # `find_unusable` finds what is too large
                vectors = view.vectors.astype(np.float16).astype(np.float32)
            view = replace(view, vectors=vectors)
        rounded[name] = view
    return rounded


def check_result(extractor: Any, found: Any, count: int) -> list[Features]:
    """Check the form of what an extractor returned. A user's extractor may return anything.

    Args:
        extractor (Extractor): The extractor.
        found (Any): What it returned.
        count (int): Number of items that it got.

    Returns:
        list: The same, features for each item.

    Raises:
        MsvseError: If it is something else (MSVSE-E194).
    """
    name = type(extractor).__name__
    if not isinstance(found, list | tuple) or len(found) != count:
        given = f"{len(found)} of {count}" if isinstance(found, list | tuple) else repr(found)[:40]
        raise MsvseError(Errors.E194.format(extractor=name, given=f"results: {given}"))
    for features in found:
        if not isinstance(features, dict):
            raise MsvseError(Errors.E194.format(extractor=name, given=repr(features)[:40]))
        for view, content in features.items():
            if not isinstance(view, str) or not _is_view(content):
                given = f"for {view!r}: {repr(content)[:60]}"
                raise MsvseError(Errors.E194.format(extractor=name, given=given))
    return list(found)


def _is_view(content: Any) -> bool:
    if isinstance(content, list | tuple):
        return all(isinstance(word, str) for word in content)
    if not isinstance(content, RegionFeatures):
        return isinstance(content, str)
    boxes, vectors = content.boxes, content.vectors
    if not isinstance(boxes, np.ndarray) or boxes.shape[1:] != (4,) or not len(boxes):
        return False
    rows = [content.labels, content.scores, content.pictures]
    if vectors is not None:
        rows.append(vectors)
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2:
            return False
    return all(part is None or len(part) == len(boxes) for part in rows)


def find_unusable(features: Mapping[str, View]) -> dict[str, str]:
    """Find views with numbers that no network can use.

    Args:
        features (Mapping): View name to content, after `round_vectors`.

    Returns:
        dict: Name of each such view to the reason.
    """
    unusable = {}
    for name, view in features.items():
        for part, numbers in vars(view).items() if isinstance(view, RegionFeatures) else ():
            if part not in ("vectors", "boxes", "scores") or numbers is None:
                continue
            if not np.isfinite(np.asarray(numbers, dtype=np.float64)).all():
                reason = f"the {part} of the view '{name}' have numbers that are not finite"
                too_large = f", or larger than {np.finfo(np.float16).max:.0f}"
                unusable[name] = reason + (too_large if part == "vectors" else "")
    return unusable


def merge_features(found: Mapping[int, Features]) -> Features:
    """Merge the features of the pictures of a post.

    Regions are concatenated and get the number of their picture, in the order of the pictures.
    Words and texts are joined without repeats: of equal ones, the first is kept.

    Args:
        found (Mapping): Number of a picture within the post to its features.

    Returns:
        Features: Features of the post; lists in it may be changed.
    """
    views = dict.fromkeys(name for features in found.values() for name in features)
    return {
        name: _merge_view({n: f[name] for n, f in found.items() if name in f}) for name in views
    }


def without_pictures(view: RegionFeatures, numbers: Collection[int]) -> RegionFeatures | None:
    """Leave out the regions of some pictures of a post.

    Args:
        view (RegionFeatures): The regions of all pictures.
        numbers (Collection): Numbers of the pictures to leave out.

    Returns:
        RegionFeatures: The other regions; None if there are none.
    """
    pictures = _numbers(view, 0) if view.pictures is None else view.pictures
    kept = ~np.isin(pictures, [*numbers])
    if kept.all():
        return view
    if not kept.any():
        return None
    parts: dict[str, Any] = {"pictures": pictures[kept]}
    if view.pixels is not None:
        pixels = view.pixels if view.pixels.ndim == 4 else view.pixels[None]
        parts["pixels"] = pixels[~np.isin(np.unique(pictures), [*numbers])]
    for name in ("vectors", "boxes"):
        value = getattr(view, name)
        parts[name] = None if value is None else value[kept]
    for name in ("labels", "scores"):
        value = getattr(view, name)
        parts[name] = None if value is None else [value[row] for row in np.flatnonzero(kept)]
    return replace(view, **parts)


def digest_features(features: Mapping[str, View]) -> str:
    """Hash features, so that they can be part of a key.

    Args:
        features (Mapping): View name to content.

    Returns:
        str: SHA-256 in hex.
    """
    digest = hashlib.sha256()
    for name, view in sorted(features.items()):
        values = vars(view) if isinstance(view, RegionFeatures) else {"": view}
        for part, value in values.items():
            data = value.tobytes() if isinstance(value, np.ndarray) else _encode(value)
            digest.update(_encode([name, part, len(data)]) + data)
    return digest.hexdigest()


def _encode(value: Any) -> bytes:
    return str(srsly.json_dumps(value)).encode(errors="surrogatepass")


def _merge_view(found: Mapping[int, Any]) -> View:
    (number, first), *others = found.items()
    if isinstance(first, RegionFeatures):
        if not others:
            return replace(first, pictures=_numbers(first, number) if number else None)
        return _merge_regions(found)
    if isinstance(first, str):
        return " ".join(dict.fromkeys(text for text in found.values() if text))
    return list(dict.fromkeys(word for words in found.values() for word in words))


def _merge_regions(found: Mapping[int, RegionFeatures]) -> RegionFeatures:
    merged: dict[str, Any] = {"pixels": None}
    pixels = [view.pixels for view in found.values() if view.pixels is not None]
    if pixels:
        merged["pixels"] = np.stack(pixels)
    merged["pictures"] = np.concatenate([_numbers(view, n) for n, view in found.items()])
    for name in (field.name for field in fields(RegionFeatures) if field.name not in merged):
        parts = [getattr(view, name) for view in found.values()]
        if any(part is None for part in parts):
            merged[name] = None
        elif isinstance(parts[0], np.ndarray):
            merged[name] = np.concatenate(parts)
        else:
            merged[name] = [value for part in parts for value in part]
    return RegionFeatures(**merged)


def _numbers(view: RegionFeatures, number: int) -> np.ndarray:
    return np.full(len(view.boxes), number, dtype=np.int64)


def copy_views(features: Features, views: Iterable[str]) -> Features:
    """Copy some views, so that lists in them may be changed.

    Args:
        features (Features): The features.
        views (Iterable[str]): Names of the views; those that are missing are left out.

    Returns:
        Features: The copy. Arrays are shared.
    """
    copies: Features = {}
    for name in views:
        view = features.get(name)
        if view is not None:
            copies[name] = list(view) if isinstance(view, list) else view
    return copies
