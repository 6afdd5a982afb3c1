"""The base of every method: settings, the interface that the component needs, shared helpers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ..errors import Errors, MsvseError
from ..settings import Names, Settings, unknown_setting, wrong_setting
from .crf import Lattice
from .cross import CrossLayer
from .decoder import token_loss
from .encoders.base import Encoder, Prefixes
from .encoders.families import build_encoder
from .encoders.lora import add_lora, check_lora
from .inputs import Inputs, Loss, Outputs, Regions, Targets, WordPieces
from .spans import SpanDistribution

#: Nested: name of a matrix, name of a row, dotted name of a setting of the component, its value.
Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]

#: Whether attention is recorded. Every thread has its own value.
_records_attention = ContextVar("records_attention", default=False)

#: Width of a region vector or of a part of it.
RegionWidth = Annotated[int, Field(ge=1, le=65536)]

ConfigT = TypeVar("ConfigT", bound="NetworkConfig")
NetworkT = TypeVar("NetworkT", bound="Network")


@dataclass(frozen=True)
class Reads:
    """The views that a network reads, by the form in which it reads them.

    Attributes:
        vectors (tuple): Views that are region vectors.
        texts (tuple): Textual views that are word pieces of their own.
        joint (tuple): Textual views that are encoded together with the text, after it.
        queries (tuple): Texts that the network puts before the text, the same for all posts.
    """

    vectors: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    joint: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkConfig(Settings):
    """Settings that every method has. A method adds its own in a subclass, each with its range:
    `Annotated[int, Field(ge=1, le=64)]` by pydantic, or a type of `spacy_msvse.settings`.

    Attributes:
        types (tuple): Entity types, such as ("PER", "LOC").
        encoder (dict): A Hugging Face model configuration, `model_type` included.
        lora (dict): Settings of `peft.LoraConfig`: low-rank adapters on the encoder, whose own
            weights are frozen then. None trains the encoder itself.
        gradient_checkpointing (bool): Recompute the encoder's layers in the backward pass: less
            memory, more time.
        region_dim (int): Width of a region vector.
        region_levels (tuple): Widths of its parts, such as those of the levels of a feature
            pyramid. Empty for one part.
        dropout (float): Dropout probability outside the encoder, which has its own.
        loss_divisor (float): The loss of a post is divided by this constant, never by the size of a
            batch, so that accumulated sub-batches equal one batch.
    """

    types: Names
    encoder: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] | None = None
    gradient_checkpointing: bool = False
    region_dim: RegionWidth = 2048
    region_levels: Annotated[tuple[RegionWidth, ...], Field(max_length=64)] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    loss_divisor: Annotated[float, Field(ge=1e-3, le=1e6)] = 16.0

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = sum(self.region_levels) == self.region_dim or not self.region_levels
        self.require(fits, "region_levels", f"widths that add up to region_dim ({self.region_dim})")
        if self.lora is not None:
            check_lora(self.lora)

    @property
    def reads(self) -> Reads:
        """The views that the network reads. A method that reads only the text keeps this."""
        return Reads()

    @property
    def views(self) -> tuple[str, ...]:
        """The names of all views that the network reads."""
        reads = self.reads
        return tuple(dict.fromkeys((*reads.vectors, *reads.texts, *reads.joint)))

    def to_dict(self) -> dict[str, Any]:
        """The settings in JSON types."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
        """Read settings, and refuse unknown names.

        Args:
            values (Mapping): Setting name to value.

        Returns:
            NetworkConfig: The settings.

        Raises:
            MsvseError: For an unknown name (MSVSE-E015) or a value that cannot be used
                (MSVSE-E007).
        """
        if not isinstance(values, Mapping):
            raise wrong_setting("config", values, "a section", cls.__name__)
        names = {f.name for f in fields(cls)}
        for name in values:
            if name not in names:
                raise unknown_setting(name, cls.__name__, names)
        return cls(**{"types": None, **values})


class Network(nn.Module):
    """Base of every method. A subclass implements `compute`, names its `Config`, and may have a
    `loss` of its own.

    Conventions: an absent view is masked and contributes exactly nothing; a term of the loss is a
    mean within a post and a sum over posts, divided by `loss_divisor`.
    """

    #: The class of the method's settings.
    Config: ClassVar[type[NetworkConfig]] = NetworkConfig

    #: Rows of the method's ablation tables.
    rows: ClassVar[Rows] = {}

    #: Whether the outputs of a post depend on the other posts of its batch. If so, batches keep the
    #: order of the posts, and the scores of a post depend on its batch.
    mixes_posts: ClassVar[bool] = False

    #: Whether the loss of a post depends on the other posts of its batch, and the outputs in
    #: training too, but not in prediction.
    mixes_losses: ClassVar[bool] = False

    #: Whether the network keeps something of each training post. `index_posts` then gets them
    #: before the training.
    indexes_posts: ClassVar[bool] = False

    posts_seen: Tensor
    view_posts_seen: Tensor

    def __init__(
        self, config: NetworkConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Set the encoder and the backbone.

        Args:
            config (NetworkConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors (Q, R, D) from pixels (Q, H, W, 3), and
                trains with the network. None if all region vectors are given.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.backbone = backbone
        encoder.gradient_checkpointing = config.gradient_checkpointing
        if config.lora is not None:
            add_lora(encoder, config.lora)
        # Counted in training, so that a loaded network has the list of untrained views.
        self.register_buffer("posts_seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("view_posts_seen", torch.zeros(len(config.views), dtype=torch.long))

    @classmethod
    def build(
        cls: type[NetworkT],
        config: NetworkConfig | Mapping[str, Any],
        encoder: Encoder | None = None,
        backbone: nn.Module | None = None,
    ) -> NetworkT:
        """Build a network of this method.

        Args:
            config (NetworkConfig or Mapping): The settings; a mapping is read by
                `Config.from_dict`.
            encoder (Encoder): The text encoder. Without one, an encoder with random weights is
                built from the setting `encoder`.
            backbone (nn.Module): Computes region vectors from pixels and trains with the network.

        Returns:
            Network: The network.

        Raises:
            MsvseError: For unknown settings (MSVSE-E015), settings out of range (MSVSE-E007), an
                encoder family that is not supported (MSVSE-E002), or `lora` without the package
                peft (MSVSE-E016).
        """
        if not isinstance(config, NetworkConfig):
            config = cls.Config.from_dict(config)
        config.require(bool(config.types), "types", "a list of at least one type")
        if encoder is None:
            encoder = build_encoder(config.encoder)
        else:
            config = replace(config, encoder=encoder.config)
        return cls(config, encoder, backbone)

    # The interface

    @property
    def views(self) -> tuple[str, ...]:
        """The names of all views that the network reads."""
        return self.config.views

    def forward(self, inputs: Inputs) -> Outputs:
        """Compute the scores of a batch of posts.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The scores.

        Raises:
            MsvseError: If `compute` returns something else (MSVSE-E084).
        """
        if self.training:
            self._count_views(inputs)
        if inputs.pictures:
            inputs = self._fill_vectors(inputs)
        outputs = self.compute(inputs)
        if not isinstance(outputs, Outputs):
            method, given = type(self).__name__, type(outputs).__name__
            raise MsvseError(Errors.E084.format(method=method, given=given))
        return outputs

    def compute(self, inputs: Inputs) -> Outputs:
        """Compute the scores of a batch of posts. A method implements this.

        Args:
            inputs (Inputs): The posts, with the vectors of a backbone filled in.

        Returns:
            Outputs: The scores.
        """
        raise NotImplementedError

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """Compare outputs with the gold labels: the negative log-likelihood of the lattice that is
        the answer. A method with another answer or with further terms overrides this.

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Scalars; `total` is the one to differentiate. Term "entities", a mean over the
                tokens of a post.
        """
        assert isinstance(outputs.answer, Lattice)
        total = self.reduce(token_loss(outputs.answer, targets.allowed))
        return Loss(total, {"entities": total})

    def index_posts(self, batches: Iterable[Inputs]) -> None:
        """Keep something of the training posts, if `indexes_posts` is true. It is saved with the
        weights.

        Args:
            batches (Iterable[Inputs]): All training posts, on the device of the network.
        """

    def answer(self, outputs: Outputs) -> SpanDistribution:
        """The distribution that gives the entities and all probabilities.

        Args:
            outputs (Outputs): The outputs for a batch.

        Returns:
            SpanDistribution: The distribution; `outputs.answer` unless a method overrides it.
        """
        return outputs.answer

    @contextmanager
    def recording_attention(self) -> Iterator[None]:
        """Fill `Outputs.attention` in this context. A method without prefixes leaves it empty."""
        token = _records_attention.set(True)
        try:
            yield
        finally:
            _records_attention.reset(token)

    @property
    def records_attention(self) -> bool:
        """Whether this thread is in the context of `recording_attention`."""
        return _records_attention.get()

    def kept_positions(self, size: int, added: int) -> list[int]:
        """Where the rows, or columns, of weights go when the network gets further entity types. A
        method whose weights have something behind those of the types overrides this.

        Args:
            size (int): The number of rows.
            added (int): The number of new types; 0 for rows that do not depend on the types.

        Returns:
            list: The new place of each row. New rows are drawn at random.
        """
        return list(range(size))

    # What training needs

    def view_shares(self) -> dict[str, float]:
        """The share of training posts that had each view; empty before any training."""
        if not self.posts_seen:
            return {}
        shares = (self.view_posts_seen / self.posts_seen).tolist()
        return dict(zip(self.views, shares, strict=True))

    def untrained_views(self, minimum: float) -> dict[str, float]:
        """The views that too few training posts had.

        Args:
            minimum (float): The least share of posts.

        Returns:
            dict: View to its share; empty until enough posts were counted.
        """
        if int(self.posts_seen) * minimum < 1:
            return {}
        return {view: share for view, share in self.view_shares().items() if share < minimum}

    def set_dropout(self, rate: float) -> None:
        """Set the rate of every dropout of the network, the encoder's included.

        Args:
            rate (float): A probability.
        """
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = rate
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = rate

    # Helpers of the methods

    def make_cross_layer(self) -> CrossLayer:
        """A cross layer with the encoder's width and heads, and the dropout of the settings."""
        return CrossLayer(self.encoder.width, self.encoder.num_heads, self.config.dropout)

    def reduce(self, losses: Tensor) -> Tensor:
        """Sum the losses of posts.

        Args:
            losses (Tensor): float of shape (P,), a mean within each post.

        Returns:
            Tensor: The sum, divided by `loss_divisor`: a scalar.
        """
        return losses.sum() / self.config.loss_divisor

    def encode_view(self, pieces: WordPieces, num_layers: int = 0) -> tuple[Tensor, Tensor]:
        """Encode a textual view with the lower layers of the encoder. Absent rows are skipped.

        Args:
            pieces (WordPieces): The view's word pieces, of shape (P, N).
            num_layers (int): How many layers; 0 takes the embeddings.

        Returns:
            tuple: Vectors, float of shape (P, N, d), and their mask, bool of shape (P, N).
        """
        rows = pieces.mask.any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return self.absent_view(len(pieces.mask))
        hidden = self.encoder(pieces.rows(rows), num_layers=num_layers)
        vectors = hidden.new_zeros(len(pieces.mask), *hidden.shape[1:]).index_copy(0, rows, hidden)
        return vectors, pieces.mask[:, : hidden.shape[1]]

    def absent_view(self, num_posts: int) -> tuple[Tensor, Tensor]:
        """One masked vector for each post, for a view that no post of a batch has.

        Args:
            num_posts (int): Number of posts.

        Returns:
            tuple: Zeros of shape (P, 1, d), and a mask of False of shape (P, 1).
        """
        parameter = next(self.encoder.parameters())
        vectors = parameter.new_zeros(num_posts, 1, self.encoder.width)
        return vectors, torch.zeros(num_posts, 1, dtype=torch.bool, device=parameter.device)

    def read_regions(self, inputs: Inputs, view: str) -> Regions:
        """The region vectors of a view, also if no post of the batch has any.

        Args:
            inputs (Inputs): The posts.
            view (str): Name of the view.

        Returns:
            Regions: Vectors of shape (P, R, D), in the precision of the weights. Vectors outside of
                the mask are 0.
        """
        parameter = next(self.encoder.parameters())
        if view not in inputs.vectors:
            posts = len(inputs.token_mask)
            vectors = parameter.new_zeros(posts, 1, self.config.region_dim)
            boxes = parameter.new_zeros(posts, 1, 4)
            return Regions(vectors, boxes, inputs.token_mask.new_zeros(posts, 1))
        regions = inputs.vectors[view]
        vectors = regions.vectors.to(parameter.dtype) * regions.mask.unsqueeze(2)
        return replace(regions, vectors=vectors)

    def encode_lower_layers(
        self, inputs: Inputs, num_layers: int, below: Tensor | None = None, start: int = 0
    ) -> Tensor:
        """Encode what the text and the joint encoding share: the embeddings and the lower layers.

        In these layers the text does not attend to the views after it.

        Args:
            inputs (Inputs): The posts.
            num_layers (int): How many layers; 0 takes the embeddings.
            below (Tensor): Hidden states of the first `start` layers, if they have run already.
            start (int): The number of these layers.

        Returns:
            Tensor: Hidden states of `inputs.joint`, float of shape (W, N', d).
        """
        hidden = self.encoder.embed(inputs.joint) if below is None else below
        if num_layers == start:
            return hidden
        text = inputs.text.mask
        before = functional.pad(text, (0, hidden.shape[1] - text.shape[1]))
        mask = torch.where(before.unsqueeze(2), before.unsqueeze(1), inputs.joint.mask.unsqueeze(1))
        return self.encoder.run(hidden, mask, start=start, stop=num_layers)

    def encode_text(self, inputs: Inputs, lower: Tensor, start: int = 0) -> Tensor:
        """Encode the text alone with the upper layers.

        Args:
            inputs (Inputs): The posts.
            lower (Tensor): Hidden states of the lower layers, float of shape (W, N', d) or
                (W, N, d).
            start (int): The first of the upper layers.

        Returns:
            Tensor: Text features, float of shape (W, N, d).
        """
        mask = inputs.text.mask
        return self.encoder.finish(self.encoder.run(lower[:, : mask.shape[1]], mask, start=start))

    def encode_joint(
        self,
        inputs: Inputs,
        lower: Tensor,
        text: Tensor | None,
        prefixes: Prefixes | None = None,
        start: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """Encode the text, its joint views and the prefixes with the upper layers.

        A window without a joint view and a prefix is not encoded again if there are text features:
        they are used.

        Args:
            inputs (Inputs): The posts.
            lower (Tensor): Hidden states of the lower layers, float of shape (W, N', d).
            text (Tensor): Text features, float of shape (W, N, d). None if they were not computed.
            prefixes (Prefixes): Prefixes of M slots for the upper layers.
            start (int): The first of the upper layers.

        Returns:
            tuple: The text part of the joint encoding, float of shape (W, N, d). While attention is
                recorded also the attention to each slot, float of shape (W, N, M): a mean over
                layers and heads.
        """
        mask = inputs.joint.mask
        windows, length = inputs.text.mask.shape
        slots = 0 if prefixes is None else prefixes.mask.shape[1]
        shares = lower.new_zeros(windows, length, slots) if self.records_attention else None
        rows = torch.arange(windows, device=mask.device)
        if text is not None:
            enriched = mask.sum(dim=1) > inputs.text.mask.sum(dim=1)
            if prefixes is not None:
                enriched = enriched | prefixes.mask.any(dim=1)
            rows = enriched.nonzero().squeeze(1)
            if not len(rows):
                return text, shares
        some = len(rows) < windows
        if some:
            mask = inputs.joint.rows(rows).mask
            lower = lower[rows, : mask.shape[1]]
            prefixes = None if prefixes is None else prefixes.rows(rows)
        weights: list[Tensor] | None = None if shares is None else []
        joint = self.encoder.run(lower, mask, prefixes, start=start, slot_weights=weights)
        joint = self.encoder.finish(joint)[:, :length]
        if shares is not None and weights:
            mean = torch.stack(weights).mean(dim=0)[:, :length].to(shares)
            shares[rows, : mean.shape[1]] = mean
        if text is None or not some:
            return joint, shares
        joint = functional.pad(joint, (0, 0, 0, length - joint.shape[1]))
        return text.index_copy(0, rows, joint), shares

    def _count_views(self, inputs: Inputs) -> None:
        self.posts_seen += len(inputs.token_mask)
        for index, view in enumerate(self.views):
            self.view_posts_seen[index] += inputs.present(view).sum()

    def _fill_vectors(self, inputs: Inputs) -> Inputs:
        """Replace region vectors by those that the backbone computes from the pictures."""
        assert self.backbone is not None
        vectors = dict(inputs.vectors)
        for view, pictures in inputs.pictures.items():
            regions = vectors[view]
            made = self.backbone(pictures.pixels).to(regions.vectors.dtype)
            columns = torch.arange(made.shape[1], device=made.device)
            places = (pictures.post.unsqueeze(1), pictures.start.unsqueeze(1) + columns)
            filled = regions.vectors.index_put(places, made)
            vectors[view] = replace(regions, vectors=filled)
        return replace(inputs, vectors=vectors, pictures={})


def token_vectors(hidden: Tensor, inputs: Inputs) -> Tensor:
    """The vector of the first word piece of each token.

    Args:
        hidden (Tensor): float of shape (W, N, d).
        inputs (Inputs): Where each token is.

    Returns:
        Tensor: float of shape (P, T, d); 0 for padding and tokens that are in no window.
    """
    held = (inputs.token_piece >= 0) & inputs.token_mask
    tokens = hidden[inputs.token_window, inputs.token_piece.clamp(min=0)]
    return tokens * held.unsqueeze(2)


def window_mean(values: Tensor, window_post: Tensor, num_posts: int) -> Tensor:
    """Mean over the windows of each post.

    Args:
        values (Tensor): float of shape (W, ...).
        window_post (Tensor): int64 of shape (W,): the post of each window.
        num_posts (int): Number of posts P.

    Returns:
        Tensor: float of shape (P, ...).
    """
    total = values.new_zeros(num_posts, *values.shape[1:]).index_add(0, window_post, values)
    count = torch.bincount(window_post, minlength=num_posts).clamp(min=1)
    return total / count.view(-1, *[1] * (values.ndim - 1))
