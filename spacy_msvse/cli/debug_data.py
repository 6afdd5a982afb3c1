"""`python -m spacy msvse debug-data`"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from pydantic import TypeAdapter
from wasabi import msg

from ..component.factory import DEFAULT_CONFIG
from ..corpus.audit import Audit, SplitAudit, audit
from ..corpus.verdicts import FAIL, GOOD, WARN, Verdict, judge
from . import app
from .init_config import VIEWS

SPLITS = ("train", "dev", "test")

Format = Enum("Format", {name: name for name in ("text", "json")}, type=str)  # type: ignore[misc]


@app.command("debug-data")
def debug_data_cli(
    train_path: Annotated[
        Path, typer.Argument(help="The .spacy file to train on, or a folder of such", exists=True)
    ],
    dev_path: Annotated[
        Path | None, typer.Argument(help="Likewise, to score training on", exists=True)
    ] = None,
    test_path: Annotated[
        Path | None, typer.Argument(help="Likewise, to evaluate on", exists=True)
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option(
            "--image-root", "-i", help="Folder of the pictures", exists=True, file_okay=False
        ),
    ] = None,
    language: Annotated[
        str,
        typer.Option("--lang", "-l", help="Language whose tokenizer training will use"),
    ] = "en",
    format: Annotated[
        Format,
        typer.Option("--format", "-f", help="Print for reading, or as JSON with all pictures"),
    ] = Format.text,  # type: ignore[attr-defined]
) -> None:
    """Look through a corpus before training on it: entities, pictures, views, duplicates, leakage.

    Every picture is decoded. The exit status is 1 if there is something that training would end
    with. Views and extractors are those of the default config; a view that a post does not bring
    counts as carried if its picture can be read.
    """
    paths = [path for path in (train_path, dev_path, test_path) if path is not None]
    views, extracted = default_views()
    try:
        found = audit(
            dict(zip(SPLITS, paths, strict=False)),
            spacy.blank(language),
            image_root=image_root,
            views=views,
            extracted=extracted,
            progress=sys.stderr.isatty(),
        )
    except (ValueError, ImportError) as error:  # spaCy's for a language that it does not know
        msg.fail(str(error), exits=1)
    verdicts = judge(found, min_view_share=DEFAULT_CONFIG["min_view_share"])
    failed = any(verdict.level == FAIL for verdict in verdicts)
    if format.value == "json":
        typer.echo(srsly.json_dumps(to_json(found, verdicts), indent=2))
    else:
        print_counts(found)
        print_verdicts(verdicts)
    if failed:
        sys.exit(1)


def default_views() -> tuple[list[str], list[str]]:
    """Find out what a pipeline of the default config reads.

    RETURNS (tuple): The views, and those of them that extractors fill.
    """
    vision = DEFAULT_CONFIG["vision"]
    return list(VIEWS), [view for view in VIEWS if vision.get(view) is not None]


def to_json(found: Audit, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Bring counts and verdicts into types that JSON can hold.

    found (Audit): The counts.
    verdicts (Iterable[Verdict]): The verdicts.
    RETURNS (dict): Both.
    """
    # Not dataclasses.asdict, which before Python 3.12 counts the items of a Counter.
    audited = TypeAdapter(Audit).dump_python(found, mode="json")
    return {**audited, "verdicts": [asdict(verdict) for verdict in verdicts]}


def print_counts(found: Audit) -> None:
    """Print the counts of all splits as a table.

    found (Audit): The counts.
    """
    splits = list(found.splits.values())

    def row(title: str, counts: Iterable[int | str]) -> tuple[str, ...]:
        return title, *map(str, counts)

    def rows_of(title: str, counters: list[Counter[str]]) -> list[tuple[str, ...]]:
        names = sorted(set().union(*counters))
        return [row(f"{title}{name}", [counter[name] for counter in counters]) for name in names]

    def share(split: SplitAudit, view: str) -> str:
        return f"{split.views[view]} ({split.view_share(view):.1%})"

    msg.divider("Counts")
    msg.table(
        [
            row("Posts", [split.posts for split in splits]),
            row("Tokens", [split.tokens for split in splits]),
            row("Entities", [split.entities for split in splits]),
            *rows_of("  ", [split.labels for split in splits]),
            row("Pictures", [split.pictures for split in splits]),
            row("  readable", [split.readable for split in splits]),
            row("  missing", [len(split.missing) for split in splits]),
            row("  broken", [len(split.broken) for split in splits]),
            row("  must not be read", [len(split.refused) for split in splits]),
            row("Tags given", [split.tags for split in splits]),
            row("Captions given", [split.captions for split in splits]),
            *rows_of("Texts given: ", [split.texts for split in splits]),
            *(
                row(f"View {view}", [share(split, view) for split in splits])
                for view in found.views
            ),
        ],
        header=("", *found.splits),
        aligns=("l", *("r" for _ in splits)),
        divider=True,
    )


def print_verdicts(verdicts: Iterable[Verdict]) -> None:
    """Print verdicts, topic by topic, and how many there are of each kind.

    verdicts (Iterable[Verdict]): The verdicts.
    """
    show: dict[str, Callable[[str], Any]] = {GOOD: msg.good, WARN: msg.warn, FAIL: msg.fail}
    levels: Counter[str] = Counter()
    for topic, group in groupby(verdicts, key=lambda verdict: verdict.topic):
        msg.divider(topic)
        for verdict in group:
            levels[verdict.level] += 1
            show[verdict.level](verdict.message)
            for example in verdict.examples:
                typer.echo(f"    {example}")
    msg.divider("Summary")
    for level, text in (
        (GOOD, "passed"),
        (WARN, "to look at"),
        (FAIL, "that training would end with"),
    ):
        if levels[level]:
            show[level](f"{levels[level]} {text}")
