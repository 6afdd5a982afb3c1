"""Annotate files of posts with Ray: checked before it starts, and continued after an end."""

import json
import sys
import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from ..about import __version__
from ..component.loading import NamedPipeline
from ..errors import Errors, MsvseError
from ..util import first_line
from .cluster import check_cluster, find_error, require_ray, running

#: CPUs that Ray needs besides those of the actors: one to read and write, and one to find the rows
#: that an earlier run has written.
SPARE_CPUS = 2

#: The memory that Ray reserves to find these rows.
SPARE_BYTES = 2**30

#: How often a dead actor is started again, and its rows are given to another one. By default, Ray
#: does so without end.
RESTARTS = 3

#: Suffixes of the files that are read.
CONTAINERS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

#: The files of an output that describe its run, and that say that it has ended. Readers of folders
#: skip names with this beginning.
RUN, SUCCESS = "_run.json", "_SUCCESS"


@dataclass(frozen=True)
class Job:
    """Files to annotate with Ray.

    Attributes:
        model (str): The name or the folder of a pipeline, on every machine.
        input (str): A file or folder of JSONL or Parquet, or its URL.
        output (str): The folder to write to, or its URL.
        actors (int): The number of actors.
        num_gpus (float): GPUs for each actor.
        rows (int): Rows that an actor gets at once, and that a file of the output has.
        image_root (str): The only folder from which pictures are read; None for that of the input.
        code (Path): A file with registered functions, which is imported first.
        min_confidence (float): Entities with a lower confidence are left out; None for the limit of
            the pipeline.
        force (bool): Whether an earlier output is replaced.
    """

    model: str
    input: str
    output: str
    actors: int = 1
    num_gpus: float = 0
    rows: int = 1024
    image_root: str | None = None
    code: Path | None = None
    min_confidence: float | None = None
    force: bool = False


@dataclass(frozen=True)
class Summary:
    """The output of a run.

    Attributes:
        rows (int): The rows.
        failed (int): How many of them have an error.
        first (str): The error of one of them; None without any.
        continued (bool): Whether an earlier run has written other rows.
    """

    rows: int
    failed: int
    first: str | None
    continued: bool


def annotate_files(job: Job) -> Summary:
    """Annotate files of posts with Ray.

    If the environment variable RAY_ADDRESS names a cluster, it is used. Otherwise Ray is started on
    this machine, and ended afterwards. The output is a folder of files of the same kind as the
    input. A run that was killed is continued by another one with the same settings.

    Args:
        job (Job): The files and settings.

    Returns:
        Summary: The numbers of rows and errors.

    Raises:
        MsvseError: If Ray is not installed (MSVSE-E281), if the cluster is too small (MSVSE-E282),
            if there are no files of one kind (MSVSE-E283) and one schema (MSVSE-E284), if the
            output is that of another run (MSVSE-E285, MSVSE-E041), or if Ray fails (MSVSE-E286).
    """
    require_ray()
    files = _list_files(job.input)
    output = _Output(job, files)
    # Its errors are those of this machine, before any actor starts.
    NamedPipeline(job.model, job.code)()
    # The spare CPUs do little, so they may be more than the machine has.
    cpus = job.actors + SPARE_CPUS
    with running(cpus):
        gpus = job.actors * job.num_gpus
        check_cluster(job.actors, {"CPU": cpus, "GPU": gpus, "memory": SPARE_BYTES})
        output.begin()
        summary = _run(job, files, output)
    output.finish()
    return summary


@dataclass(frozen=True)
class _Files:
    """The files of an input, all in one container."""

    filesystem: Any
    paths: list[str]
    sizes: list[int]
    container: str
    root: str


def _list_files(source: str) -> _Files:
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = _locate(source)
    found = filesystem.get_file_info(path)
    if found.type == FileType.NotFound:
        raise MsvseError(Errors.E033.format(path=source))
    infos = [found]
    if found.type == FileType.Directory:
        infos = filesystem.get_file_info(FileSelector(path, recursive=True))
    infos = sorted((one for one in infos if _is_visible(one, path)), key=lambda one: one.path)
    containers = {CONTAINERS.get(PurePosixPath(one.path).suffix.lower()) for one in infos}
    (container,) = containers if len(containers) == 1 else (None,)
    if container is None:
        raise MsvseError(Errors.E283.format(path=source))
    is_folder = found.type == FileType.Directory
    root = source if is_folder else source.rpartition("/")[0] or "."
    paths, sizes = [one.path for one in infos], [one.size or 0 for one in infos]
    # An actor has another working directory.
    root = root if "://" in root else str(Path(root).absolute())
    return _Files(filesystem, paths, sizes, container, root)


def _is_visible(info: Any, root: str) -> bool:
    from pyarrow.fs import FileType

    parts = PurePosixPath(info.path.removeprefix(root)).parts
    return info.type == FileType.File and not any(part.startswith(("_", ".")) for part in parts)


def _locate(path: str) -> tuple[Any, str]:
    """The file system of a path or a URL, and the path in it."""
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    try:
        found: tuple[Any, str] = FileSystem.from_uri(_make_uri(path))
    except (ArrowException, OSError, ValueError) as error:
        reason = first_line(error)
        raise MsvseError(Errors.E287.format(path=path, reason=reason)) from error
    return found


def _make_uri(path: str) -> str:
    return path if "://" in path else Path(path).absolute().as_uri()


class _Output:
    """The folder of a run, and the folder beside it of the ids of the rows that are written."""

    def __init__(self, job: Job, files: _Files) -> None:
        from pyarrow.fs import FileType

        self.uri = _make_uri(job.output).rstrip("/")
        self.checkpoint = f"{self.uri}.checkpoint"
        self.filesystem, self.path = _locate(self.uri)
        listed = "\n".join(
            f"{path} {size}" for path, size in zip(files.paths, files.sizes, strict=True)
        )
        self.description = {
            "model": job.model,
            "rows": job.rows,
            "image_root": job.image_root,
            "min_confidence": job.min_confidence,
            "files": sha256(listed.encode()).hexdigest(),
            "version": __version__,
        }
        given = self._read(RUN)
        is_empty = self.filesystem.get_file_info(self.path).type == FileType.NotFound
        if job.force and given is not None:
            self._delete(self.path)
            self._delete(_locate(self.checkpoint)[1])
            given, is_empty = None, True
        is_done = given is not None and self._read(SUCCESS) is not None
        if is_done or (given is None and not is_empty):
            raise MsvseError(Errors.E041.format(path=job.output))
        if given is not None and json.loads(given) != self.description:
            changed = [k for k, v in self.description.items() if json.loads(given).get(k) != v]
            raise MsvseError(Errors.E285.format(path=job.output, settings=", ".join(changed)))
        self.continued = given is not None

    def begin(self) -> None:
        self.filesystem.create_dir(self.path, recursive=True)
        self._write(RUN, json.dumps(self.description, indent=2).encode())

    def finish(self) -> None:
        self._write(SUCCESS, b"")
        self._delete(_locate(self.checkpoint)[1])

    def _read(self, name: str) -> bytes | None:
        try:
            with self.filesystem.open_input_stream(f"{self.path}/{name}") as file_:
                content: bytes = file_.read()
        except FileNotFoundError:
            return None
        return content

    def _write(self, name: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(f"{self.path}/{name}") as file_:
            file_.write(content)

    def _delete(self, path: str) -> None:
        from pyarrow.fs import FileType

        if self.filesystem.get_file_info(path).type != FileType.NotFound:
            self.filesystem.delete_dir(path)


def _run(job: Job, files: _Files, output: _Output) -> Summary:
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.checkpoint import CheckpointConfig

    from .annotator import Annotator, LineAnnotator
    from .files import ROW_ID, LineFiles, LineSink, ParquetFiles, ParquetSink

    settings: dict[str, Any] = {"filesystem": files.filesystem}
    work: type[Annotator]
    source: LineFiles | ParquetFiles
    written: LineSink | ParquetSink
    if files.container == "jsonl":
        work, source, written = (
            LineAnnotator,
            LineFiles(files.paths, **settings),
            LineSink(output.uri),
        )
    else:
        work, written = Annotator, ParquetSink(output.uri)
        source = ParquetFiles(files.paths, _read_columns(files), **settings)
    context = DataContext.get_current()
    before = context.checkpoint_config, context.enable_progress_bars
    context.checkpoint_config = CheckpointConfig(
        ROW_ID, output.checkpoint, delete_checkpoint_on_success=False
    )
    context.enable_progress_bars = sys.stderr.isatty()
    try:
        rows = ray.data.read_datasource(source)
        # So many rows are done or not done when a run is killed, and the rest is in memory.
        rows = rows.repartition(target_num_rows_per_block=job.rows, strict=True)
        annotated = _map_batches(
            rows,
            work,
            batch_size=job.rows,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=job.actors),
            fn_constructor_args=[job.model],
            fn_constructor_kwargs={
                "image_root": job.image_root or files.root,
                "code": None if job.code is None else str(job.code.absolute()),
                "gpu_id": 0 if job.num_gpus else -1,
                "min_confidence": job.min_confidence,
            },
            num_cpus=1,
            num_gpus=job.num_gpus or None,
        )
        annotated.write_datasink(written)
    except Exception as error:
        raise find_error(error) from error
    finally:
        context.checkpoint_config, context.enable_progress_bars = before
    return Summary(written.rows, written.failed, written.first, output.continued)


def _map_batches(rows: Any, work: type, **settings: Any) -> Any:
    with warnings.catch_warnings():
        # Ray 2.60 to 2.63 has no other way to limit restarts.
        warnings.filterwarnings("ignore", ".*ray_remote_args")
        limits = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS}
        return rows.map_batches(work, **settings, **limits)


def _read_columns(files: _Files) -> Any:
    from pyarrow.parquet import ParquetFile

    with files.filesystem.open_input_file(files.paths[0]) as file_:
        return ParquetFile(file_).schema_arrow
