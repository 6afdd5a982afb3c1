"""BERT and the families with the same layers: RoBERTa, XLM-R, CamemBERT and ELECTRA."""

from typing import Any

from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class BertEncoder(Encoder):
    """BERT and ELECTRA: absolute positions, normalisation after each block."""

    adapted = ("query", "value")

    def embed(self, pieces: WordPieces) -> Tensor:
        hidden: Tensor = self.model.embeddings(
            input_ids=pieces.ids, token_type_ids=pieces.token_types
        )
        # The embeddings of ELECTRA may be narrower than its layers.
        if hasattr(self.model, "embeddings_project"):
            hidden = self.model.embeddings_project(hidden)
        return hidden

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        dropout: nn.Dropout = layer.attention.self.dropout
        return dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention.self
        context = attend(*attend.project(hidden, attention.query, attention.key, attention.value))
        output: Tensor = layer.feed_forward_chunk(layer.attention.output(context, hidden))
        return output


class RobertaEncoder(BertEncoder):
    """RoBERTa, XLM-R and CamemBERT: the first position is the padding id plus one."""

    @property
    def max_length(self) -> int:
        return super().max_length - int(self.model.config.pad_token_id) - 1
