"""An output that an interrupted run has begun."""

import pytest

from spacy_msvse.corpus.jsonl import dump_row
from spacy_msvse.corpus.resume import partial_path, skip_written, write_rows
from spacy_msvse.corpus.rows import Row
from spacy_msvse.errors import MsvseError

VALUES = (
    {"text": "saw Zoë", "image": "a.png"},
    {"spans": [{"start": 0, "end": 1, "label": "PER"}], "text": "saw", "error": "old"},
    {"words": ["go", "#NYC"], "text": None, "meta": {"score": 0.1234567890123456}},
    {"line": "{"},
    {"text": "again"},
)
WRITTEN = (
    {"text": "saw Zoë", "image": "a.png", "spans": [], "error": "no picture"},
    {"text": "saw", "spans": []},
    {
        "words": ["go", "#NYC"],
        "meta": {"score": 0.1234567890123456},
        "text": "go #NYC",
        "spans": [],
    },
    {"line": "{", "error": "not JSON"},
    {"text": "again", "spans": []},
)


def rows(path, values=VALUES):
    return iter([Row(path, line, row) for line, row in enumerate(values, start=1)])


def test_a_run_can_be_interrupted_after_any_byte(tmp_path):
    output = tmp_path / "out.jsonl"
    whole = "".join(map(dump_row, WRITTEN)).encode()
    for length in range(len(whole) + 1):
        partial_path(output).write_bytes(whole[:length])
        done, _, rest = skip_written(output, rows(tmp_path))
        assert done == whole[:length].count(b"\n")
        assert [row.values for row in rest] == list(VALUES[done:])
        list(write_rows(rows(tmp_path, WRITTEN[done:]), output))
        assert output.read_bytes() == whole


def test_without_an_earlier_run_no_row_is_skipped(tmp_path):
    done, _, rest = skip_written(tmp_path / "out.jsonl", rows(tmp_path))
    assert done == 0
    assert len(list(rest)) == len(VALUES)


def test_the_output_appears_when_all_rows_are_written(tmp_path):
    output = tmp_path / "folder" / "out.jsonl"
    for row in write_rows(rows(tmp_path, WRITTEN), output):
        assert not output.exists()
        assert partial_path(output).read_bytes().endswith(dump_row(row.values).encode())
    assert [path.name for path in output.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize(
    "content",
    [
        dump_row(WRITTEN[1]),  # another row
        dump_row({**WRITTEN[0], "tags": ["dog"]}),
        "".join(map(dump_row, [*WRITTEN, WRITTEN[4]])),  # more rows than the input has
        "some notes\n",
        '["saw"]\n',
    ],
)
def test_a_file_of_another_input_is_a_coded_error_and_does_not_change(tmp_path, content):
    output = tmp_path / "out.jsonl"
    partial_path(output).write_text(content, encoding="utf-8")
    with pytest.raises(MsvseError, match="MSVSE-E090"):
        skip_written(output, rows(tmp_path))
    assert partial_path(output).read_text(encoding="utf-8") == content
