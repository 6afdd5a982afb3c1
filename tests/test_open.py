"""The workflow `open`: data with open licences whose annotation covers different types."""

import shlex
from itertools import islice
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli._util import app
from typer.testing import CliRunner
from weasel.util.config import load_project_config

import spacy_msvse.cli  # noqa: F401 (joins the commands)

from .tiny import save_encoder

ROOT = Path(__file__).parents[1]
SETS = ("btc", "wnut17")
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of the data. It lies beside the project, and is fetched by its users."""
    folders = (ROOT / "assets" / "open", ROOT.parent / "shared" / "data" / "open")
    for folder in folders:
        if folder.is_dir():
            return folder
    pytest.skip("the open data are not here: `python -m weasel assets --extra` fetches them")


def take_posts(source: Path, target: Path, count: int) -> None:
    """Copy the first posts of a CoNLL file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(encoding="utf-8") as lines:
        posts = iter(lines.read().split("\n\n"))
    target.write_text("\n\n".join(islice(posts, count)) + "\n", encoding="utf-8")


@pytest.fixture
def small(data, tmp_path, monkeypatch) -> Path:
    """The project with 40 posts of each file."""
    for name in SETS:
        for split in SPLITS:
            file = Path(name) / f"{split}.conll"
            take_posts(data / file, tmp_path / "assets" / "open" / file, 40)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_command(name: str, *options: str) -> None:
    """Run the lines of a command in this process, all but the building of a wheel."""
    config = load_project_config(ROOT)
    (command,) = (one for one in config["commands"] if one["name"] == name)
    for line in command["script"]:
        arguments = shlex.split(line)[3:]
        if arguments[0] == "train":
            arguments += options
        if arguments[0] != "package":
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"


@pytest.mark.filterwarnings("ignore:.*MSVSE-W008", "ignore:.*W095")
def test_its_steps_make_a_pipeline_with_a_card_of_its_licences(small):
    encoder = save_encoder(small / "encoder")
    run_command("open-data")
    tiny = ("--components.msvse_ner.model.encoder", encoder, "--training.max_steps", "4")
    run_command("open-train", *tiny, "--training.eval_frequency", "2")
    run_command("open-evaluate")
    run_command("open-package")
    scores = srsly.read_json(small / "metrics/open/0/test.json")
    assert scores["slices"].keys() == {*SETS}
    assert scores["partial"]["posts"] == scores["posts"] == 80
    card = (small / "training/open/0/model-card/README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in card
    assert "Broad Twitter Corpus" in card
    nlp = spacy.load(small / "training/open/0/model-card")
    assert set(nlp.get_pipe("msvse_ner").labels) == {"PER", "LOC", "ORG", "PROD", "WORK"}


def test_the_counts_are_those_of_the_data_sets(data, tmp_path):
    """Posts and entities of the published splits. One dev post has no token."""
    variables = load_project_config(ROOT)["vars"]
    expected = {
        ("btc", "train"): (6338, 8779),
        ("btc", "dev"): (1000, 1730),
        ("btc", "test"): (2001, 4376),
        ("wnut17", "train"): (3394, 1975),
        ("wnut17", "dev"): (1009, 836),
        ("wnut17", "test"): (1287, 1079),
    }
    for (name, split), counts in expected.items():
        output = tmp_path / split / f"{name}.spacy"
        options = shlex.split(variables[name])
        source = data / name / f"{split}.conll"
        result = CliRunner().invoke(app, ["msvse", "convert", str(source), str(output), *options])
        assert result.exit_code == 0, result.output
        report = srsly.read_json(f"{output}.json")
        assert (report["posts"], report["entities"]) == counts
