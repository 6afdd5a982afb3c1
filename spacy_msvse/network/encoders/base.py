"""The base class of all encoders, and the attention function that takes prefixes."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..inputs import WordPieces


@dataclass
class Prefixes:
    """Keys and values that the self-attention of each layer gets in addition to those of the text.

    Attributes:
        keys (Tensor): float of shape (L, B, M, d): L layers with prefixes, M slots, encoder width
            d.
        values (Tensor): float of shape (L, B, M, d).
        mask (Tensor): bool of shape (B, M), False on the slots of absent views.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    def rows(self, index: Tensor) -> "Prefixes":
        """The prefixes of some of the sequences.

        Args:
            index (Tensor): int64 of shape (B',), the sequences.

        Returns:
            Prefixes: The prefixes of B' sequences.
        """
        return Prefixes(self.keys[:, index], self.values[:, index], self.mask[index])


@dataclass(frozen=True)
class Packing:
    """The word pieces of a padded batch without the padding.

    Attributes:
        places (Tensor): int64 of shape (n,): the place of each word piece among the B * N places of
            the batch.
        rows (int): Number of sequences B.
        length (int): Number of places N of a sequence.
    """

    places: Tensor
    rows: int
    length: int

    @classmethod
    def of(cls, mask: Tensor) -> "Packing | None":
        """Find the word pieces of a batch.

        Args:
            mask (Tensor): bool of shape (B, N), False on padding.

        Returns:
            Packing: The places; None for a batch without padding.
        """
        places = mask.flatten().nonzero().squeeze(1)
        return None if len(places) == mask.numel() else cls(places, *mask.shape)

    def pack(self, padded: Tensor) -> Tensor:
        """Leave out the padding.

        Args:
            padded (Tensor): float of shape (B, N, d).

        Returns:
            Tensor: float of shape (1, n, d).
        """
        return padded.flatten(0, 1).index_select(0, self.places).unsqueeze(0)

    def pad(self, packed: Tensor) -> Tensor:
        """Add the padding.

        Args:
            packed (Tensor): float of shape (1, n, d).

        Returns:
            Tensor: float of shape (B, N, d), 0 on padding.
        """
        width = packed.shape[2]
        padded = packed.new_zeros(self.rows * self.length, width)
        padded = padded.index_copy(0, self.places, packed.squeeze(0))
        return padded.view(self.rows, self.length, width)


@dataclass
class PrefixAttention:
    """The self-attention of one layer: softmax(Q [K_prefix; K]^T / sqrt(d_h)) [V_prefix; V].

    Attributes:
        num_heads (int): Number of heads.
        mask (Tensor): bool of shape (B, 1, 1 or N, M + N), False on padding, on slots of absent
            views and on word pieces that a word piece must not attend to.
        prefix_key (Tensor): float of shape (B, M, d), projected keys of the prefix, or None.
        prefix_value (Tensor): float of shape (B, M, d), projected values of the prefix, or None.
        dropout (float): Dropout probability of an attention weight.
        slot_weights (list): A list to which the attention weights of the slots are added, float of
            shape (B, N, M), averaged over the heads. None to add nothing.
        packing (Packing): The places of the word pieces, if the layer gets its hidden states
            without the padding. Only the attention itself is computed with it.
    """

    num_heads: int
    mask: Tensor
    prefix_key: Tensor | None = None
    prefix_value: Tensor | None = None
    dropout: float = 0.0
    slot_weights: list[Tensor] | None = None
    packing: Packing | None = None

    def split(self, states: Tensor) -> Tensor:
        """Split states of the layer (B, N, d), or packed ones, into heads (B, H, N, d_h)."""
        return self._heads(states if self.packing is None else self.packing.pad(states))

    def _heads(self, states: Tensor) -> Tensor:
        batch, length, width = states.shape
        heads = states.view(batch, length, self.num_heads, width // self.num_heads)
        return heads.transpose(1, 2)

    def project(self, hidden: Tensor, *projections: nn.Module) -> list[Tensor]:
        """Project hidden states of the layer and split each result into heads (B, H, N, d_h)."""
        return [self.split(projection(hidden)) for projection in projections]

    def text_mask(self, length: int) -> Tensor:
        """The mask of the word pieces, bool of shape (B, N), where N is the length."""
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
        """Attend to the prefix and the text. The prefix has no position: its keys are not
        rotated and have no bias, and every word piece attends to them.

        Args:
            query (Tensor): float of shape (B, H, N, d_h).
            key (Tensor): float of the same shape.
            value (Tensor): float of the same shape.
            bias (Tensor): Values added to the scores of the text, float broadcastable to (B, H, N,
                N); or a mask, bool, True where a word piece attends to another.
            scale (float): Factor on the products of queries and keys, 1 / sqrt(d_h) by default.

        Returns:
            Tensor: float of shape (B, N, d), or packed as the hidden states of the layer.
        """
        mask = self.mask
        if self.prefix_key is not None and self.prefix_value is not None:
            key = torch.cat([self._heads(self.prefix_key).to(key.dtype), key], dim=2)
            value = torch.cat([self._heads(self.prefix_value).to(value.dtype), value], dim=2)
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
            # If the values are unit vectors, the output is the weights.
            units = torch.eye(key.shape[2], self.prefix_key.shape[1]).to(query)
            weights = functional.scaled_dot_product_attention(
                query, key, units.expand(*key.shape[:2], -1, -1), attn_mask=mask, scale=scale
            )
            self.slot_weights.append(weights.mean(dim=1))
        context = context.transpose(1, 2).flatten(2)
        return context if self.packing is None else self.packing.pack(context)


class Encoder(nn.Module):
    """A pretrained encoder whose layers accept prefixes.

    The layers run one by one. Prefixes are concatenated to keys and values after the projections
    and have no position, so the positions of the text do not change. A subclass connects the
    modules of one family.
    """

    #: Names of the linear layers that get low-rank adapters by default.
    adapted: ClassVar[tuple[str, ...]]

    # Each family has its own class, so the type checker does not know the attributes.
    model: Any

    def __init__(self, model: nn.Module) -> None:
        """Wrap a Hugging Face model.

        Args:
            model (PreTrainedModel): A model of the subclass's family.
        """
        super().__init__()
        self.model = model
        #: Whether each layer is recomputed in the backward pass, which saves memory.
        self.gradient_checkpointing = False
        # The output of the pooler is not used, so its weights would never train.
        if getattr(model, "pooler", None) is not None:
            self.model.pooler = None

    @property
    def config(self) -> dict[str, Any]:
        """The Hugging Face model configuration in JSON types, without path and without the
        precision of the stored weights."""
        values: dict[str, Any] = self.model.config.to_dict()
        for name in ("_name_or_path", "dtype", "torch_dtype"):
            values.pop(name, None)
        return values

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return int(self.model.config.num_hidden_layers)

    @property
    def num_heads(self) -> int:
        """Number of attention heads."""
        return int(self.model.config.num_attention_heads)

    @property
    def max_length(self) -> int:
        """Maximum number of word pieces, special tokens included."""
        return int(self.model.config.max_position_embeddings)

    @property
    def mixes_neighbours(self) -> bool:
        """Whether word pieces influence their neighbours in other ways than by attention."""
        return False

    @property
    def takes_prefixes(self) -> bool:
        """Whether the layers accept prefixes."""
        return True

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, from the lowest to the highest."""
        layers: nn.ModuleList = self.model.encoder.layer
        return layers

    def embed(self, pieces: WordPieces) -> Tensor:
        """Compute the embeddings of word pieces.

        Args:
            pieces (WordPieces): Word pieces of shape (B, N).

        Returns:
            Tensor: float of shape (B, N, d).
        """
        raise NotImplementedError

    def share(self, hidden: Tensor) -> Any:
        """Compute the values that all layers use, such as relative positions.

        Args:
            hidden (Tensor): float of shape (B, N, d), the embeddings.

        Returns:
            Any: The values, which `run_layer` gets.
        """

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        """The dropout of a layer's attention weights."""
        raise NotImplementedError

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        """Run one layer. Only the attention may depend on the place of a word piece, unless
        `mixes_neighbours` is true: the hidden states may be packed.

        Args:
            layer (nn.Module): One of `layers`.
            hidden (Tensor): float of shape (B, N, d), or (1, n, d) without the padding.
            attend (PrefixAttention): The attention that replaces the layer's own.
            shared (Any): The values that all layers use.

        Returns:
            Tensor: float of the same shape as `hidden`.
        """
        raise NotImplementedError

    def finish(self, hidden: Tensor) -> Tensor:
        """Finish the output of the last layer, for example by a normalisation.

        Args:
            hidden (Tensor): float of shape (B, N, d).

        Returns:
            Tensor: float of shape (B, N, d).
        """
        return hidden

    def forward(
        self, pieces: WordPieces, prefixes: Prefixes | None = None, num_layers: int | None = None
    ) -> Tensor:
        """Encode word pieces.

        Args:
            pieces (WordPieces): Word pieces of shape (B, N), at least one in each row.
            prefixes (Prefixes): Prefixes of the layers that run, or None.
            num_layers (int): Number of layers to run, all by default. 0 returns the embeddings.

        Returns:
            Tensor: float of shape (B, N, d).
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
        slot_weights: list[Tensor] | None = None,
    ) -> Tensor:
        """Run some of the layers. On a CPU, padding is computed in the attention alone.

        Args:
            hidden (Tensor): float of shape (B, N, d): the embeddings, or the output of the layer
                before `start`.
            mask (Tensor): bool of shape (B, N), False on padding; or of shape (B, N, N), True where
                a word piece (second dimension) attends to another (third dimension). What none
                attends to is padding.
            prefixes (Prefixes): Prefixes of these layers, or None.
            start (int): Index of the first layer.
            stop (int): Index of the last layer plus one. None for all remaining layers.
            slot_weights (list): A list to which every layer with a prefix adds its attention
                weights on the slots, float of shape (B, N, M). None to add nothing.

        Returns:
            Tensor: float of shape (B, N, d).
        """
        packing = None
        if hidden.device.type == "cpu" and not self.mixes_neighbours:
            packing = Packing.of(mask if mask.dim() == 2 else mask.any(dim=1))
        mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]
        if prefixes is not None:
            slots = prefixes.mask[:, None, None, :].expand(-1, -1, mask.shape[2], -1)
            mask = torch.cat([slots, mask], dim=3)
        shared = self.share(hidden)
        if packing is not None:
            hidden = packing.pack(hidden)
        for index, layer in enumerate(self.layers[start:stop]):
            attend = PrefixAttention(
                self.num_heads,
                mask,
                None if prefixes is None else prefixes.keys[index],
                None if prefixes is None else prefixes.values[index],
                dropout=self.attention_dropout(layer).p if self.training else 0.0,
                slot_weights=slot_weights,
                packing=packing,
            )
            if self.training and self.gradient_checkpointing:
                hidden = checkpoint(
                    self.run_layer, layer, hidden, attend, shared, use_reentrant=False
                )
            else:
                hidden = self.run_layer(layer, hidden, attend, shared)
        return hidden if packing is None else packing.pad(hidden)
