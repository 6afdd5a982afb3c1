"""Pictures in HEIF, which iPhones make: decoded if pillow-heif is installed."""

import importlib.util
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from spacy_msvse.corpus.folder import read_folder
from spacy_msvse.vision import decoding
from spacy_msvse.vision.picture import PictureError, open_picture, probe_picture

#: The beginning of a HEIF file.
HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"

needs_heif = pytest.mark.skipif(
    importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed"
)


def picture(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (64, 48), (20, 60, 220))
    image.paste((220, 40, 40), (0, 0, 32, 24))
    if mode == "RGBA":
        image.putalpha(Image.new("L", image.size, 0))
    return image


def encode(image: Image.Image, **options) -> bytes:
    from pillow_heif import from_pillow

    stream = BytesIO()
    from_pillow(image).save(stream, quality=90, **options)
    return stream.getvalue()


def test_without_the_package_the_reason_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEAD + bytes(99))
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match=r"E020.*IMG_1\.HEIC.*\"spacy-msvse\[heif\]\""):
            read("IMG_1.HEIC", tmp_path)


@needs_heif
def test_a_picture_is_decoded():
    data = encode(picture())
    found = open_picture(data)
    assert (found.mode, found.size) == ("RGB", (64, 48))
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(picture(), dtype=int)).mean() < 6
    probe_picture(data)
    assert open_picture(data, shrink_to=16).size == (22, 16)


@needs_heif
def test_transparent_pixels_lie_on_white():
    assert np.asarray(open_picture(encode(picture("RGBA")))).min() > 245


@needs_heif
def test_the_orientation_is_applied_once():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(), exif=exif.tobytes())
    found = open_picture(data)
    assert found.size == (48, 64)
    # Red is at the upper right after a turn to the right.
    assert found.getpixel((40, 5))[0] > 150 > found.getpixel((5, 5))[0]


@needs_heif
def test_the_limits_are_those_of_any_picture():
    data = encode(picture())
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match="64 x 48 pixels, more than the limit of 100"):
            read(data, max_pixels=100)
        with pytest.raises(PictureError, match="more than the limit of 10"):
            read(data, max_bytes=10)


@needs_heif
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_an_error(part):
    data = encode(picture())
    with pytest.raises(PictureError, match="E020"):
        open_picture(data[: int(len(data) * part)])
    with pytest.raises(PictureError, match="E020"):
        open_picture(HEAD + bytes(999))


@needs_heif
def test_pillow_itself_stays_as_it_is():
    Image.init()
    before = {*Image.OPEN}  # imageio, if it is imported, has registered HEIF
    open_picture(encode(picture()))
    assert {*Image.OPEN} == before


def test_a_folder_of_posts_has_pictures_in_heif(tmp_path):
    (tmp_path / "a.txt").write_text("saw jordan")
    (tmp_path / "a.HEIC").write_bytes(HEAD)
    (row,) = read_folder(tmp_path)
    assert row.values["image"] == "a.HEIC"
