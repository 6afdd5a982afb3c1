"""What the gold annotation says of a predicted entity."""

from spacy.training import Example


def is_right(example: Example, start: int, end: int, label: str) -> bool | None:
    """Whether an entity is right in span and type, by the rule of spaCy's scorer.

    example (Example): The gold annotation, and how it is aligned to the predicted tokens.
    start (int): The entity's first token.
    end (int): The token after its last.
    label (str): Its type.
    RETURNS (bool): None where the annotation is missing.
    """
    aligned = example.alignment.x2y[start:end]
    if not len(aligned) or not example.reference.has_annotation("ENT_IOB"):
        return None
    gold = example.reference[int(aligned[0]) : int(aligned[-1]) + 1]
    if any(token.ent_iob == 0 for token in gold):
        return None
    return any(
        (entity.start, entity.end, entity.label_) == (gold.start, gold.end, label)
        for entity in gold.ents
    )
