"""The base of every method: a tagger over texts, and a method that answers with spans."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import Network, NetworkConfig, token_vectors
from spacy_msvse.network.build import build_network
from spacy_msvse.network.inputs import Loss, Outputs
from spacy_msvse.network.methods.text_crf import TextCrf
from spacy_msvse.network.spans import RatesAbsence, ScoredSpans

from .conftest import TINY_ENCODER, make_inputs, make_targets, text_crf

BASE = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER}


@dataclass(frozen=True)
class WordSpansConfig(NetworkConfig):
    """Settings of `WordSpans`."""

    max_tokens: int = 2


class WordSpans(Network):
    """A method that scores every span of a few tokens by the mean of its tokens."""

    Config = WordSpansConfig
    config: WordSpansConfig

    def __init__(self, config, encoder, backbone=None):
        super().__init__(config, encoder, backbone)
        self.scores = nn.Linear(encoder.width, len(config.types) + 1)

    def compute(self, inputs):
        tokens = token_vectors(self.encoder(inputs.text), inputs)
        spans = torch.tensor(
            [
                (post, start, end)
                for post, length in enumerate(inputs.token_mask.sum(dim=1).tolist())
                for start in range(length)
                for end in range(start + 1, min(start + self.config.max_tokens, length) + 1)
            ]
        )
        means = [tokens[post, start:end].mean(dim=0) for post, start, end in spans.tolist()]
        return Outputs(ScoredSpans(spans, self.scores(torch.stack(means))))

    def loss(self, outputs, targets):
        begins = targets.allowed.int().argmax(dim=2)
        none = len(self.config.types)
        gold = torch.full((len(outputs.answer.spans),), none)
        for row, (post, start, end) in enumerate(outputs.answer.spans.tolist()):
            label = int(begins[post, start])
            if end == start + 1 and label % 2:
                gold[row] = (label - 1) // 2
        losses = nn.functional.cross_entropy(outputs.answer.scores, gold, reduction="none")
        total = self.reduce(losses)
        return Loss(total, {"spans": total})


def test_a_method_that_answers_with_spans_learns_and_is_decoded():
    torch.manual_seed(0)
    network = build_network({**BASE, "max_tokens": 2}, WordSpans)
    inputs = make_inputs([4, 3], [0, 0], [0, 0], [0, 0])
    targets = make_targets(inputs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    network.set_dropout(0.0)
    network.train()
    for _ in range(80):
        optimizer.zero_grad()
        network.loss(network(inputs), targets).total.backward()
        optimizer.step()
    answer = network.eval().answer(network(inputs))
    labels = targets.allowed.int().argmax(dim=2)
    gold = [
        [post, token, token + 1, (int(labels[post, token]) - 1) // 2]
        for post in range(2)
        for token in range([4, 3][post])
        if labels[post, token]
    ]
    assert answer.best_entities().tolist() == gold
    probabilities = answer.span_log_probabilities(answer.best_entities()).exp()
    assert (probabilities > 0.5).all()


def test_overlapping_spans_are_dropped_and_probabilities_are_those_of_the_softmax():
    spans = torch.tensor([[0, 0, 2], [0, 1, 2], [0, 2, 3], [1, 0, 1]])
    scores = torch.tensor([[3.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [0, 0, 5.0]])
    answer = ScoredSpans(spans, scores)
    assert answer.best_entities().tolist() == [[0, 0, 2, 0], [0, 2, 3, 1]]
    entities = torch.tensor([[0, 1, 2, 0], [0, 0, 3, 0]])
    values = answer.span_log_probabilities(entities)
    assert values[0] == pytest.approx(scores[1].log_softmax(0)[0].item())
    assert values[1] == -torch.inf
    assert answer.tempered(2.0).scores.tolist() == (scores / 2).tolist()
    own = answer.tempered(torch.tensor([2.0, 4.0])).scores
    assert own.tolist() == (scores / torch.tensor([[2.0], [2.0], [2.0], [4.0]])).tolist()
    assert answer.double().scores.dtype == torch.double
    nothing = ScoredSpans(spans[:0], scores[:0])
    assert nothing.best_entities().shape == (0, 4)
    assert nothing.span_log_probabilities(entities[:0]).shape == (0,)


def test_the_absence_is_that_of_the_least_certain_candidate_that_is_no_entity():
    spans = torch.tensor([[0, 0, 2], [0, 1, 2], [0, 2, 3], [2, 0, 1], [2, 1, 2]])
    scores = torch.tensor([[3.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [0, 0, 5.0], [0, 0, 1.0]])
    answer = ScoredSpans(spans, scores)
    assert isinstance(answer, RatesAbsence)
    found = answer.best_entities()
    assert found.tolist() == [[0, 0, 2, 0], [0, 2, 3, 1]]
    values = answer.absence_log_probabilities(found, 3).tolist()
    # A candidate that was dropped because it overlaps is probably an entity, too.
    expected = [scores[1].log_softmax(0)[2].item(), 0.0, scores[4].log_softmax(0)[2].item()]
    assert values == pytest.approx(expected)
    assert ScoredSpans(spans[:0], scores[:0]).absence_log_probabilities(found[:0], 2).tolist() == [
        0.0,
        0.0,
    ]


def test_an_unknown_setting_is_named_with_the_known_ones():
    with pytest.raises(MsvseError, match=r"MSVSE-E015.*'gates' is not a setting of Text.*lora"):
        text_crf(gates=True)


def test_a_method_that_computes_no_outputs_is_named(inputs):
    class Forgetful(TextCrf):
        def compute(self, inputs):
            super().compute(inputs)

    network = Forgetful.build(BASE)
    with pytest.raises(MsvseError, match=r"MSVSE-E084.*Forgetful returned a NoneType"):
        network(inputs)


def test_views_are_counted_by_what_is_present_in_any_form(inputs):
    network = text_crf(joint_views=["caption"]).train()
    network(inputs)
    assert network.view_shares() == pytest.approx({"caption": 1 / 3})
    assert network.untrained_views(0.5) == pytest.approx({"caption": 1 / 3})
    assert network.untrained_views(0.3) == {}


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        (5, "config"),
        ({}, "types"),
        ({"types": []}, "types"),
        ({"types": "PER"}, "types"),
        ({"types": ["PER"], "encoder": {"num_hidden_layers": 0}}, "encoder"),
        ({"types": ["PER"], "encoder": {"num_hidden_layers": 10**9}}, "encoder"),
        ({"types": ["PER"], "encoder": {"hidden_size": "x"}}, "encoder"),
        ({"types": ["PER"], "encoder": {"hidden_size": 33}}, "encoder"),
    ],
)
def test_a_config_that_cannot_be_used_is_a_coded_error(config, setting):
    with pytest.raises(MsvseError, match=rf"MSVSE-E007.*\b{setting} is "):
        build_network(config)
