"""Results are summarised by row, and compared with the full model's."""

import pytest

from spacy_msvse.evaluation.experiments.collate import ALL, collate, find_effects, list_runs
from spacy_msvse.evaluation.experiments.published import find_system
from spacy_msvse.evaluation.experiments.rows import FULL, WITHOUT_PICTURES

from .conftest import write_result


@pytest.fixture
def collated(runs):
    return collate(runs)


def test_a_row_is_the_mean_and_standard_deviation_over_its_seeds(collated):
    full, text_only = collated
    assert full["row"] == FULL
    assert full["seeds"] == [0, 1]
    assert full["f1"] == pytest.approx({"mean": 0.85, "sd": 0.5**0.5 / 10})
    assert full["f1_per_type"]["PER"] == full["f1"]
    assert full["peak_mb"]["mean"] is None
    assert text_only["seeds"] == [1]
    assert text_only["f1"] == {"mean": 0.4, "sd": None}


def test_a_row_is_compared_with_the_full_model_by_the_seeds_of_both(collated):
    full, text_only = collated
    assert full["difference"] is None
    assert text_only["difference"]["f1"] == pytest.approx(-2 / 3)
    assert text_only["difference"]["p"] < 0.01
    # Of the dev posts, the baseline is right on the first ten of twenty.
    assert text_only["dev_difference"]["f1"] == pytest.approx(-1 / 2)


def test_every_run_has_a_row(runs):
    rows = list_runs(runs)
    assert [(row["row"], row["seed"]) for row in rows] == [(FULL, 0), (FULL, 1), ("text_only", 1)]
    assert rows[1]["test_f1"] == 0.9
    assert (rows[1]["steps"], rows[1]["best_step"], rows[1]["seconds"]) == (8, 4, 60.4)


def test_the_effect_of_the_pictures_is_measured_on_all_and_on_marked_posts():
    right, wrong = [[1, 1, 1]] * 10, [[1, 1, 1]] * 6 + [[0, 1, 1]] * 4
    controls = {"no_picture": {"ents_f": 0.6, "post_counts": wrong}}
    own = {"test": {"post_counts": right}, "dev": {}, "controls": controls}
    own |= {"slices": {"picture_decides": [0, 6, 7, 8, 9]}}
    without = {"test": {"post_counts": [[0, 1, 1]] * 10}, "dev": {}}
    effects = find_effects({0: own, 1: own}, {1: without})
    assert {name: effect["posts"] for name, effect in effects.items()} == {
        ALL: 10,
        "picture_decides": 5,
    }
    for name, f1, seeds in ((ALL, 0.6, [0.6, 0.6]), ("picture_decides", 0.2, [0.2, 0.2])):
        control = effects[name]["against"]["no_picture"]
        assert effects[name]["f1"]["mean"] == 1.0
        assert control["f1"]["mean"] == pytest.approx(sum(seeds) / 2)
        assert control["difference"]["f1"] == pytest.approx(1 - f1)
        assert control["difference"]["low"] > 0
        trained = effects[name]["against"][WITHOUT_PICTURES]
        assert trained["f1"] == {"mean": 0.0, "sd": None}
        assert trained["difference"]["f1"] == 1.0
    assert find_effects({0: {**own, "controls": {}}}, {}) == {}


def test_a_row_of_a_method_names_its_published_system(runs):
    full, text_only = collate(runs)
    assert full["published"]["name"] == "MSVSE"
    assert text_only["published"] is None, "four published systems are a CRF on text"
    assert find_system("XLMR-CRF", iter(["spacy-msvse.TextCrf.v1"])).twitter2017 == 89.39
    assert find_system("any", iter(["spacy.TransitionBasedParser.v2"])) is None


def test_rows_of_other_posts_are_not_compared(runs):
    for run in runs:
        if run.row == "text_only" and run.seed == 1:
            write_result(run, 0.4, [[1, 1, 1]] * 7)
    _, text_only = collate(runs)
    assert text_only["difference"] is None
