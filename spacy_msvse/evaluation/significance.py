"""Is one system better than another, or luckier? Both are judged on the same resampled posts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.training import Example

from ..gold import is_right

NUM_RESAMPLES = 10_000
#: Bounds the memory of a bootstrap: how many drawn posts are held together.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """How far the F1 of one system is above another's, as fractions.

    f1 (float): The difference on the posts themselves.
    low (float): The lower end of the bootstrap's 95% interval.
    high (float): The upper end.
    p (float): The two-sided p-value of "there is none".
    """

    f1: float
    low: float
    high: float
    p: float


def post_counts(examples: Sequence[Example]) -> list[list[int]]:
    """Count the entities of each post as spaCy's scorer does.

    examples (Sequence[Example]): Annotated examples.
    RETURNS (list): For each post how many entities are [right, predicted, gold]; predicted ones
        without gold annotation are not counted.
    """
    counts = []
    for example in examples:
        verdicts = [
            is_right(example, ent.start, ent.end, ent.label_) for ent in example.predicted.ents
        ]
        judged = [verdict for verdict in verdicts if verdict is not None]
        counts.append([sum(judged), len(judged), len(example.reference.ents)])
    return counts


def f1_score(counts: np.ndarray) -> np.ndarray:
    """Micro-averaged F1.

    counts (np.ndarray): Sums of right, predicted and gold entities, of shape (..., 3).
    RETURNS (np.ndarray): F1 of shape (...), 0 where there is no entity.
    """
    return 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)


def paired_bootstrap(
    counts_a: np.ndarray, counts_b: np.ndarray, resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Difference:
    """Compare the micro-averaged F1 of two systems by the paired bootstrap (Koehn 2004).

    The p-value is twice the share of resamples on the other side of 0 than most, so that it is
    below 0.05 where the interval leaves 0 out. To pool runs of several seeds, add up their counts
    post by post.

    counts_a (np.ndarray): The first system's right, predicted and gold entities of each post, of
        shape (posts, 3).
    counts_b (np.ndarray): The second system's, of the same posts.
    resamples (int): How often the posts are drawn anew.
    seed (int): Seed of the drawing.
    RETURNS (Difference): How far the first is above the second.
    """
    counts = np.stack([counts_a, counts_b], axis=1)
    num_posts = len(counts)
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK // num_posts)
    differences = np.empty(resamples)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(num_posts, size=(size, num_posts))
        # A drawing of posts is how often each of them was drawn.
        rows = np.arange(size)[:, None] * num_posts
        times = np.bincount((drawn + rows).ravel(), minlength=size * num_posts)
        f1 = f1_score(np.tensordot(times.reshape(size, num_posts), counts, axes=1))
        differences[start : start + size] = f1[:, 0] - f1[:, 1]
    f1 = f1_score(counts.sum(axis=0))
    low, high = np.percentile(differences, [2.5, 97.5])
    beyond = min((differences <= 0).sum(), (differences >= 0).sum())
    # What was observed counts as a resample: no finite number of them makes anything impossible.
    p = min(1.0, 2 * (beyond + 1) / (resamples + 1))
    return Difference(float(f1[0] - f1[1]), float(low), float(high), float(p))
