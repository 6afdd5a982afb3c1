"""What is in a feature store, whether it is sound, and getting rid of what nobody needs."""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from ..errors import Errors, MsvseError
from .features import SCALES, PictureFeatures
from .store import DATA_FILE, FeatureStore, compact, unpack

#: Records of an extractor that are decoded to say what it fills: not every picture has a caption.
_DESCRIBED_BY = 16


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
    free (int): Those of them that wait for further records.
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

    key (str): Its picture.
    fingerprint (str): Its extractor.
    reason (str): What is wrong with it.
    """

    key: str
    fingerprint: str
    reason: str


@dataclass
class PruneReport:
    """What pruning a store did, or would do.

    kept (int): Records that stay.
    dropped (int): Records that go because nobody asked to keep them.
    damaged (int): Records that go because they cannot be used.
    size_before (int): Bytes of the file.
    size_after (int): Bytes of the file now; None if no space was given back.
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
    for _, fingerprint, record in store.scan():
        counts = extractors.setdefault(fingerprint, ExtractorRecords(fingerprint))
        counts.pictures += 1
        counts.size += len(record)
        features = _unpack_sound(record) if counts.pictures <= _DESCRIBED_BY else None
        if features is not None:
            filled = {scale for scale in SCALES if getattr(features, scale) is not None}
            if not features.texts:
                filled.remove("texts")
            counts.scales = [scale for scale in SCALES if scale in filled.union(counts.scales)]
            if features.regions is not None:
                counts.region_dim = features.regions.shape[-1]
    size, free = store.sizes()
    return StoreSummary(str(store.path), size, free, len(store), list(extractors.values()))


def find_damage(path: str | Path) -> list[DamagedRecord]:
    """Read every record of a store, with a progress bar.

    path (Path): Folder of the store.
    RETURNS (list): The records that are damaged.
    RAISES (ValueError): If there is no store (MSVSE-E033) or it is damaged beyond single records
        (MSVSE-E060).
    """
    # Where LMDB's own pages are damaged, reading may end the process, so another one does it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_find_damage, path).result()
        except BrokenProcessPool as error:
            reason = "its pages refer to places that are not there"
            raise MsvseError(Errors.E060.format(path=path, reason=reason)) from error


def prune(path: str | Path, keep: Callable[[str, str], bool], dry_run: bool = False) -> PruneReport:
    """Drop the records that nobody needs and those that are damaged, and give their space back.

    Others may use the store meanwhile; the space is then left to further records.

    path (Path): Folder of the store.
    keep (Callable): Whether to keep a record, by key and fingerprint.
    dry_run (bool): Only count.
    RETURNS (PruneReport): The counts.
    RAISES (ValueError): If there is no store (MSVSE-E033), it is damaged beyond single records
        (MSVSE-E060), nothing would be left (MSVSE-E064), or it cannot be written (MSVSE-E065).
    """
    report = PruneReport()
    goes: list[tuple[str, str]] = []
    with FeatureStore(path, readonly=True) as store:
        report.size_before, _ = store.sizes()
        for key, fingerprint, record in store.scan():
            if not keep(key, fingerprint):
                report.dropped += 1
            elif _unpack_sound(record) is None:
                report.damaged += 1
            else:
                report.kept += 1
                continue
            goes.append((key, fingerprint))
    if report.dropped and not report.kept:
        raise MsvseError(Errors.E064.format(path=path))
    if not dry_run:
        with FeatureStore(path) as store:
            store.drop(goes)
        if compact(store.path):
            report.size_after = (store.path / DATA_FILE).stat().st_size
    return report


def _find_damage(path: str | Path) -> list[DamagedRecord]:
    damaged = []
    with FeatureStore(path, readonly=True) as store:
        for key, fingerprint, record in tqdm(
            store.scan(), total=len(store), unit=" records", disable=not sys.stderr.isatty()
        ):
            try:
                unpack(record)
            except ValueError as error:
                damaged.append(DamagedRecord(key, fingerprint, str(error)))
    return damaged


def _unpack_sound(record: memoryview) -> PictureFeatures | None:
    try:
        return unpack(record)
    except ValueError:
        return None
