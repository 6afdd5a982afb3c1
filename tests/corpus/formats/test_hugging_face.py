"""Tokens with labels, as the data sets of Hugging Face have them (datasets 5.2)."""

import pytest

from .conftest import get_entities

NAMES = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
TOKENS = ["Ada", "Lovelace", "in", "Paris"]
NUMBERS = [{"id": "0", "tokens": TOKENS, "ner_tags": [1, 2, 0, 3], "image": "1.jpg"}]
TEXTS = [{"words": TOKENS, "labels": ["B-PER", "I-PER", "O", "B-LOC"], "image": "1.jpg"}]
#: tner: `tags`, whose numbers are in a file of labels.
TNER = [{"tokens": TOKENS, "tags": [1, 2, 0, 3], "image": "1.jpg"}]
EXPECTED = [("Ada Lovelace", "PER"), ("Paris", "LOC")]


@pytest.mark.parametrize("records", [NUMBERS, TEXTS, TNER])
def test_labels_are_numbers_or_texts(read, records):
    source, (post,), (doc,), bad_rows = read(records, labels=NAMES)
    assert source.title == "tokens and labels in JSONL"
    assert not bad_rows
    assert [token.text for token in doc] == TOKENS
    assert get_entities(doc) == EXPECTED
    assert doc._.image_tags is None
    assert post.scheme == "IOB2"


def test_numbers_need_their_names(read):
    for records, key in ((NUMBERS, "ner_tags"), (TNER, "tags")):
        with pytest.raises(ValueError, match=rf"MSVSE-E244.*'{key}'.*--labels"):
            read(records)
    _, _, (doc,), _ = read(TEXTS)
    assert get_entities(doc) == EXPECTED


def test_other_labels_of_tokens_are_not_those_of_entities(read):
    record = {"tokens": ["Ada", "sings"], "pos_tags": [22, 42], "ner_tags": [1, 0]}
    _, (post,), (doc,), _ = read([record], labels=NAMES)
    assert get_entities(doc) == [("Ada", "PER")]
    assert post.unread_keys == {"other": ["pos_tags"]}


def test_words_that_describe_the_picture_are_no_labels(read):
    record = {"tokens": ["Ada", "sings"], "tags": ["dog", "stage"], "image": "1.jpg"}
    source, _, (doc,), _ = read([record])
    assert source.shape == "posts"
    assert doc._.image_tags == ["dog", "stage"]


@pytest.mark.parametrize(
    ("names", "labels", "scheme", "expected"),
    [
        ({0: "O", 1: "PER"}, [1, 1, 0, 1], "types without prefix", ["Ada Lovelace", "Paris"]),
        (
            {0: "O", 1: "B-PER", 2: "I-PER", 3: "E-PER", 4: "S-PER"},
            [1, 3, 0, 4],
            "BIOES",
            ["Ada Lovelace", "Paris"],
        ),
    ],
)
def test_the_list_of_labels_tells_the_scheme(read, names, labels, scheme, expected):
    _, (post,), (doc,), _ = read([{"tokens": TOKENS, "ner_tags": labels}], labels=names)
    assert post.scheme == scheme
    assert [ent.text for ent in doc.ents] == expected


def test_tokens_labelled_x_are_context(read):
    record = {"tokens": ["Ada", "<s>", "dog"], "ner_tags": ["B-PER", "X", "X"]}
    _, (post,), (doc,), _ = read([record])
    assert [token.text for token in doc] == ["Ada"]
    assert doc._.image_texts == {"context": "<s> dog"}
    assert post.tokens_left_out == 2


def test_a_text_beside_the_tokens_keeps_its_blanks(read):
    record = {
        "text": "Ada,Bob  now",
        "tokens": ["Ada", ",", "Bob", "now"],
        "ner_tags": [1, 0, 1, 0],
    }
    _, _, (doc,), bad_rows = read([record], labels=NAMES)
    assert not bad_rows
    assert doc.text == "Ada,Bob  now"
    assert get_entities(doc) == [("Ada", "PER"), ("Bob", "PER")]


def test_a_post_without_tokens_is_no_reason_for_another_shape(read):
    records = [{"tokens": [], "ner_tags": []}, *NUMBERS]
    source, _, docs, bad_rows = read(records, labels=NAMES)
    assert source.shape == "hugging-face"
    assert [get_entities(doc) for doc in docs] == [EXPECTED]
    assert bad_rows == [(1, "the post has no tokens")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"tokens": ["Ada"], "ner_tags": [1, 0]}, "has 1 'tokens', but 2 'ner_tags'"),
        ({"tokens": ["Ada"], "ner_tags": [9]}, "'ner_tags.0' is 9, which the labels do not have"),
        ({"tokens": ["Ada"], "ner_tags": [-100]}, "'ner_tags.0' is -100"),
        ({"tokens": ["Ada"], "ner_tags": [True]}, "'ner_tags.0' is True"),
        ({"tokens": ["Ada"], "ner_tags": [None]}, "'ner_tags.0' is None"),
        ({"tokens": ["Ada"], "ner_tags": ["B_PER"]}, "label 'B_PER' is not O, B-TYPE"),
        ({"tokens": [""], "ner_tags": [1]}, "one is empty"),
        ({"tokens": ["Ada"], "ner_tags": [1], "spans": []}, "both 'spans' and 'ner_tags'"),
        ({"text": "Bob", "tokens": ["Ada"], "ner_tags": [1]}, "the word 'Ada' is not in 'text'"),
        ({"tokens": [3], "ner_tags": [1]}, "'tokens.0"),
    ],
)
def test_a_malformed_row_is_reported_and_the_others_are_kept(read, record, reason):
    _, _, docs, ((line, found),) = read([*NUMBERS, record, *NUMBERS], labels=NAMES)
    assert len(docs) == 2
    assert line == 2
    assert reason in found


def test_without_annotation_the_labels_stay_as_they_are(read):
    _, (post,), _, _ = read(NUMBERS, annotation=False)
    assert (post.text, post.entities) == (TOKENS, None)
    _, (post,), _, _ = read(TNER, annotation=False)
    assert (post.text, post.tags) == (TOKENS, None)
