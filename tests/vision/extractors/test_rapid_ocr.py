"""Text in pictures, drawn here and read by the models of RapidOCR's wheel."""

import importlib
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
import spacy
from PIL import Image, ImageDraw, ImageFont

from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors import rapid_ocr
from spacy_msvse.vision.extractors.rapid_ocr import RapidOcr

pytest.importorskip("rapidocr")
pytest.importorskip("onnxruntime")


def poster(text: str, size=(200, 200), colour="black", ground="white") -> Image.Image:
    """A picture with a line of text."""
    picture = Image.new("RGB", size, ground)
    font = ImageFont.load_default(size=28)
    ImageDraw.Draw(picture).text((10, 10), text, font=font, fill=colour)
    return picture


def read(*pictures: Image.Image, **settings) -> list[str]:
    return [features["ocr"] for features in RapidOcr(**settings).extract(pictures, [])]


# Reading


def test_each_picture_of_a_batch_is_read():
    empty = Image.new("RGB", (200, 200), "white")
    assert read(poster("Hello World"), empty, poster("Route 66")) == ["Hello World", "", "Route 66"]


def test_no_pictures_no_texts():
    assert read() == []


def test_reading_goes_from_top_to_bottom_and_left_to_right():
    picture = poster("first", size=(300, 200))
    picture.paste(poster("second", size=(130, 60)), (160, 3))  # a little lower
    picture.paste(poster("third", size=(130, 60)), (0, 106))
    picture.paste(poster("fourth", size=(130, 60)), (160, 100))  # a little higher
    assert read(picture) == ["first second third fourth"]


def test_boxes_of_any_size_are_put_into_lines():
    def box(left, top, right, bottom):
        return [(left, top), (right, top), (right, bottom), (left, bottom)]

    small = [box(9, 12, 12, 15), box(0, 10, 3, 13), box(5, 0, 8, 3), box(5, 11, 8, 14)]
    for scale in (1, 100):
        assert rapid_ocr._reading_order(np.array(small, dtype="float32") * scale) == [2, 1, 3, 0]


def test_coloured_text_is_read():
    assert read(poster("STOP", colour=(40, 40, 250), ground=(230, 130, 30))) == ["STOP"]


@pytest.mark.parametrize("size", [(1, 1), (9000, 2)])
def test_pictures_of_odd_sizes_are_read(size):
    assert read(Image.new("RGB", size, "white")) == [""]


def test_large_pictures_are_read_smaller():
    large = poster("Hello World").crop((0, 0, 200, 50)).resize((3200, 800))
    assert RapidOcr().prepare(large).size == (1600, 400)
    assert read(large) == ["Hello World"]
    assert large.size == (3200, 800)


def test_long_narrow_pictures_are_padded():
    pixels = rapid_ocr._pixels(Image.new("RGB", (1600, 3), "red"))
    assert pixels.shape == (400, 1600, 3)
    assert (pixels == (0, 0, 255)).all()  # blue, green, red


def test_reading_twice_gives_the_same():
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((200, 200))
    picture.paste(poster("maybe", size=(120, 60)), (40, 20))
    assert len(set(read(picture, picture, min_score=0.0))) == 1


def test_nothing_is_logged_or_printed():
    code = (
        "from PIL import Image; from spacy_msvse.vision.extractors.rapid_ocr import RapidOcr; "
        "RapidOcr().extract([Image.new('RGB', (60, 60))], [])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")


# Settings


def test_unlikely_lines_are_left_out():
    assert read(poster("Hello World"), min_score=1.0) == [""]


def test_long_texts_are_cut():
    assert read(poster("Hello World"), max_characters=6) == ["Hello"]


def test_fingerprint_follows_the_settings_and_the_version_of_the_models(monkeypatch):
    prints = {
        RapidOcr().fingerprint,
        RapidOcr(min_score=0.1).fingerprint,
        RapidOcr(max_characters=9).fingerprint,
    }
    assert len(prints) == 3
    assert RapidOcr().fingerprint in prints
    monkeypatch.setattr(rapid_ocr, "version", lambda package: "9.9")
    assert RapidOcr().fingerprint not in prints


# Where the models come from


def test_nothing_is_downloaded(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("went online")

    download = importlib.import_module("rapidocr.utils.download_file")
    monkeypatch.setattr(download.DownloadFile, "run", fail)
    monkeypatch.setattr(socket, "create_connection", fail)
    rapid_ocr._reader.cache_clear()
    assert read(poster("Hello")) == ["Hello"]


@pytest.mark.parametrize("use", ["initialize", "extract", "from_files"])
def test_a_model_that_is_missing_is_an_error_not_a_download(monkeypatch, use):
    monkeypatch.setattr(rapid_ocr, "files", lambda package: [])
    rapid_ocr._reader.cache_clear()
    with pytest.raises(ValueError, match=r"E025.*lacks its model 'Det'.*nothing is downloaded"):
        _use(use)


@pytest.mark.parametrize("use", ["initialize", "extract", "from_files", "fingerprint"])
@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime"])
def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch, use, package):
    find = rapid_ocr.find_spec
    monkeypatch.setattr(
        rapid_ocr, "find_spec", lambda name: None if name == package else find(name)
    )
    rapid_ocr._reader.cache_clear()
    with pytest.raises(ValueError, match=rf"E024.*'{package}'.*spacy-msvse\[ocr\]"):
        _use(use)


def _use(name: str) -> None:
    extractor = RapidOcr()
    if name == "initialize":
        extractor.initialize()
    elif name == "extract":
        extractor.extract([poster("Hello")], [{}])
    elif name == "from_files":
        extractor.from_files({})
    else:
        _ = extractor.fingerprint


def test_import_brings_neither_the_reader_nor_torch():
    code = (
        "import sys, spacy_msvse.vision.extractors.rapid_ocr; "
        "print({m.split('.')[0] for m in sys.modules} & {'rapidocr', 'onnxruntime', 'torch'})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


# As one of the extractors


def test_nothing_is_saved_and_a_copy_reads_the_same():
    first, second = VisualExtractor(ocr=RapidOcr()), VisualExtractor(ocr=RapidOcr())
    first.initialize()
    assert first.to_files() == {}
    second.from_files({})
    for visual in (first, second, pickle.loads(pickle.dumps(first))):
        assert visual.extract([poster("Hello")]) == [{"ocr": "Hello"}]
        assert visual.fingerprint == first.fingerprint


def test_registry_knows_it():
    config = {"ocr": {"@misc": "spacy-msvse.RapidOcr.v1", "min_score": 0.5}}
    assert spacy.registry.resolve(config)["ocr"] == RapidOcr(min_score=0.5)
