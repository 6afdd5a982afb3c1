"""Messages that several commands print."""

from collections.abc import Iterable

import typer
from wasabi import Printer

from ..corpus.rows import BadRow


def print_error(message: str) -> None:
    """Print an error to standard error, as one line.

    Args:
        message (str): The message.
    """
    # Standard output may hold rows or JSON. A line that is cut would also cut paths.
    typer.echo(f"{str(Printer(no_print=True).fail('')).strip()} {message}", err=True)


def print_warning(message: str) -> None:
    """Print a warning to standard error, as one line.

    Args:
        message (str): The message.
    """
    typer.echo(f"{str(Printer(no_print=True).warn('')).strip()} {message}", err=True)


def print_bad_rows(bad_rows: Iterable[BadRow]) -> None:
    """Print each row that cannot be used to standard error.

    Args:
        bad_rows (Iterable[BadRow]): The rows.
    """
    for row in bad_rows:
        typer.echo(str(row), err=True)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun.

    Args:
        number (int): The number.
        noun (str): The noun in the singular.
        plural (str): The noun in the plural. Defaults to None: the singular and -s.

    Returns:
        str: Such as "1 row" or "2 rows".
    """
    return f"{number:d} {noun if number == 1 else plural or f'{noun}s'}"
