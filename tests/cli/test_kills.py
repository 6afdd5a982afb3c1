"""Commands that are killed and run again: nothing is lost, doubled or mixed."""

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import srsly
from spacy.tokens import DocBin

from spacy_msvse import make_doc
from spacy_msvse.corpus.resume import partial_path
from spacy_msvse.errors import MsvseError
from spacy_msvse.vision.store import FeatureStore

from ..tiny import COLOURS, picture
from . import command

#: A fork needs no time to start, so that many moments are tried in little time.
FORK = multiprocessing.get_context("fork")

#: Numbers of kills: a few in every run of the tests.
KILLS = [3, pytest.param(20, marks=pytest.mark.slow)]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*MSVSE-W001"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]


def start(*arguments):
    process = FORK.Process(target=command.run, args=arguments)
    process.start()
    return process


def finish(process) -> None:
    process.join(120)
    assert process.exitcode == 0


def parent_of(process: int) -> int | None:
    """The parent of a process that runs; None if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[1])


def children(parent: int) -> list[int]:
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [number for number in numbers if parent_of(number) == parent]


def wait_until(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.002)
    return result


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    """Posts with and without pictures, of different lengths, so that batches have padding."""
    folder = tmp_path_factory.mktemp("posts")
    for label in COLOURS:
        (folder / f"{label}.png").write_bytes(picture(label))
    rows = []
    for number in range(10 * 64 + 17):
        row = {"text": "saw jordan " + "and a " * (number % 7) + "today", "id": number}
        if number % 3:
            row["image"] = f"{list(COLOURS)[number % 2]}.png"
        rows.append(row)
    srsly.write_jsonl(folder / "posts.jsonl", rows)
    return folder / "posts.jsonl"


@pytest.fixture(scope="module")
def whole(trained, posts, tmp_path_factory) -> bytes:
    """The output of a run without interruption."""
    output = tmp_path_factory.mktemp("whole") / "out.jsonl"
    command.run("annotate", trained, posts, output)
    return output.read_bytes()


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("n_process", [1, 2])
def test_annotate_gives_the_same_bytes_if_it_is_killed(
    trained, posts, whole, tmp_path, n_process, kills
):
    output = tmp_path / "out.jsonl"
    arguments = ("annotate", trained, posts, output, "--n-process", n_process)
    total = whole.count(b"\n")
    moments = sorted(Random(n_process).sample(range(1, total - 5 * 64), kills))
    for moment in moments:
        process = start(*arguments)
        workers = wait_until(
            lambda moment=moment, process=process: (
                lines(partial_path(output)) >= moment and children(process.pid)
            )
        )
        process.kill()
        process.join()
        wait_until(lambda workers=workers: not any(map(parent_of, workers)), seconds=10)
        assert not output.exists()
        assert whole.startswith(partial_path(output).read_bytes())
    finish(start(*arguments))
    assert output.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("n_process", [1, 2])
def test_annotate_gives_the_same_bytes_if_its_workers_are_killed(
    trained, posts, whole, tmp_path, n_process, kills
):
    killed = 0
    while killed < kills:
        output = tmp_path / f"{killed}.jsonl"
        process = start("annotate", trained, posts, output, "--n-process", n_process)
        # At most one kill in the time of a batch: a batch that is interrupted twice is divided.
        for moment in sorted(Random(killed).sample(range(8), min(kills - killed, 8))):
            moment = 64 * moment + 1
            partial = partial_path(output)
            wait_until(lambda partial=partial, moment=moment: lines(partial) >= moment)
            os.kill(children(process.pid)[0], signal.SIGKILL)
            killed += 1
        finish(process)
        assert output.read_bytes() == whole


@pytest.fixture
def extraction(tmp_path, nlp):
    """A function that starts `extract` into a store, and one that reads its records."""
    (tmp_path / "config.cfg").write_text(command.CONFIG)
    docs = []
    for number in range(300):
        name = f"{number}.png"
        (tmp_path / name).write_bytes(picture(list(COLOURS)[number % 3], seed=number))
        docs.append(make_doc(nlp, "saw jordan", image=name))
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "posts.spacy")

    def extract(store):
        options = ("--config", tmp_path / "config.cfg", "--image-root", tmp_path)
        return start("extract", tmp_path / "posts.spacy", tmp_path / store, *options)

    def records(store):
        with FeatureStore(tmp_path / store, readonly=True) as opened:
            return list(opened.scan())

    return extract, records


@pytest.mark.parametrize("kills", KILLS)
def test_extract_stores_the_same_records_if_it_is_killed(extraction, tmp_path, kills):
    extract, records = extraction
    begun = time.monotonic()
    finish(extract("whole"))
    seconds = time.monotonic() - begun
    expected = records("whole")
    assert len(expected) == 300
    counts = [0]
    for moment in range(kills):
        process = extract("store")
        time.sleep(seconds * (moment + 1) / (kills + 1))
        process.kill()
        process.join()
        if (tmp_path / "store").exists():
            found = records("store")
            assert set(found) <= set(expected)
            counts.append(len(found))
    assert counts == sorted(counts)
    finish(extract("store"))
    assert records("store") == expected


def test_two_extracts_and_a_prune_share_one_store(extraction, tmp_path):
    extract, records = extraction
    finish(extract("whole"))
    both = [extract("store"), extract("store")]

    def has_records() -> bool:
        with suppress(MsvseError):  # it is not there, or just being created
            return bool(records("store"))
        return False

    wait_until(has_records)
    pruned = start("store", "prune", tmp_path / "store")
    for process in (*both, pruned):
        finish(process)
    assert records("store") == records("whole")
