from pathlib import Path

import pytest
import spacy
from spacy.language import Language


@pytest.fixture(scope="session")
def nlp() -> Language:
    """A tokenizer and a vocabulary, shared by all tests: add no component to it."""
    return spacy.blank("en")


@pytest.fixture(scope="session")
def twitter2015() -> Path:
    """The folder of Twitter-2015. It has no open licence, so it lies beside the project."""
    folder = Path(__file__).parents[1].parent / "shared" / "data" / "twitter2015"
    if not folder.is_dir():
        pytest.skip("Twitter-2015 is not here: it cannot be shipped with the project")
    return folder
