"""MNER-QG: a query for each entity type, and the grounding of the query in the picture.

Jia, Shen, Shen, Liao, Chen, He, Chen, Li: "MNER-QG: An End-to-End MRC Framework for Multimodal
Named Entity Recognition with Query Grounding", AAAI 2023, arXiv 2211.14739.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...settings import Name, Weight
from ..base import Network, NetworkConfig, Reads, token_vectors, window_mean
from ..crf import BioCRF, Lattice
from ..decoder import token_loss
from ..encoders.base import Encoder
from ..inputs import Inputs, Loss, Outputs, Regions, Targets, WordPieces
from ..interaction import masked_softmax
from ..views import REGIONS

#: Queries for the types of Twitter-2015 and Twitter-2017. Reconstructed.
QUERIES = {
    "PER": "Person: names of people, of characters and of families.",
    "LOC": "Location: names of countries, of cities, of places and of buildings.",
    "ORG": "Organization: names of companies, of teams, of bands and of institutions.",
    "MISC": "Miscellaneous: names of events, of products, of works and of nationalities.",
    "OTHER": "Other: names of events, of products, of works and of nationalities.",
}

#: A region shows what a box shows if they overlap so much.
MIN_OVERLAP = 0.5


@dataclass(frozen=True)
class MnerQgConfig(NetworkConfig):
    """Settings of MNER-QG. The weights are reconstructed.

    Attributes:
        queries (dict): Entity type to its query. A type without one has a query of `QUERIES`, or
            its name.
        existence_loss_weight (float): Weight of the detection of types.
        grounding_loss_weight (float): Weight of the grounding, for posts with drawn boxes.
    """

    queries: Mapping[Name, Name] = field(default_factory=dict)
    existence_loss_weight: Weight = 1.0
    grounding_loss_weight: Weight = 1.0

    @property
    def reads(self) -> Reads:
        """The regions, and a query for each type."""
        queries = {**QUERIES, **self.queries}
        return Reads(
            vectors=(REGIONS,), queries=tuple(queries.get(name, name) for name in self.types)
        )


class MnerQg(Network):
    """The post is read once for each type, after its query. The query is grounded in the regions,
    detects whether its type occurs, and labels the boundaries of its entities.

    Stated: the queries, the grounding, the detection of types and that all are learned together.
    Reconstructed: the layers; one CRF over the labels of all types in place of pointers; a query is
    grounded in the regions of all pictures of a post. Corrected: the network finds its boxes
    itself, and reads no drawn ones.
    """

    Config = MnerQgConfig
    config: MnerQgConfig

    def __init__(
        self, config: MnerQgConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (MnerQgConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width = encoder.width
        self.dropout = nn.Dropout(config.dropout)
        self.regions = nn.Linear(config.region_dim, width)
        self.cross = self.make_cross_layer()
        self.grounding = nn.Linear(width, width, bias=False)
        self.existence = nn.Linear(2 * width, 1)
        self.boundaries = nn.Linear(2 * width, 3)
        self.crf = BioCRF(len(config.types))

    def compute(self, inputs: Inputs) -> Outputs:
        """Read the posts once for each type.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The lattice as `answer`. `extra["existence"]` has the logits of the types
                (P, Y), `extra["grounding"]` the weight of each region for each query (P, Y, R).
        """
        assert inputs.queries is not None
        regions = self.read_regions(inputs, REGIONS)
        projected = self.regions(regions.vectors)
        existences, groundings, scores = [], [], []
        for index in range(len(self.config.types)):
            whole, tokens = self._encode(inputs, index)
            grounding = masked_softmax(
                torch.einsum("pd,prd->pr", self.grounding(whole), projected), regions.mask
            )
            seen = torch.einsum("pr,prd->pd", grounding, projected)
            existence = self.existence(torch.cat([whole, seen], dim=1)).squeeze(1).float()
            states = self.cross(tokens, projected, regions.mask)
            beside = seen.unsqueeze(1).expand_as(states)
            logits = self.boundaries(torch.cat([states, beside], dim=2)).float()
            # Relative to no entity, and no more probable than that the type occurs.
            relative = logits[..., 1:] - logits[..., :1]
            scores.append(relative + functional.logsigmoid(existence)[:, None, None])
            existences.append(existence)
            groundings.append(grounding)
        outside = torch.zeros_like(scores[0][..., :1])
        lattice = self.crf(torch.cat([outside, *scores], dim=2), inputs.token_mask)
        return Outputs(
            lattice,
            extra={
                "existence": torch.stack(existences, dim=1),
                "grounding": torch.stack(groundings, dim=1),
                "boxes": regions.boxes,
                "regions": regions.mask,
                "pictures": regions.pictures,
            },
        )

    def _encode(self, inputs: Inputs, query: int) -> tuple[Tensor, Tensor]:
        """Encode the posts after a query: its first state (P, d), and the tokens (P, T, d)."""
        text, queries = inputs.text, inputs.queries
        assert queries is not None
        length = int(queries.mask[query].sum())
        ids = queries.ids[query, :length].expand(len(text.ids), length)
        types = None
        if text.token_types is not None:
            types = torch.cat([torch.zeros_like(ids), torch.ones_like(text.token_types)], dim=1)
        before = torch.ones_like(ids, dtype=torch.bool)
        pieces = WordPieces(
            torch.cat([ids, text.ids], dim=1), torch.cat([before, text.mask], dim=1), types
        )
        hidden = self.dropout(self.encoder(pieces))
        whole = window_mean(hidden[:, 0], inputs.window_post, len(inputs.token_mask))
        return whole, token_vectors(hidden[:, length:], inputs)

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """L = NLL + a BCE(types that occur) + b CE(regions that overlap a drawn box).

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "entities" (a mean over tokens), "existence" (over known types) and, for
                posts with drawn boxes, "grounding" (over the types with one).
        """
        lattice, extra = outputs.answer, outputs.extra
        assert isinstance(lattice, Lattice)
        known = targets.types_known.float()
        existence = functional.binary_cross_entropy_with_logits(
            extra["existence"], targets.entity_types, reduction="none"
        )
        existence = (existence * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        terms = {
            "entities": self.reduce(token_loss(lattice, targets.allowed)),
            "existence": self.reduce(existence),
        }
        total = terms["entities"] + self.config.existence_loss_weight * terms["existence"]
        if targets.boxes is not None:
            boxes = extra["boxes"]
            regions = Regions(boxes, boxes, extra["regions"], extra["pictures"])
            shown = find_shown_types(regions, targets, len(self.config.types))
            grounded = shown.any(dim=2).float()
            weight = (extra["grounding"] * shown).sum(dim=2).clamp(min=1e-9)
            losses = (-weight.log() * grounded).sum(dim=1) / grounded.sum(dim=1).clamp(min=1)
            terms["grounding"] = self.reduce(losses)
            total = total + self.config.grounding_loss_weight * terms["grounding"]
        return Loss(total, terms)


def find_shown_types(regions: Regions, targets: Targets, num_types: int) -> Tensor:
    """Find the regions that overlap a drawn box of each type, in the same picture.

    Args:
        regions (Regions): R regions of P posts.
        targets (Targets): With drawn boxes.
        num_types (int): Number of types.

    Returns:
        Tensor: bool of shape (P, Y, R).
    """
    # Torchvision takes a second to import.
    from torchvision.ops import box_iou

    assert targets.boxes is not None
    assert targets.box_types is not None
    overlaps = torch.stack(
        [box_iou(a.float(), b.float()) for a, b in zip(regions.boxes, targets.boxes, strict=True)]
    )
    overlaps = (overlaps >= MIN_OVERLAP) & regions.mask.unsqueeze(2)
    if targets.box_pictures is not None:
        overlaps &= regions.pictures.unsqueeze(2) == targets.box_pictures.unsqueeze(1)
    of_type = targets.box_types[:, None, :] == torch.arange(
        num_types, device=targets.box_types.device
    ).view(1, -1, 1)
    # (P, 1, R, G) & (P, Y, 1, G)
    return (overlaps.unsqueeze(1) & of_type.unsqueeze(2)).any(dim=3)
