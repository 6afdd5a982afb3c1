"""Posts in a JSON array."""

import json

import pytest

from spacy_msvse.corpus.formats.json_array import read_json_array
from spacy_msvse.errors import MsvseError

RECORDS = [{"text": "Ada", "image": "1.jpg"}, {"text": "Zoë \u2028 [x], {y}"}, {"words": ["a"]}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("end", ["", "\n", " \r\n"])
def test_each_object_is_a_row_with_its_line(tmp_path, indent, end):
    path = tmp_path / "posts.json"
    path.write_text("\ufeff " + json.dumps(RECORDS, indent=indent) + end, encoding="utf-8")
    rows = list(read_json_array(path))
    assert [row.values for row in rows] == RECORDS
    assert [row.line for row in rows] == ([2, 6, 9] if indent else [1, 1, 1])
    assert not any(row.problem for row in rows)


@pytest.mark.parametrize("content", ["[]", " [\n]\n", "", "\n"])
def test_an_empty_array_has_no_rows(tmp_path, content):
    (tmp_path / "posts.json").write_text(content)
    assert list(read_json_array(tmp_path / "posts.json")) == []


@pytest.mark.parametrize(
    ("rest", "line", "reason"),
    [
        (', {"text": "B"', 2, "not JSON from here on"),
        (', {"text": NaN}]', 2, "NaN is no JSON"),
        (",]", 2, "not JSON from here on"),
        (' {"text": "B"}]', 2, "not JSON from here on (after an object: '{"),
        ("", 2, "the end of the file"),
        (",", 2, "not JSON from here on"),
        ("] [", 2, "more after the end of the array"),
        (', {"text": ' + "[" * 100_000, 2, "too deep"),
    ],
)
def test_a_damaged_array_gives_its_rows_and_then_one_problem(tmp_path, rest, line, reason):
    path = tmp_path / "posts.json"
    path.write_text('[\n{"text": "A"}' + rest)
    first, last = read_json_array(path)
    assert first.values == {"text": "A"}
    assert first.problem is None
    assert last.line == line
    assert reason in last.problem


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("3", "not a JSON object"),
        ('["Ada", {"entities": []}]', "not a JSON object"),
        ('{"text": "\\ud83d"}', "surrogate"),
        ('{"text": "A", "meta": {"n": 1e999}}', "not JSON that can be kept"),
        ('{"text": "A", "meta": {"n": 1%s}}' % ("0" * 30), "not JSON that can be kept"),
    ],
)
def test_an_element_that_cannot_be_used_does_not_end_the_reading(tmp_path, element, reason):
    path = tmp_path / "posts.json"
    path.write_text('[{"text": "A"},\n' + element + ',\n{"text": "B"}]')
    first, second, third = read_json_array(path)
    assert (first.problem, third.problem) == (None, None)
    assert second.line == 2
    assert reason in second.problem
    assert set(second.values) == {"line"}


@pytest.mark.parametrize("content", ['["Ada", {"entities": []}]', "[3]", '"text"', "[[1]]"])
def test_a_list_of_something_else_is_one_error(tmp_path, content):
    (tmp_path / "posts.json").write_text(content)
    with pytest.raises(MsvseError, match="MSVSE-E133"):
        list(read_json_array(tmp_path / "posts.json"))


def test_an_array_in_another_encoding_is_one_error(tmp_path):
    (tmp_path / "posts.json").write_bytes('[{"text": "Zoë"}]'.encode("latin-1"))
    with pytest.raises(MsvseError, match=r"MSVSE-E131.*byte 13"):
        list(read_json_array(tmp_path / "posts.json"))
