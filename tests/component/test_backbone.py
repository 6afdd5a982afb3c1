"""A backbone that trains with the pipeline."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from torch import nn

from spacy_msvse import make_doc
from spacy_msvse.component.architectures import get_piece_encoder, get_shim
from spacy_msvse.vision.store import FeatureStore

from ..tiny import COLOURS, ambiguous_examples, entities, picture, tiny_pipeline, train
from ..vision.models import save_torchvision_model, save_vision_model

ARCHITECTURE = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    return save_torchvision_model(tmp_path_factory.mktemp("w") / "weights.pth", ARCHITECTURE)


def make(encoder: str, backbone: dict, **settings) -> Language:
    """A pipeline whose only view is filled by a backbone."""
    model = {
        "prefix_views": ["regions"],
        "joint_views": [],
        **settings.pop("model", {}),
    }
    vision = {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "regions": {"@misc": "spacy-msvse.TrainableBackbone.v1", "backbone": backbone},
    }
    return tiny_pipeline(encoder, model=model, vision=vision, **settings)


def torchvision(weights: str, **settings) -> dict:
    return {
        "@misc": "spacy-msvse.TorchvisionBackbone.v1",
        "architecture": ARCHITECTURE,
        "weights": weights,
        "classes": ["a", "b", "c", "d", "e"],
        "side": 32,
        "grid": 1,
        **settings,
    }


def state(nlp: Language) -> dict[str, torch.Tensor]:
    backbone = get_shim(nlp.get_pipe("msvse_ner").model).network.backbone
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


def normalisation(nlp: Language) -> set[str]:
    """Names of all parameters and statistics of BatchNorm layers."""
    backbone = get_shim(nlp.get_pipe("msvse_ner").model).network.backbone
    return {
        f"{owner}.{name}"
        for owner, module in backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for name in module.state_dict()
    }


@pytest.fixture(scope="module")
def trained(encoder, weights) -> Language:
    nlp = make(encoder, torchvision(weights))
    train(nlp, ambiguous_examples(nlp), steps=40)
    return nlp


def ask(nlp: Language, label: str):
    return nlp(make_doc(nlp, "saw jordan today", image=picture(label, seed=7)))


def test_a_trained_backbone_decides_the_label(trained):
    for label in COLOURS:
        doc = ask(trained, label)
        assert entities(doc) == [("jordan", label)]
        assert doc._.image_status == {"regions": "used"}
        assert len(doc._.image_regions) == 2


def test_a_backbone_computes_the_regions_of_every_picture(trained):
    pictures = [picture("PER", seed=7), picture("LOC", seed=8)]
    docs = [
        make_doc(trained, "saw jordan today", images=[*pictures, pictures[0]]),
        make_doc(trained, "saw jordan today", image=pictures[1]),
        make_doc(trained, "saw jordan today", images=["gone.png", pictures[1]]),
    ]
    component = trained.get_pipe("msvse_ner")
    reader = replace(component.reader, policy="ignore")
    encoder = get_piece_encoder(component.model)
    inputs = encoder.collate(encoder.encode(reader.read(docs)))
    assert inputs.pictures["regions"].post.tolist() == [0, 0, 1, 2]
    assert inputs.pictures["regions"].start.tolist() == [0, 2, 0, 0]
    network = component.require_network()
    with torch.inference_mode():
        filled = network._fill_vectors(inputs).vectors["regions"]
    assert filled.mask.sum(dim=1).tolist() == [4, 2, 2]
    assert filled.pictures[2, :2].tolist() == [1, 1]
    assert filled.vectors[0, :2].any()
    torch.testing.assert_close(filled.vectors[0, 2:], filled.vectors[1, :2], atol=1e-5, rtol=0)
    torch.testing.assert_close(filled.vectors[2, :2], filled.vectors[1, :2], atol=1e-5, rtol=0)


def test_the_first_layer_trains_and_batch_norm_does_not_change(encoder, weights):
    nlp = make(encoder, torchvision(weights))
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = state(nlp)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer, drop=0.3)
    after = state(nlp)
    still = normalisation(nlp)
    assert len(still) > 50
    assert "network.network.features.0.0.weight" in before
    for name, tensor in before.items():
        head = ".classifier." in name  # the classifier computes no regions
        changed = not torch.equal(tensor, after[name])
        assert changed == (name not in still and not head), name


def test_a_backbone_has_a_learning_rate_of_its_own(encoder, weights):
    """Its part with the name `encoder` does not get the learning rate of the text encoder."""
    nlp = make(encoder, torchvision(weights), model={"learning_rate_factors": {"backbone": 0.0}})
    train(nlp, ambiguous_examples(nlp), steps=2)
    fresh = make(encoder, torchvision(weights))
    fresh.initialize(lambda: ambiguous_examples(fresh))
    for name, tensor in state(nlp).items():
        assert torch.equal(tensor, state(fresh)[name]), name


def test_parts_of_a_backbone_are_no_parts_of_the_encoder(encoder, tmp_path):
    backbone = {
        "@misc": "spacy-msvse.TransformersEncoder.v1",
        "weights": save_vision_model(tmp_path / "clip", "clip"),
        "grid": 2,
    }
    factors = {"encoder": 0.5, "backbone": 0.25}
    nlp = make(encoder, backbone, model={"learning_rate_factors": factors})
    nlp.initialize(lambda: ambiguous_examples(nlp))
    found = get_shim(nlp.get_pipe("msvse_ner").model).factors()
    inner = {f for name, f in found.items() if name.startswith("backbone.") and ".encoder." in name}
    assert inner == {0.25}
    before = state(nlp)
    train_from = nlp.resume_training()
    nlp.update(ambiguous_examples(nlp), sgd=train_from)
    assert any(not torch.equal(tensor, state(nlp)[name]) for name, tensor in before.items())


@pytest.mark.parametrize("way", ["disk", "bytes", "pickle"])
def test_trained_weights_survive(trained, tmp_path, way):
    if way == "disk":
        trained.to_disk(tmp_path / "pipeline")
        other = spacy.load(tmp_path / "pipeline")
    elif way == "bytes":
        other = type(trained).from_config(trained.config)
        other.from_bytes(trained.to_bytes())
    else:
        other = pickle.loads(pickle.dumps(trained))
    for label in COLOURS:
        one, same = ask(trained, label), ask(other, label)
        assert entities(one) == entities(same)
        scores = [doc.spans["msvse_ner"].attrs["scores"] for doc in (one, same)]
        assert np.array_equal(*scores)


def test_a_loaded_pipeline_holds_the_weights_once_and_trains_on(trained, tmp_path):
    trained.to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    component = nlp.get_pipe("msvse_ner")
    shared = component.vision.extractors["regions"].backbone.network
    assert get_shim(component.model).network.backbone.network is shared
    size = (tmp_path / "pipeline" / "msvse_ner" / "network.safetensors").stat().st_size
    assert size < sum(tensor.nbytes for tensor in state(nlp).values())
    before = state(nlp)
    nlp.update(ambiguous_examples(nlp), sgd=nlp.resume_training())
    assert not torch.equal(next(iter(before.values())), next(iter(state(nlp).values())))


def test_averaged_weights_are_saved(encoder, weights):
    nlp = make(encoder, torchvision(weights))
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.averages = {}
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    component = nlp.get_pipe("msvse_ner")
    last = component.vision.to_files()
    with nlp.use_params(optimizer.averages):
        assert component.vision.to_files() != last
    assert component.vision.to_files() == last


def test_the_store_keeps_resized_pictures(encoder, weights, tmp_path):
    nlp = make(encoder, torchvision(weights))
    config = {"feature_store": str(tmp_path / "store")}
    nlp.config["initialize"]["components"]["msvse_ner"] = config
    train(nlp, ambiguous_examples(nlp), steps=1)
    component = nlp.get_pipe("msvse_ner")
    with FeatureStore(tmp_path / "store", readonly=True) as store:
        assert len(store) == len(COLOURS)
    # Training changes the weights, and the stored pictures stay valid.
    fingerprint = component.vision.fingerprint
    nlp.update(ambiguous_examples(nlp), sgd=nlp.resume_training())
    assert component.vision.fingerprint == fingerprint


def test_given_vectors_override_the_backbone_in_a_batch_with_pictures(trained):
    vectors = np.zeros((3, 576), dtype="float32")
    text = "saw jordan today"
    docs = [
        make_doc(trained, text, image=picture("PER", seed=7)),
        make_doc(trained, text, features=vectors),
        make_doc(trained, text),
    ]
    mixed = [doc.spans["msvse_ner"].attrs["scores"] for doc in trained.pipe(docs)]
    assert [doc._.image_status["regions"] for doc in docs] == ["used", "used", "absent"]
    alone = [
        trained(make_doc(trained, text, image=picture("PER", seed=7))),
        trained(make_doc(trained, text, features=vectors)),
        trained(make_doc(trained, text)),
    ]
    for one, doc in zip(mixed, alone, strict=True):
        assert one == pytest.approx(doc.spans["msvse_ner"].attrs["scores"], abs=1e-5)
