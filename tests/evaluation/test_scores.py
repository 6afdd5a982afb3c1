"""Scores over posts and their slices."""

import pytest
import spacy
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.evaluation.scores import evaluate


@pytest.fixture
def pipeline():
    """A pipeline that calls every "jordan" a person."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "jordan"}])
    return nlp


def post(nlp, label, **meta):
    example = Example.from_dict(make_doc(nlp, "saw jordan"), {"entities": [(4, 10, label)]})
    example.reference.user_data["meta"] = meta
    return example


def test_an_entity_counts_if_span_and_type_are_right(pipeline):
    scores = evaluate(pipeline, [post(pipeline, "PER"), post(pipeline, "LOC")])
    assert (scores["ents_p"], scores["ents_r"], scores["ents_f"]) == (0.5, 0.5, 0.5)
    assert scores["ents_per_type"]["LOC"]["r"] == 0.0


def test_scores_tell_how_many_entities_they_are_of(pipeline):
    unlabelled = make_doc(pipeline, "saw jordan")
    posts = [post(pipeline, "PER"), post(pipeline, "LOC"), Example(unlabelled, unlabelled.copy())]
    scores = evaluate(pipeline, posts)
    assert scores["entities_per_type"] == {
        "LOC": {"gold": 1, "predicted": 0},
        "PER": {"gold": 1, "predicted": 2},
    }


def test_slices_are_the_boolean_keys_of_meta_that_are_true(pipeline):
    posts = [
        post(pipeline, "PER", picture_decides=True, id="a"),
        post(pipeline, "LOC", picture_decides=False),
        post(pipeline, "LOC", hard=True, picture_decides=True),
    ]
    slices = evaluate(pipeline, posts)["slices"]
    assert {name: s["posts"] for name, s in slices.items()} == {"hard": 1, "picture_decides": 2}
    assert slices["picture_decides"]["ents_f"] == 0.5


def test_nothing_is_told_of_what_was_not_measured(pipeline):
    """No training data, and a pipeline that looks at no picture."""
    scores = evaluate(pipeline, [post(pipeline, "PER")])
    assert not {"seen", "unseen", "visual"} & scores.keys()
    scores = evaluate(pipeline, [post(pipeline, "PER")], known=set())
    assert (scores["seen"]["gold"], scores["unseen"]["gold"]) == (0, 1)
