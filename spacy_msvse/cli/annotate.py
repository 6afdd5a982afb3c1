"""`python -m spacy msvse annotate`"""

import sys
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import import_code, setup_gpu
from tqdm import tqdm
from wasabi import msg

from ..component import components
from ..corpus.annotate import annotate
from ..corpus.folder import read_folder
from ..corpus.jsonl import read_rows
from ..corpus.resume import partial_path, skip_written, write_rows
from ..corpus.rows import PIPE, BadRow
from ..errors import Errors
from .options import Code, Force, GpuId, ImageRoot
from .root import app


@app.command("annotate")
def annotate_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    input_path: Annotated[
        Path,
        typer.Argument(
            help="JSONL file of posts; - for standard input; or a folder with texts NAME.txt and "
            "pictures NAME.jpg, NAME.png, ...",
        ),
    ],
    output_path: Annotated[
        Path, typer.Argument(help="JSONL file to write; - for standard output", dir_okay=False)
    ],
    image_root: ImageRoot = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            min=0,
            max=1,
            help="Leave out entities with a lower confidence; by default the pipeline's own limit",
        ),
    ] = None,
    n_process: Annotated[
        int, typer.Option("--n-process", "-n", help="Number of processes; -1 for all cores")
    ] = 1,
    force: Force = False,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Find the entities of many posts. The output has the same rows, with "spans".

    Each span has a "score", its confidence. The other keys and the order of the rows do not change.
    A row that cannot be used, or whose picture cannot be read, has the reason under "error". By
    default, pictures are read from the folder of the posts.

    Rows are written to a file beside the output, with .partial at the end of its name, which is
    renamed when all are written. If the command is killed and run again with the same arguments,
    but without --force, it continues after the last row of that file.

    For long runs on Linux, set MALLOC_MMAP_THRESHOLD_=4194304 in the environment. Otherwise the C
    library keeps more and more freed memory.
    """
    if input_path != PIPE and not input_path.exists():
        msg.fail(Errors.E033.format(path=input_path), exits=1)
    if output_path != PIPE and output_path.exists():
        if input_path.exists() and output_path.samefile(input_path):
            msg.fail(Errors.E091.format(path=input_path), exits=1)
        if not force:
            msg.fail(Errors.E041.format(path=output_path), exits=1)
    if force:
        partial_path(output_path).unlink(missing_ok=True)
    read = read_folder if input_path.is_dir() else read_rows
    try:
        done, rows = skip_written(output_path, read(input_path))
    except ValueError as error:
        msg.fail(str(error), exits=1)
    import_code(code)
    setup_gpu(gpu_id, silent=True)
    nlp = spacy.load(model)
    if min_confidence is not None:
        for _, component in components(nlp):
            component.min_confidence = min_confidence
    image_root = image_root or (input_path if input_path.is_dir() else input_path.parent)
    annotated = annotate(nlp, rows, image_root=image_root, n_process=n_process)
    shown = sys.stderr.isatty()
    total = sum(1 for _ in read(input_path)) if shown and input_path.exists() else None
    written = problems = 0
    for row in tqdm(
        write_rows(annotated, output_path),
        desc=input_path.name,
        unit=" posts",
        initial=done,
        total=total,
        disable=not shown,
    ):
        written += 1
        if row.problem is not None:
            problems += 1
            tqdm.write(str(BadRow(row.path, row.line, row.problem)), file=sys.stderr)
    summary = f"{written} rows annotated, {problems} of them with an error"
    typer.echo(f"{summary}; {done} were done already" if done else summary, err=True)
