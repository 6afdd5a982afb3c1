"""Properties of every extractor with a network, with small random weights."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractors.base import NetworkExtractor
from spacy_msvse.vision.extractors.torchvision_backbone import TorchvisionBackbone
from spacy_msvse.vision.extractors.torchvision_detector import TorchvisionDetector
from spacy_msvse.vision.extractors.transformers_caption import TransformersCaption
from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder
from spacy_msvse.vision.extractors.zero_shot_detector import ZeroShotDetector
from spacy_msvse.vision.extractors.zero_shot_tags import ZeroShotTags

from ..conftest import photo
from ..models import CLASSES, save_torchvision_model, save_vision_model

#: Usual and unusual sizes of pictures.
SIZES = [(64, 64), (100, 60), (100, 60), (1, 1), (900, 1), (30, 200)]


@dataclass
class Case:
    """An extractor's class, the settings that make it small, other valid settings, and whether the
    first region is the whole picture."""

    kind: Callable[..., NetworkExtractor]
    save: Callable[[Path, int], str]
    settings: dict[str, Any]
    other: list[dict[str, Any]]
    has_whole_picture: bool = True


def torchvision_case(kind, architecture, **rest):
    def save(folder, seed):
        return save_torchvision_model(folder / f"{seed}.safetensors", architecture, seed)

    return Case(kind, save, **rest)


def transformers_case(kind, model, **rest):
    return Case(
        kind, lambda folder, seed: save_vision_model(folder / str(seed), model, seed), **rest
    )


MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"
CASES = {
    "detector": torchvision_case(
        TorchvisionDetector,
        MOBILE,
        settings={"architecture": MOBILE, "classes": CLASSES, "min_size": 64, "min_score": 0.25},
        other=[{"max_regions": 2}, {"min_score": 0.5}, {"tags": 1}, {"min_size": 96}],
    ),
    "backbone": torchvision_case(
        TorchvisionBackbone,
        "resnet18",
        settings={"architecture": "resnet18", "classes": CLASSES, "side": 64, "grid": 2},
        other=[{"grid": 1}, {"side": 96}, {"tags": 1}, {"min_tag_score": 0.1}],
    ),
    "encoder": transformers_case(
        TransformersEncoder,
        "clip",
        settings={"grid": 2},
        other=[{"grid": 0}],
    ),
    "pyramid": torchvision_case(
        TorchvisionBackbone,
        "resnet18",
        settings={
            **{"architecture": "resnet18", "classes": CLASSES, "side": 64},
            **{"grid": 2, "pyramid": True},
        },
        other=[{"grid": 3}, {"pyramid": False}],
        has_whole_picture=False,
    ),
    "zero_shot_detector": transformers_case(
        ZeroShotDetector,
        "owlvit",
        settings={"queries": CLASSES[:3], "min_score": 0.0},
        other=[{"queries": CLASSES[2::-1]}, {"min_score": 0.5}],
        has_whole_picture=False,
    ),
    "zero_shot": transformers_case(
        ZeroShotTags,
        "clip",
        settings={"labels": CLASSES, "min_score": 0.1},
        other=[{"top_k": 1}, {"min_score": 0.5}],
    ),
    "caption": transformers_case(
        TransformersCaption,
        "blip",
        settings={"max_length": 6, "beams": 2},
        other=[{"max_length": 3}, {"beams": 1}],
    ),
}


@dataclass
class Made:
    """An extractor that is initialised, its case, and the folder of its weights."""

    case: Case
    folder: Path
    extractor: NetworkExtractor

    @cached_property
    def data(self) -> dict[str, bytes]:
        return self.extractor.to_files()

    def other(self, **settings: Any) -> NetworkExtractor:
        """The same, unloaded, with other settings."""
        return self.case.kind(**{"weights": "elsewhere", **self.case.settings, **settings})

    def restored(self, **settings: Any) -> NetworkExtractor:
        extractor = self.other(**settings)
        extractor.from_files(self.data)
        return extractor

    def initialised(self, source: str, **settings: Any) -> NetworkExtractor:
        extractor = self.other(weights=source, **settings)
        extractor.initialize()
        return extractor


@pytest.fixture(scope="module", params=list(CASES))
def made(request, tmp_path_factory) -> Made:
    case, folder = CASES[request.param], tmp_path_factory.mktemp(request.param)
    extractor = case.kind(weights=case.save(folder, 0), **case.settings)
    extractor.initialize()
    return Made(case, folder, extractor)


def extract(extractor, pictures=None):
    return extractor.extract(pictures or posted(), [])


def posted() -> list[Image.Image]:
    return [photo(seed, size) for seed, size in enumerate(SIZES)]


def assert_equal(first, second, tolerance=0.0):
    for one, other in zip(first, second, strict=True):
        texts = ("tags", "caption")
        assert [one.get(name) for name in texts] == [other.get(name) for name in texts]
        assert ("regions" in one) == ("regions" in other)
        if "regions" in one:
            assert one["regions"].labels == other["regions"].labels
        for name in ("vectors", "boxes", "scores") if "regions" in one else ():
            a, b = getattr(one["regions"], name), getattr(other["regions"], name)
            assert (a is None) == (b is None)
            if a is not None:
                most = max(1.0, float(np.abs(a).max()))
                assert np.allclose(a, b, rtol=0, atol=tolerance * most)


# Features


def test_pictures_of_any_size_fill_the_views(made):
    for features in extract(made.extractor):
        assert set(features) == set(made.extractor.fills)
        if "regions" in features:
            regions = features["regions"]
            assert regions.vectors.shape == (len(regions.boxes), made.extractor.region_dim)
            assert regions.vectors.dtype == regions.boxes.dtype == np.float32
            assert np.isfinite(regions.vectors).all()
            is_whole = regions.boxes[0].tolist() == [0, 0, 1, 1]
            assert is_whole == made.case.has_whole_picture
            assert (regions.boxes >= 0).all()
            assert (regions.boxes <= 1).all()


def test_features_depend_on_the_picture(made):
    found = extract(made.extractor)
    if "regions" in made.extractor.fills:
        first, second, *_ = (features["regions"].vectors[0] for features in found)
        assert not np.allclose(first, second)
    else:
        assert len({str(sorted(features.items())) for features in found}) > 1


def test_a_batch_equals_one_by_one(made):
    together = extract(made.extractor)
    alone = [features for picture in posted() for features in extract(made.extractor, [picture])]
    assert_equal(together, alone, tolerance=1e-4)
    assert_equal(together, extract(made.restored(batch_size=2)), tolerance=1e-4)


def test_no_pictures_no_features(made):
    assert made.extractor.extract([], []) == []


def test_prepared_pictures_give_the_same(made):
    prepared = [made.extractor.prepare(picture) for picture in posted()]
    assert_equal(extract(made.extractor, prepared), extract(made.extractor))


def test_half_precision_gives_nearly_the_same(made):
    half = made.restored(precision="float16")
    assert half.fingerprint != made.extractor.fingerprint
    (exact,), (rough,) = extract(made.extractor, [photo(0)]), extract(half, [photo(0)])
    for view in made.extractor.fills:
        assert type(rough[view]) is type(exact[view])
    if "regions" in exact:
        first, second = exact["regions"].vectors[0], rough["regions"].vectors[0]
        assert second.dtype == np.float32
        assert not np.array_equal(first, second)
        assert first @ second > 0.99 * np.linalg.norm(first) * np.linalg.norm(second)


def test_network_stays_frozen_when_put_into_train_mode(made):
    network = made.extractor.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = extract(made.extractor)
    torch.nn.ModuleList([network]).train()
    assert_equal(extract(made.extractor), expected)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


# Saved state


def test_saved_extractor_gives_exactly_the_same(made):
    other = made.restored()
    assert other.fingerprint == made.extractor.fingerprint
    assert_equal(extract(other), extract(made.extractor))


def test_saved_again_it_is_the_same(made):
    assert made.restored().to_files() == made.data


def test_restoring_needs_no_network_and_no_source(made, monkeypatch):
    def refuse(*args):
        raise AssertionError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert made.restored().fingerprint == made.extractor.fingerprint


def test_loading_leaves_the_random_seed_alone(made):
    data = made.data
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    made.other().from_files(data)
    made.initialised(made.extractor.weights)
    assert torch.equal(torch.rand(1), expected)


def test_files_are_no_pickles_and_name_no_folder(made):
    for name, content in made.data.items():
        assert Path(name).name == name
        assert str(made.folder).encode() not in content
        assert not content.startswith((b"\x80", b"PK"))  # a pickle, torch's archive of pickles
        if name.endswith(".safetensors"):
            assert content[8:9] == b"{"  # the header of safetensors
    assert any(name.endswith(".safetensors") for name in made.data)


def test_incomplete_or_damaged_files_are_refused(made):
    damages = [lambda data: b"", lambda data: data[:-10], lambda data: b"\x80" + data]
    for name in ("extractor.json", *(n for n in made.data if n.endswith(".safetensors"))):
        for damage in damages:
            damaged = {**made.data, name: damage(made.data[name])}
            with pytest.raises(ValueError, match="E006"):
                made.other().from_files(damaged)
        missing = {other: content for other, content in made.data.items() if other != name}
        with pytest.raises(ValueError, match="E006"):
            made.other().from_files(missing)
    with pytest.raises(ValueError, match="E006"):
        made.other().from_files({})


# Fingerprints


def test_fingerprint_changes_with_settings_that_change_the_features(made):
    names = {made.extractor.fingerprint}
    for settings in made.case.other:
        names.add(made.restored(**settings).fingerprint)
    assert len(names) == 1 + len(made.case.other)
    assert made.restored(batch_size=3).fingerprint == made.extractor.fingerprint


def test_fingerprint_depends_on_the_weights_and_not_on_their_path(made, tmp_path):
    moved = made.initialised(made.case.save(tmp_path, 0))
    other = made.initialised(made.case.save(tmp_path, 1))
    assert moved.fingerprint == made.extractor.fingerprint
    assert other.fingerprint != made.extractor.fingerprint


# Settings and sources


def test_extractors_of_equal_settings_are_equal_loaded_or_not(made):
    unloaded = made.other(weights=made.extractor.weights)
    assert unloaded == made.extractor
    assert hash(unloaded) == hash(made.extractor)
    assert made.other() != made.extractor


def test_construction_loads_nothing(made):
    extractor = made.other(weights="my/weights")
    named = rf"E012.* {type(extractor).__name__} .*'my/weights'"
    for use in (lambda: extract(extractor), extractor.to_files, lambda: extractor.fingerprint):
        with pytest.raises(MsvseError, match=named):
            use()


@pytest.mark.parametrize("source", ["no/such/folder", "no-such-name", "missing.pth"])
def test_missing_weights_are_an_error_that_names_them_and_the_extractor(made, source):
    extractor = made.other(weights=source)
    named = f"E011.*'{source}' of the picture extractor {type(extractor).__name__} "
    with pytest.raises(MsvseError, match=named) as caught:
        extractor.initialize()
    assert "pip install" not in str(caught.value)  # no package has weights of this extractor


def test_a_device_is_kept_for_weights_that_come_later(made):
    extractor = made.other()
    extractor.to("meta")
    extractor.from_files(made.data)
    assert extractor.network.device.type == "meta"


# A pipeline's config


@pytest.mark.parametrize("name", list(CASES))
def test_registry_can_build_it(name):
    from spacy import registry

    case = CASES[name]
    settings = {n: list(v) if isinstance(v, tuple) else v for n, v in case.settings.items()}
    block = {"@misc": f"spacy-msvse.{case.kind.__name__}.v1", "weights": "x", **settings}
    extractor = registry.resolve({"extractor": block})["extractor"]
    assert extractor == case.kind(weights="x", **case.settings)
