"""Upkeep of a store: counts, damage, pruning."""

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from zlib import crc32

import numpy as np
import pytest

from spacy_msvse.vision.features import Features, RegionFeatures
from spacy_msvse.vision.store import DATA_FILE, FeatureStore, pack
from spacy_msvse.vision.upkeep import find_damage, prune, summarize

ONE, TWO = "1" * 64, "2" * 64


def features(width: int = 4, count: int = 3) -> Features:
    vectors, boxes = np.ones((count, width), "float32"), np.zeros((count, 4), "float32")
    return {"regions": RegionFeatures(vectors, boxes), "tags": ["cup"]}


def key(number: int) -> str:
    return f"{number:064}"


CHECKSUM_OF_NOTHING = crc32(json.dumps([key(7), ONE]).encode()).to_bytes(4, "big")


@pytest.fixture
def path(tmp_path):
    """A store of 20 pictures by one extractor, and 10 of them by another."""
    with FeatureStore(tmp_path / "store") as store:
        store.put_many((key(number), ONE, features(4000)) for number in range(20))
        store.put_many((key(number), TWO, {"caption": "a cup"}) for number in range(10))
    return tmp_path / "store"


def put_raw(path, fingerprint: str, number: int, record: bytes) -> None:
    with closing(sqlite3.connect(path / DATA_FILE)) as connection, connection:
        row = (fingerprint, key(number), record)
        connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", row)


def damage(path, fingerprint: str, number: int) -> None:
    put_raw(path, fingerprint, number, pack(features(), key(number), fingerprint)[:-1])


def content(path) -> set[tuple[str, str]]:
    with FeatureStore(path, readonly=True) as store:
        return {(fingerprint, name) for name, fingerprint, _ in store.scan()}


def everything(name: str, fingerprint: str) -> bool:
    return True


def only_one(name: str, fingerprint: str) -> bool:
    return fingerprint == ONE


# Counting


def test_summary_counts_records_and_bytes_by_extractor(path):
    with FeatureStore(path) as store:
        summary = summarize(store)
    one, two = summary.extractors
    assert (summary.records, summary.path) == (30, str(path))
    assert (one.fingerprint, one.records, one.views, one.region_dim) == (
        ONE,
        20,
        ["regions", "tags"],
        4000,
    )
    assert (two.fingerprint, two.records, two.views, two.region_dim) == (
        TWO,
        10,
        ["caption"],
        None,
    )
    assert one.size > 20 * 3 * 4000 * 2
    assert summary.size == (path / DATA_FILE).stat().st_size > one.size + two.size


def test_summary_counts_free_space(path):
    with FeatureStore(path) as store:
        before = summarize(store).free
        store.put_many((key(number), ONE, {}) for number in range(20))
        assert summarize(store).free > before + 20 * 3 * 4000 * 2 / 2


def test_summary_of_an_empty_store(tmp_path):
    with FeatureStore(tmp_path) as store:
        assert summarize(store).extractors == []


# Checking


def test_sound_store_has_no_damage(path):
    assert find_damage(path) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (pack(features(), key(7), ONE)[:-1], "its checksum is wrong"),
        (b"", "its checksum is wrong"),
        # The checksum is right, but the content is not that of a record.
        (CHECKSUM_OF_NOTHING, "it cannot be decoded"),
    ],
)
def test_damaged_records_are_named(path, record, reason):
    put_raw(path, ONE, 7, record)
    (found,) = find_damage(path)
    assert (found.fingerprint, found.key) == (ONE, key(7))
    assert found.reason.startswith(reason)


def test_bits_that_flip_on_the_disk_are_found(path):
    with (path / DATA_FILE).open("r+b") as file:
        data = file.read()
        file.seek(data.index(np.ones(2000, dtype="float16").tobytes()) + 1000)
        file.write(b"flip")
    (found,) = find_damage(path)
    assert (found.fingerprint, found.reason) == (ONE, "its checksum is wrong")


def test_damage_beyond_records_is_a_coded_error(path):
    with (path / DATA_FILE).open("r+b") as file:
        file.seek(16384)  # the second page: the root of the table
        file.write(b"\xff" * 64)
    with pytest.raises(ValueError, match="E060"):
        find_damage(path)


# Pruning


def test_pruning_drops_records_and_returns_their_space_to_the_disk(path):
    before = (path / DATA_FILE).stat().st_size
    report = prune(path, lambda name, fingerprint: fingerprint == TWO)
    assert (report.kept, report.dropped, report.damaged) == (10, 20, 0)
    assert report.size_before == before
    assert report.size_after == (path / DATA_FILE).stat().st_size < before / 10
    assert content(path) == {(TWO, key(number)) for number in range(10)}
    with FeatureStore(path) as store:
        assert store.get(key(3), TWO) == {"caption": "a cup"}
        store.put_many([(key(3), ONE, features())])
        assert len(store) == 11
    assert [file.name for file in path.iterdir()] == [DATA_FILE]


def test_pruning_by_picture(path):
    prune(path, lambda name, fingerprint: name < key(5))
    assert content(path) == {(name, key(number)) for name in (ONE, TWO) for number in range(5)}


def test_pruning_returns_free_space_although_all_records_remain(path):
    with FeatureStore(path) as store:
        store.put_many((key(number), ONE, {}) for number in range(20))
    report = prune(path, everything)
    assert report.size_after < report.size_before / 10


def test_pruning_drops_damaged_records(path):
    damage(path, ONE, 7)
    report = prune(path, everything)
    assert (report.kept, report.dropped, report.damaged) == (29, 0, 1)
    with FeatureStore(path) as store:
        assert store.get(key(7), ONE) is None
    assert find_damage(path) == []


def test_dry_run_counts_and_changes_nothing(path):
    damage(path, ONE, 7)
    before = (path / DATA_FILE).read_bytes()
    report = prune(path, only_one, dry_run=True)
    assert (report.kept, report.dropped, report.damaged) == (19, 10, 1)
    assert report.size_after is None
    assert (path / DATA_FILE).read_bytes() == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_store_is_not_emptied_by_mistake(path, dry_run):
    with pytest.raises(ValueError, match="E064"):
        prune(path, lambda name, fingerprint: False, dry_run=dry_run)
    assert len(content(path)) == 30


def test_missing_store_cannot_be_pruned(tmp_path):
    with pytest.raises(ValueError, match="E033"):
        prune(tmp_path / "missing", everything)


def _hold(path, opened, done) -> None:
    with FeatureStore(path) as store:
        len(store)
        opened.set()
        done.wait()
        store.put_many([(key(99), ONE, features())])


def test_a_store_can_be_pruned_while_others_have_it_open(path):
    """And nothing that they write afterwards is lost."""
    process = multiprocessing.get_context("spawn")
    opened, done = process.Event(), process.Event()
    user = process.Process(target=_hold, args=(path, opened, done))
    user.start()
    opened.wait(60)
    with FeatureStore(path) as own:
        report = prune(path, only_one)
        assert (report.kept, report.dropped) == (20, 10)
        assert report.size_after < report.size_before
        done.set()
        user.join()
        assert len(own) == 21
    assert prune(path, only_one).dropped == 0


def test_a_store_that_is_being_read_keeps_its_size(path, monkeypatch):
    monkeypatch.setattr("spacy_msvse.vision.store.BUSY_SECONDS", 0.1)
    with FeatureStore(path) as reader:
        records = reader.scan()
        next(records)
        report = prune(path, only_one)
        assert (report.kept, report.dropped, report.size_after) == (20, 10, None)
        records.close()
    assert prune(path, only_one).size_after < report.size_before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("delay", [0.001, 0.005, 0.02])
def test_killed_while_space_is_returned_the_store_is_whole(path, delay):
    before = (path / DATA_FILE).stat().st_size
    child = os.fork()
    if child == 0:
        threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        try:
            prune(path, lambda name, fingerprint: fingerprint == TWO)
            time.sleep(60)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    two = {(TWO, key(number)) for number in range(10)}
    assert content(path) >= two
    assert find_damage(path) == []
    prune(path, lambda name, fingerprint: fingerprint == TWO)
    assert content(path) == two
    assert (path / DATA_FILE).stat().st_size < before / 10
