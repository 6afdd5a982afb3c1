"""How commands read files of posts in any format."""

from collections.abc import Mapping
from pathlib import Path

import typer
from pydantic_core import from_json

from ..corpus.formats.table import Posts
from ..corpus.rows import PIPE
from ..errors import Errors, MsvseError


def parse_labels(given: str | None) -> Mapping[int, str] | None:
    """Parse the names of labels that are numbers.

    Args:
        given (str): Names with commas between them, or the path of a JSON file with a list of
            names, or with an object of names to numbers or of numbers to names.

    Returns:
        Mapping: The name of each number; None if nothing was given.

    Raises:
        MsvseError: If it is neither (MSVSE-E251).
    """
    if given is None:
        return None
    if not given.endswith(".json"):
        return _number(given, [name.strip() for name in given.split(",")])
    try:
        found = from_json(Path(given).read_bytes())
    except (OSError, ValueError) as error:
        raise MsvseError(Errors.E251.format(given=given, reason=error)) from error
    if isinstance(found, list):
        return _number(given, found)
    pairs = found.items() if isinstance(found, dict) else ()
    named = {key: name for key, name in pairs if isinstance(name, int)}
    numbered = {name: int(key) for key, name in pairs if key.isdigit() and isinstance(name, str)}
    names = named or numbered
    if not names or len(names) != len(found) or len(set(names.values())) != len(names):
        reason = "the file has neither a list of names nor an object of names to numbers"
        raise MsvseError(Errors.E251.format(given=given, reason=reason))
    return {number: name for name, number in names.items()}


def _number(given: str, names: list[str]) -> Mapping[int, str]:
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        reason = "a name is empty, is no text or is given twice"
        raise MsvseError(Errors.E251.format(given=given, reason=reason))
    return dict(enumerate(names))


def say_format(path: Path, posts: Posts) -> None:
    """Print what a file of posts is read as, to standard error.

    Args:
        path (Path): The file.
        posts (Posts): The posts.
    """
    name = "Standard input" if path == PIPE else f"'{path}'"
    typer.echo(f"{name} is read as {posts.title}", err=True)
