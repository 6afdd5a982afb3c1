"""The judgement of predicted entities by gold annotation, by the rule of spaCy's scorer."""

from spacy.tokens import Span
from spacy.training import Example


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


def is_right(example: Example, start: int, end: int, label: str) -> bool | None:
    """Whether a predicted entity has the span and the type of a gold entity.

    Args:
        example (Example): The gold annotation, aligned to the predicted tokens.
        start (int): The entity's first token.
        end (int): The token after its last.
        label (str): Its type.

    Returns:
        bool: None if the annotation is missing.
    """
    gold = gold_span(example, start, end)
    if gold is None:
        return None
    return any(
        (entity.start, entity.end, entity.label_) == (gold.start, gold.end, label)
        for entity in gold.ents
    )
