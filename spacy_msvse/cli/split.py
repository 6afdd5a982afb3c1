"""`python -m spacy msvse split`"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..corpus.formats.options import ReadOptions
from ..corpus.formats.outputs import choose_output
from ..corpus.formats.table import open_posts
from ..corpus.jsonl import PICTURE, list_keys
from ..corpus.rows import PIPE, BadRowsError
from ..corpus.split import Part, Split, split
from ..errors import Errors, MsvseError, Warnings
from .lock import locked
from .messages import count, print_bad_rows, print_warning
from .options import (
    Force,
    ImageRoot,
    ImageSuffix,
    InputFormat,
    LabelColumn,
    Labels,
    TokenColumn,
)
from .outputs import check_output
from .reading import parse_labels, say_format
from .root import app

#: The shares of two and of three parts.
SHARES = {2: (0.8, 0.2), 3: (0.8, 0.1, 0.1)}

#: A share may differ from the wanted one by so much without a warning.
TOLERANCE = 0.05

_OUTPUT = {"dir_okay": False}


@app.command("split")
def split_cli(
    ctx: typer.Context,
    input_path: Annotated[
        Path, typer.Argument(help="File or folder of posts, in any format", exists=True)
    ],
    train: Annotated[
        Path | None, typer.Option("--train", help="File of posts for training", **_OUTPUT)
    ] = None,
    dev: Annotated[
        Path | None, typer.Option("--dev", help="File of posts for development", **_OUTPUT)
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", help="File of posts for test", **_OUTPUT)
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option(
            "--shares",
            help="Shares of the posts, in the order of the files; by default 0.8,0.1,0.1, or "
            "0.8,0.2 for two files",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", help="Another number gives another split", min=0, max=2**32 - 1),
    ] = 0,
    format: InputFormat = None,
    labels: Labels = None,
    image_root: ImageRoot = None,
    image_suffix: ImageSuffix = ".jpg",
    token_column: TokenColumn = 1,
    label_column: LabelColumn = None,
    skip_bad_rows: Annotated[
        bool,
        typer.Option("--skip-bad-rows", "-s", help="Leave out malformed posts instead of failing"),
    ] = False,
    force: Force = False,
) -> None:
    """Divide posts among two or three files, so that no text and no picture is in two of them.

    Texts are equal if they differ only in case, blanks and links; pictures, if their files are. So
    scores on the parts do not profit from posts that were seen in training. Rows keep their order
    and their keys. The files are Parquet for the suffix .parquet, otherwise JSONL. By default,
    pictures are read from the folder of the posts; their paths do not change.
    """
    paths = [path for path in (train, dev, test) if path is not None]
    if len(paths) < 2:
        raise MsvseError(Errors.E252)
    wanted = parse_shares(shares, len(paths))
    options = ReadOptions(
        format=format,
        labels=parse_labels(labels),
        image_root=image_root,
        image_suffix=image_suffix,
        token_column=token_column,
        label_column=label_column,
    )
    posts = open_posts(input_path, options)
    for number, path in enumerate(paths):
        check_output(path, input_path)
        if path == PIPE or path.absolute() in [one.absolute() for one in paths[:number]]:
            reason = "each part needs a file of its own"
            raise MsvseError(Errors.E161.format(path=path, reason=reason))
        choose_output(path, "parquet" if path.suffix.lower() == ".parquet" else "jsonl")
        ctx.with_resource(locked(path))
        if path.exists() and not force:
            raise MsvseError(Errors.E041.format(path=path))
    say_format(input_path, posts)
    try:
        done = split(
            lambda: open_posts(input_path, options).rows,
            [Part(path, share) for path, share in zip(paths, wanted, strict=True)],
            source=input_path,
            image_root=image_root or (input_path if input_path.is_dir() else input_path.parent),
            seed=seed,
            skip_bad_rows=skip_bad_rows,
        )
    except BadRowsError as error:
        print_bad_rows(error.bad_rows)
        raise
    print_bad_rows(done.bad_rows)
    print_split(done, input_path)


def parse_shares(given: str | None, parts: int) -> list[float]:
    """Parse the shares of the parts.

    Args:
        given (str): Numbers with commas between them; None for the usual shares.
        parts (int): How many parts there are.

    Returns:
        list: The shares, with a sum of 1.

    Raises:
        MsvseError: If it is not one positive number for each part (MSVSE-E250).
    """
    if given is None:
        return list(SHARES[parts])
    refuse = partial(Errors.E250.format, shares=repr(given))
    try:
        numbers = [float(number) for number in given.split(",")]
    except ValueError as error:
        raise MsvseError(refuse(reason="one of them is no number")) from error
    if len(numbers) != parts:
        raise MsvseError(refuse(reason=f"there are {len(numbers)} shares and {parts} files"))
    if not all(0 < number < float("inf") for number in numbers):
        raise MsvseError(refuse(reason="one of them is not positive"))
    return [number / sum(numbers) for number in numbers]


def print_split(done: Split, source: Path) -> None:
    """Print the parts, and warn of those that have not the wanted share.

    Args:
        done (Split): The split.
        source (Path): Where the posts are from.
    """
    for part in done.parts:
        share = part.posts / done.posts
        typer.echo(f"{part.path}: {count(part.posts, 'post')} ({share:.1%})", err=True)
        if abs(share - part.share) > max(TOLERANCE, 1 / done.posts):
            values = {"path": part.path, "count": part.posts, "total": done.posts}
            values |= {"share": share, "wanted": part.share, "largest": done.largest}
            print_warning(Warnings.W064.format(**values))
    if done.unread:
        keys = list_keys(done.unread)
        print_warning(Warnings.W020.format(path=source, kind=PICTURE, keys=keys))
    if done.bad_rows:
        were = "was" if len(done.bad_rows) == 1 else "were"
        msg.warn(f"{count(len(done.bad_rows), 'row')} cannot be used and {were} left out")
    msg.good(
        f"Divided {count(done.posts, 'post')} ({done.groups} groups without a common text or "
        f"picture) among {len(done.parts)} files"
    )
