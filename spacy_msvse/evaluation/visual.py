"""Scores of the visual entity classifier: the entity types of a post, predicted from each view."""

from collections import Counter
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from spacy.training import Example

from ..doc import is_covered
from .exact import Entity, Matches

#: A type of at least this probability is predicted.
THRESHOLD = 0.5


def visual_scores(examples: Iterable[Example]) -> dict[str, dict[str, Any]]:
    """Score the visual entity classifier on the posts that have gold annotation.

    The types of a post are counted, not its entities: each type counts once.

    Args:
        examples (Iterable[Example]): Annotated examples.

    Returns:
        dict: For each view the number of "posts" that have it; the numbers of "gold", "predicted"
            and "right" types and their "p", "r" and "f"; "per_type", the same for each type;
            "macro", the mean "p", "r" and "f" over the types. Empty if nothing was classified.
    """
    posts: Counter[str] = Counter()
    found: dict[str, Matches] = {}
    for example in examples:
        if not example.reference.has_annotation("ENT_IOB"):
            continue
        gold = {ent.label_ for ent in example.reference.ents}
        for view, probabilities in (example.predicted._.visual_entities or {}).items():
            posts[view] += 1
            matches = found.setdefault(view, Matches())
            predicted = {
                label
                for label, p in probabilities.items()
                if p >= THRESHOLD and is_covered(example.reference, label)
            }
            matches.gold += [Entity(label, "") for label in gold]
            matches.predicted += [Entity(label, "") for label in predicted]
            matches.right += [Entity(label, "") for label in predicted & gold]
    return {view: {"posts": posts[view], **_by_type(matches)} for view, matches in found.items()}


def _by_type(matches: Matches) -> dict[str, Any]:
    parts = {label: matches.of_label(label) for label in matches.labels}
    per_type = {label: {**part.counts(), **part.scores()} for label, part in parts.items()}
    macro = {key: fmean(row[key] or 0.0 for row in per_type.values()) for key in "prf" if per_type}
    return {**matches.counts(), **matches.scores(), "macro": macro, "per_type": per_type}
