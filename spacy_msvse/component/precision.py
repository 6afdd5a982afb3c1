"""The precision of the matrix products of a network. The CRFs and the weights stay in full
precision."""

from typing import Literal

import torch

#: Names of precisions. "auto" chooses one of the others for the machine.
Precision = Literal["float32", "bfloat16", "auto"]

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

#: The first generation of NVIDIA's GPUs that computes in bfloat16.
_AMPERE = (8, 0)


def choose_precision(setting: Precision, device: torch.device | str) -> str:
    """The precision that a machine computes with.

    Args:
        setting (str): The setting. "auto" is "bfloat16" where the device computes in it by itself,
            else "float32".
        device (torch.device): The device.

    Returns:
        str: "float32" or "bfloat16".
    """
    if setting != "auto":
        return setting
    return "bfloat16" if computes_bfloat16(torch.device(device)) else "float32"


def precision_type(name: str) -> torch.dtype:
    """The type of the numbers of a precision.

    Args:
        name (str): "float32" or "bfloat16".

    Returns:
        torch.dtype: The type.
    """
    return _TYPES[name]


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products in bfloat16. Others emulate them, which is
    slower than single precision.

    Args:
        device (torch.device): The device.

    Returns:
        bool: True if so. False for devices and processors that torch tells nothing about.
    """
    if device.type == "cuda":
        return torch.version.hip is None and torch.cuda.get_device_capability(device) >= _AMPERE
    if device.type != "cpu":
        return False
    # torch asks the processor. It has no public name for the question.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)
