"""Decode encoded pictures to RGB. Without names and folders: `picture.py` adds those."""

import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

from .guard import JPEG_FORMATS, MAX_READS, MeteredStream, count_pixels

#: The formats of posted pictures. Pillow's other formats are old or rare, and EPS is dangerous: it
#: starts another program.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM")
#: The format of iPhones, which needs the package pillow-heif.
HEIF_ENDINGS = (".heic", ".heif", ".hif")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

#: Bytes of EXIF that are read. A JPEG can hold no more in one piece.
_EXIF_BYTES = 2**16
_ZERO_IS_WHITE = 0  # in TIFF

# Without any handler, Python writes Pillow's messages to standard error, where they name no file.
logging.getLogger("PIL").addHandler(logging.NullHandler())
_SIXTEEN_BIT_WHITE = 65535


class DecodingError(Exception):
    """A picture that cannot be decoded. The message is the reason."""


@contextmanager
def opened_image(
    stream: BinaryIO,
    max_pixels: int,
    shrink_to: int | None = None,
    *,
    max_reads: int | None = MAX_READS,
) -> Iterator[ImageFile.ImageFile]:
    """Open a picture, and read its header.

    Args:
        stream (BinaryIO): The encoded content.
        max_pixels (int): Limit on width times height. A JPEG that is shrunk while it is decoded
            counts by its decoded size, unless its decoder holds the whole picture.
        shrink_to (int): Side of a square that `decode_opened` will shrink to, or None.
        max_reads (int): Limit on the reads after the header; None if the time is limited.

    Yields:
        ImageFile: The undecoded picture.

    Raises:
        DecodingError: If it is not a picture or is too large, and in place of any error inside the
            block.
    """
    metered = MeteredStream(stream)
    try:
        with _open(cast(BinaryIO, metered)) as image:
            metered.in_header, metered.max_reads = False, max_reads
            if math.prod(image.size) > max_pixels:
                _check_size(image, stream, max_pixels, shrink_to)
            yield image
    except DecodingError:
        raise
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise DecodingError(metered.problem or explain(error)) from error


def decode_opened(image: ImageFile.ImageFile, shrink_to: int | None) -> Image.Image:
    """Decode an opened picture: first frame, upright, on white, with 8 bits per channel.

    Args:
        image (ImageFile): The undecoded picture.
        shrink_to (int): Side of a square. A large picture is shrunk to about its number of pixels.
            None for full size.

    Returns:
        Image: The picture, of mode RGB.
    """
    if shrink_to is not None and image.format in JPEG_FORMATS:
        image.draft(None, (shrink_to, shrink_to))
    picture = _to_rgb(image)
    # `reduce` always copies, so the file and its decoder can be freed.
    return _upright(picture.reduce(_find_factors(picture.size, shrink_to)), image)


def _find_factors(size: tuple[int, int], shrink_to: int | None) -> tuple[int, int]:
    """The whole numbers by which width and height are divided."""
    pixels = math.prod(size)
    factor = 1 if shrink_to is None else max(1, math.isqrt(pixels) // shrink_to)
    if shrink_to is None or factor <= min(size):
        return factor, factor
    # A side of few pixels cannot become less than one pixel, so the other side shrinks more.
    width, height = size
    share = pixels // shrink_to**2
    return (width, share // width) if width < height else (share // height, height)


def explain(error: Exception) -> str:
    """State the reason of an error.

    Args:
        error (Exception): The error.

    Returns:
        str: A text that follows "cannot be read: ".
    """
    if isinstance(error, UnidentifiedImageError):  # its own text shows the memory address
        return str(error) or f"it is not a picture of a known format ({', '.join(FORMATS)})"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RuntimeError) and "loop" in str(error):  # pathlib's, before Python 3.13
        return "its links form a loop"
    return " ".join(str(error).split()) or type(error).__name__


def _open(stream: BinaryIO) -> ImageFile.ImageFile:
    """`PIL.Image.open` for the known formats, with HEIF, and without Pillow's limit of pixels.

    That limit is one of the process, gives warnings, and does not know of shrinking.
    """
    Image.init()
    prefix = stream.read(16)
    for factory, accept in [Image.OPEN[name] for name in FORMATS if name in Image.OPEN]:
        accepted = accept is None or accept(prefix)
        if accepted and not isinstance(accepted, str):  # a text: this build of Pillow lacks it
            image = _try(factory, stream)
            if image is not None:
                return image
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS:
        if find_spec("pillow_heif") is None:
            raise ValueError(
                "it is a picture in the format HEIF, which needs the package pillow-heif: "
                'pip install "spacy-msvse[heif]"'
            )
        from pillow_heif import HeifImageFile

        image = _try(HeifImageFile, stream)
        if image is not None:
            return image
    raise UnidentifiedImageError


def _try(factory: Any, stream: BinaryIO) -> ImageFile.ImageFile | None:
    """Open a picture as one of a format; None if it is not."""
    stream.seek(0)
    try:
        return cast(ImageFile.ImageFile, factory(stream, ""))
    except (SyntaxError, IndexError, TypeError, struct.error):  # the same as in Pillow
        return None


def _check_size(
    image: ImageFile.ImageFile, stream: BinaryIO, max_pixels: int, shrink_to: int | None
) -> None:
    if count_pixels(image, stream, shrink_to) > max_pixels:
        reason = (
            f"it has {image.width} x {image.height} pixels, more than the limit of {max_pixels}"
        )
        if shrink_to is not None and image.format not in JPEG_FORMATS:
            reason += "; a large picture is best saved as JPEG, which is shrunk while it is decoded"
        raise ValueError(f"{reason} (the setting max_pixels)")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits per channel")
    if image.mode.startswith("I"):
        return _to_eight_bits(image).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, where Pillow's own `convert` would clip it."""
    tags = getattr(image, "tag_v2", {})
    bits, zero = tags.get(BITSPERSAMPLE, (16,)), tags.get(PHOTOMETRIC_INTERPRETATION)
    if bits not in [(16,), (32,)] or zero == _ZERO_IS_WHITE:
        raise ValueError("its grey format is not supported; save it with 8 bits per channel")
    values = np.asarray(image)
    if values.min() < 0 or values.max() > _SIXTEEN_BIT_WHITE:
        raise ValueError("its pixels have more than 16 bits; save it with 8 bits per channel")
    grey = (values // (_SIXTEEN_BIT_WHITE // 255)).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def _upright(picture: Image.Image, source: Image.Image) -> Image.Image:
    """Rotate a picture by the EXIF orientation of its source, if that can be read."""
    picture.info.clear()  # what Pillow copied may be damaged, or large
    if len(source.info.get("exif") or b"") <= _EXIF_BYTES:
        with suppress(Exception):  # a picture with damaged EXIF is still used
            orientation = source.getexif().get(ExifTags.Base.Orientation)
            picture.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(picture)
