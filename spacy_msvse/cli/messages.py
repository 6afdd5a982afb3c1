"""Messages that several commands print."""

from collections.abc import Iterable

import typer

from ..corpus.rows import BadRow


def print_bad_rows(bad_rows: Iterable[BadRow]) -> None:
    """Print each row that cannot be used to standard error.

    Args:
        bad_rows (Iterable[BadRow]): The rows.
    """
    for row in bad_rows:
        typer.echo(str(row), err=True)
