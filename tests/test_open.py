"""The workflow `open`: data with open licences whose annotation covers different types."""

import json
import re
import shlex
import subprocess
import sys
import zipfile
from itertools import islice
from pathlib import Path

import pytest
import spacy
import srsly
import torch
from safetensors.torch import load
from spacy.cli._util import app
from typer.testing import CliRunner
from weasel.util.config import load_project_config

import spacy_msvse.cli  # noqa: F401 (joins the commands)

from .readme import first_example
from .tiny import save_encoder
from .wheels import install_wheel, run_python

pytestmark = pytest.mark.filterwarnings("ignore:.*MSVSE-W008", "ignore:.*W095")

ROOT = Path(__file__).parents[1]
SETS = ("btc", "wnut17")
SPLITS = ("train", "dev", "test")
PACKAGE = "en_msvse_open-0.1.0"


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


@pytest.fixture(scope="module")
def small(data, tmp_path_factory) -> Path:
    """The project with 40 posts of each file."""
    folder = tmp_path_factory.mktemp("open")
    for name in SETS:
        for split in SPLITS:
            file = Path(name) / f"{split}.conll"
            take_posts(data / file, folder / "assets" / "open" / file, 40)
    for part in ("configs", "assets/open_licences"):
        (folder / part).symlink_to(ROOT / part)
    (folder / "packages").mkdir()
    return folder


def run_command(name: str, *options: str) -> None:
    """Run the lines of a command in this process. The options are for the training."""
    config = load_project_config(ROOT)
    (command,) = (one for one in config["commands"] if one["name"] == name)
    for line in command["script"]:
        arguments = shlex.split(line)[3:]
        if arguments[0] == "train":
            arguments += options
        # In its own environment, `build` would fetch setuptools.
        arguments = ["none" if argument == "wheel" else argument for argument in arguments]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"


@pytest.fixture(scope="module")
def built(small) -> Path:
    """The project after all steps of the workflow, with a tiny encoder and few training steps."""
    encoder = save_encoder(small / "encoder")
    tiny = ("--components.msvse_ner.model.encoder", encoder, "--training.max_steps", "4")
    fetching, *steps = load_project_config(ROOT)["workflows"]["open"]
    assert fetching == "open-assets"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(small)
        for step in steps:
            run_command(step, *tiny, "--training.eval_frequency", "2")
    build = ["build", "--wheel", "--no-isolation", str(small / "packages" / PACKAGE)]
    subprocess.run([sys.executable, "-m", *build], check=True, capture_output=True)
    return small


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    return built / f"packages/{PACKAGE}/dist/{PACKAGE}-py3-none-any.whl"


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder with the installed wheel."""
    folder = tmp_path_factory.mktemp("site")
    install_wheel(wheel, folder)
    return folder


def test_each_set_is_scored_by_itself_and_only_on_the_types_that_it_covers(built):
    scores = srsly.read_json(built / "metrics/open/0/test.json")
    assert scores["slices"].keys() == {*SETS}
    assert scores["partial"]["posts"] == scores["posts"] == 80


def test_the_pipeline_has_the_types_of_both_sets(built):
    nlp = spacy.load(built / "training/open/0/model-card")
    assert set(nlp.get_pipe("msvse_ner").labels) == {"PER", "LOC", "ORG", "PROD", "WORK"}


def test_the_first_lines_of_its_card_say_that_no_picture_view_is_trained(built):
    card = (built / "training/open/0/model-card/README.md").read_text(encoding="utf-8")
    first_lines = card.splitlines()[:6]
    assert first_lines[0] == "# en_msvse_open 0.1.0"
    assert any(line.startswith("**It reads the text alone.**") for line in first_lines)
    assert any("a picture changes nothing" in line for line in first_lines)
    assert "CC BY 4.0, see LICENSE" in card
    assert "Broad Twitter Corpus" in card


def test_the_wheel_has_the_licences_and_the_authors_of_all_that_it_was_made_from(wheel):
    with zipfile.ZipFile(wheel) as archive:
        folder = f"en_msvse_open/{PACKAGE}"
        for name in ("LICENSE", "LICENSES_SOURCES"):
            text = archive.read(f"{folder}/{name}").decode("utf-8")
            assert text == (ROOT / "assets/open_licences" / name).read_text(encoding="utf-8")
        sources = " ".join(text.split())
        meta = srsly.json_loads(archive.read(f"{folder}/meta.json"))
    assert meta["license"] == "CC BY 4.0"
    project = load_project_config(ROOT)
    urls = [asset["url"] for asset in project["assets"] if "assets/open" in asset["dest"]]
    for url in urls:
        owner, name, commit = url.split("/")[3:6]
        assert f"https://github.com/{owner}/{name} (commit {commit}" in sources
    for words in ("Derczynski", "Limsopatham", "Sentence Transformers", "TERMS AND CONDITIONS"):
        assert words in sources
    for renamed in re.findall(r"--label-map (\S+)=(\S+)", project["vars"]["wnut17"]):
        assert renamed[0] in sources


def test_the_wheel_has_no_picture_model_and_weights_in_half_the_space(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        weights = load(archive.read(f"en_msvse_open/{PACKAGE}/msvse_ner/network.safetensors"))
    assert not [name for name in names if "vision/" in name]
    assert not [name for name in names if name.endswith((".conll", ".spacy"))]
    assert sum(name.endswith(".safetensors") for name in names) == 1
    floats = [one for one in weights.values() if one.is_floating_point()]
    assert {one.dtype for one in floats} == {torch.bfloat16}


#: Any connection or request for an address ends the process.
ANSWER = """
import json, os, sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        print(event, arguments, file=sys.stderr, flush=True)
        os._exit(3)
sys.addaudithook(hook)
import spacy
nlp = spacy.load("en_msvse_open")
doc = nlp(sys.argv[1])
print(json.dumps([[e.text, e.label_, e._.confidence] for e in doc.ents] + [doc._.confidence]))
"""


def test_the_installed_wheel_answers_as_the_pipeline_does_and_asks_no_network(built, site):
    text = "Jordan and Florence visit Amazon again"
    run = run_python(site, ANSWER, text)
    assert run.returncode == 0, run.stderr
    doc = spacy.load(built / "training/open/0/model-card")(text)
    expected = [[e.text, e.label_, e._.confidence] for e in doc.ents] + [doc._.confidence]
    assert json.loads(run.stdout.splitlines()[-1]) == expected


def test_the_first_example_of_the_readme_runs_with_the_installed_wheel(site):
    run = run_python(site, first_example())
    assert run.returncode == 0, run.stderr


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
