"""Every method trains, saves, loads, explains and answers in a pipeline like every other."""

import pytest
import spacy
from spacy.util import registry

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.experiments.rows import method_names
from spacy_msvse.network.methods.smvae import Smvae

from ..tiny import COLOURS, METHOD_SETTINGS, ambiguous_examples, picture, tiny_pipeline, train


@pytest.fixture(scope="module", params=method_names())
def pipeline(request, encoder):
    settings = METHOD_SETTINGS.get(registry.architectures.get(request.param).method.__name__, {})
    nlp = tiny_pipeline(encoder, model={"@architectures": request.param, **settings})
    train(nlp, ambiguous_examples(nlp), steps=2)
    return nlp


def make_docs(nlp) -> list:
    docs = [make_doc(nlp, "saw jordan today", image=picture(label)) for label in COLOURS]
    return [*docs, make_doc(nlp, "visit phoenix again and again"), nlp.make_doc("")]


def answers(nlp) -> list:
    docs = list(nlp.pipe(make_docs(nlp)))
    return [[(e.start, e.end, e.label_, e._.confidence) for e in doc.ents] for doc in docs]


def network_of(nlp):
    return nlp.get_pipe("msvse_ner").model.shims[0].network


def test_a_saved_copy_answers_the_same(pipeline, tmp_path):
    pipeline.to_disk(tmp_path)
    assert answers(spacy.load(tmp_path)) == answers(pipeline)


def test_a_pickled_copy_trains_on(pipeline):
    copy = spacy.util.load_model_from_config(pipeline.config).from_bytes(pipeline.to_bytes())
    optimizer = copy.resume_training()
    optimizer.learn_rate = 1e-3
    losses = copy.update(ambiguous_examples(copy), sgd=optimizer)
    assert 0 < losses["msvse_ner"] < 1e4


def test_confidences_are_probabilities_and_posts_are_scored(pipeline):
    for post in answers(pipeline):
        assert all(0 <= confidence <= 1 for *_, confidence in post)
    scores = pipeline.evaluate(ambiguous_examples(pipeline))
    assert 0 <= (scores["ents_f"] or 0) <= 1


def test_the_confidence_of_a_post_is_given_for_every_method(pipeline):
    docs = list(pipeline.pipe(make_docs(pipeline)))
    confidences = [doc._.confidence for doc in docs]
    assert pipeline.get_pipe("msvse_ner").post_confidences(make_docs(pipeline)) == confidences
    assert all(0 <= confidence <= 1 for confidence in confidences)
    assert confidences[-1] == 1, "nothing is uncertain in an empty post"
    for doc, confidence in zip(docs, confidences, strict=True):
        assert confidence <= min((entity._.confidence for entity in doc.ents), default=1)


def test_the_effect_of_the_picture_is_given_for_every_method(pipeline):
    docs = make_docs(pipeline)
    effects = pipeline.get_pipe("msvse_ner").explain_pictures(docs)
    assert len(effects) == len(docs)
    for one in (effect for post in effects for effect in post):
        assert 0 <= one.with_picture.confidence <= 1
        assert 0 <= one.without_picture.confidence <= 1


def test_what_needs_a_lattice_is_given_or_is_a_coded_error(pipeline):
    component, docs = pipeline.get_pipe("msvse_ner"), make_docs(pipeline)[:2]
    if isinstance(network_of(pipeline), Smvae):
        for ask in (component.label_marginals, lambda docs: component.best_labellings(docs, 2)):
            with pytest.raises(MsvseError, match="MSVSE-E083"):
                ask(docs)
        return
    marginals = component.label_marginals(docs)
    assert [array.shape for array in marginals] == [(3, len(component.bio_labels))] * 2
    for labellings in component.best_labellings(docs, 2):
        assert len(labellings) == 2
