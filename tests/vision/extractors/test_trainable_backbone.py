"""The extractor around a backbone that trains."""

import numpy as np
import pytest
import torch

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.efficientnet_lite0 import EfficientNetLite0
from spacy_msvse.vision.extractors.tag_caption import TagCaption
from spacy_msvse.vision.extractors.torchvision_backbone import TorchvisionBackbone
from spacy_msvse.vision.extractors.trainable_backbone import TrainableBackbone
from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder

from ..conftest import photo
from ..models import CLASSES


def extractors(saved):
    return [
        TorchvisionBackbone(saved("resnet18"), architecture="resnet18", classes=CLASSES, grid=2),
        TransformersEncoder(saved("clip"), grid=2),
    ]


def test_its_regions_are_those_of_the_frozen_extractor(saved, efficientnet):
    for frozen in [*extractors(saved), efficientnet]:
        if frozen is not efficientnet:
            frozen.initialize()
        trainable = TrainableBackbone(frozen)
        pictures = [photo(1), photo(2, (30, 60))]
        pixels = [features["regions"].pixels for features in trainable.extract(pictures, [])]
        regions = trainable.make_module()(torch.from_numpy(np.stack(pixels)))
        expected = frozen.extract(pictures, [])
        np.testing.assert_allclose(
            regions.detach().numpy(),
            np.stack([one["regions"].vectors for one in expected]),
            atol=1e-5,
        )
        assert regions.requires_grad
        boxes = [features["regions"].boxes for features in trainable.extract(pictures, [])]
        np.testing.assert_array_equal(boxes, [one["regions"].boxes for one in expected])
        frozen.network.requires_grad_(False)  # others share it


def test_prepared_pictures_give_the_same_pixels(saved):
    trainable = TrainableBackbone(extractors(saved)[0])
    trainable.initialize()
    picture = photo(3, (90, 40))
    (one,), (same,) = (
        trainable.extract([given], []) for given in (picture, trainable.prepare(picture))
    )
    np.testing.assert_array_equal(one["regions"].pixels, same["regions"].pixels)
    assert one["regions"].vectors is None


def test_the_fingerprint_is_that_of_the_pixels(saved):
    """Other weights read the same stored pictures; another size does not."""
    sides = [224, 224, 192]
    made = []
    for side in sides:
        frozen = TorchvisionBackbone(
            saved("resnet18"), architecture="resnet18", classes=CLASSES, side=side
        )
        frozen.initialize()
        with torch.no_grad():
            next(frozen.network.parameters()).add_(1.0 * len(made))
        made.append(TrainableBackbone(frozen).fingerprint)
    assert made[0] == made[1] != made[2]


def test_only_grids_can_be_trained():
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*EfficientNetLite0"):
        TrainableBackbone(TagCaption())


def test_only_a_trainable_extractor_gives_a_backbone():
    assert VisualExtractor().make_backbone() is None
    assert VisualExtractor(regions=EfficientNetLite0()).make_backbone() is None
