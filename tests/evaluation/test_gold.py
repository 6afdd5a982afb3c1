"""The judgement of a predicted entity is that of spaCy's scorer."""

import pytest
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_msvse.evaluation.gold import is_right


def post(nlp, entities, predicted=("saw", "Jo", "Day", "today")) -> Example:
    reference = Doc(nlp.vocab, words=["saw", "Jo", "Day", "today"])
    reference.set_ents([Span(reference, *entity) for entity in entities])
    return Example(Doc(nlp.vocab, words=list(predicted)), reference)


@pytest.mark.parametrize(
    ("entity", "right"),
    [((1, 3, "PER"), True), ((1, 3, "LOC"), False), ((1, 2, "PER"), False), ((0, 3, "PER"), False)],
)
def test_span_and_type_must_be_right(nlp, entity, right):
    example = post(nlp, [(1, 3, "PER")])
    assert is_right(example, *entity) is right
    example.predicted.set_ents([Span(example.predicted, *entity)])
    assert get_ner_prf([example])["ents_p"] == float(right)


def test_gold_and_prediction_may_have_other_tokens(nlp):
    example = post(nlp, [(1, 3, "PER")], predicted=("saw", "J", "o", "Day", "to", "day"))
    assert is_right(example, 1, 4, "PER")
    assert is_right(example, 2, 4, "PER")  # the scorer's rule: the same gold tokens
    assert is_right(example, 3, 4, "PER") is False


def test_tokens_without_annotation_are_not_judged(nlp):
    example = post(nlp, [(1, 3, "PER")])
    gold = example.reference
    gold.set_ents(list(gold.ents), missing=[gold[3:4]], outside=[gold[0:1]])
    assert is_right(example, 1, 3, "PER")
    assert is_right(example, 1, 4, "PER") is None
    unknown = Doc(nlp.vocab, words=["saw", "Jo", "Day", "today"])
    assert is_right(Example(example.predicted, unknown), 1, 3, "PER") is None
