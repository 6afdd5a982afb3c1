"""SMVAE: spans, a product of experts, and predictions without chance."""

from dataclasses import replace
from itertools import pairwise, product

import pytest
import torch

from spacy_msvse.network.crf import label_entities
from spacy_msvse.network.inputs import Targets
from spacy_msvse.network.methods.smvae import Smvae, product_of_experts, span_weights
from spacy_msvse.network.span_candidates import list_spans, span_choices, span_means

from .conftest import TINY_ENCODER, make_inputs, make_targets


def make_smvae(**settings) -> Smvae:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6, "latent_width": 4}
    return Smvae.build({**base, **settings}).eval()


@pytest.fixture
def inputs():
    return make_inputs([5, 3], [4, 0], [0, 0], [0, 0])


def test_all_short_spans_are_candidates():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    expected = [[0, 0, 1], [0, 0, 2], [0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 0, 1]]
    assert list_spans(mask, 2).tolist() == expected
    vectors = torch.arange(6.0).view(2, 3, 1)
    means = span_means(vectors, torch.tensor(expected))
    assert means[:, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]


#: Labels: O, B-PER, I-PER, B-LOC, I-LOC.
@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        ([1, 2, 0], [(0, 2, 0)]),
        ([1, 1, 2], [(0, 1, 0), (1, 3, 0)]),
        ([3, 4, 4], [(0, 3, 1)]),
        ([0, 0, 3], [(2, 3, 1)]),
        ([1, 4, 0], [(0, 1, 0)]),  # an I of another type ends the entity
        ([0, 2, 0], []),
    ],
)
def test_the_gold_types_of_spans_are_those_of_the_labels(labels, entities):
    allowed = torch.nn.functional.one_hot(torch.tensor([labels]), 5).bool()
    mask = torch.ones(1, 3, dtype=torch.bool)
    spans = list_spans(mask, 3)
    choices = span_choices(allowed, mask, spans)
    assert (choices.sum(dim=1) == 1).all()
    types = choices.int().argmax(dim=1)
    found = [
        (s, e, t) for (_, s, e), t in zip(spans.tolist(), types.tolist(), strict=True) if t < 2
    ]
    assert found == entities


@pytest.mark.parametrize("seed", range(6))
def test_the_choices_of_a_span_are_those_of_all_allowed_labellings(seed):
    """By enumeration, for missing labels and for labels of which some types are not covered."""
    generator = torch.Generator().manual_seed(seed)
    kinds = ["one", "missing", "uncovered"]
    while True:
        draws = torch.randint(3, (1, 4), generator=generator)
        labels = torch.randint(5, (1, 4), generator=generator)
        allowed = torch.nn.functional.one_hot(labels, 5).bool()
        for token, kind in enumerate(draws[0].tolist()):
            if kinds[kind] == "missing":
                allowed[0, token] = True
            elif kinds[kind] == "uncovered":  # O of an annotation without LOC
                allowed[0, token] = torch.tensor([True, False, False, True, True])
        legal = [
            path
            for path in product(*(row.nonzero().flatten().tolist() for row in allowed[0]))
            if all(b % 2 or not b or b in (a, a + a % 2) for a, b in pairwise([0, *path]))
        ]
        if legal:
            break
    mask = torch.ones(1, 4, dtype=torch.bool)
    spans = list_spans(mask, 4)
    found = span_choices(allowed, mask, spans)
    for (_, start, end), choices in zip(spans.tolist(), found.tolist(), strict=True):
        expected = set()
        for path in legal:
            entities = {(s, e): t for _, s, e, t in label_entities(torch.tensor([path])).tolist()}
            expected.add(entities.get((start, end), 2))
        # Each token is looked at by itself, so that a choice may be allowed too often, never too
        # rarely.
        assert expected <= {place for place, one in enumerate(choices) if one}


def test_a_span_of_which_nothing_is_known_has_all_choices():
    allowed = torch.nn.functional.one_hot(torch.tensor([[1, 0, 0, 0]]), 5).bool()
    allowed[0, 2] = True
    mask = torch.ones(1, 4, dtype=torch.bool)
    spans = list_spans(mask, 2)
    choices = {
        tuple(span[1:]): [place for place, one in enumerate(row) if one]
        for span, row in zip(spans.tolist(), span_choices(allowed, mask, spans), strict=True)
    }
    assert choices == {
        (0, 1): [0],
        (0, 2): [2],
        (1, 2): [2],
        (1, 3): [2],
        (2, 3): [0, 1, 2],
        (2, 4): [2],
        (3, 4): [2],
    }


def test_the_loss_of_a_span_sums_its_choices(inputs):
    network = make_smvae()
    outputs = network(inputs)
    posts, tokens = inputs.token_mask.shape
    allowed = torch.zeros(posts, tokens, 2 * len(network.config.types) + 1, dtype=torch.bool)
    allowed[..., 0] = True
    types = torch.zeros(posts, len(network.config.types))
    covered = network.loss(outputs, Targets(allowed, types, types.bool())).terms["spans"]
    allowed[..., 1:3] = True  # the first type is not covered
    partial = network.loss(outputs, Targets(allowed, types, types.bool())).terms["spans"]
    assert partial < covered
    scores = outputs.answer.scores
    log_probability = scores.log_softmax(dim=1)[:, [0, -1]].logsumexp(dim=1)
    posts_of = outputs.answer.spans[:, 0]
    means = [-log_probability[posts_of == post].mean().item() for post in posts_of.unique()]
    assert partial.item() * network.config.loss_divisor == pytest.approx(sum(means), rel=1e-4)


def test_entities_and_other_spans_weigh_the_same():
    post = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    entity = torch.tensor([True, False, False, False, False, False, True])
    known = torch.tensor([True, True, True, False, True, True, True])
    weights = span_weights(post, entity, known, 4)
    assert weights.tolist() == [0.5, 0.25, 0.25, 0.0, 0.5, 0.5, 1.0]


def test_the_product_of_experts_is_the_closed_form():
    text = (torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    picture = (torch.tensor([[4.0]]), torch.tensor([[2.0]]).log())
    mean, log_variance = product_of_experts(text, picture, torch.tensor([[True]]))
    assert log_variance.exp().item() == pytest.approx(1 / (1 / 1 + 1 / 2))
    assert mean.item() == pytest.approx((1 / 1 + 4 / 2) / (1 / 1 + 1 / 2))
    alone = product_of_experts(text, picture, torch.tensor([[False]]))
    assert torch.equal(alone[0], text[0])
    assert torch.equal(alone[1], text[1])


def test_an_absent_picture_has_no_reconstruction_and_no_divergence(inputs):
    network = make_smvae()
    outputs = network(inputs)
    absent = outputs.answer.spans[:, 0] == 1
    assert (outputs.extra["picture"][absent] == 0).all()
    assert (outputs.extra["picture"][~absent] > 0).all()
    with torch.no_grad():  # another posterior of pictures
        network.picture_posterior.parameters_of.bias += 1.0
    changed = network(inputs).extra["divergence"] != outputs.extra["divergence"]
    assert torch.equal(changed, ~absent)


def test_the_reconstructions_train_the_encoder_only_through_the_labels(inputs):
    network = make_smvae()
    network(inputs).extra["text"].sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in network.encoder.parameters())
    network.zero_grad()
    with torch.no_grad():  # the decoder of the text no longer reads the labels
        network.text_decoder[0].weight[:, :3] = 0
    extra = network(inputs).extra
    (extra["text"].sum() + extra["picture"].sum()).backward()
    assert all(p.grad is None or not p.grad.any() for p in network.encoder.parameters())


def test_a_prediction_is_always_the_same_and_a_training_step_is_not(inputs):
    network = make_smvae()
    assert torch.equal(network(inputs).answer.scores, network(inputs).answer.scores)
    network.train()
    network.set_dropout(0.0)
    assert not torch.equal(network(inputs).answer.scores, network(inputs).answer.scores)


def test_the_candidates_do_not_depend_on_gold_labels(inputs):
    network = make_smvae()
    outputs = network(inputs)
    spans = outputs.answer.spans.clone()
    targets = make_targets(inputs)
    assert len(spans) == 5 + 4 + 3 + 2 + 1 + 3 + 2 + 1
    for allowed in (targets.allowed, targets.allowed.roll(1, 1)):
        network.loss(outputs, replace(targets, allowed=allowed))
        assert torch.equal(outputs.answer.spans, spans)
