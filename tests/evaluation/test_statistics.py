"""The bootstrap over posts: differences that are there, and p-values where there are none."""

import numpy as np
import pytest

from spacy_msvse.evaluation.statistics import paired_bootstrap, resample


def simulate(generator: np.random.Generator, accuracy: float, gold: np.ndarray) -> np.ndarray:
    """A system that finds each entity with a probability and predicts as many as there are gold."""
    return np.stack([generator.binomial(gold, accuracy), gold, gold], axis=1)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def gold(generator) -> np.ndarray:
    return generator.poisson(1.6, 300)


def test_a_system_does_not_differ_from_itself(generator, gold):
    counts = simulate(generator, 0.7, gold)
    found = paired_bootstrap(counts, counts)
    assert (found.f1, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_a_clear_difference_is_significant_in_both_directions(generator, gold):
    better, worse = simulate(generator, 0.8, gold), simulate(generator, 0.6, gold)
    above, below = paired_bootstrap(better, worse), paired_bootstrap(worse, better)
    assert above.p < 0.01
    assert 0 < above.low < above.f1 < above.high
    assert below.f1 == -above.f1
    assert below.p == above.p
    assert (below.low, below.high) == pytest.approx((-above.high, -above.low))


def test_systems_are_compared_on_the_same_posts(generator):
    """Posts differ more in difficulty than the systems, but the difference is significant."""
    counts = np.asarray([[0, 4, 4], [4, 4, 4]]).repeat(100, axis=0)
    better = counts.copy()
    better[:20, 0] += 1
    assert paired_bootstrap(better, counts).p < 0.01


@pytest.mark.parametrize("rows", [1, 64, 10**6])
def test_it_equals_a_loop_over_resamples_for_any_block_size(generator, gold, rows, monkeypatch):
    monkeypatch.setattr("spacy_msvse.evaluation.statistics.BLOCK_SIZE", rows * len(gold))
    a, b = simulate(generator, 0.7, gold), simulate(generator, 0.68, gold)
    found = paired_bootstrap(a, b, resamples=200, seed=3)
    drawing = np.random.default_rng(3)
    differences = []
    for _ in range(200):
        drawn = drawing.integers(len(gold), size=len(gold))
        (ra, pa, ga), (rb, pb, gb) = a[drawn].sum(axis=0), b[drawn].sum(axis=0)
        differences.append(2 * ra / (pa + ga) - 2 * rb / (pb + gb))
    below, above = sum(d <= 0 for d in differences), sum(d >= 0 for d in differences)
    assert found.p == pytest.approx(min(1, 2 * (min(below, above) + 1) / 201))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])))


def test_without_a_difference_p_values_are_uniform(generator, gold):
    p = [
        paired_bootstrap(
            simulate(generator, 0.7, gold), simulate(generator, 0.7, gold), resamples=200, seed=seed
        ).p
        for seed in range(400)
    ]
    for level in (0.05, 0.25, 0.5, 0.75):
        deviation = np.sqrt(level * (1 - level) / len(p))
        assert abs(np.mean(np.asarray(p) <= level) - level) < 3 * deviation + 0.01


def test_a_resample_has_as_many_posts_as_there_are():
    (block,) = resample(7, 20, seed=0)
    assert block.shape == (20, 7)
    assert (block.sum(axis=1) == 7).all()
