"""Guards against pictures of legal size that would keep a decoder busy for minutes.

Most pictures are decoded in this process, because the time that their decoder takes has a limit:
some seconds for the largest picture. Every other picture is decoded by a helper process, which ends
itself after `DECODING_SECONDS`. A decoder in C cannot be stopped in any other way.
"""

import math
import os
from typing import Any, BinaryIO

from PIL import ImageFile

#: Seconds that decoding a picture may take.
DECODING_SECONDS = 10

#: Reads that a picture may take: a PNG of 64 MiB takes some 30,000.
MAX_READS = 100_000
#: Bytes that a header may have. Some editors write megabytes of history into it.
MAX_HEADER_BYTES = 16 * 2**20
#: The same for TIFF, whose header lists the strips: each of its bytes takes a hundred in memory.
MAX_TIFF_HEADER_BYTES = 3 * 2**18
#: Scans that a JPEG of the largest size may have. A scan may have less than 20 bytes.
MAX_LARGE_SCANS = 24

#: Divisors of the sides of a JPEG that is shrunk while it is decoded.
JPEG_DIVISORS = (8, 4, 2, 1)
#: The formats that Pillow shrinks while decoding. MPO is a JPEG with further pictures.
JPEG_FORMATS = ("JPEG", "MPO")
# Markers of a JPEG. A frame of these kinds has all pixels in order from the top.
_SEQUENTIAL_FRAMES = (0xC0, 0xC1)
_START_OF_SCAN = 0xDA
_TABLES_AND_TEXTS = {0xC4, 0xCC, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}

#: Formats and decoders whose time grows only with the bytes and the pixels of the picture: one
#: frame is decoded once, and nothing is nested. This is not so for the codecs inside TIFF, the
#: hidden frames of AVIF, and Pillow's slow decoders in Python.
_LINEAR_FORMATS = {"BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"}
_LINEAR_DECODERS = {"gif", "jpeg", "raw", "zip"}
_MAX_LINEAR_PIXELS = 64 * 2**20


class MeteredStream:
    """A stream that stops a decoder that reads a large header or too many small pieces.

    Args:
        stream (BinaryIO): The encoded content.

    Attributes:
        in_header (bool): Whether the header is being read.
        max_reads (int): Reads that are allowed in all; None for any number.
        problem (str): The reason why reading was stopped. Pillow may replace the error.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.in_header = True
        self.max_reads: int | None = MAX_READS
        self.problem: str | None = None
        self._stream = stream
        self._reads = self._header_bytes = 0
        self._max_header_bytes = MAX_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        """Read from the stream, and count.

        Args:
            size (int): Bytes to read; negative for all.

        Returns:
            bytes: The content.

        Raises:
            OSError: If a limit is reached.
        """
        data = self._stream.read(size)
        self._reads += 1
        if self._reads == 1 and data.startswith((b"II", b"MM")):
            self._max_header_bytes = MAX_TIFF_HEADER_BYTES
        # Formats without a structured header are read whole, with no size given.
        if self.in_header and size > 0:
            self._header_bytes += len(data)
            if self._header_bytes > self._max_header_bytes:
                self.problem = "its header is too large"
        if self.max_reads is not None and self._reads > self.max_reads:
            self.problem = "it is made of too many pieces"
        if self.problem is not None:
            raise OSError(self.problem)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def takes_limited_time(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> bool:
    """Whether decoding takes a few seconds at most, by the size of the picture in the file.

    Args:
        image (ImageFile): The opened picture, not yet decoded.
        data (bytes): The encoded content.
        max_pixels (int): Width times height that a picture may have.

    Returns:
        bool: False if only the helper process may decode it.

    Raises:
        ValueError: If it is a JPEG with so many scans that it would take minutes.
    """
    decoders = {tile[0] for tile in image.tile}
    if "jpeg" in decoders:
        scans = data.count(b"\xff\xda")
        most = MAX_LARGE_SCANS * min(max_pixels, _MAX_LINEAR_PIXELS)
        if scans > MAX_LARGE_SCANS and scans * image.width * image.height > most:
            raise ValueError(f"it has {scans} scans, too many for its size")
    known = image.format in _LINEAR_FORMATS and decoders <= _LINEAR_DECODERS
    return known and image.width * image.height <= _MAX_LINEAR_PIXELS


def count_pixels(image: ImageFile.ImageFile, stream: BinaryIO, shrink_to: int | None) -> int:
    """The pixels that the memory of decoding grows with.

    A JPEG that is shrunk while it is decoded counts by its decoded size, if its decoder needs only
    some of its rows at a time. The decoder of a progressive JPEG, or of one with a scan for each
    colour, holds the whole picture at its full size. A file that is too short for its pixels counts
    by its full size as well.

    Args:
        image (ImageFile): The opened picture, not yet decoded.
        stream (BinaryIO): The encoded content, behind the header.
        shrink_to (int): Side of a square that decoding may shrink to, or None.

    Returns:
        int: Width times height.
    """
    size = image.size
    if shrink_to is None or image.format not in JPEG_FORMATS:
        return math.prod(size)
    if _is_long_enough(stream, math.prod(size)) and _is_sequential(stream):
        least = min(size) // shrink_to
        divisor = next((one for one in JPEG_DIVISORS if least >= one), 1)
        size = (math.ceil(size[0] / divisor), math.ceil(size[1] / divisor))
    return math.prod(size)


def _is_long_enough(stream: BinaryIO, pixels: int) -> bool:
    """Whether a sequential JPEG can hold its pixels: each block of 8 x 8 has two codes, and a code
    has one bit or more."""
    at = stream.tell()
    bits = 8 * stream.seek(0, os.SEEK_END)
    stream.seek(at)
    return 2 * pixels <= 64 * bits


def _is_sequential(stream: BinaryIO) -> bool:
    """Whether a JPEG has all colours in one scan, from the top to the bottom."""
    end = stream.tell()
    stream.seek(0)
    header = stream.read(end)
    colours, at = 0, 2
    while header[at : at + 1] == b"\xff" and at + 4 <= len(header):
        marker = header[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = int.from_bytes(header[at + 2 : at + 4], "big")
        segment = header[at + 4 : at + 2 + length]
        if marker in _SEQUENTIAL_FRAMES and not colours and len(segment) >= 6:
            colours = segment[5]
        elif marker == _START_OF_SCAN and segment:
            return 0 < colours == segment[0]
        elif marker not in _TABLES_AND_TEXTS:
            return False
        at += 2 + length
    return False
