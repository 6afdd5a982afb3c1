"""Exact-match scores agree with seqeval and with spaCy's scorer; seen and unseen entities."""

import random

import numpy as np
import pytest
from seqeval.metrics import classification_report
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_msvse.corpus.conll import read_conll
from spacy_msvse.corpus.jsonl import parse_row
from spacy_msvse.evaluation.exact import (
    entity_scores,
    known_entities,
    match_entities,
    pool,
    post_counts,
    seen_scores,
)
from spacy_msvse.evaluation.statistics import f1_score

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")


def annotated(nlp, words, *entities, missing=(), spaces=None) -> Doc:
    """A Doc with entities (first token, token after the last, type), and tokens without gold."""
    doc = Doc(nlp.vocab, words=words, spaces=spaces)
    spans = [Span(doc, start, end, label=label) for start, end, label in entities]
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing])
    return doc


def match(*examples):
    return pool(map(match_entities, examples))


def read_labellings(nlp, path, labellings) -> list[Doc]:
    posts = ["\n".join(f"word {label}" for label in labels) for labels in labellings]
    path.write_text("\n\n".join(posts))
    return [parse_row(row).to_doc(nlp) for row in read_conll(path)]


def assert_equal_to_spacys(scores, examples):
    expected = get_ner_prf(examples)
    for key in ("ents_p", "ents_r", "ents_f"):
        assert scores[key] == pytest.approx(expected[key])
    assert scores["ents_per_type"] == {
        label: pytest.approx(row) for label, row in expected["ents_per_type"].items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_seqevals_and_spacys_for_any_labelling(nlp, tmp_path, seed):
    """Random labels: many of their entities begin with a stray `I-`."""
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
    scores = entity_scores(match(*examples))
    expected = classification_report(gold, predicted, output_dict=True)
    overall = {key: scores[f"ents_{key}"] for key in "prf"}
    for name, row in {"micro avg": overall, **scores["ents_per_type"]}.items():
        figures = [expected[name][key] for key in ("precision", "recall", "f1-score")]
        assert [row[key] for key in "prf"] == pytest.approx(figures)
    for name, counts in {"micro avg": scores["entities"], **scores["entities_per_type"]}.items():
        assert counts["gold"] == expected[name]["support"]
    assert_equal_to_spacys(scores, examples)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_spacys_for_other_tokens_and_gaps_in_the_annotation(nlp, seed):
    generator = random.Random(seed)
    words = ["new", "york", "saw", "jordan", "in", "amazon"]

    def annotate(pieces, spaces, **gaps):
        ends = sorted(generator.sample(range(1, len(pieces) + 1), 3))
        spans = [
            (start, end, generator.choice(("PER", "LOC")))
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        return annotated(nlp, pieces, *spans, spaces=spaces, **gaps)

    examples = []
    for _ in range(40):
        pieces = [part for word in words for part in (word[:2], word[2:]) if part]
        spaces = [end for word in words for end in ([False, True] if word[2:] else [True])]
        predicted = annotate(pieces, spaces)
        reference = annotate(words, [True] * len(words))
        gap = generator.randrange(len(words))
        kept = [ent for ent in reference.ents if not ent.start <= gap < ent.end]
        reference.set_ents(kept, missing=[reference[gap : gap + 1]])
        examples.append(Example(predicted, reference))
    assert_equal_to_spacys(entity_scores(match(*examples)), examples)


def test_scores_come_with_the_numbers_of_entities(nlp):
    words = ["jordan", "saw", "amazon"]
    gold = annotated(nlp, words, (0, 1, "PER"), (2, 3, "ORG"))
    predicted = annotated(nlp, words, (0, 1, "PER"), (2, 3, "LOC"))
    scores = entity_scores(match(Example(predicted, gold)))
    assert scores["entities"] == {"gold": 2, "predicted": 2, "right": 1}
    assert scores["entities_per_type"] == {
        "LOC": {"gold": 0, "predicted": 1, "right": 0},
        "ORG": {"gold": 1, "predicted": 0, "right": 0},
        "PER": {"gold": 1, "predicted": 1, "right": 1},
    }


def test_posts_without_gold_annotation_are_not_scored(nlp):
    words = ["saw", "jordan"]
    judged = Example(annotated(nlp, words, (1, 2, "PER")), annotated(nlp, words, (1, 2, "PER")))
    unjudged = Example(annotated(nlp, words, (1, 2, "PER")), Doc(nlp.vocab, words=words))
    assert match(judged, unjudged) == match(judged)


def test_without_any_entity_there_is_no_score(nlp):
    scores = entity_scores(match(Example(annotated(nlp, ["saw"]), annotated(nlp, ["saw"]))))
    assert (scores["ents_p"], scores["ents_r"], scores["ents_f"]) == (None,) * 3
    assert scores["ents_per_type"] == {}


def test_an_entity_is_seen_if_training_has_its_text_with_its_type(nlp):
    known = known_entities([annotated(nlp, ["New", "\n", "YORK", "jordan"], (0, 3, "LOC"))])
    words = ["new", "york", "saw", "jordan"]
    gold = annotated(nlp, words, (0, 2, "LOC"), (3, 4, "PER"))
    predicted = annotated(nlp, words, (0, 2, "ORG"), (3, 4, "PER"))
    scores = seen_scores(match(Example(predicted, gold)), known)
    # The text is not known as an ORG, so the wrong prediction is an unseen entity.
    seen, unseen = scores["seen"], scores["unseen"]
    assert (seen["gold"], seen["predicted"], seen["right"], seen["r"]) == (1, 0, 0, 0.0)
    assert (unseen["gold"], unseen["predicted"], unseen["right"]) == (1, 2, 1)
    assert (unseen["p"], unseen["r"]) == (0.5, 1.0)
    assert unseen["f"] == pytest.approx(2 / 3)


def test_seen_and_unseen_entities_add_up_to_all_entities(nlp):
    words = ["jordan", "saw", "amazon"]
    gold = annotated(nlp, words, (0, 1, "PER"), (2, 3, "ORG"))
    matches = match(Example(annotated(nlp, words, (0, 1, "PER")), gold))
    scores = seen_scores(matches, {("PER", "jordan")})
    for key, number in matches.counts().items():
        assert scores["seen"][key] + scores["unseen"][key] == number


def test_the_numbers_of_entities_by_post_give_the_f1_of_the_scorer(nlp):
    words = ["saw", "jordan", "in", "amazon"]
    pairs = [
        ([(1, 2, "PER"), (3, 4, "LOC")], [(1, 2, "PER"), (3, 4, "ORG")]),
        ([], [(1, 2, "PER")]),
        ([(1, 2, "PER")], []),
    ]
    examples = [
        Example(annotated(nlp, words, *predicted), annotated(nlp, words, *gold))
        for gold, predicted in pairs
    ]
    counts = post_counts(examples)
    assert counts == [[1, 2, 2], [0, 1, 0], [0, 0, 1]]
    assert f1_score(np.sum(counts, axis=0)) == pytest.approx(get_ner_prf(examples)["ents_f"])
    unjudged = Example(annotated(nlp, words, (1, 2, "PER")), Doc(nlp.vocab, words=words))
    assert post_counts([unjudged]) == [[0, 0, 0]]
