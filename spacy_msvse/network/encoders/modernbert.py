"""ModernBERT: rotated positions, local windows in most layers, normalisation before each block."""

from typing import Any

import torch
from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class ModernBertEncoder(Encoder):
    """ModernBERT. Every word piece attends to the prefixes, also in layers with a local window."""

    adapted = ("Wqkv",)

    def __init__(self, model: nn.Module) -> None:
        """Wrap a ModernBERT model.

        Args:
            model (PreTrainedModel): The model.
        """
        super().__init__(model)
        layer: Any
        for layer in self.layers:
            # The model has no module for a dropout of 0. The dropout of [training] needs a module.
            if not isinstance(layer.attn.out_drop, nn.Dropout):
                layer.attn.out_drop = nn.Dropout(0.0)

    @property
    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.layers
        return layers

    def embed(self, pieces: WordPieces) -> Tensor:
        # The module's own forward pass is not used: some versions compile it.
        embeddings = self.model.embeddings
        hidden: Tensor = embeddings.drop(embeddings.norm(embeddings.tok_embeddings(pieces.ids)))
        return hidden

    def share(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the positions and the mask of the local window.

        Args:
            hidden (Tensor): float of shape (B, N, d), the embeddings.

        Returns:
            tuple: int64 of shape (1, N), and bool of shape (1, 1, N, N).
        """
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        distance = (positions[:, None] - positions[None, :]).abs()
        return positions[None], (distance <= self.model.config.local_attention // 2)[None, None]

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        dropout: nn.Dropout = layer.attn.out_drop
        return dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        positions, window = shared
        attention = layer.attn
        query, key, value = map(attend.split, attention.Wqkv(layer.attn_norm(hidden)).chunk(3, 2))
        cosine, sine = self._rotation(layer, query, positions)
        context = attend(
            rotate(query, cosine, sine),
            rotate(key, cosine, sine),
            value,
            bias=window if self._is_local(layer) else None,
        )
        hidden = hidden + attention.out_drop(attention.Wo(context))
        output: Tensor = hidden + layer.mlp(layer.mlp_norm(hidden))
        return output

    def finish(self, hidden: Tensor) -> Tensor:
        normalised: Tensor = self.model.final_norm(hidden)
        return normalised

    def _is_local(self, layer: Any) -> bool:
        """Whether a word piece attends only to its neighbours in a layer."""
        if hasattr(layer, "attention_type"):
            return bool(layer.attention_type == "sliding_attention")
        # Version 4 of transformers.
        return bool(layer.attn.local_attention != (-1, -1))

    def _rotation(self, layer: Any, states: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the rotation of each position in a layer."""
        if hasattr(self.model, "rotary_emb"):
            cosine, sine = self.model.rotary_emb(states, positions, layer.attention_type)
        else:
            # In version 4 of transformers each layer has its own module.
            cosine, sine = layer.attn.rotary_emb(states, position_ids=positions)
        return cosine, sine


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the two halves of each head by its position.

    Args:
        states (Tensor): float of shape (B, H, N, d_h).
        cosine (Tensor): float of shape (1, N, d_h).
        sine (Tensor): float of shape (1, N, d_h).

    Returns:
        Tensor: float of shape (B, H, N, d_h).
    """
    first, second = states.chunk(2, dim=3)
    return states * cosine + torch.cat([-second, first], dim=3) * sine
