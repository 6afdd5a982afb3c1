"""A picture backbone that is trained with the pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from PIL.Image import Image
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from ...settings import Settings
from ..features import Features, RegionFeatures, get_levels, make_fingerprint
from .efficientnet_lite0 import EfficientNetLite0
from .frozen import FrozenSquare
from .torchvision_backbone import TorchvisionBackbone
from .transformers_encoder import TransformersEncoder

#: Extractors that can be trained.
TRAINABLE = (EfficientNetLite0, TorchvisionBackbone, TransformersEncoder)


def _check_trainable(backbone: Any) -> Any:
    if not isinstance(backbone, TRAINABLE):
        raise ValueError
    return backbone


@dataclass(frozen=True)
class TrainableBackbone(Settings):
    """An extractor of regions whose network is trained end to end with the pipeline.

    It extracts the resized picture, and a feature store keeps it. The pipeline computes the regions
    from it in every step. Training starts from the weights that the extractor is initialised with.
    Dropout stays off, and the statistics and weights of BatchNorm do not change.

    Attributes:
        backbone (Extractor): One of `TRAINABLE`. Only its regions are used: use another extractor
            for the tags.

    Raises:
        MsvseError: If the extractor cannot be trained (MSVSE-E007).
    """

    backbone: Annotated[
        Any,
        AfterValidator(_check_trainable),
        Field(description=f"one of {', '.join(known.__name__ for known in TRAINABLE)}"),
    ]

    fills = ("regions",)

    @property
    def region_dim(self) -> int:
        """Width of a region vector."""
        return int(self.backbone.region_dim)

    @property
    def levels(self) -> tuple[int, ...]:
        """Widths of the levels of a region vector."""
        return get_levels(self.backbone)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the settings that change the resized picture and its boxes.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        pixels = self.backbone.network.pixels
        boxes = self.backbone.boxes.tolist()
        parts = [type(self).__name__, 1, pixels.side, int(pixels.resampling), boxes]
        return make_fingerprint(parts)

    def make_module(self) -> nn.Module:
        """Make a trainable module from uint8 pixels (B, H, W, 3) to region vectors (B, R, D).

        Returns:
            nn.Module: A module that shares its weights with this extractor, which saves them.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return RegionBackbone(self.backbone.network, self.backbone.batch_size)

    def initialize(self) -> None:
        """Load the weights to start from.

        Raises:
            MsvseError: If they cannot be found or read (MSVSE-E011), or have another number of
                classes than there are names (MSVSE-E050).
        """
        self.backbone.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        Args:
            device (str): A torch device.
        """
        self.backbone.to(device)

    def prepare(self, picture: Image) -> Image:
        """Resize a picture to the size that the network takes.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: The resized picture.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        resized: Image = self.backbone.prepare(picture)
        return resized

    def extract(self, pictures: Sequence[Image], known: Sequence[Features]) -> list[Features]:
        """Resize a batch of pictures.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size, or results of `prepare`.
            known (Sequence[Features]): Not used.

        Returns:
            list: Features with pixels and boxes.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        boxes = self.backbone.boxes
        return [
            {"regions": RegionFeatures(None, boxes, pixels=np.asarray(self.prepare(picture)))}
            for picture in pictures
        ]

    def to_files(self) -> dict[str, bytes]:
        """Save the trained weights.

        Returns:
            dict: File name to content, for the files of `backbone`.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return dict(self.backbone.to_files())

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore what `to_files` saved.

        Args:
            files (Mapping): File name to content.

        Raises:
            MsvseError: If files are missing or damaged (MSVSE-E006).
        """
        self.backbone.from_files(files)


class RegionBackbone(nn.Module):
    """A frozen network made trainable, except for dropout and BatchNorm.

    Args:
        network (FrozenSquare): The network.
        batch_size (int): Number of pictures in a batch of the network.
    """

    def __init__(self, network: FrozenSquare, batch_size: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(True)
        self.batch_size = batch_size

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute region vectors.

        Args:
            pixels (Tensor): uint8 of shape (B, side, side, 3).

        Returns:
            Tensor: Region vectors (B, R, D).
        """
        batches = torch.split(pixels, self.batch_size)
        return torch.cat([self.network.regions(self.network.normalise(rows)) for rows in batches])
