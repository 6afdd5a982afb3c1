"""The README and the project file say what is there."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import spacy
import srsly
from PIL import Image
from weasel.util import split_command
from weasel.util.config import load_project_config

from spacy_msvse.component.factory import DEFAULT_CONFIG
from spacy_msvse.doc import PICTURE_ATTRIBUTES, PREDICTED_ATTRIBUTES
from spacy_msvse.evaluation.experiments.collate import difference_cells, mean_cell
from spacy_msvse.evaluation.experiments.rows import MSVSE_TEXT_ONLY, choose_rows
from spacy_msvse.vision.extract import VisualExtractor

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def table_rows(name: str) -> list[str]:
    return [line for line in README.splitlines() if line.startswith("|") and f"`{name}`" in line]


def flat_defaults() -> dict:
    model = {k: v for k, v in DEFAULT_CONFIG["model"].items() if not k.startswith("@")}
    rest = {k: v for k, v in DEFAULT_CONFIG.items() if k not in ("model", "scorer")}
    return {**model, **rest}


@pytest.mark.parametrize("name", sorted(flat_defaults()))
def test_every_setting_is_explained_with_its_default(name):
    rows = table_rows(name)
    assert rows, f"{name} is not in a table of the README"
    default = flat_defaults()[name]
    if not isinstance(default, dict):
        written = default if isinstance(default, str) else srsly.json_dumps(default)
        assert written.replace('","', '", "') in " ".join(rows)


@pytest.mark.parametrize("name", PICTURE_ATTRIBUTES + PREDICTED_ATTRIBUTES)
def test_every_attribute_is_explained(name):
    assert table_rows(f"doc._.{name}")


@pytest.mark.parametrize("path", re.findall(r"(?:configs|assets|benchmarks)/[\w./-]*\w", README))
def test_every_file_that_the_readme_names_is_there(path):
    assert (ROOT / path).exists()


def stated_results() -> list:
    """Folder, row, F1 and difference, of the tables under "Evidence"."""
    section = README[README.index("\n## Evidence") :]
    section = section[: section.index("\n## ", 1)]
    stated = []
    for line in section.splitlines():
        if folder := re.search(r"\(`(benchmarks/results/\w+)`\)", line):
            place = folder[1]
        elif row := re.match(r"\| `(\w+)` \|", line):
            f1, difference = (cell.strip() for cell in line.strip("|").split("|")[2:])
            stated.append((place, row[1], f1, difference))
    return stated


@pytest.mark.parametrize(("folder", "row", "f1", "difference"), stated_results())
def test_the_evidence_is_what_was_measured(folder, row, f1, difference):
    rows = srsly.read_json(ROOT / folder / "ablation.json")["rows"]
    (measured,) = (one for one in rows if one["row"] == row)
    assert f1 == mean_cell(measured["f1"])
    assert difference == difference_cells(measured["difference"])[0]


def test_the_evidence_has_both_tables():
    assert {folder for folder, *_ in stated_results()} == {
        "benchmarks/results/twitter2015_controls",
        "benchmarks/results/made_controls",
    }


@pytest.mark.parametrize("name", ["default", "default, URLs in full", "paper"])
def test_the_speed_is_what_was_measured(name):
    measured = srsly.read_json(ROOT / "benchmarks" / "results" / "speed.json")["comparisons"]
    tables = ("training step, BERT-base", "prediction, BERT-base")
    ratios = [measured[table][name]["wall s"]["ratio median"] for table in tables]
    cells = " | ".join(f"{ratio:.1f}" for ratio in ratios)
    assert f"| {name} | {cells} |" in README


def test_the_project_runs_what_it_lists():
    config = load_project_config(ROOT)
    commands = {command["name"] for command in config["commands"]}
    for steps in config["workflows"].values():
        assert set(steps) <= commands
    assert {"all", "twitter2015", "twitter2017"} <= set(config["workflows"])
    nested = re.compile(r"-m weasel run (\S+)")
    for command in config["commands"]:
        runs = [match for line in command["script"] for match in nested.findall(line)]
        assert {*runs} <= commands | {*config["workflows"]}, command["name"]


@pytest.mark.parametrize("name", ["made-views", "twitter2015-captions"])
def test_what_makes_a_result_makes_what_it_depends_on(name):
    """None needs more than a fresh clone and the posts."""
    commands = {command["name"]: command for command in load_project_config(ROOT)["commands"]}
    made = set()
    for line in commands[name]["script"]:
        arguments = split_command(line)
        if arguments[3:5] == ["msvse", "init-bilstm"]:
            made.add(arguments[6])
        if arguments[3:5] == ["msvse", "ablate"]:
            names = {"--test", "--bilstm", "--paths.train", "--paths.dev", "--paths.labels"}
            needed = {value for name, value in pairwise(arguments) if name in names}
            assert needed <= made, needed - made
        if arguments[1:4] != ["-m", "weasel", "run"]:
            continue
        given = dict(re.findall(r"--(vars\.\w+) (\S+)", line))
        project = load_project_config(ROOT, overrides=given)
        (step,) = (step for step in project["commands"] if step["name"] == arguments[4])
        for path in step.get("deps", []):
            shipped = path.startswith(("assets/", "configs/"))
            assert path in made or shipped, f"{step['name']}: {path}"
        made |= {*step.get("outputs", []), *step.get("outputs_no_cache", [])}


def ablations() -> list[list[str]]:
    scripts = [command["script"] for command in load_project_config(ROOT)["commands"]]
    lines = [split_command(line) for script in scripts for line in script]
    return [line[4:] for line in lines if line[1:5] == ["-m", "spacy", "msvse", "ablate"]]


@pytest.mark.parametrize("arguments", ablations(), ids=lambda arguments: Path(arguments[2]).name)
def test_an_ablation_of_the_project_has_its_rows_and_settings(arguments):
    from spacy.cli._util import parse_config_overrides
    from spacy.util import load_config, load_model_from_config
    from typer.main import get_command

    from spacy_msvse.cli import app

    command = get_command(app).commands["ablate"]
    # Resilient: the posts need not be there.
    context = command.make_context("ablate", arguments[1:], resilient_parsing=True)
    overrides = parse_config_overrides(context.args)
    config = load_config(ROOT / arguments[1], overrides=overrides, interpolate=False)
    # Refuses settings that do not exist.
    config = load_model_from_config(config, auto_fill=True).config
    matrices = context.params["matrix"].split(",")
    only = [row for row in context.params["rows"].split(",") if row]
    rows, _ = choose_rows(config, "msvse_ner", matrices, only)
    assert len(rows) > 1


def test_a_trial_runs_the_steps_of_an_experiment():
    workflows = load_project_config(ROOT)["workflows"]
    experiment = workflows["experiment"]
    assert workflows["trial"] == experiment[: experiment.index("card")]


def test_every_config_of_the_project_is_valid():
    from spacy.util import load_config, load_model_from_config

    for path in sorted((ROOT / "configs").glob("*.cfg")):
        nlp = load_model_from_config(load_config(path), auto_fill=True)
        assert nlp.pipe_names == ["msvse_ner"], path.name


@pytest.mark.parametrize("name", ["demo", "paper", "captions"])
def test_a_config_and_its_rival_differ_in_the_views_alone(name):
    from spacy.cli._util import parse_config_overrides
    from spacy.util import load_config, load_model_from_config

    project = load_project_config(ROOT, overrides={"vars.config": name})
    (command,) = (step for step in project["commands"] if step["name"] == "train-text-only")
    arguments = split_command(command["script"][0])
    path, *options = arguments[arguments.index("train") + 1 :]
    given = parse_config_overrides(options[options.index("--gpu-id") + 2 :])
    views = {key: value for key, value in given.items() if key.startswith("components.")}
    assert views == {f"components.msvse_ner.{key}": value for key, value in MSVSE_TEXT_ONLY.items()}

    same = {key: value for key, value in given.items() if key not in views}
    full, rival = (
        load_model_from_config(load_config(ROOT / path, overrides=overrides), auto_fill=True).config
        for overrides in (same, given)
    )
    model, rival_model = (config["components"]["msvse_ner"]["model"] for config in (full, rival))
    for key in ("encoder", "transformer_config", "learning_rate_factors", "get_spans"):
        assert model[key] == rival_model[key], key
    assert full["training"] == rival["training"], "batcher, rates, steps and the rest"
    assert full["corpora"] == rival["corpora"]


def test_no_step_depends_on_a_folder_of_pictures():
    """Hashing thousands of pictures before every run is slow; the posts name their pictures."""
    for command in load_project_config(ROOT)["commands"]:
        for path in command.get("deps", []):
            assert not any("pictures" in part or "images" in part for part in Path(path).parts)


def test_no_asset_of_the_project_has_a_url():
    """Nobody's posts or pictures are fetched: the user brings them."""
    assert not any("url" in asset for asset in load_project_config(ROOT)["assets"])


def test_the_extractor_of_the_readme_works():
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        if "Brightness" in block
    )
    assert len(code.strip().splitlines()) <= 20
    exec(code, {})
    extractor = spacy.registry.misc.get("my.Brightness.v1")()
    seen = VisualExtractor(tags=extractor).extract(
        [Image.new("RGB", (8, 8), c) for c in ("white", "black")]
    )
    assert [features.tags for features in seen] == [["bright"], ["dark"]]
