import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load, save, save_file

from spacy_msvse.vision.extractors import weights
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0

from ..conftest import cosines, photo

torch = pytest.importorskip("torch")


def extract(extractor, *pictures):
    return extractor.extract(pictures, [])


def restored(extractor, **settings):
    other = EfficientNetLite0(**settings)
    other.from_files(extractor.to_files())
    return other


# Settings


def test_extractors_of_equal_settings_are_equal_loaded_or_not(efficientnet):
    assert EfficientNetLite0() == efficientnet
    assert hash(EfficientNetLite0()) == hash(efficientnet)
    assert EfficientNetLite0(grid=2) != efficientnet


# Weights


def test_construction_loads_nothing():
    extractor = EfficientNetLite0()
    for use in (
        lambda: extract(extractor, photo()),
        extractor.to_files,
        lambda: extractor.fingerprint,
    ):
        with pytest.raises(ValueError, match=r"E012.* EfficientNetLite0 "):
            use()


@pytest.mark.parametrize("weights", ["no-such-package", "no/such/file.pth", "../x", "srsly"])
def test_missing_weights_are_an_error_that_names_them(weights):
    with pytest.raises(ValueError, match=f"E011.*{weights}.*EfficientNetLite0 .*msvse.offline"):
        EfficientNetLite0(weights=weights).initialize()


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_weight_file_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"_fc.bias": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=r"E011.*bad\.pth"):
        EfficientNetLite0(weights=str(tmp_path / "bad.pth")).initialize()
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"conv": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"E011.*other\.pth"):
        EfficientNetLite0(weights=str(tmp_path / "other.pth")).initialize()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_from_a_local_file_too(efficientnet, suffix, tmp_path):
    state = efficientnet.network.network.state_dict()
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    extractor = EfficientNetLite0(weights=str(path))
    extractor.initialize()
    assert extractor.fingerprint == efficientnet.fingerprint


def test_loading_leaves_the_random_seed_alone(efficientnet):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    restored(efficientnet)
    assert torch.equal(torch.rand(1), expected)


def test_saved_weights_need_neither_package_nor_torchvision(efficientnet, monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    other = restored(efficientnet)
    assert other.fingerprint == efficientnet.fingerprint
    for picture in (photo(1), photo(2, (500, 300))):
        (expected,), (features,) = extract(efficientnet, picture), extract(other, picture)
        assert np.array_equal(features["regions"].vectors, expected["regions"].vectors)
        assert features["tags"] == expected["tags"]


def test_files_are_weights_and_names_of_classes(efficientnet):
    files = efficientnet.to_files()
    assert set(files) == {"extractor.json", "weights.safetensors"}
    assert len(json.loads(files["extractor.json"])["categories"]) == 1000
    assert files["weights.safetensors"][8:9] == b"{"  # the header of safetensors


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:-10], lambda d: b"\x80" + d])
def test_damaged_files_are_refused(efficientnet, damage):
    for name, content in (files := efficientnet.to_files()).items():
        with pytest.raises(ValueError, match="E006"):
            EfficientNetLite0().from_files({**files, name: damage(content)})


# Features


@pytest.mark.parametrize("grid", [1, 2, 4, 7, 9])
def test_regions_are_the_whole_picture_and_the_grid(efficientnet, grid):
    (features,) = extract(restored(efficientnet, grid=grid), photo(size=(300, 100)))
    assert features["regions"].vectors.shape == (1 + grid**2, efficientnet.region_dim)
    assert features["regions"].vectors.dtype == features["regions"].boxes.dtype == np.float32
    # The cells tile the picture, so that their mean is the mean of all.
    assert np.allclose(
        features["regions"].vectors[0], features["regions"].vectors[1:].mean(0), atol=1e-4
    )


def test_boxes_are_those_of_the_cells_row_by_row(efficientnet):
    (features,) = extract(restored(efficientnet, grid=2), photo())
    assert features["regions"].boxes.tolist() == [
        [0, 0, 1, 1],
        [0, 0, 0.5, 0.5],
        [0.5, 0, 1, 0.5],
        [0, 0.5, 0.5, 1],
        [0.5, 0.5, 1, 1],
    ]


def test_a_change_in_one_corner_changes_its_cell_most(efficientnet):
    """What is in one corner of the picture changes the cell of that corner most."""
    extractor = restored(efficientnet, grid=2)
    plain = Image.new("RGB", (224, 224), "grey")
    marked = plain.copy()
    marked.paste(photo(3, (60, 60)), (150, 20))  # upper right
    (before,), (after,) = extract(extractor, plain), extract(extractor, marked)
    change = np.abs(after["regions"].vectors - before["regions"].vectors).sum(1)[1:]
    assert change.argmax() == 1


def test_seven_by_seven_is_the_feature_map_itself(efficientnet):
    extractor = restored(efficientnet, grid=7)
    pixels = torch.rand(1, 3, 224, 224) * 2 - 1
    network = extractor.network
    regions, _ = network(pixels)
    with torch.inference_mode():
        expected = network.network.extract_features(pixels)
    assert torch.allclose(regions[0, 1:], expected[0].flatten(1).T, atol=1e-4)


def test_features_are_deterministic(efficientnet):
    (first,), (second,) = extract(efficientnet, photo()), extract(efficientnet, photo())
    assert np.array_equal(first["regions"].vectors, second["regions"].vectors)


def test_batch_of_five_equals_five_batches_of_one(efficientnet):
    pictures = [photo(seed, (50 + seed, 80)) for seed in range(5)]
    together = extract(efficientnet, *pictures)
    split = extract(restored(efficientnet, batch_size=2), *pictures)
    for picture, *others in zip(pictures, together, split, strict=True):
        (alone,) = extract(efficientnet, picture)
        for features in others:
            assert np.allclose(features["regions"].vectors, alone["regions"].vectors, atol=1e-4)
            assert features["tags"] == alone["tags"]


def test_half_precision_changes_the_features_little(efficientnet):
    (whole,) = extract(efficientnet, photo())
    (half,) = extract(restored(efficientnet, precision="bfloat16"), photo())
    a, b = whole["regions"].vectors, half["regions"].vectors
    assert not np.array_equal(a, b)
    assert cosines(a, b).min() > 0.95


def test_no_pictures_no_features(efficientnet):
    assert extract(efficientnet) == []


def test_tiny_and_thin_pictures_have_features(efficientnet):
    for size in ((1, 1), (3000, 1)):
        (features,) = extract(efficientnet, Image.new("RGB", size))
        assert np.isfinite(features["regions"].vectors).all()


def test_network_stays_frozen_when_put_into_train_mode(efficientnet):
    network = efficientnet.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.nn.ModuleList([network]).train()
    (expected,), (features,) = extract(efficientnet, photo()), extract(efficientnet, photo())
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert np.array_equal(features["regions"].vectors, expected["regions"].vectors)


def test_fingerprint_changes_with_settings_that_change_the_features(efficientnet):
    same = [{"batch_size": 3}, {"weights": "elsewhere.pth"}]
    other = [{"grid": 2}, {"tags": 1}, {"min_tag_score": 0.5}]
    for settings in same:
        assert restored(efficientnet, **settings).fingerprint == efficientnet.fingerprint
    for settings in other:
        assert restored(efficientnet, **settings).fingerprint != efficientnet.fingerprint


def test_fingerprint_follows_the_weights(efficientnet):
    files = efficientnet.to_files()
    weights = load(files["weights.safetensors"])
    weights["_fc.bias"] += 1
    other = EfficientNetLite0()
    other.from_files({**files, "weights.safetensors": save(weights)})
    assert other.fingerprint != efficientnet.fingerprint


# Tags


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("chelsea.png", "Egyptian cat"),
        ("coffee.png", "espresso"),
        ("motorcycle_left.png", "moped"),
        ("camera.png", "tripod"),
    ],
)
def test_tags_of_photos_make_sense(efficientnet, file, expected):
    data = pytest.importorskip("skimage.data")
    path = Path(data.__file__).parent / file
    if not path.exists():
        pytest.skip(f"this scikit-image comes without {file}")
    (features,) = extract(efficientnet, Image.open(path).convert("RGB"))
    assert features["tags"][0] == expected


def test_number_and_probability_of_tags_are_limited(efficientnet):
    (many,) = extract(restored(efficientnet, tags=3, min_tag_score=0.0), photo())
    (none,) = extract(restored(efficientnet, min_tag_score=1.0), photo())
    assert len(many["tags"]) == 3
    assert none["tags"] == []
