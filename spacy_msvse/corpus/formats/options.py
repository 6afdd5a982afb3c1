"""How a file of posts is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..rows import Row


@dataclass(frozen=True)
class ReadOptions:
    """Options of the readers. Each concerns only some of the formats.

    Attributes:
        format (str): The name of a container or of a shape; None to recognise both.
        labels (Mapping): The label of each number, for labels that are numbers.
        annotation (bool): Whether the annotation is read. Otherwise it stays as it is in the file.
        image_root (Path): The folder of the pictures, to find the pictures of `WID:` lines.
        image_suffix (str): For CoNLL, the ending that turns the id of a picture into its file name.
        token_column (int): For CoNLL, the column of the token, from 1.
        label_column (int): For CoNLL, the column of the label, from 1; None for the last.
    """

    format: str | None = None
    labels: Mapping[int, str] | None = None
    annotation: bool = True
    image_root: str | Path | None = None
    image_suffix: str = ".jpg"
    token_column: int = 1
    label_column: int | None = None


@dataclass(frozen=True)
class Records:
    """The records of a container.

    Attributes:
        rows (Iterator[Row]): The records, as rows whose shape may still be that of a tool.
        labels (Mapping): Key to the label of each number, for keys with labels as numbers.
    """

    rows: Iterator[Row]
    labels: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
