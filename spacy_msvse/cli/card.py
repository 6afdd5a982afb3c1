"""`python -m spacy msvse card`"""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..errors import Errors, MsvseError
from ..evaluation.report.card import NOT_STATED
from ..evaluation.report.write_card import write_card
from .loading import find_writable_folder
from .outputs import check_output
from .root import app


@app.command("card")
def card_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    metrics_path: Annotated[
        Path,
        typer.Argument(
            help="Its scores, as `evaluate --output` wrote them", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write the pipeline with its card to, instead of changing MODEL; an "
            "installed pipeline needs it",
            file_okay=False,
        ),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option(
            "--control",
            help="Its scores under a control; may be repeated",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Counts that `convert` wrote beside a .spacy file; may be repeated",
            exists=True,
            dir_okay=False,
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
    license_file: Annotated[
        Path | None,
        typer.Option(
            "--license-file",
            help="Text of the licence of the pipeline; it becomes the file LICENSE",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    sources_file: Annotated[
        Path | None,
        typer.Option(
            "--sources-file",
            help="Text with the authors, sources and licences of data and weights; it becomes the "
            "file LICENSES_SOURCES",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    intended_use: Annotated[
        str, typer.Option("--intended-use", help="Its purpose, in Markdown")
    ] = "",
    limits: Annotated[
        str, typer.Option("--limits", help="A limit to add to the general ones, in Markdown")
    ] = "",
) -> None:
    """Write a model card into a pipeline: README.md, and the facts that spaCy keeps in meta.json.

    `spacy package` puts both into the wheel, and the licence files too. What is not given is called
    "not stated".
    """
    folder = find_writable_folder(model, output)
    check_output(output or folder)
    folder = write_card(
        folder,
        metrics_path,
        output=output,
        controls=control or (),
        reports=data or (),
        facts={"name": name, "version": version, "author": author, "license": license},
        licenses=parse_licenses(weights_license or []),
        data_license=data_license,
        license_file=license_file,
        sources_file=sources_file,
        intended_use=intended_use,
        limits=limits,
    )
    msg.good(f"Wrote the card to {folder / 'README.md'} and {folder / 'meta.json'}")


def parse_licenses(entries: list[str]) -> dict[str, str]:
    """Parse the licences of weights.

    Args:
        entries (list[str]): Entries of the form NAME=LICENCE.

    Returns:
        dict[str, str]: Names to licences.

    Raises:
        MsvseError: If an entry has another form (MSVSE-E159).
    """
    licenses = {}
    for entry in entries:
        name, _, license = (part.strip() for part in entry.partition("="))
        if not (name and license):
            raise MsvseError(Errors.E159.format(entry=entry))
        licenses[name] = license
    return licenses
