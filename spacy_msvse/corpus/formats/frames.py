"""Posts in Python: tables of pandas, Polars and Arrow, data sets, and any rows."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import Errors, MsvseError
from ..rows import Row
from .options import Records
from .values import make_row

#: In place of a file, in messages.
ROWS = Path("rows")

#: Rows of a table that are made at once.
CHUNK = 256


def read_frame(source: Any) -> Records:
    """Read a table or rows of Python. No library is imported for it.

    Args:
        source (Any): A DataFrame of pandas or Polars, a table of Arrow, a data set of Hugging Face,
            or an iterable of mappings.

    Returns:
        Records: The rows, and the labels of a data set.

    Raises:
        MsvseError: If it is none of these (MSVSE-E247).
    """
    return Records(_read(_iterate(source)), _find_labels(getattr(source, "features", None)))


def _iterate(source: Any) -> Any:
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return _read_pandas(source)
    if hasattr(source, "iter_rows"):  # Polars
        return source.iter_rows(named=True)
    if hasattr(source, "to_batches"):  # Arrow
        return (row for batch in source.to_batches(CHUNK) for row in batch.to_pylist())
    is_rows = isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping)
    if not is_rows:
        raise MsvseError(Errors.E247.format(type=type(source).__name__))
    return source


def _read_pandas(frame: Any) -> Iterator[dict[Any, Any]]:
    for start in range(0, len(frame), CHUNK):
        yield from frame.iloc[start : start + CHUNK].to_dict("records")


def _read(source: Iterable[Any]) -> Iterator[Row]:
    for number, values in enumerate(source, start=1):
        if isinstance(values, Mapping):
            yield make_row(ROWS, number, values)
        else:
            reason = f"the row is a {type(values).__name__}, not a mapping"
            yield Row(ROWS, number, {"line": repr(values)[:1000]}, reason)


def _find_labels(features: Any) -> dict[str, Mapping[int, str]]:
    """The labels of a data set of Hugging Face: the columns of lists of a `ClassLabel`."""
    found: dict[str, Mapping[int, str]] = {}
    for key, feature in features.items() if isinstance(features, Mapping) else ():
        names = getattr(getattr(feature, "feature", None), "names", None)
        if isinstance(names, list):
            found[key] = dict(enumerate(names))
    return found
