"""`python -m spacy msvse card`"""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from spacy import util
from wasabi import msg

from ..errors import Errors, MsvseError
from ..evaluation.model_card import NOT_STATED, find_parts, make_model_card
from ..util import checked, read_whole, write_whole
from . import app

#: What the files that the card is made of must hold.
METRICS_KEYS = {
    "posts",
    "ents_f",
    "ents_per_type",
    "entities_per_type",
    "slices",
    "views",
    "conlleval",
    "control",
    "data",
    "temperatures",
}
REPORT_KEYS = {"source", "source_sha256", "label_map", "posts", "entities", "pictures_referenced"}


@app.command("card")
def card_cli(
    model: Annotated[
        Path, typer.Argument(help="Folder of a trained pipeline", exists=True, file_okay=False)
    ],
    metrics_path: Annotated[
        Path,
        typer.Argument(help="Its scores, as `evaluate --output` wrote them", exists=True),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write the pipeline with its card to, instead of changing MODEL",
            file_okay=False,
        ),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option("--control", help="Its scores under a control; may be repeated", exists=True),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Counts that `convert` wrote beside a .spacy file; may be repeated",
            exists=True,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the pipeline")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Its version")] = None,
    author: Annotated[str | None, typer.Option("--author", help="Its author")] = None,
    license: Annotated[str | None, typer.Option("--license", help="Its licence")] = None,
    weights_license: Annotated[
        list[str] | None,
        typer.Option(
            "--weights-license",
            help="Licence of weights, as NAME=LICENCE, by a name that the card shows of an encoder "
            "or extractor; may be repeated",
        ),
    ] = None,
    data_license: Annotated[
        str, typer.Option("--data-license", help="Licence of the data")
    ] = NOT_STATED,
    intended_use: Annotated[
        str, typer.Option("--intended-use", help="What the pipeline is for")
    ] = "",
    limits: Annotated[str, typer.Option("--limits", help="Limits to add to the general ones")] = "",
) -> None:
    """Write a model card into a pipeline: README.md, and what spaCy keeps in meta.json.

    `spacy package` carries both into the wheel. What is not given is called "not stated".
    """
    try:
        if output is not None:
            output = output.resolve()
            check_output(output, model.resolve())
        meta, config = read_pipeline(model)
        settings = read_settings(model, config)
        metrics = read_parts(metrics_path, METRICS_KEYS, "scores", "evaluate")
        controls = [read_parts(path, METRICS_KEYS, "scores", "evaluate") for path in control or ()]
        reports = [read_parts(path, REPORT_KEYS, "counts", "convert") for path in data or ()]
        paths = (metrics_path, *(control or ()))
        for path, scores in zip(paths, (metrics, *controls), strict=True):
            check_temperatures(path, scores, settings)
            if scores["data"]["sha256"] != metrics["data"]["sha256"]:
                expected = f"scores of the posts of '{metrics_path}'"
                raise MsvseError(
                    Errors.E093.format(path=path, expected=expected, command="evaluate")
                )
    except ValueError as error:
        msg.fail(str(error), exits=1)
    given = {"name": name, "version": version, "author": author, "license": license}
    meta.update({key: value for key, value in given.items() if value not in (None, NOT_STATED)})
    licenses = dict(entry.partition("=")[::2] for entry in weights_license or ())
    parts = find_parts(config, licenses)
    meta["description"] = meta["description"] or "Named entity recognition for text with a picture."
    meta["sources"] = [{"name": part["name"], "license": part["license"]} for part in parts]
    meta["sources"] += [{"name": r["source"], "license": data_license} for r in reports]
    # Not those of the posts that training chose its best step by.
    meta["performance"] = {key: metrics[key] for key in metrics if key.startswith("ents_")}
    card = make_model_card(
        meta,
        parts,
        metrics,
        settings=settings,
        controls=controls,
        reports=reports,
        data_license=data_license,
        intended_use=intended_use,
        limits=limits,
    )
    # A copy is made beside and replaces an older folder whole, of which nothing is to be left.
    folder = model if output is None else output.with_name(output.name + ".tmp")
    if output is not None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model, folder)
    write_whole(folder / "meta.json", srsly.json_dumps(meta, indent=2).encode("utf-8"))
    write_whole(folder / "README.md", card.encode("utf-8"))
    if output is not None:
        older = output.with_name(output.name + ".old")
        shutil.rmtree(older, ignore_errors=True)
        if output.exists():
            output.rename(older)
        folder.rename(output)
        shutil.rmtree(older, ignore_errors=True)
        model = output
    msg.good(f"Wrote the card to {model / 'README.md'} and {model / 'meta.json'}")


def read_pipeline(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what a saved pipeline says about itself, without loading it.

    path (Path): Its folder.
    RETURNS (tuple): Its meta and its config.
    RAISES (ValueError): If it is none with our component (MSVSE-E092).
    """
    if not all((path / file).is_file() for file in ("meta.json", "config.cfg")):
        raise MsvseError(Errors.E092.format(path=path))
    config = util.load_config(path / "config.cfg")
    if not find_parts(config, {}):
        raise MsvseError(Errors.E092.format(path=path))
    return srsly.read_json(path / "meta.json"), config


def check_output(output: Path, model: Path) -> None:
    """Check that a folder may be replaced by a copy of a pipeline.

    output (Path): The folder, absolute.
    model (Path): The pipeline, absolute.
    RAISES (ValueError): If anything but an older pipeline would be lost, or the pipeline copied
        into itself (MSVSE-E095).
    """
    reason = None
    if model in output.parents:
        reason = f"it lies inside the pipeline '{model}'"
    elif output in model.parents:
        reason = f"it holds the pipeline '{model}'"
    elif output.exists() and any(output.iterdir()) and not (output / "meta.json").exists():
        reason = "it holds something else than a pipeline"
    if reason is not None:
        raise MsvseError(Errors.E095.format(output=output, reason=reason))


def read_settings(path: Path, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the settings that the components were saved with.

    path (Path): The pipeline's folder.
    config (dict): Its config.
    RETURNS (dict): Component to its settings, "temperature" among them.
    RAISES (ValueError): If they are missing or damaged (MSVSE-E006).
    """
    load = checked(srsly.json_loads)
    return {
        name: {"calibration": None, **load(read_whole(path / name / "cfg"))}
        for name, component in config["components"].items()
        if component.get("factory") == "msvse_ner"
    }


def check_temperatures(path: Path, scores: dict[str, Any], settings: dict[str, Any]) -> None:
    """Check that scores were measured by a pipeline as it is now.

    path (Path): The file of the scores.
    scores (dict): What it holds.
    settings (dict): Component to its settings.
    RAISES (ValueError): If the pipeline has been calibrated otherwise since (MSVSE-E094).
    """
    measured = scores["temperatures"]
    own = {name: values["temperature"] for name, values in settings.items()}
    # A file may hold fewer digits.
    if measured.keys() != own.keys() or not all(
        math.isclose(own[name], measured[name], rel_tol=1e-6) for name in own
    ):
        raise MsvseError(Errors.E094.format(path=path, measured=measured, own=own))


def read_parts(path: Path, keys: set[str], expected: str, command: str) -> dict[str, Any]:
    """Read a file that another command wrote.

    path (Path): The file.
    keys (set[str]): What it must hold.
    expected (str): How to call that.
    command (str): The command.
    RETURNS (dict): What it holds.
    RAISES (ValueError): If that is something else (MSVSE-E093).
    """
    try:
        values = srsly.read_json(path)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not keys <= values.keys():
        raise MsvseError(Errors.E093.format(path=path, expected=expected, command=command))
    return values
