"""Runs cases: each in a child process with limits on time and memory."""

import contextlib
import gc
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spacy_msvse.errors import MsvseError

from .verdicts import CRASH, HANG, LOSS, OK, WRONG, Bad, Case, coded

#: A new child process after so many cases, so that no case depends on many others.
RENEWED_AFTER = 250
#: Bytes that a case may use in addition to what is loaded.
MEMORY = 6 * 2**30


@dataclass(frozen=True)
class Kind:
    """A kind of inputs.

    Attributes:
        run (Callable): Runs a case. It returns if the case is ok, and raises otherwise.
        share (int): Inputs of this kind in a campaign of 10,000.
        seconds (float): The time bound of a case, in seconds of the processor.
        patience (float): The time bound of a case that waits, by the clock.
    """

    run: Callable[[Case], None]
    share: int
    seconds: float
    patience: float = 60


@dataclass
class Finding:
    """The result of a case."""

    kind: str
    seed: int
    number: int
    verdict: str
    note: str
    what: str
    seconds: float = 0.0


def plan(kinds: dict[str, Kind], inputs: int) -> dict[str, int]:
    """How many inputs of each kind a campaign has."""
    whole = sum(kind.share for kind in kinds.values())
    return {name: max(1, round(kind.share * inputs / whole)) for name, kind in kinds.items()}


def run_case(kind: Kind, case: Case) -> Finding:
    """Run a case in this process and judge how it ends."""
    verdict, note = OK, ""
    start = time.process_time()
    collected = gc.isenabled()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            kind.run(case)
    except Bad as bad:
        verdict, note = bad.verdict, bad.note
    except MsvseError as error:
        verdict, note = (OK, str(error)) if coded(error) else (CRASH, f"no code: {error}")
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
        verdict, note = CRASH, f"{type(error).__name__} at {place}: {error}"
    seconds = time.process_time() - start
    if verdict == OK and seconds > kind.seconds:
        verdict, note = HANG, f"{seconds:.1f} s, more than {kind.seconds} s"
    if collected and not gc.isenabled():
        gc.enable()
        if verdict == OK:
            verdict, note = WRONG, "garbage collection stays off"
    note = note[:500].encode("utf8", "backslashreplace").decode()
    return Finding(case.kind, case.seed, case.number, verdict, note, case.what, seconds)


def _serve(connection: Any, kinds: dict[str, Kind], scene: Any) -> None:
    """The child process: runs the cases that it gets."""
    import torch

    os.setpgid(0, 0)
    torch.set_num_threads(1)  # the threads of the parent are not here
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    # Whoever asks gets the answer yes: nothing may ask.
    answers = tempfile.TemporaryFile()  # noqa: SIM115
    answers.write(b"y\n" * 1000)
    answers.flush()
    os.dup2(answers.fileno(), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    output = os.open(os.devnull, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    here = Path.cwd()
    while True:
        message = connection.recv()
        if message is None:
            return
        name, seed, number = message
        os.lseek(0, 0, os.SEEK_SET)
        folder = Path(tempfile.mkdtemp(dir=scene.folder))
        case = Case(name, seed, number, folder, scene, lambda what: connection.send(("what", what)))
        finding = run_case(kinds[name], case)
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)
        connection.send(("done", asdict(finding)))


class Worker:
    """A child process that runs cases, and is replaced when it hangs or dies.

    It is a plain fork, so that for the package it is not a worker of `nlp.pipe`.
    """

    def __init__(self, kinds: dict[str, Kind], scene: Any) -> None:
        self.kinds, self.scene = kinds, scene
        self.process: int | None = None
        self.done = 0

    def start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.done = 0
        self.process = os.fork()
        if self.process:
            theirs.close()
            return
        try:
            self.connection.close()
            _serve(theirs, self.kinds, self.scene)
        finally:
            os._exit(0)

    def stop(self) -> str:
        """End the child process and everything that it has started.

        Returns:
            str: How it ended.
        """
        if self.process is None:
            return ""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.connection.close()
        # It ends by itself when it has nothing to do.
        found = status = 0
        for _ in range(20):
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                break
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            os.killpg(self.process, signal.SIGKILL)
        if not found:
            _, status = os.waitpid(self.process, 0)
        self.process = None
        return f"status {os.waitstatus_to_exitcode(status)}"

    def run(self, name: str, seed: int, number: int) -> Finding:
        """Run a case, and judge it also if it hangs or its process dies."""
        if self.process is None or self.done >= RENEWED_AFTER:
            self.stop()
            self.start()
        self.done += 1
        patience = self.kinds[name].patience
        what, start = "", time.monotonic()
        try:
            self.connection.send((name, seed, number))
            while self.connection.poll(max(0.0, start + patience - time.monotonic())):
                topic, value = self.connection.recv()
                if topic == "done":
                    return Finding(**value)
                what = value
        except (EOFError, OSError):
            note = f"the process died: {self.stop()}"
            return Finding(name, seed, number, CRASH, note, what, time.monotonic() - start)
        self.stop()
        note = f"no answer after {patience:.0f} s"
        return Finding(name, seed, number, HANG, note, what, patience)


def run_campaign(
    kinds: dict[str, Kind], scene: Any, seed: int, inputs: int, *, progress: bool = False
) -> Iterator[Finding]:
    """Run a campaign.

    Args:
        kinds (dict): The kinds by name.
        scene (Scene): What all cases share.
        seed (int): The seed.
        inputs (int): The number of inputs.
        progress (bool): Whether to write the progress to standard error.

    Yields:
        Finding: The result of every case.
    """
    worker = Worker(kinds, scene)
    try:
        for name, count in plan(kinds, inputs).items():
            start = time.monotonic()
            found: Counter[str] = Counter()
            for number in range(count):
                finding = worker.run(name, seed, number)
                found[finding.verdict] += 1
                yield finding
            if progress:
                seconds = time.monotonic() - start
                print(f"{name}: {dict(found)}, {seconds:.0f} s", file=sys.stderr, flush=True)
    finally:
        worker.stop()


#: The columns of a table.
COLUMNS = {CRASH: "crashes", HANG: "hangs", LOSS: "silent losses", WRONG: "wrong results"}


def table(*results: dict[str, Any]) -> str:
    """Results by kind as a table in Markdown.

    Args:
        results (dict): The content of result files; several stand side by side, as 24 / 0.

    Returns:
        str: The table.
    """
    counts = [
        Counter((one["kind"], one["verdict"]) for one in result["findings"]) for result in results
    ]
    kinds = list(dict.fromkeys(kind for result in results for kind in result["tried"]))

    def cell(numbers: Iterable[int]) -> str:
        return " / ".join(map(str, numbers))

    rows = [["kind", "tried", *COLUMNS.values()], ["---", *["---:"] * 5]]
    for kind in kinds:
        tried = cell(result["tried"].get(kind, 0) for result in results)
        rows.append([kind, tried, *(cell(c[kind, verdict] for c in counts) for verdict in COLUMNS)])
    whole = cell(sum(result["tried"].values()) for result in results)
    totals = (
        cell(sum(n for (_, v), n in c.items() if v == verdict) for c in counts)
        for verdict in COLUMNS
    )
    rows.append(["all", whole, *totals])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def listing(findings: list[Finding]) -> str:
    """A line for each case that is not ok."""
    return "\n".join(
        f"{f.verdict}: {f.kind} {f.seed} {f.number}: {f.what}: {f.note}".replace("\n", " ")
        for f in findings
        if f.verdict != OK
    )


def summary(findings: list[Finding], about: dict[str, Any]) -> dict[str, Any]:
    """The content of a result file: the tested version, the inputs by kind, and the findings."""
    bad = [asdict(finding) for finding in findings if finding.verdict != OK]
    return {**about, "tried": dict(Counter(one.kind for one in findings)), "findings": bad}
