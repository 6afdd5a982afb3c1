"""Results are summarised by row, and compared with the full model's."""

from functools import partial

import pytest
import srsly

from spacy_msvse.evaluation.experiments import rows as rows_module
from spacy_msvse.evaluation.experiments.collate import collate, list_runs, to_markdown
from spacy_msvse.evaluation.experiments.plan import plan_runs
from spacy_msvse.evaluation.experiments.rows import FULL
from spacy_msvse.evaluation.experiments.train_run import RESULT
from spacy_msvse.network.methods.msvse import Msvse

#: The rows of MSVSE, besides those of every method.
choose_rows = partial(rows_module.choose_rows, method_rows=Msvse.rows)


def write_result(run, f1, counts):
    scores = {"ents_f": f1, "ents_p": f1, "ents_r": f1, "ents_per_type": {"PER": {"f": f1}}}
    scores |= {"seen": {"f": 1.0}, "unseen": {"f": f1 / 2}}
    measures = {"parameters": 2_500_000, "trainable_parameters": 10, "machine": {"cores": 2}}
    run.folder.mkdir(parents=True, exist_ok=True)
    result = {
        **run.identity,
        **measures,
        "dev": {**scores, "post_counts": counts[:20]},
        "test": {**scores, "post_counts": counts},
        "seconds_per_step": 0.25,
        "peak_mb": None,
        "steps": 8,
        "best_step": 4,
        "curve": [(4, f1), (8, 0.5)],
        "seconds": 60.4,
    }
    srsly.write_json(run.folder / RESULT, result)


@pytest.fixture
def runs(config, tmp_path):
    """Three rows of two seeds. Both runs of the first have ended, and one of the second."""
    matrices, names = ["controls", "joint_views"], [FULL, "text_only", "joint_text"]
    rows, _ = choose_rows(config, "msvse_ner", matrices, names)
    runs = plan_runs(config, rows, [0, 1], tmp_path)
    right, wrong = [[1, 1, 1]] * 30, [[1, 1, 1]] * 10 + [[0, 1, 1]] * 20
    for run in runs:
        if run.row == FULL:
            write_result(run, 0.9 if run.seed else 0.8, right)
        elif run.row == "text_only" and run.seed == 1:
            write_result(run, 0.4, wrong)
    return runs


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


def test_the_page_states_the_conditions_of_the_figures(runs, collated):
    report = {
        "rows": collated,
        "runs": list_runs(runs),
        "scored": "test",
        "command": "python -m spacy msvse ablate",
        "seeds": [0, 1],
        "data": {"train": {"file": "train.spacy", "sha256": "c0ffee", "label_map": {}}},
        "machines": [{"cores": 2}],
        "failed": ["joint_text, seed 0"],
        "left_out": ["tags_only"],
    }
    page = to_markdown(report)
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in page.splitlines()]
    (cells,) = (cells for cells in lines if cells[0] == "text_only")
    assert cells[:3] == ["text_only", "1", "40.00"]
    assert cells[3].startswith("-50.00 (")
    assert cells[4:8] == ["40.00"] * 4
    assert cells[8:10] == ["100.00", "20.00"]
    assert cells[10].startswith("-66.67 (-83.33 to ")
    assert cells[12:] == ["2.50", "0.00", "0.250", "-"]
    for fact in ("msvse ablate", "seeds: 0, 1", "sha256 c0ffee", "cores 2", "joint_text, seed 0"):
        assert fact in page
    full = next(cells for cells in lines if cells[0] == FULL)
    assert full[:3] == [FULL, "2", "85.00 ± 7.07"]
    measured = ["90.00", "90.00", "8", "4", "0.250", "-", "60", "4: 90.00, 8: 50.00"]
    assert ["full, seed 1", *measured] in lines
