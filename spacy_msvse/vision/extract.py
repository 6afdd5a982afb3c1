"""From pictures to features: one extractor a scale, each run once, around a store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from PIL.Image import Image

from ..errors import Errors, MsvseError
from .features import SCALES, Extractor, PictureFeatures, make_fingerprint
from .picture import Fetcher
from .run import ExtractionRun, in_batches
from .store import FeatureStore

#: Pictures that are looked at together unless an extractor asks for another number.
BATCH_SIZE = 16


class VisualExtractor:
    """The extractors of a pipeline: one for each scale, or none.

    Extractors that are equal count as one and run once for each picture. They run in the order of
    `SCALES`, each knowing what those before it saw, so that a caption can be built from the tags.

    regions (Extractor): What fills the regions, their boxes, labels and scores.
    tags (Extractor): What fills the tags.
    caption (Extractor): What fills the caption.
    texts (Extractor): What fills the further texts.
    shrink_to (int): Side of a square to whose number of pixels large pictures are shrunk while
        they are decoded, see `decode_picture`; None for full size.
    RAISES (ValueError): If an extractor does not fill the scale it is named for (MSVSE-E010).
    """

    # The extractors are `Any` since the registry checks arguments with isinstance, which would
    # read the `fingerprint` of an extractor that has no weights yet.
    def __init__(
        self,
        regions: Any = None,
        tags: Any = None,
        caption: Any = None,
        texts: Any = None,
        shrink_to: int | None = 1024,
    ) -> None:
        named: tuple[Extractor | None, ...] = (regions, tags, caption, texts)
        self.extractors: dict[str, Extractor] = {}
        for scale, extractor in zip(SCALES, named, strict=True):
            if extractor is None:
                continue
            if scale not in extractor.fills:
                name, fills = type(extractor).__name__, ", ".join(extractor.fills)
                raise MsvseError(Errors.E010.format(extractor=name, fills=fills, scale=scale))
            # An equal extractor that came before stands in for this one.
            equals = [other for other in self.extractors.values() if other == extractor]
            self.extractors[scale] = equals[0] if equals else extractor
        self.shrink_to = shrink_to

    @property
    def distinct(self) -> dict[str, Extractor]:
        """Each extractor once, by the first scale it fills, in the order in which they run."""
        first: dict[int, str] = {}
        for scale, extractor in self.extractors.items():
            first.setdefault(id(extractor), scale)
        return {scale: self.extractors[scale] for scale in first.values()}

    @property
    def region_dim(self) -> int:
        """Width of a region vector; 0 if nothing fills the regions."""
        return self.extractors["regions"].region_dim if "regions" in self.extractors else 0

    @property
    def batch_size(self) -> int:
        """Pictures to look at together: the largest `batch_size` of an extractor that has one."""
        sizes = (getattr(extractor, "batch_size", 0) for extractor in self.extractors.values())
        return max(sizes, default=0) or BATCH_SIZE

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the fingerprints of all scales.

        RAISES (ValueError): If an extractor has no weights yet (MSVSE-E012).
        """
        parts: dict[str, Any] = {s: e.fingerprint for s, e in self.extractors.items()}
        parts["shrink_to"] = self.shrink_to
        return make_fingerprint(parts)

    def make_backbone(self) -> Any:
        """What makes the regions if it is trained with the pipeline, see `TrainableBackbone`.

        RETURNS (nn.Module): A module that shares the weights of that extractor; None if the
            extractor of the regions is not to be trained.
        RAISES (ValueError): If there are no weights yet (MSVSE-E012).
        """
        regions: Any = self.extractors.get("regions")
        return regions.make_module() if hasattr(regions, "make_module") else None

    def initialize(self) -> None:
        """Load the weights of every extractor from their sources.

        RAISES (ValueError): If weights cannot be found (MSVSE-E011).
        """
        for extractor in self.distinct.values():
            extractor.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        device (str): A torch device, passed to every extractor that has a method `to`.
        """
        for extractor in self.distinct.values():
            if hasattr(extractor, "to"):
                extractor.to(device)

    def to_bytes(self) -> bytes:
        """Save the weights and vocabularies.

        RETURNS (bytes): A msgpack message: what each distinct extractor saved, by its first scale.
        """
        return srsly.msgpack_dumps(
            {scale: extractor.to_bytes() for scale, extractor in self.distinct.items()}
        )

    def from_bytes(self, data: bytes) -> None:
        """Restore what an extractor of the same settings has saved.

        data (bytes): What `to_bytes` wrote.
        RAISES (ValueError): If the message is damaged or lacks an extractor (MSVSE-E006).
        """
        try:
            message = srsly.msgpack_loads(data)
        except Exception as error:  # msgpack has many
            raise MsvseError(Errors.E006.format(reason=error)) from error
        for scale, extractor in self.distinct.items():
            if scale not in message:
                reason = f"no extractor of the scale '{scale}'"
                raise MsvseError(Errors.E006.format(reason=reason))
            extractor.from_bytes(message[scale])

    def prepare(self, picture: Image) -> dict[str, Any]:
        """Make of a picture what each extractor wants of it, in any thread.

        picture (Image): An RGB picture of any size.
        RETURNS (dict): By the first scale that a distinct extractor fills, what its `prepare`
            made; the picture itself if it has none or fails, since `extract` will then say why.
        """
        return {scale: _prepare(extractor, picture) for scale, extractor in self.distinct.items()}

    def extract(self, pictures: Sequence[Image]) -> list[PictureFeatures]:
        """Look at a batch of pictures.

        pictures (Sequence[Image]): RGB pictures of any size.
        RETURNS (list): Features; the scales that an extractor is named for are filled. Region
            vectors have the precision of the store, 16 bits, stored or not.
        """
        return self.extract_prepared([self.prepare(picture) for picture in pictures])

    def extract_prepared(self, prepared: Sequence[Mapping[str, Any]]) -> list[PictureFeatures]:
        """Look at a batch of pictures that are prepared.

        prepared (Sequence): What `prepare` made of each picture.
        RETURNS (list): What `extract` would return.
        """
        seen = [PictureFeatures() for _ in prepared]
        for scale, extractor in self.distinct.items():
            scales = [name for name, other in self.extractors.items() if other is extractor]
            pictures = [one[scale] for one in prepared]
            for known, new in zip(seen, extractor.extract(pictures, seen), strict=True):
                _take(known, new, scales)
        return seen

    def extract_sources(
        self,
        sources: Iterable[str | bytes | None],
        *,
        image_root: str | Path | None = None,
        store: FeatureStore | None = None,
        fetch: Fetcher | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[tuple[PictureFeatures | None, str | None]]:
        """Read, decode and look at pictures, as few as possible.

        What the store holds is neither decoded nor looked at; what it lacks is added to it, unless
        it is read-only. Equal pictures are looked at once: without a store to write to, the
        features are remembered until the end of the call. At most `batch_size` prepared pictures
        are held at once.

        sources (Iterable): Paths or encoded bytes; None where there is no picture.
        image_root (Path): The only folder to read from; None allows any path.
        store (FeatureStore): Where features are looked up and kept.
        fetch (Fetcher): What fetches http and https URLs; None refuses them.
        batch_size (int): Pictures that are decoded and looked at together.
        YIELDS (tuple): For each source the features, or None, and why a picture could not be read
            or looked at, or None. One bad picture never ends the run.
        RAISES (Exception): What an extractor raises on every picture of a batch, unless the store
            shows that it has worked.
        """
        run = ExtractionRun(self, image_root, store, fetch)
        for batch in in_batches(sources, batch_size):
            for outcome in run.process(batch):
                yield outcome.features, outcome.problem


def _prepare(extractor: Any, picture: Image) -> Any:
    if not hasattr(extractor, "prepare"):
        return picture
    try:
        return extractor.prepare(picture)
    except Exception:  # extractors may be anybody's
        return picture


def _take(known: PictureFeatures, new: PictureFeatures, scales: Sequence[str]) -> None:
    """Copy the named scales of `new` to `known`."""
    if "regions" in scales:
        if new.regions is not None:
            known.regions = new.regions.astype(np.float16).astype(np.float32)
        known.boxes = new.boxes
        known.region_labels = new.region_labels
        known.region_scores = new.region_scores
        known.pixels = new.pixels
    if "tags" in scales:
        known.tags = new.tags
    if "caption" in scales:
        known.caption = new.caption
    if "texts" in scales:
        known.texts = new.texts
