"""Annotate the posts of a Spark DataFrame, with `DataFrame.mapInPandas`."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engines.columns import ADDED, SPAN_FIELDS

if TYPE_CHECKING:
    from pandas import DataFrame
    from pyspark.sql.types import StructType

#: The type of the column of spans.
SPANS = f"array<struct<{','.join(f'{name}:{types[0]}' for name, types in SPAN_FIELDS.items())}>>"

#: Column to type, of the columns that are added.
TYPES = {"text": "string", "spans": SPANS, "error": "string"}


def annotate_frames(
    model: str | Path,
    *,
    image_root: str | Path | None = None,
    code: str | Path | None = None,
    min_confidence: float | None = None,
) -> Callable[[Iterator["DataFrame"]], Iterator["DataFrame"]]:
    """Make the function that `DataFrame.mapInPandas` calls. Nothing is loaded in the driver.

    Each task starts a child process, which loads the pipeline by its name or folder. So the
    pipeline must be installed, or its folder be there, on every machine. A row that ends the child
    process, by a crash or for lack of memory, gets the reason under "error", and the task goes on.

    The columns "text" or "words", "image" (a path, or the bytes of a picture file) or "images",
    "tags", "caption" and "texts" are read, and all columns are kept. "text", "spans" and "error"
    are added, as `annotated_schema` says. A row that cannot be used has no spans.

        frame.mapInPandas(annotate_frames("en_msvse_open"), annotated_schema(frame.schema))

    Args:
        model (str / Path): The name or the folder of a pipeline.
        image_root (str / Path): The only folder from which pictures are read, or the URL of a
            remote one; None allows any path.
        code (str / Path): A file with registered functions, which is imported first.
        min_confidence (float): Entities with a lower confidence are left out. None for the limit of
            the pipeline.

    Returns:
        Callable: The function, from frames of pandas to annotated frames. It raises an
            `MsvseError` if the pipeline cannot be loaded.
    """
    settings = {"image_root": image_root, "code": code, "min_confidence": min_confidence}
    return partial(_annotate, str(model), settings)


def annotated_schema(schema: "StructType") -> str:
    """The schema of annotated frames, for `DataFrame.mapInPandas`.

    Args:
        schema (StructType): The schema of the frame.

    Returns:
        str: Its columns, and "text", "spans" (a list of start, end, label and score) and "error",
            as DDL.
    """
    kept = {
        field.name: field.dataType.simpleString()
        for field in schema.fields
        if field.name not in TYPES
    }
    columns = {**kept, **TYPES}
    return ", ".join(f"`{name.replace('`', '``')}` {type_}" for name, type_ in columns.items())


def _annotate(
    model: str, settings: dict[str, Any], frames: Iterator["DataFrame"]
) -> Iterator["DataFrame"]:
    # The driver does not need it.
    from .engines.annotator import GroupAnnotator

    read: list[DataFrame] = []

    def make_tables() -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
        for frame in frames:
            read.append(frame)
            columns = [str(column) for column in frame.columns]
            yield columns, frame.to_dict("records")

    with GroupAnnotator(model, **settings) as annotator:
        for added in annotator.annotate_tables(make_tables()):
            frame = read.pop(0).drop(columns=list(ADDED), errors="ignore")
            for name, values in added.items():
                # Not as a type of pandas, which would turn None into NaN.
                frame[name] = _make_column(values, frame.index)
            yield frame


def _make_column(values: list[Any], index: Any) -> Any:
    from pandas import Series

    return Series(values, index=index, dtype=object)
