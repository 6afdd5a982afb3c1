"""Captions built from the tags, without a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from ...settings import Settings
from ..features import Features


def caption_from_tags(tags: Sequence[str]) -> str:
    """Build a sentence from tags.

    Args:
        tags (Sequence[str]): Words, best first.

    Returns:
        str: Such as "a picture of X, Y and Z"; empty without tags.
    """
    if not tags:
        return ""
    *first, last = tags
    return f"a picture of {', '.join(first)} and {last}" if first else f"a picture of {last}"


@dataclass(frozen=True)
class TagCaption(Settings):
    """An extractor that builds the caption from the tags.

    It reads only `known`, so it can run again, without a picture, when a user sets other tags.
    """

    fills = ("caption",)
    region_dim = 0
    fingerprint = "TagCaption.v1"

    def initialize(self) -> None:
        """Do nothing: there is nothing to load."""

    def prepare(self, picture: Image) -> None:
        """Return nothing, so that the memory of the picture is freed.

        Args:
            picture (Image): Not used.
        """

    def extract(self, items: Sequence[Any], known: Sequence[Features]) -> list[Features]:
        """Build a caption for each picture.

        Args:
            items (Sequence): Not used.
            known (Sequence[Features]): Features with the tags.

        Returns:
            list: Features with a caption; without one where there are no tags.
        """
        tags = (features.get("tags") for features in known)
        captions = (caption_from_tags(words if isinstance(words, list) else ()) for words in tags)
        return [{"caption": caption} if caption else {} for caption in captions]

    def to_files(self) -> dict[str, bytes]:
        """Save nothing.

        Returns:
            dict: Empty.
        """
        return {}

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore nothing.

        Args:
            files (Mapping): Not used.
        """
