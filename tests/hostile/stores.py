"""Damaged feature stores: a damaged record counts as absent, damage beyond it is a coded error."""

import random
import resource
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spacy_msvse.vision.features import RegionFeatures
from spacy_msvse.vision.store import FeatureStore

from .children import Child
from .scene import NAME, answer, answers, expect_right
from .verdicts import LOSS, WRONG, Case, expect

FILE = "features.sqlite"


def filled_store(case: Case) -> Path:
    """A store with the features of the posts' pictures, in the folder of the case."""
    kept = case.scene.folder / "store"
    if not kept.exists():
        fill(case.scene, kept)
    folder = case.folder / "store"
    shutil.copytree(kept, folder)
    return folder


def fill(scene: Any, folder: Path) -> None:
    component = scene.nlp.get_pipe(NAME)
    with FeatureStore(folder) as store:
        component.feature_store = store
        try:
            list(component.pipe(scene.docs()))
        finally:
            component.feature_store = None
        assert len(store) >= 4


# Damage to the file


def bytes_damage(folder: Path, chance: random.Random) -> str:
    path = folder / FILE
    data = bytearray(path.read_bytes())
    kind = chance.choice(
        ("flip", "flip", "flips", "cut", "zero", "noise", "empty", "other", "folder", "header")
    )
    if kind in ("flip", "flips"):
        for _ in range(1 if kind == "flip" else 200):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[chance.randrange(len(data)) :]
    elif kind in ("zero", "noise"):
        size = chance.choice((16, 500, 20_000))
        place = chance.randrange(len(data) - size)
        data[place : place + size] = bytes(size) if kind == "zero" else chance.randbytes(size)
    elif kind == "header":
        data[chance.randrange(100)] ^= 1 << chance.randrange(8)
    elif kind == "empty":
        data.clear()
    elif kind == "other":
        data[:] = chance.choice((b"no database", b"SQLite format 3\0", chance.randbytes(5000)))
    if kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(data)
    return f"file: {kind}"


def sql_damage(folder: Path, chance: random.Random) -> str:
    statements: dict[str, str] = {
        "record cut": "UPDATE records SET record = substr(record, 1, length(record) / 2)",
        "record empty": "UPDATE records SET record = x''",
        "record null": "UPDATE records SET record = NULL",
        "record text": "UPDATE records SET record = 'text'",
        "record number": "UPDATE records SET record = 3",
        "record zeros": "UPDATE records SET record = zeroblob(100)",
        "record huge": "UPDATE records SET record = zeroblob(50000000)",
        "key null": "UPDATE records SET key = NULL",
        "key blob": "UPDATE records SET key = CAST(key AS BLOB)",
        "fingerprint other": "UPDATE records SET fingerprint = 'x' || fingerprint",
        "table missing": "DROP TABLE records",
        "table renamed": "ALTER TABLE records RENAME TO others",
        "column renamed": "ALTER TABLE records RENAME COLUMN record TO data",
        "column added": "ALTER TABLE records ADD COLUMN more TEXT",
        "other program": "PRAGMA application_id = 7",
        "view": "CREATE VIEW x AS SELECT 1",
        "trigger": "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END",
        "rows missing": "DELETE FROM records",
        "records exchanged": "UPDATE records SET record = (SELECT record FROM records r WHERE "
        "r.key != records.key ORDER BY r.key LIMIT 1)",
    }
    what = chance.choice(sorted(statements))
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    connection.execute(statements[what])
    connection.close()
    return f"rows: {what}"


def stray_files(folder: Path, chance: random.Random) -> str:
    name = chance.choice((f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal"))
    (folder / name).write_bytes(chance.choice((b"", b"x" * 100, chance.randbytes(40_000))))
    return f"a stray {name}"


def damaged_store(case: Case) -> None:
    """Predict with a damaged store."""
    folder = filled_store(case)
    damage: Callable[[Path, random.Random], str] = case.chance.choices(
        (bytes_damage, sql_damage, stray_files), (5, 4, 1)
    )[0]
    case.say(damage(folder, case.chance))
    component = case.scene.nlp.get_pipe(NAME)
    docs = case.scene.docs()
    try:
        with FeatureStore(folder) as store:
            component.feature_store = store
            expect_right(answers(component, docs), case.scene.answers)
            for key, fingerprint, _ in store.scan():
                found = store.get(key, fingerprint)
                expect(found is None or isinstance(found, dict), WRONG, found)
    finally:
        component.feature_store = None


# Records that hold nonsense


def hostile_record(case: Case) -> None:
    """A record with a right checksum and numbers that make no sense."""
    folder = filled_store(case)
    chance = case.chance
    odd = chance.choice((np.nan, np.inf, -np.inf, 60000.0))
    box = np.asarray([[0, 0, 1, 1]], dtype="float32")
    vectors = np.asarray([[odd, 0, 0]], dtype="float32")
    contents: dict[str, Any] = {
        f"vectors with {odd}": {"regions": RegionFeatures(vectors, box), "tags": ["red"]},
        "vectors of another width": {
            "regions": RegionFeatures(np.ones((1, 7), "float32"), box),
            "tags": ["a"],
        },
        "boxes with nan": {
            "regions": RegionFeatures(np.ones((1, 3), "float32"), box * np.nan),
            "tags": ["a"],
        },
        "tags of numbers": {
            "regions": RegionFeatures(np.ones((1, 3), "float32"), box),
            "tags": [1, None],
        },
        "text as regions": {"regions": "red", "tags": ["red"]},
        "nothing": {},
        "no vectors": {"regions": RegionFeatures(None, box), "tags": ["red"]},
    }
    what = chance.choice(sorted(contents))
    case.say(f"a record of {what}")
    component = case.scene.nlp.get_pipe(NAME)
    try:
        with FeatureStore(folder) as store:
            names = [(key, fingerprint) for key, fingerprint, _ in store.scan()]
            store.put_many([(key, fingerprint, contents[what]) for key, fingerprint in names])
            component.feature_store = store
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                docs = [doc.copy() for doc in case.scene.docs()]
                done = list(component.pipe([doc.copy() for doc in docs]))
            expect(len(done) == len(docs), LOSS, "a post is lost")
            for doc, before in zip(done, docs, strict=True):
                states = (doc._.image_status or {}).values()
                expect(
                    "unreadable" not in states or given, LOSS, f"no warning: {doc._.image_status}"
                )
                if "used" in states:
                    marginals = component.label_marginals([before])[0]
                    finite = np.isfinite(marginals).all()
                    expect(finite, WRONG, f"marginals are not finite: {doc._.image_status}")
            right = case.scene.answers[4:]
            expect_right([answer(doc) for doc in done[4:]], right, "posts without a picture:")
    finally:
        component.feature_store = None


def store_under_limit(case: Case) -> None:
    """Under a limit of the address space a store opens, or the error names the memory."""
    folder = filled_store(case)
    room = (0, 256, 1024, 2**17, 2**20)[case.number % 5] * 1024
    case.say(f"a store with {room >> 10} KiB of address space left")

    def limited() -> int:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
        with FeatureStore(folder) as store:
            print(len(store), "records")
        return 0

    process = Child(limited, case.folder)
    status = process.wait()
    text = process.text
    process.end()
    if status == 0:
        return
    expect("MSVSE-E" in text, WRONG, text[-300:])
    blames = "permissions" in text and "memory" not in text.partition("Its records")[0]
    expect(not blames, WRONG, f"the error blames permissions: {text[-400:]}")
