"""The attention that words pay to views, against the encoder's own arithmetic."""

import pytest
import torch

from spacy_msvse.network.attention import recorded_attention
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


@pytest.mark.parametrize("shared_depth", [0.0, 0.5])
def test_attention_is_a_share_and_absent_views_get_none(inputs, shared_depth):
    network = tiny_network(shared_depth=shared_depth)
    with recorded_attention(network) as record, torch.inference_mode():
        network(inputs)
    (batch,) = record
    assert set(batch) == set(VIEWS)
    total = sum(weights.sum(dim=2) for weights in batch.values())
    assert (total < 1).all()
    for view, present in (("regions", [1, 0, 1]), ("tags", [1, 0, 0]), ("caption", [1, 0, 0])):
        assert batch[view].flatten(1).any(dim=1).tolist() == [bool(p) for p in present]
    # No word is behind the end of a post, and no region behind the last.
    assert not batch["regions"][2, :, 2:].any()
    assert not batch["regions"][0, 5:].any()
    assert batch["regions"][0, :5].all()


def test_a_post_pays_the_same_attention_alone_as_in_a_batch(inputs):
    network = tiny_network()
    alone = make_inputs([5], [4], [3], [6])
    with recorded_attention(network) as record, torch.inference_mode():
        network(alone)
        padded = make_inputs([5, 2], [4, 0], [3, 0], [6, 0])
        for name in ("ids", "types"):
            for pieces, ours in ((padded.text, alone.text), (padded.joint, alone.joint)):
                getattr(pieces, name)[:1, : ours.ids.shape[1]] = getattr(ours, name)
        for view in ("tags", "caption"):
            padded.views[view].ids[:1] = alone.views[view].ids
        padded.regions.vectors[:1], padded.regions.boxes[:1] = (
            alone.regions.vectors,
            alone.regions.boxes,
        )
        network(padded)
    for view in VIEWS:
        torch.testing.assert_close(record[0][view][0], record[1][view][0, :5])


def test_recording_changes_nothing_and_ends(inputs):
    network = tiny_network()
    with torch.inference_mode():
        before = network(inputs)
        with recorded_attention(network):
            during = network(inputs)
        with recorded_attention(network) as record:
            pass
        network(inputs)
    assert torch.equal(before.multimodal.emissions, during.multimodal.emissions)
    assert record == []
    assert network.encoder.slot_weights is None


def test_reduced_precision_is_recorded_in_full(inputs):
    network = tiny_network()
    with recorded_attention(network) as record, torch.inference_mode():
        network(inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            network(inputs)
    for view in VIEWS:
        assert record[1][view].dtype == torch.float32
        torch.testing.assert_close(record[1][view], record[0][view], atol=0.01, rtol=0.1)


def test_a_network_without_prefixes_records_nothing(inputs):
    network = tiny_network(prefixes=False)
    with recorded_attention(network) as record, torch.inference_mode():
        network(inputs)
    assert record == []
