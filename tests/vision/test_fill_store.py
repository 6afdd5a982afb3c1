"""Filling a store: nothing twice, nothing lost, and never more at once than a batch needs."""

import hashlib
import multiprocessing
import random
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from spacy_msvse.vision.extract import VisualExtractor
from spacy_msvse.vision.features import PictureFeatures
from spacy_msvse.vision.fill import ExtractionReport, fill_store
from spacy_msvse.vision.store import FeatureStore

from .conftest import CountingExtractor, PickyExtractor, encode, photo

BATCH = 4


class SlowExtractor(CountingExtractor):
    """Takes its time, and tells by the features which pictures it looked at together."""

    def extract(self, pictures, known):
        time.sleep(0.02 * len(pictures))
        batch = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).digest()
        return [
            PictureFeatures(tags=[batch.hex()], caption=str(place))
            for place, _ in enumerate(pictures)
        ]


def slow() -> VisualExtractor:
    return VisualExtractor(tags=SlowExtractor("slow"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(40):
        (folder / f"{seed}.png").write_bytes(encode(photo(seed)))
    (folder / "bad.png").write_bytes(encode(photo(99))[:60])
    return folder


@pytest.fixture
def store(tmp_path):
    with FeatureStore(tmp_path / "store") as store:
        yield store


def names(*seeds: int) -> list[str]:
    return [f"{seed}.png" for seed in seeds]


def content(store: FeatureStore) -> dict:
    return {(key, name): bytes(record) for key, name, record in store.scan()}


@pytest.mark.parametrize("workers", [1, 3])
def test_counts_say_what_was_done(counting, root, store, workers):
    visual = VisualExtractor(tags=counting)
    sources = ["0.png", None, "1.png", "0.png", "bad.png", "missing.png", "2.png"]
    done: list[int] = []
    report = fill_store(
        iter(sources),
        visual,
        store,
        root,
        batch_size=2,
        workers=workers,
        progress=done.append,
    )
    assert (report.pictures, report.stored, report.extracted) == (6, 1, 3)
    assert [name for name, _ in report.failed] == ["missing.png", "bad.png"]
    assert all("E020" in reason for _, reason in report.failed)
    assert sum(done) == 6
    assert len(store) == 3


def test_nothing_to_do_is_done_at_once(counting, root, store):
    report = fill_store([None, None], VisualExtractor(tags=counting), store, root)
    assert report == ExtractionReport()


def test_what_is_stored_is_neither_decoded_nor_looked_at(counting, root, store, monkeypatch):
    visual = VisualExtractor(tags=counting)
    fill_store(names(0, 1), visual, store, root)
    report = fill_store(names(0, 1, 2, 3, 4), visual, store, root)
    assert report == ExtractionReport(pictures=5, stored=2, extracted=3)
    assert counting.looked_at == 5
    monkeypatch.setattr("spacy_msvse.vision.run.decode_picture", None)
    report = fill_store(names(0, 1, 2, 3, 4), visual, store, root)
    assert report == ExtractionReport(pictures=5, stored=5)


def test_damaged_record_is_made_anew(counting, root, store, monkeypatch):
    visual = VisualExtractor(tags=counting)
    with monkeypatch.context() as patch:
        patch.setattr("spacy_msvse.vision.store.pack", lambda features: b"no features")
        fill_store(names(0), visual, store, root)
    for stored in (0, 1):
        report = fill_store(names(0), visual, store, root)
        assert report == ExtractionReport(pictures=1, stored=stored, extracted=1 - stored)


def test_changed_extractor_looks_again(counting, root, store):
    other = CountingExtractor("other")
    for extractor in (counting, other):
        fill_store(names(0, 1), VisualExtractor(tags=extractor), store, root)
    assert (counting.looked_at, other.looked_at, len(store)) == (2, 2, 4)


def test_renamed_pictures_and_other_data_sets_cost_nothing(counting, root, store):
    visual = VisualExtractor(tags=counting)
    fill_store(names(0, 1, 2), visual, store, root)
    (root / "0.png").rename(root / "renamed.png")
    report = fill_store(["renamed.png", "2.png", "1.png"], visual, store, root)
    assert report == ExtractionReport(pictures=3, stored=3)


def test_equal_pictures_are_looked_at_once_wherever_they_come(counting, root, store):
    (root / "copy.png").write_bytes((root / "0.png").read_bytes())
    visual = VisualExtractor(tags=counting)
    sources = ["0.png", "copy.png", *names(1, 2, 3, 4), "0.png", "copy.png"]
    report = fill_store(sources, visual, store, root, batch_size=2)
    assert report == ExtractionReport(pictures=8, stored=3, extracted=5)
    assert counting.looked_at == 5


def test_equal_bad_pictures_all_fail_by_name(counting, root, store):
    (root / "copy.png").write_bytes((root / "bad.png").read_bytes())
    report = fill_store(["bad.png", "copy.png"], VisualExtractor(tags=counting), store, root)
    assert [name for name, _ in report.failed] == ["bad.png", "copy.png"]


def test_batches_are_full_although_most_pictures_are_stored(root, store, monkeypatch):
    visual = slow()
    fill_store(names(*range(0, 40, 2)), visual, store, root)
    sizes: list[int] = []
    extract = visual.extract_prepared
    monkeypatch.setattr(visual, "extract_prepared", lambda p: sizes.append(len(p)) or extract(p))
    fill_store(names(*range(40)), visual, store, root, batch_size=8)
    assert sizes == [8, 8, 4]


def test_batches_are_as_large_as_the_extractor_takes(counting, root, store, monkeypatch):
    counting.batch_size = 7
    visual = VisualExtractor(tags=counting)
    sizes: list[int] = []
    extract = visual.extract_prepared
    monkeypatch.setattr(visual, "extract_prepared", lambda p: sizes.append(len(p)) or extract(p))
    fill_store(names(*range(16)), visual, store, root)
    assert sizes == [7, 7, 2]


def test_a_batch_is_stored_while_the_model_looks_at_the_next(counting, root, store, monkeypatch):
    put_many, looking = store.put_many, threading.Event()
    waited: list[bool] = []

    def put_when_looking(items):
        waited.append(looking.wait(5))
        put_many(items)

    def extract(pictures, known):
        if counting.looked_at:
            looking.set()
        counting.looked_at += 1
        return [PictureFeatures(tags=[]) for _ in pictures]

    monkeypatch.setattr(store, "put_many", put_when_looking)
    counting.extract = extract
    fill_store(names(0, 1), VisualExtractor(tags=counting), store, root, batch_size=1)
    assert waited == [True, True]
    assert len(store) == 2


def test_picture_that_the_extractor_fails_on_holds_up_no_other(root, store):
    (root / "wide.png").write_bytes(encode(photo(9, size=(64, 8))))
    visual = VisualExtractor(tags=PickyExtractor())
    report = fill_store(["0.png", "wide.png", "1.png"], visual, store, root)
    assert (report.extracted, len(store)) == (2, 2)
    ((name, reason),) = report.failed
    assert name == "wide.png"
    assert "E061] The extractor failed on picture 'wide.png': too wide." in reason
    # Alone with its like, when all others are stored.
    assert fill_store(["0.png", "wide.png"], visual, store, root).failed == report.failed


def test_extractor_that_never_works_ends_the_run(root, store):
    (root / "wide.png").write_bytes(encode(photo(9, size=(64, 8))))
    with pytest.raises(RuntimeError, match="too wide"):
        fill_store(["wide.png"], VisualExtractor(tags=PickyExtractor()), store, root)


def test_pictures_are_prepared_in_other_threads_and_not_far_ahead(counting, root, store):
    lock = threading.Lock()
    held, most, threads = 0, 0, set()

    def prepare(picture):
        nonlocal held, most
        threads.add(threading.current_thread())
        with lock:
            held += 1
            most = max(most, held)
        return picture

    def extract(pictures, known):
        nonlocal held
        time.sleep(0.02)  # the workers have time to run ahead
        with lock:
            held -= len(pictures)
        return [PictureFeatures(tags=[]) for _ in pictures]

    counting.prepare, counting.extract = prepare, extract
    fill_store(names(*range(40)), VisualExtractor(tags=counting), store, root, batch_size=BATCH)
    assert threading.main_thread() not in threads
    assert BATCH < most <= 2 * BATCH


def test_pictures_are_decoded_while_the_model_looks_at_others(counting, root, store):
    further = threading.Event()
    prepared: list[object] = []

    def prepare(picture):
        prepared.append(picture)
        if len(prepared) > BATCH:
            further.set()
        return picture

    def extract(pictures, known):
        assert further.wait(5)
        return [PictureFeatures(tags=[]) for _ in pictures]

    counting.prepare, counting.extract = prepare, extract
    sources = names(*range(2 * BATCH))
    fill_store(sources, VisualExtractor(tags=counting), store, root, batch_size=BATCH)
    assert len(store) == 2 * BATCH


def test_warning_filters_are_left_as_they_were(counting, root, store):
    before = list(warnings.filters)
    fill_store(names(*range(40)), VisualExtractor(tags=counting), store, root, workers=8)
    assert list(warnings.filters) == before


def _fill(sources, store: Path, root: Path) -> None:
    with FeatureStore(store) as opened:
        fill_store(sources, slow(), opened, root, batch_size=BATCH)


def _fill_and_never_end(store: Path, root: Path) -> None:
    def sources():
        yield from names(*range(36))
        time.sleep(600)

    _fill(sources(), store, root)


def test_killed_three_times_and_run_again_the_store_is_that_of_an_undisturbed_run(root, tmp_path):
    process = multiprocessing.get_context("spawn")
    with FeatureStore(tmp_path / "killed") as store:
        for _ in range(3):
            moment = min(len(store) + random.randint(1, 6), 24)
            run = process.Process(target=_fill_and_never_end, args=(store.path, root))
            run.start()
            while len(store) < moment and run.is_alive():
                time.sleep(0.001)
            run.kill()
            run.join()
            assert run.exitcode == -signal.SIGKILL
            assert moment <= len(store) < 40
        _fill(names(*range(40)), store.path, root)
        _fill(names(*range(40)), tmp_path / "undisturbed", root)
        with FeatureStore(tmp_path / "undisturbed") as undisturbed:
            assert content(store) == content(undisturbed)
        assert len(store) == 40


def test_store_that_cannot_be_written_ends_the_run_and_stays_whole(root, tmp_path):
    run = multiprocessing.get_context("spawn").Process(
        target=_fill_with_little_room, args=(tmp_path / "store", root)
    )
    run.start()
    run.join()
    assert run.exitcode == 0
    with FeatureStore(tmp_path / "store") as store:
        stored = len(store)
        assert 0 < stored < 40
        visual = VisualExtractor(regions=WideExtractor())
        report = fill_store(names(*range(40)), visual, store, root, batch_size=BATCH)
        assert (report.stored, report.extracted) == (stored, 40 - stored)


class WideExtractor(CountingExtractor):
    """Fills more of the disk."""

    def extract(self, pictures, known):
        return [PictureFeatures(regions=np.ones((10, 1000), "float32")) for _ in pictures]


def _fill_with_little_room(store: Path, root: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    visual = VisualExtractor(regions=WideExtractor())
    with FeatureStore(store) as opened, pytest.raises(ValueError, match="E065"):
        fill_store(names(*range(40)), visual, opened, root, batch_size=BATCH)
