"""Pictures in a remote folder, such as s3://bucket/pictures. fsspec reads them."""

import errno
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeGuard, TypeVar
from urllib.parse import unquote

from ..errors import Errors, MsvseError
from ..util import with_slashes

#: The beginning of a URL, of any protocol.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

#: Seconds that the answer to a request may take, such as a picture.
REMOTE_SECONDS = 30

#: Seconds that the listing of a folder may take.
LISTING_SECONDS = 300

#: Requests that wait at the same time, with those that were given up and have not ended.
MAX_WAITING = 64

#: Protocols whose paths can leave their folder, or that read other protocols.
_REFUSED = {
    **dict.fromkeys(("file", "local"), "give the path of the folder without a protocol"),
    **dict.fromkeys(("http", "https"), "a redirection may leave it; download it, or set `fetch`"),
}
_WRAPPERS = {
    *("async_wrapper", "blockcache", "cached", "data", "dir", "dirfs", "filecache", "generic"),
    *("libarchive", "reference", "simplecache", "tar", "zip"),
}

# Not "C:/".
_PATH_OF_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_SHOWN = 200

Made = TypeVar("Made")


class RemotePicture(str):
    """The URL of a picture below a remote picture folder.

    A URL in a row or in a file is never read. This one may be read, because its folder was given by
    the user, as `image_root`. When it is saved, it becomes a plain text, and loses the permission.

    Args:
        root (str): The folder, as `check_root` returns it.
        path (str): The path of the picture below it.
    """

    root: str
    path: str

    def __new__(cls, root: str, path: str) -> "RemotePicture":
        picture = super().__new__(cls, f"{show_root(root)}/{path}")
        picture.root, picture.path = root, path
        return picture

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.root, self.path


def is_remote(root: str | Path | None) -> TypeGuard[str]:
    """Whether a picture folder is the URL of a remote one.

    Args:
        root (str / Path): The folder.

    Returns:
        bool: True for a URL.

    Raises:
        MsvseError: For a `Path` that was made of a URL (MSVSE-E196).
    """
    if isinstance(root, Path) and _PATH_OF_URL.match(root.as_posix()):
        reason = "pathlib removes a slash of a URL, so give it as a text"
        raise MsvseError(Errors.E196.format(root=show_root(root.as_posix()), reason=reason))
    return isinstance(root, str) and URL.match(root) is not None


def show_root(root: str) -> str:
    """The name of a remote folder in messages.

    Args:
        root (str): Its URL.

    Returns:
        str: The URL without a user and a password.
    """
    return re.sub(r"(?<=:/)(/?)[^/]*@", r"\1", root)


@cache
def check_root(root: str) -> str:
    """Check the URL of a remote folder. Nothing is read.

    Args:
        root (str): The URL.

    Returns:
        str: The URL, without slashes at its end.

    Raises:
        MsvseError: If fsspec or the package of the protocol is not installed (MSVSE-E195), or if
            the URL cannot be used (MSVSE-E196).
    """
    protocol = root.partition("://")[0].lower()
    reason = _REFUSED.get(protocol)
    if reason is None and ("::" in root or protocol in _WRAPPERS):
        reason = "protocols cannot be chained"
    if reason is None and not _is_inside(root.partition("://")[2]):
        reason = "its path has '..' or a second protocol"
    if reason is not None:
        raise MsvseError(Errors.E196.format(root=show_root(root), reason=reason))
    try:
        from fsspec import get_filesystem_class

        get_filesystem_class(protocol)
    except ImportError as error:
        reason = _explain(error)
        raise MsvseError(Errors.E195.format(root=show_root(root), reason=reason)) from error
    except ValueError as error:
        raise MsvseError(
            Errors.E196.format(root=show_root(root), reason=_explain(error))
        ) from error
    return root.rstrip("/") if root.rstrip("/").partition("://")[2] else f"{protocol}://"


def check_remote_folder(root: str) -> None:
    """Check that a remote folder can be reached and is not empty.

    Args:
        root (str): Its URL.

    Raises:
        MsvseError: As for `check_root`, and if nothing is there, or there is no answer in time
            (MSVSE-E196).
    """
    root = check_root(root)
    try:
        exists = _ask(root, lambda fs, base: fs.exists(base))
        reason = None if exists else "there is nothing at this place"
    except OSError as error:
        reason = _explain(error)
    if reason is not None:
        raise MsvseError(Errors.E196.format(root=show_root(root), reason=reason))


def find_remote(name: str, root: str) -> RemotePicture | None:
    """Find a picture below a remote folder. Nothing is read.

    Args:
        name (str): Its path, relative to the folder. Backslashes count as slashes.
        root (str): The URL of the folder.

    Returns:
        RemotePicture: The picture; None if the path leaves the folder.

    Raises:
        MsvseError: As for `check_root`.
    """
    root = check_root(root)
    if isinstance(name, RemotePicture):
        return name if name.root == root else None
    name = with_slashes(name)
    path = "/".join(part for part in name.split("/") if part not in ("", "."))
    inside = _is_inside(name) and not name.startswith("/") and not _CONTROL.search(name)
    return RemotePicture(root, path) if path and inside else None


def read_remote(picture: RemotePicture, most: int) -> bytes:
    """Read a remote picture, or its beginning.

    Args:
        picture (RemotePicture): The picture.
        most (int): The greatest number of bytes to read.

    Returns:
        bytes: The content; empty for an empty file.

    Raises:
        OSError: If it cannot be read, or not in time. A missing file is a `FileNotFoundError`.
    """

    def read(fs: Any, base: str) -> bytes:
        path = f"{base}/{picture.path}"
        try:
            data: bytes = fs.cat_file(path, start=0, end=most)
            return data
        except FileNotFoundError:
            raise
        except Exception:
            # Some servers refuse to send a part of an empty file, and say nothing of folders.
            found = fs.info(path)
            if found.get("type") == "directory":
                raise IsADirectoryError(errno.EISDIR, "it is a folder") from None
            if found.get("size") == 0:
                return b""
            raise

    return _ask(picture.root, read)


def list_remote(root: str, folder: str = "") -> set[str]:
    """List a folder below a remote folder.

    Args:
        root (str): The URL of the remote folder.
        folder (str): The path of the folder below it; by default the remote folder itself.

    Returns:
        set: The names in it, without folders before them. Empty if there is no such folder.

    Raises:
        MsvseError: As for `check_root`, and if it cannot be listed, or not in time (MSVSE-E196).
    """

    def read(fs: Any, base: str) -> list[str]:
        try:
            found: list[str] = fs.ls(f"{base}/{folder}" if folder else base, detail=False)
            return found
        except FileNotFoundError:
            return []

    root = check_root(root)
    try:
        paths = _ask(root, read, LISTING_SECONDS)
    except OSError as error:
        reason = f"it cannot be listed ({_explain(error)})"
        raise MsvseError(Errors.E196.format(root=show_root(root), reason=reason)) from error
    return {path.rstrip("/").rpartition("/")[2] for path in paths}


class RemoteListing:
    """The files of remote folders. Each folder is listed once, when it is first needed."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], set[str] | MsvseError] = {}

    def has(self, picture: RemotePicture) -> bool:
        """Whether there is a picture.

        Args:
            picture (RemotePicture): The picture.

        Returns:
            bool: Whether its folder has a file or a folder of this name.

        Raises:
            MsvseError: If its folder cannot be listed (MSVSE-E196).
        """
        folder, _, name = picture.path.rpartition("/")
        key = picture.root, folder
        if key not in self._found:
            try:
                self._found[key] = list_remote(*key)
            except MsvseError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, MsvseError):
            raise found
        return name in found


def _is_inside(path: str) -> bool:
    """Whether a path has no step up and no protocol, also if a server decodes it."""
    decoded = with_slashes(unquote(unquote(path)))
    return not any(part in decoded for part in ("://", "::")) and ".." not in decoded.split("/")


#: File systems that wait for the next request, by the URL of the folder. Not all of them can be
#: used by several threads, so each request has one for itself.
_idle: dict[str, list[Any]] = defaultdict(list)
_lock = threading.Lock()
_slots = threading.BoundedSemaphore(MAX_WAITING)


def _ask(root: str, request: Callable[[Any, str], Made], seconds: float | None = None) -> Made:
    """Make a request in a thread of its own, which is left alone if it takes too long.

    Args:
        root (str): The URL of the folder.
        request (Callable): Gets a file system and the path of the folder in it.
        seconds (float): Time limit; None for `REMOTE_SECONDS`.

    Returns:
        Any: The result of the request.

    Raises:
        OSError: If the request fails. The message is one line.
    """
    answers: SimpleQueue[tuple[Made | None, BaseException | None]] = SimpleQueue()
    slots = _slots

    def work() -> None:
        try:
            answers.put((_request(root, request), None))
        except BaseException as error:
            answers.put((None, error))
        finally:
            slots.release()

    seconds = REMOTE_SECONDS if seconds is None else seconds
    late = f"there is no answer within {seconds:g} seconds"
    if not slots.acquire(timeout=seconds):
        raise TimeoutError(late)
    threading.Thread(target=work, daemon=True, name="remote picture").start()
    try:
        answer, error = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(late) from None
    if error is None:
        return answer  # type: ignore[return-value]
    if isinstance(error, FileNotFoundError):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    raise OSError(_explain(error)) from error


def _request(root: str, request: Callable[[Any, str], Made]) -> Made:
    from fsspec.core import url_to_fs

    with _lock:
        waiting = _idle[root].pop() if _idle[root] else None
    fs, base = waiting or url_to_fs(root, skip_instance_cache=True)
    try:
        answer = request(fs, base.rstrip("/"))
    except FileNotFoundError:
        _give_back(root, (fs, base))
        raise
    _give_back(root, (fs, base))
    return answer


def _give_back(root: str, system: Any) -> None:
    with _lock:
        _idle[root].append(system)


def _explain(error: BaseException) -> str:
    text = (str(error) or type(error).__name__).strip().split("\n")[0].rstrip(".")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _forget_inherited() -> None:
    """A forked process has none of the threads of its parent, and connections of its own."""
    global _lock, _slots
    _lock, _slots = threading.Lock(), threading.BoundedSemaphore(MAX_WAITING)
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)
