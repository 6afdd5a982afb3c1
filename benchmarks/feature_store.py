"""Compare SQLite and LMDB as the file of a feature store: speed, size, faults.

python benchmarks/feature_store.py benchmarks/results/feature_store.md   (about four minutes)

A record has the size of one picture's features of `EfficientNetLite0`: 45 kB. An epoch reads every
record once, in shuffled order, checks its checksum and decodes it, as training does. The engines
take turns in every round. Needs the package `lmdb` besides those of the project.
"""

import os
import platform
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import lmdb
import numpy as np
import typer

from spacy_msvse.vision.features import RegionFeatures
from spacy_msvse.vision.store import pack, unpack

BATCH = 16
CHUNK = 100
FAULT_RECORDS = 200
PROCESSES = get_context("spawn")

Pairs = Iterable[tuple[str, bytes]]


class Lmdb:
    """One LMDB environment, with a file size limit above the size of any store."""

    readahead = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "data.mdb"
        self.environment = lmdb.open(str(folder), map_size=2**40, readahead=self.readahead)

    def put(self, pairs: Pairs) -> None:
        with self.environment.begin(write=True) as transaction:
            for key, record in pairs:
                transaction.put(key.encode(), record)

    def get(self, key: str) -> bytes | None:
        with self.environment.begin() as transaction:
            found = transaction.get(key.encode())
            return None if found is None else bytes(found)

    def count(self) -> int:
        return self.environment.stat()["entries"]

    def close(self) -> None:
        self.environment.close()


class LmdbReadahead(Lmdb):
    readahead = True


class Sqlite:
    """One table in WAL mode."""

    page_size, rowid, mmap, synchronous = 4096, True, 0, "NORMAL"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "features.sqlite"
        self.connection = sqlite3.connect(self.file, timeout=60, isolation_level=None)
        tail = "" if self.rowid else " WITHOUT ROWID"
        for statement in (
            f"PRAGMA page_size = {self.page_size}",
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {self.synchronous}",
            f"PRAGMA mmap_size = {self.mmap}",
            "CREATE TABLE IF NOT EXISTS records (fingerprint TEXT, key TEXT, record BLOB, "
            f"PRIMARY KEY (fingerprint, key)){tail}",
        ):
            self.connection.execute(statement)

    def put(self, pairs: Pairs) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
                ((*key.split(":"), record) for key, record in pairs),
            )
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def get(self, key: str) -> bytes | None:
        row = self.connection.execute(
            "SELECT record FROM records WHERE fingerprint = ? AND key = ?", key.split(":")
        ).fetchone()
        return None if row is None else row[0]

    def count(self) -> int:
        return self.connection.execute("SELECT count(*) FROM records").fetchone()[0]

    def close(self) -> None:
        self.connection.close()


class Sqlite8(Sqlite):
    page_size = 8192


class Sqlite16(Sqlite):
    page_size = 16384


class Sqlite32(Sqlite):
    page_size = 32768


class Sqlite64(Sqlite):
    page_size = 65536


class Sqlite16Full(Sqlite16):
    synchronous = "FULL"


class Sqlite16Mmap(Sqlite16):
    mmap = 2**40


class Sqlite16NoRowid(Sqlite16):
    rowid = False


ENGINES: dict[str, type] = {
    "LMDB": Lmdb,
    "LMDB, read ahead": LmdbReadahead,
    "SQLite, 4 kB pages": Sqlite,
    "SQLite, 8 kB pages": Sqlite8,
    "SQLite, 16 kB pages": Sqlite16,
    "SQLite, 32 kB pages": Sqlite32,
    "SQLite, 64 kB pages": Sqlite64,
    "SQLite, 16 kB pages, mmap": Sqlite16Mmap,
    "SQLite, 16 kB pages, no rowid": Sqlite16NoRowid,
    "SQLite, 16 kB pages, synchronous FULL": Sqlite16Full,
}

#: The engine of `FeatureStore`.
CHOSEN = "SQLite, 16 kB pages"

#: The engines that are tested with faults: the candidates.
FAULTY = ("LMDB", CHOSEN, "SQLite, 16 kB pages, mmap")


def main(
    output: Annotated[Path, typer.Argument(help="Markdown file to write")],
    records: Annotated[int, typer.Option(help="Records of the store")] = 4000,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds")] = 3,
) -> None:
    """Measure both engines in turn, and write the tables."""
    with TemporaryDirectory() as folder:
        speed = measure_speed(Path(folder), records, rounds)
        together = {
            name: measure_together(Path(folder) / "together", name, records // 4)
            for name in FAULTY[:2]
        }
        faults = {name: try_faults(Path(folder) / "faults", name) for name in FAULTY}
    page = to_markdown(speed, together, faults, records, rounds)
    output.write_text(page)
    print(page)


# Speed


def measure_speed(folder: Path, records: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of a write, a cold and a warm epoch, and the size, for each engine and round."""
    content = dict(make_records(records))
    keys = list(content)
    found: dict[str, dict[str, list[float]]] = {
        name: {"write": [], "cold": [], "warm": [], "lookup": [], "disk": [], "size": []}
        for name in ENGINES
    }
    for round_ in range(rounds):
        random.Random(round_).shuffle(keys)
        engines = {}
        for number, (name, engine_class) in enumerate(ENGINES.items()):
            path, figures = folder / str(number), found[name]
            shutil.rmtree(path, ignore_errors=True)
            engine = engine_class(path)
            figures["write"].append(seconds(partial(write, engine, content.items())))
            engine.close()
            forget_pages(path)
            before = read_bytes()
            engines[name] = engine = engine_class(path)
            figures["cold"].append(seconds(partial(read_epoch, engine, keys)))
            figures["disk"].append((read_bytes() - before) / 1e6)
            figures["size"].append(engine.file.stat().st_size / 1e6)
        # The engines take turns in small parts, so that other programs slow all of them equally.
        clock, totals = time.process_time, {name: [0.0, 0.0] for name in ENGINES}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            for name in random.sample(list(engines), len(engines)):
                engine = engines[name]
                totals[name][0] += seconds(partial(read_epoch, engine, part), clock)
                totals[name][1] += seconds(partial(look_up, engine, part), clock)
        for name, engine in engines.items():
            found[name]["warm"].append(totals[name][0])
            found[name]["lookup"].append(totals[name][1])
            engine.close()
    return found


def look_up(engine: Any, keys: list[str]) -> None:
    for key in keys:
        engine.get(key)


def write(engine: Any, pairs: Iterable[tuple[str, bytes]]) -> None:
    batch = []
    for pair in pairs:
        batch.append(pair)
        if len(batch) == BATCH:
            engine.put(batch)
            batch = []
    engine.put(batch)


def read_epoch(engine: Any, keys: list[str]) -> None:
    for key in keys:
        if decode(engine.get(key)) is None:
            raise RuntimeError("a record is missing or damaged")


def decode(record: bytes | None) -> Any:
    """The features of a record, as training reads them; None if it is missing or damaged."""
    try:
        return None if record is None else unpack(record, "", "")
    except ValueError:
        return None


def seconds(work: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def forget_pages(folder: Path) -> None:
    """Drop the files of a folder from the page cache. They must be closed."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_bytes() -> int:
    """Bytes that this process has read from the disk. They show that an epoch was cold."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("read_bytes: "):
            return int(line.split()[1])
    return 0


def make_records(count: int) -> Iterator[tuple[str, bytes]]:
    generator = np.random.default_rng(0)
    for number in range(count):
        vectors = generator.random((17, 1280), dtype=np.float32)
        regions = RegionFeatures(vectors, np.zeros((17, 4), dtype=np.float32))
        key = f"{'e' * 64}:{generator.bytes(32).hex()}"
        yield key, pack({"regions": regions, "caption": f"picture {number}"}, "", "")


# Two readers beside a writer


def measure_together(folder: Path, name: str, records: int) -> dict[str, float]:
    """Records per second that two readers read and that a third process writes at the same time."""
    shutil.rmtree(folder, ignore_errors=True)
    content = dict(make_records(records))
    engine = ENGINES[name](folder)
    write(engine, content.items())
    engine.close()
    counts, stop, ready = PROCESSES.Queue(), PROCESSES.Event(), PROCESSES.Queue()
    work = (folder, name, list(content), counts, stop, ready)
    readers = [PROCESSES.Process(target=_read_until, args=work) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in readers:
        ready.get(timeout=60)
    engine = ENGINES[name](folder)
    duration = seconds(lambda: write(engine, (("f" + k[1:], r) for k, r in content.items())))
    stop.set()
    rates = [counts.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    engine.close()
    return {"write": records / duration, "read": sum(rates)}


def _read_until(folder: Path, name: str, keys: list[str], counts: Any, stop: Any, ready: Any):
    engine = ENGINES[name](folder)
    generator, count = random.Random(os.getpid()), 0
    engine.get(keys[0])
    ready.put(None)
    began = time.perf_counter()
    while not stop.is_set():
        assert decode(engine.get(generator.choice(keys))) is not None
        count += 1
    counts.put(count / (time.perf_counter() - began))


# Faults


def try_faults(folder: Path, name: str) -> dict[str, str]:
    """The remaining records of a store, or the error that its user gets, after each fault."""
    found = {}
    for title, fault in FAULTS.items():
        shutil.rmtree(folder, ignore_errors=True)
        found[title] = fault(folder, name)
    return found


def kill_writer(folder: Path, name: str) -> str:
    """Kill a writer ten times; every batch must then be complete or absent."""
    for round_ in range(10):
        run = PROCESSES.Process(target=_write_forever, args=(folder, name))
        run.start()
        while not folder.exists() or not any(folder.iterdir()):
            time.sleep(0.01)
        time.sleep(0.3 + 0.02 * round_)
        run.kill()
        run.join()
        result = in_process(_check_batches, folder, name)
        if result != "whole":
            return result
    return "whole after 10 kills"


def _write_forever(folder: Path, name: str) -> None:
    engine = ENGINES[name](folder)
    content = list(dict(make_records(BATCH)).items())
    start = engine.count() // BATCH
    for number in range(start, 10**6):
        engine.put([(f"{key}{number:06}", record) for key, record in content])


def _check_batches(folder: Path, name: str) -> str:
    engine = ENGINES[name](folder)
    count = engine.count()
    if count % BATCH:
        return f"half a batch: {count} records"
    keys = list(dict(make_records(BATCH)))
    for number in range(count // BATCH):
        if any(decode(engine.get(f"{key}{number:06}")) is None for key in keys):
            return f"batch {number} is damaged"
    engine.put([(keys[0] + "000000", next(make_records(1))[1])])
    return "whole" if count else "empty"


def fill_disk(folder: Path, name: str) -> str:
    return in_process(_fill_disk, folder, name)


def _fill_disk(folder: Path, name: str) -> str:
    import resource

    content = list(dict(make_records(FAULT_RECORDS)).items())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    engine, stored, error = ENGINES[name](folder), 0, "no error"
    try:
        for start in range(0, len(content), BATCH):
            engine.put(content[start : start + BATCH])
            stored += len(content[start : start + BATCH])
    except Exception as caught:
        error = f"{type(caught).__name__}"
    with suppress(Exception):
        engine.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    engine = ENGINES[name](folder)
    kept = sum(decode(engine.get(key)) is not None for key, _ in content[:stored])
    write(engine, content)
    whole = all(decode(engine.get(key)) is not None for key, _ in content)
    return f"{error}; {kept} of {stored} kept; goes on: {'yes' if whole else 'no'}"


def flip_record(folder: Path, name: str) -> str:
    """Flip bytes within one record."""
    _write_some(folder, name)
    path = ENGINES[name](folder).file
    data = bytearray(path.read_bytes())
    place = data.index(next(make_records(1))[1][1000:1064])
    data[place : place + 8] = bytes(255 - value for value in data[place : place + 8])
    path.write_bytes(data)
    return in_process(_read_all, folder, name)


def flip_pages(folder: Path, name: str) -> str:
    """Overwrite 64 bytes in each of 20 places of the file."""
    results = []
    for seed in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        _write_some(folder, name)
        path = ENGINES[name](folder).file
        data = bytearray(path.read_bytes())
        generator = random.Random(seed)
        for _ in range(20):
            place = 4096 * generator.randrange(len(data) // 4096)
            data[place : place + 64] = generator.randbytes(64)
        path.write_bytes(data)
        results.append(in_process(_read_all, folder, name))
    return "; ".join(sorted(set(results)))


def cut_file(folder: Path, name: str) -> str:
    _write_some(folder, name)
    path = ENGINES[name](folder).file
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    return in_process(_read_all, folder, name)


def _write_some(folder: Path, name: str) -> None:
    engine = ENGINES[name](folder)
    write(engine, make_records(FAULT_RECORDS))
    engine.close()


def _read_all(folder: Path, name: str) -> str:
    try:
        engine = ENGINES[name](folder)
        found = [decode(engine.get(key)) is not None for key, _ in make_records(FAULT_RECORDS)]
    except Exception as error:
        return type(error).__name__
    return f"damage of {found.count(False)} records found"


def in_process(check: Callable[[Path, str], str], folder: Path, name: str) -> str:
    """Run a check in a process of its own, which the fault may end."""
    queue = PROCESSES.Queue()
    run = PROCESSES.Process(target=_answer, args=(queue, check, folder, name))
    run.start()
    run.join(60)
    if run.exitcode == 0:
        return queue.get(timeout=10)
    if run.exitcode is None:
        run.kill()
        return "the process hangs"
    if run.exitcode < 0:
        return f"the process ends by {signal.Signals(-run.exitcode).name}"
    return "the process ends with an error"


def _answer(queue: Any, check: Callable[[Path, str], str], folder: Path, name: str) -> None:
    queue.put(check(folder, name))
    queue.close()
    queue.join_thread()


FAULTS: dict[str, Callable[[Path, str], str]] = {
    "kill -9 while writing": kill_writer,
    "full disk (file size limit)": fill_disk,
    "flipped bytes in a record": flip_record,
    "flipped bytes in 20 pages, 5 stores": flip_pages,
    "file cut in half": cut_file,
}


# The page


def to_markdown(speed: Any, together: Any, faults: Any, records: int, rounds: int) -> str:
    base = speed["LMDB"]
    header = ["Engine", "write s", "cold epoch s", "ratio", "warm epoch CPU s", "ratio"]
    header += ["lookup CPU us", "file MB"]
    rows = []
    for name, found in speed.items():
        cells = [name, f"{median(found['write']):.2f}"]
        for measure in ("cold", "warm"):
            ratios = [a / b for a, b in zip(found[measure], base[measure], strict=True)]
            cells.append(f"{median(found[measure]):.3f}")
            cells.append(f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        lookup = 1e6 * median(found["lookup"]) / records
        rows.append([*cells, f"{lookup:.0f}", f"{median(found['size']):.0f}"])
    warm = [median(speed[name]["warm"]) for name in (CHOSEN, "LMDB")]
    extra = 1e6 * (warm[0] - warm[1]) / records
    least = min(min(found["disk"]) for found in speed.values())
    return "\n".join(
        [
            "# SQLite or LMDB for the feature store",
            "",
            f"{records} records of 45 kB, batches of {BATCH}, {rounds} interleaved rounds; medians,"
            " ratios to LMDB of the same round with minimum and maximum. An epoch reads, checks "
            "and decodes every record in shuffled order. Before a cold epoch the files leave the "
            f"page cache (`posix_fadvise`); at least {least:.0f} MB were then read from the disk. "
            "Warm epochs are measured by processor time.",
            "",
            f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
            f"SQLite {sqlite3.sqlite_version}, LMDB {'.'.join(map(str, lmdb.version()))}.",
            "",
            table(header, rows),
            "",
            f"A record of a warm epoch takes {extra:.0f} us more in {CHOSEN} than in LMDB. A "
            "training step takes about 30,000 us per post with MiniLM on two cores (speed.md): the "
            f"difference is {extra / 30_000:.1%} of it. An epoch of training was not timed.",
            "",
            "Two readers beside a writer, one process each:",
            "",
            table(
                ["Engine", "written records/s", "read records/s"],
                [[n, f"{f['write']:.0f}", f"{f['read']:.0f}"] for n, f in together.items()],
            ),
            "",
            "Faults:",
            "",
            table(["Fault", *FAULTY], [[t, *(faults[n][t] for n in FAULTY)] for t in FAULTS]),
            "",
        ]
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    typer.run(main)
