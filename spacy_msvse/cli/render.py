"""`python -m spacy msvse render`"""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import spacy
import typer
from tqdm import tqdm
from wasabi import msg

from ..component import reading_pictures
from ..corpus.formats.table import open_posts
from ..corpus.jsonl import list_keys
from ..display.page import write_page
from ..errors import Errors, MsvseError, Warnings
from ..vision.store import FeatureStore
from . import options
from .loading import load_code, load_pipeline
from .messages import count, print_bad_rows, print_warning
from .options import Code, Features, GpuId
from .outputs import check_output
from .root import app

#: In place of a pipeline: show the entities of the file.
NO_MODEL = "-"


@app.command("render")
def render_cli(
    model: Annotated[
        str,
        typer.Argument(help="Name or folder of a trained pipeline; - shows the spans of the file"),
    ],
    input_path: Annotated[
        Path, typer.Argument(help="File of posts, in any format", exists=True, dir_okay=False)
    ],
    output_path: Annotated[Path, typer.Argument(help="The HTML file to write", dir_okay=False)],
    image_root: Annotated[str | None, options.image_root("that of the file of posts")] = None,
    gold: Annotated[
        bool,
        typer.Option("--gold", help="Show the entities of the file beside the predicted ones"),
    ] = False,
    effects: Annotated[
        bool,
        typer.Option(
            "--effects/--no-effects",
            help="Show the effects of the pictures, which takes two more passes over the posts",
        ),
    ] = True,
    gpu_id: GpuId = -1,
    code: Code = None,
    features: Features = None,
) -> None:
    """Show posts with their pictures, their entities and the effects of the pictures as one HTML
    page.

    The page is written post by post. It contains its pictures and loads nothing. The entities of a
    pipeline replace those of the file. For an unreadable picture the page shows the reason. Rows
    that cannot be used are left out. If no row can be used, nothing is written.
    """
    if gold and model == NO_MODEL:
        raise MsvseError(Errors.E265)
    open_posts(input_path)
    check_output(output_path, input_path, code)
    root = image_root or input_path.parent
    nlp = spacy.blank("xx")
    if model == NO_MODEL:
        load_code(code)
    else:
        store = None if features is None else FeatureStore(features)
        nlp = load_pipeline(model, code=code, gpu_id=gpu_id, store=store)
    with reading_pictures(nlp, root):  # the page shows the reason for an unreadable one
        report = write_page(
            nlp,
            input_path,
            output_path,
            image_root=root,
            keep_entities=model == NO_MODEL,
            gold=gold,
            effects=effects,
            progress=partial(
                tqdm, desc=input_path.name, unit=" posts", disable=not sys.stderr.isatty()
            ),
        )
    bad_rows = report.bad_rows
    print_bad_rows(bad_rows)
    if not report.posts and not bad_rows:
        raise MsvseError(Errors.E154.format(path=input_path))
    if not report.posts:
        first = f"line {bad_rows[0].line}, {bad_rows[0].reason}".rstrip(".")
        counted = len(bad_rows)
        raise MsvseError(Errors.E155.format(count=counted, path=input_path, first=first))
    for kind, keys in report.unread_keys.items():
        print_warning(Warnings.W020.format(path=input_path, kind=kind, keys=list_keys(keys)))
    if report.unreadable:
        first = report.unreadable[0].rstrip(".")
        counted = len(report.unreadable)
        print_warning(Warnings.W045.format(path=input_path, count=counted, first=first))
    if bad_rows:
        were = "was" if len(bad_rows) == 1 else "were"
        msg.warn(f"{count(len(bad_rows), 'row')} cannot be used and {were} left out")
    msg.good(f"Wrote {count(report.posts, 'post')} to {output_path}")
