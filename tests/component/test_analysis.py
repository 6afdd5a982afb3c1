"""Analyses of predictions: all of them use the lattice that gives the entities."""

import json
import pickle
from dataclasses import asdict
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.crf import BioCRF, Lattice, label_entities
from spacy_msvse.network.inputs import Outputs

from ..tiny import (
    COLOURS,
    NAMES,
    ambiguous_examples,
    entities,
    mixed_examples,
    picture,
    tiny_pipeline,
    train,
)
from .test_serialization import answers, via_bytes, via_disk, via_pickle


@pytest.fixture
def copy(trained):
    """A copy of the trained pipeline that may be changed."""
    return pickle.loads(pickle.dumps(trained))


def ner(nlp):
    return nlp.get_pipe("msvse_ner")


def posts(nlp, text="saw jordan today"):
    """A post with each picture, one without, and one without words."""
    docs = [make_doc(nlp, text, image=picture(label)) for label in COLOURS]
    return [*docs, make_doc(nlp, text), make_doc(nlp, "")]


# Other readings


def test_the_best_labelling_holds_the_entities_that_are_predicted(trained):
    docs = posts(trained)
    predictions = ner(trained).predict(docs)
    for labellings, prediction in zip(
        ner(trained).best_labellings(docs, 3), predictions, strict=True
    ):
        assert labellings[0].entities == [entity[:3] for entity in prediction.entities]
        probabilities = [labelling.probability for labelling in labellings]
        assert probabilities == sorted(probabilities, reverse=True)
    assert all(not doc.ents for doc in docs)


def test_every_reported_probability_is_a_sum_over_labellings(copy):
    """Confidence and marginals are sums over labellings, by any temperature."""
    ner(copy).cfg["temperature"] = 3.0
    docs = posts(copy, "jordan saw")[:4]
    marginals = ner(copy).label_marginals(docs)
    labellings = ner(copy).best_labellings(docs, 1000)
    predictions = ner(copy).predict(docs)
    for doc, rows, told, prediction in zip(docs, marginals, labellings, predictions, strict=True):
        assert sum(labelling.probability for labelling in told) == pytest.approx(1, abs=1e-5)
        for *entity, confidence in prediction.entities:
            holding = [x.probability for x in told if tuple(entity) in x.entities]
            assert confidence == pytest.approx(sum(holding), abs=1e-5)
        for name in ner(copy).labels:
            begins = [x for x in told if any(e[0] == 0 and e[2] == name for e in x.entities)]
            column = ner(copy).bio_labels.index(f"B-{name}")
            expected = sum(labelling.probability for labelling in begins)
            assert rows[0, column] == pytest.approx(expected, abs=1e-5)
        assert rows.shape == (len(doc), 7)
        assert rows.sum(axis=1) == pytest.approx(np.ones(len(doc)), abs=1e-5)


def test_an_empty_post_has_one_labelling_and_no_marginals(trained):
    doc = trained.make_doc("")
    (labellings,) = ner(trained).best_labellings([doc], 5)
    assert [(x.entities, x.probability) for x in labellings] == [([], 1.0)]
    assert ner(trained).label_marginals([doc])[0].shape == (0, 7)


def test_less_than_one_labelling_is_a_coded_error(trained):
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        ner(trained).best_labellings([], 0)


# Confidence


def test_a_temperature_changes_confidences_and_no_entity(trained, copy):
    ner(copy).cfg["temperature"] = 2.0
    for (expected, before), (found, after) in zip(answers(trained), answers(copy), strict=True):
        assert found == expected
        assert max(after) < min(before)


def single_precision(nlp, tokens: int) -> Lattice:
    """A post that the network is unsure of."""
    torch.manual_seed(0)
    crf = BioCRF(len(ner(nlp).labels))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter).requires_grad_(False)
    return crf(torch.randn(1, tokens, crf.num_labels), torch.ones(1, tokens).bool())


def decoded(nlp, lattice: Lattice):
    """The prediction for a lattice, as if the network had computed it."""
    predictor = ner(nlp).predictor
    (post,) = predictor.read([nlp.make_doc("saw")])
    (prediction,) = predictor.decode([post], Outputs(lattice))
    return prediction


def enumerated(lattice: Lattice) -> list[tuple[np.ndarray, float]]:
    """Every labelling and its probability."""
    paths = list(product(range(lattice.emissions.shape[2]), repeat=lattice.emissions.shape[1]))
    scores = []
    for path in paths:
        score = lattice.start[path[0]] + lattice.end[path[-1]]
        score = score + sum(lattice.emissions[0, t, label] for t, label in enumerate(path))
        scores.append(score + sum(lattice.transitions[step] for step in pairwise(path)))
    weights = torch.stack(scores).double().softmax(0).tolist()
    return list(zip(map(np.asarray, paths), weights, strict=True))


def spans_of(path: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(row[1:]) for row in label_entities(torch.tensor(path[None])).tolist()}


def test_probabilities_equal_enumeration(trained):
    lattice = single_precision(trained, 4)
    prediction = decoded(trained, lattice)
    labellings = enumerated(lattice.double())
    assert prediction.entities
    for start, end, label, confidence in prediction.entities:
        entity = (start, end, ner(trained).labels.index(label))
        holding = [weight for path, weight in labellings if entity in spans_of(path)]
        assert confidence == pytest.approx(sum(holding), abs=1e-6)


def test_the_confidence_of_a_post_is_the_lowest_over_entities_and_tokens_without_one(trained):
    lattice = single_precision(trained, 4)
    prediction = decoded(trained, lattice)
    labellings = enumerated(lattice.double())
    covered = {t for start, end, *_ in prediction.entities for t in range(start, end)}
    outside = [
        sum(weight for path, weight in labellings if path[token] == 0)
        for token in range(4)
        if token not in covered
    ]
    assert outside
    found = [confidence for *_, confidence in prediction.entities]
    assert prediction.confidence == pytest.approx(min(found + outside), abs=1e-6)


def test_a_nearly_found_entity_lowers_the_confidence_of_a_post(trained):
    """Only the probability of an entity that is not found differs."""
    lattice = single_precision(trained, 3)
    lattice.emissions[:] = 0
    lattice.emissions[..., 0] = 20.0
    sure = decoded(trained, lattice)
    lattice.emissions[0, 1, 1] = 18.0
    nearly = decoded(trained, lattice)
    assert sure.entities == nearly.entities == []
    assert nearly.confidence < 0.9 < 0.999 < sure.confidence


class Mute:
    """An answer without the probability of "no entity", as a method of a user may have."""

    def __init__(self, lattice):
        self.lattice = lattice
        self.best_entities = lattice.best_entities
        self.span_log_probabilities = lattice.span_log_probabilities

    def double(self):
        return Mute(self.lattice.double())

    def tempered(self, temperature):
        return Mute(self.lattice.tempered(temperature))


def test_an_answer_that_has_no_confidence_of_posts_is_a_coded_error(copy, monkeypatch):
    network = ner(copy).require_network()
    answer = network.answer
    monkeypatch.setattr(network, "answer", lambda outputs: Mute(answer(outputs)))
    doc = copy(posts(copy)[0])
    assert doc.ents
    assert doc._.confidence is None
    with pytest.raises(MsvseError, match="MSVSE-E260"):
        ner(copy).post_confidences(posts(copy))


def test_probabilities_in_a_long_post_are_as_exact(trained):
    """The probability of an entity is the weight of the labellings that contain it."""
    lattice = single_precision(trained, 5_000)
    prediction = decoded(trained, lattice)
    whole = lattice.double()
    everything = whole.log_partition()
    assert len(prediction.entities) > 100
    for start, end, label, confidence in prediction.entities[:: len(prediction.entities) // 2]:
        begin = ner(trained).bio_labels.index(f"B-{label}")
        allowed = torch.ones_like(whole.emissions, dtype=torch.bool)
        allowed[0, start:end] = False
        allowed[0, start, begin] = True
        allowed[0, start + 1 : end, begin + 1] = True
        allowed[0, end : end + 1, begin + 1] = False
        share = whole.restrict(allowed).log_partition() - everything
        assert confidence == pytest.approx(float(share.exp()), abs=1e-6)


def test_entities_below_the_minimum_are_left_out(copy):
    ner(copy).cfg["temperature"] = 2.0
    doc = copy(posts(copy)[0])
    confidence = doc.ents[0]._.confidence
    ner(copy).min_confidence = confidence + 0.01
    doc = copy(doc)
    assert doc.ents == ()
    assert len(doc.spans["msvse_ner"]) == len(doc.spans["msvse_ner"].attrs["scores"]) == 0
    ner(copy).min_confidence = confidence - 0.01
    assert len(copy(doc).ents) == 1


@pytest.mark.parametrize("via", [via_disk, via_bytes, via_pickle])
def test_the_minimum_is_saved_as_it_was_set_last(copy, tmp_path, via):
    assert ner(copy).min_confidence == 0.0
    ner(copy).min_confidence = 0.4
    assert ner(via(copy, tmp_path)).min_confidence == 0.4


def test_the_minimum_is_a_setting(encoder):
    assert ner(tiny_pipeline(encoder, min_confidence=0.3)).min_confidence == 0.3
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        tiny_pipeline(encoder, min_confidence=1.5)


def test_precision_does_not_fall_as_the_minimum_rises(encoder):
    """Half of the posts have no picture, and only the picture decides the type. Training had other
    posts of both kinds, so the network gives guessed types a low confidence."""
    nlp = tiny_pipeline(encoder)
    train(nlp, mixed_examples(nlp))
    examples = []
    for name, label, seen in product(NAMES, COLOURS, (True, False)):
        doc = make_doc(nlp, f"saw {name} again", image=picture(label, seed=7) if seen else None)
        examples.append(Example.from_dict(doc, {"entities": [(4, 4 + len(name), label)]}))
    precisions, kept = [], []
    for minimum in np.arange(0, 1, 0.1):
        ner(nlp).min_confidence = float(minimum)
        docs = nlp.pipe([example.predicted for example in examples])
        scored = [Example(doc, eg.reference) for doc, eg in zip(docs, examples, strict=True)]
        predicted = sum(len(example.predicted.ents) for example in scored)
        if not predicted:
            break
        precisions.append(nlp.get_pipe("msvse_ner").score(scored)["ents_p"])
        kept.append(predicted)
    assert precisions == sorted(precisions)
    assert kept == sorted(kept, reverse=True)
    assert precisions[-1] > precisions[0] + 0.1
    assert kept[-1] >= 6


# Pictures


def test_an_effect_names_the_change_of_the_label(trained):
    docs = posts(trained)
    guess = entities(trained(make_doc(trained, "saw jordan today")))[0][1]
    effects = ner(trained).explain_pictures(docs)
    assert len(effects) == len(docs)
    for label, (effect,) in zip(COLOURS, effects[: len(COLOURS)], strict=True):
        assert (effect.start, effect.end) == (1, 2)
        assert effect.with_picture.label == label
        assert effect.without_picture.label == guess
    confidence = trained(docs[0]).ents[0]._.confidence
    assert effects[0][0].with_picture.confidence == pytest.approx(confidence, abs=1e-5)


def test_without_a_picture_there_is_no_effect(trained):
    *_, (effect,), empty = ner(trained).explain_pictures(posts(trained))
    assert effect.with_picture.label == effect.without_picture.label
    assert effect.with_picture.confidence == pytest.approx(
        effect.without_picture.confidence, abs=1e-5
    )
    assert effect.attention == {}
    assert effect.regions == []
    assert empty == []


def test_given_views_are_left_out_as_well(trained):
    doc = make_doc(trained, "saw jordan today", tags=["red"], caption="a picture of red")
    ((effect,),) = ner(trained).explain_pictures([doc])
    ((bare,),) = ner(trained).explain_pictures([make_doc(trained, "saw jordan today")])
    assert effect.without_picture == bare.without_picture
    assert set(effect.attention) == {"tags", "caption"}


def test_attention_is_a_share_that_the_regions_divide(trained):
    """The tiny extractor fills three regions."""
    docs = posts(trained)[: len(COLOURS)]
    for (effect,), doc in zip(ner(trained).explain_pictures(docs), docs, strict=True):
        assert set(effect.attention) == {"regions", "tags", "caption"}
        assert 0 < sum(effect.attention.values()) < 1
        assert sum(effect.regions) == pytest.approx(effect.attention["regions"], abs=1e-5)
        assert len(effect.regions) == len(trained(doc)._.image_regions) == 3


def test_explaining_changes_no_doc_and_can_be_written_as_json(trained):
    docs = posts(trained)
    before = [doc.to_bytes() for doc in docs]
    effects = ner(trained).explain_pictures(docs)
    assert [doc.to_bytes() for doc in docs] == before
    written = [[asdict(effect) for effect in answer] for answer in effects]
    assert json.loads(json.dumps(written)) == written


def test_a_span_that_only_one_pass_finds_is_reported_with_its_probability_in_the_other(encoder):
    """Here a name is an entity only if the post has a picture. The probability of the other pass is
    a sum over all its labellings."""
    nlp = tiny_pipeline(encoder)
    blind = [Example.from_dict(make_doc(nlp, f"saw {name} today"), {}) for name in NAMES]
    for example in blind:
        example.reference.set_ents([], default="outside")
    train(nlp, ambiguous_examples(nlp) + 3 * blind)
    doc, bare = make_doc(nlp, "saw jordan today", image=picture("PER")), nlp("saw jordan today")
    assert not bare.ents
    ((effect,),) = ner(nlp).explain_pictures([doc])
    assert effect.with_picture.is_predicted
    assert effect.without_picture.label == effect.with_picture.label == "PER"
    assert not effect.without_picture.is_predicted
    (labellings,) = ner(nlp).best_labellings([nlp.make_doc(bare.text)], 1000)
    holding = [x.probability for x in labellings if (1, 2, "PER") in x.entities]
    assert 0 < effect.without_picture.confidence < 0.5
    assert effect.without_picture.confidence == pytest.approx(sum(holding), rel=1e-3)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_effects_do_not_depend_on_how_posts_are_batched(copy, size):
    docs = [*posts(copy), *posts(copy, "saw florence again and amazon today")]
    expected = [effect for doc in docs for effect in ner(copy).explain_pictures([doc])[0]]
    ner(copy).max_batch_tokens = size
    found = [effect for effects in ner(copy).explain_pictures(docs) for effect in effects]
    for one, other in zip(found, expected, strict=True):
        assert (one.start, one.end) == (other.start, other.end)
        for mine, theirs in (
            (one.with_picture, other.with_picture),
            (one.without_picture, other.without_picture),
        ):
            assert (mine.label, mine.is_predicted) == (theirs.label, theirs.is_predicted)
            assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-5)
        assert one.attention == pytest.approx(other.attention, abs=1e-5)


def test_a_pipeline_without_views_has_no_effects(encoder):
    model = {"prefix_views": [], "joint_views": [], "visual_classifier": False}
    nlp = tiny_pipeline(encoder, model=model)
    train(nlp, ambiguous_examples(nlp), steps=20)
    ((effect,),) = ner(nlp).explain_pictures([make_doc(nlp, "saw jordan today")])
    assert effect.with_picture == effect.without_picture
    assert effect.attention == {}


def test_every_analysis_takes_one_doc_or_several(trained):
    doc = posts(trained)[0]
    component = ner(trained)
    assert component.best_labellings(doc, 2) == component.best_labellings([doc], 2)
    assert np.array_equal(component.label_marginals(doc)[0], component.label_marginals([doc])[0])
    assert component.post_confidences(doc) == component.post_confidences([doc])
    assert component.explain_pictures(doc) == component.explain_pictures([doc])
