"""The judgement of predicted entities by gold annotation, by the rule of spaCy's scorer."""

from spacy.tokens import Span
from spacy.training import Example

from ..doc import is_covered


def gold_span(example: Example, start: int, end: int) -> Span | None:
    """The gold tokens of some predicted tokens.

    Args:
        example (Example): The gold annotation, aligned to the predicted tokens.
        start (int): The first predicted token.
        end (int): The token after the last one.

    Returns:
        Span: The gold tokens; None if the annotation of one of them is missing.
    """
    aligned = example.alignment.x2y[start:end]
    if not len(aligned) or not example.reference.has_annotation("ENT_IOB"):
        return None
    gold = example.reference[int(aligned[0]) : int(aligned[-1]) + 1]
    return None if any(token.ent_iob == 0 for token in gold) else gold


def judged_span(example: Example, start: int, end: int, label: str) -> Span | None:
    """The gold tokens of a predicted entity, if the annotation can judge it.

    Args:
        example (Example): The gold annotation, aligned to the predicted tokens.
        start (int): The entity's first token.
        end (int): The token after its last.
        label (str): Its type.

    Returns:
        Span: The gold tokens; None if the annotation of one of them is missing, or does not cover
            the type.
    """
    return gold_span(example, start, end) if is_covered(example.reference, label) else None


def is_right(example: Example, start: int, end: int, label: str) -> bool | None:
    """Whether a predicted entity has the span and the type of a gold entity.

    Args:
        example (Example): The gold annotation, aligned to the predicted tokens.
        start (int): The entity's first token.
        end (int): The token after its last.
        label (str): Its type.

    Returns:
        bool: None if the annotation is missing, or does not cover the type.
    """
    gold = judged_span(example, start, end, label)
    if gold is None:
        return None
    return any(
        (entity.start, entity.end, entity.label_) == (gold.start, gold.end, label)
        for entity in gold.ents
    )
