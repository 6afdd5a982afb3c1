"""`python -m spacy msvse annotate`"""

import ctypes
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm
from wasabi import msg

from ..component.posts import UNREADABLE
from ..component.sources import ignore_missing_images, set_image_root
from ..corpus.folder import read_folder
from ..corpus.jsonl import make_post, read_rows
from ..corpus.resume import dump_row, kept_values, skip_written, with_spans
from ..corpus.rows import PIPE, BadRow, Row
from ..doc import picture_source
from ..errors import Errors
from ..vision.picture import PictureError, open_picture
from . import app
from .options import GpuId

#: How many posts a process holds at once.
BATCH_SIZE = 64

#: After how many posts the vocabulary forgets the new words, which would fill the memory.
ZONE_SIZE = 4096

#: From this size on, in bytes, memory goes back to the system as soon as it is freed.
MAX_KEPT_SIZE = 4 * 2**20

#: The number by which glibc's mallopt knows that size.
M_MMAP_THRESHOLD = -3


@app.command("annotate")
def annotate_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    input_path: Annotated[
        Path,
        typer.Argument(
            help="JSONL file of posts, - for standard input, or a folder of NAME.txt with the "
            "picture NAME.jpg, .png, ... beside it",
        ),
    ],
    output_path: Annotated[
        Path,
        typer.Argument(
            help="The JSONL file to write or to go on with; - for standard output",
            dir_okay=False,
        ),
    ],
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root",
            "-i",
            help="Folder of the pictures; by default that of the posts",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            min=0,
            max=1,
            help="Leave entities under it out, in place of the pipeline's own threshold",
        ),
    ] = None,
    n_process: Annotated[
        int, typer.Option("--n-process", "-n", help="Number of processes; -1 for all cores")
    ] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew instead of going on with the output")
    ] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Find the entities of many posts: rows of JSONL in, the same rows with "spans" out.

    Each span has a "score", its probability by the pipeline: after `calibrate`, how often such
    spans are right. What else was in a row stays in it, and rows keep their order. A row that
    cannot be used, and one whose picture cannot be read, says why under "error". Killed and run
    again with the same arguments, it goes on where it was.
    """
    if input_path != PIPE and not input_path.exists():
        msg.fail(Errors.E033.format(path=input_path), exits=1)
    if output_path.exists() and input_path.exists() and output_path.samefile(input_path):
        msg.fail(Errors.E091.format(path=input_path), exits=1)
    read = read_folder if input_path.is_dir() else read_rows
    image_root = image_root or (input_path if input_path.is_dir() else input_path.parent)
    rows, done = read(input_path), 0
    if output_path.is_file() and not overwrite:
        try:
            done, rows = skip_written(output_path, rows)
        except ValueError as error:
            msg.fail(str(error), exits=1)
    give_memory_back()
    setup_gpu(gpu_id, silent=True)
    nlp = spacy.load(model)
    set_image_root(nlp, image_root)
    ignore_missing_images(nlp)  # the row says it
    for _, component in nlp.pipeline:
        if min_confidence is not None and hasattr(component, "min_confidence"):
            component.min_confidence = min_confidence
    annotated = annotate(nlp, rows, image_root=image_root, n_process=n_process)
    shown = sys.stderr.isatty()
    can_be_read_twice = input_path.is_file() or input_path.is_dir()
    total = sum(1 for _ in read(input_path)) if shown and can_be_read_twice else None
    with tqdm(
        annotated,
        desc=input_path.name,
        unit=" posts",
        initial=done,
        total=total,
        disable=not shown,
    ) as bar:
        counts = write_rows(bar, output_path, overwrite=overwrite)
    summary = f"{counts['rows']} rows annotated, {counts['problems']} of them with an error"
    typer.echo(f"{summary}; {done} were done already" if done else summary, err=True)


def give_memory_back() -> None:
    """Let no large tensor into glibc's heap. Batches of many shapes cut it into pieces that fit no
    later one, and a long run takes ever more memory. Under other systems, do nothing."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, MAX_KEPT_SIZE)


def write_rows(rows: Iterable[Row], path: Path, *, overwrite: bool) -> Counter[str]:
    """Add annotated rows to a file, each as soon as it is there, and print their problems.

    rows (Iterable[Row]): The rows.
    path (Path): The file, or `PIPE`.
    overwrite (bool): Whether to empty the file first.
    RETURNS (Counter): The number of "rows" and of "problems".
    """
    counts: Counter[str] = Counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "wb" if overwrite else "ab"
    with nullcontext(sys.stdout.buffer) if path == PIPE else path.open(mode) as file_:
        for row in rows:
            file_.write(dump_row(row.values).encode("utf-8"))
            file_.flush()
            if row.problem is not None:
                tqdm.write(str(BadRow(row.path, row.line, row.problem)), file=sys.stderr)
            counts.update(rows=1, problems=row.problem is not None)
    return counts


def annotate(
    nlp: Language,
    rows: Iterable[Row],
    *,
    image_root: Path | None = None,
    n_process: int = 1,
) -> Iterator[Row]:
    """Annotate rows in their order, holding no more of them than are computed together.

    When a component fails on a batch, its rows are annotated one by one: no row costs another its
    entities.

    nlp (Language): The pipeline. Its errors are noted on the Docs from now on.
    rows (Iterable[Row]): The rows.
    image_root (Path): The only folder to read pictures from; None allows any path.
    n_process (int): Number of processes; -1 for all cores.
    YIELDS (Row): The rows with their spans, and with their problem if they have one.
    """
    nlp.set_error_handler(note_error)  # type: ignore[arg-type]
    rows = iter(rows)
    for first in rows:
        with nlp.memory_zone():
            zone = chain([first], islice(rows, ZONE_SIZE - 1))
            yield from _annotate_zone(nlp, zone, image_root, n_process)


def _annotate_zone(
    nlp: Language,
    rows: Iterable[Row],
    image_root: Path | None,
    n_process: int,
) -> Iterator[Row]:
    # The rows under way, each with its Doc, or with why there is none.
    waiting: deque[tuple[Row, Doc | str]] = deque()

    def read_docs() -> Iterator[tuple[Doc, int]]:
        for number, row in enumerate(rows):
            try:
                doc = make_doc(nlp, row)
            except ValueError as error:
                waiting.append((row, str(error)))
            else:
                waiting.append((row, doc))
                yield doc, number

    def annotate_alone(row: Row, doc: Doc | str) -> Row:
        if isinstance(doc, str):
            return with_problem(row, doc)
        for annotated in nlp.pipe([doc]):
            return with_entities(row, annotated, image_root)
        return with_problem(row, doc.user_data.get("error", "the pipeline did not return it"))

    finished = 0
    docs = nlp.pipe(read_docs(), as_tuples=True, batch_size=BATCH_SIZE, n_process=n_process)
    for doc, number in docs:
        for _ in range(finished, number):
            yield annotate_alone(*waiting.popleft())
        yield with_entities(waiting.popleft()[0], doc, image_root)
        finished = number + 1
    for row, rest in waiting:
        yield annotate_alone(row, rest)


def note_error(name: str | None, component: Any, docs: list[Doc] | None, error: Exception) -> None:
    """Note on Docs why a component failed on them; spaCy passes them over then.

    name (str): Name of the component; None for a failure in another process.
    component (Callable): The component.
    docs (list[Doc]): The Docs; None for a failure in another process.
    error (Exception): Why.
    """
    for doc in docs or ():
        doc.user_data["error"] = f"'{name}' failed: {error}"


def make_doc(nlp: Language, row: Row) -> Doc:
    """Make a row into a Doc without any annotation.

    nlp (Language): Gives the tokenizer and the vocabulary.
    row (Row): The row.
    RETURNS (Doc): The Doc.
    RAISES (ValueError): If the row cannot be used; says why.
    """
    unread = ("spans", "answer", "meta")
    values = {key: value for key, value in row.values.items() if key not in unread}
    return make_post(replace(row, values=values)).to_doc(nlp)


def with_problem(row: Row, problem: str) -> Row:
    """RETURNS (Row): The row as it was, and under "error" why it cannot be annotated."""
    problem = problem.rstrip(".")
    values = {**kept_values(row.values), **row.values, "error": problem}
    return replace(row, values=values, problem=problem)


def with_entities(row: Row, doc: Doc, image_root: Path | None) -> Row:
    """Add what was found to a row.

    row (Row): The row.
    doc (Doc): The same, annotated.
    image_root (Path): The only folder to read pictures from; None allows any path.
    RETURNS (Row): The row with "spans", and with "error" if its picture cannot be read.
    """
    values = with_spans(row.values, doc)
    problem = find_picture_problem(doc, image_root)
    if problem is not None:
        values["error"] = problem
    return replace(row, values=values, problem=problem)


def find_picture_problem(doc: Doc, image_root: Path | None) -> str | None:
    """Find why the component could not read a picture.

    doc (Doc): An annotated post.
    image_root (Path): The only folder to read pictures from; None allows any path.
    RETURNS (str): Why; None if it was read, or did not matter.
    """
    if UNREADABLE not in (doc._.image_status or {}).values():
        return None
    try:
        open_picture(picture_source(doc) or "", image_root)
    except PictureError as error:
        return str(error).rstrip(".")
    return "the picture could not be read"
