"""Tables and text in Markdown, and tables in LaTeX."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

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
    lines = [[escape(str(cell)) for cell in row] for row in (header, *rows)]
    return _tabulate(lines[0], lines[1:], aligns, "pipe")


def latex(header: Sequence[str], rows: Iterable[Sequence[Any]], aligns: str = "") -> str:
    """Write a table in LaTeX, for the package booktabs.

    Args:
        header (Sequence[str]): The names of the columns.
        rows (Iterable[Sequence]): The rows. Cells are text, not markup.
        aligns (str): As for `table`.

    Returns:
        str: An environment `tabular`.
    """
    return _tabulate(
        header, [[str(cell) for cell in row] for row in rows], aligns, "latex_booktabs"
    )


def _tabulate(header: Sequence[str], rows: Sequence[Sequence[str]], aligns: str, form: str) -> str:
    names = {"l": "left", "r": "right"}
    aligns = aligns or "l" + "r" * (len(header) - 1)
    written: str = tabulate(
        rows,
        headers=header,
        tablefmt=form,
        colalign=[names[align] for align in aligns] if rows else None,
        disable_numparse=True,
    )
    return written


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
