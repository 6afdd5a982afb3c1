"""Annotate rows of posts with a pipeline: no bad row ends the run, and memory stays bounded."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.tokens.underscore import Underscore
from spacy.util import minibatch

from ..component import reading_pictures
from ..component.unsure import views_to_ask
from ..errors import MsvseError
from ..picture_values import check_picture
from ..vision.extractors.chat_client import Usage
from .ask_below import (
    Annotate,
    Annotated,
    Asking,
    AskingWork,
    Reading,
    note_reading,
)
from .jsonl import ASKED, PICTURE, kept_values, parse_row, with_spans
from .rows import Row

if TYPE_CHECKING:
    from ..component.guard import Guard

#: Number of rows that are annotated together.
BATCH_SIZE = 64

#: Keys of a row that are not read: they describe an earlier annotation.
UNREAD = ("spans", "answer", "meta")

#: An annotated row, and how it was read.
_Read = tuple[Row, Reading | None]


def annotate(
    nlp: Language,
    rows: Iterable[Row],
    *,
    image_root: str | Path | None = None,
    n_process: int = 1,
    threads: int | None = None,
    load: Callable[[], Language] | None = None,
    method: str | None = None,
    unread: Counter[str] | None = None,
    asking: Asking | None = None,
    usage: Usage | None = None,
) -> Iterator[Row]:
    """Annotate rows in their order.

    No row ends the run. If a component fails on a batch, the rows of the batch are annotated one by
    one. If a row ends the process that annotates it, by a crash or for lack of memory, another
    process goes on. A row that cannot be annotated gets the reason under "error". A post whose
    picture cannot be read is annotated without it, and gets the reason as well. At most two batches
    of `BATCH_SIZE` rows for each process are in memory.

    The rows are divided into batches from the first one, and a score depends a little on the other
    rows of its batch. The same batches give the same scores.

    With one process, too, it is a child process: a row that ends this process would end each later
    run at the same place. A forked process shares the memory of the pipeline and starts in less
    than a tenth of a second.

    Args:
        nlp (Language): The pipeline. It is not changed.
        rows (Iterable[Row]): The rows. A picture may be any value that `make_doc` takes; pixels and
            open files become the bytes of a picture file.
        image_root (Path): The only folder from which pictures are read; None allows any path.
        n_process (int): Number of child processes; -1 for all cores. With 0, the rows are annotated
            in this process, and a row that ends it ends the run.
        threads (int): Threads that a child process computes with, as for `map_guarded`.
        load (Callable): Loads the pipeline in each child process, and must be picklable unless they
            are forked. Defaults to None: a forked process shares this pipeline, another one gets a
            copy.
        method (str): How child processes start, as for `map_guarded`.
        unread (Counter[str]): Keys that look like a picture and are not read are counted in it.
        asking (Asking): A server that is asked for views; None to ask nothing.
        usage (Usage): Requests and their tokens are counted in it. Those of a process that has
            ended early are lost.

    Yields:
        Row: The rows with "spans", and with their problem if there is one. If a server is asked
            only for some posts, they have "asked", whether it was asked for theirs.

    Raises:
        MsvseError: If a server is to be asked only for unsure posts, and the method of the pipeline
            gives no confidence of posts (MSVSE-E260).
        MsvseError: If child processes end again and again without any result (MSVSE-E200).
    """
    unread = Counter() if unread is None else unread
    usage = Usage() if usage is None else usage
    load = load or _Inherited(nlp)
    with ExitStack() as stack:
        if n_process == 0:
            work = make_work(load, image_root, asking)
            annotated: Iterable[Sequence[Annotated]] = map(work, make_batches(rows))
        else:
            guard = make_guard(
                load, image_root, asking, n_process=n_process, threads=threads, method=method
            )
            annotated = stack.enter_context(guard).map(make_batches(rows))
        for batch in annotated:
            for one in batch:
                unread.update(one.unread)
                usage.add(one.usage)
                if asking is None or asking.below is None:
                    yield one.row
                else:
                    yield replace(one.row, values={**one.row.values, ASKED: one.asked})


def make_guard(
    load: Callable[[], Language],
    image_root: str | Path | None = None,
    asking: Asking | None = None,
    *,
    n_process: int = 1,
    threads: int | None = None,
    method: str | None = None,
) -> "Guard[Row, Annotated]":
    """Make child processes that annotate the batches of `make_batches`.

    Args:
        load (Callable): Loads the pipeline in each of them, as for `annotate`.
        image_root (Path): The only folder from which pictures are read; None allows any path.
        asking (Asking): A server that is asked for views; None to ask nothing.
        n_process (int): Number of child processes; -1 for all cores.
        threads (int): Threads that each of them computes with, as for `map_guarded`.
        method (str): How they start, as for `map_guarded`.

    Returns:
        Guard: The child processes, which start with the first batch.
    """
    # torch, which its module needs, is imported when a pipeline is there.
    from ..component.guard import Guard

    make = _Annotator(load, image_root, asking)
    return Guard(make, give_up, n_process=n_process, threads=threads, method=method)


def make_work(
    load: Callable[[], Language],
    image_root: str | Path | None = None,
    asking: Asking | None = None,
) -> Annotate:
    """Make the function that annotates a batch in this process.

    Args:
        load (Callable): Loads the pipeline.
        image_root (Path): The only folder from which pictures are read; None allows any path.
        asking (Asking): A server that is asked for views; None to ask nothing.

    Returns:
        Callable: The function, from rows to annotated rows.
    """
    return _Annotator(load, image_root, asking)()


def make_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Divide rows into batches, with pictures that other processes can get.

    Args:
        rows (Iterable[Row]): The rows.

    Yields:
        list: Rows that are annotated together.
    """
    yield from minibatch(map(_with_encoded_pictures, rows), BATCH_SIZE)


def _with_encoded_pictures(row: Row) -> Row:
    """A row that other processes can get, and files can hold."""
    values = dict(row.values)
    try:
        if "image" in values:
            values["image"] = _encode(values["image"])
        if isinstance(values.get("images"), list | tuple):
            values["images"] = [_encode(image) for image in values["images"]]
    except MsvseError as error:
        values |= dict.fromkeys({"image", "images"} & values.keys())
        return replace(row, values=values, problem=str(error))
    return replace(row, values=values)


def _encode(image: Any) -> Any:
    """A picture as a path or bytes. Wrong values are named when the row is parsed."""
    if image is None or isinstance(image, str | bytes | Mapping | list | tuple | int):
        return image
    return check_picture(image)


@dataclass
class _Annotator:
    """Makes the work of a child process."""

    load: Callable[[], Language]
    image_root: str | Path | None
    asking: Asking | None = None
    extensions: Any = field(default_factory=Underscore.get_state)

    def __call__(self) -> Annotate:
        Underscore.load_state(self.extensions)
        nlp = self.load()
        if self.asking is None:
            return partial(_annotate_batch, nlp, self.image_root)
        views = frozenset[str]() if self.asking.below is None else views_to_ask(nlp)
        work = partial(_annotate_batch, nlp, self.image_root, views=views)
        return AskingWork(nlp, self.asking, work)


@dataclass
class _Inherited:
    """A pipeline that a child process inherits if it is forked, otherwise gets a copy of."""

    nlp: Language

    def __call__(self) -> Language:
        return self.nlp


def note_error(name: str | None, component: Any, docs: list[Doc], error: Exception) -> None:
    """Store the reason for a failure on the Docs. spaCy then leaves them out of its output.

    Args:
        name (str): Name of the component.
        component (Callable): The component.
        docs (list[Doc]): The Docs.
        error (Exception): The failure.
    """
    for doc in docs:
        doc.user_data["error"] = f"'{name}' failed: {error}"


def _annotate_batch(
    nlp: Language,
    image_root: str | Path | None,
    rows: Sequence[Row],
    *,
    views: frozenset[str] = frozenset(),
) -> list[Annotated]:
    annotated: list[_Read | None] = [None] * len(rows)
    unread: list[Sequence[str]] = [()] * len(rows)
    docs: dict[int, Doc] = {}
    # The vocabulary drops the new words of a batch, so that memory stays bounded.
    with reading_pictures(nlp, image_root), _noting_errors(nlp), nlp.memory_zone():
        for number, row in enumerate(rows):
            try:
                docs[number], unread[number] = _make_doc(nlp, row)
            except ValueError as error:
                annotated[number] = _with_problem(row, str(error)), None
        pairs = ((doc, number) for number, doc in docs.items())
        for doc, number in nlp.pipe(pairs, as_tuples=True, batch_size=BATCH_SIZE):
            annotated[number] = _with_entities(rows[number], doc), note_reading(nlp, doc, views)
        return [
            Annotated(*(one or _annotate_alone(nlp, rows[number], docs[number], views)), keys)
            for number, (one, keys) in enumerate(zip(annotated, unread, strict=True))
        ]


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


def _annotate_alone(nlp: Language, row: Row, doc: Doc, views: frozenset[str]) -> _Read:
    for annotated in nlp.pipe([doc]):
        return _with_entities(row, annotated), note_reading(nlp, annotated, views)
    reason = doc.user_data.get("error", "the pipeline did not return it")
    return _with_problem(row, reason), None


def give_up(row: Row, reason: str) -> Annotated:
    """The result of a row that ends its process.

    Args:
        row (Row): The row.
        reason (str): How the process has ended.

    Returns:
        Annotated: The row with its problem.
    """
    problem = f"it ended the process that annotated it ({reason}): a crash, or too little memory"
    return Annotated(_with_problem(row, problem))


def _make_doc(nlp: Language, row: Row) -> tuple[Doc, Sequence[str]]:
    """A Doc without annotation, and the keys that look like a picture and are not read."""
    values = {key: value for key, value in row.values.items() if key not in UNREAD}
    post = parse_row(replace(row, values=values))
    return post.to_doc(nlp), post.unread_keys.get(PICTURE, ())


def _with_problem(row: Row, problem: str) -> Row:
    problem = problem.rstrip(".")
    values = {**kept_values(row.values), **row.values, "error": problem}
    return replace(row, values=values, problem=problem)


def _with_entities(row: Row, doc: Doc) -> Row:
    values = with_spans(row.values, doc)
    # Several views may have failed for the same reason.
    reasons = dict.fromkeys(reason for _, _, reason in doc._.image_problems or ())
    problem = "; ".join(reason.rstrip(".") for reason in reasons) or None
    if problem is not None:
        values["error"] = problem
    return replace(row, values=values, problem=problem)
