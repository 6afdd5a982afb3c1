"""Weights take half the space in files if bfloat16 holds them. Rounding makes it hold them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def shorten(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make tensors as short as they can be without any loss.

    Args:
        weights (Mapping): Name to tensor.

    Returns:
        dict: The same tensors, contiguous. One of float32 becomes bfloat16 if that has all of its
            values.
    """
    return {name: _shorten(tensor).contiguous() for name, tensor in weights.items()}


def _shorten(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32:
        return tensor
    short = tensor.bfloat16()
    return short if torch.equal(short.float(), tensor) else tensor


def restore(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Undo `shorten`.

    Args:
        weights (Mapping): Name to tensor.
        network (nn.Module): The network that they belong to.

    Returns:
        dict: The tensors. One of bfloat16 has the type that the network has.
    """
    types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    return {
        name: tensor.to(types[name]) if tensor.dtype == torch.bfloat16 and name in types else tensor
        for name, tensor in weights.items()
    }


def round_weights(network: nn.Module) -> None:
    """Round all weights to values of bfloat16: each changes by less than half a per cent.

    They stay in float32, so the network computes and trains as before.

    Args:
        network (nn.Module): The network. A backbone that trains with it is not rounded, since its
            extractor saves it.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("backbone."):
                parameter.copy_(parameter.bfloat16().float())
