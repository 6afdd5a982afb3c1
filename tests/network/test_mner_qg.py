"""MNER-QG: a query for each type, which is grounded in the regions and may find nothing."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.network.methods.mner_qg import MnerQg, MnerQgConfig

from .conftest import TINY_ENCODER, make_inputs, make_targets


def make_mner_qg(**settings) -> MnerQg:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6, "dropout": 0.0}
    return MnerQg.build({**base, **settings}).eval()


@pytest.fixture
def inputs():
    return make_inputs([5, 3], [4, 2], [0, 0], [0, 0])


def emissions(network, inputs):
    return network(inputs).answer.emissions[inputs.token_mask]


def test_a_changed_query_moves_only_the_labels_of_its_type(inputs):
    network = make_mner_qg()
    before = emissions(network, inputs)
    queries = replace(inputs.queries, ids=inputs.queries.ids.clone())
    queries.ids[0, 1:4] += 1
    changed = emissions(network, replace(inputs, queries=queries)) != before
    assert changed[:, 1:3].all()
    assert not changed[:, [0, 3, 4]].any()


def test_types_have_their_own_query_or_that_of_the_settings_or_their_name():
    config = MnerQgConfig(types=("PER", "LOC", "ship"), queries={"LOC": "Where?"})
    person, *others = config.reads.queries
    assert person.startswith("Person")
    assert others == ["Where?", "ship"]


def test_a_type_that_does_not_occur_is_suppressed(inputs):
    network = make_mner_qg()
    before = network(inputs).answer.marginals().exp()
    with torch.no_grad():
        network.existence.bias.fill_(-30.0)
        network.existence.weight.zero_()
    after = network(inputs).answer.marginals().exp()
    mask = inputs.token_mask
    assert (before[mask][:, 0] < 0.9).any()
    assert (after[mask][:, 0] > 0.999).all()


def test_training_lowers_the_existence_of_types_that_do_not_occur(inputs):
    network = make_mner_qg()
    targets = make_targets(inputs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(network(inputs), targets).total.backward()
        optimizer.step()
    existence = network.eval()(inputs).extra["existence"].sigmoid()
    assert ((existence > 0.5) == targets.entity_types.bool()).all()


def test_the_grounding_finds_a_planted_box(inputs):
    """Boxes of the first type are around the second region, those of the second around the last."""
    network = make_mner_qg()
    inputs = make_inputs([5, 3], [3, 3], [0, 0], [0, 0])
    corners = torch.tensor([[0, 0, 1, 1], [0, 0, 0.4, 0.4], [0.6, 0.6, 1, 1]])
    regions = replace(inputs.vectors["regions"], boxes=corners.expand(2, 3, 4))
    inputs = replace(inputs, vectors={"regions": regions})
    targets = replace(
        make_targets(inputs),
        boxes=torch.tensor([[[0, 0, 0.4, 0.5], [0.6, 0.6, 1, 1]], [[0, 0, 0.4, 0.5], [0] * 4]]),
        box_types=torch.tensor([[0, 1], [0, -1]]),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(80):
        optimizer.zero_grad()
        loss = network.loss(network(inputs), targets)
        assert loss.terms["grounding"].isfinite()
        loss.total.backward()
        optimizer.step()
    found = network.eval()(inputs).extra["grounding"].argmax(dim=2)
    assert found[0].tolist() == [1, 2]
    assert found[1, 0] == 1


def test_without_drawn_boxes_there_is_no_grounding_loss(inputs):
    network = make_mner_qg()
    loss = network.loss(network(inputs), make_targets(inputs))
    assert set(loss.terms) == {"entities", "existence"}
    loss.total.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_boxes_that_no_region_overlaps_cost_nothing(inputs):
    network = make_mner_qg()
    targets = replace(
        make_targets(inputs),
        boxes=torch.full((2, 1, 4), 2.0) + torch.tensor([0, 0, 1.0, 1.0]),
        box_types=torch.zeros(2, 1, dtype=torch.long),
    )
    assert network.loss(network(inputs), targets).terms["grounding"] == 0
