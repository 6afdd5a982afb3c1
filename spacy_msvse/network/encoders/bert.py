"""BERT and the families that kept its layers: RoBERTa, XLM-R, CamemBERT and ELECTRA."""

from typing import Any

from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class BertEncoder(Encoder):
    """BERT and ELECTRA: absolute positions, normalisation behind each block."""

    adapted = ("query", "value")

    def embed(self, pieces: WordPieces) -> Tensor:
        hidden = self.model.embeddings(input_ids=pieces.ids, token_type_ids=pieces.token_types)
        # ELECTRA may embed in fewer dimensions than it encodes.
        if hasattr(self.model, "embeddings_project"):
            hidden = self.model.embeddings_project(hidden)
        return hidden

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        return layer.attention.self.dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention.self
        context = attend(*attend.project(hidden, attention.query, attention.key, attention.value))
        return layer.feed_forward_chunk(layer.attention.output(context, hidden))


class RobertaEncoder(BertEncoder):
    """RoBERTa, XLM-R and CamemBERT: positions are counted from the padding id on."""

    @property
    def max_length(self) -> int:
        return super().max_length - self.model.config.pad_token_id - 1
