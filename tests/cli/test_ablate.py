"""A small matrix, one of its runs killed, and carried on."""

import shutil
import subprocess
from pathlib import Path

import pytest
import srsly
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)
from spacy_msvse.cli import ablate

from .. import tiny

MEASURED = ("seconds_per_step", "peak_mb")


@pytest.fixture(autouse=True)
def _tiny_is_registered_once(monkeypatch):
    # Imported again from its path, it would register classes that cannot be pickled.
    monkeypatch.setattr("spacy_msvse.cli.ablate.import_code", lambda code: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A config, and posts to train on and to score."""
    folder = tmp_path_factory.mktemp("ablation")
    nlp = tiny.tiny_pipeline(tiny.save_encoder(folder / "encoder"))
    docs = []
    for example in tiny.ambiguous_examples(nlp):
        example.reference._.image = example.predicted._.image
        docs.append(example.reference)
    for split in ("train", "dev", "test"):
        DocBin(store_user_data=True, docs=docs).to_disk(folder / f"{split}.spacy")
    config = nlp.config
    for split in ("train", "dev"):
        path = f"${{paths.{split}}}"
        config["corpora"][split] = {"@readers": "spacy-msvse.Corpus.v1", "path": path}
    config.to_disk(folder / "config.cfg", interpolate=False)
    return folder


def run(data: Path, output: str, *options: str, status: int = 0) -> dict:
    arguments = ["msvse", "ablate", data / "config.cfg", data / output, "--code", tiny.__file__]
    arguments += ["--test", data / "test.spacy", "--rows", "full,text_only", "--seeds", "1"]
    arguments += ["--paths.train", data / "train.spacy", "--paths.dev", data / "dev.spacy"]
    arguments += ["--training.max_steps", "5", "--training.eval_frequency", "3", *options]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == status, result.output
    return {"output": result.output, **srsly.read_json(data / output / "ablation.json")}


def rows(report: dict) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in report["rows"]]


class Killed(subprocess.Popen):
    """A process that is killed before it has done anything, if it is to train without pictures."""

    def __init__(self, command, **settings):
        super().__init__(command, **settings)
        if "text_only" in command[-1]:
            self.kill()


def test_a_killed_run_is_repeated_alone_and_the_table_is_the_same(data, monkeypatch):
    whole = run(data, "whole", "--keep-models")
    full, text_only = whole["rows"]
    assert (full["row"], text_only["row"], whole["scored"]) == ("full", "text_only", "test")
    assert full["parameters"]["mean"] > text_only["parameters"]["mean"]
    assert full["seconds_per_step"]["mean"] > 0
    assert "| text_only | 1 |" in (data / "whole" / "ablation.md").read_text("utf8")

    shutil.copytree(data / "whole", data / "killed")
    runs = data / "killed" / "runs"
    (runs / "text_only" / "0" / "result.json").unlink()
    written = (runs / "full" / "0" / "result.json").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(ablate.subprocess, "Popen", Killed)
        first = run(data, "killed", status=1)
    assert first["failed"] == ["text_only, seed 0"]
    assert "MSVSE-E123" in first["output"]
    assert rows(first) == rows(whole)[:1]

    second = run(data, "killed")
    assert second["failed"] == []
    assert rows(second) == rows(whole)
    assert (runs / "full" / "0" / "result.json").stat().st_mtime_ns == written, "not repeated"
    left = {path.name for path in (runs / "text_only" / "0").iterdir()}
    assert left == {"config.cfg", "run.json", "log.txt", "training.json", "result.json"}

    # What is in the table is what `evaluate` says of a kept model.
    scores = data / "scores.json"
    model = data / "whole" / "runs" / "full" / "0" / "model-best"
    arguments = ["msvse", "evaluate", model, data / "test.spacy", "--output", scores]
    assert CliRunner().invoke(app, list(map(str, arguments))).exit_code == 0
    assert srsly.read_json(scores)["ents_f"] == pytest.approx(full["f1"]["mean"])


def test_test_posts_are_read_whole_whatever_the_dev_posts_are(data):
    limits = ("--corpora.dev.limit", "2", "--corpora.train.limit", "7")
    report = run(data, "limited", *limits, "--rows", "full", "--training.max_steps", "1")
    result = srsly.read_json(data / "limited" / "runs" / "full" / "0" / "result.json")
    posts = len(DocBin().from_disk(data / "test.spacy"))
    assert [len(result[split]["post_counts"]) for split in ("dev", "test")] == [2, posts]
    assert [report["data"][split].get("limit") for split in ("train", "dev", "test")] == [
        7,
        2,
        None,
    ]
    assert "limit 7" in (data / "limited" / "ablation.md").read_text("utf8")


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--matrix", "structures"), "E040"), (("--paths.train", "nowhere.spacy"), "E121")],
)
def test_what_cannot_be_run_is_refused_before_anything_is(data, options, code):
    arguments = ["msvse", "ablate", data / "config.cfg", data / "refused"]
    arguments += ["--paths.dev", data / "dev.spacy", "--paths.train", data / "train.spacy"]
    result = CliRunner().invoke(app, [*map(str, arguments), *options])
    assert result.exit_code == 1
    assert code in result.output
    assert not (data / "refused").exists()
