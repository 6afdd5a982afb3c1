"""Image classifiers of torchvision: a grid of regions, and classes as tags."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from PIL.Image import Resampling
from pydantic import Field
from torch import Tensor, nn

from ...settings import Name, Share, suggest
from .base import BatchSize, Classes, Grid, GridClassifier, Most, Precision
from .frozen import FrozenSquare, PixelFormat, pool_regions, recorded_maps, without_weights
from .weights import (
    find_torchvision_weights,
    name_classes,
    torchvision_categories,
)

#: Families of torchvision's classifiers whose last feature map enters a module `avgpool`.
FAMILIES = (
    "resnet",
    "resnext",
    "wide_resnet",
    "convnext",
    "efficientnet",
    "googlenet",
    "inception",
    "mobilenet_v3",
    "swin",
    "vgg",
)

# ImageNet's, for 8-bit channels.
_MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
_STD = tuple(255 * value for value in (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class TorchvisionBackbone(GridClassifier):
    """An extractor of regions and tags: an image classifier of torchvision, frozen.

    The picture is squeezed to a square, so that every box of the grid is a box of the picture. The
    regions are the mean of the last feature map and the mean of each cell of a grid over it, or
    with `pyramid` the cells of a feature pyramid; the tags are the likeliest classes.

    Attributes:
        weights (str): The name of the weights in torchvision, fetched by `initialize`, or a .pt,
            .pth or .safetensors file with the state of such a network, with any number of classes.
        batch_size (int): Number of pictures in a batch of the network.
        architecture (str): The name of the network in torchvision, such as "resnet152". It must be
            of one of the `FAMILIES`.
        classes (tuple): The names of the classes. None uses the names of ImageNet's
            classes, on which torchvision's weights were trained.
        side (int): Width and height of the square, in pixels. 224 gives a ResNet 7 x 7 cells.
        grid (int): Cells along each side of the grid, so that R = 1 + grid * grid; 0 for only the
            whole picture.
        pyramid (bool): Whether the regions are only the cells, R = grid * grid, each with the means
            of all levels of the feature pyramid, one after the other: of the last map of each size
            up to a quarter of the side. HvpNet reads such regions, with `grid` 2.
        tags (int): Maximum number of tags of a picture.
        min_tag_score (float): Minimum probability of a tag.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "DEFAULT"
    batch_size: BatchSize = 16
    architecture: Name = "resnet50"
    classes: Classes | None = None
    side: Annotated[int, Field(ge=32, le=2048)] = 224
    grid: Grid = 7
    tags: Most = 5
    min_tag_score: Share = 0.2
    precision: Precision = "float32"
    pyramid: bool = False

    def __post_init__(self) -> None:
        from torchvision.models import list_models

        super().__post_init__()
        known = [name for name in list_models() if name.startswith(FAMILIES)]
        expected = f"a classifier of torchvision, of one of the families {', '.join(FAMILIES)}."
        expected = (expected + suggest(self.architecture, known)).rstrip(".")
        self.require(self.architecture in known, "architecture", expected)
        self.require(self.grid > 0 or not self.pyramid, "grid", "from 1 to 64 with a pyramid")

    @property
    def region_dim(self) -> int:
        """Width of a region vector.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return sum(self.levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """Widths of the feature maps whose means make a region vector, the largest map first.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        widths: tuple[int, ...] = self.network.levels
        return widths

    def _find(self) -> None:
        weights = find_torchvision_weights(self.architecture, self.weights)
        usual = torchvision_categories(self.architecture)
        count = _count_classes(self.architecture, weights)
        self._load(weights, name_classes(self.weights, count, self.classes, usual))

    def _build(self, weights: dict[str, Any]) -> "GridNetwork":
        return GridNetwork(
            self.architecture,
            weights,
            side=self.side,
            grid=self.grid,
            pyramid=self.pyramid,
            precision=self.precision,
        )


class GridNetwork(FrozenSquare):
    """A frozen classifier that also returns vectors from its feature maps.

    Args:
        architecture (str): A classifier of torchvision, of one of the `FAMILIES`.
        weights (dict): Its state.
        side (int): Width and height of a picture, in pixels.
        grid (int): Cells along each side of the grid of regions.
        pyramid (bool): Whether a region has all levels of the feature pyramid.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        RuntimeError: If the weights are those of another network.
    """

    def __init__(
        self,
        architecture: str,
        weights: dict[str, Tensor],
        *,
        side: int,
        grid: int,
        pyramid: bool,
        precision: str,
    ) -> None:
        network = _build(architecture, _count_classes(architecture, weights))
        # On the meta device nothing is computed.
        pixels = torch.empty(1, 3, side, side, device="meta")
        maps, _ = _run(network.eval(), pixels, pyramid)
        self.levels = tuple(level.shape[1] for level in maps)
        network.load_state_dict(weights, assign=True)
        # In bfloat16 a processor runs ResNet-50 a third faster with channels last.
        network = network.to(memory_format=torch.channels_last)
        super().__init__(network, PixelFormat(side, _MEAN, _STD, Resampling.BILINEAR), precision)
        self.grid = grid
        self.pyramid = pyramid

    def regions(self, pixels: Tensor) -> Tensor:
        """The region vectors of `compute`."""
        return self.compute(pixels)[0]

    def compute(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute region vectors and class probabilities.

        Args:
            pixels (Tensor): float32 of shape (B, 3, side, side).

        Returns:
            tuple: Region vectors (B, R, D) as `pool_regions` returns them, and probabilities
                (B, C).
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        maps, logits = _run(self.network, pixels, self.pyramid)
        regions = pool_regions(maps, self.grid, self.pyramid)
        return regions, logits.float().softmax(dim=-1)


def _run(network: Any, pixels: Tensor, pyramid: bool) -> tuple[list[Tensor], Tensor]:
    """The feature map before the last pooling (B, D, S, S), with a pyramid after the last map of
    each larger size, and the logits (B, C), from one pass."""
    levels: list[Tensor] = []
    stages = getattr(network, "features", network).children() if pyramid else ()
    # A Swin has the channels last, and its own module to put them second.
    arrange = getattr(network, "permute", None)
    with recorded_maps(stages, pixels.shape[3] / 4, arrange) as maps:

        def finish(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            maps[inputs[0].shape[3]] = inputs[0]
            levels.extend(maps.values())

        hook = network.avgpool.register_forward_pre_hook(finish)
        try:
            logits = network(pixels)
        finally:
            hook.remove()
    return levels, logits


def _build(architecture: str, classes: int) -> Any:
    from torchvision.models import get_model

    return without_weights(get_model, architecture, weights=None, num_classes=classes)


def _count_classes(architecture: str, weights: dict[str, Tensor]) -> int:
    """The classes of a classifier: the width of its last linear layer."""
    layers = _build(architecture, 1).named_modules()
    *_, last = (name for name, layer in layers if isinstance(layer, nn.Linear))
    return len(weights[f"{last}.bias"])
