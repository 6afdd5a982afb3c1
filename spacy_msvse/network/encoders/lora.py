"""Low-rank adapters (Hu et al. 2022), by the library `peft`."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from ...errors import Errors, MsvseError
from ...settings import Declaration, wrong_setting
from .base import Encoder

#: Part of the name of every adapter parameter.
LORA_PARAMETER = "lora_"

#: The settings of `peft.LoraConfig` whose range peft does not check.
RANGES = {
    "r": Declaration(Annotated[int, Field(ge=1, le=1024)]),
    "lora_alpha": Declaration(Annotated[float, Field(gt=0, le=10000)]),
    "lora_dropout": Declaration(Annotated[float, Field(ge=0, lt=1)]),
}


def check_lora(settings: Mapping[str, Any]) -> None:
    """Check settings of low-rank adapters. Names are checked only if peft is installed.

    Args:
        settings (Mapping): Settings of `peft.LoraConfig`.

    Raises:
        MsvseError: For a setting that cannot be used (MSVSE-E007).
    """
    for name in RANGES.keys() & settings:
        RANGES[name].check(f"lora.{name}", settings[name])
    try:
        from peft import LoraConfig
    except ImportError:  # an error when the adapters are added
        return
    try:
        LoraConfig(**settings)
    except (TypeError, ValueError) as error:
        raise _refused(settings, error) from error


def add_lora(encoder: Encoder, settings: Mapping[str, Any]) -> None:
    """Add low-rank adapters to an encoder, in place. The weights of the encoder no longer train.

    Args:
        encoder (Encoder): The encoder.
        settings (Mapping): Settings of `peft.LoraConfig`, such as `r` and `lora_alpha`. By default
            the projections to queries and values get adapters; `target_modules` names other layers.

    Raises:
        MsvseError: If peft is not installed (MSVSE-E016), or does not accept the settings for this
            encoder (MSVSE-E007).
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MsvseError(Errors.E016) from error
    config = LoraConfig(**{"target_modules": list(encoder.adapted), **settings})
    try:
        inject_adapter_in_model(config, encoder.model)
    except Exception as error:  # peft raises errors of many types
        raise _refused(settings, error) from error


def _refused(settings: Mapping[str, Any], error: Exception) -> MsvseError:
    reason = str(error).partition("\n")[0].rstrip(".")
    return wrong_setting("lora", dict(settings), f"settings that peft accepts ({reason})")
