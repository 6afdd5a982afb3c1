"""Docs as HTML: a page, a fragment to embed, or the output of a notebook."""

from collections.abc import Iterable, Iterator
from itertools import repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import is_in_jupyter

from ..component import components
from ..errors import Errors, MsvseError
from .colours import Colours
from .shown import ShownPost, show_post

if TYPE_CHECKING:
    from ..component.analysis import PictureEffect

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
    """Show posts with their pictures, entities and views, as displaCy shows entities.

    The HTML has no script and loads nothing: it contains the pictures, at the size they are shown.

    Args:
        docs (Doc / Iterable[Doc]): The posts.
        page (bool): Whether to make a whole page, instead of a fragment to embed.
        jupyter (bool): Whether to display the fragment in a notebook. Defaults to None, which
            detects a notebook.
        options (dict): displaCy's "colors", a dict of label to colour, and "ents", the labels to
            show.
        image_root (Path): The only folder to read pictures from; None allows any path.
        effects (Iterable[list]): The result of `explain_pictures` for the posts, a list for each of
            them, to show as well.

    Returns:
        str: The HTML; None if it is displayed in a notebook.

    Raises:
        MsvseError: If one of them is not a Doc (MSVSE-E070), if a region is malformed (MSVSE-E071),
            or if there are not as many lists of effects as posts (MSVSE-E072).
    """
    docs = [docs] if isinstance(docs, Doc) else docs
    posts = pair(docs, effects)
    in_notebook = is_in_jupyter() if jupyter is None else jupyter
    if not in_notebook:
        return "".join(stream(posts, page, options=options, image_root=image_root))

    from IPython.display import HTML, display

    html = "".join(stream(posts, options=options, image_root=image_root))
    # As in displaCy, with this class MathJax ignores dollar signs.
    display(HTML(f'<div class="tex2jax_ignore">{html}</div>'))
    return None


def pair(
    docs: Iterable[Doc], effects: "Iterable[list[PictureEffect]] | None"
) -> "Iterator[ExplainedDoc]":
    """Pair posts with the effects of their pictures, one by one.

    Args:
        docs (Iterable[Doc]): The posts.
        effects (Iterable[list]): For each post a list of effects; None for no effects.

    Yields:
        tuple: A post and its effects or None.

    Raises:
        MsvseError: If there are not as many lists of effects as posts (MSVSE-E072).
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
    unreadable: list[str] | None = None,
    gold: Iterable[Doc] | None = None,
) -> Iterator[str]:
    """Render posts one by one, so that only one of them is in memory.

    Args:
        posts (Iterable[tuple]): The posts, each with the effects of its picture or None.
        page (bool): Whether to make a whole page, instead of a fragment to embed.
        options (dict): displaCy's "colors", a dict of label to colour, and "ents", the labels to
            show.
        image_root (Path): The only folder to read pictures from; None allows any path.
        unreadable (list[str]): Pictures that cannot be read are added to it, with the reason.
        gold (Iterable[Doc]): The posts with their gold entities, to show these as well.

    Yields:
        str: The HTML, in pieces.
    """
    colours = Colours(options or {})
    # One page may contain several fragments, whose names must differ.
    prefix = "post" if page else f"msvse-{uuid4().hex[:8]}"
    template = load_template("posts.html")

    def shown() -> Iterator[ShownPost]:
        # A post comes before its gold annotation, which may be read along with it.
        golds = repeat(None) if gold is None else iter(gold)
        for doc, effects in posts:
            post = show_post(doc, colours, image_root, effects, next(golds))
            problems = [
                f"{picture.name}: {picture.problem}".lstrip(": ")
                for picture in post.pictures
                if picture.problem
            ]
            if unreadable is not None:
                unreadable.extend(problems)
            yield post

    yield from template.generate(page=page, posts=shown(), colours=colours, prefix=prefix)


def explain(nlp: Language, docs: list[Doc]) -> "list[list[PictureEffect]] | None":
    """Compute the effects of the pictures by the first component that reads pictures.

    Args:
        nlp (Language): The pipeline.
        docs (list[Doc]): The posts.

    Returns:
        list: For each Doc its effects; None if there is no such component.

    Raises:
        MsvseError: For an unreadable picture if `on_missing_image` is "error" (MSVSE-E020).
    """
    for _, component in components(nlp):
        return component.explain_pictures(docs)
    return None


def load_template(name: str) -> Template:
    """Load a template of this package. It escapes all values.

    Args:
        name (str): Name of its file.

    Returns:
        Template: The template.
    """
    environment = Environment(
        loader=PackageLoader("spacy_msvse", "display"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
