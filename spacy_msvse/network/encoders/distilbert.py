"""DistilBERT: BERT's layer under other names, without token types."""

from typing import Any

from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class DistilBertEncoder(Encoder):
    """DistilBERT."""

    adapted = ("q_lin", "v_lin")

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.transformer.layer

    def embed(self, pieces: WordPieces) -> Tensor:
        return self.model.embeddings(pieces.ids)

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        return layer.attention.dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention
        context = attend(
            attend.split(attention.q_lin(hidden)),
            attend.split(attention.k_lin(hidden)),
            attend.split(attention.v_lin(hidden)),
        )
        hidden = layer.sa_layer_norm(attention.out_lin(context) + hidden)
        return layer.output_layer_norm(layer.ffn(hidden) + hidden)
