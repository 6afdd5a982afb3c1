"""Docs to HTML: a page, a fragment to embed, or a notebook's output."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from spacy.tokens import Doc
from spacy.util import is_in_jupyter

from .look import Look
from .posts import show_post


def render(
    docs: Doc | Iterable[Doc],
    page: bool = False,
    *,
    jupyter: bool | None = None,
    options: dict[str, Any] | None = None,
    image_root: str | Path | None = None,
) -> str | None:
    """Show posts with their pictures, their entities and what was seen, as displaCy shows entities.

    The HTML holds no script and loads nothing: pictures are in it, at the size they are shown.

    docs (Doc / Iterable[Doc]): The posts.
    page (bool): Whether to make a whole page, rather than a fragment to embed in one.
    jupyter (bool): Whether to display the fragment in a notebook. Defaults to None: if in one.
    options (dict): displaCy's "colors", a dict of label to colour, and "ents", the labels to show.
    image_root (Path): The only folder to read pictures from; None allows any path.
    RETURNS (str): The HTML; None if it is displayed in a notebook.
    RAISES (TypeError): If there is something else than Docs (MSVSE-E070).
    RAISES (ValueError): If a region is malformed (MSVSE-E071).
    """
    docs = [docs] if isinstance(docs, Doc) else docs
    in_notebook = is_in_jupyter() if jupyter is None else jupyter
    if not in_notebook:
        return "".join(stream(docs, page, options=options, image_root=image_root))

    from IPython.display import HTML, display

    html = "".join(stream(docs, options=options, image_root=image_root))
    # As in displaCy, the class keeps MathJax away from dollar signs.
    display(HTML(f'<div class="tex2jax_ignore">{html}</div>'))
    return None


def stream(
    docs: Iterable[Doc],
    page: bool = False,
    *,
    options: dict[str, Any] | None = None,
    image_root: str | Path | None = None,
) -> Iterator[str]:
    """Render posts one by one, so that no more than one of them is held.

    The arguments are those of `render`.

    YIELDS (str): Piece after piece of the HTML.
    """
    look = Look(options or {})
    # Several fragments may be embedded in one page, which then holds the names of all.
    prefix = "post" if page else f"msvse-{uuid4().hex[:8]}"
    posts = (show_post(doc, look, image_root) for doc in docs)
    template = load_template("posts.html")
    yield from template.generate(page=page, posts=posts, look=look, prefix=prefix)


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
