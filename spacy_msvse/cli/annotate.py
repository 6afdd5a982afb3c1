"""`python -m spacy msvse annotate`"""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from ..component import components
from ..corpus.annotate import annotate
from ..corpus.files import check_jsonl
from ..corpus.folder import read_folder
from ..corpus.jsonl import PICTURE, list_keys, read_rows
from ..corpus.resume import partial_path, skip_written, write_rows
from ..corpus.rows import PIPE, BadRow
from ..errors import Errors, MsvseError, Warnings
from .loading import load_pipeline
from .messages import count, print_warning
from .options import Code, Force, GpuId, ImageRoot
from .outputs import check_output
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
        int,
        typer.Option(
            "--n-process", "-n", help="Number of processes; -1 for all cores", min=-1, max=1024
        ),
    ] = 1,
    force: Force = False,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Find the entities of many posts. The output has the same rows, with "spans".

    Each span has a "score", its confidence. The other keys and the order of the rows do not change.
    A row that cannot be used, or whose picture cannot be read, has the reason under "error". If
    every row has one, the exit status is 1. By default, pictures are read from the folder of the
    posts.

    Rows are written to a file beside the output, with .partial at the end of its name, which is
    renamed when all are written. If the command is killed and run again with the same arguments,
    but without --force, it continues after the last row of that file.

    For long runs on Linux, set MALLOC_MMAP_THRESHOLD_=4194304 in the environment. Otherwise the C
    library keeps more and more freed memory.
    """
    if n_process == 0:
        raise typer.BadParameter("0 processes do nothing", param_hint="--n-process")
    if input_path != PIPE:
        check_jsonl(input_path)
    check_output(output_path, input_path, code)
    if output_path != PIPE and output_path.exists() and not force:
        raise MsvseError(Errors.E041.format(path=output_path))
    nlp = load_pipeline(model, code=code, gpu_id=gpu_id)
    if force:
        partial_path(output_path).unlink(missing_ok=True)
    read = read_folder if input_path.is_dir() else read_rows
    done, rows = skip_written(output_path, read(input_path))
    if min_confidence is not None:
        for _, component in components(nlp):
            component.min_confidence = min_confidence
    image_root = image_root or (input_path if input_path.is_dir() else input_path.parent)
    unread: Counter[str] = Counter()
    annotated = annotate(nlp, rows, image_root=image_root, n_process=n_process, unread=unread)
    shown = sys.stderr.isatty()
    total = sum(1 for _ in read(input_path)) if shown and input_path.exists() else None
    written = 0
    problems: list[str] = []
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
            problems.append(f"line {row.line}, {row.problem}")
            tqdm.write(str(BadRow(row.path, row.line, row.problem)), file=sys.stderr)
    if not written and not done:
        raise MsvseError(Errors.E154.format(path=input_path))
    # Of a run that was continued, the earlier rows are in the output.
    if len(problems) == written > 0 and not (done and any_without_error(output_path)):
        first = problems[0].rstrip(".")
        raise MsvseError(Errors.E156.format(count=done + written, path=input_path, first=first))
    if unread:
        keys = list_keys(unread)
        print_warning(Warnings.W020.format(path=input_path, kind=PICTURE, keys=keys))
    summary = f"{count(written, 'row')} annotated"
    if problems:
        summary += f", {len(problems)} of them with an error"
    typer.echo(f"{summary}; {done} done already" if done else summary, err=True)


def any_without_error(path: Path) -> bool:
    """Whether a file of annotated rows has a row without an error.

    Args:
        path (Path): The file.

    Returns:
        bool: True if so.
    """
    return any("error" not in row.values for row in read_rows(path))
