import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms.functional import to_tensor

from spacy_msvse.vision.extractors.torchvision_detector import ARCHITECTURES, TorchvisionDetector

from ..conftest import photo
from ..models import CLASSES

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"
MASKS = "maskrcnn_resnet50_fpn_v2"


@pytest.fixture(scope="module")
def detector(saved):
    extractor = TorchvisionDetector(
        weights=saved(MOBILE), architecture=MOBILE, classes=CLASSES, min_size=64, min_score=0.25
    )
    extractor.initialize()
    return extractor


@pytest.fixture(scope="module")
def restored(detector):
    data = detector.to_files()

    def restore(**settings):
        small = {"architecture": MOBILE, "classes": CLASSES, "min_size": 64, "min_score": 0.25}
        extractor = TorchvisionDetector(**{**small, **settings})
        extractor.from_files(data)
        return extractor

    return restore


def extract(extractor, *pictures):
    return extractor.extract(pictures, [])


def test_detections_are_those_of_torchvision(detector, saved):
    """A picture that needs no resizing has the detections of torchvision's own network."""
    from torchvision.models import get_model

    picture = photo(1, (96, 64))
    network = get_model(
        MOBILE, weights=None, weights_backbone=None, num_classes=1 + len(CLASSES), min_size=64
    )
    network.load_state_dict(load_file(saved(MOBILE)))
    network.roi_heads.score_thresh, network.roi_heads.detections_per_img = 0.25, 16
    with torch.inference_mode():
        (expected,) = network.eval()([to_tensor(picture)])
    (features,) = extract(detector, picture)
    boxes = (expected["boxes"] / torch.tensor([96, 64, 96, 64])).numpy()
    assert len(boxes) > 3
    assert np.allclose(features["regions"].boxes[1:], boxes, atol=1e-4)
    assert np.allclose(features["regions"].scores[1:], expected["scores"].numpy(), atol=1e-4)
    assert features["regions"].labels[1:] == [CLASSES[row - 1] for row in expected["labels"]]


def test_vectors_are_those_of_the_box_head(detector):
    picture = photo(1, (64, 64))
    (features,) = extract(detector, picture)
    network = detector.network.network
    with torch.inference_mode():
        pixels = network.transform.normalize(to_tensor(picture))[None]
        boxes = 64 * torch.from_numpy(features["regions"].boxes)
        pooled = network.roi_heads.box_roi_pool(network.backbone(pixels), [boxes], [(64, 64)])
        expected = network.roi_heads.box_head(pooled)
    assert features["regions"].vectors.shape == (len(boxes), detector.region_dim)
    assert np.allclose(features["regions"].vectors, expected, atol=1e-3)


def test_the_backbone_runs_once(detector):
    calls = []
    network = detector.network.network
    hook = network.backbone.register_forward_hook(lambda *_: calls.append(1))
    extract(detector, photo(1), photo(2))
    hook.remove()
    assert calls == [1]


def test_the_whole_picture_is_first_then_the_best_detections(detector):
    (features,) = extract(detector, photo(1, (80, 64)))
    assert features["regions"].boxes[0].tolist() == [0, 0, 1, 1]
    assert (features["regions"].labels[0], features["regions"].scores[0]) == ("", 1.0)
    assert features["regions"].scores[1:] == sorted(features["regions"].scores[1:], reverse=True)


def test_tags_are_the_names_of_the_detections(detector, restored):
    (features,) = extract(detector, photo(1, (80, 64)))
    assert features["tags"] == list(dict.fromkeys(features["regions"].labels[1:]))
    (one,) = extract(restored(tags=1), photo(1, (80, 64)))
    assert one["tags"] == features["tags"][:1]


def test_number_and_score_of_regions_are_limited(detector, restored):
    (all_of_them,) = extract(detector, photo(1))
    (best,) = extract(restored(max_regions=2), photo(1))
    (none,) = extract(restored(min_score=1.0), photo(1))
    assert len(all_of_them["regions"].vectors) > 3
    assert np.allclose(best["regions"].vectors, all_of_them["regions"].vectors[:3], atol=1e-3)
    assert none["regions"].boxes.tolist() == [[0, 0, 1, 1]]
    assert none["tags"] == []


def test_features_do_not_depend_on_the_first_picture(detector, restored):
    """torchvision's pooling computes its scales from its first picture."""
    fresh = restored()
    extract(fresh, Image.new("RGB", (900, 1)))
    (expected,), (features,) = extract(detector, photo(1)), extract(fresh, photo(1))
    assert np.array_equal(features["regions"].vectors, expected["regions"].vectors)


def test_features_do_not_depend_on_the_batch(detector):
    (alone,) = extract(detector, photo(1, (64, 64)))
    *_, beside = extract(detector, photo(2, (300, 64)), photo(3, (64, 64)), photo(1, (64, 64)))
    assert np.allclose(beside["regions"].vectors, alone["regions"].vectors, atol=1e-3)
    assert np.allclose(beside["regions"].boxes, alone["regions"].boxes, atol=1e-4)


def test_pictures_of_one_shape_share_a_pass(detector):
    sizes = []
    network = detector.network.network
    hook = network.backbone.register_forward_hook(lambda _, i, o: sizes.append(len(i[0])))
    extract(detector, *(photo(seed, size) for seed, size in enumerate([(64, 64), (96, 64)] * 3)))
    hook.remove()
    assert sizes == [3, 3]


def test_mask_detector_gives_boxes_and_keeps_no_masks(saved):
    extractor = TorchvisionDetector(
        weights=saved(MASKS), architecture=MASKS, classes=CLASSES, min_size=32, min_score=0.1
    )
    extractor.initialize()
    (features,) = extract(extractor, photo(1))
    assert features["regions"].vectors.shape[1] == extractor.region_dim
    assert not any("mask" in name for name in extractor.network.state_dict())


def test_faster_rcnn_with_resnet_works_too(saved, tmp_path):
    """The box and backbone weights of both ResNet detectors have the same names."""
    from safetensors.torch import save_file

    path = tmp_path / "faster.safetensors"
    state = load_file(saved(MASKS))
    save_file({n: t for n, t in state.items() if "mask" not in n}, path)
    extractor = TorchvisionDetector(weights=str(path), classes=CLASSES, min_size=32, min_score=0.1)
    extractor.initialize()
    assert extractor.architecture == "fasterrcnn_resnet50_fpn_v2"
    (features,) = extract(extractor, photo(1))
    assert features["regions"].vectors.shape[1] == extractor.region_dim


def test_torchvision_knows_every_architecture():
    from torchvision.models import list_models

    assert set(ARCHITECTURES) <= set(list_models())


def test_classes_must_be_named(saved):
    extractor = TorchvisionDetector(weights=saved(MOBILE), architecture=MOBILE)
    with pytest.raises(ValueError, match=r"E050.*5 classes, but there are 90 names"):
        extractor.initialize()


def test_weights_of_another_network_are_refused(saved):
    extractor = TorchvisionDetector(weights=saved(MOBILE), classes=CLASSES)
    with pytest.raises(ValueError, match="E011"):
        extractor.initialize()


def test_torchvision_weights_are_fetched_by_name_at_initialize_only(monkeypatch):
    import torchvision.models._api as api

    asked = []

    def load(url, **options):
        asked.append((url, options))
        raise OSError("no network")

    monkeypatch.setattr(api, "load_state_dict_from_url", load)
    extractor = TorchvisionDetector(architecture=MOBILE)
    assert asked == []
    with pytest.raises(ValueError, match=r"E011.*DEFAULT.*no network"):
        extractor.initialize()
    ((url, options),) = asked
    assert "mobilenet_v3_large_320" in url
    assert options == {"check_hash": True, "weights_only": True}


def test_unknown_weights_are_an_error_that_lists_the_known():
    extractor = TorchvisionDetector(weights="COCO_V9", architecture=MOBILE)
    with pytest.raises(ValueError, match=r"E011.*COCO_V9.*COCO_V1"):
        extractor.initialize()
