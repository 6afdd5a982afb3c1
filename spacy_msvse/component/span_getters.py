"""Span getters cut long texts into windows that fit the encoder.

Config files name them by `@span_getters`. spacy-transformers defines the registry of this name.
This module creates it if spacy-transformers is not installed. The order of imports does not matter,
because this package registers its function only by an entry point.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import catalogue
from pydantic import Field
from spacy.tokens import Doc, Span
from spacy.util import registry

from ..settings import checked, wrong_setting

SpanGetter = Callable[[list[Doc]], list[list[Span]]]

_registry: Any = registry
if not hasattr(_registry, "span_getters"):
    _registry.span_getters = catalogue.create("spacy", "span_getters", entry_points=True)


#: A length of a text, in tokens.
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]

_SECTION = "components.*.model.get_spans"


@checked(_SECTION)
def create_strided_spans(window: Tokens, stride: Tokens) -> SpanGetter:
    """Create a span getter of overlapping windows, registered as `spacy-msvse.strided_spans.v1`.

    Args:
        window (int): Length of a window, in tokens.
        stride (int): Distance between the starts of two windows, in tokens, from 1 to `window`.

    Returns:
        Callable: The span getter.

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """
    if stride > window:
        expected = f"at most the window of {window} tokens"
        raise wrong_setting("stride", stride, expected, _SECTION)
    return partial(strided_spans, window=window, stride=stride)


def strided_spans(docs: Iterable[Doc], window: int, stride: int) -> list[list[Span]]:
    """Cut Docs into overlapping windows. The last window of a Doc may be shorter.

    Args:
        docs (Iterable): The Docs.
        window (int): Length of a window, in tokens.
        stride (int): Distance between the starts of two windows, in tokens.

    Returns:
        list: The windows of each Doc; none for an empty Doc.
    """
    spans = []
    for doc in docs:
        # A window that starts in the last `window - stride` tokens would add no token.
        starts = range(0, max(len(doc) - window + stride, 1), stride) if len(doc) else ()
        spans.append([doc[start : start + window] for start in starts])
    return spans
