"""`python -m spacy msvse annotate`"""

import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from multiprocessing import get_start_method
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tqdm import tqdm

from ..component import components
from ..component.loading import NamedPipeline, check_gpu
from ..component.unsure import views_to_ask
from ..corpus.annotate import BATCH_SIZE, annotate
from ..corpus.formats.options import ReadOptions
from ..corpus.formats.outputs import TITLES, choose_output, finish_output
from ..corpus.formats.table import open_posts
from ..corpus.jsonl import ASKED, PICTURE, list_keys
from ..corpus.resume import partial_path, skip_written, write_rows
from ..corpus.rows import PIPE, BadRow
from ..errors import Errors, MsvseError, Warnings
from ..ray.job import Job, annotate_files
from ..vision.extractors.chat_client import Usage
from .asking import check_asking, make_asking, print_usage
from .lock import locked
from .messages import count, print_warning
from .options import (
    Actors,
    Ask,
    AskBelow,
    ChatKeyEnv,
    ChatUrl,
    Code,
    Features,
    Force,
    GpuId,
    ImageRoot,
    ImageSuffix,
    InputFormat,
    LabelColumn,
    MinConfidence,
    NumGpus,
    OnRay,
    ToFormat,
    TokenColumn,
    refuse_options,
)
from .outputs import check_output
from .reading import say_format
from .root import app

#: The parameters of the command that --ray uses.
RAY_OPTIONS = {
    *("model", "source", "target", "actors", "num_gpus", "rows"),
    *("image_root", "code", "force", "min_confidence"),
}


@app.command("annotate")
def annotate_cli(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT_PATH",
            help="File of posts, in any format; - for JSONL from standard input; or a folder with "
            "texts NAME.txt and pictures NAME.jpg, NAME.png, ... With --ray, a file or a folder of "
            "JSONL or Parquet, or its URL",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT_PATH",
            help="File to write; - for JSONL on standard output. With --ray, a folder or its URL",
        ),
    ],
    format: InputFormat = None,
    to_format: ToFormat = None,
    image_root: ImageRoot = None,
    image_suffix: ImageSuffix = ".jpg",
    token_column: TokenColumn = 1,
    label_column: LabelColumn = None,
    min_confidence: MinConfidence = None,
    n_process: Annotated[
        int,
        typer.Option(
            "--n-process",
            "-n",
            help="Number of worker processes; -1 for all cores. With 0, the work is done in the "
            "process of the command, and a post that ends it, by a crash or for lack of memory, "
            "ends the run",
            min=-1,
            max=1024,
        ),
    ] = 1,
    force: Force = False,
    code: Code = None,
    gpu_id: GpuId = -1,
    features: Features = None,
    ask: Ask = False,
    ask_below: AskBelow = None,
    chat_url: ChatUrl = None,
    chat_key_env: ChatKeyEnv = None,
    ray: OnRay = False,
    actors: Actors = 1,
    num_gpus: NumGpus = 0,
    rows: Annotated[
        int,
        typer.Option(
            "--rows",
            help="Rows that an actor of Ray gets at once, and rows of a file",
            min=1,
            max=1000000,
        ),
    ] = 1024,
) -> None:
    """Find the entities of many posts. The output has the same rows, with "spans".

    Each span has a "score", its confidence. The other keys and the order of the rows do not change.
    A row that cannot be used, or whose picture cannot be read, has the reason under "error". If
    every row has one, the exit status is 1. By default, pictures are read from the folder of the
    posts. The output is JSONL, Parquet, or predictions of Label Studio.

    Rows are written as JSONL to a file beside the output, with .partial at the end of its name,
    which becomes the output when all are written. If the command is killed and run again with the
    same arguments, but without --force, it continues after the last row of that file, and the
    output is the same as that of a run without interruption. A row that ends its worker process, by
    a crash or for lack of memory, has an "error", and the other rows are annotated.

    With --ask and --chat-url, a server is asked for the views that a language model writes, such as
    knowledge. Nothing is sent without them, whatever the pipeline says. Answers are kept in the
    store of --features. A post without an answer is read without the view, and has an "error".

    With --ask-below in place of --ask, each post is first read without asking. Views in the row and
    stored answers are used. Posts that lack the view and are less confident are asked for and read
    again. The confidence of a post is the lowest of those of its entities, and of the probabilities
    of "no entity" elsewhere. Each row has "asked": whether the server was asked about it, now or in
    an earlier run.

    With --ray, the work is divided among --actors, on one machine or on a cluster, where the
    pipeline must be installed, or its folder be there, on every machine. The output is a folder
    with files of the same kind as the input. The rows have no order; rows of Parquet get a
    "row_id". A run that was killed is continued when it is started again. The file _SUCCESS says
    that all rows are there.

    For long runs on Linux, set MALLOC_MMAP_THRESHOLD_=4194304 in the environment. Otherwise the C
    library keeps more and more freed memory.
    """
    if ray:
        refuse_options(ctx, ctx.params.keys() - RAY_OPTIONS - {"ray"}, "with --ray")
        annotate_on_ray(
            Job(
                model,
                source,
                target,
                actors=actors,
                num_gpus=num_gpus,
                rows=rows,
                image_root=image_root,
                code=code,
                min_confidence=min_confidence,
                force=force,
            )
        )
        return
    refuse_options(ctx, ("actors", "num_gpus", "rows"), "without --ray")
    input_path, output_path = Path(source), Path(target)
    if output_path != PIPE and output_path.is_dir():
        raise typer.BadParameter(f"File '{target}' is a directory.")
    options = ReadOptions(
        format=format,
        annotation=False,
        image_root=image_root,
        image_suffix=image_suffix,
        token_column=token_column,
        label_column=label_column,
    )
    posts = open_posts(input_path, options)
    check_output(output_path, input_path, code)
    to_format = choose_output(output_path, to_format)
    ctx.with_resource(locked(output_path))
    if output_path != PIPE and output_path.exists() and not force:
        raise MsvseError(Errors.E041.format(path=output_path))
    asking = make_asking(ask, ask_below, chat_url, chat_key_env)
    load = NamedPipeline(model, code, gpu_id, min_confidence, features)
    work: dict[str, Any] = {"n_process": n_process}
    if n_process == 0:
        nlp = load()
    elif gpu_id >= 0 or get_start_method() != "fork":
        # A process that has used a GPU cannot be forked. Each worker loads the pipeline, and this
        # process loads it without the GPU, to report errors.
        check_gpu(gpu_id)
        method = "spawn" if gpu_id >= 0 else None
        work.update(load=load, method=method)
        nlp = replace(load, gpu_id=-1)()
    else:
        # Forked processes can use several threads only if this one does not.
        work.update(threads=torch.get_num_threads() if n_process == 1 else 1)
        torch.set_num_threads(1)
        nlp = load()
    if asking is not None:
        views = check_asking(asking, (one.vision for _, one in components(nlp)), model)
        if not views_to_ask(nlp):
            raise MsvseError(Errors.E262.format(model=model, views=", ".join(views)))
    if force:
        partial_path(output_path).unlink(missing_ok=True)
    say_format(input_path, posts)
    done, again, further = skip_written(output_path, posts.rows, BATCH_SIZE)
    root = image_root or (input_path if input_path.is_dir() else input_path.parent)
    unread: Counter[str] = Counter()
    usage = Usage()
    work.update(asking=asking, usage=usage)
    annotated = annotate(nlp, chain(again, further), image_root=root, unread=unread, **work)
    shown = sys.stderr.isatty()
    total = None
    if shown and input_path.exists():
        total = sum(1 for _ in open_posts(input_path, options).rows)
    name = f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"
    finish = partial(finish_output, format=to_format, model=name)
    written = asked = 0
    problems: list[str] = []
    for row in tqdm(
        write_rows(islice(annotated, len(again), None), output_path, finish),
        desc=input_path.name,
        unit=" posts",
        initial=done,
        total=total,
        disable=not shown,
    ):
        written += 1
        asked += row.values.get(ASKED) is True
        if row.problem is not None:
            problems.append(f"line {row.line}, {row.problem}")
            tqdm.write(str(BadRow(row.path, row.line, row.problem)), file=sys.stderr)
    if asking is not None:
        print_usage(usage)
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
    if to_format != "jsonl":
        summary += f" and written as {TITLES[to_format]}"
    if problems:
        summary += f", {len(problems)} of them with an error"
    if ask_below is not None:
        summary += f"; asked for {asked} of {count(written, 'post')}"
    typer.echo(f"{summary}; {done} done already" if done else summary, err=True)


def annotate_on_ray(job: Job) -> None:
    """Annotate files with Ray, and print what was done.

    Args:
        job (Job): The files and settings.

    Raises:
        MsvseError: As `annotate_files` does; if there is no row (MSVSE-E154), or each has an error
            (MSVSE-E156).
    """
    summary = annotate_files(job)
    if not summary.rows and not summary.continued:
        raise MsvseError(Errors.E154.format(path=job.input))
    if summary.first is not None and summary.failed == summary.rows and not summary.continued:
        first = summary.first.rstrip(".")
        raise MsvseError(Errors.E156.format(count=summary.rows, path=job.input, first=first))
    text = f"{count(summary.rows, 'row')} annotated"
    if summary.failed:
        text += f", {summary.failed} of them with an error"
    typer.echo(f"{text}; the others were done already" if summary.continued else text, err=True)


def any_without_error(path: Path) -> bool:
    """Whether a file of annotated rows has a row without an error.

    Args:
        path (Path): The file.

    Returns:
        bool: True if so.
    """
    return any("error" not in row.values for row in open_posts(path).rows)
