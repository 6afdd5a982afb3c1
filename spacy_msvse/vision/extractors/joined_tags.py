"""The tags of two extractors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..extractor import get_batch_size, prepare_item
from ..features import (
    AnyExtractor,
    Features,
    RegionFeatures,
    View,
    check_result,
    get_levels,
    get_reads,
    make_fingerprint,
)
from .composed import Composed


@dataclass(frozen=True)
class _Prepared:
    """An item, prepared for both extractors."""

    first: Any
    main: Any


@dataclass(frozen=True)
class JoinedTags(Composed):
    """An extractor that joins the tags of two others, without repeats.

    It fills all views of `main`, so that a classifier that also fills the regions runs once: name
    this extractor for both views. Either part may be a `JoinedTags` again.

    Attributes:
        first (Extractor): Its tags come first; only they are used. `FaceTags` for example.
        main (Extractor): Its tags follow. Its other views are those of this extractor.

    Raises:
        MsvseError: If one of them is no extractor, or reads other items than the other one
            (MSVSE-E007), or does not fill the tags (MSVSE-E010).
    """

    first: AnyExtractor
    main: AnyExtractor

    parts = ("first", "main")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_view("tags")
        same = get_reads(self.first) == get_reads(self.main)
        self.require(same, "first", f"an extractor that reads a {self.reads}, as `main` does")

    @property
    def reads(self) -> str:
        """The kind of the items."""
        return get_reads(self.main)

    @property
    def fills(self) -> tuple[str, ...]:
        """Names of the views that this extractor can fill."""
        return tuple(self.main.fills)

    @property
    def batch_size(self) -> int:
        """Number of items in a batch."""
        return max(get_batch_size(self.first), get_batch_size(self.main))

    @property
    def region_dim(self) -> int:
        """Width of a region vector."""
        return int(self.main.region_dim)

    @property
    def levels(self) -> tuple[int, ...]:
        """Widths of the levels of a region vector."""
        return get_levels(self.main)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the fingerprints of both.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        parts = [self.first.fingerprint, self.main.fingerprint]
        return make_fingerprint([type(self).__name__, 1, *parts])

    def prepare(self, item: Any) -> _Prepared:
        """Prepare an item for both.

        Args:
            item (Any): A picture, a text or a `PostContent`.

        Returns:
            _Prepared: The result of each `prepare`.
        """
        return _Prepared(prepare_item(self.first, item), prepare_item(self.main, item))

    def extract(self, items: Sequence[Any], known: Sequence[Features]) -> list[Features]:
        """Extract the features of a batch.

        Args:
            items (Sequence): Items of the kind that `reads` names, or results of `prepare`.
            known (Sequence[Features]): Passed to both.

        Returns:
            list: The features of `main`, with the tags of both.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012), or if an extractor returned
                something else than features (MSVSE-E194).
        """
        both = [one if isinstance(one, _Prepared) else _Prepared(one, one) for one in items]
        found = []
        for name, extractor in self.extractors.items():
            own = [getattr(one, name) for one in both]
            found.append(check_result(extractor, extractor.extract(own, known), len(own)))
        return [_join(*pair) for pair in zip(*found, strict=True)]


def _join(first: Features, main: Features) -> Features:
    """The features of the second, with the tags of both."""
    tags = dict.fromkeys([*_words(first.get("tags")), *_words(main.get("tags"))])
    return {**main, "tags": list(tags)} if tags or "tags" in main else main


def _words(view: View | None) -> list[str]:
    """The tags of an extractor. A text counts as one tag."""
    if isinstance(view, str):
        return [view]
    return [] if view is None or isinstance(view, RegionFeatures) else list(view)
