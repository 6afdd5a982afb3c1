import pytest

from spacy_msvse.corpus.descriptions import (
    Descriptions,
    find_content_words,
    read_captions,
    read_tags,
)
from spacy_msvse.errors import MsvseError


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
        '[{"image": "1.jpg", "caption": "a dog: big"}, {"image": "3.jpg", "caption": "a cat"}]',
        '[["1.jpg", "a dog: big"], ["3.jpg", " a cat"]]',
        '{"file_name": "1.jpg", "text": "a dog: big"}\n{"file_name": "3.jpg", "text": "a cat"}\n',
        '{"1.jpg": ["a dog: big"], "3.jpg": ["a cat"]}',
        "1.jpg :a dog: big\r\n1.jpg :a dog: big\r\n3.jpg :a cat\r\n",
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
        ('{"1.jpg": ["a dog", "a cat"]}', 1),
        ('{"1.jpg": {"caption": "a dog"}}', 1),
        ('{"1.jpg": null}', 1),
        ('["a dog", "a cat"]', 1),
        ('[{"caption": "a dog"}]', 1),
        ('[{"image": "1.jpg", "id": 3, "caption": "a dog", "text": "a cat"}]', 1),
        ('{"1.jpg": "a dog", "1.jpg": "a cat"}', 1),
        ("1.jpg :a dog\n1.jpg :a cat\n", 2),
        ('{"image": "1.jpg", "caption": "a dog"}\n{"image": "2.jpg"}\n', 2),
        ("[" * 100_000, 1),
        ('{"1.jpg": ' + "[" * 100_000, 1),
        ('{"1.jpg": ' + "9" * 5000 + "}", 1),
        ("3", 1),
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
    "text",
    [
        "[" * 100_000,
        '["dog"]',
        '{"1.jpg": ["dog"], "1.jpg": ["cat"]}',
        '{"1.jpg": 3}',
        '{"1.jpg": [3]}',
        "[1]",
        "1.jpg :dog",
        '{"1.jpg": "\\ud83d"}',
    ],
)
def test_malformed_tags_are_reported(write, nlp, text):
    bad_rows = []
    assert read_tags(write(text), nlp, bad_rows).keys() <= {"1.jpg"}
    assert len(bad_rows) == 1


def test_content_words_are_in_order_in_lower_case_and_without_repeats(nlp):
    sentence = "A man and a woman are  walking, the Man is walking!"
    assert find_content_words(nlp, sentence) == ["man", "woman", "walking"]


def test_tags_of_one_line_each_are_read(write, nlp):
    text = '{"id": 1, "tags": ["Dog"]}\n{"id": 2, "labels": ["cat"]}\n'
    bad_rows = []
    assert read_tags(write(text), nlp, bad_rows) == {"1": ["Dog"], "2": ["cat"]}
    assert not bad_rows


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "E130"),
        ("1.jpg :a dog".encode("utf-16"), "E131"),
        (None, "E132"),
    ],
)
def test_a_file_that_holds_something_else_is_one_error(tmp_path, nlp, content, code):
    path = tmp_path / "captions.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(MsvseError, match=f"MSVSE-{code}.*captions"):
        read_captions(path, [])
    with pytest.raises(MsvseError, match=f"MSVSE-{code}.*captions"):
        read_tags(path, nlp, [])


def test_a_description_is_found_by_path_or_else_by_file_name_or_else_without_suffix():
    found = Descriptions({"1.jpg": "name", "a/1.jpg": "path", "12": "id", "data/x/7.jpg": "folder"})
    assert found.find("a/1.jpg") == "path"
    assert found.find("./a/1.jpg") == "path"
    assert found.find("b/1.jpg") == "name"
    assert found.find("b/12.jpg") == found.find("12.png") == "id"
    assert found.find("7.jpg") == "folder"
    assert found.find("12.5.jpg") is None
    assert found.find(b"bytes") is None
    assert found.find(None) is None


@pytest.mark.parametrize("key", ["a/1.jpg", "a\\1.jpg", "1.jpg", "1"])
@pytest.mark.parametrize("picture", ["a/1.jpg", "a\\1.jpg", "C:\\data\\a\\1.jpg"])
def test_backslashes_in_names_count_as_slashes(key, picture):
    assert Descriptions({key: "a dog"}).find(picture) == "a dog"


def test_a_file_name_of_two_folders_describes_neither():
    found = Descriptions({"a/1.jpg": "one", "b/1.jpg": "two"})
    assert found.find("c/1.jpg") is None
    assert found.find("1.jpg") is None
    assert found.find("b/1.jpg") == "two"
