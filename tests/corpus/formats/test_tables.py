"""Posts in CSV and TSV."""

import json

import pandas
import pytest

from spacy_msvse.corpus.formats.table import open_posts
from spacy_msvse.corpus.formats.tables import read_table
from spacy_msvse.errors import MsvseError

from .conftest import get_entities

SPANS = [{"start": 0, "end": 3, "label": "PER"}]
ROWS = [
    {"text": 'Ada says "hi", twice\nand more', "image": "1.jpg", "spans": SPANS, "tags": ["a dog"]},
    {"text": "Zoë", "caption": "[a] dog", "meta": {"id": 7}, "texts": {"ocr": "SALE"}},
]


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t")])
@pytest.mark.parametrize("dump", [json.dumps, str])
def test_what_pandas_writes_is_read_again(tmp_path, name, separator, dump):
    """Lists and objects as JSON, or as pandas writes them: as Python does."""
    rows = [
        {key: one if isinstance(one, str) else dump(one) for key, one in row.items()}
        for row in ROWS
    ]
    pandas.DataFrame(rows).to_csv(tmp_path / name, index=False, sep=separator)
    posts = open_posts(tmp_path / name)
    assert posts.container == name.removeprefix("a.")
    read = list(posts.rows)
    assert [row.values for row in read] == ROWS
    assert [row.line for row in read] == [2, 4]
    assert not any(row.problem for row in read)


def test_words_and_tags_may_be_text(read):
    table = 'words,tags,image\nAda sings .,"dog, cat",1.jpg\n'
    _, (post,), (doc,), _ = read(table, "posts.csv")
    assert post.text == ["Ada", "sings", "."]
    assert doc._.image_tags == ["dog", "cat"]


def test_a_table_may_have_the_shape_of_a_tool(read):
    # Label Studio 1.x, guide/export, "CSV": columns of the data, and the control as JSON.
    regions = json.dumps([{"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}])
    quoted = regions.replace('"', '""')
    table = f'text,id,label,annotator,annotation_id\nAda sings,1,"{quoted}",1,4\nBob,2,,1,5\n'
    source, _, docs, bad_rows = read(table, "posts.csv")
    assert source.title == "JSON_MIN of Label Studio in CSV"
    assert [get_entities(doc) for doc in docs] == [[("Ada", "PER")], []]
    assert not bad_rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"Ada,x,3\n", "has 3 cells, but there are 2 columns"),
        (b"Ada\n", "has 1 cells, but there are 2 columns"),
        (b'"Ada" x,\n', "not CSV"),
        ("Zoë,\n".encode("latin-1"), "not in UTF-8"),
        (b'Ada,"[1, }]"\n', "'spans' is neither JSON nor a list of Python"),
        (b'Ada,"[__import__(1)]"\n', "'spans' is neither JSON nor a list of Python"),
        (b"Ada,\"[b'a']\"\n", "a value is no JSON"),
        (b'Ada,"[1e999]"\n', "a value is no JSON"),
        (b'Ada,"[' + b"[" * 5000 + b"]" * 5000 + b']"\n', "'spans' is neither JSON"),
    ],
)
def test_a_malformed_row_is_reported_and_the_others_are_kept(tmp_path, row, reason):
    path = tmp_path / "posts.csv"
    path.write_bytes(b"text,spans\nBob,\n" + row + b"Eve,[]\n")
    first, bad, last = read_table(path, "csv")
    assert (first.problem, last.problem) == (None, None)
    assert reason in bad.problem
    assert bad.line == 3


def test_an_unclosed_quote_is_reported(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_text('text,spans\nBob,\n"Ada,\nEve,\n')
    first, bad = read_table(path, "csv")
    assert first.problem is None
    assert bad.line == 3
    assert "not CSV" in bad.problem


@pytest.mark.parametrize("header", ["text,text\n", "text,\n"])
def test_columns_need_names_of_their_own(tmp_path, header):
    (tmp_path / "posts.csv").write_text(header + "a,b\n")
    with pytest.raises(MsvseError, match="MSVSE-E254"):
        list(read_table(tmp_path / "posts.csv", "csv"))


def test_names_of_columns_in_another_encoding_are_one_error(tmp_path):
    (tmp_path / "posts.csv").write_bytes("text,légende\nAda,a\n".encode("latin-1"))
    with pytest.raises(MsvseError, match=r"MSVSE-E131.*the first line"):
        list(read_table(tmp_path / "posts.csv", "csv"))


def test_a_table_without_texts_names_no_post(read):
    _, _, _, bad_rows = read("name,label\nAda,PER\n", "posts.csv")
    assert bad_rows == [(2, "the post has neither 'text' nor 'words'")]


def test_a_large_cell_is_read(read):
    _, (post,), _, _ = read("text,caption\nAda," + "x" * 300_000 + "\n", "posts.csv")
    assert len(post.caption) == 300_000
