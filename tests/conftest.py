from pathlib import Path

import pytest
import spacy
from spacy.language import Language


@pytest.fixture(scope="session")
def nlp() -> Language:
    """A tokenizer and a vocabulary, shared by all tests: add no component to it."""
    return spacy.blank("en")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a tiny pipeline that finds the type of "jordan" by the picture. Its policy for
    unreadable pictures is "error". Load it, and do not change the folder."""
    from .tiny import ambiguous_examples, save_encoder, tiny_pipeline, train

    folder = tmp_path_factory.mktemp("trained")
    spacy.util.fix_random_seed(0)
    nlp = tiny_pipeline(save_encoder(folder / "encoder"), on_missing_image="error")
    train(nlp, ambiguous_examples(nlp), steps=40)
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture(scope="session")
def twitter2015() -> Path:
    """The folder of Twitter-2015. It has no open licence, so it lies beside the project."""
    folder = Path(__file__).parents[1].parent / "shared" / "data" / "twitter2015"
    if not folder.is_dir():
        pytest.skip("Twitter-2015 is not here: it cannot be shipped with the project")
    return folder
