"""Pretrained encoders are loaded from folders, in full precision, with clear errors."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from spacy_msvse.errors import MsvseError
from spacy_msvse.network.encoders.families import build_encoder
from spacy_msvse.network.inputs import WordPieces
from spacy_msvse.network.methods.msvse import Msvse
from spacy_msvse.network.pretrained import build_for_weights, load_pretrained

from ..tiny import save_encoder
from ..tokenizers import TOKENIZERS
from .test_encoders import SIZES

CONFIG = {**SIZES, "model_type": "bert"}


@pytest.fixture
def folder(tmp_path):
    save_encoder(tmp_path)
    return tmp_path


def test_weights_in_half_precision_are_loaded_in_full_precision(folder):
    model = AutoModel.from_pretrained(folder).half()
    model.save_pretrained(folder)
    encoder, _ = load_pretrained(str(folder))
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    for name, parameter in model.named_parameters():
        if "pooler" not in name:
            assert torch.equal(encoder.model.get_parameter(name), parameter.float())
    again = build_encoder(encoder.config)
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_settings_of_the_configuration_override_the_saved_ones(folder):
    encoder, _ = load_pretrained(str(folder), None, {"num_hidden_layers": 2})
    assert encoder.num_layers == len(encoder.layers) == 2


def test_words_of_byte_level_tokenizers_start_with_a_blank(folder):
    """Such a tokenizer expects it, also if its files do not say so."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for path in folder.glob("*token*"):
        path.unlink()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    for settings, expected in ({}, ["Ġ", "a", "Ġ", "b"]), ({"add_prefix_space": False}, ["a", "b"]):
        _, loaded = load_pretrained(str(folder), settings)
        loaded.save_pretrained(folder / "saved")
        for tokenizer in (loaded, AutoTokenizer.from_pretrained(folder / "saved")):
            ids = tokenizer([["a", "b"]], is_split_into_words=True)["input_ids"][0]
            assert tokenizer.convert_ids_to_tokens(ids) == expected


@pytest.mark.parametrize("family", sorted(TOKENIZERS))
def test_a_saved_tokenizer_encodes_as_before(family, tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    tokenizer = TOKENIZERS[family](folder)
    tokenizer.save_pretrained(tmp_path / "second")
    again = AutoTokenizer.from_pretrained(tmp_path / "second")
    for text in ("saw the jordan", "nice café [SEP] <unk> \u200b", "zzz!?"):
        for settings in ({}, {"add_special_tokens": False}):
            first, second = (
                [each(text, text.upper(), **settings)["input_ids"]] for each in (tokenizer, again)
            )
            assert first == second


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"{}", b"{", b"", b"x" * 100])
def test_damaged_files_are_a_coded_error(folder, name, content):
    if name == "config.json" and content == b"{}":
        content = json.dumps({"model_type": "nonsense"}).encode()
    (folder / name).write_bytes(content)
    with pytest.raises(MsvseError, match="MSVSE-E001"):
        load_pretrained(str(folder))


@pytest.mark.parametrize("settings", [{"hidden_dropout_prob": "x"}, {"hidden_size": 64}])
def test_settings_that_do_not_fit_are_a_coded_error(folder, settings):
    with pytest.raises(MsvseError, match="MSVSE-E001"):
        load_pretrained(str(folder), None, settings)


def test_a_missing_folder_is_a_coded_error(tmp_path):
    with pytest.raises(MsvseError, match="MSVSE-E001"):
        load_pretrained(str(tmp_path / "missing"))


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_no_random_weights_are_drawn_and_loaded_weights_are_complete(family):
    config = network_settings(family)
    saved = Msvse.build(config).eval()
    before = torch.get_rng_state()
    network = build_for_weights(Msvse, config).eval()
    assert torch.equal(torch.get_rng_state(), before)
    network.load_state_dict(saved.state_dict(), assign=True)
    ids = torch.tensor([[5, 6, 7]])
    pieces = WordPieces(ids, ids > 0, torch.zeros_like(ids))
    assert torch.equal(network.encoder(pieces), saved.encoder(pieces))
    assert network.config == saved.config


def network_settings(family: str) -> dict:
    return {"types": ["PER"], "encoder": {**CONFIG, "model_type": family}, "region_dim": 4}


def test_random_weights_are_drawn_again_after_loads_in_threads_and_after_errors():
    functions = dict(vars(torch.nn.init))

    def load(number):
        build_for_weights(Msvse, network_settings("electra" if number % 3 else "bert"))
        if number % 2:
            with pytest.raises(MsvseError):
                build_for_weights(Msvse, network_settings("gpt2"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, range(12)))
    assert dict(vars(torch.nn.init)) == functions
    torch.manual_seed(0)
    first = build_encoder(CONFIG).model.get_input_embeddings().weight
    assert 0.01 < first.std() < 0.03


CODE = ["trust_remote_code", "auto_map"]


@pytest.mark.parametrize("setting", CODE)
@pytest.mark.parametrize("part", ["tokenizer_config", "transformer_config"])
def test_settings_that_run_code_of_the_weights_are_refused(folder, part, setting):
    with pytest.raises(MsvseError, match=f"MSVSE-E210.*{setting}"):
        load_pretrained(str(folder), **{part: {setting: True}})


def test_code_beside_weights_is_never_run_and_nothing_is_asked(folder, tmp_path, monkeypatch):
    """transformers would run it, or ask for permission on standard input."""
    (folder / "own.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": own}))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    own = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", "own.Tokenizer"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**tokenizer, **own}))

    def ask(*_):
        raise AssertionError("a question on standard input")

    monkeypatch.setattr("builtins.input", ask)
    loaded, _ = load_pretrained(str(folder))
    build_encoder({**config, "auto_map": {"AutoModel": "own.Model"}})
    assert loaded.width == config["hidden_size"]
    assert not (tmp_path / "was run").exists()
