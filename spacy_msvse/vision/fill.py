"""Filling a store: worker threads read and decode while the model looks."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .features import PictureFeatures
from .picture import Fetcher, PictureError, picture_name
from .run import (
    Content,
    PictureModel,
    Source,
    decode_content,
    extract_each,
    in_batches,
    in_order,
    read_content,
)
from .store import FeatureStore

#: What is seen in a picture, or why nothing is.
Look = PictureFeatures | PictureError

#: Threads that read and decode, unless told otherwise: more do not help one model.
WORKERS = min(8, os.cpu_count() or 1)


@dataclass
class ExtractionReport:
    """What `fill_store` has done.

    pictures (int): Pictures in the stream.
    stored (int): Pictures that the store held already, also from earlier in the stream.
    extracted (int): Pictures that were looked at and stored.
    failed (list): Name and reason of each picture that could not be read or looked at.
    """

    pictures: int = 0
    stored: int = 0
    extracted: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def fill_store(
    sources: Iterable[Source],
    extractor: PictureModel,
    store: FeatureStore,
    image_root: str | Path | None = None,
    fetch: Fetcher | None = None,
    batch_size: int | None = None,
    workers: int = WORKERS,
    progress: Callable[[int], object] | None = None,
) -> ExtractionReport:
    """Look at every picture of a stream that the store does not hold yet.

    Batches are made of what is missing, in the order of the stream, and each is stored in one
    transaction, while the model looks at the next. Killed and run again, it goes on after the last
    whole batch that was stored, and makes the same batches as if nothing had happened. At most
    twice `batch_size` prepared pictures, and as many encoded ones, are held at once.

    sources (Iterable): Paths or encoded bytes; None, where there is no picture, is passed over.
    extractor (PictureModel): A `VisualExtractor` with its weights.
    store (FeatureStore): A store to write to.
    image_root (Path): The only folder to read from; None allows any path.
    fetch (Fetcher): What fetches http and https URLs, in several threads; None refuses them.
    batch_size (int): Pictures that are looked at and stored together; None for as many as the
        extractor takes at once.
    workers (int): Threads that read, decode and prepare pictures.
    progress (Callable): Called with the number of pictures that were just done.
    RETURNS (ExtractionReport): Counts, and the pictures that could not be read or looked at.
    RAISES (ValueError): If the store cannot be written (MSVSE-E065) or is damaged (MSVSE-E060).
    """
    filling = _Filling(extractor, store, image_root, fetch, progress)
    size = extractor.batch_size if batch_size is None else batch_size
    with ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(1) as writer:
        present = (source for source in sources if source is not None)
        contents = in_order(pool, filling.read, present, size)
        decoded = in_order(pool, filling.decode, filling.missing(contents), size)
        batches = in_batches(filling.readable(decoded), size)
        looked_at = map(filling.look_at, batches)
        for batch in in_order(writer, filling.keep, looked_at, 1):
            filling.count(batch)
    return filling.report


class _Filling:
    """The steps of `fill_store`. Threads run `read`, `decode` and `keep`: they change no counts."""

    def __init__(
        self,
        extractor: PictureModel,
        store: FeatureStore,
        image_root: str | Path | None,
        fetch: Fetcher | None,
        progress: Callable[[int], object] | None,
    ) -> None:
        self.extractor = extractor
        self.fingerprint = extractor.fingerprint
        self.store = store
        self.image_root = image_root
        self.fetch = fetch
        self.progress = progress
        self.report = ExtractionReport()
        # The names of equal pictures that wait for one of them to be stored, by key.
        self.waiting: dict[str, list[str]] = {}

    def read(self, source: str | bytes) -> Content | tuple[str, PictureError]:
        try:
            return read_content(source, self.image_root, self.fetch)
        except PictureError as error:
            return picture_name(source), error

    def missing(self, contents: Iterable[Content | tuple[str, PictureError]]) -> Iterator[Content]:
        """The pictures to be decoded: read, not stored, and not underway."""
        for content in contents:
            if isinstance(content, tuple):
                self._fail([content[0]], content[1])
            elif content.key in self.waiting:
                self.waiting[content.key].append(content.name)
            elif self.store.holds(content.key, self.fingerprint):
                self.report.stored += 1
                self._done(1)
            else:
                self.waiting[content.key] = [content.name]
                yield content

    def decode(self, content: Content) -> tuple[str, Any]:
        try:
            return content.key, decode_content(content, self.extractor)
        except PictureError as error:
            return content.key, error

    def readable(self, decoded: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Keys and prepared pictures, without those that cannot be decoded."""
        for key, prepared in decoded:
            if isinstance(prepared, PictureError):
                self._fail(self.waiting.pop(key), prepared)
            else:
                yield key, prepared

    def look_at(self, batch: list[tuple[str, Any]]) -> dict[str, Look]:
        """What is seen in a batch, by key, or why nothing is."""
        names = [self.waiting[key][0] for key, _ in batch]
        prepared = [one for _, one in batch]
        proven = self.store.knows(self.fingerprint)
        looks = extract_each(self.extractor, names, prepared, proven)
        return {key: look for (key, _), look in zip(batch, looks, strict=True)}

    def keep(self, looks: dict[str, Look]) -> dict[str, Look]:
        """Store what is seen in a batch."""
        self.store.put_many(
            (key, self.fingerprint, look)
            for key, look in looks.items()
            if not isinstance(look, PictureError)
        )
        return looks

    def count(self, looks: dict[str, Look]) -> None:
        """Count a batch that is stored. From now on the store tells that its pictures are done."""
        for key, look in looks.items():
            equal = self.waiting.pop(key)
            if isinstance(look, PictureError):
                self._fail(equal, look)
            else:
                self.report.extracted += 1
                self.report.stored += len(equal) - 1
                self._done(len(equal))

    def _fail(self, names: list[str], error: PictureError) -> None:
        self.report.failed += [(name, str(error)) for name in names]
        self._done(len(names))

    def _done(self, pictures: int) -> None:
        self.report.pictures += pictures
        if self.progress is not None:
            self.progress(pictures)
