"""The parts that several methods share, by themselves."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from spacy_msvse.network.boundaries import boundary_targets
from spacy_msvse.network.cross import CrossLayer
from spacy_msvse.network.decoder import tied_losses, token_loss
from spacy_msvse.network.interaction import TokenGate

from .conftest import make_inputs, make_targets, text_crf


@pytest.fixture
def layer() -> CrossLayer:
    torch.manual_seed(0)
    return CrossLayer(8, 2, 0.0).eval()


def test_a_cross_layer_of_vectors_with_themselves_is_the_layer_of_pytorch(layer):
    """The names of its parts: attention, two linear maps, two normalisations."""
    theirs = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True).eval()
    names = {"self_attn": "attention", "linear1": "inner", "linear2": "outer", "norm2": "norm"}
    names["norm1"] = "attention_norm"
    ours = layer.state_dict()
    theirs.load_state_dict(
        {
            key: ours[key.replace(part, names[part], 1)]
            for key in theirs.state_dict()
            for part in [key.split(".")[0]]
        }
    )
    vectors = torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    expected = theirs(vectors, src_key_padding_mask=~mask)
    torch.testing.assert_close(layer(vectors, vectors, mask)[mask], expected[mask])


def test_a_cross_layer_reads_the_vectors_in_the_mask(layer):
    queries, keys = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    mask = torch.tensor([[True, False, True]] * 2)
    seen = layer(queries, keys, mask)
    torch.testing.assert_close(seen, layer(queries, keys[:, [0, 2]], mask[:, [0, 2]]))
    assert not torch.allclose(seen, layer(queries, -keys, mask))


def test_a_cross_layer_without_vectors_to_read_returns_the_queries(layer):
    queries, keys = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    mask = torch.tensor([[False] * 3, [True] * 3])
    seen = layer(queries, keys, mask)
    assert torch.equal(seen[0], queries[0])
    assert not torch.allclose(seen[1], queries[1])


def test_a_cross_layer_has_7_million_parameters_at_the_width_of_bert():
    with torch.device("meta"):
        layer = CrossLayer(768, 12, 0.1)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 7_087_872


def test_a_gate_lets_nothing_of_an_absent_vector_through():
    gate, own = TokenGate(8), torch.randn(3, 8)
    assert not gate(own, torch.zeros(3, 8)).any()
    assert gate(own, torch.ones(3, 8)).all()


def test_a_vector_behind_a_closed_gate_gets_no_gradient():
    gate, own = TokenGate(8), torch.randn(3, 8)
    other = torch.randn(3, 8, requires_grad=True)
    gate(own, other).sum().backward()
    assert other.grad.all()
    other.grad = None
    with torch.no_grad():
        gate.linear.bias.fill_(-1e4)
    gate(own, other).sum().backward()
    assert not other.grad.any()


def test_the_targets_of_boundaries_are_those_of_the_labels_without_types():
    """O, B-PER, I-PER, B-LOC, I-LOC, and a token that may be O or B-LOC."""
    allowed = torch.eye(5, dtype=torch.bool)[None]
    either = torch.tensor([[[True, False, False, True, False]]])
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert boundary_targets(torch.cat([allowed, either], dim=1))[0].int().tolist() == expected


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_tie_is_the_divergence_of_the_tempered_marginals(temperature):
    """ITA: t^2 KL(softmax(m / t)), m the log-marginals of each CRF."""
    inputs = make_inputs([4], [0], [0], [3])
    outputs = text_crf(joint_views=["caption"], text_view=True)(inputs)
    teacher, student = outputs.answer, outputs.others["text"]
    teacher = replace(teacher, emissions=3 * teacher.emissions)  # further from the student
    first, second = (
        (lattice.marginals() / temperature).log_softmax(dim=2) for lattice in (teacher, student)
    )
    divergence = torch.nn.functional.kl_div(second, first, log_target=True, reduction="sum") / 4
    allowed = make_targets(inputs).allowed
    own, other, (found,) = tied_losses(teacher, student, allowed, temperature)
    torch.testing.assert_close(own, token_loss(teacher, allowed))
    torch.testing.assert_close(other, token_loss(student, allowed))
    torch.testing.assert_close(found, temperature**2 * divergence)
