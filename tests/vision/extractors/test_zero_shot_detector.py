"""The best box of each query, and its crop."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.detected_crops import DetectedCrops
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0
from spacy_msvse.vision.extractors.zero_shot_detector import ZeroShotDetector

from ..conftest import CountingExtractor, photo

QUERIES = ("person", "car", "dog")


def initialised(source, **settings):
    extractor = ZeroShotDetector(source, **{"queries": QUERIES, "min_score": 0.0, **settings})
    extractor.initialize()
    return extractor


@pytest.fixture(scope="module", params=["owlvit", "owlv2"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def detector(kind, saved):
    return initialised(saved(kind))


def find(extractor, picture):
    (features,) = extractor.extract([picture], [])
    return features["regions"]


def test_the_box_of_a_query_is_the_best_of_the_models(detector, kind, saved):
    picture = photo(4)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(saved(kind)).eval()
    tokenizer = AutoTokenizer.from_pretrained(saved(kind))
    pixels, regions = detector.network.to_pixels([picture]), find(detector, picture)
    for row, query in enumerate(QUERIES):
        pieces = tokenizer([query], padding="max_length", max_length=24, return_tensors="pt")
        with torch.inference_mode():
            output = model(**pieces, pixel_values=pixels)
        scores = output.logits[0, :, 0].sigmoid()
        x, y, width, height = output.pred_boxes[0, scores.argmax()].tolist()
        box = np.clip([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 0, 1)
        np.testing.assert_allclose(regions.boxes[row], box, atol=1e-5)
        assert regions.scores[row] == pytest.approx(float(scores.max()), abs=1e-5)
        vector = output.class_embeds[0, scores.argmax()].numpy()
        np.testing.assert_allclose(regions.vectors[row], vector, atol=1e-5)
    assert regions.labels == list(QUERIES)


def test_a_query_whose_best_score_is_too_low_gives_no_region(detector, kind, saved):
    regions = find(detector, photo(4))
    lowest, middle, _ = sorted(regions.scores)
    picky = initialised(saved(kind), min_score=(lowest + middle) / 2)
    kept = [query for query, score in zip(QUERIES, regions.scores, strict=True) if score != lowest]
    assert find(picky, photo(4)).labels == kept
    (features,) = initialised(saved(kind), min_score=1.0).extract([photo(4)], [])
    assert features == {}


def test_the_regions_are_in_the_order_of_the_queries(detector, kind, saved):
    turned = initialised(saved(kind), queries=QUERIES[::-1])
    regions, others = find(detector, photo(4)), find(turned, photo(4))
    assert others.labels == list(QUERIES[::-1])
    np.testing.assert_allclose(others.boxes, regions.boxes[::-1], atol=1e-5)
    assert turned.fingerprint != detector.fingerprint


def test_each_query_has_a_crop_of_its_own(detector):
    """Four crops by type: what UMGF reads."""
    picture = photo(4, (90, 60))
    crops = DetectedCrops(detector, CountingExtractor(), whole_picture=False)
    regions, found = find(crops, picture), find(detector, picture)
    assert regions.labels == list(QUERIES)
    np.testing.assert_array_equal(regions.boxes, found.boxes)
    for vector, box in zip(regions.vectors, found.boxes, strict=True):
        x1, y1, x2, y2 = box * [90, 60, 90, 60]
        crop = picture.crop((int(x1), int(y1), int(np.ceil(x2)), int(np.ceil(y2))))
        np.testing.assert_allclose(vector, np.asarray(crop).mean((0, 1)), atol=1e-3)


def test_the_whole_picture_and_the_crops_of_queries_have_pyramids(detector, efficientnet):
    """What HvpNet reads."""
    pyramid = EfficientNetLite0(grid=2, pyramid=True)
    pyramid.from_files(efficientnet.to_files())
    regions = find(DetectedCrops(detector, pyramid), photo(4))
    assert regions.labels == [""] * 4 + [query for query in QUERIES for _ in range(4)]
    np.testing.assert_allclose(regions.vectors[:4], find(pyramid, photo(4)).vectors, atol=1e-4)


def test_a_picture_without_objects_has_only_the_whole_picture_or_nothing(kind, saved):
    nothing = initialised(saved(kind), min_score=1.0)
    regions = find(DetectedCrops(nothing, CountingExtractor()), photo())
    assert regions.boxes.tolist() == [[0, 0, 1, 1]]
    assert (regions.labels, regions.scores) == ([""], [1.0])
    alone = DetectedCrops(nothing, CountingExtractor(), whole_picture=False)
    assert alone.extract([photo()], []) == [{}]


def test_a_saved_extractor_needs_no_source(detector, tmp_path):
    visual = VisualExtractor(regions=DetectedCrops(detector, CountingExtractor()))
    other = ZeroShotDetector("elsewhere", queries=QUERIES, min_score=0.0)
    loaded = VisualExtractor(regions=DetectedCrops(other, CountingExtractor()))
    loaded.from_files(visual.to_files())
    assert loaded.fingerprint == visual.fingerprint
    ((one,), (again,)) = (each.extract([photo(4)]) for each in (visual, loaded))
    np.testing.assert_array_equal(again["regions"].vectors, one["regions"].vectors)


def test_a_model_that_compares_no_boxes_with_texts_is_refused(saved):
    with pytest.raises(MsvseError, match=r"E011.*of the kind 'clip', not owlvit or owlv2"):
        initialised(saved("clip"))
