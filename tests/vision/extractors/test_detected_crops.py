from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.detected_crops import DetectedCrops
from spacy_msvse.vision.extractors.tag_caption import TagCaption
from spacy_msvse.vision.extractors.torchvision_detector import TorchvisionDetector
from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder
from spacy_msvse.vision.features import RegionFeatures

from ..conftest import CountingExtractor, photo
from ..models import CLASSES

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


class Corners(CountingExtractor):
    """Finds the whole picture, its upper left quarter and a line at its right edge."""

    def extract(self, pictures, known):
        boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [1, 0, 1, 1]], dtype=np.float32)
        labels, scores = ["", "cup", "line"], [1.0, 0.9, 0.3]
        regions = RegionFeatures(np.zeros((3, 9)), boxes, labels, scores)
        return [{"regions": regions, "tags": ["cup"]} for _ in pictures]


class Quarter(CountingExtractor):
    """Finds the upper left quarter."""

    box = (0, 0, 0.5, 0.5)

    def extract(self, pictures, known):
        boxes = np.array([self.box], dtype=np.float32)
        return [{"regions": RegionFeatures(np.zeros((1, 9)), boxes, ["cup"], [0.9])}]


class Filling(Quarter):
    """Finds an object as large as the picture."""

    box = (0, 0, 1, 1)


class WithoutVectors(Corners):
    """Finds boxes and has no vectors for them."""

    def extract(self, pictures, known):
        (found,) = super().extract(pictures, known)
        return [{**found, "regions": replace(found["regions"], vectors=None)}]


def test_vectors_are_the_encoders_of_each_box():
    picture = Image.new("RGB", (64, 64), "red")
    picture.paste("blue", (0, 0, 32, 32))
    picture.paste("green", (63, 0, 64, 64))
    (features,) = DetectedCrops(Corners(), CountingExtractor()).extract([picture], [])
    assert features["regions"].vectors[1].tolist() == [0, 0, 255]
    assert features["regions"].vectors[2].tolist() == [0, 128, 0]
    assert features["regions"].vectors.shape == (3, 3)


def test_boxes_labels_scores_and_tags_are_the_detectors():
    crops = DetectedCrops(Corners(), CountingExtractor())
    (features,) = crops.extract([photo()], [])
    assert features["regions"].labels == ["", "cup", "line"]
    assert features["regions"].scores == [1.0, 0.9, 0.3]
    assert features["tags"] == ["cup"]
    assert crops.fills == ("regions", "tags")


def test_the_whole_picture_is_left_out_or_added():
    (without,) = DetectedCrops(Corners(), CountingExtractor(), False).extract([photo()], [])
    assert without["regions"].labels == ["cup", "line"]
    assert without["regions"].scores == [0.9, 0.3]
    (again,) = DetectedCrops(Quarter(), CountingExtractor(), True).extract([photo()], [])
    assert again["regions"].boxes.tolist() == [[0, 0, 1, 1], [0, 0, 0.5, 0.5]]
    assert again["regions"].labels == ["", "cup"]
    names = {DetectedCrops(Corners(), Corners(), whole).fingerprint for whole in (True, False)}
    assert len(names) == 2


def test_an_object_that_fills_the_picture_stays():
    (found,) = DetectedCrops(Filling(), CountingExtractor(), False).extract([photo()], [])
    assert found["regions"].labels == ["cup"]
    (found,) = DetectedCrops(Filling(), CountingExtractor(), True).extract([photo()], [])
    assert found["regions"].labels == ["", "cup"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_detector_needs_no_vectors(whole):
    ((one,), (other,)) = (
        DetectedCrops(detector, CountingExtractor(), whole).extract([photo()], [])
        for detector in (Corners(), WithoutVectors())
    )
    assert np.array_equal(one["regions"].vectors, other["regions"].vectors)
    assert np.array_equal(one["regions"].boxes, other["regions"].boxes)


def test_parts_of_a_user_need_no_method_to():
    DetectedCrops(Corners(), CountingExtractor()).to("cpu")


def test_smallest_pictures_have_crops():
    (features,) = DetectedCrops(Corners(), CountingExtractor()).extract([photo(size=(1, 1))], [])
    assert features["regions"].vectors.shape == (3, 3)


def test_both_must_fill_the_regions(counting):
    for parts in ((TagCaption(), counting), (counting, TagCaption())):
        with pytest.raises(ValueError, match=r"E010.*TagCaption.*'regions'"):
            DetectedCrops(*parts)


def test_files_of_both_are_saved():
    crops = DetectedCrops(CountingExtractor("first"), CountingExtractor("second"))
    files = crops.to_files()
    assert files == {"detector/name.txt": b"first", "encoder/name.txt": b"second"}
    crops.from_files(files)
    assert (crops.detector.restored, crops.encoder.restored) == (b"first", b"second")


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
    assert list(visual.distinct) == ["regions"]  # one pass serves both views
    assert visual.region_dim == 32
    (features,) = visual.extract([photo(1)])
    assert len(features["regions"].vectors) == len(features["regions"].boxes) > 1
    other = build("elsewhere", "elsewhere")
    other.from_files(visual.to_files())
    assert other.fingerprint == visual.fingerprint
    (again,) = other.extract([photo(1)])
    assert np.array_equal(again["regions"].vectors, features["regions"].vectors)
    assert again["tags"] == features["tags"]


def test_device_reaches_both(saved):
    detector = TorchvisionDetector(saved(MOBILE), architecture=MOBILE, classes=CLASSES)
    crops = DetectedCrops(detector, TransformersEncoder(saved("clip")))
    crops.to("meta")
    crops.initialize()
    assert crops.detector.network.device.type == crops.encoder.network.device.type == "meta"
