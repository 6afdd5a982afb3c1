"""A guard for work that may end its process: batches run in child processes."""

import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

from ..errors import Errors, MsvseError
from .workers import forked_threads, prepare_worker

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Work on a batch: it returns a result for each item.
Work = Callable[[list[Item]], Sequence[Result]]

#: After so many child processes that ended in a row, none of which returned a result, the guard
#: gives up. A single item that ends its process causes about ten of them.
MAX_DEATHS = 50

#: The same for child processes that ended before their work could begin.
MAX_FAILED_STARTS = 3

#: What a child process sends when it is ready to work.
_READY = "ready"


def map_guarded(
    make: Callable[[], Work[Item, Result]],
    batches: Iterable[list[Item]],
    lost: Callable[[Item, str], Result],
    *,
    n_process: int = 1,
    threads: int | None = None,
    method: str | None = None,
) -> Iterator[list[Result]]:
    """Work on batches in child processes. An item that ends its process does not end the run.

    If a process ends in a batch, by a signal, a crash or for lack of memory, a new one repeats the
    batch. If that process ends too, the batch is divided into halves, and so on. An item that ends
    its process twice when it is alone is given up. The child processes end with this process.

    Args:
        make (Callable): Makes the work. It is called once in each child process, and must be
            picklable unless the processes are forked.
        batches (Iterable): The batches. At most two for each process are in memory.
        lost (Callable): Gives the result of an item that was given up, from the item and the
            reason, such as "SIGSEGV".
        n_process (int): Number of child processes; -1 for all cores.
        threads (int): Threads that each of them computes with. Forked processes use one if this
            process has computed with several. Defaults to None, as for `prepare_worker`.
        method (str): How processes start, such as "spawn". Defaults to None: that of the platform.

    Yields:
        list: The results of a batch, in the order of the batches and of their items.

    Raises:
        MsvseError: If processes end again and again without any result (MSVSE-E200).
        Exception: Whatever the work raises.
    """
    with Guard(make, lost, n_process=n_process, threads=threads, method=method) as guard:
        yield from guard.map(batches)


class Guard(Generic[Item, Result]):
    """Child processes that stay for several runs of `map`. They start with the first one.

    Args:
        make (Callable): Makes the work, as for `map_guarded`.
        lost (Callable): Gives the result of an item that was given up, as for `map_guarded`.
        n_process (int): Number of child processes; -1 for all cores.
        threads (int): Threads that each of them computes with, as for `map_guarded`.
        method (str): How processes start, as for `map_guarded`.
    """

    def __init__(
        self,
        make: Callable[[], Work[Item, Result]],
        lost: Callable[[Item, str], Result],
        *,
        n_process: int = 1,
        threads: int | None = None,
        method: str | None = None,
    ) -> None:
        self.n_process = multiprocessing.cpu_count() if n_process < 0 else n_process
        context = multiprocessing.get_context(method)
        if threads is not None and context.get_start_method() == "fork":
            threads = forked_threads(threads)
        self._pool = _Pool(context, make, threads, lost)

    def map(self, batches: Iterable[list[Item]]) -> Iterator[list[Result]]:
        """Work on batches. One run ends before the next one begins. A run that is broken off ends
        the child processes; the next one starts others.

        Args:
            batches (Iterable): The batches. At most two for each process are in memory.

        Yields:
            list: The results of a batch, in the order of the batches and of their items.

        Raises:
            MsvseError: If processes end again and again without any result (MSVSE-E200).
            Exception: Whatever the work raises.
        """
        try:
            while len(self._pool.workers) < self.n_process:
                self._pool.workers.append(self._pool.start())
            yield from self._pool.run(iter(batches))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Guard[Item, Result]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(wait=kind is None)

    def close(self, *, wait: bool = False) -> None:
        """End the child processes.

        Args:
            wait (bool): Whether they may end by themselves first.
        """
        for worker in self._pool.workers if wait else ():
            worker.finish()
        for worker in self._pool.workers:
            worker.kill()
        self._pool.workers.clear()


def describe_exit(code: int | None) -> str:
    """Describe how a process has ended.

    Args:
        code (int): Its exit code, as `multiprocessing` gives it.

    Returns:
        str: The name of the signal, or the exit status.
    """
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code}"


@dataclass
class _Batch(Generic[Result]):
    """A batch in progress. Its results come in any order."""

    results: list[Result | None]
    missing: int


@dataclass
class _Part(Generic[Item, Result]):
    """A batch, or a part of it, that one process works on at once."""

    batch: _Batch[Result]
    start: int
    items: list[Item]
    tries: int

    def finish(self, results: Sequence[Result]) -> None:
        self.batch.results[self.start : self.start + len(self.items)] = results
        self.batch.missing -= len(self.items)

    def halves(self) -> list["_Part[Item, Result]"]:
        middle = len(self.items) // 2
        parts = ((self.start, self.items[:middle]), (self.start + middle, self.items[middle:]))
        return [
            _Part(self.batch, start, items, tries=2 if len(items) == 1 else 1)
            for start, items in parts
        ]


class _Failure:
    """An exception in a child process."""

    def __init__(self, error: Exception) -> None:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # the class of the error decides what it raises
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self.error = error


class _Worker(Generic[Item, Result]):
    """A child process, and the part that it works on."""

    def __init__(
        self, context: BaseContext, make: Callable[[], Work[Item, Result]], threads: int | None
    ) -> None:
        self.connection, theirs = context.Pipe()
        # A process that is spawned gets only its own end of the pipe.
        ours = self.connection if context.get_start_method() == "fork" else None
        process: Any = context.Process  # type: ignore[attr-defined]
        self.process = process(target=_serve, args=(theirs, ours, make, threads))
        self.process.start()
        # No process but the child has its end now, so that its death closes the pipe.
        theirs.close()
        self.ready = False
        self.part: _Part[Item, Result] | None = None
        # Python waits for child processes when it exits.
        self.kill = Finalize(self, _kill, (self.process, self.connection), exitpriority=10)

    def give(self, part: _Part[Item, Result]) -> None:
        self.part = part
        with suppress(OSError):  # it has ended, as the next message shows
            self.connection.send(part.items)

    def receive(self) -> Any:
        """The next message; None if the process has ended."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def finish(self) -> None:
        with suppress(OSError):
            self.connection.send(None)
        self.process.join(timeout=5)


def _kill(process: Any, connection: Connection) -> None:
    process.kill()
    process.join()
    connection.close()


def _serve(
    connection: Connection,
    inherited: Connection | None,
    make: Callable[[], Work[Any, Any]],
    threads: int | None,
) -> None:
    """The child process: do the work until the parent sends None or ends."""
    if inherited is not None:
        inherited.close()
    # Ctrl-C reaches all processes. The parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_worker(threads)
    try:
        work = make()
    except Exception as error:
        connection.send(_Failure(error))
        return
    connection.send(_READY)
    with suppress(EOFError):
        while (items := connection.recv()) is not None:
            try:
                answer: Any = list(work(items))
            except Exception as error:
                answer = _Failure(error)
            connection.send(answer)


@dataclass
class _Pool(Generic[Item, Result]):
    """The child processes of a run."""

    context: BaseContext
    make: Callable[[], Work[Item, Result]]
    threads: int | None
    lost: Callable[[Item, str], Result]
    workers: list[_Worker[Item, Result]] = field(default_factory=list)
    deaths: int = 0
    failed_starts: int = 0

    def start(self) -> _Worker[Item, Result]:
        return _Worker(self.context, self.make, self.threads)

    def run(self, batches: Iterator[list[Item]]) -> Iterator[list[Result]]:
        waiting: deque[_Part[Item, Result]] = deque()
        begun: deque[_Batch[Result]] = deque()
        while True:
            while begun and not begun[0].missing:
                # All of them have come, so no result is None.
                yield begun.popleft().results  # type: ignore[misc]
            for worker in self.workers:
                if not waiting and len(begun) < 2 * len(self.workers):
                    for items in batches:
                        batch: _Batch[Result] = _Batch([None] * len(items), len(items))
                        begun.append(batch)
                        waiting.append(_Part(batch, 0, items, tries=2))
                        break
                if waiting and worker.ready and worker.part is None:
                    worker.give(waiting.popleft())
            if not begun:
                return
            busy = [one for one in self.workers if one.part is not None or not one.ready]
            messages = wait([worker.connection for worker in busy])
            for number, worker in enumerate(self.workers):
                if worker.connection in messages:
                    message = worker.receive()
                    if message is None:
                        waiting.extendleft(reversed(self._bury(worker)))
                        self.workers[number] = self.start()
                    elif isinstance(message, _Failure):
                        raise message.error
                    elif message == _READY:
                        worker.ready, self.failed_starts = True, 0
                    elif worker.part is not None:
                        worker.part.finish(message)
                        worker.part, self.deaths = None, 0

    def _bury(self, worker: _Worker[Item, Result]) -> list[_Part[Item, Result]]:
        """Remove a process that has ended, and return the parts that must be tried again."""
        worker.process.join()
        reason = describe_exit(worker.process.exitcode)
        worker.kill()
        self.deaths += 1
        self.failed_starts += not worker.ready
        if self.deaths >= MAX_DEATHS or self.failed_starts >= MAX_FAILED_STARTS:
            raise MsvseError(Errors.E200.format(count=self.deaths, reason=reason))
        part = worker.part
        if part is None:
            return []
        part.tries -= 1
        if part.tries:
            return [part]
        if len(part.items) > 1:
            return part.halves()
        part.finish([self.lost(part.items[0], reason)])
        return []
