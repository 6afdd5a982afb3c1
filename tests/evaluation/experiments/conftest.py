"""A config of the tiny pipeline, with posts."""

import pytest
from spacy.tokens import DocBin

from spacy_msvse.evaluation.experiments.rows import vary

from ...tiny import ambiguous_examples, save_encoder, tiny_pipeline


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def config(encoder, tmp_path_factory):
    """A config with train and dev posts."""
    nlp = tiny_pipeline(encoder)
    docs = []
    for example in ambiguous_examples(nlp):
        example.reference._.image = example.predicted._.image
        docs.append(example.reference)
    path = tmp_path_factory.mktemp("data") / "posts.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    corpus = {"@readers": "spacy-msvse.Corpus.v1", "path": str(path)}
    return vary(nlp.config, {"corpora.train": corpus, "corpora.dev": corpus})
