"""Posts as lines of JSON."""

import base64
import json

import pytest

from spacy_msvse.corpus.jsonl import dump_row, read_jsonl, with_spans


@pytest.fixture
def read(tmp_path, nlp):
    """Write rows to a file and read it: Docs, and bad rows as (line, reason)."""

    def read(*rows):
        path = tmp_path / "posts.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf8")
        bad_rows = []
        docs = [post.to_doc(nlp) for post in read_jsonl(path, bad_rows)]
        return docs, [(row.line, row.reason) for row in bad_rows]

    return read


ADA = {"start": 0, "end": 3, "label": "PER"}


def test_a_row_has_text_picture_spans_and_descriptions(read):
    row = {
        "text": "Ada's here",
        "image": "a.jpg",
        "spans": [ADA],
        "meta": {"id": 1},
        "tags": ["dog"],
        "caption": "a dog",
        "texts": {"ocr": "WOOF"},
        "_input_hash": 3,
    }
    (doc,), bad_rows = read(row)
    assert not bad_rows
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "PER")]
    assert doc._.image == "a.jpg"
    assert doc._.image_tags == ["dog"]
    assert doc._.image_caption == "a dog"
    assert doc._.image_texts == {"ocr": "WOOF"}
    assert doc.user_data["meta"] == {"id": 1}


@pytest.mark.parametrize(
    "row",
    [
        {"words": ["#NYC", "Ada"]},
        {"tokens": ["#NYC", "Ada"]},
        {"tokens": [{"text": "#NYC", "id": 0}, {"text": "Ada", "id": 1}]},
        {"words": ["#NYC", "Ada"], "text": "#NYC Ada"},
    ],
)
def test_words_stay_whole_and_spans_count_them_joined_by_blanks(read, row):
    (doc,), bad_rows = read({**row, "spans": [{"start": 5, "end": 8, "label": "PER"}]})
    assert not bad_rows
    assert [token.text for token in doc] == ["#NYC", "Ada"]
    assert [ent.text for ent in doc.ents] == ["Ada"]


@pytest.mark.parametrize(
    ("text", "words", "tokens"),
    [
        ("Hi,Bob", ["Hi", ",", "Bob"], ["Hi", ",", "Bob"]),
        (" Hi  Bob\n", ["Hi", "Bob"], [" ", "Hi", " ", "Bob", "\n"]),
        ("a a:aBob", ["a", "a:a", "Bob"], ["a", "a:a", "Bob"]),
    ],
)
def test_words_with_a_text_are_its_tokens_and_spans_count_its_characters(read, text, words, tokens):
    start = text.index("Bob")
    span = {"start": start, "end": start + 3, "label": "PER"}
    (doc,), bad_rows = read({"text": text, "words": words, "spans": [span]})
    assert not bad_rows
    assert doc.text == text
    assert [token.text for token in doc] == tokens
    assert [(ent.text, ent.start_char) for ent in doc.ents] == [("Bob", start)]


def test_a_row_without_spans_is_not_annotated(read):
    (bare, empty), _ = read({"text": "Ada"}, {"text": "Ada", "spans": []})
    assert not bare.has_annotation("ENT_IOB")
    assert empty.has_annotation("ENT_IOB")


def test_empty_descriptions_count_as_none(read):
    (doc,), _ = read({"text": "Ada", "image": "", "caption": "", "tags": [], "meta": None})
    assert not doc.user_data


def test_a_picture_in_the_row_becomes_bytes(read):
    uri = "data:image/png;base64," + base64.b64encode(b"png").decode()
    (doc,), _ = read({"text": "Ada", "image": uri})
    assert doc._.image == b"png"


def test_blank_lines_are_skipped(read):
    docs, bad_rows = read({"text": "Ada"}, "", {"text": "Bob"}, "")
    assert len(docs) == 2
    assert not bad_rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ({"image": "a.jpg"}, "neither 'text' nor 'words'"),
        ({"text": 3}, "'text'"),
        ({"words": "Ada"}, "'words'"),
        ({"words": ["Ada", ""]}, "a word is empty"),
        ({"text": "Ada", "words": ["Adam"]}, "not those of 'text'"),
        ({"text": "Ada here", "words": ["Ada"]}, "not those of 'text'"),
        ({"text": "Adahere", "words": ["Ada here"]}, "not those of 'text'"),
        ({"text": "Ada", "spans": [{"start": 0, "end": 3}]}, "'spans.0.label'"),
        ({"text": "Ada", "spans": [{**ADA, "start": "0"}]}, "'spans.0.start'"),
        ({"text": "Ada", "tags": "dog"}, "'tags'"),
        ({"text": "Ada", "image": "data:image/png;base64,?"}, "data URI"),
        ({"text": "Ada", "answer": "reject"}, "not accepted"),
        ({"text": "Ada", "caption": "a dog \ud83d"}, "not JSON"),
        ({"text": "Ada", "tags": ["\ude00"]}, "not JSON"),
        ('{"text": "Ada", "meta": {"score": NaN}}', "not JSON"),
        ({"text": "Ada", "meta": {"id": 10**30}}, "not JSON"),
    ],
)
def test_a_malformed_row_is_reported_and_the_others_are_kept(read, row, reason):
    docs, ((line, found),) = read({"text": "Ada"}, row, {"text": "Bob"})
    assert [doc.text for doc in docs] == ["Ada", "Bob"]
    assert line == 2
    assert reason in found


def test_a_line_in_another_encoding_is_reported_and_the_others_are_kept(tmp_path):
    path = tmp_path / "posts.jsonl"
    path.write_bytes('{"text": "Zoë"}\n'.encode("latin-1") + '\n{"text": "Zoë"}'.encode())
    bad_rows = []
    assert [post.text for post in read_jsonl(path, bad_rows)] == ["Zoë"]
    assert [row.line for row in bad_rows] == [1]


def test_a_written_row_reads_as_the_same_post_with_new_spans(nlp, tmp_path):
    row = {
        "text": "saw Zoë",
        "image": "a.png",
        "spans": [],
        "error": "old",
        "id": 0.1234567890123456,
    }
    doc = nlp.make_doc(row["text"])
    doc.set_ents([doc.char_span(4, 7, "PER")])
    written = with_spans(row, doc)
    assert written["spans"] == [{"start": 4, "end": 7, "label": "PER"}]
    assert "error" not in written
    assert written["id"] == row["id"]
    path = tmp_path / "posts.jsonl"
    path.write_text(dump_row(written), encoding="utf-8")
    (post,) = read_jsonl(path, [])
    assert (post.text, post.image, post.entities) == ("saw Zoë", "a.png", [(4, 7, "PER")])
