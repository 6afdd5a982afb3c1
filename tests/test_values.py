"""Values of attributes: what cannot be used is refused when it is assigned."""

import io
from pathlib import Path

import numpy
import pytest
import spacy
from PIL import Image

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError

SURROGATE = "half \ud83d"


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def closed_image() -> Image.Image:
    image = Image.new("RGB", (2, 2))
    image.close()
    return image


def truncated_image() -> Image.Image:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    return Image.open(io.BytesIO(buffer.getvalue()[:500]))


WRONG = [
    ("tags", "waterfall", "E035"),
    ("tags", ["dog", None], "E035"),
    ("tags", {"dog": 1.0}, "E035"),
    ("tags", [SURROGATE], "E035"),
    ("caption", ["a dog"], "E035"),
    ("caption", 3, "E035"),
    ("caption", SURROGATE, "E035"),
    ("texts", "ocr", "E035"),
    ("texts", {"ocr": None}, "E035"),
    ("texts", {"ocr": ["SALE"]}, "E035"),
    ("texts", {"caption": "a dog"}, "E035"),
    ("texts", {"ocr": SURROGATE}, "E035"),
    ("regions", [("dog", 0.5, 0.1, 0.2)], "E071"),
    ("regions", [("dog", 0.5, 0.1, 0.2, 0.3, float("nan"))], "E071"),
    ("regions", "dog", "E071"),
    ("features", [[1.0], [1.0, 2.0]], "E014"),
    ("features", numpy.ones(3), "E014"),
    ("features", numpy.ones((2, 0)), "E014"),
    ("features", [[1.0, float("nan")]], "E014"),
    ("features", [["a", "b"]], "E014"),
    ("image", 3, "E035"),
    ("image", b"", "E035"),
    ("image", "", "E035"),
    ("image", SURROGATE, "E035"),
    ("image", "data:image/png,abc", "E035"),
    ("image", "data:image/png;base64,", "E035"),
    ("image", "data:image/png;base64,a", "E035"),
    ("image", Image.new("RGB", (0, 0)), "E035"),
    ("image", closed_image(), "E035"),
    ("image", truncated_image(), "E035"),
]


@pytest.mark.parametrize(("argument", "value", "code"), WRONG)
def test_a_value_that_cannot_be_used_is_refused_also_as_an_attribute(nlp, argument, value, code):
    with pytest.raises(MsvseError) as raised:
        make_doc(nlp, "Ada", **{argument: value})
    assert raised.value.code == code
    doc = nlp("Ada")
    attribute = "image" if argument == "image" else f"image_{argument}"
    with pytest.raises(MsvseError) as raised:
        doc._.set(attribute, value)
    assert raised.value.code == code
    assert doc._.get(attribute) is None


@pytest.mark.parametrize("text", [SURROGATE, ["Ada", SURROGATE]])
def test_a_text_with_a_lone_surrogate_is_refused(nlp, text):
    with pytest.raises(MsvseError, match=r"MSVSE-E035.*lone surrogate"):
        make_doc(nlp, text)


def test_a_call_without_the_pipeline_is_explained():
    with pytest.raises(MsvseError, match=r"MSVSE-E035.*first argument"):
        make_doc("saw jordan", "a.jpg")


def test_a_wrong_value_is_quoted(nlp):
    with pytest.raises(MsvseError, match=r"MSVSE-E035. 'waterfall' cannot be used as `image_tags`"):
        make_doc(nlp, "Ada", tags="waterfall")


def test_a_path_is_kept_as_text(nlp):
    doc = nlp("Ada")
    doc._.image = Path("a") / "b.jpg"
    assert doc._.image == str(Path("a") / "b.jpg")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "F", "CMYK"])
def test_an_image_of_any_mode_is_encoded(nlp, mode):
    doc = nlp("Ada")
    doc._.image = Image.new(mode, (3, 2))
    assert Image.open(io.BytesIO(doc._.image)).size == (3, 2)


def test_an_open_file_and_a_data_uri_are_pictures(nlp, tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with (tmp_path / "a.png").open("rb") as file_:
        assert make_doc(nlp, "Ada", image=file_)._.image == content
    uri = "data:image/png;base64,iVBORw0K"
    assert make_doc(nlp, "Ada", image=uri)._.image == b"\x89PNG\r\n"


def test_none_takes_a_value_away(nlp):
    doc = make_doc(nlp, "Ada", image="a.jpg", tags=["dog"])
    doc._.image = doc._.image_tags = None
    assert (doc._.image, doc._.image_tags) == (None, None)
    assert not doc.user_data
