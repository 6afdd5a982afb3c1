"""Posts in Parquet files."""

import io
import json

import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from spacy_msvse.corpus.formats import parquet as ours
from spacy_msvse.corpus.formats.parquet import read_parquet, write_parquet
from spacy_msvse.corpus.formats.table import open_posts
from spacy_msvse.corpus.jsonl import dump_row, parse_row
from spacy_msvse.errors import MsvseError


def make_png(colour="red"):
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(stream, "PNG")
    return stream.getvalue()


#: The type of Hugging Face's feature `Image`, as datasets 5.2 writes it.
PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])

#: The metadata as datasets 5.2 writes them; versions before 4.0 have `Sequence` for `List`.
FEATURES = {
    "info": {
        "features": {
            "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
            "pos_tags": {"feature": {"names": ["X"], "_type": "ClassLabel"}, "_type": "List"},
            "ner_tags": {
                "feature": {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"},
                "_type": "Sequence",
            },
            "image": {"_type": "Image"},
        }
    }
}


def write_dataset(path, picture="image"):
    """A file in the form of `Dataset.to_parquet`."""
    columns = {
        "tokens": [["Ada", "sings"], ["Ada", "Lovelace"], ["hello"]],
        "pos_tags": [[0, 0], [0, 0], [0]],
        "ner_tags": [[1, 0], [1, 2], [0]],
        picture: pyarrow.array(
            [
                {"bytes": make_png(), "path": "a.png"},
                {"bytes": None, "path": "b.png"},
                None,
            ],
            PICTURE,
        ),
    }
    table = pyarrow.table(columns)
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(FEATURES)}), path, row_group_size=2
    )
    return path


@pytest.mark.parametrize("picture", ["image", "photo"])
def test_a_data_set_of_hugging_face_is_read_with_its_pictures_and_labels(tmp_path, nlp, picture):
    source = open_posts(write_dataset(tmp_path / "train", picture))
    assert source.title == "tokens and labels in Parquet"
    posts = [parse_row(row) for row in source.rows]
    assert [post.image for post in posts] == [make_png(), "b.png", None]
    docs = [post.to_doc(nlp) for post in posts]
    assert [[ent.text for ent in doc.ents] for doc in docs] == [["Ada"], ["Ada Lovelace"], []]
    assert [post.line for post in posts] == [1, 2, 3]
    assert posts[0].unread_keys["other"] == ["image_path", "pos_tags"]


def test_labels_that_are_given_have_priority(tmp_path, nlp):
    from spacy_msvse.corpus.formats.options import ReadOptions

    options = ReadOptions(labels={0: "O", 1: "B-LOC", 2: "I-LOC"})
    rows = open_posts(write_dataset(tmp_path / "train"), options).rows
    assert next(rows).values["spans"] == [{"start": 0, "end": 3, "label": "LOC"}]


#: Rows as `annotate` writes them, some of them with an error.
ROWS = [
    {
        "text": "saw Zoë",
        "image": "a.png",
        "spans": [{"start": 4, "end": 7, "label": "PER", "score": 0.5}],
        "tags": ["dog"],
        "caption": "a dog",
        "texts": {"ocr": "SALE", "knowledge": "Zoë"},
        "meta": {"id": 1, "deep": [{"a": None}]},
        "id": 2**60 + 1,
        "mixed": 3,
    },
    {"words": ["go", "#NYC"], "text": "go #NYC", "spans": [], "mixed": "three", "id": 1},
    {"text": "b", "image": make_png(), "spans": [{"start": 0, "end": 1, "label": "X", "score": 1}]},
    {"line": "{", "error": "not JSON"},
    {"text": "c", "spans": "none", "error": "'spans' is no list", "flag": True, "none": {}},
    {"text": "d", "big": 2**64 - 1, "empty": []},
]


@pytest.fixture
def written(tmp_path):
    """Write rows, as they are in the unfinished output, and read them again."""

    def written(rows):
        lines = [json.loads(dump_row(row)) for row in rows]
        write_parquet(lambda: iter(lines), tmp_path / "out.parquet")
        return [row.values for row in read_parquet(tmp_path / "out.parquet").rows]

    return written


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_what_was_written_is_read_again_equal(written, monkeypatch, size):
    monkeypatch.setattr(ours, "GROUP_ROWS", size)
    assert written(ROWS) == ROWS


def test_several_pictures_of_a_post_are_read_again_equal(written):
    rows = [
        {"text": "a", "images": ["1.jpg", make_png(), "2.jpg"]},
        {"text": "b", "images": []},
        {"text": "c", "image": "3.jpg"},
    ]
    first, second, third = written(rows)
    assert first == rows[0]
    assert not second.get("images")
    assert third == rows[2]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "values",
    [
        (2**60 + 1, 0.5),  # a number that would be rounded
        (True, 1, "one"),
        (["a"], [1], []),
        ([], [["a"]]),
        ({}, {"a": {}}),
        ([{"start": 1}], [{"start": "1"}], "none"),
        (0.1, 1.0, None),
        ("😀", ""),
    ],
)
def test_a_column_of_any_values_is_read_again_equal(written, monkeypatch, size, values):
    monkeypatch.setattr(ours, "GROUP_ROWS", size)
    for key in ("any", "spans"):
        rows = [{"text": "a", key: value} for value in values]
        expected = [row if row[key] is not None else {"text": "a"} for row in rows]
        found = written(rows)
        assert found == expected
        assert [type(row.get(key)) for row in found] == [type(row.get(key)) for row in expected]


def test_row_groups_are_bounded_by_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "GROUP_BYTES", 1000)
    rows = [{"text": "a" * 600} for _ in range(10)]
    write_parquet(lambda: rows, tmp_path / "out.parquet")
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == 5


def test_pictures_are_columns_as_hugging_face_has_them(tmp_path, written):
    written(ROWS)
    schema = parquet.read_schema(tmp_path / "out.parquet")
    assert schema.field("image").type == PICTURE
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}


def test_no_rows_are_a_file_without_rows(written):
    assert written([]) == []


def test_a_failure_leaves_the_older_file(tmp_path):
    (tmp_path / "out.parquet").write_text("older")

    def fail():
        yield {"text": "a"}
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_parquet(fail, tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize("damage", ["header", "page", "footer", "name"])
def test_a_damaged_file_is_one_coded_error(tmp_path, damage):
    path = write_dataset(tmp_path / "train.parquet")
    content = bytearray(path.read_bytes())
    if damage == "page":
        content[4:60] = bytes(56)
    elif damage == "name":
        content = content.replace(b"ner_tags", b"ner_\xa7ags")
    else:
        content = content[:40] if damage == "header" else content[:-20]
    path.write_bytes(content)
    with pytest.raises(MsvseError, match=r"MSVSE-E248.*train\.parquet"):
        list(open_posts(path).rows)


def test_a_value_that_no_row_can_have_is_reported_for_its_row(tmp_path):
    table = pyarrow.table({"text": ["a", "b"], "audio": [None, b"\0\1"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    first, second = read_parquet(tmp_path / "a.parquet").rows
    assert first.problem is None
    assert "a value is no JSON" in second.problem


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    path = write_dataset(tmp_path / "train.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for call in (lambda: open_posts(path), lambda: write_parquet(list, tmp_path / "b.parquet")):
        with pytest.raises(MsvseError, match=r"MSVSE-E245.*spacy-msvse\[parquet\]"):
            call()


def test_a_git_lfs_pointer_is_one_error(tmp_path):
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MsvseError, match="MSVSE-E130"):
        open_posts(tmp_path / "a.parquet")
