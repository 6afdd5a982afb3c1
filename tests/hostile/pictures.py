"""Hostile files, generated from a seed, and a run over all of them.

`python -m tests.hostile.pictures FOLDER < names.json` reads them and prints the result for each.
"""

import faulthandler
import json
import os
import random
import resource
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from spacy_msvse.vision.extraction import PostSource, extract_posts, fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.picture import picture_name
from spacy_msvse.vision.store import FeatureStore

from ..tiny import reasons
from ..vision.conftest import CountingExtractor, encode, photo

REFUSED, DECODED, EITHER = "refused", "decoded", "refused or decoded"

#: Seconds after which the run stops reading a file.
PATIENCE = 60

#: Seconds that decoding may take in the run.
DECODING_SECONDS = 3

#: Side of a square that is legal, but takes a while and much memory: 16 million pixels.
LARGE = 4000

MEGABYTE = 2**20


@dataclass(frozen=True)
class Hostile:
    """A file, or a path that is not a file.

    Attributes:
        name (str): The picture of a post.
        expected (str): The expected result: `REFUSED`, `DECODED` or `EITHER`.
    """

    name: str
    expected: str


def make_hostile_files(folder: Path, seed: int = 0) -> list[Hostile]:
    """Make the files, in a picture folder and beside it.

    Args:
        folder (Path): An empty folder; the picture folder is `folder / "root"`.
        seed (int): The same seed gives the same files.

    Returns:
        list: The files and paths to read from the picture folder.
    """
    root = folder / "root"
    root.mkdir()
    made = []
    chance = random.Random(seed)
    for source in (damaged(chance), disguised(), bombs(), odd(chance)):
        for name, data, expected in source:
            (root / name).write_bytes(data)
            made.append(Hostile(name, expected))
    return made + paths(root)


# Damage


def samples() -> dict[str, bytes]:
    """A small picture in every format that is read, as several encoders write it."""
    picture = photo(size=(120, 90))
    transparent = picture.convert("RGBA")
    transparent.putalpha(128)
    frames = {"save_all": True, "append_images": [photo(1, (120, 90))]}
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    return {
        "baseline.jpg": encode(picture, "JPEG", exif=exif),
        "progressive.jpg": encode(picture, "JPEG", progressive=True),
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG"),
        "colour.png": encode(picture),
        "transparent.png": encode(transparent),
        "palette.png": encode(picture.quantize(16)),
        "animated.gif": encode(picture, "GIF", **frames),
        "lossy.webp": encode(picture, "WEBP"),
        "lossless.webp": encode(transparent, "WEBP", lossless=True),
        "animated.webp": encode(picture, "WEBP", **frames),
        "colour.bmp": encode(picture, "BMP"),
        "raw.tif": encode(picture, "TIFF"),
        "deflate.tif": encode(transparent, "TIFF", compression="tiff_adobe_deflate"),
        "grey.ppm": encode(picture.convert("L"), "PPM"),
    }


def damaged(chance: random.Random) -> Iterator[tuple[str, bytes, str]]:
    """Truncations at random offsets, flipped bits, and headers before noise."""
    for name, data in samples().items():
        yield f"whole-{name}", data, DECODED
        for number in range(6):
            yield f"cut{number}-{name}", data[: chance.randrange(1, len(data))], EITHER
        for number in range(6):
            flipped = bytearray(data)
            for _ in range(4**number % 97):
                flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            yield f"flip{number}-{name}", bytes(flipped), EITHER
        yield f"noise-{name}", data[:24] + chance.randbytes(2000), EITHER
        yield f"twice-{name}", data + data, DECODED


# Other files


def disguised() -> Iterator[tuple[str, bytes, str]]:
    """Pictures with a wrong extension, and other files with a picture's."""
    picture = photo()
    yield "png-named.jpg", encode(picture), DECODED
    yield "jpeg-named.png", encode(picture, "JPEG"), DECODED
    yield "gif-named.webp", encode(picture, "GIF"), DECODED
    yield "webp-without-extension", encode(picture, "WEBP"), DECODED
    others = {
        "empty": b"",
        "byte": b"\xff",
        "zeros": bytes(1000),
        "text": b"no picture here",
        "html": b"<!DOCTYPE html><html><img src='http://127.0.0.1/'></html>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "pdf": encode(picture, "PDF"),
        "eps": encode(picture, "EPS"),
        "icon": encode(picture, "ICO"),
        "targa": encode(picture, "TGA"),
        "jpeg2000": encode(picture, "JPEG2000"),
        "zip": b"PK\x03\x04" + bytes(100),
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "elf": b"\x7fELF" + bytes(100),
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "json": b'{"error": "not found"}',
        "photoshop": b"8BPS\0\1" + bytes(100),
        "mp4": b"\0\0\0\x18ftypmp42" + bytes(100),
        "heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }
    for name, data in others.items():
        yield f"{name}-named.jpg", data, REFUSED


# Bombs


def chunk(kind: bytes, data: bytes) -> bytes:
    """A piece of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (8, 8), bits: int = 8, colour: int = 2) -> bytes:
    """A PNG of any pieces: `bits` for each channel; colour 0 is grey, 2 RGB, 6 RGBA."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")])


def pixels(size: tuple[int, int] = (8, 8), bytes_each: int = 3) -> bytes:
    """The pixels of a black PNG."""
    return chunk(b"IDAT", zlib.compress(bytes(size[1] * (1 + size[0] * bytes_each)), 1))


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"", size=(8, 8)) -> bytes:
    """A TIFF of grey pixels, with more tags: number, type, count, value or offset."""
    known = [(256, 4, 1, size[0]), (257, 4, 1, size[1]), (258, 3, 1, 8), (259, 3, 1, 1)]
    known += [(262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, 1)]
    rows = sorted([*known, *tags])
    head = b"II*\0" + struct.pack("<IH", 8, len(rows))
    return head + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4) + data


def bitmap(size: tuple[int, int], compression: int, body: bytes) -> bytes:
    """A BMP of 8 bits per pixel; compression 0 is none, 1 is run-length encoding."""
    start = 14 + 40 + 1024
    file = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    head = struct.pack("<IiiHHIIiiII", 40, *size, 1, 8, compression, len(body), 0, 0, 256, 0)
    return file + head + bytes(1024) + body


def vp8x(width: int, height: int) -> bytes:
    """A WebP that claims a size and holds no picture."""
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def inside(data: bytes, marker: bytes, more: bytes) -> bytes:
    """A file with more bytes before a marker."""
    at = data.index(marker, 13)
    return data[:at] + more + data[at:]


def scans(size: int, count: int, rows: int | None = None) -> bytes:
    """A progressive JPEG that repeats its last scan; a square unless `rows` is given."""
    data = encode(Image.new("L", (size, rows or size)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def bombs() -> Iterator[tuple[str, bytes, str]]:
    """Small files that would take much memory, or a decoder's loop for a long time."""
    jpeg, gif = encode(photo(), "JPEG"), encode(photo(), "GIF")
    huge = 65500

    # Headers that claim more pixels than anybody should decode
    yield "huge.png", png(pixels(), size=(huge, huge)), REFUSED
    yield "huge-grey.png", png(pixels(), size=(2**31 - 1, 1), colour=0), REFUSED
    yield "huge.gif", gif[:6] + struct.pack("<HH", huge, huge) + gif[10:], REFUSED
    yield "huge.bmp", bitmap((huge, huge), 0, bytes(100)), REFUSED
    yield "huge.tif", tiff((273, 4, 1, 8), size=(huge, huge)), REFUSED
    yield "huge.ppm", b"P6 65500 65500 255\n" + bytes(100), REFUSED
    yield "huge.webp", vp8x(16384, 16384), REFUSED
    yield "just-too-large.png", png(pixels(), size=(8200, 8200)), REFUSED
    at = jpeg.index(b"\xff\xc0") + 5
    yield "huge.jpg", jpeg[:at] + struct.pack(">HH", huge, huge) + jpeg[at + 4 :], REFUSED

    # Pixels that compress well
    size = (LARGE, LARGE)
    yield "large.png", png(pixels(size, 4), size=size, colour=6), DECODED
    yield "large-16-bit.png", png(pixels(size, 2), size=size, bits=16, colour=0), DECODED
    yield "large.webp", encode(Image.new("RGBA", size), "WEBP", lossless=True, method=0), DECODED
    yield "large.gif", encode(Image.new("L", size), "GIF"), DECODED
    yield "large.jpg", encode(Image.new("L", size), "JPEG"), DECODED
    yield "large.tif", encode(Image.new("CMYK", size), "TIFF", compression="tiff_lzw"), DECODED
    yield "long.png", png(pixels((MEGABYTE, 32)), size=(MEGABYTE, 32)), DECODED
    yield "no-pixels.png", png(pixels(), size=size, colour=6), REFUSED

    # Headers and pixels in a million pieces
    yield "chunks.png", png(chunk(b"prVt", b"") * 100_000, pixels()), REFUSED
    yield "texts.png", png(chunk(b"tEXt", b"a\0b") * 100_000, pixels()), REFUSED
    yield "pieces.png", png(chunk(b"IDAT", b"") * 100_000, pixels()), REFUSED
    yield "fill.jpg", jpeg[:2] + b"\xff" * MEGABYTE + jpeg[2:], REFUSED
    yield "markers.jpg", jpeg[:2] + b"\xff\xe5\0\2" * 100_000 + jpeg[2:], REFUSED
    segment = b"\xff\xe1" + struct.pack(">H", 65535) + b"Exif\0\0" + bytes(65527)
    yield "segments.jpg", jpeg[:2] + segment * 300 + jpeg[2:], REFUSED
    yield "blocks.gif", inside(gif, b",", b"!\x01\x01a\0" * 100_000), REFUSED
    yield "comments.gif", inside(gif, b",", b"!\xfe" + b"\x01a" * 500_000 + b"\0"), REFUSED
    strips = 2 * MEGABYTE
    yield "strips.tif", tiff((273, 4, strips // 4, 8), data=bytes(strips)), REFUSED
    yield "tags.tif", tiff(*[(1000 + n, 7, MEGABYTE, 8) for n in range(900)], data=segment), REFUSED

    # Work without end in a file of legal size
    yield "scans.jpg", scans(4000, 1000), REFUSED
    yield "runs.bmp", bitmap((8000, 8000), 1, b"\1\5" * 2**24), REFUSED
    yield "leaps.bmp", bitmap((2**22 - 1, 1), 1, b"\0\2\0\xff"), EITHER
    yield "numbers.ppm", b"P3 400 400 255\n" + b"1 " * 480_000, DECODED
    yield "comments.ppm", b"P3 1000 1000 255\n" + b"#\n" * MEGABYTE, REFUSED
    yield "maximum.ppm", b"P6 400 400 254\n" + bytes(480_000), DECODED

    # Metadata that is large when it is decompressed
    full = zlib.compress(bytes(100 * MEGABYTE))
    yield "text.png", png(chunk(b"zTXt", b"a\0\0" + full), pixels()), EITHER
    yield "profile.png", png(chunk(b"iCCP", b"a\0\0" + full), pixels()), EITHER
    tags = b"".join(struct.pack("<HHII", 300 + n, 7, 65000, 8) for n in range(5000))
    exif = b"II*\0" + struct.pack("<IH", 8, 5000) + tags + bytes(6000)
    yield "exif.png", png(chunk(b"eXIf", exif), pixels()), DECODED


# Legal but unusual files


def odd(chance: random.Random) -> Iterator[tuple[str, bytes, str]]:
    """Metadata that makes no sense, sizes and kinds of pixel that are rare."""
    picture = photo(size=(40, 20))
    for number in range(8):
        noise = chance.randbytes(4**number % 4000)
        yield f"exif{number}.jpg", encode(picture, "JPEG", exif=b"Exif\0\0" + noise), DECODED
        yield f"icc{number}.jpg", encode(picture, "JPEG", icc_profile=noise), DECODED
        yield f"icc{number}.png", encode(picture, icc_profile=noise), DECODED
        exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, number * 77)
        yield f"orientation{number}.jpg", encode(picture, "JPEG", exif=exif), DECODED
    yield "dot.png", encode(Image.new("RGB", (1, 1))), DECODED
    yield "line.png", encode(Image.new("L", (1, 60000))), DECODED
    yield "nothing.bmp", bitmap((0, 0), 0, b""), REFUSED
    yield "negative.bmp", bitmap((-8, 8), 0, bytes(64)), REFUSED
    yield "float.tif", encode(Image.new("F", (8, 8), 0.5), "TIFF"), REFUSED
    deep = np.full((8, 8), 2**20, dtype=np.int32)
    yield "deep.tif", encode(Image.fromarray(deep), "TIFF"), REFUSED
    yield "name with blanks.png", encode(picture), DECODED
    yield "-rf.png", encode(picture), DECODED
    yield "日本語 😀.png", encode(picture), DECODED
    yield "C:\\pictures\\x.png", encode(picture), DECODED  # a legal name where \ is no separator
    yield "two\nlines\x1b[2J.png", b"", REFUSED


# Paths that are not files


def paths(root: Path) -> list[Hostile]:
    """Paths that lead outside the picture folder, to no file, or to one that never ends."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(encode(photo()))
    (root / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    (root / "link-to-pipe.jpg").symlink_to(root / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        # The path of a socket must be short.
        here = os.getcwd()
        os.chdir(root)
        listener.bind("socket.jpg")
        os.chdir(here)
    (root / "link-inside.png").symlink_to(root / "dot.png")
    (root / "link-outside.png").symlink_to(outside / "secret.png")
    (root / "linked-folder").symlink_to(outside)
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "dangling.png").symlink_to(root / "missing")
    (root / "zero.jpg").symlink_to("/dev/zero")
    refused = [
        *("folder.jpg", "pipe.jpg", "link-to-pipe.jpg", "socket.jpg", "link-outside.png"),
        *("linked-folder/secret.png", "loop.png", "dangling.png", "zero.jpg", "missing.png"),
        *("../outside/secret.png", "folder.jpg/../../outside/secret.png", "..", ".", "/"),
        *(str(outside / "secret.png"), "/dev/zero", "/dev/stdin", "/etc/passwd", "/proc/self/mem"),
        *("~/secret.png", "..\\outside\\secret.png", "\\\\server\\share\\x.png"),
        *("nul\0.png", "x" * 300 + ".png", "y/" * 3000, "\udcff.png", "\ud800", "dot.png\0.txt"),
        *("http://127.0.0.1/x.png", "HTTPS://example.org/x", "file:///etc/passwd", "s3://b/x.png"),
        *("data:image/png;base64," + "A" * 100_000, "local_file:///etc/passwd", "*.png", "$HOME"),
    ]
    return [Hostile(name, REFUSED) for name in refused] + [
        Hostile("link-inside.png", DECODED),
        Hostile(str(root / "dot.png"), DECODED),
    ]


# The run


def peak() -> int:
    """The peak memory of this process, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run(folder: Path, names: list[str]) -> dict:
    """Read all files in every way that users have, and report the results.

    Args:
        folder (Path): The folder of the files.
        names (list): Their names.

    Returns:
        dict: For each file its name in messages, the seconds it took, and the reason if it was
            refused; the report of a second run, with files in batches; the extraction of each file;
            and the growth of memory in bytes.
    """
    from spacy_msvse.vision import helper

    helper.DECODING_SECONDS = DECODING_SECONDS
    root = folder / "root"
    visual = VisualExtractor(regions=CountingExtractor(), tags=CountingExtractor())
    before = peak()

    rows = []
    with FeatureStore(folder / "one-by-one") as store:
        for name in names:
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            start = time.perf_counter()
            post = PostSource(pictures=(name,))
            report = fill_store(visual, [post], store, image_root=root, workers=1)
            seconds = time.perf_counter() - start
            ((_, reason),) = report.failed or [("", None)]
            rows.append({"shown": picture_name(name), "seconds": seconds, "reason": reason})
    faulthandler.dump_traceback_later(10 * PATIENCE, exit=True)
    with FeatureStore(folder / "in-batches") as store:
        posts = [PostSource(pictures=(name,)) for name in names]
        report = fill_store(visual, posts, store, image_root=root, workers=1)
        found = list(extract_posts(visual, posts, store=store, image_root=root))
    grown = peak() - before
    faulthandler.cancel_dump_traceback_later()
    return {
        "files": rows,
        "failed": report.failed,
        "pictures": report.items,
        "posts": [[reasons(one.problems).get("tags"), one.features.get("tags")] for one in found],
        "grown": grown,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), json.load(sys.stdin))))
