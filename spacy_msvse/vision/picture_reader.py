"""From encoded pictures to features, in this process or in others."""

from collections.abc import Sequence
from typing import Any, Protocol

from .extractor import VisualExtractor
from .features import Features
from .picture import PictureError, decode_picture


class PictureReader(Protocol):
    """Decodes and extracts pictures, such as in other processes.

    Attributes:
        lanes (int): The number of batches that it takes at once.
    """

    lanes: int

    def read(self, pictures: Sequence[tuple[bytes, str]]) -> list[Features | PictureError]:
        """Extract the features of a batch. May be called in several threads.

        Args:
            pictures (Sequence): Encoded content and name of each picture.

        Returns:
            list: The features of each picture, or why it cannot be decoded.
        """


def read_pictures(
    extractor: VisualExtractor, pictures: Sequence[tuple[bytes, str]]
) -> list[Features | PictureError]:
    """Decode pictures and extract their features.

    Args:
        extractor (VisualExtractor): The extractors, with their weights.
        pictures (Sequence): Encoded content and name of each picture.

    Returns:
        list: The features of each picture, or why it cannot be decoded.
    """
    results: list[Any] = []
    for content, name in pictures:
        try:
            results.append(extractor.prepare(decode_for(extractor, content, name)))
        except PictureError as error:
            results.append(error)
    found = iter(extractor.extract_prepared([one for one in results if isinstance(one, dict)]))
    return [next(found) if isinstance(one, dict) else one for one in results]


def decode_for(extractor: VisualExtractor, content: bytes, name: str) -> Any:
    """Decode a picture as extractors want it.

    Args:
        extractor (VisualExtractor): The extractors.
        content (bytes): The encoded picture.
        name (str): Its name, for messages.

    Returns:
        Image: An RGB picture.

    Raises:
        PictureError: If it cannot be decoded.
    """
    return decode_picture(
        content, name, max_pixels=extractor.max_pixels, shrink_to=extractor.shrink_to
    )
