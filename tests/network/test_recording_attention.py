"""Attention of tokens to the vectors of each view, against the encoder's own arithmetic."""

import pytest
import torch

from spacy_msvse.network.encoders.base import PrefixAttention

from .conftest import make_inputs, tiny_network

VIEWS = ("regions", "tags", "caption")


def test_slot_weights_are_the_softmax_over_slots_and_text():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 8)
    mask = torch.ones(2, 1, 1, 8, dtype=torch.bool)
    mask[0, ..., 1] = mask[1, ..., 6:] = False
    slots = torch.randn(2, 3, 32)
    attend = PrefixAttention(4, mask, slots, slots, slot_weights=[])
    attend(query, key, value)
    keys = torch.cat([attend.split(slots), key], dim=2)
    scores = (query @ keys.transpose(2, 3) / 8**0.5).masked_fill(~mask, -torch.inf)
    (weights,) = attend.slot_weights
    torch.testing.assert_close(weights, scores.softmax(dim=3)[..., :3].mean(dim=1))


def recorded(network, inputs) -> dict[str, torch.Tensor]:
    with network.recording_attention(), torch.inference_mode():
        return network(inputs).attention


@pytest.mark.parametrize("shared_depth", [0.0, 0.5])
def test_attention_is_a_share_and_absent_views_get_none(inputs, shared_depth):
    attention = recorded(tiny_network(shared_depth=shared_depth), inputs)
    assert set(attention) == set(VIEWS)
    total = sum(weights.sum(dim=2) for weights in attention.values())
    assert (total < 1).all()
    for view, present in (("regions", [1, 0, 1]), ("tags", [1, 0, 0]), ("caption", [1, 0, 0])):
        assert attention[view].flatten(1).any(dim=1).tolist() == [bool(p) for p in present]
    # No attention after the end of a post, or to a region after the last.
    assert not attention["regions"][2, :, 2:].any()
    assert not attention["regions"][0, 5:].any()
    assert attention["regions"][0, :5].all()


def test_a_post_has_the_same_attention_alone_as_in_a_batch(inputs):
    network = tiny_network()
    alone = make_inputs([5], [4], [3], [6])
    padded = make_inputs([5, 2], [4, 0], [3, 0], [6, 0])
    for name in ("ids", "token_types"):
        for pieces, ours in ((padded.text, alone.text), (padded.joint, alone.joint)):
            getattr(pieces, name)[:1, : ours.ids.shape[1]] = getattr(ours, name)
    for view in ("tags", "caption"):
        padded.texts[view].ids[:1] = alone.texts[view].ids
    for name in ("vectors", "boxes"):
        getattr(padded.vectors["regions"], name)[:1] = getattr(alone.vectors["regions"], name)
    first, second = recorded(network, alone), recorded(network, padded)
    for view in VIEWS:
        torch.testing.assert_close(first[view][0], second[view][0, :5])


def test_recording_changes_no_score_and_ends(inputs):
    network = tiny_network()
    with torch.inference_mode():
        before = network(inputs)
        with network.recording_attention():
            during = network(inputs)
        after = network(inputs)
    assert torch.equal(before.answer.emissions, during.answer.emissions)
    assert during.attention
    assert not before.attention
    assert not after.attention


def test_reduced_precision_is_recorded_in_full(inputs):
    network = tiny_network()
    full = recorded(network, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = recorded(network, inputs)
    for view in VIEWS:
        assert reduced[view].dtype == torch.float32
        torch.testing.assert_close(reduced[view], full[view], atol=0.01, rtol=0.1)


def test_a_network_without_prefixes_records_nothing(inputs):
    assert recorded(tiny_network(prefixes=False), inputs) == {}
