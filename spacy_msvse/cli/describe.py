"""`python -m spacy msvse describe`"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import from_json
from thinc.api import get_torch_default_device
from tqdm import tqdm

from ..corpus.describe import check_text_views, describe
from ..corpus.formats.options import ReadOptions
from ..corpus.formats.outputs import choose_output, finish_output
from ..corpus.formats.table import Posts, open_posts
from ..corpus.jsonl import read_rows
from ..corpus.resume import partial_path, write_rows
from ..corpus.rows import PIPE, BadRow, check_text_file
from ..corpus.sources import load_extractor, load_max_pictures
from ..errors import Errors, MsvseError
from ..vision.extraction import WORKERS, ExtractionReport
from ..vision.extractor import VisualExtractor
from ..vision.extractors.chat_client import Usage
from ..vision.extractors.chat_view import ChatView
from ..vision.store import FeatureStore
from .asking import asking_server
from .loading import coded_loading_errors, load_code, use_gpu
from .lock import locked
from .messages import count
from .options import (
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
    Labels,
    ToFormat,
    TokenColumn,
)
from .outputs import check_output
from .reading import parse_labels, say_format
from .root import app

#: Views that are arguments of `VisualExtractor`.
_VIEWS = ("tags", "caption", "ocr", "knowledge")

_FILE = {"exists": True, "dir_okay": False}


@app.command("describe")
def describe_cli(
    ctx: typer.Context,
    input_path: Annotated[
        Path,
        typer.Argument(
            help="File or folder of posts, in any format; - for JSONL from standard input"
        ),
    ],
    output_path: Annotated[
        Path,
        typer.Argument(help="File to write; - for JSONL on standard output", dir_okay=False),
    ],
    format: InputFormat = None,
    labels: Labels = None,
    to_format: ToFormat = None,
    config_path: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Config whose extractors to use, or a file with only a section [vision]",
            **_FILE,
        ),
    ] = None,
    chat_model: Annotated[
        str | None,
        typer.Option("--chat-model", help="Model of the server, in place of --config"),
    ] = None,
    chat_url: ChatUrl = None,
    chat_key_env: ChatKeyEnv = None,
    views: Annotated[
        str | None,
        typer.Option("--views", help="Views that an answer fills [knowledge]"),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option("--prompt", help="File with the question; {text} is the post", **_FILE),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", help='JSONL file of worked examples: "text", "answer"', **_FILE),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option("--request", help="Fields of the request, as JSON; null removes a field"),
    ] = None,
    picture: Annotated[
        bool | None, typer.Option("--send-pictures", help="Send the pictures of the posts, too")
    ] = None,
    max_words: Annotated[
        int | None, typer.Option("--max-words", help="Words of a view", min=1, max=4096)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Tokens of an answer", min=1, max=1_000_000)
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", help="Posts that are asked at once", min=1, max=256),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Time limit of a request", min=0.1, max=3600)
    ] = None,
    retries: Annotated[
        int | None, typer.Option("--retries", help="Further attempts for a post", min=0, max=20)
    ] = None,
    image_root: ImageRoot = None,
    image_suffix: ImageSuffix = ".jpg",
    token_column: TokenColumn = 1,
    label_column: LabelColumn = None,
    features: Features = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Threads that decode pictures", min=0, max=256)
    ] = WORKERS,
    force: Force = False,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Fill the textual views of posts: knowledge, captions, tags. The output has the same rows,
    with "texts", "caption" and "tags". Entities of another tool's file become "spans".

    The views are written by a model on a server with the OpenAI chat interface (--chat-model and
    --chat-url), or by the extractors of a config. A view that a row has already stays. Rows keep
    their order and their other keys. A row whose view cannot be filled has the reason under
    "error". If every row has one, the exit status is 1.

    Each answer is kept in a feature store: that of --features, or the folder beside the output with
    .features at the end of its name. No stored answer is asked for again, so the command can be
    killed and run again, and a second run with --force asks only for the rows that failed.

    Texts and, if wanted, pictures of the posts go to the server of --chat-url, and nowhere else.
    """
    load_code(code)
    read = partial(
        open_posts,
        input_path,
        ReadOptions(
            format=format,
            labels=parse_labels(labels),
            image_root=image_root,
            image_suffix=image_suffix,
            token_column=token_column,
            label_column=label_column,
        ),
    )
    posts = read()
    check_output(output_path, input_path, config_path, code, prompt, examples)
    to_format = choose_output(output_path, to_format)
    ctx.with_resource(locked(output_path))
    if output_path != PIPE and output_path.exists() and not force:
        raise MsvseError(Errors.E041.format(path=output_path))
    settings = {
        "views": None if views is None else [view.strip() for view in views.split(",")],
        "prompt": None if prompt is None else _read_text(prompt),
        "examples": None if examples is None else _read_examples(examples),
        "request": None if request is None else _read_request(request),
        "picture": picture,
        "max_words": max_words,
        "max_tokens": max_tokens,
        "concurrency": concurrency,
        "seconds": seconds,
        "retries": retries,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    extractor = _make_extractor(config_path, chat_model, chat_url, given)
    check_text_views(extractor, f"'{config_path}'")
    use_gpu(gpu_id)
    extractor.initialize()
    extractor.to(str(get_torch_default_device()))
    root = image_root or (input_path if input_path.is_dir() else input_path.parent)
    if features is None and output_path != PIPE:
        features = output_path.with_name(f"{output_path.name}.features")
    report = ExtractionReport()
    # Answers are in the store, so rows are written again from the first one.
    if output_path != PIPE:
        partial_path(output_path).unlink(missing_ok=True)
    with ExitStack() as stack:
        source = config_path or chat_model
        client = stack.enter_context(
            asking_server(chat_url is not None, chat_url, chat_key_env, extractor, source)
        )
        store = None if features is None else stack.enter_context(FeatureStore(features))
        say_format(input_path, posts)
        rows = describe(
            extractor,
            posts.rows,
            store=store,
            image_root=root,
            max_pictures=load_max_pictures(config_path),
            workers=workers,
            report=report,
        )
        usage = Usage() if client is None else client.usage
        finish = partial(finish_output, format=to_format, model=str(source))
        outcome = write_rows(rows, output_path, finish)
        written, problems = _write(outcome, input_path, usage, read)
    if not written:
        raise MsvseError(Errors.E154.format(path=input_path))
    parts = [f"{report.extracted} views extracted, {report.stored} stored already"]
    if report.left_out:
        parts.append(f"{report.left_out} not asked for")
    if problems:
        parts.append(f"{len(problems)} rows with an error")
    typer.echo(f"{count(written, 'row')} described: {', '.join(parts)}", err=True)
    if len(problems) == written:
        first = problems[0].rstrip(".")
        raise MsvseError(Errors.E156.format(count=written, path=input_path, first=first))


def _write(
    rows: Iterator[Any], path: Path, usage: Usage, read: Callable[[], Posts]
) -> tuple[int, list[str]]:
    """Write rows with a progress bar. Returns their number and the problems of rows."""
    shown = sys.stderr.isatty()
    total = None
    if shown and path.exists():
        total = sum(1 for _ in read().rows)
    written, problems = 0, list[str]()
    with tqdm(rows, desc=path.name, unit=" posts", total=total, disable=not shown) as bar:
        for row in bar:
            written += 1
            if row.problem is not None:
                problems.append(f"line {row.line}, {row.problem}")
                tqdm.write(str(BadRow(row.path, row.line, row.problem)), file=sys.stderr)
            bar.set_postfix_str(
                f"tokens: {usage.tokens_in} in, {usage.tokens_out} out; {len(problems)} failed",
                refresh=False,
            )
    return written, problems


def _make_extractor(
    config_path: Path | None, model: str | None, url: str | None, settings: dict[str, Any]
) -> VisualExtractor:
    if (config_path is None) == (model is None) or (model is not None and url is None):
        raise MsvseError(Errors.E228)
    if config_path is not None:
        for name in settings:
            option = {"picture": "send-pictures"}.get(name, name).replace("_", "-")
            raise MsvseError(Errors.E229.format(option=f"--{option}"))
        with coded_loading_errors(config_path):
            return load_extractor(config_path)
    view = ChatView(model=model, **settings)  # type: ignore[arg-type]
    named: dict[str, Any] = {name: view for name in view.views if name in _VIEWS}
    others = {name: view for name in view.views if name not in _VIEWS}
    return VisualExtractor(**named, views=others or None)


def _read_text(path: Path) -> str:
    check_text_file(path)
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        reason = "it is not in UTF-8"
        raise MsvseError(Errors.E230.format(path=path, option="--prompt", reason=reason)) from error


def _read_examples(path: Path) -> list[dict[str, Any]]:
    found = []
    for row in read_rows(path):
        values = row.values
        is_example = "answer" in values and all(isinstance(one, str) for one in values.values())
        if row.problem or not is_example:
            reason = row.problem or 'it is no object of texts with "answer"'
            reason = f"line {row.line}: {reason}"
            raise MsvseError(Errors.E230.format(path=path, option="--examples", reason=reason))
        found.append(values)
    return found


def _read_request(text: str) -> dict[str, Any]:
    try:
        values = from_json(text)
    except ValueError as error:
        raise MsvseError(Errors.E232.format(given=text, reason=error)) from error
    if not isinstance(values, dict):
        raise MsvseError(Errors.E232.format(given=text, reason="it is no object"))
    return values
