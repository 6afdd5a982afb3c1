"""What a worker process of `nlp.pipe` needs."""

import os
from functools import cache
from multiprocessing import connection, current_process, get_start_method, parent_process
from threading import Thread

import torch


def prepare_worker() -> None:
    """Prepare this process, if it is a worker, for computing; otherwise do nothing."""
    if parent_process() is None:
        return
    # The thread pool of the parent does not survive a fork: waiting for it would hang. Workers of
    # another kind would fight for the cores, unless they are told how many threads to use.
    if is_forked() or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    _end_with_parent(os.getpid())


def is_forked() -> bool:
    """Whether this process is a fork of one that may have used its threads. A fork server has not,
    and a spawned process begins anew."""
    if parent_process() is None:
        return False
    return (getattr(current_process(), "_start_method", None) or get_start_method()) == "fork"


@cache
def _end_with_parent(process: int) -> None:
    """A parent that is killed cannot end its workers, and they would wait for posts for ever. Once
    for each process: a fork inherits what was cached, and no thread."""
    Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
