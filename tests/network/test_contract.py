"""What holds for every method: absent views contribute nothing, posts do not meet in a batch."""

import math
import re
from dataclasses import fields, replace
from itertools import pairwise, product

import pytest
import torch
from torch import nn

from spacy_msvse.network.base import Network
from spacy_msvse.network.crf import Lattice
from spacy_msvse.network.decoder import token_loss
from spacy_msvse.network.inputs import Inputs, Pictures, Targets
from spacy_msvse.network.methods.hvpnet import HvpNet
from spacy_msvse.network.methods.m3s_like import M3sLike
from spacy_msvse.network.methods.maf import Maf
from spacy_msvse.network.methods.mner_qg import MnerQg
from spacy_msvse.network.methods.msvse import Msvse
from spacy_msvse.network.methods.rgcn import RGcn
from spacy_msvse.network.methods.smvae import Smvae
from spacy_msvse.network.methods.text_crf import TextCrf
from spacy_msvse.network.methods.uamner import Uamner
from spacy_msvse.network.methods.umgf import Umgf
from spacy_msvse.network.methods.umt import Umt
from spacy_msvse.network.spans import ScoredSpans
from spacy_msvse.vision.extractors.frozen import FrozenSquare, PixelFormat
from spacy_msvse.vision.extractors.trainable_backbone import RegionBackbone

from .conftest import TINY_ENCODER, make_inputs, make_targets

#: Every method, small settings, and the beginnings of the names of parameters that only views use.
METHODS = {
    "msvse": (
        Msvse,
        {"prefix_length": 2, "prefix_width": 8},
        "region_projection|interaction|prefixes|visual_classifier",
    ),
    "text_crf": (TextCrf, {"joint_views": ["caption"], "text_view": True}, "nothing"),
    "umt": (Umt, {}, "text_regions|query_regions|to_picture|to_text|fusion|gate"),
    "maf": (Maf, {}, "regions|cross|gate|matching|picture_head|text_head"),
    "umgf": (
        Umgf,
        {"fusion_width": 8, "fusion_heads": 2, "fusion_inner_width": 8},
        r"object_projection|layers\.\d+\.(object|to)",
    ),
    "uamner": (Uamner, {"max_uncertainty": 1.0}, "regions|cross|gate"),
    "m3s_like": (M3sLike, {}, "region_projection|near|relations|grain"),
    "mner_qg": (MnerQg, {}, "regions|cross|grounding"),
    "rgcn": (RGcn, {}, "regions|picture|cross|text_graph|text_gate"),
    "smvae": (Smvae, {"latent_width": 4}, "picture"),
    "hvpnet": (HvpNet, {"levels": [1, 2, 3], "cells": 2}, "prefixes"),
}


#: Terms of losses that need no labels.
WITHOUT_LABELS = {"tie", "matching", "alignment"}


class TinySquare(FrozenSquare):
    """A frozen network with a BatchNorm. Pictures of 4 x 4 pixels have 4 regions."""

    def __init__(self):
        layers = nn.Sequential(nn.Conv2d(3, 6, 2, stride=2), nn.BatchNorm2d(6), nn.Dropout(0.5))
        super().__init__(layers, PixelFormat(4, (128.0,) * 3, (64.0,) * 3))

    def regions(self, pixels):
        return self.network(pixels).flatten(2).transpose(1, 2)


def make_network(name: str, backbone: nn.Module | None = None) -> Network:
    torch.manual_seed(0)
    method, settings, _ = METHODS[name]
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "region_dim": 6}
    network = method.build({**base, **settings}, backbone=backbone).eval()
    network.index_posts([make_inputs([4, 5, 6], [3, 0, 2], [0] * 3, [0] * 3, seed=7)])
    return network


@pytest.fixture(params=METHODS)
def name(request) -> str:
    return request.param


@pytest.fixture
def network(name) -> Network:
    return make_network(name)


def scores_of(network: Network, inputs: Inputs, posts: int = 3) -> torch.Tensor:
    """The scores that decide the answer of the first posts, without padding."""
    answer = network.answer(network(inputs))
    if isinstance(answer, Lattice):
        return answer.emissions[:posts][answer.mask[:posts]]
    assert isinstance(answer, ScoredSpans)
    return answer.scores[answer.spans[:, 0] < posts]


def absent_inputs() -> Inputs:
    return make_inputs([5, 3, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0])


@pytest.fixture(params=["absent", "mixed"])
def without_views(request) -> Inputs:
    """Three posts without any view, alone and beside a post with all views."""
    if request.param == "absent":
        return absent_inputs()
    return make_inputs([5, 3, 1, 4], [0, 0, 0, 3], [0, 0, 0, 2], [0, 0, 0, 3])


def view_parameters(name: str, network: Network) -> list[nn.Parameter]:
    pattern = METHODS[name][2]
    found = [p for n, p in network.named_parameters() if re.match(pattern, n)]
    assert found or pattern == "nothing"
    return found


def test_without_views_the_parameters_of_views_do_not_matter(name, network, without_views):
    before = scores_of(network, without_views)
    for parameter in view_parameters(name, network):
        nn.init.normal_(parameter)
    torch.testing.assert_close(scores_of(network, without_views), before, atol=0, rtol=0)


def test_without_views_the_parameters_of_views_get_no_gradient_from_the_scores(
    name, network, without_views
):
    scores_of(network.train(), without_views).square().sum().backward()
    for parameter in view_parameters(name, network):
        assert parameter.grad is None or not parameter.grad.any()


def test_without_views_the_parameters_of_views_get_no_gradient_from_the_loss(name, network):
    inputs = absent_inputs()
    network.train()
    network.loss(network(inputs), make_targets(inputs)).total.backward()
    for parameter in view_parameters(name, network):
        assert parameter.grad is None or not parameter.grad.any()


def test_a_view_that_is_missing_from_the_batch_is_absent(network):
    inputs = absent_inputs()
    expected = scores_of(network, inputs)
    torch.testing.assert_close(scores_of(network, replace(inputs, vectors={})), expected)


def test_with_views_every_parameter_trains(network):
    inputs = make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 2], [6, 0, 4])
    network.train()
    loss = network.loss(network(inputs), make_targets(inputs)).total
    loss.backward()
    assert loss.isfinite()
    assert not [name for name, p in network.named_parameters() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_a_post_in_a_batch_equals_that_post_alone(network):
    """With more tokens, regions and captions beside it, and with none."""
    if network.mixes_posts:
        pytest.skip("the method declares that it mixes posts")
    batch = make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 2], [6, 0, 4])
    together = network.answer(network(batch))
    for post, length in enumerate([5, 3, 7]):
        alone = network.answer(network(select(batch, post)))
        if isinstance(alone, ScoredSpans):
            rows = together.spans[:, 0] == post
            torch.testing.assert_close(alone.scores, together.scores[rows], atol=1e-5, rtol=0)
            continue
        torch.testing.assert_close(
            alone.emissions[0, :length], together.emissions[post, :length], atol=1e-5, rtol=0
        )


def test_missing_labels_and_unknown_types_give_a_finite_loss(network):
    inputs = make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 2], [6, 0, 4])
    targets = make_targets(inputs)
    targets.allowed[1] = True
    targets.types_known[1] = False
    network.train()
    network.loss(network(inputs), targets).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_posts_without_any_label_cost_nothing_where_labels_are_needed(network):
    """A missing label is marginalised, never taken for O."""
    inputs = make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 2], [6, 0, 4])
    targets = make_targets(inputs)
    targets.allowed[:] = True
    targets.types_known[:] = False
    terms = network.loss(network(inputs), targets).terms
    for name in terms.keys() - WITHOUT_LABELS:
        torch.testing.assert_close(terms[name].item(), 0.0, atol=1e-5, rtol=0, msg=name)


def test_a_type_that_the_annotation_does_not_cover_is_free(network):
    """Every term counts the labels of the covered types only: raising the probability of the other
    type where gold has no entity costs nothing, and one of the covered type costs as before."""
    inputs = make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 2], [6, 0, 4])
    posts, tokens = inputs.token_mask.shape
    outside = torch.zeros(posts, tokens, 5, dtype=torch.bool)
    outside[..., 0] = True
    none = torch.zeros(posts, 2)
    partial = outside.clone()
    partial[..., 3:] = True
    nothing = Targets(torch.ones_like(outside), none, none.bool())
    covered = Targets(partial, none, torch.tensor([[True, False]] * posts))
    everything = Targets(outside, none, torch.ones_like(none, dtype=torch.bool))
    outputs = network(inputs)
    losses = [network.loss(outputs, one).terms for one in (nothing, covered, everything)]
    rising = []
    for name in losses[0].keys() - WITHOUT_LABELS:
        free, some, every = (terms[name].item() for terms in losses)
        assert abs(free) < 1e-5, name
        assert free <= some + 1e-5 <= every + 2e-5, name
        rising.append(free + 1e-3 < some < every - 1e-3)
    assert any(rising)
    lattice = outputs.answer
    if isinstance(lattice, Lattice):
        probability = [0.0] * posts
        scores = (lattice.transitions.tolist(), lattice.start.tolist(), lattice.end.tolist())
        for post, length in enumerate([5, 3, 7]):
            emissions = lattice.emissions[post].tolist()
            weights = {}
            for path in product(range(5), repeat=length):
                score = scores[1][path[0]] + scores[2][path[-1]]
                score += sum(emissions[t][label] for t, label in enumerate(path))
                weights[path] = score + sum(scores[0][a][b] for a, b in pairwise(path))
            top = max(weights.values())
            total = sum(math.exp(score - top) for score in weights.values())
            kept = [s for path, s in weights.items() if not {1, 2} & set(path)]
            probability[post] = sum(math.exp(score - top) for score in kept) / total
        found = token_loss(lattice, covered.allowed) * torch.tensor([5, 3, 7])
        assert found.exp().reciprocal().tolist() == pytest.approx(probability, rel=1e-3)


def test_the_statistics_of_a_backbone_stay_while_the_network_trains(name):
    if not METHODS[name][0].Config.from_dict({"types": ["PER"]}).reads.vectors:
        pytest.skip("the method reads no regions")
    backbone = RegionBackbone(TinySquare(), batch_size=2)
    network = make_network(name, backbone).train()
    inputs = make_inputs([5, 3, 7], [4, 0, 4], [3, 0, 2], [6, 0, 4])
    pixels = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    pictures = {"regions": Pictures(pixels, torch.tensor([0, 2]), torch.tensor([0, 0]))}
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    outputs = network(replace(inputs, pictures=pictures))
    network.loss(outputs, make_targets(inputs)).total.backward()
    assert not any(module.training for module in backbone.network.modules())
    for name, buffer in backbone.named_buffers():
        assert torch.equal(buffer, before[name])
    assert backbone.network.network[0].weight.grad.any()


def test_accumulated_posts_equal_a_batch(network):
    """The loss of a batch is the sum of the losses of its posts."""
    if network.mixes_posts or network.mixes_losses:
        pytest.skip("the method declares that it mixes posts")
    batch = make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 2], [6, 0, 4])
    targets = make_targets(batch)
    total = network.loss(network(batch), targets).total
    parts = 0.0
    for post, length in enumerate([5, 3, 7]):
        row = slice(post, post + 1)
        one = Targets(
            targets.allowed[row, :length], targets.entity_types[row], targets.types_known[row]
        )
        parts += network.loss(network(select(batch, post)), one).total
    torch.testing.assert_close(parts, total, atol=1e-5, rtol=1e-5)


def select(inputs: Inputs, post: int) -> Inputs:
    """One post of a batch whose windows are its posts, without padding."""
    row = torch.tensor([post])
    length = int(inputs.token_mask[post].sum())
    vectors = {}
    for view, regions in inputs.vectors.items():
        kept = max(1, int(regions.mask[post].sum()))
        part = {f.name: getattr(regions, f.name) for f in fields(regions)}
        vectors[view] = type(regions)(**{k: v[row, :kept] for k, v in part.items()})
    return replace(
        inputs,
        text=inputs.text.rows(row),
        joint=inputs.joint.rows(row),
        window_post=torch.zeros(1, dtype=torch.long),
        token_window=torch.zeros(1, length, dtype=torch.long),
        token_piece=inputs.token_piece[row, :length],
        token_mask=inputs.token_mask[row, :length],
        joint_spans={view: spans[row] for view, spans in inputs.joint_spans.items()},
        texts={view: pieces.rows(row) for view, pieces in inputs.texts.items()},
        vectors=vectors,
    )
