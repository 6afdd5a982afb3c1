"""Features on disk, so that every picture is looked at once."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

import lmdb
import numpy as np
import srsly

from ..errors import Errors
from .features import PictureFeatures

#: Room to grow, not space taken: the file is as large as what is in it.
MAP_SIZE = 2**40

#: Transactions that may read at the same time, over all processes.
MAX_READERS = 1024

#: LMDB lets a process open a folder once, so its stores share; by process and folder.
_environments: WeakValueDictionary[tuple[int, Path], lmdb.Environment] = WeakValueDictionary()


class FeatureStore:
    """Picture features by picture content and extractor.

    Every write is one LMDB transaction: whole or not at all, also when the process is killed.
    Many processes may read while one writes. A store may be used after a fork and may be pickled;
    each process opens the folder for itself.

    path (Path): A folder; created unless `readonly`.
    readonly (bool): Never write. `put` and `put_many` then raise `lmdb.ReadonlyError`.
    RAISES (ValueError): If there is no store to read (MSVSE-E033).
    """

    def __init__(self, path: str | Path, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._environment: lmdb.Environment | None = None
        self._process = 0
        if not readonly:
            self.path.mkdir(parents=True, exist_ok=True)
        elif not (self.path / "data.mdb").is_file():
            raise ValueError(Errors.E033.format(path=path))
        self._open()

    def get(self, key: str, fingerprint: str) -> PictureFeatures | None:
        """Look up what an extractor saw in a picture.

        key (str): The picture, see `picture_key`.
        fingerprint (str): The extractor, see `Extractor.fingerprint`.
        RETURNS (PictureFeatures): The features; None if they are not stored.
        """
        with self._open().begin() as transaction:
            data = transaction.get(_record_key(key, fingerprint))
        return None if data is None else _unpack(data)

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
        with self._open().begin(write=not self.readonly) as transaction:
            for key, fingerprint, features in items:
                transaction.put(_record_key(key, fingerprint), _pack(features))

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

    def _open(self) -> lmdb.Environment:
        """The environment of this process: one inherited through a fork must not be used."""
        if self._environment is None or self._process != os.getpid():
            self._process = os.getpid()
            self._environment = _open_environment(self.path.resolve())
        return self._environment


def _open_environment(path: Path) -> lmdb.Environment:
    for (process, _), inherited in list(_environments.items()):
        if process != os.getpid():
            inherited.close()  # closes this process's copy; the parent keeps its own
    key = os.getpid(), path
    environment = _environments.get(key)
    if environment is None:
        # Stores that share an environment may differ in `readonly`, so the folder decides.
        writable = os.access(path, os.W_OK)
        environment = lmdb.open(
            str(path),
            map_size=MAP_SIZE,
            max_readers=MAX_READERS,
            readonly=not writable,
            lock=writable,
            readahead=False,  # pictures are looked up in no order
        )
        environment.reader_check()  # frees the slots of readers that were killed
        _environments[key] = environment
    return environment


def _record_key(key: str, fingerprint: str) -> bytes:
    """The extractor first: all it has seen then lies together."""
    return f"{fingerprint}:{key}".encode()


def _pack(features: PictureFeatures) -> bytes:
    record = asdict(features)
    if features.regions is not None:
        record["regions"] = features.regions.astype(np.float16)
    return srsly.msgpack_dumps(record)


def _unpack(data: bytes) -> PictureFeatures:
    features = PictureFeatures(**srsly.msgpack_loads(data))
    # Copies, since msgpack's arrays are views of the message and cannot be written to.
    if features.regions is not None:
        features.regions = features.regions.astype(np.float32)
    if features.boxes is not None:
        features.boxes = features.boxes.copy()
    return features
