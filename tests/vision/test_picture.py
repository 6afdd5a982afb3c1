import hashlib
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from spacy_msvse.vision.picture import (
    PictureError,
    decode_picture,
    find_picture,
    open_picture,
    picture_key,
    probe_picture,
    read_picture,
)

from ..hostile.pictures import chunk, png, samples, scans
from .conftest import encode, photo

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def near(colour, expected, tolerance=6):
    return np.abs(np.subtract(colour, expected, dtype=int)).max() <= tolerance


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header states a size, with almost no pixels."""
    return png(chunk(b"IDAT", zlib.compress(b"")), size=(width, height))


# Usual pictures


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_common_formats_decode_to_rgb(format):
    picture = open_picture(encode(Image.new("RGB", (8, 6), RED), format))
    assert (picture.mode, picture.size) == ("RGB", (8, 6))
    assert near(picture.getpixel((3, 3)), RED)


# Where the upper left corner goes, by orientation; from 5 on, width and height change places.
CORNERS = {1: "left top", 2: "right top", 3: "right bottom", 4: "left bottom"}
CORNERS |= {5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_exif_orientation_is_applied(format, orientation):
    image = Image.new("RGB", (48, 32), BLUE)
    image.paste(RED, (0, 0, 24, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(encode(image, format, exif=exif, quality=95))
    assert picture.size == ((48, 32) if orientation < 5 else (32, 48))
    for corner in set(CORNERS.values()):
        x = 4 if "left" in corner else picture.width - 5
        y = 4 if "top" in corner else picture.height - 5
        colour = RED if corner == CORNERS[orientation] else BLUE
        assert near(picture.getpixel((x, y)), colour, 12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_orientation_outlives_damage_to_other_tags():
    tags = [(0x010F, 2, 9999, 0xFFFF), (0x0112, 3, 1, 6), (0x9C9B, 99, 9, 9), (0xFDE8, 5, 1, 9)]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags))
    exif += b"".join(struct.pack("<HHII", *tag) for tag in tags)
    assert open_picture(encode(photo(), "JPEG", exif=exif)).size == photo().size[::-1]


def test_alpha_lies_on_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    picture = open_picture(encode(image))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]


def test_grey_alpha_lies_on_white():
    picture = open_picture(encode(Image.new("LA", (2, 2), (0, 0))))
    assert picture.getpixel((0, 0)) == WHITE


def test_palette_with_transparency_lies_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, *BLUE])
    image.putpixel((1, 0), 1)
    for format in ("PNG", "GIF"):
        picture = open_picture(encode(image, format, transparency=0))
        assert [picture.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]


def test_palette_without_transparency():
    image = Image.new("P", (1, 1))
    image.putpalette([*BLUE])
    assert open_picture(encode(image)).getpixel((0, 0)) == BLUE


def test_one_bit():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    picture = open_picture(encode(image))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), WHITE]


def test_cmyk():
    picture = open_picture(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert picture.mode == "RGB"
    assert near(picture.getpixel((4, 4)), RED)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format):
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    picture = open_picture(encode(Image.fromarray(values), format))
    assert [picture.getpixel((x, 0))[0] for x in range(4)] == [0, 0, 127, 255]


def test_sixteen_bits_in_mode_i_are_scaled_not_clipped():
    values = np.array([[0, 32768, 65535]], dtype=np.int32)
    picture = open_picture(encode(Image.fromarray(values), "TIFF"))
    assert [picture.getpixel((x, 0))[0] for x in range(3)] == [0, 127, 255]


@pytest.mark.parametrize(
    "values", [np.array([[-1, 2**20]], dtype=np.int32), np.array([[0.5]], dtype=np.float32)]
)
def test_more_than_sixteen_bits_are_refused_by_name(values, tmp_path):
    (tmp_path / "deep.tif").write_bytes(encode(Image.fromarray(values), "TIFF"))
    with pytest.raises(PictureError, match=r"E020.*deep\.tif.*8 bits"):
        open_picture("deep.tif", tmp_path)


@pytest.mark.parametrize("transparent", [0, 65535])
def test_sixteen_bits_with_a_transparent_shade_lie_on_white(transparent):
    values = np.array([[0, 32768, 65535]], dtype=np.uint16)
    data = encode(Image.fromarray(values))
    at = data.index(b"IDAT") - 4
    data = data[:at] + chunk(b"tRNS", struct.pack(">H", transparent)) + data[at:]
    white = [255 if value == transparent else value // 257 for value in values[0]]
    assert [open_picture(data).getpixel((x, 0))[0] for x in range(3)] == white


def tiff_with(data: bytes, tag: int, value: int) -> bytes:
    """Change a tag of a TIFF that Pillow has written."""
    start = struct.unpack_from("<I", data, 4)[0] + 2
    for at in range(start, len(data), 12):
        if struct.unpack_from("<H", data, at)[0] == tag:
            return data[: at + 8] + struct.pack("<H", value) + data[at + 10 :]
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize(("tag", "value"), [(258, 12), (262, 0)], ids=["12 bits", "0 is white"])
def test_rare_greys_are_refused_rather_than_shown_dark_or_inverted(tag, value):
    grey = encode(Image.fromarray(np.array([[0, 2048, 4095]], dtype=np.uint16)), "TIFF")
    with pytest.raises(PictureError, match="save it with 8 bits"):
        open_picture(tiff_with(grey, tag, value))


def test_sixteen_bits_of_colour():
    row = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">6H", 65535, 0, 0, 0, 0, 65535)))
    picture = open_picture(png(row, size=(2, 1), bits=16))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [RED, BLUE]


def test_first_frame_smaller_than_the_animation_lies_on_white():
    data = encode(Image.new("P", (2, 2)), "GIF", transparency=1)
    larger = data[:6] + struct.pack("<HH", 4, 2) + data[10:]
    picture = open_picture(larger)
    assert picture.size == (4, 2)
    assert [picture.getpixel((x, 0)) for x in (0, 3)] == [(0, 0, 0), WHITE]


def test_palette_with_alpha_lies_on_white():
    picture = open_picture(encode(Image.new("PA", (2, 2)), "TIFF"))
    assert picture.getpixel((0, 0)) == WHITE


def test_half_transparent_is_mixed_with_white():
    picture = open_picture(encode(Image.new("RGBA", (1, 1), (255, 0, 0, 128))))
    assert near(picture.getpixel((0, 0)), (255, 127, 127), 1)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert near(open_picture(data).getpixel((4, 4)), RED)


def test_large_jpeg_can_shrink_while_decoding():
    data = encode(Image.new("RGB", (800, 400), RED), "JPEG")
    assert open_picture(data, shrink_to=100).size == (200, 100)
    assert open_picture(data, shrink_to=300).size == (800, 400)
    assert open_picture(data).size == (800, 400)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "size", [(800, 400), (3000, 20), (250, 90), (99, 99), (1, 30000), (2_000_000, 1)]
)
def test_no_picture_keeps_more_than_four_times_the_pixels_asked_for(format, size):
    data = encode(Image.new("RGB", size, RED), format) if max(size) < 16000 else None
    picture = open_picture(data or encode(Image.new("RGB", size, RED)), shrink_to=100)
    pixels = picture.width * picture.height
    assert min(100 * 100, size[0] * size[1]) <= pixels < 4 * 100 * 100
    assert near(picture.getpixel((0, picture.height - 1)), RED)


def test_a_picture_has_no_metadata_of_its_file():
    exif = Image.Exif()
    exif[0x010F] = "camera"
    picture = open_picture(encode(photo(), "PNG", exif=exif, icc_profile=b"profile"))
    assert type(picture) is Image.Image
    assert picture.info == {}


# What cannot be read


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a" * 3, "cannot be read"),
        (b"<html>not found</html>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (encode(photo(size=(200, 200)), "JPEG")[:-2000], "truncated"),
        (encode(photo(size=(200, 200)))[:500], "truncated"),
        (encode(photo(size=(200, 200)), "WEBP")[:500], "cannot be read"),
    ],
    ids=["empty", "header only", "html", "postscript", "half a jpeg", "half a png", "half a webp"],
)
def test_unreadable_content_is_refused_by_name(data, reason, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=r"E020.*'bad\.jpg'.*" + reason):
        open_picture("bad.jpg", tmp_path)
    with pytest.raises(PictureError, match=f"E020.*'<bytes> of size {len(data)}'"):
        open_picture(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, on tags that it ignores
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_damage_anywhere_is_decoded_or_refused(format):
    data = encode(photo(size=(64, 64)), format)
    random = np.random.default_rng(0)
    for position in random.integers(0, len(data), 100):
        flipped = data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]
        for damaged in (data[:position], flipped):
            try:
                assert open_picture(damaged).mode == "RGB"
            except PictureError as error:
                assert "E020" in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_a_picture_with_damaged_exif_is_used(exif):
    assert open_picture(encode(photo(), "JPEG", exif=exif)).size == photo().size


@pytest.mark.parametrize("format", ["DDS", "EPS", "ICO", "JPEG2000", "PCX", "PDF", "SGI", "TGA"])
def test_other_formats_of_pillow_are_not_even_tried(format):
    data = encode(Image.new("RGB", (16, 16)), format)
    with pytest.raises(PictureError, match="not a picture of a known format"):
        open_picture(data)


def test_messages_hold_no_memory_address():
    with pytest.raises(PictureError) as caught:
        open_picture(b"nothing")
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.jpg", ".", "nul\0.jpg", "x" * 5000])
@pytest.mark.parametrize("read", [open_picture, probe_picture, picture_key])
def test_what_is_no_file_is_refused(read, name, tmp_path):
    with pytest.raises(PictureError, match="E020"):
        read(name, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError, match="not a file"):
        open_picture("pipe", tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
def test_device_is_refused():
    with pytest.raises(PictureError, match="not a file"):
        open_picture("/dev/zero")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb.jpg", r"'a\nb.jpg'"),
        ("\x1b[2J.jpg", r"'\x1b[2J.jpg'"),
        ("\udcff.jpg", r"'\udcff.jpg'"),
        ("é.jpg", "'é.jpg'"),
        ("x" * 9999, f"'{'x' * 200}...'"),
    ],
)
def test_messages_show_names_that_can_be_printed(name, shown, tmp_path):
    with pytest.raises(PictureError) as caught:
        open_picture(name, tmp_path)
    assert shown in str(caught.value)
    assert str(caught.value).encode()


# Limits


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0, "quality": 100}])
def test_large_jpegs_of_any_encoder_have_few_enough_scans(options):
    data = encode(Image.new("RGB", (8000, 8000)), "JPEG", **options)
    assert open_picture(data, shrink_to=1024).size == (2000, 2000)


def test_the_pixel_limit_that_is_given_also_limits_the_scans():
    """At the largest size that is allowed, a picture may have the usual number of scans."""
    data = scans(64, 40)
    assert open_picture(data).size == (64, 64)
    for read in (open_picture, lambda data, **limits: decode_picture(data, "it", **limits)):
        with pytest.raises(PictureError, match="scans, too many for its size"):
            read(data, max_pixels=64 * 64)
    usual = encode(photo(), "JPEG", progressive=True)
    width, height = photo().size
    assert open_picture(usual, max_pixels=width * height).size == (width, height)


def test_byte_limit_is_checked_before_decoding(tmp_path):
    (tmp_path / "long.png").write_bytes(b"x" * 101)
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match="101 bytes, more than the limit of 100"):
            read("long.png", tmp_path, max_bytes=100)


def test_pixel_limit_is_checked_before_decoding(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for read in (open_picture, probe_picture):
        with pytest.raises(PictureError, match="9000 x 9000 pixels, more than the limit"):
            read(png_header(9000, 9000))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_threads_decode_the_same_and_leave_warning_filters_alone():
    contents = list(samples().values())
    damaged = [data[: len(data) // 2] for data in contents] * 8
    bad_exif = encode(photo(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")  # Pillow warns

    def decode(data: bytes) -> bytes | str:
        try:
            return open_picture(data).tobytes()
        except PictureError as error:
            return str(error)

    work = [*contents * 8, *damaged, *[bad_exif] * 99]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(decode, work))
    assert warnings.filters == before
    assert outcomes == [decode(data) for data in work]


def test_pillow_settings_stay_as_they_are():
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    open_picture(encode(photo()))
    with pytest.raises(PictureError):
        open_picture(encode(photo())[:100])
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_probe_reads_the_header_only():
    data = encode(photo(size=(200, 200)), "JPEG")
    probe_picture(data)
    probe_picture(data[:-1000])
    with pytest.raises(PictureError, match="not a picture"):
        probe_picture(b"nothing")


# The picture folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in (folder / "in.png", tmp_path / "out.png"):
        path.write_bytes(encode(photo()))
    return folder


def test_pictures_inside_the_folder_are_read(root):
    for name in ("in.png", "./in.png", "sub/../in.png", str(root / "in.png")):
        assert find_picture(name, root) == (root / "in.png").resolve()
    assert open_picture("in.png", str(root)).mode == "RGB"


@pytest.mark.parametrize("name", ["../out.png", "sub/../../out.png", "/etc/passwd"])
def test_nothing_outside_the_folder_is_read(root, name):
    for read in (open_picture, probe_picture, picture_key):
        with pytest.raises(ValueError, match="E021"):
            read(name, root)


def test_folder_whose_name_begins_alike_is_outside(root):
    other = root.with_name("pictures2")
    other.mkdir()
    with pytest.raises(ValueError, match="E021"):
        find_picture(str(other / "in.png"), root)


def test_symlinks_do_not_lead_outside(root):
    (root / "link.png").symlink_to(root.parent / "out.png")
    (root / "folder").symlink_to(root.parent)
    (root / "inside.png").symlink_to(root / "in.png")
    for name in ("link.png", "folder/out.png"):
        with pytest.raises(ValueError, match="E021"):
            open_picture(name, root)
    assert open_picture("inside.png", root).mode == "RGB"


def test_symlink_loop_is_refused(root):
    (root / "a.png").symlink_to(root / "b.png")
    (root / "b.png").symlink_to(root / "a.png")
    with pytest.raises(PictureError, match=r"a\.png"):
        open_picture("a.png", root)


def test_without_a_folder_any_path_is_read(root, monkeypatch):
    monkeypatch.chdir(root)
    for name in ("in.png", "../out.png", str(root.parent / "out.png")):
        assert open_picture(name).mode == "RGB"


@pytest.mark.parametrize(
    "name", ["https://example.org/a.jpg", "FILE:///etc/passwd", "s3://b/a.png"]
)
@pytest.mark.parametrize("with_root", [True, False])
def test_urls_are_refused(name, with_root, root):
    with pytest.raises(ValueError, match="E022"):
        open_picture(name, root if with_root else None)


@pytest.mark.parametrize(
    "name",
    ["C:\\pictures\\in.png", "..\\out.png", "\\\\server\\share\\in.png", "~/in.png", "*.png"],
)
def test_foreign_ways_to_write_a_path_lead_nowhere(root, name):
    with pytest.raises(PictureError, match=r"E02[01]"):
        open_picture(name, root)


def test_folder_may_be_a_link_itself(root):
    link = root.with_name("link")
    link.symlink_to(root)
    assert open_picture("in.png", link).mode == "RGB"


# URLs


URL = "https://example.org/a.png"


@pytest.mark.parametrize("url", [URL, "HTTP://example.org/a.png"])
def test_urls_go_to_the_fetcher_that_was_passed(url, root):
    asked = []

    def fetch(given):
        asked.append(given)
        return encode(photo())

    assert open_picture(url, root, fetch=fetch).size == photo().size
    assert read_picture(url, root, fetch=fetch) == encode(photo())
    probe_picture(url, root, fetch=fetch)
    assert asked == [url] * 3


@pytest.mark.parametrize(
    "name", ["file:///etc/passwd", "local_file:///etc/passwd", "ftp://b/a.png", "s3://b/a.png"]
)
def test_fetcher_gets_only_web_urls(name, root):
    with pytest.raises(PictureError, match=r"E02[02]"):
        open_picture(name, root, fetch=lambda url: pytest.fail("fetched"))


def test_fetcher_does_not_get_paths_and_bytes(root):
    def fetch(url):
        raise AssertionError(url)

    assert open_picture("in.png", root, fetch=fetch).mode == "RGB"
    assert open_picture(encode(photo()), root, fetch=fetch).mode == "RGB"


def test_what_is_fetched_keeps_the_limits():
    with pytest.raises(PictureError, match="101 bytes, more than the limit of 100"):
        open_picture(URL, fetch=lambda url: bytes(101), max_bytes=100)
    with pytest.raises(PictureError, match="9000 x 9000 pixels"):
        open_picture(URL, fetch=lambda url: png_header(9000, 9000))
    with pytest.raises(PictureError, match="empty"):
        open_picture(URL, fetch=lambda url: b"")


def test_failing_fetcher_affects_only_its_picture():
    def fetch(url):
        raise TimeoutError("no answer")

    with pytest.raises(PictureError, match=r"E056.*example\.org/a\.png.*no answer"):
        open_picture(URL, fetch=fetch)
    with pytest.raises(PictureError, match=r"E056.*returned a str, not bytes"):
        open_picture(URL, fetch=lambda url: "page")


# Keys


def test_key_is_the_hash_of_the_content(root):
    data = (root / "in.png").read_bytes()
    assert picture_key("in.png", root) == picture_key(data) == hashlib.sha256(data).hexdigest()


def test_decode_picture_uses_the_given_name_in_errors():
    with pytest.raises(PictureError, match="'holiday'"):
        decode_picture(b"nothing", "holiday")


def test_messages_of_pillow_do_not_go_to_standard_error():
    """They name no file. The reason for a refusal is in the error."""
    code = "import logging, spacy_msvse.vision.picture; logging.getLogger('PIL.x').error('odd')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""
