"""What is in a store, whether it is sound, and what happens when it is pruned."""

import multiprocessing
import os
import signal

import lmdb
import numpy as np
import pytest

from spacy_msvse.vision.features import PictureFeatures
from spacy_msvse.vision.store import FeatureStore, pack
from spacy_msvse.vision.upkeep import find_damage, prune, summarize

ONE, TWO = "1" * 64, "2" * 64
CHECKSUM_OF_NOTHING = bytes(4)


def features(width: int = 4, count: int = 3) -> PictureFeatures:
    return PictureFeatures(
        regions=np.ones((count, width), dtype="float32"),
        boxes=np.zeros((count, 4), dtype="float32"),
        tags=["cup"],
    )


def key(number: int) -> str:
    return f"{number:064}"


@pytest.fixture
def path(tmp_path):
    """A store that knows 20 pictures by one extractor and 10 of them by another."""
    with FeatureStore(tmp_path / "store") as store:
        store.put_many((key(number), ONE, features(4000)) for number in range(20))
        store.put_many((key(number), TWO, PictureFeatures(caption="a cup")) for number in range(10))
    return tmp_path / "store"


def put_raw(path, fingerprint: str, number: int, record: bytes) -> None:
    environment = lmdb.open(str(path), map_size=2**30)
    with environment.begin(write=True) as transaction:
        transaction.put(f"{fingerprint}:{key(number)}".encode(), record)
    environment.close()


def damage(path, fingerprint: str, number: int) -> None:
    put_raw(path, fingerprint, number, pack(features())[:-1])


def content(path) -> set[tuple[str, str]]:
    with FeatureStore(path, readonly=True) as store:
        return {(fingerprint, name) for name, fingerprint, _ in store.scan()}


def everything(name: str, fingerprint: str) -> bool:
    return True


def only_one(name: str, fingerprint: str) -> bool:
    return fingerprint == ONE


# Counting


def test_summary_counts_pictures_and_bytes_by_extractor(path):
    with FeatureStore(path) as store:
        summary = summarize(store)
    one, two = summary.extractors
    assert (summary.records, summary.path) == (30, str(path))
    assert (one.fingerprint, one.pictures, one.scales, one.region_dim) == (
        ONE,
        20,
        ["regions", "tags"],
        4000,
    )
    assert (two.fingerprint, two.pictures, two.scales, two.region_dim) == (
        TWO,
        10,
        ["caption"],
        None,
    )
    assert one.size > 20 * 3 * 4000 * 2
    assert summary.size == (path / "data.mdb").stat().st_size > one.size + two.size


def test_summary_tells_space_that_waits_for_records(path):
    with FeatureStore(path) as store:
        before = summarize(store).free
        store.put_many((key(number), ONE, PictureFeatures()) for number in range(20))
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
        (pack(features())[:-1], "its checksum is wrong"),
        (b"", "its checksum is wrong"),
        # Whole, but not what a record is.
        (CHECKSUM_OF_NOTHING, "it cannot be decoded"),
    ],
)
def test_damaged_records_are_named(path, record, reason):
    put_raw(path, ONE, 7, record)
    (found,) = find_damage(path)
    assert (found.fingerprint, found.key) == (ONE, key(7))
    assert found.reason.startswith(reason)


def test_bits_that_flip_on_the_disk_are_found(path):
    with (path / "data.mdb").open("r+b") as file:
        data = file.read()
        file.seek(data.index(np.ones(2000, dtype="float16").tobytes()) + 1000)
        file.write(b"flip")
    (found,) = find_damage(path)
    assert (found.fingerprint, found.reason) == (ONE, "its checksum is wrong")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        # The page where a record lies: there is no such page.
        (slice(8 + 129, 8 + 129 + 8), b"\xff" * 8, "MDB_PAGE_NOTFOUND"),
        # The size of a record: it ends long after the file.
        (slice(2, 4), b"\xff\x0f", "places that are not there"),
    ],
)
def test_damage_beyond_records_is_told_and_ends_nothing_here(path, field, value, reason):
    with (path / "data.mdb").open("r+b") as file:
        data = bytearray(file.read())
        for page in range(0, len(data), 4096):
            if data[page + 10] == 2:  # a leaf, whose records are described where it says
                first = page + int.from_bytes(data[page + 16 : page + 18], "little")
                data[first + field.start : first + field.stop] = value
        file.seek(0)
        file.write(data)
    with pytest.raises(ValueError, match=f"E060.*{reason}"):
        find_damage(path)


# Pruning


def test_pruning_drops_records_and_gives_their_space_back(path):
    before = (path / "data.mdb").stat().st_size
    report = prune(path, lambda name, fingerprint: fingerprint == TWO)
    assert (report.kept, report.dropped, report.damaged) == (10, 20, 0)
    assert report.size_before == before
    assert report.size_after == (path / "data.mdb").stat().st_size < before / 10
    assert content(path) == {(TWO, key(number)) for number in range(10)}
    with FeatureStore(path) as store:
        assert store.get(key(3), TWO).caption == "a cup"
        store.put(key(3), ONE, features())
        assert len(store) == 11
    assert sorted(file.name for file in path.iterdir()) == ["data.mdb", "lock.mdb"]


def test_pruning_by_picture(path):
    prune(path, lambda name, fingerprint: name < key(5))
    assert content(path) == {(name, key(number)) for name in (ONE, TWO) for number in range(5)}


def test_pruning_gives_back_space_although_everything_stays(path):
    with FeatureStore(path) as store:
        store.put_many((key(number), ONE, PictureFeatures()) for number in range(20))
    report = prune(path, everything)
    assert report.size_after < report.size_before / 10


def test_pruning_drops_what_is_damaged(path):
    damage(path, ONE, 7)
    report = prune(path, everything)
    assert (report.kept, report.dropped, report.damaged) == (29, 0, 1)
    with FeatureStore(path) as store:
        assert store.get(key(7), ONE) is None
    assert find_damage(path) == []


def test_dry_run_counts_and_changes_nothing(path):
    damage(path, ONE, 7)
    before = (path / "data.mdb").read_bytes()
    report = prune(path, only_one, dry_run=True)
    assert (report.kept, report.dropped, report.damaged) == (19, 10, 1)
    assert report.size_after is None
    assert (path / "data.mdb").read_bytes() == before


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
        opened.set()
        done.wait()
        store.put(key(99), ONE, features())


@pytest.mark.skipif(os.name != "posix", reason="elsewhere an open file cannot be replaced")
def test_file_in_use_is_not_replaced_under_its_users(path):
    """What they would write to the old file would be lost."""
    process = multiprocessing.get_context("spawn")
    opened, done = process.Event(), process.Event()
    user = process.Process(target=_hold, args=(path, opened, done))
    user.start()
    opened.wait(60)
    report = prune(path, only_one)
    assert (report.kept, report.dropped, report.size_after) == (20, 10, None)
    done.set()
    user.join()
    report = prune(path, only_one)
    assert (report.kept, report.dropped) == (21, 0)
    assert report.size_after < report.size_before
    with FeatureStore(path) as store:  # this process may be a user too
        assert prune(store.path, only_one).size_after is None
        assert len(store) == 21


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_killed_while_space_is_given_back_the_store_is_whole(path, step, monkeypatch):
    before = (path / "data.mdb").stat().st_size
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        try:
            prune(path, lambda name, fingerprint: fingerprint == TWO)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    assert (path / "compact.mdb").is_file()
    assert content(path) == {(TWO, key(number)) for number in range(10)}
    assert prune(path, everything).size_after < before / 10
    assert not (path / "compact.mdb").exists()
