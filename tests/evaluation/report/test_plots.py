"""Plots of scores."""

from xml.etree import ElementTree

import matplotlib
import pytest

from spacy_msvse.evaluation.exact import Entity, Matches, entity_scores, seen_scores
from spacy_msvse.evaluation.report.plots import draw_plots


@pytest.fixture
def scores():
    per, loc = Entity("PER", "jordan"), Entity("$A$ <&> $B$", "amman")
    matches = Matches(gold=[per, loc], predicted=[per], right=[per])
    visual = {"per_type": {"PER": {"f": 1.0}, "LOC": {"f": 0.4}}}
    bins = [{"entities": 1, "confidence": 0.8, "precision": 1.0}]
    return {
        **entity_scores(matches),
        **seen_scores(matches, {per}),
        "visual": {"regions": visual, "tags": {"per_type": {"PER": {"f": 0.5}}}},
        "calibration": {"ece": 0.2, "bins": bins},
    }


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]


def test_the_plots_show_the_scores(scores):
    plots = draw_plots(scores)
    assert {"all types (2)", "PER (1)", "seen (1)", "unseen (1)", "100.0"} <= set(
        texts(plots["types"])
    )
    assert {"regions", "tags", "PER"} <= set(texts(plots["visual"]))
    assert "Expected calibration error 20.0" in texts(plots["reliability"])


def test_a_label_is_neither_a_formula_nor_markup(scores):
    assert "$A$ <&> $B$ (1)" in texts(draw_plots(scores)["types"])


def test_the_same_scores_give_the_same_files(scores):
    assert draw_plots(scores) == draw_plots(scores)


def test_scores_that_were_not_measured_are_not_drawn(scores):
    del scores["visual"]
    scores["calibration"]["bins"] = []
    assert set(draw_plots(scores)) == {"types"}


def test_the_settings_of_the_user_stay_as_they_are(scores):
    before = dict(matplotlib.rcParams)
    draw_plots(scores)
    assert dict(matplotlib.rcParams) == before
