"""Posts as tasks of Label Studio: its JSON and JSON_MIN are read, predictions are written."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import MsvseError
from ...util import replaced_when_done
from ..jsonl import looks_like_picture
from ..rows import Row, shorten
from .options import ReadOptions

#: The key of the annotations, and that of old versions.
ANNOTATIONS = ("annotations", "completions")

#: Keys of text that JSON_MIN adds to the data.
ADDED = ("created_at", "updated_at")

#: Names of the control and of the text in a labelling interface for entities.
CONTROL, OBJECT = "label", "text"

#: How the path of a picture begins that Label Studio reads from a folder.
LOCAL_FILES = "/data/local-files/?d="


def fits(values: Mapping[str, Any], *, empty: bool = False) -> bool:
    """Whether a record is a task.

    Args:
        values (Mapping): The record.
        empty (bool): Whether it may be without annotations.

    Returns:
        bool: True if so.
    """
    if not isinstance(values.get("data"), dict):
        return False
    keys = (*ANNOTATIONS, "predictions")
    return empty or any(isinstance(values.get(key), list) for key in keys)


def fits_min(values: Mapping[str, Any], *, empty: bool = False) -> bool:
    """Whether a record is one of JSON_MIN.

    Args:
        values (Mapping): The record.
        empty (bool): Whether it may be without entities.

    Returns:
        bool: True if so.
    """
    return _find_control(values) is not None or (empty and "annotation_id" in values)


def adapt(row: Row, options: ReadOptions, labels: Mapping[str, Mapping[int, str]]) -> Row:
    """Make a row in our shape of a task.

    The entities are those of the annotation, of a task without annotations those of its last
    prediction. A task whose annotations are all cancelled counts as ignored.

    Args:
        row (Row): The task.
        options (ReadOptions): How to read it.
        labels (Mapping): Not used.

    Returns:
        Row: The row.

    Raises:
        MsvseError: If it cannot be used. The message is the reason.
    """
    task = row.values
    if not isinstance(task.get("data"), dict):
        raise MsvseError("the task has no object 'data'")
    values = _name_data(task["data"])
    if "id" in task:
        values.setdefault("id", task["id"])
    if not options.annotation:
        return replace(row, values=values)
    given = [task[key] for key in ANNOTATIONS if key in task]
    annotations = _check_list("annotations", given[0] if given else [])
    kept = [one for one in annotations if not (one.get("was_cancelled") or one.get("skipped"))]
    scheme = None
    if kept:
        values |= _add_results(values, _choose(kept))
    elif annotations:
        values["answer"] = "ignore"
    else:
        predictions = _check_list("predictions", task.get("predictions") or [])
        if predictions:
            values |= _add_results(values, predictions[-1].get("result"))
            scheme = "predictions"
    return replace(row, values=values, scheme=scheme)


def adapt_min(row: Row, options: ReadOptions, labels: Mapping[str, Mapping[int, str]]) -> Row:
    """Make a row in our shape of a record of JSON_MIN.

    Args:
        row (Row): The record.
        options (ReadOptions): How to read it.
        labels (Mapping): Not used.

    Returns:
        Row: The row.

    Raises:
        MsvseError: If it cannot be used. The message is the reason.
    """
    control = _find_control(row.values)
    values = _name_data(row.values)
    if options.annotation:
        regions = values.pop(control) if control is not None else []
        values |= _add_results(values, [{"type": "labels", "value": one} for one in regions])
    return replace(row, values=values)


def _find_control(values: Mapping[str, Any]) -> str | None:
    """The key of the entities: a list of objects with a start and labels."""
    for key, found in values.items():
        if isinstance(found, list) and found and all(map(_is_region, found)):
            return key
    return None


def _is_region(value: Any) -> bool:
    return isinstance(value, dict) and {"start", "end", "labels"} <= set(value)


def _name_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a task, with the keys of our rows for the text and the picture."""
    values = dict(data)
    strings = {
        key: value for key, value in values.items() if isinstance(value, str) and key not in ADDED
    }
    pictures = [key for key, value in strings.items() if looks_like_picture(value)]
    texts = [key for key in strings if key not in pictures]
    if not {"text", "words", "tokens"} & set(values) and len(texts) == 1:
        values["text"] = values.pop(texts[0])
    if not {"image", "images"} & set(values) and len(pictures) == 1:
        values["image"] = values.pop(pictures[0])
    picture, several = values.get("image"), values.get("images")
    if isinstance(picture, str):
        values["image"] = picture.removeprefix(LOCAL_FILES)
    if isinstance(several, list):
        values["images"] = [
            one.removeprefix(LOCAL_FILES) if isinstance(one, str) else one for one in several
        ]
    return values


def _check_list(name: str, found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MsvseError(f"'{name}' is {shorten(repr(found))}, not a list of objects")
    return found


def _choose(annotations: Sequence[dict[str, Any]]) -> Any:
    """The results of the annotation that counts."""
    true = [one for one in annotations if one.get("ground_truth")] or list(annotations)
    results = [one.get("result") for one in true]
    kept = [_strip(result) for result in results]
    if any(one != kept[0] for one in kept):
        raise MsvseError(
            f"the task has {len(true)} annotations that differ; mark one as ground truth"
        )
    return results[0]


def _strip(result: Any) -> list[str]:
    """Results without what differs between equal annotations, in an order of their own."""
    parts = result if isinstance(result, list) else [result]
    values = [part.get("value", part) if isinstance(part, dict) else part for part in parts]
    return sorted(json.dumps(value, sort_keys=True) for value in values)


def _add_results(values: Mapping[str, Any], results: Any) -> dict[str, Any]:
    """The keys of a row that results give: spans, and the size that boxes relate to."""
    spans: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for result in _check_list("result", results if results is not None else []):
        value = result.get("value")
        kind = result.get("type", "labels")
        if kind in ("labels", "hypertextlabels"):
            spans += _make_spans(value, result.get("score"))
        elif kind == "rectanglelabels" and isinstance(value, dict):
            box = {key: value.get(key) for key in ("x", "y", "width", "height")}
            boxes += [{"label": label, **box} for label in value.get("rectanglelabels") or ()]
    if not boxes:
        return {"spans": spans}
    # Boxes are in per cent of the picture.
    return {"spans": [*spans, *boxes], "width": 100, "height": 100}


def _make_spans(value: Any, score: Any) -> list[dict[str, Any]]:
    labels = value.get("labels", value.get("hypertextlabels")) if isinstance(value, dict) else None
    if not isinstance(labels, list):
        raise MsvseError(f"the result {shorten(repr(value))} has no list 'labels'")
    place = value.get("globalOffsets") or value
    start, end = place.get("start"), place.get("end")
    if not isinstance(start, int) or not isinstance(end, int):
        reason = "its start and end are no numbers of characters, as in HTML or dialogues"
        raise MsvseError(f"the result {shorten(repr(value))} is no span of the text: {reason}")
    span: dict[str, Any] = {"start": start, "end": end}
    if isinstance(value.get("text"), str):
        span["text"] = value["text"]
    if isinstance(score, int | float):
        span["score"] = score
    return [{**span, "label": label} for label in labels]


def write_label_studio(
    read: Callable[[], Iterable[dict[str, Any]]], path: Path, *, model: str
) -> None:
    """Write rows as tasks of Label Studio with predictions, completely or not at all.

    The labelling interface needs a control `Labels` with the name "label" for the text with the
    name "text". The other keys of a row are in the "data" of its task. Offsets count characters.

    Args:
        read (Callable): Reads the rows from the first one.
        path (Path): The file, a JSON array.
        model (str): The name of the pipeline, for "model_version".

    Raises:
        MsvseError: If the disk is full (MSVSE-E190).
    """
    with replaced_when_done(path) as beside, beside.open("w", encoding="utf-8") as file_:
        file_.write("[")
        for number, values in enumerate(read(), start=1):
            file_.write(",\n" if number > 1 else "\n")
            json.dump(_make_task(number, values, model), file_, ensure_ascii=False)
        file_.write("\n]\n")


def _make_task(number: int, values: Mapping[str, Any], model: str) -> dict[str, Any]:
    spans = values.get("spans")
    if not isinstance(spans, list) or not all(map(_is_span, spans)):
        return {"data": dict(values)}  # of a row with an error, the spans may be anything
    task: dict[str, Any] = {"data": {key: one for key, one in values.items() if key != "spans"}}
    text = str(values.get("text") or "")
    results = [_make_result(f"{number}-{n}", span, text) for n, span in enumerate(spans, start=1)]
    prediction: dict[str, Any] = {"model_version": model, "result": results}
    scores = [span["score"] for span in spans if "score" in span]
    if scores:
        # Label Studio sorts tasks by it: the least certain entity comes first.
        prediction["score"] = min(scores)
    return {**task, "predictions": [prediction]}


def _is_span(span: Any) -> bool:
    if not isinstance(span, dict) or not isinstance(span.get("label"), str):
        return False
    return isinstance(span.get("start"), int) and isinstance(span.get("end"), int)


def _make_result(id_: str, span: Mapping[str, Any], text: str) -> dict[str, Any]:
    start, end = span["start"], span["end"]
    value = {"start": start, "end": end, "text": text[start:end], "labels": [span["label"]]}
    names = {"from_name": CONTROL, "to_name": OBJECT, "type": "labels"}
    score = {"score": span["score"]} if "score" in span else {}
    return {"id": id_, **names, "value": value, **score}
