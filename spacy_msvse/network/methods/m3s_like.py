"""A method like M3S: multi-task learning with views of the picture in three grains.

Wang, Yang, Liu, Zhu, Liu: "M3S: Scene Graph Driven Multi-Granularity Multi-Task Learning for
Multi-Modal NER", IEEE/ACM TASLP 31:111-120, 2023, doi 10.1109/TASLP.2022.3221017.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..base import Reads, token_vectors
from ..boundaries import BOUNDARY, BoundaryConfig, BoundaryNetwork
from ..decoder import LabelDecoder
from ..encoders.base import Encoder
from ..inputs import Inputs, Outputs, Regions
from ..interaction import TokenGate, masked_softmax
from ..views import REGIONS

#: The view with the words for the objects.
TAGS = "tags"


@dataclass(frozen=True)
class M3sLikeConfig(BoundaryConfig):
    """Settings: those of the base. The weight of the boundary labels is reconstructed."""

    @property
    def reads(self) -> Reads:
        """The regions, and the words for the objects."""
        return Reads(vectors=(REGIONS,), texts=(TAGS,))


class M3sLike(BoundaryNetwork):
    """The text attends to the whole picture, to its objects and to their relations; boundary labels
    of the text guide the entity labels.

    Stated: segmentation before categorisation, objects and relations of a scene graph, and the
    gated sum over grains. Reconstructed: the network. There is no scene graph parser, so a relation
    is "an object and the nearest other object of its picture", and the words of the view `tags` are
    objects too. Several pictures of a post are one set of pictures, objects and relations.
    """

    Config = M3sLikeConfig
    config: M3sLikeConfig

    def __init__(
        self, config: M3sLikeConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (M3sLikeConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width = encoder.width
        self.boundary_decoder = LabelDecoder(width, 1, config.dropout)
        self.boundary_vectors = nn.Linear(3, width)
        self.region_projection = nn.Linear(config.region_dim, width)
        self.near = nn.Parameter(torch.empty(width))
        nn.init.normal_(self.near, std=0.02)
        self.relations = self.make_cross_layer()
        self.grain_layers = nn.ModuleList(self.make_cross_layer() for _ in range(3))
        self.grain_gates = nn.ModuleList(TokenGate(width) for _ in range(3))
        self.grain_weight = nn.Linear(2 * width, 1)
        self.decoder = LabelDecoder(3 * width, len(config.types), config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """Compute the lattices of entity labels and of boundary labels.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The first as `answer`, the second as "boundary". `extra["grain_weights"]` has
                the weight of each grain at each token (P, T, 3).
        """
        mask = inputs.token_mask
        hidden = token_vectors(self.encoder(inputs.text), inputs)
        boundary = self.boundary_decoder.score(hidden)
        attended, present = [], []
        for layer, (vectors, exists) in zip(self.grain_layers, self._grains(inputs), strict=True):
            present.append(exists.any(dim=1))
            attended.append(layer(hidden, vectors, exists) * present[-1][:, None, None])
        scores = torch.cat(
            [self.grain_weight(torch.cat([hidden, grain], dim=2)) for grain in attended], dim=2
        )
        weights = masked_softmax(scores, torch.stack(present, dim=1).unsqueeze(1))
        mixed = torch.zeros_like(hidden)
        for index, (gate, grain) in enumerate(zip(self.grain_gates, attended, strict=True)):
            mixed = mixed + weights[:, :, index : index + 1] * gate(hidden, grain)
        guide = self.boundary_vectors(torch.softmax(boundary, dim=2).to(hidden.dtype))
        return Outputs(
            self.decoder(torch.cat([hidden, mixed, guide], dim=2), mask),
            others={BOUNDARY: self.boundary_decoder.crf(boundary, mask)},
            extra={"grain_weights": weights},
        )

    def _grains(self, inputs: Inputs) -> list[tuple[Tensor, Tensor]]:
        """Vectors and mask of the whole picture, of its objects, and of their relations."""
        regions = self.read_regions(inputs, REGIONS)
        vectors = self.region_projection(regions.vectors)
        objects = regions.mask.clone()
        # The first region of a picture is no object if it is the whole picture.
        is_part = (regions.boxes != regions.boxes.new_tensor([0, 0, 1, 1])).any(dim=2)
        objects &= is_part | (regions.places() > 0)
        tags, tag_mask = self.encode_view(inputs.texts[TAGS])
        nearest = nearest_regions(regions, objects)
        others = vectors.gather(1, nearest.unsqueeze(2).expand_as(vectors))
        pairs = vectors + self.near + others
        # The only object of a picture has no other.
        paired = objects & ((regions.same_picture() & objects.unsqueeze(1)).sum(dim=2) > 1)
        return [
            (vectors, regions.mask),
            (torch.cat([vectors, tags], dim=1), torch.cat([objects, tag_mask], dim=1)),
            (self.relations(pairs, pairs, paired), paired),
        ]


def nearest_regions(regions: Regions, mask: Tensor) -> Tensor:
    """The nearest other region of each region in its picture, by the centres of the boxes.

    Args:
        regions (Regions): R regions of P posts.
        mask (Tensor): bool of shape (P, R): the regions that count.

    Returns:
        Tensor: int64 of shape (P, R); any region where no other counts.
    """
    centres = (regions.boxes[..., :2] + regions.boxes[..., 2:]) / 2
    distances = torch.cdist(centres.float(), centres.float())
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    left_out = own | ~mask[:, None, :] | ~regions.same_picture()
    return distances.masked_fill(left_out, torch.inf).argmin(dim=2)
