"""DeBERTa-v2 and v3: attention between contents and relative positions."""

from typing import Any

from torch import Tensor, nn

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class DebertaV2Encoder(Encoder):
    """DeBERTa-v2, DeBERTa-v3 and mDeBERTa."""

    adapted = ("query_proj", "value_proj")

    @property
    def mixes_neighbours(self) -> bool:
        return self.model.encoder.conv is not None

    def embed(self, pieces: WordPieces) -> Tensor:
        hidden: Tensor = self.model.embeddings(
            input_ids=pieces.ids, token_type_ids=pieces.token_types, mask=pieces.mask
        )
        return hidden

    def share(self, hidden: Tensor) -> tuple[Tensor | None, Tensor | None]:
        encoder = self.model.encoder
        return encoder.get_rel_pos(hidden), encoder.get_rel_embedding()

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        dropout: nn.Dropout = layer.attention.self.dropout
        return dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        attention = layer.attention.self
        query, key, value = attend.project(
            hidden, attention.query_proj, attention.key_proj, attention.value_proj
        )
        # Content-to-position and position-to-content scores each add to the variance.
        terms = 1 + sum(kind in attention.pos_att_type for kind in ("c2p", "p2c"))
        bias = None
        if attention.relative_attention:
            positions, embeddings = shared
            bias = attention.disentangled_attention_bias(
                query.flatten(0, 1),
                key.flatten(0, 1),
                positions,
                attention.pos_dropout(embeddings),
                terms,
            ).view(*query.shape[:3], -1)
        context = attend(query, key, value, bias=bias, scale=(query.shape[3] * terms) ** -0.5)
        output: Tensor = layer.attention.output(context, hidden)
        output = layer.output(layer.intermediate(output), output)
        convolution = self.model.encoder.conv
        if convolution is not None and layer is self.layers[0]:
            mask = attend.text_mask(hidden.shape[1]).long()
            output = convolution(hidden, output, mask)
        return output
