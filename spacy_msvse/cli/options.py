"""Options that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..corpus.formats.outputs import OutputFormat
from ..corpus.formats.table import Format
from ..errors import Errors, MsvseError
from ..vision.remote import check_remote_folder, is_remote


def check_image_root(value: str | None) -> str | None:
    """Check the folder of the pictures.

    Args:
        value (str): The folder, or the URL of a remote one; None without the option.

    Returns:
        str: The same.

    Raises:
        BadParameter: If there is no such folder.
        MsvseError: If a remote folder cannot be used (MSVSE-E195, MSVSE-E196).
    """
    if value is not None and is_remote(value):
        check_remote_folder(value)
    elif value is not None and not Path(value).is_dir():
        problem = "is a file" if Path(value).exists() else "does not exist"
        raise typer.BadParameter(f"Directory '{value}' {problem}.")
    return value


def image_root(default: str = "") -> Any:
    """The option of the folder of the pictures.

    Args:
        default (str): For the help: the folder that is used without the option.

    Returns:
        typer.models.OptionInfo: The option.
    """
    help_ = "Folder of the pictures, or a URL such as s3://bucket/pictures"
    after = f"; by default {default}" if default else "; nothing outside it is read"
    return typer.Option(
        "--image-root", "-i", help=help_ + after, metavar="FOLDER", callback=check_image_root
    )


def refuse_options(ctx: typer.Context, names: Iterable[str], where: str) -> None:
    """Refuse options that have no effect.

    Args:
        ctx (typer.Context): The arguments of the command.
        names (Iterable): The names of the parameters.
        where (str): For the message: when they have no effect, such as "with --ray".

    Raises:
        MsvseError: If one of them was given (MSVSE-E288).
    """
    for name in names:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise MsvseError(Errors.E288.format(option=option, where=where))


ImageRoot = Annotated[str | None, image_root()]
Features = Annotated[
    Path | None, typer.Option("--features", help="Feature store to read and fill", file_okay=False)
]
InputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="Format of the posts: how the file holds them, or whose shape they have; by default "
        "both are recognised",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="Names of labels that are numbers, such as O,B-PER,I-PER, or a JSON file with them",
    ),
]
ImageSuffix = Annotated[
    str,
    typer.Option(
        "--image-suffix",
        help="Ending that turns the id of a picture into its file name (conll)",
    ),
]
TokenColumn = Annotated[
    int,
    typer.Option("--token-column", help="Column of the token, from 1 (conll)", min=1, max=10_000),
]
LabelColumn = Annotated[
    int | None,
    typer.Option(
        "--label-column",
        help="Column of the label, from 1; by default the last (conll)",
        min=1,
        max=10_000,
    ),
]
ToFormat = Annotated[
    OutputFormat | None,
    typer.Option(
        "--output-format",
        help="Format of the output; by default it follows from the suffix: .parquet, .json for "
        "predictions of Label Studio, any other for JSONL",
    ),
]
GpuId = Annotated[
    int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU", min=-1, max=1023)
]
Code = Annotated[
    Path | None,
    typer.Option(
        "--code",
        help="Python file with registered functions of your own; it is imported first",
        exists=True,
        dir_okay=False,
    ),
]
Ask = Annotated[
    bool,
    typer.Option(
        "--ask", help="Ask a server for the views that a language model writes; see --chat-url"
    ),
]
AskBelow = Annotated[
    float | None,
    typer.Option(
        "--ask-below",
        help="As --ask, but only for posts whose confidence is lower than this without the answer; "
        "`ask-curve` finds a good value",
        min=0,
        max=1,
    ),
]
ChatUrl = Annotated[
    str | None,
    typer.Option(
        "--chat-url",
        help="Base URL of a server with the OpenAI chat interface, such as "
        "http://127.0.0.1:8000/v1. Texts of the posts, and pictures if the extractor sends them, "
        "go to it",
    ),
]
ChatKeyEnv = Annotated[
    str | None,
    typer.Option(
        "--chat-key-env", help="Name of the environment variable with the key of the server"
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        min=0,
        max=1,
        help="Leave out entities with a lower confidence; by default the pipeline's own limit",
    ),
]
Language = Annotated[str, typer.Option("--lang", "-l", help="Language of the posts")]
Force = Annotated[bool, typer.Option("--force", "-F", help="Overwrite the output")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
OnRay = Annotated[
    bool, typer.Option("--ray", help="Work with Ray, on this machine or on RAY_ADDRESS")
]
Actors = Annotated[int, typer.Option("--actors", help="Actors of Ray", min=1, max=100000)]
NumGpus = Annotated[
    float, typer.Option("--num-gpus", help="GPUs for each actor of Ray", min=0, max=64)
]
