"""DistilBERT: the layers of BERT with other names, without token types."""

from typing import Any

from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class DistilBertEncoder(Encoder):
    """DistilBERT."""

    adapted = ("q_lin", "v_lin")

    @property
    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.transformer.layer
        return layers

    def embed(self, pieces: WordPieces) -> Tensor:
        hidden: Tensor = self.model.embeddings(pieces.ids)
        return hidden

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        dropout: nn.Dropout = layer.attention.dropout
        return dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention
        context = attend(*attend.project(hidden, attention.q_lin, attention.k_lin, attention.v_lin))
        hidden = layer.sa_layer_norm(attention.out_lin(context) + hidden)
        output: Tensor = layer.output_layer_norm(layer.ffn(hidden) + hidden)
        return output
