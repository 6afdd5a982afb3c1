"""Posts in Parquet files: read and written row group by row group."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Errors, MsvseError
from ...picture_values import decode_data_uri
from ...util import first_line, is_lfs_pointer, replaced_when_done
from ..rows import Row
from .options import Records
from .values import PICTURES, make_row

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

#: Rows that are read at once, and rows and bytes of JSON of a written row group.
BATCH, GROUP_ROWS, GROUP_BYTES = 64, 1000, 2**25

#: The key of a file's metadata that names the columns which hold JSON as text.
METADATA = b"spacy_msvse"

#: The key under which Hugging Face keeps the features of a data set.
HUGGING_FACE = b"huggingface"

#: Columns of objects that are stored as such, and not as JSON.
NESTED = ("spans",)


def read_parquet(path: Path) -> Records:
    """Read a Parquet file whose columns are the keys of rows.

    A column `image` may hold paths, the bytes of files, or both, as Hugging Face's feature `Image`
    does (`struct<bytes, path>`). Without a column of this name, the only column of this form is the
    picture. Labels as numbers are found in the metadata that Hugging Face writes.

    Args:
        path (Path): The file.

    Returns:
        Records: The rows and the labels.

    Raises:
        MsvseError: If the extra `parquet` is not installed (MSVSE-E245), or the file is a pointer
            of Git LFS (MSVSE-E130) or is damaged (MSVSE-E248; also while the rows are read).
    """
    if is_lfs_pointer(path):
        raise MsvseError(Errors.E130.format(path=path))
    arrow, parquet = import_arrow()
    try:
        file_ = parquet.ParquetFile(path)
        schema = file_.schema_arrow
    except (arrow.ArrowException, OSError, ValueError) as error:  # ValueError: a damaged name
        raise _damaged(path, error) from error
    metadata = schema.metadata or {}
    return Records(_read(path, file_, schema, metadata), _find_labels(metadata))


def import_arrow() -> tuple[Any, Any]:
    """Import the package for Parquet.

    Returns:
        tuple: The modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        MsvseError: If it is not installed (MSVSE-E245).
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MsvseError(Errors.E245) from error
    return pyarrow, parquet


def _damaged(path: Path, error: Exception) -> MsvseError:
    return MsvseError(Errors.E248.format(path=path, reason=first_line(error)))


def _read(
    path: Path, file_: "ParquetFile", schema: "pyarrow.Schema", metadata: Mapping[bytes, bytes]
) -> Iterator[Row]:
    arrow, _ = import_arrow()
    texts = _load(metadata, METADATA).get("json", [])
    pictures = [one.name for one in schema if _is_picture(one.type)]
    picture = pictures[0] if len(pictures) == 1 and "image" not in schema.names else None
    number = 0
    batches = file_.iter_batches(BATCH)
    with file_:
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            except (arrow.ArrowException, OSError, ValueError) as error:
                raise _damaged(path, error) from error
            if batch is None:
                return
            for values in rows:
                number += 1
                decoded = {key: values.pop(key) for key in texts if key in values}
                if picture is not None:
                    values["image"] = values.pop(picture)
                row = make_row(path, number, values)
                for key, text in decoded.items():
                    if text is not None:
                        row.values[key] = json.loads(text)
                yield row


def _is_picture(type_: "pyarrow.DataType") -> bool:
    """Whether a column is a struct of bytes and a path."""
    arrow, _ = import_arrow()
    if not arrow.types.is_struct(type_):
        return False
    return {type_[i].name for i in range(type_.num_fields)} == {"bytes", "path"}


def _load(metadata: Mapping[bytes, bytes], key: bytes) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(key, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _find_labels(metadata: Mapping[bytes, bytes]) -> dict[str, Mapping[int, str]]:
    """Column to the label of each number."""
    found: dict[str, Mapping[int, str]] = {}
    features = (_load(metadata, HUGGING_FACE).get("info") or {}).get("features") or {}
    for key, feature in features.items():
        inner = feature.get("feature") if isinstance(feature, dict) else None
        names = inner.get("names") if isinstance(inner, dict) else None
        if isinstance(names, list):
            found[key] = dict(enumerate(names))
    return found


def write_parquet(read: Callable[[], Iterable[dict[str, Any]]], path: Path) -> None:
    """Write rows as a Parquet file, completely or not at all.

    Pictures are columns of `struct<bytes, path>`, spans are lists of structs. Other columns that
    hold objects, or values of several types, hold JSON as text; the file's metadata names them. At
    most a row group is in memory.

    Args:
        read (Callable): Reads the rows from the first one. It is called twice.
        path (Path): The file.

    Raises:
        MsvseError: If the extra `parquet` is not installed (MSVSE-E245) or the disk is full
            (MSVSE-E190).
    """
    texts: set[str] = set()
    while True:
        try:
            _write(read, path, texts)
            return
        except _TypeError as error:
            texts.add(error.column)


class _TypeError(Exception):
    """Raised if values of a column are not of its type."""

    def __init__(self, column: str) -> None:
        self.column = column


def _write(read: Callable[[], Iterable[dict[str, Any]]], path: Path, texts: set[str]) -> None:
    arrow, parquet = import_arrow()
    columns: dict[str, pyarrow.DataType | None] = {}
    for rows in _group(read()):
        for key in dict.fromkeys(key for values in rows for key in values):
            found = None if key in texts else _infer(key, [values.get(key) for values in rows])
            columns[key] = found if key not in columns else _join(columns[key], found)
    json_columns = [key for key, type_ in columns.items() if type_ is None]
    for key, type_ in columns.items():
        columns[key] = arrow.string() if type_ in (None, arrow.null()) else type_
    metadata = {METADATA: json.dumps({"json": json_columns})}
    if "image" in columns:
        features = {"image": {"_type": "Image"}}
        metadata[HUGGING_FACE] = json.dumps({"info": {"features": features}})
    schema = arrow.schema(columns.items(), metadata)
    with replaced_when_done(path) as beside, parquet.ParquetWriter(beside, schema) as writer:
        for rows in _group(read()):
            arrays = []
            for key, type_ in columns.items():
                as_text = key in json_columns
                values = [_convert(key, row.get(key), as_text) for row in rows]
                try:
                    arrays.append(arrow.array(values, type_))
                except (arrow.ArrowException, OverflowError, TypeError, ValueError) as error:
                    raise _TypeError(key) from error
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _group(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups of bounded size."""
    group: list[dict[str, Any]] = []
    size = 0
    for values in rows:
        group.append(values)
        size += sum(map(_measure, values.values()))
        if len(group) == GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _measure(value: Any) -> int:
    """About the size of a value: that of its texts, as pictures are."""
    if isinstance(value, list):
        return sum(map(_measure, value))
    return len(value) if isinstance(value, str | bytes) else 8


def _infer(key: str, values: list[Any]) -> "pyarrow.DataType | None":
    """The type of a column; None if it holds JSON."""
    arrow, _ = import_arrow()
    if key in PICTURES:
        picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        return picture if key == "image" else arrow.list_(picture)
    if key not in NESTED and any(_has_objects(value) for value in values):
        return None
    try:
        found = arrow.array(values).type
    except (arrow.ArrowException, OverflowError, TypeError, ValueError):
        return None
    # A struct without fields cannot be stored.
    return None if "struct<>" in str(found) else found


def _has_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_objects, value)))


def _join(
    left: "pyarrow.DataType | None", right: "pyarrow.DataType | None"
) -> "pyarrow.DataType | None":
    """The type of a column in two row groups; None if it holds JSON."""
    arrow, _ = import_arrow()
    if left is None or right is None:
        return None
    try:
        schemas = [arrow.schema([("column", type_)]) for type_ in (left, right)]
        joined = arrow.unify_schemas(schemas, promote_options="permissive")
    except arrow.ArrowException:
        return None
    found: pyarrow.DataType = joined.field("column").type
    return found


def _convert(key: str, value: Any, as_text: bool) -> Any:
    if as_text:
        return None if value is None else json.dumps(value, ensure_ascii=False)
    if key == "images" and isinstance(value, list):
        return [_make_picture(one) for one in value]
    return _make_picture(value) if key == "image" else value


def _make_picture(value: Any) -> Any:
    """A picture as Hugging Face keeps it."""
    if isinstance(value, bytes):
        return {"bytes": value, "path": None}
    if isinstance(value, str) and value.lower().startswith("data:"):
        try:
            return {"bytes": decode_data_uri(value), "path": None}
        except ValueError:
            return {"bytes": None, "path": value}
    return None if value is None else {"bytes": None, "path": str(value)}
