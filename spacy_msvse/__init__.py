"""Named entity recognition for text with a picture, as a spaCy component.

nlp.add_pipe("msvse_ner") adds the component, an `MsvseNer`; `components` finds it in a pipeline.
`make_doc` makes a Doc that has a picture; `read_posts` reads rows of posts in any format, and
`make_docs` and `make_examples` make
Docs and examples of them; `guarded_pipe` annotates Docs in processes, of which any
may end; `render` shows Docs with their pictures; `calibrate` fits
confidences to annotated posts; `build_network` builds the network without spaCy, in plain PyTorch.
Invalid input raises an `MsvseError`.
"""

from typing import TYPE_CHECKING

from .about import __version__

if TYPE_CHECKING:
    from .component import components
    from .component.guarded_pipe import guarded_pipe
    from .component.pipe import MsvseNer
    from .corpus.posts import make_docs, make_examples, read_posts
    from .display.render import render
    from .doc import make_doc
    from .errors import MsvseError
    from .evaluation.calibration import calibrate
    from .network.build import build_network

__all__ = [
    "MsvseError",
    "MsvseNer",
    "__version__",
    "build_network",
    "calibrate",
    "components",
    "guarded_pipe",
    "make_doc",
    "make_docs",
    "make_examples",
    "read_posts",
    "render",
]

_HOMES = {
    "MsvseError": "errors",
    "MsvseNer": "component.pipe",
    "build_network": "network.build",
    "calibrate": "evaluation.calibration",
    "components": "component",
    "guarded_pipe": "component.guarded_pipe",
    "make_doc": "doc",
    "make_docs": "corpus.posts",
    "make_examples": "corpus.posts",
    "read_posts": "corpus.posts",
    "render": "display.render",
}


def __getattr__(name: str) -> object:
    # Imported at the first use: every entry point imports this module, and most need no torch.
    if name in _HOMES:
        from importlib import import_module

        value: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
