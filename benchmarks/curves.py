"""How time and memory grow: with the text, with pictures, with regions, with labels, with the
corpus. Every function here runs in a process of its own."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from common import Point, measure, take_turns
from contestants import (
    DEFAULT,
    make_examples,
    make_pipeline,
    predict_copies,
    read_examples,
)

from spacy_msvse import make_doc
from spacy_msvse.doc import get_picture_attributes, set_picture_attributes
from spacy_msvse.evaluation.machine import memory_mb


@dataclass(frozen=True)
class Batch:
    """A batch of made posts, all of a size.

    posts (int): How many.
    tokens (int): Tokens of each.
    regions (int): Region vectors of each.
    types (int): Entity types, each of which makes two labels.
    """

    posts: int = 16
    tokens: int = 24
    regions: int = 8
    types: int = 4


def cost(
    batches: Sequence[tuple[int, Batch]], encoder: dict[str, Any], rounds: int
) -> tuple[list[Point], int]:
    """What predicting a batch and learning from it cost.

    batches (Sequence): The size of each batch and the batch, from the smallest.
    encoder (dict): The encoder's configuration.
    rounds (int): How often each is timed.
    RETURNS (tuple): For each batch its size, seconds of every round, and megabytes beyond those
        before; and how many threads were used.
    """
    points = []
    for value, batch in batches:
        # The examples bring the first type.
        labels = [f"T{number}" for number in range(1, batch.types)]
        examples = make_examples([batch.tokens] * batch.posts, batch.regions)
        nlp, _ = make_pipeline(encoder, examples, labels=labels, **DEFAULT)
        # Libraries take memory at the first call, and gradients at the first update.
        nlp.update(examples[:1], sgd=False)
        found: dict[str, list[float]] = {}
        works = {
            "predict": lambda nlp=nlp, examples=examples: predict_copies(nlp, examples),
            "train": lambda nlp=nlp, examples=examples: lambda: nlp.update(examples, sgd=False),
        }
        for name, prepare in works.items():
            megabytes = measure(prepare())["peak_mb"]
            times = take_turns({name: prepare}, rounds, warmups=0)[name]
            found |= {f"{name}: {measured}": values for measured, values in times.items()}
            found[f"{name}: MB"] = [megabytes]
        points.append((value, found))
    return points, torch.get_num_threads()


def corpus(data: Path, encoder: dict[str, Any], counts: Sequence[int]) -> tuple[list[Point], int]:
    """Annotate a stream of posts, the same ones over and over.

    data (Path): A .spacy file.
    encoder (dict): The encoder's configuration.
    counts (Sequence[int]): After how many posts to look at the clock and at the memory.
    RETURNS (tuple): For each count the seconds so far and the megabytes that the process holds; and
        how many threads were used.
    """
    examples = read_examples(data, 1000)
    nlp, _ = make_pipeline(encoder, examples, **DEFAULT)
    posts = [
        ([token.text for token in example.predicted], get_picture_attributes(example.predicted))
        for example in examples
    ]
    stream = (
        set_picture_attributes(make_doc(nlp, words), attributes)
        for words, attributes in islice(cycle(posts), counts[-1])
    )
    points = []
    began, began_cpu = time.perf_counter(), time.process_time()
    for number, _ in enumerate(nlp.pipe(stream), start=1):
        if number in counts:
            found = {
                "wall s": [time.perf_counter() - began],
                "CPU s": [time.process_time() - began_cpu],
                "MB held": [memory_mb("VmRSS")],
            }
            points.append((number, found))
    return points, torch.get_num_threads()
