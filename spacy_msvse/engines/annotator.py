"""A pipeline that is loaded by its name annotates rows in groups, in a child process."""

import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_start_method
from pathlib import Path
from types import TracebackType
from typing import Any

from spacy.language import Language

from ..component.guard import Guard
from ..component.loading import NamedPipeline
from ..corpus.annotate import give_up, make_batches, make_guard, make_work
from ..corpus.ask_below import Annotate, Annotated
from ..corpus.formats.frames import ROWS
from ..corpus.formats.values import make_row
from ..corpus.jsonl import PICTURE, is_named_like
from ..corpus.rows import Row
from ..errors import Warnings
from .columns import ADDED, READ


class GroupAnnotator:
    """Annotates groups of rows in a child process, which loads the pipeline.

    A row that ends the child process, by a crash or for lack of memory, gets the reason under
    "error", and another child process goes on with the other rows. The rows are divided into
    batches from the first one, like those of `annotate`, whatever the groups.

    Args:
        model (str / Path): The name or the folder of a pipeline, on the machine where this runs.
        image_root (str / Path): The only folder from which pictures are read, or the URL of a
            remote one; None allows any local path.
        code (str / Path): A file with registered functions, which is imported first.
        gpu_id (int): The number of the GPU, or -1 for the CPU.
        min_confidence (float): Entities with a lower confidence are left out. None for the limit of
            the pipeline.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        image_root: str | Path | None = None,
        code: str | Path | None = None,
        gpu_id: int = -1,
        min_confidence: float | None = None,
    ) -> None:
        path = None if code is None else Path(code)
        load = NamedPipeline(str(model), path, gpu_id, min_confidence)
        make = _WorkInForks(load, image_root, fork=gpu_id < 0 and get_start_method() == "fork")
        # The process of an engine has threads, so it cannot be forked. With one thread for each
        # child process, those of a machine do not compete for its cores.
        self._guard: Guard[Row, Annotated] = Guard(make, give_up, threads=1, method="spawn")
        self._warned: set[str] = set()

    def annotate(self, groups: Iterable[Sequence[Row]]) -> Iterator[list[Row]]:
        """Annotate groups of rows in their order.

        Args:
            groups (Iterable): The groups. Only those of two batches are in memory.

        Yields:
            list: The annotated rows of a group, in their order.

        Raises:
            MsvseError: If the pipeline cannot be loaded, or if child processes end again and again
                without any result (MSVSE-E200).
        """
        sizes: deque[int] = deque()

        def read() -> Iterator[Row]:
            for group in groups:
                sizes.append(len(group))
                yield from group

        done: deque[Row] = deque()
        for batch in self._guard.map(make_batches(read())):
            for one in batch:
                self._warn_of(one.unread)
                done.append(one.row)
            while sizes and sizes[0] <= len(done):
                yield [done.popleft() for _ in range(sizes.popleft())]
        while sizes:  # groups without rows
            yield [done.popleft() for _ in range(sizes.popleft())]

    def annotate_tables(
        self, tables: Iterable[tuple[Collection[str], Iterable[Mapping[str, Any]]]]
    ) -> Iterator[dict[str, list[Any]]]:
        """Annotate tables.

        Args:
            tables (Iterable): The names of the columns of each table, and its rows. Only the
                columns `READ` of the rows are used.

        Yields:
            dict: For each table, the columns `ADDED`. A row that could not be annotated has no
                spans, and a row without a problem no error: None.

        Raises:
            MsvseError: As `annotate` does.
        """
        for rows in self.annotate(map(self._make_rows, tables)):
            yield {name: [row.values.get(name) for row in rows] for name in ADDED}

    def close(self) -> None:
        """End the child process."""
        self._guard.close()

    def __enter__(self) -> "GroupAnnotator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._guard.__exit__(kind, error, traceback)

    def _make_rows(self, table: tuple[Collection[str], Iterable[Mapping[str, Any]]]) -> list[Row]:
        columns, rows = table
        if not {"image", "images"} & set(columns):
            self._warn_of([key for key in columns if is_named_like(key, PICTURE)])
        return [
            make_row(ROWS, number, {key: values[key] for key in READ if key in values})
            for number, values in enumerate(rows, start=1)
        ]

    def _warn_of(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key not in self._warned:
                self._warned.add(key)
                warnings.warn(Warnings.W080.format(key=key), stacklevel=2)


@dataclass(frozen=True)
class _WorkInForks:
    """Loads the pipeline once in a child process, which annotates in a fork of itself. So a row
    that ends its process costs forks, and not the time to load the pipeline again."""

    load: Callable[[], Language]
    image_root: str | Path | None
    fork: bool

    def __call__(self) -> Annotate:
        nlp = self.load()
        if not self.fork:  # a process that has used a GPU cannot be forked
            return make_work(lambda: nlp, self.image_root)
        guard = make_guard(lambda: nlp, self.image_root, threads=1, method="fork")
        return partial(_annotate_batch, guard)


def _annotate_batch(guard: Guard[Row, Annotated], rows: Sequence[Row]) -> list[Annotated]:
    (annotated,) = guard.map([list(rows)])
    return annotated
