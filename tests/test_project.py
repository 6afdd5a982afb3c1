"""project.yml and the configs are valid: commands, workflows, settings and dependencies exist."""

import importlib
import re
from itertools import pairwise
from pathlib import Path

import pytest
import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config, load_model_from_config
from typer.main import get_command
from weasel.util import split_command
from weasel.util.config import load_project_config

from spacy_msvse.cli import app
from spacy_msvse.cli.ablate import read_configs
from spacy_msvse.evaluation.experiments.collate import architectures
from spacy_msvse.evaluation.experiments.published import SYSTEMS
from spacy_msvse.evaluation.experiments.rows import choose_rows, vary
from spacy_msvse.network.methods.msvse import Msvse

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "configs/methods/rows.json"


def test_workflows_and_commands_run_existing_commands():
    config = load_project_config(ROOT)
    commands = {command["name"] for command in config["commands"]}
    for steps in config["workflows"].values():
        assert set(steps) <= commands
    assert {"all", "twitter2015", "twitter2017"} <= set(config["workflows"])
    nested = re.compile(r"-m weasel run (\S+)")
    for command in config["commands"]:
        runs = [match for line in command["script"] for match in nested.findall(line)]
        assert {*runs} <= commands | {*config["workflows"]}, command["name"]


@pytest.mark.parametrize(
    "name", ["synthetic-views", "twitter2015-captions", "methods", "twitter2015-methods"]
)
def test_a_command_for_results_creates_all_files_that_it_reads(name):
    """A clone of the repository and the posts are enough."""
    commands = {command["name"]: command for command in load_project_config(ROOT)["commands"]}
    created = set()
    for line in commands[name]["script"]:
        arguments = split_command(line)
        if arguments[3:5] == ["msvse", "init-bilstm"]:
            created.add(arguments[6])
        if arguments[3:5] == ["msvse", "ablate"]:
            options = {"--test", "--bilstm", "--paths.train", "--paths.dev", "--paths.labels"}
            needed = {value for option, value in pairwise(arguments) if option in options}
            assert needed <= created, needed - created
        if arguments[1:4] != ["-m", "weasel", "run"]:
            continue
        variables = dict(re.findall(r"--(vars\.\w+) (\S+)", line))
        project = load_project_config(ROOT, overrides=variables)
        (step,) = (step for step in project["commands"] if step["name"] == arguments[4])
        for path in step.get("deps", []):
            in_repository = path.startswith(("assets/", "configs/"))
            assert path in created or in_repository, f"{step['name']}: {path}"
        created |= {*step.get("outputs", []), *step.get("outputs_no_cache", [])}


def ablations() -> list[list[str]]:
    """The arguments of each `ablate` in project.yml."""
    scripts = [command["script"] for command in load_project_config(ROOT)["commands"]]
    lines = [split_command(line) for script in scripts for line in script]
    return [line[4:] for line in lines if line[1:5] == ["-m", "spacy", "msvse", "ablate"]]


@pytest.mark.parametrize("arguments", ablations(), ids=lambda arguments: Path(arguments[2]).name)
def test_rows_and_settings_of_an_ablation_exist(arguments):
    command = get_command(app).commands["ablate"]
    # Resilient parsing does not check that the posts exist.
    context = command.make_context("ablate", arguments[1:], resilient_parsing=True)
    overrides = parse_config_overrides(context.args)
    config = load_config(ROOT / arguments[1], overrides=overrides, interpolate=False)
    # This raises an error for unknown settings.
    config = load_model_from_config(config, auto_fill=True).config
    matrices = context.params["matrix"].split(",")
    only = [row for row in context.params["rows"].split(",") if row]
    methods = [name for name in context.params["methods"].split(",") if name]
    given = context.params["configs"]
    further = srsly.read_json(ROOT / given) if given else {}
    rows, _ = choose_rows(
        config,
        "msvse_ner",
        matrices,
        only,
        method_rows=Msvse.rows,
        methods=methods,
        further=further,
    )
    assert len(rows) > 1


def test_two_halves_are_made_from_posts_that_are_converted_before(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    halves = importlib.import_module("halves")
    app = typer.Typer()
    app.command()(halves.main)
    commands = {command["name"]: command for command in load_project_config(ROOT)["commands"]}
    *conversions, last = map(split_command, commands["twitter2015-halves"]["script"])
    written = {Path(line[6]) for line in conversions}
    assert last[:2] == ["python", "benchmarks/halves.py"]
    assert {*map(Path, last[2:4])} == written
    options = {option for one in get_command(app).params for option in one.opts}
    assert {word for word in last if word.startswith("--")} <= options
    assert [value for word, value in pairwise(last) if word == "--half"] == ["PER,LOC", "ORG,MISC"]


def test_a_trial_runs_the_first_steps_of_an_experiment():
    workflows = load_project_config(ROOT)["workflows"]
    experiment = workflows["experiment"]
    assert workflows["trial"] == experiment[: experiment.index("card")]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.cfg")), ids=lambda p: p.stem)
def test_every_config_is_valid(path):
    nlp = load_model_from_config(load_config(path), auto_fill=True)
    assert nlp.pipe_names == (["tok2vec", "ner"] if path.stem == "spacy_ner" else ["msvse_ner"])
    nlp.create_optimizer()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.json")), ids=str)
def test_every_row_of_a_file_of_configs_exists(path):
    configs = read_configs(path, {"training.seed": 7, "components.msvse_ner.model.lora": None})
    assert configs
    for config in configs.values():
        assert config["training"]["seed"] == 7
        load_model_from_config(config, auto_fill=True, validate=True)


def test_every_published_system_has_a_recipe_with_its_method():
    configs = read_configs(RECIPES, {})
    assert list(configs) == [system.name for system in SYSTEMS]
    for system in SYSTEMS:
        assert list(architectures(configs[system.name])) == [system.architecture]
        assert configs[system.name]["corpora"]["train"]["@readers"] == "spacy-msvse.Corpus.v1"
    files = set((ROOT / "configs/methods").glob("*.cfg"))
    named = {ROOT / "configs/methods" / name for name in srsly.read_json(RECIPES).values()}
    assert files <= named


#: Published hyperparameters of the recipes: rates of the encoder and of the CRF, posts whose
#: gradients are added up, and steps over the 4,000 training posts of Twitter-2015.
PUBLISHED_TRAINING = {
    "XLMR-CRF": (1e-5, 5e-2, 4, 10_000),
    "ITA": (5e-6, 5e-2, 4, 10_000),
    "PGIM": (5e-6, 8e-3, 4, 25_000),
    "UMT": (5e-5, 5e-5, 32, 24 * 125),
    "MAF": (5e-5, 5e-5, 64, 24 * 63),
    "UMGF": (1e-4, 1e-4, 16, 30 * 250),
    "HvpNet": (3e-5, 5e-2, 8, 30 * 500),
    "R-GCN": (5e-5, 5e-5, 16, 25 * 250),
    "SMVAE": (1e-5, 1e-5, 8, 100 * 500),
}


@pytest.mark.parametrize("name", PUBLISHED_TRAINING)
def test_a_recipe_has_the_published_hyperparameters(name):
    config = read_configs(RECIPES, {})[name].interpolate()
    training, factors = config["training"], config["components"]["msvse_ner"]["model"]
    factors = factors["learning_rate_factors"]
    schedule = training["optimizer"]["learn_rate"]
    rate = schedule.get("initial_rate", schedule.get("start"))
    posts = training["batcher"]["size"] * training["accumulate_gradient"]
    found = (rate * factors["encoder"], rate * factors["crf"], posts, training["max_steps"])
    assert found == pytest.approx(PUBLISHED_TRAINING[name])


@pytest.mark.parametrize("name", ["demo", "paper", "captions"])
def test_a_baseline_is_its_config_with_the_text_method(name):
    """The same encoder, data and training as the row "text_only" of an ablation."""
    full, baseline = (
        load_model_from_config(load_config(ROOT / "configs" / path), auto_fill=True).config
        for path in (f"{name}.cfg", f"{name}_text_only.cfg")
    )
    rows, _ = choose_rows(full, "msvse_ner", ["controls"], ["text_only"], method_rows={})
    expected = vary(full, rows["text_only"])
    assert load_model_from_config(expected, auto_fill=True).config == baseline


def test_no_command_depends_on_a_folder_of_pictures():
    """Hashing thousands of pictures before every run is slow. The posts name their pictures."""
    for command in load_project_config(ROOT)["commands"]:
        for path in command.get("deps", []):
            assert not any("pictures" in part or "images" in part for part in Path(path).parts)


def test_only_data_with_an_open_licence_has_a_url():
    """The user provides all other posts and pictures. Nothing is fetched unless it is asked for."""
    for asset in load_project_config(ROOT)["assets"]:
        is_open = asset["dest"].startswith("assets/open/")
        assert ("url" in asset) == is_open
        if is_open:
            assert asset["extra"], "`weasel assets` must not fetch it"
            assert re.fullmatch("[0-9a-f]{32}", asset["checksum"])
            assert re.search("/[0-9a-f]{40}/", asset["url"]), "the version is fixed"
