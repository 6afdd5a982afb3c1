"""Detected objects, seen by an encoder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import srsly
from PIL.Image import Image

from ...errors import Errors, MsvseError
from ..features import PictureFeatures, make_fingerprint


@dataclass(frozen=True)
class DetectedCrops:
    """An extractor of regions: one finds the boxes, another looks at what is in each.

    Boxes, labels, scores and, where the detector fills them, tags are the detector's; the vectors
    are the encoder's, each of a crop as if it were a whole picture.

    detector (Extractor): An extractor of regions, such as `TorchvisionDetector`.
    encoder (Extractor): An extractor of regions, such as `TransformersEncoder`. Only its vector of
        the whole picture is used, so it needs no grid.
    RAISES (ValueError): If one of them does not fill the regions (MSVSE-E010).
    """

    # `Any` for the same reason as in `VisualExtractor`.
    detector: Any
    encoder: Any

    def __post_init__(self) -> None:
        for extractor in (self.detector, self.encoder):
            if "regions" not in extractor.fills:
                name, fills = type(extractor).__name__, ", ".join(extractor.fills)
                raise MsvseError(Errors.E010.format(extractor=name, fills=fills, scale="regions"))

    @property
    def fills(self) -> tuple[str, ...]:
        """The scales that this extractor can fill."""
        return ("regions", "tags") if "tags" in self.detector.fills else ("regions",)

    @property
    def region_dim(self) -> int:
        """Width of a region vector."""
        return self.encoder.region_dim

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the fingerprints of both.

        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        parts = [type(self).__name__, 1, self.detector.fingerprint, self.encoder.fingerprint]
        return make_fingerprint(parts)

    def initialize(self) -> None:
        """Load the weights of both from their sources.

        RAISES (ValueError): If weights cannot be found (MSVSE-E011).
        """
        self.detector.initialize()
        self.encoder.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        device (str): A torch device, passed to both.
        """
        self.detector.to(device)
        self.encoder.to(device)

    def extract(
        self, pictures: Sequence[Image], known: Sequence[PictureFeatures]
    ) -> list[PictureFeatures]:
        """Look at a batch of pictures.

        pictures (Sequence[Image]): RGB pictures of any size.
        known (Sequence[PictureFeatures]): Passed to the detector.
        RETURNS (list): New features; the scales in `fills` are set.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        return [
            replace(features, regions=self._encode(picture, features.boxes))
            for picture, features in zip(
                pictures, self.detector.extract(pictures, known), strict=True
            )
        ]

    def to_bytes(self) -> bytes:
        """Save the weights of both.

        RETURNS (bytes): A msgpack message.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        message = {"detector": self.detector.to_bytes(), "encoder": self.encoder.to_bytes()}
        return srsly.msgpack_dumps(message)

    def from_bytes(self, data: bytes) -> None:
        """Restore what `to_bytes` wrote.

        data (bytes): What `to_bytes` wrote.
        RAISES (ValueError): If the message is damaged (MSVSE-E006).
        """
        try:
            message = srsly.msgpack_loads(data)
            detector, encoder = message["detector"], message["encoder"]
        except Exception as error:  # msgpack has many
            raise MsvseError(Errors.E006.format(reason=error)) from error
        self.detector.from_bytes(detector)
        self.encoder.from_bytes(encoder)

    def _encode(self, picture: Image, boxes: np.ndarray) -> np.ndarray:
        crops = [_crop(picture, box) for box in boxes]
        return np.stack([seen.regions[0] for seen in self.encoder.extract(crops, [])])


def _crop(picture: Image, box: np.ndarray) -> Image:
    """The pixels that a relative box touches: at least one."""
    size = np.array([picture.width, picture.height])
    left, top = (min(int(low), side - 1) for low, side in zip(box[:2] * size, size, strict=True))
    right, bottom = (math.ceil(high) for high in box[2:] * size)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
