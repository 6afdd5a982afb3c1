"""What is in a feature store, whether it is sound, and getting rid of what nobody needs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import srsly
from tqdm import tqdm

from ..errors import Errors
from .features import SCALES, PictureFeatures
from .store import (
    DATA_FILE,
    FeatureStore,
    coded_errors,
    lock_folder,
    open_environment,
    record_key,
    scan,
    unpack,
)

#: Where the data that stay are gathered before they replace the old ones.
_NEW_FOLDER = "pruned"

#: Records that are copied in one transaction.
_COPIED_AT_ONCE = 256

#: Records of each extractor that are decoded to say what it fills: not every picture has a caption.
_DESCRIBED_BY = 16

#: Fingerprint, key of the picture, and the packed features.
Record = tuple[str, str, memoryview]

#: Decides by fingerprint and key of the picture whether a record stays.
Keep = Callable[[str, str], bool]


@dataclass
class ExtractorRecords:
    """What a store holds of one extractor.

    fingerprint (str): The extractor.
    pictures (int): Pictures it has looked at.
    size (int): Bytes of its records.
    scales (list): The scales that its first records fill.
    region_dim (int): Width of a region vector in them; None without regions.
    """

    fingerprint: str
    pictures: int = 0
    size: int = 0
    scales: list[str] = field(default_factory=list)
    region_dim: int | None = None


@dataclass
class StoreSummary:
    """What a store holds.

    path (str): Its folder.
    size (int): Bytes of its file.
    free (int): Those of them that hold no record and wait for one.
    records (int): Its records.
    extractors (list): What it holds of each extractor.
    """

    path: str
    size: int
    free: int
    records: int
    extractors: list[ExtractorRecords]


@dataclass
class DamagedRecord:
    """A record that cannot be used.

    fingerprint (str): Its extractor.
    key (str): Its picture.
    reason (str): What is wrong with it.
    """

    fingerprint: str
    key: str
    reason: str


@dataclass
class PruneReport:
    """What pruning a store did, or would do.

    kept (int): Records that stay.
    dropped (int): Records that go because nobody asked to keep them.
    damaged (int): Records that go because they cannot be used.
    size_before (int): Bytes of the file.
    size_after (int): Bytes of the new file; None if nothing was replaced.
    """

    kept: int = 0
    dropped: int = 0
    damaged: int = 0
    size_before: int = 0
    size_after: int | None = None


def summarize(store: FeatureStore) -> StoreSummary:
    """Count what a store holds.

    store (FeatureStore): The store.
    RETURNS (StoreSummary): The counts.
    RAISES (ValueError): If the store is damaged beyond single records (MSVSE-E060).
    """
    extractors: dict[str, ExtractorRecords] = {}
    for fingerprint, _, record in store.scan():
        counts = extractors.setdefault(fingerprint, ExtractorRecords(fingerprint))
        counts.pictures += 1
        counts.size += len(record)
        if counts.pictures <= _DESCRIBED_BY:
            _describe(counts, record)
    size, free = store.page_sizes()
    return StoreSummary(str(store.path), size, free, len(store), list(extractors.values()))


def find_damage(path: str | Path) -> list[DamagedRecord]:
    """Read every record of a store, with a progress bar.

    To read a page that is not there ends a process, so another one does it.

    path (Path): Folder of the store.
    RETURNS (list): The records that cannot be decoded, or that are not like the others of their
        extractor.
    RAISES (ValueError): If there is no store (MSVSE-E033) or it is damaged beyond single records
        (MSVSE-E060).
    """
    FeatureStore(path, readonly=True).close()
    command = [sys.executable, "-m", __name__, str(path)]
    check = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if check.returncode != 0:
        reason = f"reading it ended a process with status {check.returncode}"
        raise ValueError(Errors.E060.format(path=path, reason=reason))
    outcome = srsly.json_loads(check.stdout)
    if outcome["error"] is not None:
        raise ValueError(outcome["error"])
    return [DamagedRecord(**values) for values in outcome["damaged"]]


def check_records(store: FeatureStore) -> Iterator[DamagedRecord]:
    """Read every record in this process.

    store (FeatureStore): The store.
    YIELDS (DamagedRecord): See `find_damage`.
    RAISES (ValueError): If the store is damaged beyond single records (MSVSE-E060).
    """
    widths: dict[str, int] = {}
    records = tqdm(store.scan(), total=len(store), unit=" records", disable=not sys.stderr.isatty())
    for fingerprint, key, record in records:
        try:
            _check(unpack(record), fingerprint, widths)
        except ValueError as error:
            yield DamagedRecord(fingerprint, key, str(error))


def prune(path: str | Path, keep: Keep, dry_run: bool = False) -> PruneReport:
    """Drop the records that nobody needs and those that are damaged, and give their space back.

    What stays is written to a new file beside the old one, which then takes its place: killed at
    any moment, the store is as it was or as it should be. Others may not have it open.

    path (Path): Folder of the store.
    keep (Callable): Whether to keep a record, by fingerprint and key of the picture.
    dry_run (bool): Only count.
    RETURNS (PruneReport): The counts.
    RAISES (ValueError): If there is no store (MSVSE-E033), it is damaged beyond single records
        (MSVSE-E060), others have it open (MSVSE-E063), or nothing would be left (MSVSE-E064).
    """
    path = Path(path)
    report = PruneReport()
    with FeatureStore(path, readonly=True) as store:
        report.size_before, _ = store.page_sizes()
        if dry_run:
            for _ in _sift(store.scan(), keep, report):
                pass
            _refuse_nothing(path, report)
            return report
    try:
        lock = lock_folder(path, alone=True)
    except BlockingIOError as error:
        raise ValueError(Errors.E063.format(path=path)) from error
    try:
        _replace(path, keep, report)
    finally:
        if lock is not None:
            lock.close()
    report.size_after = (path / DATA_FILE).stat().st_size
    return report


def _replace(path: Path, keep: Keep, report: PruneReport) -> None:
    """Write what stays to a new file and put it in the place of the old one."""
    new = path / _NEW_FOLDER
    shutil.rmtree(new, ignore_errors=True)  # left by a process that was killed
    new.mkdir()
    try:
        old = open_environment(path, readonly=True, lock=False)
        try:
            with coded_errors(path):
                _copy(_sift(scan(old), keep, report), new)
        finally:
            old.close()
        _refuse_nothing(path, report)
        _move(new / DATA_FILE, path / DATA_FILE)
    finally:
        shutil.rmtree(new)


def _sift(records: Iterable[Record], keep: Keep, report: PruneReport) -> Iterator[Record]:
    """The records that stay; all are counted."""
    for fingerprint, key, record in records:
        if not keep(fingerprint, key):
            report.dropped += 1
        elif _unpack_sound(record) is None:
            report.damaged += 1
        else:
            report.kept += 1
            yield fingerprint, key, record


def _copy(records: Iterator[Record], folder: Path) -> None:
    environment = open_environment(folder, sync=False, lock=False)
    try:
        while batch := list(islice(records, _COPIED_AT_ONCE)):
            with environment.begin(write=True) as transaction:
                for fingerprint, key, record in batch:
                    transaction.put(record_key(key, fingerprint), record, append=True)
        environment.sync(True)
    finally:
        environment.close()


def _move(new: Path, old: Path) -> None:
    try:
        os.replace(new, old)
    except PermissionError as error:  # Windows, while others have the old one open
        raise ValueError(Errors.E063.format(path=old.parent)) from error
    if os.name == "posix":  # the new name must outlive a loss of power too
        folder = os.open(old.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _refuse_nothing(path: Path, report: PruneReport) -> None:
    if report.dropped and not report.kept:
        raise ValueError(Errors.E064.format(path=path))


def _describe(counts: ExtractorRecords, record: memoryview) -> None:
    features = _unpack_sound(record)
    if features is None:
        return
    if features.regions is not None:
        counts.region_dim = features.regions.shape[-1]
    filled = {scale for scale in SCALES if getattr(features, scale) is not None}
    if not features.texts:
        filled.remove("texts")
    counts.scales = [scale for scale in SCALES if scale in filled.union(counts.scales)]


def _unpack_sound(record: memoryview) -> PictureFeatures | None:
    try:
        return unpack(record)
    except ValueError:
        return None


def _check(features: PictureFeatures, fingerprint: str, widths: dict[str, int]) -> None:
    """Compare a record with itself and with those before it.

    widths (dict): Width of a region vector by fingerprint; filled by the first record of each.
    RAISES (ValueError): If something does not fit; says what.
    """
    if features.regions is None:
        count = None if features.boxes is None else len(features.boxes)
    else:
        if features.regions.ndim != 2 or not len(features.regions):
            raise ValueError(f"its regions are of shape {features.regions.shape}")
        count, width = features.regions.shape
        if width != widths.setdefault(fingerprint, width):
            raise ValueError(
                f"its regions are {width} wide, those of other pictures {widths[fingerprint]}"
            )
    if features.boxes is not None and features.boxes.shape != (count, 4):
        raise ValueError(f"its boxes are of shape {features.boxes.shape} for {count} regions")
    for name in ("region_labels", "region_scores"):
        values = getattr(features, name)
        if values is not None and len(values) != count:
            raise ValueError(f"it has {len(values)} {name} for {count} regions")


def _check_apart(path: str) -> None:
    """Print what `find_damage` waits for."""
    outcome: dict[str, Any] = {"damaged": [], "error": None}
    try:
        with FeatureStore(path, readonly=True) as store:
            outcome["damaged"] = [asdict(record) for record in check_records(store)]
    except ValueError as error:
        outcome["error"] = str(error)
    print(srsly.json_dumps(outcome))


if __name__ == "__main__":
    _check_apart(sys.argv[1])
