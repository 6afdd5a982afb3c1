"""HvpNet: each layer weighs the levels of a pyramid; crops are a set, and may be absent."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.errors import MsvseError
from spacy_msvse.network.inputs import Regions
from spacy_msvse.network.methods.hvpnet import HvpNet

from .conftest import TINY_ENCODER, make_inputs, text_only

LEVELS = [1, 2, 3]


def make_hvpnet(**settings) -> HvpNet:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6, "cells": 2}
    return HvpNet.build({**base, "levels": LEVELS, **settings}).eval()


@pytest.fixture
def inputs():
    """Posts of three crops of two cells."""
    return make_inputs([5, 3], [6, 6], [0, 0], [0, 0])


def with_regions(inputs, change):
    return replace(inputs, vectors={"regions": change(inputs.vectors["regions"])})


def emissions(network, inputs):
    return network(inputs).answer.emissions[inputs.token_mask]


def level_weights(network, regions: Regions) -> torch.Tensor:
    """(layers, posts, crops, levels)"""
    prefixes = network.prefixes
    parts = regions.vectors.unflatten(1, (-1, 2)).split_with_sizes(LEVELS, dim=3)
    mapped = torch.stack([m(part) for m, part in zip(prefixes.maps, parts, strict=True)], dim=3)
    mean = mapped.mean(dim=3).flatten(2)
    return torch.stack([prefixes.level_weights(gate, mean) for gate in prefixes.gates])


def test_the_weights_of_the_levels_add_up_to_1_and_differ_between_layers(inputs):
    weights = level_weights(make_hvpnet(), inputs.vectors["regions"])
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(3, 2, 3))
    assert not torch.allclose(weights[0], weights[1])


def test_a_level_that_every_gate_closes_does_not_matter(inputs):
    network = make_hvpnet()
    with torch.no_grad():
        for gate in network.prefixes.gates:
            gate.weight.zero_()
            gate.bias[2] = -1e9
    before = emissions(network, inputs)
    changed = with_regions(
        inputs,
        lambda r: replace(r, vectors=torch.cat([r.vectors[..., :3], r.vectors[..., 3:] + 5], 2)),
    )
    torch.testing.assert_close(emissions(network, changed), before)
    changed = with_regions(inputs, lambda r: replace(r, vectors=r.vectors + 5))
    assert not torch.allclose(emissions(network, changed), before)


def test_an_absent_crop_equals_a_removed_one(inputs):
    network = make_hvpnet()
    keep = torch.tensor([True, True, False, False, True, True])
    masked = with_regions(inputs, lambda r: replace(r, mask=r.mask & keep))
    removed = with_regions(
        inputs, lambda r: Regions(r.vectors[:, keep], r.boxes[:, keep], r.mask[:, keep])
    )
    torch.testing.assert_close(emissions(network, masked), emissions(network, removed))


def test_the_order_of_crops_does_not_matter(inputs):
    network, order = make_hvpnet(), torch.tensor([4, 5, 0, 1, 2, 3])
    turned = with_regions(inputs, lambda r: replace(r, vectors=r.vectors[:, order]))
    torch.testing.assert_close(emissions(network, turned), emissions(network, inputs))


def test_without_crops_the_scores_are_those_of_a_text_tagger(inputs):
    network = make_hvpnet()
    absent = with_regions(inputs, lambda r: replace(r, mask=torch.zeros_like(r.mask)))
    expected = emissions(text_only(network), inputs)
    torch.testing.assert_close(emissions(network, absent), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(emissions(network, inputs), expected)


def test_attention_is_recorded_for_each_region(inputs):
    network = make_hvpnet()
    with network.recording_attention():
        attention = network(inputs).attention["regions"]
    assert attention.shape == (2, 5, 6)
    assert (attention[inputs.token_mask].sum(dim=1) > 0).all()


def test_the_levels_of_the_extractor_are_the_default():
    network = make_hvpnet(levels=None, region_levels=LEVELS)
    assert [level.in_features for level in network.prefixes.maps] == LEVELS
    assert len(make_hvpnet(levels=None).prefixes.maps) == 1
    assert len(make_hvpnet(levels=[2, 4], region_levels=LEVELS).prefixes.maps) == 2


def test_levels_of_an_extractor_that_do_not_add_up_are_a_coded_error():
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*region_levels.*add up to region_dim \(6\)"):
        make_hvpnet(region_levels=[1, 2])


def test_levels_that_are_not_those_of_the_regions_are_a_coded_error():
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*levels.*add up to 6"):
        make_hvpnet(levels=[1, 2])
