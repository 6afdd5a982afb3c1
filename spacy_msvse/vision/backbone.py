"""The frozen network behind `regions`. Imports torch, so import it late."""

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load_file
from torch import Tensor, nn

#: Cells along each side of the last feature map.
FEATURE_SIDE = 7


class FrozenEfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 that never changes: no gradients, no dropout, no BatchNorm updates.

    weights (dict): The state of an `efficientnet_lite_pytorch.EfficientNet`.
    grid (int): Cells along each side of the grid of regions.
    RAISES (RuntimeError): If the weights are those of another network.
    """

    def __init__(self, weights: dict[str, Tensor], grid: int) -> None:
        super().__init__()
        # On the meta device nothing is initialised at random: no time, no step of torch's seed.
        with torch.device("meta"):
            self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(weights, assign=True)
        # Depthwise convolutions on a processor run about a third faster with channels last.
        self.network.to(memory_format=torch.channels_last)
        self.cell_weights: Tensor
        self.register_buffer("cell_weights", _cell_weights(grid), persistent=False)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "FrozenEfficientNetLite0":
        """Stay in evaluation mode, whatever mode a surrounding module is put into."""
        return super().train(False)

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute region vectors and class probabilities.

        pixels (Tensor): float32 of shape (B, 3, 224, 224), in (-1, 1].
        RETURNS (tuple): Region vectors (B, 1 + grid * grid, 1280), the mean of the whole picture
            first and then the cells row by row, and probabilities (B, 1000).
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.network.extract_features(pixels)  # (B, 1280, 7, 7)
        whole = features.mean(dim=(2, 3))
        cells = torch.einsum("ry,bdyx,cx->brcd", self.cell_weights, features, self.cell_weights)
        probabilities = self.network._fc(whole).softmax(dim=-1)
        return torch.cat([whole[:, None], cells.flatten(1, 2)], dim=1), probabilities


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict without running any code that the file may hold.

    path (Path): A .pth or .safetensors file.
    RETURNS (dict): Tensors by name.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Normalise pixels as in the training of EfficientNet-Lite.

    pixels (np.ndarray): uint8 of shape (B, 224, 224, 3).
    RETURNS (Tensor): float32 of shape (B, 3, 224, 224).
    """
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128


def _cell_weights(grid: int) -> Tensor:
    """How much of each row (or column) of the feature map lies in each row of the grid.

    Unlike adaptive pooling, whose windows overlap where the grid does not divide the map, the
    cells tile the picture as their boxes say.

    RETURNS (Tensor): float32 of shape (grid, 7); each row sums to 1.
    """
    pieces = torch.eye(FEATURE_SIDE).repeat_interleave(grid, dim=0)
    return pieces.reshape(grid, FEATURE_SIDE, FEATURE_SIDE).mean(dim=1)
