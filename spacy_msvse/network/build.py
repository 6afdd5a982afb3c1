"""Networks without spaCy: `build_network`."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from .base import Network, NetworkConfig
from .encoders.base import Encoder
from .methods.msvse import Msvse


def build_network(
    config: NetworkConfig | Mapping[str, Any],
    method: type[Network] = Msvse,
    encoder: Encoder | None = None,
    backbone: nn.Module | None = None,
) -> Network:
    """Build a network in plain PyTorch.

    Args:
        config (NetworkConfig or Mapping): The method's settings; a mapping is read by its `Config`.
        method (type): The method's class, MSVSE by default.
        encoder (Encoder): The text encoder. Without one, an encoder with random weights is built
            from the setting `encoder`.
        backbone (nn.Module): Computes region vectors from pixels and trains with the network.

    Returns:
        Network: The network, a `torch.nn.Module`.

    Raises:
        MsvseError: For unknown settings (MSVSE-E015), settings out of range (MSVSE-E007), an
            encoder family that is not supported (MSVSE-E002), or `lora` without the package peft
            (MSVSE-E016).
    """
    return method.build(config, encoder, backbone)
