"""What a worker process of `nlp.pipe` needs."""

import os
from functools import cache
from multiprocessing import connection, parent_process
from threading import Thread

import torch


def prepare_worker() -> None:
    """Prepare this process, if it is a worker, for computing; otherwise do nothing."""
    if parent_process() is None:
        return
    # The thread pool of the parent does not survive a fork: waiting for it would hang.
    torch.set_num_threads(1)
    _end_with_parent(os.getpid())


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
