"""Files and folders: written completely or not at all, read with checks, hashed. Short reasons."""

import errno
import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import Any

import srsly

from .errors import Errors, MsvseError

#: The file of a saved component that has the SHA-256 hash of each of its other files.
MANIFEST = "manifest.json"

#: The name of a saved file has at most so many parts.
MAX_FOLDERS = 16

#: The suffixes of the files that a saved tokenizer or model may have. Code and pickles are none.
SUFFIXES = (".codes", ".jinja", ".json", ".model", ".safetensors", ".spm", ".txt", ".vocab")

#: The errors of a full disk, of a full quota, and of a file that is larger than allowed.
_FULL_DISK = (errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else []))

#: Characters of a name that the name of a temporary folder repeats. File systems have a limit.
_LONGEST_NAME = 50

#: The beginning of a pointer of Git LFS.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def with_slashes(name: str) -> str:
    """A path of Windows with slashes, which every system reads.

    Args:
        name (str): The path.

    Returns:
        str: The path, with a slash for each backslash.
    """
    return name.replace("\\", "/")


@contextmanager
def keeping_garbage_collection() -> Iterator[None]:
    """Turn garbage collection on again if it was on before. srsly turns it off to read a message,
    and leaves it off if the message is damaged."""
    was_on = gc.isenabled()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Write a file or a folder beside another, and replace the other once it is complete.

    The new content is written to a new folder with a random name, which only this user can change.
    So another user cannot create a link with that name first.

    Args:
        path (Path): The file or folder.

    Yields:
        Path: A temporary path, to write to. It is removed afterwards in any case.

    Raises:
        MsvseError: If the disk is full, or a limit of the file size is reached (MSVSE-E190). The
            older file or folder is as before.
    """
    with coded_full_disk(path):
        beside = Path(
            mkdtemp(prefix=f".{path.name[:_LONGEST_NAME]}.", suffix=".tmp", dir=path.parent)
        )
        new, old = beside / f"new{path.suffix}", beside / "old"
        try:
            yield new
            if path.is_dir():
                # A folder that is not empty cannot be replaced in one step.
                os.replace(path, old)
                try:
                    os.replace(new, path)
                except BaseException:
                    os.replace(old, path)
                    raise
            else:
                os.replace(new, path)
        finally:
            remove(beside)


@contextmanager
def coded_full_disk(path: Path | str) -> Iterator[None]:
    """Raise the errors of a full disk as a coded error.

    Args:
        path (Path): The output.

    Raises:
        MsvseError: If the block ends with such an error (MSVSE-E190).
    """
    try:
        yield
    except Exception as error:  # safetensors and shutil have their own errors
        if (reason := _find_full_disk(error)) is None:
            raise
        raise MsvseError(Errors.E190.format(path=path, reason=reason)) from error


def _find_full_disk(error: Exception) -> str | None:
    """The system's message about a full disk; None if the error has another cause."""
    if isinstance(error, MsvseError):
        return None
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return error.strerror
    said = [text for text in map(os.strerror, _FULL_DISK) if text in str(error)]
    is_copied = isinstance(error, shutil.Error) or type(error).__name__ == "SafetensorError"
    return said[0] if said and is_copied else None


def open_unlinked(path: Path | str, flags: int) -> int:
    """Open a file, but not through a link. An `opener` of `open`.

    Args:
        path (Path): The file.
        flags (int): How to open it.

    Returns:
        int: A file descriptor.

    Raises:
        MsvseError: If the path is a link (MSVSE-E191).
    """
    try:
        if os.path.islink(path):  # Windows has no such flag
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise MsvseError(Errors.E191.format(path=path)) from error


def remove(path: Path) -> None:
    """Delete a file or a folder, if it exists.

    Args:
        path (Path): The file or folder.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all.

    Args:
        path (Path): The file.
        content (bytes): Its content.
    """
    with replaced_when_done(path) as beside:
        beside.write_bytes(content)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and a manifest of their hashes into a folder.

    Args:
        folder (Path): The folder, which is created.
        files (Mapping): File name, with "/" between folders, to content.
    """
    for name, content in {**files, MANIFEST: _dump_manifest(_hash_each(files))}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_files(folder: Path) -> dict[str, bytes]:
    """Read the files that `write_files` wrote, and check their hashes.

    Args:
        folder (Path): The folder. Files that are not in the manifest are left out.

    Returns:
        dict: File name to content.

    Raises:
        MsvseError: If a file is missing or damaged (MSVSE-E006).
    """
    try:
        manifest = dict(srsly.json_loads((folder / MANIFEST).read_text("utf8")))
    except (OSError, ValueError, TypeError) as error:
        raise MsvseError(Errors.E006.format(reason=error)) from error
    for name in manifest:
        _check_name(name)
    try:
        files = {name: (folder / name).read_bytes() for name in manifest}
    except OSError as error:
        raise MsvseError(Errors.E006.format(reason=error)) from error
    _check_hashes(files, manifest)
    return files


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """Put files and a manifest of their hashes into one message.

    Args:
        files (Mapping): File name, with "/" between folders, to content.

    Returns:
        bytes: A message of msgpack.
    """
    packed: bytes = srsly.msgpack_dumps({"files": dict(files), "manifest": _hash_each(files)})
    return packed


def unpack_files(message: bytes) -> dict[str, bytes]:
    """Take the files out of the result of `pack_files`, and check their hashes.

    Args:
        message (bytes): The message.

    Returns:
        dict: File name to content.

    Raises:
        MsvseError: If it is damaged (MSVSE-E006).
    """
    try:
        with keeping_garbage_collection():
            content = srsly.msgpack_loads(message)
        files, manifest = dict(content["files"]), dict(content["manifest"])
    except Exception as error:  # msgpack has many
        reason = f"{type(error).__name__}: {error}"
        raise MsvseError(Errors.E006.format(reason=reason)) from error
    _check_hashes(files, manifest)
    return files


def _hash_each(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _check_hashes(files: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Refuse files that the manifest does not have, and files of another content."""
    if missing := sorted(set(manifest).symmetric_difference(files), key=str):
        raise MsvseError(Errors.E006.format(reason=f"'{missing[0]}' is missing"))
    for name, content in files.items():
        if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != manifest[name]:
            raise MsvseError(Errors.E006.format(reason=f"'{name}' is damaged"))


def _check_name(name: str) -> None:
    """Refuse the name of a file that leads out of the folder, on any system, and one that no system
    has."""
    parts = name.split("/")
    # On Windows, "\\" divides folders and ":" follows a drive. "\ud800" is half a character.
    odd = any(character in "\\:\0" or "\ud800" <= character <= "\udfff" for character in name)
    if odd or len(parts) > MAX_FOLDERS or not {"", ".", ".."}.isdisjoint(parts):
        reason = f"{name[:80]!r} is not the name of a file"
        raise MsvseError(Errors.E006.format(reason=reason))


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is a pointer of Git LFS: a short text in place of the file, which was not
    fetched.

    Args:
        path (Path): The file.

    Returns:
        bool: True if so; False for a folder and for a file that does not exist.
    """
    try:
        with path.open("rb") as file_:
            return file_.read(len(LFS_POINTER)) == LFS_POINTER
    except (OSError, ValueError):  # ValueError: a null character in the name
        return False


def save_files(*saves: Callable[[str], Any]) -> dict[str, bytes]:
    """Save in memory what a library can only save in a folder.

    Args:
        saves (Callable): Functions that write into the folder whose path they get, such as the
            method `save_pretrained` of a model.

    Returns:
        dict: File name to content; a file in a subfolder is named like "folder/file".
    """
    with coded_full_disk(gettempdir()), TemporaryDirectory() as folder:
        for save in saves:
            save(folder)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def as_folder(files: Mapping[str, bytes]) -> Iterator[str]:
    """Write files to a temporary folder, for a library that can only load from one.

    Args:
        files (Mapping): File name to content.

    Yields:
        str: The path of the folder, which is removed afterwards.

    Raises:
        MsvseError: If a name leads out of the folder, or is that of code or of a pickle
            (MSVSE-E006), or if the disk of temporary files is full (MSVSE-E190).
    """
    for name in files:
        _check_name(name)
        if not name.endswith(SUFFIXES):
            reason = f"{name!r} is not the name of a saved file"
            raise MsvseError(Errors.E006.format(reason=reason))
    # Windows cannot remove a file that is still mapped into memory.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with coded_full_disk(folder):
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        yield folder


def join_files(folders: Mapping[str, Mapping[str, bytes]]) -> dict[str, bytes]:
    """Put the files of several owners beside each other.

    Args:
        folders (Mapping): Owner to its files, by name.

    Returns:
        dict: "owner/name" to content.
    """
    return {
        f"{owner}/{name}": content
        for owner, files in folders.items()
        for name, content in files.items()
    }


def select_files(files: Mapping[str, bytes], owner: str) -> dict[str, bytes]:
    """Take the files of one owner out of those of several.

    Args:
        files (Mapping): "owner/name" to content.
        owner (str): The owner.

    Returns:
        dict: Name to content.
    """
    start = f"{owner}/"
    return {n.removeprefix(start): data for n, data in files.items() if n.startswith(start)}


def hash_files(files: Iterable[Path]) -> str:
    """Hash the content of files.

    Args:
        files (Iterable[Path]): The files, in a fixed order.

    Returns:
        str: The SHA-256 hash of all their bytes.
    """
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file_:
            while chunk := file_.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _dump_manifest(manifest: Mapping[str, str]) -> bytes:
    text: str = srsly.json_dumps(manifest, indent=2)
    return f"{text}\n".encode()


def first_line(error: Exception) -> str:
    """Shorten the message of an error: some libraries add pages.

    Args:
        error (Exception): The error.

    Returns:
        str: The first line that is not empty, without a full stop; the type of an error without a
            message.
    """
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__).rstrip(".")
