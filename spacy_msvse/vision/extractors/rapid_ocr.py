"""Text in pictures, read by RapidOCR: the textual view `ocr`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL.Image import Image
from pydantic import Field

from ...errors import Errors, MsvseError
from ...settings import Settings, Share
from ..features import Features, make_fingerprint

_PACKAGES = ("rapidocr", "onnxruntime")
#: The parts of RapidOCR's config that name a model: detection, orientation, recognition.
_MODELS = ("Det", "Cls", "Rec")
#: RapidOCR enlarges a picture until its shorter side has 736 pixels. These two limits keep a
#: very large, or very long and narrow, picture from filling the memory.
_LONGEST_SIDE = 1600
_GREATEST_RATIO = 4


@dataclass(frozen=True)
class RapidOcr(Settings):
    """An extractor of the text in a picture: the view `ocr`.

    The models are part of RapidOCR's wheel: nothing is downloaded, and nothing is saved with the
    pipeline. They read Latin script, Chinese and Japanese. Lines are joined by a blank, from top to
    bottom, and from left to right where they are side by side. Columns are not recognised.

    Attributes:
        min_score (float): Minimum confidence of a line, in [0, 1]; others are left out. Printed
            lines mostly have more than 0.95; false letters in a photo mostly less than 0.85.
        max_characters (int): Maximum length of the text. A longer text is cut off.

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """

    min_score: Share = 0.85
    max_characters: Annotated[int, Field(ge=1, le=100_000)] = 1000

    fills = ("ocr",)
    region_dim = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the settings and the version of RapidOCR, which fixes its models.

        Raises:
            MsvseError: If a package is not installed (MSVSE-E024).
        """
        _require_packages()
        settings = [type(self).__name__, 1, self.min_score, self.max_characters]
        return make_fingerprint([*settings, version("rapidocr")])

    def initialize(self) -> None:
        """Check that the models are installed. They are loaded with the first picture.

        Raises:
            MsvseError: If a package (MSVSE-E024) or a model in it (MSVSE-E025) is missing.
        """
        _find_models()

    def extract(self, pictures: Sequence[Image], known: Sequence[Features]) -> list[Features]:
        """Read each picture of a batch.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size, or results of `prepare`.
            known (Sequence[Features]): Not used.

        Returns:
            list: Features with the view `ocr`; "" where there is no text.

        Raises:
            MsvseError: If a package (MSVSE-E024) or a model in it (MSVSE-E025) is missing.
        """
        return [{"ocr": self._read(picture)} for picture in pictures]

    def prepare(self, picture: Image) -> Image:
        """Resize a picture, so that the time to read it is limited.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            Image: A smaller copy; one of equal size if it is small enough.
        """
        small = picture.copy()
        small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        return small

    def to_files(self) -> dict[str, bytes]:
        """Save nothing: the models are part of an installed package.

        Returns:
            dict: Empty.
        """
        return {}

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Check that the models are installed, so that a pipeline that lacks them fails when it is
        loaded, and not in the middle of a long run.

        Args:
            files (Mapping): Not used.

        Raises:
            MsvseError: If a package (MSVSE-E024) or a model in it (MSVSE-E025) is missing.
        """
        _find_models()

    def _read(self, picture: Image) -> str:
        found = _reader()(_pixels(self.prepare(picture)))
        if found.boxes is None:
            return ""
        lines = [
            found.txts[row].strip()
            for row in _reading_order(found.boxes)
            if found.scores[row] >= self.min_score
        ]
        return " ".join(lines)[: self.max_characters].rstrip()


@cache
def _reader() -> Callable[[np.ndarray], Any]:
    """The engine. One is enough for a process, because no setting of the extractor changes it."""
    paths = _find_models()
    from rapidocr import RapidOCR

    engine = "EngineConfig.onnxruntime"
    return RapidOCR(
        params={
            # With an explicit path, a missing model is an error, and nothing is downloaded.
            **{f"{model}.model_path": path for model, path in paths.items()},
            "Global.log_level": "error",  # it warns of every picture without text
            "Global.text_score": 0.0,
            # With one thread, the order of summation is fixed, and a fork is safe.
            f"{engine}.intra_op_num_threads": 1,
            f"{engine}.inter_op_num_threads": 1,
        }
    )


def _require_packages() -> None:
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MsvseError(Errors.E024.format(extractor=RapidOcr.__name__, package=package))


def _find_models() -> dict[str, str]:
    """The path of each model in RapidOCR's wheel. Downloaded models are ignored."""
    _require_packages()
    wheel = [Path(str(file.locate())) for file in files("rapidocr") or ()]
    paths = {}
    for model in _MODELS:
        found = [path for path in wheel if path.match(f"*_{model.lower()}_*.onnx")]
        if len(found) != 1 or not found[0].is_file():
            raise MsvseError(Errors.E025.format(model=model, version=version("rapidocr")))
        paths[model] = str(found[0])
    return paths


def _pixels(picture: Image) -> np.ndarray:
    """The pixels of a picture. If it is too long and narrow, the pixels of its edge are repeated.

    Returns:
        np.ndarray: uint8 of shape (height, width, 3): blue, green, red, as in OpenCV.
    """
    least = -(-max(picture.size) // _GREATEST_RATIO)
    height, width = max(0, least - picture.height), max(0, least - picture.width)
    return np.pad(np.asarray(picture)[:, :, ::-1], [(0, height), (0, width), (0, 0)], mode="edge")


def _reading_order(boxes: np.ndarray) -> list[int]:
    """Order boxes from top to bottom, and within a line from left to right.

    Args:
        boxes (np.ndarray): Corners, of shape (N, 4, 2).

    Returns:
        list: Indices of all boxes.
    """
    left = boxes[:, :, 0].min(axis=1)
    top, bottom = boxes[:, :, 1].min(axis=1), boxes[:, :, 1].max(axis=1)
    middle = (top + bottom) / 2
    lines: list[list[int]] = []
    for index in np.argsort(middle, kind="stable").tolist():
        # The topmost box of a line defines its height.
        if lines and middle[index] < bottom[lines[-1][0]]:
            lines[-1].append(index)
        else:
            lines.append([index])
    return [index for line in lines for index in sorted(line, key=lambda row: left[row])]
