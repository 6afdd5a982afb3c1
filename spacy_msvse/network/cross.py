"""A transformer layer in which vectors attend to other vectors, or to themselves."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def attend(attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Attend to the vectors that exist.

    Args:
        attention (nn.MultiheadAttention): The attention.
        queries (Tensor): float of shape (B, N, d).
        keys (Tensor): The vectors to attend to, float of shape (B, M, d).
        mask (Tensor): bool of shape (B, M): which of them exist, at least one in each row.

    Returns:
        Tensor: float of shape (B, N, d).
    """
    # torch checks a mask of padding in symbols, and imports sympy for it.
    hidden = ~mask[:, None, None].expand(-1, attention.num_heads, queries.shape[1], -1)
    attended: Tensor = attention(
        queries, keys, keys, attn_mask=hidden.flatten(0, 1), need_weights=False
    )[0]
    return attended


class CrossLayer(nn.Module):
    """A layer of a transformer, normalised after each part, as in BERT.

    h = LayerNorm(q + MultiHeadAttention(q, k, k)); y = LayerNorm(h + W2 GELU(W1 h)).
    """

    def __init__(
        self, width: int, num_heads: int, dropout: float, *, inner_width: int | None = None
    ) -> None:
        """Create the layer.

        Args:
            width (int): Width of all vectors, a multiple of `num_heads`.
            num_heads (int): Number of attention heads.
            dropout (float): Dropout probability.
            inner_width (int): Width of the feed-forward part; None for 4 times the width.
        """
        super().__init__()
        inner_width = 4 * width if inner_width is None else inner_width
        self.attention = nn.MultiheadAttention(width, num_heads, dropout, batch_first=True)
        self.attention_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, inner_width)
        self.outer = nn.Linear(inner_width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Attend to vectors.

        Args:
            queries (Tensor): float of shape (B, N, d).
            keys (Tensor): The vectors to attend to, float of shape (B, M, d).
            mask (Tensor): bool of shape (B, M): which of them exist.

        Returns:
            Tensor: float of shape (B, N, d). The queries themselves in a row without any key.
        """
        exists = mask.any(dim=1)
        if not exists.any():
            return queries
        # Attention to nothing would be NaN, so such a row attends to all, and is replaced.
        attended = attend(self.attention, queries, keys, mask | ~exists[:, None])
        states = self.attention_norm(queries + self.dropout(attended))
        inner = self.outer(functional.gelu(self.inner(states)))
        states = self.norm(states + self.dropout(inner))
        return torch.where(exists[:, None, None], states, queries)
