"""Fill the textual views of rows: rows in, the same rows out, with captions, tags and texts."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import spacy

from ..component.reader import MAX_PICTURES, post_source
from ..errors import Errors, MsvseError, Warnings
from ..vision.extraction import Extraction, ExtractionReport, PostSource, extract_posts
from ..vision.extractor import VisualExtractor
from ..vision.features import RegionFeatures
from ..vision.store import FeatureStore
from .jsonl import RejectedRow, parse_row
from .rows import Row

#: Views with a key of their own in a row. All others are in "texts".
OWN_KEYS = ("tags", "caption")

#: Keys that say nothing about what the extractors read.
UNREAD = ("spans", "meta")


def check_text_views(extractor: VisualExtractor, source: object) -> frozenset[str]:
    """Name the views of extractors that a row can hold.

    Args:
        extractor (VisualExtractor): The extractors.
        source (object): Where they are named, for the message.

    Returns:
        frozenset: Names of views.

    Raises:
        MsvseError: If there are none (MSVSE-E227).
    """
    views = frozenset(extractor.extractors) - {"regions"}
    if not views:
        raise MsvseError(Errors.E227.format(source=source))
    return views


def describe(
    extractor: VisualExtractor,
    rows: Iterable[Row],
    *,
    store: FeatureStore | None = None,
    image_root: str | Path | None = None,
    max_pictures: int = MAX_PICTURES,
    workers: int = 0,
    report: ExtractionReport | None = None,
) -> Iterator[Row]:
    """Fill the views of rows, in their order.

    A view that a row has already stays. A row that cannot be used, or a view of it that cannot be
    filled, has the reason under "error". A row that a person has rejected is not changed.

    Args:
        extractor (VisualExtractor): The extractors, with their weights.
        rows (Iterable[Row]): The rows.
        store (FeatureStore): The store of what was extracted; None for no store.
        image_root (Path): The only folder from which pictures are read; None allows any path.
        max_pictures (int): How many pictures of a post are read, the first ones.
        workers (int): Threads that read and decode pictures; 0 for none.
        report (ExtractionReport): Counts are added to it.

    Yields:
        Row: The rows with "caption", "tags" and "texts", and with their problem if there is one.

    Raises:
        Exception: The error of an extractor that fails on every item of its first batch.
        MsvseError: As `extract_posts` does; or if no view fits into a row (MSVSE-E227).
    """
    views = check_text_views(extractor, "the extractors")
    nlp = spacy.blank("xx")
    with_more = 0
    pending: deque[tuple[Row, str | None]] = deque()

    def read() -> Iterator[PostSource]:
        nonlocal with_more
        for row in rows:
            source, problem = PostSource(views=frozenset()), None
            try:
                values = {key: value for key, value in row.values.items() if key not in UNREAD}
                with nlp.memory_zone():
                    doc = parse_row(replace(row, values=values)).to_doc(nlp)
                    source = post_source(doc, views, max_pictures)
                    with_more += len(doc._.images) > max_pictures
            except RejectedRow:
                pass
            except ValueError as error:
                problem = str(error)
            pending.append((row, problem))
            yield source

    extracted = extract_posts(
        extractor, read(), store=store, image_root=image_root, workers=workers, report=report
    )
    for extraction in extracted:
        row, problem = pending.popleft()
        yield _fill(row, extraction, problem)
    if with_more:
        warnings.warn(Warnings.W062.format(count=with_more, limit=max_pictures), stacklevel=2)


def _fill(row: Row, extraction: Extraction, problem: str | None) -> Row:
    values = {key: value for key, value in row.values.items() if key != "error"}
    for view, content in extraction.features.items():
        if isinstance(content, RegionFeatures) or not content:
            continue
        if view in OWN_KEYS:
            values[view] = content
        else:
            values["texts"] = {**(values.get("texts") or {}), view: content}
    # Several views may have failed for the same reason.
    found = dict.fromkeys(one.reason for one in extraction.problems)
    reasons = [problem] if problem else [*found]
    problem = "; ".join(reason.rstrip(".") for reason in reasons) or None
    if problem is not None:
        values["error"] = problem
    return replace(row, values=values, problem=problem)
