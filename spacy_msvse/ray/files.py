"""How Ray Data reads files of posts and writes annotated ones. Every row has an id."""

from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
from ray.data.block import BlockAccessor
from ray.data.datasource import BlockBasedFileDatasink, FileBasedDatasource

from ..corpus.rows import number_lines
from ..errors import Errors, MsvseError

#: The column of the ids: the file and the number of the row in it, from 1.
ROW_ID = "row_id"

#: The columns of lines of JSON.
LINES = pyarrow.schema([(ROW_ID, pyarrow.string()), ("line", pyarrow.binary())])

#: Rows that are read at once.
_CHUNK = 64


class LineFiles(FileBasedDatasource):
    """Files of lines of JSON. A line is not parsed, so that all rows have one schema."""

    def _read_stream(self, f: Any, path: str) -> Iterator[pyarrow.Table]:
        lines = (
            (f"{path}:{number}", line)
            for number, line in number_lines(Path(path), BufferedReader(f))
            if line.strip()
        )
        while chunk := list(islice(lines, _CHUNK)):
            yield pyarrow.table(list(zip(*chunk, strict=True)), schema=LINES)


class ParquetFiles(FileBasedDatasource):
    """Files of Parquet, all with the columns of the first one."""

    def __init__(self, paths: list[str], columns: pyarrow.Schema, **settings: Any) -> None:
        super().__init__(paths, **settings)
        self._columns = columns

    def _open_input_source(self, filesystem: Any, path: str, **_: Any) -> Any:
        return filesystem.open_input_file(path)

    def _read_stream(self, f: Any, path: str) -> Iterator[pyarrow.Table]:
        number = 0
        for batch in parquet.ParquetFile(f).iter_batches(_CHUNK):
            table = pyarrow.Table.from_batches([batch])
            if not table.schema.equals(self._columns):
                raise MsvseError(Errors.E284.format(path=path))
            ids = [f"{path}:{number + i}" for i in range(1, len(table) + 1)]
            number += len(table)
            if ROW_ID in table.column_names:  # of an earlier run
                table = table.drop_columns([ROW_ID])
            yield table.add_column(0, ROW_ID, pyarrow.array(ids, pyarrow.string()))


class _Counted(BlockBasedFileDatasink):
    """Files of annotated rows, whose rows and errors are counted.

    Attributes:
        rows (int): The rows that this run has written.
        failed (int): How many of them have an error.
        first (str): The error of one of them; None without any.
    """

    rows, failed = 0, 0
    first: str | None = None

    def write(self, blocks: Iterable[Any], ctx: Any) -> Any:
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        super().write(tables, ctx)
        errors = [error for table in tables for error in table["error"].to_pylist() if error]
        return sum(map(len, tables)), len(errors), errors[0] if errors else None

    def on_write_complete(self, write_result: Any) -> None:
        for rows, failed, first in filter(None, write_result.write_returns):
            self.rows += rows
            self.failed += failed
            self.first = self.first or first


class LineSink(_Counted):
    """Annotated lines of JSON."""

    def __init__(self, path: str) -> None:
        super().__init__(path, file_format="jsonl")

    def write_block_to_file(self, block: Any, file: Any) -> None:
        file.write(b"".join(block.to_arrow()["line"].to_pylist()))


class ParquetSink(_Counted):
    """Annotated rows in Parquet, with their ids."""

    def __init__(self, path: str) -> None:
        super().__init__(path, file_format="parquet")

    def write_block_to_file(self, block: Any, file: Any) -> None:
        parquet.write_table(block.to_arrow(), file)
