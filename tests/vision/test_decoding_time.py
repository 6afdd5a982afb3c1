"""Decoding takes a limited time, for every decoder, and leaves no process and no message behind."""

import os
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from PIL import Image, features

from spacy_msvse.vision import helper
from spacy_msvse.vision.picture import PictureError, decode_picture, open_picture

from ..hostile.pictures import bitmap, png, scans, tiff
from .conftest import encode, photo

#: Seconds that a picture may take in these tests, and that the rest of a call may take.
SECONDS, SLACK = 1, 3

SIDE = 8000


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(helper, "DECODING_SECONDS", SECONDS)


def shared_strips(compression: int, strip: bytes, count: int, rows: int = 1) -> bytes:
    """A TIFF of grey pixels whose strips are all the same bytes of the file."""
    at = 8 + 2 + 12 * 9 + 4
    body = struct.pack(f"<{count}I", *[at + 8 * count] * count)
    body += struct.pack(f"<{count}I", *[len(strip)] * count)
    places = [(273, 4, count, at), (279, 4, count, at + 4 * count)]
    data = tiff(*places, data=body + strip, size=(SIDE, rows * count))
    for tag, value in ((259, compression), (278, rows)):
        place = data.index(struct.pack("<H", tag), 10)
        data = data[: place + 8] + struct.pack("<I", value) + data[place + 12 :]
    return data


def empty_blocks(size: int) -> bytes:
    """A zlib stream that is long and has no content."""
    return b"\x78\x01" + b"\x00\x00\x00\xff\xff" * (size // 5)


def late_pixels(size: int) -> bytes:
    """A zlib stream whose content, one row of pixels, follows after many empty blocks."""
    packer = zlib.compressobj(wbits=-15)
    row = packer.compress(bytes(SIDE)) + packer.flush()
    return empty_blocks(size) + row + struct.pack(">I", zlib.adler32(bytes(SIDE)))


def late_frame(size: int) -> bytes:
    """The same for Zstandard, whose empty blocks have three bytes."""
    head = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", SIDE - 256)
    run = (SIDE << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return head + bytes(3) * (size // 3) + run


def plain_text(side: int) -> bytes:
    return b"P3 %d %d 255\n" % (side, side) + b"1 " * (3 * side * side)


BOMBS = {
    "progressive JPEG in TIFF": lambda: shared_strips(7, scans(SIDE, 60, rows=160), 50, 160),
    "deflate in TIFF": lambda: shared_strips(8, late_pixels(900_000), 8000),
    "zstandard in TIFF": lambda: shared_strips(50000, late_frame(900_000), 8000),
    "numbers as text": lambda: plain_text(3000),
    "runs in BMP": lambda: bitmap((8000, 8000), 1, b"\1\5" * 2**25),
    "unusual maximum in PPM": lambda: b"P6 4000 4000 254\n" + bytes(48_000_000),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_picture_that_would_take_long_is_refused_in_time(kind):
    data = BOMBS[kind]()
    start = time.perf_counter()
    with pytest.raises(PictureError, match=r"E020.*'it'.*longer than 1 seconds"):
        decode_picture(data, "it", max_pixels=2**26, shrink_to=1024)
    assert time.perf_counter() - start < SECONDS + SLACK


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_may_hide_frames_so_its_time_is_limited_too(monkeypatch):
    data = encode(photo(size=(4000, 4000)), "AVIF", speed=10)
    assert open_picture(data, shrink_to=100).mode == "RGB"
    monkeypatch.setattr(helper, "DECODING_SECONDS", 0.01)
    with pytest.raises(PictureError, match=r"longer than 0\.01 seconds"):
        open_picture(data)


def test_a_larger_limit_of_pixels_does_not_make_decoding_take_longer(monkeypatch):
    monkeypatch.setattr(helper, "DECODING_SECONDS", 10)
    data = encode(Image.new("1", (9000, 9000)))
    assert open_picture(data, max_pixels=10**9, shrink_to=100).width < 200
    monkeypatch.setattr(helper, "DECODING_SECONDS", 0.001)
    with pytest.raises(PictureError, match=r"longer than 0\.001 seconds"):
        open_picture(data, max_pixels=10**9)


def test_threads_and_processes_have_the_same_limit():
    bomb, good = plain_text(3000), encode(photo(), "TIFF", compression="tiff_lzw")
    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, [bomb, good] * 4)) == ["refused", "decoded"] * 4
    for method in ("fork", "spawn") if hasattr(os, "fork") else ("spawn",):
        with get_context(method).Pool(2) as workers:
            assert workers.map(outcome, [good] * 4) == ["decoded"] * 4
    assert time.perf_counter() - start < 60
    assert outcome(good) == "decoded"


def outcome(data: bytes) -> str:
    try:
        decode_picture(data, "it")
    except PictureError as error:
        return "refused" if "longer than" in str(error) else str(error)
    return "decoded"


def test_usual_pictures_need_no_helper(monkeypatch):
    monkeypatch.setattr(helper, "Helper", None)
    for format in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"):
        assert open_picture(encode(photo(), format)).size == photo().size
    assert open_picture(encode(photo(), "JPEG", progressive=True)).size == photo().size
    largest = encode(Image.new("RGB", (8000, 8000)), "JPEG", progressive=True)
    assert open_picture(largest, shrink_to=1000).size == (1000, 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"P1 3 1\n1 0 1",
        b"P2 3 1 255\n0 255 0",
        b"P3 3 1 255\n0 0 0 255 255 255 0 0 0",
        b"P5 3 1 15\n\x00\x0f\x00",
        b"P6 3 1 254\n" + bytes(3) + b"\xfe" * 3 + bytes(3),
        bitmap((3, 1), 1, b"")[:54] + b"\xff" * 4 + bytes(1020) + b"\1\1\1\0\1\1\0\1",
    ],
    ids=["P1", "P2", "P3", "4 bits", "unusual maximum", "runs"],
)
def test_small_pictures_of_slow_formats_are_read(data):
    picture = open_picture(data)
    assert [picture.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (255, 255, 255), (0, 0, 0)]


def test_a_helper_that_cannot_be_started_is_the_reason(monkeypatch, tmp_path):
    helper.stop_helpers()
    monkeypatch.setattr(sys, "executable", "/nothing/python")
    data = encode(photo(), "TIFF", compression="tiff_lzw")
    with pytest.raises(PictureError, match=r"E020.*decoder cannot be started"):
        decode_picture(data, "it")
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(PictureError, match=r"E020.*decoder cannot be started"):
        decode_picture(data, "it")
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(helper, "START_SECONDS", 0.2)
    with pytest.raises(PictureError, match=r"E020.*decoder cannot be started"):
        decode_picture(data, "it")


def test_a_helper_finds_the_package_of_an_editable_installation(monkeypatch):
    """Such an installation finds it by a hook, not by `sys.path`."""
    found = [folder for folder in sys.path if not (Path(folder) / "spacy_msvse").is_dir()]
    monkeypatch.setattr(sys, "path", found)
    helper.Helper().stop()


def test_a_helper_works_where_no_file_can_be_written(monkeypatch):
    def fail():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(helper, "TemporaryFile", fail)
    request = {"max_pixels": 10**6, "shrink_to": None}
    data = encode(photo(), "TIFF", compression="tiff_lzw")
    with helper._open_messages() as messages:
        reply, pixels = helper._answer(bytearray(data), request, messages)
        assert (tuple(reply["size"]), pixels) == (photo().size, photo().tobytes())
        assert "reason" in helper._answer(bytearray(data[:99]), request, messages)[0]


def test_a_helper_that_was_killed_is_replaced():
    data = encode(photo(), "TIFF", compression="tiff_lzw")
    first = decode_picture(data, "it").tobytes()
    (waiting,) = helper._idle
    waiting.process.kill()
    waiting.process.wait()
    assert decode_picture(data, "it").tobytes() == first


def test_a_helper_ends_with_its_parent():
    code = (
        "import os, sys; from spacy_msvse.vision import helper; "
        "helper.decode_in_helper(sys.stdin.buffer.read(), 99999, None); "
        "print(helper._idle[0].process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    data = encode(photo(), "TIFF", compression="tiff_lzw")
    done = subprocess.run([sys.executable, "-c", code], input=data, stdout=subprocess.PIPE)
    for _ in range(50):
        if not _runs(int(done.stdout)):
            return
        time.sleep(0.1)
    pytest.fail("the helper still runs")


def _runs(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file_:
            return file_.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_messages_of_libtiff_are_part_of_the_reason_and_not_on_standard_error(capfd):
    data = encode(photo(size=(200, 200)), "TIFF", compression="tiff_lzw")
    damaged = data[:200] + bytes(len(data) - 400) + data[-200:]
    with pytest.raises(PictureError) as caught:
        decode_picture(damaged, "holiday.tif")
    assert "'holiday.tif'" in str(caught.value)
    assert str(caught.value).endswith("(Using code not yet in table.).")
    with ThreadPoolExecutor(4) as pool:
        reasons = list(pool.map(_reason, [damaged] * 8))
    assert reasons == [str(caught.value)] * 8
    assert capfd.readouterr().err == ""


def _reason(data: bytes) -> str:
    try:
        decode_picture(data, "holiday.tif")
    except PictureError as error:
        return str(error)
    return ""


def test_a_png_of_any_kind_takes_less_than_the_limit():
    """A PNG is decoded in this process: each of its bytes is read once."""
    start = time.perf_counter()
    blocks = empty_blocks(2**25)
    piece = struct.pack(">I", len(blocks)) + b"IDAT" + blocks
    with pytest.raises(PictureError):
        open_picture(png(piece + struct.pack(">I", zlib.crc32(piece[4:])), size=(SIDE, SIDE)))
    assert time.perf_counter() - start < SLACK
