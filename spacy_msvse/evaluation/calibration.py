"""Do confidences keep what they promise? Of the entities of confidence p, a share of p should be
right."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from spacy.training import Example

from ..doc import SPANS_KEY
from ..gold import is_right

NUM_BINS = 10
NUM_RESAMPLES = 1000


def calibration_scores(examples: Iterable[Example], seed: int = 0) -> dict[str, Any]:
    """Measure the calibration of the predicted entities that carry a confidence.

    The interval is the bootstrap's 95%, over whole posts, as entities of one post go together.
    Resampling adds noise, and noise adds to a distance, so it lies rather too high than too low.

    examples (Iterable[Example]): Annotated examples.
    seed (int): Seed of the bootstrap.
    RETURNS (dict): "entities"; "ece", the expected calibration error, and "ece_interval" as
        [low, high]; "bins", each with its "entities", mean "confidence" and "precision", equally
        many entities to a bin. Without entities "ece" is None, and there is no bin.
    """
    post, confidence, right = judged_confidences(examples)
    if not len(post):
        return {"entities": 0, "ece": None, "ece_interval": None, "bins": []}
    generator = np.random.default_rng(seed)
    resampled = []
    for _ in range(NUM_RESAMPLES):
        # A drawing of posts is how often each of them was drawn.
        drawn = generator.integers(post[-1] + 1, size=post[-1] + 1)
        times = np.bincount(drawn, minlength=post[-1] + 1)[post]
        resampled.append(
            expected_error(*reliability(confidence.repeat(times), right.repeat(times)))
        )
    sizes, confidences, precisions = reliability(confidence, right)
    rows = zip(sizes.tolist(), confidences.tolist(), precisions.tolist(), strict=True)
    return {
        "entities": len(post),
        "ece": expected_error(sizes, confidences, precisions),
        "ece_interval": np.percentile(resampled, [2.5, 97.5]).tolist(),
        "bins": [{"entities": n, "confidence": c, "precision": p} for n, c, p in rows],
    }


def judged_confidences(
    examples: Iterable[Example],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The predicted entities that carry a confidence and that gold annotation can judge.

    examples (Iterable[Example]): Annotated examples.
    RETURNS (tuple): For each entity the index of its post among those that have any, in order; its
        confidence; and whether it is right.
    """
    post: list[int] = []
    confidence: list[float] = []
    right: list[bool] = []
    for example in examples:
        group = example.predicted.spans.get(SPANS_KEY)
        if group is None:
            continue
        index = post[-1] + 1 if post else 0
        for span, score in zip(group, group.attrs["scores"], strict=True):
            verdict = is_right(example, span.start, span.end, span.label_)
            if verdict is not None:
                post.append(index)
                confidence.append(float(score))
                right.append(verdict)
    return np.asarray(post, dtype="int64"), np.asarray(confidence), np.asarray(right, dtype=bool)


def reliability(
    confidence: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort entities into bins of equally many by their confidence.

    confidence (np.ndarray): float of shape (N,).
    right (np.ndarray): bool of shape (N,).
    RETURNS (tuple): For each bin how many entities it holds, their mean confidence, and the share
        that is right; there are fewer than `NUM_BINS` bins of fewer entities.
    """
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(NUM_BINS, len(order)))
    return (
        np.asarray([len(bin_) for bin_ in bins]),
        np.asarray([confidence[bin_].mean() for bin_ in bins]),
        np.asarray([right[bin_].mean() for bin_ in bins]),
    )


def expected_error(sizes: np.ndarray, confidences: np.ndarray, precisions: np.ndarray) -> float:
    """The expected calibration error: how far confidence and precision of a bin are apart, in the
    mean over entities. The arguments are what `reliability` returns."""
    return float(np.average(np.abs(confidences - precisions), weights=sizes))
