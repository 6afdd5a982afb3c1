"""The posts of a corpus, as an extraction and a feature store see them."""

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin

from spacy_msvse import make_doc
from spacy_msvse.component.reader import Reader
from spacy_msvse.corpus.sources import find_corpus_keys, read_sources
from spacy_msvse.network.base import Reads
from spacy_msvse.vision.extraction import fill_store
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.store import FeatureStore

from ..tiny import MeanColour, Writer, picture


@pytest.fixture
def corpus(tmp_path):
    """A file of posts that give views in every form."""
    nlp = spacy.blank("en")
    regions = [("cat", 0.9, 0.1, 0.2, 0.3, 0.4)]
    given = [
        {"tags": ["dog", "tree"]},
        {"caption": "my dog"},
        {"texts": {"ocr": "woof", "unread": "here"}},
        {"features": np.ones((1, 3)), "regions": regions},
    ]
    docs = [make_doc(nlp, "look", image=picture("PER"), **views) for views in given]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "posts.spacy")
    return tmp_path / "posts.spacy"


def read_docs(corpus) -> list:
    return list(DocBin().from_disk(corpus).get_docs(spacy.blank("en").vocab))


def test_what_is_extracted_of_a_corpus_is_found_by_the_pipeline_and_kept(corpus, tmp_path):
    writer = Writer()
    vision = VisualExtractor(regions=MeanColour(), tags=MeanColour(), knowledge=writer)
    reads = Reads(vectors=("regions",), texts=("tags", "knowledge"))
    with FeatureStore(tmp_path / "store") as store:
        fill_store(vision, read_sources(corpus, []), store)
        assert len(writer.known) == 4
        before = {key for key, _, _ in store.scan()}
        Reader(reads, vision=vision, store=store, policy="error").read(read_docs(corpus))
        assert len(writer.known) == 4
        assert {key for key, _, _ in store.scan()} == before
    keys, problems = find_corpus_keys([corpus], None)
    assert before <= keys
    assert problems == []


def test_what_the_pipeline_stores_of_a_corpus_is_kept(corpus, tmp_path):
    vision = VisualExtractor(regions=MeanColour(), tags=MeanColour(), knowledge=Writer())
    reads = Reads(texts=("knowledge",))
    with FeatureStore(tmp_path / "store") as store:
        Reader(reads, vision=vision, store=store, policy="error").read(read_docs(corpus))
        stored = {key for key, _, _ in store.scan()}
    assert len(stored) == 1 + 4
    assert stored <= find_corpus_keys([corpus], None)[0]


def test_features_that_the_pipeline_refuses_are_named_by_an_extraction(corpus):
    docs = read_docs(corpus)
    docs[0].user_data["._.", "image_features", None, None] = np.ones(3)
    DocBin(store_user_data=True, docs=docs).to_disk(corpus)
    refused = []
    assert len(list(read_sources(corpus, refused))) == len(docs) - 1
    ((name, reason),) = refused
    assert name == "post 1"
    assert "MSVSE-E014" in reason
    _, problems = find_corpus_keys([corpus], None)
    assert any("post 1" in problem and "MSVSE-E014" in problem for problem in problems)
