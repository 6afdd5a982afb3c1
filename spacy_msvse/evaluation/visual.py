"""How well each view of the picture tells which entity types a post speaks of."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from spacy.training import Example

from .conlleval import typed_scores

#: From this probability on a type counts as predicted.
THRESHOLD = 0.5


class Mention(NamedTuple):
    """An entity type that a post speaks of.

    post (int): The index of the post.
    label (str): The type.
    """

    post: int
    label: str


def visual_scores(examples: Iterable[Example]) -> dict[str, dict[str, Any]]:
    """Score the visual entity classifier on the posts that have gold annotation.

    examples (Iterable[Example]): Annotated examples.
    RETURNS (dict): For each view the number of "posts" that carry it, and what `typed_scores`
        returns over these, where not entities count but the types that a post speaks of. Empty if
        nothing was classified.
    """
    posts: Counter[str] = Counter()
    predicted: dict[str, set[Mention]] = defaultdict(set)
    gold: dict[str, set[Mention]] = defaultdict(set)
    for post, example in enumerate(examples):
        if not example.reference.has_annotation("ENT_IOB"):
            continue
        for view, chances in (example.predicted._.visual_entities or {}).items():
            posts[view] += 1
            gold[view].update(Mention(post, ent.label_) for ent in example.reference.ents)
            predicted[view].update(
                Mention(post, label) for label, chance in chances.items() if chance >= THRESHOLD
            )
    return {
        view: {"posts": count, **typed_scores(predicted[view], gold[view])}
        for view, count in posts.items()
    }
