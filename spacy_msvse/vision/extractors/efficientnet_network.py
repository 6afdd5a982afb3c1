"""The network of `EfficientNetLite0`. Imports torch."""

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from .frozen import FrozenSquare, PixelFormat, pool_regions, recorded_maps, without_weights

#: The pixels that EfficientNet-Lite was trained on.
_PIXELS = PixelFormat(side=224, mean=(127,) * 3, std=(128,) * 3)


class EfficientNetLite0Network(FrozenSquare):
    """A frozen EfficientNet-Lite0: no gradients, no dropout, no updates of BatchNorm.

    Args:
        weights (dict): The state of an `efficientnet_lite_pytorch.EfficientNet`.
        grid (int): Cells along each side of the grid of regions.
        pyramid (bool): Whether a region has all levels of the feature pyramid.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        RuntimeError: If the weights are those of another network.
    """

    def __init__(
        self, weights: dict[str, Tensor], grid: int, pyramid: bool, precision: str
    ) -> None:
        network = without_weights(EfficientNet.from_name, "efficientnet-lite0")
        network.load_state_dict(weights, assign=True)
        # Depthwise convolutions on a processor run about a third faster with channels last.
        super().__init__(network.to(memory_format=torch.channels_last), _PIXELS, precision)
        self.grid = grid
        self.pyramid = pyramid

    def regions(self, pixels: Tensor) -> Tensor:
        """The region vectors of `compute`."""
        return self.compute(pixels)[0]

    def compute(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute region vectors and class probabilities.

        Args:
            pixels (Tensor): float32 of shape (B, 3, 224, 224), in (-1, 1].

        Returns:
            tuple: Region vectors (B, R, D) as `pool_regions` returns them, and probabilities
                (B, 1000).
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        stages = self.network._blocks if self.pyramid else ()
        with recorded_maps(stages, self.pixels.side / 4) as maps:
            last = self.network.extract_features(pixels)  # (B, 1280, 7, 7)
        maps[last.shape[3]] = last
        probabilities = self.network._fc(last.mean(dim=(2, 3))).float().softmax(dim=-1)
        return pool_regions(list(maps.values()), self.grid, self.pyramid), probabilities
