"""Tables and text in Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

#: Characters that are markup in Markdown, besides those of HTML. An underscore between two letters
#: or digits is none.
_MARKUP = re.compile(r"[\\`*~!|\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], aligns: str = "") -> str:
    """Write a table whose columns are aligned in the source as well.

    Args:
        header (Sequence[str]): The names of the columns.
        rows (Iterable[Sequence]): The rows. Cells are text, not markup.
        aligns (str): "l" or "r" for each column; by default the first is left-aligned and the
            others are right-aligned.

    Returns:
        str: The table, one line for each row.
    """
    aligns = aligns or "l" + "r" * (len(header) - 1)
    lines = [[escape(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [
        "-" * width if align == "l" else "-" * (width - 1) + ":"
        for align, width in zip(aligns, widths, strict=True)
    ]
    padded = [
        [
            cell.ljust(width) if align == "l" else cell.rjust(width)
            for cell, align, width in zip(line, aligns, widths, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))


def escape(text: str) -> str:
    """Escape a text, so that it contains no markup.

    Args:
        text (str): The text.

    Returns:
        str: Markdown that shows the text, on one line.
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKUP.sub(r"\\\g<0>", line)


def percent(value: float | None) -> str:
    """A fraction in per cent; a dash for None."""
    return number(value, 100, 2)


def number(value: float | None, factor: float, digits: int) -> str:
    """A figure times a factor; a dash for None."""
    return "-" if value is None else f"{value * factor:.{digits}f}"
