"""`python -m spacy msvse store ...`"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

from ..corpus.files import check_corpus
from ..corpus.sources import find_corpus_keys, find_fingerprints
from ..vision.store import FeatureStore
from ..vision.upkeep import StoreSummary, find_damage, prune, summarize
from .loading import coded_loading_errors, load_code
from .messages import count, print_error
from .options import Code, ImageRoot
from .root import app

store_app = typer.Typer(
    name="store",
    help="Describe a feature store, check it, and drop records.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(store_app)

StorePath = Annotated[
    Path, typer.Argument(help="Folder of the feature store", exists=True, file_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]


@store_app.command("info")
def info_cli(store_path: StorePath, as_json: AsJson = False) -> None:
    """Count the records of each extractor, and their space on disk."""
    with FeatureStore(store_path, readonly=True) as store:
        summary = summarize(store)
    if as_json:
        print_json(asdict(summary))
    else:
        print_summary(summary)


@store_app.command("verify")
def verify_cli(store_path: StorePath, as_json: AsJson = False) -> None:
    """Read every record. Damaged ones are listed, and the exit status is then 1.

    `extract` extracts their items again, and `store prune` drops them.
    """
    with FeatureStore(store_path, readonly=True) as store:
        records = len(store)
    damaged = find_damage(store_path)
    if as_json:
        rows = [asdict(record) for record in damaged]
        print_json({"path": str(store_path), "records": records, "damaged": rows})
    else:
        for record in damaged:
            typer.echo(f"Extractor {record.fingerprint}, item {record.key}: {record.reason}")
        if damaged:
            print_error(f"{len(damaged)} of {records} records are damaged: run `extract` again")
        elif not records:
            msg.warn("The store has no records")
        else:
            msg.good(f"{count(records, 'record')}, none damaged")
    if damaged:
        raise typer.Exit(1)


@store_app.command("prune")
def prune_cli(
    store_path: StorePath,
    fingerprints: Annotated[
        list[str] | None,
        typer.Option("--keep", "-k", help="First characters of a fingerprint; may be repeated"),
    ] = None,
    config_path: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Config whose extractors to keep", exists=True, dir_okay=False
        ),
    ] = None,
    data_paths: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            "-d",
            help="The .spacy file, or a folder of such, whose items to keep; may be repeated",
            exists=True,
        ),
    ] = None,
    image_root: ImageRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count")] = False,
    as_json: AsJson = False,
    code: Code = None,
) -> None:
    """Drop records and return their space to the disk.

    Damaged records are always dropped. With --keep or --config, so are those of all other
    extractors; with --data, those of all other pictures and texts. If other processes use the
    store without a pause, its file keeps its size.
    """
    load_code(code)
    for path in data_paths or ():
        check_corpus(path)
    with coded_loading_errors(config_path or store_path):
        kept = find_fingerprints(store_path, fingerprints or [], config_path)
    keys = None
    if data_paths:
        progress = sys.stderr.isatty()
        keys, problems = find_corpus_keys(data_paths, image_root, progress=progress)
        for problem in problems:
            typer.echo(problem, err=True)
    report = prune(
        store_path,
        lambda key, fingerprint: (
            (keys is None or key in keys) and (kept is None or fingerprint in kept)
        ),
        dry_run=dry_run,
    )
    if as_json:
        print_json(asdict(report))
        return
    done = "would be kept" if dry_run else "kept"
    records = f"{count(report.kept, 'record')} {done}"
    msg.good(f"{records}; dropped: {report.dropped}, damaged: {report.damaged}")
    if report.size_after is not None:
        before, after = format_size(report.size_before), format_size(report.size_after)
        msg.text(f"{before} before, {after} now")
    elif not dry_run:
        msg.warn("Other processes use the store, so its file keeps its size")


def print_summary(summary: StoreSummary) -> None:
    """Print the counts of a store as a table.

    Args:
        summary (StoreSummary): The counts.
    """
    msg.divider(summary.path)
    msg.text(
        f"{count(summary.records, 'record')}, {format_size(summary.size)}, "
        f"of which {format_size(summary.free)} are free for further records"
    )
    rows = [
        (
            counts.fingerprint,
            counts.records,
            format_size(counts.size),
            ", ".join(counts.views),
            counts.region_dim or "",
        )
        for counts in summary.extractors
    ]
    header = ("Extractor", "Records", "Size", "Fills", "Width")
    aligns = ("l", "r", "r", "l", "r")
    msg.table(rows, header=header, aligns=aligns, divider=True, max_col=64)


def format_size(size: int) -> str:
    """Write a number of bytes in megabytes.

    Args:
        size (int): The bytes.

    Returns:
        str: Such as "1.5 MB".
    """
    return f"{size / 1e6:.1f} MB"


def print_json(value: Any) -> None:
    """Print to standard output and nothing else.

    Args:
        value (Any): The value.
    """
    typer.echo(srsly.json_dumps(value, indent=2))
