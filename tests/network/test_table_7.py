"""The published numbers of parameters (Table 7 of the MSVSE paper), from the shapes of layers.

Ours differ by layers that the authors' code has and no network needs. Each is computed here.
"""

import pytest
import torch
from torch import nn
from torchvision.models import resnet50, resnet152

from spacy_msvse.network.base import Network
from spacy_msvse.network.cross import CrossLayer
from spacy_msvse.network.graph_fusion import GraphFusionLayer
from spacy_msvse.network.methods.hvpnet import HvpNet
from spacy_msvse.network.methods.maf import Maf
from spacy_msvse.network.methods.text_crf import TextCrf
from spacy_msvse.network.methods.umgf import Umgf
from spacy_msvse.network.methods.umt import Umt

WIDTH, REGION, POSITIONS = 768, 2048, 128
RESNET_LEVELS = [256, 512, 1024, 2048]
CASED, UNCASED = 28996, 30522
TYPES = ["PER", "LOC", "ORG", "MISC"]
LABELS, PUBLISHED_LABELS = 9, 13  # padding, [CLS], [SEP] and further word pieces have labels too


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def linear(width_in: int, width_out: int) -> int:
    return width_in * width_out + width_out


def build(method: type[Network], vocabulary: int, **settings) -> Network:
    encoder = {"model_type": "bert", "vocab_size": vocabulary}
    base = {"types": TYPES, "encoder": encoder, "region_dim": REGION}
    with torch.device("meta"):
        return method.build({**base, **settings})


def pooler() -> int:
    return linear(WIDTH, WIDTH)


def further_labels(width: int) -> int:
    """Emissions and a CRF for 13 labels instead of 9."""
    crf = [n * n + 2 * n for n in (LABELS, PUBLISHED_LABELS)]
    return (PUBLISHED_LABELS - LABELS) * (width + 1) + crf[1] - crf[0]


def without_classes(network: nn.Module) -> int:
    return count(network) - count(network.fc)


def published_umt() -> int:
    return count(build(Umt, CASED)) + pooler() + further_labels(2 * WIDTH)


def published_maf() -> int:
    unused_layers = 2 * count(CrossLayer(WIDTH, 12, 0.0))
    all_positions = linear(2 * WIDTH * POSITIONS, 2) - linear(2 * WIDTH, 2)
    ours = count(build(Maf, CASED)) + pooler() + further_labels(2 * WIDTH)
    return ours + unused_layers + all_positions


def published_hvpnet() -> int:
    network = build(HvpNet, UNCASED, region_dim=3840, levels=RESNET_LEVELS)
    one_map = linear(3840, 800) + linear(800, 8 * WIDTH) - count(network.prefixes.maps)
    with torch.device("meta"):
        backbone = count(resnet50())
    return count(network) + one_map + pooler() + further_labels(WIDTH) + backbone


def published_umgf() -> int:
    network = build(Umgf, CASED)
    sizes = (512, 8, 256, 0.0)
    unread = count(GraphFusionLayer(*sizes, is_last=False))
    unread -= count(GraphFusionLayer(*sizes, is_last=True))
    with torch.device("meta"):
        backbone = without_classes(resnet152())
    ours = count(network) + pooler() + further_labels(WIDTH + 512)
    return ours + unread + linear(REGION, REGION) + backbone


@pytest.mark.parametrize(
    ("published", "millions"),
    [
        (published_umt, 148.10),
        (published_maf, 136.09),
        (published_hvpnet, 143.34),
        (published_umgf, 191.32),
    ],
)
def test_the_published_numbers_follow_from_ours(published, millions):
    assert published() / 1e6 == pytest.approx(millions, abs=0.011)


@pytest.mark.parametrize(
    ("method", "vocabulary", "settings", "millions"),
    [
        (TextCrf, CASED, {}, 107.73),
        (TextCrf, UNCASED, {}, 108.90),
        (Umt, CASED, {}, 147.50),
        (Maf, CASED, {}, 120.92),
        (HvpNet, UNCASED, {"region_dim": 3840, "levels": RESNET_LEVELS}, 115.10),
        (Umgf, CASED, {}, 127.59),
    ],
)
def test_the_sizes_of_our_networks_without_a_picture_extractor(
    method, vocabulary, settings, millions
):
    assert count(build(method, vocabulary, **settings)) / 1e6 == pytest.approx(millions, abs=0.006)
