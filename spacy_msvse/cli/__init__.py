"""`python -m spacy msvse ...`: our commands, joined to spaCy's own."""

import typer
from spacy.cli._util import app as spacy_app

app = typer.Typer(
    name="msvse",
    help="Named entity recognition for text with a picture.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
spacy_app.add_typer(app, name="msvse")

# A command joins `app` when its module is imported, so these follow it: one line each.
from . import (  # noqa: E402, F401
    ablate,
    annotate,
    calibrate,
    card,
    convert,
    debug_data,
    evaluate,
    extract,
    init_bilstm,
    init_config,
    render,
    serve,
    store,
)
