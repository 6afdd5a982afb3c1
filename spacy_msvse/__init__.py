"""Named entity recognition for text with a picture, as a spaCy component.

nlp.add_pipe("msvse_ner") adds the component; `make_doc` makes a Doc that has a picture; `render`
shows Docs with their pictures; `calibrate` fits confidences to annotated posts; `build_network`
builds the network alone, in plain PyTorch.
"""

from typing import TYPE_CHECKING, Any

from .about import __version__

if TYPE_CHECKING:
    from .display.render import render
    from .doc import make_doc
    from .evaluation.calibration import calibrate
    from .network.build import build_network

__all__ = ["__version__", "build_network", "calibrate", "make_doc", "render"]

_HOMES = {
    "build_network": "network.build",
    "calibrate": "evaluation.calibration",
    "make_doc": "doc",
    "render": "display.render",
}


def __getattr__(name: str) -> Any:
    # Looked up when first used: every entry point imports this module, and most need no torch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
