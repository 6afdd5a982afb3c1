"""`python -m spacy msvse convert`"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..corpus.convert import ConversionReport, Format, convert
from ..corpus.rows import BadRowsError
from ..errors import Errors, MsvseError
from .messages import print_bad_rows
from .options import ImageRoot, Language
from .root import app


@app.command("convert")
def convert_cli(
    input_path: Annotated[
        Path,
        typer.Argument(help="File of posts", exists=True, dir_okay=False),
    ],
    output_path: Annotated[
        Path,
        typer.Argument(help="The .spacy file to write", dir_okay=False),
    ],
    format: Annotated[
        Format,
        typer.Option("--format", "-f", help="Format of the posts"),
    ],
    image_root: ImageRoot = None,
    image_suffix: Annotated[
        str,
        typer.Option(
            "--image-suffix",
            help="Ending that turns the id of a picture into its file name (conll)",
        ),
    ] = ".jpg",
    label_column: Annotated[
        int | None,
        typer.Option(
            "--label-column",
            "-n",
            help="Column of the label, from 1; by default the last (conll)",
            min=2,
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            "--captions",
            "-c",
            help="Captions of pictures: lines '<picture> :<caption>', or JSON by picture",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(
            "--tags",
            "-t",
            help="Tags of pictures: JSON by picture, lists or sentences",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            "--boxes",
            "-b",
            help="Folder of boxes drawn in the pictures: XML of Pascal VOC, <id>.xml",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    label_map: Annotated[
        list[str] | None,
        typer.Option("--label-map", "-m", help="Label to rename, as OLD=NEW; may be repeated"),
    ] = None,
    language: Language = "en",
    skip_bad_rows: Annotated[
        bool,
        typer.Option("--skip-bad-rows", "-s", help="Leave out malformed rows instead of failing"),
    ] = False,
) -> None:
    """Convert posts with pictures into a .spacy file, and write counts beside it.

    Malformed rows are listed with file and line. If there are any, nothing is written, unless
    --skip-bad-rows is given. With --image-root, the pictures that exist are counted, and the
    pictures of WID lines are found.
    """
    try:
        report = convert(
            input_path,
            output_path,
            format=format,
            image_root=image_root,
            image_suffix=image_suffix,
            label_column=label_column,
            captions=captions,
            tags=tags,
            boxes=boxes,
            label_map=parse_label_map(label_map or []),
            language=language,
            skip_bad_rows=skip_bad_rows,
            progress=sys.stderr.isatty(),
        )
    except BadRowsError as error:
        print_bad_rows(error.bad_rows)
        msg.fail(str(error), exits=1)
    except (ValueError, ImportError) as error:  # spaCy's, for an unknown language
        msg.fail(str(error), exits=1)
    print_bad_rows(report.bad_rows)
    print_report(report)
    msg.good(f"Wrote {output_path} and its counts to {output_path}.json")


def parse_label_map(entries: list[str]) -> dict[str, str]:
    """Parse the labels to rename.

    Args:
        entries (list[str]): Entries of the form OLD=NEW.

    Returns:
        dict[str, str]: Old labels to new ones.

    Raises:
        MsvseError: If an entry has another form (MSVSE-E032).
    """
    label_map = {}
    for entry in entries:
        old, _, new = entry.partition("=")
        if not (old and new):
            raise MsvseError(Errors.E032.format(entry=entry))
        label_map[old] = new
    return label_map


def print_report(report: ConversionReport) -> None:
    """Print the counts of a conversion as a table.

    Args:
        report (ConversionReport): The counts.
    """
    found = "not checked" if report.pictures_found is None else report.pictures_found
    rows: list[tuple[str, int | str]] = [
        ("Posts", report.posts),
        ("Tokens", report.tokens),
        ("Entities", report.entities),
        *((f"  {label}", count) for label, count in sorted(report.entities_per_label.items())),
        ("Entities that begin with I- instead of B-", report.stray_starts),
        ("Posts without entity", report.posts_without_entity),
        ("Posts with a picture", report.pictures_referenced),
        ("Pictures found", found),
        ("Further pictures left out", report.pictures_left_out),
        ("Posts with boxes", report.boxes_used),
        ("Posts with a caption", report.captions_used),
        ("Posts with tags", report.tags_used),
        ("Rows left out", len(report.bad_rows)),
    ]
    msg.divider(report.source)
    msg.table(rows, aligns=("l", "r"))
