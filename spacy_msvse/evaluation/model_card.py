"""A model card: what a pipeline is, what it was made of and how it scored, as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from spacy.util import walk_dict

from .markdown import render_scores

NOT_STATED = "not stated"

#: Settings of an extractor that tell what it is made of.
NAMING = ("@misc", "architecture", "weights")


def make_model_card(
    meta: Mapping[str, Any],
    parts: Sequence[Mapping[str, str]],
    metrics: Mapping[str, Any],
    *,
    settings: Mapping[str, Mapping[str, Any]],
    controls: Sequence[Mapping[str, Any]] = (),
    reports: Sequence[Mapping[str, Any]] = (),
    data_license: str = NOT_STATED,
    intended_use: str = "",
    limits: str = "",
) -> str:
    """Write a model card. It states what it is given, and no number without how many it is of.

    meta (dict): The pipeline's meta.
    parts (Sequence): What `find_parts` returned.
    metrics (dict): What the command `evaluate` wrote.
    settings (dict): Component to what it was saved with: "temperature" and "calibration".
    controls (Sequence): The same under controls, on the same posts.
    reports (Sequence): Conversion reports of the data.
    data_license (str): The licence of the data.
    intended_use (str): What the pipeline is for, in place of the general words; Markdown.
    limits (str): What is to be added to its limits; Markdown.
    RETURNS (str): Markdown.
    """
    return render_scores(
        "model_card.md",
        [metrics, *controls],
        meta=meta,
        labels=sorted({label for labels in meta["labels"].values() for label in labels}),
        parts=parts,
        settings=settings,
        reports=reports,
        data_license=data_license,
        intended_use=Markup(intended_use),
        limits=Markup(limits),
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


def _plain(name: Any) -> str:
    """A name as it stands; of a path on this machine only what names the folder."""
    path = Path(str(name))
    return path.name if path.is_absolute() else str(name)
