"""Detected objects, each encoded as a picture of its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image

from ...errors import Errors, MsvseError
from ...settings import Settings
from ...util import join_files, select_files
from ..features import AnyExtractor, Features, RegionFeatures, get_levels, make_fingerprint


@dataclass(frozen=True)
class DetectedCrops(Settings):
    """An extractor of regions: a detector finds the boxes, and an encoder makes their vectors.

    The detector gives boxes, labels and scores, and tags if it fills them. The encoder gives the
    vector of each box: the box is cut out and encoded as a whole picture. An encoder with `pyramid`
    gives all its cells of each box: R is the number of boxes times that of the cells.

    Attributes:
        detector (Extractor): An extractor of regions, such as `TorchvisionDetector`.
        encoder (Extractor): An extractor of regions, such as `TransformersEncoder`. If its first
            region is the whole picture, only that one is used, so it needs no grid.

    Raises:
        MsvseError: If one of them is no extractor (MSVSE-E007), or does not fill the regions
            (MSVSE-E010).
    """

    detector: AnyExtractor
    encoder: AnyExtractor

    def __post_init__(self) -> None:
        super().__post_init__()
        for extractor in (self.detector, self.encoder):
            if "regions" not in extractor.fills:
                name, fills = type(extractor).__name__, ", ".join(extractor.fills)
                raise MsvseError(Errors.E010.format(extractor=name, fills=fills, view="regions"))

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
        """SHA-256, in hex, of the fingerprints of both.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        parts = [type(self).__name__, 1, self.detector.fingerprint, self.encoder.fingerprint]
        return make_fingerprint(parts)

    def initialize(self) -> None:
        """Load the weights of both from their sources.

        Raises:
            MsvseError: If weights cannot be found or read (MSVSE-E011), or have another number of
                classes than there are names (MSVSE-E050).
        """
        self.detector.initialize()
        self.encoder.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        Args:
            device (str): A torch device, passed to each of them that has a method `to`.
        """
        for extractor in (self.detector, self.encoder):
            if hasattr(extractor, "to"):
                extractor.to(device)

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
        found: list[Features] = self.detector.extract(pictures, known)
        return [
            {**features, "regions": self._encode(picture, features["regions"])}
            for picture, features in zip(pictures, found, strict=True)
        ]

    def to_files(self) -> dict[str, bytes]:
        """Save the weights of both.

        Returns:
            dict: File name to content, under "detector/" and "encoder/".

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return join_files(
            {"detector": self.detector.to_files(), "encoder": self.encoder.to_files()}
        )

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore what `to_files` saved.

        Args:
            files (Mapping): File name to content.

        Raises:
            MsvseError: If files are missing or damaged (MSVSE-E006).
        """
        self.detector.from_files(select_files(files, "detector"))
        self.encoder.from_files(select_files(files, "encoder"))

    def _encode(self, picture: Image, regions: Any) -> RegionFeatures:
        crops = [_crop(picture, box) for box in regions.boxes]
        encoded = self.encoder.extract(crops, [{} for _ in crops])
        cells = [_cells_of_whole(one["regions"]) for one in encoded]
        vectors, boxes = zip(*cells, strict=True)
        count = len(boxes[0])

        def repeat(values: list[Any] | None) -> list[Any] | None:
            return values and [value for value in values for _ in range(count)]

        return RegionFeatures(
            np.concatenate(vectors),
            np.concatenate([_place(*pair) for pair in zip(boxes, regions.boxes, strict=True)]),
            labels=repeat(regions.labels),
            scores=repeat(regions.scores),
        )


def _cells_of_whole(regions: RegionFeatures) -> tuple[np.ndarray, np.ndarray]:
    """The regions that stand for a whole picture, as vectors and boxes: the first one if its box
    is the picture, else all of them."""
    assert regions.vectors is not None
    count = 1 if regions.boxes[0].tolist() == [0, 0, 1, 1] else len(regions.boxes)
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
