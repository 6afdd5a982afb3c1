"""The MSVSE network: every box of the paper's figure, put together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import Errors
from .config import REGIONS, NetworkConfig
from .crf import Lattice, negative_log_likelihood
from .decoder import LabelDecoder, tie_loss
from .encoders.base import Encoder
from .encoders.families import build_encoder
from .encoders.lora import add_lora
from .fusion import Interaction, RegionProjection, ViewFeatures
from .inputs import (
    MsvseInputs,
    MsvseLoss,
    MsvseOutputs,
    MsvseTargets,
    Pictures,
    Regions,
    WordPieces,
)
from .prefix import PrefixGenerator
from .visual_classifier import VisualEntityClassifier, visual_loss


class Msvse(nn.Module):
    """Multi-scale visual semantic enhancement for multimodal named entity recognition.

    Wang, Xu, Wang, Chen: Acta Automatica Sinica 50(6):1234-1245, 2024, doi 10.16383/j.aas.c230573.
    """

    posts_seen: Tensor
    view_posts_seen: Tensor

    def __init__(
        self, config: NetworkConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Put the parts together.

        config (NetworkConfig): The settings.
        encoder (Encoder): The encoder that text, tags and caption share.
        backbone (nn.Module): Makes region vectors (Q, R, D) of pixels (Q, H, W, 3) and is trained
            with the rest; None for a network whose regions are all given.
        RAISES (ValueError): If layers are to be shared in an encoder that mixes neighbours, or
            prefixes to enter one that takes none (MSVSE-E007).
        """
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.backbone = backbone
        if config.shared_depth and encoder.mixes_neighbours:
            expected = (
                "0 for an encoder with a convolution or an LSTM, which would let the text see the "
                "caption"
            )
            raise _out_of_range("shared_depth", config.shared_depth, expected)
        if config.prefixes and config.prefix_views and not encoder.takes_prefixes:
            raise _out_of_range("prefixes", True, "false for an encoder without self-attention")
        self.encoder.gradient_checkpointing = config.gradient_checkpointing
        if config.lora is not None:
            add_lora(self.encoder, config.lora)
        width, num_types = encoder.width, len(config.types)
        self.fusion = nn.ModuleDict()
        if config.prefix_views and (config.prefixes or config.visual_classifier):
            if REGIONS in config.prefix_views:
                self.fusion[REGIONS] = RegionProjection(config.region_dim, width)
            self.fusion["interaction"] = Interaction(
                width, encoder.num_heads, attention=config.attention, gate=config.gate
            )
            if config.visual_classifier:
                self.visual_classifier = VisualEntityClassifier(width, num_types)
            if config.prefixes:
                self.fusion["prefix"] = PrefixGenerator(
                    width,
                    encoder.num_layers - self.shared_layers,
                    config.prefix_length,
                    config.prefix_width,
                )
        self.multimodal_decoder = LabelDecoder(width, num_types, config.dropout)
        if config.multitask:
            self.text_decoder = LabelDecoder(width, num_types, config.dropout)
        # Counted in training, so that a view that hardly any post carried can be told from a
        # trained one when the network has been loaded again.
        self.register_buffer("posts_seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("view_posts_seen", torch.zeros(len(config.views), dtype=torch.long))

    @property
    def shared_layers(self) -> int:
        """The lowest encoder layers, which run once for the text and the joint encoding."""
        return int(self.config.shared_depth * self.encoder.num_layers)

    def forward(self, inputs: MsvseInputs) -> MsvseOutputs:
        """Read a batch of posts.

        inputs (MsvseInputs): The posts.
        RETURNS (MsvseOutputs): Scores of all labellings, and of the visual entity classifier.
        """
        if self.training:
            self._count_views(inputs)
        if inputs.pictures is not None:
            inputs = replace(inputs, regions=self._look(inputs.regions, inputs.pictures))
        lower = self._encode_lower_layers(inputs)
        text = self.encoder.finish(
            self.encoder.run(
                lower[:, : inputs.text.mask.shape[1]], inputs.text.mask, start=self.shared_layers
            )
        )
        semantics = self._visual_semantics(inputs, text)
        multimodal = self._encode_jointly(inputs, lower, text, semantics)
        text_lattice = None
        if self.config.multitask:
            text_lattice = self.text_decoder(gather_tokens(text, inputs), inputs.token_mask)
        logits, present = self._classify(inputs, semantics)
        return MsvseOutputs(
            multimodal=self.multimodal_decoder(
                gather_tokens(multimodal, inputs), inputs.token_mask
            ),
            text=text_lattice,
            visual_logits=logits,
            visual_mask=present,
        )

    def loss(self, outputs: MsvseOutputs, targets: MsvseTargets) -> MsvseLoss:
        """Compare outputs to the gold labels: L = L_m + a L_t + b L_kl + c L_v (reconstructed).

        outputs (MsvseOutputs): What `forward` returned.
        targets (MsvseTargets): The gold labels of the same posts.
        RETURNS (MsvseLoss): Scalars; `total` is the one to differentiate.
        """
        config = self.config
        tokens = outputs.multimodal.mask.sum(dim=1).clamp(min=1)
        zero = outputs.multimodal.emissions.new_zeros(())

        def reduce(losses: Tensor) -> Tensor:
            return losses.sum() / config.loss_divisor

        multimodal = reduce(negative_log_likelihood(outputs.multimodal, targets.allowed) / tokens)
        text = tie = visual = zero
        if outputs.text is not None:
            text = reduce(negative_log_likelihood(outputs.text, targets.allowed) / tokens)
            if config.tie_loss_weight:
                tie = reduce(tie_loss(outputs.multimodal, outputs.text))
        if outputs.visual_logits is not None:
            visual = reduce(
                visual_loss(
                    outputs.visual_logits, outputs.visual_mask, targets.types, targets.types_known
                )
            )
        total = (
            multimodal
            + config.text_loss_weight * text
            + config.tie_loss_weight * tie
            + config.visual_loss_weight * visual
        )
        return MsvseLoss(total, multimodal, text, tie, visual)

    def lattice(self, outputs: MsvseOutputs) -> Lattice:
        """The one lattice that decoding, confidence and calibration read (reconstructed).

        outputs (MsvseOutputs): What `forward` returned.
        RETURNS (Lattice): The two CRFs, mixed by `joint_decoding_weight`.
        """
        weight = self.config.joint_decoding_weight
        if outputs.text is None or weight == 0:
            return outputs.multimodal
        return outputs.multimodal.interpolate(outputs.text, weight)

    def decode(self, outputs: MsvseOutputs) -> Tensor:
        """The best labelling of each post.

        outputs (MsvseOutputs): What `forward` returned.
        RETURNS (Tensor): int64 of shape (P, T), indices into `bio_labels(config.types)`.
        """
        return self.lattice(outputs).best_labels()

    def view_shares(self) -> dict[str, float]:
        """The share of training posts that carried each view; empty before any training."""
        if not self.posts_seen:
            return {}
        shares = (self.view_posts_seen / self.posts_seen).tolist()
        return dict(zip(self.config.views, shares, strict=True))

    def set_dropout(self, rate: float) -> None:
        """Set the rate of every dropout of the network, the encoder's included.

        rate (float): A probability.
        """
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = rate
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = rate

    def _count_views(self, inputs: MsvseInputs) -> None:
        self.posts_seen += len(inputs.token_mask)
        for index, view in enumerate(self.config.views):
            mask = None
            if view != REGIONS:
                mask = inputs.views[view].mask
            elif inputs.regions is not None:
                mask = inputs.regions.mask
            if mask is not None:
                self.view_posts_seen[index] += mask.any(dim=1).sum()

    def _look(self, regions: Regions | None, pictures: Pictures) -> Regions:
        """The regions, with the vectors that the backbone makes of the pictures."""
        assert regions is not None
        assert self.backbone is not None
        seen = self.backbone(pictures.pixels).to(regions.vectors.dtype)
        seen = functional.pad(seen, (0, 0, 0, regions.vectors.shape[1] - seen.shape[1]))
        return replace(regions, vectors=regions.vectors.index_copy(0, pictures.post, seen))

    def _visual_semantics(self, inputs: MsvseInputs, text: Tensor) -> ViewFeatures | None:
        """Multi-scale visual semantic features of each window, or None if there are no views."""
        if "interaction" not in self.fusion:
            return None
        parts, masks = [], []
        for view in self.config.prefix_views:
            if view != REGIONS:
                vectors, mask = self._encode_view(inputs.views[view])
            elif inputs.regions is not None:
                vectors, mask = self.fusion[REGIONS](inputs.regions), inputs.regions.mask
            else:
                vectors, mask = self._absent_view(len(inputs.token_mask))
            parts.append(vectors)
            masks.append(mask)
        window = inputs.window_post
        views = ViewFeatures(
            torch.cat(parts, dim=1)[window],
            torch.cat(masks, dim=1)[window],
            tuple(part.shape[1] for part in parts),
        )
        return self.fusion["interaction"](views, text, inputs.text.mask)

    def _encode_lower_layers(self, inputs: MsvseInputs) -> Tensor:
        """What text and joint encoding have in common, (W, N', d): embeddings and shared layers."""
        hidden = self.encoder.embed(inputs.joint)
        if not self.shared_layers:
            return hidden
        # The text must not see what stands behind it, or it would no longer be the text alone.
        before = functional.pad(inputs.text.mask, (0, hidden.shape[1] - inputs.text.mask.shape[1]))
        sees = torch.where(before.unsqueeze(2), before.unsqueeze(1), inputs.joint.mask.unsqueeze(1))
        return self.encoder.run(hidden, sees, stop=self.shared_layers)

    def _encode_jointly(
        self, inputs: MsvseInputs, lower: Tensor, text: Tensor, semantics: ViewFeatures | None
    ) -> Tensor:
        """The multimodal text representation: the text part of the joint encoding, (W, N, d)."""
        prefixes = None
        enriched = inputs.joint.mask.sum(dim=1) > inputs.text.mask.sum(dim=1)
        if self.config.prefixes and semantics is not None:
            prefixes = self.fusion["prefix"](semantics)
            enriched = enriched | prefixes.mask.any(dim=1)
        # Where no view is present, the joint encoding is the text's own: it is not computed twice.
        rows = enriched.nonzero().squeeze(1)
        if not len(rows):
            return text
        mask = inputs.joint.mask
        some = len(rows) < len(text)
        if some:
            mask = inputs.joint.rows(rows).mask
            lower = lower[rows, : mask.shape[1]]
            prefixes = None if prefixes is None else prefixes.rows(rows)
        joint = self.encoder.run(lower, mask, prefixes, start=self.shared_layers)
        joint = self.encoder.finish(joint)[:, : text.shape[1]]
        joint = functional.pad(joint, (0, 0, 0, text.shape[1] - joint.shape[1]))
        return text.index_copy(0, rows, joint) if some else joint

    def _encode_view(self, pieces: WordPieces) -> tuple[Tensor, Tensor]:
        """Encode a textual view by the lower layers of the shared encoder, absent rows left out."""
        rows = pieces.mask.any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return self._absent_view(len(pieces.mask))
        hidden = self.encoder(pieces.rows(rows), num_layers=self.config.view_layers)
        vectors = hidden.new_zeros(len(pieces.mask), *hidden.shape[1:]).index_copy(0, rows, hidden)
        return vectors, pieces.mask[:, : hidden.shape[1]]

    def _absent_view(self, num_posts: int) -> tuple[Tensor, Tensor]:
        """One masked column, so that a view that nobody has keeps its place."""
        parameter = next(self.encoder.parameters())
        vectors = parameter.new_zeros(num_posts, 1, self.encoder.width)
        return vectors, torch.zeros(num_posts, 1, dtype=torch.bool, device=parameter.device)

    def _classify(
        self, inputs: MsvseInputs, semantics: ViewFeatures | None
    ) -> tuple[Tensor | None, Tensor]:
        """Logits (P, S, Y) of the visual entity classifier, a mean over the windows of a post, and
        which views are present (P, S)."""
        posts = len(inputs.token_mask)
        if semantics is None:
            return None, inputs.token_mask.new_zeros(posts, 0)
        window = inputs.window_post
        present = semantics.present
        post_present = present.new_zeros(posts, present.shape[1]).index_put((window,), present)
        if not self.config.visual_classifier:
            return None, post_present
        logits = self.visual_classifier(semantics.mean())
        total = logits.new_zeros(posts, *logits.shape[1:]).index_add(0, window, logits)
        count = torch.bincount(window, minlength=posts).clamp(min=1)
        return total / count[:, None, None], post_present


def gather_tokens(hidden: Tensor, inputs: MsvseInputs) -> Tensor:
    """Take the first word piece of each token for the token.

    hidden (Tensor): float of shape (W, N, d).
    inputs (MsvseInputs): Where each token stands.
    RETURNS (Tensor): float of shape (P, T, d); 0 for padding and tokens that no window holds.
    """
    held = (inputs.token_piece >= 0) & inputs.token_mask
    tokens = hidden[inputs.token_window, inputs.token_piece.clamp(min=0)]
    return tokens * held.unsqueeze(2)


def build_network(
    config: NetworkConfig | Mapping[str, Any],
    encoder: Encoder | None = None,
    backbone: nn.Module | None = None,
) -> Msvse:
    """Build a network.

    config (NetworkConfig or Mapping): The settings; a mapping is read by `NetworkConfig.from_dict`.
    encoder (Encoder): The text encoder. Without one, an encoder with random weights is built from
        the settings' `encoder`.
    backbone (nn.Module): What makes regions of pictures and is trained, see `Msvse`.
    RETURNS (Msvse): The network, a `torch.nn.Module`.
    RAISES (ValueError): For settings out of range (MSVSE-E007) or an encoder family that is not
        supported (MSVSE-E002).
    """
    if not isinstance(config, NetworkConfig):
        config = NetworkConfig.from_dict(config)
    if encoder is None:
        encoder = build_encoder(config.encoder)
    else:
        config = replace(config, encoder=encoder.config)
    return Msvse(config, encoder, backbone)


def _out_of_range(setting: str, value: Any, expected: str) -> ValueError:
    return ValueError(Errors.E007.format(setting=setting, value=value, expected=expected))
