"""Networks that are not trained, and pixels for them. Imports torch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor, nn


class Frozen(nn.Module):
    """A network without gradients, dropout and updates of its statistics.

    Args:
        network (nn.Module): The network; its weights become float32.
        precision (str): "float32", "float16" or "bfloat16". The weights stay float32.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network: Any = network.float()
        self.precision = precision
        self.requires_grad_(False)
        self.train(False)
        # Memory-mapped weights may be unaligned, which changes the order of summation.
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data = tensor.data.clone()

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in evaluation mode, also if a module that contains this one changes its mode."""
        return super().train(False)

    def fit(self, picture: Image) -> Image:
        """Resize a picture to the size that the network takes.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: The resized picture; a copy if it has that size.
        """
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        """Call `compute` without gradients and in the chosen precision."""
        precision = getattr(torch, self.precision)
        half = precision != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, precision, enabled=half):
            return self.compute(*inputs)

    def compute(self, *inputs: Any) -> Any:
        """Compute the outputs of a batch."""
        raise NotImplementedError


@dataclass(frozen=True)
class PixelFormat:
    """The pixels that a network was trained on.

    Attributes:
        side (int): Width and height.
        mean (tuple): Mean of each channel of an 8-bit picture.
        std (tuple): Standard deviation of each channel.
        resampling (Resampling): The filter for resizing.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resampling: Resampling = Resampling.BICUBIC


class FrozenSquare(Frozen):
    """A frozen network of square pictures. They are squeezed, so that nothing is cut off.

    Args:
        network (nn.Module): The network.
        pixels (PixelFormat): The pixels that it was trained on.
        precision (str): "float32", "float16" or "bfloat16".
    """

    def __init__(self, network: nn.Module, pixels: PixelFormat, precision: str = "float32") -> None:
        super().__init__(network, precision)
        self.pixels = pixels

    def fit(self, picture: Image) -> Image:
        """Squeeze a picture into a square.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: The square; a copy if the picture is one already.
        """
        return picture.resize((self.pixels.side, self.pixels.side), self.pixels.resampling)

    def to_pixels(self, pictures: Sequence[Image]) -> Tensor:
        """Squeeze and normalise pictures.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size.

        Returns:
            Tensor: float32 of shape (B, 3, side, side), on the device of the network.
        """
        squares = np.stack([np.asarray(self.fit(picture)) for picture in pictures])
        return self.normalise(torch.from_numpy(squares).to(self.device))

    def normalise(self, squares: Tensor) -> Tensor:
        """Scale pixels to the range that the network was trained on.

        Args:
            squares (Tensor): uint8 of shape (B, side, side, 3).

        Returns:
            Tensor: float32 of shape (B, 3, side, side).
        """
        pixels = squares.permute(0, 3, 1, 2).float()
        mean, std = (
            pixels.new_tensor(values)[:, None, None]
            for values in (self.pixels.mean, self.pixels.std)
        )
        return (pixels - mean) / std

    def regions(self, pixels: Tensor) -> Tensor:
        """Compute region vectors, with gradients where the weights have them.

        Args:
            pixels (Tensor): float32 of shape (B, 3, side, side).

        Returns:
            Tensor: Region vectors (B, R, D).
        """
        raise NotImplementedError


def without_weights(build: Callable[..., nn.Module], *arguments: Any, **settings: Any) -> Any:
    """Build a network without weights. The state of the random numbers does not change.

    Args:
        build (Callable): Returns the network when called with the further arguments.
        arguments (Any): Positional arguments of `build`.
        settings (Any): Keyword arguments of `build`.

    Returns:
        nn.Module: A network on torch's meta device.
    """
    with torch.device("meta"):
        return build(*arguments, **settings)


@contextmanager
def recorded_maps(
    stages: Iterable[nn.Module], largest: float, arrange: nn.Module | None = None
) -> Iterator[dict[int, Tensor]]:
    """Record the feature maps that parts of a network compute in this context.

    Args:
        stages (Iterable): The parts, whose outputs are square feature maps (B, D, S, S). Other
            outputs are left out.
        largest (float): Larger maps are left out.
        arrange (nn.Module): Turns an output into a map of the shape above. None if it has it.

    Yields:
        dict: Side S to the last map of this size, the largest first. It is filled during the pass.
    """
    maps: dict[int, Tensor] = {}

    def record(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            output = output if arrange is None else arrange(output)
            *_, high, wide = output.shape
            if high == wide <= largest:
                maps[wide] = output

    hooks = [stage.register_forward_hook(record) for stage in stages]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def pool_regions(maps: Sequence[Tensor], grid: int, pyramid: bool) -> Tensor:
    """Region vectors of a picture from its feature maps.

    Args:
        maps (Sequence[Tensor]): The levels of a feature pyramid, float of shape (B, D, S, S). The
            last one is the last map of the network.
        grid (int): Cells along each side.
        pyramid (bool): Whether all levels are read, or only the last one.

    Returns:
        Tensor: float32. With a pyramid, of shape (B, grid * grid, sum of all D): each cell with the
            means of all levels, one after the other. Else of shape (B, 1 + grid * grid, D): the
            mean of the whole picture, then the cells. Cells follow each other row by row.
    """
    if pyramid:
        return torch.cat([pool_grid(level.float(), grid) for level in maps], dim=2)
    last = maps[-1].float()
    return torch.cat([last.mean(dim=(2, 3))[:, None], pool_grid(last, grid)], dim=1)


def pool_grid(features: Tensor, grid: int) -> Tensor:
    """Mean vectors of the cells of a grid over a feature map.

    The cells cover the picture without overlap, exactly as their boxes do. In adaptive pooling, the
    windows overlap if the size of the map is not a multiple of the grid.

    Args:
        features (Tensor): float32 of shape (B, D, S, S).
        grid (int): Cells along each side; 0 for none.

    Returns:
        Tensor: float32 of shape (B, grid * grid, D), row by row.
    """
    batch, width, side, _ = features.shape
    if grid == 0:
        return features.new_zeros(batch, 0, width)
    # The share of each row (or column) of the map in each row of the grid.
    pieces = torch.eye(side, device=features.device).repeat_interleave(grid, dim=0)
    shares = pieces.reshape(grid, side, side).mean(dim=1)
    with torch.autocast(features.device.type, enabled=False):
        cells = torch.einsum("ry,bdyx,cx->brcd", shares, features, shares)
    return cells.flatten(1, 2)
