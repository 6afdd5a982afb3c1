"""WikiDiverse, in the form that its page documents (github.com/wangxw5/wikiDiverse, version 2)."""

import hashlib
import json
import re

import pytest
import srsly
from spacy.tokens import DocBin

from spacy_msvse.corpus.convert import convert
from spacy_msvse.corpus.formats.wikidiverse import is_free, name_picture
from spacy_msvse.corpus.rows import BadRowsError
from spacy_msvse.errors import MsvseError

from .conftest import get_entities

FREE = "https://upload.wikimedia.org/wikipedia/commons/0/06/Ada%20and_Bob.JPG"
UNFREE = "https://upload.wikimedia.org/wikipedia/en/a/ab/Logo.svg"
RECORDS = [
    [
        "Ada meets Bob in Rome.",
        FREE,
        "arts",
        [
            ["Ada", "Person", 0, 3, "https://en.wikipedia.org/wiki/Ada"],
            ["Rome", "Location", 17, 21, "https://en.wikipedia.org/wiki/Rome"],
        ],
    ],
    ["The logo of Acme.", UNFREE, "economy", [["Acme", "Organization", 12, 16, ""]]],
    ["No picture.", "", "arts", []],
]


@pytest.mark.parametrize("indent", [None, 4])
def test_captions_are_read_with_their_pictures(read, indent):
    content = json.dumps(RECORDS, indent=indent)
    source, posts, docs, bad_rows = read(content, name="train.json")
    assert (source.title, bad_rows) == ("WikiDiverse", [])
    assert [get_entities(doc) for doc in docs] == [
        [("Ada", "Person"), ("Rome", "Location")],
        [("Acme", "Organization")],
        [],
    ]
    assert posts[0].images == [hashlib.md5(b"Ada%20and_Bob.JPG").hexdigest() + ".JPG"]
    assert posts[1].images == [hashlib.md5(b"Logo.svg").hexdigest() + ".png"]
    assert posts[2].images == []
    assert posts[0].meta == {"topic": "arts", "source": FREE}
    assert posts[2].meta == {"topic": "arts"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (["text", "url", "topic"], r"the record is \['text', 'url', 'topic'\], not \[caption"),
        (["text", "url", 3, []], "the record is"),
        (["text", "url", "topic", [["text", "Person", 0]]], "the mention is"),
        (
            ["text", "url", "topic", [["tex", "Person", 0, 4]]],
            "'tex' is not at 0-4: .*'text'",
        ),
        (["text", "url", "topic", [["text", "Person", 0, 5]]], "'text' is not at 0-5"),
        (["text", "url", "topic", [["t", "Person", -4, -3]]], "'t' is not at -4--3"),
        ({"text": "Ada"}, "not a JSON array"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(read, record, reason):
    _, posts, _, bad_rows = read(json.dumps([*RECORDS, record]), name="train.json")
    assert len(posts) == 3
    ((line, found),) = bad_rows
    assert line == 1
    assert re.search(reason, found), found


def test_an_array_of_objects_is_no_such_file(read):
    with pytest.raises(MsvseError, match=r"MSVSE-E133.*not one of arrays"):
        read('[{"text": "Ada"}]', name="train.json", format="wikidiverse")


@pytest.mark.parametrize(
    ("source", "free"),
    [
        (FREE, True),
        (UNFREE, False),
        ("https://example.org/wikipedia/commons/a.jpg", False),
        ("", False),
    ],
)
def test_pictures_of_commons_are_told_apart(source, free):
    assert is_free(source) is free


def test_a_name_without_a_suffix_has_none():
    assert name_picture("https://a.org/b") == hashlib.md5(b"b").hexdigest()


def test_only_pictures_of_commons_are_kept_and_their_sources_listed(tmp_path, nlp):
    (tmp_path / "train.json").write_text(json.dumps(RECORDS))
    output = tmp_path / "train.spacy"
    report = convert(tmp_path / "train.json", output, commons_only=True)
    docs = list(DocBin().from_disk(output).get_docs(nlp.vocab))
    assert [bool(doc._.images) for doc in docs] == [True, False, False]
    assert (report.posts, report.pictures_not_free) == (3, 1)
    lines = (tmp_path / "train.SOURCES.tsv").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "file\tsource\tpage",
        f"{docs[0]._.image}\t{FREE}\thttps://commons.wikimedia.org/wiki/File:Ada%20and_Bob.JPG",
    ]
    assert srsly.read_json(f"{output}.json")["pictures_not_free"] == 1


def test_without_sources_of_pictures_the_option_is_refused(tmp_path):
    row = {"text": "Ada", "image": "a.jpg", "spans": [{"start": 0, "end": 3, "label": "PER"}]}
    srsly.write_jsonl(tmp_path / "a.jsonl", [row])
    with pytest.raises(BadRowsError, match="the source of its picture is not known"):
        convert(tmp_path / "a.jsonl", tmp_path / "a.spacy", commons_only=True)
