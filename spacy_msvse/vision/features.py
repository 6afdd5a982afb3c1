"""What an extractor saw in one picture, and the interface every extractor keeps."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import srsly
from PIL.Image import Image

#: The scales that an extractor can fill, in the order in which they are extracted: a caption may
#: be built from the tags. Every further text (`ocr`, ...) is a scale named "texts".
SCALES = ("regions", "tags", "caption", "texts")


@dataclass
class PictureFeatures:
    """What was seen in one picture. `None` stands for a scale that nothing has filled.

    regions (np.ndarray): Region vectors, float32 of shape (R, D) with R >= 1; row 0 is the
        whole picture.
    boxes (np.ndarray): float32 of shape (R, 4): x1, y1, x2, y2 of each region, relative to the
        picture's width and height; row 0 is (0, 0, 1, 1).
    region_labels (list): One word for each region, "" where the extractor names none.
    region_scores (list): The extractor's confidence in each label, in [0, 1].
    tags (list): Words for what is seen, best first.
    caption (str): A sentence that describes the picture.
    texts (dict): Further textual views by name, such as {"ocr": "..."}.
    pixels (np.ndarray): uint8 of shape (H, W, 3): the picture as a backbone wants it that is
        trained and makes the regions anew at every step.
    """

    regions: np.ndarray | None = None
    boxes: np.ndarray | None = None
    region_labels: list[str] | None = None
    region_scores: list[float] | None = None
    tags: list[str] | None = None
    caption: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    pixels: np.ndarray | None = None


class Extractor(Protocol):
    """A model that fills one or more scales of `PictureFeatures`.

    Two extractors of equal settings compare equal, so that one pass serves all the scales that
    name them. An extractor is cheap to construct: weights come with `initialize` or `from_bytes`.

    Two more methods are used where an extractor has them. `to(device)` moves it to a torch device.
    `prepare(picture)` does what needs no model, such as bringing the picture to the model's size:
    it runs in several threads, while the model looks at other pictures, and `extract` then gets
    what it returns in place of each picture, besides accepting pictures as they are.
    """

    @property
    def fills(self) -> tuple[str, ...]:
        """The scales that this extractor can fill."""
        ...

    @property
    def fingerprint(self) -> str:
        """A name for the model and its settings; features of equal fingerprints are equal."""
        ...

    @property
    def region_dim(self) -> int:
        """Width of a region vector; 0 for an extractor that fills no regions.

        RAISES (ValueError): If only the weights tell and there are none yet (MSVSE-E012).
        """
        ...

    def initialize(self) -> None:
        """Load the weights from their source. Called at `[initialize]` only.

        RAISES (ValueError): If the weights cannot be found (MSVSE-E011).
        """
        ...

    def extract(
        self, pictures: Sequence[Image], known: Sequence[PictureFeatures]
    ) -> list[PictureFeatures]:
        """Look at a batch of pictures.

        pictures (Sequence[Image]): RGB pictures of any size, or what `prepare` made of them.
        known (Sequence[PictureFeatures]): What is known of each picture so far.
        RETURNS (list): New features; the scales in `fills` are set.
        """
        ...

    def to_bytes(self) -> bytes:
        """Weights and vocabulary; empty for an extractor without either."""
        ...

    def from_bytes(self, data: bytes) -> None:
        """Restore what `to_bytes` wrote, without a network and without the weight package."""
        ...


def make_fingerprint(parts: Any) -> str:
    """Name what shapes the features of an extractor.

    parts (Any): What JSON can hold: a model and its settings.
    RETURNS (str): SHA-256 in hex.
    """
    return hashlib.sha256(srsly.json_dumps(parts, sort_keys=True).encode()).hexdigest()
