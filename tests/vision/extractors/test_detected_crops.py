import numpy as np
import pytest
from PIL import Image
from spacy_msvse.vision.extract import VisualExtractor
from spacy_msvse.vision.extractors.crops import DetectedCrops
from spacy_msvse.vision.extractors.detectors import TorchvisionDetector
from spacy_msvse.vision.extractors.encoders import TransformersEncoder
from spacy_msvse.vision.extractors.words import TagCaption

from spacy_msvse.vision.features import PictureFeatures

from ..conftest import CountingExtractor, photo
from ..models import CLASSES

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


class Corners(CountingExtractor):
    """Finds the whole picture, its upper left quarter and a line at its right edge."""

    def extract(self, pictures, known):
        boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [1, 0, 1, 1]], dtype=np.float32)
        labels, scores = ["", "cup", "line"], [1.0, 0.9, 0.3]
        return [PictureFeatures(np.zeros((3, 9)), boxes, labels, scores, ["cup"]) for _ in pictures]


def test_vectors_are_the_encoders_of_each_box():
    picture = Image.new("RGB", (64, 64), "red")
    picture.paste("blue", (0, 0, 32, 32))
    picture.paste("green", (63, 0, 64, 64))
    (features,) = DetectedCrops(Corners(), CountingExtractor()).extract([picture], [])
    assert features.regions[1].tolist() == [0, 0, 255]
    assert features.regions[2].tolist() == [0, 128, 0]
    assert features.regions.shape == (3, 3)


def test_boxes_labels_scores_and_tags_are_the_detectors():
    crops = DetectedCrops(Corners(), CountingExtractor())
    (features,) = crops.extract([photo()], [])
    assert features.region_labels == ["", "cup", "line"]
    assert features.region_scores == [1.0, 0.9, 0.3]
    assert features.tags == ["cup"]
    assert crops.fills == ("regions", "tags")


def test_smallest_pictures_have_crops():
    (features,) = DetectedCrops(Corners(), CountingExtractor()).extract([photo(size=(1, 1))], [])
    assert features.regions.shape == (3, 3)


def test_both_must_fill_the_regions(counting):
    for parts in ((TagCaption(), counting), (counting, TagCaption())):
        with pytest.raises(ValueError, match=r"E010.*TagCaption.*'regions'"):
            DetectedCrops(*parts)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80"])
def test_damaged_state_is_refused(data, counting):
    with pytest.raises(ValueError, match="E006"):
        DetectedCrops(counting, counting).from_bytes(data)


def test_fingerprint_follows_both():
    first, second = CountingExtractor("first"), CountingExtractor("second")
    names = {DetectedCrops(*parts).fingerprint for parts in ((first, second), (second, first))}
    assert len(names) == 2


def test_detector_and_encoder_work_together(saved):
    from spacy import registry

    def build(detector, encoder):
        block = {
            "@misc": "spacy-msvse.DetectedCrops.v1",
            "detector": {
                "@misc": "spacy-msvse.TorchvisionDetector.v1",
                "weights": detector,
                "architecture": MOBILE,
                "classes": list(CLASSES),
                "min_size": 64,
                "min_score": 0.25,
            },
            "encoder": {
                "@misc": "spacy-msvse.TransformersEncoder.v1",
                "weights": encoder,
                "grid": 0,
            },
        }
        blocks = {"regions": block, "tags": dict(block)}
        return VisualExtractor(**registry.resolve(blocks))

    visual = build(saved(MOBILE), saved("clip"))
    visual.initialize()
    assert list(visual.distinct) == ["regions"]  # one pass serves both scales
    assert visual.region_dim == 32
    (features,) = visual.extract([photo(1)])
    assert len(features.regions) == len(features.boxes) > 1
    other = build("elsewhere", "elsewhere")
    other.from_bytes(visual.to_bytes())
    assert other.fingerprint == visual.fingerprint
    (again,) = other.extract([photo(1)])
    assert np.array_equal(again.regions, features.regions)
    assert again.tags == features.tags


def test_device_reaches_both():
    extractor = DetectedCrops(TorchvisionDetector(), TransformersEncoder())
    extractor.to("cuda:0")
    assert extractor.detector._loaded.device == extractor.encoder._loaded.device == "cuda:0"
