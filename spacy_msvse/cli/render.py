"""`python -m spacy msvse render`"""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import import_code, setup_gpu
from tqdm import tqdm
from wasabi import msg

from ..component import components
from ..display.page import write_page
from .options import Code, GpuId
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
        Path, typer.Argument(help="JSONL file of posts", exists=True, dir_okay=False)
    ],
    output_path: Annotated[Path, typer.Argument(help="The HTML file to write", dir_okay=False)],
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root",
            "-i",
            help="Folder of the pictures; by default that of the file of posts",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    effects: Annotated[
        bool,
        typer.Option(
            "--effects/--no-effects",
            help="Show the effects of the pictures, which takes two more passes over the posts",
        ),
    ] = True,
    gpu_id: GpuId = -1,
    code: Code = None,
) -> None:
    """Show posts with their pictures, their entities and the effects of the pictures as one HTML
    page.

    The page is written post by post. It contains its pictures and loads nothing. The entities of a
    pipeline replace those of the file. For an unreadable picture the page shows the reason.
    """
    import_code(code)
    image_root = image_root or input_path.parent
    nlp = spacy.blank("xx")
    if model != NO_MODEL:
        setup_gpu(gpu_id, silent=True)
        nlp = spacy.load(model)
        for _, component in components(nlp):
            component.image_root = image_root
            component.on_missing_image = "ignore"  # the page shows the reason
    bad_rows = write_page(
        nlp,
        input_path,
        output_path,
        image_root=image_root,
        keep_entities=model == NO_MODEL,
        effects=effects,
        progress=partial(
            tqdm, desc=input_path.name, unit=" posts", disable=not sys.stderr.isatty()
        ),
    )
    for row in bad_rows:
        typer.echo(str(row), err=True)
    if bad_rows:
        msg.warn(f"{len(bad_rows)} rows cannot be used and were left out")
    msg.good(f"Wrote {output_path}")
