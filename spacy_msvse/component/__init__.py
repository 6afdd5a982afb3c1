"""The spaCy side: factory, pipe, and the Thinc glue around the network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language

    from .pipe import MsvseNer


def components(nlp: "Language") -> "Iterator[tuple[str, MsvseNer]]":
    """The components of this package in a pipeline.

    nlp (Language): The pipeline.
    YIELDS (tuple): The name of a component, and the component.
    """
    from .pipe import MsvseNer

    for name, component in nlp.pipeline:
        if isinstance(component, MsvseNer):
            yield name, component
