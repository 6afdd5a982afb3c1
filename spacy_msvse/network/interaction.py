"""Interaction of visual features with the text: attention and gate."""

import torch
from torch import Tensor, nn

from .cross import attend
from .views import ViewFeatures


class TokenGate(nn.Module):
    """A gate on one vector beside another: sigmoid(W [a; b] + c) * b. It is exactly 0 where b is 0,
    such as for an absent view."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width)

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Gate vectors.

        Args:
            own (Tensor): The vectors a, float of shape (..., d).
            other (Tensor): The vectors b, of the same shape.

        Returns:
            Tensor: float of the same shape.
        """
        return torch.sigmoid(self.linear(torch.cat([own, other], dim=-1))) * other


class Interaction(nn.Module):
    """Semantic interaction of visual features with the text, shared over views.

    Stated: an attention and a gating mechanism. Reconstructed: A = MultiHeadAttention(Q = V,
    K = V = H), g = sigmoid(W [V; A] + b), S = LayerNorm(V + g * A). Without attention, A is the
    mean text feature; without the gate, g is 1; without both, the text does not change the visual
    features.
    """

    def __init__(self, width: int, num_heads: int, *, attention: bool, gate: bool) -> None:
        super().__init__()
        self.attention = (
            nn.MultiheadAttention(width, num_heads, batch_first=True) if attention else None
        )
        self.gate = TokenGate(width) if gate else None
        self.norm = nn.LayerNorm(width)

    def forward(self, views: ViewFeatures, text: Tensor, text_mask: Tensor) -> ViewFeatures:
        """Add the text's information to visual features.

        Args:
            views (ViewFeatures): Visual features V, of shape (B, V, d).
            text (Tensor): Text features H, float of shape (B, N, d).
            text_mask (Tensor): bool of shape (B, N).

        Returns:
            ViewFeatures: Visual semantic features S, of the same shape as V.
        """
        vectors = views.vectors
        if self.attention is not None:
            related = attend(self.attention, vectors, text, text_mask)
        elif self.gate is not None:
            total = (text * text_mask.unsqueeze(2)).sum(dim=1, keepdim=True)
            mean = total / text_mask.sum(dim=1)[:, None, None].clamp(min=1)
            related = mean.expand_as(vectors)
        else:
            related = torch.zeros_like(vectors)
        if self.gate is not None:
            related = self.gate(vectors, related)
        return ViewFeatures(self.norm(vectors + related), views.mask, views.sizes)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension, restricted to a mask.

    Args:
        scores (Tensor): float.
        mask (Tensor): bool, broadcastable to the scores.

    Returns:
        Tensor: Probabilities. A row without an element in the mask is 0, not NaN.
    """
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1) * mask
