"""Parts that extractors share: settings, batches, device, fingerprint, saved state."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import numpy as np
import srsly
from PIL.Image import Image
from pydantic import Field

from ...errors import Errors, MsvseError
from ...settings import Name, Settings, Share
from ...util import first_line
from ..features import Features, RegionFeatures, make_fingerprint
from .weights_error import WeightsError

#: Precision of a network. Half precision is for GPUs, and bfloat16 also for the processors that
#: compute in it by themselves. Others are no faster with it.
Precision = Literal["float32", "float16", "bfloat16"]
#: Number of pictures in a batch of a network.
BatchSize = Annotated[int, Field(ge=1, le=1024)]
#: Maximum number of tags or detections of a picture.
Most = Annotated[int, Field(ge=0, le=1000)]
#: Cells along each side of a grid; 0 for only the whole picture.
Grid = Annotated[int, Field(ge=0, le=64)]
#: Names of the classes of a network, of which two may be equal.
Classes = Annotated[tuple[Name, ...], Field(min_length=1)]

#: Settings that do not change the features. Weights are identified by their content.
_SHAPELESS = ("weights", "batch_size")

#: The files of a saved extractor.
SETTINGS_FILE, WEIGHTS_FILE = "extractor.json", "weights.safetensors"


@dataclass
class Loaded:
    """The loaded state of an extractor. It is no setting and does not count for equality.

    Attributes:
        network (Frozen): The network.
        categories (list): The names of its classes; empty if it has none.
        digest (str): A hash of all loaded values that the features depend on.
        device (str): The torch device of the network.
    """

    network: Any = None
    categories: list[str] = field(default_factory=list)
    digest: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class NetworkExtractor(Settings, ABC):
    """Base of the extractors with a frozen network.

    Attributes:
        weights (str): The source of the weights for `initialize`.
        batch_size (int): Number of pictures in a batch of the network.
    """

    weights: Name = ""
    batch_size: BatchSize = 16
    _loaded: Loaded = field(default_factory=Loaded, init=False, repr=False, compare=False)

    #: The command that installs the default weights; empty if they are fetched by name.
    install = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the weights and of the settings that change the features.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        _ = self.network  # raises if there are no weights
        settings = [
            getattr(self, setting.name)
            for setting in fields(self)
            if setting.compare and setting.name not in _SHAPELESS
        ]
        parts = [type(self).__name__, 1, *settings, self._loaded.digest]
        return make_fingerprint(parts)

    def initialize(self) -> None:
        """Load the weights from their source: a file, a folder, a package or a download.

        Raises:
            MsvseError: If the weights cannot be found or read (MSVSE-E011), or have another number
                of classes than there are names (MSVSE-E050).
        """
        try:
            self._find()
        except Exception as error:  # torch, safetensors, transformers and the hub each have many
            if isinstance(error, MsvseError) and not isinstance(error, WeightsError):
                raise
            names = {"extractor": type(self).__name__, "weights": self.weights}
            install = f"Install them with `{self.install}`"
            names["advice"] = install if self.install else "Go online if they are fetched by name"
            raise MsvseError(Errors.E011.format(**names, reason=_reason(error))) from error

    def to(self, device: str) -> None:
        """Compute on another device.

        Args:
            device (str): A torch device, such as "cpu" or "cuda:0"; kept for weights loaded later.
        """
        self._loaded.device = device
        if self._loaded.network is not None:
            self._loaded.network.to(device)

    def prepare(self, picture: Image) -> Image:
        """Resize a picture to the size that the network takes.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: The resized picture; a copy if it has that size.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        resized: Image = self.network.fit(picture)
        return resized

    def extract(self, pictures: Sequence[Image], known: Sequence[Features]) -> list[Features]:
        """Extract the features of a batch of pictures.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size, or results of `prepare`.
            known (Sequence[Features]): Not used.

        Returns:
            list: New features; of the views in `fills`.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        network = self.network
        found: list[Features] = [{} for _ in pictures]
        for rows in self._batches(pictures):
            batch = [pictures[row] for row in rows]
            for row, features in zip(rows, self._extract(network, batch), strict=True):
                found[row] = features
        return found

    def to_files(self) -> dict[str, bytes]:
        """Save the weights and their settings.

        Returns:
            dict: File name to content; the weights are safetensors.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        settings, files = self._save(self.network)
        return {SETTINGS_FILE: srsly.json_dumps(settings).encode(), **files}

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore what `to_files` saved, without a network and without the source of the weights.

        Args:
            files (Mapping): File name to content.

        Raises:
            MsvseError: If a file is missing or damaged (MSVSE-E006), or was saved for other labels
                or another prompt (MSVSE-E051).
        """
        try:
            settings = srsly.json_loads(files[SETTINGS_FILE].decode())
            self._restore(settings, files)
        except Exception as error:  # json, safetensors, torch and transformers have their own
            if isinstance(error, MsvseError) and not isinstance(error, WeightsError):
                raise
            raise MsvseError(Errors.E006.format(reason=_reason(error))) from error

    @abstractmethod
    def _find(self) -> None:
        """Load the weights from `self.weights`."""

    @abstractmethod
    def _extract(self, network: Any, pictures: Sequence[Image]) -> Iterator[Features]:
        """Features of a batch of at most `batch_size` pictures."""

    def _build(self, weights: dict[str, Any]) -> Any:
        """Build the network from its weights."""
        raise NotImplementedError

    def _load(self, weights: dict[str, Any], categories: Sequence[str]) -> None:
        from .weights import state_digest

        network = self._build(weights)
        digest = state_digest(network.network.state_dict(), list(categories))
        self._adopt(network, digest, categories)

    def _save(self, network: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Settings that JSON can hold, and files."""
        from .weights import to_safetensors

        weights = to_safetensors(network.network.state_dict())
        return {"categories": self._loaded.categories}, {WEIGHTS_FILE: weights}

    def _restore(self, settings: dict[str, Any], files: Mapping[str, bytes]) -> None:
        """Load what `_save` returned."""
        from safetensors.torch import load

        self._load(load(files[WEIGHTS_FILE]), settings["categories"])

    def _batches(self, pictures: Sequence[Image]) -> Iterator[Sequence[int]]:
        """Rows of the pictures that pass through the network together."""
        for start in range(0, len(pictures), self.batch_size):
            yield range(start, min(start + self.batch_size, len(pictures)))

    def _adopt(self, network: Any, digest: str, categories: Sequence[str] = ()) -> None:
        self._loaded.digest = digest
        self._loaded.categories = list(categories)
        self._loaded.network = network.to(self._loaded.device)

    @property
    def network(self) -> Any:
        """The network.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        if self._loaded.network is None:
            names = {"extractor": type(self).__name__, "weights": self.weights}
            raise MsvseError(Errors.E012.format(**names))
        return self._loaded.network


class GridClassifier(NetworkExtractor):
    """Base of the extractors with an image classifier.

    Its regions are a grid over the last feature map, or over all levels of a feature pyramid; its
    tags are the likeliest classes.
    """

    grid: Grid
    pyramid: bool
    tags: Most
    min_tag_score: Share

    fills = ("regions", "tags")

    @property
    def boxes(self) -> np.ndarray:
        """The relative boxes of the regions of every picture: float32 of shape (R, 4)."""
        boxes = grid_boxes(self.grid)
        return boxes[1:] if self.pyramid else boxes

    def _extract(self, network: Any, pictures: Sequence[Image]) -> Iterator[Features]:
        regions, probabilities = network(network.to_pixels(pictures))
        rows = zip(regions.cpu().numpy(), probabilities.cpu().numpy(), strict=True)
        for vectors, scores in rows:
            names = likeliest(scores, self._loaded.categories, self.tags, self.min_tag_score)
            regions = RegionFeatures(vectors, self.boxes)
            yield {"regions": regions, "tags": names}


def likeliest(
    probabilities: np.ndarray, names: Sequence[str], most: int, least: float
) -> list[str]:
    """Name the likeliest classes.

    Args:
        probabilities (np.ndarray): One for each class.
        names (Sequence[str]): The classes. Two may have the same name: ImageNet has "crane" twice.
        most (int): Maximum number of names.
        least (float): Minimum probability.

    Returns:
        list: Names, the likeliest first.
    """
    best = np.argsort(-probabilities, kind="stable")[:most]
    return list(dict.fromkeys(names[row] for row in best if probabilities[row] >= least))


def grid_boxes(grid: int) -> np.ndarray:
    """The boxes of the whole picture and of the cells of a grid over it.

    Args:
        grid (int): Cells along each side.

    Returns:
        np.ndarray: Relative boxes, row by row: float32 of shape (1 + grid * grid, 4).
    """
    edges = np.linspace(0, 1, grid + 1)
    cells = [
        (edges[column], edges[row], edges[column + 1], edges[row + 1])
        for row in range(grid)
        for column in range(grid)
    ]
    return np.array([(0, 0, 1, 1), *cells], dtype=np.float32)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, WeightsError) else first_line(error)
