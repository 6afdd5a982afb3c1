"""Groups of rows are annotated by a pipeline that is loaded by its name, in a child process."""

from multiprocessing import active_children

import pytest
import spacy

from spacy_msvse.corpus.annotate import annotate
from spacy_msvse.corpus.formats.frames import ROWS
from spacy_msvse.corpus.formats.values import make_row
from spacy_msvse.engines.annotator import GroupAnnotator
from spacy_msvse.engines.columns import ADDED
from spacy_msvse.errors import MsvseError

from .conftest import expect


@pytest.fixture(scope="module")
def annotator(engine):
    with GroupAnnotator(**engine) as annotator:
        yield annotator
    assert not active_children()


def zip_columns(columns):
    return [{name: columns[name][i] for name in ADDED} for i in range(len(columns["text"]))]


def test_rows_of_tables_are_those_of_annotate(annotator, engine, rows):
    sizes = [40, 0, 1, 109]
    tables, start = [], 0
    for size in sizes:
        tables.append((list(rows[0]), rows[start : start + size]))
        start += size
    found = [zip_columns(columns) for columns in annotator.annotate_tables(iter(tables))]
    assert list(map(len, found)) == sizes
    added = [one for table in found for one in table]
    expect(rows, added)
    given = [make_row(ROWS, 1, {k: v for k, v in row.items() if k != "number"}) for row in rows]
    expected = annotate(spacy.load(engine["model"]), given)
    assert added == [{key: row.values.get(key) for key in ADDED} for row in expected]


def test_a_column_that_looks_like_a_picture_and_is_not_read_is_named_once(annotator):
    tables = [(["text", "image_path"], [{"text": "saw jordan", "image_path": "a.png"}])] * 2
    with pytest.warns(UserWarning, match="MSVSE-W080.*'image_path'") as warned:
        assert len(list(annotator.annotate_tables(tables))) == 2
    assert len(warned) == 1


def test_a_pipeline_that_cannot_be_loaded_is_an_error_and_not_a_death(tmp_path):
    with GroupAnnotator(tmp_path) as annotator, pytest.raises(MsvseError, match="MSVSE-E152"):
        list(annotator.annotate_tables([(["text"], [{"text": "saw jordan"}])]))
