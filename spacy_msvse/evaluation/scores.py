"""Entity scores over a corpus, overall, per type, and on the slices its posts are marked with."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from spacy.language import Language
from spacy.scorer import get_ner_prf
from spacy.training import Example

from .calibration import calibration_scores
from .conlleval import find_entities, seen_scores, typed_scores
from .controls import CONTROLS
from .visual import visual_scores


def evaluate(
    nlp: Language,
    examples: Iterable[Example],
    *,
    control: str | None = None,
    seed: int = 0,
    known: Container[tuple[str, str]] | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Any]:
    """Score a pipeline by entity precision, recall and F1: an entity counts if its span and type
    are right.

    nlp (Language): The pipeline.
    examples (Iterable[Example]): Examples whose predicted side carries the pictures.
    control (str): "no_picture" or "shuffled" to change the pictures first.
    seed (int): Seed of the control, and of the bootstrap of the calibration error.
    known (Container): What training has seen, see `known_entities`, to score it apart.
    progress (Callable): Wraps the stream of Docs, such as tqdm.
    RETURNS (dict): JSON-safe: what `entity_scores` returns; "posts"; "slices", the same for every
        boolean key of the posts' meta, over the posts where it is true; "views", view to status to
        number of posts; "calibration", see `calibration_scores`; "conlleval", the entities counted
        by its rules, see `find_entities` and `typed_scores`; "seen" and "unseen", see
        `seen_scores`, if `known` is given; "visual", see `visual_scores`, if the pipeline has a
        visual entity classifier and a post a picture.
    """
    examples = list(examples)
    if control is not None:
        CONTROLS[control](examples, seed)
    docs = nlp.pipe([example.predicted for example in examples])
    scored = [
        Example(doc, example.reference)
        for doc, example in zip(progress(docs), examples, strict=True)
    ]
    scores: dict[str, Any] = {"posts": len(scored), **entity_scores(scored)}
    scores["slices"] = {
        name: {"posts": len(posts), **entity_scores(posts)}
        for name, posts in sorted(marked_slices(scored).items())
    }
    scores["views"] = view_counts(scored)
    scores["calibration"] = calibration_scores(scored, seed)
    predicted, gold = find_entities(scored)
    scores["conlleval"] = typed_scores(predicted, gold)
    if known is not None:
        scores.update(seen_scores(predicted, gold, known))
    if visual := visual_scores(scored):
        scores["visual"] = visual
    return scores


def entity_scores(examples: Sequence[Example]) -> dict[str, Any]:
    """Precision, recall and F1.

    examples (Sequence[Example]): Annotated examples.
    RETURNS (dict): "ents_p", "ents_r", "ents_f" and "ents_per_type", as fractions; under
        "entities_per_type" the number of entities, "gold" and "predicted", that they are of.
    """
    judged = [example for example in examples if example.reference.has_annotation("ENT_IOB")]
    gold = Counter(ent.label_ for example in judged for ent in example.reference.ents)
    predicted = Counter(ent.label_ for example in judged for ent in example.predicted.ents)
    counts = {
        name: {"gold": gold[name], "predicted": predicted[name]}
        for name in sorted(gold | predicted)
    }
    return {**get_ner_prf(examples), "entities_per_type": counts}


def marked_slices(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Sort examples by the boolean keys of their meta that are true.

    examples (Iterable[Example]): The examples.
    RETURNS (dict): Key to examples.
    """
    slices: dict[str, list[Example]] = {}
    for example in examples:
        for name, value in (example.reference.user_data.get("meta") or {}).items():
            if value is True:
                slices.setdefault(name, []).append(example)
    return slices


def view_counts(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """Count how many posts each view was used, absent, unreadable or masked for.

    examples (Iterable[Example]): Annotated examples.
    RETURNS (dict): View to status to number of posts.
    """
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        for view, status in (example.predicted._.image_status or {}).items():
            counts.setdefault(view, Counter())[status] += 1
    return {view: dict(counter) for view, counter in counts.items()}
