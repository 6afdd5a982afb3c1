"""The table of formats, and the one function that reads each of them as rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, get_args

from ...errors import Errors, MsvseError
from ..conll import read_conll
from ..folder import read_folder
from ..jsonl import read_rows
from ..rows import PIPE, Row
from . import doccano, hugging_face, label_studio
from .frames import read_frame
from .json_array import read_json_array
from .options import ReadOptions, Records
from .parquet import read_parquet
from .recognise import recognise
from .tables import read_table
from .wikidiverse import read_wikidiverse

Format = Literal[
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "conll",
    "wikidiverse",
    "folder",
    "posts",
    "doccano",
    "label-studio",
    "label-studio-min",
    "hugging-face",
]

FORMATS: tuple[str, ...] = get_args(Format)

#: Records that are looked at to recognise their shape.
LOOKED_AT = 20


@dataclass(frozen=True)
class Container:
    """How a file holds records.

    Attributes:
        title (str): Its name in messages.
        read (Callable): Reads the records of a path.
        shaped (bool): Whether its records may have the shape of any tool.
    """

    title: str
    read: Callable[[Path, ReadOptions], Records]
    shaped: bool = True


@dataclass(frozen=True)
class Shape:
    """The form of the records of a tool.

    Attributes:
        title (str): Its name in messages.
        fits (Callable): Whether a record has it; with `empty=True` also without annotation.
        adapt (Callable): Makes a row in our shape.
    """

    title: str
    fits: Callable[..., bool]
    adapt: Callable[[Row, ReadOptions, Mapping[str, Mapping[int, str]]], Row]


CONTAINERS: dict[str, Container] = {
    "jsonl": Container("JSONL", lambda path, options: Records(read_rows(path))),
    "json": Container("a JSON array", lambda path, options: Records(read_json_array(path))),
    "csv": Container("CSV", lambda path, options: Records(read_table(path, "csv"))),
    "tsv": Container("TSV", lambda path, options: Records(read_table(path, "tsv"))),
    "parquet": Container("Parquet", lambda path, options: read_parquet(path)),
    "wikidiverse": Container(
        "WikiDiverse", lambda path, options: Records(read_wikidiverse(path)), False
    ),
    "folder": Container(
        "a folder of texts and pictures", lambda path, options: Records(read_folder(path)), False
    ),
    "conll": Container(
        "CoNLL",
        lambda path, options: Records(
            read_conll(
                path,
                image_root=options.image_root,
                image_suffix=options.image_suffix,
                token_column=options.token_column,
                label_column=options.label_column,
            )
        ),
        False,
    ),
}

#: The most specific first.
SHAPES: dict[str, Shape] = {
    "label-studio": Shape("tasks of Label Studio", label_studio.fits, label_studio.adapt),
    "label-studio-min": Shape(
        "JSON_MIN of Label Studio", label_studio.fits_min, label_studio.adapt_min
    ),
    "hugging-face": Shape("tokens and labels", hugging_face.fits, hugging_face.adapt),
    "doccano": Shape("doccano", doccano.fits, doccano.adapt),
}

#: Our shape, which needs no adapting.
OURS = "posts"


@dataclass(frozen=True)
class Posts:
    """Posts of one source.

    Attributes:
        rows (Iterator[Row]): The rows in our shape, also rows that cannot be used.
        container (str): The name of the container; "rows" for rows of Python.
        shape (str): The name of the shape in the source; None for a container with its own.
    """

    rows: Iterator[Row]
    container: str
    shape: str | None = None

    @property
    def title(self) -> str:
        """The format that the source was read in, for a message."""
        container = CONTAINERS[self.container].title if self.container in CONTAINERS else "rows"
        if self.shape in (None, OURS):
            return container
        return f"{SHAPES[self.shape].title} in {container}"


def open_posts(source: Any, options: ReadOptions | None = None) -> Posts:
    """Read posts in any format.

    Args:
        source (Any): A file, a folder, `PIPE`, or rows of Python, as for `read_frame`.
        options (ReadOptions): How to read them. Defaults to None: all is recognised.

    Returns:
        Posts: The rows, which are read when they are asked for, and the format.

    Raises:
        MsvseError: If the format is unknown (MSVSE-E031), not recognised (MSVSE-E138) or not one
            of this source (MSVSE-E253), or as its reader does.
    """
    options = options or ReadOptions()
    if options.format is not None and options.format not in FORMATS:
        raise MsvseError(Errors.E031.format(format=options.format, formats=", ".join(FORMATS)))
    is_container = options.format in CONTAINERS
    name = "rows"
    if isinstance(source, str | Path):
        path = Path(source)
        name = _find_container(path, options.format if is_container else None)
        records = CONTAINERS[name].read(path, options)
        if not CONTAINERS[name].shaped:
            if options.format is not None and not is_container:
                raise _misfit(path, options.format, f"it is {CONTAINERS[name].title}")
            return Posts(records.rows, name)
    elif is_container:
        raise _misfit("rows", str(options.format), "they are rows of Python")
    else:
        records = read_frame(source)
    rows, shape = records.rows, None if is_container else options.format
    if shape is None:
        first = list(islice(rows, LOOKED_AT))
        shape, rows = _find_shape(first), chain(first, rows)
    if shape != OURS:
        rows = map(partial(_adapt, SHAPES[shape], options, records.labels), rows)
    return Posts(rows, name, shape)


def _misfit(source: Any, format: str, reason: str) -> MsvseError:
    return MsvseError(Errors.E253.format(source=source, format=format, reason=reason))


def _find_container(path: Path, given: str | None) -> str:
    if path != PIPE and not path.exists():
        raise MsvseError(Errors.E033.format(path=path))
    if path.suffix == ".spacy":
        raise MsvseError(Errors.E158.format(path=path, reason="it is a .spacy file"))
    if given is not None:
        if path == PIPE and given != "jsonl":
            raise _misfit("standard input", given, "only lines of JSON can be read from it")
        if path.is_dir() != (given == "folder"):
            raise _misfit(path, given, f"it is a {'folder' if path.is_dir() else 'file'}")
        return given
    found = recognise(path)
    if found is None:
        raise MsvseError(Errors.E138.format(path=path, formats=", ".join(FORMATS)))
    return found


def _find_shape(rows: list[Row]) -> str:
    """The shape of the first record that shows one."""
    usable = [row.values for row in rows if row.problem is None]
    for empty in (False, True):
        for values in usable:
            if values.get("spans") is not None:
                return OURS
            for name, shape in SHAPES.items():
                if shape.fits(values, empty=empty):
                    return name
    return OURS


def _adapt(
    shape: Shape, options: ReadOptions, labels: Mapping[str, Mapping[int, str]], row: Row
) -> Row:
    if row.problem is not None:
        return row
    try:
        return shape.adapt(row, options, labels)
    except MsvseError as error:
        if error.code is not None:  # it concerns the whole file
            raise
        return replace(row, problem=str(error))
