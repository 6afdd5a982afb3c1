"""UMT: a unified multimodal transformer with entity span detection.

Yu, Jiang, Yang, Xia: "Improving Multimodal Named Entity Recognition via Entity Span Detection with
Unified Multimodal Transformer", ACL 2020, 2020.acl-main.306.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...settings import Share
from ..base import Reads, token_vectors
from ..boundaries import BOUNDARY, BoundaryConfig, BoundaryNetwork
from ..decoder import LabelDecoder
from ..encoders.base import Encoder
from ..inputs import Inputs, Outputs
from ..interaction import TokenGate
from ..views import REGIONS


@dataclass(frozen=True)
class UmtConfig(BoundaryConfig):
    """Settings of UMT. The defaults are those of its authors' code.

    Attributes:
        boundary_weight (float): Share of the boundary labels' emissions in those of the entity
            labels.
    """

    boundary_weight: Share = 0.5

    @property
    def reads(self) -> Reads:
        """The regions, which are the cells of a grid in the paper."""
        return Reads(vectors=(REGIONS,))


class Umt(BoundaryNetwork):
    """Text and picture attend to each other; a second decoder finds the boundaries of entities.

    Stated: the two cross-modal transformers, the visual gate, the auxiliary span detection, and the
    conversion of its labels to entity labels. Reconstructed: a post without a picture keeps its
    text states, and the gated picture is 0; several pictures are one set of regions. Corrected:
    labels are those of tokens, and only the first word piece of a token is read.
    """

    Config = UmtConfig
    config: UmtConfig

    boundary_to_label: Tensor

    def __init__(
        self, config: UmtConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (UmtConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width, num_types = encoder.width, len(config.types)
        self.dropout = nn.Dropout(config.dropout)

        self.boundary_layer = self.make_cross_layer()
        self.text_layer = self.make_cross_layer()
        self.to_picture = self.make_cross_layer()
        self.to_text = self.make_cross_layer()
        self.fusion = self.make_cross_layer()
        self.text_regions = nn.Linear(config.region_dim, width)
        self.query_regions = nn.Linear(config.region_dim, width)
        self.gate = TokenGate(width)
        self.boundary_decoder = LabelDecoder(width, 1, config.dropout)
        self.decoder = LabelDecoder(2 * width, num_types, config.dropout)
        # A boundary label is divided evenly among the labels of the types.
        conversion = torch.zeros(3, 2 * num_types + 1)
        conversion[0, 0] = 1.0
        conversion[1, 1::2] = conversion[2, 2::2] = 1 / max(1, num_types)
        self.register_buffer("boundary_to_label", conversion, persistent=False)

    def compute(self, inputs: Inputs) -> Outputs:
        """Compute the lattices of entity labels and of boundary labels.

        R = SelfLayer(H); A = Cross(R, V1); C = Cross(R, Cross(V2, R));
        E = (1 - b) W [C; gate(C, A)] + b M E_boundary.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The first as `answer`, the second as "boundary".
        """
        mask = inputs.token_mask
        hidden = self.dropout(token_vectors(self.encoder(inputs.text), inputs))
        boundary = self.boundary_decoder.score(self.boundary_layer(hidden, hidden, mask))
        text = self.text_layer(hidden, hidden, mask)
        regions = self.read_regions(inputs, REGIONS)
        present = regions.mask.any(dim=1)[:, None, None]
        pictured = self.to_picture(text, self.text_regions(regions.vectors), regions.mask)
        queries = self.to_text(self.query_regions(regions.vectors), text, mask)
        fused = self.fusion(text, queries, regions.mask)
        gated = self.gate(fused, pictured * present)
        emissions = self.decoder.score(torch.cat([fused, gated], dim=2))
        share = self.config.boundary_weight
        emissions = (1 - share) * emissions + share * (boundary @ self.boundary_to_label)
        return Outputs(
            self.decoder.crf(emissions, mask),
            others={BOUNDARY: self.boundary_decoder.crf(boundary, mask)},
        )
