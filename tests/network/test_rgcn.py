"""R-GCN: pictures of similar training posts, and of no other post."""

from dataclasses import replace

import torch

from spacy_msvse.network.methods.rgcn import NeighbourGraph, RGcn
from spacy_msvse.network.neighbours import PostIndex, count_pieces

from .conftest import TINY_ENCODER, make_inputs


def make_rgcn(**settings) -> RGcn:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6}
    return RGcn.build({**base, **settings}).eval()


def test_one_neighbour_of_similarity_1_is_a_plain_map_of_its_picture():
    graph, picture = NeighbourGraph(4), torch.randn(2, 1, 4)
    torch.testing.assert_close(
        graph(picture, torch.ones(2, 1)), torch.relu(graph.linear(picture[:, 0]))
    )


def make_neighbours() -> tuple[NeighbourGraph, torch.Tensor, torch.Tensor]:
    """A graph, four pictures and their similarities."""
    torch.manual_seed(0)
    graph, pictures = NeighbourGraph(32), torch.randn(1, 4, 32)
    return graph, pictures, torch.tensor([[0.9, 0.5, 0.4, 0.1]])


def test_the_order_of_all_but_the_nearest_does_not_matter():
    graph, pictures, similar = make_neighbours()
    order = torch.tensor([0, 2, 3, 1])
    expected = graph(pictures, similar)
    torch.testing.assert_close(graph(pictures[:, order], similar[:, order]), expected)


def test_a_masked_neighbour_equals_a_removed_one():
    graph, pictures, similar = make_neighbours()
    masked = similar.clone()
    masked[0, 2] = -2.0
    keep = torch.tensor([0, 1, 3])
    torch.testing.assert_close(graph(pictures, masked), graph(pictures[:, keep], similar[:, keep]))
    assert not graph(pictures[:, :0], similar[:, :0]).any()


def test_the_nearest_posts_are_those_with_the_same_rare_words_or_a_similar_picture():
    ids = torch.tensor([[5, 10, 11], [5, 20, 21], [5, 30, 31], [5, 10, 40]])
    counts = count_pieces(ids, torch.ones_like(ids).bool(), torch.arange(4), 4)
    pictures = torch.eye(4)
    index = PostIndex(4)
    index.fill(counts[:3], pictures[:3])
    asked = torch.tensor([[0.1, 0.9, 0.0, 0.0]])
    by_text, by_picture = index.nearest(counts[3:], asked, k=1)
    assert by_text[0][0, 0].tolist() == pictures[0].tolist()
    assert by_picture[0][0, 0].tolist() == pictures[1].tolist()
    assert 0 < by_text[1] < 1


def test_a_post_is_not_its_own_neighbour():
    index = PostIndex(2)
    counts = count_pieces(
        torch.tensor([[7, 8], [9, 8]]), torch.ones(2, 2).bool(), torch.arange(2), 2
    )
    index.fill(counts, torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    for vectors, similarity in index.nearest(counts[:1], torch.tensor([[1.0, 0.0]]), k=2):
        torch.testing.assert_close(vectors[0, 0], torch.tensor([0.6, 0.8]), atol=1e-3, rtol=0)
        assert similarity[0, 1] < -1  # masked


def test_neighbours_come_from_the_training_posts_alone():
    """The posts of a batch are no neighbours of one another."""
    network = make_rgcn()
    training = make_inputs([4, 5, 3], [3, 2, 0], [0] * 3, [0] * 3, seed=5)
    network.index_posts([training])
    assert len(network.index) == 2  # those with a picture
    batch = make_inputs([5, 3], [4, 2], [0, 0], [0, 0])
    before = network(batch).answer.emissions
    regions = batch.vectors["regions"]
    other = replace(regions, vectors=regions.vectors + torch.tensor([0.0, 9.0])[:, None, None])
    after = network(replace(batch, vectors={"regions": other})).answer.emissions
    torch.testing.assert_close(after[0], before[0])
    assert not torch.allclose(after[1, :3], before[1, :3])


def test_neighbours_change_the_scores_and_are_saved_with_the_weights():
    network, batch = make_rgcn(), make_inputs([5, 3], [4, 2], [0, 0], [0, 0])
    before = network(batch).answer.emissions
    network.index_posts([make_inputs([4, 5], [3, 2], [0] * 2, [0] * 2, seed=5)])
    after = network(batch).answer.emissions
    assert not torch.allclose(after, before)
    copy = make_rgcn()
    copy.load_state_dict(network.state_dict())
    torch.testing.assert_close(copy(batch).answer.emissions, after)
