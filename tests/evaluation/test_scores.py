"""Scores over posts and their slices, those of `nlp.evaluate`."""

from typing import get_args

import pytest
import spacy
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.controls import CONTROLS, Control
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


def test_scores_come_with_the_numbers_of_entities(pipeline):
    unlabelled = make_doc(pipeline, "saw jordan")
    posts = [post(pipeline, "PER"), post(pipeline, "LOC"), Example(unlabelled, unlabelled.copy())]
    scores = evaluate(pipeline, posts)
    assert scores["entities"] == {"gold": 2, "predicted": 2, "right": 1}
    assert scores["entities_per_type"]["LOC"] == {"gold": 1, "predicted": 0, "right": 0}


def test_slices_are_the_boolean_keys_of_meta_that_are_true(pipeline):
    posts = [
        post(pipeline, "PER", picture_decides=True, id="a"),
        post(pipeline, "LOC", picture_decides=False),
        post(pipeline, "LOC", hard=True, picture_decides=True),
    ]
    slices = evaluate(pipeline, posts)["slices"]
    assert {name: s["posts"] for name, s in slices.items()} == {"hard": 1, "picture_decides": 2}
    assert slices["picture_decides"]["ents_f"] == 0.5


def test_scores_that_were_not_measured_are_left_out(pipeline):
    """Without training data, and for a pipeline that reads no picture."""
    scores = evaluate(pipeline, [post(pipeline, "PER")])
    assert not {"seen", "unseen", "visual"} & scores.keys()
    scores = evaluate(pipeline, [post(pipeline, "PER")], known=set())
    assert (scores["seen"]["gold"], scores["unseen"]["gold"]) == (0, 1)


def test_the_scores_are_those_of_nlp_evaluate(pipeline):
    posts = [post(pipeline, "PER"), post(pipeline, "PER"), post(pipeline, "LOC")]
    expected = pipeline.evaluate([Example(eg.predicted.copy(), eg.reference) for eg in posts])
    scores = evaluate(pipeline, posts)
    for key in ("ents_p", "ents_r", "ents_f", "ents_per_type"):
        assert scores[key] == expected[key]


def test_the_names_of_the_controls_are_the_choices_of_the_option():
    assert set(get_args(Control)) == set(CONTROLS)


def test_examples_that_know_the_answers_are_refused(pipeline):
    """Such as those with a copy of the gold Doc to predict: a pipeline keeps its entities."""
    posts = [post(pipeline, "PER"), post(pipeline, "LOC")]
    known = [Example(one.reference.copy(), one.reference) for one in posts]
    with pytest.raises(MsvseError, match="MSVSE-E266"):
        evaluate(pipeline, known)
    assert evaluate(pipeline, [*posts, *known])["entities"]["gold"] == 4
