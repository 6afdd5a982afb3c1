"""Detected objects, each encoded as a picture of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image

from ..features import AnyExtractor, Features, RegionFeatures, get_levels, make_fingerprint
from .base import grid_boxes
from .composed import Composed


@dataclass(frozen=True)
class DetectedCrops(Composed):
    """An extractor of regions: a detector finds the boxes, and an encoder makes their vectors.

    The detector, such as `TorchvisionDetector` or `ZeroShotDetector`, gives boxes, labels and
    scores, and tags if it fills them. The encoder gives the vector of each box: the box is cut out
    and encoded as a whole picture. An encoder with `pyramid` gives all its cells of each box: R is
    the number of boxes times that of the cells.

    Attributes:
        detector (Extractor): An extractor of regions.
        encoder (Extractor): An extractor of regions, such as `TransformersEncoder`. If its first
            region is the whole picture, only that one is used, so it needs no grid.
        whole_picture (bool): Whether the whole picture is the first crop. If not, a picture without
            objects has no regions.

    Raises:
        MsvseError: If one of them is no extractor (MSVSE-E007), or does not fill the regions
            (MSVSE-E010).
    """

    detector: AnyExtractor
    encoder: AnyExtractor
    whole_picture: bool = True

    parts = ("detector", "encoder")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_view("regions")

    @property
    def fills(self) -> tuple[str, ...]:
        """Names of the views that this extractor can fill."""
        return ("regions", "tags") if "tags" in self.detector.fills else ("regions",)

    @property
    def region_dim(self) -> int:
        """Width of a region vector."""
        return int(self.encoder.region_dim)

    @property
    def levels(self) -> tuple[int, ...]:
        """Widths of the levels of a region vector."""
        return get_levels(self.encoder)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the fingerprints of both and of the setting.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        both = [self.detector.fingerprint, self.encoder.fingerprint]
        return make_fingerprint([type(self).__name__, 1, *both, self.whole_picture])

    def extract(self, pictures: Sequence[Image], known: Sequence[Features]) -> list[Features]:
        """Extract the features of a batch of pictures.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size.
            known (Sequence[Features]): Passed to the detector.

        Returns:
            list: New features; of the views in `fills`.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        found: list[Features] = []
        for picture, given in zip(pictures, self.detector.extract(pictures, known), strict=True):
            features = dict(given)
            regions = self._encode(picture, features.pop("regions", None))
            found.append(features if regions is None else {**features, "regions": regions})
        return found

    def _encode(self, picture: Image, found: RegionFeatures | None) -> RegionFeatures | None:
        regions = _with_whole(found) if self.whole_picture else _without_whole(found)
        if regions is None:
            return None
        crops = [_crop(picture, box) for box in regions.boxes]
        encoded = self.encoder.extract(crops, [{} for _ in crops])
        cells = [_cells_of_whole(one["regions"]) for one in encoded]
        vectors, boxes = zip(*cells, strict=True)
        counts = [len(one) for one in boxes]
        placed = [_place(*pair) for pair in zip(boxes, regions.boxes, strict=True)]
        return RegionFeatures(
            np.concatenate(vectors),
            np.concatenate(placed),
            labels=_repeat(regions.labels, counts),
            scores=_repeat(regions.scores, counts),
        )


def _starts_with_whole(regions: RegionFeatures) -> bool:
    """Whether the first region is the whole picture, and no object that fills it."""
    is_object = bool(regions.labels and regions.labels[0])
    return not is_object and np.array_equal(regions.boxes[:1], grid_boxes(0))


def _with_whole(regions: RegionFeatures | None) -> RegionFeatures:
    """The boxes of a detector after that of the whole picture."""
    if regions is None:
        return RegionFeatures(None, grid_boxes(0), labels=[""], scores=[1.0])
    if _starts_with_whole(regions):
        return regions
    return RegionFeatures(
        None,
        np.concatenate([grid_boxes(0), regions.boxes]),
        labels=None if regions.labels is None else ["", *regions.labels],
        scores=None if regions.scores is None else [1.0, *regions.scores],
    )


def _without_whole(regions: RegionFeatures | None) -> RegionFeatures | None:
    """The boxes of a detector without that of the whole picture; None if there are no others."""
    if regions is None or not _starts_with_whole(regions):
        return regions
    if len(regions.boxes) == 1:
        return None
    labels, scores = regions.labels, regions.scores
    return RegionFeatures(
        None, regions.boxes[1:], labels=labels and labels[1:], scores=scores and scores[1:]
    )


def _repeat(values: list[Any] | None, counts: list[int]) -> list[Any] | None:
    """Repeat the value of each box for each of its regions."""
    if values is None:
        return None
    return [one for one, count in zip(values, counts, strict=True) for _ in range(count)]


def _cells_of_whole(regions: RegionFeatures) -> tuple[np.ndarray, np.ndarray]:
    """The regions that stand for a whole picture, as vectors and boxes: the first one if its box
    is the picture, else all of them."""
    assert regions.vectors is not None
    count = 1 if _starts_with_whole(regions) else len(regions.boxes)
    return regions.vectors[:count], regions.boxes[:count]


def _place(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Boxes relative to a box, as boxes relative to the picture of that box."""
    corner, size = outer[:2], outer[2:] - outer[:2]
    placed: np.ndarray = np.tile(corner, 2) + inner * np.tile(size, 2)
    return placed.astype(np.float32)


def _crop(picture: Image, box: np.ndarray) -> Image:
    """The pixels that a relative box touches: at least one."""
    size = np.array([picture.width, picture.height])
    left, top = (min(int(low), side - 1) for low, side in zip(box[:2] * size, size, strict=True))
    right, bottom = (math.ceil(high) for high in box[2:] * size)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
