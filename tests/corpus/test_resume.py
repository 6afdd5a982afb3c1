"""Going on with a file that another run was writing."""

import pytest

from spacy_msvse.corpus.resume import dump_row, skip_written
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


def test_a_run_may_be_stopped_after_any_byte(tmp_path):
    output = tmp_path / "out.jsonl"
    whole = "".join(map(dump_row, WRITTEN)).encode()
    for length in range(len(whole) + 1):
        output.write_bytes(whole[:length])
        done, rest = skip_written(output, rows(tmp_path))
        assert output.read_bytes() == "".join(map(dump_row, WRITTEN[:done])).encode()
        assert [row.values for row in rest] == list(VALUES[done:])
        assert done == whole[:length].count(b"\n")


@pytest.mark.parametrize(
    "content",
    [
        dump_row(WRITTEN[1]),  # another row
        dump_row(VALUES[0]),  # no annotated one
        dump_row({**WRITTEN[0], "tags": ["dog"]}),
        "".join(map(dump_row, [*WRITTEN, WRITTEN[0]])),  # more than there are
        "some notes, with no line feed",
        "some notes\n",
        '["saw"]\n',
        '{"text": "saw", "ima',
    ],
)
def test_a_file_of_another_input_is_a_coded_error_and_stays_as_it_is(tmp_path, content):
    output = tmp_path / "out.jsonl"
    output.write_text(content, encoding="utf-8")
    with pytest.raises(MsvseError, match="MSVSE-E090"):
        skip_written(output, rows(tmp_path))
    assert output.read_text(encoding="utf-8") == content
