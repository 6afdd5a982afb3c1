import io
from pathlib import Path

import numpy
import pytest
from PIL import Image
from spacy.tokens import Doc, DocBin

from spacy_msvse.doc import make_doc
from spacy_msvse.errors import MsvseError

RED = (255, 0, 0)


def open_image(data):
    return Image.open(io.BytesIO(data))


def test_text_is_tokenized(nlp):
    assert [token.text for token in make_doc(nlp, "Ada's here")] == ["Ada", "'s", "here"]


def test_words_stay_whole_and_are_joined_by_blanks(nlp):
    doc = make_doc(nlp, ["#NYC", "it's"])
    assert [token.text for token in doc] == ["#NYC", "it's"]
    assert doc.has_unknown_spaces
    assert doc.text.rstrip() == "#NYC it's"


def test_words_keep_the_spaces_of_their_text(nlp):
    doc = make_doc(nlp, ["Hi", ",", "it's"], spaces=[False, True, False])
    assert doc.text == Doc(nlp.vocab).from_bytes(doc.to_bytes()).text == "Hi, it's"
    assert [token.text for token in doc] == ["Hi", ",", "it's"]


def test_without_a_picture_nothing_is_set(nlp):
    doc = make_doc(nlp, "Ada")
    assert doc._.image is None
    assert not doc.user_data


@pytest.mark.parametrize("image", ["a/b.jpg", Path("a/b.jpg")])
def test_a_path_is_kept_as_a_string(nlp, image):
    assert make_doc(nlp, "Ada", image)._.image == "a/b.jpg"


@pytest.mark.parametrize("image", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_encoded_bytes_are_kept(nlp, image):
    assert make_doc(nlp, "Ada", image)._.image == b"bytes"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "F"])
def test_an_image_of_any_mode_is_encoded(nlp, mode):
    data = make_doc(nlp, "Ada", Image.new(mode, (3, 2)))._.image
    assert open_image(data).size == (3, 2)


def test_an_image_from_a_camera_is_encoded_upright(nlp):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, format="JPEG", exif=exif)
    assert open_image(make_doc(nlp, "Ada", open_image(buffer.getvalue()))._.image).size == (2, 3)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4)])
def test_an_array_of_pixels_is_encoded(nlp, shape):
    data = make_doc(nlp, "Ada", numpy.full(shape, 255, dtype="uint8"))._.image
    image = open_image(data)
    assert image.size == (3, 2)
    assert numpy.asarray(image).min() == 255


@pytest.mark.parametrize(
    "array",
    [
        numpy.zeros((2, 3, 2), dtype="uint8"),
        numpy.zeros((3,)),
        numpy.zeros((0, 3), dtype="uint8"),
        numpy.zeros((1, 2, 3, 3), dtype="uint8"),
    ],
)
def test_an_array_that_does_not_hold_pixels_is_refused(nlp, array):
    with pytest.raises(MsvseError, match="MSVSE-E035"):
        make_doc(nlp, "Ada", array)


@pytest.mark.parametrize("image", [3, {"url": "a.jpg"}, ["a.jpg"]])
def test_a_value_that_is_not_a_picture_is_refused(nlp, image):
    with pytest.raises(MsvseError, match="MSVSE-E035"):
        make_doc(nlp, "Ada", image)


@pytest.mark.parametrize("text", [b"Ada", None, [1, 2], 3])
def test_a_value_that_is_neither_text_nor_words_is_refused(nlp, text):
    with pytest.raises(MsvseError, match="MSVSE-E035"):
        make_doc(nlp, text)


def test_empty_descriptions_are_given_and_differ_from_none(nlp):
    doc = make_doc(nlp, "Ada", tags=[], caption="")
    assert doc._.image_tags == []
    assert doc._.image_caption == ""


def test_every_attribute_survives_a_docbin(nlp):
    doc = make_doc(
        nlp,
        "Ada",
        Image.new("RGB", (2, 2), RED),
        tags=["dog"],
        caption="a dog",
        texts={"ocr": "WOOF"},
        regions=[("dog", 0.9, 0.0, 0.0, 1.0, 1.0)],
        features=numpy.ones((1, 4), dtype="float32"),
    )
    doc_bin = DocBin(store_user_data=True, docs=[doc])
    (loaded,) = DocBin().from_bytes(doc_bin.to_bytes()).get_docs(nlp.vocab)
    assert loaded._.image == doc._.image
    assert list(loaded._.image_tags) == ["dog"]
    assert loaded._.image_caption == "a dog"
    assert loaded._.image_texts == {"ocr": "WOOF"}
    assert list(loaded._.image_regions) == [("dog", 0.9, 0.0, 0.0, 1.0, 1.0, 0)]
    assert numpy.array_equal(loaded._.image_features, doc._.image_features)


@pytest.mark.parametrize(
    "arguments",
    [
        {"text_or_words": ["saw", "", "today"]},
        {"text_or_words": ["saw", "jordan"], "spaces": [True]},
        {"text_or_words": ["saw", "jordan"], "spaces": [True, None]},
        {"text_or_words": ["saw", "jordan"], "spaces": [(), ()]},
        {"text_or_words": ["saw", "jordan"], "spaces": 3},
    ],
)
def test_words_and_blanks_that_do_not_make_a_text_are_refused(nlp, arguments):
    with pytest.raises(MsvseError, match="MSVSE-E035"):
        make_doc(nlp, **arguments)


def test_a_region_with_a_number_that_is_too_large_is_refused(nlp):
    with pytest.raises(MsvseError, match="MSVSE-E071"):
        make_doc(nlp, "saw jordan", regions=[("a", 0.5, 0, 0, 10**400, 1)])


@pytest.mark.parametrize("number", [1e300, -1e300, 3e38, 1e20, 70_000.0])
def test_vectors_with_a_number_beyond_16_bits_are_refused(nlp, number):
    """A network would make numbers of them that are not finite."""
    with pytest.raises(MsvseError, match=r"MSVSE-E014.* 65504"):
        make_doc(nlp, "saw jordan", features=[[0.5, number]])
