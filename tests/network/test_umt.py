"""UMT: the boundary labels reach the entity labels, and the picture reaches only the second."""

import pytest
import torch

from spacy_msvse.network.methods.umt import Umt

from .conftest import TINY_ENCODER, make_inputs, make_targets

LENGTHS = [5, 3]


def make_umt(**settings) -> Umt:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6, "dropout": 0.0}
    return Umt.build({**base, **settings}).eval()


def with_pictures():
    return make_inputs(LENGTHS, [4, 2], [0, 0], [0, 0])


@pytest.mark.parametrize(
    ("boundary", "labels"),
    [
        (0, [0.5, 0, 0, 0, 0]),
        (1, [0, 0.25, 0, 0.25, 0]),  # 0.5 / 2 types
        (2, [0, 0, 0.25, 0, 0.25]),
    ],
)
def test_a_boundary_label_is_divided_evenly_among_the_types(boundary, labels):
    """Adding 1 to a boundary label of the third token."""
    network, inputs = make_umt(), with_pictures()
    before = network(inputs).answer.emissions.detach()
    added = torch.zeros(2, 5, 3)
    added[0, 2, boundary] = 1.0
    network.boundary_decoder.emissions.register_forward_hook(lambda _, __, scores: scores + added)
    expected = torch.zeros(2, 5, 5)
    expected[0, 2] = torch.tensor(labels)
    difference = network(inputs).answer.emissions.detach() - before
    torch.testing.assert_close(difference, expected)


def test_the_loss_of_the_entities_trains_the_boundary_branch():
    network, inputs = make_umt(boundary_loss_weight=0.0), with_pictures()
    network.loss(network(inputs), make_targets(inputs)).total.backward()
    assert all(p.grad.any() for p in network.boundary_layer.parameters() if p.grad.ndim > 1)


def test_without_a_picture_the_projections_of_regions_do_not_matter():
    network = make_umt()
    inputs = make_inputs(LENGTHS, [0, 2], [0, 0], [0, 0])
    before = network(inputs).answer.emissions[0]
    with torch.no_grad():
        for parameter in (*network.text_regions.parameters(), *network.query_regions.parameters()):
            parameter.normal_()
    after = network(inputs).answer.emissions
    torch.testing.assert_close(after[0], before, atol=0, rtol=0)
    assert not torch.allclose(after[1], before[: len(after[1])])


def test_the_boundary_branch_gets_no_gradient_from_the_picture():
    network, inputs = make_umt(), with_pictures()
    regions = inputs.vectors["regions"]
    regions.vectors.requires_grad_()
    network(inputs).others["boundary"].emissions.sum().backward()
    assert regions.vectors.grad is None
