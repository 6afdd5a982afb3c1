"""The preparation of worker processes: those of `nlp.pipe`, and those of the guard."""

import os
from multiprocessing import (
    connection,
    current_process,
    get_context,
    get_start_method,
    parent_process,
)
from threading import Thread
from typing import Any

import torch

#: Seconds after which a computation of a hundredth of a second is taken for one without end.
TRIAL_SECONDS = 2.0

#: The worker process that has been prepared. A fork copies it, but no thread.
_prepared: int | None = None


def prepare_worker(threads: int | None = None) -> None:
    """Prepare this process, if it is a worker, for computing; otherwise do nothing. Only the first
    call in a process has an effect.

    Args:
        threads (int): The number of threads to compute with. Defaults to None: 1 in a forked
            process and where OMP_NUM_THREADS is not set, otherwise that of torch.
    """
    global _prepared
    if parent_process() is None or _prepared == os.getpid():
        return
    _prepared = os.getpid()
    # A forked process does not have the thread pool of its parent, and waiting for it would hang.
    # Other workers would compete for the cores, unless OMP_NUM_THREADS is set.
    if threads is None and (is_forked() or "OMP_NUM_THREADS" not in os.environ):
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)
    Thread(target=_end_with_parent, daemon=True).start()


def forked_threads(threads: int) -> int:
    """The number of threads that a fork of this process can compute with. If this process has
    computed with several threads, its forks can only use one: with more they would wait without
    end. A fork tries it.

    Args:
        threads (int): The number that is wanted.

    Returns:
        int: This number or 1.
    """
    if threads == 1:
        return 1
    trial: Any = get_context("fork").Process(target=_compute, args=(threads,))
    trial.start()
    trial.join(TRIAL_SECONDS)
    works = trial.exitcode == 0
    trial.kill()
    trial.join()
    return threads if works else 1


def _compute(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.ones(1_000_000).exp()


def is_forked() -> bool:
    """Whether this process is a fork of a process that may have used its threads. A fork server has
    not used them, and a spawned process starts without them."""
    if parent_process() is None:
        return False
    return (getattr(current_process(), "_start_method", None) or get_start_method()) == "fork"


def _end_with_parent() -> None:
    """End this process when its parent ends: a killed parent cannot end its workers, which would
    wait for posts without end."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
