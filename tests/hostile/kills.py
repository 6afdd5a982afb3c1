"""Killed processes: nothing is lost, doubled or mixed, and nothing waits for ever."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin

import spacy_msvse
from spacy_msvse import make_doc
from spacy_msvse.vision.store import FeatureStore

from .. import tiny
from .children import Child, child, coded_exit
from .disks import judge_mixture
from .rows import parse
from .scene import NAME, answer, expect_right, write_rows
from .verdicts import CRASH, HANG, LOSS, WRONG, Case, expect

#: How long a run with a killed worker may take, in seconds.
PATIENCE = 60.0


def many_rows(case: Case, count: int) -> tuple[Path, list[dict[str, Any]]]:
    rows = [{**case.scene.rows[n % len(case.scene.rows)], "id": n} for n in range(count)]
    return write_rows(case.folder / "posts.jsonl", rows), rows


def judge_rows(case: Case, output: Path, count: int) -> None:
    """Every row is in the output once, in its place, with its answer or an error."""
    rows = parse(output.read_bytes())
    numbers = [row.get("id") for row in rows]
    expect(numbers == list(range(count)), LOSS, f"rows {numbers[:5]}..., {len(numbers)} of {count}")
    right = case.scene.answers
    for number, row in enumerate(rows):
        if "error" in row and not row.get("spans"):
            continue
        expected = right[number % len(right)]
        found = [(s["start"], s["end"], s["label"], s["score"]) for s in row["spans"]]
        expect(
            [f[:3] for f in found] == [e[:3] for e in expected], WRONG, f"{found}, not {expected}"
        )


def pause(case: Case, output: Path, process: Child, longest: float) -> None:
    """Wait until a random moment of the work, which begins when the output appears."""
    end = time.monotonic() + 30
    beside = output.with_name(output.name + ".partial")
    while not (beside.exists() or output.exists()) and time.monotonic() < end:
        if process.wait(0.0) is not None:
            return
        time.sleep(0.01)
    time.sleep(case.chance.random() * longest)


def killed_annotate(case: Case) -> None:
    """`annotate` is killed, with one process or two, and run again."""
    scene, chance = case.scene, case.chance
    processes = chance.choice((1, 1, 2))
    count = chance.choice((200, 400))
    path, _ = many_rows(case, count)
    output = case.folder / "out.jsonl"
    case.say(f"annotate with {processes} processes is killed, {count} rows")
    arguments = (
        "annotate",
        scene.pipeline,
        path,
        output,
        "--image-root",
        scene.pictures,
        "-n",
        processes,
    )
    for _ in range(2):
        with child(*arguments, folder=case.folder) as process:
            pause(case, output, process, 1.0)
            process.kill()
            process.wait()
            if processes == 1 or chance.random() < 0.5:
                continue
            left = process.children()
            time.sleep(2.5)
            still = [pid for pid in left if Path(f"/proc/{pid}").exists()]
            expect(not still, HANG, f"workers outlive their parent: {still}")
    if not output.exists():
        with child(*arguments, folder=case.folder) as process:
            status = process.wait(PATIENCE)
            expect(status is not None, HANG, "the run does not end")
            coded_exit(status or 0, process.text)
            expect(status == 0, LOSS, process.text[-300:])
    judge_rows(case, output, count)


def killed_worker(case: Case) -> None:
    """A worker of `annotate` is killed, as the kernel does when memory runs out."""
    scene = case.scene
    count = 600
    path, _ = many_rows(case, count)
    output = case.folder / "out.jsonl"
    processes = case.chance.choice((1, 2, 2))
    case.say(f"a worker of annotate with {processes} processes is killed")
    arguments = ("annotate", scene.pipeline, path, output, "--image-root", scene.pictures)
    arguments = (*arguments, "-n", processes)
    with child(*arguments, folder=case.folder) as process:
        pause(case, output, process, 0.5)
        end = time.monotonic() + 10
        while (
            not (workers := process.children())
            and process.wait(0.0) is None
            and time.monotonic() < end
        ):
            time.sleep(0.005)
        if workers:
            os.kill(case.chance.choice(workers), signal.SIGKILL)
        status = process.wait(PATIENCE)
        expect(status is not None, HANG, "the run stands still after a worker was killed")
        coded_exit(status or 0, process.text)
        if status == 0:
            judge_rows(case, output, count)
            rows = parse(output.read_bytes())
            failed = sum("error" in row for row in rows)
            expect(failed <= 1, LOSS, f"{failed} rows have an error")


def killed_pipe_worker(case: Case) -> None:
    """A worker of `nlp.pipe` is killed: an error, not an endless wait."""
    nlp, scene = case.scene.nlp, case.scene
    case.say("a worker of guarded_pipe with 2 processes is killed")
    # Versions without `guarded_pipe` have only spaCy's own.
    guarded = getattr(spacy_msvse, "guarded_pipe", None)

    def pipe() -> int:
        docs = scene.docs() * 100
        options = {"n_process": 2, "batch_size": 8}
        annotated = guarded(nlp, docs, **options) if guarded else nlp.pipe(docs, **options)
        count = sum(not doc.user_data.get("error") for doc in annotated)
        print(count, "done")
        return 0 if count == len(docs) else 3

    process = Child(pipe, case.folder)
    try:
        end = time.monotonic() + 15
        while (
            not (workers := process.children())
            and process.wait(0.0) is None
            and time.monotonic() < end
        ):
            time.sleep(0.005)
        time.sleep(case.chance.random() * 0.3)
        if workers:
            os.kill(case.chance.choice(workers), signal.SIGKILL)
        status = process.wait(PATIENCE)
        expect(status is not None, HANG, "it stands still after a worker was killed")
        expect(status != 3, LOSS, "posts are lost")
        expect(status == 0, CRASH, process.text[-300:])
    finally:
        process.end()


def killed_extract(case: Case) -> None:
    """`extract` is killed and run again: every picture is in the store once."""
    scene, chance = case.scene, case.chance
    folder = case.folder / "many"
    folder.mkdir()
    docs = []
    for number in range(150):
        path = folder / f"{number}.png"
        path.write_bytes(tiny.picture("PER", seed=1000 + number))
        docs.append(make_doc(scene.nlp, "saw jordan today", image=path.name))
    DocBin(store_user_data=True, docs=docs).to_disk(case.folder / "posts.spacy")
    store = case.folder / "store"
    config = scene.pipeline / "config.cfg"
    arguments = (
        "extract",
        case.folder / "posts.spacy",
        store,
        "--config",
        config,
        "--image-root",
        folder,
    )
    case.say("extract is killed")
    for _ in range(2):
        with child(*arguments, folder=case.folder) as process:
            end = time.monotonic() + 20
            while not store.exists() and process.wait(0.0) is None and time.monotonic() < end:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.3)
            process.kill()
            process.wait()
    with child(*arguments, folder=case.folder) as process:
        status = process.wait(PATIENCE)
        expect(status is not None, HANG, "the run does not end")
        coded_exit(status or 0, process.text)
    with FeatureStore(store) as opened:
        expect(len(opened) == len(docs), LOSS, f"{len(opened)} records of {len(docs)}")


def killed_save(case: Case) -> None:
    """`to_disk` over another pipeline is killed: the folder has one of the two, or is refused."""
    scene = case.scene
    place = case.folder / "pipeline"
    shutil.copytree(scene.other, place)
    alone = case.chance.random() < 0.5
    case.say(f"to_disk of {'the component' if alone else 'the pipeline'} over another is killed")

    def save() -> int:
        os.write(1, b"ready\n")
        if alone:
            scene.nlp.get_pipe(NAME).to_disk(place / NAME)
        else:
            scene.nlp.to_disk(place)
        return 0

    process = Child(save, case.folder)
    try:
        while "ready" not in process.text and process.wait(0.0) is None:
            time.sleep(0.001)
        time.sleep(case.chance.random() * 0.12)
        process.kill()
        process.wait()
    finally:
        process.end()
    if alone and (place / NAME / "manifest.json").exists():
        component = scene.fresh()
        component.from_disk(place / NAME)
    judge_mixture(case, place)


def two_runs(case: Case) -> None:
    """Two runs of `annotate` with one output: no row is doubled."""
    scene = case.scene
    count = 300
    path, _ = many_rows(case, count)
    output = case.folder / "out.jsonl"
    case.say("two runs of annotate write to one output")
    arguments = ("annotate", scene.pipeline, path, output, "--image-root", scene.pictures)
    delay = case.chance.random() * 0.6
    with child(*arguments, folder=case.folder) as one:
        time.sleep(delay)
        with child(*arguments, folder=case.folder) as other:
            statuses = [one.wait(PATIENCE), other.wait(PATIENCE)]
            texts = [one.text, other.text]
    expect(None not in statuses, HANG, "a run does not end")
    for status, text in zip(statuses, texts, strict=True):
        coded_exit(status or 0, text)
    expect(0 in statuses, LOSS, f"neither run ends well: {texts}")
    judge_rows(case, output, count)


def resumed_scores(case: Case) -> None:
    """A run that was stopped and continued has the scores of a run in one piece."""
    scene, chance = case.scene, case.chance
    # Texts of unequal length, so that another batch means another padding.
    words = list(tiny.WORDS)
    rows: list[Any] = []
    for number in range(400):
        text = " ".join(chance.choices(words, k=chance.randrange(2, 60)))
        rows.append({"text": text, "tags": [chance.choice(("red", "green"))], "id": number})
    path = write_rows(case.folder / "posts.jsonl", rows)
    whole, part = case.folder / "whole.jsonl", case.folder / "part.jsonl"
    case.say("scores of a run that was continued")
    for output, kept in ((whole, None), (part, chance.randrange(1, 63))):
        arguments = ("annotate", scene.pipeline, path, output)
        if kept is not None:
            lines = whole.read_bytes().splitlines(keepends=True)
            part.with_name("part.jsonl.partial").write_bytes(b"".join(lines[:kept]))
        with child(*arguments, folder=case.folder) as process:
            status = process.wait(PATIENCE)
            expect(status == 0, CRASH, process.text[-300:])
    one, other = parse(whole.read_bytes()), parse(part.read_bytes())
    expect(len(one) == len(other), LOSS, f"{len(other)} rows of {len(one)}")
    for left, right in zip(one, other, strict=True):
        expect(left == right, WRONG, f"{right['spans']} instead of {left['spans']}")


def threads(case: Case) -> None:
    """One pipeline in eight threads: every answer is right, and saving goes on beside."""
    scene = case.scene
    nlp = scene.nlp
    kinds = ("nlp", "pipe", "component")
    case.say("one pipeline in eight threads")

    def work(number: int) -> Any:
        kind = kinds[number % 3]
        docs = scene.docs()
        if number % 8 == 7:
            nlp.get_pipe(NAME).to_bytes()
        if kind == "nlp":
            return [answer(nlp(doc)) for doc in docs]
        return [answer(doc) for doc in (nlp if kind == "pipe" else nlp.get_pipe(NAME)).pipe(docs)]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(24)):
            expect_right(found, scene.answers)
