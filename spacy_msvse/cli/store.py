"""`python -m spacy msvse store ...`"""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from wasabi import msg

from ..corpus.reader import read_docs
from ..doc import picture_source
from ..errors import Errors, MsvseError
from ..vision.picture import PictureError, picture_key
from ..vision.store import FeatureStore
from ..vision.upkeep import StoreSummary, find_damage, prune, summarize
from . import app
from .extract import load_extractor
from .options import ImageRoot

store_app = typer.Typer(
    name="store",
    help="See what is in a feature store, check it, and drop what nobody needs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(store_app)

StorePath = Annotated[
    Path, typer.Argument(help="Folder of the feature store", exists=True, file_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", "-j", help="Print JSON")]


@store_app.command("info")
def info_cli(store_path: StorePath, as_json: AsJson = False) -> None:
    """Count the pictures that each extractor has looked at, and the space they take."""
    try:
        with FeatureStore(store_path, readonly=True) as store:
            summary = summarize(store)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    if as_json:
        print_json(asdict(summary))
    else:
        print_summary(summary)


@store_app.command("verify")
def verify_cli(store_path: StorePath, as_json: AsJson = False) -> None:
    """Read every record. Those that are damaged are named, and the exit status is then 1.

    `extract` looks at their pictures again, and `store prune` drops them.
    """
    try:
        with FeatureStore(store_path, readonly=True) as store:
            records = len(store)
        damaged = find_damage(store_path)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    if as_json:
        rows = [asdict(record) for record in damaged]
        print_json({"path": str(store_path), "records": records, "damaged": rows})
    else:
        for record in damaged:
            typer.echo(f"Extractor {record.fingerprint}, picture {record.key}: {record.reason}")
        if not damaged:
            msg.good(f"{records} records, all sound")
        else:
            msg.fail(f"{len(damaged)} of {records} records are damaged: run `extract` again")
    if damaged:
        raise typer.Exit(1)


@store_app.command("prune")
def prune_cli(
    store_path: StorePath,
    fingerprints: Annotated[
        list[str] | None,
        typer.Option("--keep", "-k", help="Begin of an extractor's fingerprint; may be repeated"),
    ] = None,
    config_path: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Config whose extractor to keep", exists=True),
    ] = None,
    data_paths: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            "-d",
            help="The .spacy file, or a folder of such, whose pictures to keep; may be repeated",
            exists=True,
        ),
    ] = None,
    image_root: ImageRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only count")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop records and give their space back.

    Damaged records always go. With --keep or --config those of all other extractors go too; with
    --data those of all other pictures. While others use the store its file stays as large as it is.
    """
    try:
        kept = known_fingerprints(store_path, fingerprints or [], config_path)
        keys = None if not data_paths else picture_keys(data_paths, image_root)
        report = prune(
            store_path,
            lambda key, fingerprint: (
                (keys is None or key in keys) and (kept is None or fingerprint in kept)
            ),
            dry_run=dry_run,
        )
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    if as_json:
        print_json(asdict(report))
        return
    done = "would stay" if dry_run else "stayed"
    msg.good(f"{report.kept} records {done}; dropped: {report.dropped}, damaged: {report.damaged}")
    if report.size_after is not None:
        before, after = format_size(report.size_before), format_size(report.size_after)
        msg.text(f"{before} before, {after} now")
    elif not dry_run:
        msg.warn("Others use the store, so the space is left to further records")


def known_fingerprints(
    store_path: Path, prefixes: Iterable[str], config_path: Path | None
) -> set[str] | None:
    """Find the extractors to keep.

    store_path (Path): Folder of the store.
    prefixes (Iterable[str]): Beginnings of fingerprints.
    config_path (Path): Config of a further extractor.
    RETURNS (set): Whole fingerprints; None if nobody named any.
    RAISES (ValueError): If the store knows nothing of one of them (MSVSE-E062): it might be a slip
        that would cost all the others.
    """
    wanted = list(prefixes)
    if config_path is not None:
        extractor = load_extractor(config_path)
        extractor.initialize()
        wanted.append(extractor.fingerprint)
    if not wanted:
        return None
    with FeatureStore(store_path, readonly=True) as store:
        known = {fingerprint for _, fingerprint, _ in store.scan()}
    found = set()
    for prefix in wanted:
        matching = {fingerprint for fingerprint in known if fingerprint.startswith(prefix)}
        if not matching:
            raise MsvseError(Errors.E062.format(path=store_path, fingerprint=prefix))
        found |= matching
    return found


def picture_keys(data_paths: Iterable[Path], image_root: Path | None) -> set[str]:
    """Read the pictures of posts, as far as they can be read, and name them by their content.

    data_paths (Iterable[Path]): The .spacy files, or folders of such.
    image_root (Path): Folder of the pictures.
    RETURNS (set): Keys of pictures, also those by which posts name features in a store.
    RAISES (ValueError): If there are no posts to read (MSVSE-E042), or something else than a
        picture was assigned (MSVSE-E008).
    """
    keys = set()
    for path in data_paths:
        for doc in read_docs(path, spacy.blank("xx"), progress=sys.stderr.isatty()):
            if isinstance(doc._.image_features, str):
                keys.add(doc._.image_features)
            source = picture_source(doc)
            try:
                if source is not None:
                    keys.add(picture_key(source, image_root))
            except PictureError as error:
                typer.echo(str(error), err=True)
    return keys


def print_summary(summary: StoreSummary) -> None:
    """Print what is in a store as a table.

    summary (StoreSummary): The counts.
    """
    msg.divider(summary.path)
    msg.text(
        f"{summary.records} records, {format_size(summary.size)}, "
        f"of which {format_size(summary.free)} wait for further records"
    )
    rows = [
        (
            counts.fingerprint,
            counts.pictures,
            format_size(counts.size),
            ", ".join(counts.scales),
            counts.region_dim or "",
        )
        for counts in summary.extractors
    ]
    header = ("Extractor", "Pictures", "Size", "Fills", "Width")
    aligns = ("l", "r", "r", "l", "r")
    msg.table(rows, header=header, aligns=aligns, divider=True, max_col=64)


def format_size(size: int) -> str:
    """Write a number of bytes as people do.

    size (int): The bytes.
    RETURNS (str): Such as "1.5 MB".
    """
    return f"{size / 1e6:.1f} MB"


def print_json(value: Any) -> None:
    """Print to standard output and nothing else.

    value (Any): What to print.
    """
    typer.echo(srsly.json_dumps(value, indent=2))
