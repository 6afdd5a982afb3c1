"""Runs in processes of their own, several at a time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import Any

import srsly

from ...util import coded_full_disk
from . import train_run
from .plan import TrainRun

LOG = "log.txt"

#: The variable that names the GPUs that a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"

#: That a run starts, and its outcome.
STARTED, DONE, DONE_BEFORE, FAILED = "started", "done", "done before", "failed"


def train_all(
    runs: Sequence[TrainRun],
    settings: Mapping[str, Any],
    jobs: int = 1,
    gpu_ids: Sequence[int] = (),
    report: Callable[[int, TrainRun, str], None] = lambda number, run, outcome: None,
) -> list[TrainRun]:
    """Train all runs that have no result yet.

    Args:
        runs (Sequence[TrainRun]): The runs.
        settings (Mapping): The settings of the process: "component", "gpu_id", "code",
            "keep_model".
        jobs (int): How many runs are trained at a time; with several GPUs, on each of them.
        gpu_ids (Sequence[int]): GPUs to distribute the runs over. The process of a run sees only
            its own, as number 0. If there is none, all runs have the "gpu_id" of the settings.
        report (Callable): Takes the number of a run, from 1, the run, and `STARTED` when it starts
            or its outcome when it has ended.

    Returns:
        list: The runs that failed.
    """
    # Equal rows share a folder. The first of them is trained, and the others use its result.
    locks = {run.folder: Lock() for run in runs}
    # The settings and the environment of each run at a time.
    places = [({**settings, "gpu_id": 0}, _only_gpu(gpu_id)) for gpu_id in gpu_ids]
    places = (places or [({**settings}, {})]) * jobs
    free: SimpleQueue[tuple[dict[str, Any], dict[str, str]]] = SimpleQueue()
    for place in places:
        free.put(place)

    def train(number: int, run: TrainRun) -> bool:
        with locks[run.folder]:
            outcome = DONE_BEFORE
            if run.result() is None:
                report(number, run, STARTED)
                place = free.get()
                try:
                    _train(run, *place)
                finally:
                    free.put(place)
                outcome = FAILED if run.result() is None else DONE
        report(number, run, outcome)
        return outcome != FAILED

    with ThreadPoolExecutor(len(places)) as pool:
        ended = list(pool.map(train, range(1, len(runs) + 1), runs))
    return [run for run, has_result in zip(runs, ended, strict=True) if not has_result]


def _only_gpu(gpu_id: int) -> dict[str, str]:
    """The environment of a process that sees one of the GPUs that this process sees."""
    visible = os.environ.get(VISIBLE)
    name = visible.split(",")[gpu_id].strip() if visible else str(gpu_id)
    return {VISIBLE: name}


def _train(run: TrainRun, settings: Mapping[str, Any], environment: Mapping[str, str]) -> None:
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
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        ) as process,
    ):
        process.wait()
