import pytest
import spacy
from spacy.language import Language

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline, train


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> str:
    spacy.util.fix_random_seed(0)
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def nlp(encoder) -> Language:
    """An untrained pipeline."""
    return tiny_pipeline(encoder)


@pytest.fixture(scope="session")
def trained(encoder) -> Language:
    """A pipeline that has learned to find the type in the picture. Do not change it."""
    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp, copies=2))
    return nlp
