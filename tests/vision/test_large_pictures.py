"""A large JPEG counts by its decoded size, the limit is a setting, and memory stays bounded."""

import subprocess
import sys
import time

import pytest
from PIL import Image

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.extraction import extract_posts
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.picture import PictureError, open_picture, probe_picture

from .conftest import CountingExtractor, encode, sources

#: 120 million pixels, as the cameras of some phones make them.
LARGE = (12_000, 10_000)

#: Decodes standard input; prints the MiB that this takes in this process and in its helper.
MEASURE = """
import resource, sys
from spacy_msvse.vision.helper import decode_in_helper, stop_helpers
from spacy_msvse.vision.picture import open_picture
small, large = (open(path, "rb").read() for path in sys.argv[1:])
def measure():
    stop_helpers()
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) // 1024
decode_in_helper(small, 99999, None)
before = measure()
open_picture(large, shrink_to=1024)
print(measure() - before)
"""


@pytest.fixture(scope="module")
def large_jpeg() -> bytes:
    return encode(Image.new("RGB", LARGE, (200, 30, 30)), "JPEG")


@pytest.fixture(scope="module")
def large_png() -> bytes:
    return encode(Image.new("1", LARGE), "PNG")


def test_a_jpeg_of_120_megapixels_is_decoded_in_bounded_time(large_jpeg):
    start = time.perf_counter()
    picture = open_picture(large_jpeg, shrink_to=1024)
    assert time.perf_counter() - start < 5
    assert (picture.size, picture.mode) == ((1500, 1250), "RGB")
    assert picture.getpixel((700, 700))[0] in range(195, 205)
    probe_picture(large_jpeg, shrink_to=1024)


def claim(data: bytes, width: int, height: int) -> bytes:
    """Change the size in the header of a large JPEG."""
    sizes = [w.to_bytes(2, "big") + h.to_bytes(2, "big") for h, w in (LARGE, (width, height))]
    return change(data, *sizes)


# At full size they would take 480 MiB and 1900 MiB.
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in KiB")
@pytest.mark.parametrize(("size", "most"), [(LARGE, 100), ((21_800, 21_800), 200)])
def test_memory_grows_with_the_decoded_size(large_jpeg, tmp_path, size, most):
    (tmp_path / "small").write_bytes(encode(Image.new("RGB", (8, 8)), "TIFF"))
    (tmp_path / "large").write_bytes(claim(large_jpeg, *size))
    command = [sys.executable, "-c", MEASURE, tmp_path / "small", tmp_path / "large"]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(grown) < most


def test_at_full_size_a_jpeg_counts_by_its_full_size(large_jpeg):
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match=r"12000 x 10000 pixels.*max_pixels"):
            read(large_jpeg)
        with pytest.raises(PictureError, match="12000 x 10000 pixels"):
            read(large_jpeg, shrink_to=10_000)


def test_a_png_of_120_megapixels_is_refused_by_name_unless_the_setting_allows_it(
    large_png, tmp_path
):
    (tmp_path / "poster.png").write_bytes(large_png)
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match=r"poster\.png.*more than the limit.*max_pixels"):
            read("poster.png", tmp_path, shrink_to=1024)
    allowed = open_picture("poster.png", tmp_path, shrink_to=1024, max_pixels=120_000_000)
    assert allowed.size == (1200, 1000)


def test_the_limit_is_a_setting_of_the_extractors(large_png):
    tight, wide = (VisualExtractor(tags=CountingExtractor(), max_pixels=n) for n in (9, 2**27))
    small = encode(Image.new("RGB", (4, 4)))
    (found,) = extract_posts(tight, sources(small))
    assert "4 x 4 pixels, more than the limit of 9" in str(found.problems)
    assert next(extract_posts(wide, sources(large_png))).features["tags"]
    # It decides nothing about the features of the pictures that it allows.
    assert tight.fingerprint == wide.fingerprint
    with pytest.raises(MsvseError, match=r"E007.*max_pixels"):
        VisualExtractor(max_pixels=0)


def change(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


def one_colour_a_scan(data: bytes) -> bytes:
    """The header of a scan with one of three colours."""
    return change(data, b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11", b"\xff\xda\0\x08\1\1\0")


#: Their decoders hold all coefficients of the picture at its full size.
HOLD_THE_WHOLE_PICTURE = {
    "progressive": lambda data: change(data, b"\xff\xc0\0\x11", b"\xff\xc2\0\x11"),
    "lossless": lambda data: change(data, b"\xff\xc0\0\x11", b"\xff\xc3\0\x11"),
    "a scan for each colour": one_colour_a_scan,
    "hidden behind a marker without a length": lambda data: change(
        data, b"\xff\xdb", b"\xff\xd0\0\x04\xff\xdb"
    ),
    "hidden behind bytes that are no marker": lambda data: change(
        data, b"\xff\xdb", b"\x55\xff\xdb"
    ),
}


def test_a_jpeg_that_is_too_short_for_its_pixels_counts_by_its_full_size(large_jpeg):
    hostile = claim(large_jpeg, 65_500, 65_500)
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match="65500 x 65500 pixels, more than the limit"):
            read(hostile, shrink_to=1024)


@pytest.mark.parametrize("kind", HOLD_THE_WHOLE_PICTURE)
def test_a_jpeg_whose_decoder_holds_the_whole_picture_counts_by_its_full_size(kind, large_jpeg):
    hostile = HOLD_THE_WHOLE_PICTURE[kind](large_jpeg)
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match="12000 x 10000 pixels, more than"):
            read(hostile, shrink_to=1024)


def test_pillows_own_limit_of_the_process_gives_no_warning(large_jpeg, monkeypatch):
    """It would be an error here, as every warning of the tests is."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert open_picture(encode(Image.new("RGB", (64, 64)))).size == (64, 64)
