"""Docs to HTML: a page, a fragment to embed, or a notebook's output."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import is_in_jupyter

from ..errors import Errors, MsvseError
from .look import Look
from .posts import show_post

if TYPE_CHECKING:
    from ..component.requests import PictureEffect

    ExplainedDoc = tuple[Doc, list[PictureEffect] | None]


def render(
    docs: Doc | Iterable[Doc],
    page: bool = False,
    *,
    jupyter: bool | None = None,
    options: dict[str, Any] | None = None,
    image_root: str | Path | None = None,
    effects: "Iterable[list[PictureEffect]] | None" = None,
) -> str | None:
    """Show posts with their pictures, their entities and what was seen, as displaCy shows entities.

    The HTML holds no script and loads nothing: pictures are in it, at the size they are shown.

    docs (Doc / Iterable[Doc]): The posts.
    page (bool): Whether to make a whole page, rather than a fragment to embed in one.
    jupyter (bool): Whether to display the fragment in a notebook. Defaults to None: if in one.
    options (dict): displaCy's "colors", a dict of label to colour, and "ents", the labels to show.
    image_root (Path): The only folder to read pictures from; None allows any path.
    effects (Iterable[list]): What `explain_pictures` told of the posts, to be shown beside them:
        for each one a list.
    RETURNS (str): The HTML; None if it is displayed in a notebook.
    RAISES (MsvseError): If there is something else than Docs (MSVSE-E070).
    RAISES (ValueError): If a region is malformed (MSVSE-E071), or if there are not as many effects
        as posts (MSVSE-E072).
    """
    docs = [docs] if isinstance(docs, Doc) else docs
    posts = pair(docs, effects)
    in_notebook = is_in_jupyter() if jupyter is None else jupyter
    if not in_notebook:
        return "".join(stream(posts, page, options=options, image_root=image_root))

    from IPython.display import HTML, display

    html = "".join(stream(posts, options=options, image_root=image_root))
    # As in displaCy, the class keeps MathJax away from dollar signs.
    display(HTML(f'<div class="tex2jax_ignore">{html}</div>'))
    return None


def pair(
    docs: Iterable[Doc], effects: "Iterable[list[PictureEffect]] | None"
) -> "Iterator[ExplainedDoc]":
    """Put posts and what the picture did to them together, one by one.

    docs (Iterable[Doc]): The posts.
    effects (Iterable[list]): For each one a list of effects; None if nobody asked.
    YIELDS (tuple): A post and its effects.
    RAISES (ValueError): If there are not as many of the one as of the other (MSVSE-E072).
    """
    if effects is None:
        yield from ((doc, None) for doc in docs)
        return
    missing: Any = object()
    for doc, its_effects in zip_longest(docs, effects, fillvalue=missing):
        if doc is missing or its_effects is missing:
            raise MsvseError(Errors.E072)
        yield doc, its_effects


def stream(
    posts: "Iterable[ExplainedDoc]",
    page: bool = False,
    *,
    options: dict[str, Any] | None = None,
    image_root: str | Path | None = None,
) -> Iterator[str]:
    """Render posts one by one, so that no more than one of them is held.

    posts (Iterable[tuple]): The posts, each with what the picture did or None. The other arguments
        are those of `render`.
    YIELDS (str): Piece after piece of the HTML.
    """
    look = Look(options or {})
    # Several fragments may be embedded in one page, which then holds the names of all.
    prefix = "post" if page else f"msvse-{uuid4().hex[:8]}"
    shown = (show_post(doc, look, image_root, effects) for doc, effects in posts)
    template = load_template("posts.html")
    yield from template.generate(page=page, posts=shown, look=look, prefix=prefix)


def explain(nlp: Language, docs: list[Doc]) -> "list[list[PictureEffect]] | None":
    """Ask a pipeline what the pictures did.

    nlp (Language): The pipeline.
    docs (list[Doc]): The posts.
    RETURNS (list): For each Doc its effects; None if no component can tell.
    RAISES (ValueError): As the component's `predict`.
    """
    for _, component in nlp.pipeline:
        if hasattr(component, "explain_pictures"):
            return component.explain_pictures(docs)
    return None


def load_template(name: str) -> Template:
    """Load one of our templates. Whatever it inserts is escaped.

    name (str): Name of its file.
    RETURNS (Template): The template.
    """
    environment = Environment(
        loader=PackageLoader("spacy_msvse", "display"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
