"""Base of the extractors that consist of other extractors."""

from collections.abc import Mapping
from typing import ClassVar

from ...errors import Errors, MsvseError
from ...settings import Settings
from ...util import join_files, select_files
from ..features import Extractor


class Composed(Settings):
    """Base of the extractors whose settings include other extractors."""

    #: Names of the settings that are extractors.
    parts: ClassVar[tuple[str, ...]]

    @property
    def extractors(self) -> dict[str, Extractor]:
        """The extractors by the names of their settings."""
        return {name: getattr(self, name) for name in self.parts}

    def require_view(self, view: str) -> None:
        """Refuse an extractor that does not fill a view.

        Args:
            view (str): The view.

        Raises:
            MsvseError: If one of the extractors does not fill it (MSVSE-E010).
        """
        for extractor in self.extractors.values():
            if view not in extractor.fills:
                name, fills = type(extractor).__name__, ", ".join(extractor.fills)
                raise MsvseError(Errors.E010.format(extractor=name, fills=fills, view=view))

    def initialize(self) -> None:
        """Load the weights of each extractor from their sources.

        Raises:
            MsvseError: If weights cannot be found or read (MSVSE-E011), or have another number of
                classes than there are names (MSVSE-E050).
        """
        for extractor in self.extractors.values():
            extractor.initialize()

    def to(self, device: str) -> None:
        """Compute on another device.

        Args:
            device (str): A torch device, passed to each extractor that has a method `to`.
        """
        for extractor in self.extractors.values():
            if hasattr(extractor, "to"):
                extractor.to(device)

    def to_files(self) -> dict[str, bytes]:
        """Save the weights of each extractor.

        Returns:
            dict: File name to content, in a folder for each extractor.

        Raises:
            MsvseError: If there are no weights yet (MSVSE-E012).
        """
        return join_files({name: one.to_files() for name, one in self.extractors.items()})

    def from_files(self, files: Mapping[str, bytes]) -> None:
        """Restore what `to_files` saved.

        Args:
            files (Mapping): File name to content.

        Raises:
            MsvseError: If files are missing or damaged (MSVSE-E006).
        """
        for name, extractor in self.extractors.items():
            extractor.from_files(select_files(files, name))
