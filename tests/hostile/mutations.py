"""Pictures with random damage whose checksums fit again, and codecs inside of containers."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image, features

from ..vision.conftest import encode, photo
from .pictures import DECODED, EITHER, REFUSED, bitmap, bombs, chunk, disguised, odd, samples, scans

#: Name, content and expected result of a picture.
Picture = tuple[str, bytes, str]


# Codecs inside of containers


def jpeg_tiff(jpegs: list[bytes], width: int, rows: int) -> bytes:
    """A grey TIFF whose strips are whole JPEG files of `rows` rows."""
    count = len(jpegs)
    tags = 9
    start = 8 + 2 + 12 * tags + 4
    offsets_at, counts_at = start, start + 4 * count
    data_at = start + 8 * count
    offsets, place = [], data_at
    for data in jpegs:
        offsets.append(place)
        place += len(data)
    sizes = [len(data) for data in jpegs]
    one = count == 1
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, rows * count),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 1),
        (273, 4, count, offsets[0] if one else offsets_at),
        (277, 3, 1, 1),
        (278, 4, 1, rows),
        (279, 4, count, sizes[0] if one else counts_at),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, tags)
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return head + struct.pack(f"<{2 * count}I", *offsets, *sizes) + b"".join(jpegs)


def busy_scans(size: int, count: int) -> bytes:
    """A progressive JPEG of noise that repeats its last scan: the decoder has work in each."""
    pixels = np.zeros((size, size), np.uint8)
    pixels[: size // 8] = np.random.default_rng(0).integers(0, 256, (size // 8, size), np.uint8)
    data = encode(Image.fromarray(pixels), "JPEG", progressive=True, quality=1)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def icon(png: bytes, size: int = 32) -> bytes:
    """An ICO that holds a PNG."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, size, size, 0, 0, 1, 32, len(png), 22) + png


def rle_bitmap(size: int = 16, bits: int = 8) -> bytes:
    """A whole BMP of run-length encoding."""
    body = (bytes([size, 1 if bits == 8 else 0x11]) + b"\0\0") * size + b"\0\1"
    data = bitmap((size, size), 1 if bits == 8 else 2, body)
    return data[:28] + struct.pack("<H", bits) + data[30:]


def portable(kind: int, size: int = 12, maximum: int = 255) -> bytes:
    """A whole file of one of the formats P1 to P6."""
    count = size * size * (3 if kind in (3, 6) else 1)
    head = f"P{kind}\n# comment\n{size} {size}\n" + ("" if kind in (1, 4) else f"{maximum}\n")
    if kind == 1:
        return (head + "\n".join("01" * (size // 2) for _ in range(size)) + "\n").encode()
    if kind < 4:
        return (head + " ".join(str(n % (maximum + 1)) for n in range(count)) + "\n").encode()
    if kind == 4:
        return head.encode() + b"\xaa" * (size * ((size + 7) // 8))
    wide = maximum > 255
    values = [n % (maximum + 1) for n in range(count)]
    return head.encode() + struct.pack(f">{count}{'H' if wide else 'B'}", *values)


@cache
def containers() -> tuple[Picture, ...]:
    """Whole pictures of rare encodings."""
    picture = photo(size=(40, 30))
    frames = {"save_all": True, "append_images": [photo(1, (40, 30))]}
    found: list[Picture] = []
    for codec in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        found.append((f"{codec}.tif", encode(picture, "TIFF", compression=codec), DECODED))
    found.append(
        ("group4.tif", encode(picture.convert("1"), "TIFF", compression="group4"), DECODED)
    )
    found.append(
        ("cmyk-jpeg.tif", encode(picture.convert("CMYK"), "TIFF", compression="jpeg"), DECODED)
    )
    big = encode(picture, "TIFF", big_tiff=True)
    found.append(("big.tif", big, EITHER))
    found.append(("pages.tif", encode(picture, "TIFF", **frames), DECODED))
    grey = encode(picture.convert("L"), "JPEG")
    progressive = encode(picture.convert("L"), "JPEG", progressive=True)
    found.append(("strip.tif", jpeg_tiff([grey], 40, 30), DECODED))
    found.append(("strips.tif", jpeg_tiff([grey] * 4, 40, 30), DECODED))
    found.append(("progressive.tif", jpeg_tiff([progressive], 40, 30), DECODED))
    found.append(("icon.ico", icon(encode(picture.resize((32, 32)))), REFUSED))
    found.append(("rle8.bmp", rle_bitmap(), DECODED))
    found.append(("rle4.bmp", rle_bitmap(bits=4), DECODED))
    for kind in range(1, 7):
        found.append((f"p{kind}.ppm", portable(kind), DECODED))
    for kind in (2, 3, 5, 6):
        for maximum in (1, 100, 254, 1023, 65535):
            found.append((f"p{kind}-{maximum}.ppm", portable(kind, maximum=maximum), DECODED))
    found.append(("pfm.pfm", b"PF\n2 2\n-1.0\n" + bytes(48), REFUSED))
    found.append(
        ("pam.pam", b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nENDHDR\n" + bytes(4), EITHER)
    )
    found.append(("pictures.mpo", encode(picture, "MPO", **frames), EITHER))
    found.append(("frames.apng", encode(picture, "PNG", **frames), DECODED))
    found.append(("frames.webp", encode(picture, "WEBP", **frames), DECODED))
    found.append(("frames.gif", encode(picture, "GIF", **frames, loop=0, disposal=2), DECODED))
    if features.check("avif"):
        found.append(("still.avif", encode(picture, "AVIF"), DECODED))
        found.append(("frames.avif", encode(picture, "AVIF", **frames), DECODED))
    deep = Image.fromarray((np.arange(1200, dtype="uint16") * 50).reshape(30, 40))
    found.append(("deep.png", encode(deep), DECODED))
    return tuple(found)


@cache
def slow() -> tuple[Picture, ...]:
    """Files of legal size that keep a decoder busy."""
    found: list[Picture] = []
    found.append(("busy.tif", jpeg_tiff([busy_scans(8192, 90)], 8192, 8192), EITHER))
    for size, count in ((2000, 60), (4000, 300), (1000, 1000)):
        found.append(
            (f"scans-{size}-{count}.tif", jpeg_tiff([scans(size, count)], size, size), EITHER)
        )
    strip = scans(500, 40)
    found.append(("scans-strips.tif", jpeg_tiff([strip] * 100, 500, 500), EITHER))
    found.append(("scans.mpo", scans(3000, 200), EITHER))
    bomb = zlib.compress(bytes(4000 * 4000 * 3 + 4000), 9)
    found.append(
        (
            "deflate.tif",
            encode(Image.new("RGB", (6000, 6000)), "TIFF", compression="tiff_adobe_deflate"),
            EITHER,
        )
    )
    found.append(
        (
            "bomb.png",
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 4000, 4000, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", bomb)
            + chunk(b"IEND", b""),
            EITHER,
        )
    )
    interlaced = encode(Image.new("P", (5000, 5000)), "GIF", interlace=1)
    found.append(("interlaced.gif", interlaced, EITHER))
    if features.check("avif"):
        found.append(
            ("large.avif", encode(Image.new("RGB", (5000, 5000)), "AVIF", speed=10), EITHER)
        )
    return tuple(found)


@cache
def fixed_pictures() -> tuple[Picture, ...]:
    """Every picture that needs no chance, the slow ones last."""
    chance = random.Random(0)
    found = (*containers(), *disguised(), *odd(chance), *bombs(), *slow())
    # Whether these are in time depends on the machine.
    timed = ("runs.bmp", "comments.ppm")
    return tuple((name, data, EITHER if name in timed else end) for name, data, end in found)


# Damage


@cache
def bases() -> tuple[tuple[str, bytes], ...]:
    """Small pictures to be damaged."""
    small = [(name, data) for name, data, _ in containers()]
    return (*sorted(samples().items()), *small)


def mutated(chance: random.Random) -> Picture:
    """A picture with random damage; checksums fit again where the format has any."""
    how = chance.choice(list(MUTATIONS))
    start = MUTATIONS[how]
    name, data = chance.choice([one for one in bases() if start(one[1])])
    return f"{how.__name__}-{name}", how(data, chance), EITHER


def flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def header(data: bytes, chance: random.Random) -> bytes:
    """Damage to the first bytes, where sizes are."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 4))):
        changed[chance.randrange(min(64, len(changed)))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def fill(data: bytes, chance: random.Random) -> bytes:
    place, size = chance.randrange(len(data)), chance.choice((1, 4, 64, 1000))
    filling = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return data[:place] + filling + data[place + size :]


def insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + chance.randbytes(chance.choice((1, 2, 100))) + data[place:]


def repeat(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = chance.randrange(start, len(data)) + 1
    return data[:end] + data[start:end] * chance.choice((1, 3, 50)) + data[end:]


def splice(data: bytes, chance: random.Random) -> bytes:
    _, other = chance.choice(bases())
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each piece of a PNG."""
    place = 8
    while place + 12 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size


def repaired_png(data: bytes, chance: random.Random) -> bytes:
    """Damage inside of a PNG, also of its compressed pixels, with right checksums."""
    pieces = list(chunks(data))
    number = chance.randrange(len(pieces))
    kind, content = pieces[number]
    action = chance.randrange(6)
    if kind == b"IDAT" and action < 4:
        pixels = zlib.decompress(b"".join(content for kind, content in pieces if kind == b"IDAT"))
        changed = chance.choice((flip, cut, fill, repeat))(pixels, chance)
        pieces[number] = (kind, zlib.compress(changed))
    elif content and action < 4:
        pieces[number] = (kind, flip(content, chance))
    elif action == 4:
        pieces.insert(number, chance.choice(pieces))
    else:
        kind = chance.choice(
            (b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"zTXt")
        )
        pieces.insert(max(1, number), (kind, chance.randbytes(chance.choice((0, 1, 8, 26, 300)))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*piece) for piece in pieces)


def repaired_riff(data: bytes, chance: random.Random) -> bytes:
    """A damaged WebP whose lengths fit again."""
    changed = chance.choice((flip, fill, insert, repeat))(data, chance)
    return changed[:4] + struct.pack("<I", max(0, len(changed) - 8)) + changed[8:]


def odd_tiff(data: bytes, chance: random.Random) -> bytes:
    """A TIFF with a changed tag: type, count or value."""
    changed = bytearray(data)
    (start,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[start : start + 2])
    place = start + 2 + 12 * chance.randrange(count)
    part, size = chance.choice(((0, 2), (2, 2), (4, 4), (8, 4)))
    value = chance.choice((0, 1, 2, 7, 255, 65535, 2**31 - 1, 2**32 - 1, chance.randrange(400)))
    changed[place + part : place + part + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(changed)


def giant(data: bytes, chance: random.Random) -> bytes:
    """A header with a giant size, where the format has it in a known place."""
    number = chance.choice((2**16 - 1, 2**14, 2**31 - 1, 2**24, 8192, 10_000))
    if data.startswith(b"\x89PNG"):
        pieces = list(chunks(data))
        size = struct.pack(">II", number, chance.choice((1, number)))
        pieces[0] = (b"IHDR", size + pieces[0][1][8:])
        return data[:8] + b"".join(chunk(*piece) for piece in pieces)
    small = min(number, 65535)
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", small, small) + data[10:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", number, chance.choice((1, -1, number))) + data[26:]
    if data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if marker in data:
                at = data.index(marker) + 5
                return data[:at] + struct.pack(">HH", small, small) + data[at + 4 :]
    if data[:1] == b"P" and b"12 12" in data:
        return data.replace(b"12 12", f"{number} {chance.choice((1, 2, number))}".encode(), 1)
    return flip(data, chance)


def _any(data: bytes) -> bool:
    return bool(data)


#: Each kind of damage, and which pictures it is for.
MUTATIONS: dict[Callable[[bytes, random.Random], bytes], Callable[[bytes], bool]] = {
    **dict.fromkeys((flip, header, cut, fill, insert, repeat, splice, giant), _any),
    repaired_png: lambda data: data.startswith(b"\x89PNG"),
    repaired_riff: lambda data: data[8:12] == b"WEBP",
    odd_tiff: lambda data: data.startswith(b"II*\0"),
}
