"""MSVSE: multi-scale visual semantic enhancement.

Wang, Xu, Wang, Chen: Acta Automatica Sinica 50(6):1234-1245, 2024, doi 10.16383/j.aas.c230573.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ...settings import Names, Share, Weight
from ..base import Network, NetworkConfig, Reads, Rows, token_vectors, window_mean
from ..crf import Lattice
from ..decoder import LabelDecoder, VisualEntityClassifier, tied_losses, token_loss, visual_loss
from ..encoders.base import Encoder
from ..inputs import Inputs, Loss, Outputs, Targets
from ..interaction import Interaction
from ..prefix import PrefixGenerator
from ..views import REGIONS, RegionProjection, TextViews, ViewFeatures

_WITHOUT_PREFIXES: Mapping[str, Any] = {"model.prefixes": False}


@dataclass(frozen=True)
class MsvseConfig(NetworkConfig):
    """Settings of an MSVSE network. What the paper does not state is reconstructed. The
    defaults are the method of the paper, except `shared_depth`.

    Attributes:
        prefix_views (tuple): Views that become visual semantic features: classified and, with
            `prefixes`, turned into prefixes (Table 4).
        joint_views (tuple): Textual views that are encoded after the text (Table 3).
        attention (bool): Compute the interaction of the visual features with the text by attention
            (Table 2).
        gate (bool): Gate that interaction (Table 2).
        prefixes (bool): The visual semantic features enter the encoder as prefixes (Table 5).
        visual_classifier (bool): Decode each view into the post's entity types (Table 2).
        multitask (bool): Decode the plain text features with a second, tied CRF (Table 2).
        view_layers (int): Layers of the shared encoder that textual views pass before the
            interaction; 0 takes its embeddings. Reconstructed.
        shared_depth (float): The share of the encoder's layers, from the lowest, that text and
            joint encoding share. In them the text attends to neither prefixes nor joint views, so
            the layers run once for both. 0, the method of the paper, encodes twice.
        interaction_depth (float): The share of the encoder's layers, from the lowest, that the text
            passes before the interaction. With at most `shared_depth`, a prediction encodes once:
            the text alone is encoded only in training, for its CRF. 1, the method of the paper,
            reads the text features of the last layer.
        prefix_length (int): Prefix slots for each view. Reconstructed.
        prefix_width (int): Bottleneck width between visual semantic features and prefixes.
            Reconstructed, and fitted to the parameter count of Table 7.
        text_loss_weight (float): Weight of the text CRF's loss. Reconstructed.
        tie_loss_weight (float): Weight of the divergence between the CRFs' marginals.
            Reconstructed.
        visual_loss_weight (float): Weight of the visual entity classifier's loss. Reconstructed.
        joint_decoding_weight (float): Share of the text CRF in the lattice that is decoded; 0
            decodes only the multimodal CRF. Reconstructed.
    """

    prefix_views: Names = (REGIONS, "tags", "caption")
    joint_views: TextViews = ("caption",)
    attention: bool = True
    gate: bool = True
    prefixes: bool = True
    visual_classifier: bool = True
    multitask: bool = True
    view_layers: Annotated[int, Field(ge=0, le=128)] = 0
    shared_depth: Annotated[float, Field(ge=0, lt=1)] = 0.34
    interaction_depth: Share = 1.0
    prefix_length: Annotated[int, Field(ge=1, le=512)] = 4
    prefix_width: Annotated[int, Field(ge=1, le=4096)] = 256
    text_loss_weight: Weight = 1.0
    tie_loss_weight: Weight = 0.1
    visual_loss_weight: Weight = 0.1
    joint_decoding_weight: Share = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.joint_decoding_weight == 0 or self.multitask,
            "joint_decoding_weight",
            "0 without the multi-task decoder",
        )

    @property
    def reads(self) -> Reads:
        """Regions as vectors, other prefix views as texts, joint views after the text."""
        return Reads(
            vectors=tuple(view for view in self.prefix_views if view == REGIONS),
            texts=tuple(view for view in self.prefix_views if view != REGIONS),
            joint=self.joint_views,
        )


class Msvse(Network):
    """Multi-scale visual semantic enhancement for multimodal named entity recognition.

    Wang, Xu, Wang, Chen: Acta Automatica Sinica 50(6):1234-1245, 2024, doi 10.16383/j.aas.c230573.
    """

    Config = MsvseConfig
    config: MsvseConfig

    rows: ClassVar[Rows] = {
        "structure": {
            "without_attention": {"model.attention": False},
            "without_gate": {"model.gate": False},
            "without_attention_and_gate": {"model.attention": False, "model.gate": False},
            "without_multitask": {"model.multitask": False, "model.joint_decoding_weight": 0.0},
            "without_visual_classifier": {"model.visual_classifier": False},
            "without_prefixes": _WITHOUT_PREFIXES,
        },
        "deviations": {
            "third_of_layers_shared": {"model.shared_depth": 0.34},
            "half_of_layers_shared": {"model.shared_depth": 0.5},
            "interaction_after_third_of_layers": {
                "model.shared_depth": 0.34,
                "model.interaction_depth": 0.34,
            },
            "interaction_after_half_of_layers": {
                "model.shared_depth": 0.5,
                "model.interaction_depth": 0.5,
            },
            "interaction_after_all_layers": {"model.interaction_depth": 1.0},
            "paper": {
                "model.shared_depth": 0.0,
                "model.interaction_depth": 1.0,
                "model.normalize_urls": False,
            },
        },
        "reconstruction": {
            "view_layers_2": {"model.view_layers": 2},
            "prefix_length_8": {"model.prefix_length": 8},
            "text_loss_weight_1": {"model.text_loss_weight": 1.0},
            "tie_loss_weight_1": {"model.tie_loss_weight": 1.0},
            "visual_loss_weight_1": {"model.visual_loss_weight": 1.0},
            "joint_decoding_half": {"model.joint_decoding_weight": 0.5},
        },
        "joint_views": {
            "joint_text": {"model.joint_views": []},
            "joint_text_tags": {"model.joint_views": ["tags"]},
            "joint_text_tags_caption": {"model.joint_views": ["tags", "caption"]},
            "joint_text_caption": {"model.joint_views": ["caption"]},
        },
        "prefix_views": {
            "prefixes_regions": {"model.prefix_views": [REGIONS]},
            "prefixes_regions_tags": {"model.prefix_views": [REGIONS, "tags"]},
            "prefixes_regions_caption": {"model.prefix_views": [REGIONS, "caption"]},
            "prefixes_all": {"model.prefix_views": [REGIONS, "tags", "caption"]},
        },
        "single_views": {
            "regions_only": {"model.prefix_views": [REGIONS], "model.joint_views": []},
            "tags_only": {"model.prefix_views": ["tags"], "model.joint_views": ["tags"]},
            "caption_only": {"model.prefix_views": ["caption"], "model.joint_views": ["caption"]},
            "without_prefixes": _WITHOUT_PREFIXES,
        },
    }

    def __init__(
        self, config: MsvseConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Build the parts that the settings ask for.

        Args:
            config (MsvseConfig): The settings.
            encoder (Encoder): The encoder that text, tags and caption share.
            backbone (nn.Module): Computes region vectors (Q, R, D) from pixels (Q, H, W, 3), and
                trains with the network. None if all region vectors are given.

        Raises:
            MsvseError: For shared layers in an encoder that mixes neighbours, prefixes in an
                encoder that does not accept them, or more layers or prefixes than the encoder
                has layers or positions (MSVSE-E007). For `lora` without the package peft
                (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        if config.shared_depth and encoder.mixes_neighbours:
            expected = (
                "0 for an encoder with a convolution or an LSTM, which would mix the text with "
                "the caption"
            )
            config.require(False, "shared_depth", expected)
        config.require(
            encoder.takes_prefixes or not (config.prefixes and config.prefix_views),
            "prefixes",
            "false for an encoder without self-attention",
        )
        for name, most in (
            ("view_layers", encoder.num_layers),
            ("prefix_length", encoder.max_length),
        ):
            expected = f"at most {most} for this encoder"
            config.require(getattr(config, name) <= most, name, expected)
        width, num_types = encoder.width, len(config.types)
        #: The lowest encoder layers, which run once for the text and the joint encoding.
        self.shared_layers = int(config.shared_depth * encoder.num_layers)
        #: The lowest encoder layers, which the text passes before the interaction.
        self.interaction_layers = int(config.interaction_depth * encoder.num_layers)
        self.interaction: Interaction | None = None
        self.prefixes: PrefixGenerator | None = None
        self.visual_classifier: VisualEntityClassifier | None = None
        self.text_decoder: LabelDecoder | None = None
        if config.prefix_views and (config.prefixes or config.visual_classifier):
            if REGIONS in config.prefix_views:
                self.region_projection = RegionProjection(config.region_dim, width)
            self.interaction = Interaction(
                width, encoder.num_heads, attention=config.attention, gate=config.gate
            )
            if config.visual_classifier:
                self.visual_classifier = VisualEntityClassifier(width, num_types)
            if config.prefixes:
                self.prefixes = PrefixGenerator(
                    width,
                    encoder.num_layers - self.shared_layers,
                    config.prefix_length,
                    config.prefix_width,
                )
        self.multimodal_decoder = LabelDecoder(width, num_types, config.dropout)
        if config.multitask:
            self.text_decoder = LabelDecoder(width, num_types, config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """Compute the lattices of the two CRFs and the types that each view shows.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The multimodal CRF's lattice as `answer`; and the text CRF's as "text" in
                training, where it is decoded, and where the interaction reads the last layer.
        """
        lower, related, text = self._encode_text_as_needed(inputs)
        semantics = self._visual_semantics(inputs, related)
        prefixes = None
        if self.prefixes is not None and semantics is not None:
            prefixes = self.prefixes(semantics)
        joint, slots = self.encode_joint(inputs, lower, text, prefixes, self.shared_layers)
        mask = inputs.token_mask
        outputs = Outputs(self.multimodal_decoder(token_vectors(joint, inputs), mask))
        if self.text_decoder is not None and text is not None:
            outputs.others["text"] = self.text_decoder(token_vectors(text, inputs), mask)
        if semantics is not None:
            self._classify(inputs, semantics, outputs)
            if slots is not None:
                outputs.attention = self._view_attention(inputs, semantics, slots)
        return outputs

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """L = L_m + a L_t + b L_kl + c L_v. Stated: two CRFs, tied (eq. 24), and the visual entity
        classifier. Reconstructed: the weights, and that each term is a mean within a post.

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "multimodal" and "text" (negative log-likelihood per token), "tie"
                (Kullback-Leibler divergence per token), "visual" (binary cross-entropy per
                present view).
        """
        config = self.config
        multimodal = _lattice(outputs.answer)
        weights = {"multimodal": 1.0}
        parts: tuple[Tensor, ...]
        if "text" in outputs.others:
            text = _lattice(outputs.others["text"])
            parts = tied_losses(multimodal, text, targets.allowed)
            weights |= {"text": config.text_loss_weight, "tie": config.tie_loss_weight}
        else:
            parts = (token_loss(multimodal, targets.allowed),)
        terms = dict(zip(weights, map(self.reduce, parts), strict=True))
        if outputs.view_types:
            logits = torch.stack([*outputs.view_types.values()], dim=1)
            present = torch.stack([outputs.present[view] for view in outputs.view_types], dim=1)
            losses = visual_loss(logits, present, targets.entity_types, targets.types_known)
            terms["visual"] = self.reduce(losses)
            weights["visual"] = config.visual_loss_weight
        total = sum(
            (weights[name] * term for name, term in terms.items()),
            multimodal.emissions.new_zeros(()),
        )
        return Loss(total, terms)

    def answer(self, outputs: Outputs) -> Lattice:
        """The lattice for decoding, confidence and calibration (reconstructed).

        Args:
            outputs (Outputs): The outputs for a batch.

        Returns:
            Lattice: The two CRFs, mixed by `joint_decoding_weight`.
        """
        multimodal, weight = _lattice(outputs.answer), self.config.joint_decoding_weight
        if weight == 0:
            return multimodal
        return multimodal.interpolate(_lattice(outputs.others["text"]), weight)

    def _encode_text_as_needed(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
        """The shared lower layers, and the text alone as far as something reads it.

        Returns:
            tuple: Hidden states of the shared layers, float of shape (W, N', d); what the
                interaction reads and the text features, both float of shape (W, N, d). The text
                features are None if neither the text CRF nor the interaction reads them.
        """
        encoder, mask = self.encoder, inputs.text.mask
        length, shared = mask.shape[1], self.shared_layers
        depth = 0 if self.interaction is None else self.interaction_layers
        lower = self.encode_lower_layers(inputs, min(depth, shared))
        related = lower[:, :length]
        lower = self.encode_lower_layers(inputs, shared, lower, min(depth, shared))
        if depth > shared:
            related = encoder.run(related, mask, start=shared, stop=depth)
        last = depth == encoder.num_layers
        decoded = self.training or self.config.joint_decoding_weight > 0
        text = None
        if last or (decoded and self.text_decoder is not None):
            below = related if depth > shared else lower
            text = self.encode_text(inputs, below, max(depth, shared))
        if last and text is not None:
            related = text
        elif depth:
            related = encoder.finish(related)
        return lower, related, text

    def _visual_semantics(self, inputs: Inputs, text: Tensor) -> ViewFeatures | None:
        """Multi-scale visual semantic features of each window, or None if there are no views. The
        text has the layers of `interaction_depth`."""
        if self.interaction is None:
            return None
        posts = len(inputs.token_mask)
        parts, masks = [], []
        for view in self.config.prefix_views:
            if view != REGIONS:
                vectors, mask = self.encode_view(inputs.texts[view], self.config.view_layers)
            elif view in inputs.vectors:
                regions = inputs.vectors[view]
                vectors, mask = self.region_projection(regions), regions.mask
            else:
                vectors, mask = self.absent_view(posts)
            parts.append(vectors)
            masks.append(mask)
        window = inputs.window_post
        views = ViewFeatures(
            torch.cat(parts, dim=1)[window],
            torch.cat(masks, dim=1)[window],
            tuple(part.shape[1] for part in parts),
        )
        semantics: ViewFeatures = self.interaction(views, text, inputs.text.mask)
        return semantics

    def _classify(self, inputs: Inputs, semantics: ViewFeatures, outputs: Outputs) -> None:
        """Set which views are present, and their logits: a mean over the windows of a post."""
        posts, window = len(inputs.token_mask), inputs.window_post
        present = semantics.present
        present = present.new_zeros(posts, present.shape[1]).index_put((window,), present)
        outputs.present = dict(zip(self.config.prefix_views, present.unbind(dim=1), strict=True))
        if self.visual_classifier is None:
            return
        logits = self.visual_classifier(semantics.mean())
        mean = window_mean(logits, window, posts)
        outputs.view_types = dict(zip(self.config.prefix_views, mean.unbind(dim=1), strict=True))

    def _view_attention(
        self, inputs: Inputs, semantics: ViewFeatures, slots: Tensor
    ) -> dict[str, Tensor]:
        """Attention to each vector of each view. The attention to a slot is divided among the
        vectors that the slot is pooled from, by their weights."""
        if self.prefixes is None:
            return {}
        pools = [self.prefixes.pool_weights(vectors, mask) for vectors, mask in semantics.split()]
        parts = slots.split_with_sizes([pool.shape[1] for pool in pools], dim=2)
        return {
            view: token_vectors(part @ pool.to(part), inputs).float()
            for view, part, pool in zip(self.config.prefix_views, parts, pools, strict=True)
        }


def _lattice(scores: object) -> Lattice:
    assert isinstance(scores, Lattice)
    return scores
