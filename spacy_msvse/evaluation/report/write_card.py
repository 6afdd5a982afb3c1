"""A model card in the folder of a pipeline: README.md, and facts in meta.json."""

import math
import shutil
from collections.abc import Mapping, Sequence
from configparser import Error as ConfigFileError
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import srsly
from spacy import util

from ...component.temperatures import UNCALIBRATED, name_temperatures
from ...errors import Errors, MsvseError
from ...util import first_line, replaced_when_done, write_whole
from .card import LICENSE, LICENSES_SOURCES, NOT_STATED, find_parts, make_model_card

#: The keys of the files that a card is made from.
SCORES_KEYS = {
    "posts",
    "control",
    "ents_f",
    "ents_per_type",
    "entities",
    "entities_per_type",
    "slices",
    "views",
    "data",
    "temperatures",
    "untrained_views",
}
REPORT_KEYS = {"source", "source_sha256", "label_map", "posts", "entities", "posts_with_pictures"}


def write_card(
    model: Path,
    metrics_path: Path,
    *,
    output: Path | None = None,
    controls: Sequence[Path] = (),
    reports: Sequence[Path] = (),
    facts: Mapping[str, str | None] | None = None,
    licenses: Mapping[str, str] | None = None,
    data_license: str = NOT_STATED,
    license_file: Path | None = None,
    sources_file: Path | None = None,
    intended_use: str = "",
    limits: str = "",
) -> Path:
    """Write the card into a pipeline, or into a copy of it.

    Args:
        model (Path): Folder of the pipeline.
        metrics_path (Path): Its scores, as the command `evaluate` wrote them.
        output (Path): Folder of the copy, which replaces an older copy; None changes `model`.
        controls (Sequence[Path]): Its scores under controls.
        reports (Sequence[Path]): The counts that the command `convert` wrote.
        facts (Mapping): "name", "version", "author" and "license" of the pipeline; None for those
            of its meta.json.
        licenses (Mapping): Licences of weights by name.
        data_license (str): The licence of the data.
        license_file (Path): The text of the licence of the pipeline. It becomes the file LICENSE.
        sources_file (Path): A text with the authors, sources and licences of data and weights. It
            becomes the file LICENSES_SOURCES.
        intended_use (str): The purpose of the pipeline, in Markdown.
        limits (str): A limit to add to the general ones, in Markdown.

    Returns:
        Path: The folder with the card.

    Raises:
        MsvseError: If the pipeline cannot be used (MSVSE-E092, MSVSE-E006), a file has another
            format (MSVSE-E093), the scores were measured with another temperature (MSVSE-E094),
            or the output must not be replaced (MSVSE-E095), or if the file of a licence is no text
            (MSVSE-E255).
    """
    if output is not None:
        output = output.resolve()
        check_copy(output, model)
    meta, config = _read_pipeline(model)
    settings = _read_settings(model, config)
    paths = (metrics_path, *controls)
    metrics, *controlled = (_read_json(path, SCORES_KEYS, "scores", "evaluate") for path in paths)
    counts = [_read_json(path, REPORT_KEYS, "counts", "convert") for path in reports]
    for path, scores in zip(paths, (metrics, *controlled), strict=True):
        _check_temperatures(path, scores, settings)
        if scores["data"]["sha256"] != metrics["data"]["sha256"]:
            expected = f"scores of the posts of '{metrics_path}'"
            raise MsvseError(Errors.E093.format(path=path, expected=expected, command="evaluate"))
    files = {LICENSE: license_file, LICENSES_SOURCES: sources_file}
    texts = {name: _read_text(path) for name, path in files.items() if path is not None}
    given = facts or {}
    meta.update({key: value for key, value in given.items() if value not in (None, NOT_STATED)})
    parts = find_parts(config, licenses or {})
    if not meta["description"]:
        ending = " with a picture" if metrics["views"] else ""
        meta["description"] = f"Named entity recognition for text{ending}."
    meta["sources"] = [{"name": part["name"], "license": part["license"]} for part in parts]
    meta["sources"] += [{"name": report["source"], "license": data_license} for report in counts]
    # The scores of the dev posts, on which training chose the best step, are replaced.
    meta["performance"] = {key: metrics[key] for key in metrics if key.startswith("ents_")}
    card = make_model_card(
        meta,
        parts,
        metrics,
        settings=settings,
        controls=controlled,
        reports=counts,
        data_license=data_license,
        files=sorted(texts),
        intended_use=intended_use,
        limits=limits,
    )
    with nullcontext(model) if output is None else replaced_when_done(output) as folder:
        if output is not None:
            shutil.copytree(model, folder)
        write_whole(folder / "meta.json", srsly.json_dumps(meta, indent=2).encode("utf-8"))
        write_whole(folder / "README.md", card.encode("utf-8"))
        for name, text in texts.items():
            write_whole(folder / name, text)
    return output or model


def _read_pipeline(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read meta and config of a saved pipeline, without loading it."""
    if not all((path / file).is_file() for file in ("meta.json", "config.cfg")):
        raise MsvseError(Errors.E092.format(path=path))
    try:
        config = util.load_config(path / "config.cfg")
        parts = find_parts(config, {})
        meta = srsly.read_json(path / "meta.json")
    except (ValueError, LookupError, AttributeError, ConfigFileError) as error:
        raise MsvseError(Errors.E092.format(path=path)) from error
    if not parts:
        raise MsvseError(Errors.E092.format(path=path))
    return meta, config


def check_copy(output: Path, model: Path) -> None:
    """Check that a copy of a pipeline replaces only an older copy, and that no folder contains the
    other one.

    Args:
        output (Path): The folder of the copy.
        model (Path): The folder of the pipeline.

    Raises:
        MsvseError: If the copy would destroy something (MSVSE-E095).
    """
    output, model = output.resolve(), model.resolve()
    reason = None
    if model in output.parents:
        reason = f"it lies inside the pipeline '{model}'"
    elif output in model.parents:
        reason = f"it contains the pipeline '{model}'"
    elif output.exists() and any(output.iterdir()) and not (output / "meta.json").exists():
        reason = "it contains something other than a pipeline"
    if reason is not None:
        raise MsvseError(Errors.E095.format(output=output, reason=reason))


def _read_settings(path: Path, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the saved settings of each component, with its temperatures."""
    try:
        return {
            name: {**UNCALIBRATED, **srsly.read_json(path / name / "cfg")}
            for name, component in config["components"].items()
            if component.get("factory") == "msvse_ner"
        }
    except ValueError as error:
        raise MsvseError(Errors.E006.format(reason=error)) from error


def _check_temperatures(path: Path, scores: dict[str, Any], settings: dict[str, Any]) -> None:
    """Check that the pipeline was not calibrated after its scores were measured."""
    measured = scores["temperatures"]
    own = {
        key: value
        for name, values in settings.items()
        for key, value in name_temperatures(name, values).items()
    }
    # The file may have fewer digits.
    if measured.keys() != own.keys() or not all(
        math.isclose(own[name], measured[name], rel_tol=1e-6) for name in own
    ):
        raise MsvseError(Errors.E094.format(path=path, measured=measured, own=own))


def _read_text(path: Path) -> bytes:
    """Read the content of a text file."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MsvseError(Errors.E255.format(path=path, reason=first_line(error))) from error
    if not text.strip() or "\0" in text:
        reason = "it has a byte 0" if text.strip() else "it is empty"
        raise MsvseError(Errors.E255.format(path=path, reason=reason))
    return content


def _read_json(path: Path, keys: set[str], expected: str, command: str) -> dict[str, Any]:
    """Read a file that another command wrote, and check that it has the right keys."""
    try:
        values = srsly.read_json(path)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not keys <= values.keys():
        raise MsvseError(Errors.E093.format(path=path, expected=expected, command=command))
    return values
