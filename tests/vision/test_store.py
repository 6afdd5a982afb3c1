import multiprocessing
import os
import pickle
import signal

import lmdb
import numpy as np
import pytest

from spacy_msvse.vision.features import PictureFeatures
from spacy_msvse.vision.store import FeatureStore, pack, unpack

KEY, OTHER_KEY, EXTRACTOR = "a" * 64, "b" * 64, "e" * 64


def features(seed: int = 0) -> PictureFeatures:
    random = np.random.default_rng(seed)
    return PictureFeatures(
        regions=random.random((17, 1280), dtype=np.float32),
        boxes=random.random((17, 4), dtype=np.float32),
        region_labels=["", *["cup"] * 16],
        region_scores=[0.0, *[0.5] * 16],
        tags=["cup", "tray"],
        caption="a picture of cup and tray",
        texts={"ocr": "Grüße 😀"},
    )


def put_raw(store: FeatureStore, record: bytes) -> None:
    """Put a record that the store would not write."""
    path = store.path
    store.close()
    environment = lmdb.open(str(path), map_size=2**30)
    with environment.begin(write=True) as transaction:
        transaction.put(f"{EXTRACTOR}:{KEY}".encode(), bytes(record))
    environment.close()


def test_what_is_put_is_got(tmp_path):
    with FeatureStore(tmp_path / "new" / "store") as store:
        assert store.get(KEY, EXTRACTOR) is None
        store.put(KEY, EXTRACTOR, features())
        assert len(store) == 1
    with FeatureStore(tmp_path / "new" / "store", readonly=True) as store:
        found, expected = store.get(KEY, EXTRACTOR), features()
    assert found.regions.dtype == found.boxes.dtype == np.float32
    assert np.allclose(found.regions, expected.regions, atol=1e-3)
    assert np.array_equal(found.boxes, expected.boxes)
    for name in ("region_labels", "region_scores", "tags", "caption", "texts"):
        assert getattr(found, name) == getattr(expected, name)


def test_sixteen_bit_regions_come_back_as_they_were(tmp_path):
    given = features()
    given.regions = given.regions.astype(np.float16).astype(np.float32)
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, given)
        assert np.array_equal(store.get(KEY, EXTRACTOR).regions, given.regions)


def test_unfilled_scales_stay_unfilled(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, PictureFeatures(tags=[]))
        assert store.get(KEY, EXTRACTOR) == PictureFeatures(tags=[])


def test_got_arrays_may_be_written_to(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
        found = store.get(KEY, EXTRACTOR)
    found.regions[0] = 0
    found.boxes[0] = 0


def test_record_can_be_told_without_reading_it(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
        assert store.holds(KEY, EXTRACTOR)
        assert not store.holds(OTHER_KEY, EXTRACTOR)
        assert not store.holds(KEY, EXTRACTOR[:-1])
        assert store.knows(EXTRACTOR)
        assert not store.knows(EXTRACTOR[:-1])
        assert not store.knows("f" * 64)


def test_all_records_can_be_gone_through(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put_many((key, EXTRACTOR, features()) for key in (OTHER_KEY, KEY))
        found = [(key, fingerprint, unpack(record)) for key, fingerprint, record in store.scan()]
    assert [row[:2] for row in found] == [(KEY, EXTRACTOR), (OTHER_KEY, EXTRACTOR)]
    assert found[0][2].tags == ["cup", "tray"]


@pytest.mark.parametrize("place", [0, 4, 100, -1])
def test_damaged_record_is_a_miss_and_can_be_put_again(tmp_path, place):
    with FeatureStore(tmp_path) as store:
        record = bytearray(pack(features()))
        record[place] ^= 1
        put_raw(store, record)
        assert store.get(KEY, EXTRACTOR) is None
        assert not store.holds(KEY, EXTRACTOR)
        store.put(KEY, EXTRACTOR, features())
        assert store.get(KEY, EXTRACTOR) is not None


def test_file_that_is_cut_short_is_refused_instead_of_ending_the_process(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
    os.truncate(tmp_path / "data.mdb", (tmp_path / "data.mdb").stat().st_size - 4096)
    with pytest.raises(ValueError, match=r"E060.*its end is missing: 4096 bytes"):
        FeatureStore(tmp_path, readonly=True)


def test_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no store" * 2000)
    with pytest.raises(ValueError, match="E060"):
        FeatureStore(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_whole_store_is_not_taken_for_one_that_is_cut_short(tmp_path, seed):
    """LMDB may count pages at the end of its file that it never wrote."""
    random = np.random.default_rng(seed)
    names = [(f"{key:064}", EXTRACTOR) for key in random.permutation(40)]
    with FeatureStore(tmp_path) as store:
        for part in (names[:8], names[8:]):
            store.put_many((*name, PictureFeatures(caption="x" * 1000)) for name in part)
        random.shuffle(names)
        store.drop(names[:15])
        store.drop(names[15:35])
    with FeatureStore(tmp_path) as store:
        assert len(store) == 5


def test_dropped_records_are_gone(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put_many((key, EXTRACTOR, features()) for key in (OTHER_KEY, KEY))
        store.drop([(KEY, EXTRACTOR), ("c" * 64, EXTRACTOR)])
        assert store.get(KEY, EXTRACTOR) is None
        assert len(store) == 1


def test_other_picture_or_extractor_is_a_miss(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
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


def test_readonly_store_refuses_to_write(tmp_path):
    FeatureStore(tmp_path).close()
    with (
        FeatureStore(tmp_path, readonly=True) as store,
        pytest.raises(ValueError, match="E065"),
    ):
        store.put(KEY, EXTRACTOR, features())


def test_two_stores_of_one_folder_share_it(tmp_path):
    writer, reader = FeatureStore(tmp_path), FeatureStore(tmp_path, readonly=True)
    writer.put(KEY, EXTRACTOR, features())
    writer.close()
    assert reader.get(KEY, EXTRACTOR) is not None


def test_closed_store_lets_go_and_opens_again(tmp_path):
    store = FeatureStore(tmp_path)
    store.close()
    lmdb.open(str(tmp_path)).close()  # LMDB refuses to open a folder twice
    assert len(store) == 0


def test_file_is_as_large_as_what_is_in_it(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
    assert (tmp_path / "data.mdb").stat().st_size < 2**20


def test_store_can_be_pickled(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
        copy = pickle.loads(pickle.dumps(store))
        assert copy.get(KEY, EXTRACTOR) is not None


def _count(store: FeatureStore, queue) -> None:
    queue.put((len(store), store.get(KEY, EXTRACTOR).tags))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes_read_what_another_writes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method)
    with FeatureStore(tmp_path) as store:
        store.put(KEY, EXTRACTOR, features())
        queue = context.Queue()
        processes = [context.Process(target=_count, args=(store, queue)) for _ in range(2)]
        for process in processes:
            process.start()
        assert [queue.get(timeout=60) for _ in processes] == [(1, ["cup", "tray"])] * 2
        for process in processes:
            process.join()
        store.put(OTHER_KEY, EXTRACTOR, features())
        assert len(store) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_may_write_and_open_the_folder_anew(tmp_path):
    with FeatureStore(tmp_path) as store:
        child = os.fork()
        if child == 0:
            FeatureStore(tmp_path).put(KEY, EXTRACTOR, features())
            store.put(OTHER_KEY, EXTRACTOR, features())
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
        store.put(KEY, EXTRACTOR, features())
        child = os.fork()
        if child == 0:
            try:
                getattr(store, method)(items())
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        assert len(store) == 1
        store.put(OTHER_KEY, EXTRACTOR, features())
        assert store.get(KEY, EXTRACTOR) is not None
        assert store.get(OTHER_KEY, EXTRACTOR) is not None
