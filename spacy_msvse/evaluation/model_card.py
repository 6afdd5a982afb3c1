"""A model card: what a pipeline is, what it was made of and how it scored, as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from spacy.util import walk_dict

NOT_STATED = "not stated"

#: Settings of an extractor that tell what it is made of.
NAMING = ("@misc", "architecture", "weights")

#: How the card calls what was done to the pictures.
CONDITIONS = {None: "their own", "no_picture": "none", "shuffled": "those of other posts"}


def make_model_card(
    meta: Mapping[str, Any],
    parts: Sequence[Mapping[str, str]],
    metrics: Mapping[str, Any],
    *,
    controls: Sequence[Mapping[str, Any]] = (),
    reports: Sequence[Mapping[str, Any]] = (),
    data_license: str = NOT_STATED,
    intended_use: str = "",
    limits: str = "",
) -> str:
    """Write a model card. It states what it is given, and no number without how many it is of.

    meta (dict): The pipeline's meta.
    parts (Sequence): What `find_parts` returned.
    metrics (dict): What `evaluate` returned, with its "control".
    controls (Sequence): The same under controls, on the same posts.
    reports (Sequence): Conversion reports of the data.
    data_license (str): The licence of the data.
    intended_use (str): What the pipeline is for, in place of the general words.
    limits (str): What is to be added to its limits.
    RETURNS (str): Markdown.
    """
    # Every value that the template inserts passes through `escape`.
    environment = Environment(
        loader=PackageLoader("spacy_msvse", "evaluation"),
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    measured = [metrics, *controls]
    statuses = {status for counts in metrics["views"].values() for status in counts}
    return environment.get_template("model_card.md").render(
        meta=meta,
        labels=sorted({label for labels in meta["labels"].values() for label in labels}),
        parts=parts,
        metrics={"calibration": None, **metrics},
        conditions=[scores["control"] for scores in measured],
        scores=score_rows(measured),
        types=type_rows(metrics),
        statuses=sorted(statuses),
        reports=reports,
        data_license=data_license,
        intended_use=intended_use,
        limits=limits,
        not_stated=NOT_STATED,
    )


def find_parts(config: Mapping[str, Any], licenses: Mapping[str, str]) -> list[dict[str, str]]:
    """Find what the components were made of.

    config (dict): The pipeline's config.
    licenses (dict): Licences of weights, by a name of theirs.
    RETURNS (list): The "part", its "name" and its "license", for each encoder and extractor.
    """
    parts: dict[str, dict[str, str]] = {}
    for component in config["components"].values():
        if component.get("factory") != "msvse_ner":
            continue
        extractors = {"text encoder": {"weights": component["model"]["encoder"]}}
        extractors.update(component.get("vision") or {})
        for part, settings in extractors.items():
            if not isinstance(settings, dict):
                continue
            names = [_plain(v) for k, v in walk_dict(settings) if k[-1] in NAMING and v is not None]
            license = next((licenses[name] for name in names if name in licenses), NOT_STATED)
            name = ", ".join(names)
            parts.setdefault(name, {"part": part, "name": name, "license": license})
            if part not in parts[name]["part"]:
                parts[name]["part"] += f", {part}"
    return list(parts.values())


def score_rows(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of scores over all posts and over each slice, under each condition.

    measured (Sequence): What `evaluate` returned for each condition.
    RETURNS (list): The rows.
    """
    rows = []
    for name in (None, *measured[0]["slices"]):
        for condition in measured:
            scores = condition if name is None else condition["slices"][name]
            counts = scores["entities_per_type"].values()
            rows.append(
                {
                    "posts": name or "all",
                    "pictures": CONDITIONS[condition["control"]],
                    "number": scores["posts"],
                    "gold": sum(count["gold"] for count in counts),
                    "predicted": sum(count["predicted"] for count in counts),
                    **{key: scores[f"ents_{key}"] for key in "prf"},
                }
            )
    return rows


def type_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of scores for each type.

    metrics (dict): What `evaluate` returned.
    RETURNS (list): The rows.
    """
    scores = metrics["ents_per_type"] or {}
    return [
        {"name": name, **counts, **scores.get(name, dict.fromkeys("prf"))}
        for name, counts in metrics["entities_per_type"].items()
    ]


def percent(value: float | None) -> str:
    """RETURNS (str): A fraction in per cent; a dash if there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def escape(value: Any) -> Any:
    """RETURNS (Any): A text so that no table or page takes it for more than text."""
    if not isinstance(value, str):
        return value
    return " ".join(value.split()).replace("<", "&lt;").replace("|", "\\|")


def _plain(name: Any) -> str:
    """A name as it stands; of a path on this machine only what names the folder."""
    path = Path(str(name))
    return path.name if path.is_absolute() else str(name)
