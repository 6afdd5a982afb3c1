"""Runs in processes of their own, several at a time."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import srsly

from ...util import coded_full_disk
from . import train_run
from .plan import TrainRun

LOG = "log.txt"

#: That a run starts, and its outcome.
STARTED, DONE, DONE_BEFORE, FAILED = "started", "done", "done before", "failed"


def train_all(
    runs: Sequence[TrainRun],
    settings: Mapping[str, Any],
    jobs: int = 1,
    report: Callable[[int, TrainRun, str], None] = lambda number, run, outcome: None,
) -> list[TrainRun]:
    """Train all runs that have no result yet.

    Args:
        runs (Sequence[TrainRun]): The runs.
        settings (Mapping): The settings of the process: "component", "gpu_id", "code",
            "keep_model".
        jobs (int): How many runs are trained at a time.
        report (Callable): Takes the number of a run, from 1, the run, and `STARTED` when it starts
            or its outcome when it has ended.

    Returns:
        list: The runs that failed.
    """
    # Equal rows share a folder. The first of them is trained, and the others use its result.
    locks = {run.folder: Lock() for run in runs}

    def train(number: int, run: TrainRun) -> bool:
        with locks[run.folder]:
            outcome = DONE_BEFORE
            if run.result() is None:
                report(number, run, STARTED)
                _train(run, settings)
                outcome = FAILED if run.result() is None else DONE
        report(number, run, outcome)
        return outcome != FAILED

    with ThreadPoolExecutor(jobs) as pool:
        ended = list(pool.map(train, range(1, len(runs) + 1), runs))
    return [run for run, has_result in zip(runs, ended, strict=True) if not has_result]


def _train(run: TrainRun, settings: Mapping[str, Any]) -> None:
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(parents=True)
    with coded_full_disk(run.folder):
        run.config.to_disk(run.folder / train_run.CONFIG, interpolate=False)
        srsly.write_json(run.folder / train_run.PLAN, {**run.identity, **settings})
    command = [sys.executable, "-m", train_run.__name__, str(run.folder)]
    with (
        (run.folder / LOG).open("w") as log,
        # The process ends when this pipe is closed.
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        process.wait()
