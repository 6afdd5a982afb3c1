"""M3S-like: three grains of the picture, and boundaries that come from the text alone."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.network.inputs import Regions
from spacy_msvse.network.methods.m3s_like import M3sLike, nearest_regions

from .conftest import TINY_ENCODER, make_inputs, make_targets


def make_m3s(**settings) -> M3sLike:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6, "dropout": 0.0}
    return M3sLike.build({**base, **settings}).eval()


def test_the_boundaries_get_no_gradient_from_the_picture():
    network, inputs = make_m3s(), make_inputs([5, 3], [4, 2], [3, 0], [0, 0])
    vectors = inputs.vectors["regions"].vectors.requires_grad_()
    network(inputs).others["boundary"].emissions.sum().backward()
    assert vectors.grad is None


@pytest.mark.parametrize(
    ("regions", "tags", "present"),
    [
        (4, 3, [True, True, True]),
        (2, 0, [True, True, False]),  # one object has no relation
        (1, 0, [True, False, False]),  # only the whole picture
        (0, 3, [False, True, False]),
        (0, 0, [False, False, False]),
    ],
)
def test_an_absent_grain_has_no_weight_and_the_others_add_up_to_1(regions, tags, present):
    inputs = make_inputs([5], [regions], [tags], [0])
    weights = make_m3s()(inputs).extra["grain_weights"]
    assert (weights > 0).all(dim=1)[0].tolist() == present
    torch.testing.assert_close(weights.sum(dim=2), torch.full((1, 5), float(any(present))))


def test_the_first_region_is_an_object_unless_it_is_the_whole_picture():
    inputs = make_inputs([5], [1], [0], [0])
    whole = make_m3s()(inputs).extra["grain_weights"]
    inputs.vectors["regions"].boxes[:, 0] = torch.tensor([0, 0, 0.5, 0.5])
    crop = make_m3s()(inputs).extra["grain_weights"]
    assert (whole > 0).all(dim=1)[0].tolist() == [True, False, False]
    assert (crop > 0).all(dim=1)[0].tolist() == [True, True, False]


def test_the_nearest_other_object_is_found():
    boxes = torch.tensor([[[0, 0, 1, 1], [0, 0, 0.1, 0.1], [0.2, 0, 0.3, 0.1], [0.9, 0.9, 1, 1]]])
    mask = torch.tensor([[False, True, True, True]])
    regions = Regions(torch.zeros(1, 4, 6), boxes, mask)
    assert nearest_regions(regions, mask)[0, 1:].tolist() == [2, 1, 2]


def test_a_token_outside_of_every_boundary_is_no_entity_after_training():
    """All words are equal. Only the boundaries show where an entity is."""
    network = make_m3s()
    inputs = make_inputs([4, 4], [2, 2], [0, 0], [0, 0])
    inputs.text.ids[:, 1:5] = 10
    boundaries = torch.zeros(2, 4, 3)
    network.boundary_decoder.emissions.register_forward_hook(lambda *_: boundaries)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(60):
        labels = torch.randint(0, 2, (2, 4), generator=generator)  # O or B-PER
        boundaries = 10 * torch.nn.functional.one_hot(labels, 3).float()
        allowed = torch.nn.functional.one_hot(labels, 5).bool()
        targets = replace(make_targets(inputs), allowed=allowed)
        optimizer.zero_grad()
        network.loss(network(inputs), targets).terms["entities"].backward()
        optimizer.step()
    network.eval()
    boundaries = torch.tensor([0.0, 10.0, 0.0]).repeat(2, 4, 1)
    boundaries[0, 2] = torch.tensor([10.0, 0.0, 0.0])
    outside = network(inputs).answer.marginals().exp()[..., 0]
    assert outside[0, 2] > 0.9
    outside[0, 2] = 0
    assert (outside < 0.1).all()
