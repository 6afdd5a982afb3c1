"""Scores of a pipeline over annotated posts: overall, by type, and on marked slices."""

import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.training import Example
from spacy.training.corpus import FILE_TYPE, walk_corpus

from ..component import components
from ..component.survey import has_answer
from ..component.temperatures import name_temperatures
from ..doc import get_covered_types
from ..errors import Errors, MsvseError
from ..util import hash_files
from .calibration import calibration_scores
from .controls import CONTROLS, Control
from .exact import entity_scores, match_entities, pool, seen_scores
from .visual import visual_scores


def evaluate(
    nlp: Language,
    examples: Iterable[Example],
    *,
    control: Control | None = None,
    seed: int = 0,
    known: Container[tuple[str, str]] | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Any]:
    """Score a pipeline by exact matches: an entity is right if its span and its type are.

    Args:
        nlp (Language): The pipeline.
        examples (Iterable[Example]): Examples whose predicted side has the pictures.
        control (str): "no_picture" or "shuffled" to change the pictures first.
        seed (int): Seed of the control, and of the bootstrap of the calibration error.
        known (Container): The entities of the training data, as `known_entities` returns them, to
            score seen and unseen entities apart.
        progress (Callable): Wraps the stream of Docs, such as tqdm.

    Returns:
        dict: JSON-safe. Scores are fractions: "posts", the number of posts, and "control";
            "ents_p", "ents_r", "ents_f" and "ents_per_type", as `nlp.evaluate` returns them;
            "entities" and "entities_per_type", the numbers of "gold", "predicted" and "right"
            entities; "slices", the same for every boolean key of the posts' meta, over the posts
            where it is true; "views", view to status to number of posts; "temperatures", component
            to temperature, and "COMPONENT without VIEW" to that of posts without the view;
            "untrained_views", component to the views that it masks because too few training posts
            had them; "precisions", component to the precision that it computed with;
            "calibration", the calibration error of the confidences; "partial", if the annotation of
            some posts does not cover all types, their number of "posts", and the "conflicts",
            predicted entities of types that are not covered over gold entities; "seen" and
            "unseen", scores and numbers of entities, if `known` is given; "visual", the scores of
            the visual entity classifier by view, if there is one and a post has a picture.

    Raises:
        MsvseError: If the predicted sides have the gold entities before (MSVSE-E266).
    """
    scored = annotate_examples(nlp, examples, control=control, seed=seed, progress=progress)
    return score_examples(nlp, scored, control=control, seed=seed, known=known)


def annotate_examples(
    nlp: Language,
    examples: Iterable[Example],
    *,
    control: Control | None = None,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Example]:
    """Annotate the predicted side of examples by a pipeline.

    Args:
        nlp (Language): The pipeline.
        examples (Iterable[Example]): Examples whose predicted side has the pictures.
        control (str): "no_picture" or "shuffled" to change the pictures first.
        seed (int): Seed of the control.
        progress (Callable): Wraps the stream of Docs, such as tqdm.

    Returns:
        list: The annotated examples.

    Raises:
        MsvseError: If the predicted sides have the gold entities before (MSVSE-E266).
    """
    examples = list(examples)
    with_entities = sum(bool(example.reference.ents) for example in examples)
    if 0 < with_entities == sum(map(has_answer, examples)):
        raise MsvseError(Errors.E266.format(count=with_entities))
    if control is not None:
        CONTROLS[control](examples, seed)
    docs = nlp.pipe([example.predicted for example in examples])
    with warnings.catch_warnings():
        if control == "no_picture":
            # The control removed the pictures, so the warning is not needed.
            warnings.filterwarnings("ignore", r"\[MSVSE-W001\]")
        return [
            Example(doc, example.reference)
            for doc, example in zip(progress(docs), examples, strict=True)
        ]


def score_examples(
    nlp: Language,
    examples: Sequence[Example],
    *,
    control: Control | None = None,
    seed: int = 0,
    known: Container[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """Score examples that a pipeline has annotated.

    Args:
        nlp (Language): The pipeline.
        examples (Sequence[Example]): The result of `annotate_examples`.
        control (str): The control that changed the pictures.
        seed (int): Seed of the bootstrap of the calibration error.
        known (Container): The entities of the training data, as `known_entities` returns them.

    Returns:
        dict: As `evaluate` returns it.
    """
    matches = [match_entities(example) for example in examples]
    everything = pool(matches)
    scores: dict[str, Any] = {
        "posts": len(examples),
        "control": control,
        **entity_scores(everything),
        "slices": {
            name: {"posts": len(rows), **entity_scores(pool(matches[row] for row in rows))}
            for name, rows in sorted(marked_slices(examples).items())
        },
        "views": view_counts(examples),
        "temperatures": {
            key: value
            for name, component in components(nlp)
            for key, value in name_temperatures(name, component.cfg).items()
        },
        "untrained_views": {
            name: sorted(component.untrained_views) for name, component in components(nlp)
        },
        "precisions": {name: component.precision for name, component in components(nlp)},
        "calibration": calibration_scores(examples, seed),
    }
    if partial := sum(get_covered_types(example.reference) is not None for example in examples):
        scores["partial"] = {"posts": partial, "conflicts": len(everything.conflicts)}
    if known is not None:
        scores.update(seen_scores(everything, known))
    if visual := visual_scores(examples):
        scores["visual"] = visual
    return scores


def marked_slices(examples: Iterable[Example]) -> dict[str, list[int]]:
    """Collect the examples for which a boolean key of their meta is true.

    Args:
        examples (Iterable[Example]): The examples.

    Returns:
        dict: Key to the indices of its examples.
    """
    slices: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        for name, value in (example.reference.user_data.get("meta") or {}).items():
            if value is True:
                slices.setdefault(name, []).append(row)
    return slices


def view_counts(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """Count the posts by the status of each view: used, absent, unreadable or masked.

    Args:
        examples (Iterable[Example]): Annotated examples.

    Returns:
        dict: View to status to number of posts.
    """
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        for view, status in (example.predicted._.image_status or {}).items():
            counts.setdefault(view, Counter())[status] += 1
    return {view: dict(counter) for view, counter in counts.items()}


def describe_posts(path: Path) -> dict[str, str]:
    """Identify posts by their content.

    Args:
        path (Path): A .spacy file, or a folder of such files.

    Returns:
        dict: The name of the "file", and its "sha256".
    """
    return {"file": path.name, "sha256": hash_files(sorted(walk_corpus(path, FILE_TYPE)))}
