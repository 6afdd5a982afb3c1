"""`python -m spacy msvse render`"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import spacy
import typer
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from tqdm import tqdm
from wasabi import msg

from ..component.sources import ignore_missing_images, set_image_root
from ..corpus.jsonl import read_jsonl
from ..corpus.rows import BadRow
from ..display.render import explain, pair, stream
from ..util import replaced_when_done
from . import app
from .messages import print_bad_rows
from .options import GpuId

if TYPE_CHECKING:
    from ..display.render import ExplainedDoc

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
    effects: Annotated[
        bool,
        typer.Option(
            "--effects/--no-effects",
            help="Show what the picture changed. Every post is read twice more for it",
        ),
    ] = True,
    gpu_id: GpuId = -1,
) -> None:
    """Show posts with their pictures and entities as one HTML page, and what the pictures changed.

    The page is written post by post, holds its pictures and loads nothing. A pipeline's entities
    take the place of the file's. A picture that cannot be read is shown as such.
    """
    image_root = image_root or input_path.parent
    nlp = spacy.blank("xx")
    if model != NO_MODEL:
        setup_gpu(gpu_id, silent=True)
        nlp = spacy.load(model)
        set_image_root(nlp, image_root)
        ignore_missing_images(nlp)
    bad_rows: list[BadRow] = []
    docs = read_docs(nlp, input_path, bad_rows, keep_entities=model == NO_MODEL)
    posts = tqdm(
        explained(nlp, nlp.pipe(docs, batch_size=BATCH_SIZE), effects=effects),
        desc=input_path.name,
        unit=" posts",
        disable=not sys.stderr.isatty(),
    )
    output_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replaced_when_done(output_path) as beside,
        # Half a surrogate pair, which JSON can hold, becomes a character that stands for none.
        beside.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file_,
    ):
        file_.writelines(stream(posts, page=True, image_root=image_root))
    print_bad_rows(bad_rows)
    if bad_rows:
        msg.warn(f"{len(bad_rows)} rows cannot be used and were left out")
    msg.good(f"Wrote {output_path}")


def explained(nlp: Language, docs: Iterable[Doc], *, effects: bool) -> "Iterator[ExplainedDoc]":
    """Put what the pictures did beside posts, holding no more of them than a batch.

    nlp (Language): The pipeline.
    docs (Iterable[Doc]): The posts, as they left it.
    effects (bool): Whether to ask at all.
    YIELDS (tuple): A post and its effects, or None.
    """
    for batch in minibatch(docs, BATCH_SIZE):
        yield from pair(batch, explain(nlp, batch) if effects else None)


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
