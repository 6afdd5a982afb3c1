"""Passes over the sources of pictures, which look at as few pictures as possible."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL.Image import Image

from ..errors import Errors
from .features import PictureFeatures
from .picture import (
    Fetcher,
    PictureError,
    decode_picture,
    picture_key,
    picture_name,
    read_picture,
)
from .store import FeatureStore

#: A path, encoded bytes, or None where there is no picture.
Source = str | bytes | None

Given = TypeVar("Given")
Made = TypeVar("Made")


class PictureModel(Protocol):
    """What a pass needs of a `VisualExtractor`."""

    shrink_to: int | None

    @property
    def batch_size(self) -> int:
        """Pictures that the models take at once."""
        ...

    @property
    def fingerprint(self) -> str:
        """A name for the models and their settings."""
        ...

    def prepare(self, picture: Image) -> Any:
        """Make of a picture what the models want of it."""
        ...

    def extract_prepared(self, prepared: Sequence[Any]) -> list[PictureFeatures]:
        """Look at a batch of what `prepare` made."""
        ...


@dataclass
class Outcome:
    """What became of one source.

    features (PictureFeatures): What is seen in it; None if there is none to read.
    problem (str): Why it could not be read.
    """

    features: PictureFeatures | None = None
    problem: str | None = None


@dataclass
class Content:
    """The encoded content of one picture.

    name (str): How messages call the picture.
    key (str): Its key, see `picture_key`.
    data (bytes): The content, not yet known to be a picture.
    """

    name: str
    key: str
    data: bytes


def read_content(
    source: str | bytes, image_root: str | Path | None, fetch: Fetcher | None = None
) -> Content:
    """Read a picture once, so that its key belongs to what is decoded even if the file changes.

    source (str): A path, or the encoded bytes.
    image_root (Path): The only folder to read from; None allows any path.
    fetch (Fetcher): What fetches http and https URLs; None refuses them.
    RETURNS (Content): The content.
    RAISES (PictureError): If it cannot or must not be read.
    """
    data = read_picture(source, image_root, fetch=fetch)
    return Content(picture_name(source), picture_key(data), data)


def decode_content(content: Content, extractor: PictureModel) -> Any:
    """Decode a picture and make of it what an extractor wants.

    content (Content): The content.
    extractor (PictureModel): What will look at the picture.
    RETURNS (Any): What `prepare` made.
    RAISES (PictureError): If the content cannot be decoded (MSVSE-E020).
    """
    return extractor.prepare(
        decode_picture(content.data, content.name, shrink_to=extractor.shrink_to)
    )


def extract_each(
    extractor: PictureModel, names: Sequence[str], prepared: Sequence[Any], proven: bool
) -> list[PictureFeatures | PictureError]:
    """Look at a batch; where that fails, at one picture after the other.

    extractor (PictureModel): What looks at the pictures.
    names (Sequence[str]): How messages call them.
    prepared (Sequence): What `prepare` made of them.
    proven (bool): Whether the extractor is known to work on other pictures.
    RETURNS (list): For each picture the features, or why the extractor failed on it (MSVSE-E061).
    RAISES (Exception): What the extractor raises, if it is not proven and fails on every picture:
        the cause is then hardly in the pictures.
    """
    try:
        return list(extractor.extract_prepared(prepared))
    except Exception as error:  # extractors may be anybody's
        found: list[PictureFeatures | PictureError] = []
        for name, one in zip(names, prepared, strict=True):
            try:
                found += extractor.extract_prepared([one])
            except Exception as cause:
                reason = str(cause) or type(cause).__name__
                found.append(PictureError(Errors.E061.format(name=name, reason=reason), reason))
        if not proven and all(isinstance(one, PictureError) for one in found):
            raise error
        return found


class ExtractionRun:
    """A pass that remembers what it has seen: in the store, or else until it ends.

    extractor (PictureModel): What looks at the pictures.
    image_root (Path): The only folder to read from; None allows any path.
    store (FeatureStore): Where features are looked up and, unless it is read-only, kept.
    fetch (Fetcher): What fetches http and https URLs; None refuses them.
    """

    def __init__(
        self,
        extractor: PictureModel,
        image_root: str | Path | None,
        store: FeatureStore | None,
        fetch: Fetcher | None = None,
    ) -> None:
        self.extractor = extractor
        self.image_root = image_root
        self.store = store
        self.fetch = fetch
        self.fingerprint = "" if store is None else extractor.fingerprint
        self.remembered: dict[str, PictureFeatures] = {}

    def process(self, sources: Sequence[Source]) -> list[Outcome]:
        """Find the features of a batch.

        sources (Sequence): All pictures among them may be decoded at the same time.
        RETURNS (list): An outcome for each source.
        """
        outcomes = [Outcome() for _ in sources]
        pending: dict[str, list[Outcome]] = {}
        names: list[str] = []
        prepared: list[Any] = []
        for source, outcome in zip(sources, outcomes, strict=True):
            if source is None:
                continue
            try:
                content = read_content(source, self.image_root, self.fetch)
                outcome.features = self._look_up(content.key)
                if outcome.features is not None:
                    continue
                if content.key not in pending:
                    prepared.append(decode_content(content, self.extractor))
                    names.append(content.name)
                pending.setdefault(content.key, []).append(outcome)
            except PictureError as error:
                outcome.problem = str(error)
        if pending:
            proven = self.store is not None and self.store.knows(self.fingerprint)
            found = extract_each(self.extractor, names, prepared, proven)
            self._keep(dict(zip(pending, found, strict=True)))
            for features, waiting in zip(found, pending.values(), strict=True):
                for outcome in waiting:
                    if isinstance(features, PictureError):
                        outcome.problem = str(features)
                    else:
                        outcome.features = replace(features)
        return outcomes

    def _look_up(self, key: str) -> PictureFeatures | None:
        features = self.remembered.get(key)
        if features is not None:
            return replace(features)  # who gets it may set other tags
        return None if self.store is None else self.store.get(key, self.fingerprint)

    def _keep(self, found: dict[str, PictureFeatures | PictureError]) -> None:
        seen = {key: one for key, one in found.items() if isinstance(one, PictureFeatures)}
        if self.store is None or self.store.readonly:
            self.remembered.update(seen)
        else:
            self.store.put_many((key, self.fingerprint, seen[key]) for key in seen)


def in_batches(items: Iterable[Given], size: int) -> Iterator[list[Given]]:
    """Cut a stream into lists.

    items (Iterable): A stream of any length.
    size (int): Items of each list; the last may be shorter.
    YIELDS (list): The next items.
    """
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch


def in_order(
    pool: Executor, function: Callable[[Given], Made], items: Iterable[Given], ahead: int
) -> Iterator[Made]:
    """Apply a function to a stream in a pool of workers, and not far ahead of who reads on.

    pool (Executor): The workers.
    function (Callable): What they do.
    items (Iterable): A stream of any length, read in the calling thread.
    ahead (int): The most items that are being worked on or done and not yet asked for.
    YIELDS (Any): What the function made of each item, in the order of the items.
    """
    pending: deque[Future[Made]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
