"""Regions with all levels of a feature pyramid, of whole pictures and of crops."""

import numpy as np
import pytest
import torch
from PIL import Image

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractors.detected_crops import DetectedCrops
from spacy_msvse.vision.extractors.efficientnet_lite0 import LEVELS, EfficientNetLite0
from spacy_msvse.vision.extractors.torchvision_backbone import (
    GridNetwork,
    TorchvisionBackbone,
    _build,
)
from spacy_msvse.vision.extractors.trainable_backbone import TrainableBackbone
from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder
from spacy_msvse.vision.features import RegionFeatures

from ..conftest import CountingExtractor, photo
from ..models import CLASSES

CELLS = [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]


@pytest.fixture(scope="module")
def lite(efficientnet):
    extractor = EfficientNetLite0(grid=2, pyramid=True)
    extractor.from_files(efficientnet.to_files())
    return extractor


@pytest.fixture(scope="module")
def resnet(saved):
    settings = {"architecture": "resnet18", "classes": CLASSES}
    extractor = TorchvisionBackbone(saved("resnet18"), **settings, side=64, grid=2, pyramid=True)
    extractor.initialize()
    return extractor


@pytest.fixture(params=["lite", "resnet"])
def pyramid(request):
    return request.getfixturevalue(request.param)


def regions(extractor, *pictures):
    return [features["regions"] for features in extractor.extract(pictures, [])]


def quarters(level: np.ndarray) -> np.ndarray:
    """Means of the quarters of a map (D, S, S); the middle row of 7 belongs half to each half."""
    side = level.shape[1]
    weights = np.zeros((2, side))
    for row in range(side):
        for part in range(2):
            low, high = part * side / 2, (part + 1) * side / 2
            weights[part, row] = max(0, min(row + 1, high) - max(row, low)) / (side / 2)
    return np.array(
        [
            [row @ level[d] @ column for d in range(len(level))]
            for row in weights
            for column in weights
        ]
    )


def test_cells_of_efficientnet_are_the_means_of_its_levels(lite):
    picture, network = photo(1), lite.network
    found = network.to_pixels([picture])
    levels = []
    with torch.inference_mode():
        x = network.network._swish(network.network._bn0(network.network._conv_stem(found)))
        for number, block in enumerate(network.network._blocks):
            x = block(x)
            if number in (2, 4, 10):  # the last of 56 x 56, 28 x 28 and 14 x 14
                levels.append(x)
        levels.append(network.network._swish(network.network._bn1(network.network._conv_head(x))))
    assert [level.shape[3] for level in levels] == [56, 28, 14, 7]
    expected = np.concatenate([quarters(level[0].numpy()) for level in levels], axis=1)
    (one,) = regions(lite, picture)
    assert one.vectors.shape == (4, sum(LEVELS)) == (4, lite.region_dim) == (4, 1456)
    np.testing.assert_allclose(one.vectors, expected, rtol=1e-4, atol=1e-4)


def test_cells_of_a_resnet_are_the_means_of_its_stages(resnet):
    from torchvision.models.feature_extraction import create_feature_extractor

    picture, network = photo(1), resnet.network
    names = ["layer1", "layer2", "layer3", "layer4"]
    with torch.inference_mode():
        stages = create_feature_extractor(network.network, names)(network.to_pixels([picture]))
    expected = np.concatenate([quarters(stages[name][0].numpy()) for name in names], axis=1)
    (one,) = regions(resnet, picture)
    assert resnet.levels == (64, 128, 256, 512)
    assert one.vectors.shape == (4, resnet.region_dim)
    np.testing.assert_allclose(one.vectors, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "levels"),
    [
        ("resnet50", (256, 512, 1024, 2048)),
        ("convnext_tiny", (96, 192, 384, 768)),
        ("efficientnet_b0", (24, 40, 112, 1280)),
        ("mobilenet_v3_small", (16, 24, 48, 576)),
        ("swin_t", (96, 192, 384, 768)),
        ("vgg11", (256, 512, 512, 512)),
    ],
)
def test_every_family_has_a_pyramid(architecture, levels):
    state = {
        name: torch.zeros(t.shape, dtype=t.dtype)
        for name, t in _build(architecture, 5).state_dict().items()
    }
    network = GridNetwork(architecture, state, side=224, grid=2, pyramid=True, precision="float32")
    assert network.levels == levels
    vectors, _ = network(torch.zeros(1, 3, 224, 224))
    assert vectors.shape == (1, 4, sum(levels))


def test_the_channels_of_a_swin_are_no_rows():
    """At this side its first map is as wide as it has channels."""
    state = {
        name: torch.zeros(t.shape, dtype=t.dtype)
        for name, t in _build("swin_t", 5).state_dict().items()
    }
    network = GridNetwork("swin_t", state, side=384, grid=2, pyramid=True, precision="float32")
    assert network.levels == (96, 192, 384, 768)


def test_boxes_are_those_of_the_cells_row_by_row_and_there_is_no_whole_picture(pyramid):
    (one,) = regions(pyramid, photo())
    assert one.boxes.tolist() == CELLS
    assert one.boxes.dtype == np.float32


def test_a_batch_equals_one_by_one(pyramid):
    pictures = [photo(seed, (50 + seed, 40)) for seed in range(3)]
    for together, picture in zip(regions(pyramid, *pictures), pictures, strict=True):
        (alone,) = regions(pyramid, picture)
        np.testing.assert_allclose(together.vectors, alone.vectors, rtol=1e-4, atol=1e-4)


def test_a_change_in_one_corner_changes_its_cell_most_in_every_level(lite):
    plain = Image.new("RGB", (224, 224), "grey")
    marked = plain.copy()
    marked.paste(photo(3, (60, 60)), (150, 20))  # upper right
    before, after = regions(lite, plain, marked)
    change = np.abs(after.vectors - before.vectors)
    for level in np.split(change, np.cumsum(LEVELS)[:-1], axis=1):
        assert level.sum(axis=1).argmax() == 1


def test_the_last_level_equals_the_grid_of_the_last_map(lite, efficientnet):
    grid = EfficientNetLite0(grid=2)
    grid.from_files(efficientnet.to_files())
    (with_pyramid,), (plain,) = lite.extract([photo()], []), grid.extract([photo()], [])
    np.testing.assert_allclose(
        with_pyramid["regions"].vectors[:, -LEVELS[-1] :], plain["regions"].vectors[1:], atol=1e-4
    )
    assert with_pyramid["tags"] == plain["tags"]
    assert lite.fingerprint != grid.fingerprint


def test_a_pyramid_trains_with_the_network(lite):
    trainable = TrainableBackbone(lite)
    (one,) = regions(trainable, photo())
    assert one.boxes.tolist() == CELLS
    vectors = trainable.make_module()(torch.from_numpy(np.stack([one.pixels])))
    (expected,) = regions(lite, photo())
    np.testing.assert_allclose(vectors[0].detach().numpy(), expected.vectors, rtol=1e-4, atol=1e-4)
    assert vectors.requires_grad
    lite.network.requires_grad_(False)  # other tests share it


def test_a_pyramid_without_cells_is_refused():
    with pytest.raises(MsvseError, match=r"E007.*TorchvisionBackbone\.grid is 0.*from 1 to 64"):
        TorchvisionBackbone(architecture="resnet18", grid=0, pyramid=True)


class Crops(CountingExtractor):
    """Finds the whole picture, and in pictures of 48 x 32 its lower right quarter."""

    def extract(self, pictures, known):
        found = []
        for picture in pictures:
            count = 2 if picture.size == (48, 32) else 1
            boxes = np.array([[0, 0, 1, 1], [0.5, 0.5, 1, 1]], dtype=np.float32)[:count]
            parts = (["", "cup"][:count], [1.0, 0.9][:count])
            found.append({"regions": RegionFeatures(np.zeros((count, 9)), boxes, *parts)})
        return found


def test_cells_of_a_crop_are_those_of_the_crop_alone(pyramid):
    picture = photo(1)
    (one,) = regions(DetectedCrops(Crops(), pyramid), picture)
    whole, crop = regions(pyramid, picture, picture.crop((24, 16, 48, 32)))
    assert one.vectors.shape == (8, pyramid.region_dim)
    np.testing.assert_allclose(one.vectors[:4], whole.vectors, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(one.vectors[4:], crop.vectors, rtol=1e-4, atol=1e-4)
    assert one.labels == [""] * 4 + ["cup"] * 4
    assert one.scores == [1.0] * 4 + [0.9] * 4


def test_boxes_of_the_cells_of_a_crop_are_relative_to_the_picture(lite):
    (one,) = regions(DetectedCrops(Crops(), lite), photo())
    assert one.boxes[:4].tolist() == CELLS
    assert one.boxes[4:].tolist() == [
        [0.5, 0.5, 0.75, 0.75],
        [0.75, 0.5, 1, 0.75],
        [0.5, 0.75, 0.75, 1],
        [0.75, 0.75, 1, 1],
    ]


def test_a_picture_without_crops_has_the_cells_of_the_whole_picture(lite):
    with_crop, without = regions(DetectedCrops(Crops(), lite), photo(), photo(2, (40, 40)))
    assert (len(with_crop.vectors), len(without.vectors)) == (8, 4)


def test_an_encoder_with_a_whole_picture_gives_one_vector_for_each_crop(saved):
    encoder = TransformersEncoder(saved("clip"), grid=2)
    encoder.initialize()
    (one,) = regions(DetectedCrops(Crops(), encoder), photo())
    assert one.vectors.shape == (2, 32)
    assert one.boxes.tolist() == [[0, 0, 1, 1], [0.5, 0.5, 1, 1]]
