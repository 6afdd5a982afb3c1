"""Guards against pictures of legal size that would keep a decoder busy for minutes.

Pillow's decoders in C are fast, but it reads headers in Python. The limits here stop files of legal
size that would take minutes and gigabytes.
"""

from typing import Any, BinaryIO

from PIL import Image, ImageFile

#: Reads that a picture may take: a PNG of 64 MiB takes some 30,000.
MAX_READS = 100_000
#: Bytes that a header may have. Some editors write megabytes of history into it.
MAX_HEADER_BYTES = 16 * 2**20
#: The same for TIFF, whose header lists the strips: each of its bytes takes a hundred in memory.
MAX_TIFF_HEADER_BYTES = 3 * 2**18
#: Scans that a JPEG of the largest size may have. A scan may have less than 20 bytes.
MAX_LARGE_SCANS = 24


class MeteredStream:
    """A stream that stops a decoder that reads a large header or too many small pieces.

    Args:
        stream (BinaryIO): The encoded content.

    Attributes:
        in_header (bool): Whether the header is being read.
        problem (str): The reason why reading was stopped. Pillow may replace the error.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.in_header = True
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
        if self._reads > MAX_READS:
            self.problem = "it is made of too many pieces"
        if self.problem is not None:
            raise OSError(self.problem)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def check_effort(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    """Refuse a picture of legal size whose decoding would take minutes.

    Args:
        image (ImageFile): The opened picture, not yet decoded.
        data (bytes): The encoded content.
        max_pixels (int): Width times height that a picture may have.

    Raises:
        ValueError: If decoding would take too long; the message says why.
    """
    for decoder, *_ in image.tile:
        # Pillow's decoders in Python are for rare variants of BMP and PPM.
        if decoder in Image.DECODERS:
            raise ValueError(f"its encoding, {decoder}, is too slow; save it as PNG or JPEG")
        if decoder == "jpeg":
            scans = data.count(b"\xff\xda")
            if scans * image.width * image.height > MAX_LARGE_SCANS * max_pixels:
                raise ValueError(f"it has {scans} scans, too many for its size")
