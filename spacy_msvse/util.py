"""Files that are whole or not there, and damage that is called by its name."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .errors import Errors, MsvseError


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Write to a file beside, which takes the other's place only once it is complete.

    path (Path): The file.
    YIELDS (Path): The file beside, which is gone afterwards, whatever happens.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half written.

    path (Path): The file.
    content (bytes): What to write.
    """
    with replaced_when_done(path) as beside:
        beside.write_bytes(content)


def read_whole(path: Path) -> bytes:
    """Read a file of a saved pipeline.

    path (Path): The file.
    RETURNS (bytes): Its content.
    RAISES (ValueError): If it is missing (MSVSE-E006).
    """
    if not path.exists():
        raise MsvseError(Errors.E006.format(reason=f"'{path.name}' is missing"))
    return path.read_bytes()


def hash_files(files: Iterable[Path]) -> str:
    """Tell files by their content.

    files (Iterable[Path]): The files, in an order of their own.
    RETURNS (str): The SHA-256 hash of all their bytes.
    """
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file_:
            while chunk := file_.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def checked(load: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Say that data are damaged, whichever library stumbles over them.

    load (Callable): Takes bytes and raises some ValueError if they are damaged.
    RETURNS (Callable): The same, but for the error (MSVSE-E006).
    """

    def load_checked(data: bytes) -> Any:
        try:
            return load(data)
        except ValueError as error:
            if isinstance(error, MsvseError):
                raise
            raise MsvseError(Errors.E006.format(reason=error)) from error

    return load_checked


def save_files(*saves: Callable[[str], Any]) -> dict[str, bytes]:
    """Save in memory what a library can only save in a folder.

    saves (Callable): Functions that write into the folder whose path they get, such as the method
        `save_pretrained` of a model.
    RETURNS (dict): File name to content; a file in a subfolder is named like "folder/file".
    """
    with TemporaryDirectory() as folder:
        for save in saves:
            save(folder)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def as_folder(files: Mapping[str, bytes]) -> Iterator[str]:
    """Write files to a temporary folder, for a library that can only load from one.

    files (Mapping): File name to content.
    YIELDS (str): The path of the folder, which is removed afterwards.
    RAISES (MsvseError): If a name leads out of the folder (MSVSE-E006).
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

    folders (Mapping): Owner to its files, by name.
    RETURNS (dict): "owner/name" to content.
    """
    return {
        f"{owner}/{name}": content
        for owner, files in folders.items()
        for name, content in files.items()
    }


def select_files(files: Mapping[str, bytes], owner: str) -> dict[str, bytes]:
    """Take the files of one owner out of those of several.

    files (Mapping): "owner/name" to content.
    owner (str): The owner.
    RETURNS (dict): Name to content.
    """
    start = f"{owner}/"
    return {n.removeprefix(start): data for n, data in files.items() if n.startswith(start)}
