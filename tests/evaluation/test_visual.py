"""The visual entity classifier's scores for each view."""

import numpy as np
import pytest
from sklearn import metrics
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_msvse.evaluation.visual import visual_scores

TYPES = ("LOC", "ORG", "PER")


def post(nlp, labels, visual_entities) -> Example:
    """A post with an entity of each of these types."""
    words = ["word"] * len(TYPES)
    predicted, gold = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words)
    gold.set_ents([Span(gold, i, i + 1, label=label) for i, label in enumerate(labels)])
    predicted._.visual_entities = visual_entities
    return Example(predicted, gold)


def test_the_scores_of_every_view_equal_scikit_learns(nlp):
    generator = np.random.default_rng(0)
    gold = generator.random((50, len(TYPES))) < 0.5
    chances = {view: generator.random(gold.shape) for view in ("regions", "tags")}
    examples = [
        post(
            nlp,
            np.asarray(TYPES)[gold[row]].tolist(),
            {view: dict(zip(TYPES, c[row].tolist(), strict=True)) for view, c in chances.items()},
        )
        for row in range(len(gold))
    ]
    scores = visual_scores(examples)
    for view in chances:
        for average, rows in (
            ("micro", [scores[view]]),
            ("macro", [scores[view]["macro"]]),
            (None, [scores[view]["per_type"][name] for name in TYPES]),
        ):
            expected = metrics.precision_recall_fscore_support(
                gold, chances[view] >= 0.5, average=average
            )
            for key, figures in zip("prf", expected, strict=False):
                assert [row[key] for row in rows] == pytest.approx(np.ravel(figures).tolist())
        assert [row["gold"] for row in scores[view]["per_type"].values()] == gold.sum(0).tolist()


def test_a_view_is_scored_over_the_posts_that_have_it(nlp):
    examples = [
        post(nlp, ["PER"], {"regions": {"PER": 0.5}, "tags": {"PER": 0.4}}),
        post(nlp, ["PER"], {"tags": {"PER": 0.9}}),
        post(nlp, ["PER"], {}),
    ]
    scores = visual_scores(examples)
    assert {view: (s["posts"], s["gold"], s["right"]) for view, s in scores.items()} == {
        "regions": (1, 1, 1),
        "tags": (2, 2, 1),
    }


def test_a_type_counts_once_in_a_post(nlp):
    scores = visual_scores([post(nlp, ["PER", "PER"], {"tags": {"PER": 0.9}})])
    assert scores["tags"]["per_type"]["PER"]["gold"] == 1


def test_posts_without_gold_annotation_are_not_scored(nlp):
    example = post(nlp, ["PER"], {"tags": {"PER": 0.9}})
    assert not visual_scores([Example(example.predicted, Doc(nlp.vocab, words=["word"] * 3))])
