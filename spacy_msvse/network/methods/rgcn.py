"""R-GCN: relations between the pictures of similar posts.

Zhao, Li, Wu, Xing, Dai: "Learning from Different text-image Pairs: A Relation-enhanced Graph
Convolutional Network for Multimodal NER", ACM MM 2022, 3983-3992, doi 10.1145/3503161.3548228.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ..base import Network, NetworkConfig, Reads, token_vectors
from ..decoder import LabelDecoder, token_mean
from ..encoders.base import Encoder
from ..inputs import Inputs, Outputs, Regions
from ..neighbours import PostIndex, count_pieces
from ..views import REGIONS


@dataclass(frozen=True)
class RGcnConfig(NetworkConfig):
    """Settings of R-GCN.

    Attributes:
        neighbours (int): How many training posts are related by text, and how many by picture.
    """

    neighbours: Annotated[int, Field(ge=1, le=100)] = 5

    @property
    def reads(self) -> Reads:
        """The regions, which are the cells of a grid in the paper."""
        return Reads(vectors=(REGIONS,))


class NeighbourGraph(nn.Module):
    """A graph convolution over a star: the nearest picture in the middle, the others around it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, vectors: Tensor, similarities: Tensor) -> Tensor:
        """Mean of ReLU(A X W + b) over the pictures, where A has ones and the similarities.

        Args:
            vectors (Tensor): float of shape (P, k, d), the nearest picture first.
            similarities (Tensor): float of shape (P, k); below -1 for a picture that is masked.

        Returns:
            Tensor: float of shape (P, d); 0 without pictures.
        """
        mask = similarities >= -1
        if not vectors.shape[1]:
            return vectors.sum(dim=1)
        similarities = (similarities * mask).to(vectors.dtype)
        adjacency = torch.eye(vectors.shape[1], device=vectors.device, dtype=vectors.dtype)
        adjacency = adjacency.expand(len(vectors), -1, -1).clone()
        adjacency[:, 0, 1:] = adjacency[:, 1:, 0] = similarities[:, 1:]
        adjacency[:, 0, 0] = similarities[:, 0]
        states = torch.relu(self.linear(adjacency @ (vectors * mask.unsqueeze(2))))
        states = states * mask.unsqueeze(2)
        return states.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class RGcn(Network):
    """The pictures of training posts that are similar by text or by picture refine both.

    Stated: the two relations, the graph convolution, the gates and the attention layers. Corrected:
    pictures are averaged, not cells of one picture; the text gets the graph through a gate of each
    token; related posts are training posts only, and not the post itself. Reconstructed: a related
    picture is the mean of its regions, of all pictures of a post together; texts are similar by
    their words; a post without a picture has no relations.
    """

    Config = RGcnConfig
    config: RGcnConfig
    indexes_posts: ClassVar[bool] = True

    def __init__(
        self, config: RGcnConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (RGcnConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width = encoder.width
        self.index = PostIndex(config.region_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.regions = nn.Linear(config.region_dim, width)
        self.text_graph, self.picture_graph = NeighbourGraph(width), NeighbourGraph(width)
        self.text_gate = nn.Linear(width, width)
        self.picture_gate = nn.Linear(width, width)
        self.text_layer = self.make_cross_layer()
        self.picture_layer = self.make_cross_layer()
        self.cross = self.make_cross_layer()
        self.decoder = LabelDecoder(width, len(config.types), config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """Refine text and picture by their neighbours, then let the text attend to the picture.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The lattice as `answer`.
        """
        mask = inputs.token_mask
        text = self.dropout(token_vectors(self.encoder(inputs.text), inputs))
        regions = self.read_regions(inputs, REGIONS)
        picture = self.regions(regions.vectors)
        if len(self.index):
            present = regions.mask.any(dim=1)[:, None, None]
            counts, means = self._describe(inputs, regions)
            by_text, by_picture = self.index.nearest(counts, means, self.config.neighbours)
            message = self.text_graph(self.regions(by_text[0]), by_text[1]).unsqueeze(1) * present
            text = text + torch.sigmoid(self.text_gate(text) + self.text_gate(message)) * message
            message = self.picture_graph(self.regions(by_picture[0]), by_picture[1]).unsqueeze(1)
            gate = torch.sigmoid(self.picture_gate(picture) + self.picture_gate(message))
            picture = picture + gate * message
        text = self.text_layer(text, text, mask)
        picture = self.picture_layer(picture, picture, regions.mask)
        states = self.cross(text, picture, regions.mask)
        return Outputs(self.decoder(states, mask))

    def _describe(self, inputs: Inputs, regions: Regions) -> tuple[Tensor, Tensor]:
        """Counts of word pieces, and the mean of the regions, of each post."""
        text, posts = inputs.text, len(inputs.token_mask)
        counts = count_pieces(text.ids, text.mask, inputs.window_post, posts)
        return counts, token_mean(regions.vectors, regions.mask)

    @torch.no_grad()
    def index_posts(self, batches: Iterable[Inputs]) -> None:
        """Keep the training posts that have a picture.

        Args:
            batches (Iterable[Inputs]): All of them.
        """
        texts, pictures = [], []
        for inputs in batches:
            inputs = self._fill_vectors(inputs) if inputs.pictures else inputs
            regions = self.read_regions(inputs, REGIONS)
            kept = regions.mask.any(dim=1)
            counts, means = self._describe(inputs, regions)
            texts.append(counts[kept].half())
            pictures.append(means[kept].half())
        if texts:
            self.index.fill(torch.cat(texts).float(), torch.cat(pictures).float())
