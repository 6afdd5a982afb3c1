"""Batches whose loss or gradients are not finite: they are skipped, counted, and end a training."""

import warnings
from dataclasses import dataclass

from ..errors import Errors, MsvseError, Warnings

#: So many batches in a row end the training, and so many in all if they are more than `SHARE`.
LIMIT = 10

#: The share of all batches that may be skipped.
SHARE = 0.01


@dataclass
class SkippedBatches:
    """Counts the batches of a training, and those that were skipped.

    Attributes:
        name (str): Name of the component.
        batches (int): Batches.
        skipped (int): Batches with a loss or with gradients that are not finite.
        row (int): How many of the last batches were skipped.
        text (str): The text of the first post of the last batch.
    """

    name: str
    batches: int = 0
    skipped: int = 0
    row: int = 0
    text: str = ""

    def begin(self, text: str) -> None:
        """Count a batch.

        Args:
            text (str): The text of its first post.
        """
        self.batches += 1
        self.text = text

    def skip(self, what: str, value: float) -> None:
        """Count the last batch as skipped. The first time, and at each doubling, there is a warning
        (MSVSE-W050).

        Args:
            what (str): "loss" or "gradients".
            value (float): The value that is not finite.

        Raises:
            MsvseError: If `LIMIT` batches in a row were skipped, or as many in all and more than
                `SHARE` of the batches (MSVSE-E211).
        """
        self.skipped += 1
        self.row += 1
        many = self.skipped >= LIMIT and self.skipped > SHARE * self.batches
        counts = {"name": self.name, "count": self.skipped, "steps": self.batches}
        if self.row >= LIMIT or many:
            raise MsvseError(Errors.E211.format(row=self.row, **counts))
        if self.skipped & (self.skipped - 1) == 0:
            message = Warnings.W050.format(what=what, value=value, text=self.text[:80], **counts)
            warnings.warn(message, stacklevel=3)

    def finish(self) -> None:
        """Note that the last batch was learned from."""
        self.row = 0
