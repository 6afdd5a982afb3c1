"""The spaCy component `msvse_ner`."""

from collections.abc import Iterator
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
