"""UMGF: multi-modal graph fusion.

Zhang, Wei, Li, Wu, Zhu, Zhou: "Multi-modal Graph Fusion for Named Entity Recognition with Targeted
Visual Guidance", AAAI 2021, 14347-14355.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ...settings import Share
from ..base import Network, NetworkConfig, Reads, token_vectors
from ..decoder import LabelDecoder
from ..encoders.base import Encoder
from ..graph_fusion import GraphFusionLayer
from ..inputs import Inputs, Outputs
from ..views import REGIONS


@dataclass(frozen=True)
class UmgfConfig(NetworkConfig):
    """Settings of UMGF. The defaults are those of its authors' code.

    Attributes:
        fusion_layers (int): Number of fusion layers.
        fusion_width (int): Width of tokens and objects in them, a multiple of `fusion_heads`.
        fusion_heads (int): Attention heads of a fusion layer.
        fusion_inner_width (int): Width of its feed-forward part.
        fusion_dropout (float): Dropout probability in fusion layers. Unlike the rate of all other
            parts, it is not that of the training.
    """

    fusion_layers: Annotated[int, Field(ge=1, le=64)] = 6
    fusion_width: Annotated[int, Field(ge=1, le=8192)] = 512
    fusion_heads: Annotated[int, Field(ge=1, le=128)] = 8
    fusion_inner_width: Annotated[int, Field(ge=1, le=65536)] = 256
    fusion_dropout: Share = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.fusion_width % self.fusion_heads == 0
        self.require(fits, "fusion_width", f"a multiple of fusion_heads ({self.fusion_heads})")

    @property
    def reads(self) -> Reads:
        """The regions: objects of the picture, found by queries for entity types in the paper."""
        return Reads(vectors=(REGIONS,))


class Umgf(Network):
    """A graph of tokens and objects, whose nodes exchange gated messages in several layers.

    Stated: the graph, the two kinds of self-attention and the gated messages. Corrected: the
    message to an object is a mean over tokens; labels are those of tokens, and only the first word
    piece of a token is read; the loss does not grow with the batch. Reconstructed: the objects of
    several pictures are one set of nodes.
    """

    Config = UmgfConfig
    config: UmgfConfig

    def __init__(
        self, config: UmgfConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (UmgfConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width = config.fusion_width
        self.text_projection = nn.Linear(encoder.width, width)
        self.object_projection = nn.Sequential(
            nn.Linear(config.region_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.layers = nn.ModuleList(
            GraphFusionLayer(
                width,
                config.fusion_heads,
                config.fusion_inner_width,
                config.fusion_dropout,
                is_last=number == config.fusion_layers,
            )
            for number in range(1, config.fusion_layers + 1)
        )
        self.decoder = LabelDecoder(encoder.width + width, len(config.types), config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """Fuse text and objects, and score [H; x].

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The lattice as `answer`.
        """
        mask = inputs.token_mask
        hidden = token_vectors(self.encoder(inputs.text), inputs)
        regions = self.read_regions(inputs, REGIONS)
        text, objects = self.text_projection(hidden), self.object_projection(regions.vectors)
        for layer in self.layers:
            text, objects = layer(text, objects, mask, regions.mask)
        return Outputs(self.decoder(torch.cat([hidden, text], dim=2), mask))
