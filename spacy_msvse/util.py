"""Files that are whole or not there, and damage that is called by its name."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def folder_replaced_when_done(path: Path) -> Iterator[Path]:
    """Write to a folder beside another one, which it replaces as a whole once it is complete.

    path (Path): The folder.
    YIELDS (Path): The folder beside it, which does not exist yet.
    """
    beside, older = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        yield beside
        if path.exists():
            path.rename(older)
        beside.rename(path)
    finally:
        for left in (beside, older):
            shutil.rmtree(left, ignore_errors=True)


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
