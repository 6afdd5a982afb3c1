"""Words about a picture that need no model."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL.Image import Image

from ..features import PictureFeatures


def caption_from_tags(tags: Sequence[str]) -> str:
    """Say in a sentence what the tags say, and nothing more.

    tags (Sequence[str]): Words for what is seen, best first.
    RETURNS (str): Such as "a picture of X, Y and Z"; empty without tags.
    """
    if not tags:
        return ""
    *first, last = tags
    return f"a picture of {', '.join(first)} and {last}" if first else f"a picture of {last}"


@dataclass(frozen=True)
class TagCaption:
    """An extractor that builds the caption from the tags.

    It looks at `known` alone, so it can run again, without a picture, when a user sets other tags.
    """

    fills = ("caption",)
    region_dim = 0
    fingerprint = "TagCaption.v1"

    def initialize(self) -> None:
        """Nothing to load."""

    def prepare(self, picture: Image) -> None:
        """Want nothing of a picture, so that nobody has to hold it.

        picture (Image): Not looked at.
        """

    def extract(
        self, pictures: Sequence[Image | None], known: Sequence[PictureFeatures]
    ) -> list[PictureFeatures]:
        """Build a caption for each picture.

        pictures (Sequence): Not looked at.
        known (Sequence[PictureFeatures]): Features that hold the tags.
        RETURNS (list): Features with a caption; None where there are no tags.
        """
        return [
            PictureFeatures(caption=caption_from_tags(features.tags or ()) or None)
            for features in known
        ]

    def to_bytes(self) -> bytes:
        """Nothing to save.

        RETURNS (bytes): Empty.
        """
        return b""

    def from_bytes(self, data: bytes) -> None:
        """Nothing to restore.

        data (bytes): Not looked at.
        """
