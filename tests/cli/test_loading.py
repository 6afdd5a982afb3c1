"""Pipelines and corpora are found by folder and by installed name, or refused in one line."""

import shutil

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.util import load_config_from_str, resolve_dot_names

from spacy_msvse.cli.loading import find_folder, load_pipeline
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.scores import evaluate

from ..tiny import ambiguous_examples
from .command import run

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"

pytestmark = pytest.mark.filterwarnings("ignore:.*MSVSE-W00[18]")


@pytest.fixture
def installed(trained, tmp_path, monkeypatch):
    """The name of a pipeline that is installed as a package, and its folder."""
    meta = srsly.read_json(trained / "meta.json")
    meta = {**meta, "lang": "en", "name": "msvse_installed", "version": "0.0.1"}
    name = f"{meta['lang']}_{meta['name']}"
    package = tmp_path / "site" / name
    folder = package / f"{name}-{meta['version']}"
    shutil.copytree(trained, folder)
    srsly.write_json(folder / "meta.json", meta)
    srsly.write_json(package / "meta.json", meta)
    (package / "__init__.py").write_text(
        "from spacy.util import load_model_from_init_py\n\n\n"
        "def load(**overrides):\n"
        "    return load_model_from_init_py(__file__, **overrides)\n"
    )
    information = tmp_path / "site" / f"{name}-{meta['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {meta['version']}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return name, folder


@pytest.fixture
def posts(tmp_path):
    examples = ambiguous_examples(spacy.blank("en"))
    path = tmp_path / "posts.spacy"
    DocBin(docs=[example.reference for example in examples]).to_disk(path)
    return path


def test_an_installed_pipeline_is_found_by_its_name(installed):
    name, folder = installed
    assert find_folder(name) == folder
    assert load_pipeline(name).pipe_names == ["msvse_ner"]


def test_an_installed_pipeline_is_calibrated_into_an_output_and_not_changed(
    installed, posts, tmp_path
):
    name, folder = installed
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "MSVSE-E164" in run("calibrate", name, posts, status=1).output
    run("calibrate", name, posts, "--output", tmp_path / "calibrated")
    assert spacy.load(tmp_path / "calibrated").pipe_names == ["msvse_ner"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_card_of_an_installed_pipeline_is_written_into_an_output(installed, tmp_path):
    name, folder = installed
    scores = evaluate(spacy.load(name), ambiguous_examples(spacy.blank("en")))
    data = {"file": "test.spacy", "sha256": "a1"}
    srsly.write_json(tmp_path / "scores.json", {**scores, "data": data})
    assert "MSVSE-E164" in run("card", name, tmp_path / "scores.json", status=1).output
    run("card", name, tmp_path / "scores.json", "--output", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").is_file()
    assert not (folder / "README.md").exists()


def make_corpora(**paths):
    lines = ["[corpora]"]
    for name, path in paths.items():
        value = srsly.json_dumps(None if path is None else str(path))
        lines += [f"[corpora.{name}]", '@readers = "spacy-msvse.Corpus.v1"', f"path = {value}"]
    return resolve_dot_names(load_config_from_str("\n".join(lines)), ["corpora.train"])


@pytest.mark.parametrize("missing", ["train", "dev"])
def test_a_missing_path_is_not_called_that_of_the_other_corpus(posts, missing):
    """spaCy makes all corpora at once. It does not say which of them has no path."""
    with pytest.raises(MsvseError, match="MSVSE-E037") as error:
        make_corpora(**{"train": posts, "dev": posts, missing: None})
    assert "--paths.train" in str(error.value)
    assert "--paths.dev" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.spacy", None, "E033"),
        ("posts.jsonl", "{}", "E042"),
        ("pointer.spacy", POINTER, "E130"),
    ],
)
def test_a_corpus_that_cannot_be_read_is_a_coded_error_before_training(
    tmp_path, name, content, code
):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(MsvseError) as error:
        make_corpora(train=tmp_path / name)
    assert error.value.code == code
    assert name in str(error.value)
