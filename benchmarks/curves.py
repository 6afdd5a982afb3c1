"""Growth of time and memory with the size of texts, batches, pictures, label sets and streams.

Every function runs in a process of its own.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import torch
from common import Point, measure, take_turns
from models import DEFAULT, make_examples, make_pipeline, predict_copies, read_examples

from spacy_msvse import make_doc
from spacy_msvse.doc import get_picture_attributes, set_picture_attributes
from spacy_msvse.evaluation.machine import memory_mb


@dataclass(frozen=True)
class Batch:
    """A batch of synthetic posts of equal size.

    Attributes:
        posts (int): Number of posts.
        tokens (int): Tokens of each post.
        regions (int): Region vectors of each picture.
        pictures (int): Pictures of each post.
        types (int): Number of entity types. Each has two labels.
    """

    posts: int = 16
    tokens: int = 24
    regions: int = 8
    pictures: int = 1
    types: int = 4


def measure_batches(
    batches: Sequence[tuple[int, Batch]], encoder: Path, rounds: int
) -> tuple[list[Point], int]:
    """Measure prediction and training of batches.

    Args:
        batches (Sequence): Size and batch, in increasing order.
        encoder (Path): Folder of the encoder.
        rounds (int): Number of rounds.

    Returns:
        tuple: For each batch its size, the seconds of every round and the additional megabytes; and
            the number of threads.
    """
    points = []
    for size, batch in batches:
        # The examples have the first type.
        labels = [f"T{number}" for number in range(1, batch.types)]
        lengths = [batch.tokens] * batch.posts
        examples = make_examples(lengths, batch.regions, batch.pictures)
        component = {"max_pictures": batch.pictures}
        nlp, _ = make_pipeline(encoder, examples, labels=labels, component=component, **DEFAULT)
        # Libraries allocate memory at the first call, and gradients at the first update.
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
        points.append((size, found))
    return points, torch.get_num_threads()


def measure_stream(data: Path, encoder: Path, counts: Sequence[int]) -> tuple[list[Point], int]:
    """Measure the annotation of a stream, in which the same posts repeat.

    Args:
        data (Path): A .spacy file.
        encoder (Path): Folder of the encoder.
        counts (Sequence[int]): Numbers of posts after which time and memory are recorded.

    Returns:
        tuple: For each count the seconds so far and the memory of the process in megabytes; and the
            number of threads.
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
