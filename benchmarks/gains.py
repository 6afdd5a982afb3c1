"""What each way to save time gives: the default beside itself with one thing undone, or with one
more thing tried.

python benchmarks/gains.py POSTS.spacy OUTPUT.json   (Linux with a C++ compiler; minutes, 6 GB)
"""

import math
import random
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import torch
import typer
from common import Report, Works, take_turns
from contestants import (
    DEFAULT,
    MINILM,
    TINY,
    find_shim,
    make_pipeline,
    predict_copies,
    read_examples,
)
from spacy.language import Language
from spacy.training import Example
from spacy.training.batchers import minibatch_by_padded_size
from spacy.util import minibatch
from torch import Tensor, nn
from torch.nn import functional

from spacy_msvse.component import pipe
from spacy_msvse.network.crf import BioCRF

DROPOUT = 0.1

#: Padded tokens of a training batch.
PADDED_TOKENS = 256


def main(
    data: Annotated[Path, typer.Argument(help="A .spacy file of posts", exists=True)],
    output: Annotated[Path, typer.Argument(help="JSON file to write; a Markdown file joins it")],
    smallest: Annotated[bool, typer.Option(help="Only try whether everything runs")] = False,
) -> None:
    """Measure everything."""
    encoder, posts, rounds = (TINY, 8, 1) if smallest else (MINILM, 128, 3)
    examples = read_examples(data, posts)
    random.Random(1).shuffle(examples)
    report = Report()
    report.tell(data, rounds, {"default": DEFAULT})
    report.notes.append(
        f"{len(examples)} posts in random order, an encoder of MiniLM's size. A ratio above 1 is "
        "time that the default saves; one below 1 is time that it leaves on the table."
    )
    works = predictions(encoder, examples, "eager" if smallest else "inductor")
    report.compare("prediction", take_turns(works, rounds))
    report.compare("training", take_turns(trainings(encoder, examples), rounds))
    report.compare("CRF, decoding", take_turns(decodings(), rounds))
    report.write(output)


def predictions(encoder: dict[str, Any], examples: Sequence[Example], compiler: str) -> Works:
    """Ways to predict all examples."""

    def pipeline(**settings: Any) -> Language:
        return make_pipeline(encoder, examples, **DEFAULT | settings)[0]

    nlp, quantised, compiled = pipeline(), pipeline(), pipeline()
    quantise(quantised)
    layerwise: Any = find_shim(compiled).network.encoder
    layerwise.run_layer = torch.compile(layerwise.run_layer, dynamic=True, backend=compiler)
    unsorted = mock.patch.object(pipe, "count_pieces", lambda _, docs, *rest: [40] * len(docs))
    works = {
        "default": nlp,
        "no shared layers": pipeline(shared_depth=0.0),
        "URLs in full": pipeline(normalize_urls=False),
        "tried: int8 weights": quantised,
        "tried: bfloat16": pipeline(precision="bfloat16"),
        # Compiled in the rounds before the clock starts.
        "tried: torch.compile": compiled,
    }
    return {
        **{name: partial(predict_copies, nlp, examples) for name, nlp in works.items()},
        "posts in batches as they come": lambda: unsorted(predict_copies(nlp, examples)),
        "attention written out": lambda: written_out()(predict_copies(nlp, examples)),
    }


def trainings(encoder: dict[str, Any], examples: Sequence[Example]) -> Works:
    """Ways to learn from all examples once."""
    by_length = list(minibatch_by_padded_size(examples, PADDED_TOKENS, buffer=len(examples)))
    as_they_come = list(minibatch(examples, len(examples) // len(by_length)))

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
        "posts in batches as they come": work(as_they_come),
        "attention written out": lambda: written_out()(default()),
        "tried: bfloat16": work(precision="bfloat16"),
        "tried: gradient checkpointing": work(gradient_checkpointing=True),
        "tried: frozen embeddings": work(learning_rate_factors={"encoder": 0.1, "embeddings": 0.0}),
    }


def decodings() -> Works:
    """Ways to decode 32 posts of 40 tokens and nine labels."""
    torch.manual_seed(0)
    crf = BioCRF(num_types=4)
    emissions, mask = torch.randn(32, 40, crf.num_tags), torch.ones(32, 40, dtype=torch.bool)
    return {
        "default": lambda: lambda: crf.lattice(emissions, mask).best_labels(),
        "pytorch-crf's own": lambda: lambda: crf.decode(emissions, mask),
    }


def quantise(nlp: Language) -> None:
    """Multiply by weights of eight bits, in the encoder."""
    network = find_shim(nlp).network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        quantised = torch.ao.quantization.quantize_dynamic(network.encoder, {nn.Linear})
    network.encoder = quantised


def written_out() -> Any:
    """Attention as three operations, as BERT had it before torch offered one."""

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
