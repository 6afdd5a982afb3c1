from copy import deepcopy

import numpy as np
import pytest
import torch

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extractors.pretrained import load_vision_tower
from spacy_msvse.vision.extractors.transformers_encoder import TransformersEncoder

from ..conftest import photo
from ..models import save_vision_model

KINDS = ["clip", "siglip", "vit", "dinov2"]


def initialised(source, **settings):
    extractor = TransformersEncoder(weights=source, **settings)
    extractor.initialize()
    return extractor


def extract(extractor, *pictures):
    return extractor.extract(pictures, [])


@pytest.fixture(scope="module", params=KINDS)
def encoder(request, saved):
    return initialised(saved(request.param), grid=4)


def test_grid_as_fine_as_the_patches_is_the_patches(encoder):
    network = encoder.network
    picture = photo(1, (32, 32))
    with torch.inference_mode():
        output = network.network(pixel_values=network.to_pixels([picture]))
    (features,) = extract(encoder, picture)
    assert features["regions"].vectors.shape == (1 + 16, encoder.region_dim)
    assert np.allclose(
        features["regions"].vectors[1:], output.last_hidden_state[0, -16:], atol=1e-5
    )


def test_whole_picture_is_the_encoders_own_vector(encoder):
    network = encoder.network
    picture = photo(1, (32, 32))
    with torch.inference_mode():
        output = network.network(pixel_values=network.to_pixels([picture]))
    expected = output.pooler_output
    if expected is None:
        expected = output.last_hidden_state[:, 0]
    (features,) = extract(encoder, picture)
    assert np.allclose(features["regions"].vectors[0], expected[0], atol=1e-5)


def test_grid_of_none_is_the_whole_picture_alone(saved):
    (features,) = extract(initialised(saved("clip"), grid=0), photo())
    assert features["regions"].vectors.shape == (1, 32)
    assert features["regions"].boxes.tolist() == [[0, 0, 1, 1]]


def test_pixels_are_those_of_the_models_own_processor(encoder):
    """A picture that needs no resizing is normalised as the processor would."""
    network = encoder.network
    picture = photo(1, (32, 32))
    processor = deepcopy(network.parts[0])
    processor.do_resize = processor.do_center_crop = False
    raw = processor(picture, return_tensors="pt")
    assert network.to_pixels([picture]).shape == raw["pixel_values"].shape
    assert torch.allclose(network.to_pixels([picture]), raw["pixel_values"], atol=1e-5)


def test_only_the_vision_encoder_is_kept(saved):
    network = initialised(saved("clip")).network
    assert not any("text" in name for name in network.state_dict())


def test_saved_encoders_of_every_kind_give_the_same(encoder):
    other = TransformersEncoder(weights="elsewhere", grid=4)
    other.from_files(encoder.to_files())
    assert other.fingerprint == encoder.fingerprint
    (expected,), (features,) = extract(encoder, photo(1)), extract(other, photo(1))
    assert np.array_equal(features["regions"].vectors, expected["regions"].vectors)


def test_a_pooler_that_was_never_trained_is_left_out(saved):
    """A ViT trained to classify has no pooler; transformers would draw one at random."""
    first, second = initialised(saved("vit")), initialised(saved("vit"))
    assert first.network.network.pooler is None
    assert first.fingerprint == second.fingerprint


def test_missing_weights_are_an_error(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "clip"
    save_vision_model(folder, "clip")
    state = load_file(folder / "model.safetensors")
    del state["vision_model.encoder.layers.1.mlp.fc1.bias"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MsvseError, match=r"E011.*TransformersEncoder .*layers\.1\.mlp\.fc1\.bias"):
        initialised(str(folder))
    with pytest.raises(MsvseError, match=r"E171.*clip.*layers\.1\.mlp\.fc1\.bias"):
        load_vision_tower(str(folder))


def test_missing_weights_of_a_saved_extractor_are_an_error(saved):
    from safetensors.torch import load, save

    files = initialised(saved("vit")).to_files()
    (name,) = (name for name in files if name.endswith("model.safetensors"))
    state = load(files[name])
    removed = next(key for key in state if key.endswith("dense.bias") or key.endswith("fc1.bias"))
    del state[removed]
    files[name] = save(state, metadata={"format": "pt"})
    with pytest.raises(MsvseError, match=r"E006.*they lack .*bias, 1 in all"):
        TransformersEncoder().from_files(files)


def test_folder_with_code_of_its_own_is_refused(saved, tmp_path, capsys):
    import json

    folder = tmp_path / "custom"
    save_vision_model(folder, "vit")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "custom", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ValueError, match="E011"):
        initialised(str(folder))
    assert capsys.readouterr().out == ""


def test_text_model_is_no_vision_encoder(tmp_path):
    from transformers import BertConfig, BertModel

    from ..models import READS

    BertModel(BertConfig(**READS)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"E011.*bert"):
        initialised(str(tmp_path / "bert"))


def test_loading_prints_no_warnings(saved, capfd):
    initialised(saved("vit"))
    assert "TRAIN" not in capfd.readouterr().err
