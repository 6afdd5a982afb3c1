"""The tables of an experiment: a page, CSV and LaTeX."""

import csv
import io

import pytest

from spacy_msvse.evaluation.experiments.collate import collate, list_runs
from spacy_msvse.evaluation.experiments.rows import FULL, WITHOUT_PICTURES
from spacy_msvse.evaluation.experiments.tables import to_csv, to_latex, to_markdown


@pytest.fixture
def report(runs):
    return {
        "rows": collate(runs),
        "runs": list_runs(runs),
        "scored": "test",
        "against": FULL,
        "posts": 30,
        "entities": 31,
        "command": "python -m spacy msvse ablate",
        "seeds": [0, 1],
        "data": {"train": {"file": "train.spacy", "sha256": "c0ffee", "label_map": {}}},
        "machines": [{"cores": 2}],
        "failed": ["joint_text, seed 0"],
        "left_out": ["tags_only"],
    }


def tables(page: str) -> list[list[dict[str, str]]]:
    """The tables of a page: the cells of each row by their heading."""
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    cells = [[[c.strip() for c in line.strip("|").split("|")] for line in b] for b in blocks]
    return [[dict(zip(head, row, strict=True)) for row in rows] for head, _, *rows in cells]


def test_the_page_has_scores_types_costs_and_runs(report):
    scores, types, costs, runs = tables(to_markdown(report))
    full, text_only = scores
    assert full["dev F1"] == "85.00 ± 7.07"
    assert (text_only["row"], text_only["seeds"], text_only["dev F1"]) == (
        "text_only",
        "1",
        "40.00",
    )
    assert text_only["dev, to full (95%)"].startswith("-50.00 (")
    assert [text_only[key] for key in ("F1", "P", "R")] == ["40.00"] * 3
    assert text_only["to full (95%)"].startswith("-66.67 (-83.33 to ")
    assert types[1] == {"row": "text_only", "PER": "40.00", "seen": "100.00", "unseen": "20.00"}
    measured = ["2.50", "6.50", "0.00", "0.250", "-"]
    assert list(costs[1].values()) == ["text_only", *measured]
    figures = ["90.00", "90.00", "8", "4", "0.250", "-", "60", "4: 90.00, 8: 50.00"]
    assert ["full, seed 1", *figures] in [list(run.values()) for run in runs]


def test_the_page_states_the_conditions_of_the_figures(report):
    page = to_markdown(report)
    for fact in ("msvse ablate", "seeds: 0, 1", "sha256 c0ffee", "cores 2", "joint_text, seed 0"):
        assert fact in page
    assert "30 posts and 31 entities are scored" in page


def test_published_figures_are_shown_where_methods_are_compared(report):
    assert "published" not in to_markdown(report)
    system = {"name": "UMT", "built": "corrected", "twitter2015": 73.41, "twitter2017": 85.31}
    report["rows"][1]["published"] = system
    full, umt = tables(to_markdown(report))[0]
    assert (full["built"], full["2015"]) == ("reconstructed", "75.11")
    assert (umt["built"], umt["2015"], umt["2017"]) == ("corrected", "73.41", "85.31")
    assert "not\nmeasured on equal terms" in to_markdown(report)


def test_the_effect_of_the_pictures_has_a_table(report):
    difference = {"f1": 0.4, "low": 0.3, "high": 0.5, "p": 0.01}
    trained = {"f1": {"mean": 0.6, "sd": None}, "difference": difference}
    effect = {"posts": 7, "f1": {"mean": 1.0, "sd": None}, "against": {WITHOUT_PICTURES: trained}}
    report["rows"][0]["effects"] = {"picture_decides": effect}
    page = to_markdown(report)
    (row,) = tables(page)[1]
    assert [row[key] for key in ("row", "posts", "number", "F1")] == [
        FULL,
        "picture_decides",
        "7",
        "100.00",
    ]
    assert row["trained without pictures"] == "60.00"
    assert row["difference (95%)"] == "+40.00 (+30.00 to +50.00)"
    assert row["no picture"] == "-"


def test_csv_has_every_figure_of_a_row_unrounded(report):
    full, text_only = csv.DictReader(io.StringIO(to_csv(report)))
    assert (full["row"], full["seeds"]) == (FULL, "2")
    assert float(full["f1.mean"]) == pytest.approx(0.85)
    assert float(text_only["difference.f1"]) == pytest.approx(-2 / 3)
    assert full["difference.f1"] == ""


def test_latex_is_a_table_of_scores_and_costs(report):
    head, *lines = to_latex(report).splitlines()
    assert head.startswith(r"\begin{tabular}{lrr")
    (line,) = (line for line in lines if "text" in line)
    cells = [cell.strip(" \\") for cell in line.split(" & ")]
    assert len(cells) == head.count("r", len(r"\begin{tabular}{l")) + 1
    assert cells[0] == r"text\_only"
    assert cells[-5:] == ["2.50", "6.50", "0.00", "0.250", "-"]
