"""Plots of scores."""

from xml.etree import ElementTree

import pytest

from spacy_msvse.evaluation.conlleval import match_scores, typed_scores
from spacy_msvse.evaluation.plots import draw_plots
from spacy_msvse.evaluation.visual import Mention

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def scores():
    gold = {Mention(0, "PER"), Mention(1, "$A$ <&> $B$")}
    scored = typed_scores({Mention(0, "PER")}, gold)
    bins = [{"entities": 1, "confidence": 0.8, "precision": 1.0}]
    return {
        "conlleval": scored,
        "seen": match_scores(set(), set()),
        "unseen": match_scores(set(), set()),
        "visual": {"regions": scored, "tags": typed_scores(set(), {Mention(0, "PER")})},
        "calibration": {"ece": 0.2, "bins": bins},
    }


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]


def test_the_plots_show_what_was_scored(scores):
    plots = draw_plots(scores)
    assert {"all types (2)", "PER (1)", "seen (0)", "100.0"} <= set(texts(plots["types"]))
    assert {"regions", "tags", "PER"} <= set(texts(plots["visual"]))
    assert "Expected calibration error 20.0" in texts(plots["reliability"])


def test_a_label_is_text_and_neither_a_formula_nor_markup(scores):
    assert "$A$ <&> $B$ (1)" in texts(draw_plots(scores)["types"])


def test_the_same_scores_give_the_same_files(scores):
    assert draw_plots(scores) == draw_plots(scores)


def test_what_was_not_measured_is_not_drawn(scores):
    del scores["visual"]
    scores["calibration"]["bins"] = []
    assert set(draw_plots(scores)) == {"types"}


def test_the_settings_of_the_user_stay_as_they_are(scores):
    before = dict(matplotlib.rcParams)
    draw_plots(scores)
    assert dict(matplotlib.rcParams) == before
