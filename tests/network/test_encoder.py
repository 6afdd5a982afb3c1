"""The encoder adapter: prefixes reach every layer, and nothing else changes."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from spacy_msvse.network.encoder import Encoder, Prefixes
from spacy_msvse.network.inputs import WordPieces

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
FAMILIES = {
    "bert": SIZES,
    "roberta": SIZES,
    "xlm-roberta": SIZES,
    "camembert": SIZES,
    "electra": {**SIZES, "embedding_size": 8},
}


def make_pieces() -> WordPieces:
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    # RoBERTa's family reads padding off the ids, so pad with its padding id.
    ids = torch.where(mask, torch.randint(5, 50, (2, 7)), 1)
    return WordPieces(ids, mask, torch.zeros_like(ids))


def make_prefixes(encoder: Encoder, mask: torch.Tensor) -> Prefixes:
    shape = (encoder.num_layers, *mask.shape, encoder.width)
    keys = torch.randn(shape, requires_grad=True)
    values = torch.randn(shape, requires_grad=True)
    return Prefixes(keys, values, mask)


@pytest.fixture(params=sorted(FAMILIES))
def model(request):
    torch.manual_seed(0)
    settings = FAMILIES[request.param]
    if request.param != "bert":
        settings = {**settings, "type_vocab_size": 2}
    return AutoModel.from_config(AutoConfig.for_model(request.param, **settings)).eval()


def test_without_prefix_equals_the_plain_encoder(model):
    pieces = make_pieces()
    expected = model(
        pieces.ids, attention_mask=pieces.mask, token_type_ids=pieces.types
    ).last_hidden_state
    actual = Encoder(model)(pieces)
    torch.testing.assert_close(actual[pieces.mask], expected[pieces.mask], atol=1e-5, rtol=0)


def test_masked_prefix_equals_the_plain_encoder(model):
    pieces, encoder = make_pieces(), Encoder(model)
    prefixes = make_prefixes(encoder, torch.zeros(2, 3, dtype=torch.bool))
    actual = encoder(pieces, prefixes)[pieces.mask]
    torch.testing.assert_close(actual, encoder(pieces)[pieces.mask], atol=1e-5, rtol=0)


def test_gradient_reaches_the_prefix_of_every_layer(model):
    pieces, encoder = make_pieces(), Encoder(model)
    prefixes = make_prefixes(encoder, torch.tensor([[True, True], [True, False]]))
    encoder(pieces, prefixes)[pieces.mask].square().sum().backward()
    for states in (prefixes.keys, prefixes.values):
        for layer in states.grad:
            assert layer[0].abs().sum(dim=1).all()
            assert layer[1, 0].any()
            assert not layer[1, 1].any(), "a masked slot takes no part"


def test_positions_of_the_text_do_not_shift(model):
    """Prefix slots with value 0 and a key that nothing attends to leave the text as it was."""
    pieces, encoder = make_pieces(), Encoder(model)
    embedded = encoder.embed(pieces)
    prefixes = make_prefixes(encoder, torch.ones(2, 5, dtype=torch.bool))
    encoder(pieces, prefixes)
    torch.testing.assert_close(encoder.embed(pieces), embedded)


def test_prefix_attention_is_a_softmax_over_prefix_and_text(model):
    """One layer's attention against the formula, written out."""
    from spacy_msvse.network.encoder import attend_with_prefix

    attention = model.encoder.layer[0].attention.self
    hidden, key, value = torch.randn(1, 4, 16), torch.randn(1, 2, 16), torch.randn(1, 2, 16)
    mask = torch.ones(1, 1, 1, 6, dtype=torch.bool)

    def heads(states):
        return states.view(1, -1, 4, 4).transpose(1, 2)

    keys = heads(torch.cat([key, attention.key(hidden)], dim=1))
    values = heads(torch.cat([value, attention.value(hidden)], dim=1))
    scores = heads(attention.query(hidden)) @ keys.transpose(2, 3) / 4**0.5
    expected = (scores.softmax(-1) @ values).transpose(1, 2).reshape(1, 4, 16)
    actual = attend_with_prefix(attention, hidden, mask, key, value)
    torch.testing.assert_close(actual, expected)


def test_an_unsupported_family_is_a_coded_error():
    config = AutoConfig.for_model("t5", d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    with pytest.raises(ValueError, match="MSVSE-E002"):
        Encoder(AutoModel.from_config(config))
    with pytest.raises(ValueError, match="MSVSE-E002"):
        Encoder.from_config({"model_type": "gpt2"})


def test_relative_positions_are_a_coded_error():
    config = AutoConfig.for_model("bert", **SIZES, position_embedding_type="relative_key")
    with pytest.raises(ValueError, match="MSVSE-E002"):
        Encoder(AutoModel.from_config(config))
