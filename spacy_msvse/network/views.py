"""Feature vectors of views, and the projection of region vectors to the encoder's width."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from ..settings import Names
from .inputs import Regions

#: The view made of region vectors. Every other view of MSVSE is a text.
REGIONS = "regions"


def _check_textual(views: tuple[str, ...]) -> tuple[str, ...]:
    if REGIONS in views:
        raise ValueError
    return views


#: A setting: views that are read as texts.
TextViews = Annotated[
    Names,
    AfterValidator(_check_textual),
    Field(description=f"a list of distinct names of textual views, without '{REGIONS}'"),
]


@dataclass
class ViewFeatures:
    """Feature vectors of several views, one view after the other.

    Attributes:
        vectors (Tensor): float of shape (B, V, d).
        mask (Tensor): bool of shape (B, V).
        sizes (tuple): How many of the V columns belong to each of the S views; their sum is V.
    """

    vectors: Tensor
    mask: Tensor
    sizes: tuple[int, ...]

    @property
    def present(self) -> Tensor:
        """bool of shape (B, S): whether a view has any vector."""
        return torch.stack(
            [mask.any(dim=1) for mask in self.mask.split_with_sizes(self.sizes, dim=1)], dim=1
        )

    def mean(self) -> Tensor:
        """Mean vector of each view, float of shape (B, S, d); 0 for an absent view."""
        means = [
            (vectors * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
            for vectors, mask in self.split()
        ]
        return torch.stack(means, dim=1)

    def split(self) -> list[tuple[Tensor, Tensor]]:
        """Vectors and mask of each view."""
        pairs = zip(
            self.vectors.split_with_sizes(self.sizes, dim=1),
            self.mask.split_with_sizes(self.sizes, dim=1),
            strict=True,
        )
        return list(pairs)


class RegionProjection(nn.Module):
    """Regional visual features: the vector and the box of each region, in the encoder's width.

    Reconstructed: Linear(vector) + Linear(x1, y1, x2, y2, area), normalised to the scale of the
    word pieces' embeddings.
    """

    def __init__(self, region_dim: int, width: int) -> None:
        super().__init__()
        self.vector = nn.Linear(region_dim, width)
        self.box = nn.Linear(5, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, regions: Regions) -> Tensor:
        """Project regions.

        Args:
            regions (Regions): R regions of P posts.

        Returns:
            Tensor: float of shape (P, R, d).
        """
        x1, y1, x2, y2 = regions.boxes.unbind(dim=2)
        area = (x2 - x1) * (y2 - y1)
        boxes = torch.stack([x1, y1, x2, y2, area], dim=2)
        dtype = self.vector.weight.dtype
        vectors = self.vector(regions.vectors.to(dtype)) + self.box(boxes.to(dtype))
        projected: Tensor = self.norm(vectors)
        return projected
