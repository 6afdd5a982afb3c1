"""Long texts are cut into overlapping windows. Short texts in the same batch do not change."""

import math

import pytest
import spacy
import torch
from spacy.tokens import Span
from spacy.training import Example

from spacy_msvse import make_doc

from ..tiny import NAMES, ambiguous_examples, picture, tiny_pipeline, train

FILLER = ["very", "nice", "again", "today", "the"]


def long_words(length: int, first: int = 0) -> tuple[list[str], list[int]]:
    """Filler words with a name every 120 tokens, and the positions of the names. `first` is the
    number of the first name."""
    words = [FILLER[i % len(FILLER)] for i in range(length)]
    # Each name is in the overlap of two windows.
    places = list(range(76, length, 120))
    for number, place in enumerate(places):
        words[place - 1], words[place] = "saw", NAMES[(first + number) % len(NAMES)]
    return words, places


def long_example(nlp, length: int, label: str, first: int = 0) -> Example:
    words, places = long_words(length, first)
    doc = make_doc(nlp, words, image=picture(label))
    reference = doc.copy()
    reference.set_ents([Span(reference, i, i + 1, label) for i in places], default="outside")
    return Example(doc, reference)


def strided(encoder: str):
    get_spans = {"@span_getters": "spacy-msvse.strided_spans.v1", "window": 32, "stride": 24}
    return tiny_pipeline(encoder, model={"get_spans": get_spans})


@pytest.fixture(scope="module")
def trained_on_long_texts(encoder):
    spacy.util.fix_random_seed(0)
    nlp = strided(encoder)
    examples = ambiguous_examples(nlp)
    labels = ("LOC", "PER", "LOC", "ORG")
    examples += [long_example(nlp, 90, label, first) for first, label in enumerate(labels)]
    train(nlp, examples, steps=50, rate=5e-3)
    return nlp


def test_five_thousand_tokens_and_one_in_one_batch(trained_on_long_texts):
    nlp = trained_on_long_texts
    words, places = long_words(5000)
    docs = [make_doc(nlp, words, image=picture("LOC")), make_doc(nlp, ["jordan"])]
    long, short = nlp.pipe(docs)
    assert [(ent.start, ent.end, ent.label_) for ent in long.ents] == [
        (place, place + 1, "LOC") for place in places
    ]
    assert len(short) == 1
    alone = nlp(make_doc(nlp, ["jordan"]))
    assert [(e.start, e.label_) for e in short.ents] == [(e.start, e.label_) for e in alone.ents]


def test_five_thousand_tokens_train(encoder):
    nlp = strided(encoder)
    examples = [long_example(nlp, 5000, "LOC"), *ambiguous_examples(nlp)]
    optimizer = nlp.initialize(lambda: examples)
    network = nlp.get_pipe("msvse_ner").require_network()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    loss = nlp.update(examples, sgd=optimizer, drop=0.0)["msvse_ner"]
    assert math.isfinite(loss)
    for name, parameter in network.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("getter", ["doc_spans.v1", "sent_spans.v1", "strided_spans.v1"])
def test_span_getters_of_spacy_transformers_work(encoder, getter):
    """A span that does not fit the encoder is halved until it does."""
    pytest.importorskip("spacy_transformers")
    get_spans = {"@span_getters": f"spacy-transformers.{getter}"}
    if getter == "strided_spans.v1":
        get_spans.update(window=90, stride=60)
    nlp = tiny_pipeline(encoder, model={"get_spans": get_spans})
    examples = []
    for example in [*ambiguous_examples(nlp), long_example(nlp, 200, "LOC")]:
        for token in example.predicted:
            token.is_sent_start = token.i % 50 == 0
        examples.append(example)
    train(nlp, examples, steps=2)
    doc = nlp.get_pipe("msvse_ner")(examples[-1].predicted)
    assert doc._.image_status["regions"] == "used"
