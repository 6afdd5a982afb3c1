"""Warnings about posts: one for a stream, with numbers and the probable cause."""

import warnings

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus as SpacyCorpus
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.component.pipe import MANY_POSTS
from spacy_msvse.component.reports import looks_like_picture
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, picture, tiny_pipeline


@pytest.fixture
def nlp(encoder):
    nlp = tiny_pipeline(encoder)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


def test_a_stream_without_any_view_is_reported_once_with_its_number(nlp):
    with pytest.warns(UserWarning, match=r"MSVSE-W001.*None of 3 posts.*make_doc"):
        list(nlp.pipe(["saw jordan", "saw amazon", "nice"], batch_size=1))
    list(nlp.pipe(["saw jordan", "saw amazon"]))


def test_single_posts_without_any_view_are_reported_after_a_while(nlp):
    for _ in range(MANY_POSTS - 1):
        nlp("saw jordan")
    with pytest.warns(UserWarning, match=rf"MSVSE-W001.*None of {MANY_POSTS} posts"):
        nlp("saw jordan")


def test_one_post_with_a_view_is_enough(nlp):
    nlp(make_doc(nlp, "saw jordan", tags=["dog"]))
    for _ in range(MANY_POSTS + 1):
        nlp("saw jordan")
    list(nlp.pipe(["saw jordan"] * 3))


def test_patterns_of_a_ruler_are_no_posts(nlp):
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": "ORG", "pattern": f"amazon {n}"} for n in range(50)])
    with pytest.warns(UserWarning, match="MSVSE-W001.*None of 2 posts"):
        list(nlp.pipe(["saw jordan", "saw amazon"]))


def test_many_unreadable_pictures_are_one_warning(nlp):
    docs = [make_doc(nlp, "saw jordan", image=f"gone-{n}.jpg") for n in range(20)]
    with pytest.warns(UserWarning, match="MSVSE-W002") as caught:
        list(nlp.pipe(docs, batch_size=4))
    (message,) = [str(warning.message) for warning in caught]
    assert "cannot be read: 20." in message
    assert "gone-0.jpg" in message


def test_a_context_that_looks_like_a_picture_is_named(nlp):
    with pytest.warns(UserWarning, match=r"MSVSE-W012.*'a\.jpg'.*make_doc"):
        list(nlp.pipe([("saw jordan", "a.jpg")], as_tuples=True))
    posts = [(make_doc(nlp, "saw jordan", image=picture("PER")), "a.jpg")] * 2
    list(nlp.pipe(posts, as_tuples=True))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a.JPG", True), (b"\xff", True), ("post 3", False), ({"id": 3}, False), (None, False)],
)
def test_pictures_are_told_from_other_contexts(value, expected):
    assert looks_like_picture(value) is expected


@pytest.fixture
def data(tmp_path):
    nlp = spacy.blank("en")
    docs = [eg.reference for eg in ambiguous_examples(nlp)]
    for doc, example in zip(docs, ambiguous_examples(nlp), strict=True):
        doc._.image = example.predicted._.image
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "train.spacy")
    DocBin(docs=docs).to_disk(tmp_path / "bare.spacy")
    return tmp_path


def test_a_reader_that_loses_pictures_stops_initialisation(encoder, data):
    """`spacy init config -p msvse_ner` writes spaCy's reader."""
    nlp = tiny_pipeline(encoder)
    reader = SpacyCorpus(data / "train.spacy")
    with pytest.raises(MsvseError, match=r"MSVSE-E026.*spacy-msvse\.Corpus\.v1"):
        nlp.initialize(lambda: reader(nlp))
    reader = Corpus(data / "bare.spacy")
    with pytest.warns(UserWarning, match=r"MSVSE-W009.*store_user_data"):
        nlp.initialize(lambda: reader(nlp))
    reader = Corpus(data / "train.spacy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize(lambda: reader(nlp))


def test_labels_of_dev_posts_that_training_lacks_are_named(nlp):
    examples = ambiguous_examples(nlp)
    doc = make_doc(nlp, "saw jordan today", image=picture("PER"))
    examples.append(Example.from_dict(doc, {"entities": [(4, 10, "PRODUCT")]}))
    with pytest.warns(UserWarning, match=r"MSVSE-W011.*PRODUCT \(1\)"):
        nlp.evaluate(examples)
    nlp.evaluate(examples)


def test_examples_that_know_the_answers_are_reported_at_initialization(encoder):
    """Such as those with a copy of the gold Doc to predict: their scores would be perfect."""
    nlp = tiny_pipeline(encoder)
    known = [
        Example(example.reference.copy(), example.reference) for example in ambiguous_examples(nlp)
    ]
    for example in known:
        example.predicted._.images = [picture("PER")]
    with pytest.warns(UserWarning, match="MSVSE-W066"):
        nlp.initialize(lambda: known)
