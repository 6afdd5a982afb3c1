"""Tiny random networks and posts for them."""

import pytest
import torch

from spacy_msvse.network.base import Network
from spacy_msvse.network.inputs import Inputs, Regions, Targets, WordPieces
from spacy_msvse.network.methods.msvse import Msvse, MsvseConfig
from spacy_msvse.network.methods.text_crf import TextCrf

TINY_ENCODER = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


def tiny_config(**settings) -> MsvseConfig:
    values = {
        "types": ("PER", "LOC"),
        "encoder": TINY_ENCODER,
        "region_dim": 6,
        "prefix_length": 2,
        "prefix_width": 8,
        "shared_depth": 0.0,
        "interaction_depth": 1.0,
    }
    return MsvseConfig.from_dict({**values, **settings})


def tiny_network(**settings) -> Msvse:
    torch.manual_seed(0)
    return Msvse.build(tiny_config(**settings)).eval()


def text_crf(**settings) -> TextCrf:
    torch.manual_seed(0)
    base = {"types": ["PER", "LOC"], "encoder": TINY_ENCODER}
    return TextCrf.build({**base, **settings}).eval()


def text_only(network: Network) -> TextCrf:
    """The text tagger with the encoder and the decoder of another method."""
    tagger = text_crf()
    tagger.encoder.load_state_dict(network.encoder.state_dict())
    tagger.decoder.load_state_dict(network.decoder.state_dict())
    return tagger


def word_pieces(lengths: list[int], generator: torch.Generator) -> WordPieces:
    mask = torch.arange(max([*lengths, 1]))[None, :] < torch.tensor(lengths)[:, None]
    ids = torch.randint(5, 60, mask.shape, generator=generator) * mask
    return WordPieces(ids, mask, torch.zeros_like(ids))


def join(text: WordPieces, view: WordPieces) -> WordPieces:
    """The pieces of a view after those of the text, row by row."""
    rows, types = [], []
    for i in range(len(text.ids)):
        behind = view.ids[i, view.mask[i]]
        rows.append(torch.cat([text.ids[i, text.mask[i]], behind]))
        types.append(torch.cat([text.token_types[i, text.mask[i]], torch.ones_like(behind)]))
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(rows, batch_first=True)
    mask = pad([torch.ones_like(row, dtype=torch.bool) for row in rows], batch_first=True)
    return WordPieces(ids, mask, pad(types, batch_first=True))


def spans(text: WordPieces, view: WordPieces) -> torch.Tensor:
    """First column of a view after the text, and the column after its last."""
    start = text.mask.sum(dim=1)
    return torch.stack([start, start + view.mask.sum(dim=1)], dim=1)


def make_inputs(
    lengths: list[int],
    regions: list[int],
    tags: list[int],
    caption: list[int],
    seed: int = 0,
) -> Inputs:
    """Posts of so many tokens, regions, tag pieces and caption pieces; 0 is an absent view."""
    generator = torch.Generator().manual_seed(seed)
    text = word_pieces([n + 2 for n in lengths], generator)
    views = {"tags": word_pieces(tags, generator), "caption": word_pieces(caption, generator)}
    region_mask = torch.arange(max([*regions, 1]))[None, :] < torch.tensor(regions)[:, None]
    token_mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    posts = torch.arange(len(lengths))
    vectors = torch.randn(*region_mask.shape, 6, generator=generator)
    boxes = torch.rand(*region_mask.shape, 4, generator=generator)
    boxes[:, 0] = torch.tensor([0, 0, 1, 1])  # the whole picture
    return Inputs(
        text=text,
        joint=join(text, views["caption"]),
        window_post=posts,
        token_window=posts[:, None].expand_as(token_mask),
        token_piece=(torch.arange(max(lengths)) + 1).expand_as(token_mask),
        token_mask=token_mask,
        joint_spans={"caption": spans(text, views["caption"])},
        texts=views,
        vectors={"regions": Regions(vectors, boxes, region_mask)},
        queries=word_pieces([5, 4], torch.Generator().manual_seed(1)),
    )


def make_targets(inputs: Inputs, num_types: int = 2, seed: int = 0) -> Targets:
    """Random gold labels of B and O, which are legal everywhere."""
    generator = torch.Generator().manual_seed(seed)
    posts, tokens = inputs.token_mask.shape
    labels = torch.randint(0, num_types + 1, (posts, tokens), generator=generator)
    labels = torch.where(labels > 0, 2 * labels - 1, 0)
    allowed = torch.nn.functional.one_hot(labels, 2 * num_types + 1).bool()
    types = torch.stack(
        [((labels == 2 * t + 1) & inputs.token_mask).any(dim=1) for t in range(num_types)], dim=1
    )
    return Targets(allowed, types.float(), torch.ones_like(types))


@pytest.fixture
def inputs() -> Inputs:
    """Three posts: all views, no view, only regions."""
    return make_inputs([5, 3, 7], [4, 0, 2], [3, 0, 0], [6, 0, 0])
