"""Features on disk, so that every picture is looked at once."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary, finalize
from zlib import crc32

import lmdb
import numpy as np
import srsly

from ..errors import Errors, MsvseError
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

#: Before each record: the checksum of what follows.
_CHECKSUM = Struct(">I")

#: LMDB describes itself in the first pages of a file.
_META_PAGES = 2

#: What LMDB raises where its pages are not what they should be.
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)

#: LMDB lets a process open a folder once, so its stores share; by process and folder.
_environments: WeakValueDictionary[tuple[int, Path], lmdb.Environment] = WeakValueDictionary()


class FeatureStore:
    """Picture features by picture content and extractor.

    Every write is one LMDB transaction: whole or not at all, also when the process is killed.
    Many processes may read while one writes; several that write take turns. A store may be used
    after a fork and may be pickled; each process opens the folder for itself. A record that the
    disk has damaged counts as absent.

    path (Path): A folder; created unless `readonly`.
    readonly (bool): Never write. To try is an error (MSVSE-E065).
    RAISES (ValueError): If there is no store to read (MSVSE-E033), it is damaged beyond single
        records (MSVSE-E060) or cannot be opened (MSVSE-E065). The last two may also be raised
        whenever the store is used.
    """

    def __init__(self, path: str | Path, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._environment: lmdb.Environment | None = None
        self._process = 0
        if not readonly:
            self.path.mkdir(parents=True, exist_ok=True)
        elif not (self.path / DATA_FILE).is_file():
            raise MsvseError(Errors.E033.format(path=path))
        self._open()

    def get(self, key: str, fingerprint: str) -> PictureFeatures | None:
        """Look up what an extractor saw in a picture.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (PictureFeatures): The features; None if they are not stored.
        """
        with self._transaction() as transaction:
            record = transaction.get(_record_name(key, fingerprint))
            if record is None:
                return None
            try:
                return unpack(record)
            except ValueError:
                return None

    def holds(self, key: str, fingerprint: str) -> bool:
        """Whether there is a sound record of a picture, without decoding it.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (bool): True if so.
        """
        with self._transaction() as transaction:
            record = transaction.get(_record_name(key, fingerprint))
            return record is not None and _is_sound(record)

    def knows(self, fingerprint: str) -> bool:
        """Whether there is a record of an extractor.

        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (bool): True if so.
        """
        start = _record_name("", fingerprint)
        with self._transaction() as transaction:
            cursor = transaction.cursor()
            return cursor.set_range(start) and bytes(cursor.key()).startswith(start)

    def put(self, key: str, fingerprint: str, features: PictureFeatures) -> None:
        """Store what an extractor saw in a picture, instead of what was stored before.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        features (PictureFeatures): The features; regions are stored with 16 bits.
        """
        self.put_many([(key, fingerprint, features)])

    def put_many(self, items: Iterable[tuple[str, str, PictureFeatures]]) -> None:
        """Store many features in one transaction.

        items (Iterable): What `put` takes: key, fingerprint and features of each picture.
        """
        with self._transaction(write=True) as transaction:
            for key, fingerprint, features in items:
                transaction.put(_record_name(key, fingerprint), pack(features))

    def drop(self, names: Iterable[tuple[str, str]]) -> None:
        """Delete records in one transaction. Their space waits for others: see `compact`.

        names (Iterable): Key and fingerprint of each.
        """
        with self._transaction(write=True) as transaction:
            for key, fingerprint in names:
                transaction.delete(_record_name(key, fingerprint))

    def scan(self) -> Iterator[tuple[str, str, memoryview]]:
        """Go through all records, those of one extractor together.

        YIELDS (tuple): Key, fingerprint, and what `pack` made, which is gone with the next.
        """
        with self._transaction() as transaction:
            for name, record in transaction.cursor():
                fingerprint, _, key = bytes(name).decode(errors="replace").rpartition(":")
                yield key, fingerprint, memoryview(record)

    def sizes(self) -> tuple[int, int]:
        """How much of the disk the store takes.

        RETURNS (tuple): Bytes of the file, and those of them that wait for further records.
        """
        stat = self._open().stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        size = (self.path / DATA_FILE).stat().st_size
        return size, max(0, size - (pages + _META_PAGES) * stat["psize"])

    def __len__(self) -> int:
        return self._open().stat()["entries"]

    def close(self) -> None:
        """Let go of the folder. The store opens it again when it is used again."""
        self._environment = None

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
        environment = self._open()
        with _coded_errors(self.path):
            if write and self.readonly:
                raise lmdb.ReadonlyError("the store was opened to be read")
            with environment.begin(write=write, buffers=True) as transaction:
                yield transaction
            missing = _missing_bytes(environment, self.path) if write else 0
        if missing:  # LMDB leaves out pages at the end that it has taken and not used
            with (self.path / DATA_FILE).open("ab") as file:
                file.write(bytes(missing))

    def _open(self) -> lmdb.Environment:
        """The environment of this process: one inherited through a fork must not be used."""
        if self._environment is None or self._process != os.getpid():
            self._process = os.getpid()
            self._environment = _shared_environment(self.path.resolve())
        return self._environment


def compact(path: Path) -> bool:
    """Give back the space that waits for records, unless others have the store open.

    Killed at any moment, the store is as it was or as it should be.

    path (Path): Folder of the store.
    RETURNS (bool): Whether the space was given back.
    RAISES (ValueError): If the store is damaged (MSVSE-E060) or cannot be written (MSVSE-E065).
    """
    copy = path / "compact.mdb"
    try:
        lock = _lock_folder(path, alone=True)
    except BlockingIOError:
        return False
    try:
        with (
            _coded_errors(path),
            _open_environment(path) as environment,
            copy.open("wb") as stream,
        ):
            environment.copyfd(stream.fileno(), compact=True)
            os.fsync(stream.fileno())
        os.replace(copy, path / DATA_FILE)
    except PermissionError:  # Windows, where an open file cannot be replaced
        return False
    finally:
        copy.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)
    return True


def pack(features: PictureFeatures) -> bytes:
    """Make features into a record.

    features (PictureFeatures): The features; regions keep 16 bits.
    RETURNS (bytes): A checksum and a msgpack message.
    """
    values = asdict(features)
    if features.regions is not None:
        values["regions"] = features.regions.astype(np.float16)
    message = srsly.msgpack_dumps(values)
    return _CHECKSUM.pack(crc32(message)) + message


def unpack(record: bytes | memoryview) -> PictureFeatures:
    """Make a record into features.

    record (bytes): What `pack` made.
    RETURNS (PictureFeatures): The features, whose arrays may be written to.
    RAISES (ValueError): If the record is damaged; says how.
    """
    if not _is_sound(record):
        raise ValueError("its checksum is wrong")
    try:
        features = PictureFeatures(**srsly.msgpack_loads(memoryview(record)[_CHECKSUM.size :]))
    except Exception as error:  # msgpack has many
        raise ValueError(f"it cannot be decoded ({error})") from error
    # Copies, since msgpack's arrays are views of the message and cannot be written to.
    if features.regions is not None:
        features.regions = features.regions.astype(np.float32)
    if features.boxes is not None:
        features.boxes = features.boxes.copy()
    return features


def _is_sound(record: bytes | memoryview) -> bool:
    message = memoryview(record)[_CHECKSUM.size :]
    return record[: _CHECKSUM.size] == _CHECKSUM.pack(crc32(message))


def _record_name(key: str, fingerprint: str) -> bytes:
    """The extractor first: all it has seen then lies together."""
    return f"{fingerprint}:{key}".encode()


def _shared_environment(path: Path) -> lmdb.Environment:
    for (process, _), inherited in list(_environments.items()):
        if process != os.getpid():
            inherited.close()  # closes this process's copy; the parent keeps its own
    key = os.getpid(), path
    environment = _environments.get(key)
    if environment is None:
        lock = _lock_folder(path)
        try:
            environment = _open_environment(path)
        except ValueError:
            if lock is not None:
                os.close(lock)
            raise
        if lock is not None:
            finalize(environment, os.close, lock)
        environment.reader_check()  # frees the slots of readers that were killed
        _environments[key] = environment
    return environment


def _open_environment(path: Path) -> lmdb.Environment:
    # Stores that share an environment may differ in `readonly`, so the folder decides.
    writable = os.access(path, os.W_OK)
    with _coded_errors(path):
        environment = lmdb.open(
            str(path),
            map_size=MAP_SIZE,
            max_readers=MAX_READERS,
            readonly=not writable,
            lock=writable,
            readahead=False,  # pictures are looked up in no order
        )
    missing = _missing_bytes(environment, path)
    if missing:  # to read them would end the process
        environment.close()
        raise MsvseError(
            Errors.E060.format(path=path, reason=f"its end is missing: {missing} bytes")
        )
    return environment


def _missing_bytes(environment: lmdb.Environment, path: Path) -> int:
    """By how much the file is shorter than LMDB's pages."""
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    return max(0, needed - (path / DATA_FILE).stat().st_size)


def _lock_folder(path: Path, alone: bool = False) -> int | None:
    """Keep the data of a folder from being replaced or, `alone`, others from using them.

    RETURNS (int): A descriptor that holds the lock until it is closed; None where there is no need.
    RAISES (BlockingIOError): If `alone` and others use the folder.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _coded_errors(path: Path) -> Iterator[None]:
    """Raise what LMDB says of damage and of the operating system's refusals as our own errors."""
    try:
        yield
    except _DAMAGE as error:
        raise MsvseError(Errors.E060.format(path=path, reason=error)) from error
    except lmdb.Error as error:
        raise MsvseError(Errors.E065.format(path=path, reason=error)) from error
