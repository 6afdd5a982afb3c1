"""Decode pictures to RGB, within limits and inside a folder. Errors name the picture."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from ..errors import Errors, MsvseError
from ..util import with_slashes
from .decoding import DecodingError, decode_opened, explain, opened_image
from .guard import takes_limited_time
from .helper import decode_in_helper
from .remote import URL, RemotePicture, find_remote, is_remote, read_remote, show_root

#: Bytes that an encoded picture may have.
MAX_BYTES = 64 * 2**20

#: Width times height that a picture may have, unless a setting says otherwise.
MAX_PIXELS = 64 * 2**20

#: Bytes of a remote picture that a check of its header reads first.
PROBED_BYTES = 2**18

#: A function from a URL to the encoded bytes of a picture. It may raise any error. It gets only
#: http and https URLs, and needs its own time limit.
Fetcher = Callable[[str], bytes]

# A fetcher that opens "file://", as urllib's does, must not read files outside `image_root`.
_WEB_URL = re.compile(r"https?://", re.IGNORECASE)

#: Characters of a name that messages show.
_SHOWN = 200


class PictureError(MsvseError):
    """A picture that cannot or must not be read. The message names it and says why.

    Args:
        message (str): The message.
        reason (str): Only the reason, without the name of a folder; by default, the message.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


def _unreadable(name: str, reason: str) -> PictureError:
    return PictureError(Errors.E020.format(name=name, reason=reason), reason)


def find_picture(name: str, image_root: str | Path | None) -> Path | RemotePicture:
    """Find a picture's file, and refuse any place outside the picture folder.

    Args:
        name (str): The path, relative to `image_root` or, without one, to the working directory. If
            there is no such file, backslashes count as slashes, as on Windows.
        image_root (str / Path): The only folder to read from, or the URL of a remote one, such as
            s3://bucket/pictures; None allows any local path.

    Returns:
        Path / RemotePicture: The path, its links followed if there is an `image_root`; or the place
            below a remote folder.

    Raises:
        PictureError: If the path leaves `image_root` (MSVSE-E021), is a URL (MSVSE-E022), or cannot
            be followed (MSVSE-E020).
        MsvseError: If a remote folder cannot be used (MSVSE-E195, MSVSE-E196).
    """
    if isinstance(name, RemotePicture) and image_root is None:
        return name
    shown = picture_name(name)
    if URL.match(name) and not isinstance(name, RemotePicture):
        raise PictureError(Errors.E022.format(name=shown), "it is a URL")
    path: Path | RemotePicture | None
    if is_remote(image_root):
        path = find_remote(name, image_root)
    elif isinstance(name, RemotePicture):
        path = None
    else:
        try:
            path = _find_local(name, image_root)
            if path is not None and "\\" in name and not os.path.exists(path):
                path = _find_local(with_slashes(name), image_root)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
            raise _unreadable(shown, explain(error)) from error
    if path is None:
        message = Errors.E021.format(name=shown, root=show_root(str(image_root)))
        raise PictureError(message, "it lies outside the picture folder")
    return path


def locate_pictures(pictures: Iterable[str | bytes], image_root: str | Path) -> list[str | bytes]:
    """Make the paths of pictures absolute, so that they are found without the picture folder.

    Args:
        pictures (Iterable): Paths or encoded bytes.
        image_root (str / Path): The only folder to read from, or the URL of a remote one.

    Returns:
        list: Absolute paths, places below a remote folder, and the bytes as they are.

    Raises:
        PictureError: If a path cannot be used, as `find_picture` raises it.
    """
    found = [find_picture(one, image_root) if isinstance(one, str) else one for one in pictures]
    return [str(one.absolute()) if isinstance(one, Path) else one for one in found]


def _find_local(name: str, image_root: str | Path | None) -> Path | None:
    """A local path; None if it leaves `image_root`."""
    if image_root is None:
        return Path(name)
    root = Path(image_root).resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) else None


def picture_name(source: str | bytes) -> str:
    """Name a picture in messages.

    Args:
        source (str): A path, or the encoded bytes.

    Returns:
        str: The path, cut if it is very long and escaped if it cannot be printed, or the number of
            bytes.
    """
    if isinstance(source, bytes):
        return f"<bytes> of size {len(source)}"
    shown = source if len(source) <= _SHOWN else f"{source[:_SHOWN]}..."
    return shown if shown.isprintable() else shown.encode("unicode_escape").decode()


def read_picture(
    source: str | bytes,
    image_root: str | Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    fetch: Fetcher | None = None,
) -> bytes:
    """Read a picture's encoded content.

    Args:
        source (str): A path, the encoded bytes, or with a `fetch` a URL.
        image_root (str / Path): The only folder to read from, or the URL of a remote one; None
            allows any local path.
        max_bytes (int): Limit on the encoded size, in bytes.
        fetch (Fetcher): Fetches http and https URLs; None refuses them.

    Returns:
        bytes: The encoded content, not yet known to be a picture.

    Raises:
        PictureError: If there is nothing to read or too much of it (MSVSE-E020), if the path leaves
            `image_root` (MSVSE-E021) or is a URL without a `fetch` (MSVSE-E022), or if the fetcher
            fails (MSVSE-E056).
    """
    with _open_stream(source, image_root, max_bytes, fetch) as stream:
        return stream.read(max_bytes)


def decode_picture(
    data: bytes,
    name: str,
    *,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
) -> Image.Image:
    """Decode a picture's first frame, upright, on white, with 8 bits per channel.

    Decoding takes 10 seconds at most. The usual kinds of picture take less by their limits of size.
    All others, such as TIFF with compressed pixels, AVIF and PPM as text, are decoded by a helper
    process, which is started when the first of them is read, and ends itself after 10 seconds.

    Args:
        data (bytes): The encoded content.
        name (str): The name of the picture in messages.
        max_pixels (int): Limit on width times height, checked before any pixel is decoded. A JPEG
            that is shrunk while it is decoded counts by its decoded size, unless it is progressive
            or has a scan for each colour. The number of scans of a JPEG is limited accordingly.
        shrink_to (int): Side of a square; None for full size. A JPEG is decoded at the smallest
            size of 1/1, 1/2, 1/4 or 1/8 whose sides are both at least so long, which is several
            times faster. Then any picture is reduced by the largest whole number that leaves at
            least as many pixels as the square has. The result has less than four times as many.

    Returns:
        Image: The picture, of mode RGB.

    Raises:
        PictureError: If the content cannot be decoded, is too large, or takes longer than 10
            seconds to decode (MSVSE-E020).
    """
    try:
        with opened_image(BytesIO(data), max_pixels, shrink_to) as image:
            if takes_limited_time(image, data, max_pixels):
                return decode_opened(image, shrink_to)
        return decode_in_helper(data, max_pixels, shrink_to)
    except DecodingError as error:
        raise _unreadable(name, str(error)) from error


def open_picture(
    source: str | bytes,
    image_root: str | Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
    fetch: Fetcher | None = None,
) -> Image.Image:
    """Read and decode a picture: first frame, upright, on white, with 8 bits per channel.

    Args:
        source (str): A path, the encoded bytes, or with a `fetch` a URL.
        image_root (str / Path): The only folder to read from, or the URL of a remote one; None
            allows any local path.
        max_bytes (int): Limit on the encoded size, in bytes.
        max_pixels (int): Limit on width times height, as for `decode_picture`.
        shrink_to (int): Side of a square. A large picture is shrunk to about its number of pixels.
            None for full size.
        fetch (Fetcher): Fetches http and https URLs; None refuses them.

    Returns:
        Image: The picture, of mode RGB.

    Raises:
        PictureError: If the picture cannot be read (MSVSE-E020), if its path leaves `image_root`
            (MSVSE-E021) or is a URL without a `fetch` (MSVSE-E022), or if the fetcher fails
            (MSVSE-E056).
    """
    data = read_picture(source, image_root, max_bytes=max_bytes, fetch=fetch)
    return decode_picture(data, picture_name(source), max_pixels=max_pixels, shrink_to=shrink_to)


def probe_picture(
    source: str | bytes,
    image_root: str | Path | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
    fetch: Fetcher | None = None,
) -> None:
    """Check that a picture exists, has the header of a picture and is within the limits.

    Only the header is read. Damage after the header is not found.

    Args:
        source (str): A path, the encoded bytes, or with a `fetch` a URL.
        image_root (str / Path): The only folder to read from, or the URL of a remote one; None
            allows any local path.
        max_bytes (int): Limit on the encoded size, in bytes.
        max_pixels (int): Limit on width times height, as for `decode_picture`.
        shrink_to (int): Side of a square that decoding will shrink to; None for full size.
        fetch (Fetcher): Fetches http and https URLs; None refuses them.

    Raises:
        PictureError: If the picture cannot be read (MSVSE-E020), if its path leaves `image_root`
            (MSVSE-E021) or is a URL without a `fetch` (MSVSE-E022), or if the fetcher fails
            (MSVSE-E056).
    """
    limits = max_pixels, shrink_to
    if isinstance(source, str) and not (fetch and _WEB_URL.match(source)):
        found = find_picture(source, image_root)
        if isinstance(found, RemotePicture) and _probe_start(found, *limits):
            return
    with _open_stream(source, image_root, max_bytes, fetch) as stream:
        try:
            with opened_image(stream, *limits):
                pass
        except DecodingError as error:
            raise _unreadable(picture_name(source), str(error)) from error


def picture_key(source: str | bytes, image_root: str | Path | None = None) -> str:
    """Name a picture by its content, so that a renamed file keeps its key.

    Args:
        source (str): A path, or the encoded bytes.
        image_root (str / Path): The only folder to read from, or the URL of a remote one; None
            allows any local path.

    Returns:
        str: SHA-256 of the encoded content, in hex.

    Raises:
        PictureError: If the content cannot be read (MSVSE-E020), or if the path leaves `image_root`
            (MSVSE-E021) or is a URL (MSVSE-E022).
    """
    return hashlib.sha256(read_picture(source, image_root)).hexdigest()


@contextmanager
def _open_stream(
    source: str | bytes, image_root: str | Path | None, max_bytes: int, fetch: Fetcher | None
) -> Iterator[BinaryIO]:
    """The encoded content, which is neither empty nor too large."""
    name = picture_name(source)
    if isinstance(source, str) and fetch is not None and _WEB_URL.match(source):
        source = _fetch(source, fetch)
    stream: BinaryIO
    if isinstance(source, bytes):
        size = len(source)
        stream = BytesIO(source)
    else:
        path = find_picture(source, image_root)
        if isinstance(path, RemotePicture):
            with _open_remote(path, max_bytes) as stream:
                yield stream
            return
        try:
            if path.exists() and not path.is_file():  # opening a named pipe would wait forever
                raise OSError("it is not a file")
            stream = path.open("rb")
        except (OSError, ValueError) as error:
            raise _unreadable(name, explain(error)) from error
        size = os.fstat(stream.fileno()).st_size
    with stream:
        if size == 0:
            raise _unreadable(name, "it is empty")
        if size > max_bytes:
            reason = f"it has {size} bytes, more than the limit of {max_bytes}"
            raise _unreadable(name, reason)
        yield stream


@contextmanager
def _open_remote(picture: RemotePicture, max_bytes: int) -> Iterator[BinaryIO]:
    try:
        data = read_remote(picture, max_bytes + 1)
    except OSError as error:
        raise _unreadable(picture_name(picture), explain(error)) from error
    if not data:
        raise _unreadable(picture_name(picture), "it is empty")
    if len(data) > max_bytes:
        reason = f"it has more than {max_bytes} bytes, the limit"
        raise _unreadable(picture_name(picture), reason)
    yield BytesIO(data)


def _probe_start(picture: RemotePicture, max_pixels: int, shrink_to: int | None) -> bool:
    """Whether the first bytes have the header of a picture within the limits."""
    try:
        with opened_image(BytesIO(read_remote(picture, PROBED_BYTES)), max_pixels, shrink_to):
            return True
    except (DecodingError, OSError):  # the whole picture gives the reason
        return False


def _fetch(url: str, fetch: Fetcher) -> bytes:
    name = picture_name(url)
    try:
        data = fetch(url)
    except Exception as error:  # a user's fetcher may raise anything
        reason = explain(error)
        raise PictureError(Errors.E056.format(name=name, reason=reason), reason) from error
    if not isinstance(data, bytes):
        reason = f"`fetch` returned a {type(data).__name__}, not bytes"
        raise PictureError(Errors.E056.format(name=name, reason=reason), reason)
    return data
