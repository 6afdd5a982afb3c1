"""Filling a store: nothing twice, nothing lost, and bounded memory."""

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

from spacy_msvse.vision.extraction import ExtractionReport, fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.features import RegionFeatures
from spacy_msvse.vision.store import FeatureStore

from .conftest import CountingExtractor, PickyExtractor, encode, photo, sources

BATCH = 4


class SlowExtractor(CountingExtractor):
    """Waits before it returns. Its features show which pictures were in one batch."""

    def extract(self, pictures, known):
        time.sleep(0.02 * len(pictures))
        batch = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).digest()
        return [{"tags": [batch.hex(), str(place)]} for place, _ in enumerate(pictures)]


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
    return {(key, name): record for key, name, record in store.scan()}


def fill(pictures, visual, store, root, **settings) -> ExtractionReport:
    return fill_store(visual, sources(*pictures), store, image_root=root, **settings)


def batch_sizes(monkeypatch, visual) -> list[int]:
    """The size of each batch from now on."""
    sizes: list[int] = []
    extract = visual.extract_prepared
    monkeypatch.setattr(visual, "extract_prepared", lambda p: sizes.append(len(p)) or extract(p))
    return sizes


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_report_counts_posts_and_pictures(counting, root, store, workers):
    visual = VisualExtractor(tags=counting)
    pictures = ["0.png", None, "1.png", "0.png", "bad.png", "missing.png", "2.png"]
    done: list[int] = []
    report = fill(
        pictures, visual, store, root, batch_size=2, workers=workers, progress=done.append
    )
    assert (report.posts, report.items, report.stored, report.extracted) == (7, 6, 1, 3)
    assert [name for name, _ in report.failed] == ["bad.png", "missing.png"]
    assert all("E020" in reason for _, reason in report.failed)
    assert sum(done) == 7
    assert len(store) == 3


def test_posts_without_pictures_are_not_extracted(counting, root, store):
    report = fill([None, None], VisualExtractor(tags=counting), store, root)
    assert report == ExtractionReport(posts=2)


def test_stored_pictures_are_neither_decoded_nor_extracted(counting, root, store, monkeypatch):
    visual = VisualExtractor(tags=counting)
    fill(names(0, 1), visual, store, root)
    report = fill(names(0, 1, 2, 3, 4), visual, store, root)
    assert report == ExtractionReport(posts=5, items=5, stored=2, extracted=3)
    assert counting.extracted == 5
    monkeypatch.setattr("spacy_msvse.vision.picture_reader.decode_picture", None)
    report = fill(names(0, 1, 2, 3, 4), visual, store, root)
    assert report == ExtractionReport(posts=5, items=5, stored=5)


def test_damaged_record_is_made_anew(counting, root, store, monkeypatch):
    visual = VisualExtractor(tags=counting)
    with monkeypatch.context() as patch:
        patch.setattr("spacy_msvse.vision.store.pack", lambda *given: b"no features")
        fill(names(0), visual, store, root)
    for stored in (0, 1):
        report = fill(names(0), visual, store, root)
        counts = {"stored": stored, "extracted": 1 - stored}
        assert report == ExtractionReport(posts=1, items=1, **counts)


def test_changed_extractor_extracts_again(counting, root, store):
    other = CountingExtractor("other")
    for extractor in (counting, other):
        fill(names(0, 1), VisualExtractor(tags=extractor), store, root)
    assert (counting.extracted, other.extracted, len(store)) == (2, 2, 4)


def test_renamed_pictures_and_other_data_sets_are_not_extracted_again(counting, root, store):
    visual = VisualExtractor(tags=counting)
    fill(names(0, 1, 2), visual, store, root)
    (root / "0.png").rename(root / "renamed.png")
    report = fill(["renamed.png", "2.png", "1.png"], visual, store, root)
    assert report == ExtractionReport(posts=3, items=3, stored=3)


def test_equal_pictures_are_extracted_once_anywhere_in_the_stream(counting, root, store):
    (root / "copy.png").write_bytes((root / "0.png").read_bytes())
    visual = VisualExtractor(tags=counting)
    pictures = ["0.png", "copy.png", *names(1, 2, 3, 4), "0.png", "copy.png"]
    report = fill(pictures, visual, store, root, batch_size=2)
    assert report == ExtractionReport(posts=8, items=8, stored=3, extracted=5)
    assert counting.extracted == 5


def test_equal_bad_pictures_all_fail_by_name(counting, root, store):
    (root / "copy.png").write_bytes((root / "bad.png").read_bytes())
    report = fill(["bad.png", "copy.png"], VisualExtractor(tags=counting), store, root)
    assert [name for name, _ in report.failed] == ["bad.png", "copy.png"]


def test_batches_are_full_although_most_pictures_are_stored(root, store, monkeypatch):
    visual = slow()
    fill(names(*range(0, 40, 2)), visual, store, root)
    sizes = batch_sizes(monkeypatch, visual)
    fill(names(*range(40)), visual, store, root, batch_size=8)
    assert sizes == [8, 8, 4]


def test_a_batch_has_the_size_that_the_extractor_names(counting, root, store, monkeypatch):
    counting.batch_size = 7
    visual = VisualExtractor(tags=counting)
    sizes = batch_sizes(monkeypatch, visual)
    fill(names(*range(16)), visual, store, root)
    assert sizes == [7, 7, 2]


def test_a_batch_is_stored_while_the_next_is_computed(counting, root, store, monkeypatch):
    put_many, computing = store.put_many, threading.Event()
    waited: list[bool] = []

    def put_when_computing(items):
        waited.append(computing.wait(5))
        put_many(items)

    def extract(pictures, known):
        if counting.extracted:
            computing.set()
        counting.extracted += 1
        return [{"tags": []} for _ in pictures]

    monkeypatch.setattr(store, "put_many", put_when_computing)
    counting.extract = extract
    fill(names(0, 1), VisualExtractor(tags=counting), store, root, batch_size=1)
    assert waited == [True, True]
    assert len(store) == 2


def test_picture_that_the_extractor_fails_on_does_not_affect_others(root, store):
    (root / "wide.png").write_bytes(encode(photo(9, size=(64, 8))))
    visual = VisualExtractor(tags=PickyExtractor())
    report = fill(["0.png", "wide.png", "1.png"], visual, store, root)
    assert (report.extracted, len(store)) == (2, 2)
    ((name, reason),) = report.failed
    assert name == "wide.png"
    assert "E061] The extractor failed on picture 'wide.png': too wide." in reason
    # Also alone in its batch, when all others are stored.
    assert fill(["0.png", "wide.png"], visual, store, root).failed == report.failed


def test_extractor_that_never_works_ends_the_run(root, store):
    (root / "wide.png").write_bytes(encode(photo(9, size=(64, 8))))
    with pytest.raises(RuntimeError, match="too wide"):
        fill(["wide.png"], VisualExtractor(tags=PickyExtractor()), store, root)


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
        return [{"tags": []} for _ in pictures]

    counting.prepare, counting.extract = prepare, extract
    fill(names(*range(40)), VisualExtractor(tags=counting), store, root, batch_size=BATCH)
    assert threading.main_thread() not in threads
    assert BATCH < most <= 2 * BATCH


def test_pictures_are_decoded_while_others_are_computed(counting, root, store):
    further = threading.Event()
    prepared: list[object] = []

    def prepare(picture):
        prepared.append(picture)
        if len(prepared) > BATCH:
            further.set()
        return picture

    def extract(pictures, known):
        assert further.wait(5)
        return [{"tags": []} for _ in pictures]

    counting.prepare, counting.extract = prepare, extract
    fill(names(*range(2 * BATCH)), VisualExtractor(tags=counting), store, root, batch_size=BATCH)
    assert len(store) == 2 * BATCH


def test_warning_filters_are_left_as_they_were(counting, root, store):
    before = list(warnings.filters)
    fill(names(*range(40)), VisualExtractor(tags=counting), store, root, workers=8)
    assert list(warnings.filters) == before


def _fill(posts, store: Path, root: Path) -> None:
    with FeatureStore(store) as opened:
        fill_store(slow(), posts, opened, image_root=root, batch_size=BATCH)


def _fill_and_never_end(store: Path, root: Path) -> None:
    def posts():
        yield from sources(*names(*range(36)))
        time.sleep(600)

    _fill(posts(), store, root)


def test_killed_three_times_and_run_again_the_store_is_that_of_an_uninterrupted_run(root, tmp_path):
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
        _fill(sources(*names(*range(40))), store.path, root)
        _fill(sources(*names(*range(40))), tmp_path / "undisturbed", root)
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
        report = fill(names(*range(40)), visual, store, root, batch_size=BATCH)
        assert (report.stored, report.extracted) == (stored, 40 - stored)


class WideExtractor(CountingExtractor):
    """Fills features that need more disk space."""

    def extract(self, pictures, known):
        regions = RegionFeatures(np.ones((10, 1000), "float32"), np.zeros((10, 4), "float32"))
        return [{"regions": regions} for _ in pictures]


def _fill_with_little_room(store: Path, root: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    visual = VisualExtractor(regions=WideExtractor())
    with FeatureStore(store) as opened, pytest.raises(ValueError, match="E065"):
        fill(names(*range(40)), visual, opened, root, batch_size=BATCH)


def test_readonly_store_cannot_be_filled(counting, root, store):
    with (
        FeatureStore(store.path, readonly=True) as reader,
        pytest.raises(ValueError, match="E065"),
    ):
        fill(names(0), VisualExtractor(tags=counting), reader, root)
    assert counting.extracted == 0
