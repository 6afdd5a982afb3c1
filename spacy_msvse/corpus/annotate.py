"""Annotate rows of posts with a pipeline: no bad row ends the run, and memory stays bounded."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..component import reading_pictures
from .jsonl import PICTURE, kept_values, parse_row, with_spans
from .rows import Row

#: Number of posts that a process has in memory at once.
BATCH_SIZE = 64

#: After this many posts, the vocabulary drops the new words, so that memory stays bounded.
ZONE_SIZE = 4096

#: Keys of a row that are not read: they describe an earlier annotation.
UNREAD = ("spans", "answer", "meta")


def annotate(
    nlp: Language,
    rows: Iterable[Row],
    *,
    image_root: str | Path | None = None,
    n_process: int = 1,
    unread: Counter[str] | None = None,
) -> Iterator[Row]:
    """Annotate rows in their order.

    No row ends the run. If a component fails on a batch, the rows of the batch are annotated one by
    one. A row that cannot be annotated gets the reason under "error". A post whose picture cannot
    be read is annotated without it, and gets the reason as well. At most `ZONE_SIZE` rows are in
    memory.

    Args:
        nlp (Language): The pipeline. Its image root, its policy for unreadable pictures and its
            error handler are changed until the end of the rows.
        rows (Iterable[Row]): The rows.
        image_root (Path): The only folder from which pictures are read; None allows any path.
        n_process (int): Number of processes; -1 for all cores.
        unread (Counter[str]): Keys that look like a picture and are not read are counted in it.

    Yields:
        Row: The rows with "spans", and with their problem if there is one.
    """
    unread = Counter() if unread is None else unread
    with reading_pictures(nlp, image_root), _noting_errors(nlp):
        rows = iter(rows)
        for first in rows:
            zone = chain([first], islice(rows, ZONE_SIZE - 1))
            with nlp.memory_zone():
                yield from _annotate_zone(nlp, zone, n_process, unread)


@contextmanager
def _noting_errors(nlp: Language) -> Iterator[None]:
    before: Any = nlp.default_error_handler
    # spaCy declares that a handler never returns, but it accepts one that does.
    handler: Any = note_error
    nlp.set_error_handler(handler)
    try:
        yield
    finally:
        nlp.set_error_handler(before)


def note_error(name: str | None, component: Any, docs: list[Doc] | None, error: Exception) -> None:
    """Store the reason for a failure on the Docs. spaCy then leaves them out of its output.

    Args:
        name (str): Name of the component; None for a failure in another process.
        component (Callable): The component.
        docs (list[Doc]): The Docs; None for a failure in another process.
        error (Exception): The failure.
    """
    for doc in docs or ():
        doc.user_data["error"] = f"'{name}' failed: {error}"


def _annotate_zone(
    nlp: Language, rows: Iterable[Row], n_process: int, unread: Counter[str]
) -> Iterator[Row]:
    # The rows in progress, each with its Doc, or with the reason why there is none.
    waiting: deque[tuple[Row, Doc | str]] = deque()

    def read_docs() -> Iterator[tuple[Doc, int]]:
        for number, row in enumerate(rows):
            try:
                doc = _make_doc(nlp, row, unread)
            except ValueError as error:
                waiting.append((row, str(error)))
            else:
                waiting.append((row, doc))
                yield doc, number

    def annotate_alone(row: Row, doc: Doc | str) -> Row:
        if isinstance(doc, str):
            return _with_problem(row, doc)
        for annotated in nlp.pipe([doc]):
            return _with_entities(row, annotated)
        return _with_problem(row, doc.user_data.get("error", "the pipeline did not return it"))

    finished = 0
    docs = nlp.pipe(read_docs(), as_tuples=True, batch_size=BATCH_SIZE, n_process=n_process)
    for doc, number in docs:
        for _ in range(finished, number):
            yield annotate_alone(*waiting.popleft())
        yield _with_entities(waiting.popleft()[0], doc)
        finished = number + 1
    for row, rest in waiting:
        yield annotate_alone(row, rest)


def _make_doc(nlp: Language, row: Row, unread: Counter[str]) -> Doc:
    """A Doc without annotation."""
    values = {key: value for key, value in row.values.items() if key not in UNREAD}
    post = parse_row(replace(row, values=values))
    unread.update(post.unread_keys.get(PICTURE, ()))
    return post.to_doc(nlp)


def _with_problem(row: Row, problem: str) -> Row:
    problem = problem.rstrip(".")
    values = {**kept_values(row.values), **row.values, "error": problem}
    return replace(row, values=values, problem=problem)


def _with_entities(row: Row, doc: Doc) -> Row:
    values = with_spans(row.values, doc)
    # Several views may have failed for the same reason.
    reasons = dict.fromkeys((doc._.image_problems or {}).values())
    problem = "; ".join(reason.rstrip(".") for reason in reasons) or None
    if problem is not None:
        values["error"] = problem
    return replace(row, values=values, problem=problem)
