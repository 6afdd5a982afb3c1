"""UMGF: objects are a set, an absent one contributes nothing, and posts do not share them."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import token_vectors
from spacy_msvse.network.methods.umgf import Umgf

from .conftest import TINY_ENCODER, make_inputs

SIZES = {"fusion_layers": 2, "fusion_width": 8, "fusion_heads": 2, "fusion_inner_width": 8}


def make_umgf(**settings) -> Umgf:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6}
    return Umgf.build({**base, **SIZES, **settings}).eval()


def change_regions(inputs, change):
    regions = inputs.vectors["regions"]
    return replace(inputs, vectors={"regions": change(regions)})


def emissions(network, inputs):
    return network(inputs).answer.emissions[inputs.token_mask]


@pytest.fixture
def inputs():
    return make_inputs([5, 3], [4, 4], [0, 0], [0, 0])


def test_the_order_of_objects_does_not_matter(inputs):
    network, order = make_umgf(), torch.tensor([2, 0, 3, 1])
    other = change_regions(inputs, lambda r: replace(r, vectors=r.vectors[:, order]))
    torch.testing.assert_close(emissions(network, other), emissions(network, inputs))


def test_a_masked_object_equals_a_removed_one(inputs):
    network = make_umgf()
    keep = torch.tensor([True, True, False, True])
    masked = change_regions(inputs, lambda r: replace(r, mask=r.mask & keep))
    removed = change_regions(
        inputs, lambda r: type(r)(r.vectors[:, keep], r.boxes[:, keep], r.mask[:, keep])
    )
    torch.testing.assert_close(emissions(network, masked), emissions(network, removed))


def test_without_objects_the_text_passes_a_plain_transformer(inputs):
    network = make_umgf()
    absent = change_regions(inputs, lambda r: replace(r, mask=torch.zeros_like(r.mask)))
    mask = inputs.token_mask
    hidden = token_vectors(network.encoder(inputs.text), inputs)
    text = network.text_projection(hidden)
    for layer in network.layers:
        attended, _ = layer.text_attention(text, text, text, key_padding_mask=~mask)
        text = layer.text_norms[1](layer.text_norms[0](text + attended))
        text = layer.text_norms[2](text + layer.text_inner(text))
    expected = network.decoder.score(torch.cat([hidden, text], dim=2))[mask]
    torch.testing.assert_close(emissions(network, absent), expected)
    assert not torch.allclose(emissions(network, inputs), expected)


def test_an_object_reaches_only_its_own_post(inputs):
    network = make_umgf()
    before = network(inputs).answer.emissions
    other = change_regions(
        inputs, lambda r: replace(r, vectors=r.vectors + torch.tensor([1.0, 0.0])[:, None, None])
    )
    after = network(other).answer.emissions
    assert not torch.allclose(after[0], before[0])
    torch.testing.assert_close(after[1, :3], before[1, :3])


def test_the_message_to_an_object_does_not_grow_with_the_text():
    network = make_umgf()
    layer = network.layers[0]
    token, objects = torch.randn(1, 1, 8), torch.randn(1, 2, 8)
    mask = torch.ones(1, 2, dtype=torch.bool)
    outputs = [
        layer(token.expand(1, n, 8), objects, torch.ones(1, n, dtype=torch.bool), mask)[1]
        for n in (1, 50)
    ]
    torch.testing.assert_close(*outputs)


def test_a_width_that_the_heads_cannot_divide_is_a_coded_error():
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*fusion_width.*multiple"):
        make_umgf(fusion_width=7)
