"""The kinds of value that a picture may be given as, turned into a path or into the bytes of a
picture file. No torch, but its tensors."""

import base64
import io
import math
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast
from urllib.parse import unquote

import numpy

from .checks import check_text, refuse
from .errors import MsvseError

if TYPE_CHECKING:
    from PIL.Image import Image

#: What a picture may be: a path, a data URI, the bytes of a picture file or a record of them, an
#: open file, or pixels.
Picture = Union[
    str, os.PathLike[str], bytes, Mapping[str, Any], BinaryIO, "Image", numpy.ndarray, None
]

#: The modes of a PIL image that are written as PNG; any other is turned into RGB.
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")

_DATA_URI = "data:"

#: The keys of a picture in a data set of Hugging Face.
_RECORD = {"bytes", "path"}

#: Colours of a pixel: grey, RGB, RGBA.
_CHANNELS = (1, 3, 4)

#: The rounding errors that a number of a scale from 0 to 1 may have.
_TOLERANCE = 0.001

#: Fractions beyond 1 and below this number may be of either scale: too bright for the one, or all
#: but black in the other.
_CERTAINLY_BYTES = 16

_EXPECTED = (
    "a path, a data URI, the bytes of a picture file, a file open for reading bytes, a dictionary "
    "with 'bytes' and 'path', a PIL image, an array of pixels, or None"
)


def check_picture(image: Any) -> str | bytes | None:
    """Convert a picture to a value that a Doc and a file can store.

    Args:
        image (Picture): The path of a picture; a data URI in base64; the bytes of a picture file,
            also as an array or as `{"bytes": ..., "path": ...}`, where either may be missing; an
            open file, which is read to its end; or pixels, which are encoded as PNG: a PIL image,
            an array or a tensor. None, NaN, `pandas.NA` and `pandas.NaT` are no picture.

    Returns:
        str / bytes: A path, or the bytes of a picture file; None if there is no picture.

    Raises:
        MsvseError: If it cannot be used as a picture (MSVSE-E035).
    """
    if isinstance(image, numpy.generic):
        image = image.item()
    if is_missing(image):
        return None
    if isinstance(image, Mapping):
        return _check_record(image)
    if isinstance(image, os.PathLike):
        image = _read_path(image)
    elif isinstance(image, bytearray | memoryview):
        image = bytes(image)
    elif not isinstance(image, str | bytes) and hasattr(image, "read"):
        image = _read_file(image)
    if isinstance(image, str | bytes):
        return _check_source(image)

    from PIL import Image

    if isinstance(image, Image.Image):
        return _encode_png(image)
    array = _make_array(image)
    if array.ndim == 1 and array.dtype == numpy.uint8:
        return _check_source(array.tobytes())
    return _encode_png(Image.fromarray(_read_pixels(array, hasattr(image, "detach"))))


def is_missing(value: Any) -> bool:
    """Whether a value stands for no value, as in a table.

    Args:
        value (Any): The value.

    Returns:
        bool: True for None, NaN, `pandas.NA` and `pandas.NaT`.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def _check_source(source: str | bytes) -> str | bytes:
    if not source.strip():
        raise refuse("an empty value", "image", "it names no picture", "None for no picture")
    if isinstance(source, bytes):
        return source
    if source[: len(_DATA_URI)].lower() == _DATA_URI:
        try:
            return decode_data_uri(source)
        except ValueError as error:
            given = f"the data URI {source[:40]!r}"
            raise refuse(given, "image", str(error), "a whole data URI in base64") from error
    return check_text(source, "image")


def _check_record(record: Mapping[Any, Any]) -> str | bytes | None:
    """Its bytes; the path if there are none."""
    expected = "a dictionary with 'bytes' (bytes or None) and 'path' (a path or None)"
    if not record or not _RECORD.issuperset(record):
        keys = ", ".join(map(repr, record)) or "no key"
        raise refuse(f"a dictionary with {keys}", "image", "it is not a picture", expected)
    for key, kinds in (("bytes", bytes | bytearray | memoryview), ("path", str | os.PathLike)):
        value = record.get(key)
        if is_missing(value):
            continue
        if not isinstance(value, kinds):
            reason = f"its {key!r} is a {type(value).__name__}"
            raise refuse("a dictionary", "image", reason, expected)
        return check_picture(value)
    return None


def _read_path(path: os.PathLike[Any]) -> str:
    try:
        return os.fsdecode(path)
    except Exception as error:  # such a class may raise anything
        raise refuse(path, "image", f"it names no file ({error})", _EXPECTED) from error


def _read_file(file: Any) -> bytes:
    from .vision.picture import MAX_BYTES

    expected = "a file that is open for reading bytes, as of `open(path, 'rb')`"
    if isinstance(file, io.TextIOBase):
        raise refuse("a file", "image", "it is open as text", expected)
    try:
        data = file.read(MAX_BYTES + 1)
    except Exception as error:  # closed, not for reading, or a class that may raise anything
        reason = f"it cannot be read ({str(error) or type(error).__name__})"
        raise refuse("a file", "image", reason, expected) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        if hasattr(data, "close"):
            data.close()  # a coroutine
        reason = f"its `read` returns a {type(data).__name__}"
        raise refuse("a file", "image", reason, expected)
    if not data:
        reason = "it has no bytes after the current position"
        raise refuse("a file", "image", reason, "an unread file, or call `seek(0)` before")
    if len(data) > MAX_BYTES:
        reason = f"it has more than {MAX_BYTES} bytes"
        raise refuse("a file", "image", reason, "a smaller one, or its path")
    return bytes(data)


def decode_data_uri(uri: str) -> bytes:
    """Decode the data URI of a picture.

    Args:
        uri (str): A URI such as "data:image/png;base64,...". It may have line breaks and percent
            escapes.

    Returns:
        bytes: The content.

    Raises:
        ValueError: If it is damaged, empty or not in base64. The message is the reason.
    """
    _, separator, content = uri.partition(";base64,")
    try:
        data = base64.b64decode("".join(unquote(content).split()), validate=True)
    except ValueError as error:
        raise ValueError(f"its base64 is damaged ({error})") from error
    if not data:
        raise ValueError("it is empty" if separator else "it is not in base64")
    return data


def _make_array(image: Any) -> numpy.ndarray:
    if not hasattr(image, "__array__"):
        raise refuse(image, "image", "it is not a picture", _EXPECTED)
    try:
        if hasattr(image, "detach"):  # a tensor, which may be on a GPU, or in a type of its own
            image = image.detach().cpu()
            image = image.float() if image.dtype.is_floating_point else image
        return numpy.asarray(image)
    except Exception as error:  # a user's class may raise anything
        reason = f"it cannot be read as an array ({str(error) or type(error).__name__})"
        raise refuse(image, "image", reason, _EXPECTED) from error


def _read_pixels(array: numpy.ndarray, is_tensor: bool) -> numpy.ndarray:
    """Pixels as bytes: (height, width) for grey, or (height, width, colours).

    The colours are last in an array and first in a tensor. Where only the other place can be
    meant, it is.
    """
    given = f"an array of shape {array.shape} and type {array.dtype}"
    shapes = "(height, width) or (height, width, 1, 3 or 4) or (1, 3 or 4, height, width)"
    first, last = (array.ndim == 3 and array.shape[at] in _CHANNELS for at in (0, 2))
    if array.size == 0 or not (array.ndim == 2 or first or last):
        raise refuse(given, "image", "it does not hold pixels", f"an array of shape {shapes}")
    if is_tensor and first and last:
        reason = "its colours may be first or last"
        raise refuse(given, "image", reason, "`tensor.numpy()`, with the colours last")
    if first and not last:
        array = array.transpose(1, 2, 0)
    pixels = _make_bytes(array, given)
    return pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels


def _make_bytes(array: numpy.ndarray, given: str) -> numpy.ndarray:
    """Numbers of any type as bytes, where their scale is certain."""
    if array.dtype == numpy.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(numpy.uint8) * 255
    expected = "bytes (uint8), or numbers from 0 to 255, or fractions from 0 to 1"
    if array.dtype.kind not in "iuf":
        raise refuse(given, "image", "it does not hold numbers", expected)
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise refuse(given, "image", "it has numbers that are not finite", expected)
    scale = f"its numbers go from {low:.6g} to {high:.6g}"
    is_float = array.dtype.kind == "f"
    if low < -_TOLERANCE or high > 255 + is_float * _TOLERANCE:
        hint = "undo the normalization" if low < 0 else "bring them to this scale first"
        raise refuse(given, "image", f"{scale}; {hint}", expected)
    if is_float and high <= 1 + _TOLERANCE:
        array = array * 255.0
    elif high < _CERTAINLY_BYTES and not numpy.array_equal(array, numpy.rint(array)):
        raise refuse(given, "image", f"{scale}, so white may be 1 or 255", expected)
    pixels: numpy.ndarray = numpy.rint(array).clip(0, 255).astype(numpy.uint8)
    return pixels


def _encode_png(image: "Image") -> bytes:
    from PIL import Image, ImageOps

    buffer = io.BytesIO()
    try:
        # The EXIF orientation is lost in the conversion, so the pixels are turned first.
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I") and upright.mode != "I;16":
            upright = _make_sixteen_bits(upright)
        elif upright.mode == "F":
            upright = Image.fromarray(_read_pixels(numpy.asarray(upright), False))
        elif upright.mode in ("PA", "La", "RGBa"):
            upright = upright.convert("RGBA")
        elif upright.mode not in PNG_MODES:
            upright = upright.convert("RGB")
        upright.save(buffer, format="PNG")
    except MsvseError:
        raise
    except Exception as error:  # Pillow raises many kinds: closed, truncated, empty, too large
        given = f"a PIL image of mode {image.mode}"
        reason = f"it cannot be encoded ({str(error) or type(error).__name__})"
        raise refuse(given, "image", reason, "an image whose pixels can be read") from error
    return buffer.getvalue()


def _make_sixteen_bits(image: "Image") -> "Image":
    wide = image.convert("I")
    low, high = cast(tuple[float, float], wide.getextrema())
    if low < 0 or high > 2**16 - 1:
        raise ValueError(f"its pixels go from {low} to {high}, beyond 16 bits")
    return wide.convert("I;16")
