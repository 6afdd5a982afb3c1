"""The extractors of a pipeline: one for each view."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from PIL.Image import Image
from pydantic import Field

from ..errors import Errors, MsvseError
from ..settings import Name, checked, wrong_setting
from ..util import join_files, select_files
from .features import (
    READS,
    AnyExtractor,
    Extractor,
    Features,
    check_result,
    get_levels,
    get_reads,
    make_fingerprint,
    round_vectors,
    uses_views,
)
from .picture import MAX_PIXELS

#: Items of a batch unless an extractor has a `batch_size`.
BATCH_SIZE = 16


class VisualExtractor:
    """The extractors of a pipeline: one for each view, or none.

    Extractors that are equal count as one and run once for each item. Those that read pictures run
    in the order of the arguments. Each gets the views that those before it filled, so that a
    caption can be built from the tags.

    Args:
        regions (Extractor): Fills the regions, their boxes, labels and scores.
        tags (Extractor): Fills the tags.
        caption (Extractor): Fills the caption.
        ocr (Extractor): Fills the text in the pictures.
        knowledge (Extractor): Fills a text about the post.
        shrink_to (int): Side of a square. A large picture is shrunk to about its number of pixels
            when it is decoded. None for full size.
        views (dict): Extractors of further views, by the name of the view.
        max_pixels (int): Width times height that a picture may have. A JPEG that is shrunk when it
            is decoded counts by its decoded size, unless it is progressive. Decoding takes
            10 to 20 bytes for each pixel.

    Raises:
        MsvseError: If an extractor does not fill the view that it is named for (MSVSE-E010), or
            has an unknown value of `reads` (MSVSE-E007).
    """

    @checked("components.*.vision")
    def __init__(
        self,
        regions: AnyExtractor | None = None,
        tags: AnyExtractor | None = None,
        caption: AnyExtractor | None = None,
        ocr: AnyExtractor | None = None,
        knowledge: AnyExtractor | None = None,
        shrink_to: Annotated[int, Field(ge=16, le=16384)] | None = 1024,
        views: dict[Name, AnyExtractor] | None = None,
        max_pixels: Annotated[int, Field(ge=1, le=2**30)] = MAX_PIXELS,
    ) -> None:
        self.extractors: dict[str, Extractor] = {}
        self.max_pixels = max_pixels
        self.shrink_to = shrink_to
        named = {"regions": regions, "tags": tags, "caption": caption, "ocr": ocr}
        named["knowledge"] = knowledge
        for view in named.keys() & (views or {}):
            expected = f"without '{view}', which has a section of its own"
            raise wrong_setting("views", [*(views or {})], expected, "components.*.vision")
        named.update(views or {})
        for view, extractor in named.items():
            if extractor is None:
                continue
            _check(view, extractor)
            equals = [other for other in self.extractors.values() if other == extractor]
            self.extractors[view] = equals[0] if equals else extractor

    @property
    def distinct(self) -> dict[str, Extractor]:
        """Each extractor once, by the first view it fills, in the order in which they run."""
        first: dict[int, str] = {}
        for view, extractor in self.extractors.items():
            first.setdefault(id(extractor), view)
        return {view: self.extractors[view] for view in first.values()}

    @property
    def picture_readers(self) -> dict[str, Extractor]:
        """The distinct extractors that read pictures, by the first view that each fills."""
        return {v: one for v, one in self.distinct.items() if get_reads(one) == "picture"}

    @property
    def other_readers(self) -> dict[str, Extractor]:
        """The distinct extractors that read texts or posts, by the first view that each fills."""
        return {v: one for v, one in self.distinct.items() if get_reads(one) != "picture"}

    @property
    def region_dim(self) -> int:
        """Width of a region vector; 0 if nothing fills the regions.

        Raises:
            MsvseError: If it depends on weights that are not loaded (MSVSE-E012).
        """
        return self.extractors["regions"].region_dim if "regions" in self.extractors else 0

    @property
    def region_levels(self) -> tuple[int, ...]:
        """Widths of the parts of a region vector; empty if nothing fills the regions.

        Raises:
            MsvseError: If they depend on weights that are not loaded (MSVSE-E012).
        """
        return get_levels(self.extractors["regions"]) if "regions" in self.extractors else ()

    @property
    def batch_size(self) -> int:
        """Pictures of a batch: the largest `batch_size` of a picture reader that has one."""
        return max(map(get_batch_size, self.picture_readers.values()), default=BATCH_SIZE)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the fingerprints of all picture readers.

        Raises:
            MsvseError: If an extractor has no weights yet (MSVSE-E012).
        """
        readers = self.picture_readers.values()
        parts: dict[str, Any] = {
            view: extractor.fingerprint
            for view, extractor in self.extractors.items()
            if any(extractor is reader for reader in readers)
        }
        return make_fingerprint({**parts, "shrink_to": self.shrink_to})

    @property
    def fingerprints(self) -> set[str]:
        """All fingerprints under which a store keeps the features.

        Raises:
            MsvseError: If an extractor has no weights yet (MSVSE-E012).
        """
        own = {self.fingerprint} if self.picture_readers else set()
        return own | {self.reader_fingerprint(view) for view in self.other_readers}

    def views_of(self, extractor: Extractor) -> tuple[str, ...]:
        """Name the views that an extractor is used for.

        Args:
            extractor (Extractor): One of `extractors`.

        Returns:
            tuple: Names of views.
        """
        return tuple(view for view, other in self.extractors.items() if other is extractor)

    def reader_fingerprint(self, view: str) -> str:
        """Name the features of an extractor that reads texts or posts.

        Args:
            view (str): A view that it fills.

        Returns:
            str: Its own fingerprint; if it uses known views, joined with that of the picture
                readers, because it gets their features; if it only uses the pictures, joined with
                their size.

        Raises:
            MsvseError: If an extractor has no weights yet (MSVSE-E012).
        """
        extractor = self.extractors[view]
        if get_reads(extractor) == "text":
            return extractor.fingerprint
        if not uses_views(extractor):
            return make_fingerprint([extractor.fingerprint, {"shrink_to": self.shrink_to}])
        return make_fingerprint([extractor.fingerprint, self.fingerprint])

    @property
    def asked_views(self) -> tuple[str, ...]:
        """The views of extractors that ask a server."""
        return tuple(view for extractor in self._asking for view in self.views_of(extractor))

    @property
    def _asking(self) -> list[Any]:
        return [one for one in self.distinct.values() if hasattr(one, "allow_asking")]

    def make_backbone(self) -> Any:
        """Make the network of the regions if it is to be trained with the pipeline.

        Returns:
            nn.Module: A module that shares the weights of that extractor; None if the extractor of
                the regions is not a trainable one.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        regions: Any = self.extractors.get("regions")
        return regions.make_module() if hasattr(regions, "make_module") else None

    def initialize(self) -> None:
        """Load the weights of every extractor from their sources.

        Raises:
            MsvseError: If weights cannot be loaded (MSVSE-E011) or have another number of classes
                than there are names (MSVSE-E050), or if a package (MSVSE-E024) or a model in it
                (MSVSE-E025) is missing.
        """
        for extractor in self.distinct.values():
            extractor.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        Args:
            device (str): A torch device, passed to every extractor that has a method `to`.
        """
        for extractor in self.distinct.values():
            if hasattr(extractor, "to"):
                extractor.to(device)

    def allow_asking(self, client: Any) -> tuple[str, ...]:
        """Allow the extractors that ask a server to do so, or forbid it. It is forbidden until this
        is called, also after loading, and in a copy.

        Args:
            client (ChatClient): The server to ask; None to forbid it.

        Returns:
            tuple: Names of the views that such extractors fill.
        """
        for extractor in self._asking:
            extractor.allow_asking(client)
        return self.asked_views

    def to_files(self) -> dict[str, bytes]:
        """Save the weights and vocabularies.

        Returns:
            dict: File name to content, such as "regions/weights.safetensors": the files of each
                distinct extractor under the first view that it fills.
        """
        return join_files({view: one.to_files() for view, one in self.distinct.items()})

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore the state that an extractor of the same settings has saved.

        Args:
            files (Mapping): File name to content, as `to_files` returns it.

        Raises:
            MsvseError: If files are missing or damaged (MSVSE-E006) or were saved for other labels
                (MSVSE-E051), or if a package (MSVSE-E024) or a model in it (MSVSE-E025) is missing.
        """
        for view, extractor in self.distinct.items():
            extractor.from_files(select_files(files, view))

    def prepare(self, picture: Image) -> dict[str, Any]:
        """Prepare a picture for each picture reader, in any thread.

        Args:
            picture (Image): An RGB picture of any size.

        Returns:
            dict: By the first view of a reader, the result of its `prepare`. The picture itself if
                it has none or fails: `extract` will then raise the error.
        """
        return {view: prepare_item(one, picture) for view, one in self.picture_readers.items()}

    def extract(self, pictures: Sequence[Image]) -> list[Features]:
        """Extract the features of a batch of pictures.

        Args:
            pictures (Sequence[Image]): RGB pictures of any size.

        Returns:
            list: The views of the picture readers, for each picture. Region vectors are always
                rounded to 16 bits, the precision of a store.
        """
        return self.extract_prepared([self.prepare(picture) for picture in pictures])

    def extract_prepared(self, prepared: Sequence[Mapping[str, Any]]) -> list[Features]:
        """Extract the features of a batch of prepared pictures.

        Args:
            prepared (Sequence): The results of `prepare`.

        Returns:
            list: Features as `extract` returns them.
        """
        found: list[Features] = [{} for _ in prepared]
        for view, extractor in self.picture_readers.items():
            views = self.views_of(extractor)
            pictures = [one[view] for one in prepared]
            results = check_result(extractor, extractor.extract(pictures, found), len(found))
            for known, new in zip(found, results, strict=True):
                known.update((name, new[name]) for name in views if name in new)
        return [round_vectors(features) for features in found]


def prepare_item(extractor: Any, item: Any) -> Any:
    """Prepare an item for an extractor.

    Args:
        extractor (Extractor): The extractor.
        item (Any): A picture, a text or a `PostContent`.

    Returns:
        Any: The result of the extractor's `prepare`; the item itself if it has none or fails.
    """
    if not hasattr(extractor, "prepare"):
        return item
    try:
        return extractor.prepare(item)
    except Exception:  # a user's extractor may raise anything
        return item


def get_concurrency(extractor: Any) -> int:
    """The number of threads that call `extract` at once, each with one item.

    Args:
        extractor (Extractor): The extractor.

    Returns:
        int: Its `concurrency`; 0 if it has none, and gets batches.
    """
    return getattr(extractor, "concurrency", 0)


def get_batch_size(extractor: Any) -> int:
    """The number of items in a batch of an extractor.

    Args:
        extractor (Extractor): The extractor.

    Returns:
        int: Its `batch_size`, or `BATCH_SIZE`.
    """
    return getattr(extractor, "batch_size", 0) or BATCH_SIZE


def _check(view: str, extractor: Any) -> None:
    name = type(extractor).__name__
    if view not in extractor.fills:
        fills = ", ".join(extractor.fills)
        raise MsvseError(Errors.E010.format(extractor=name, fills=fills, view=view))
    reads = get_reads(extractor)
    if reads not in READS:
        raise wrong_setting("reads", reads, f"one of {', '.join(READS)}", name)
