"""The class for `Dataset.map_batches` of Ray Data."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines.columns import ADDED, SPAN_FIELDS
from ..errors import Errors, MsvseError

if TYPE_CHECKING:
    import pyarrow


class Annotator:
    """Annotates batches of posts in an actor of Ray Data.

    Each actor has a child process, which loads the pipeline once, by its name or folder. So the
    pipeline must be installed, or its folder be there, on every machine. A row that ends the child
    process, by a crash or for lack of memory, gets the reason under "error", and the actor goes on.
    Without `max_restarts` and `max_task_retries`, Ray starts an actor that dies again and again
    without end.

        posts = ray.data.read_parquet("posts")
        posts.map_batches(
            Annotator,
            fn_constructor_args=["en_msvse_open"],
            compute=ray.data.ActorPoolStrategy(size=4),
            batch_format="pyarrow",
            batch_size=64,
            max_restarts=3,
            max_task_retries=3,
        ).write_parquet("annotated")

    The columns "text" or "words", "image" (a path, or the bytes of a picture file) or "images",
    "tags", "caption" and "texts" are read, and all columns are kept. "text", "spans" and "error"
    are added, as `annotated_schema` says. A row that cannot be used has no spans.

    Args:
        model (str / Path): The name or the folder of a pipeline.
        image_root (str / Path): The only folder from which pictures are read, or the URL of a
            remote one; None allows any path.
        code (str / Path): A file with registered functions, which is imported first.
        gpu_id (int): 0 for the GPU that Ray gives the actor, or -1 for the CPU.
        min_confidence (float): Entities with a lower confidence are left out. None for the limit of
            the pipeline.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        image_root: str | Path | None = None,
        code: str | Path | None = None,
        gpu_id: int = -1,
        min_confidence: float | None = None,
    ) -> None:
        # Processes of Ray that only read and write import this module too.
        from ..engines.annotator import GroupAnnotator

        self._annotator = GroupAnnotator(
            model,
            image_root=image_root,
            code=code,
            gpu_id=gpu_id,
            min_confidence=min_confidence,
        )

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """Annotate a batch.

        Args:
            batch (pyarrow.Table): The batch.

        Returns:
            pyarrow.Table: The batch with the columns "text", "spans" and "error".

        Raises:
            MsvseError: If the batch is no table of Arrow (MSVSE-E280), if the pipeline cannot be
                loaded, or if child processes end again and again without any result (MSVSE-E200).
        """
        import pyarrow as arrow

        if not isinstance(batch, arrow.Table):
            raise MsvseError(Errors.E280.format(type=type(batch).__name__))
        rows = _decode(batch)
        (added,) = self._annotator.annotate_tables([(batch.column_names, rows)])
        schema = annotated_schema(batch.schema)
        kept = {name: batch[name] for name in batch.column_names if name not in ADDED}
        columns = {
            field.name: kept[field.name]
            if field.name in kept
            else arrow.array(added[field.name], field.type)
            for field in schema
        }
        return arrow.Table.from_pydict(columns, schema=schema)


def annotated_schema(schema: "pyarrow.Schema") -> "pyarrow.Schema":
    """The schema of annotated batches.

    Args:
        schema (pyarrow.Schema): The schema of the batches.

    Returns:
        pyarrow.Schema: Its columns, and "text", "spans" (a list of start, end, label and score) and
            "error".
    """
    import pyarrow as arrow

    span = [(name, getattr(arrow, types[1])()) for name, types in SPAN_FIELDS.items()]
    types = {"text": arrow.string(), "spans": arrow.list_(arrow.struct(span))}
    types["error"] = arrow.string()
    kept = [field for field in schema if field.name not in types]
    return arrow.schema([*kept, *types.items()], schema.metadata)


def _decode(batch: "pyarrow.Table") -> list[dict[str, Any]]:
    """The rows of a batch. Some columns of files that this package has written hold JSON."""
    from ..corpus.formats.parquet import METADATA

    rows: list[dict[str, Any]] = batch.to_pylist()
    texts = json.loads((batch.schema.metadata or {}).get(METADATA, b"{}")).get("json", ())
    for key in texts:
        for values in rows:
            if isinstance(values.get(key), str):
                values[key] = json.loads(values[key])
    return rows


class LineAnnotator(Annotator):
    """Annotates batches of lines of JSON, which have the columns "row_id" and "line"."""

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """Annotate a batch.

        Args:
            batch (pyarrow.Table): The batch.

        Returns:
            pyarrow.Table: The annotated lines, their ids, and the column "error".

        Raises:
            MsvseError: If the pipeline cannot be loaded, or if child processes end again and again
                without any result (MSVSE-E200).
        """
        import pyarrow as arrow

        from ..corpus.jsonl import dump_row, parse_line

        places = (value.rpartition(":") for value in batch["row_id"].to_pylist())
        lines = batch["line"].to_pylist()
        rows = [
            parse_line(Path(path), int(number), line)
            for (path, _, number), line in zip(places, lines, strict=True)
        ]
        (annotated,) = self._annotator.annotate([rows])
        columns = {
            "row_id": batch["row_id"],
            "line": [dump_row(row.values).encode("utf-8") for row in annotated],
            "error": [row.problem for row in annotated],
        }
        types = {"row_id": arrow.string(), "line": arrow.binary(), "error": arrow.string()}
        return arrow.table(columns, schema=arrow.schema(types.items()))
