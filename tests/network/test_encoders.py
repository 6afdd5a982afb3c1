"""Prefixes reach every layer of every encoder family, and nothing else changes."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from spacy_msvse import build_network
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.encoders.base import Encoder, Packing, PrefixAttention, Prefixes
from spacy_msvse.network.encoders.bert_layers import LIGHT_FAMILIES
from spacy_msvse.network.encoders.families import (
    FAMILIES,
    build_encoder,
    build_light_encoder,
    make_encoder,
)
from spacy_msvse.network.encoders.lora import LORA_PARAMETER, add_lora
from spacy_msvse.network.inputs import WordPieces

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
#: Variants of the families: model type, and settings besides the sizes.
VARIANTS = {
    "bert": ("bert", {}),
    "camembert": ("camembert", {"type_vocab_size": 2}),
    "deberta-v2": ("deberta-v2", {"relative_attention": False}),
    "deberta-v2-convolution": (
        "deberta-v2",
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3},
    ),
    # The settings of DeBERTa-v3.
    "deberta-v3": (
        "deberta-v2",
        {
            "relative_attention": True,
            "position_buckets": 4,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "distilbert": ("distilbert", {}),
    "electra": ("electra", {"embedding_size": 8}),
    # One layer in two is local, and its window is shorter than the text.
    "modernbert": ("modernbert", {"local_attention": 4, "global_attn_every_n_layers": 2}),
    "mpnet": ("mpnet", {}),
    "roberta": ("roberta", {"type_vocab_size": 2}),
    "xlm-roberta": ("xlm-roberta", {"type_vocab_size": 2}),
}
#: Families with scaled dot-product attention in transformers.
WITH_SDPA = ("bert", "camembert", "distilbert", "modernbert", "roberta", "xlm-roberta")


def make_model(variant: str, attention: str = "eager"):
    torch.manual_seed(0)
    model_type, settings = VARIANTS[variant]
    config = AutoConfig.for_model(model_type, **{**SIZES, **settings})
    return AutoModel.from_config(config, attn_implementation=attention).eval()


def make_pieces() -> WordPieces:
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 9, [True] * 4 + [False] * 5])
    # RoBERTa finds padding by its id, so padding must have this id.
    ids = torch.where(mask, torch.randint(5, 50, (2, 9)), 1)
    return WordPieces(ids, mask, torch.zeros_like(ids))


def make_prefixes(encoder: Encoder, mask: torch.Tensor) -> Prefixes:
    shape = (encoder.num_layers, *mask.shape, encoder.width)
    keys = torch.randn(shape, requires_grad=True)
    values = torch.randn(shape, requires_grad=True)
    return Prefixes(keys, values, mask)


def plain_output(model, pieces: WordPieces) -> torch.Tensor:
    inputs = {"input_ids": pieces.ids, "attention_mask": pieces.mask.long()}
    if model.config.model_type not in ("distilbert", "modernbert", "mpnet"):
        inputs["token_type_ids"] = pieces.token_types
    return model(**inputs).last_hidden_state


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("variant", sorted(LIGHT_FAMILIES))
def test_the_light_modules_compute_what_those_of_transformers_do(variant, training):
    model = make_model(variant)
    encoder = make_encoder(model).train(training)
    light = build_light_encoder(encoder.config).train(training)
    light.load_state_dict(encoder.state_dict())
    results = []
    for one in (encoder, light):
        torch.manual_seed(0)  # of the dropout
        pieces = make_pieces()
        prefixes = make_prefixes(one, torch.tensor([[True] * 2, [True, False]]))
        hidden = one(pieces, prefixes)
        hidden[pieces.mask].sum().backward()
        gradients = {name: p.grad for name, p in one.named_parameters() if p.grad is not None}
        results.append({"hidden": hidden[pieces.mask], **gradients})
    assert results[0].keys() == results[1].keys()
    for name, values in results[0].items():
        torch.testing.assert_close(results[1][name], values, msg=name)
    assert light.config == encoder.config


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "electra"},
        {"model_type": "bert", "hidden_act": "gelu_new"},
        {"model_type": "bert", "num_hidden_layers": 0},
        {"model_type": "bert", "position_embedding_type": "relative_key"},
        {"model_type": "bert", "hidden_size": "wide"},
        {},
    ],
)
def test_other_models_are_left_to_transformers(config):
    assert build_light_encoder(config) is None


@pytest.fixture(params=sorted(VARIANTS))
def variant(request) -> str:
    return request.param


@pytest.fixture
def encoder(variant) -> Encoder:
    return make_encoder(make_model(variant)).eval()


def test_every_family_is_tested():
    assert {model_type for model_type, _ in VARIANTS.values()} == set(FAMILIES)


def test_without_prefix_equals_the_plain_encoder(variant, encoder):
    pieces = make_pieces()
    expected = plain_output(make_model(variant), pieces)
    torch.testing.assert_close(
        encoder(pieces)[pieces.mask], expected[pieces.mask], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("variant", WITH_SDPA)
def test_equals_the_plain_encoder_with_either_attention_of_its_own(variant):
    pieces = make_pieces()
    eager, sdpa = (plain_output(make_model(variant, kind), pieces) for kind in ("eager", "sdpa"))
    encoder = make_encoder(make_model(variant, "sdpa")).eval()
    for expected in (eager, sdpa):
        torch.testing.assert_close(
            encoder(pieces)[pieces.mask], expected[pieces.mask], atol=1e-5, rtol=0
        )


def test_masked_prefix_equals_the_plain_encoder(variant, encoder):
    pieces = make_pieces()
    prefixes = make_prefixes(encoder, torch.zeros(2, 3, dtype=torch.bool))
    expected = plain_output(make_model(variant), pieces)
    actual = encoder(pieces, prefixes)
    torch.testing.assert_close(actual[pieces.mask], expected[pieces.mask], atol=1e-5, rtol=0)


def test_gradient_reaches_the_prefix_of_every_layer(encoder):
    pieces = make_pieces()
    prefixes = make_prefixes(encoder, torch.tensor([[True, True], [True, False]]))
    weights = torch.randn(2, 9, encoder.width)
    (encoder(pieces, prefixes) * weights)[pieces.mask].sum().backward()
    for states in (prefixes.keys, prefixes.values):
        for layer in states.grad:
            assert layer[0].abs().sum(dim=1).all()
            assert layer[1, 0].any()
            assert not layer[1, 1].any(), "a masked slot has no gradient"


def test_positions_of_the_text_do_not_shift(encoder):
    """The number of masked slots changes nothing."""
    pieces = make_pieces()
    shape = (encoder.num_layers, 2, 6, encoder.width)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    longer = encoder(pieces, Prefixes(torch.randn(shape), torch.randn(shape), mask))
    shorter = encoder(pieces, Prefixes(*[torch.randn(shape)[:, :, :1]] * 2, mask[:, :1]))
    torch.testing.assert_close(longer[pieces.mask], shorter[pieces.mask], atol=1e-5, rtol=0)


def test_prefix_slots_have_no_order(encoder):
    """Slots have no rotation, no relative bias and no window, so their order has no effect."""
    pieces = make_pieces()
    prefixes = make_prefixes(encoder, torch.ones(2, 4, dtype=torch.bool))
    order = [2, 0, 3, 1]
    shuffled = Prefixes(prefixes.keys[:, :, order], prefixes.values[:, :, order], prefixes.mask)
    torch.testing.assert_close(
        encoder(pieces, prefixes)[pieces.mask],
        encoder(pieces, shuffled)[pieces.mask],
        atol=1e-5,
        rtol=0,
    )


def test_padding_changes_nothing(encoder):
    pieces = make_pieces()
    prefixes = make_prefixes(encoder, torch.tensor([[True, True], [True, False]]))
    row = torch.tensor([1])
    alone = encoder(pieces.rows(row), prefixes.rows(row))
    torch.testing.assert_close(alone[0], encoder(pieces, prefixes)[1, :4], atol=1e-5, rtol=0)


def without_packing(monkeypatch) -> None:
    monkeypatch.setattr(Packing, "of", classmethod(lambda cls, mask: None))


@pytest.mark.parametrize("square", [False, True])
def test_work_without_padding_equals_work_with_padding(variant, encoder, square, monkeypatch):
    """Outputs, recorded attention and all gradients, with prefixes and with either mask."""
    pieces = make_pieces()
    first = torch.tensor([[True] * 5 + [False] * 4, [True] * 3 + [False] * 6])
    mask = pieces.mask
    if square:
        mask = torch.where(first.unsqueeze(2), first.unsqueeze(1), mask.unsqueeze(1))
    weights = torch.randn(2, 9, encoder.width)
    found = []
    for packed in (True, False):
        if not packed:
            without_packing(monkeypatch)
        encoder.zero_grad()
        torch.manual_seed(2)
        prefixes = make_prefixes(encoder, torch.tensor([[True, True], [True, False]]))
        slots: list[torch.Tensor] = []
        hidden = encoder.run(encoder.embed(pieces), mask, prefixes, slot_weights=slots)
        (hidden * weights)[pieces.mask].sum().backward()
        gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
        found.append(
            [
                hidden[pieces.mask],
                *(weight[pieces.mask] for weight in slots),
                prefixes.keys.grad,
                prefixes.values.grad,
                *gradients,
            ]
        )
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def test_only_attention_computes_padding_on_a_cpu(monkeypatch):
    encoder = make_encoder(make_model("bert")).eval()
    pieces, rows = make_pieces(), []
    for layer in encoder.layers:
        for module in (layer.attention.self.query, layer.intermediate, layer.output):
            module.register_forward_hook(lambda *call: rows.append(call[2].shape[:2].numel()))
    encoder(pieces)
    assert set(rows) == {int(pieces.mask.sum())} == {13}
    rows.clear()
    without_packing(monkeypatch)
    encoder(pieces)
    assert set(rows) == {18}


def test_layers_run_in_parts_and_word_pieces_are_hidden_from_others(variant, encoder):
    """Hidden word pieces change nothing in the text, in any layer."""
    if encoder.mixes_neighbours:
        with pytest.raises(ValueError, match="MSVSE-E007"):
            build_network({"types": ["PER"], "shared_depth": 0.5}, encoder=encoder)
        return
    pieces = make_pieces()
    first = torch.tensor([[True] * 5 + [False] * 4, [True] * 3 + [False] * 6])
    sees = torch.where(first.unsqueeze(2), first.unsqueeze(1), pieces.mask.unsqueeze(1))
    hidden = encoder.run(encoder.embed(pieces), sees, stop=2)
    alone = encoder(WordPieces(pieces.ids[:, :5], first[:, :5], pieces.token_types[:, :5]))
    apart = encoder.finish(encoder.run(hidden[:, :5], first[:, :5], start=2))
    torch.testing.assert_close(apart[first[:, :5]], alone[first[:, :5]], atol=1e-5, rtol=0)


def test_gradient_checkpointing_gives_equal_gradients(encoder):
    pieces = make_pieces()
    encoder.train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    weights = torch.randn(2, 9, encoder.width)
    gradients = []
    for checkpointing in (False, True):
        encoder.gradient_checkpointing = checkpointing
        encoder.zero_grad()
        torch.manual_seed(2)
        prefixes = make_prefixes(encoder, torch.ones(2, 2, dtype=torch.bool))
        (encoder(pieces, prefixes) * weights)[pieces.mask].sum().backward()
        parameters = [p.grad for p in encoder.parameters() if p.grad is not None]
        gradients.append([prefixes.keys.grad, prefixes.values.grad, *parameters])
    torch.testing.assert_close(*gradients)


def test_low_rank_adapters_change_nothing_before_training_and_train_alone(encoder):
    pieces = make_pieces()
    expected = encoder(pieces)
    add_lora(encoder, {"r": 2})
    torch.testing.assert_close(encoder(pieces), expected)
    encoder(pieces)[pieces.mask].square().sum().backward()
    trained = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert trained
    assert all(LORA_PARAMETER in name for name in trained)


def test_the_configuration_builds_the_same_encoder(encoder):
    again = build_encoder(encoder.config).eval()
    again.load_state_dict(encoder.state_dict())
    pieces = make_pieces()
    assert torch.equal(again(pieces), encoder(pieces))


def test_the_longest_text_fits(encoder):
    ids = torch.full((1, encoder.max_length), 7)
    encoder(WordPieces(ids, ids.bool(), torch.zeros_like(ids)))


def test_prefix_attention_is_a_softmax_over_prefix_and_text():
    """The attention function equals the formula."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, 5, 4).unbind()
    prefix_key, prefix_value = torch.randn(2, 1, 2, 16).unbind()
    bias = torch.randn(1, 4, 5, 5)
    attend = PrefixAttention(4, torch.ones(1, 1, 1, 7, dtype=torch.bool), prefix_key, prefix_value)

    def heads(states):
        return states.view(1, -1, 4, 4).transpose(1, 2)

    scores = torch.cat(
        [
            query @ heads(prefix_key).transpose(2, 3) / 2,
            query @ key.transpose(2, 3) / 2 + bias,
        ],
        dim=3,
    )
    values = torch.cat([heads(prefix_value), value], dim=2)
    expected = (scores.softmax(-1) @ values).transpose(1, 2).reshape(1, 5, 16)
    torch.testing.assert_close(attend(query, key, value, bias=bias), expected)


def test_an_unsupported_family_is_a_coded_error():
    config = AutoConfig.for_model("t5", d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    with pytest.raises(MsvseError, match="MSVSE-E002"):
        make_encoder(AutoModel.from_config(config))
    with pytest.raises(MsvseError, match="MSVSE-E002"):
        build_encoder({"model_type": "gpt2"})


def test_relative_positions_in_berts_layers_are_a_coded_error():
    config = AutoConfig.for_model("bert", **SIZES, position_embedding_type="relative_key")
    with pytest.raises(MsvseError, match="MSVSE-E002"):
        make_encoder(AutoModel.from_config(config))
