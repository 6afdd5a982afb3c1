"""Span getters cut long texts into windows that fit the encoder.

Config files name them by `@span_getters`. spacy-transformers defines the registry of this name.
This module creates it if spacy-transformers is not installed. The order of imports does not matter,
because this package registers its function only by an entry point.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import catalogue
from spacy.tokens import Doc, Span
from spacy.util import registry

from ..errors import Errors, MsvseError

SpanGetter = Callable[[list[Doc]], list[list[Span]]]

_registry: Any = registry
if not hasattr(_registry, "span_getters"):
    _registry.span_getters = catalogue.create("spacy", "span_getters", entry_points=True)


def create_strided_spans(window: int, stride: int) -> SpanGetter:
    """Create a span getter of overlapping windows, registered as `spacy-msvse.strided_spans.v1`.

    Args:
        window (int): Length of a window, in tokens.
        stride (int): Distance between the starts of two windows, in tokens, from 1 to `window`.

    Returns:
        Callable: The span getter.

    Raises:
        MsvseError: If a setting is out of range (MSVSE-E007).
    """
    if not 1 <= stride <= window:
        expected = f"from 1 to the window of {window}"
        raise MsvseError(Errors.E007.format(setting="stride", value=stride, expected=expected))
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
