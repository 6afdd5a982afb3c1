"""The settings of the network, and what each may be."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import Errors, MsvseError

#: The view made of region vectors; every other view is a text, encoded by the shared encoder.
REGIONS = "regions"


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of an MSVSE network. The defaults are the method of the paper; what the paper does
    not state is reconstructed.

    types (tuple): Entity types, such as ("PER", "LOC").
    encoder (dict): A Hugging Face model configuration, `model_type` included.
    lora (dict): Settings of `peft.LoraConfig`: low-rank adapters on the encoder, whose own weights
        are frozen then. None trains the encoder itself.
    gradient_checkpointing (bool): Recompute the encoder's layers in the backward pass: less
        memory, more time.
    region_dim (int): Width of a region vector.
    prefix_views (tuple): Views that become visual semantic features: classified and, with
        `prefixes`, turned into prefixes (Table 4).
    joint_views (tuple): Textual views that are encoded behind the text (Table 3).
    attention (bool): Mine the visual features' interaction with the text by attention (Table 2).
    gate (bool): Gate that interaction (Table 2).
    prefixes (bool): Let the visual semantic features enter the encoder as prefixes (Table 5).
    visual_classifier (bool): Decode each view into the post's entity types (Table 2).
    multitask (bool): Decode the plain text features with a second, tied CRF (Table 2).
    view_layers (int): Layers of the shared encoder that textual views pass before the interaction;
        0 takes its embeddings. Reconstructed.
    shared_depth (float): The share of the encoder's layers, from the lowest, that text and joint
        encoding have in common. There the text sees neither prefixes nor joint views, so that the
        layers run once for both. 0, the paper's, encodes twice.
    prefix_length (int): Prefix slots for each view. Reconstructed.
    prefix_width (int): Bottleneck width between visual semantic features and prefixes.
        Reconstructed, and fitted to the parameter count of Table 7.
    dropout (float): Dropout probability outside the encoder, which brings its own.
    text_loss_weight (float): Weight of the text CRF's loss. Reconstructed.
    tie_loss_weight (float): Weight of the divergence between the CRFs' marginals. Reconstructed.
    visual_loss_weight (float): Weight of the visual entity classifier's loss. Reconstructed.
    loss_divisor (float): A post's loss is divided by this constant, never by the size of a
        batch, so that accumulated sub-batches equal one batch.
    joint_decoding_weight (float): Share of the text CRF in the lattice that is decoded; 0
        decodes the multimodal CRF alone. Reconstructed.
    """

    types: tuple[str, ...]
    encoder: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] | None = None
    gradient_checkpointing: bool = False
    region_dim: int = 2048
    prefix_views: tuple[str, ...] = (REGIONS, "tags", "caption")
    joint_views: tuple[str, ...] = ("caption",)
    attention: bool = True
    gate: bool = True
    prefixes: bool = True
    visual_classifier: bool = True
    multitask: bool = True
    view_layers: int = 0
    shared_depth: float = 0.0
    prefix_length: int = 4
    prefix_width: int = 256
    dropout: float = 0.1
    text_loss_weight: float = 1.0
    tie_loss_weight: float = 0.1
    visual_loss_weight: float = 0.1
    loss_divisor: float = 16.0
    joint_decoding_weight: float = 0.0

    def __post_init__(self) -> None:
        # Settings arrive as JSON lists too; the dataclass is frozen, hence object.__setattr__.
        for name in ("types", "prefix_views", "joint_views"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._require(REGIONS not in self.joint_views, "joint_views", "textual views only")
        for name in ("prefix_views", "joint_views"):
            views = getattr(self, name)
            self._require(len(set(views)) == len(views), name, "distinct views")
        for name in ("prefix_length", "prefix_width", "region_dim"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("text_loss_weight", "tie_loss_weight", "visual_loss_weight", "view_layers"):
            self._require(getattr(self, name) >= 0, name, "at least 0")
        self._require(0 <= self.shared_depth < 1, "shared_depth", "at least 0 and below 1")
        self._require(0 <= self.joint_decoding_weight <= 1, "joint_decoding_weight", "in [0, 1]")
        self._require(
            self.joint_decoding_weight == 0 or self.multitask,
            "joint_decoding_weight",
            "0 without the multi-task decoder",
        )
        self._require(self.loss_divisor > 0, "loss_divisor", "above 0")

    def _require(self, condition: bool, setting: str, expected: str) -> None:
        if not condition:
            value = getattr(self, setting)
            raise MsvseError(Errors.E007.format(setting=setting, value=value, expected=expected))

    @property
    def views(self) -> tuple[str, ...]:
        """Every view that the network reads."""
        return tuple(dict.fromkeys((*self.prefix_views, *self.joint_views)))

    @property
    def textual_views(self) -> tuple[str, ...]:
        """Every view that is a text."""
        return tuple(view for view in self.views if view != REGIONS)

    @property
    def multimodal(self) -> bool:
        """Whether anything beside the text reaches the encoder."""
        return bool(self.joint_views) or (self.prefixes and bool(self.prefix_views))

    def to_dict(self) -> dict[str, Any]:
        """The settings in JSON types."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NetworkConfig":
        """Read settings, refusing names that do not exist.

        values (Mapping): Setting name to value.
        RETURNS (NetworkConfig): The settings.
        RAISES (ValueError): For an unknown name or a value out of range (MSVSE-E007).
        """
        names = {f.name for f in fields(cls)}
        for name, value in values.items():
            if name not in names:
                expected = "one of " + ", ".join(sorted(names))
                raise MsvseError(Errors.E007.format(setting=name, value=value, expected=expected))
        return cls(**values)
