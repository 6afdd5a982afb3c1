"""Parameters are counted with and without the extractor of pictures, and by component."""

import spacy

from spacy_msvse.evaluation.experiments.parameters import count_parameters

from ...tiny import ambiguous_examples, tiny_pipeline, train


def numel(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_an_extractor_counts_apart_and_once(encoder):
    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp), steps=1)
    component = nlp.get_pipe("msvse_ner")
    network = component.require_network()
    counts = count_parameters(nlp)
    assert counts["parameters"] == counts["trainable_parameters"] == numel(network)
    extractors = {id(one): one for one in component.vision.extractors.values()}
    networks = [one.network for one in extractors.values() if hasattr(one, "network")]
    assert counts["extractor_parameters"] == sum(map(numel, networks))
    network.encoder.requires_grad_(False)
    assert count_parameters(nlp)["trainable_parameters"] == numel(network) - numel(network.encoder)


def test_components_of_spacy_count_too():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("PER")
    nlp.add_pipe("sentencizer")
    nlp.initialize()
    counts = count_parameters(nlp)
    assert counts["extractor_parameters"] == 0
    weights = nlp.get_pipe("ner").model.to_bytes()
    assert 0 < 4 * counts["parameters"] <= len(weights)
    assert counts["trainable_parameters"] == counts["parameters"]
