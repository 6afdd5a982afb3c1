"""The README and the pages are true: their figures are those of the benchmarks, their code runs."""

import re
from pathlib import Path

import pytest
import spacy
import srsly
from PIL import Image
from spacy.training import Example

from spacy_msvse.doc import PICTURE_ATTRIBUTES, PREDICTED_ATTRIBUTES
from spacy_msvse.evaluation.experiments.tables import difference_cells, mean_cell

from .readme import README, first_example, python_blocks, read_page
from .tiny import save_encoder
from .wheels import build_wheel, install_wheel, run_python

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", PICTURE_ATTRIBUTES + PREDICTED_ATTRIBUTES)
def test_the_table_explains_every_attribute(name):
    assert f"\n| `doc._.{name}` | " in read_page("concepts.md")


def stated_results() -> list[tuple[str, str, str, str]]:
    """Folder, row, F1 and difference of each row in the tables of the page."""
    stated = []
    for line in read_page("evidence.md").splitlines():
        if match := re.search(r"\(`(benchmarks/results/\w+)`\)", line):
            folder = match[1]
        elif match := re.match(r"\| `(\w+)` \|", line):
            f1, difference = (cell.strip() for cell in line.strip("|").split("|")[2:])
            stated.append((folder, match[1], f1, difference))
    return stated


def test_the_readme_states_the_measured_results_in_a_table():
    pattern = r"^\| .+ \(`(benchmarks/results/\w+)`\) \| (.+) \| (.+) \| (.+) \|$"
    stated = re.findall(pattern, README, re.MULTILINE)
    assert len(stated) >= 2
    for folder, *cells in stated:
        rows = {one["row"]: one for one in srsly.read_json(ROOT / folder / "ablation.json")["rows"]}
        names = ("full", "text_only", "trained_shuffled")
        assert cells == [mean_cell(rows[name]["f1"]) for name in names]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize(("folder", "row", "f1", "difference"), stated_results())
def test_the_evidence_is_the_measured_result(folder, row, f1, difference):
    rows = srsly.read_json(ROOT / folder / "ablation.json")["rows"]
    (measured,) = (one for one in rows if one["row"] == row)
    assert f1 == mean_cell(measured["f1"])
    assert difference == difference_cells(measured["difference"])[0]


def test_the_evidence_has_both_tables():
    assert {folder for folder, *_ in stated_results()} == {
        "benchmarks/results/twitter2015_controls",
        "benchmarks/results/synthetic_controls",
    }


@pytest.mark.parametrize("name", ["default", "default, URLs in full", "paper"])
def test_the_speed_is_the_measured_result(name):
    measured = srsly.read_json(ROOT / "benchmarks" / "results" / "speed.json")["comparisons"]
    tables = ("training step, BERT-base", "prediction, BERT-base")
    ratios = [measured[table][name]["wall s"]["ratio median"] for table in tables]
    cells = " | ".join(f"{ratio:.1f}" for ratio in ratios)
    assert f"| {name} | {cells} |" in read_page("speed.md")


def test_the_first_screen_has_six_lines_of_python_and_their_answer():
    """Nobody scrolls to see what the package does."""
    top = README.splitlines()[:40]
    assert "```bash" in top
    assert '    nlp = spacy.load("en_msvse_open")'.strip() in top
    assert len([line for line in first_example().splitlines() if line]) <= 6
    assert any(re.fullmatch(r".+ [A-Z]+ \d\.\d\d", line) for line in top)


def test_the_first_example_runs_on_a_demo_wheel_where_the_open_data_are_absent(tmp_path):
    """tests/test_open.py runs it on a wheel from the open data."""
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-msvse.TextCrf.v1", "encoder": save_encoder(tmp_path / "tiny")}
    nlp.add_pipe("msvse_ner", config={"model": model, "vision": None})
    post = Example.from_dict(nlp.make_doc("saw jordan"), {"entities": [(4, 10, "PER")]})
    nlp.initialize(lambda: [post])
    nlp.to_disk(tmp_path / "pipeline")
    site = tmp_path / "site"
    install_wheel(build_wheel(tmp_path / "pipeline", tmp_path / "build", "msvse_open"), site)
    run = run_python(site, first_example())
    assert run.returncode == 0, run.stderr


def test_the_example_of_an_extractor_works():
    blocks = python_blocks(read_page("pictures.md"))
    (code,) = (block for block in blocks if "Brightness" in block)
    assert len(code.strip().splitlines()) <= 20
    exec(code, {})
    extractor = spacy.registry.misc.get("my.Brightness.v1")()
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    found = extractor.extract(pictures, [{}, {}])
    assert found == [{"tags": ["bright"]}, {"tags": ["dark"]}]
    vision = spacy.registry.misc.get("spacy-msvse.VisualExtractor.v1")(tags=extractor)
    assert vision.fingerprint
