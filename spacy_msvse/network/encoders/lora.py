"""Low-rank adapters (Hu et al. 2022), by the library `peft`."""

from collections.abc import Mapping
from typing import Any

from ...errors import Errors, MsvseError
from .base import Encoder

#: Part of the name of every adapter parameter.
LORA_PARAMETER = "lora_"


def add_lora(encoder: Encoder, settings: Mapping[str, Any]) -> None:
    """Add low-rank adapters to an encoder, in place. The weights of the encoder no longer train.

    Args:
        encoder (Encoder): The encoder.
        settings (Mapping): Settings of `peft.LoraConfig`, such as `r` and `lora_alpha`. By default
            the projections to queries and values get adapters; `target_modules` names other layers.

    Raises:
        MsvseError: If peft is not installed (MSVSE-E016).
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MsvseError(Errors.E016) from error
    config = LoraConfig(**{"target_modules": list(encoder.adapted), **settings})
    inject_adapter_in_model(config, encoder.model)
