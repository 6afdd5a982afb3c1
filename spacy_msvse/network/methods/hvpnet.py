"""HvpNet: a hierarchical visual prefix.

Chen, Zhang, Li, Yao, Deng, Tan, Huang, Si, Chen: "Good Visual Guidance Makes A Better Extractor:
Hierarchical Visual Prefix for Multimodal Entity and Relation Extraction", Findings of NAACL 2022,
arXiv 2205.03521.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ...settings import wrong_setting
from ..base import Network, NetworkConfig, Reads, RegionWidth, token_vectors
from ..decoder import LabelDecoder
from ..encoders.base import Encoder, Prefixes
from ..inputs import Inputs, Outputs, Regions
from ..views import REGIONS


@dataclass(frozen=True)
class HvpNetConfig(NetworkConfig):
    """Settings of HvpNet.

    Attributes:
        levels (tuple): Widths of the levels of the feature pyramid, whose vectors follow each other
            in the vector of a region. Their sum is the width of a region vector. None takes those
            of the extractor; vectors that are given with the posts have no such widths.
        cells (int): Regions of each picture or crop, one after the other: 4 cells of a 2 x 2 grid.
            The regions of another picture of the post begin with a new crop.
    """

    levels: Annotated[tuple[RegionWidth, ...], Field(min_length=1, max_length=64)] | None = None
    cells: Annotated[int, Field(ge=1, le=1024)] = 4

    @property
    def reads(self) -> Reads:
        """The regions: cells of the picture and of its crops, with all levels of each."""
        return Reads(vectors=(REGIONS,))


class PyramidPrefixes(nn.Module):
    """Prefixes of every layer from a feature pyramid. A gate of each layer weighs the levels."""

    def __init__(self, width: int, num_layers: int, levels: tuple[int, ...], cells: int) -> None:
        super().__init__()
        self.levels = levels
        self.cells = cells
        self.maps = nn.ModuleList(nn.Linear(level, 2 * width) for level in levels)
        self.gates = nn.ModuleList(
            nn.Linear(cells * 2 * width, len(levels)) for _ in range(num_layers)
        )

    def forward(self, regions: Regions) -> tuple[Prefixes, Tensor]:
        """Compute the prefixes of a batch.

        Args:
            regions (Regions): Cells of the crops of P posts: R = crops * cells, D = sum of levels.

        Returns:
            tuple: The prefixes, with a slot for each cell of each crop; those of absent cells are
                masked out. And the slot of each region, int64 of shape (P, R).
        """
        vectors, mask, slot = self.divide(regions)
        # (P, crops, cells, levels, 2 d)
        posts, columns, width = vectors.shape
        crops = vectors.view(posts, columns // self.cells, self.cells, width)
        parts = crops.split_with_sizes(self.levels, dim=3)
        mapped = torch.stack(
            [level(part) for level, part in zip(self.maps, parts, strict=True)], dim=3
        )
        mean = mapped.mean(dim=3).flatten(2)
        slots = []
        for gate in self.gates:
            weights = self.level_weights(gate, mean)
            slots.append(torch.einsum("pocld,pol->pocd", mapped, weights).flatten(1, 2))
        keys, values = torch.stack(slots).chunk(2, dim=3)
        return Prefixes(keys, values, mask), slot

    def divide(self, regions: Regions) -> tuple[Tensor, Tensor, Tensor]:
        """Divide regions into crops. Each picture begins with a new one.

        Args:
            regions (Regions): R regions of P posts.

        Returns:
            tuple: Vectors of shape (P, M, D) and their mask (P, M), M a multiple of `cells`; and
                the place of each region in them, int64 of shape (P, R).
        """
        places = regions.places()
        # Regions that the pictures before this one leave free in their last crops.
        ends = functional.pad(places[:, 1:] == 0, (0, 1))
        free = (-(places + 1) % self.cells) * ends
        slot = torch.arange(places.shape[1], device=places.device) + functional.pad(
            free.cumsum(dim=1)[:, :-1], (1, 0)
        )
        # Padding after the last region is of no picture.
        columns = int(slot[regions.mask].max()) + 1 if regions.mask.any() else 1
        columns = max(columns, places.shape[1]) + -max(columns, places.shape[1]) % self.cells
        slot = slot.clamp(max=columns - 1)
        posts, _, width = regions.vectors.shape
        kept = regions.mask.unsqueeze(2)
        vectors = regions.vectors.new_zeros(posts, columns, width).scatter_add(
            1, slot.unsqueeze(2).expand(-1, -1, width), regions.vectors * kept
        )
        counts = slot.new_zeros(posts, columns).scatter_add(1, slot, regions.mask.long())
        return vectors, counts > 0, slot

    @staticmethod
    def level_weights(gate: nn.Module, mean: Tensor) -> Tensor:
        """The weight of each level for each crop.

        Args:
            gate (nn.Module): The gate of a layer.
            mean (Tensor): Mean over the levels, float of shape (P, crops, cells * 2 d).

        Returns:
            Tensor: float of shape (P, crops, levels); the weights of a crop add up to 1.
        """
        return torch.softmax(functional.leaky_relu(gate(mean)), dim=2)


class HvpNet(Network):
    """The levels of a feature pyramid enter each layer of the encoder as a gated prefix.

    Stated: the pyramid, the gate of each layer and the prefix. Reconstructed: a map for each level
    (the authors' code mixes all levels in one map, so that its gate does not choose among them).
    Corrected: an absent crop is masked (in the code, a black picture); labels are those of tokens.
    The crops of several pictures follow each other; a prefix has no place, so their order does not
    matter.
    """

    Config = HvpNetConfig
    config: HvpNetConfig

    def __init__(
        self, config: HvpNetConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the prefixes and the decoder.

        Args:
            config (HvpNetConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: If the levels do not add up to the width of a region vector, or for an
                encoder that accepts no prefixes (MSVSE-E007). For `lora` without the package peft
                (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        levels = config.levels or config.region_levels or (config.region_dim,)
        if sum(levels) != config.region_dim:
            expected = f"widths that add up to {config.region_dim}, the width of a region vector"
            raise wrong_setting("levels", levels, expected)
        if not encoder.takes_prefixes:
            raise wrong_setting("encoder", encoder.config["model_type"], "one with self-attention")
        self.prefixes = PyramidPrefixes(encoder.width, encoder.num_layers, levels, config.cells)
        self.decoder = LabelDecoder(encoder.width, len(config.types), config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """Encode the text with prefixes, and score its tokens.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The lattice as `answer`.
        """
        weights: list[Tensor] | None = [] if self.records_attention else None
        prefixes, slot = self.prefixes(self.read_regions(inputs, REGIONS))
        prefixes = prefixes.rows(inputs.window_post)
        hidden = self.encoder.run(
            self.encoder.embed(inputs.text), inputs.text.mask, prefixes, slot_weights=weights
        )
        hidden = self.encoder.finish(hidden)
        outputs = Outputs(self.decoder(token_vectors(hidden, inputs), inputs.token_mask))
        if weights:
            mean = torch.stack(weights).mean(dim=0)
            shares = token_vectors(mean, inputs).float()
            if REGIONS in inputs.vectors:
                slot = slot.unsqueeze(1).expand(-1, shares.shape[1], -1)
                outputs.attention = {REGIONS: shares.gather(2, slot)}
            else:
                outputs.attention = {REGIONS: shares[..., :0]}
        return outputs
