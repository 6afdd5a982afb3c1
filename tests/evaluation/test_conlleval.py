"""Counting by conlleval's rules, against seqeval and against spaCy; seen and unseen entities."""

import random

import pytest
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_msvse.corpus.conll import read_conll
from spacy_msvse.evaluation.conlleval import (
    find_entities,
    known_entities,
    seen_scores,
    typed_scores,
)

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")


def annotated(nlp, words, *entities, missing=()) -> Doc:
    """A Doc with entities (first token, token after the last, type), and tokens without gold."""
    doc = Doc(nlp.vocab, words=words)
    spans = [Span(doc, start, end, label=label) for start, end, label in entities]
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing])
    return doc


def conlleval(*examples):
    return typed_scores(*find_entities(examples))


def read_labellings(nlp, path, labellings) -> list[Doc]:
    posts = ["\n".join(f"word {label}" for label in labels) for labels in labellings]
    path.write_text("\n\n".join(posts))
    return [post.to_doc(nlp) for post in read_conll(path, [])]


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_seqevals_and_spacys_on_any_labelling(nlp, tmp_path, seed):
    """Random labels: many of their entities open with a stray `I-`."""
    report = pytest.importorskip("seqeval.metrics").classification_report
    generator = random.Random(seed)
    gold, predicted = [
        [generator.choices(LABELS, weights=(4, 1, 1, 1, 1, 1, 1), k=8) for _ in range(60)]
        for _ in range(2)
    ]
    examples = [
        Example(*pair)
        for pair in zip(
            read_labellings(nlp, tmp_path / "predicted.txt", predicted),
            read_labellings(nlp, tmp_path / "gold.txt", gold),
            strict=True,
        )
    ]
    scores = conlleval(*examples)
    expected = report(gold, predicted, output_dict=True)
    rows = {"micro avg": scores, "macro avg": scores["macro"], **scores["per_type"]}
    for name, row in rows.items():
        figures = [expected[name][key] for key in ("precision", "recall", "f1-score")]
        assert [row[key] for key in "prf"] == pytest.approx(figures)
        assert row.get("gold", expected[name]["support"]) == expected[name]["support"]
    spacys = get_ner_prf(examples)
    assert [scores[key] for key in "prf"] == pytest.approx([spacys[f"ents_{key}"] for key in "prf"])


def test_a_post_without_gold_annotation_is_left_out(nlp):
    words = ["saw", "jordan"]
    judged = Example(annotated(nlp, words, (1, 2, "PER")), annotated(nlp, words, (1, 2, "PER")))
    unjudged = Example(annotated(nlp, words, (1, 2, "PER")), Doc(nlp.vocab, words=words))
    assert conlleval(judged, unjudged) == conlleval(judged)


def test_a_prediction_where_gold_is_missing_is_wrong_but_spacy_leaves_it_out(nlp):
    words = ["jordan", "saw", "amazon"]
    example = Example(
        annotated(nlp, words, (0, 1, "PER"), (2, 3, "ORG")),
        annotated(nlp, words, (0, 1, "PER"), missing=[2]),
    )
    assert conlleval(example)["p"] == 0.5
    assert get_ner_prf([example])["ents_p"] == 1.0


def test_a_part_of_a_gold_token_is_wrong_but_right_for_spacy(nlp):
    predicted = Doc(nlp.vocab, words=["new", "york"], spaces=[False, False])
    predicted.set_ents([Span(predicted, 0, 1, label="LOC")])
    example = Example(predicted, annotated(nlp, ["newyork"], (0, 1, "LOC")))
    assert conlleval(example)["f"] == 0.0
    assert get_ner_prf([example])["ents_f"] == 1.0


def test_an_entity_is_seen_if_training_has_its_text_as_its_type(nlp):
    known = known_entities([annotated(nlp, ["New", "\n", "YORK", "jordan"], (0, 3, "LOC"))])
    words = ["new", "york", "saw", "jordan"]
    gold = annotated(nlp, words, (0, 2, "LOC"), (3, 4, "PER"))
    predicted = annotated(nlp, words, (0, 2, "ORG"), (3, 4, "PER"))
    scores = seen_scores(*find_entities([Example(predicted, gold)]), known)
    # Never seen as an ORG: the wrong prediction is an unseen entity, the one missed a seen one.
    assert {key: scores["seen"][key] for key in ("gold", "predicted", "right", "r")} == {
        "gold": 1,
        "predicted": 0,
        "right": 0,
        "r": 0.0,
    }
    unseen = scores["unseen"]
    assert (unseen["gold"], unseen["predicted"], unseen["right"]) == (1, 2, 1)
    assert (unseen["p"], unseen["r"]) == (0.5, 1.0)
    assert unseen["f"] == pytest.approx(2 / 3)


def test_seen_and_unseen_entities_are_all_entities(nlp):
    words = ["jordan", "saw", "amazon"]
    gold = annotated(nlp, words, (0, 1, "PER"), (2, 3, "ORG"))
    entities = find_entities([Example(annotated(nlp, words, (0, 1, "PER")), gold)])
    scores = seen_scores(*entities, {("PER", "jordan")})
    for key in ("gold", "predicted", "right"):
        assert scores["seen"][key] + scores["unseen"][key] == typed_scores(*entities)[key]
