"""`python -m spacy msvse card`"""

import shutil
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from spacy import util
from wasabi import msg

from ..errors import Errors
from ..evaluation.model_card import NOT_STATED, find_parts, make_model_card
from ..files import write_whole
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
        meta, config = read_pipeline(model)
        metrics = read_parts(metrics_path, METRICS_KEYS, "scores", "evaluate")
        controls = [read_parts(path, METRICS_KEYS, "scores", "evaluate") for path in control or ()]
        reports = [read_parts(path, REPORT_KEYS, "counts", "convert") for path in data or ()]
        for path, scores in zip(control or (), controls, strict=True):
            if gold_counts(scores) != gold_counts(metrics):
                expected = f"scores of the posts of '{metrics_path}'"
                raise ValueError(
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
        controls=controls,
        reports=reports,
        data_license=data_license,
        intended_use=intended_use,
        limits=limits,
    )
    if output is not None:
        shutil.copytree(model, output, dirs_exist_ok=True)
        model = output
    write_whole(model / "meta.json", srsly.json_dumps(meta, indent=2).encode("utf-8"))
    write_whole(model / "README.md", card.encode("utf-8"))
    msg.good(f"Wrote the card to {model / 'README.md'} and {model / 'meta.json'}")


def read_pipeline(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what a saved pipeline says about itself, without loading it.

    path (Path): Its folder.
    RETURNS (tuple): Its meta and its config.
    RAISES (ValueError): If it is none with our component (MSVSE-E092).
    """
    if not all((path / file).is_file() for file in ("meta.json", "config.cfg")):
        raise ValueError(Errors.E092.format(path=path))
    config = util.load_config(path / "config.cfg")
    if not find_parts(config, {}):
        raise ValueError(Errors.E092.format(path=path))
    return srsly.read_json(path / "meta.json"), config


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
        raise ValueError(Errors.E093.format(path=path, expected=expected, command=command))
    return values


def gold_counts(metrics: dict[str, Any]) -> tuple[int, dict[str, int]]:
    """RETURNS (tuple): The posts and the gold entities of each type that scores are of."""
    entities = {name: counts["gold"] for name, counts in metrics["entities_per_type"].items()}
    return metrics["posts"], {name: count for name, count in entities.items() if count}
