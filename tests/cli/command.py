"""Runs a command in this process."""

from typing import Any

from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (adds the commands to spaCy's)


def run(*arguments: Any, status: int = 0, **settings: Any):
    """Run `python -m spacy msvse` and check its exit status."""
    result = CliRunner().invoke(app, ["msvse", *map(str, arguments)], **settings)
    assert result.exit_code == status, result.output
    return result


#: A config with an extractor that needs no weights.
CONFIG = """
[nlp]
lang = "en"
pipeline = ["msvse_ner"]

[components]

[components.msvse_ner]
factory = "msvse_ner"

[components.msvse_ner.vision]
@misc = "spacy-msvse.VisualExtractor.v1"

[components.msvse_ner.vision.regions]
@misc = "tests.MeanColour.v1"
"""
