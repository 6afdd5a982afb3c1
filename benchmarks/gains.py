"""Measure the gain of each optimisation: compare the default with the default without one
optimisation, or with one more.

python benchmarks/gains.py POSTS.spacy OUTPUT.json   (Linux with a C++ compiler; minutes, 6 GB)
"""

import math
import random
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import torch
import typer
from common import Report, Works, take_turns
from models import (
    DEFAULT,
    ONE_PASS,
    get_ner,
    make_pipeline,
    make_tensors,
    predict_copies,
    read_examples,
    save_encoder,
)
from spacy.language import Language
from spacy.training import Example
from spacy.training.batchers import minibatch_by_padded_size
from spacy.util import minibatch
from torch import Tensor, nn
from torch.nn import functional
from torchcrf import CRF

from spacy_msvse.component.architectures import get_piece_encoder
from spacy_msvse.network.crf import BioCRF
from spacy_msvse.network.encoders.base import Packing

DROPOUT = 0.1

#: Padded tokens of a training batch.
PADDED_TOKENS = 256

#: Posts of a prediction batch that is not formed by length.
GIVEN_ORDER_BATCH = 50


def main(
    data: Annotated[Path, typer.Argument(help="A .spacy file of posts", exists=True)],
    output: Annotated[
        Path, typer.Argument(help="JSON file to write; a Markdown file gets the same name")
    ],
    smallest: Annotated[bool, typer.Option(help="Smallest sizes, as a test")] = False,
) -> None:
    """Measure prediction, training and the decoding of the CRF."""
    name, posts, rounds = ("tiny", 8, 1) if smallest else ("MiniLM", 128, 3)
    examples = read_examples(data, posts)
    random.Random(1).shuffle(examples)
    report = Report()
    report.note_conditions(data, rounds, {"default": DEFAULT})
    report.notes.append(
        f"{len(examples)} posts in random order, an encoder of MiniLM's size. A ratio above 1 is "
        'time that the default saves. Rows with "tried" are not part of the default.'
    )
    docs = [example.predicted for example in examples]
    texts = [("caption", doc._.image_caption) for doc in docs]
    texts += [("tags", " ".join(doc._.image_tags)) for doc in docs]
    report.notes.append(f"{len({*texts})} of {len(texts)} captions and lists of tags are distinct.")
    with tempfile.TemporaryDirectory() as folder:
        encoder = save_encoder(name, Path(folder))
        predictions = predict_works(encoder, examples, "eager" if smallest else "inductor")
        report.add_comparison("prediction", take_turns(predictions, rounds))
        report.add_comparison("training", take_turns(train_works(encoder, examples), rounds))
    report.add_comparison("CRF, decoding", take_turns(decode_works(), rounds))
    report.write(output)


def predict_works(encoder: Path, examples: Sequence[Example], compiler: str) -> Works:
    """Prediction of all examples with different optimisations.

    Args:
        encoder (Path): Folder of the encoder.
        examples (Sequence[Example]): The examples.
        compiler (str): Backend of `torch.compile`.

    Returns:
        Mapping: The works.
    """

    def pipeline(component: dict[str, Any] | None = None, **settings: Any) -> Language:
        return make_pipeline(encoder, examples, component=component, **DEFAULT | settings)[0]

    nlp, quantised, compiled = pipeline(), pipeline(), pipeline()
    quantise(quantised)
    layers: Any = get_ner(compiled).require_network().encoder
    layers.run_layer = torch.compile(layers.run_layer, dynamic=True, backend=compiler)
    # Batches of `nlp.pipe` are not divided further.
    unsorted = pipeline(component={"max_batch_tokens": 10**6})
    works = {
        "default": nlp,
        "no shared layers": pipeline(shared_depth=0.0),
        "URLs in full": pipeline(normalize_urls=False),
        "one pass": pipeline(interaction_depth=ONE_PASS["interaction_depth"]),
        "tried: int8 weights": quantised,
        "tried: bfloat16": pipeline(precision="bfloat16"),
        # The warm-up compiles it.
        "tried: torch.compile": compiled,
        "tried: batches of half the size": pipeline(component={"max_batch_tokens": 1024}),
    }
    return {
        **{name: partial(predict_copies, one, examples) for name, one in works.items()},
        "batches in the given order": partial(
            predict_copies, unsorted, examples, GIVEN_ORDER_BATCH
        ),
        "attention without a fused kernel": lambda: plain_attention()(
            predict_copies(nlp, examples)
        ),
        "padding in every layer": lambda: padded_layers()(predict_copies(nlp, examples)),
        # What could be saved at most if equal texts were encoded once, or if they were kept.
        "tags and captions alone": lambda: view_work(nlp, examples),
    }


def train_works(encoder: Path, examples: Sequence[Example]) -> Works:
    """An epoch over all examples with different optimisations.

    Args:
        encoder (Path): Folder of the encoder.
        examples (Sequence[Example]): The examples.

    Returns:
        Mapping: The works.
    """
    by_length = list(minibatch_by_padded_size(examples, PADDED_TOKENS, buffer=len(examples)))
    given_order = list(minibatch(examples, len(examples) // len(by_length)))

    by_pieces = cut_by_pieces(encoder, examples, len(by_length))

    def work(batches: Sequence[list[Example]] = by_length, **settings: Any) -> Any:
        nlp, optimizer = make_pipeline(encoder, examples, **DEFAULT | settings)

        def learn() -> None:
            for batch in batches:
                nlp.update(batch, sgd=optimizer, drop=DROPOUT)

        return lambda: learn

    default = work()
    return {
        "default": default,
        "no shared layers": work(shared_depth=0.0),
        "URLs in full": work(normalize_urls=False),
        "batches in the given order": work(given_order),
        "attention without a fused kernel": lambda: plain_attention()(default()),
        "padding in every layer": lambda: padded_layers()(default()),
        "tried: batches by word pieces": work(by_pieces),
        "tried: bfloat16": work(precision="bfloat16"),
        "tried: gradient checkpointing": work(gradient_checkpointing=True),
        "tried: frozen embeddings": work(learning_rate_factors={"encoder": 0.1, "embeddings": 0.0}),
    }


def decode_works() -> Works:
    """Decoding of 32 posts of 40 tokens with nine labels."""
    torch.manual_seed(0)
    ours, theirs = BioCRF(num_types=4), CRF(9, batch_first=True)
    emissions, mask = torch.randn(32, 40, 9), torch.ones(32, 40, dtype=torch.bool)
    return {
        "default": lambda: lambda: ours(emissions, mask).best_labels(),
        # It decodes label sequences that are not valid BIO, too.
        "pytorch-crf, no constraints": lambda: lambda: theirs.decode(emissions, mask),
    }


def quantise(nlp: Language) -> None:
    """Replace the encoder's linear layers by layers with 8-bit weights."""
    network = get_ner(nlp).require_network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        quantised = torch.ao.quantization.quantize_dynamic(network.encoder, {nn.Linear})
    network.encoder = quantised


def cut_by_pieces(encoder: Path, examples: Sequence[Example], count: int) -> list[list[Example]]:
    """So many batches with about equally many word pieces, of posts of similar length."""
    nlp, _ = make_pipeline(encoder, examples, **DEFAULT)
    ner = get_ner(nlp)
    posts = ner.reader.read([example.predicted for example in examples])
    lengths = [post.length for post in get_piece_encoder(ner.model).encode(posts)]
    rows = sorted(range(len(examples)), key=lengths.__getitem__)
    batches: list[list[Example]] = [[] for _ in range(count)]
    before = 0
    for row in rows:
        batches[before * count // sum(lengths)].append(examples[row])
        before += lengths[row]
    return [batch for batch in batches if batch]


def view_work(nlp: Language, examples: Sequence[Example]) -> Any:
    """Encode tags and captions of all posts, without the texts."""
    network = get_ner(nlp).require_network()
    inputs = list(make_tensors(nlp, [example.predicted for example in examples]))

    def encode() -> None:
        with torch.inference_mode():
            for batch in inputs:
                for pieces in batch.texts.values():
                    network.encode_view(pieces, network.config.view_layers)

    return encode


def padded_layers() -> Any:
    """A decorator that lets the encoder compute the padding in every layer."""
    return mock.patch.object(Packing, "of", classmethod(lambda cls, mask: None))


def plain_attention() -> Any:
    """A decorator that replaces torch's fused attention by three operations."""

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        scale: float | None = None,
    ) -> Tensor:
        scores = query @ key.transpose(2, 3) * (scale or 1 / math.sqrt(query.shape[3]))
        if attn_mask is not None:
            lowest = torch.finfo(scores.dtype).min
            scores = (
                scores.masked_fill(~attn_mask, lowest)
                if attn_mask.dtype == torch.bool
                else scores + attn_mask
            )
        return functional.dropout(scores.softmax(dim=3), dropout_p) @ value

    return mock.patch.object(functional, "scaled_dot_product_attention", attend)


if __name__ == "__main__":
    typer.run(main)
