"""The table of picture templates, by entity type and split."""

from __future__ import annotations

from collections.abc import Callable

from canvas import Pen

Template = Callable[[Pen], None]

LABELS = ("PER", "LOC", "ORG", "MISC")
SPLITS = ("train", "dev", "test")

TEMPLATES: dict[tuple[str, str], dict[str, Template]] = {
    (label, split): {} for label in LABELS for split in SPLITS
}


def template(label: str, split: str) -> Callable[[Template], Template]:
    """Register a drawing as a picture template of one type and one split."""

    def register(drawing: Template) -> Template:
        TEMPLATES[label, split][drawing.__name__] = drawing
        return drawing

    return register
