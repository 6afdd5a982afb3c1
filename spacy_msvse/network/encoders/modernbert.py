"""ModernBERT: rotated positions, local windows in most layers, normalisation before each block."""

from typing import Any

import torch
from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class ModernBertEncoder(Encoder):
    """ModernBERT. Prefixes are seen from every local window."""

    adapted = ("Wqkv",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        layer: Any
        for layer in self.layers:
            # The family leaves a dropout of 0 out, and [training] could not reach it.
            if not isinstance(layer.attn.out_drop, nn.Dropout):
                layer.attn.out_drop = nn.Dropout(0.0)

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.layers

    def embed(self, pieces: WordPieces) -> Tensor:
        # Not the module's own forward pass, which may be set to compile itself.
        embeddings = self.model.embeddings
        return embeddings.drop(embeddings.norm(embeddings.tok_embeddings(pieces.ids)))

    def share(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (1, N) and the local window, bool of shape (1, 1, N, N)."""
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        distance = (positions[:, None] - positions[None, :]).abs()
        return positions[None], (distance <= self.model.config.local_attention // 2)[None, None]

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        return layer.attn.out_drop

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        positions, window = shared
        attention = layer.attn
        query, key, value = map(attend.split, attention.Wqkv(layer.attn_norm(hidden)).chunk(3, 2))
        cosine, sine = attention.rotary_emb(query, position_ids=positions)
        is_local = attention.local_attention != (-1, -1)
        context = attend(
            rotate(query, cosine, sine),
            rotate(key, cosine, sine),
            value,
            bias=window if is_local else None,
        )
        hidden = hidden + attention.out_drop(attention.Wo(context))
        return hidden + layer.mlp(layer.mlp_norm(hidden))

    def finish(self, hidden: Tensor) -> Tensor:
        return self.model.final_norm(hidden)


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the two halves of each head by its position.

    states (Tensor): float of shape (B, H, N, d_h).
    cosine (Tensor): float of shape (1, N, d_h).
    sine (Tensor): float of shape (1, N, d_h).
    RETURNS (Tensor): float of shape (B, H, N, d_h).
    """
    first, second = states.chunk(2, dim=3)
    return states * cosine + torch.cat([-second, first], dim=3) * sine
