"""The feature store: extracted features on disk, so that every item is extracted once."""

import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from struct import Struct
from threading import RLock
from types import TracebackType
from typing import Any
from zlib import crc32

import numpy as np

from ..errors import Errors, MsvseError
from .features import Features, RegionFeatures, find_unusable

#: The file in the store's folder with all records.
DATA_FILE = "features.sqlite"

#: Seconds that a writer waits for another one.
BUSY_SECONDS = 60.0

#: Seconds that a reader waits for the process that creates the store.
CREATION_SECONDS = 5.0

#: Marks a SQLite file as a feature store, to distinguish it from databases of other programs.
_APPLICATION_ID = 0x4D535645

#: Measured in benchmarks/results/feature_store.md.
_PAGE_SIZE = 16384

#: The numbers at the start of a record: its checksum, and the length of its JSON message.
_UINT32 = Struct(">I")

#: SQLite's names of the errors of a process that gets no more memory.
_MEMORY_ERRORS = ("SQLITE_NOMEM", "SQLITE_IOERR_NOMEM", "SQLITE_IOERR_SHMMAP")

#: Connections of a parent process. SQLite forbids to use or close them in its child.
_inherited: list[sqlite3.Connection] = []


class FeatureStore:
    """Features by the key of an item and the fingerprint of an extractor.

    The key of a picture is the hash of its content. Every write is one transaction: complete or
    absent, also if the process is killed. Many processes may read while one writes; several writers
    take turns. A store may be used in several threads and after a fork, and may be pickled. A
    record that the disk has damaged counts as absent.

    Args:
        path (Path): A folder; created unless `readonly`.
        readonly (bool): Never write. An attempt is an error (MSVSE-E065). A folder or file without
            write permission is opened like this in any case.

    Raises:
        MsvseError: If there is no store to read (MSVSE-E033, MSVSE-E202), it is damaged beyond
            single records (MSVSE-E060), cannot be opened (MSVSE-E065) or gets no memory
            (MSVSE-E193). The last three may also be raised whenever the store is used.
    """

    def __init__(self, path: str | Path, readonly: bool = False) -> None:
        self.path = Path(path)
        file = self.path / DATA_FILE
        if not readonly:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = error.strerror or error
                raise MsvseError(Errors.E065.format(path=path, reason=reason)) from error
        elif not file.is_file():
            if self.path.is_dir():
                raise MsvseError(Errors.E202.format(path=path, file=DATA_FILE))
            raise MsvseError(Errors.E033.format(path=path))
        self.readonly = readonly or not _is_writable(self.path)
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._lock = RLock()
        with self._connected():
            pass

    def get(self, key: str, fingerprint: str) -> Features | None:
        """Look up the features of an item.

        Args:
            key (str): The item, such as the key of a picture.
            fingerprint (str): The extractor.

        Returns:
            dict: The features; None if they are not stored.
        """
        return self.look_up(key, fingerprint)[0]

    def look_up(self, key: str, fingerprint: str) -> tuple[Features | None, str | None]:
        """Look up the features of an item, and the damage of its record.

        Args:
            key (str): The item.
            fingerprint (str): The extractor.

        Returns:
            tuple: The features, None if there is no sound record; and the reason why the record
                cannot be used, None if it can be, or if there is none.
        """
        record = self._get_record(key, fingerprint)
        try:
            return None if record is None else unpack(record, key, fingerprint), None
        except ValueError as error:
            return None, str(error)

    def holds(self, key: str, fingerprint: str) -> bool:
        """Whether there is an undamaged record of an item. The record is not decoded.

        Args:
            key (str): The item.
            fingerprint (str): The extractor.

        Returns:
            bool: True if so.
        """
        record = self._get_record(key, fingerprint)
        return record is not None and _is_sound(record, key, fingerprint)

    def knows(self, fingerprint: str) -> bool:
        """Whether there is a record of an extractor.

        Args:
            fingerprint (str): The extractor.

        Returns:
            bool: True if so.
        """
        query = "SELECT 1 FROM records WHERE fingerprint = ? LIMIT 1"
        with self._connected() as connection:
            return connection.execute(query, (fingerprint,)).fetchone() is not None

    def put_many(self, items: Iterable[tuple[str, str, Features]]) -> None:
        """Store the features of many items in one transaction, in place of older ones.

        Args:
            items (Iterable): Key, fingerprint and features of each; region vectors keep 16 bits.
        """
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
                (
                    (fingerprint, key, pack(features, key, fingerprint))
                    for key, fingerprint, features in items
                ),
            )

    def drop(self, names: Iterable[tuple[str, str]]) -> None:
        """Delete records in one transaction, and rows that are none. The file keeps their space
        for later records.

        Args:
            names (Iterable): Key and fingerprint of each.
        """
        with self._writing() as connection:
            connection.executemany("DELETE FROM records WHERE key = ? AND fingerprint = ?", names)
            # A flipped bit has changed their type, so no name finds them.
            connection.execute(
                "DELETE FROM records WHERE typeof(key) <> 'text' OR typeof(fingerprint) <> 'text'"
            )

    def scan(self) -> Iterator[tuple[str, str, bytes]]:
        """Read all records, those of one extractor together.

        Yields:
            tuple: Key, fingerprint, and the record, which `unpack` decodes.
        """
        query = (
            "SELECT coalesce(CAST(key AS TEXT), ''), coalesce(CAST(fingerprint AS TEXT), ''), "
            "coalesce(CAST(record AS BLOB), x'') FROM records ORDER BY fingerprint, key"
        )
        with _coded_errors(self.path), closing(_open(self.path, self.readonly)) as connection:
            yield from connection.execute(query)

    def sizes(self) -> tuple[int, int]:
        """The size of the store on disk.

        Returns:
            tuple: Bytes of the file, and those of them that are free for further records.
        """
        with self._connected() as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return pages * size, free * size

    def check(self) -> None:
        """Check the structure of the file, though not the records in it.

        Raises:
            MsvseError: If it is damaged (MSVSE-E060).
        """
        with self._connected() as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise MsvseError(Errors.E060.format(path=self.path, reason=result))

    def compact(self) -> bool:
        """Return free space to the disk, unless others read or write for longer than a minute.

        Returns:
            bool: Whether the file has its smallest size now.
        """
        with self._connected() as connection:
            if self.readonly:
                raise sqlite3.OperationalError("it was opened to be read")
            try:
                connection.execute("VACUUM")
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                return False
        return not busy

    def __len__(self) -> int:
        with self._connected() as connection:
            count: int = connection.execute("SELECT count(*) FROM records").fetchone()[0]
            return count

    def close(self) -> None:
        """Close the file. The store opens it again when it is used again."""
        if self._connection is not None and self._process == os.getpid():
            with self._lock:
                self._connection.close()
        self._connection = None

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

    def _get_record(self, key: str, fingerprint: str) -> bytes | None:
        query = "SELECT record FROM records WHERE fingerprint = ? AND key = ?"
        with self._connected() as connection:
            row = connection.execute(query, (fingerprint, key)).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """The connection of this process, for one thread at a time."""
        if self._process != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._connection, self._lock, self._process = None, RLock(), os.getpid()
        with self._lock, _coded_errors(self.path):
            if self._connection is None:
                self._connection = _open(self.path, self.readonly)
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            if self.readonly:
                raise sqlite3.OperationalError("it was opened to be read")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk may have ended it
                    connection.execute("ROLLBACK")
                raise


def pack(features: Features, key: str, fingerprint: str) -> bytes:
    """Encode features as a record.

    Args:
        features (Features): The features; region vectors keep 16 bits.
        key (str): The item.
        fingerprint (str): The extractor.

    Returns:
        bytes: A checksum of the item, the extractor and all that follows, the length of a JSON
            message, the message, and the arrays.
    """
    arrays: list[bytes] = []

    def place(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(value.tobytes())
        return {"dtype": value.dtype.str, "shape": value.shape}

    message: dict[str, Any] = {}
    for name, view in features.items():
        if isinstance(view, RegionFeatures):
            if view.vectors is not None:
                view = replace(view, vectors=view.vectors.astype(np.float16))
            message[name] = {key: place(value) for key, value in vars(view).items()}
        else:
            message[name] = view
    header = json.dumps(message).encode()
    content = b"".join([_UINT32.pack(len(header)), header, *arrays])
    return _checksum(content, key, fingerprint) + content


def unpack(record: bytes, key: str, fingerprint: str) -> Features:
    """Decode a record.

    Args:
        record (bytes): A record that `pack` made.
        key (str): The item that the record was found for.
        fingerprint (str): The extractor that it was found for.

    Returns:
        dict: The features. Their arrays may be written to.

    Raises:
        ValueError: If the record is damaged or belongs to another item or extractor; the message
            says how.
    """
    if not _is_sound(record, key, fingerprint):
        raise ValueError("its checksum is wrong")
    try:
        (length,) = _UINT32.unpack_from(record, _UINT32.size)
        start = 2 * _UINT32.size + length
        features: Features = json.loads(record[2 * _UINT32.size : start])
        for name, view in features.items():
            if isinstance(view, dict):
                features[name], start = _unpack_regions(view, record, start)
            else:
                texts = view if isinstance(view, list) else [view]
                if not all(isinstance(text, str) for text in texts):
                    raise ValueError(f"the view '{name}' is not a text or a list of texts")
        unusable = find_unusable(features)
    except Exception as error:  # json and numpy raise many kinds
        raise ValueError(f"it cannot be decoded ({error})") from error
    for reason in unusable.values():
        raise ValueError(reason)
    return features


def _unpack_regions(
    values: dict[str, Any], record: bytes, start: int
) -> tuple[RegionFeatures, int]:
    """Regions, and where the arrays of the next view start."""
    for key, value in values.items():
        if isinstance(value, dict):
            dtype, shape = np.dtype(value["dtype"]), value["shape"]
            array = np.frombuffer(record, dtype, math.prod(shape), start).reshape(shape)
            start += array.nbytes
            # A copy, since an array of bytes cannot be written to.
            values[key] = array.astype(np.float32 if key == "vectors" else dtype)
    regions = RegionFeatures(**values)
    count = len(regions.boxes)
    parts = (regions.vectors, regions.labels, regions.scores, regions.pictures)
    lengths = {len(part) for part in parts if part is not None}
    if regions.boxes.shape != (count, 4) or lengths - {count}:
        raise ValueError("its parts have different numbers of regions")
    return regions, start


def _is_sound(record: object, key: str, fingerprint: str) -> bool:
    if not isinstance(record, bytes):  # a flipped bit may have changed its type
        return False
    content = memoryview(record)[_UINT32.size :]
    return record[: _UINT32.size] == _checksum(content, key, fingerprint)


def _checksum(content: bytes | memoryview, key: str, fingerprint: str) -> bytes:
    # With its name: a flipped bit in the index of the file may lead to the record of another item.
    name = json.dumps([key, fingerprint]).encode()
    return _UINT32.pack(crc32(content, crc32(name)))


def _is_writable(path: Path) -> bool:
    file = path / DATA_FILE
    return os.access(path, os.W_OK) and (not file.exists() or os.access(file, os.W_OK))


def _open(path: Path, readonly: bool) -> sqlite3.Connection:
    file = path / DATA_FILE
    mode = "mode=rwc"
    if not _is_writable(path):
        mode = "mode=ro"
        if not os.access(path, os.W_OK) and not file.with_name(f"{DATA_FILE}-wal").exists():
            mode += "&immutable=1"  # otherwise SQLite writes further files even for reading
    connection = sqlite3.connect(
        f"{file.resolve().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # the store has a lock of its own
    )
    try:
        connection.text_factory = lambda data: data.decode(errors="replace")
        if not readonly:
            _create(connection)
        else:
            _await_content(connection)
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found != _APPLICATION_ID:
            raise sqlite3.DatabaseError("it is the file of another program")
        connection.execute(f"PRAGMA query_only = {int(readonly)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make an empty file a store, and prepare the connection for writing."""
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS records "
            "(fingerprint TEXT, key TEXT, record BLOB, PRIMARY KEY (fingerprint, key))"
        )
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute("COMMIT")
    # A killed process loses nothing; a power failure may lose the last transactions.
    connection.execute("PRAGMA synchronous = NORMAL")


def _await_content(connection: sqlite3.Connection) -> None:
    """Wait until another process has created the store whose file is still empty."""
    last = time.monotonic() + CREATION_SECONDS
    while connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        if time.monotonic() > last:
            raise sqlite3.DatabaseError("it is empty")
        time.sleep(0.05)


@contextmanager
def _coded_errors(path: Path) -> Iterator[None]:
    """Raise errors of SQLite as coded ones: damage, no memory, or a refusal of the system."""
    try:
        yield
    except MemoryError as error:
        raise MsvseError(Errors.E193.format(path=path, reason=_name_memory_limit())) from error
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") in _MEMORY_ERRORS:  # from Python 3.11 on
            raise MsvseError(Errors.E193.format(path=path, reason=_name_memory_limit())) from error
        raise MsvseError(Errors.E065.format(path=path, reason=error)) from error
    except sqlite3.DatabaseError as error:
        raise MsvseError(Errors.E060.format(path=path, reason=error)) from error


def _name_memory_limit() -> str:
    """The limit of the memory of this process, which is the likely cause if there is one."""
    try:
        import resource
    except ImportError:  # on Windows
        return "memory is full"
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return "memory is full"
    return f"the limit of its address space is {limit // 1024} kB (`ulimit -v`)"
