"""Encoded pictures to RGB, within limits and folder, or an error that names the picture."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import Errors

#: Bytes that an encoded picture may have.
MAX_BYTES = 64 * 2**20

#: Width times height that a picture may have.
MAX_PIXELS = 64 * 2**20

#: What people post. Pillow's other formats are old, rare, or (EPS) start a further program.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SIXTEEN_BIT_WHITE = 65535


class PictureError(ValueError):
    """A picture that cannot or must not be read. The message names it and says why."""


def resolve_picture_path(name: str, image_root: str | Path | None) -> Path:
    """Find a picture's file, without looking outside the picture folder.

    name (str): The path, relative to `image_root` or, without one, to the working directory.
    image_root (Path): The only folder to read from; None allows any path.
    RETURNS (Path): The path, its links followed if there is an `image_root`.
    RAISES (PictureError): If the path leaves `image_root` (MSVSE-E021) or is a URL (MSVSE-E022).
    """
    if _URL.match(name):
        raise PictureError(Errors.E022.format(name=name))
    if image_root is None:
        return Path(name)
    try:
        root = Path(image_root).resolve()
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise PictureError(Errors.E020.format(name=name, reason=_reason(error))) from error
    if not path.is_relative_to(root):
        raise PictureError(Errors.E021.format(name=name, root=image_root))
    return path


def picture_name(source: str | bytes) -> str:
    """Name a picture in messages.

    source (str): A path, or the encoded bytes.
    RETURNS (str): The path, or the number of bytes.
    """
    return source if isinstance(source, str) else f"<bytes> of size {len(source)}"


def read_picture(
    source: str | bytes, image_root: str | Path | None = None, *, max_bytes: int = MAX_BYTES
) -> bytes:
    """Read a picture's encoded content.

    source (str): A path, or the encoded bytes.
    image_root (Path): The only folder to read from; None allows any path.
    max_bytes (int): Limit on the encoded size, in bytes.
    RETURNS (bytes): The encoded content, not yet known to be a picture.
    RAISES (PictureError): If there is nothing to read or too much of it.
    """
    with _open_stream(source, image_root, max_bytes) as stream:
        return stream.read(max_bytes)


def decode_picture(
    data: bytes,
    name: str,
    *,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
) -> Image.Image:
    """Decode a picture's first frame, upright, on white, with 8 bits a channel.

    data (bytes): The encoded content.
    name (str): How messages call the picture.
    max_pixels (int): Limit on width times height, checked before any pixel is decoded.
    shrink_to (int): Decode a JPEG at the smallest size of 1/1, 1/2, 1/4 or 1/8 that leaves both
        sides at least so many pixels, which is several times faster; None for full size.
    RETURNS (Image): The picture, of mode RGB.
    RAISES (PictureError): If the content cannot be decoded or is too large (MSVSE-E020).
    """
    with _open_image(BytesIO(data), name, max_pixels) as image:
        if shrink_to is not None:
            image.draft(None, (shrink_to, shrink_to))
        return _to_rgb(ImageOps.exif_transpose(image))


def open_picture(
    source: str | bytes,
    image_root: str | Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
) -> Image.Image:
    """Read and decode a picture. See `read_picture` and `decode_picture`.

    source (str): A path, or the encoded bytes.
    image_root (Path): The only folder to read from; None allows any path.
    max_bytes (int): Limit on the encoded size, in bytes.
    max_pixels (int): Limit on width times height.
    shrink_to (int): Least side to which a large JPEG may be shrunk while decoding, in pixels.
    RETURNS (Image): The picture, of mode RGB.
    RAISES (PictureError): If the picture cannot or must not be read.
    """
    data = read_picture(source, image_root, max_bytes=max_bytes)
    return decode_picture(data, picture_name(source), max_pixels=max_pixels, shrink_to=shrink_to)


def probe_picture(
    source: str | bytes,
    image_root: str | Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Check that a picture is there, has a picture's header and keeps the limits.

    Reads no more than the header, so that a picture damaged further on passes.

    source (str): A path, or the encoded bytes.
    image_root (Path): The only folder to read from; None allows any path.
    max_bytes (int): Limit on the encoded size, in bytes.
    max_pixels (int): Limit on width times height.
    RAISES (PictureError): What `open_picture` would raise.
    """
    with (
        _open_stream(source, image_root, max_bytes) as stream,
        _open_image(stream, picture_name(source), max_pixels),
    ):
        pass


def picture_key(source: str | bytes, image_root: str | Path | None = None) -> str:
    """Name a picture by its content, so that a renamed file keeps its key.

    source (str): A path, or the encoded bytes.
    image_root (Path): The only folder to read from; None allows any path.
    RETURNS (str): SHA-256 of the encoded content, in hex.
    RAISES (PictureError): If the content cannot be read.
    """
    return hashlib.sha256(read_picture(source, image_root)).hexdigest()


@contextmanager
def _open_stream(
    source: str | bytes, image_root: str | Path | None, max_bytes: int
) -> Iterator[BinaryIO]:
    """The encoded content, known to be neither empty nor larger than allowed."""
    name = picture_name(source)
    stream: BinaryIO
    if isinstance(source, bytes):
        size = len(source)
        stream = BytesIO(source)
    else:
        path = resolve_picture_path(source, image_root)
        try:
            if path.exists() and not path.is_file():  # opening a named pipe would wait forever
                raise OSError("it is not a file")
            stream = path.open("rb")
        except (OSError, ValueError) as error:
            raise PictureError(Errors.E020.format(name=name, reason=_reason(error))) from error
        size = os.fstat(stream.fileno()).st_size
    with stream:
        if size == 0:
            raise PictureError(Errors.E020.format(name=name, reason="it is empty"))
        if size > max_bytes:
            reason = f"it has {size} bytes, more than the limit of {max_bytes}"
            raise PictureError(Errors.E020.format(name=name, reason=reason))
        yield stream


@contextmanager
def _open_image(stream: BinaryIO, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """The undecoded picture; whatever Pillow raises inside the block becomes a `PictureError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=_known_formats()) as image:
                if image.width * image.height > max_pixels:
                    raise ValueError(
                        f"it has {image.width} x {image.height} pixels, more than the limit "
                        f"of {max_pixels}"
                    )
                yield image
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise PictureError(Errors.E020.format(name=name, reason=_reason(error))) from error


def _known_formats() -> list[str]:
    """`FORMATS` without those that this build of Pillow lacks."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits a channel")
    if image.mode.startswith("I"):
        return _to_eight_bits(image).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, where Pillow's own `convert` would clip it."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _SIXTEEN_BIT_WHITE:
        raise ValueError("its pixels have more than 16 bits; save it with 8 bits a channel")
    return Image.fromarray((values * 255 // _SIXTEEN_BIT_WHITE).astype(np.uint8))


def _reason(error: Exception) -> str:
    """An exception in words that make sense after "cannot be read"."""
    if isinstance(error, UnidentifiedImageError):  # its own text shows the memory address
        return f"it is not a picture of a known format ({', '.join(FORMATS)})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
