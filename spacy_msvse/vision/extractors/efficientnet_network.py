"""The network of `EfficientNetLite0`. Imports torch."""

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from .frozen import FrozenSquare, PixelFormat, pool_grid, without_weights

#: The pixels that EfficientNet-Lite was trained on.
_PIXELS = PixelFormat(side=224, mean=(127,) * 3, std=(128,) * 3)


class EfficientNetLite0Network(FrozenSquare):
    """A frozen EfficientNet-Lite0: no gradients, no dropout, no updates of BatchNorm.

    Args:
        weights (dict): The state of an `efficientnet_lite_pytorch.EfficientNet`.
        grid (int): Cells along each side of the grid of regions.

    Raises:
        RuntimeError: If the weights are those of another network.
    """

    def __init__(self, weights: dict[str, Tensor], grid: int) -> None:
        network = without_weights(EfficientNet.from_name, "efficientnet-lite0")
        network.load_state_dict(weights, assign=True)
        # Depthwise convolutions on a processor run about a third faster with channels last.
        super().__init__(network.to(memory_format=torch.channels_last), _PIXELS)
        self.grid = grid

    def regions(self, pixels: Tensor) -> Tensor:
        """The region vectors of `compute`."""
        return self.compute(pixels)[0]

    def compute(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute region vectors and class probabilities.

        Args:
            pixels (Tensor): float32 of shape (B, 3, 224, 224), in (-1, 1].

        Returns:
            tuple: Region vectors (B, 1 + grid * grid, 1280), the mean of the whole picture first
                and then the cells row by row, and probabilities (B, 1000).
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.network.extract_features(pixels)  # (B, 1280, 7, 7)
        whole = features.mean(dim=(2, 3))
        probabilities = self.network._fc(whole).softmax(dim=-1)
        return torch.cat([whole[:, None], pool_grid(features, self.grid)], dim=1), probabilities
