"""The benchmarks run with the smallest sizes. Their figures are not tested."""

import hashlib
import importlib
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_msvse import make_doc
from spacy_msvse.corpus.reader import read_docs

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
    yardsticks = ["bare encoder, URLs as one word", "bare encoder, bfloat16"]
    rows = [*configurations, "default, bfloat16", *yardsticks, f"{sys.executable} {peer}"]
    assert list(training) == ["bare encoder", *rows]
    prediction = report["comparisons"]["prediction, BERT-base"]
    assert set(prediction) == {*training, "one pass", "one pass, URLs in full"}
    for title, ours in (("training step", ["default"]), ("prediction", ["default", "one pass"])):
        fair = report["comparisons"][f"{title}, BERT-base: {yardsticks[0]}"]
        assert list(fair) == [yardsticks[0], *ours]
    assert training[f"{sys.executable} {peer}"]["wall s"]["median"] == 1.0
    posts_of_step, posts_of_prediction = (tmp_path / "posts.txt").read_text().split()
    assert (posts_of_step, posts_of_prediction) == ("2", "4")
    assert len(report["curves"]) == 6
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
    page = (tmp_path / "methods.md").read_text().split("\n\n")
    (summary,) = (block for block in page if block.startswith("| wall time, ratio"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in summary.splitlines()[2:]]
    assert {name for name, *_ in rows} == {"bare encoder", *speed.METHODS}
    assert all(cells[1] and cells[2] for cells in rows)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_gains_compares_every_optimisation_with_the_default(tmp_path, monkeypatch, posts):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gains = importlib.import_module("gains")
    gains.main(posts, tmp_path / "gains.json", smallest=True)
    comparisons = srsly.read_json(tmp_path / "gains.json")["comparisons"]
    assert list(comparisons) == ["prediction", "training", "CRF, decoding"]
    assert "padding in every layer" in comparisons["training"]
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


def test_the_entities_that_a_language_model_lists_are_scored(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    asked_model = importlib.import_module("asked_model")
    told = "Named entities:1. Ada Lovelace (person/author)2. paris (City)3. tea (object)"
    told += "Reasoning: 4. Rome (city)"
    nlp = spacy.blank("en")
    for split, words, entities in (
        ("train", "Ada Lovelace likes tea in Paris", [(0, 2, "PER"), (5, 6, "LOC")]),
        ("test", "in Paris Ada Lovelace and tea of Rome", [(1, 2, "LOC"), (7, 8, "LOC")]),
    ):
        doc = make_doc(nlp, words.split(), texts={"knowledge": told})
        doc.set_ents([Span(doc, start, end, label=label) for start, end, label in entities])
        DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / f"{split}.spacy")
    output = tmp_path / "asked.json"
    asked_model.main(tmp_path / "train.spacy", tmp_path / "test.spacy", output)
    result = srsly.read_json(output)
    # Paris is right, Ada Lovelace is spurious, Rome is not in the list, and tea is no entity.
    assert result["post_counts"] == [[1, 2, 2]]
    assert result["ents_f"] == 0.5


def test_the_mapping_of_labels_of_another_pipeline_is_chosen_on_dev_posts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    baseline = importlib.import_module("open_baseline")
    nlp = spacy.blank("en")
    words = {"ada": "PERSON", "paris": "GPE", "louvre": "FAC", "french": "NORP", "monday": "DATE"}
    patterns = [{"label": label, "pattern": word} for word, label in words.items()]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)
    nlp.to_disk(tmp_path / "model")
    for split, entities in (
        ("dev", [(0, 1, "PER"), (2, 3, "LOC")]),
        ("test", [(0, 1, "PER"), (1, 2, "LOC")]),
    ):
        doc = make_doc(nlp, ["ada", "paris", "louvre", "french", "monday"])
        doc.set_ents([Span(doc, *entity) for entity in entities])
        doc.user_data["meta"] = {"small": True}
        DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / f"{split}.spacy")
    output = tmp_path / "baseline.json"
    baseline.main(str(tmp_path / "model"), tmp_path / "dev.spacy", tmp_path / "test.spacy", output)
    result = srsly.read_json(output)
    assert result["mapping"]["FAC"] == "LOC"
    assert not {"NORP", "DATE"} & result["mapping"].keys()
    assert result["test"]["entities"] == {"gold": 2, "predicted": 3, "right": 2}
    assert "| small " in output.with_suffix(".md").read_text(encoding="utf-8")


def gold_posts(tmp_path) -> list[Path]:
    """Four training posts and two test posts with a person and a place."""
    nlp, paths = spacy.blank("en"), []
    for split, count in (("train", 4), ("test", 2)):
        docs = []
        for number in range(count):
            doc = make_doc(nlp, ["ada", "saw", "paris", str(number)])
            doc.set_ents([Span(doc, 0, 1, label="PER"), Span(doc, 2, 3, label="LOC")])
            docs.append(doc)
        paths.append(tmp_path / f"{split}.spacy")
        DocBin(store_user_data=True, docs=docs).to_disk(paths[-1])
    return paths


def test_each_part_keeps_its_types_and_says_so_only_for_joint_training(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    halves = importlib.import_module("halves")
    train, _ = gold_posts(tmp_path)
    posts = list(read_docs(train, spacy.blank("en")))
    sets = halves.divide(posts, [["PER"], ["LOC"]], 0)
    assert {name: len(docs) for name, docs in sets.items()} == {
        "joint": 4,
        "naive": 4,
        "full": 4,
        "part 1": 2,
        "part 2": 2,
    }
    for number, label in ((1, "PER"), (2, "LOC")):
        for doc in sets[f"part {number}"]:
            assert [entity.label_ for entity in doc.ents] == [label]
    for naive, joint in zip(sets["naive"], sets["joint"], strict=True):
        (entity,) = joint.ents
        assert joint._.covered_types == [entity.label_]
        assert naive._.covered_types is None
        assert [entity.label_] == [other.label_ for other in naive.ents]
    assert [len(doc.ents) for doc in sets["full"]] == [2] * 4
    assert [doc._.covered_types for doc in posts] == [None] * 4
    other = halves.divide(posts, [["PER"], ["LOC"]], 1)
    chosen = [[doc.text for doc in one["part 1"]] for one in (sets, other)]
    assert chosen[0] != chosen[1]


def test_of_two_taggers_the_more_probable_of_overlapping_entities_is_kept(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    halves = importlib.import_module("halves")
    first = [(0, 2, "PER", 0.6), (4, 5, "PER", 0.9)]
    second = [(1, 3, "ORG", 0.7), (4, 5, "ORG", 0.8), (6, 7, "ORG", 0.1)]
    merged = [(1, 3, "ORG", 0.7), (4, 5, "PER", 0.9), (6, 7, "ORG", 0.1)]
    assert halves.merge([first, second]) == merged


def test_the_rows_of_two_halves_are_compared_on_the_same_test_posts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    halves = importlib.import_module("halves")
    train, test = gold_posts(tmp_path)
    trained = []

    def run(folder, posts, gold, *others):
        """Finds what its posts have; without covered types only in every second post."""
        trained.append(folder.parent.name)
        known = {entity.label_ for doc in posts for entity in doc.ents}
        step = 2 if folder.parent.name == "naive" else 1
        found = [[(e.start, e.end, e.label_, 0.9) for e in doc.ents] for doc in gold]
        kept = [[e for e in post if e[2] in known] for post in found]
        return [post if number % step == 0 else [] for number, post in enumerate(kept)]

    monkeypatch.setattr(halves, "run", run)
    output = tmp_path / "out"
    output.mkdir()
    config = BENCHMARKS.parent / "configs" / "open.cfg"
    halves.main(train, test, output, ["PER", "LOC"], config, seeds=2)
    assert trained == ["joint", "naive", "full", "part 1", "part 2"] * 2
    rows = srsly.read_json(output / "halves.json")["rows"]
    assert {name: row["f1"]["mean"] for name, row in rows.items()} == pytest.approx(
        {"joint": 1.0, "naive": 2 / 3, "merged": 1.0, "full": 1.0}
    )
    assert rows["naive"]["joint_minus"]["f1"] == pytest.approx(1 / 3)
    assert "| merged " in (output / "halves.md").read_text(encoding="utf-8")
