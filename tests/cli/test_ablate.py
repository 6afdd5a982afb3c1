"""A small experiment: killed and continued, with runs that fail, and with limits."""

import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier

import pytest
import spacy
import srsly
from spacy.cli._util import app
from spacy.tokens import DocBin
from spacy.util import load_config
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)
from spacy_msvse.component import loading
from spacy_msvse.evaluation.experiments import launch, train_run
from spacy_msvse.evaluation.experiments import rows as rows_module

from .. import tiny

MEASURED = ("seconds_per_step", "peak_mb")


@pytest.fixture(autouse=True)
def _tiny_is_registered_once(monkeypatch):
    # Imported again from its path, it would register classes that cannot be pickled.
    monkeypatch.setattr("spacy_msvse.cli.ablate.load_code", lambda code: None)


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
    arguments += ["--test", data / "test.spacy", "--rows", "full,trained_shuffled", "--seeds", "1"]
    arguments += ["--paths.train", data / "train.spacy", "--paths.dev", data / "dev.spacy"]
    arguments += ["--training.max_steps", "5", "--training.eval_frequency", "3", *options]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == status, result.output
    return {"output": result.output, **srsly.read_json(data / output / "ablation.json")}


def rows(report: dict) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in report["rows"]]


def kill_in_the_middle(data: Path, output: str, folder: Path) -> None:
    """Kill the command as soon as the run in a folder has saved a first pipeline."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(data, output))
    process.start()
    while not (folder / "model-best").exists():
        assert process.is_alive()
        time.sleep(0.01)
    threads = Path(f"/proc/{process.pid}/task").glob("*/children")
    (child,) = (int(pid) for path in threads for pid in path.read_text().split())
    process.kill()
    process.join()
    while is_running(child):
        time.sleep(0.01)
    assert not (folder / "result.json").exists()


def is_running(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    status = Path(f"/proc/{process}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="the system has no /proc")
def test_after_a_kill_it_continues_and_the_tables_are_the_same(data):
    whole = run(data, "output", "--keep-models", "--jobs", "2")
    full, shuffled = whole["rows"]
    assert (full["row"], shuffled["row"], whole["scored"]) == ("full", "trained_shuffled", "test")
    assert full["seconds_per_step"]["mean"] > 0
    page = (data / "output" / "ablation.md").read_text("utf8")
    assert re.search(r"^\| trained_shuffled +\| +1 \|", page, re.MULTILINE)

    # One run has ended, the other is killed.
    first, second = (data / "output" / "runs" / row["row"] / "0" for row in (full, shuffled))
    written = (first / "result.json").stat().st_mtime_ns
    shutil.rmtree(second)
    kill_in_the_middle(data, "output", second)

    (so_far,) = run(data, "output", "--report-only")["rows"]
    assert so_far["row"] == full["row"]
    assert not second.exists() or not (second / "result.json").exists()

    again = run(data, "output")
    assert again["failed"] == []
    assert rows(again) == rows(whole)
    unmeasured = [
        [
            {k: v for k, v in run.items() if k not in (*MEASURED, "seconds")}
            for run in report["runs"]
        ]
        for report in (again, whole)
    ]
    assert unmeasured[0] == unmeasured[1]
    assert (first / "result.json").stat().st_mtime_ns == written, "not repeated"
    left = {path.name for path in second.iterdir()}
    assert left == {"config.cfg", "run.json", "log.txt", "training.json", "result.json"}

    # The scores in the table are those of `evaluate` for a kept model.
    scores = data / "scores.json"
    model = data / "output" / "runs" / "full" / "0" / "model-best"
    arguments = ["msvse", "evaluate", model, data / "test.spacy", "--output", scores]
    assert CliRunner().invoke(app, list(map(str, arguments))).exit_code == 0
    assert srsly.read_json(scores)["ents_f"] == pytest.approx(full["f1"]["mean"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc").exists(), reason="the system has no /proc")
def test_killed_at_20_moments_the_tables_are_the_same(data):
    began = time.monotonic()
    whole = run(data, "killed")
    seconds = time.monotonic() - began
    files = sorted((data / "killed").rglob("*"))
    shutil.rmtree(data / "killed")
    for moment in range(20):
        process = multiprocessing.get_context("fork").Process(target=run, args=(data, "killed"))
        process.start()
        time.sleep(seconds / 2 * (moment + 1) / 20)
        threads = Path(f"/proc/{process.pid}/task").glob("*/children")
        children = [int(pid) for path in threads for pid in path.read_text().split()]
        process.kill()
        process.join()
        while any(map(is_running, children)):
            time.sleep(0.01)
    again = run(data, "killed")
    assert again["failed"] == []
    assert rows(again) == rows(whole)
    assert sorted((data / "killed").rglob("*")) == files


def test_rows_may_have_configs_of_their_own(data, tmp_path):
    """Settings of the command line hold for them too, where they have the section."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    nlp.config["corpora"] = load_config(data / "config.cfg", interpolate=False)["corpora"]
    nlp.config.to_disk(tmp_path / "ner.cfg", interpolate=False)
    srsly.write_json(tmp_path / "rows.json", {"spaCy's ner": "ner.cfg"})
    options = ["--configs", tmp_path / "rows.json", "--rows", "spaCy's ner"]
    options += ["--components.msvse_ner.overwrite", "true"]
    (row,) = run(data, "own", *map(str, options))["rows"]
    assert row["row"] == "spaCy's ner"
    assert row["parameters"]["mean"] > 0
    assert row["extractor_parameters"]["mean"] == 0
    assert row["effects"] == {}
    result = srsly.read_json(data / "own" / "runs" / "spaCy's ner" / "0" / "result.json")
    assert result["steps"] == 6, "the steps of the command line"
    assert {"ablation.md", "ablation.csv", "ablation.tex"} < {
        path.name for path in (data / "own").iterdir()
    }


def test_a_row_may_change_settings_of_its_config_and_be_what_others_are_compared_with(
    data, tmp_path
):
    """Its settings hold before those of the command line, like those of a matrix."""
    (tmp_path / "configs.json").write_text(
        srsly.json_dumps({"short": {"config": str(data / "config.cfg"), "training.max_steps": 2}})
    )
    options = ["--configs", tmp_path / "configs.json", "--rows", "full,short", "--against", "short"]
    report = run(data, "settings", *map(str, options))
    full, short = report["rows"]
    assert (full["row"], short["row"]) == ("full", "short")
    assert report["against"] == "short"
    assert full["difference"] is not None
    assert short["difference"] is None
    # spaCy counts the step after which it stops.
    assert [one["steps"] for one in report["runs"]] == [6, 3]
    assert "to short (95%)" in (data / "settings" / "ablation.md").read_text()


def test_a_row_to_compare_with_that_is_not_there_is_refused_before_any_run(data):
    arguments = ["msvse", "ablate", data / "config.cfg", data / "refused", "--against", "nothing"]
    arguments += ["--paths.dev", data / "dev.spacy", "--paths.train", data / "train.spacy"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert "MSVSE-E040" in result.output
    assert not (data / "refused").exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "E204"),
        ("[1]", "E204"),
        ('{"row": 1}', "E204"),
        ('{"row": {"training.max_steps": 1}}', "E204"),
        ('{"row": "no.cfg"}', "E205"),
        ('{"row": {"config": "no.cfg"}}', "E205"),
    ],
)
def test_a_file_that_names_no_configs_is_refused_before_any_run(data, tmp_path, content, code):
    (tmp_path / "rows.json").write_text(content)
    options = ("--configs", str(tmp_path / "rows.json"))
    arguments = ["msvse", "ablate", data / "config.cfg", data / "refused", *options]
    arguments += ["--paths.dev", data / "dev.spacy", "--paths.train", data / "train.spacy"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert f"MSVSE-{code}" in result.output
    assert not (data / "refused").exists()


def test_jobs_run_at_a_time_and_a_failed_run_ends_no_other(data, monkeypatch):
    begun = []
    met = Barrier(2, timeout=60)

    class Failing(subprocess.Popen):
        """Two of these wait for each other, and fail."""

        def __init__(self, command, **settings):
            super().__init__([sys.executable, "-c", "raise SystemExit(1)"], **settings)
            begun.append(command[-1])
            met.wait()

    monkeypatch.setattr(launch.subprocess, "Popen", Failing)
    options = ("--seeds", "2", "--jobs", "2", "--rows", "full,text_only")
    report = run(data, "failed", *options, status=1)
    assert "MSVSE-E123" in report["output"]
    assert report["failed"] == [
        f"{row}, seed {seed}" for seed in (0, 1) for row in ("full", "text_only")
    ]
    assert len(begun) == 4
    assert report["rows"] == []


def test_runs_are_distributed_over_gpus_of_which_each_run_sees_one(data, monkeypatch):
    begun = []
    met = Barrier(2, timeout=60)

    class Failing(subprocess.Popen):
        def __init__(self, command, **settings):
            super().__init__([sys.executable, "-c", "raise SystemExit(1)"], **settings)
            plan = srsly.read_json(Path(command[-1]) / train_run.PLAN)
            begun.append((settings["env"]["CUDA_VISIBLE_DEVICES"], plan["gpu_id"]))
            met.wait()

    used = []
    monkeypatch.setattr(launch.subprocess, "Popen", Failing)
    monkeypatch.setattr(loading, "gpu_is_available", lambda: True)
    monkeypatch.setattr(loading.torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(loading, "setup_gpu", lambda gpu_id, silent: used.append(gpu_id))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    options = ("--seeds", "2", "--gpu-ids", "1, 3", "--rows", "full,text_only")
    run(data, "gpus", *options, status=1)
    assert used == [1], "the precision is that of a GPU"
    for pair in (begun[:2], begun[2:]):
        assert sorted(pair) == [("5", 0), ("7", 0)], "two runs at a time, on two GPUs"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--gpu-ids", "0,x"), "E197"),
        (("--gpu-ids", ","), "E197"),
        (("--gpu-ids", "0,1", "--gpu-id", "0"), "E197"),
        (("--gpu-ids", "0,7"), "E163"),
    ],
)
def test_gpus_that_do_not_exist_are_refused_before_any_run(data, monkeypatch, options, code):
    monkeypatch.setattr(loading, "gpu_is_available", lambda: True)
    monkeypatch.setattr(loading.torch.cuda, "device_count", lambda: 4)
    arguments = ["msvse", "ablate", data / "config.cfg", data / "refused", *options]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert f"MSVSE-{code}" in result.output
    assert not (data / "refused").exists()


def test_all_test_posts_are_read_even_if_the_dev_posts_are_limited(data):
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
    said = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", report["output"]).split())
    assert re.search(r"\[1/1\] full, seed 0: training; its log is \S+log.txt", said)
    assert re.search(r"\[1/1\] full, seed 0: dev F1 \S+, test F1 \S+, in \d+ s", said)
    assert "limit 7" in (data / "limited" / "ablation.md").read_text("utf8")


def test_encoders_that_cannot_be_loaded_are_named_once_before_any_run(data, tmp_path, monkeypatch):
    """Such as names on the hub without a network."""
    empty = [tmp_path / name for name in ("first", "second")]
    for folder in empty:
        folder.mkdir()
    encoders = dict(zip(("one", "two"), map(str, empty), strict=True))
    monkeypatch.setattr(rows_module, "ENCODERS", encoders)
    arguments = ["msvse", "ablate", data / "config.cfg", tmp_path / "out", "--matrix", "encoders"]
    arguments += ["--paths.dev", data / "dev.spacy", "--paths.train", data / "train.spacy"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert result.output.count("MSVSE-E165") == 1
    for name, folder in encoders.items():
        assert f"'{folder}' (rows: {name}_text_only, {name})" in result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_of_pictures_that_does_not_exist_is_refused_before_any_run(data):
    arguments = ["msvse", "ablate", data / "config.cfg", data / "refused"]
    arguments += ["--paths.dev", data / "dev.spacy", "--paths.train", data / "train.spacy"]
    arguments += ["--corpora.dev.image_root", data / "nowhere"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert "MSVSE-E203" in line
    assert "nowhere' of [corpora.dev] does not exist" in line
    assert not (data / "refused").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--matrix", "structures"), "E040"),
        (("--paths.train", "nowhere.spacy"), "E121"),
        (("--corpora.dev.image_root", "memory://nowhere"), "E196"),
    ],
)
def test_an_impossible_experiment_is_refused_before_any_run(data, options, code):
    arguments = ["msvse", "ablate", data / "config.cfg", data / "refused"]
    arguments += ["--paths.dev", data / "dev.spacy", "--paths.train", data / "train.spacy"]
    result = CliRunner().invoke(app, [*map(str, arguments), *options])
    assert result.exit_code == 1
    assert code in result.output
    assert not (data / "refused").exists()
