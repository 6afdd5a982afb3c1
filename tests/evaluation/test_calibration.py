"""Calibration: the fit for entities of known odds, and the error beside scikit-learn's bins."""

from dataclasses import dataclass

import numpy as np
import pytest
import spacy
import torch
from sklearn.calibration import calibration_curve
from spacy.tokens import Doc, Span
from spacy.training import Example

import spacy_msvse
from spacy_msvse import make_doc
from spacy_msvse.component import components
from spacy_msvse.doc import set_predictions
from spacy_msvse.evaluation.calibration import (
    LIMIT,
    Judged,
    calibrate,
    calibration_scores,
    expected_error,
    fit_temperature,
    is_limit,
    judged_confidences,
    log_loss,
    reliability,
)
from spacy_msvse.evaluation.scores import evaluate
from spacy_msvse.network.crf import Lattice

from ..tiny import ambiguous_examples, mixed_examples

# Fit


def coins(share_right: float, logit: float, count: int = 1000) -> Judged:
    """Posts of one token that is an entity with a probability of sigmoid(logit). A share of them is
    right."""
    emissions = torch.zeros(count, 1, 3, dtype=torch.double)
    emissions[:, :, 1] = logit
    emissions[:, :, 2] = -1e4
    lattice = Lattice(
        emissions,
        torch.zeros(3, 3, dtype=torch.double),
        torch.zeros(3, dtype=torch.double),
        torch.zeros(3, dtype=torch.double),
        torch.ones(count, 1, dtype=torch.bool),
    )
    entities = torch.zeros(count, 4, dtype=torch.long)
    entities[:, 0] = torch.arange(count)
    entities[:, 2] = 1
    return Judged(lattice, entities, torch.arange(count) < share_right * count)


@pytest.mark.parametrize(("share", "logit"), [(0.8, 4.0), (0.9, 1.0), (0.6, 0.4)])
def test_the_temperature_makes_confidence_the_share_that_is_right(share, logit):
    batches = [coins(share, logit, 100), coins(share, logit, 900)]
    expected = logit / torch.logit(torch.tensor(share)).item()
    assert fit_temperature(batches) == pytest.approx(expected, rel=1e-3)


def test_the_fit_lowers_the_log_loss():
    batches = [coins(0.7, 5.0)]
    assert log_loss(batches, fit_temperature(batches)) < log_loss(batches, 1.0)


@pytest.mark.parametrize("count", [20, 200])
def test_entities_that_are_all_right_make_the_next_one_likely_but_not_certain(count):
    """By Laplace's rule of succession, right n times of n is n + 1 of n + 2 for the next."""
    expected = 1.0 / torch.logit(torch.tensor((count + 1) / (count + 2))).item()
    fitted = fit_temperature([coins(1.0, 1.0, count)])
    assert fitted == pytest.approx(expected, rel=1e-3)
    assert not is_limit(fitted)


def test_for_entities_that_are_all_wrong_the_fit_ends_at_a_limit():
    fitted = fit_temperature([coins(0.0, 1.0)])
    assert fitted == pytest.approx(LIMIT, rel=0.05)
    assert is_limit(fitted)
    assert not is_limit(fit_temperature([coins(0.999, 4.0)]))


def test_outputs_of_inference_mode_can_be_fitted():
    batch = coins(0.8, 4.0)
    lattice = batch.distribution
    with torch.inference_mode():
        single = Lattice(
            lattice.emissions.float(),
            *(getattr(lattice, name).float() for name in ("transitions", "start", "end")),
            lattice.mask.clone(),
        )
    judged = Judged(single.double(), batch.entities, batch.right)
    assert fit_temperature([judged]) == pytest.approx(fit_temperature([batch]), rel=1e-4)


@dataclass
class ScoredSpans:
    """A distribution that is no lattice: each span is an entity by its own logit."""

    logits: torch.Tensor

    def best_entities(self):
        posts = torch.arange(len(self.logits))
        return torch.stack([posts, 0 * posts, 0 * posts + 1, 0 * posts], dim=1)

    def span_log_probabilities(self, spans):
        return torch.nn.functional.logsigmoid(self.logits[spans[:, 0]])

    def tempered(self, temperature):
        return ScoredSpans(self.logits / temperature)

    def double(self):
        return ScoredSpans(self.logits.double())


def test_the_fit_needs_no_lattice():
    answer = ScoredSpans(torch.full((1000,), 4.0)).double()
    judged = Judged(answer, answer.best_entities(), torch.arange(1000) < 800)
    assert fit_temperature([judged]) == pytest.approx(fit_temperature([coins(0.8, 4.0)]), rel=1e-6)


# A component


@pytest.fixture
def pipeline(trained):
    return spacy.load(trained)


def component_of(nlp):
    ((_, component),) = components(nlp)
    return component


def test_calibration_fits_the_share_of_right_entities(pipeline):
    """Without a picture the type is a guess, of which the network is far too sure."""
    component = component_of(pipeline)
    result = spacy_msvse.calibrate(component, mixed_examples(pipeline), source="dev.spacy")
    assert result.entities == 24
    assert result.temperature == component.temperature > 1
    assert result.log_loss_after < result.log_loss_before
    assert component.cfg["calibration"] == {"entities": 24, "source": "dev.spacy"}
    parameters = component.require_network().parameters()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in parameters)


def test_a_second_calibration_changes_nothing(pipeline):
    component = component_of(pipeline)
    first = calibrate(component, mixed_examples(pipeline))
    again = calibrate(component, mixed_examples(pipeline))
    assert again.temperature == pytest.approx(first.temperature, rel=1e-3)
    assert again.log_loss_before == pytest.approx(first.log_loss_after)


def test_entities_that_are_all_right_make_no_entity_certain(pipeline):
    examples = ambiguous_examples(pipeline, copies=2)
    component_of(pipeline).cfg["temperature"] = 5.0
    assert calibrate(component_of(pipeline), examples).entities == 24
    docs = pipeline.pipe([example.predicted for example in examples])
    confidences = [ent._.confidence for doc in docs for ent in doc.ents]
    assert sum(confidences) / len(confidences) == pytest.approx(25 / 26, abs=0.03)


def test_too_few_entities_leave_the_temperature(pipeline):
    component = component_of(pipeline)
    component.cfg["temperature"] = 2.0
    doc = make_doc(pipeline, "saw jordan")
    unannotated = Example(doc, doc.copy())
    for examples, count in (([], 0), ([unannotated], 0), (mixed_examples(pipeline)[:19], 19)):
        with pytest.warns(UserWarning, match=f"MSVSE-W008.*only {count} "):
            result = calibrate(component, examples)
        assert (result.temperature, result.entities) == (2.0, count)
        assert result.log_loss_after == result.log_loss_before
    assert component.temperature == 2.0
    assert component.cfg["calibration"] is None


def test_a_temperature_at_the_limit_is_not_taken(pipeline, monkeypatch):
    monkeypatch.setattr("spacy_msvse.evaluation.calibration.fit_temperature", lambda _: 10.0)
    with pytest.warns(UserWarning, match="MSVSE-W008.*at the limit, 10"):
        result = calibrate(component_of(pipeline), mixed_examples(pipeline))
    assert result.temperature == component_of(pipeline).temperature == 1.0


def test_a_temperature_that_is_no_better_is_not_taken(pipeline, monkeypatch):
    component = component_of(pipeline)
    best = calibrate(component, mixed_examples(pipeline)).temperature
    monkeypatch.setattr("spacy_msvse.evaluation.calibration.fit_temperature", lambda _: best * 2)
    assert calibrate(component, mixed_examples(pipeline)).temperature == best


def test_a_calibration_is_saved_until_training_continues(pipeline, tmp_path):
    result = calibrate(component_of(pipeline), mixed_examples(pipeline), source="dev.spacy")
    pipeline.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    component = component_of(loaded)
    assert component.temperature == pytest.approx(result.temperature)
    assert component.cfg["calibration"] == {"entities": 24, "source": "dev.spacy"}
    examples = ambiguous_examples(loaded)
    with pytest.warns(UserWarning, match="MSVSE-W007"):
        loaded.update(examples, sgd=loaded.resume_training())
    assert (component.temperature, component.cfg["calibration"]) == (1.0, None)


# Measurement


def post(nlp, confidences, right) -> Example:
    """A post whose every token is an entity, predicted with a confidence, and right or wrong."""
    words = ["jordan"] * len(confidences)
    predicted, gold = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words)
    spans = [Span(predicted, i, i + 1, "PER") for i in range(len(words))]
    predicted.set_ents(spans)
    set_predictions(predicted, "msvse_ner", spans, confidences)
    gold.set_ents([Span(gold, i, i + 1, "PER" if ok else "LOC") for i, ok in enumerate(right)])
    return Example(predicted, gold)


def posts(nlp, exponent: float, count: int = 2000, seed: int = 0) -> list[Example]:
    """Entities of confidence p of which a share of p ** exponent is right."""
    generator = np.random.default_rng(seed)
    confidences = generator.random(count)
    right = generator.random(count) < confidences**exponent
    pairs = zip(confidences.reshape(-1, 4), right.reshape(-1, 4), strict=True)
    return [post(nlp, *pair) for pair in pairs]


def test_the_error_of_calibrated_confidences_is_near_0(nlp):
    scores = calibration_scores(posts(nlp, exponent=1.0))
    assert scores["entities"] == 2000
    assert scores["ece"] < 0.03
    low, high = scores["ece_interval"]
    assert 0 <= low < high < 0.06


def test_the_error_of_overconfident_entities_is_their_distance(nlp):
    """The mean of p - p ** 3 over [0, 1] is 1/2 - 1/4."""
    scores = calibration_scores(posts(nlp, exponent=3.0))
    assert scores["ece"] == pytest.approx(0.25, abs=0.02)
    low, high = scores["ece_interval"]
    assert low < 0.25 < high


@pytest.mark.parametrize("seed", [3, 19, 22])
def test_the_error_of_few_entities_lies_in_its_interval(nlp, seed):
    """Without the correction, these errors lie below the interval."""
    scores = calibration_scores(posts(nlp, exponent=1.0, count=40, seed=seed))
    low, high = scores["ece_interval"]
    assert low <= scores["ece"] <= high


def test_the_bins_are_scikit_learns_of_equally_many_entities(nlp):
    examples = posts(nlp, exponent=2.0, count=1000)
    _, confidence, right = judged_confidences(examples)
    bins = calibration_scores(examples)["bins"]
    precisions, confidences = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
    assert [row["entities"] for row in bins] == [100] * 10
    assert [row["confidence"] for row in bins] == pytest.approx(confidences.tolist())
    assert [row["precision"] for row in bins] == pytest.approx(precisions.tolist())


def test_bins_are_weighted_by_their_entities():
    sizes, confidences, precisions = reliability(
        np.asarray([0.5] * 11), np.asarray([True, False] + [True] * 9)
    )
    assert sizes.tolist() == [2] + [1] * 9
    assert expected_error(sizes, confidences, precisions) == pytest.approx(9 * 0.5 / 11)


def test_fewer_entities_than_bins_have_a_bin_each(nlp):
    scores = calibration_scores([post(nlp, [0.9, 0.4], [True, False])])
    assert [row["entities"] for row in scores["bins"]] == [1, 1]
    assert scores["ece"] == pytest.approx((0.1 + 0.4) / 2)


def test_the_bootstrap_draws_whole_posts_and_is_repeatable(nlp):
    """Two posts, of which one is all right and the other all wrong."""
    examples = [post(nlp, [1.0] * 5, [True] * 5), post(nlp, [1.0] * 5, [False] * 5)]
    scores = calibration_scores(examples)
    assert scores["ece"] == pytest.approx(0.5)
    assert scores["ece_interval"] == pytest.approx([0.0, 1.0], abs=0.05)
    assert calibration_scores(examples) == scores


def test_a_pipeline_without_confidences_is_scored_without_calibration(nlp):
    examples = [Example(Doc(nlp.vocab, words=["a"]), Doc(nlp.vocab, words=["a"]))]
    scores = evaluate(nlp, examples)
    assert scores["calibration"]["ece"] is None
    assert scores["calibration"]["bins"] == []


# Posts with and without a view


@pytest.fixture
def optional(pipeline):
    """A pipeline that was trained without the picture's views at random."""
    component_of(pipeline).view_dropout = dict.fromkeys(("regions", "tags", "caption"), 0.3)
    return pipeline


def test_posts_with_and_without_a_view_have_temperatures_of_their_own(optional):
    component = component_of(optional)
    examples = ambiguous_examples(optional, copies=2)
    result = calibrate(component, examples, source="dev.spacy")
    assert result.without is not None
    assert (result.entities, result.without.entities) == (24, 24)
    # Without the picture, the network is sure of a guess.
    assert result.without.temperature > 2 * result.temperature
    assert component.cfg["without_views"] == {
        "views": ["regions", "tags", "caption"],
        "temperature": result.without.temperature,
        "entities": 24,
        "source": "dev.spacy",
    }
    # Each part equals the fit of a pipeline that gets only such posts.
    component.view_dropout = {}
    assert calibrate(component, ambiguous_examples(optional, copies=2)).without is None
    assert component.temperature == pytest.approx(result.temperature, rel=1e-6)
    bare = ambiguous_examples(optional, copies=2)
    for example in bare:
        example.predicted._.image = None
    calibrate(component, bare)
    assert component.temperature == pytest.approx(result.without.temperature, rel=1e-3)


def test_each_post_of_a_batch_gets_its_own_temperature(optional):
    component = component_of(optional)
    calibrate(component, ambiguous_examples(optional, copies=2))
    posts = [example.predicted for example in ambiguous_examples(optional)]
    for doc in posts[::2]:
        doc._.image = None

    def confidences(docs):
        return [ent._.confidence for doc in docs for ent in doc.ents]

    together = confidences(optional.pipe([doc.copy() for doc in posts]))
    alone = confidences([optional(doc.copy()) for doc in posts])
    assert together == pytest.approx(alone, abs=1e-5)
    without = component.cfg["without_views"]
    for temperature, part in (
        (component.temperature, posts[1::2]),
        (without["temperature"], posts[::2]),
    ):
        component.cfg.update(temperature=temperature, without_views=None)
        assert confidences(optional.pipe([doc.copy() for doc in part])) == pytest.approx(
            [score for post, score in zip(posts, together, strict=True) if post in part], abs=1e-5
        )
        component.cfg["without_views"] = without


def test_the_effect_of_the_pictures_compares_calibrated_confidences(optional):
    component = component_of(optional)
    calibrate(component, ambiguous_examples(optional, copies=2))
    doc = ambiguous_examples(optional)[0].predicted
    ((effect,),) = component.explain_pictures([doc])
    bare = make_doc(optional, [token.text for token in doc])
    (expected,) = optional(bare).ents
    assert effect.without_picture.confidence == pytest.approx(expected._.confidence, abs=1e-5)


def test_both_temperatures_are_saved_scored_and_reset_by_training(optional, tmp_path):
    component = component_of(optional)
    result = calibrate(component, ambiguous_examples(optional, copies=2))
    optional.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    saved = component_of(loaded).temperatures
    assert saved.temperature == pytest.approx(result.temperature)
    assert saved.without == pytest.approx(result.without.temperature)
    scores = evaluate(loaded, ambiguous_examples(loaded))
    assert scores["temperatures"] == {
        "msvse_ner": saved.temperature,
        "msvse_ner without regions, tags, caption": saved.without,
    }
    with pytest.warns(UserWarning, match="MSVSE-W007"):
        loaded.update(ambiguous_examples(loaded), sgd=loaded.resume_training())
    assert component_of(loaded).cfg["without_views"] is None


def test_without_posts_that_have_the_view_only_the_other_temperature_is_fitted(optional):
    examples = ambiguous_examples(optional, copies=2)
    for example in examples:
        example.predicted._.image = None
    with pytest.warns(UserWarning, match="'msvse_ner' stays at 1.000: only 0 predicted"):
        result = calibrate(component_of(optional), examples)
    assert not result.determined
    assert result.without.determined


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": [], "temperature": 1.0, "entities": 1, "source": None},
        {"views": ["ocr"], "temperature": 0.0, "entities": 1, "source": None},
        {"views": ["ocr"], "temperature": 1.0, "entities": -1, "source": None},
        {"views": ["ocr"], "temperature": 1.0},
        [1.0],
    ],
)
def test_a_saved_temperature_of_another_type_or_range_is_refused(pipeline, tmp_path, wrong):
    component_of(pipeline).cfg["without_views"] = wrong
    pipeline.to_disk(tmp_path)
    with pytest.raises(spacy_msvse.MsvseError, match=r"MSVSE-E006.*without_views"):
        spacy.load(tmp_path)
