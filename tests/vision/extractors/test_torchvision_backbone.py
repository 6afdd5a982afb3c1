from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spacy_msvse.vision.extractors.torchvision_backbone import TorchvisionBackbone

from ..conftest import cosines, photo
from ..models import CLASSES, save_torchvision_model

ARCHITECTURE = "resnet18"


@pytest.fixture(scope="module")
def backbone(saved):
    extractor = TorchvisionBackbone(
        weights=saved(ARCHITECTURE), architecture=ARCHITECTURE, classes=CLASSES
    )
    extractor.initialize()
    return extractor


def restored(backbone, **settings):
    extractor = TorchvisionBackbone(
        **{"architecture": ARCHITECTURE, "classes": CLASSES, **settings}
    )
    extractor.from_files(backbone.to_files())
    return extractor


def extract(extractor, *pictures):
    return extractor.extract(pictures, [])


def test_regions_are_the_feature_map_and_its_mean(backbone, saved):
    from torchvision.models import get_model
    from torchvision.models.feature_extraction import create_feature_extractor
    from torchvision.transforms.functional import normalize, to_tensor

    picture = photo(1, (224, 224))
    network = get_model(ARCHITECTURE, weights=None, num_classes=len(CLASSES))
    network.load_state_dict(load_file(saved(ARCHITECTURE)))
    nodes = create_feature_extractor(network.eval(), ["layer4", "fc"])
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    with torch.inference_mode():
        expected = nodes(normalize(to_tensor(picture), mean, std)[None])
    (features,) = extract(backbone, picture)
    cells = expected["layer4"][0].flatten(1).T.numpy()
    assert features["regions"].vectors.shape == (1 + 49, backbone.region_dim)
    assert np.allclose(features["regions"].vectors[1:], cells, atol=1e-3)
    assert np.allclose(features["regions"].vectors[0], cells.mean(0), atol=1e-3)
    likely = expected["fc"][0].softmax(0)
    assert features["tags"] == [
        CLASSES[row] for row in likely.argsort(descending=True) if likely[row] >= 0.2
    ]


@pytest.mark.parametrize("grid", [0, 1, 3])
def test_regions_are_the_whole_picture_and_the_grid(backbone, grid):
    (features,) = extract(restored(backbone, grid=grid), photo(size=(300, 100)))
    assert features["regions"].vectors.shape == (1 + grid**2, 512)
    assert features["regions"].boxes.shape == (1 + grid**2, 4)
    if grid:
        assert np.allclose(
            features["regions"].vectors[0], features["regions"].vectors[1:].mean(0), atol=1e-3
        )


def test_half_precision_changes_the_features_little(backbone):
    (whole,) = extract(backbone, photo())
    (half,) = extract(restored(backbone, precision="bfloat16"), photo())
    a, b = whole["regions"].vectors, half["regions"].vectors
    assert not np.array_equal(a, b)
    assert cosines(a, b).min() > 0.95


def test_larger_squares_have_more_cells(backbone):
    (features,) = extract(restored(backbone, side=320, grid=10), photo())
    assert features["regions"].vectors.shape == (101, 512)


def test_a_change_in_one_corner_changes_its_cell_most(backbone):
    extractor = restored(backbone, grid=2)
    plain = Image.new("RGB", (224, 224), "grey")
    marked = plain.copy()
    marked.paste(photo(3, (60, 60)), (150, 20))  # upper right
    (before,), (after,) = extract(extractor, plain), extract(extractor, marked)
    assert np.abs(after["regions"].vectors - before["regions"].vectors).sum(1)[1:].argmax() == 1


@pytest.mark.parametrize(
    ("architecture", "width"),
    [("mobilenet_v3_small", 576), ("efficientnet_b0", 1280), ("convnext_tiny", 768)],
)
def test_other_families_have_a_grid_too(architecture, width, tmp_path):
    path = save_torchvision_model(tmp_path / "weights.safetensors", architecture)
    extractor = TorchvisionBackbone(
        weights=path, architecture=architecture, classes=CLASSES, side=64, grid=2
    )
    extractor.initialize()
    assert extractor.region_dim == width
    (features,) = extract(extractor, photo())
    assert features["regions"].vectors.shape == (5, width)


def test_resnet50_is_2048_wide():
    from spacy_msvse.vision.extractors.torchvision_backbone import GridNetwork, _build

    empty = _build("resnet50", 5)
    state = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in empty.state_dict().items()}
    network = GridNetwork("resnet50", state, side=224, grid=7, pyramid=False, precision="float32")
    assert network.levels == (2048,)


def test_weights_come_from_a_foreign_pth_file_too(backbone, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(backbone.network.network.state_dict(), path)
    extractor = TorchvisionBackbone(weights=str(path), architecture=ARCHITECTURE, classes=CLASSES)
    extractor.initialize()
    assert extractor.fingerprint == backbone.fingerprint


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_weight_file_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.bias": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=r"E011.*bad\.pth"):
        TorchvisionBackbone(weights=str(tmp_path / "bad.pth")).initialize()
    assert not (tmp_path / "ran").exists()


def test_half_precision_files_are_read_as_single_precision(backbone, tmp_path):
    path = tmp_path / "half.pth"
    state = backbone.network.network.state_dict()
    torch.save({n: t.half() if t.is_floating_point() else t for n, t in state.items()}, path)
    extractor = TorchvisionBackbone(weights=str(path), architecture=ARCHITECTURE, classes=CLASSES)
    extractor.initialize()
    assert restored(extractor).fingerprint == extractor.fingerprint
    assert extractor.network.network.fc.bias.dtype == torch.float32


def test_imagenet_names_are_the_usual_ones(saved):
    extractor = TorchvisionBackbone(weights=saved(ARCHITECTURE), architecture=ARCHITECTURE)
    with pytest.raises(ValueError, match=r"E050.*5 classes, but there are 1000 names"):
        extractor.initialize()


@pytest.mark.parametrize(("name", "nearest"), [("resnet19", "resnet18"), ("vit_b_16", "vgg")])
def test_an_unknown_network_is_named_with_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=rf"E007.*architecture is '{name}'.*{nearest}"):
        TorchvisionBackbone(architecture=name)
