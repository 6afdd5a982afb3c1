"""Every method reads the regions of several pictures of a post."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.network.inputs import Inputs, Pictures, Regions, Targets
from spacy_msvse.network.methods.hvpnet import PyramidPrefixes
from spacy_msvse.network.methods.m3s_like import nearest_regions
from spacy_msvse.network.methods.mner_qg import find_shown_types
from spacy_msvse.vision.extractors.trainable_backbone import RegionBackbone

from .conftest import make_inputs, make_targets, tiny_network
from .test_contract import METHODS, TinySquare, make_network, scores_of, select

NAMES = sorted(METHODS)


def make_posts(pictures: list[list[int]]) -> Inputs:
    """Posts with the numbers of their regions' pictures."""
    inputs = make_inputs([5, 3, 7], [len(one) for one in pictures], [3, 0, 2], [6, 0, 4])
    regions = inputs.vectors["regions"]
    numbers = torch.zeros_like(regions.mask, dtype=torch.long)
    for post, one in enumerate(pictures):
        numbers[post, : len(one)] = torch.tensor(one, dtype=torch.long)
    return replace(inputs, vectors={"regions": replace(regions, pictures=numbers)})


def reordered(inputs: Inputs, order: list[int], numbers: list[int]) -> Inputs:
    """The regions of all posts in another order, with other numbers of their pictures."""
    regions = inputs.vectors["regions"]
    pictures = torch.tensor(numbers).expand_as(regions.pictures)
    turned = Regions(regions.vectors[:, order], regions.boxes[:, order], regions.mask[:, order])
    return replace(inputs, vectors={"regions": replace(turned, pictures=pictures)})


@pytest.mark.parametrize("name", NAMES)
def test_a_post_with_two_pictures_in_a_batch_equals_that_post_alone(name):
    network = make_network(name)
    batch = make_posts([[0, 0, 1, 1], [], [0, 0]])
    together = scores_of(network, batch)
    if network.mixes_posts:
        pytest.skip("the method declares that it mixes posts")
    alone = torch.cat([scores_of(network, select(batch, post), 1) for post in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_pictures_does_not_matter(name):
    network = make_network(name)
    batch = make_posts([[0, 0, 1, 1]] * 3)
    turned = reordered(batch, [2, 3, 0, 1], [0, 0, 1, 1])
    torch.testing.assert_close(
        scores_of(network, batch), scores_of(network, turned), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_second_picture_is_read(name):
    network = make_network(name)
    batch = make_posts([[0, 0, 1, 1]] * 3)
    regions = batch.vectors["regions"]
    changed = regions.vectors.clone()
    changed[:, 2:] += 3.0
    other = replace(batch, vectors={"regions": replace(regions, vectors=changed)})
    same = torch.equal(scores_of(network, batch), scores_of(network, other))
    assert same == (not network.config.reads.vectors)


@pytest.mark.parametrize("name", NAMES)
def test_every_method_learns_from_posts_with_several_pictures(name):
    network = make_network(name).train()
    batch = make_posts([[0, 0, 1, 1, 2, 2], [], [1, 1]])
    network.loss(network(batch), make_targets(batch)).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_msvse_has_no_embedding_of_the_number_of_a_picture():
    network = tiny_network()
    batch = make_posts([[0, 0, 1, 1]] * 3)
    numbered = reordered(batch, [0, 1, 2, 3], [3, 3, 7, 7])
    assert torch.equal(scores_of(network, batch), scores_of(network, numbered))


def test_the_place_of_a_region_begins_anew_with_each_picture():
    numbers = torch.tensor([[0, 0, 0, 1, 2, 2], [1, 1, 3, 3, 0, 0]])
    mask = torch.ones_like(numbers, dtype=torch.bool)
    regions = Regions(torch.zeros(2, 6, 1), torch.zeros(2, 6, 4), mask, numbers)
    assert regions.places().tolist() == [[0, 1, 2, 0, 0, 1], [0, 1, 0, 1, 0, 1]]


def test_a_crop_of_a_pyramid_never_has_cells_of_two_pictures():
    torch.manual_seed(0)
    prefixes = PyramidPrefixes(8, 2, (6,), cells=2)
    regions = make_posts([[0, 0, 0, 1, 1], [0, 0, 1], [0]]).vectors["regions"]
    regions = replace(regions, vectors=regions.vectors * regions.mask.unsqueeze(2))
    found, slot = prefixes(regions)
    assert slot[0].tolist() == [0, 1, 2, 4, 5]
    assert found.mask[0].tolist() == [True, True, True, False, True, True]
    assert found.mask.sum(dim=1).tolist() == [5, 3, 1]
    # The second picture of the first post alone.
    alone = Regions(regions.vectors[:1, 3:], regions.boxes[:1, 3:], regions.mask[:1, 3:])
    expected, _ = prefixes(alone)
    torch.testing.assert_close(found.keys[:, :1, 4:], expected.keys, atol=1e-6, rtol=0)


def test_the_nearest_region_is_one_of_the_same_picture():
    boxes = torch.tensor([[0, 0, 0.1, 0.1], [0.8, 0.8, 1, 1], [0, 0, 0.1, 0.1], [0.5, 0.5, 1, 1]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    numbers = torch.tensor([[0, 0, 1, 1]])
    regions = Regions(torch.zeros(1, 4, 1), boxes[None], mask, numbers)
    assert nearest_regions(regions, mask).tolist() == [[1, 0, 3, 2]]


def test_a_drawn_box_is_compared_with_the_regions_of_its_picture():
    boxes = torch.tensor([[[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    regions = Regions(boxes, boxes, mask, torch.tensor([[0, 1]]))
    targets = Targets(
        mask,
        mask,
        mask,
        boxes=torch.tensor([[[0, 0, 0.5, 0.5]]]),
        box_types=torch.tensor([[0]]),
        box_pictures=torch.tensor([[1]]),
    )
    assert find_shown_types(regions, targets, 2).tolist() == [[[False, True], [False, False]]]


def test_a_backbone_fills_the_regions_of_each_picture():
    backbone = RegionBackbone(TinySquare(), batch_size=2)
    network = make_network("msvse", backbone)
    inputs = make_posts([[0] * 4 + [1] * 4, [], [0] * 4])
    pixels = torch.randint(0, 256, (3, 4, 4, 3), dtype=torch.uint8)
    pictures = Pictures(pixels, torch.tensor([0, 0, 2]), torch.tensor([0, 4, 0]))
    filled = network._fill_vectors(replace(inputs, pictures={"regions": pictures}))
    expected, found = backbone(pixels), filled.vectors["regions"].vectors
    assert torch.equal(found[0], expected[:2].flatten(0, 1))
    assert torch.equal(found[2, :4], expected[2])
