"""Guards against pictures of legal size that would keep a decoder busy for minutes.

Most pictures are decoded in this process, because the time that their decoder takes has a limit:
some seconds for the largest picture. Every other picture is decoded by a helper process, which ends
itself after `DECODING_SECONDS`. A decoder in C cannot be stopped in any other way.
"""

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
    """Whether decoding takes a few seconds at most, by the size of the picture.

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
        if scans * image.width * image.height > MAX_LARGE_SCANS * max_pixels:
            raise ValueError(f"it has {scans} scans, too many for its size")
    known = image.format in _LINEAR_FORMATS and decoders <= _LINEAR_DECODERS
    return known and image.width * image.height <= _MAX_LINEAR_PIXELS
