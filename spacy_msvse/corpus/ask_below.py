"""Ask a server for views while posts are annotated: for all posts, or only for unsure ones."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from spacy.language import Language
from spacy.tokens import Doc

from ..component import components
from ..component.reader import given_views
from ..component.unsure import read_confidence
from ..doc import extracted_views
from ..vision.extractors.chat_client import ChatClient, Usage
from .rows import Row

#: Warnings about posts without views. The first reading of a post has no views on purpose.
_EXPECTED = r"\[MSVSE-W0(01|60)\]"


@dataclass(frozen=True)
class Asking:
    """A server to ask, and for which posts.

    Attributes:
        url (str): The base URL of the server.
        key_env (str): The name of the environment variable that has the key; None for no key.
        below (float): It is asked only for posts whose confidence without its answer is lower; None
            for all posts.
    """

    url: str
    key_env: str | None = None
    below: float | None = None


@dataclass(frozen=True)
class Reading:
    """One reading of a post: its confidence, and the views that a server can be asked for.

    Attributes:
        confidence (float): The confidence of the post.
        lacks (bool): Whether the post has neither a given view nor an answer.
        answered (bool): Whether it was read with an answer.
    """

    confidence: float
    lacks: bool
    answered: bool


@dataclass(frozen=True)
class Annotated:
    """An annotated row.

    Attributes:
        row (Row): The row with its entities.
        reading (Reading): How it was read; None if that does not matter, or if it was not read.
        unread (Sequence): Keys that look like a picture and are not read.
        asked (bool): Whether a server was asked about it.
        usage (Usage): What was asked since the row before.
    """

    row: Row
    reading: Reading | None = None
    unread: Sequence[str] = ()
    asked: bool = False
    usage: Usage = field(default_factory=Usage)


#: Annotates a batch of rows.
Annotate = Callable[[Sequence[Row]], list[Annotated]]


def note_reading(nlp: Language, doc: Doc, views: frozenset[str]) -> Reading | None:
    """Note how a post was read.

    Args:
        nlp (Language): The pipeline that has annotated it.
        doc (Doc): The post.
        views (frozenset): The views that a server can be asked for.

    Returns:
        Reading: The note; None if there are no such views.

    Raises:
        MsvseError: If the answers of the methods give no confidence (MSVSE-E260).
    """
    if not views:
        return None
    answered = views & {*extracted_views(doc)}
    lacks = views - answered - given_views(doc).keys()
    return Reading(read_confidence(nlp, doc), bool(lacks), bool(answered))


class AskingWork:
    """Annotates batches of rows, and asks a server about them.

    With a threshold, a batch is first read without asking. Views that rows have, and stored
    answers, are used. Then the server is asked for the posts that lack the view and whose
    confidence is below the threshold, and these are read again. A post without an answer keeps its
    first reading.

    Args:
        nlp (Language): The pipeline. It has the permission to ask only while it reads such posts.
        asking (Asking): The server.
        annotate (Callable): Annotates a batch of rows with the pipeline.
    """

    def __init__(self, nlp: Language, asking: Asking, annotate: Annotate) -> None:
        self.client = ChatClient(asking.url, asking.key_env)
        self.below = asking.below
        self.annotate = annotate
        found = [component.vision for _, component in components(nlp)]
        self.extractors = [vision for vision in found if vision is not None]

    def __call__(self, rows: Sequence[Row]) -> list[Annotated]:
        """Annotate a batch of rows.

        Args:
            rows (Sequence[Row]): The rows, at least one.

        Returns:
            list: The annotated rows.
        """
        if self.below is None:
            with self._asking():
                found = self.annotate(rows)
        else:
            found = self._annotate_twice(rows, self.below)
        return [replace(found[0], usage=self.client.usage.take()), *found[1:]]

    def _annotate_twice(self, rows: Sequence[Row], below: float) -> list[Annotated]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _EXPECTED)
            found = self.annotate(rows)
        found = [replace(one, asked=bool(one.reading and one.reading.answered)) for one in found]
        unsure = [
            number
            for number, one in enumerate(found)
            if one.reading is not None and one.reading.lacks and one.reading.confidence < below
        ]
        if unsure:
            with self._asking():
                again = self.annotate([rows[number] for number in unsure])
            for number, second in zip(unsure, again, strict=True):
                found[number] = _choose(found[number], second)
        return found

    @contextmanager
    def _asking(self) -> Iterator[None]:
        for vision in self.extractors:
            vision.allow_asking(self.client)
        try:
            yield
        finally:
            for vision in self.extractors:
                vision.allow_asking(None)


def _choose(first: Annotated, second: Annotated) -> Annotated:
    """The second reading, if it has the answer; otherwise the first, with the reason."""
    if second.reading is not None and second.reading.answered:
        return replace(second, asked=True)
    problem = second.row.problem
    if problem is None:
        return first
    values = {**first.row.values, "error": problem}
    return replace(first, row=replace(first.row, values=values, problem=problem), asked=True)
