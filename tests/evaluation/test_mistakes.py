"""The mistakes of a pipeline: each wrong or missed entity once, the most confident first."""

import random
from collections import Counter

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_msvse.doc import set_predictions
from spacy_msvse.evaluation.exact import match_entities
from spacy_msvse.evaluation.mistakes import find_mistakes

WORDS = ["we", "saw", "jordan", "smith", "in", "new", "york", "city", "today"]


def make(gold, predicted, scores=None, words=WORDS, gold_words=None) -> Example:
    vocab = spacy.blank("en").vocab
    doc, reference = Doc(vocab, words=words), Doc(vocab, words=gold_words or words)
    spans = [Span(doc, *entity) for entity in predicted]
    doc.set_ents(spans)
    set_predictions(doc, "msvse_ner", spans, scores or [0.5] * len(spans))
    reference.set_ents([Span(reference, *entity) for entity in gold], default="outside")
    return Example(doc, reference)


def kinds_and_words(examples) -> list[tuple]:
    def words(span):
        return None if span is None else (span.text, span.label_)

    return [(one.kind, words(one.predicted), words(one.gold)) for one in find_mistakes(examples)]


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([(2, 4, "PER")], [(2, 4, "PER")], []),
        ([], [(2, 4, "PER")], [("spurious", ("jordan smith", "PER"), None)]),
        ([(2, 4, "PER")], [], [("missed", None, ("jordan smith", "PER"))]),
        (
            [(2, 4, "PER")],
            [(2, 4, "LOC")],
            [("wrong type", ("jordan smith", "LOC"), ("jordan smith", "PER"))],
        ),
        (
            [(5, 8, "LOC")],
            [(5, 7, "LOC")],
            [("wrong border", ("new york", "LOC"), ("new york city", "LOC"))],
        ),
        (
            [(5, 8, "LOC")],
            [(5, 7, "ORG")],
            [("wrong type and border", ("new york", "ORG"), ("new york city", "LOC"))],
        ),
        # An entity of its own type is preferred, and each entity is used once.
        (
            [(2, 4, "PER"), (5, 6, "ORG"), (6, 8, "LOC")],
            [(3, 4, "PER"), (5, 7, "LOC"), (7, 8, "LOC")],
            [
                ("wrong border", ("smith", "PER"), ("jordan smith", "PER")),
                ("wrong border", ("new york", "LOC"), ("york city", "LOC")),
                ("spurious", ("city", "LOC"), None),
                ("missed", None, ("new", "ORG")),
            ],
        ),
    ],
)
def test_each_kind_of_mistake_is_named(gold, predicted, expected):
    assert kinds_and_words([make(gold, predicted)]) == expected


def test_the_most_confident_mistake_comes_first_and_missed_entities_last():
    examples = [
        make([(0, 1, "PER")], [(2, 3, "PER"), (5, 6, "LOC")], [0.3, 0.9]),
        make([], [(2, 4, "PER")], [0.6]),
    ]
    mistakes = find_mistakes(examples)
    assert [one.confidence for one in mistakes] == [
        pytest.approx(0.9),
        pytest.approx(0.6),
        pytest.approx(0.3),
        None,
    ]
    assert [one.post for one in mistakes] == [1, 2, 1, 1]


def test_a_row_has_both_entities_the_text_and_the_picture():
    example = make([(5, 8, "LOC")], [(5, 7, "LOC")], [0.75])
    example.predicted._.image = "a.png"
    (mistake,) = find_mistakes([example])
    assert mistake.to_row() == {
        "kind": "wrong border",
        "confidence": pytest.approx(0.75),
        "predicted": {"start": 23, "end": 31, "text": "new york", "label": "LOC"},
        "gold": {"start": 23, "end": 36, "text": "new york city", "label": "LOC"},
        "text": "we saw jordan smith in new york city today ",
        "image": "a.png",
        "post": 1,
    }


def test_a_prediction_without_gold_annotation_is_no_mistake():
    doc = Doc(spacy.blank("en").vocab, words=WORDS)
    example = make([], [(2, 4, "PER")])
    assert kinds_and_words([Example(example.predicted, doc)]) == []


def test_other_gold_tokens_are_aligned():
    joined = [*WORDS[:2], "jordan smith", *WORDS[4:]]
    assert kinds_and_words([make([(2, 3, "PER")], [(2, 4, "PER")], gold_words=joined)]) == []


def test_right_entities_and_mistakes_are_all_entities():
    """Over random posts, the counts are those of the scores."""
    draw = random.Random(0)

    def entities():
        cuts = sorted(draw.sample(range(len(WORDS) + 1), 4))
        pairs = [(cuts[0], cuts[1]), (cuts[2], cuts[3])]
        return [(*pair, draw.choice(["PER", "LOC"])) for pair in pairs if draw.random() < 0.8]

    examples = [make(entities(), entities()) for _ in range(300)]
    counts = Counter()
    for example in examples:
        counts.update(match_entities(example).counts())
    mistakes = find_mistakes(examples)
    assert counts["predicted"] == counts["right"] + sum(
        one.predicted is not None for one in mistakes
    )
    assert counts["gold"] == counts["right"] + sum(one.gold is not None for one in mistakes)
    assert len({one.kind for one in mistakes}) == 5
