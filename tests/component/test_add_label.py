"""A trained component takes a new entity type: its output layers grow, and nothing else changes."""

import pytest
import spacy
import torch
from spacy.training import Example
from spacy.util import registry

from spacy_msvse import make_doc
from spacy_msvse.evaluation.experiments.rows import method_names
from spacy_msvse.network.crf import Lattice

from ..tiny import METHOD_SETTINGS, ambiguous_examples, picture, tiny_pipeline, train


@pytest.fixture(params=method_names())
def pipeline(request, encoder):
    settings = METHOD_SETTINGS.get(registry.architectures.get(request.param).method.__name__, {})
    nlp = tiny_pipeline(encoder, model={"@architectures": request.param, **settings})
    train(nlp, ambiguous_examples(nlp), steps=2)
    return nlp


def untempered(nlp, labels) -> list[torch.Tensor]:
    """The scores of a batch for some types, by the names of the types."""
    component = nlp.get_pipe("msvse_ner")
    predictor = component.predictor
    docs = [example.predicted for example in ambiguous_examples(nlp)]
    (batch,) = predictor.batches(docs)
    answer = predictor.answer(batch.posts, predictor.run(batch.posts))
    places = [component.labels.index(label) for label in labels]
    if isinstance(answer, Lattice):
        columns = [0, *(2 * place + inside for place in places for inside in (1, 2))]
        transitions = answer.transitions[columns][:, columns]
        return [answer.emissions[:, :, columns], transitions, answer.start[columns]]
    return [answer.scores[:, [*places, -1]]]


#: Methods whose scores of a type depend on the number of types: the decoders of SMVAE and UAMNer
#: read the probabilities of all types, and UMT divides the score of a boundary among the types.
SHARING = {"Smvae", "Uamner", "Umt"}


def test_a_new_type_leaves_the_weights_and_the_scores_of_the_others(pipeline):
    component = pipeline.get_pipe("msvse_ner")
    old, network = component.labels, component.require_network()
    before = untempered(pipeline, old)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    assert component.add_label("NEW") == 1
    assert component.add_label("NEW") == 0
    assert component.labels == component.require_network().config.types == (*old, "NEW")
    grown = component.require_network().state_dict()
    assert grown.keys() == weights.keys()
    changed = {name for name in weights if grown[name].shape != weights[name].shape}
    assert changed
    for name in weights.keys() - changed:
        assert torch.equal(grown[name], weights[name])
    for name in changed:  # bit for bit
        kept = set(weights[name].flatten().tolist())
        assert kept <= set(grown[name].flatten().tolist())
    if type(network).__name__ not in SHARING:
        for one, other in zip(before, untempered(pipeline, old), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_a_grown_pipeline_is_saved_and_loaded(pipeline, tmp_path):
    pipeline.get_pipe("msvse_ner").add_label("NEW")
    pipeline.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    labels = pipeline.get_pipe("msvse_ner").labels
    assert loaded.get_pipe("msvse_ner").labels == labels
    for one, other in zip(untempered(pipeline, labels), untempered(loaded, labels), strict=True):
        assert torch.equal(one, other)
    examples = with_new_type(loaded)
    optimizer = loaded.resume_training()
    optimizer.learn_rate = 1e-3
    assert loaded.update(examples, sgd=optimizer)["msvse_ner"] > 0


def with_new_type(nlp) -> list[Example]:
    """The posts, and the same ones with a name of the new type."""
    examples = ambiguous_examples(nlp)
    for _ in range(4):
        doc = make_doc(nlp, "visit the nice amazon", image=picture("PER"))
        examples.append(Example.from_dict(doc, {"entities": [(15, 21, "NEW")]}))
    return examples


def test_a_trained_pipeline_learns_the_new_type_and_keeps_the_others(encoder):
    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp, copies=2))
    assert nlp.evaluate(ambiguous_examples(nlp))["ents_f"] == 1.0
    nlp.get_pipe("msvse_ner").add_label("NEW")
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 1e-3
    for _ in range(60):
        nlp.update(with_new_type(nlp), sgd=optimizer, drop=0.0)
        optimizer.step_schedules()
    scores = nlp.evaluate(with_new_type(nlp))
    assert scores["ents_per_type"]["NEW"]["f"] == 1.0
    assert scores["ents_f"] == 1.0
    assert nlp.meta["labels"]["msvse_ner"][-1] == "NEW"


def test_a_frozen_part_and_the_shared_encoder_stay(encoder):
    nlp = tiny_pipeline(encoder, model={"learning_rate_factors": {"encoder": 0}})
    train(nlp, ambiguous_examples(nlp), steps=1)
    component = nlp.get_pipe("msvse_ner")
    inner = component.require_network().encoder
    component.add_label("NEW")
    network = component.require_network()
    assert network.encoder is inner
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())
    assert any(parameter.requires_grad for parameter in network.parameters())
