"""`python -m spacy msvse ...`: the commands of this package."""

# The import of a module adds its command to `app`: one line for each command.
from . import (  # noqa: F401
    ablate,
    annotate,
    ask_curve,
    calibrate,
    card,
    convert,
    debug_data,
    describe,
    evaluate,
    extract,
    init_bilstm,
    init_config,
    push,
    render,
    serve,
    shrink,
    split,
    store,
)
from .root import app

__all__ = ["app"]
