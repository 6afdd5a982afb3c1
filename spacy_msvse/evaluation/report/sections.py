"""The sections on scores that a report and a model card have in common."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from .markdown import escape, percent, table

#: The pictures under each control, in words.
CONDITIONS = {None: "their own", "no_picture": "none", "shuffled": "those of other posts"}

#: The columns of a score, and of the numbers that it is computed from.
SCORES = ("precision", "recall", "F1")
COUNTS = ("gold", "predicted", "right")


def make_report(
    scores: Mapping[str, Any], *, model: str, data: str, plots: Collection[str] = ()
) -> str:
    """Write the scores of a pipeline as a page.

    Args:
        scores (dict): The result of `evaluate`.
        model (str): The name of the pipeline.
        data (str): The name of the posts.
        plots (Collection[str]): The plots beside the file, by the names of `draw_plots`.

    Returns:
        str: Markdown.
    """
    title = f"# {escape(model)} on {escape(data)}"
    return "\n\n".join([title, *score_sections([scores], plots)]) + "\n"


def score_sections(
    measured: Sequence[Mapping[str, Any]], plots: Collection[str] = ()
) -> Iterator[str]:
    """Write the sections "Scores", "Views" and "Confidence", as far as they were measured.

    Args:
        measured (Sequence): The result of `evaluate`; then its results under controls, on the same
            posts.
        plots (Collection[str]): The plots beside the file, by the names of `draw_plots`.

    Yields:
        str: Blocks of Markdown.
    """
    scores = measured[0]
    yield "## Scores"
    yield (
        "In per cent, by exact match: an entity is right if its span and its type are. The rule is "
        "that of spaCy's scorer; for the same tokens and complete annotation it is that of "
        "conlleval and seqeval. The scores are of one training run and of "
        f"{scores['posts']} posts."
    )
    if "partial" in scores:
        partial = scores["partial"]
        yield (
            f"The annotation of {partial['posts']} posts covers some of the types. Predicted "
            "entities of the other types are not counted there; "
            f"{partial['conflicts']} of them lie over a gold entity."
        )
    for name, precision in scores.get("precisions", {}).items():
        if precision != "float32":
            yield f"{name} computed in {precision}."
    counted = ("number of posts", "gold entities", "predicted", "right")
    yield table(("posts", "pictures", *counted, *SCORES), slice_rows(measured), "llrrrrrrr")
    by_type = "By type."
    if "seen" in scores:
        by_type += " An entity is seen if the training data have an entity of its text and type."
    yield by_type
    rows = [(name, *count_cells(row)) for name, row in type_rows(scores).items()]
    yield table(("entities", *COUNTS, *SCORES), rows)
    if "types" in plots:
        yield "![F1 of each type](types.svg)"
    yield from _view_sections(scores, plots)
    yield from _confidence_section(scores, plots)


def _view_sections(scores: Mapping[str, Any], plots: Collection[str]) -> Iterator[str]:
    views = scores["views"]
    if views:
        statuses = sorted({status for counts in views.values() for status in counts})
        yield "## Views"
        yield "The number of posts by the status of each view:"
        rows = [
            (view, *(counts.get(status, 0) for status in statuses))
            for view, counts in views.items()
        ]
        yield table(("view", *statuses), rows)
    if "visual" in scores:
        yield (
            "The entity types of a post, predicted by the visual entity classifier from each view "
            "alone, at a probability of at least 50 per cent, over the posts that have the view:"
        )
        cells: list[tuple[Any, ...]] = []
        for view, visual in scores["visual"].items():
            cells += [(view, name, *count_cells(row)) for name, row in visual["per_type"].items()]
            cells.append((view, "all (micro)", *count_cells(visual)))
            macro = (percent(visual["macro"].get(key)) for key in "prf")
            cells.append((view, "all (macro)", *[""] * len(COUNTS), *macro))
        yield table(("view", "type", *COUNTS, *SCORES), cells, "llrrrrrr")
        if "visual" in plots:
            yield "![F1 of the visual entity classifier, for each view and type](visual.svg)"


def _confidence_section(scores: Mapping[str, Any], plots: Collection[str]) -> Iterator[str]:
    calibration = scores.get("calibration")
    if not calibration or not calibration["entities"]:
        return
    low, high = map(percent, calibration["ece_interval"])
    yield "## Confidence"
    yield (
        "Of the entities of a confidence of 80 per cent, 80 per cent should be right. The expected "
        f"calibration error of {calibration['entities']} predicted entities is "
        f"{percent(calibration['ece'])} (95% interval: {low} to {high})."
    )
    rows = [
        (row["entities"], percent(row["confidence"]), percent(row["precision"]))
        for row in calibration["bins"]
    ]
    yield table(("entities", "mean confidence", "precision"), rows, "rrr")
    if "reliability" in plots:
        yield "![Precision by confidence](reliability.svg)"


def slice_rows(measured: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The scores over all posts and over each slice, under each condition.

    Args:
        measured (Sequence): The results of `evaluate` under each condition.

    Returns:
        list: For each row its posts, their pictures, the number of posts, the numbers of entities,
            and the scores.
    """
    rows = []
    for name in (None, *measured[0]["slices"]):
        for condition in measured:
            scores = condition if name is None else condition["slices"][name]
            pictures = CONDITIONS[condition["control"]]
            rows.append((name or "all", pictures, scores["posts"], *count_cells(overall(scores))))
    return rows


def type_rows(scores: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores of all types together, of each type, and of seen and unseen entities, if these
    were scored apart.

    Args:
        scores (dict): The result of `evaluate`.

    Returns:
        dict: The name of a row to "gold", "predicted", "right", "p", "r" and "f".
    """
    per_type = {
        name: {**scores["entities_per_type"][name], **row}
        for name, row in scores["ents_per_type"].items()
    }
    apart = {name: scores[name] for name in ("seen", "unseen") if name in scores}
    return {"all types": overall(scores), **per_type, **apart}


def overall(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of all types together.

    Args:
        scores (dict): The result of `evaluate`, or of a slice.

    Returns:
        dict: "gold", "predicted", "right", "p", "r" and "f".
    """
    return {**scores["entities"], **{key: scores[f"ents_{key}"] for key in "prf"}}


def count_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The numbers "gold", "predicted" and "right", and the scores in per cent."""
    return (*(row[key] for key in COUNTS), *(percent(row[key]) for key in "prf"))
