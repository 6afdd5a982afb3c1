"""The expected calibration error, against scikit-learn's bins and against odds that are known."""

import numpy as np
import pytest
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example

from spacy_msvse.evaluation.calibration import (
    calibration_scores,
    expected_error,
    judged_confidences,
    reliability,
)
from spacy_msvse.evaluation.scores import evaluate


def post(nlp, confidences, right) -> Example:
    """A post whose every token is an entity, predicted with a confidence, and right or wrong."""
    words = ["jordan"] * len(confidences)
    predicted, gold = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words)
    spans = [Span(predicted, i, i + 1, "PER") for i in range(len(words))]
    predicted.spans["msvse_ner"] = SpanGroup(
        predicted, spans=spans, attrs={"scores": np.asarray(confidences, dtype="float32")}
    )
    gold.set_ents([Span(gold, i, i + 1, "PER" if ok else "LOC") for i, ok in enumerate(right)])
    return Example(predicted, gold)


def posts(nlp, exponent: float, count: int = 2000) -> list[Example]:
    """Entities of confidence p of which a share of p ** exponent is right."""
    generator = np.random.default_rng(0)
    confidences = generator.random(count)
    right = generator.random(count) < confidences**exponent
    pairs = zip(confidences.reshape(-1, 4), right.reshape(-1, 4), strict=True)
    return [post(nlp, *pair) for pair in pairs]


def test_confidences_that_keep_their_promise_have_next_to_no_error(nlp):
    scores = calibration_scores(posts(nlp, exponent=1.0))
    assert scores["entities"] == 2000
    assert scores["ece"] < 0.03
    low, high = scores["ece_interval"]
    assert 0 <= low < high < 0.06


def test_confidences_that_promise_too_much_have_a_large_one(nlp):
    """The mean of p - p ** 3 over [0, 1] is 1/2 - 1/4."""
    scores = calibration_scores(posts(nlp, exponent=3.0))
    assert scores["ece"] == pytest.approx(0.25, abs=0.02)
    low, high = scores["ece_interval"]
    assert low < 0.25 < high


def test_the_bins_hold_equally_many_and_are_scikit_learns(nlp):
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    examples = posts(nlp, exponent=2.0, count=1000)
    _, confidence, right = judged_confidences(examples)
    bins = calibration_scores(examples)["bins"]
    precisions, confidences = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
    assert [row["entities"] for row in bins] == [100] * 10
    assert [row["confidence"] for row in bins] == pytest.approx(confidences.tolist())
    assert [row["precision"] for row in bins] == pytest.approx(precisions.tolist())


def test_the_error_is_weighed_by_entities():
    sizes, confidences, precisions = reliability(
        np.asarray([0.5] * 11), np.asarray([True, False] + [True] * 9)
    )
    assert sizes.tolist() == [2] + [1] * 9
    assert expected_error(sizes, confidences, precisions) == pytest.approx(9 * 0.5 / 11)


def test_fewer_entities_than_bins_have_a_bin_each(nlp):
    scores = calibration_scores([post(nlp, [0.9, 0.4], [True, False])])
    assert [row["entities"] for row in scores["bins"]] == [1, 1]
    assert scores["ece"] == pytest.approx((0.1 + 0.4) / 2)


def test_the_bootstrap_draws_whole_posts_and_is_repeatable(nlp):
    """Two posts, each wrong as a whole or right as a whole: few distinct drawings."""
    examples = [post(nlp, [1.0] * 5, [True] * 5), post(nlp, [1.0] * 5, [False] * 5)]
    scores = calibration_scores(examples)
    assert scores["ece"] == pytest.approx(0.5)
    assert scores["ece_interval"] == [0.0, 1.0]
    assert calibration_scores(examples) == scores


def test_a_pipeline_without_confidences_is_scored_without_calibration(nlp):
    examples = [Example(Doc(nlp.vocab, words=["a"]), Doc(nlp.vocab, words=["a"]))]
    scores = evaluate(nlp, examples)
    assert scores["calibration"]["ece"] is None
    assert scores["calibration"]["bins"] == []
