"""Confidences belong to characters: no other entity gets them, whatever happens to the tokens."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_msvse import make_doc
from spacy_msvse.doc import set_predictions
from spacy_msvse.errors import MsvseError

from ..tiny import COLOURS, ambiguous_examples, entities, picture, tiny_pipeline, train

WORDS = ["saw", "Michael", "Jordan", "in", "New", "York", "today"]


@pytest.fixture
def doc() -> Doc:
    """Two entities of two words each, of which the second has the higher probability."""
    doc = Doc(spacy.blank("en").vocab, words=WORDS)
    spans = [Span(doc, 1, 3, "PER"), Span(doc, 4, 6, "LOC")]
    doc.set_ents(spans)
    set_predictions(doc, "msvse_ner", spans, [0.5, 0.75])
    return doc


def confidences(doc) -> list[float | None]:
    return [entity._.confidence for entity in doc.ents]


def test_merged_and_split_tokens_keep_their_confidences(doc):
    with doc.retokenize() as retokenizer:
        for entity in doc.ents:
            retokenizer.merge(entity)
    assert confidences(doc) == [0.5, 0.75]
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["s", "aw"], heads=[doc[0], doc[0]])
    assert confidences(doc) == [0.5, 0.75]


def test_merge_entities_runs_behind_the_component(trained):
    nlp = spacy.blank("en")
    nlp.add_pipe("msvse_ner", source=trained)
    nlp.add_pipe("merge_entities")
    doc = nlp(make_doc(nlp, ["saw", "jordan", "jordan", "today"], image=picture("PER")))
    assert all(entity._.confidence is not None for entity in doc.ents)


def test_copies_keep_confidences_where_spacy_keeps_user_data(doc):
    assert confidences(Doc.from_docs([doc, doc])) == [0.5, 0.75, 0.5, 0.75]
    assert confidences(doc[2:7].as_doc(copy_user_data=True)) == [0.75]
    assert confidences(doc[2:7].as_doc()) == [None]
    data = doc.to_json(underscore=["scored_label"])
    assert confidences(Doc(doc.vocab).from_json(data)) == [0.5, 0.75]
    assert confidences(Doc(doc.vocab).from_bytes(doc.to_bytes())) == [0.5, 0.75]
    for store_user_data in (True, False):
        stored = DocBin(docs=[doc], store_user_data=store_user_data).to_bytes()
        (loaded,) = DocBin().from_bytes(stored).get_docs(doc.vocab)
        assert confidences(loaded) == [0.5, 0.75]


def test_no_other_span_gets_the_confidence(doc):
    assert Span(doc, 1, 3, "LOC")._.confidence is None
    assert Span(doc, 1, 2, "PER")._.confidence is None
    doc.set_ents([Span(doc, 1, 3, "ORG")])
    assert confidences(doc) == [None]


def test_a_second_pass_replaces_the_confidences_of_the_first(doc):
    spans = [Span(doc, 4, 6, "LOC")]
    set_predictions(doc, "msvse_ner", spans, [0.25])
    assert confidences(doc) == [None, 0.25]


@pytest.fixture(scope="module")
def two_components(encoder):
    """One component is sure of itself, the other one has hardly learned."""
    nlp = tiny_pipeline(encoder)
    config = {k: v for k, v in nlp.get_pipe_config("msvse_ner").items() if k != "factory"}
    nlp.add_pipe("msvse_ner", name="second", config=config)
    train(nlp, ambiguous_examples(nlp), steps=30)
    return nlp


def test_two_components_keep_each_others_entities(two_components, tmp_path):
    nlp = two_components
    text = "saw jordan today"
    doc = nlp(make_doc(nlp, text, image=picture("PER")))
    first = nlp.get_pipe("msvse_ner")(make_doc(nlp, text, image=picture("PER")))
    assert entities(doc) == entities(first) == [("jordan", "PER")]
    assert doc.ents[0]._.prediction.key == "msvse_ner"
    assert doc.ents[0]._.confidence == pytest.approx(first.ents[0]._.confidence)
    assert {"msvse_ner", "second"} == set(doc.spans)
    nlp.get_pipe("second").overwrite = True
    try:
        doc = nlp(make_doc(nlp, text, image=picture("PER")))
        assert doc.ents[0]._.prediction.key == "second"
    finally:
        nlp.get_pipe("second").overwrite = False


def test_the_confidence_of_a_post_is_the_lowest_of_its_components(two_components):
    """Also in a DocBin without user data, and after a second pass."""
    nlp = two_components
    docs = [make_doc(nlp, "saw jordan today", image=picture("PER")) for _ in range(2)]
    own = [nlp.get_pipe(name).post_confidences(docs[:1])[0] for name in ("msvse_ner", "second")]
    assert own[0] != own[1]
    doc = nlp(docs[0])
    assert doc._.confidence == pytest.approx(min(own))
    nlp.get_pipe("second").masked_views = ("regions", "tags", "caption")
    try:
        (masked,) = nlp.get_pipe("second").post_confidences(docs[1:])
        assert masked != own[1]
        assert nlp(doc)._.confidence == pytest.approx(min(own[0], masked))
    finally:
        nlp.get_pipe("second").masked_views = ()
    stored = DocBin(docs=[doc], store_user_data=False).to_bytes()
    (loaded,) = DocBin().from_bytes(stored).get_docs(doc.vocab)
    assert loaded._.confidence == doc._.confidence
    assert make_doc(nlp, "saw")._.confidence is None


def test_a_masked_view_is_not_read_whether_it_is_given_or_extracted(two_components):
    nlp = two_components
    component = nlp.get_pipe("msvse_ner")
    component.masked_views = ("tags", "regions")
    try:
        given = make_doc(nlp, "saw jordan", image=picture("PER"), tags=["green"])
        (prediction,) = component.predict([given])
        status = {"regions": "masked", "tags": "masked", "caption": "used"}
        assert prediction.post.status == status
        with pytest.raises(MsvseError, match="MSVSE-E007"):
            component.masked_views = "tags"
    finally:
        component.masked_views = ()


def test_a_renamed_component_keeps_its_spans_key(two_components, tmp_path):
    two_components.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    nlp.remove_pipe("second")
    nlp.rename_pipe("msvse_ner", "ner")
    nlp.to_disk(tmp_path / "renamed")
    loaded = spacy.load(tmp_path / "renamed")
    doc = loaded(make_doc(loaded, "saw jordan today", image=picture("PER")))
    assert set(doc.spans) == {"msvse_ner"}


def test_blocked_tokens_never_become_entities(trained):
    for label in COLOURS:
        doc = make_doc(trained, "saw jordan today", image=picture(label))
        doc.set_ents([], blocked=[doc[1:2]])
        doc = trained(doc)
        assert entities(doc) == []
        assert doc[1].ent_iob == 3
        assert not doc[1].ent_type
