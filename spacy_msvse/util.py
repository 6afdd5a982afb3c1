"""Files and folders: written completely or not at all, read with checks, hashed."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import srsly

from .errors import Errors, MsvseError

#: The file of a saved component that has the SHA-256 hash of each of its other files.
MANIFEST = "manifest.json"

#: The beginning of a pointer of Git LFS.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Write a file or a folder beside another, and replace the other once it is complete.

    Args:
        path (Path): The file or folder.

    Yields:
        Path: A temporary path beside it, to write to. It is removed afterwards in any case.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        yield beside
        if path.is_dir():
            # A folder that is not empty cannot be replaced in one step.
            os.replace(path, old)
        os.replace(beside, path)
    finally:
        remove(beside)
        remove(old)


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
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, content in {**files, MANIFEST: _dump_manifest(manifest)}.items():
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
        manifest = srsly.json_loads((folder / MANIFEST).read_text("utf8"))
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in manifest):
            raise ValueError(f"'{MANIFEST}' names files outside of the folder")
        files = {name: (folder / name).read_bytes() for name in manifest}
    except (OSError, ValueError, TypeError) as error:
        raise MsvseError(Errors.E006.format(reason=error)) from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest[name]:
            raise MsvseError(Errors.E006.format(reason=f"'{name}' is damaged"))
    return files


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
    with TemporaryDirectory() as folder:
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
        MsvseError: If a name leads out of the folder (MSVSE-E006).
    """
    # Windows cannot remove a file that is still mapped into memory.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in files.items():
            path = (Path(folder) / name).resolve()
            if not path.is_relative_to(Path(folder).resolve()):
                reason = f"'{name}' is not the name of a file"
                raise MsvseError(Errors.E006.format(reason=reason))
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
