"""UAMNer: uncertainty-aware multimodal named entity recognition.

Liu, Wang, Zhang, Qing, He: "UAMNer: uncertainty-aware multimodal named entity recognition in social
media posts", Applied Intelligence 52(4):4109-4125, 2022, doi 10.1007/s10489-021-02546-5.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ...settings import Weight
from ..base import Network, NetworkConfig, Reads, token_vectors
from ..crf import Lattice
from ..decoder import LabelDecoder, token_loss
from ..encoders.base import Encoder
from ..inputs import Inputs, Loss, Outputs, Targets
from ..interaction import TokenGate
from ..views import REGIONS


@dataclass(frozen=True)
class UamnerConfig(NetworkConfig):
    """Settings of UAMNer. All values are reconstructed, after UANet (Gui et al., EMNLP 2020).

    Attributes:
        samples (int): Dropout samples of the first stage.
        sample_dropout (float): Their dropout probability.
        max_uncertainty (float): A token whose draft label has a higher entropy, in nats, is
            labelled by the second stage.
        label_width (int): Width of the vectors of draft labels.
        refining_layers (int): Layers of the second stage over text and draft labels.
        refined_loss_weight (float): Weight of the loss of the second stage.
    """

    samples: Annotated[int, Field(ge=1, le=1000)] = 8
    sample_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_uncertainty: Annotated[float, Field(ge=0, le=1000)] = 0.5
    label_width: Annotated[int, Field(ge=1, le=8192)] = 64
    refining_layers: Annotated[int, Field(ge=1, le=64)] = 2
    refined_loss_weight: Weight = 1.0

    @property
    def reads(self) -> Reads:
        """The regions, which are the cells of a grid in the paper."""
        return Reads(vectors=(REGIONS,))


class Uamner(Network):
    """The text gives draft labels. Where they are uncertain, text and picture label again.

    Stated: the two stages, and the uncertainty of a Bayesian network between them. Reconstructed:
    everything else. Dropout samples are masks over the features of all tokens, drawn once, so that
    a prediction is always the same. Both stages share a CRF. Several pictures of a post are one set
    of regions.
    """

    Config = UamnerConfig
    config: UamnerConfig

    sample_masks: Tensor

    def __init__(
        self, config: UamnerConfig, encoder: Encoder, backbone: nn.Module | None = None
    ) -> None:
        """Create the layers.

        Args:
            config (UamnerConfig): The settings.
            encoder (Encoder): The text encoder.
            backbone (nn.Module): Computes region vectors from pixels, and trains with the network.

        Raises:
            MsvseError: For `lora` without the package peft (MSVSE-E016).
        """
        super().__init__(config, encoder, backbone)
        width = encoder.width
        self.decoder = LabelDecoder(width, len(config.types), config.dropout)
        labels = self.decoder.crf.num_labels
        self.label_vectors = nn.Parameter(torch.empty(labels, config.label_width))
        nn.init.normal_(self.label_vectors, std=0.02)
        self.joining = nn.Linear(width + config.label_width, width)
        self.refining = nn.ModuleList(
            self.make_cross_layer() for _ in range(config.refining_layers)
        )
        self.regions = nn.Linear(config.region_dim, width)
        self.cross = self.make_cross_layer()
        self.gate = TokenGate(width)
        self.refined = nn.Linear(2 * width, labels)
        generator = torch.Generator().manual_seed(0)
        kept = torch.rand(config.samples, width, generator=generator) >= config.sample_dropout
        masks = kept.float() / (1 - config.sample_dropout)
        # Derived from the settings, so they are not saved.
        self.register_buffer("sample_masks", masks, persistent=False)

    def compute(self, inputs: Inputs) -> Outputs:
        """Compute the lattices of both stages, and of the labels that are decoded.

        Args:
            inputs (Inputs): The posts.

        Returns:
            Outputs: As `answer` the emissions of the draft at certain tokens, and the refined ones
                elsewhere; "draft" and "refined". `extra["uncertainty"]` has the entropies (P, T).
        """
        mask = inputs.token_mask
        hidden = token_vectors(self.encoder(inputs.text), inputs)
        draft = self.decoder.score(hidden)
        probabilities = self.sample_labels(hidden)
        uncertainty = -torch.special.xlogy(probabilities, probabilities).sum(dim=2)
        labels = (probabilities @ self.label_vectors.float()).to(hidden.dtype)
        states = self.joining(torch.cat([hidden, labels], dim=2))
        for layer in self.refining:
            states = layer(states, states, mask)
        regions = self.read_regions(inputs, REGIONS)
        present = regions.mask.any(dim=1)[:, None, None]
        seen = self.cross(states, self.regions(regions.vectors), regions.mask) * present
        refined = self.refined(torch.cat([states, self.gate(states, seen)], dim=2)).float()
        uncertain = (uncertainty > self.config.max_uncertainty).unsqueeze(2)
        crf = self.decoder.crf
        return Outputs(
            crf(torch.where(uncertain, refined, draft), mask),
            others={"draft": crf(draft, mask), "refined": crf(refined, mask)},
            extra={"uncertainty": uncertainty},
        )

    @torch.no_grad()
    def sample_labels(self, hidden: Tensor) -> Tensor:
        """The mean label probabilities of the dropout samples.

        Args:
            hidden (Tensor): float of shape (P, T, d).

        Returns:
            Tensor: float of shape (P, T, K), without gradient.
        """
        head = self.decoder.emissions
        total = hidden.new_zeros(())
        for mask in self.sample_masks:
            total = total + torch.softmax(head(hidden.to(head.weight.dtype) * mask), dim=2)
        return total / len(self.sample_masks)

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """L = NLL(draft) + w NLL(refined).

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "draft" and "refined", each a mean over the tokens of a post.
        """
        terms = {}
        for name in ("draft", "refined"):
            lattice = outputs.others[name]
            assert isinstance(lattice, Lattice)
            terms[name] = self.reduce(token_loss(lattice, targets.allowed))
        total = terms["draft"] + self.config.refined_loss_weight * terms["refined"]
        return Loss(total, terms)
