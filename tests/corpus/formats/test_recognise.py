"""The container of a file is recognised by its content, and then by its suffix."""

import json

import pytest

from spacy_msvse.corpus.formats.options import ReadOptions
from spacy_msvse.corpus.formats.recognise import recognise
from spacy_msvse.corpus.formats.table import CONTAINERS, FORMATS, OURS, SHAPES, open_posts
from spacy_msvse.errors import MsvseError

#: Two lines in the form of thecharm/MNRE (2021), `mnre_txt`; the posts are made up.
MNRE = (
    "{'token': ['Ada', 'met', 'Bob'], 'h': {'name': 'Ada', 'pos': [0, 1]}, 't': {'name': 'Bob', "
    "'pos': [2, 3]}, 'relation': '/per/per/peer', 'img_id': 'twitter_19_31_1.jpg'}\n"
    "{'token': ['Eve', \"isn't\", 'here'], 'h': {'name': 'Eve', 'pos': [0, 1]}, 't': {'name': "
    "'here', 'pos': [2, 3]}, 'relation': 'none', 'img_id': 'twitter_19_31_2.jpg'}\n"
)


@pytest.mark.parametrize("name", ["posts", "posts.txt", "posts.jsonl", "posts.csv"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "Ada"}\n', "jsonl"),
        ('\ufeff\n{"text": "Ada"}\n', "jsonl"),
        ('[{"text": "Ada"}]', "json"),
        ('[\n  {\n    "text": "Ada"\n  }\n]\n', "json"),
        ("text,image\nAda,1.jpg\n", "csv"),
        ("id;text\n1;Ada\n", "csv"),
        ("id\ttext\timage\n1\tAda\t1.jpg\n", "tsv"),
        ("IMGID:1\nAda\tB-PER\n", "conll"),
        ("WID:1\nAda B-PER\n", "conll"),
        ("-DOCSTART- -X- O O\n\nAda NNP B-PER\n", "conll"),
        ("[\tO\nAda\tB-PER\n]\tO\n", "conll"),
        ("{ O\n", "conll"),
        ("text\tO\nAda\tB-PER\n", "conll"),
        ("# id 3\tdomain=train\nAda _ _ B-PER\n", "conll"),
        ("# id 3\nIMGID:1\nAda B-PER\n", "conll"),
        ("\n\nAda\tS-PER\r\nsings\tO\r\n", "conll"),
    ],
)
def test_the_content_is_recognised_whatever_the_name(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert recognise(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "csv"), ("a.tsv", "tsv"), ("a.JSON", "json"), ("a.bio", "conll"), ("a.xml", None)],
)
@pytest.mark.parametrize("content", ["", "What a day\nwith Jordan\n"])
def test_without_a_known_content_the_suffix_decides(tmp_path, name, expected, content):
    (tmp_path / name).write_text(content)
    assert recognise(tmp_path / name) == expected


def test_a_long_first_line_is_recognised(tmp_path):
    path = tmp_path / "posts"
    path.write_text("[" + json.dumps({"text": "Ada " * 50_000}) + "]")
    assert recognise(path) == "json"


def test_mnre_is_refused_by_name(tmp_path):
    (tmp_path / "ours_train.txt").write_text(MNRE)
    with pytest.raises(MsvseError, match=r"MSVSE-E243.*MNRE"):
        open_posts(tmp_path / "ours_train.txt")


@pytest.mark.parametrize(
    ("format", "reason"),
    [("folder", "it is a file"), ("doccano", "it is CoNLL"), ("hugging-face", "it is CoNLL")],
)
def test_a_format_that_is_not_that_of_the_file_is_refused(tmp_path, format, reason):
    (tmp_path / "posts.txt").write_text("IMGID:1\nAda\tB-PER\n")
    with pytest.raises(MsvseError, match=rf"MSVSE-E253.*'{format}': {reason}"):
        open_posts(tmp_path / "posts.txt", ReadOptions(format=format))


def test_a_format_that_is_given_is_not_recognised_again(tmp_path):
    (tmp_path / "posts.txt").write_text("text\timage\nAda\t1.jpg\n")
    path = tmp_path / "posts.txt"
    assert open_posts(path).title == "TSV"
    with pytest.raises(MsvseError, match="MSVSE-E140"):
        list(open_posts(path, ReadOptions(format="conll")).rows)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(MsvseError, match=r"MSVSE-E031.*'xml'.*jsonl, json"):
        open_posts([], ReadOptions(format="xml"))


def test_the_names_of_formats_are_those_of_the_table():
    assert set(FORMATS) == {*CONTAINERS, *SHAPES, OURS}


def test_a_spacy_file_is_no_file_of_posts(tmp_path):
    (tmp_path / "posts.spacy").touch()
    with pytest.raises(MsvseError, match="MSVSE-E158"):
        open_posts(tmp_path / "posts.spacy")
    with pytest.raises(MsvseError, match="MSVSE-E033"):
        open_posts(tmp_path / "none.jsonl")
