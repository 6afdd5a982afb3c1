"""One pass over the sources of pictures, which looks at as few pictures as possible."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from PIL.Image import Image

from .features import PictureFeatures
from .picture import PictureError, decode_picture, picture_key, picture_name, read_picture
from .store import FeatureStore

#: A path, encoded bytes, or None where there is no picture.
Source = str | bytes | None


class PictureModel(Protocol):
    """What a run needs of a `VisualExtractor`."""

    shrink_to: int | None

    @property
    def fingerprint(self) -> str:
        """A name for the models and their settings."""
        ...

    def extract(self, pictures: Sequence[Image]) -> list[PictureFeatures]:
        """Look at a batch of pictures."""
        ...


@dataclass
class Outcome:
    """What became of one source.

    key (str): The picture, see `picture_key`; None if there is none to read.
    features (PictureFeatures): What is seen in it; None if there is none to read.
    problem (str): Why it could not be read.
    fresh (bool): Whether it was looked at, rather than looked up.
    """

    key: str | None = None
    features: PictureFeatures | None = None
    problem: str | None = None
    fresh: bool = False


class ExtractionRun:
    """A pass that remembers what it has seen: in the store, or else until it ends.

    extractor (PictureModel): What looks at the pictures.
    image_root (Path): The only folder to read from; None allows any path.
    store (FeatureStore): Where features are looked up and, unless it is read-only, kept.
    """

    def __init__(
        self,
        extractor: PictureModel,
        image_root: str | Path | None,
        store: FeatureStore | None,
    ) -> None:
        self.extractor = extractor
        self.image_root = image_root
        self.store = store
        self.fingerprint = "" if store is None else extractor.fingerprint
        self.remembered: dict[str, PictureFeatures] = {}

    def process(self, sources: Sequence[Source]) -> list[Outcome]:
        """Find the features of a batch.

        sources (Sequence): All pictures among them may be decoded at the same time.
        RETURNS (list): An outcome for each source.
        """
        outcomes = [Outcome() for _ in sources]
        pictures: dict[str, Image] = {}
        for source, outcome in zip(sources, outcomes, strict=True):
            if source is None:
                continue
            try:
                # Read once: the key then belongs to what is decoded, even if the file changes.
                data = read_picture(source, self.image_root)
                outcome.key = picture_key(data)
                outcome.features = self._look_up(outcome.key)
                if outcome.features is None and outcome.key not in pictures:
                    pictures[outcome.key] = decode_picture(
                        data, picture_name(source), shrink_to=self.extractor.shrink_to
                    )
                    outcome.fresh = True
            except PictureError as error:
                outcome.problem = str(error)
        if pictures:
            features = self.extractor.extract(list(pictures.values()))
            found = dict(zip(pictures, features, strict=True))
            self._keep(found)
            for outcome in outcomes:
                if outcome.features is None and outcome.key in found:
                    outcome.features = replace(found[outcome.key])
        return outcomes

    def _look_up(self, key: str) -> PictureFeatures | None:
        features = self.remembered.get(key)
        if features is not None:
            return replace(features)  # who gets it may set other tags
        return None if self.store is None else self.store.get(key, self.fingerprint)

    def _keep(self, found: dict[str, PictureFeatures]) -> None:
        if self.store is None or self.store.readonly:
            self.remembered.update(found)
        else:
            self.store.put_many((key, self.fingerprint, found[key]) for key in found)


def in_batches(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    """Cut a stream into lists.

    sources (Iterable): A stream of any length.
    size (int): Items of each list; the last may be shorter.
    YIELDS (list): The next items.
    """
    stream = iter(sources)
    while batch := list(islice(stream, size)):
        yield batch
