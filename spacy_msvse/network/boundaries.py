"""Base of the methods that also label the boundaries of entities, without their types."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..settings import Weight
from .base import Network, NetworkConfig
from .crf import Lattice
from .decoder import token_loss
from .inputs import Loss, Outputs, Targets

#: The name of the boundary labels' lattice in `Outputs.others`.
BOUNDARY = "boundary"


@dataclass(frozen=True)
class BoundaryConfig(NetworkConfig):
    """Settings of such a method.

    Attributes:
        boundary_loss_weight (float): Weight of the loss of the boundary labels.
    """

    boundary_loss_weight: Weight = 0.5


class BoundaryNetwork(Network):
    """A method whose outputs have a lattice of the labels O, B and I as `BOUNDARY`."""

    Config = BoundaryConfig
    config: BoundaryConfig

    def loss(self, outputs: Outputs, targets: Targets) -> Loss:
        """L = NLL(entity labels) + w NLL(boundary labels).

        Args:
            outputs (Outputs): The outputs for the posts.
            targets (Targets): The gold labels of the same posts.

        Returns:
            Loss: Terms "entities" and "boundary", each a mean over the tokens of a post.
        """
        boundary = outputs.others[BOUNDARY]
        assert isinstance(boundary, Lattice)
        entities = super().loss(outputs, targets).total
        terms = {
            "entities": entities,
            "boundary": self.reduce(token_loss(boundary, boundary_targets(targets.allowed))),
        }
        return Loss(entities + self.config.boundary_loss_weight * terms["boundary"], terms)


def boundary_targets(allowed: Tensor) -> Tensor:
    """The targets of a CRF over the labels O, B and I, without types.

    Args:
        allowed (Tensor): bool of shape (P, T, K): the allowed labels, in the order of `bio_labels`.

    Returns:
        Tensor: bool of shape (P, T, 3).
    """
    begins, insides = allowed[..., 1::2].any(dim=2), allowed[..., 2::2].any(dim=2)
    return torch.stack([allowed[..., 0], begins, insides], dim=2)
