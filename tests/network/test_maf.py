"""MAF: a picture counts as much as it matches, and posts without one are not compared."""

from dataclasses import replace

import torch

from spacy_msvse.network.inputs import Regions
from spacy_msvse.network.methods.maf import Maf

from .conftest import TINY_ENCODER, make_inputs, make_targets


def make_maf(**settings) -> Maf:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6, "dropout": 0.0}
    return Maf.build({**base, **settings}).eval()


def test_a_picture_that_does_not_match_at_all_changes_nothing():
    network, inputs = make_maf(), make_inputs([5, 3], [4, 2], [0, 0], [0, 0])
    absent = replace(inputs, vectors={})
    assert not torch.allclose(network(inputs).answer.emissions, network(absent).answer.emissions)
    with torch.no_grad():
        network.matching.weight.zero_()
        network.matching.bias.copy_(torch.tensor([1e4, -1e4]))
    torch.testing.assert_close(
        network(inputs).answer.emissions, network(absent).answer.emissions, atol=0, rtol=0
    )


def test_posts_exchange_pictures_only_in_training():
    network = make_maf(exchanged_share=1.0)
    inputs = make_inputs([3, 3, 3, 3], [2, 0, 2, 2], [0] * 4, [0] * 4)
    assert network(inputs).extra["own"].all()
    network.train()
    # The last two posts with a picture; an odd one is left alone.
    assert network(inputs).extra["own"].tolist() == [True, True, False, False]


def test_an_exchanged_picture_is_matched_with_the_text_of_the_other_post():
    """The text attends to the picture that it got."""
    network = make_maf(exchanged_share=1.0)
    inputs = make_inputs([3, 4], [2, 3], [0] * 2, [0] * 2)
    regions = inputs.vectors["regions"]
    turned = Regions(regions.vectors.flip(0), regions.boxes.flip(0), regions.mask.flip(0))
    expected = network(replace(inputs, vectors={"regions": turned})).extra["matching"]
    assert not torch.allclose(network(inputs).extra["matching"], expected)
    network.set_dropout(0.0)
    torch.testing.assert_close(network.train()(inputs).extra["matching"], expected)


def test_the_contrastive_loss_of_a_single_picture_is_0():
    network = make_maf()
    for regions in ([4, 0], [0, 0]):
        inputs = make_inputs([5, 3], regions, [0, 0], [0, 0])
        terms = network.loss(network(inputs), make_targets(inputs)).terms
        assert terms["alignment"] == 0
    assert terms["matching"] == 0


def test_posts_without_a_picture_are_in_neither_auxiliary_loss():
    network = make_maf()
    both = make_inputs([4, 4, 4], [4, 2, 0], [0] * 3, [0] * 3)
    terms = network.loss(network(both), make_targets(both)).terms
    other = replace(both, text=replace(both.text, ids=both.text.ids.clone()))
    other.text.ids[2] += 1
    changed = network.loss(network(other), make_targets(both)).terms
    for term in ("matching", "alignment"):
        torch.testing.assert_close(changed[term], terms[term])
    assert changed["entities"] != terms["entities"]


def test_the_matching_learns_to_tell_own_pictures_from_those_of_other_posts():
    """The first word of a post determines its picture."""
    network = make_maf(exchanged_share=0.5, auxiliary_loss_weight=1.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)

    def make_posts(count: int):
        inputs = make_inputs([3] * count, [1] * count, [0] * count, [0] * count)
        kinds = torch.randint(0, 6, (count,), generator=generator)
        inputs.text.ids[:] = 10
        inputs.text.ids[:, 1] = 20 + kinds
        vectors = torch.nn.functional.one_hot(kinds, 6).float()[:, None, :] * 3
        regions = inputs.vectors["regions"]
        return replace(inputs, vectors={"regions": replace(regions, vectors=vectors)}), kinds

    network.train()
    network.set_dropout(0.0)
    for _ in range(120):
        inputs, _ = make_posts(32)
        optimizer.zero_grad()
        network.loss(network(inputs), make_targets(inputs)).total.backward()
        optimizer.step()
    network.eval()
    inputs, kinds = make_posts(32)
    own = network(inputs).extra["matching"].softmax(dim=1)[:, 1]
    regions = inputs.vectors["regions"]
    turned = Regions(regions.vectors.roll(1, 0), regions.boxes, regions.mask)
    wrong = network(replace(inputs, vectors={"regions": turned}))
    other = wrong.extra["matching"].softmax(dim=1)[:, 1][kinds != kinds.roll(1, 0)]
    above = (own[:, None] > other[None, :]).float().mean()
    assert above > 0.9
