"""The same network for more entity types."""

from dataclasses import replace

import torch
from torch import Tensor

from .base import Network


def grow(network: Network, types: tuple[str, ...]) -> Network:
    """Build a network for further entity types. Weights that depend on the types get new rows and
    columns, drawn at random. All other weights, and the old rows and columns, stay as they are.

    Args:
        network (Network): The network. Its encoder and its backbone become those of the new one.
        types (tuple): Its types, followed by the new ones.

    Returns:
        Network: The new network.
    """
    config = replace(network.config, types=types)
    grown = type(network).build(config, network.encoder, network.backbone)
    parameters = dict(grown.named_parameters())
    added = len(types) - len(network.config.types)
    weights = {
        name: value
        if name not in parameters
        else _widen(network, value, parameters[name].detach(), added)
        for name, value in network.state_dict().items()
    }
    grown.load_state_dict(weights, assign=True)
    return grown.train(network.training)


def _widen(network: Network, old: Tensor, new: Tensor, added: int) -> Tensor:
    """Put old weights into new ones that are larger."""
    if old.shape == new.shape:
        return old
    places = [
        torch.tensor(network.kept_positions(size, added if wider > size else 0))
        for size, wider in zip(old.shape, new.shape, strict=True)
    ]
    widened = new.to(old)
    widened[torch.meshgrid(*places, indexing="ij")] = old
    return widened
