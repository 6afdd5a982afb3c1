"""The mistakes of a pipeline, one by one: spurious and missed entities, wrong types and borders."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from spacy.tokens import Span
from spacy.training import Example

from .gold import judged_span

Kind = Literal["spurious", "missed", "wrong type", "wrong border", "wrong type and border"]


@dataclass(frozen=True)
class Mistake:
    """A wrong or missed entity.

    Attributes:
        post (int): The number of the post, from 1.
        kind (str): "spurious", a predicted entity where gold has none; "missed", a gold entity
            where none is predicted; "wrong type"; "wrong border", with some of the same words; or
            "wrong type and border".
        predicted (Span): The predicted entity; None if it was missed.
        gold (Span): The gold entity; None if there is none.
        example (Example): The post.
    """

    post: int
    kind: Kind
    predicted: Span | None
    gold: Span | None
    example: Example

    @property
    def confidence(self) -> float | None:
        """The confidence of the predicted entity; None if it was missed or has none."""
        return None if self.predicted is None else self.predicted._.confidence

    def to_row(self) -> dict[str, Any]:
        """The mistake as a JSON-safe row."""
        doc = self.example.predicted
        # JSON has no bytes.
        images = [image if isinstance(image, str) else None for image in doc._.images]
        return {
            "kind": self.kind,
            "confidence": self.confidence,
            "predicted": _describe(self.predicted),
            "gold": _describe(self.gold),
            "text": doc.text,
            "image": images[0] if images else None,
            **({"images": images} if len(images) > 1 else {}),
            "post": self.post,
        }


def find_mistakes(examples: Iterable[Example]) -> list[Mistake]:
    """Collect the mistakes of annotated posts.

    A predicted entity is compared with the gold entity that has the same words, else with one that
    has some of the same words, one of its own type first. Each entity is in at most one mistake.
    Predicted entities that the annotation cannot judge are left out, as they are in the scores.

    Args:
        examples (Iterable[Example]): The posts, annotated by a pipeline.

    Returns:
        list: The mistakes, those with the most confident predictions first, and missed entities
            last.
    """
    found = [
        mistake
        for number, example in enumerate(examples, 1)
        for mistake in _compare(number, example)
    ]
    return sorted(found, key=lambda one: (one.confidence is None, -(one.confidence or 0.0)))


def _compare(number: int, example: Example) -> Iterator[Mistake]:
    gold = list(example.reference.ents)
    # Each predicted entity with its gold tokens.
    predicted = [
        (entity, span)
        for entity in example.predicted.ents
        if (span := judged_span(example, entity.start, entity.end, entity.label_)) is not None
    ]
    rules: tuple[tuple[Kind | None, Callable[[Span, Span, Span], bool]], ...] = (
        (None, lambda entity, span, other: _same(span, other) and _typed(entity, other)),
        ("wrong type", lambda entity, span, other: _same(span, other)),
        ("wrong border", lambda entity, span, other: _meet(span, other) and _typed(entity, other)),
        ("wrong type and border", lambda entity, span, other: _meet(span, other)),
    )
    for kind, fits in rules:
        for pair in list(predicted):
            other = next((one for one in gold if fits(*pair, one)), None)
            if other is not None:
                predicted.remove(pair)
                gold.remove(other)
                if kind is not None:
                    yield Mistake(number, kind, pair[0], other, example)
    yield from (Mistake(number, "spurious", entity, None, example) for entity, _ in predicted)
    yield from (Mistake(number, "missed", None, entity, example) for entity in gold)


def _same(one: Span, other: Span) -> bool:
    return (one.start, one.end) == (other.start, other.end)


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _typed(one: Span, other: Span) -> bool:
    return one.label_ == other.label_


def _describe(entity: Span | None) -> dict[str, Any] | None:
    if entity is None:
        return None
    return {
        "start": entity.start_char,
        "end": entity.end_char,
        "text": entity.text,
        "label": entity.label_,
    }
