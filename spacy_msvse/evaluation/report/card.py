"""The text of a model card: a pipeline, its parts, its data and its scores, as Markdown."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacy.util import walk_dict

from ...component.temperatures import name_without
from .markdown import escape, table
from .sections import score_sections

NOT_STATED = "not stated"
UNNAMED = "posts without a name"

#: Files that `spacy package` puts into the wheel: the licence of the pipeline, and those of data
#: and weights with their authors.
LICENSE, LICENSES_SOURCES = "LICENSE", "LICENSES_SOURCES"

#: Settings of an extractor that name its weights or its architecture.
NAMING = ("@misc", "architecture", "weights")

INTENDED_USE = """Finding entities of these types in posts, each with or without a picture. Every \
entity has the
probability that it is right, `span._.confidence`. It is a suggestion: check it before anything
depends on it."""


def make_model_card(
    meta: Mapping[str, Any],
    parts: Sequence[Mapping[str, str]],
    metrics: Mapping[str, Any],
    *,
    settings: Mapping[str, Mapping[str, Any]],
    controls: Sequence[Mapping[str, Any]] = (),
    reports: Sequence[Mapping[str, Any]] = (),
    data_license: str = NOT_STATED,
    files: Collection[str] = (),
    intended_use: str = "",
    limits: str = "",
) -> str:
    """Write a model card. It states only what it is given, and each score with the number of posts
    and entities.

    Args:
        meta (dict): The pipeline's meta.
        parts (Sequence): The result of `find_parts`.
        metrics (dict): The file that the command `evaluate` wrote.
        settings (dict): Component to its saved settings, with "temperature" and "calibration".
        controls (Sequence): The same files under controls, on the same posts.
        reports (Sequence): Conversion reports of the data.
        data_license (str): The licence of the data.
        files (Collection): The names of files beside the card: `LICENSE`, `LICENSES_SOURCES`.
        intended_use (str): The purpose of the pipeline, in place of the general text; Markdown.
        limits (str): A limit to add to the general ones; Markdown.

    Returns:
        str: Markdown.
    """
    name, version = f"{meta['lang']}_{meta['name']}", meta["version"]
    measured = [metrics, *controls]
    blocks = [
        f"# {escape(name)} {escape(version)}",
        escape(meta["description"]),
        _describe_views(metrics),
        table(("", ""), _facts(meta, settings, files), "ll"),
        "## Intended use",
        intended_use or INTENDED_USE,
        "## Parts",
        table(
            ("part", "name", "licence"),
            [(part["part"], part["name"], part["license"]) for part in parts],
            "lll",
        ),
        "## Data",
        *_data(reports, data_license, files),
        *score_sections(measured),
        f"The posts are those of {escape(metrics['data']['file'])}, SHA-256 "
        f"{escape(metrics['data']['sha256'])}.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(measured, limits)),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _describe_views(metrics: Mapping[str, Any]) -> str:
    """A sentence about the views that the pipeline does not use, for the first lines of the card.
    Empty if it uses all."""
    if not metrics["views"]:
        return (
            "**It reads the text alone.** No view of a picture is trained, and none is read: a "
            "picture changes nothing."
        )
    found = [view for views in metrics["untrained_views"].values() for view in views]
    if not (names := ", ".join(dict.fromkeys(map(escape, found)))):
        return ""
    return (
        f"**Untrained and masked: {names}.** Too few training posts had these views, so they "
        "change nothing."
    )


def _facts(
    meta: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]], files: Collection[str]
) -> Iterator[tuple[str, str]]:
    labels = sorted({label for labels in meta["labels"].values() for label in labels})
    yield "Language", meta["lang"]
    yield "Entity types", ", ".join(labels)
    yield "Components", ", ".join(meta["pipeline"])
    yield "spaCy", meta["spacy_version"]
    place = f", see {LICENSE}" if LICENSE in files else ""
    yield "Licence", (meta["license"] or NOT_STATED) + place
    yield "Author", meta["author"] or NOT_STATED
    for name, values in settings.items():
        calibration = values["calibration"]
        how = "not calibrated"
        if calibration:
            source = calibration["source"] or UNNAMED
            how = f"calibrated on {calibration['entities']} entities of {source}"
        yield f"Confidences of {name}", f"{how}, temperature {values['temperature']:.3f}"
        if without := values["without_views"]:
            how = f"calibrated on {without['entities']} entities of {without['source'] or UNNAMED}"
            posts = name_without(name, without["views"])
            yield f"Confidences of {posts}", f"{how}, temperature {without['temperature']:.3f}"


def _data(
    reports: Sequence[Mapping[str, Any]], data_license: str, files: Collection[str]
) -> Iterator[str]:
    if LICENSES_SOURCES in files:
        yield f"The authors and the sources are in {LICENSES_SOURCES}."
    if not reports:
        yield f"Not stated. Licence: {escape(data_license)}."
        return
    yield f"Licence: {escape(data_license)}."
    header = ("file", "posts", "with a picture", "entities", "SHA-256", "labels renamed")
    keys = ("source", "posts", "posts_with_pictures", "entities", "source_sha256")
    rows = []
    for report in reports:
        renamed = ", ".join(f"{old} to {new}" for old, new in report["label_map"].items())
        rows.append((*(report[key] for key in keys), renamed or "none"))
    yield table(header, rows, "lrrrll")


def _limits(measured: Sequence[Mapping[str, Any]], limits: str) -> Iterator[str]:
    yield (
        "The scores hold for posts like the measured ones. For other sources, languages or times\n"
        "  they are not known, and another training run would give others."
    )
    has_views = any(scores["views"] for scores in measured)
    if has_views and not {"shuffled", "no_picture"} <= {scores["control"] for scores in measured}:
        yield (
            "The effect of the pictures was not measured by both controls: no picture, and the\n"
            "  pictures of other posts."
        )
    calibration = measured[0].get("calibration")
    if not (calibration and calibration["entities"]):
        yield "Whether confidences are the share of right entities was not measured."
    yield "The encoder and the extractors have the errors and biases of their own training data."
    if limits:
        yield limits


def find_parts(config: Mapping[str, Any], licenses: Mapping[str, str]) -> list[dict[str, str]]:
    """List the encoders and extractors of a pipeline.

    Args:
        config (dict): The pipeline's config.
        licenses (dict): The licences of weights, by a name of theirs.

    Returns:
        list: The "part", its "name" and its "license", for each encoder and extractor.
    """
    parts: dict[str, dict[str, str]] = {}
    for component in config["components"].values():
        if component.get("factory") != "msvse_ner":
            continue
        extractors = {"text encoder": {"weights": component["model"].get("encoder")}}
        extractors.update(component.get("vision") or {})
        for part, settings in extractors.items():
            if not isinstance(settings, dict):
                continue
            names = [_plain(v) for k, v in walk_dict(settings) if k[-1] in NAMING and v is not None]
            if not names:
                continue
            license = next((licenses[name] for name in names if name in licenses), NOT_STATED)
            name = ", ".join(names)
            parts.setdefault(name, {"part": part, "name": name, "license": license})
            if part not in parts[name]["part"]:
                parts[name]["part"] += f", {part}"
    return list(parts.values())


def _plain(name: Any) -> str:
    """A name without change, or the last part of an absolute path."""
    path = Path(str(name))
    return path.name if path.is_absolute() else str(name)
