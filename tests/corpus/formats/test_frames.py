"""Posts in DataFrames, tables and rows of Python."""

import datetime
import io
from pathlib import Path
from types import SimpleNamespace

import numpy
import pandas
import pyarrow
import pytest
from PIL import Image

from spacy_msvse.corpus.formats.frames import CHUNK
from spacy_msvse.corpus.formats.options import ReadOptions
from spacy_msvse.corpus.formats.table import open_posts
from spacy_msvse.corpus.jsonl import parse_row
from spacy_msvse.errors import MsvseError

SPANS = [{"start": 0, "end": 3, "label": "PER"}]
PIXELS = numpy.zeros((2, 3, 3), "uint8")
STREAM = io.BytesIO()
Image.fromarray(PIXELS).save(STREAM, "PNG")
PNG = STREAM.getvalue()


def read(source, **options):
    return list(open_posts(source, ReadOptions(**options)).rows)


def test_missing_values_of_a_frame_are_no_values():
    frame = pandas.DataFrame(
        {
            "text": ["Ada", "Bob"],
            "image": ["1.jpg", float("nan")],
            "caption": [None, "a dog"],
            "spans": [SPANS, None],
            "n": pandas.array([1, None], dtype="Int64"),
            "day": [pandas.NaT, pandas.Timestamp("2026-01-02")],
        }
    )
    first, second = read(frame)
    assert first.values == {"text": "Ada", "image": "1.jpg", "spans": SPANS, "n": 1}
    assert second.values == {"text": "Bob", "caption": "a dog", "day": "2026-01-02T00:00:00"}


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("1.jpg", "1.jpg"),
        (Path("a/1.jpg"), "a/1.jpg"),
        (PNG, PNG),
        (Image.fromarray(PIXELS), PNG),
        (PIXELS, PNG),
        ({"bytes": PNG, "path": "1.png"}, PNG),
        ({"bytes": None, "path": "1.png"}, "1.png"),
        ({"path": "1.png"}, "1.png"),
        (float("nan"), None),
        (None, None),
        (pandas.NA, None),
    ],
)
def test_a_column_of_pictures_may_hold_any_picture(picture, expected):
    (row,) = read(pandas.DataFrame({"text": ["Ada"], "image": [picture]}))
    assert parse_row(row).image == expected


def test_arrays_of_a_frame_that_was_read_from_parquet_are_lists():
    frame = pandas.DataFrame(
        {"words": [numpy.array(["Ada"], dtype=object)], "spans": [numpy.array(SPANS)]}
    )
    (row,) = read(frame)
    assert row.values == {"words": ["Ada"], "spans": SPANS}


def test_a_large_frame_is_read_in_parts():
    rows = read(pandas.DataFrame({"text": map(str, range(2 * CHUNK + 3))}))
    assert [row.values["text"] for row in rows] == [str(n) for n in range(2 * CHUNK + 3)]
    assert rows[-1].line == 2 * CHUNK + 3


@pytest.mark.parametrize(
    "source",
    [
        [{"text": "Ada", "spans": SPANS}],
        ({"text": "Ada", "spans": SPANS} for _ in range(1)),
        pyarrow.table({"text": ["Ada"], "spans": [SPANS]}),
        # In place of Polars: a frame of it has this method.
        SimpleNamespace(iter_rows=lambda named: iter([{"text": "Ada", "spans": SPANS}])),
    ],
)
def test_rows_and_tables_of_other_libraries_are_read(source):
    (row,) = read(source)
    assert row.values == {"text": "Ada", "spans": SPANS}


class DataSet(list):
    """In place of a data set of Hugging Face: rows, and features with the names of labels."""

    @property
    def features(self):
        return {
            "ner_tags": SimpleNamespace(feature=SimpleNamespace(names=["O", "B-PER"])),
            "tokens": SimpleNamespace(feature=SimpleNamespace(dtype="string")),
        }


def test_a_data_set_has_the_names_of_its_labels():
    source = DataSet([{"tokens": ["Ada", "sings"], "ner_tags": [1, 0], "image": PIXELS}])
    posts = open_posts(source)
    assert posts.title == "tokens and labels in rows"
    (row,) = posts.rows
    assert row.values["spans"] == SPANS


def test_a_frame_may_have_the_shape_of_a_tool():
    frame = pandas.DataFrame({"text": ["Ada"], "label": [[[0, 3, "PER"]]]})
    posts = open_posts(frame)
    assert posts.shape == "doccano"
    assert next(posts.rows).values["spans"] == SPANS


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("Ada", "the row is a str, not a mapping"),
        ({"text": "Ada", "meta": {"n": 10**30}}, "a value is no JSON"),
        ({"text": "Ada", "meta": {"n": float("inf")}}, "a value is no JSON"),
        ({"text": "Ada", "meta": object()}, "a value is no JSON"),
        ({"text": "Ada", "meta": b"bytes"}, "a value is no JSON"),
        ({"text": "Ada \ud83d"}, "a value is no JSON"),
        ({"text": "Ada", "image": 3}, "'image': [MSVSE-E035]"),
        ({"text": "Ada", "image": []}, None),
    ],
)
def test_a_row_that_cannot_be_used_has_the_reason(values, reason):
    first, bad, last = read([{"text": "A"}, values, {"text": "B"}])
    assert (first.problem, last.problem) == (None, None)
    if reason is None:
        assert parse_row(bad).image is None
        return
    with pytest.raises(MsvseError) as error:
        parse_row(bad)
    assert reason in str(error.value)


@pytest.mark.parametrize("source", [3, None, b"bytes", {"text": "Ada"}])
def test_something_else_is_one_error(source):
    with pytest.raises(MsvseError, match="MSVSE-E247"):
        read(source)


def test_a_container_is_no_format_of_rows():
    with pytest.raises(MsvseError, match="MSVSE-E253"):
        read([{"text": "Ada"}], format="csv")
    assert read([{"text": "Ada"}], format="posts")[0].values == {"text": "Ada"}


def test_dates_are_texts():
    (row,) = read([{"text": "a", "meta": {"day": datetime.date(2026, 1, 2)}}])
    assert row.values["meta"] == {"day": "2026-01-02"}
