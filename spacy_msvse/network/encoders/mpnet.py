"""MPNet: BERT's layer with a bias for relative positions that all layers share."""

from typing import Any

from torch import Tensor, nn

from .base import PrefixAttention
from .bert import RobertaEncoder


class MPNetEncoder(RobertaEncoder):
    """MPNet. Its positions are counted as RoBERTa's; it has no token types."""

    adapted = ("q", "v")

    def share(self, hidden: Tensor) -> Tensor:
        # All rows have the same positions: one row is enough.
        return self.model.encoder.compute_position_bias(hidden[:1])

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        return layer.attention.attn.dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention.attn
        context = attend(
            *attend.project(hidden, attention.q, attention.k, attention.v), bias=shared
        )
        context = layer.attention.dropout(attention.o(context))
        hidden = layer.attention.LayerNorm(context + hidden)
        return layer.output(layer.intermediate(hidden), hidden)
