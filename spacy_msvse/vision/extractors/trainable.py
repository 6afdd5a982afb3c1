"""A backbone that trains with the network that reads its regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn

from ..features import PictureFeatures, make_fingerprint
from .base import CheckedSettings, grid_boxes
from .efficientnet import EfficientNetLite0
from .encoders import TransformersEncoder
from .frozen import FrozenSquare
from .grids import TorchvisionBackbone

#: Extractors that can be trained.
TRAINABLE = (EfficientNetLite0, TorchvisionBackbone, TransformersEncoder)


@dataclass(frozen=True)
class TrainableBackbone(CheckedSettings):
    """An extractor of regions whose network is trained end to end with the pipeline.

    It hands over the picture at the size of its network, and a pipeline makes the regions of that
    in every step. A feature store then keeps the resized pictures. Training starts from the weights
    that the extractor is initialised with. Dropout stays off, and the statistics and weights of
    BatchNorm stay as they are.

    backbone (Extractor): One of `TRAINABLE`. Its tags, if it has any, are not made: name an
        extractor of its own for them.
    RAISES (ValueError): If the extractor cannot be trained (MSVSE-E023).
    """

    # `Any` for the same reason as in `VisualExtractor`.
    backbone: Any

    fills = ("regions",)

    def __post_init__(self) -> None:
        names = ", ".join(known.__name__ for known in TRAINABLE)
        self._require("backbone", isinstance(self.backbone, TRAINABLE), f"one of {names}")

    @property
    def region_dim(self) -> int:
        """Width of a region vector."""
        return self.backbone.region_dim

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what shapes the resized picture and its boxes; no weights do.

        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        pixels = self.backbone.network.pixels
        parts = [type(self).__name__, 1, pixels.side, int(pixels.resampling), self.backbone.grid]
        return make_fingerprint(parts)

    def make_module(self) -> nn.Module:
        """Make a module to train: uint8 pixels (B, H, W, 3) to region vectors (B, R, D).

        RETURNS (nn.Module): It shares its weights with this extractor, which saves them.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        return RegionBackbone(self.backbone.network, self.backbone.batch_size)

    def initialize(self) -> None:
        """Load the weights to start from.

        RAISES (ValueError): If they cannot be found or read (MSVSE-E011).
        """
        self.backbone.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        device (str): A torch device.
        """
        self.backbone.to(device)

    def prepare(self, picture: Image) -> Image:
        """Bring a picture to the size that the network takes.

        picture (Image): An RGB picture of any size.
        RETURNS (Image): The resized picture.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        return self.backbone.prepare(picture)

    def extract(
        self, pictures: Sequence[Image], known: Sequence[PictureFeatures]
    ) -> list[PictureFeatures]:
        """Resize a batch of pictures.

        pictures (Sequence[Image]): RGB pictures of any size, or what `prepare` made of them.
        known (Sequence[PictureFeatures]): Not looked at.
        RETURNS (list): Features with pixels and boxes.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        boxes = grid_boxes(self.backbone.grid)
        return [
            PictureFeatures(pixels=np.asarray(self.prepare(picture)), boxes=boxes)
            for picture in pictures
        ]

    def to_bytes(self) -> bytes:
        """Save the weights as training has left them.

        RETURNS (bytes): What the extractor inside writes.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        return self.backbone.to_bytes()

    def from_bytes(self, data: bytes) -> None:
        """Restore what `to_bytes` wrote.

        data (bytes): What `to_bytes` wrote.
        RAISES (ValueError): If the message is damaged (MSVSE-E006).
        """
        self.backbone.from_bytes(data)


class RegionBackbone(nn.Module):
    """A network that was frozen and now trains, but for dropout and BatchNorm.

    network (FrozenSquare): The network.
    batch_size (int): Pictures that pass through it at once.
    """

    def __init__(self, network: FrozenSquare, batch_size: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(True)
        self.batch_size = batch_size

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute region vectors.

        pixels (Tensor): uint8 of shape (B, side, side, 3).
        RETURNS (Tensor): Region vectors (B, R, D).
        """
        batches = pixels.split(self.batch_size)
        return torch.cat([self.network.regions(self.network.normalise(rows)) for rows in batches])
