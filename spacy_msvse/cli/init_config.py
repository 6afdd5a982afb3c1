"""`python -m spacy msvse init-config`"""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..errors import Errors, MsvseError
from ..util import write_whole
from .loading import load_code, make_blank
from .options import Code, Force, Language
from .outputs import check_output
from .root import app
from .training_config import METHODS, Optimize, make_config


@app.command("init-config")
def init_config_cli(
    output_path: Annotated[
        Path,
        typer.Argument(
            help="The config to write; - for standard output", allow_dash=True, dir_okay=False
        ),
    ],
    optimize: Annotated[Optimize, typer.Option("--optimize", help="What to optimize for")] = "cpu",
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="A packaged encoder, a local folder or a name on the hub; by default one for "
            "--optimize and --lang",
        ),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            "--views",
            "-v",
            help="What to read besides the text, such as regions,tags,caption; 'ocr' is the text "
            "in pictures, 'knowledge' a text about the post that posts give; the single view "
            "'text' reads no picture",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help=f"The network: {', '.join(METHODS)} or a registered architecture; by default "
            "msvse, or text-crf for --views text",
        ),
    ] = None,
    language: Language = "en",
    force: Force = False,
    code: Code = None,
) -> None:
    """Write a training config with a comment on each setting.

    `cpu` has a small encoder with frozen embeddings, and small batches. `speed` has fewer layers
    and views, and large batches. `accuracy` has a larger encoder and a long training at a low
    learning rate; it needs a GPU.
    """
    to_stdout = str(output_path) == "-"
    check_output(output_path, code)
    if not to_stdout and output_path.exists() and not force:
        raise MsvseError(Errors.E041.format(path=output_path))
    load_code(code)
    make_blank(language)
    text = make_config(
        encoder=encoder,
        views=None if views is None else [view.strip() for view in views.split(",")],
        optimize=optimize,
        language=language,
        method=method,
    )
    if to_stdout:
        typer.echo(text, nl=False)
        return
    output_path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output_path, text.encode("utf-8"))
    msg.good(f"Wrote {output_path}")
    msg.text("Check your data and train:")
    path = shlex.quote(str(output_path))
    own = "" if code is None else f" --code {shlex.quote(str(code))}"
    typer.echo("python -m spacy msvse debug-data train.spacy dev.spacy --image-root pictures")
    features = ""
    if "\nfeatures = " in text:  # it names extractors
        features = " --paths.features features"
        for corpus in ("train.spacy", "dev.spacy"):
            typer.echo(
                f"python -m spacy msvse extract {corpus} features --config {path} "
                f"--image-root pictures{own}"
            )
    typer.echo(
        f"python -m spacy train {path} --output training --paths.train train.spacy "
        f"--paths.dev dev.spacy --paths.images pictures{features}{own}"
    )
