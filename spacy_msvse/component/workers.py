"""The preparation of the worker processes of `nlp.pipe`."""

import os
from functools import cache
from multiprocessing import connection, current_process, get_start_method, parent_process
from threading import Thread

import torch


def prepare_worker() -> None:
    """Prepare this process, if it is a worker, for computing; otherwise do nothing."""
    if parent_process() is None:
        return
    # A forked process does not have the thread pool of its parent, and waiting for it would hang.
    # Other workers would compete for the cores, unless OMP_NUM_THREADS is set.
    if is_forked() or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    _end_with_parent(os.getpid())


def is_forked() -> bool:
    """Whether this process is a fork of a process that may have used its threads. A fork server has
    not used them, and a spawned process starts without them."""
    if parent_process() is None:
        return False
    return (getattr(current_process(), "_start_method", None) or get_start_method()) == "fork"


@cache
def _end_with_parent(process: int) -> None:
    """End this process when its parent ends: a killed parent cannot end its workers, which would
    wait for posts without end. Cached by process: a fork copies the cache but not the thread."""
    Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
