"""The command `msvse`, added to spaCy's own. Each module beside this one adds a command to it."""

import errno
from typing import Annotated, Any

import typer
from spacy.cli._util import app as spacy_app
from typer.core import TyperGroup

from ..about import __version__
from ..errors import Errors, MsvseError
from .messages import print_error

#: Errors of the file system that name no file.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class CodedGroup(TyperGroup):
    """A group of commands that prints a coded error as one line and ends with status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was given.

        Args:
            ctx (typer.Context): Its arguments.

        Returns:
            Any: What the command returns.

        Raises:
            Exit: With status 1, for an error that this package or the file system has raised.
        """
        try:
            return super().invoke(ctx)
        except MsvseError as error:
            print_error(str(error))
        except OSError as error:
            if error.filename is not None:
                problem = f"'{error.filename}': {error.strerror}"
            elif error.errno in _DISK_ERRORS:
                problem = str(error.strerror)
            else:
                raise
            print_error(Errors.E151.format(problem=problem))
        raise typer.Exit(1)


app = typer.Typer(
    name="msvse",
    cls=CodedGroup,
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
