"""Layers that fuse the tokens of a text with the objects of a picture, as two kinds of nodes."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cross import attend
from .interaction import masked_softmax


class ObjectAttention(nn.Module):
    """Self-attention of objects with maps for queries and keys only: the values are the objects
    themselves, divided among the heads."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)

    def forward(self, objects: Tensor, mask: Tensor) -> Tensor:
        """Attend to objects.

        Args:
            objects (Tensor): float of shape (P, R, d).
            mask (Tensor): bool of shape (P, R).

        Returns:
            Tensor: float of shape (P, R, d); 0 for a post without objects.
        """
        query, key = self._split(self.query(objects)), self._split(self.key(objects))
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        weights = masked_softmax(scores, mask[:, None, None, :])
        seen: Tensor = (weights @ self._split(objects)).transpose(1, 2).flatten(2)
        return seen

    def _split(self, vectors: Tensor) -> Tensor:
        """(P, R, d) -> (P, heads, R, d / heads)."""
        posts, objects, width = vectors.shape
        return vectors.view(posts, objects, self.num_heads, width // self.num_heads).transpose(1, 2)


class GraphFusionLayer(nn.Module):
    """A layer of UMGF: self-attention within tokens and within objects, then gated messages between
    them, then a feed-forward part. The last layer sends no messages to objects, which nothing would
    read.

    Corrected: the message to an object is a mean over tokens, not a sum, which would grow with the
    length of the text.
    """

    def __init__(
        self, width: int, num_heads: int, inner_width: int, dropout: float, *, is_last: bool
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.text_attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.object_attention = ObjectAttention(width, num_heads)
        self.to_text = nn.Linear(2 * width, width)
        self.text_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.text_inner = _feed_forward(width, inner_width)
        self.object_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(1 if is_last else 3))
        self.to_object: nn.Linear | None = None
        if not is_last:
            self.to_object = nn.Linear(2 * width, width)
            self.object_inner = _feed_forward(width, inner_width)

    def forward(
        self, text: Tensor, objects: Tensor, text_mask: Tensor, object_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            text (Tensor): float of shape (P, T, d).
            objects (Tensor): float of shape (P, R, d).
            text_mask (Tensor): bool of shape (P, T).
            object_mask (Tensor): bool of shape (P, R).

        Returns:
            tuple: Text and objects, of the same shapes.
        """
        exists = text_mask.any(dim=1, keepdim=True)
        attended = attend(self.text_attention, text, text, text_mask | ~exists)
        text = self._add(self.text_norms[0], text, attended)
        seen = self.object_attention(objects, object_mask)
        objects = self._add(self.object_norms[0], objects, seen)
        # (P, T, R, 2 d): each token beside each object.
        pairs = torch.cat(
            [
                text.unsqueeze(2).expand(-1, -1, objects.shape[1], -1),
                objects.unsqueeze(1).expand(-1, text.shape[1], -1, -1),
            ],
            dim=3,
        )
        of_objects = object_mask[:, None, :, None] * objects.unsqueeze(1)
        message = (torch.sigmoid(self.to_text(pairs)) * of_objects).sum(dim=2)
        text_after = self._add(self.text_norms[1], text, message)
        text_after = self._add(self.text_norms[2], text_after, self.text_inner(text_after))
        if self.to_object is None:
            return text_after, objects
        of_tokens = text_mask[:, :, None, None] * text.unsqueeze(2)
        message = (torch.sigmoid(self.to_object(pairs)) * of_tokens).sum(dim=1)
        message = message / text_mask.sum(dim=1).clamp(min=1)[:, None, None]
        objects = self._add(self.object_norms[1], objects, message)
        objects = self._add(self.object_norms[2], objects, self.object_inner(objects))
        return text_after, objects

    def _add(self, norm: nn.Module, old: Tensor, new: Tensor) -> Tensor:
        added: Tensor = norm(old + functional.dropout(new, self.dropout, self.training))
        return added


def _feed_forward(width: int, inner_width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner_width), nn.ReLU(), nn.Linear(inner_width, width))
