"""A lock on an output, so that two commands do not write to it at once."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..corpus.rows import PIPE
from ..errors import Errors, MsvseError

#: The byte that is locked on Windows, where a locked byte cannot be read. The number of the process
#: is at the start of the file.
_LOCKED_BYTE = 1 << 30


def lock_path(output: Path) -> Path:
    """The file beside an output that is locked while a command writes to it.

    Args:
        output (Path): The file or folder.

    Returns:
        Path: A hidden file.
    """
    output = output.absolute()
    if output.is_dir() and not os.access(output.parent, os.W_OK):
        return output / ".lock"
    return output.with_name(f".{output.name}.lock")


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep other commands from writing to an output in this context. A process that is killed
    releases its lock at once: its child processes do not have it.

    Args:
        output (Path): The file or folder, or `PIPE`, which is not locked.

    Raises:
        MsvseError: If another process writes to it (MSVSE-E201).
    """
    if output == PIPE:
        yield
        return
    path = lock_path(output)
    created = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    file_ = _lock(path, output)
    try:
        yield
    finally:
        # The file is deleted while it is locked, so no other process has locked it.
        with suppress(OSError):  # on Windows, it is deleted by the last one that has it open
            path.unlink()
        os.close(file_)
        with suppress(OSError):  # they have the output
            for parent in created:
                parent.rmdir()


def _lock(path: Path, output: Path) -> int:
    while True:
        # A link that another user has planted is not followed.
        file_ = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            if not _lock_file(file_):
                number = os.read(file_, 20).decode("ascii", "replace").strip()
                process = f" (number {number})" if number.isdigit() else ""
                raise MsvseError(Errors.E201.format(path=output, process=process))
            if _is_at(file_, path):
                with suppress(OSError):  # a full disk
                    os.ftruncate(file_, 0)
                    os.lseek(file_, 0, os.SEEK_SET)
                    os.write(file_, str(os.getpid()).encode())
                return file_
        except BaseException:
            os.close(file_)
            raise
        # The process that had locked it has deleted it.
        os.close(file_)


def _is_at(file_: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file_), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock_file(file_: int) -> bool:
        os.lseek(file_, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file_, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file_, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _lock_file(file_: int) -> bool:
        try:
            # Unlike a lock of `flock`, it is not inherited by a fork.
            fcntl.lockf(file_, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks
            return True
        return True
