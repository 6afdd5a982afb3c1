"""`python -m spacy msvse card`"""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..errors import MsvseError
from ..evaluation.report.card import NOT_STATED
from ..evaluation.report.write_card import write_card
from .root import app


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
            help="Licence of the weights of an encoder or extractor, as NAME=LICENCE, by a name on "
            "the card; may be repeated",
        ),
    ] = None,
    data_license: Annotated[
        str, typer.Option("--data-license", help="Licence of the data")
    ] = NOT_STATED,
    intended_use: Annotated[
        str, typer.Option("--intended-use", help="Its purpose, in Markdown")
    ] = "",
    limits: Annotated[
        str, typer.Option("--limits", help="A limit to add to the general ones, in Markdown")
    ] = "",
) -> None:
    """Write a model card into a pipeline: README.md, and the facts that spaCy keeps in meta.json.

    `spacy package` puts both into the wheel. What is not given is called "not stated".
    """
    try:
        folder = write_card(
            model,
            metrics_path,
            output=output,
            controls=control or (),
            reports=data or (),
            facts={"name": name, "version": version, "author": author, "license": license},
            licenses=dict(entry.partition("=")[::2] for entry in weights_license or ()),
            data_license=data_license,
            intended_use=intended_use,
            limits=limits,
        )
    except MsvseError as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Wrote the card to {folder / 'README.md'} and {folder / 'meta.json'}")
