"""The posts that a pipeline is unsure of, and the views that it could be given for them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors, MsvseError
from . import components


def read_views(nlp: Language) -> frozenset[str]:
    """The views that a pipeline reads: those that its networks were trained with.

    Args:
        nlp (Language): The pipeline.

    Returns:
        frozenset: Names of views.
    """
    found: set[str] = set()
    for _, component in components(nlp):
        found |= {*component.require_network().views} - {*component.predictor.masked}
    return frozenset(found)


def views_to_ask(nlp: Language) -> frozenset[str]:
    """The views that a pipeline reads and that a server can be asked for.

    Args:
        nlp (Language): The pipeline.

    Returns:
        frozenset: Names of views.
    """
    visions = [component.vision for _, component in components(nlp)]
    asked = {view for one in visions if one is not None for view in one.asked_views}
    return read_views(nlp) & asked


@contextmanager
def masking_views(nlp: Language, views: Sequence[str]) -> Iterator[None]:
    """Read no post with some views in this context.

    Args:
        nlp (Language): The pipeline.
        views (Sequence[str]): Names of views.
    """
    before = [(component, component.masked_views) for _, component in components(nlp)]
    for component, masked in before:
        component.masked_views = tuple(dict.fromkeys((*masked, *views)))
    try:
        yield
    finally:
        for component, masked in before:
            component.masked_views = masked


def read_confidence(nlp: Language, doc: Doc) -> float:
    """The confidence of an annotated post.

    Args:
        nlp (Language): The pipeline that has annotated it.
        doc (Doc): The post.

    Returns:
        float: The confidence.

    Raises:
        MsvseError: If the answers of the methods give none (MSVSE-E260).
    """
    confidence: float | None = doc._.confidence
    if confidence is None:
        methods = {type(one.require_network()).__name__ for _, one in components(nlp)}
        raise MsvseError(Errors.E260.format(method=", ".join(sorted(methods))))
    return confidence
