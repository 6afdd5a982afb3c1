import pytest

from spacy_msvse.corpus.descriptions import (
    find_content_words,
    find_description,
    read_captions,
    read_tags,
)


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "descriptions"
        path.write_text(text, encoding="utf8")
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "1.jpg :a dog: big\n2.jpg :\n3.jpg :a cat",
        '{"1.jpg": "a dog: big", "2.jpg": "", "3.jpg": " a cat"}',
        '\ufeff\n{"1.jpg": "a dog: big",\n"3.jpg": "a cat"}',
    ],
)
def test_captions_are_lines_or_json_and_empty_ones_are_left_out(write, text):
    bad_rows = []
    assert read_captions(write(text), bad_rows) == {"1.jpg": "a dog: big", "3.jpg": "a cat"}
    assert not bad_rows


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1.jpg :a\nno caption\n", 2),
        ('{"1.jpg": "a",\n"2.jpg" "b"}', 2),
        ('{"1.jpg": 3}', 1),
        ('{"1.jpg": "\\ud83d"}', 1),
    ],
)
def test_malformed_captions_are_reported(write, text, line):
    bad_rows = []
    read_captions(write(text), bad_rows)
    assert [row.line for row in bad_rows] == [line]


def test_tags_are_lists_or_the_content_words_of_sentences(write, nlp):
    bad_rows = []
    text = '{"1.jpg": ["Dog", " "], "2.jpg": "A dog and a Dog.", "3.jpg": "", "4.jpg": []}'
    assert read_tags(write(text), nlp, bad_rows) == {"1.jpg": ["Dog"], "2.jpg": ["dog"]}
    assert not bad_rows


@pytest.mark.parametrize(
    "text", ['{"1.jpg": 3}', '{"1.jpg": [3]}', "[1]", "1.jpg :dog", '{"1.jpg": "\\ud83d"}']
)
def test_malformed_tags_are_reported(write, nlp, text):
    bad_rows = []
    assert read_tags(write(text), nlp, bad_rows) == {}
    assert len(bad_rows) == 1


def test_content_words_are_in_order_in_lower_case_and_without_repeats(nlp):
    sentence = "A man and a woman are  walking, the Man is walking!"
    assert find_content_words(nlp, sentence) == ["man", "woman", "walking"]


def test_a_description_is_found_by_path_or_else_by_file_name():
    descriptions = {"1.jpg": "name", "a/1.jpg": "path"}
    assert find_description(descriptions, "a/1.jpg") == "path"
    assert find_description(descriptions, "b/1.jpg") == "name"
    assert find_description(descriptions, b"bytes") is None
    assert find_description(descriptions, None) is None
