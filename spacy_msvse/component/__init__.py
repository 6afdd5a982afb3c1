"""The spaCy component `msvse_ner`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.language import Language

if TYPE_CHECKING:
    from .pipe import MsvseNer


def components(nlp: Language) -> Iterator[tuple[str, "MsvseNer"]]:
    """All components of a pipeline that are an `MsvseNer`, under any name.

    Args:
        nlp (Language): The pipeline.

    Yields:
        tuple: Name and component.
    """
    from .pipe import MsvseNer

    for name, component in nlp.pipeline:
        if isinstance(component, MsvseNer):
            yield name, component


@contextmanager
def reading_pictures(nlp: Language, image_root: str | Path | None) -> Iterator[None]:
    """Read pictures from a folder in this context, and write unreadable ones to the Docs in place
    of warnings and errors.

    Args:
        nlp (Language): The pipeline.
        image_root (str / Path): The only folder from which pictures are read, or the URL of a
            remote one; None allows any local path.
    """
    found = [component for _, component in components(nlp)]
    before = [(one, one.image_root, one.on_missing_image) for one in found]
    for component in found:
        component.image_root = image_root
        component.on_missing_image = "ignore"
    try:
        yield
    finally:
        for component, root, policy in before:
            component.image_root, component.on_missing_image = root, policy
