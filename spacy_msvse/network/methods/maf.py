"""MAF: matching and alignment of text and picture.

Xu, Huang, Sha, Wang: "MAF: A General Matching and Alignment Framework for Multimodal Named Entity
Recognition", WSDM 2022, doi 10.1145/3488560.3498475.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ...settings import Share, Weight
from ..base import Network, NetworkConfig, Reads, token_vectors
from ..crf import Lattice
from ..decoder import LabelDecoder, token_loss, token_mean
from ..encoders.base import Encoder
from ..inputs import Inputs, Loss, Outputs, Regions, Targets
from ..interaction import TokenGate
from ..views import REGIONS


@dataclass(frozen=True)
class MafConfig(NetworkConfig):
    """Settings of MAF.

    Attributes:
        auxiliary_loss_weight (float): Weight of matching and alignment together. The authors' code
            has 0.38 beside 0.62 for a sum over tokens; beside a mean over tokens this is 0.038, at
            16 tokens for each post.
        alignment_temperature (float): Temperature of the contrastive loss.
        text_share (float): Share of the direction from text to picture in it.
        exchanged_share (float): The share of the posts of a training batch that get the picture of
            another post, for the matching.
    """

    auxiliary_loss_weight: Weight = 0.038
    alignment_temperature: Annotated[float, Field(ge=0.001, le=100)] = 0.179
    text_share: Share = 0.7
    exchanged_share: Share = 0.25

    @property
    def reads(self) -> Reads:
        """The regions, which are the cells of a grid in the paper."""
        return Reads(vectors=(REGIONS,))


class Maf(Network):
    """The picture counts as much as it matches the text; a contrastive loss aligns both.

    Stated: the matching, the alignment, the visual gate. Corrected: pictures are exchanged before
    the text attends to them (in the authors' code afterwards, so that two texts could be compared);
    the matching reads the mean over tokens (in the code all 128 positions, padding included); posts
    without a picture take no part in matching and alignment. Reconstructed: the mean of the tokens
    and of the regions stand for the whole text and picture. Several pictures of a post are one set
    of regions.
    """

    Config = MafConfig
    config: MafConfig

    #: In training, posts exchange pictures, and the contrastive loss compares the posts of a batch.
    mixes_losses: ClassVar[bool] = True

    def __init__(
        self, config: MafConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (MafConfig): The settings.
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
        self.gate = TokenGate(width)
        self.matching = nn.Linear(2 * width, 2)
        self.text_head = _head(width, width)
        self.picture_head = _head(config.region_dim, width)
        self.decoder = LabelDecoder(2 * width, len(config.types), config.dropout)

    def compute(self, inputs: Inputs) -> Outputs:
        """A = Cross(H, V); s = P(match | mean [H; A]); E = W [H; gate(H, s A)].

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: The lattice as `answer`. `extra` has what the loss needs.
        """
        mask = inputs.token_mask
        hidden = self.dropout(token_vectors(self.encoder(inputs.text), inputs))
        own = self.read_regions(inputs, REGIONS)
        present = own.mask.any(dim=1)
        order = self._exchange(present) if self.training else torch.arange(len(present))
        order = order.to(present.device)
        regions = Regions(
            own.vectors[order], own.boxes[order], own.mask[order], own.pictures[order]
        )
        attended = self.cross(hidden, self.regions(regions.vectors), regions.mask)
        attended = attended * present[:, None, None]
        text, seen = token_mean(hidden, mask), token_mean(attended, mask)
        logits = self.matching(torch.cat([text, seen], dim=1))
        score = torch.softmax(logits, dim=1)[:, 1]
        gated = self.gate(hidden, score[:, None, None] * attended)
        lattice = self.decoder(torch.cat([hidden, gated], dim=2), mask)
        pooled = token_mean(own.vectors, own.mask)
        return Outputs(
            lattice,
            extra={
                "matching": logits,
                "own": order == torch.arange(len(order), device=order.device),
                "present": present,
                "text": self.text_head(text),
                "picture": self.picture_head(pooled),
            },
        )

    def _exchange(self, present: Tensor) -> Tensor:
        """The post whose picture each post gets: the last posts with a picture swap in pairs."""
        order = torch.arange(len(present))
        posts = present.nonzero().squeeze(1).cpu()
        pairs = int(len(posts) * self.config.exchanged_share) // 2
        first, second = posts[len(posts) - 2 * pairs :].view(-1, 2).unbind(dim=1)
        order[first], order[second] = second, first
        return order

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """L = NLL + w (matching + alignment). A post without a picture is in neither of the two.

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "entities", "matching" (cross-entropy) and "alignment" (contrastive).
        """
        lattice, extra = outputs.answer, outputs.extra
        assert isinstance(lattice, Lattice)
        present = extra["present"]
        matching = functional.cross_entropy(
            extra["matching"], extra["own"].long(), reduction="none"
        )
        terms = {
            "entities": self.reduce(token_loss(lattice, targets.allowed)),
            "matching": self.reduce(matching * present),
            "alignment": self.reduce(self._align(extra["text"], extra["picture"], present)),
        }
        auxiliary = terms["matching"] + terms["alignment"]
        return Loss(terms["entities"] + self.config.auxiliary_loss_weight * auxiliary, terms)

    def _align(self, text: Tensor, picture: Tensor, present: Tensor) -> Tensor:
        """The contrastive loss of each post with a picture, float of shape (P,); else 0."""
        losses = text.new_zeros(len(text))
        rows = present.nonzero().squeeze(1)
        if len(rows) < 2:
            return losses
        text = functional.normalize(text[rows], dim=1)
        picture = functional.normalize(picture[rows], dim=1)
        scores = text @ picture.T / self.config.alignment_temperature
        own = torch.arange(len(rows), device=rows.device)
        share = self.config.text_share
        to_picture = functional.cross_entropy(scores, own, reduction="none")
        to_text = functional.cross_entropy(scores.T, own, reduction="none")
        return losses.index_put((rows,), share * to_picture + (1 - share) * to_text)


def _head(width_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width), nn.ReLU(), nn.Linear(width, width))
