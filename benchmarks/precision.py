"""F1, changed entities and CPU time of a trained pipeline in lower precision.

    python benchmarks/precision.py training/model-best test.spacy benchmarks/results/precision.json

bfloat16 is a setting of the component. 8-bit weights are not: torch's dynamic quantisation replaces
linear layers of the encoder here. "feed-forward" are those that change the width. All rows predict
the same posts in turns, in one process.
"""

import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import spacy
import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from torch import nn
from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig

from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.evaluation.machine import describe_machine

Span = tuple[int, int, int, str]


def main(
    model: Annotated[str, typer.Argument(help="Name or folder of a pipeline")],
    data: Annotated[Path, typer.Argument(help="A .spacy file of posts", exists=True)],
    output: Annotated[Path, typer.Argument(help="JSON file to write")],
    rounds: Annotated[int, typer.Option(help="Times of each row", min=1)] = 3,
) -> None:
    """Measure every row, and write and print the table."""
    pipelines = {name: load(model) for name, load in ROWS.items()}
    examples = list(Corpus(data)(pipelines["float32"]))
    gold = {span for row, one in enumerate(examples) for span in list_spans(row, one.reference)}
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    found: dict[str, set[Span]] = {}
    for turn in range(rounds):
        for name, nlp in pipelines.items():
            spans, spent = predict(nlp, examples)
            found.setdefault(name, spans)
            assert found[name] == spans, f"{name} gives other entities in turn {turn}"
            seconds[name].append(spent)
    before = found["float32"]
    rows = {}
    for name, spans in found.items():
        ratios = [a / b for a, b in zip(seconds[name], seconds["float32"], strict=True)]
        rows[name] = {
            "F1": round(200 * len(spans & gold) / (len(spans) + len(gold)), 2),
            "added": len(spans - before),
            "lost": len(before - spans),
            "CPU s: ratio": [round(f(ratios), 3) for f in (statistics.median, min, max)],
        }
        print(f"{name}: {rows[name]}")
    report = {"posts": len(examples), "entities": len(before), "rows": rows}
    output.write_text(json.dumps({**report, "machine": describe_machine()}, indent=2, default=str))


def load_in(precision: str) -> Callable[[str], Language]:
    """A function that loads a pipeline with a precision."""
    settings = {"components.msvse_ner.model.precision": precision}

    def load(model: str) -> Language:
        return spacy.load(model, config=settings)

    return load


def quantise(choose: Callable[[nn.Linear], bool], config: Any) -> Callable[[str], Language]:
    """A function that loads a pipeline and gives chosen linear layers of its encoder 8-bit
    weights."""

    def load(model: str) -> Language:
        nlp: Language = load_in("float32")(model)
        network = nlp.get_pipe("msvse_ner").require_network()  # type: ignore[attr-defined]
        layers = {
            name: config
            for name, layer in network.encoder.named_modules()
            if isinstance(layer, nn.Linear) and choose(layer)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated
            network.encoder = torch.ao.quantization.quantize_dynamic(network.encoder, layers)
        return nlp

    return load


def is_feed_forward(layer: nn.Linear) -> bool:
    """Whether a layer changes the width."""
    return layer.in_features != layer.out_features


ROWS: dict[str, Callable[[str], Language]] = {
    "float32": load_in("float32"),
    "bfloat16": load_in("bfloat16"),
    "8 bits": quantise(lambda layer: True, default_dynamic_qconfig),
    "8 bits, per channel": quantise(lambda layer: True, per_channel_dynamic_qconfig),
    "8 bits, feed-forward": quantise(is_feed_forward, default_dynamic_qconfig),
    "8 bits, feed-forward, per channel": quantise(is_feed_forward, per_channel_dynamic_qconfig),
}


def predict(nlp: Language, examples: Sequence[Example]) -> tuple[set[Span], float]:
    """The entities of all posts, and the seconds of CPU time."""
    docs = [example.predicted.copy() for example in examples]
    start = time.process_time()
    docs = list(nlp.pipe(docs))
    seconds = time.process_time() - start
    return {span for row, doc in enumerate(docs) for span in list_spans(row, doc)}, seconds


def list_spans(row: int, doc: Doc) -> list[Span]:
    """The entities of a post."""
    return [(row, ent.start, ent.end, ent.label_) for ent in doc.ents]


if __name__ == "__main__":
    typer.run(main)
