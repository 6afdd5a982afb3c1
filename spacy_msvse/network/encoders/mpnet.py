"""MPNet: the layers of BERT with a shared bias for relative positions."""

from typing import Any

from torch import Tensor, nn

from .base import PrefixAttention
from .bert import RobertaEncoder


class MPNetEncoder(RobertaEncoder):
    """MPNet. It has the positions of RoBERTa and no token types."""

    adapted = ("q", "v")

    def share(self, hidden: Tensor) -> Tensor:
        # All rows have the same positions, so one row is enough.
        bias: Tensor = self.model.encoder.compute_position_bias(hidden[:1])
        return bias

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        dropout: nn.Dropout = layer.attention.attn.dropout
        return dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention.attn
        context = attend(
            *attend.project(hidden, attention.q, attention.k, attention.v), bias=shared
        )
        context = layer.attention.dropout(attention.o(context))
        hidden = layer.attention.LayerNorm(context + hidden)
        output: Tensor = layer.output(layer.intermediate(hidden), hidden)
        return output
