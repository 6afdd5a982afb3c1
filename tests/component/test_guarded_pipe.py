"""Docs are annotated in processes that may end."""

import os
import signal
from multiprocessing import active_children

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

from spacy_msvse import guarded_pipe, make_doc


@Language.component("tests_ends_on_stones")
def ends_on_stones(doc):
    if "stone" in doc.text:
        os.kill(os.getpid(), signal.SIGKILL)
    if "leaf" in doc.text:
        raise RuntimeError("a leaf")
    doc.set_ents([Span(doc, 0, 1, label="FIRST")])
    return doc


@pytest.fixture
def stony():
    nlp = spacy.blank("en")
    nlp.add_pipe("tests_ends_on_stones")
    return nlp


@pytest.mark.timeout(60)
def test_a_killed_process_loses_only_the_doc_that_ends_it(stony):
    texts = ["a stone" if number == 5 else f"post {number}" for number in range(40)]
    found = list(guarded_pipe(stony, texts, n_process=2, batch_size=8))
    assert [doc.text for doc in found] == texts
    assert [bool(doc.ents) for doc in found] == ["stone" not in text for text in texts]
    assert found[5].user_data["error"] == "it ended its process (SIGKILL)"
    assert not any("error" in doc.user_data for doc in found if doc.ents)


def test_docs_are_those_of_the_pipeline(trained):

    docs = [make_doc(trained, "saw jordan today", tags=["red", str(n)]) for n in range(10)]
    expected = [doc.to_json() for doc in trained.pipe(docs, batch_size=4)]
    again = [make_doc(trained, "saw jordan today", tags=["red", str(n)]) for n in range(10)]
    found = list(guarded_pipe(trained, again, batch_size=4))
    assert all(isinstance(doc, Doc) and doc.vocab is trained.vocab for doc in found)
    assert [doc.to_json() for doc in found] == expected
    assert [ent._.confidence for doc in found for ent in doc.ents] == pytest.approx(
        [ent._.confidence for doc in docs for ent in doc.ents]
    )


def test_errors_are_for_the_error_handler(stony):
    with pytest.raises(RuntimeError, match="a leaf"):
        list(guarded_pipe(stony, ["post", "a leaf"]))
    assert not active_children()
    stony.set_error_handler(lambda *arguments: None)
    assert [doc.text for doc in guarded_pipe(stony, ["post", "a leaf", "tree"])] == ["post", "tree"]
