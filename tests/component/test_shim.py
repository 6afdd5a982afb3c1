"""The shim: each correction of Thinc's own shim."""

import pickle
import sys

import pytest
import spacy
import srsly
import torch
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.component.architectures import create_msvse_model, get_shim
from spacy_msvse.component.shim import CONFIG_FILE, WEIGHTS_FILE
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, picture, tiny_pipeline, train


def shim_of(nlp):
    return get_shim(nlp.get_pipe("msvse_ner").model)


def weights(nlp) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in shim_of(nlp).network.named_parameters()}


def unequal_examples(nlp) -> list[Example]:
    """Eight posts of one to eight words, some without a picture."""
    words = ["jordan", "saw", "the", "very", "nice", "florence", "again", "today"]
    examples = []
    for length in range(1, 9):
        image = picture("LOC", seed=length) if length % 3 else None
        doc = make_doc(nlp, words[:length], image=image)
        entities = [(0, 6, "PER")]
        if length >= 6:
            start = len("jordan saw the very nice ")
            entities.append((start, start + len("florence"), "LOC"))
        examples.append(Example.from_dict(doc, {"entities": entities}))
    return examples


def double_pipeline(encoder: str):
    """A pipeline in double precision, and its examples and optimiser."""
    spacy.util.fix_random_seed(0)
    nlp = tiny_pipeline(encoder)
    examples = unequal_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    shim_of(nlp).network.double()
    return nlp, examples, optimizer


# Accumulation


def test_four_accumulated_batches_equal_one(encoder):
    results = []
    for size in (8, 2):
        nlp, examples, optimizer = double_pipeline(encoder)
        for _ in range(3):
            for start in range(0, 8, size):
                nlp.update(examples[start : start + size], sgd=False, drop=0.0)
            nlp.get_pipe("msvse_ner").finish_update(optimizer)
        results.append(weights(nlp))
    start = weights(double_pipeline(encoder)[0])
    for name, expected in results[0].items():
        torch.testing.assert_close(results[1][name], expected, atol=1e-6, rtol=0)
    assert any(not torch.equal(results[0][name], start[name]) for name in start)


def test_gradients_accumulate_until_an_optimiser_comes(nlp):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = weights(nlp)
    weight = shim_of(nlp).network.multimodal_decoder.emissions.weight
    nlp.update(examples[:2], sgd=False)
    first = weight.grad.clone()
    nlp.update(examples[2:4], sgd=False)
    assert not torch.equal(weight.grad, first)
    assert all(torch.equal(before[name], p) for name, p in weights(nlp).items())
    nlp.get_pipe("msvse_ner").finish_update(optimizer)
    assert not torch.equal(weight, before["multimodal_decoder.emissions.weight"])
    assert weight.grad is None


# Precision


def test_bfloat16_stays_close_and_its_lattice_is_in_full_precision(encoder):
    losses = {}
    for precision in ("float32", "bfloat16"):
        nlp = tiny_pipeline(encoder, model={"precision": precision})
        train(nlp, ambiguous_examples(nlp), steps=1)
        examples = ambiguous_examples(nlp)
        losses[precision] = nlp.update(examples, sgd=False, drop=0.0)["msvse_ner"]
        component = nlp.get_pipe("msvse_ner")
        predictor = component.predictor
        lattice = predictor.run(predictor.read([eg.predicted for eg in examples])).answer
        assert lattice.emissions.dtype == torch.float32
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_half_precision_learns(encoder):
    nlp = tiny_pipeline(encoder, model={"precision": "bfloat16"})
    examples = ambiguous_examples(nlp)
    train(nlp, examples, steps=40)
    assert nlp.evaluate(ambiguous_examples(nlp))["ents_f"] > 0.9


def test_an_unknown_precision_is_a_coded_error(encoder):
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        tiny_pipeline(encoder, model={"precision": "half"})


# Modes


def test_dropout_from_training_reaches_the_network(nlp):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer, drop=0.37)
    rates = {m.p for m in shim_of(nlp).network.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.37}


def test_the_network_is_in_evaluation_mode_after_a_prediction(trained):
    trained(make_doc(trained, "saw jordan today"))
    assert not shim_of(trained).network.training


def test_averages_are_what_is_evaluated_and_saved(nlp):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.averages = {}
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    last = weights(nlp)
    with nlp.use_params(optimizer.averages):
        averaged = weights(nlp)
        saved = nlp.to_bytes()
    assert any(not torch.equal(averaged[name], last[name]) for name in last)
    assert all(torch.equal(p, last[name]) for name, p in weights(nlp).items())
    copy = spacy.util.load_model_from_config(nlp.config, vocab=nlp.vocab).from_bytes(saved)
    assert all(torch.equal(p, averaged[name]) for name, p in weights(copy).items())


def test_averages_are_put_back_after_an_error(nlp):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.averages = {}
    nlp.update(examples, sgd=optimizer)
    last = weights(nlp)
    with pytest.raises(KeyError), nlp.use_params(optimizer.averages):
        raise KeyError
    assert all(torch.equal(p, last[name]) for name, p in weights(nlp).items())


def test_a_pipeline_in_training_can_be_pickled(nlp):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    copy = pickle.loads(pickle.dumps(nlp))
    assert all(torch.equal(p, weights(nlp)[name]) for name, p in weights(copy).items())


# Learning rates


def test_learning_rate_factors_apply_by_part_of_the_name(encoder):
    factors = {"encoder": 0.5, "embeddings": 0.0, "crf": 2.0, "interaction": 3.0}
    nlp = tiny_pipeline(encoder, model={"learning_rate_factors": factors})
    nlp.initialize(lambda: ambiguous_examples(nlp))
    found = shim_of(nlp).factors()
    assert found["encoder.model.encoder.layer.0.attention.self.query.weight"] == 0.5
    assert found["encoder.model.embeddings.word_embeddings.weight"] == 0.0
    assert found["text_decoder.crf.scores.transitions"] == 2.0
    assert found["text_decoder.emissions.weight"] == 1.0
    assert found["interaction.gate.linear.weight"] == 3.0
    assert found["prefixes.queries"] == 1.0


def test_a_factor_of_zero_freezes(encoder):
    nlp = tiny_pipeline(encoder, model={"learning_rate_factors": {"encoder": 0.0}})
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = weights(nlp)
    nlp.update(examples, sgd=optimizer)
    for name, parameter in weights(nlp).items():
        assert torch.equal(parameter, before[name]) == name.startswith("encoder."), name


# Low-rank adapters and checkpointing


def test_low_rank_adapters_learn_alone_and_are_saved(encoder, tmp_path):
    pytest.importorskip("peft")
    nlp = tiny_pipeline(encoder, model={"lora": {"r": 4, "lora_alpha": 8}})
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = weights(nlp)
    for _ in range(2):
        nlp.update(examples, sgd=optimizer)
    for name, parameter in weights(nlp).items():
        trains = "lora_" in name or not name.startswith("encoder.")
        assert torch.equal(parameter, before[name]) != trains, name
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert all(torch.equal(p, weights(nlp)[name]) for name, p in weights(loaded).items())


def test_adapters_without_peft_are_a_coded_error(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    nlp = tiny_pipeline(encoder, model={"lora": {"r": 4}})
    with pytest.raises(MsvseError, match="MSVSE-E016"):
        nlp.initialize(lambda: ambiguous_examples(nlp))


def test_gradient_checkpointing_gives_equal_weights(encoder):
    states = []
    for checkpointing in (False, True):
        nlp = tiny_pipeline(encoder, model={"gradient_checkpointing": checkpointing})
        train(nlp, ambiguous_examples(nlp), steps=2)
        states.append(weights(nlp))
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected)


# Files

CONTENTS = [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}", b'{"method": "Msvse"}']
CONTENTS += [b'{"method": "Msvse", "config": %s}' % one for one in (b"{}", b"3", b'{"types": 3}')]


def damaged_files(nlp) -> dict:
    """The files of a network, damaged in different ways, by a name."""
    files = shim_of(nlp).to_files()
    tokenizer = [name for name in files if name.startswith("tokenizer/")]
    settings = srsly.json_loads(files[CONFIG_FILE].decode())
    settings["config"]["encoder"]["hidden_size"] = "wide"
    wrong_width = srsly.json_dumps(settings).encode()
    return {
        **{f"settings {content!r}": {**files, CONFIG_FILE: content} for content in CONTENTS},
        "wrong width": {**files, CONFIG_FILE: wrong_width},
        "no weights": {name: files[name] for name in files if name != WEIGHTS_FILE},
        "damaged weights": {**files, WEIGHTS_FILE: files[WEIGHTS_FILE][:-9]},
        "no tokenizer": {name: files[name] for name in files if name not in tokenizer},
        "damaged tokenizer": {**files, **dict.fromkeys(tokenizer, b"{")},
        "empty tokenizer": {**files, **dict.fromkeys(tokenizer, b"")},
    }


def test_damaged_files_are_a_coded_error(trained):
    for name, files in damaged_files(trained).items():
        shim = get_shim(create_msvse_model())
        with pytest.raises(MsvseError) as caught:
            shim.from_files(files)
        assert caught.value.code == "E006", name
        with pytest.raises(MsvseError, match="MSVSE-E006"):
            shim.from_bytes(srsly.msgpack_dumps(files))
        assert shim.network is None


def test_damaged_bytes_are_a_coded_error(trained):
    whole = shim_of(trained).to_bytes()
    for damaged in (b"", b"\xc1", whole[:-9], srsly.msgpack_dumps(3), srsly.msgpack_dumps(["a"])):
        with pytest.raises(MsvseError, match="MSVSE-E006"):
            get_shim(create_msvse_model()).from_bytes(damaged)


# Determinism


def test_one_seed_gives_equal_weights(encoder):
    states = []
    for _ in range(2):
        nlp = tiny_pipeline(encoder)
        train(nlp, ambiguous_examples(nlp), steps=3)
        states.append(weights(nlp))
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
