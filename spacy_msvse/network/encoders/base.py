"""What all encoders share: layers run one by one, one attention function that takes prefixes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..inputs import WordPieces


@dataclass
class Prefixes:
    """Keys and values that a layer's self-attention sees before the text's own.

    keys (Tensor): float of shape (L, B, M, d): L layers that see them, M slots, encoder width d.
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


@dataclass
class PrefixAttention:
    """The self-attention of one layer: softmax(Q [K_prefix; K]^T / sqrt(d_h)) [V_prefix; V].

    num_heads (int): Number of heads.
    mask (Tensor): bool of shape (B, 1, 1 or N, M + N), False on padding, on slots of absent views
        and on what a word piece must not see.
    prefix_key (Tensor): float of shape (B, M, d), already projected; None for no prefix.
    prefix_value (Tensor): float of shape (B, M, d), likewise.
    dropout (float): Probability of dropping an attention weight.
    slot_weights (list): Where to add the attention paid to each slot, float of shape (B, N, M), a
        mean over heads; None to add nothing.
    """

    num_heads: int
    mask: Tensor
    prefix_key: Tensor | None = None
    prefix_value: Tensor | None = None
    dropout: float = 0.0
    slot_weights: list[Tensor] | None = None

    def split(self, states: Tensor) -> Tensor:
        """Split states (B, N, d) into heads (B, H, N, d_h)."""
        return states.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def project(self, hidden: Tensor, *projections: nn.Module) -> list[Tensor]:
        """Project hidden states (B, N, d), and split each result into heads (B, H, N, d_h)."""
        return [self.split(projection(hidden)) for projection in projections]

    def text_mask(self, length: int) -> Tensor:
        """Where the word pieces are, bool of shape (B, N), N the length."""
        return self.mask[:, 0, 0, -length:]

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        bias: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """Attend over the prefix and the text. The prefix has no position: it is not rotated, its
        columns have no bias, and no local window hides it.

        query (Tensor): float of shape (B, H, N, d_h).
        key (Tensor): float of the same shape.
        value (Tensor): float of the same shape.
        bias (Tensor): What is added to the scores of the text, float broadcastable to
            (B, H, N, N); or bool, True where a word piece is seen.
        scale (float): Factor on the products of queries and keys; 1 / sqrt(d_h) by default.
        RETURNS (Tensor): float of shape (B, N, d).
        """
        mask = self.mask
        if self.prefix_key is not None and self.prefix_value is not None:
            key = torch.cat([self.split(self.prefix_key).to(key.dtype), key], dim=2)
            value = torch.cat([self.split(self.prefix_value).to(value.dtype), value], dim=2)
        if bias is not None:
            slots = key.shape[2] - bias.shape[3]
            if bias.dtype == torch.bool:
                mask = functional.pad(bias, (slots, 0), value=True) & mask
            else:
                bias = functional.pad(bias, (slots, 0)).to(query.dtype)
                mask = bias.masked_fill(~mask, torch.finfo(query.dtype).min)
        context = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout, scale=scale
        )
        if self.slot_weights is not None and self.prefix_key is not None:
            # With unit vectors for values, what comes out are the weights.
            units = torch.eye(key.shape[2], self.prefix_key.shape[1]).to(query)
            weights = functional.scaled_dot_product_attention(
                query, key, units.expand(*key.shape[:2], -1, -1), attn_mask=mask, scale=scale
            )
            self.slot_weights.append(weights.mean(dim=1))
        return context.transpose(1, 2).flatten(2)


class Encoder(nn.Module):
    """A pretrained encoder whose layers accept prefixes.

    The layers are run one by one: prefixes are concatenated to keys and values after their
    projection and take no position, so the positions of the text do not shift. A subclass says
    where its family keeps things.
    """

    #: The linear layers that low-rank adapters are put on by default.
    adapted: ClassVar[tuple[str, ...]]

    # A Hugging Face model: what the families share is beyond the type checker.
    model: Any

    def __init__(self, model: nn.Module) -> None:
        """Adopt a Hugging Face model.

        model (PreTrainedModel): A model of the subclass's family.
        """
        super().__init__()
        self.model = model
        #: Recompute each layer in the backward pass instead of keeping its activations.
        self.gradient_checkpointing = False
        #: While this is a list, every layer with a prefix adds the attention that it pays to it.
        self.slot_weights: list[Tensor] | None = None
        # A pooler would be dead weight: it is neither trained nor read.
        if getattr(model, "pooler", None) is not None:
            self.model.pooler = None

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
        return self.model.config.max_position_embeddings

    @property
    def mixes_neighbours(self) -> bool:
        """Whether word pieces reach their neighbours otherwise than by attention."""
        return False

    @property
    def takes_prefixes(self) -> bool:
        """Whether a prefix can enter its layers."""
        return True

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, from the lowest."""
        return self.model.encoder.layer

    def depths(self) -> Iterator[tuple[str, int]]:
        """The name of every parameter, and the number of the layer it belongs to: 0 before the
        first layer, `num_layers` from the last one on."""
        layer_of = {
            id(parameter): number
            for number, layer in enumerate(self.layers, start=1)
            for parameter in layer.parameters()
        }
        depth = 0
        for name, parameter in self.named_parameters():
            depth = max(depth, layer_of.get(id(parameter), 0))
            yield name, depth

    def embed(self, pieces: WordPieces) -> Tensor:
        """Look up word pieces.

        pieces (WordPieces): Of shape (B, N).
        RETURNS (Tensor): float of shape (B, N, d).
        """
        raise NotImplementedError

    def share(self, hidden: Tensor) -> Any:
        """Compute once what every layer needs, such as relative positions.

        hidden (Tensor): float of shape (B, N, d), the embeddings.
        RETURNS (Any): What `run_layer` gets.
        """

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        """The dropout of a layer's attention weights."""
        raise NotImplementedError

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        """Run one layer.

        layer (nn.Module): One of `layers`.
        hidden (Tensor): float of shape (B, N, d).
        attend (PrefixAttention): The attention to use in place of the layer's own.
        shared (Any): What `share` returned.
        RETURNS (Tensor): float of shape (B, N, d).
        """
        raise NotImplementedError

    def finish(self, hidden: Tensor) -> Tensor:
        """What a family does to the output of the last layer that was run."""
        return hidden

    def forward(
        self, pieces: WordPieces, prefixes: Prefixes | None = None, num_layers: int | None = None
    ) -> Tensor:
        """Encode word pieces.

        pieces (WordPieces): Of shape (B, N), at least one valid piece in a row.
        prefixes (Prefixes): What every layer sees beside them.
        num_layers (int): How many of the layers to run; all by default, 0 for the embeddings.
        RETURNS (Tensor): float of shape (B, N, d).
        """
        hidden = self.embed(pieces)
        if num_layers == 0:
            return hidden
        return self.finish(self.run(hidden, pieces.mask, prefixes, stop=num_layers))

    def run(
        self,
        hidden: Tensor,
        mask: Tensor,
        prefixes: Prefixes | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Tensor:
        """Run some of the layers.

        hidden (Tensor): float of shape (B, N, d): the embeddings, or what the layer before the
            first of them returned.
        mask (Tensor): bool of shape (B, N), False on padding; or of shape (B, N, N), True where a
            word piece (second dimension) sees another (third).
        prefixes (Prefixes): What each of these layers sees beside the word pieces.
        start (int): The first layer.
        stop (int): The layer after the last; None for the top.
        RETURNS (Tensor): float of shape (B, N, d).
        """
        mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]
        if prefixes is not None:
            seen = prefixes.mask[:, None, None, :].expand(-1, -1, mask.shape[2], -1)
            mask = torch.cat([seen, mask], dim=3)
        shared = self.share(hidden)
        for index, layer in enumerate(self.layers[start:stop]):
            attend = PrefixAttention(self.num_heads, mask, slot_weights=self.slot_weights)
            if prefixes is not None:
                attend.prefix_key, attend.prefix_value = (
                    prefixes.keys[index],
                    prefixes.values[index],
                )
            if self.training:
                attend.dropout = self.attention_dropout(layer).p
            if self.training and self.gradient_checkpointing:
                hidden = checkpoint(
                    self.run_layer, layer, hidden, attend, shared, use_reentrant=False
                )
            else:
                hidden = self.run_layer(layer, hidden, attend, shared)
        return hidden
