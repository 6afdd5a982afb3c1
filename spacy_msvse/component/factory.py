"""The "msvse_ner" factory.

This module imports no large library, because spaCy loads every factory for every pipeline.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spacy.language import Language

from .. import doc  # noqa: F401  (registers the attributes)
from ..settings import without_types
from . import span_getters  # noqa: F401  (makes the registry)
from .defaults import DEFAULT_CONFIG

if TYPE_CHECKING:
    from .pipe import MsvseNer


@Language.factory(
    "msvse_ner",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
@without_types
def make_msvse_ner(
    nlp: Language,
    name: str,
    model: Any,
    vision: Any,
    overwrite: bool,
    on_missing_image: str,
    min_view_share: float,
    view_dropout: dict[str, float],
    max_pictures: int,
    max_batch_tokens: int,
    min_confidence: float,
    spans_key: str | None,
    scorer: Callable | None,
) -> "MsvseNer":
    """Create the component.

    Args:
        nlp (Language): The pipeline.
        name (str): Name of the component in the pipeline.
        model (Model): The network in a Thinc model, made by an architecture such as
            `spacy-msvse.MSVSE.v1`.
        vision (VisualExtractor): Extracts views from pictures and texts; None reads only given
            views.
        overwrite (bool): Replace entities that are on a Doc already; otherwise they are kept.
        on_missing_image (str): "warn", "error" or "ignore": what to do about an unreadable picture.
        min_view_share (float): A view is masked if a smaller share of the training posts had it.
        view_dropout (dict): View to the share of the posts that are trained without it, drawn anew
            in each step.
        max_pictures (int): How many pictures of a post are read, the first ones.
        max_batch_tokens (int): Maximum number of word pieces of a prediction batch, joint views and
            padding included.
        min_confidence (float): Entities that are less probable are left out.
        spans_key (str): Where in `doc.spans` the predicted entities and their scores are; None for
            the name of the component.
        scorer (Callable): Scores the component in `nlp.evaluate`.

    Returns:
        MsvseNer: The component.
    """
    from .pipe import MsvseNer

    component = MsvseNer(
        nlp.vocab,
        model,
        name,
        vision=vision,
        overwrite=overwrite,
        on_missing_image=on_missing_image,
        min_view_share=min_view_share,
        view_dropout=view_dropout,
        max_pictures=max_pictures,
        max_batch_tokens=max_batch_tokens,
        min_confidence=min_confidence,
        spans_key=spans_key,
        scorer=scorer,
    )
    component.attach(nlp)
    return component
