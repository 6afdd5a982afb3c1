"""The bootstrap over posts, and the comparison of two systems by it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 10_000
#: Maximum number of values in one block of resamples. It limits the memory of a bootstrap.
BLOCK_SIZE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """The difference between the F1 of two systems, as fractions.

    Attributes:
        f1 (float): F1 of the first minus F1 of the second system.
        low (float): The lower end of its 95% interval by the bootstrap.
        high (float): The upper end.
        p (float): The two-sided p-value of "there is no difference".
    """

    f1: float
    low: float
    high: float
    p: float


def resample(num_posts: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw resamples of posts: as many posts as there are, with replacement.

    Args:
        num_posts (int): The number of posts.
        resamples (int): The number of resamples.
        seed (int): Seed of the draws.

    Yields:
        np.ndarray: int64 of shape (n, posts), a block of resamples: how often each post was drawn.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK_SIZE // num_posts)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(num_posts, size=(size, num_posts))
        offsets = np.arange(size)[:, None] * num_posts
        counts = np.bincount((drawn + offsets).ravel(), minlength=size * num_posts)
        yield counts.reshape(size, num_posts)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95% interval of resampled values.

    Args:
        values (np.ndarray): float of shape (resamples,).

    Returns:
        tuple: Its lower and its upper end.
    """
    low, high = np.percentile(values, [2.5, 97.5]).tolist()
    return low, high


def f1_score(counts: np.ndarray) -> np.ndarray:
    """Micro-averaged F1.

    Args:
        counts (np.ndarray): Numbers of right, predicted and gold entities, of shape (..., 3).

    Returns:
        np.ndarray: F1 of shape (...), 0 if there is no entity.
    """
    right, predicted, gold = np.moveaxis(counts, -1, 0)
    f1: np.ndarray = 2 * right / np.maximum(predicted + gold, 1)
    return f1


def paired_bootstrap(
    counts_a: np.ndarray, counts_b: np.ndarray, resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Difference:
    """Compare the micro-averaged F1 of two systems by the paired bootstrap (Koehn 2004): both are
    scored on the same resampled posts.

    The p-value is twice the share of the resamples whose difference has the less frequent sign, so
    that it is below 0.05 if the interval does not contain 0. To pool the runs of several seeds, add
    their counts post by post.

    Args:
        counts_a (np.ndarray): The first system's right, predicted and gold entities of each post,
            of shape (posts, 3).
        counts_b (np.ndarray): The second system's, of the same posts.
        resamples (int): The number of resamples.
        seed (int): Seed of the draws.

    Returns:
        Difference: The difference.
    """
    counts = np.stack([counts_a, counts_b], axis=1)
    blocks = []
    for times in resample(len(counts), resamples, seed):
        f1 = f1_score(np.tensordot(times, counts, axes=1))
        blocks.append(f1[:, 0] - f1[:, 1])
    differences = np.concatenate(blocks)
    f1 = f1_score(counts.sum(axis=0))
    rarer = min((differences <= 0).sum(), (differences >= 0).sum())
    # The observed difference counts as one resample, so that the p-value is never 0.
    p = min(1.0, 2 * (rarer + 1) / (resamples + 1))
    return Difference(float(f1[0] - f1[1]), *interval(differences), float(p))
