"""Low-rank adapters (Hu et al. 2022) through the library `peft`."""

from collections.abc import Mapping
from typing import Any

from ...errors import Errors, MsvseError
from .base import Encoder

#: Part of the name of every parameter that an adapter adds.
LORA_PARAMETER = "lora_"


def add_lora(encoder: Encoder, settings: Mapping[str, Any]) -> None:
    """Put low-rank adapters on an encoder, in place. Its own weights no longer train.

    encoder (Encoder): The encoder.
    settings (Mapping): Settings of `peft.LoraConfig`, such as `r` and `lora_alpha`. Without
        `target_modules`, the projections to queries and values are adapted.
    RAISES (MsvseError): Without peft (MSVSE-E016).
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MsvseError(Errors.E016) from error
    config = LoraConfig(**{"target_modules": list(encoder.adapted), **settings})
    inject_adapter_in_model(config, encoder.model)
