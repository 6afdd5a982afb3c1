"""Boxes that annotators drew are gold data in the meta of posts."""

import pytest
from spacy.tokens import DocBin

from spacy_msvse.corpus.boxes import read_boxes
from spacy_msvse.corpus.convert import convert
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.doc import PICTURE_ATTRIBUTES, get_picture_attributes

ANNOTATION = (
    "<annotation>\n<size><width>{size}</width><height>100</height></size>\n{objects}</annotation>"
)
OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>20</xmin><ymin>{top}</ymin><xmax>100</xmax>"
    "<ymax>75</ymax></bndbox></object>\n"
)
ADA = ("Ada Lovelace", 1.0, 0.1, 0.25, 0.5, 0.75)


@pytest.fixture
def draw(tmp_path):
    """Write the annotation of picture 7.jpg: a box for each name, between 25 and 75 in height."""

    def draw(*names, top=25, size=200):
        objects = "".join(OBJECT.format(name=name, top=top) for name in names)
        path = tmp_path / "boxes" / "7.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(ANNOTATION.format(size=size, objects=objects))
        return path

    return draw


@pytest.mark.parametrize("picture", ["7.jpg", "7.png", "folder/7.jpg", r"folder\7.jpg"])
def test_boxes_are_relative_to_the_picture(draw, picture):
    bad_rows = []
    boxes = read_boxes(draw("Ada Lovelace", "Bob").parent, picture, bad_rows)
    assert boxes == [ADA, ("Bob", *ADA[1:])]
    assert not bad_rows


def test_a_picture_can_have_no_boxes(draw):
    bad_rows = []
    assert read_boxes(draw().parent, "7.jpg", bad_rows) == []
    assert read_boxes(draw().parent, "8.jpg", bad_rows) is None
    assert not bad_rows


def test_an_annotation_that_is_not_xml_is_reported(draw):
    path, bad_rows = draw("Ada & Bob"), []
    assert read_boxes(path.parent, "7.jpg", bad_rows) == []
    assert [(row.path, row.line) for row in bad_rows] == [(path, 3)]


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n",
        b'<?xml version="1.0" encoding="klingon"?><annotation/>',
        b'<?xml version="1.0" encoding="utf-7"?><annotation/>',
        b'<?xml version="1.0" encoding="shift_jis"?><annotation/>',
        b'<?xml version="1.0" encoding="utf-16"?><annotation/>',
        b"\xff\xfe\x00",
        b"",
        None,
    ],
)
def test_a_file_that_is_not_xml_is_reported(draw, content):
    path, bad_rows = draw(), []
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    assert read_boxes(path.parent, "7.jpg", bad_rows) == []
    assert [row.path for row in bad_rows] == [path]


def test_an_annotation_in_utf16_is_read(draw):
    path, bad_rows = draw("Ada Lovelace"), []
    path.write_text('<?xml version="1.0" encoding="utf-16"?>' + path.read_text(), encoding="utf-16")
    assert read_boxes(path.parent, "7.jpg", bad_rows) == [ADA]
    assert not bad_rows


def test_a_picture_whose_name_is_too_long_for_a_file_is_reported(tmp_path):
    for name in ("x" * 300 + ".jpg", "a\0.jpg"):
        bad_rows = []
        assert not read_boxes(tmp_path, name, bad_rows)
        assert len(bad_rows) == 1


@pytest.mark.parametrize(
    "fault", [{"top": 80}, {"top": -1}, {"top": ""}, {"top": "nan"}, {"size": 0}, {"size": 90}]
)
def test_an_invalid_box_is_reported(draw, fault):
    path, bad_rows = draw("Ada", **fault), []
    assert read_boxes(path.parent, "7.jpg", bad_rows) == []
    assert [row.path for row in bad_rows] == [path]
    assert "object 1, 'Ada'" in bad_rows[0].reason


@pytest.fixture
def converted(draw, tmp_path):
    posts, output = tmp_path / "posts.txt", tmp_path / "posts.spacy"
    posts.write_text("IMGID:7\nAda\tB-PER\nLovelace\tI-PER\n\nIMGID:8\nBob\tB-PER\n")
    report = convert(posts, output, format="conll", boxes=draw("Ada Lovelace").parent)
    assert report.boxes_used == 1
    return output


def test_boxes_are_in_the_meta_of_their_posts(converted, nlp):
    boxed, other = DocBin().from_disk(converted).get_docs(nlp.vocab)
    assert [tuple(box) for box in boxed.user_data["meta"]["boxes"]] == [ADA]
    assert other.user_data["meta"] == {"id": "8"}


def test_boxes_enter_no_view(converted, nlp):
    example = next(iter(Corpus(converted)(nlp)))
    given = get_picture_attributes(example.predicted)
    assert [name for name in PICTURE_ATTRIBUTES if name in given] == ["images"]
