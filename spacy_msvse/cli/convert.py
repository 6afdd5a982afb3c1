"""`python -m spacy msvse convert`"""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..corpus.convert import ConversionReport, convert
from ..corpus.jsonl import Offsets, list_keys
from ..corpus.rows import BadRowsError
from ..errors import Errors, MsvseError
from .loading import make_blank
from .lock import locked
from .messages import print_bad_rows
from .options import (
    ImageRoot,
    ImageSuffix,
    InputFormat,
    LabelColumn,
    Labels,
    Language,
    TokenColumn,
)
from .outputs import check_output
from .reading import parse_labels
from .root import app


@app.command("convert")
def convert_cli(
    ctx: typer.Context,
    input_path: Annotated[
        Path,
        typer.Argument(help="File or folder of posts, in any format", exists=True),
    ],
    output_path: Annotated[
        Path,
        typer.Argument(help="The .spacy file to write", dir_okay=False),
    ],
    format: InputFormat = None,
    labels: Labels = None,
    image_root: ImageRoot = None,
    image_suffix: ImageSuffix = ".jpg",
    token_column: TokenColumn = 1,
    label_column: LabelColumn = None,
    offsets: Annotated[
        Offsets,
        typer.Option(
            "--offsets",
            help="What the offsets of spans count; JavaScript counts utf16 units",
        ),
    ] = "characters",
    binary: Annotated[
        bool,
        typer.Option(
            "--binary",
            help="Rows are answers to a single span, as in Prodigy's interface 'ner': the labels "
            "of all other tokens are missing",
        ),
    ] = False,
    captions: Annotated[
        Path | None,
        typer.Option(
            "--captions",
            help="Captions of pictures: lines '<picture> :<caption>', or JSON",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(
            "--tags",
            "-t",
            help="Tags of pictures: JSON, with lists or sentences",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option(
            "--texts",
            help="Further texts about the pictures, as VIEW=FILE, such as knowledge=texts.json: "
            "lines '<picture> :<text>', or JSON; may be repeated",
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
        typer.Option("--label-map", help="Label to rename, as OLD=NEW; may be repeated"),
    ] = None,
    covers: Annotated[
        str | None,
        typer.Option(
            "--covers",
            help="Entity types that the annotation covers, renamed ones, as PER,LOC; where it has "
            "no entity, there may be one of another type",
        ),
    ] = None,
    slice: Annotated[
        str | None,
        typer.Option(
            "--slice", help="Name that all posts get in their meta, to have scores of their own"
        ),
    ] = None,
    commons_only: Annotated[
        bool,
        typer.Option(
            "--commons-only",
            help="For WikiDiverse: keep only pictures of Wikimedia Commons, and list their sources",
        ),
    ] = False,
    language: Language = "en",
    skip_bad_rows: Annotated[
        bool,
        typer.Option("--skip-bad-rows", "-s", help="Leave out malformed posts instead of failing"),
    ] = False,
    allow_no_entities: Annotated[
        bool, typer.Option("--allow-no-entities", help="It is meant that no post has an entity")
    ] = False,
    allow_no_pictures: Annotated[
        bool, typer.Option("--allow-no-pictures", help="It is meant that no picture is found")
    ] = False,
) -> None:
    """Convert posts with pictures into a .spacy file, and write counts beside it.

    The format of the posts is recognised by their content, and named in the counts.

    Malformed posts are listed with file and line. If there are any, nothing is written, unless
    --skip-bad-rows is given; then they are left out whole. Nothing is written either if no post has
    an entity, if no post has a picture, or if a file of captions, tags, texts or boxes fits no
    post. With --image-root, the pictures that exist are counted, and the pictures of WID lines are
    found.
    """
    text_files = parse_texts(texts or [])
    check_output(output_path, input_path, captions, tags, *text_files.values())
    ctx.with_resource(locked(output_path))
    make_blank(language)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            report = convert(
                input_path,
                output_path,
                format=format,
                image_root=image_root,
                labels=parse_labels(labels),
                image_suffix=image_suffix,
                token_column=token_column,
                label_column=label_column,
                offsets=offsets,
                binary=binary,
                captions=captions,
                tags=tags,
                texts=text_files,
                boxes=boxes,
                label_map=parse_label_map(label_map or []),
                slice=slice,
                commons_only=commons_only,
                covers=None if covers is None else [one.strip() for one in covers.split(",")],
                language=language,
                skip_bad_rows=skip_bad_rows,
                allow_no_entities=allow_no_entities,
                allow_no_pictures=allow_no_pictures,
                progress=sys.stderr.isatty(),
            )
    except BadRowsError as error:
        print_bad_rows(error.bad_rows)
        raise
    print_bad_rows(report.bad_rows)
    print_report(report)
    for warning in caught:
        msg.warn(str(warning.message))
    msg.good(f"Wrote {report.posts} posts to {output_path}, and the counts to {output_path}.json")


def parse_label_map(entries: list[str]) -> dict[str, str]:
    """Parse the labels to rename.

    Args:
        entries (list[str]): Entries of the form OLD=NEW.

    Returns:
        dict[str, str]: Old labels to new ones.

    Raises:
        MsvseError: If an entry has another form (MSVSE-E032).
    """
    return dict(_split_pair(entry, Errors.E032) for entry in entries)


def parse_texts(entries: list[str]) -> dict[str, Path]:
    """Parse the files of further texts.

    Args:
        entries (list[str]): Entries of the form VIEW=FILE.

    Returns:
        dict[str, Path]: Names of views to files.

    Raises:
        MsvseError: If an entry has another form, or names a view twice (MSVSE-E207).
    """
    files: dict[str, Path] = {}
    for entry in entries:
        view, path = _split_pair(entry, Errors.E207)
        if view in files:
            raise MsvseError(Errors.E207.format(entry=entry))
        files[view] = Path(path)
    return files


def _split_pair(entry: str, error: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    if not (name and value):
        raise MsvseError(error.format(entry=entry))
    return name, value


def print_report(report: ConversionReport) -> None:
    """Print the counts of a conversion as a table.

    Args:
        report (ConversionReport): The counts.
    """
    found = "not checked"
    if report.pictures_found is not None:
        found = f"{report.pictures_found} of {report.pictures_referenced}"
    others = len(report.bad_rows) - report.posts_malformed
    rejected = sorted(report.posts_rejected.items())
    rows: list[tuple[str, int | str]] = [
        ("Read as", report.read_as),
        ("Posts", report.posts),
        ("Posts left out: malformed", report.posts_malformed),
        *((f"Posts left out: answer '{answer}'", count) for answer, count in rejected),
        *_unless_zero("Malformed rows of other files", others),
        ("Tokens", report.tokens),
        *_unless_zero("Tokens left out: context (X) or empty", report.tokens_left_out),
        ("Labels read as", report.label_scheme or "none"),
        ("Entities", report.entities),
        *((f"  {label}", count) for label, count in sorted(report.entities_per_label.items())),
        ("Entities without a beginning, such as I- after O", report.stray_starts),
        *_unless_zero("Entities left out: not accepted", report.entities_rejected),
        ("Posts without entity", report.posts_without_entity),
        *_unless_zero("  of them without annotation", report.posts_unannotated),
        *_unless_zero("Posts with missing labels", report.posts_partly_annotated),
        *(
            (f"Posts whose annotation covers {types or 'no type'}", count)
            for types, count in sorted(report.types_covered.items())
        ),
        ("Posts with a picture", report.posts_with_pictures),
        *_unless_zero("  of them with several", report.posts_with_several_pictures),
        ("Pictures found", found),
        *_unless_zero("Pictures left out: not of Wikimedia Commons", report.pictures_not_free),
        ("Posts with boxes", report.boxes_used),
        *_unless_zero("Boxes left out", report.boxes_left_out),
        ("Posts with a caption", report.captions_used),
        ("Posts with tags", report.tags_used),
        *((f"Posts with {view}", count) for view, count in sorted(report.texts_used.items())),
    ]
    if report.other_keys:
        rows.append(("Keys that are not read", list_keys(report.other_keys)))
    msg.divider(report.source)
    msg.table(rows, aligns=("l", "r"))


def _unless_zero(title: str, count: int) -> list[tuple[str, int | str]]:
    return [(title, count)] if count else []
