"""The paired bootstrap finds what is there, and no more."""

import numpy as np
import pytest
from spacy.scorer import get_ner_prf
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.evaluation.significance import f1_score, paired_bootstrap, post_counts


def simulate(generator: np.random.Generator, accuracy: float, gold: np.ndarray) -> np.ndarray:
    """A system that finds each entity with a probability and predicts as many as there are."""
    return np.stack([generator.binomial(gold, accuracy), gold, gold], axis=1)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def gold(generator) -> np.ndarray:
    return generator.poisson(1.6, 300)


def test_a_system_is_no_better_than_itself(generator, gold):
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
    """Posts differ in difficulty far more than the systems: paired, the difference still shows."""
    counts = np.asarray([[0, 4, 4], [4, 4, 4]]).repeat(100, axis=0)
    better = counts.copy()
    better[:20, 0] += 1
    assert paired_bootstrap(better, counts).p < 0.01


@pytest.mark.parametrize("chunk", [1, 64, 10**6])
def test_it_equals_a_loop_over_resamples(generator, gold, chunk, monkeypatch):
    """Whatever the chunks: they draw the same posts."""
    monkeypatch.setattr("spacy_msvse.evaluation.significance.CHUNK", chunk * len(gold))
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


def test_where_there_is_no_difference_every_p_value_is_as_likely(generator, gold):
    p = [
        paired_bootstrap(
            simulate(generator, 0.7, gold), simulate(generator, 0.7, gold), resamples=200, seed=seed
        ).p
        for seed in range(400)
    ]
    for level in (0.05, 0.25, 0.5, 0.75):
        deviation = np.sqrt(level * (1 - level) / len(p))
        assert abs(np.mean(np.asarray(p) <= level) - level) < 3 * deviation + 0.01


def test_counts_are_those_of_the_scorer(nlp):
    examples = []
    for gold, predicted in (
        ([(4, 10, "PER"), (14, 20, "LOC")], [(4, 10, "PER"), (14, 20, "ORG")]),
        ([], [(4, 10, "PER")]),
        ([(4, 10, "PER")], []),
    ):
        doc = make_doc(nlp, "saw jordan in amazon")
        doc.ents = [doc.char_span(*entity) for entity in predicted]
        examples.append(Example.from_dict(doc, {"entities": gold}))
    counts = post_counts(examples)
    assert counts == [[1, 2, 2], [0, 1, 0], [0, 0, 1]]
    assert f1_score(np.sum(counts, axis=0)) == pytest.approx(get_ner_prf(examples)["ents_f"])
    examples.append(Example(make_doc(nlp, "saw jordan"), make_doc(nlp, "saw jordan")))
    examples[-1].predicted.ents = [examples[-1].predicted.char_span(4, 10, "PER")]
    assert post_counts(examples)[-1] == [0, 0, 0], "a post without annotation does not count"
