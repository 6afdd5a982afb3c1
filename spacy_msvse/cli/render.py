"""`python -m spacy msvse render`"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm
from wasabi import msg

from ..component.sources import set_image_root
from ..corpus.jsonl import read_jsonl
from ..corpus.rows import BadRow
from ..display.render import stream
from . import app
from .convert import print_bad_rows
from .options import GpuId

#: In place of a pipeline: show what the file says.
NO_MODEL = "-"

#: How many posts are held at once.
BATCH_SIZE = 64


@app.command("render")
def render_cli(
    model: Annotated[
        str,
        typer.Argument(help="Name or folder of a trained pipeline; - shows the file's own spans"),
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
    gpu_id: GpuId = -1,
) -> None:
    """Show posts with their pictures and entities as one HTML page.

    The page is written post by post, holds its pictures and loads nothing. A pipeline's entities
    take the place of the file's.
    """
    image_root = image_root or input_path.parent
    nlp = spacy.blank("xx")
    if model != NO_MODEL:
        setup_gpu(gpu_id, silent=True)
        nlp = spacy.load(model)
        set_image_root(nlp, image_root)
    bad_rows: list[BadRow] = []
    docs = read_docs(nlp, input_path, bad_rows, keep_entities=model == NO_MODEL)
    posts = tqdm(
        nlp.pipe(docs, batch_size=BATCH_SIZE),
        desc=input_path.name,
        unit=" posts",
        disable=not sys.stderr.isatty(),
    )
    output_path.parent.mkdir(parents=True, exist_ok=True)
    beside = output_path.with_name(output_path.name + ".tmp")
    # Half a surrogate pair, which JSON can hold, is written as a character that stands for none.
    with beside.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file_:
        file_.writelines(stream(posts, page=True, image_root=image_root))
    os.replace(beside, output_path)
    print_bad_rows(bad_rows)
    if bad_rows:
        msg.warn(f"{len(bad_rows)} rows cannot be used and were left out")
    msg.good(f"Wrote {output_path}")


def read_docs(
    nlp: Language, path: Path, bad_rows: list[BadRow], *, keep_entities: bool
) -> Iterator[Doc]:
    """Read posts as Docs.

    nlp (Language): Gives the tokenizer and the vocabulary.
    path (Path): The JSONL file.
    bad_rows (list[BadRow]): Rows that cannot be used are added to it.
    keep_entities (bool): Whether the entities of the file are wanted.
    YIELDS (Doc): The Docs.
    """
    for post in read_jsonl(path, bad_rows):
        if not keep_entities:
            post.entities = None
        try:
            yield post.to_doc(nlp)
        except ValueError as error:
            bad_rows.append(BadRow(post.path, post.line, str(error).rstrip(".")))
