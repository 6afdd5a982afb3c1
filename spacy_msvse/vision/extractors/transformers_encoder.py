"""Vision encoders of transformers: the whole picture and a grid over its patches as regions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from ...settings import Name
from ..features import Features, RegionFeatures
from .base import BatchSize, Grid, Precision, grid_boxes
from .frozen import pool_grid
from .pretrained import PretrainedExtractor, PretrainedNetwork, load_vision_tower


@dataclass(frozen=True)
class TransformersEncoder(PretrainedExtractor):
    """An extractor of regions: the vision encoder of CLIP, SigLIP, DINOv2, ViT or another, frozen.

    The picture is squeezed to the square that the encoder was trained on, so that every box of the
    grid is a box of the picture. The regions are the encoder's vector of the whole picture and the
    mean patch of each cell of a grid over its patches. `DetectedCrops` has objects as
    regions.

    Attributes:
        weights (str): A name on the hub, fetched by `initialize`, or a local folder: a vision
            encoder, or a model that has one; the other parts of the model are left out.
        batch_size (int): Number of pictures in a batch of the network.
        grid (int): Cells along each side of the grid, so that R = 1 + grid * grid; 0 for only the
            whole picture. CLIP's ViT-B/32 has 7 x 7 patches, DINOv2 16 x 16.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "openai/clip-vit-base-patch32"
    batch_size: BatchSize = 16
    grid: Grid = 7
    precision: Precision = "float32"

    fills = ("regions",)

    @property
    def region_dim(self) -> int:
        """Width of a region vector.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return int(self.network.width)

    @property
    def boxes(self) -> np.ndarray:
        """The relative boxes of the regions of every picture: float32 of shape (R, 4)."""
        return grid_boxes(self.grid)

    def _open(self, source: str, saved: Mapping[str, Any]) -> "EncoderNetwork":
        return EncoderNetwork(*load_vision_tower(source), self.grid, self.precision)

    def _extract(self, network: "EncoderNetwork", pictures: Sequence[Image]) -> Iterator[Features]:
        regions = network(network.to_pixels(pictures))
        for vectors in regions.cpu().numpy():
            yield {"regions": RegionFeatures(vectors, self.boxes)}


class EncoderNetwork(PretrainedNetwork):
    """A frozen vision encoder.

    Args:
        tower (PreTrainedModel): The encoder.
        processor (BaseImageProcessor): Its image processor.
        grid (int): Cells along each side of the grid of regions.
        precision (str): "float32", "float16" or "bfloat16".
    """

    def __init__(self, tower: Any, processor: Any, grid: int, precision: str) -> None:
        super().__init__(tower, processor, precision=precision)
        self.grid = grid
        # Convolutional encoders have a width for each stage.
        width = getattr(tower.config, "hidden_size", None) or tower.config.hidden_sizes[-1]
        self.width: int = width

    def regions(self, pixels: Tensor) -> Tensor:
        """The region vectors of `compute`."""
        return self.compute(pixels)

    def compute(self, pixels: Tensor) -> Tensor:
        """Compute region vectors.

        Args:
            pixels (Tensor): float32 of shape (B, 3, side, side).

        Returns:
            Tensor: Region vectors (B, 1 + grid * grid, D), the whole picture first and then the
                cells row by row.
        """
        output = self.network(pixel_values=pixels)
        feature_map = _feature_map(output.last_hidden_state.float())
        return torch.cat([pool_whole(output)[:, None], pool_grid(feature_map, self.grid)], dim=1)


def pool_whole(output: Any) -> Tensor:
    """The vector of the whole picture: the encoder's own, or else its first token.

    Args:
        output (ModelOutput): What an encoder returns.

    Returns:
        Tensor: float32 of shape (B, D).
    """
    pooled: Tensor | None = getattr(output, "pooler_output", None)
    if pooled is None:
        pooled = output.last_hidden_state[:, 0]
    return pooled.flatten(1).float()


def _feature_map(hidden: Tensor) -> Tensor:
    """Arrange the patches as they lie in the picture.

    Args:
        hidden (Tensor): Tokens (B, N, D), the patches row by row after any other tokens, such as a
            class token; or a feature map already.

    Returns:
        Tensor: A feature map (B, D, S, S).
    """
    if hidden.dim() == 4:
        return hidden
    side = math.isqrt(hidden.shape[1])
    patches = hidden[:, -side * side :].transpose(1, 2)
    return patches.reshape(*patches.shape[:2], side, side)
