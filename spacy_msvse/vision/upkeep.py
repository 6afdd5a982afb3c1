"""Upkeep of a feature store: counts, a check for damage, and pruning."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ..errors import Errors, MsvseError
from .features import Features, RegionFeatures
from .store import FeatureStore, unpack

#: Records of an extractor that are decoded to find its views: not every picture has a caption.
_DESCRIBED_BY = 16


@dataclass
class ExtractorRecords:
    """Records of one extractor in a store.

    Attributes:
        fingerprint (str): The extractor.
        records (int): Its records: one for each picture, text or post.
        size (int): Their bytes.
        views (list): The views that its first records fill.
        region_dim (int): Width of a region vector in them; None without regions.
    """

    fingerprint: str
    records: int = 0
    size: int = 0
    views: list[str] = field(default_factory=list)
    region_dim: int | None = None


@dataclass
class StoreSummary:
    """Counts of a store.

    Attributes:
        path (str): Its folder.
        size (int): Bytes of its file.
        free (int): Bytes of its file that are free for further records.
        records (int): Its records.
        extractors (list): The records of each extractor.
    """

    path: str
    size: int
    free: int
    records: int
    extractors: list[ExtractorRecords]


@dataclass
class DamagedRecord:
    """A record that cannot be used.

    Attributes:
        key (str): Its item.
        fingerprint (str): Its extractor.
        reason (str): The damage.
    """

    key: str
    fingerprint: str
    reason: str


@dataclass
class PruneReport:
    """The result of pruning a store, or of a dry run.

    Attributes:
        kept (int): Records that remain.
        dropped (int): Records that were dropped because they were not selected.
        damaged (int): Records that were selected, but were dropped because they are damaged.
        size_before (int): Bytes of the file before.
        size_after (int): Bytes of the file after; None if no space was returned to the disk.
    """

    kept: int = 0
    dropped: int = 0
    damaged: int = 0
    size_before: int = 0
    size_after: int | None = None


def summarize(store: FeatureStore) -> StoreSummary:
    """Count the records of a store.

    Args:
        store (FeatureStore): The store.

    Returns:
        StoreSummary: The counts.

    Raises:
        MsvseError: If the store is damaged beyond single records (MSVSE-E060).
    """
    extractors: dict[str, ExtractorRecords] = {}
    for key, fingerprint, record in store.scan():
        counts = extractors.setdefault(fingerprint, ExtractorRecords(fingerprint))
        counts.records += 1
        counts.size += len(record)
        if counts.records > _DESCRIBED_BY:
            continue
        for name, view in (_unpack_sound(record, key, fingerprint) or {}).items():
            if name not in counts.views:
                counts.views.append(name)
            if isinstance(view, RegionFeatures) and view.vectors is not None:
                counts.region_dim = view.vectors.shape[-1]
    size, free = store.sizes()
    return StoreSummary(str(store.path), size, free, len(store), list(extractors.values()))


def find_damage(path: str | Path) -> list[DamagedRecord]:
    """Read every record of a store, with a progress bar.

    Args:
        path (Path): Folder of the store.

    Returns:
        list: The records that are damaged.

    Raises:
        MsvseError: If there is no store (MSVSE-E033) or it is damaged beyond single records
            (MSVSE-E060).
    """
    damaged = []
    with FeatureStore(path, readonly=True) as store:
        store.check()
        for key, fingerprint, record in tqdm(
            store.scan(), total=len(store), unit=" records", disable=not sys.stderr.isatty()
        ):
            try:
                unpack(record, key, fingerprint)
            except ValueError as error:
                damaged.append(DamagedRecord(key, fingerprint, str(error)))
    return damaged


def prune(path: str | Path, keep: Callable[[str, str], bool], dry_run: bool = False) -> PruneReport:
    """Drop unwanted and damaged records, and return their space to the disk.

    Other processes may use the store at the same time. If they never pause, the file keeps its
    size, and its free space is used for later records.

    Args:
        path (Path): Folder of the store.
        keep (Callable): Whether to keep a record, by key and fingerprint.
        dry_run (bool): Only count.

    Returns:
        PruneReport: The counts.

    Raises:
        MsvseError: If there is no store (MSVSE-E033), it is damaged beyond single records
            (MSVSE-E060), no record would remain (MSVSE-E064), or it cannot be written (MSVSE-E065).
    """
    report = PruneReport()
    unwanted: list[tuple[str, str]] = []
    with FeatureStore(path, readonly=True) as store:
        report.size_before, _ = store.sizes()
        for key, fingerprint, record in store.scan():
            if not keep(key, fingerprint):
                report.dropped += 1
            elif _unpack_sound(record, key, fingerprint) is None:
                report.damaged += 1
            else:
                report.kept += 1
                continue
            unwanted.append((key, fingerprint))
    if report.dropped and not report.kept:
        raise MsvseError(Errors.E064.format(path=path))
    if not dry_run:
        with FeatureStore(path) as store:
            store.drop(unwanted)
            if store.compact():
                report.size_after, _ = store.sizes()
    return report


def _unpack_sound(record: bytes, key: str, fingerprint: str) -> Features | None:
    try:
        return unpack(record, key, fingerprint)
    except ValueError:
        return None
