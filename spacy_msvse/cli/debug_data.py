"""`python -m spacy msvse debug-data`"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from pydantic import TypeAdapter
from wasabi import msg

from ..corpus.audit import Audit, SplitAudit, audit
from ..corpus.files import check_corpus
from ..corpus.verdicts import FAIL, GOOD, WARN, Verdict, judge
from .loading import make_blank
from .options import AsJson, ImageRoot, Language
from .root import app

SPLITS = ("train", "dev", "test")


@app.command("debug-data")
def debug_data_cli(
    train_path: Annotated[
        Path,
        typer.Argument(help="The .spacy file of training posts, or a folder of such", exists=True),
    ],
    dev_path: Annotated[
        Path | None, typer.Argument(help="The same for dev posts", exists=True)
    ] = None,
    test_path: Annotated[
        Path | None, typer.Argument(help="The same for test posts", exists=True)
    ] = None,
    image_root: ImageRoot = None,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Check a corpus before training: entities, pictures, views, duplicates, leakage.

    Every picture is decoded. The exit status is 1 if an error would stop training. The views and
    extractors are those of the default config. A post has a view if it gives it, or if its picture
    can be read. With --json, all pictures with a problem are listed.
    """
    paths = [path for path in (train_path, dev_path, test_path) if path is not None]
    for path in paths:
        check_corpus(path)
    found = audit(
        dict(zip(SPLITS, paths, strict=False)),
        make_blank(language),
        image_root=image_root,
        progress=sys.stderr.isatty(),
    )
    verdicts = judge(found)
    if as_json:
        typer.echo(srsly.json_dumps(to_json(found, verdicts), indent=2))
    else:
        print_counts(found)
        print_verdicts(verdicts)
    if any(verdict.level == FAIL for verdict in verdicts):
        sys.exit(1)


def to_json(found: Audit, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Make counts and verdicts JSON-safe.

    Args:
        found (Audit): The counts.
        verdicts (Iterable[Verdict]): The verdicts.

    Returns:
        dict: Both.
    """
    # Before Python 3.12, dataclasses.asdict makes a Counter of the items of a Counter.
    audited = TypeAdapter(Audit).dump_python(found, mode="json")
    return {**audited, "verdicts": [asdict(verdict) for verdict in verdicts]}


def print_counts(found: Audit) -> None:
    """Print the counts of all splits as a table.

    Args:
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
            row("Posts with pictures", [split.posts_with_pictures for split in splits]),
            row("  with several", [split.posts_with_several_pictures for split in splits]),
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
    """Print verdicts, topic by topic, and the number of each level.

    Args:
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
    for level, text in ((GOOD, "passed"), (WARN, "to check"), (FAIL, "that would stop training")):
        if levels[level]:
            show[level](f"{levels[level]} {text}")
