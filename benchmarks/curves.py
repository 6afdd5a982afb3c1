"""How time and memory grow: with the text, with pictures, with regions, with labels, with the
corpus. Every function here runs in a process of its own."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from common import measure, take_turns
from contestants import (
    DEFAULT,
    make_examples,
    make_pipeline,
    predict_copies,
    read_examples,
)

from spacy_msvse import make_doc
from spacy_msvse.evaluation.machine import memory_mb
from spacy_msvse.extensions import get_picture_attributes, set_picture_attributes


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
    size: str, batches: Sequence[tuple[int, Batch]], encoder: dict[str, Any], rounds: int
) -> list[dict[str, float]]:
    """What predicting a batch and learning from it cost.

    size (str): What grows.
    batches (Sequence): The size of each batch and the batch, from the smallest.
    encoder (dict): The encoder's configuration.
    rounds (int): How often each is timed.
    RETURNS (list): For each batch its size, seconds, and megabytes beyond those before.
    """
    points = []
    for value, batch in batches:
        # The examples bring the first type.
        labels = [f"T{number}" for number in range(1, batch.types)]
        examples = make_examples([batch.tokens] * batch.posts, batch.regions)
        nlp, _ = make_pipeline(encoder, examples, labels=labels, **DEFAULT)
        # Libraries take memory at the first call, and gradients at the first update.
        nlp.update(examples[:1], sgd=False)
        point: dict[str, float] = {size: value}
        works = {
            "predict": lambda nlp=nlp, examples=examples: predict_copies(nlp, examples),
            "train": lambda nlp=nlp, examples=examples: lambda: nlp.update(examples, sgd=False),
        }
        for name, prepare in works.items():
            megabytes = measure(prepare())["peak_mb"]
            times = summary(take_turns({name: prepare}, rounds, warmups=0)[name])
            point |= {f"{name}: {measured}": value for measured, value in times.items()}
            point[f"{name}: MB"] = megabytes
        points.append(point)
    return points


def summary(times: dict[str, list[float]]) -> dict[str, float]:
    """The median of each measure."""
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def corpus(data: Path, encoder: dict[str, Any], counts: Sequence[int]) -> list[dict[str, float]]:
    """Annotate a stream of posts, the same ones over and over.

    data (Path): A .spacy file.
    encoder (dict): The encoder's configuration.
    counts (Sequence[int]): After how many posts to look at the clock and at the memory.
    RETURNS (list): For each count the seconds so far and the megabytes that the process holds.
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
            points.append(
                {
                    "posts of a stream": number,
                    "wall s": time.perf_counter() - began,
                    "CPU s": time.process_time() - began_cpu,
                    "MB held": memory_mb("VmRSS"),
                }
            )
    return points
