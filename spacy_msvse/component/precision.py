"""The precision of the matrix products of a network. The CRFs and the weights stay in full
precision."""

from typing import Literal

import torch

#: Names of precisions. "auto" chooses one of the others for the machine.
Precision = Literal["float32", "bfloat16", "auto"]

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


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products in bfloat16. Others emulate them, which is
    slower than single precision.

    Args:
        device (torch.device): The device.

    Returns:
        bool: True if so; False if torch does not say.
    """
    if device.type == "cuda":
        return torch.version.hip is None and torch.cuda.get_device_capability(device) >= _AMPERE
    if device.type != "cpu":
        return False
    # torch asks the processor. It has no public name for the question.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)
