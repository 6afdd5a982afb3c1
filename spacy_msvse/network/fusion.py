"""From views to multi-scale visual semantic features: projection, interaction, gate."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .inputs import Regions


@dataclass
class ViewFeatures:
    """The feature vectors of several views, one view after the other.

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
        return torch.stack([mask.any(dim=1) for mask in self.mask.split(self.sizes, dim=1)], dim=1)

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
            self.vectors.split(self.sizes, dim=1), self.mask.split(self.sizes, dim=1), strict=True
        )
        return list(pairs)


class RegionProjection(nn.Module):
    """Regional visual features: each region's vector and its box, in the encoder's width.

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

        regions (Regions): R regions of P posts.
        RETURNS (Tensor): float of shape (P, R, d).
        """
        x1, y1, x2, y2 = regions.boxes.unbind(dim=2)
        area = (x2 - x1) * (y2 - y1)
        boxes = torch.stack([x1, y1, x2, y2, area], dim=2)
        dtype = self.vector.weight.dtype
        return self.norm(self.vector(regions.vectors.to(dtype)) + self.box(boxes.to(dtype)))


class Interaction(nn.Module):
    """The semantic interaction of visual features with the text, shared over views.

    Stated: an attention and a gating mechanism. Reconstructed: A = MultiHeadAttention(Q = V,
    K = V = H), g = sigmoid(W [V; A] + b), S = LayerNorm(V + g * A). Without attention, A is the
    mean text feature; without the gate, g is 1; without both, the text does not reach the visual
    features.
    """

    def __init__(self, width: int, num_heads: int, *, attention: bool, gate: bool) -> None:
        super().__init__()
        self.attention = (
            nn.MultiheadAttention(width, num_heads, batch_first=True) if attention else None
        )
        self.gate = nn.Linear(2 * width, width) if gate else None
        self.norm = nn.LayerNorm(width)

    def forward(self, views: ViewFeatures, text: Tensor, text_mask: Tensor) -> ViewFeatures:
        """Enrich visual features by the text.

        views (ViewFeatures): Visual features V, of shape (B, V, d).
        text (Tensor): Text features H, float of shape (B, N, d).
        text_mask (Tensor): bool of shape (B, N).
        RETURNS (ViewFeatures): Visual semantic features S, of the same shape as V.
        """
        vectors = views.vectors
        if self.attention is not None:
            related, _ = self.attention(
                vectors, text, text, key_padding_mask=~text_mask, need_weights=False
            )
        elif self.gate is not None:
            total = (text * text_mask.unsqueeze(2)).sum(dim=1, keepdim=True)
            mean = total / text_mask.sum(dim=1)[:, None, None].clamp(min=1)
            related = mean.expand_as(vectors)
        else:
            related = torch.zeros_like(vectors)
        if self.gate is not None:
            related = torch.sigmoid(self.gate(torch.cat([vectors, related], dim=2))) * related
        return ViewFeatures(self.norm(vectors + related), views.mask, views.sizes)
