"""One pass from posts to features: with or without threads, with or without a store."""

import hashlib
import os
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import srsly

from ..errors import Errors, MsvseError, Warnings
from .extractor import VisualExtractor, get_batch_size, get_concurrency, prepare_item
from .features import (
    Extractor,
    Features,
    PostContent,
    RegionFeatures,
    UnansweredError,
    View,
    check_result,
    copy_views,
    digest_features,
    find_unusable,
    get_reads,
    merge_features,
    round_vectors,
    uses_views,
)
from .picture import (
    Fetcher,
    PictureError,
    picture_key,
    picture_name,
    read_picture,
)
from .picture_reader import PictureReader, decode_for
from .remote import RemotePicture, is_remote
from .store import FeatureStore

#: Number of threads for a large run. More threads do not make one model faster.
WORKERS = min(8, os.cpu_count() or 1)

#: A batch that is not full is extracted after this number of posts, times the batch size. This
#: limits the posts in memory when most items are stored already.
POSTS_PER_ITEM = 16

#: Number of characters of a text that messages show as its name.
_SHOWN = 40

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class PostSource:
    """A post whose features are to be extracted.

    Attributes:
        text (str): Its text.
        pictures (tuple): Paths or encoded bytes of its pictures, in order. Pictures of equal
            content are read once, with the number of the first of them.
        views (frozenset): The views that are wanted; None for all that an extractor fills.
        given (Mapping): Views that the user gave. They are not extracted, and extractors that read
            posts get them.
    """

    text: str = ""
    pictures: tuple[str | bytes, ...] = ()
    views: frozenset[str] | None = None
    given: Mapping[str, View] = field(default_factory=dict)


class Problem(NamedTuple):
    """Why a view of a post could not be filled from a picture.

    Attributes:
        picture (int): The number of the picture within the post, from 0; None if the reason is no
            picture.
        view (str): The view; None for all views.
        reason (str): The reason.
    """

    picture: int | None
    view: str | None
    reason: str


@dataclass
class Extraction:
    """The features of one post.

    Attributes:
        features (dict): View name to content. A view is missing if nothing filled it.
        problems (list): What could not be extracted, and why. Where only some pictures of a post
            can be read, a view has problems and is in `features` as well.
        texts (dict): Number of a picture to the textual views that were extracted from it; empty
            for a post with one picture.
    """

    features: Features = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    texts: dict[int, Features] = field(default_factory=dict)


@dataclass
class ExtractionReport:
    """The counts of `fill_store`.

    Attributes:
        posts (int): Posts of the stream.
        items (int): Pictures, texts and whole posts that an extractor was asked for.
        stored (int): Items that were stored already, or that an earlier post of the stream has.
        extracted (int): Items that were extracted and stored.
        failed (list): Name and reason of each that could not be read or extracted.
        left_out (int): Items that are not stored, of an extractor that is not ready.
    """

    posts: int = 0
    items: int = 0
    stored: int = 0
    extracted: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0


def extract_posts(
    extractor: VisualExtractor,
    posts: Iterable[PostSource],
    *,
    image_root: str | Path | None = None,
    store: FeatureStore | None = None,
    fetch: Fetcher | None = None,
    workers: int = 0,
    batch_size: int | None = None,
    progress: Callable[[int], object] | None = None,
    report: ExtractionReport | None = None,
) -> Iterator[Extraction]:
    """Extract the features of posts, every item once.

    Items that the store has are neither decoded nor extracted. New features are added to the store,
    unless it is read-only. Without a store to write to, they are kept in memory until the end of
    the call. Batches consist of the missing items, in the order of the stream. Each batch is stored
    in one transaction. With threads, the next batch is computed at the same time. Memory is
    bounded: at most about twice `batch_size` prepared items are in memory.

    Args:
        extractor (VisualExtractor): The extractors, with their weights.
        posts (Iterable): The posts. The stream is read in the calling thread, a little ahead.
        image_root (Path): The only folder to read from; None allows any path.
        store (FeatureStore): The store of the features; None for no store.
        fetch (Fetcher): Fetches http and https URLs, with `workers` in several threads; None
            refuses URLs.
        workers (int): Threads that read, decode and prepare items; 0 for none.
        batch_size (int): Items that are extracted and stored together; None for as many as each
            extractor takes at once.
        progress (Callable): Called with the number of posts that were just done.
        report (ExtractionReport): Counts are added to it.

    Yields:
        Extraction: Features and problems of each post, in order. A bad picture, or an item that an
            extractor fails on, is a problem of its post and does not end the run.

    Raises:
        Exception: The error of an extractor that fails on every item of its first batch, unless the
            store shows that it has worked before.
        MsvseError: If an extractor has no weights yet (MSVSE-E012), or if the store cannot be
            written (MSVSE-E065) or is damaged (MSVSE-E060).
    """
    run = _Run(extractor, image_root, store, fetch, batch_size)
    run.report = report or run.report
    for post in run.process(posts, workers):
        yield run.finish(post)
        if progress is not None:
            progress(1)


def fill_store(
    extractor: VisualExtractor,
    posts: Iterable[PostSource],
    store: FeatureStore,
    *,
    image_root: str | Path | None = None,
    fetch: Fetcher | None = None,
    workers: int = WORKERS,
    batch_size: int | None = None,
    progress: Callable[[int], object] | None = None,
    picture_reader: PictureReader | None = None,
) -> ExtractionReport:
    """Extract the features of posts into a store.

    A run that was killed can be started again. It continues after the last stored batch, and makes
    the same batches as an uninterrupted run.

    Args:
        extractor (VisualExtractor): The extractors, with their weights.
        posts (Iterable): The posts.
        store (FeatureStore): A store to write to.
        image_root (Path): The only folder to read from; None allows any path.
        fetch (Fetcher): Fetches http and https URLs in several threads; None refuses URLs.
        workers (int): Threads that read, decode and prepare items; 0 for none.
        batch_size (int): Items that are extracted and stored together; None for as many as each
            extractor takes at once.
        progress (Callable): Called with the number of posts that were just done.
        picture_reader (PictureReader): Decodes and extracts pictures in the place of `extractor`;
            None for this process.

    Returns:
        ExtractionReport: Counts, and the items that could not be read or extracted.

    Raises:
        Exception: The error of an extractor that fails on every item of its first batch, unless the
            store shows that it has worked before.
        MsvseError: If an extractor has no weights yet (MSVSE-E012), or if the store is read-only,
            cannot be written (MSVSE-E065) or is damaged (MSVSE-E060).
    """
    run = _Run(extractor, image_root, store, fetch, batch_size, picture_reader, dropped=True)
    for _ in run.process(posts, workers):
        if progress is not None:
            progress(1)
    return run.report


def reading_threads(image_root: str | Path | None, pictures: Iterable[str | bytes] = ()) -> int:
    """The number of threads that pictures are worth reading with.

    Args:
        image_root (str / Path): The only folder to read from, or the URL of a remote one.
        pictures (Iterable): The pictures.

    Returns:
        int: `WORKERS` if a picture may be remote, because an answer takes long; else 0.
    """
    remote = is_remote(image_root) or any(isinstance(one, RemotePicture) for one in pictures)
    return WORKERS if remote else 0


def find_keys(
    posts: Iterable[PostSource], image_root: str | Path | None = None
) -> tuple[set[str], list[str]]:
    """Find the keys under which a store keeps the features of posts.

    Args:
        posts (Iterable): The posts.
        image_root (Path): The only folder to read from; None allows any path.

    Returns:
        tuple: The keys of their pictures, of their texts and of the posts themselves, with any
            number of their pictures; and a message for each picture that cannot be read.
    """
    keys: set[str] = set()
    problems: list[str] = []

    def read(post: PostSource) -> tuple[PostSource, list[str], list[str]]:
        pictures, reasons = [], []
        for source in post.pictures:
            try:
                pictures.append(picture_key(source, image_root))
            except PictureError as error:
                reasons.append(str(error))
        return post, list(dict.fromkeys(pictures)), reasons

    workers = reading_threads(image_root)
    pool = ThreadPoolExecutor(workers) if workers else None
    for post, pictures, reasons in in_order(pool, read, posts, 4 * workers):
        problems += reasons
        # An extractor of posts uses the given views or not, and only so many pictures.
        posts_keys = (
            post_key(post.text, pictures[:count], given)
            for given in (post.given, {})
            for count in range(len(pictures) + 1)
        )
        keys.update(pictures, [text_key(post.text)], posts_keys)
    return keys, problems


def text_key(text: str) -> str:
    """Compute the key of a text in a store.

    Args:
        text (str): The text.

    Returns:
        str: SHA-256 in hex.
    """
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def post_key(text: str, pictures: Sequence[str], given: Mapping[str, View]) -> str:
    """Compute the key of everything that an extractor reads of a post.

    Args:
        text (str): The text.
        pictures (Sequence[str]): Keys of the pictures that can be read.
        given (Mapping): Views that the user gave.

    Returns:
        str: SHA-256 in hex.
    """
    return text_key(srsly.json_dumps([text_key(text), list(pictures), digest_features(given)]))


@dataclass(eq=False)
class _Content:
    """A picture of a post: its number, and its encoded content or why it cannot be read."""

    number: int
    name: str
    key: str = ""
    data: bytes = b""
    problem: MsvseError | None = None


@dataclass(eq=False)
class _Item:
    """One item of an extractor. Posts with equal items share it while it is extracted."""

    key: str
    name: str
    load: Callable[[], Any]
    known: Features = field(default_factory=dict)
    prepared: Any = None
    features: Features | None = None
    problem: MsvseError | None = None
    is_new: bool = False
    is_left_out: bool = False
    #: The number of pictures in memory once it is loaded, but at least 1.
    weight: int = 1

    @cached_property
    def unusable(self) -> dict[str, str]:
        """Views with numbers that are not finite, and a message for each. Asked once it is done."""
        return {
            view: Errors.E061.format(name=self.name, reason=reason)
            for view, reason in find_unusable(self.features or {}).items()
        }

    @property
    def usable(self) -> Features:
        """The features without unusable views."""
        return {n: view for n, view in (self.features or {}).items() if n not in self.unusable}


@dataclass(eq=False)
class _Post:
    """A post in progress: its pictures, and the items of its current stage."""

    source: PostSource
    wanted: frozenset[str]
    contents: list[_Content]
    items: list[_Item] = field(default_factory=list)
    found: Features = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    texts: dict[int, Features] = field(default_factory=dict)

    @property
    def unread(self) -> list[tuple[int, str]]:
        """Number and reason of each picture that cannot be used."""
        return [(one.number, str(one.problem)) for one in self.contents if one.problem]

    def add_problems(self, views: Iterable[str], reason: str, picture: int | None = None) -> None:
        """Add a reason for some views."""
        self.problems += [Problem(picture, view, reason) for view in sorted(views)]


_Token = _Item | _Post


class _Run:
    """Settings and counts of one pass, and its chain of stages."""

    def __init__(
        self,
        extractor: VisualExtractor,
        image_root: str | Path | None,
        store: FeatureStore | None,
        fetch: Fetcher | None,
        batch_size: int | None,
        picture_reader: PictureReader | None = None,
        dropped: bool = False,
    ) -> None:
        self.extractor = extractor
        self.picture_reader = picture_reader
        self.image_root = image_root
        self.store = store
        self.fetch = fetch
        self.batch_size = batch_size
        self.report = ExtractionReport()
        self.pool: Executor | None = None
        self.writer: Executor | None = None
        if dropped and store is not None and store.readonly:
            raise MsvseError(Errors.E065.format(path=store.path, reason="it is read-only"))

        def views(kind: str) -> frozenset[str]:
            return frozenset(v for v, e in extractor.extractors.items() if get_reads(e) == kind)

        self.picture_views, self.post_views = views("picture"), views("post")
        self.all_views = frozenset(extractor.extractors)
        # Whether a later stage or the caller needs the features of the pictures.
        self.reads_found = bool(self.post_views) or not dropped
        self.stages: list[_Stage] = []
        if self.picture_views:
            self.stages.append(_PictureStage(self))
        for view, reader in extractor.other_readers.items():
            kind = _TextStage if get_reads(reader) == "text" else _PostStage
            self.stages.append(kind(self, view, reader, not dropped))

    def process(self, posts: Iterable[PostSource], workers: int) -> Iterator[_Post]:
        """Pass posts through all stages, in order."""
        with ExitStack() as stack:
            if workers:
                self.pool = stack.enter_context(ThreadPoolExecutor(workers))
                self.writer = stack.enter_context(ThreadPoolExecutor(1))
            ahead = self.batch_size or self.extractor.batch_size
            stream = in_order(self.pool, self.read, posts, ahead, _weigh_source)
            for stage in self.stages:
                stream = stage.process(stream)
            for post in stream:
                self.report.posts += 1
                yield post

    def read(self, source: PostSource) -> _Post:
        """Read the pictures of a post, if an extractor needs them."""
        wanted = self.all_views if source.views is None else self.all_views & source.views
        wanted -= source.given.keys()
        needed = wanted & (self.picture_views | self.post_views)
        contents: dict[str | int, _Content] = {}
        for number, picture in enumerate(source.pictures) if needed else ():
            content = self.read_picture(number, picture)
            # A picture that the post has twice is read once.
            contents.setdefault(content.key or number, content)
        return _Post(source, wanted, [*contents.values()])

    def read_picture(self, number: int, source: str | bytes) -> _Content:
        # Read once, so that the key belongs to what is decoded even if the file changes.
        content = _Content(number, picture_name(source))
        try:
            content.data = read_picture(source, self.image_root, fetch=self.fetch)
            content.key = picture_key(content.data)
        except PictureError as error:
            content.problem = error
        return content

    def decode(self, content: _Content) -> Any:
        return decode_for(self.extractor, content.data, content.name)

    def finish(self, post: _Post) -> Extraction:
        """Reduce a post to the views that are wanted."""
        texts = post.texts if len(post.texts) > 1 else {}
        return Extraction(copy_views(post.found, sorted(post.wanted)), post.problems, texts)


class _Stage(ABC):
    """Extractors that share their items and records. Other threads run only `load` and `keep`.

    Args:
        run (_Run): The pass.
        views (frozenset): The views that the extractors fill.
        size (int): Items of a batch.
        reads_found (bool): Whether features of stored items are needed, and not only their
            presence.
        concurrency (int): Threads that extract a batch each; 0 to extract batches one by one.
        ready (bool): Whether items that are not stored may be extracted.
    """

    def __init__(
        self,
        run: _Run,
        views: Iterable[str],
        size: int,
        reads_found: bool,
        concurrency: int = 0,
        ready: bool = True,
    ) -> None:
        self.run = run
        self.views = frozenset(views)
        self.concurrency = concurrency
        self.ready = ready
        self.size = size
        self.reads_found = reads_found
        self.fingerprint = "" if run.store is None else self.make_fingerprint()
        self.works = run.store is not None and run.store.knows(self.fingerprint)
        self.waiting: dict[str, _Item] = {}
        self.remembered: dict[str, Features] = {}

    @abstractmethod
    def make_fingerprint(self) -> str:
        """The name of the extractors in the store."""

    @abstractmethod
    def items(self, post: _Post) -> list[_Item]:
        """The items of a post: empty if it wants none of the views."""

    @abstractmethod
    def extract(
        self, prepared: list[Any], known: list[Features]
    ) -> Sequence[Features | PictureError]:
        """Compute features of a batch of prepared items, or find why an item has none."""

    @abstractmethod
    def finish(self, post: _Post) -> None:
        """Give a post the features of its items."""

    def process(self, posts: Iterable[_Post]) -> Iterator[_Post]:
        """Pass posts through this stage, in order."""
        tokens = self.find(posts)
        ahead = max(1, self.concurrency) * self.size
        loaded = in_order(self.run.pool, self.load, tokens, ahead, _weigh)
        batches = self.in_batches(loaded)
        for batch in self.finished(batches):
            for token in batch:
                if isinstance(token, _Post):
                    self.finish(token)
                    yield token
                else:
                    self.settle(token)

    def finished(self, batches: Iterable[list[_Token]]) -> Iterator[list[_Token]]:
        """Extract and store batches, in order."""
        if self.concurrency:
            return self.extract_at_once(batches)
        return self.extract_one_by_one(batches)

    def extract_one_by_one(self, batches: Iterable[list[_Token]]) -> Iterator[list[_Token]]:
        """Extract batches one by one."""
        extracted = map(self.extract_batch, batches)
        # One batch is stored while the next is computed; posts without items may wait beside it.
        yield from in_order(self.run.writer, self.keep, extracted, 1.5, _weigh_batch)

    def extract_at_once(self, batches: Iterable[list[_Token]]) -> Iterator[list[_Token]]:
        """Extract batches in several threads. At most `concurrency` batches are started and not yet
        stored."""

        def weigh(batch: list[_Token]) -> float:
            is_item = any(isinstance(token, _Item) for token in batch)
            return 1 if is_item else 0.5 / (POSTS_PER_ITEM * self.concurrency)

        pool = ThreadPoolExecutor(self.concurrency)
        ahead = self.concurrency - 0.5
        try:
            yield from map(self.keep, in_order(pool, self.extract_batch, batches, ahead, weigh))
        except BaseException:  # such as a keyboard interrupt: answers may take long
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()

    def find(self, posts: Iterable[_Post]) -> Iterator[_Token]:
        """Yield each item that is not yet known, and after its items each post."""
        for post in posts:
            for item in self.items(post):
                equal = self.waiting.get(item.key)
                if equal is None:
                    item.features = self.look_up(item.key)
                    if item.features is None and not self.ready:
                        item.features, item.is_left_out = {}, True
                        message = Warnings.W060.format(views=", ".join(sorted(self.views)))
                        warnings.warn(message, stacklevel=2)
                    elif item.features is None:
                        self.waiting[item.key] = item
                        yield item
                post.items.append(equal or item)
            yield post

    def look_up(self, key: str) -> Features | None:
        store = self.run.store
        if key in self.remembered or store is None:
            return self.remembered.get(key)
        if self.reads_found:
            return store.get(key, self.fingerprint)
        return {} if store.holds(key, self.fingerprint) else None

    def load(self, token: _Token) -> _Token:
        """Decode and prepare an item."""
        if isinstance(token, _Item):
            try:
                token.prepared = token.load()
            except PictureError as error:
                token.problem = error
        return token

    def in_batches(self, tokens: Iterable[_Token]) -> Iterator[list[_Token]]:
        """Cut the stream after each full batch, or where no item waits."""
        batch: list[_Token] = []
        items = posts = 0
        for token in tokens:
            batch.append(token)
            if isinstance(token, _Post):
                posts += 1
            elif token.problem is None:
                items += token.weight
            # Posts count from the first item, so that a resumed run makes the same batches.
            if not items or items >= self.size or posts >= self.size * POSTS_PER_ITEM:
                yield batch
                batch, items, posts = [], 0, 0
        if batch:
            yield batch

    def extract_batch(self, batch: list[_Token]) -> list[_Token]:
        items = [token for token in batch if isinstance(token, _Item) and token.problem is None]
        if items:
            self.extract_each(items)
            for item in items:
                item.prepared = None
        return batch

    def extract_each(self, items: Sequence[_Item]) -> None:
        """Extract a batch; where that fails, one item after the other."""
        try:
            self.extract_together(items)
        except Exception as error:  # a user's extractor may raise anything
            for item in items:
                try:
                    # A single item has failed already, and may cost money.
                    if len(items) == 1:
                        raise error
                    self.extract_together([item])
                except UnansweredError as cause:
                    unanswered = UnansweredError(cause.reason, item.name)
                    item.problem = PictureError(str(unanswered), cause.reason)
                except Exception as cause:
                    reason = str(cause) or type(cause).__name__
                    message = Errors.E061.format(name=item.name, reason=reason)
                    item.problem = PictureError(message, reason)
            # All items of the first batch failed, so the extractor is the likely cause.
            is_cause = not self.works and not isinstance(error, UnansweredError)
            if is_cause and all(item.problem for item in items):
                raise error
        self.works = True

    def extract_together(self, items: Sequence[_Item]) -> None:
        prepared, known = [item.prepared for item in items], [item.known for item in items]
        for item, found in zip(items, self.extract(prepared, known), strict=True):
            if isinstance(found, PictureError):
                item.problem = found
            else:
                item.features = found

    def keep(self, batch: list[_Token]) -> list[_Token]:
        """Store the features of a batch."""
        items = [token for token in batch if isinstance(token, _Item) and token.problem is None]
        if items and self.run.store is not None and not self.run.store.readonly:
            # Like an item that fails, one with an unusable view is extracted again the next time.
            sound = (item for item in items if not item.unusable)
            rows = ((item.key, self.fingerprint, item.features or {}) for item in sound)
            self.run.store.put_many(rows)
        return batch

    def settle(self, item: _Item) -> None:
        """Release an item that is done. Its features are now in the store or in memory."""
        del self.waiting[item.key]
        item.is_new = item.problem is None
        store = self.run.store
        if item.is_new and (store is None or store.readonly or item.unusable):
            self.remembered[item.key] = item.features or {}

    def count(self, name: str, item: _Item | None, problem: MsvseError | None) -> None:
        """Count an item of a post: one that could not be read or extracted has a problem."""
        report = self.run.report
        report.items += 1
        if item is None or problem is not None:
            report.failed.append((name, str(problem)))
        elif item.unusable:
            report.failed.append((name, next(iter(item.unusable.values()))))
        elif item.is_left_out:
            report.left_out += 1
        elif item.is_new:
            report.extracted += 1
            item.is_new = False
        else:
            report.stored += 1


class _PictureStage(_Stage):
    """All extractors that read pictures. They share one record for each picture."""

    def __init__(self, run: _Run) -> None:
        size, reader = run.batch_size or run.extractor.batch_size, run.picture_reader
        lanes = 0 if reader is None else reader.lanes
        super().__init__(run, run.picture_views, size, run.reads_found, lanes)

    def make_fingerprint(self) -> str:
        return self.run.extractor.fingerprint

    def items(self, post: _Post) -> list[_Item]:
        return [self.make_item(content) for content in post.contents if content.problem is None]

    def make_item(self, content: _Content) -> _Item:
        def load() -> Any:
            if self.run.picture_reader is not None:
                return content.data, content.name
            return self.run.extractor.prepare(self.run.decode(content))

        return _Item(content.key, f"picture '{content.name}'", load)

    def extract(
        self, prepared: list[Any], known: list[Features]
    ) -> Sequence[Features | PictureError]:
        if self.run.picture_reader is not None:
            return self.run.picture_reader.read(prepared)
        return self.run.extractor.extract_prepared(prepared)

    def finish(self, post: _Post) -> None:
        items = iter(post.items)
        found: dict[int, Features] = {}
        wanted = post.wanted & self.views
        for content in post.contents:
            item = None if content.problem else next(items)
            if item is not None:
                content.problem = item.problem
                if item.problem is None:
                    found[content.number] = item.usable
                    for view in sorted(wanted & item.unusable.keys()):
                        post.add_problems([view], item.unusable[view], content.number)
            if content.problem is not None:
                post.add_problems(wanted, str(content.problem), content.number)
            self.count(content.name, item, content.problem)
            if not self.run.post_views:
                content.data = b""
        post.items = []
        post.found = merge_features(found)
        post.texts = {
            number: {v: one for v, one in features.items() if not isinstance(one, RegionFeatures)}
            for number, features in found.items()
        }


class _ReaderStage(_Stage):
    """One extractor that reads texts or posts, with records of its own."""

    def __init__(self, run: _Run, view: str, reader: Extractor, reads_found: bool) -> None:
        self.view, self.reader = view, reader
        views, concurrency = run.extractor.views_of(reader), get_concurrency(reader)
        # What is asked at once is asked item by item.
        size = 1 if concurrency else run.batch_size or get_batch_size(reader)
        ready = getattr(reader, "ready", True)
        super().__init__(run, views, size, reads_found, concurrency, ready)

    def make_fingerprint(self) -> str:
        return self.run.extractor.reader_fingerprint(self.view)

    def extract(self, prepared: list[Any], known: list[Features]) -> list[Features]:
        found = check_result(self.reader, self.reader.extract(prepared, known), len(prepared))
        return [round_vectors(copy_views(features, sorted(self.views))) for features in found]

    def items(self, post: _Post) -> list[_Item]:
        item = self.make_item(post) if post.wanted & self.views else None
        return [] if item is None else [item]

    @abstractmethod
    def make_item(self, post: _Post) -> _Item | None:
        """The item of a post; None if there is nothing to read."""

    def finish(self, post: _Post) -> None:
        for item in post.items:
            self.count(item.name, item, item.problem)
            if item.problem is None:
                post.found.update(copy_views(item.usable, sorted(post.wanted & self.views)))
                for view in sorted(post.wanted & self.views & item.unusable.keys()):
                    post.add_problems([view], item.unusable[view])
            else:
                post.add_problems(post.wanted & self.views, str(item.problem))
        post.items = []


class _TextStage(_ReaderStage):
    """An extractor that reads texts."""

    def make_item(self, post: _Post) -> _Item | None:
        text = post.source.text
        if not text:
            return None
        return _Item(text_key(text), _name_text(text), lambda: prepare_item(self.reader, text))


class _PostStage(_ReaderStage):
    """An extractor that reads the text and all pictures of a post that can be read."""

    def make_item(self, post: _Post) -> _Item | None:
        source = post.source
        contents = [content for content in post.contents if content.problem is None]
        if not source.text and not contents:
            return None

        def load() -> Any:
            pictures = []
            for content in contents:
                try:
                    pictures.append(self.run.decode(content))
                except PictureError as error:
                    content.problem = error
            return prepare_item(self.reader, PostContent(source.text, tuple(pictures)))

        given = source.given if uses_views(self.reader) else {}
        key = post_key(source.text, [content.key for content in contents], given)
        known = {**copy_views(post.found, self.run.picture_views), **source.given}
        weight = max(1, len(contents))
        return _Item(key, _name_text(source.text), load, known, weight=weight)

    def finish(self, post: _Post) -> None:
        super().finish(post)
        for content in () if self.run.picture_views else post.contents:
            if content.problem is not None:
                self.count(content.name, None, content.problem)
        failed = {problem.view for problem in post.problems}
        for number, reason in post.unread:
            post.add_problems((post.wanted & self.views) - failed, reason, number)


def in_order(
    pool: Executor | None,
    function: Callable[[Given], Made],
    items: Iterable[Given],
    ahead: float,
    weigh: Callable[[Given], float] = lambda item: 1,
) -> Iterator[Made]:
    """Apply a function to a stream in a pool of workers, a bounded number of items ahead.

    Args:
        pool (Executor): The workers; None to run in the calling thread, item by item.
        function (Callable): The function.
        items (Iterable): A stream of any length, read in the calling thread.
        ahead (float): Maximum weight of the items that are started and not yet yielded.
        weigh (Callable): The weight of an item.

    Yields:
        Any: The result of each item, in the order of the items.
    """
    if pool is None:
        yield from map(function, items)
        return
    pending: deque[tuple[float, Future[Made]]] = deque()
    total = 0.0
    for item in items:
        weight = weigh(item)
        pending.append((weight, pool.submit(function, item)))
        total += weight
        while total > ahead:
            done, future = pending.popleft()
            total -= done
            yield future.result()
    while pending:
        yield pending.popleft()[1].result()


def _weigh_source(source: PostSource) -> float:
    return max(1, len(source.pictures))


def _weigh(token: _Token) -> float:
    return 1 / POSTS_PER_ITEM if isinstance(token, _Post) else token.weight


def _weigh_batch(batch: list[_Token]) -> float:
    return 1 if any(isinstance(token, _Item) for token in batch) else 1 / POSTS_PER_ITEM


def _name_text(text: str) -> str:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"text {shown!r}"
