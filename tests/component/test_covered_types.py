"""A post says which types its annotation covers: only these count in the loss, the scores and the
calibration."""

import pytest
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_msvse import MsvseError, calibrate, make_doc
from spacy_msvse.component.targets import make_targets
from spacy_msvse.doc import is_covered
from spacy_msvse.evaluation.exact import match_entities
from spacy_msvse.evaluation.mistakes import find_mistakes
from spacy_msvse.evaluation.scores import score_examples
from spacy_msvse.evaluation.visual import visual_scores

from ..tiny import ambiguous_examples, tiny_pipeline, train

TYPES = ("PER", "LOC", "ORG")


def make(nlp, gold, predicted=(), covered=None) -> Example:
    words = ["saw", "jordan", "in", "florence"]
    doc, reference = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words)
    doc.set_ents([Span(doc, *entity) for entity in predicted])
    reference.set_ents([Span(reference, *entity) for entity in gold], default="outside")
    reference._.covered_types = covered
    return Example(doc, reference)


def test_the_types_are_in_the_meta_of_a_post_and_are_kept(nlp, tmp_path):
    doc = make_doc(nlp, "saw jordan")
    assert doc._.covered_types is None
    assert is_covered(doc, "PER")
    doc._.covered_types = ("PER",)
    assert doc.user_data["meta"] == {"types": ["PER"]}
    assert [is_covered(doc, label) for label in TYPES] == [True, False, False]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "posts.spacy")
    (again,) = DocBin().from_disk(tmp_path / "posts.spacy").get_docs(nlp.vocab)
    assert again._.covered_types == ["PER"]
    doc._.covered_types = None
    assert doc.user_data["meta"] == {}


@pytest.mark.parametrize("wrong", ["PER", 3, [3], [""], {"PER": True}])
def test_another_value_is_refused(nlp, wrong):
    doc = make_doc(nlp, "saw jordan")
    with pytest.raises(MsvseError, match=r"MSVSE-E035.*covered_types"):
        doc._.covered_types = wrong
    doc.user_data["meta"] = {"types": wrong}
    with pytest.raises(MsvseError, match=r"MSVSE-E035.*covered_types"):
        make_targets([Example(doc, doc)], TYPES)


def test_outside_of_entities_labels_of_uncovered_types_are_allowed(nlp):
    targets = make_targets([make(nlp, [(1, 2, "PER")], covered=["PER", "LOC"])], TYPES)
    outside = [True, False, False, False, False, True, True]  # O and the labels of ORG
    person = [False, True, False, False, False, False, False]
    assert targets.allowed[0].tolist() == [outside, person, outside, outside]
    assert targets.entity_types[0].tolist() == [1.0, 0.0, 0.0]
    assert targets.types_known[0].tolist() == [True, True, False]


def test_a_gold_entity_of_an_uncovered_type_is_still_an_entity(nlp):
    targets = make_targets([make(nlp, [(1, 2, "ORG")], covered=["PER"])], TYPES)
    assert targets.allowed[0, 1].nonzero().flatten().tolist() == [5]
    assert targets.types_known[0].tolist() == [True, False, True]


def test_no_covered_type_is_no_label(nlp):
    targets = make_targets([make(nlp, [], covered=[])], TYPES)
    assert targets.allowed.all()
    assert not targets.types_known.any()


def test_predictions_of_uncovered_types_are_not_counted(nlp):
    entities = [(1, 2, "ORG"), (3, 4, "LOC")]
    example = make(nlp, [(1, 2, "PER")], entities, covered=["PER", "LOC"])
    matches = match_entities(example)
    assert matches.counts() == {"gold": 1, "predicted": 1, "right": 0}
    assert [entity.label for entity in matches.conflicts] == ["ORG"]
    assert [one.kind for one in find_mistakes([example])] == ["spurious", "missed"]
    scores = score_examples(nlp, [example, make(nlp, [], [])])
    assert scores["partial"] == {"posts": 1, "conflicts": 1}
    assert "partial" not in score_examples(nlp, [make(nlp, [], [])])
    example.predicted._.visual_entities = {"regions": {"PER": 0.9, "ORG": 0.9, "LOC": 0.1}}
    scores = visual_scores([example])["regions"]
    assert (scores["gold"], scores["predicted"], scores["right"]) == (1, 1, 1)


def test_the_score_of_training_counts_covered_types_only(encoder):
    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp), steps=1)
    component = nlp.get_pipe("msvse_ner")
    entities = [(1, 2, "PER"), (3, 4, "LOC")]
    full = make(nlp, [(1, 2, "PER")], entities)
    partial = make(nlp, [(1, 2, "PER")], entities, covered=["PER"])
    assert component.score([full])["ents_p"] == 0.5
    scores = component.score([partial])
    assert (scores["ents_p"], scores["ents_r"]) == (1.0, 1.0)
    assert "LOC" not in scores["ents_per_type"]
    assert [entity.label_ for entity in partial.predicted.ents] == ["PER", "LOC"], "not changed"


def test_a_calibration_judges_covered_types_only(encoder):
    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp, copies=2))
    examples = ambiguous_examples(nlp, copies=2)
    people = sum(ent.label_ == "PER" for eg in examples for ent in eg.reference.ents)
    for example in examples:
        example.reference._.covered_types = ["PER"]
    with pytest.warns(UserWarning, match="MSVSE-W008"):
        assert calibrate(nlp.get_pipe("msvse_ner"), examples).entities == people


def hide(example: Example, covered) -> Example:
    """Remove the gold entities of all other types."""
    reference = example.reference.copy()
    kept = [entity for entity in reference.ents if entity.label_ in covered]
    reference.set_ents(kept, default="outside")
    reference._.covered_types = covered
    return Example(example.predicted, reference)


def halves(nlp, honest: bool = True) -> list[Example]:
    """Posts of which one half has the people, the other half the places and organisations."""
    parts = []
    for number, example in enumerate(ambiguous_examples(nlp, copies=4)):
        part = hide(example, [["PER"], ["LOC", "ORG"]][number // 12 % 2])
        if not honest:
            part.reference._.covered_types = None
        parts.append(part)
    return parts


@pytest.mark.parametrize(
    "model",
    [
        {"@architectures": "spacy-msvse.MSVSE.v1"},
        {"@architectures": "spacy-msvse.SMVAE.v1", "divergence_loss_weight": 0.0},
    ],
)
def test_sets_with_different_types_train_one_pipeline(encoder, model):
    nlp = tiny_pipeline(encoder, model=model)
    train(nlp, halves(nlp), steps=80)
    assert nlp.evaluate(ambiguous_examples(nlp))["ents_f"] > 0.95


def test_hidden_entities_that_are_taken_for_none_are_learned_as_none(encoder):
    """Without `covered_types`, the same posts train a pipeline that misses entities."""
    nlp = tiny_pipeline(encoder)
    train(nlp, halves(nlp, honest=False), steps=80)
    assert (nlp.evaluate(ambiguous_examples(nlp))["ents_f"] or 0) < 0.9
