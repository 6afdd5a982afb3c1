"""An extractor that returns wrong results of a chosen kind."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import spacy

from spacy_msvse.vision.features import Features, RegionFeatures


@dataclass
class Trouble:
    """The kind of wrong result; None for right results."""

    mode: str | None = None


TROUBLE = Trouble()
BOX = np.asarray([[0, 0, 1, 1]], dtype="float32")


def _regions(*vectors: Any, dtype: str = "float32") -> RegionFeatures:
    return RegionFeatures(np.asarray(vectors, dtype=dtype), np.repeat(BOX, len(vectors), 0))


#: What the extractor returns for a picture in each mode.
MODES: dict[str, Any] = {
    "nan": lambda: {"regions": _regions([1.0, float("nan"), 0.0])},
    "all nan": lambda: {"regions": _regions([float("nan")] * 3)},
    "infinity": lambda: {"regions": _regions([float("inf"), 0.0, 0.0])},
    "minus infinity": lambda: {"regions": _regions([0.0, -float("inf"), 0.0])},
    "too large for 16 bits": lambda: {"regions": _regions([1e6, 0.0, 0.0])},
    "too large for 32 bits": lambda: {"regions": _regions([1e300, 0.0, 0.0], dtype="float64")},
    "nan box": lambda: {
        "regions": RegionFeatures(np.ones((1, 3), "float32"), np.full((1, 4), np.nan, "float32"))
    },
    "wrong width": lambda: {"regions": _regions([1.0, 2.0])},
    "no regions": lambda: {"regions": RegionFeatures(np.zeros((0, 3), "float32"), BOX[:0])},
    "one dimension": lambda: {"regions": RegionFeatures(np.ones(3, "float32"), BOX)},
    "more boxes than vectors": lambda: {
        "regions": RegionFeatures(np.ones((1, 3), "float32"), np.repeat(BOX, 2, 0))
    },
    "texts as vectors": lambda: {"regions": "red"},
    "integers": lambda: {"regions": RegionFeatures(np.ones((1, 3), "int64"), BOX)},
    "numbers as tags": lambda: {"tags": [1, 2]},
    "one text as tags": lambda: {"tags": "red"},
    "lone surrogate": lambda: {"tags": ["\ud800"]},
    "long tag": lambda: {"tags": ["green" * 50_000]},
    "none": lambda: {"tags": None, "regions": None},
    "nothing": dict,
    "not a dictionary": lambda: None,
    "other view": lambda: {"caption": "red"},
}


@dataclass(frozen=True)
class HostileExtractor:
    """Fills regions and tags like `tiny.MeanColour`, or makes trouble."""

    fills = ("regions", "tags")
    region_dim = 3
    fingerprint = "hostile"

    def initialize(self) -> None:
        """Nothing to load."""

    def extract(self, pictures: Any, known: Any) -> list[Features]:
        if TROUBLE.mode == "fails":
            raise RuntimeError("out of order")
        if TROUBLE.mode == "fewer results":
            return []
        good: Features = {"regions": _regions([0.9, 0.1, 0.1]), "tags": ["red"]}
        found = [dict(good) for _ in pictures]
        if TROUBLE.mode is not None and found:
            made = MODES.get(TROUBLE.mode, dict)()
            found[0] = made if made is None or not made else {**good, **made}
        return found

    def to_files(self) -> dict[str, bytes]:
        return {}

    def from_files(self, files: Any) -> None:
        """Nothing to restore."""


@spacy.registry.misc("tests.HostileExtractor.v1")
def make_hostile_extractor() -> HostileExtractor:
    return HostileExtractor()
