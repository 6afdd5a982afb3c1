"""State dicts: found, written in memory, and hashed. Imports torch."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import srsly
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ...errors import Errors, MsvseError
from .weights_error import WeightsError

#: The files that can be read.
WEIGHT_SUFFIXES = (".pt", ".pth", ".safetensors")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict without running any code that the file may hold.

    Args:
        path (Path): A .pt, .pth or .safetensors file.

    Returns:
        dict: Tensors by name.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def find_weight_files(weights: str) -> list[Path]:
    """Find weights in a file or in an installed package. The package is not imported.

    Args:
        weights (str): A .pt, .pth or .safetensors file, or the name of a package.

    Returns:
        list: The file, or all such files of the package in alphabetical order.

    Raises:
        WeightsError: If there are none (MSVSE-E171).
    """
    if weights.endswith(WEIGHT_SUFFIXES):
        path = Path(weights)
        if path.is_file():
            return [path]
        raise WeightsError(weights, "there is no such file")
    package = weights.replace("-", "_")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None:
        raise WeightsError(weights, "there is no such package or file")
    folders = map(Path, spec.submodule_search_locations or ())
    paths = [path for one in folders for path in one.rglob("*") if path.suffix in WEIGHT_SUFFIXES]
    if not paths:
        reason = f"the package holds no {' or '.join(WEIGHT_SUFFIXES)} file"
        raise WeightsError(weights, reason)
    return sorted(paths)


def find_torchvision_weights(architecture: str, weights: str) -> dict[str, Tensor]:
    """Read a state dict from a file, or from torchvision by name. This may download.

    Args:
        architecture (str): A model of torchvision.
        weights (str): A .pt, .pth or .safetensors file, or a name of weights in torchvision, such
            as "DEFAULT" for the best or "IMAGENET1K_V2".

    Returns:
        dict: Tensors by name.

    Raises:
        WeightsError: If there are no such weights (MSVSE-E171).
    """
    from torchvision.models import get_model_weights

    if weights.endswith(WEIGHT_SUFFIXES) and Path(weights).is_file():
        return read_weights(Path(weights))
    known = get_model_weights(architecture)
    if weights not in known.__members__:
        reason = (
            f"there is no such file, and torchvision's {architecture} has "
            f"{', '.join(known.__members__)}"
        )
        raise WeightsError(weights, reason)
    found: dict[str, Tensor] = known[weights].get_state_dict(check_hash=True, weights_only=True)
    return found


def torchvision_categories(architecture: str) -> list[str]:
    """The classes that torchvision's own weights were trained for.

    Args:
        architecture (str): A model of torchvision.

    Returns:
        list: Their names in the order of the classes.
    """
    from torchvision.models import get_model_weights

    return list(get_model_weights(architecture).DEFAULT.meta["categories"])


def name_classes(
    weights: str, count: int, given: Sequence[str] | None, usual: Sequence[str]
) -> list[str]:
    """Names for the classes of a network.

    Args:
        weights (str): The weights, for the message.
        count (int): The number of classes of the weights.
        given (Sequence[str]): The user's names; None for the usual ones.
        usual (Sequence[str]): The names that torchvision's own weights have.

    Returns:
        list: `count` names.

    Raises:
        MsvseError: If there are more or fewer (MSVSE-E050).
    """
    names = list(usual if given is None else given)
    if len(names) != count:
        raise MsvseError(Errors.E050.format(weights=weights, count=count, names=len(names)))
    return names


def to_safetensors(state: Mapping[str, Tensor]) -> bytes:
    """Write a state dict in memory.

    Args:
        state (Mapping): Tensors by name, on any device.

    Returns:
        bytes: The content of a safetensors file.
    """
    return save({name: tensor.contiguous() for name, tensor in state.items()})


def state_digest(state: Mapping[str, Tensor], *others: object) -> str:
    """Hash a state dict and further values.

    Args:
        state (Mapping): Tensors by name.
        others (object): Values that JSON can hold.

    Returns:
        str: SHA-256 in hex.
    """
    digest = hashlib.sha256()
    for other in others:
        digest.update(srsly.json_dumps(other).encode())
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].cpu().numpy().tobytes())
    return digest.hexdigest()
