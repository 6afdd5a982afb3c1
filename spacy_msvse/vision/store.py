"""Features on disk, so that every picture is looked at once."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import IO, Any
from weakref import WeakValueDictionary
from zlib import crc32

import lmdb
import numpy as np
import srsly

from ..errors import Errors
from .features import PictureFeatures

try:
    import fcntl
except ImportError:  # Windows, which refuses to replace a file that is in use
    fcntl = None  # type: ignore[assignment]

#: Room to grow, not space taken: the file is as large as what is in it.
MAP_SIZE = 2**40

#: Transactions that may read at the same time, over all processes.
MAX_READERS = 1024

#: The file that LMDB keeps all records in.
DATA_FILE = "data.mdb"

#: Whoever has the folder open shares a lock of this file; whoever replaces the data has it alone.
USERS_FILE = "users.lock"

#: Before each record: a mark and the checksum of what follows.
_HEADER = Struct(">4sI")
_MARK = b"MSV1"

#: LMDB describes itself in the first pages of a file.
_META_PAGES = 2

#: What LMDB raises where its pages are not what they should be.
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)

#: What LMDB raises where the operating system does not let it go on.
_REFUSALS = (lmdb.Error, lmdb.DiskError, lmdb.MapFullError)


class FeatureStore:
    """Picture features by picture content and extractor.

    Every write is one LMDB transaction: whole or not at all, also when the process is killed.
    Many processes may read while one writes; several that write take turns. A store may be used
    after a fork and may be pickled; each process opens the folder for itself.

    path (Path): A folder; created unless `readonly`.
    readonly (bool): Never write. `put` and `put_many` then raise `lmdb.ReadonlyError`.
    RAISES (ValueError): If there is no store to read (MSVSE-E033) or it is damaged (MSVSE-E060).
    """

    def __init__(self, path: str | Path, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._folder: _OpenFolder | None = None
        self._process = 0
        if not readonly:
            self.path.mkdir(parents=True, exist_ok=True)
        elif not (self.path / DATA_FILE).is_file():
            raise ValueError(Errors.E033.format(path=path))
        self._open()

    def get(self, key: str, fingerprint: str) -> PictureFeatures | None:
        """Look up what an extractor saw in a picture.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (PictureFeatures): The features; None if they are not stored, or damaged.
        RAISES (ValueError): If the store is damaged beyond single records (MSVSE-E060).
        """
        with self._transaction() as transaction:
            data = transaction.get(record_key(key, fingerprint))
        if data is None:
            return None
        try:
            return unpack(data)
        except ValueError:
            return None

    def holds(self, key: str, fingerprint: str) -> bool:
        """Whether there is a record of a picture, without reading it.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (bool): True if so.
        RAISES (ValueError): If the store is damaged beyond single records (MSVSE-E060).
        """
        with self._transaction() as transaction:
            return transaction.cursor().set_key(record_key(key, fingerprint))

    def knows(self, fingerprint: str) -> bool:
        """Whether there is a record of an extractor.

        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (bool): True if so.
        RAISES (ValueError): If the store is damaged beyond single records (MSVSE-E060).
        """
        start = record_key("", fingerprint)
        with self._transaction() as transaction:
            cursor = transaction.cursor()
            return cursor.set_range(start) and bytes(cursor.key()).startswith(start)

    def put(self, key: str, fingerprint: str, features: PictureFeatures) -> None:
        """Store what an extractor saw in a picture, instead of what was stored before.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        features (PictureFeatures): The features; regions are stored with 16 bits.
        RAISES (ValueError): If the store cannot be written (MSVSE-E065).
        """
        self.put_many([(key, fingerprint, features)])

    def put_many(self, items: Iterable[tuple[str, str, PictureFeatures]]) -> None:
        """Store many features in one transaction.

        items (Iterable): What `put` takes: key, fingerprint and features of each picture.
        RAISES (ValueError): If the store cannot be written, mostly for want of space
            (MSVSE-E065).
        """
        # Each key once, since LMDB leaves a hole in the file where a new record is replaced.
        records = {
            record_key(key, fingerprint): pack(features) for key, fingerprint, features in items
        }
        with self._transaction(write=not self.readonly) as transaction:
            for key, record in records.items():
                transaction.put(key, record)

    def scan(self) -> Iterator[tuple[str, str, memoryview]]:
        """Go through all records as they lie on disk, those of one extractor together.

        YIELDS (tuple): Fingerprint, key of the picture, and the record, see `unpack`, which is
            read from disk when it is looked at and gone with the next.
        RAISES (ValueError): If the store is damaged beyond single records (MSVSE-E060).
        """
        with coded_errors(self.path):
            yield from scan(self._open())

    def page_sizes(self) -> tuple[int, int]:
        """How much of the disk the store takes.

        RETURNS (tuple): Bytes of the file, and those of them that hold no record and wait for one.
        """
        environment = self._open()
        stat = environment.stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        size = (self.path / DATA_FILE).stat().st_size
        return size, max(0, size - (pages + _META_PAGES) * stat["psize"])

    def __len__(self) -> int:
        return self._open().stat()["entries"]

    def close(self) -> None:
        """Let go of the folder. The store opens it again when it is used again."""
        self._folder = None

    def __enter__(self) -> "FeatureStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureStore, (self.path, self.readonly)

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[lmdb.Transaction]:
        with coded_errors(self.path), self._open().begin(write=write) as transaction:
            yield transaction

    def _open(self) -> lmdb.Environment:
        """The environment of this process: one inherited through a fork must not be used."""
        if self._folder is None or self._process != os.getpid():
            self._process = os.getpid()
            self._folder = _open_folder(self.path.resolve())
        return self._folder.environment


class _OpenFolder:
    """A folder as this process has it open, until the last store lets go of it."""

    def __init__(self, path: Path) -> None:
        # Stores that share a folder may differ in `readonly`, so the folder decides.
        writable = os.access(path, os.W_OK)
        self.lock = lock_folder(path)
        self.environment = open_environment(path, readonly=not writable, lock=writable)
        self.environment.reader_check()  # frees the slots of readers that were killed


#: LMDB lets a process open a folder once, so its stores share; by process and folder.
_folders: WeakValueDictionary[tuple[int, Path], _OpenFolder] = WeakValueDictionary()


def _open_folder(path: Path) -> _OpenFolder:
    for (process, _), inherited in list(_folders.items()):
        if process != os.getpid():
            inherited.environment.close()  # closes this process's copy; the parent keeps its own
    key = os.getpid(), path
    folder = _folders.get(key)
    if folder is None:
        folder = _folders[key] = _OpenFolder(path)
    return folder


def open_environment(path: Path, **options: Any) -> lmdb.Environment:
    """Open the LMDB environment of a folder.

    path (Path): The folder.
    options: What `lmdb.open` takes besides.
    RETURNS (Environment): The environment.
    RAISES (ValueError): If the data are not LMDB's or have been cut short (MSVSE-E060).
    """
    with coded_errors(path):
        environment = lmdb.open(
            str(path),
            map_size=MAP_SIZE,
            max_readers=MAX_READERS,
            readahead=False,  # pictures are looked up in no order
            **options,
        )
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = (path / DATA_FILE).stat().st_size
    if size < needed:  # to read what is missing would end the process
        environment.close()
        reason = f"{DATA_FILE} has {size} bytes instead of {needed}"
        raise ValueError(Errors.E060.format(path=path, reason=reason))
    return environment


def lock_folder(path: Path, alone: bool = False) -> IO[bytes] | None:
    """Keep the data of a folder from being replaced, or others from using them meanwhile.

    path (Path): The folder.
    alone (bool): Lock out all others instead of sharing the lock with them.
    RETURNS (IO): A file that holds the lock until it is closed, which the end of the process does
        too; None where there is nothing to lock.
    RAISES (BlockingIOError): If `alone` and another store has the folder open.
    """
    if fcntl is None:
        return None
    file = path / USERS_FILE
    try:
        stream = file.open("ab" if os.access(path, os.W_OK) else "rb")
    except FileNotFoundError:  # a folder that may only be read and never was written to by us
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:
        stream.close()
        raise
    return stream


@contextmanager
def coded_errors(path: Path) -> Iterator[None]:
    """Raise what LMDB says of damage and of the operating system's refusals as our own errors.

    path (Path): The folder in use.
    RAISES (ValueError): If the store is damaged (MSVSE-E060) or its disk fails it (MSVSE-E065).
    """
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(Errors.E060.format(path=path, reason=error)) from error
    except lmdb.Error as error:
        if type(error) not in _REFUSALS:
            raise
        raise ValueError(Errors.E065.format(path=path, reason=error)) from error


def scan(environment: lmdb.Environment) -> Iterator[tuple[str, str, memoryview]]:
    """Go through all records of an environment. See `FeatureStore.scan`.

    environment (Environment): The environment.
    YIELDS (tuple): Fingerprint, key of the picture, and the record.
    """
    with environment.begin(buffers=True) as transaction:
        for name, record in transaction.cursor():
            fingerprint, _, key = bytes(name).decode(errors="backslashreplace").rpartition(":")
            yield fingerprint, key, record


def record_key(key: str, fingerprint: str) -> bytes:
    """Name a record. The extractor comes first: all it has seen then lies together.

    key (str): The picture, see `picture_key`.
    fingerprint (str): The extractor, see `Extractor.fingerprint`.
    RETURNS (bytes): What LMDB knows the record by.
    """
    return f"{fingerprint}:{key}".encode()


def pack(features: PictureFeatures) -> bytes:
    """Make features into a record.

    features (PictureFeatures): The features; regions keep 16 bits.
    RETURNS (bytes): A msgpack message behind a mark and a checksum.
    """
    values = asdict(features)
    if features.regions is not None:
        values["regions"] = features.regions.astype(np.float16)
    message = srsly.msgpack_dumps(values)
    return _HEADER.pack(_MARK, crc32(message)) + message


def unpack(record: bytes | memoryview) -> PictureFeatures:
    """Make a record into features.

    record (bytes): What `pack` made. Records of the time before checksums have no header.
    RETURNS (PictureFeatures): The features, whose arrays may be written to.
    RAISES (ValueError): If the record is damaged; says how.
    """
    message = memoryview(record)
    if message[: len(_MARK)] == _MARK:
        _, checksum = _HEADER.unpack_from(message)
        message = message[_HEADER.size :]
        if crc32(message) != checksum:
            raise ValueError("its checksum is wrong")
    try:
        features = PictureFeatures(**srsly.msgpack_loads(message))
    except Exception as error:  # msgpack has many
        raise ValueError(f"it cannot be decoded ({error})") from error
    # Copies, since msgpack's arrays are views of the message and cannot be written to.
    if features.regions is not None:
        features.regions = features.regions.astype(np.float32)
    if features.boxes is not None:
        features.boxes = features.boxes.copy()
    return features
