"""Entities counted by exact match: an entity is right if its span and its type are.

The rule is that of spaCy's scorer, so the scores are the `ents_p`, `ents_r` and `ents_f` of
`nlp.evaluate` and of training. They equal those of conlleval and seqeval, which published results
report, if gold and pipeline have the same tokens and every gold token is annotated. Otherwise, an
entity is compared by its gold tokens, and a prediction without gold annotation, or of a type that
the annotation does not cover, is not counted.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example

from .gold import gold_span, judged_span


class Entity(NamedTuple):
    """An entity to count.

    Attributes:
        label (str): Its type.
        text (str): Its text, normalised.
    """

    label: str
    text: str


@dataclass
class Matches:
    """The entities of some posts.

    Attributes:
        gold (list): The gold entities.
        predicted (list): The predicted entities that the gold annotation can judge.
        right (list): The gold entities that were predicted.
        conflicts (list): The predicted entities of types that the gold annotation does not cover,
            over gold entities of other types. They are not counted as predicted.
    """

    gold: list[Entity] = field(default_factory=list)
    predicted: list[Entity] = field(default_factory=list)
    right: list[Entity] = field(default_factory=list)
    conflicts: list[Entity] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The types of all entities, sorted."""
        return sorted({entity.label for entity in (*self.gold, *self.predicted)})

    def where(self, condition: Callable[[Entity], bool]) -> "Matches":
        """The entities that meet a condition.

        Args:
            condition (Callable): Takes an entity, returns a bool.

        Returns:
            Matches: These entities.
        """
        return Matches(*(list(filter(condition, part)) for part in self._parts()))

    def of_label(self, label: str) -> "Matches":
        """The entities of one type.

        Args:
            label (str): The type.

        Returns:
            Matches: These entities.
        """
        return self.where(lambda entity: entity.label == label)

    def counts(self) -> dict[str, int]:
        """The numbers of entities: "gold", "predicted" and "right"."""
        return {name: len(getattr(self, name)) for name in ("gold", "predicted", "right")}

    def scores(self) -> dict[str, float | None]:
        """Precision "p", recall "r" and F1 "f" as fractions; None if there is no entity."""
        right = len(self.right)
        if not self.gold and not self.predicted:
            return dict.fromkeys("prf")
        score = PRFScore(tp=right, fp=len(self.predicted) - right, fn=len(self.gold) - right)
        return {**score.to_dict()}

    def _parts(self) -> tuple[list[Entity], ...]:
        return self.gold, self.predicted, self.right, self.conflicts


def match_entities(example: Example) -> Matches:
    """Match the predicted entities of one post to its gold entities.

    Args:
        example (Example): The annotated post.

    Returns:
        Matches: Its entities.
    """
    gold = {
        (ent.start, ent.end, ent.label_): Entity(ent.label_, normalise(ent))
        for ent in example.reference.ents
    }
    matches = Matches(list(gold.values()))
    for ent in example.predicted.ents:
        span = judged_span(example, ent.start, ent.end, ent.label_)
        if span is None:
            tokens = gold_span(example, ent.start, ent.end)
            if tokens is not None and any(token.ent_type for token in tokens):
                matches.conflicts.append(Entity(ent.label_, normalise(ent)))
            continue
        # Each gold entity is found once; a second prediction of it is wrong.
        match = gold.pop((span.start, span.end, ent.label_), None)
        matches.predicted.append(match or Entity(ent.label_, normalise(ent)))
        if match is not None:
            matches.right.append(match)
    return matches


def pool(parts: Iterable[Matches]) -> Matches:
    """Put the entities of several posts together.

    Args:
        parts (Iterable[Matches]): The entities of each post.

    Returns:
        Matches: All entities.
    """
    pooled = Matches()
    for part in parts:
        pooled.gold += part.gold
        pooled.predicted += part.predicted
        pooled.right += part.right
        pooled.conflicts += part.conflicts
    return pooled


def entity_scores(matches: Matches) -> dict[str, Any]:
    """Score entities, overall and by type.

    Args:
        matches (Matches): The entities.

    Returns:
        dict: "ents_p", "ents_r" and "ents_f" as fractions; "ents_per_type", type to "p", "r" and
            "f"; and the numbers of entities that they are computed from, "gold", "predicted" and
            "right": under "entities", and by type under "entities_per_type".
    """
    per_type = {label: matches.of_label(label) for label in matches.labels}
    return {
        **{f"ents_{key}": score for key, score in matches.scores().items()},
        "ents_per_type": {label: found.scores() for label, found in per_type.items()},
        "entities": matches.counts(),
        "entities_per_type": {label: found.counts() for label, found in per_type.items()},
    }


def seen_scores(matches: Matches, known: Container[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Score seen entities, which occur in the training data, and unseen entities separately. Recall
    is over the gold entities of each group, precision over its predicted entities.

    Args:
        matches (Matches): The entities.
        known (Container): The entities of the training data, as `known_entities` returns them.

    Returns:
        dict: "seen" and "unseen" to the numbers "gold", "predicted" and "right" and the scores "p",
            "r" and "f".
    """
    kinds = {
        "seen": matches.where(lambda entity: entity in known),
        "unseen": matches.where(lambda entity: entity not in known),
    }
    return {kind: {**found.counts(), **found.scores()} for kind, found in kinds.items()}


def known_entities(docs: Iterable[Doc]) -> set[tuple[str, str]]:
    """Collect the entities of the training data.

    Args:
        docs (Iterable[Doc]): The posts of the training data.

    Returns:
        set: The type and the normalised text of each entity.
    """
    return {Entity(ent.label_, normalise(ent)) for doc in docs for ent in doc.ents}


def post_counts(examples: Iterable[Example]) -> list[list[int]]:
    """Count the entities of each post, for a bootstrap over posts.

    Args:
        examples (Iterable[Example]): Annotated examples.

    Returns:
        list: For each post the numbers of [right, predicted, gold] entities.
    """
    matches = map(match_entities, examples)
    return [[len(post.right), len(post.predicted), len(post.gold)] for post in matches]


def normalise(entity: Span) -> str:
    """The text of an entity without regard to case and blanks.

    Args:
        entity (Span): The entity.

    Returns:
        str: Its normalised text.
    """
    return " ".join(entity.text.split()).casefold()
