"""`python -m spacy msvse card`: parts, data, scores and limits of a pipeline."""

import json
import shutil
import subprocess
import sys
import zipfile
from email.parser import BytesParser

import pytest
import spacy
import srsly
from spacy.cli import package
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)
from spacy_msvse.corpus.convert import convert
from spacy_msvse.evaluation.scores import evaluate

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore:.*MSVSE-W001")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A pipeline, its scores, its scores under a control, and the counts of its data."""
    folder = tmp_path_factory.mktemp("run")
    spacy.util.fix_random_seed(0)
    nlp = tiny_pipeline(save_encoder(folder / "encoder"))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    nlp.to_disk(folder / "pipeline")
    for name, control in (("scores", None), ("no_picture", "no_picture")):
        scores = evaluate(nlp, ambiguous_examples(nlp), control=control)
        data = {"file": "test.spacy", "sha256": "a1"}
        srsly.write_json(folder / f"{name}.json", {**scores, "data": data})
    srsly.write_jsonl(folder / "test.jsonl", [{"text": "saw jordan", "image": "a.png"}])
    convert(
        folder / "test.jsonl",
        folder / "test.spacy",
        label_map={"OTHER": "MISC"},
        allow_no_entities=True,
    )
    return folder


def write_card(folder, output, *options, scores="scores.json", status: int = 0):
    """The card, the meta, and what was printed."""
    arguments = ["msvse", "card", folder / "pipeline", folder / scores, "--output", output]
    result = CliRunner().invoke(app, [*map(str, arguments), *map(str, options)])
    assert result.exit_code == status, result.output
    printed = " ".join(result.output.split())
    if status:
        return "", {}, printed
    return (output / "README.md").read_text(), srsly.read_json(output / "meta.json"), printed


def table_rows(card) -> list[list[str]]:
    lines = [line for line in card.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_scores_come_with_the_numbers_of_posts_and_entities(run_folder, tmp_path):
    card, meta, _ = write_card(run_folder, tmp_path / "out")
    scores = srsly.read_json(run_folder / "scores.json")
    predicted = scores["entities"]["predicted"]
    score = [f"{100 * scores[f'ents_{key}']:.2f}" for key in "prf"]
    right = str(scores["entities"]["right"])
    assert ["all", "their own", "12", "12", str(predicted), right, *score] in table_rows(card)
    for label in ("PER", "LOC", "ORG"):
        (row,) = (row for row in table_rows(card) if row[0] == label)
        assert row[1] == "4"
    assert meta["performance"]["ents_f"] == scores["ents_f"]
    assert "posts" not in meta["performance"]


def test_scores_under_controls_are_in_the_same_table(run_folder, tmp_path):
    card, *_ = write_card(run_folder, tmp_path / "out", "--control", run_folder / "no_picture.json")
    assert [row[1] for row in table_rows(card) if row[0] == "all"] == ["their own", "none"]
    assert "not measured by both controls" in card  # the other one is missing


def test_unseen_entities_and_views_are_listed_if_they_were_scored(run_folder, tmp_path):
    scores = srsly.read_json(run_folder / "scores.json")
    unseen = {"gold": 5, "predicted": 4, "right": 2, "p": 0.5, "r": 0.4, "f": 4 / 9}
    srsly.write_json(tmp_path / "scores.json", {**scores, "seen": unseen, "unseen": unseen})
    card, *_ = write_card(run_folder, tmp_path / "out", scores=tmp_path / "scores.json")
    assert ["unseen", "5", "4", "2", "50.00", "40.00", "44.44"] in table_rows(card)
    (row,) = (row for row in table_rows(card) if row[:2] == ["regions", "all (micro)"])
    assert row[2] == "12"
    card, *_ = write_card(run_folder, tmp_path / "out", scores="no_picture.json")
    assert not [row for row in table_rows(card) if row[0] in ("seen", "regions")][1:]


def test_what_is_not_given_is_not_stated_and_nothing_is_guessed(run_folder, tmp_path):
    scores = srsly.read_json(run_folder / "scores.json")
    del scores["calibration"]
    srsly.write_json(tmp_path / "scores.json", scores)
    card, meta, _ = write_card(run_folder, tmp_path / "out", scores=tmp_path / "scores.json")
    rows = table_rows(card)
    assert ["Licence", "not stated"] in rows
    assert ["text encoder", "encoder", "not stated"] in rows  # the folder, without its path
    assert ["regions, tags", "tests.MeanColour.v1", "not stated"] in rows
    assert "Not stated. Licence: not stated." in card
    assert meta["license"] == ""
    assert "## Confidence" not in card
    assert "Whether confidences are the share of right entities was not measured." in card
    assert str(run_folder) not in card + json.dumps(meta)


def test_the_authors_own_words_are_markdown(run_folder, tmp_path):
    options = ("--limits", "See [here](https://example.org).", "--intended-use", "For *tests*.")
    card, *_ = write_card(run_folder, tmp_path / "out", *options)
    assert "- See [here](https://example.org)." in card
    assert "For *tests*." in card


def test_data_are_listed_with_their_hash_and_licences_by_name(run_folder, tmp_path):
    report = srsly.read_json(run_folder / "test.spacy.json")
    options = ["--data", run_folder / "test.spacy.json", "--data-license", "CC0"]
    options += ["--weights-license", "encoder=Apache-2.0", "--license", "MIT", "--author", "A|da"]
    card, meta, _ = write_card(run_folder, tmp_path / "out", *options)
    rows = table_rows(card)
    sha256 = report["source_sha256"]
    assert ["test.jsonl", "1", "1", "0", sha256, "OTHER to MISC"] in rows
    assert ["text encoder", "encoder", "Apache-2.0"] in rows
    assert "| A\\|da " in card
    assert {"name": "encoder", "license": "Apache-2.0"} in meta["sources"]
    assert {"name": "test.jsonl", "license": "CC0"} in meta["sources"]
    assert meta["license"] == "MIT"


def test_the_calibration_error_is_stated_if_it_was_measured(run_folder, tmp_path):
    bins = [{"entities": 8, "confidence": 0.5, "precision": 0.375}]
    calibration = {"entities": 8, "ece": 0.125, "ece_interval": [0.1, 0.2], "bins": bins}
    scores = srsly.read_json(run_folder / "scores.json")
    srsly.write_json(tmp_path / "scores.json", {**scores, "calibration": calibration})
    card, *_ = write_card(run_folder, tmp_path / "out", scores=tmp_path / "scores.json")
    assert "of 8 predicted entities is 12.50 (95% interval: 10.00 to 20.00)" in card
    assert ["8", "50.00", "37.50"] in table_rows(card)
    assert "was not measured." not in card


@pytest.mark.parametrize("content", ["{", "[]", '{"ents_f": 1.0}'])
def test_a_file_that_evaluate_did_not_write_is_a_coded_error(run_folder, tmp_path, content):
    (tmp_path / "scores.json").write_text(content)
    *_, printed = write_card(
        run_folder, tmp_path / "out", scores=tmp_path / "scores.json", status=1
    )
    assert "MSVSE-E093" in printed
    assert not (tmp_path / "out").exists()


def test_a_control_on_other_posts_is_a_coded_error(run_folder, tmp_path):
    scores = srsly.read_json(run_folder / "no_picture.json")
    data = {"file": "test.spacy", "sha256": "b2"}
    srsly.write_json(tmp_path / "control.json", {**scores, "data": data})
    options = ("--control", tmp_path / "control.json")
    assert "MSVSE-E093" in write_card(run_folder, tmp_path / "out", *options, status=1)[2]


def test_the_card_states_the_posts_of_the_scores_and_a_missing_calibration(run_folder, tmp_path):
    card, *_ = write_card(run_folder, tmp_path / "out")
    assert "The posts are those of test.spacy, SHA-256 a1." in card
    assert ["Confidences of msvse_ner", "not calibrated, temperature 1.000"] in table_rows(card)


def test_scores_with_another_temperature_are_a_coded_error(run_folder, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run_folder / "pipeline", own / "pipeline")
    shutil.copy(run_folder / "scores.json", own)
    settings = srsly.read_json(own / "pipeline" / "msvse_ner" / "cfg")
    settings |= {"temperature": 1.5, "calibration": {"entities": 240, "source": "dev.spacy"}}
    srsly.write_json(own / "pipeline" / "msvse_ner" / "cfg", settings)
    *_, printed = write_card(own, tmp_path / "out", status=1)
    assert "MSVSE-E094" in printed
    scores = {**srsly.read_json(own / "scores.json"), "temperatures": {"msvse_ner": 1.5}}
    srsly.write_json(own / "scores.json", scores)
    card, *_ = write_card(own, tmp_path / "out")
    facts = "calibrated on 240 entities of dev.spacy, temperature 1.500"
    assert ["Confidences of msvse_ner", facts] in table_rows(card)


def test_an_older_copy_is_replaced_as_a_whole(run_folder, tmp_path):
    write_card(run_folder, tmp_path / "out")
    (tmp_path / "out" / "left_over").touch()
    write_card(run_folder, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert not (tmp_path / "out" / "left_over").exists()
    spacy.load(tmp_path / "out")


def test_an_output_that_would_destroy_something_is_a_coded_error(run_folder, tmp_path):
    (tmp_path / "letters.txt").touch()
    for output in (run_folder / "pipeline" / "copy", run_folder, tmp_path):
        before = sorted(output.parent.rglob("*"))
        assert "MSVSE-E095" in write_card(run_folder, output, status=1)[2]
        assert sorted(output.parent.rglob("*")) == before


def test_a_folder_without_a_pipeline_is_a_coded_error(run_folder, tmp_path):
    arguments = ["msvse", "card", str(tmp_path), str(run_folder / "scores.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "MSVSE-E092" in result.output


def first_lines(card) -> str:
    """The text of a card before its first table."""
    return card[: card.index("\n|")]


def test_the_first_lines_say_that_the_text_alone_is_read(tmp_path):
    model = {"@architectures": "spacy-msvse.TextCrf.v1"}
    nlp = tiny_pipeline(save_encoder(tmp_path / "encoder"), model=model, vision=None)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    nlp.to_disk(tmp_path / "pipeline")
    scores = evaluate(nlp, ambiguous_examples(nlp))
    data = {"file": "test.spacy", "sha256": "a1"}
    srsly.write_json(tmp_path / "scores.json", {**scores, "data": data})
    card, meta, _ = write_card(tmp_path, tmp_path / "out")
    assert "**It reads the text alone.**" in first_lines(card)
    assert "a picture changes nothing" in first_lines(card)
    assert meta["description"] == "Named entity recognition for text."
    assert "not measured by both controls" not in card


def test_the_first_lines_name_untrained_views_that_are_masked(tmp_path):
    nlp = tiny_pipeline(save_encoder(tmp_path / "encoder"), min_view_share=0.5)
    examples = ambiguous_examples(nlp)
    for example in examples[1:]:
        example.predicted._.images = None
    nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    nlp.to_disk(tmp_path / "pipeline")
    with pytest.warns(UserWarning, match="MSVSE-W003"):
        scores = evaluate(nlp, ambiguous_examples(nlp))
    assert scores["untrained_views"] == {"msvse_ner": ["caption", "regions", "tags"]}
    data = {"file": "test.spacy", "sha256": "a1"}
    srsly.write_json(tmp_path / "scores.json", {**scores, "data": data})
    card, *_ = write_card(tmp_path, tmp_path / "out")
    assert "**Untrained and masked: caption, regions, tags.**" in first_lines(card)


def test_the_first_lines_of_a_pipeline_with_trained_views_name_none(run_folder, tmp_path):
    card, *_ = write_card(run_folder, tmp_path / "out")
    assert "masked" not in card
    assert "text alone" not in card


@pytest.mark.parametrize("content", [b"\xff\xfe", b" \n", b"PAR1\0"])
@pytest.mark.parametrize("option", ["--license-file", "--sources-file"])
def test_a_licence_that_is_no_text_is_a_coded_error(run_folder, tmp_path, option, content):
    (tmp_path / "LICENSE").write_bytes(content)
    options = (option, tmp_path / "LICENSE")
    assert "MSVSE-E255" in write_card(run_folder, tmp_path / "out", *options, status=1)[2]
    assert not (tmp_path / "out").exists()


def test_the_card_and_the_licences_are_in_the_wheel(run_folder, tmp_path):
    options = ("--name", "synthetic", "--version", "1.2.3", "--license", "MIT")
    texts = {"LICENSE": "May be given away.\n", "LICENSES_SOURCES": "Posts: © A. Müller\n"}
    for name, option in (("LICENSE", "--license-file"), ("LICENSES_SOURCES", "--sources-file")):
        (tmp_path / f"{name}.txt").write_text(texts[name], encoding="utf-8")
        options += (option, tmp_path / f"{name}.txt")
    card, meta, _ = write_card(run_folder, tmp_path / "out", *options)
    package(tmp_path / "out", tmp_path, create_sdist=False)
    folder = tmp_path / "en_synthetic-1.2.3"
    # Without isolation, which would fetch setuptools.
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(folder)]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(*(folder / "dist").glob("*.whl")) as wheel:
        message = BytesParser().parsebytes(wheel.read("en_synthetic-1.2.3.dist-info/METADATA"))
        packaged = json.loads(wheel.read("en_synthetic/meta.json"))
        readme = wheel.read("en_synthetic/en_synthetic-1.2.3/README.md").decode()
        for name, text in texts.items():
            packaged_text = wheel.read(f"en_synthetic/en_synthetic-1.2.3/{name}")
            assert packaged_text.decode() == text
            # Where pip and other tools look for licences.
            assert any(
                p.split("/")[0].endswith(".dist-info") and p.endswith(f"/{name}")
                for p in wheel.namelist()
            )
    assert readme == card
    assert message.get_payload().strip() == card.strip()
    assert message["License"] == "MIT"
    assert ["Licence", "MIT, see LICENSE"] in table_rows(card)
    assert "The authors and the sources are in LICENSES_SOURCES." in card
    assert packaged["sources"] == meta["sources"]
    assert packaged["performance"] == meta["performance"]
