"""The commands, run as a user runs them but in this process."""

import hashlib
import re
import shutil

import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Example

import spacy_msvse.cli.evaluate
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.evaluation.calibration import judged_confidences

from ..display.markup import Markup
from ..tiny import COLOURS, NAMES, ambiguous_examples, picture, save_encoder, tiny_pipeline, train
from .command import CONFIG, run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Posts as JSONL with their pictures, converted."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "pictures").mkdir()
    rows = []
    for name in NAMES:
        for label in COLOURS:
            file = f"{name}-{label}.png"
            (folder / "pictures" / file).write_bytes(picture(label, seed=3))
            span = {"start": 4, "end": 4 + len(name), "label": label}
            rows.append(
                {
                    "text": f"saw {name} today",
                    "image": file,
                    "spans": [span],
                    "meta": {"picture_decides": True},
                }
            )
    rows.append({"text": "saw amazon again", "spans": [{"start": 4, "end": 10, "label": "ORG"}]})
    srsly.write_jsonl(folder / "posts.jsonl", rows)
    run(
        "convert",
        folder / "posts.jsonl",
        folder / "posts.spacy",
        "--format",
        "jsonl",
        "--image-root",
        folder / "pictures",
    )
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    spacy.util.fix_random_seed(0)
    nlp = tiny_pipeline(save_encoder(folder / "encoder"))
    train(nlp, ambiguous_examples(nlp, copies=2))
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


def evaluate(model, data, *options):
    return evaluate_on(data / "posts.spacy", model, data, *options)


def evaluate_on(posts, model, data, *options):
    output = data / "scores.json"
    run(
        "evaluate",
        model,
        posts,
        "--image-root",
        data / "pictures",
        "--output",
        output,
        *options,
    )
    return srsly.read_json(output)


def test_evaluate_keeps_the_pictures(model, data):
    scores = evaluate(model, data)
    assert scores["slices"]["picture_decides"]["ents_f"] == 1.0
    assert scores["slices"]["picture_decides"]["posts"] == 12
    assert scores["posts"] == 13
    assert scores["entities"]["gold"] == 13
    assert scores["views"]["regions"] == {"used": 12, "absent": 1}
    assert scores["control"] is None


def test_without_pictures_the_type_is_a_guess(model, data):
    scores = evaluate(model, data, "--control", "no_picture")
    assert scores["slices"]["picture_decides"]["ents_f"] < 0.5
    assert scores["views"]["regions"] == {"absent": 13}


def test_with_the_pictures_of_other_posts_every_type_is_wrong(model, data):
    scores = evaluate(model, data, "--control", "shuffled")
    assert scores["slices"]["picture_decides"]["ents_f"] == 0.0


def test_evaluate_writes_each_mistake_as_a_row(model, data, tmp_path):
    scores = evaluate(model, data, "--control", "shuffled", "--errors", tmp_path / "e.jsonl")
    rows = list(srsly.read_jsonl(tmp_path / "e.jsonl"))
    counts = scores["entities"]
    assert (
        sum(row["predicted"] is not None for row in rows) == counts["predicted"] - counts["right"]
    )
    assert sum(row["gold"] is not None for row in rows) == counts["gold"] - counts["right"]
    assert {row["kind"] for row in rows} == {"wrong type"}
    confidences = [row["confidence"] for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    first = rows[0]
    assert first["text"][first["gold"]["start"] : first["gold"]["end"]] == first["gold"]["text"]
    assert first["image"].endswith(".png")


def test_evaluate_shows_the_posts_of_mistakes_as_a_page(model, data, tmp_path):
    evaluate(model, data, "--control", "shuffled", "--errors", tmp_path / "e.html")
    html = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert html.count("<article") == html.count("wrong type</strong>") == 12
    assert html.count("<img") == 12
    assert "Post 12" in Markup(html).text
    evaluate(model, data, "--errors", tmp_path / "none.jsonl")
    assert (tmp_path / "none.jsonl").read_text() == ""


def test_evaluate_reads_and_fills_a_store(model, data, tmp_path):
    store = tmp_path / "features"
    first = evaluate(model, data, "--features", store)
    second = evaluate(model, data, "--features", store)
    assert first == second


def test_evaluate_scores_seen_and_unseen_entities_apart(model, data, tmp_path):
    """One of four names is in the training data, with every type."""
    rows = [row for row in srsly.read_jsonl(data / "posts.jsonl") if "jo" in row["text"]]
    srsly.write_jsonl(tmp_path / "train.jsonl", rows)
    train = tmp_path / "train.spacy"
    run("convert", tmp_path / "train.jsonl", train, "--format", "jsonl")
    scores = evaluate(model, data, "--train", train)
    assert (scores["seen"]["gold"], scores["seen"]["right"]) == (3, 3)
    assert scores["unseen"]["gold"] == 10
    assert "seen" not in evaluate(model, data)


def test_training_data_without_entities_are_a_coded_error(model, data, tmp_path):
    train = tmp_path / "train.spacy"
    DocBin(docs=[spacy.blank("en")("saw jordan")]).to_disk(train)
    result = run("evaluate", model, data / "posts.spacy", "--train", train, status=1)
    assert "MSVSE-E111" in result.output
    train.write_bytes(b"no posts")
    result = run("evaluate", model, data / "posts.spacy", "--train", train, status=1)
    assert "MSVSE-E042" in result.output


@pytest.mark.filterwarnings("ignore:.*MSVSE-W001")
def test_evaluate_scores_the_visual_entity_classifier(model, data):
    scores = evaluate(model, data)
    assert set(scores["visual"]) == {"regions", "tags", "caption"}
    for view in scores["visual"].values():
        assert view["posts"] == 12
        assert {name: row["gold"] for name, row in view["per_type"].items()} == {
            "LOC": 4,
            "ORG": 4,
            "PER": 4,
        }
    assert "visual" not in evaluate(model, data, "--control", "no_picture")


def test_a_report_has_every_table_and_the_plots(model, data, tmp_path):
    report = tmp_path / "report"
    evaluate(model, data, "--train", data / "posts.spacy", "--report", report)
    markdown = (report / "report.md").read_text()
    rows = [re.split(r" *\| *", line)[1:-1] for line in markdown.splitlines() if "|" in line]
    assert {"all types", "LOC", "ORG", "PER", "seen", "unseen", "regions"} <= {r[0] for r in rows}
    assert ["caption", "all (micro)", "12"] in [row[:3] for row in rows]
    assert "## Confidence" in markdown
    for plot in ("types", "visual", "reliability"):
        assert f"({plot}.svg)" in markdown
        assert (report / f"{plot}.svg").read_bytes().startswith(b"<?xml")


def test_without_matplotlib_a_report_is_refused_before_scoring(data, tmp_path, monkeypatch):
    monkeypatch.setattr(spacy_msvse.cli.evaluate, "find_spec", lambda name: None)
    arguments = ("no_such_pipeline", data / "posts.spacy", "--report", tmp_path / "report")
    output = " ".join(run("evaluate", *arguments, status=1).output.split())
    assert "MSVSE-E110" in output
    assert "spacy-msvse[plots]" in output


@pytest.fixture(scope="module")
def guessed(tmp_path_factory, data):
    """Two splits without a common post. Without a picture, a type is a guess."""
    folder = tmp_path_factory.mktemp("guessed")
    for split, ending in (("dev", "again"), ("test", "today")):
        rows = []
        for name in NAMES:
            for label in COLOURS:
                span = {"start": 4, "end": 4 + len(name), "label": label}
                row = {"text": f"saw {name} {ending}", "spans": [span]}
                rows += [row, {**row, "image": f"{name}-{label}.png"}]
        srsly.write_jsonl(folder / f"{split}.jsonl", rows)
        output = folder / f"{split}.spacy"
        run("convert", folder / f"{split}.jsonl", output, "--format", "jsonl")
    return folder


def calibrate(model, data, guessed, *options):
    return run("calibrate", model, guessed / "dev.spacy", "-i", data / "pictures", *options)


def test_calibrate_fits_confidences_and_changes_only_the_settings(model, data, guessed, tmp_path):
    own = shutil.copytree(model, tmp_path / "pipeline")
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    said = " ".join(calibrate(own, data, guessed).output.split())
    temperature, loss_before, loss_after = re.findall(r"(\d+\.\d+)", said)[:3]
    assert float(loss_after) < float(loss_before)
    after = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    changed = {path.name for path in after if after[path] != before[path]}
    assert changed == {"cfg", "manifest.json"}
    component = spacy.load(own).get_pipe("msvse_ner")
    assert component.temperature == pytest.approx(float(temperature), abs=1e-3)
    assert component.cfg["calibration"] == {"entities": 24, "source": "dev.spacy"}


def test_calibration_holds_on_posts_that_it_was_not_fitted_to(model, data, guessed, tmp_path):
    calibrated = tmp_path / "calibrated"
    calibrate(model, data, guessed, "--output", calibrated)
    before, after = (evaluate_on(guessed / "test.spacy", m, data) for m in (model, calibrated))
    assert before["calibration"]["entities"] == after["calibration"]["entities"] == 24
    assert after["ents_per_type"] == before["ents_per_type"]
    examples = list(Corpus(guessed / "test.spacy", image_root=data / "pictures")(spacy.load(model)))
    losses = [log_loss_on(examples, path) for path in (model, calibrated)]
    assert losses[1] < losses[0]


def log_loss_on(examples, model) -> float:
    nlp = spacy.load(model)
    docs = nlp.pipe([example.predicted.copy() for example in examples])
    scored = [Example(doc, eg.reference) for doc, eg in zip(docs, examples, strict=True)]
    _, confidence, right = judged_confidences(scored)
    # Single precision, in which scores are kept on a Doc, may round to 1.
    return -np.log(np.where(right, confidence, 1 - confidence).clip(min=1e-7)).mean()


def test_posts_that_determine_no_temperature_leave_the_pipeline_with_a_warning(
    model, data, tmp_path
):
    own = shutil.copytree(model, tmp_path / "pipeline")
    with pytest.warns(UserWarning, match="MSVSE-W008"):
        run("calibrate", own, data / "posts.spacy", "-i", data / "pictures")
    assert (own / "msvse_ner" / "cfg").read_bytes() == (model / "msvse_ner" / "cfg").read_bytes()


def test_evaluate_states_the_posts_and_the_temperatures(model, data):
    scores = evaluate(model, data)
    assert scores["data"]["file"] == "posts.spacy"
    content = (data / "posts.spacy").read_bytes()
    assert scores["data"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert scores["temperatures"] == {"msvse_ner": 1.0}


def test_evaluate_prints_every_table(model, data):
    printed = run("evaluate", model, data / "posts.spacy", "-i", data / "pictures").output
    for part in ("| picture_decides", "| all types", "all (micro)", "calibration error of 13"):
        assert part in printed


def test_a_pipeline_that_has_no_confidences_cannot_be_calibrated(data, tmp_path):
    spacy.blank("en").to_disk(tmp_path)
    result = run("calibrate", tmp_path, data / "posts.spacy", status=1)
    assert "MSVSE-E082" in result.output


def test_stock_evaluate_drops_the_pictures_and_is_warned_about(model, data):
    from spacy.cli.evaluate import evaluate as stock_evaluate

    with pytest.warns(UserWarning, match="MSVSE-W001"):
        scores = stock_evaluate(str(model), data / "posts.spacy", silent=True)
    assert scores["ents_f"] < 0.6


def test_extract_extracts_every_picture_once(data, tmp_path):
    config = tmp_path / "config.cfg"
    config.write_text(CONFIG)
    arguments = ("extract", data / "posts.spacy", tmp_path / "store", "--config", config)
    arguments = (*arguments, "--image-root", data / "pictures")
    # The pictures differ only in their colour, so three are extracted.
    for count in ("3 extracted, 9 stored already", "0 extracted, 12 stored already"):
        output = " ".join(run(*arguments).output.split())
        assert f"13 posts with 12 pictures and texts: {count}" in output


def test_extract_of_a_config_without_pictures_is_refused(data, tmp_path):
    config = tmp_path / "config.cfg"
    config.write_text(CONFIG.split("[components.msvse_ner.vision]")[0] + "vision = null\n")
    run(
        "extract",
        data / "posts.spacy",
        tmp_path / "store",
        "--config",
        config,
        status=1,
    )


def test_the_meta_of_a_post_reaches_the_doc(data):
    docs = DocBin().from_disk(data / "posts.spacy").get_docs(spacy.blank("en").vocab)
    assert [bool(doc.user_data.get("meta")) for doc in docs] == [True] * 12 + [False]


@pytest.fixture
def own(model, tmp_path):
    """A pipeline with a component of the user, and the file that registers it."""
    folder = shutil.copytree(model, tmp_path / "pipeline")
    name = f"own_{tmp_path.name}"
    config = spacy.util.load_config(folder / "config.cfg")
    config["nlp"]["pipeline"].append("own")
    config["components"]["own"] = {"factory": name}
    config.to_disk(folder / "config.cfg")
    code = tmp_path / f"{name}.py"
    code.write_text(
        "from spacy.language import Language\n\n"
        f"@Language.component({name!r})\n"
        "def leave_as_it_is(doc):\n    return doc\n"
    )
    return folder, code


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "render"])
def test_a_pipeline_with_code_of_the_user_needs_that_code(command, own, data, guessed, tmp_path):
    folder, code = own
    arguments = {
        "evaluate": (guessed / "dev.spacy", "-i", data / "pictures"),
        "calibrate": (guessed / "dev.spacy", "-i", data / "pictures"),
        "render": (data / "posts.jsonl", tmp_path / "page.html", "-i", data / "pictures"),
    }[command]
    refusal = run(command, folder, *arguments, status=1).output
    assert "MSVSE-E152" in refusal
    assert "--code" in refusal
    run(command, folder, *arguments, "--code", code)
