"""A store of features: whole after any fault, shared by threads and processes."""

import json
import multiprocessing
import os
import pickle
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import numpy as np
import pytest

from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.features import Features, RegionFeatures
from spacy_msvse.vision.store import DATA_FILE, FeatureStore, pack, unpack
from spacy_msvse.vision.upkeep import find_damage, prune, summarize

KEY, OTHER_KEY, EXTRACTOR = "a" * 64, "b" * 64, "e" * 64


def features(seed: int = 0) -> Features:
    random = np.random.default_rng(seed)
    regions = RegionFeatures(
        random.random((17, 1280), dtype=np.float32),
        random.random((17, 4), dtype=np.float32),
        labels=["", *["cup"] * 16],
        scores=[0.0, *[0.5] * 16],
    )
    caption = "a picture of cup and tray"
    return {"regions": regions, "tags": ["cup", "tray"], "caption": caption, "ocr": "Grüße 😀"}


def put(store: FeatureStore, key: str, found: Features | None = None) -> None:
    store.put_many([(key, EXTRACTOR, features() if found is None else found)])


def put_raw(store: FeatureStore, record: bytes) -> None:
    """Put a record that the store would not write."""
    with closing(sqlite3.connect(store.path / DATA_FILE)) as connection, connection:
        row = (EXTRACTOR, KEY, bytes(record))
        connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", row)


def test_features_are_read_as_they_were_written(tmp_path):
    with FeatureStore(tmp_path / "new" / "store") as store:
        assert store.get(KEY, EXTRACTOR) is None
        put(store, KEY)
        assert len(store) == 1
    with FeatureStore(tmp_path / "new" / "store", readonly=True) as store:
        found, expected = store.get(KEY, EXTRACTOR), features()
    regions, given = found.pop("regions"), expected.pop("regions")
    assert regions.vectors.dtype == regions.boxes.dtype == np.float32
    assert np.allclose(regions.vectors, given.vectors, atol=1e-3)
    assert np.array_equal(regions.boxes, given.boxes)
    assert (regions.labels, regions.scores) == (given.labels, given.scores)
    assert found == expected


def test_pixels_and_numbers_of_pictures_are_stored_exactly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    given = RegionFeatures(None, np.zeros((2, 4), "float32"), pictures=np.array([1, 2]))
    given.pixels = pixels
    with FeatureStore(tmp_path) as store:
        put(store, KEY, {"regions": given, "second": given})
        found = store.get(KEY, EXTRACTOR)
    for name in ("regions", "second"):
        assert found[name].vectors is None
        assert found[name].pictures.tolist() == [1, 2]
        assert found[name].pixels.dtype == np.uint8
        assert np.array_equal(found[name].pixels, pixels)


def test_sixteen_bit_regions_come_back_as_they_were(tmp_path):
    given = features()
    regions = given["regions"]
    regions.vectors = regions.vectors.astype(np.float16).astype(np.float32)
    with FeatureStore(tmp_path) as store:
        put(store, KEY, given)
        assert np.array_equal(store.get(KEY, EXTRACTOR)["regions"].vectors, regions.vectors)


def test_unfilled_views_stay_missing(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY, {"tags": []})
        assert store.get(KEY, EXTRACTOR) == {"tags": []}


def test_arrays_that_were_read_may_be_changed(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        found = store.get(KEY, EXTRACTOR)
    found["regions"].vectors[0] = 0
    found["regions"].boxes[0] = 0


def test_presence_of_a_record_can_be_asked_without_decoding_it(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        assert store.holds(KEY, EXTRACTOR)
        assert not store.holds(OTHER_KEY, EXTRACTOR)
        assert not store.holds(KEY, EXTRACTOR[:-1])
        assert store.knows(EXTRACTOR)
        assert not store.knows(EXTRACTOR[:-1])
        assert not store.knows("f" * 64)


def test_all_records_can_be_read_in_order(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put_many((key, EXTRACTOR, features()) for key in (OTHER_KEY, KEY))
        found = [
            (key, fingerprint, unpack(record, key, fingerprint))
            for key, fingerprint, record in store.scan()
        ]
    assert [row[:2] for row in found] == [(KEY, EXTRACTOR), (OTHER_KEY, EXTRACTOR)]
    assert found[0][2]["tags"] == ["cup", "tray"]


@pytest.mark.parametrize("place", [0, 4, 100, -1])
def test_damaged_record_is_a_miss_and_can_be_put_again(tmp_path, place):
    with FeatureStore(tmp_path) as store:
        record = bytearray(pack(features(), KEY, EXTRACTOR))
        record[place] ^= 1
        put_raw(store, record)
        assert store.get(KEY, EXTRACTOR) is None
        assert not store.holds(KEY, EXTRACTOR)
        put(store, KEY)
        assert store.get(KEY, EXTRACTOR) is not None


def test_file_that_is_cut_short_is_refused_instead_of_ending_the_process(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
    file = tmp_path / DATA_FILE
    os.truncate(file, file.stat().st_size - 16384)
    with pytest.raises(ValueError, match="E060"):
        FeatureStore(tmp_path, readonly=True).get(KEY, EXTRACTOR)


def test_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / DATA_FILE).write_bytes(b"no store" * 2000)
    for readonly in (True, False):
        with pytest.raises(ValueError, match="E060"):
            FeatureStore(tmp_path, readonly)


def test_database_of_another_program_is_refused_and_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / DATA_FILE)) as connection, connection:
        connection.execute("CREATE TABLE other (value TEXT)")
    before = (tmp_path / DATA_FILE).read_bytes()
    for readonly in (True, False):
        with pytest.raises(ValueError, match=r"E060.*another program"):
            FeatureStore(tmp_path, readonly)
    assert (tmp_path / DATA_FILE).read_bytes() == before


def test_dropped_records_are_gone(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put_many((key, EXTRACTOR, features()) for key in (OTHER_KEY, KEY))
        store.drop([(KEY, EXTRACTOR), ("c" * 64, EXTRACTOR)])
        assert store.get(KEY, EXTRACTOR) is None
        assert len(store) == 1


def test_other_picture_or_extractor_is_a_miss(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        assert store.get(KEY, "f" * 64) is None
        assert store.get(OTHER_KEY, EXTRACTOR) is None


def test_many_are_put_at_once_or_not_at_all(tmp_path):
    def items():
        yield KEY, EXTRACTOR, features()
        raise RuntimeError("interrupted")

    with FeatureStore(tmp_path) as store:
        with pytest.raises(RuntimeError, match="interrupted"):
            store.put_many(items())
        assert len(store) == 0
        store.put_many([(KEY, EXTRACTOR, features()), (OTHER_KEY, EXTRACTOR, features())])
        assert len(store) == 2


def test_missing_store_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="E033"):
        FeatureStore(tmp_path / "missing", readonly=True)
    assert not (tmp_path / "missing").exists()


def test_a_reader_waits_for_the_process_that_creates_the_store(tmp_path):
    (tmp_path / DATA_FILE).touch()
    creator = threading.Timer(0.2, lambda: put(FeatureStore(tmp_path), KEY))
    creator.start()
    assert FeatureStore(tmp_path, readonly=True).readonly
    creator.join()


def test_a_file_that_stays_empty_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_msvse.vision.store.CREATION_SECONDS", 0.1)
    (tmp_path / DATA_FILE).touch()
    with pytest.raises(ValueError, match=r"E060.*it is empty"):
        FeatureStore(tmp_path, readonly=True)


def test_readonly_store_refuses_to_write(tmp_path):
    FeatureStore(tmp_path).close()
    with (
        FeatureStore(tmp_path, readonly=True) as store,
        pytest.raises(ValueError, match="E065"),
    ):
        put(store, KEY)


def test_two_stores_of_one_folder_share_it(tmp_path):
    writer, reader = FeatureStore(tmp_path), FeatureStore(tmp_path, readonly=True)
    put(writer, KEY)
    writer.close()
    assert reader.get(KEY, EXTRACTOR) is not None


def test_closed_store_leaves_one_file_and_opens_again(tmp_path):
    store = FeatureStore(tmp_path)
    put(store, KEY)
    store.close()
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == [DATA_FILE]
    assert len(store) == 1


def test_file_is_as_large_as_what_is_in_it(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
    assert (tmp_path / DATA_FILE).stat().st_size < 2**18


def test_store_can_be_pickled(tmp_path):
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        copy = pickle.loads(pickle.dumps(store))
        assert copy.get(KEY, EXTRACTOR) is not None


def _count(store: FeatureStore, queue) -> None:
    queue.put((len(store), store.get(KEY, EXTRACTOR)["tags"]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes_read_what_another_writes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method)
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        queue = context.Queue()
        processes = [context.Process(target=_count, args=(store, queue)) for _ in range(2)]
        for process in processes:
            process.start()
        assert [queue.get(timeout=60) for _ in processes] == [(1, ["cup", "tray"])] * 2
        for process in processes:
            process.join()
        put(store, OTHER_KEY)
        assert len(store) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_may_write_and_open_the_folder_anew(tmp_path):
    with FeatureStore(tmp_path) as store:
        child = os.fork()
        if child == 0:
            put(FeatureStore(tmp_path), KEY)
            put(store, OTHER_KEY)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert len(store) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("method", ["put_many", "drop"])
def test_writer_killed_within_a_transaction_leaves_the_store_whole(tmp_path, method):
    def items():
        yield (OTHER_KEY, EXTRACTOR, features()) if method == "put_many" else (KEY, EXTRACTOR)
        os.kill(os.getpid(), signal.SIGKILL)

    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        child = os.fork()
        if child == 0:
            try:
                getattr(store, method)(items())
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        assert len(store) == 1
        put(store, OTHER_KEY)
        assert store.get(KEY, EXTRACTOR) is not None
        assert store.get(OTHER_KEY, EXTRACTOR) is not None


def test_several_threads_may_read_while_another_writes(tmp_path):
    failed = []
    with FeatureStore(tmp_path) as store:
        put(store, KEY)

        def read() -> None:
            for _ in range(50):
                if store.get(KEY, EXTRACTOR) is None:
                    failed.append(KEY)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            put(store, f"{number:064}")
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(store) == 21


def _create_and_put(path: Path, number: int, ready) -> None:
    ready.wait()
    with FeatureStore(path) as store:
        for place in range(5):
            put(store, f"{number}{place:063}")


def test_several_processes_may_create_a_store_and_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    work = [(tmp_path / "store", number, ready) for number in range(4)]
    processes = [context.Process(target=_create_and_put, args=given) for given in work]
    for process in processes:
        process.start()
    ready.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(FeatureStore(tmp_path / "store", readonly=True)) == 20


def _read_without_permission(path: Path, queue) -> None:
    if os.getuid() == 0:
        os.setuid(65534)  # to root, every file is writable
    answers = []
    for readonly in (True, False):
        store = FeatureStore(path, readonly)
        answers.append((store.readonly, store.get(KEY, EXTRACTOR)["tags"], len(list(store.scan()))))
        try:
            put(store, OTHER_KEY)
        except ValueError as error:
            answers.append(error.code)
    queue.put(answers)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="no permissions like these here")
@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
@pytest.mark.parametrize("opened", [False, True])
def test_store_without_write_permission_is_read(folder_mode, opened):
    """Also while its owner has it open."""
    context = multiprocessing.get_context("fork")
    with TemporaryDirectory() as parent:
        path = Path(parent) / "store"
        os.chmod(parent, 0o755)
        store = FeatureStore(path)
        put(store, KEY)
        if not opened:
            store.close()
        os.chmod(path / DATA_FILE, 0o444)
        os.chmod(path, folder_mode)
        queue = context.Queue()
        reader = context.Process(target=_read_without_permission, args=(path, queue))
        reader.start()
        answer = (True, ["cup", "tray"], 1)
        assert queue.get(timeout=60) == [answer, "E065", answer, "E065"]
        reader.join()
        os.chmod(path, 0o755)
        store.close()


def test_folder_that_cannot_be_made_is_a_coded_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="E065"):
        FeatureStore(tmp_path / "file" / "store")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_pages_are_an_error_or_misses_and_never_end_the_process(tmp_path, seed):
    names = [f"{number:064}" for number in range(40)]
    with FeatureStore(tmp_path) as store:
        for name in names:
            put(store, name)
    file = tmp_path / DATA_FILE
    data, random = bytearray(file.read_bytes()), np.random.default_rng(seed)
    for place in random.integers(4096, len(data) - 64, 10):
        data[place : place + 64] = random.bytes(64)
    file.write_bytes(data)
    code, found = None, []
    try:
        with FeatureStore(tmp_path) as store:
            found = [store.get(name, EXTRACTOR) for name in names]
    except ValueError as error:
        code = error.code
    assert code == "E060" or None in found


LIMITED = """
import resource, sys
from spacy_msvse.vision.store import FeatureStore
with open("/proc/self/statm") as file_:
    used = int(file_.read().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    with FeatureStore(sys.argv[1]) as store:
        store.put_many([("a" * 64, "e" * 64, {"tags": ["cup"]})])
        print(store.get("a" * 64, "e" * 64))
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no such limit here")
@pytest.mark.parametrize(
    ("spare", "answer"),
    [(2**24, "'tags': .'cup'."), (0, "E193.*no more memory.*ulimit -v")],
)
def test_a_limit_of_the_address_space_is_named_if_it_is_the_cause(tmp_path, spare, answer):
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(spare)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert re.search(answer, done.stdout), done.stderr
    assert "permission" not in done.stdout
    with FeatureStore(tmp_path) as store:
        store.check()


def test_a_process_without_memory_leaves_the_store_whole(tmp_path):
    def items():
        yield KEY, EXTRACTOR, features()
        raise MemoryError

    with FeatureStore(tmp_path) as store:
        with pytest.raises(ValueError, match=r"E193.*no more memory"):
            store.put_many(items())
        assert len(store) == 0
        put(store, KEY)
        assert store.get(KEY, EXTRACTOR) is not None


def test_a_record_of_another_item_or_extractor_is_never_read(tmp_path):
    """A flipped bit in the index of the file leads to such a record."""
    with FeatureStore(tmp_path) as store:
        put(store, OTHER_KEY)
        with closing(sqlite3.connect(store.path / DATA_FILE)) as connection, connection:
            connection.execute("UPDATE records SET key = ?", (KEY,))
            rows = connection.execute("SELECT 'f', key, record FROM records").fetchall()
            connection.execute("INSERT INTO records VALUES (?, ?, ?)", rows[0])
        for fingerprint in (EXTRACTOR, "f"):
            assert store.get(KEY, fingerprint) is None
            assert not store.holds(KEY, fingerprint)
    assert {one.key for one in find_damage(tmp_path)} == {KEY}
    assert len(find_damage(tmp_path)) == 2


@pytest.mark.parametrize(
    "view", [5, None, [1], ["a", None], {"boxes": None, "vectors": None}, {"other": 1}]
)
def test_a_record_of_another_form_is_damaged_and_ends_nothing(tmp_path, view):
    with FeatureStore(tmp_path) as store:
        put(store, KEY, {"view": view} if not isinstance(view, dict) else {})
        if isinstance(view, dict):
            header = json.dumps({"view": view}).encode()
            content = struct.pack(">I", len(header)) + header
            name = json.dumps([KEY, EXTRACTOR]).encode()
            put_raw(store, struct.pack(">I", crc32(content, crc32(name))) + content)
        assert store.get(KEY, EXTRACTOR) is None
    assert len(find_damage(tmp_path)) == 1


@pytest.mark.parametrize("name", [b"bytes", 5, None, "text"])
@pytest.mark.parametrize("record", [b"", "text", 5, None])
def test_a_row_whose_types_have_changed_is_named_and_can_be_pruned(tmp_path, name, record):
    """A flipped bit may change the type of a column."""
    with FeatureStore(tmp_path) as store:
        put(store, KEY)
        with closing(sqlite3.connect(store.path / DATA_FILE)) as connection, connection:
            connection.execute("INSERT INTO records VALUES (?, ?, ?)", (name, name, record))
        assert summarize(store).records == 2
    (found,) = find_damage(tmp_path)
    assert isinstance(found.key, str)
    report = prune(tmp_path, lambda key, fingerprint: bool(key + fingerprint) or True)
    assert (report.kept, report.damaged) == (1, 1)
    assert find_damage(tmp_path) == []


def test_links_that_wait_beside_the_file_are_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"valuable")
    folder = tmp_path / "store"
    folder.mkdir()
    for end in ("-wal", "-shm", "-journal"):
        (folder / f"{DATA_FILE}{end}").symlink_to(victim)
    with suppress(ValueError), FeatureStore(folder) as store:
        put(store, KEY)
        store.compact()
    assert victim.read_bytes() == b"valuable"


@pytest.mark.parametrize("name", ["../../out", "/tmp/out", "..\\out", "nul\0", "x" * 10**5, ""])
def test_keys_and_fingerprints_are_only_texts_in_the_file(tmp_path, name):
    with FeatureStore(tmp_path / "store") as store:
        store.put_many([(name, name, {"tags": ["cup"], f"../{name}": "text"})])
        assert store.get(name, name) == {"tags": ["cup"], f"../{name}": "text"}
    assert find_damage(tmp_path / "store") == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert [path.name for path in (tmp_path / "store").iterdir()] == [DATA_FILE]


def test_a_flipped_bit_anywhere_in_the_file_changes_no_number(tmp_path):
    """A record is read as it was written, or not at all."""
    given = {f"{number:064}": features(number) for number in range(3)}
    with FeatureStore(tmp_path) as store:
        for key, found in given.items():
            put(store, key, found)
        expected = {key: pack(store.get(key, EXTRACTOR), key, EXTRACTOR) for key in given}
    file = tmp_path / DATA_FILE
    whole, random = file.read_bytes(), np.random.default_rng(0)
    missing = 0
    for place in random.integers(0, 8 * len(whole), 300):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        file.write_bytes(data)
        try:
            with FeatureStore(tmp_path) as store:
                found = {key: store.get(key, EXTRACTOR) for key in given}
        except MsvseError as error:
            assert error.code in ("E060", "E065")  # noqa: PT017 - each result is right
            continue
        for key, view in found.items():
            missing += view is None
            assert view is None or pack(view, key, EXTRACTOR) == expected[key]
        if None in found.values():
            assert find_problem(tmp_path, given)
    assert missing > 50


def find_problem(path, keys) -> bool:
    """Whether `store verify` reports a problem, or a record lies under another key."""
    try:
        with FeatureStore(path, readonly=True) as store:
            rows = {key for key, fingerprint, _ in store.scan() if fingerprint == EXTRACTOR}
        return bool(find_damage(path)) or not rows >= set(keys)
    except MsvseError:
        return True
