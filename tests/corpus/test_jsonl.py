"""Posts as lines of JSON."""

import base64
import json
import re
from collections import Counter

import pytest
from spacy.tokens import DocBin

from spacy_msvse.corpus.jsonl import dump_row, parse_rows, read_rows, with_spans
from spacy_msvse.errors import MsvseError


def read_jsonl(path, bad_rows, **settings):
    return parse_rows(read_rows(path), bad_rows, **settings)


@pytest.fixture
def read(tmp_path, nlp):
    """Write rows to a file and read it: Docs, and bad rows as (line, reason)."""

    def read(*rows, **settings):
        path = tmp_path / "posts.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf8")
        bad_rows = []
        docs = [post.to_doc(nlp) for post in read_jsonl(path, bad_rows, **settings)]
        return docs, [(row.line, row.reason) for row in bad_rows]

    return read


@pytest.fixture
def read_posts(tmp_path):
    """Write rows to a file and read it: posts, and reasons of bad rows."""

    def read_posts(*rows, **settings):
        path = tmp_path / "posts.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
        bad_rows = []
        posts = list(read_jsonl(path, bad_rows, **settings))
        return posts, [row.reason for row in bad_rows]

    return read_posts


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
        {"tokens": ["#NYC", "Ada"], "text": "#NYC Ada"},
        {"tokens": [{"text": "#NYC"}, {"text": "Ada"}], "text": "#NYC Ada"},
        {"tokens": ["#NYC", "Ada"], "words": ["#NYC", "Ada"], "text": "#NYC Ada"},
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
    (doc,), _ = read({"text": "Ada", "image": None, "caption": "", "tags": [], "meta": None})
    assert not doc.user_data


def test_a_picture_in_the_row_becomes_bytes(read):
    uri = "data:image/png;base64," + base64.b64encode(b"png").decode()
    (doc,), _ = read({"text": "Ada", "image": uri})
    assert doc._.image == b"png"


def test_a_row_may_have_several_pictures(read):
    uri = "data:image/png;base64," + base64.b64encode(b"png").decode()
    rows = [
        {"text": "Ada", "images": ["a.jpg", uri, "b.jpg"]},
        {"text": "Ada", "image": "a.jpg", "images": ["a.jpg", "b.jpg"]},
        {"text": "Ada", "images": []},
        {"text": "Ada", "images": None},
    ]
    docs, bad_rows = read(*rows)
    assert not bad_rows
    assert [doc._.images for doc in docs] == [
        ["a.jpg", b"png", "b.jpg"],
        ["a.jpg", "b.jpg"],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": "b.jpg", "images": ["a.jpg", "b.jpg"]}, "'image' is not the first of 'images'"),
        ({"image": "b.jpg", "images": []}, "'image' is not the first of 'images'"),
        ({"images": "a.jpg"}, "it is not a list"),
        ({"images": ["a.jpg", {"url": "b.jpg"}]}, "MSVSE-E035"),
        ({"images": ["a.jpg", " "]}, "it names no picture"),
        ({"images": ["a.jpg", None]}, "item 1 is no picture"),
        ({"images": ["a.jpg", "data:image/png;base64,A"]}, "base64 is damaged"),
    ],
)
def test_pictures_that_cannot_be_used_make_a_bad_row(read_posts, row, reason):
    posts, (found,) = read_posts({"text": "Ada", **row})
    assert not posts
    assert reason in found


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
        ({"text": "Ada", "image": "data:image/png;base64,"}, "data URI"),
        ({"text": "Ada", "image": "data:image/png,rawpixels"}, "data URI"),
        ({"text": "Ada", "image": "data:image/png;base64"}, "data URI"),
        ({"text": "Ada", "image": ""}, "as `image`: it names no picture"),
        ({"text": "Ada", "image": "  "}, "as `image`: it names no picture"),
        ({"text": "Ada", "image": ["a.jpg"]}, "as `image`: it is not a picture"),
        ({"text": "Ada", "answer": "reject"}, "not accepted"),
        ({"text": "Ada", "answer": "maybe"}, "'answer' is 'maybe'"),
        ({"text": "Ada", "answer": None}, "'answer' is None"),
        ({"text": "Ada", "spans": [{**ADA, "label": ""}]}, "label of span 0 is empty"),
        ({"text": "Ada", "spans": [{**ADA, "label": " "}]}, "label of span 0 is empty"),
        ({"text": "Ada", "spans": {"0": ADA}}, "'spans'"),
        ({"text": "Ada", "spans": [3]}, "'spans.0'"),
        ({"text": "Ada", "spans": [{**ADA, "answer": "maybe"}]}, "'spans.0.answer'"),
        ({"text": "Ada", "spans": [{**ADA, "text": "Bob"}]}, "'Bob'"),
        ({"text": "Ada", "tokens": ["Adam"]}, "'tokens' are not those of 'text'"),
        ({"tokens": ["Ada"], "words": ["Bob"]}, "'words' and 'tokens' differ"),
        ({"text": "Ada", "texts": {"ocr": None}}, "'texts.ocr'"),
        ({"text": "Ada", "texts": {"caption": "a dog"}}, "'caption' is a key of its own"),
        ({"text": "Ada", "meta": ["x"]}, "'meta'"),
        ({"tokens": ["Ada", "is"], "tags": ["B-PER", "O"]}, "'tags' are labels of tokens"),
        ({"tokens": ["is"], "tags": ["O"]}, "'tags' are labels of tokens"),
        ({"text": "Ada", "caption": "a dog \ud83d"}, "not JSON"),
        ({"text": "Ada", "tags": ["\ude00"]}, "not JSON"),
        ('{"text": "Ada", "meta": {"score": NaN}}', "not JSON"),
        ('{"text": "Ada", "meta": {"score": 1e999}}', "not JSON"),
        ('{"text": "Ada", "meta": {"score": -1e999}}', "not JSON"),
        ({"text": "Ada", "meta": {"id": 10**30}}, "not JSON"),
    ],
)
def test_a_malformed_row_is_reported_and_the_others_are_kept(read, row, reason):
    docs, ((line, found),) = read({"text": "Ada"}, row, {"text": "Bob"})
    assert [doc.text for doc in docs] == ["Ada", "Bob"]
    assert line == 2
    assert reason in found


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_a_row_that_was_not_accepted_is_counted_apart(read, answer):
    rejected = Counter()
    (doc,), bad_rows = read(
        {"text": "Ada", "answer": answer, "spans": "whatever"},
        {"text": "Bob", "answer": "accept"},
        rejected=rejected,
    )
    assert (doc.text, rejected, bad_rows) == ("Bob", {answer: 1}, [])


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_a_span_that_was_not_accepted_is_no_entity(read_posts, nlp, answer):
    spans = [{**ADA, "answer": answer}, {"start": 4, "end": 7, "label": "PER", "answer": "accept"}]
    (post,), _ = read_posts({"text": "Ada Bob", "spans": spans})
    assert [ent.text for ent in post.to_doc(nlp).ents] == ["Bob"]
    assert post.spans_rejected == 1


def test_the_same_span_twice_is_one_entity(read):
    (doc,), bad_rows = read({"text": "Ada", "spans": [ADA, {**ADA, "source": "model"}]})
    assert [ent.text for ent in doc.ents] == ["Ada"]
    assert not bad_rows


def test_tokens_that_are_pieces_of_words_are_found_by_their_place(read):
    tokens = [
        {"text": "[CLS]", "start": 0, "end": 0, "id": 0},
        {"text": "un", "start": 0, "end": 2, "id": 1},
        {"text": "##do", "start": 2, "end": 4, "id": 2},
        {"text": "it", "start": 5, "end": 7, "id": 3},
    ]
    (doc,), bad_rows = read({"text": "undo it", "tokens": tokens, "spans": []})
    assert [token.text for token in doc] == ["un", "do", "it"]
    assert doc.text == "undo it"
    assert not bad_rows


BOX = {"label": "PER", "x": 20, "y": 25, "width": 80, "height": 50, "type": "rect", "id": "a"}


@pytest.mark.parametrize(
    "drawn",
    [
        BOX,
        {"label": "PER", "points": [[20, 25], [100, 75], [100, 25], [20, 75]], "type": "rect"},
        {**BOX, "points": [[20, 25], [20, 75], [100, 75], [100, 25]], "center": [60, 50]},
    ],
)
def test_boxes_among_the_spans_are_boxes_of_the_meta(read_posts, nlp, drawn):
    row = {"text": "Ada", "width": 200, "height": 100, "meta": {"id": 1}}
    (both, alone), bad_rows = read_posts({**row, "spans": [drawn, ADA]}, {**row, "spans": [drawn]})
    assert not bad_rows
    assert both.meta == {"id": 1, "boxes": [("PER", 1.0, 0.1, 0.25, 0.5, 0.75)]}
    assert [ent.text for ent in both.to_doc(nlp).ents] == ["Ada"]
    assert alone.meta == both.meta
    assert alone.entities is None  # nobody annotated the text


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 9}, {"width": "2px", "height": 3}])
def test_boxes_in_a_picture_of_unknown_size_are_left_alone_and_counted(read_posts, size):
    (post,), bad_rows = read_posts({"text": "Ada", "spans": [BOX, ADA], **size})
    assert (post.meta, post.boxes_left_out, post.entities) == ({}, 1, [(0, 3, "PER")])
    assert not bad_rows


def test_boxes_that_were_rejected_or_given_in_the_meta_change_nothing(read_posts):
    row = {"text": "Ada", "width": 200, "height": 100}
    (rejected, given), _ = read_posts(
        {**row, "spans": [{**BOX, "answer": "reject"}]},
        {**row, "spans": [BOX], "meta": {"boxes": "mine"}},
    )
    assert rejected.meta == {}
    assert given.meta == {"boxes": "mine"}
    assert given.boxes_left_out == 1


@pytest.mark.parametrize("change", [{"x": 200}, {"width": 0}, {"x": None}, {"x": "20"}])
def test_a_box_outside_its_picture_is_malformed(read_posts, change):
    row = {"text": "Ada", "width": 200, "height": 100, "spans": [{**BOX, **change}]}
    _, (reason,) = read_posts(row)
    assert "span" in reason


def test_binary_annotations_leave_the_labels_of_the_other_tokens_missing(read_posts, nlp):
    row = {"text": "Ada saw Bob", "spans": [ADA], "answer": "accept"}
    rows = [{**row, "_view_id": view} for view in ("ner", "ner_manual")] + [row]
    posts, _ = read_posts(*rows, binary=True)
    found = [[token.ent_iob_ for token in post.to_doc(nlp)] for post in posts]
    assert found == [["B", "", ""], ["B", "O", "O"], ["B", "", ""]]
    posts, _ = read_posts(*rows)
    assert [[token.ent_iob_ for token in post.to_doc(nlp)] for post in posts] == [
        ["B", "O", "O"]
    ] * 3
    assert [post.binary for post in posts] == [True, False, False]


def test_a_post_that_was_accepted_without_a_mark_has_no_entity(read_posts):
    row = {"text": "Ada", "answer": "accept"}
    posts, _ = read_posts({**row, "_view_id": "ner_manual"}, {**row, "_view_id": "image"}, row)
    assert [post.entities for post in posts] == [[], None, None]


EMOJI = "😀 Ada 😀 Bob"


def test_offsets_that_contradict_the_text_of_the_span_are_refused_with_a_hint(read_posts):
    spans = {
        "utf16": [{"start": 10, "end": 13, "label": "PER", "text": "Bob"}],
        "utf8": [{"start": 14, "end": 17, "label": "PER", "text": "Bob"}],
        "inclusive": [{"start": 8, "end": 10, "label": "PER", "text": "Bob"}],
        "last character": [{"start": 1, "end": 3, "label": "PER", "text": "Eve"}],
    }
    hints = ("--offsets utf16", "--offsets utf8", "the end is exclusive", "characters of the text")
    for given, hint in zip(spans.values(), hints, strict=True):
        _, (reason,) = read_posts({"text": EMOJI, "spans": given})
        assert hint in reason


@pytest.mark.parametrize(("offsets", "start"), [("characters", 8), ("utf16", 10), ("utf8", 14)])
def test_offsets_can_count_other_units(read_posts, offsets, start):
    span = {"start": start, "end": start + 3, "label": "PER", "text": "Bob"}
    (post, words), bad_rows = read_posts(
        {"text": EMOJI, "spans": [span]},
        {"words": EMOJI.split(), "spans": [span]},
        offsets=offsets,
    )
    assert post.entities == words.entities == [(8, 11, "PER")]
    assert not bad_rows


def test_an_offset_inside_a_character_is_refused(read_posts):
    _, (reason,) = read_posts(
        {"text": EMOJI, "spans": [{"start": 1, "end": 4, "label": "PER"}]}, offsets="utf16"
    )
    assert "1-4" in reason


def test_spans_that_cut_through_tokens_get_a_hint_if_there_are_wide_characters(read_posts, nlp):
    (post,), _ = read_posts({"text": EMOJI, "spans": [{"start": 3, "end": 6, "label": "PER"}]})
    with pytest.raises(MsvseError, match="--offsets utf16"):
        post.to_doc(nlp)


def test_an_unknown_unit_of_offsets_is_refused(read_posts):
    with pytest.raises(MsvseError, match=r"MSVSE-E081.*utf-16"):
        read_posts({"text": "Ada"}, offsets="utf-16")


@pytest.mark.parametrize(
    ("row", "unread"),
    [
        ({"entities": [[0, 3, "PER"]]}, {"annotation": ["entities"]}),
        (
            {"label": [[0, 3, "PER"]], "photos": ["a.jpg"]},
            {"annotation": ["label"], "a picture": ["photos"]},
        ),
        ({"Spans": [ADA], "Image": "a.jpg"}, {"annotation": ["Spans"], "a picture": ["Image"]}),
        ({"marked": [ADA], "shown": "a.jpg"}, {"annotation": ["marked"], "a picture": ["shown"]}),
        ({"x": [[0, 3, "PER"]], "y": ["b.PNG"]}, {"annotation": ["x"], "a picture": ["y"]}),
        (
            {"column": ["B-PER"], "z": "data:image/png;base64,AA=="},
            {"annotation": ["column"], "a picture": ["z"]},
        ),
        ({"ner_tags": [3], "img": 5}, {"annotation": ["ner_tags"], "a picture": ["img"]}),
        ({"entities": [], "images": None, "id": 3, "_view_id": "ner", "options": [{"id": 1}]}, {}),
        ({"spans": [ADA], "label": "PER", "image": "a.jpg", "path": "b.jpg"}, {}),
        ({"spans": [], "entities": [[0, 3, "PER"]]}, {"annotation": ["entities"]}),
        (
            {"image_caption": "a dog", "image_tags": ["dog"]},
            {"a caption": ["image_caption"], "tags": ["image_tags"]},
        ),
        ({"captions": ["a dog"], "Tags": ["dog"]}, {"a caption": ["captions"], "tags": ["Tags"]}),
        ({"caption": "", "captions": "a dog", "tags": [], "image_tags": ["dog"]}, {}),
    ],
)
def test_keys_that_look_like_content_that_the_post_lacks_are_named(read_posts, row, unread):
    (post,), _ = read_posts({"text": "Ada", **row})
    assert {kind: k for kind, k in post.unread_keys.items() if kind != "other"} == unread


def test_text_and_words_keep_every_blank(read_posts, nlp):
    for text in ("  Hi   Bob , you", "Hi,Bob", "Hi \tBob\n\nyou ", "Hi\u3000Bob"):
        words = [word for word in re.split(r"(\W)", text) if word.strip()]
        (post,), _ = read_posts({"text": text, "words": words})
        doc = post.to_doc(nlp)
        assert doc.text == text
        (again,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
        assert again.text == text


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (LFS, "E130"),
        ('{"text": "Ada"}\n'.encode("utf-16"), "E131.*UTF-16"),
        ('{"text": "Ada"}\n'.encode("utf-32"), "E131.*UTF-32"),
        ('{"text": "Ada"}\n'.encode("utf-16-le"), "E131.*NUL"),
        (b"\x1f\x8b\x08\x00" + bytes(50), "E131.*gzip"),
        (b"PK\x03\x04" + bytes(50), "E131.*zip"),
        (b"PAR1" + bytes(50), "E131.*Parquet"),
        (b'[\n{"text": "Ada"},\n{"text": "Bob"}\n]', "E133.*a JSON list"),
        (b'\n [{"text": "Ada"}]', "E133.*a JSON list"),
        (b'["Ada", {"entities": []}]\n["Bob", {"entities": []}]', "E133.*a JSON list"),
        (b'{\n"text": "Ada"\n}', "E133.*an object over several lines"),
    ],
)
def test_a_file_that_holds_something_else_is_one_error(tmp_path, content, code):
    path = tmp_path / "posts.jsonl"
    path.write_bytes(content)
    with pytest.raises(MsvseError, match=rf"(?s)MSVSE-{code}"):
        list(read_jsonl(path, []))


def test_a_folder_or_a_missing_file_is_one_error(tmp_path):
    for path in (tmp_path, tmp_path / "gone.jsonl"):
        with pytest.raises(MsvseError, match="MSVSE-E132"):
            list(read_jsonl(path, []))


def test_windows_line_ends_and_a_byte_order_mark_are_removed(tmp_path):
    path = tmp_path / "posts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "Ada"}\r\n\r\n{"text": "Bob"}\r\n')
    bad_rows = []
    assert [post.text for post in read_jsonl(path, bad_rows)] == ["Ada", "Bob"]
    assert not bad_rows


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
