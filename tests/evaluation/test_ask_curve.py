"""The curve of asking for unsure posts, against each threshold by hand."""

import json
import random

import numpy as np
import pytest
import spacy
from spacy.training import Example

from spacy_msvse import make_doc
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.ask_curve import Curve, ask_curve, choose_views
from spacy_msvse.evaluation.report.ask_curve import ask_curve_page

from ..tiny import ambiguous_examples, picture, save_encoder, tiny_pipeline, train


def f1(rows) -> float:
    right, predicted, gold = np.asarray(rows).sum(axis=0)
    return 2 * right / (predicted + gold)


def make_posts(total=200, seed=0):
    """Confidences, of which some are equal, and counts without and with answers."""
    generator = np.random.default_rng(seed)
    confidences = generator.choice([0.31, 0.32, 0.4, 0.5000001, 0.5000002, 0.9, 1.0], total)
    gold = generator.integers(1, 3, total)
    right = generator.integers(0, gold + 1)
    better = np.minimum(right + generator.integers(0, 2, total), gold)
    without, with_answers = (np.stack([r, gold, gold], axis=1) for r in (right, better))
    return confidences, without, with_answers


@pytest.mark.parametrize("seed", range(3))
def test_each_point_is_that_of_its_threshold(seed):
    confidences, without, with_answers = make_posts(seed=seed)
    curve = Curve(confidences, without, with_answers, seed=0)
    points = curve.points()
    assert len(points) == len(set(confidences)) + 1
    for point in points:
        below = point["below"]
        asked = confidences < below if below is not None else np.full(len(confidences), True)
        assert point["asked"] == asked.sum()
        assert point["share"] == asked.mean()
        assert point["f"] == pytest.approx(f1(np.where(asked[:, None], with_answers, without)))
        if below is not None:
            assert curve.at_threshold(below) == point
    assert [points[0]["below"], points[-1]["below"]] == [0.0, None]


def test_a_threshold_is_short_and_not_near_a_confidence():
    values = np.asarray([0.31, 0.32, 0.4, 0.6, 0.6000001, 0.9])
    counts = np.tile([0, 1, 1], (6, 1))
    points = Curve(values, counts, counts, seed=0).points()
    found = [str(point["below"]) for point in points]
    assert found == ["0.0", "0.315", "0.36", "0.5", "0.60000005", "0.8", "1.0"]


@pytest.mark.parametrize("seed", range(3))
def test_the_chosen_point_has_the_fewest_posts_that_reach_the_target(seed):
    confidences, without, with_answers = make_posts(seed=seed)
    curve = Curve(confidences, without, with_answers, seed=0)
    none, everything = f1(without), f1(with_answers)
    for gain in (0.0, 0.5, 0.9, 1.0):
        target = none + gain * (everything - none)
        point = curve.first_above(target)
        assert point["f"] >= target
        fewer = [one for one in curve.points() if one["asked"] < point["asked"]]
        assert all(one["f"] < target for one in fewer)


def test_random_asking_is_the_mean_over_random_posts():
    confidences, without, with_answers = make_posts()
    curve = Curve(confidences, without, with_answers, seed=0)
    generator, rows = random.Random(1), range(len(confidences))
    for point in curve.points():
        drawn = [set(generator.sample(rows, point["asked"])) for _ in range(1000)]
        scores = [f1([(with_answers if n in one else without)[n] for n in rows]) for one in drawn]
        assert point["f_random"] == pytest.approx(np.mean(scores), abs=0.005)
    again = Curve(confidences, without, with_answers, seed=0)
    assert again.points() == curve.points()
    half = (f1(without) + f1(with_answers)) / 2
    assert curve.random_share(half) == pytest.approx(0.5, abs=0.1)
    assert curve.random_share(f1(with_answers)) == 1


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline that knows the type of "jordan" only by the picture. Do not change it."""
    nlp = tiny_pipeline(save_encoder(tmp_path_factory.mktemp("curve") / "encoder"))
    with_picture, without = ambiguous_examples(nlp), ambiguous_examples(nlp)
    for example in without:
        example.predicted._.image = None
    sure = [
        Example.from_dict(
            make_doc(nlp, "visit the amazon again", image=image), {"entities": [(10, 16, "ORG")]}
        )
        for image in (picture("ORG"), None)
        for _ in range(6)
    ]
    train(nlp, [*with_picture, *without, *sure], steps=60)
    return nlp


def make_examples(nlp):
    sure = [
        Example.from_dict(
            make_doc(nlp, "visit the amazon again", image=picture("ORG", seed)),
            {"entities": [(10, 16, "ORG")]},
        )
        for seed in range(12)
    ]
    return [*sure, *ambiguous_examples(nlp)]


VIEWS = ("regions", "tags", "caption")


def test_unsure_posts_gain_and_are_asked_for_first(pipeline):
    examples = make_examples(pipeline)
    curve = ask_curve(pipeline, examples, views=VIEWS)
    assert (curve["posts"], curve["answered"], curve["views"]) == (24, 24, [*VIEWS])
    assert curve["with"] == 1
    assert curve["without"] == pytest.approx(16 / 24, abs=0.1)
    assert curve["gain"]["f1"] == pytest.approx(curve["with"] - curve["without"])
    assert 0 < curve["gain"]["low"] <= curve["gain"]["f1"] <= curve["gain"]["high"]
    # Only half of the posts gain. They are the least confident ones.
    assert curve["chosen"]["asked"] <= 12
    assert curve["chosen"]["f"] >= curve["without"] + 0.9 * curve["gain"]["f1"]
    assert curve["random_share"] > 0.75
    assert not examples[0].predicted.ents, "the examples are not changed"
    assert pipeline.get_pipe("msvse_ner").masked_views == ()
    assert json.loads(json.dumps(curve)) == curve


def test_a_threshold_of_other_posts_is_scored(pipeline):
    chosen = ask_curve(pipeline, make_examples(pipeline), views=VIEWS)["chosen"]
    other = ask_curve(pipeline, make_examples(pipeline)[6:], views=VIEWS, below=chosen["below"])
    assert other["given"]["asked"] == chosen["asked"]
    page = ask_curve_page(other)
    assert f"--ask-below {chosen['below']}: {100 * other['given']['share']:.2f}% of" in page


def test_without_a_gain_no_threshold_is_chosen(pipeline):
    examples = make_examples(pipeline)[:12]
    curve = ask_curve(pipeline, examples, views=VIEWS)
    assert curve["with"] == curve["without"] == 1
    assert (curve["chosen"], curve["random_share"]) == (None, None)
    assert "90%" not in ask_curve_page(curve)


def test_posts_without_the_view_are_named(pipeline):
    examples = make_examples(pipeline)
    for example in examples[:20]:
        example.predicted._.image = None
    assert ask_curve(pipeline, examples, views=VIEWS)["answered"] == 4
    with pytest.raises(MsvseError, match=r"MSVSE-E264\] None of the 20 posts .* regions, tags"):
        ask_curve(pipeline, examples[:20], views=VIEWS)


def test_a_view_that_is_not_read_is_a_coded_error(pipeline):
    with pytest.raises(MsvseError, match=r"MSVSE-E263.*'knowledge'.*caption, regions, tags"):
        choose_views(pipeline)
    with pytest.raises(MsvseError, match=r"MSVSE-E263.*'ocr'"):
        ask_curve(pipeline, [], views=["tags", "ocr"])
    with pytest.raises(MsvseError, match=r"MSVSE-E263.*reads: none\."):
        choose_views(spacy.blank("en"))


def test_the_page_has_a_row_for_each_point(pipeline):
    curve = ask_curve(pipeline, make_examples(pipeline), views=VIEWS)
    page = ask_curve_page(curve)
    assert page.count("\n|") == len(curve["curve"]) + 1
    assert f"--ask-below {curve['chosen']['below']} (F1 " in page
