"""Entities counted as conlleval and seqeval count them, seen and unseen ones apart."""

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example


class Entity(NamedTuple):
    """An entity of a corpus; two are the same if post, span and type are.

    post (int): The index of its post.
    start (int): Its first character.
    end (int): The character after its last.
    label (str): Its type.
    text (str): Its text, normalised.
    """

    post: int
    start: int
    end: int
    label: str
    text: str


def find_entities(examples: Iterable[Example]) -> tuple[set[Entity], set[Entity]]:
    """Collect the entities of the posts that have gold annotation, for conlleval's scores.

    These equal spaCy's where gold and pipeline cut a post into the same tokens and the annotation
    has no gaps. Where a token has no annotation, conlleval takes it for O, so what is predicted
    there is wrong; spaCy leaves it out. Where tokens differ, conlleval asks for the same
    characters, spaCy for the same gold tokens.

    examples (Iterable[Example]): The examples.
    RETURNS (tuple): The predicted entities, and the gold entities.
    """
    predicted: set[Entity] = set()
    gold: set[Entity] = set()
    for post, example in enumerate(examples):
        if example.reference.has_annotation("ENT_IOB"):
            for entities, doc in ((predicted, example.predicted), (gold, example.reference)):
                entities.update(
                    Entity(post, ent.start_char, ent.end_char, ent.label_, _normalise(ent))
                    for ent in doc.ents
                )
    return predicted, gold


def typed_scores(predicted: set, gold: set) -> dict[str, Any]:
    """Score what was predicted by exact matches, overall and by type.

    predicted (set): Named tuples with a "label".
    gold (set): Likewise.
    RETURNS (dict): What `match_scores` returns; "per_type", the same for each type; "macro", the
        mean "p", "r" and "f" over the types.
    """
    labels = sorted({item.label for item in predicted | gold})
    per_type = {
        label: match_scores(
            {item for item in predicted if item.label == label},
            {item for item in gold if item.label == label},
        )
        for label in labels
    }
    macro = {
        key: sum(scores[key] for scores in per_type.values()) / max(len(per_type), 1)
        for key in "prf"
    }
    return {**match_scores(predicted, gold), "macro": macro, "per_type": per_type}


def match_scores(predicted: set, gold: set) -> dict[str, Any]:
    """Score what was predicted by exact matches.

    predicted (set): What was predicted.
    gold (set): What is there.
    RETURNS (dict): How many there are, "gold", "predicted" and "right"; "p", "r" and "f", as
        fractions.
    """
    score = PRFScore()
    score.score_set(predicted, gold)
    counts = {"gold": len(gold), "predicted": len(predicted), "right": score.tp}
    return {**counts, **score.to_dict()}


def known_entities(docs: Iterable[Doc]) -> set[tuple[str, str]]:
    """Collect what training has seen.

    docs (Iterable[Doc]): The posts of the training data.
    RETURNS (set): Type and normalised text of their entities.
    """
    return {(ent.label_, _normalise(ent)) for doc in docs for ent in doc.ents}


def seen_scores(
    predicted: set[Entity], gold: set[Entity], known: Container[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """Score seen and unseen entities apart: recall is over the gold entities of either kind,
    precision over the predicted ones.

    predicted (set[Entity]): The predicted entities.
    gold (set[Entity]): The gold entities.
    known (Container): What training has seen, see `known_entities`.
    RETURNS (dict): "seen" and "unseen", what `match_scores` returns for each.
    """
    seen = {entity for entity in predicted | gold if (entity.label, entity.text) in known}
    return {
        "seen": match_scores(predicted & seen, gold & seen),
        "unseen": match_scores(predicted - seen, gold - seen),
    }


def counted_rows(scores: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Line up all that is counted like this.

    scores (dict): What `evaluate` returned.
    RETURNS (dict): What `match_scores` returned for "all types", each type, and "seen" and "unseen"
        if these were told apart.
    """
    told_apart = {name: scores[name] for name in ("seen", "unseen") if name in scores}
    return {"all types": scores["conlleval"], **scores["conlleval"]["per_type"], **told_apart}


def _normalise(entity: Span) -> str:
    return " ".join(entity.text.split()).casefold()
