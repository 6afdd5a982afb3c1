"""UAMNer: only uncertain tokens are labelled with the picture, and samples are always the same."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.network.methods.uamner import Uamner

from .conftest import TINY_ENCODER, make_inputs, text_only


def make_uamner(**settings) -> Uamner:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6}
    return Uamner.build({**base, **settings}).eval()


@pytest.fixture
def inputs():
    return make_inputs([5, 3], [4, 2], [0, 0], [0, 0])


def without_picture(inputs):
    return replace(inputs, vectors={})


def test_without_a_limit_the_answer_is_that_of_the_text_whatever_the_picture(inputs):
    network = make_uamner(max_uncertainty=1000.0)
    outputs = network(inputs)
    assert torch.equal(outputs.answer.emissions, outputs.others["draft"].emissions)
    other = network(without_picture(inputs)).answer.emissions
    assert torch.equal(outputs.answer.emissions, other)
    tagger = text_only(network)
    assert torch.equal(outputs.answer.emissions, tagger(inputs).answer.emissions)


def test_a_picture_changes_only_the_uncertain_tokens(inputs):
    network = make_uamner()
    uncertainty = network(inputs).extra["uncertainty"][inputs.token_mask]
    network = make_uamner(max_uncertainty=float(uncertainty.median()))
    first, second = network(inputs), network(without_picture(inputs))
    changed = (first.answer.emissions != second.answer.emissions).any(dim=2)
    uncertain = first.extra["uncertainty"] > network.config.max_uncertainty
    mask = inputs.token_mask
    assert torch.equal(changed[mask], uncertain[mask])
    assert 0 < int(uncertain[mask].sum()) < int(mask.sum())


def test_the_samples_are_the_same_in_each_prediction_and_each_copy(inputs):
    first = make_uamner()
    torch.manual_seed(1)
    copy = Uamner.build(first.config).eval()
    assert torch.equal(first(inputs).extra["uncertainty"], first(inputs).extra["uncertainty"])
    copy.load_state_dict(first.state_dict())
    assert torch.equal(first(inputs).extra["uncertainty"], copy(inputs).extra["uncertainty"])


def test_the_samples_leave_out_features():
    """Their mean is not the distribution of the head, unless nothing is left out."""
    hidden = torch.randn(1, 3, 16)
    for dropout, differs in ((0.3, True), (0.0, False)):
        network = make_uamner(sample_dropout=dropout)
        whole = network.decoder.emissions(hidden).softmax(dim=2)
        found = network.sample_labels(hidden)
        assert torch.allclose(found, whole, atol=1e-5) != differs


def test_a_label_that_is_planted_half_the_time_is_more_uncertain_than_a_clear_one(inputs):
    network = make_uamner()
    head = network.decoder.emissions
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-20.0)
        head.bias[0] = head.bias[1] = 0.0
    even = network(inputs).extra["uncertainty"]
    with torch.no_grad():
        head.bias[0] = 20.0
    clear = network(inputs).extra["uncertainty"]
    torch.testing.assert_close(even, torch.full_like(even, 0.693), atol=1e-3, rtol=0)
    assert (clear < 1e-3).all()
