"""The command `msvse`, added to spaCy's own. Each module beside this one adds a command to it."""

from typing import Annotated

import typer
from spacy.cli._util import app as spacy_app

from ..about import __version__

app = typer.Typer(
    name="msvse",
    no_args_is_help=True,
    rich_markup_mode=None,
)
spacy_app.add_typer(app, name="msvse")


def print_version(value: bool) -> None:
    """Print the version and exit, if the option is given.

    Args:
        value (bool): Whether the option is given.
    """
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit", callback=print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Named entity recognition for text with a picture."""
