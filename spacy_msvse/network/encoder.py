"""The text encoder, and the one place that knows how a prefix reaches its self-attention."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import Errors
from .inputs import WordPieces

#: Families that share BERT's layer: embeddings, self-attention, output, feed-forward.
SUPPORTED_FAMILIES = ("bert", "camembert", "electra", "roberta", "xlm-roberta")


@dataclass
class Prefixes:
    """Keys and values that every layer's self-attention sees before the text's own.

    keys (Tensor): float of shape (L, B, M, d): L layers, M slots, encoder width d.
    values (Tensor): float of shape (L, B, M, d).
    mask (Tensor): bool of shape (B, M), False on the slots of absent views.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    def rows(self, index: Tensor) -> "Prefixes":
        """The prefixes of some of the sequences.

        index (Tensor): int64 of shape (B',).
        RETURNS (Prefixes): For B' sequences.
        """
        return Prefixes(self.keys[:, index], self.values[:, index], self.mask[index])


class Encoder(nn.Module):
    """A pretrained encoder whose layers accept prefixes.

    The layers are run one by one: prefixes are concatenated to keys and values after their
    projection and take no position, so the positions of the text do not shift.
    """

    # A Hugging Face model: what the families share is beyond the type checker.
    model: Any

    def __init__(self, model: nn.Module) -> None:
        """Adopt a Hugging Face model.

        model (PreTrainedModel): A model of one of `SUPPORTED_FAMILIES`.
        RAISES (ValueError): For another family, or relative positions (MSVSE-E002).
        """
        super().__init__()
        config: Any = model.config
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        if config.model_type not in SUPPORTED_FAMILIES or not absolute:
            raise ValueError(
                Errors.E002.format(
                    model_type=config.model_type, supported=", ".join(SUPPORTED_FAMILIES)
                )
            )
        # A pooler would be dead weight: it is neither trained nor read.
        self.model = model
        if getattr(model, "pooler", None) is not None:
            self.model.pooler = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Encoder":
        """Build an encoder with random weights.

        config (Mapping): A Hugging Face model configuration with its `model_type`.
        RETURNS (Encoder): The encoder.
        """
        from transformers import AutoConfig, AutoModel

        settings = dict(config)
        model_type = settings.pop("model_type", "bert")
        if model_type not in SUPPORTED_FAMILIES:
            supported = ", ".join(SUPPORTED_FAMILIES)
            raise ValueError(Errors.E002.format(model_type=model_type, supported=supported))
        return cls(AutoModel.from_config(AutoConfig.for_model(model_type, **settings)))

    @property
    def config(self) -> dict[str, Any]:
        """The Hugging Face model configuration, in JSON types, without where it was loaded from."""
        values: dict[str, Any] = self.model.config.to_dict()
        values.pop("_name_or_path", None)
        return values

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return self.model.config.hidden_size

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return self.model.config.num_hidden_layers

    @property
    def num_heads(self) -> int:
        """Number of attention heads."""
        return self.model.config.num_attention_heads

    @property
    def max_length(self) -> int:
        """The most word pieces, special ones included, that the positions reach."""
        config = self.model.config
        # RoBERTa's family counts positions from its padding id on.
        offset = 0 if config.model_type in ("bert", "electra") else config.pad_token_id + 1
        return config.max_position_embeddings - offset

    def embed(self, pieces: WordPieces) -> Tensor:
        """Look up word pieces.

        pieces (WordPieces): Of shape (B, N).
        RETURNS (Tensor): float of shape (B, N, d).
        """
        hidden = self.model.embeddings(input_ids=pieces.ids, token_type_ids=pieces.types)
        # ELECTRA may embed in fewer dimensions than it encodes.
        if hasattr(self.model, "embeddings_project"):
            hidden = self.model.embeddings_project(hidden)
        return hidden

    def forward(
        self, pieces: WordPieces, prefixes: Prefixes | None = None, num_layers: int | None = None
    ) -> Tensor:
        """Encode word pieces.

        pieces (WordPieces): Of shape (B, N), at least one valid piece in a row.
        prefixes (Prefixes): What every layer sees beside them.
        num_layers (int): How many of the layers to run; all by default.
        RETURNS (Tensor): float of shape (B, N, d).
        """
        hidden = self.embed(pieces)
        mask = pieces.mask
        if prefixes is not None:
            mask = torch.cat([prefixes.mask, mask], dim=1)
        mask = mask[:, None, None, :]
        layers = self.model.encoder.layer[:num_layers]
        for index, layer in enumerate(layers):
            key, value = (
                (None, None) if prefixes is None else (prefixes.keys[index], prefixes.values[index])
            )
            context = attend_with_prefix(layer.attention.self, hidden, mask, key, value)
            hidden = layer.attention.output(context, hidden)
            hidden = layer.feed_forward_chunk(hidden)
        return hidden


def attend_with_prefix(
    attention: Any, hidden: Tensor, mask: Tensor, key: Tensor | None, value: Tensor | None
) -> Tensor:
    """Self-attention over the prefix and the text: softmax(Q [K_prefix; K]) [V_prefix; V].

    attention (nn.Module): The layer's projections `query`, `key` and `value`, and its `dropout`.
    hidden (Tensor): float of shape (B, N, d).
    mask (Tensor): bool of shape (B, 1, 1, M + N).
    key (Tensor): float of shape (B, M, d), already projected; None for no prefix.
    value (Tensor): float of shape (B, M, d), likewise.
    RETURNS (Tensor): float of shape (B, N, d).
    """

    def heads(states: Tensor) -> Tensor:
        return states.unflatten(2, (attention.num_attention_heads, -1)).transpose(1, 2)

    query, keys, values = (
        attention.query(hidden),
        attention.key(hidden),
        attention.value(hidden),
    )
    if key is not None and value is not None:
        keys, values = torch.cat([key, keys], dim=1), torch.cat([value, values], dim=1)
    context = functional.scaled_dot_product_attention(
        heads(query),
        heads(keys),
        heads(values),
        attn_mask=mask,
        dropout_p=attention.dropout.p if attention.training else 0.0,
    )
    return context.transpose(1, 2).flatten(2)
