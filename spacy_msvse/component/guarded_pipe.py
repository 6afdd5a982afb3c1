"""`nlp.pipe` with several processes that survives the death of one of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.tokens.underscore import Underscore
from spacy.util import minibatch

from .guard import map_guarded

#: The key of `doc.user_data` under which a Doc that ended its process has the reason.
LOST = "error"


def guarded_pipe(
    nlp: Language, docs: Iterable[Doc | str], *, n_process: int = 1, batch_size: int = 64
) -> Iterator[Doc]:
    """Annotate Docs in child processes, like `nlp.pipe` with `n_process`.

    If a child process ends, by a crash or for lack of memory, `nlp.pipe` may wait without end. Here
    another process goes on. A Doc that ends its process is not annotated; `doc.user_data["error"]`
    has the reason.

    Args:
        nlp (Language): The pipeline.
        docs (Iterable): Docs, such as `make_doc` makes them, or texts.
        n_process (int): Number of child processes; -1 for all cores.
        batch_size (int): Number of Docs that a child process gets at once.

    Yields:
        Doc: The Docs, in order. They are copies.

    Raises:
        MsvseError: If child processes end again and again without any result (MSVSE-E200).
        Exception: Whatever a component raises, unless the error handler of the pipeline accepts it.
            A Doc that a component has refused is left out.
    """

    def give_up(content: bytes, reason: str) -> bytes:
        doc = Doc(nlp.vocab).from_bytes(content)
        doc.user_data[LOST] = f"it ended its process ({reason})"
        annotated: bytes = doc.to_bytes()
        return annotated

    given = (nlp.make_doc(doc) if isinstance(doc, str) else doc for doc in docs)
    batches = minibatch((doc.to_bytes() for doc in given), batch_size)
    for batch in map_guarded(_Annotator(nlp), batches, give_up, n_process=n_process):
        for content in batch:
            if content is not None:
                yield Doc(nlp.vocab).from_bytes(content)


@dataclass
class _Annotator:
    """Makes the work of a child process."""

    nlp: Language
    extensions: Any = field(default_factory=Underscore.get_state)

    def __call__(self) -> Callable[[list[bytes]], list[bytes | None]]:
        Underscore.load_state(self.extensions)
        return self.annotate

    def annotate(self, contents: list[bytes]) -> list[bytes | None]:
        annotated: list[bytes | None] = [None] * len(contents)
        with self.nlp.memory_zone():
            docs = ((Doc(self.nlp.vocab).from_bytes(c), i) for i, c in enumerate(contents))
            for doc, number in self.nlp.pipe(docs, as_tuples=True, batch_size=len(contents)):
                annotated[number] = doc.to_bytes()
        return annotated
