"""Rows change what they are named after, and results are collated as they are."""

import hashlib
import io
import os
import threading

import pytest
import srsly
from spacy.tokens import DocBin
from spacy.util import load_model_from_config
from spacy_msvse.evaluation.ablation import (
    ENCODERS,
    FULL,
    MATRICES,
    TRAINED_SHUFFLED,
    choose_rows,
    component_name,
    describe_data,
    plan_runs,
    vary,
)
from spacy_msvse.evaluation.comparison import collate, list_runs, to_markdown

from spacy_msvse.cli.ablate import shuffle_corpora
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation import run as running

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline

COMPONENT = "components.msvse_ner"
MODEL = f"{COMPONENT}.model"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def config(encoder, tmp_path_factory):
    """A config whose train and dev posts are there."""
    nlp = tiny_pipeline(encoder)
    docs = []
    for example in ambiguous_examples(nlp):
        example.reference._.image = example.predicted._.image
        docs.append(example.reference)
    path = tmp_path_factory.mktemp("data") / "posts.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    corpus = {"@readers": "spacy-msvse.Corpus.v1", "path": str(path)}
    return vary(nlp.config, {"corpora.train": corpus, "corpora.dev": corpus})


def all_rows(config):
    return choose_rows(config, "msvse_ner", list(MATRICES))[0]


ROWS = sorted({FULL, *(row for rows in MATRICES.values() for row in rows)})


@pytest.mark.parametrize("row", ROWS)
def test_every_row_builds_the_network_that_it_is_named_after(row, config, encoder):
    overrides = all_rows(config)[row]
    model = overrides.get(f"{MODEL}.encoder", encoder)
    assert model == ENCODERS.get(row.rpartition("_")[0], encoder)
    nlp = load_model_from_config(vary(config, {**overrides, f"{MODEL}.encoder": encoder}))
    examples = ambiguous_examples(nlp)
    nlp.initialize(lambda: examples)
    component = nlp.get_pipe("msvse_ner")
    network = component.require_network()
    for name, value in overrides.items():
        setting = name.removeprefix(f"{MODEL}.")
        if hasattr(network.config, setting) and setting != "encoder":
            built = getattr(network.config, setting)
            assert (list(built) if isinstance(built, tuple) else built) == value
    parts = {name.split(".")[0] for name, _ in network.named_parameters()}
    if row == "text_only" or row.endswith("_crf"):
        assert parts == {"encoder", "multimodal_decoder"}
        assert component.vision is None
    for part in ("visual_classifier", "text_decoder"):
        left_out = row == f"without_{part}" or (row, part) == ("without_multitask", "text_decoder")
        assert (part in parts) == (parts >= {"fusion"} and not left_out)
    assert ("prefix" in network.fusion) == ("fusion" in parts and row != "without_prefixes")
    assert nlp(examples[0].predicted).has_annotation("ENT_IOB")


def test_the_encoder_learns_at_the_rate_that_its_row_is_named_after(config):
    for schedule in (2e-3, {"@schedules": "warmup_linear.v1", "initial_rate": 5e-4}):
        base = 2e-3 if isinstance(schedule, float) else 5e-4
        varied = vary(config, {"training.optimizer.learn_rate": schedule})
        rows, _ = choose_rows(varied, "msvse_ner", ["learning_rates"])
        assert len(rows) == 7
        for row, overrides in rows.items():
            if row != FULL:
                (factor,) = overrides.values()
                assert factor * base == pytest.approx(float(row.removeprefix("encoder_rate_")))


def test_a_schedule_without_a_rate_is_refused_by_the_learning_rates_alone(config):
    schedule = {"@schedules": "cyclic_triangular.v1", "max_lr": 1e-3}
    varied = vary(config, {"training.optimizer.learn_rate": schedule})
    choose_rows(varied, "msvse_ner", ["structure"])
    with pytest.raises(MsvseError, match="MSVSE-E122"):
        choose_rows(varied, "msvse_ner", ["learning_rates"])


def test_a_bilstm_is_a_text_only_row_that_learns_at_the_rate_of_the_rest(config, tmp_path):
    rows, _ = choose_rows(config, "msvse_ner", ["controls"], ["bilstm_crf"], tmp_path)
    (overrides,) = rows.values()
    assert overrides[f"{MODEL}.encoder"] == str(tmp_path)
    frozen = {f"{MODEL}.learning_rate_factors.embeddings": 0.0, f"{MODEL}.layer_decay": 0.9}
    model = vary(vary(config, frozen), overrides)["components"]["msvse_ner"]["model"]
    factors = model["learning_rate_factors"]
    assert factors["encoder"] == factors["embeddings"] == model["layer_decay"] == 1.0
    assert overrides[f"{MODEL}.joint_views"] == overrides[f"{MODEL}.prefix_views"] == []
    with pytest.raises(MsvseError, match="MSVSE-E040"):
        choose_rows(config, "msvse_ner", ["encoders"], ["bilstm_crf"])


def test_another_encoder_does_not_inherit_that_the_embeddings_are_frozen(config):
    frozen = vary(config, {f"{MODEL}.learning_rate_factors.embeddings": 0.0})
    for varied in (config, frozen):
        rows, _ = choose_rows(varied, "msvse_ner", ["controls", "encoders"])
        for row, overrides in rows.items():
            factors = vary(varied, overrides)["components"]["msvse_ner"]["model"]
            own = f"{MODEL}.encoder" not in overrides
            expected = 0.0 if own and varied is frozen else 1.0
            assert factors["learning_rate_factors"].get("embeddings", 1.0) == expected, row


def test_rows_of_views_that_the_config_does_not_read_are_left_out(config):
    varied = vary(config, {f"{MODEL}.prefix_views": ["tags"], f"{MODEL}.joint_views": []})
    rows, left_out = choose_rows(varied, "msvse_ner", ["joint_views", "single_views"])
    assert list(rows) == [FULL, "joint_text", "joint_text_tags", "tags_only", "without_prefixes"]
    assert left_out[:2] == ["joint_text_tags_caption", "joint_text_caption"]
    assert left_out[2:] == ["regions_only", "caption_only"]


def test_unknown_names_are_refused(config):
    for matrices, only in ((["structures"], []), (["structure"], ["text_only"])):
        with pytest.raises(MsvseError, match="MSVSE-E040"):
            choose_rows(config, "msvse_ner", matrices, only)
    with pytest.raises(MsvseError, match="MSVSE-E120"):
        component_name(vary(config, {"components": {}}), "config.cfg")
    with pytest.raises(MsvseError, match="MSVSE-E121"):
        describe_data(vary(config, {"corpora.dev.path": None}))


def test_rows_that_do_not_differ_share_a_run(config, tmp_path):
    rows = {row: all_rows(config)[row] for row in (FULL, "joint_text", "joint_text_caption")}
    runs = plan_runs(config, rows, [0, 1], tmp_path)
    assert [(run.seed, run.row) for run in runs] == [(s, row) for s in (0, 1) for row in rows]
    assert [run.folder.relative_to(tmp_path).as_posix() for run in runs] == [
        f"{row}/{seed}" for seed in (0, 1) for row in (FULL, "joint_text", FULL)
    ]


def test_a_result_counts_for_its_config_and_data_alone(config, tmp_path):
    def plan(**overrides):
        (run,) = plan_runs(vary(config, overrides), {FULL: {}}, [0], tmp_path)
        return run

    run = plan()
    assert run.result() is None
    run.folder.mkdir(parents=True)
    srsly.write_json(run.folder / running.RESULT, run.identity)
    assert plan().result() == run.identity
    assert plan(**{"training.max_steps": 7}).result() is None
    other = tmp_path / "other.spacy"
    DocBin().to_disk(other)
    moved = vary(config, {"corpora.train.path": str(other)})
    assert plan_runs(moved, {FULL: {}}, [0], tmp_path)[0].result() is None


def test_a_result_counts_for_the_files_of_an_encoder_folder(config, tmp_path):
    def fingerprint(name):
        varied = vary(config, {f"{MODEL}.encoder": name})
        (run,) = plan_runs(varied, {FULL: {}}, [0], tmp_path)
        return run.fingerprint

    folder = save_encoder(tmp_path / "encoder")
    first = fingerprint(folder)
    assert fingerprint(folder) == first
    (tmp_path / "encoder" / "config.json").write_text("{}")
    assert fingerprint(folder) != first
    # By name it is the text of the config and the data, as it always was.
    varied = vary(config, {f"{MODEL}.encoder": "a-name-on-the-hub", "system.seed": 0})
    text = vary(varied, {"training.seed": 0}).interpolate().to_str()
    text += srsly.json_dumps(describe_data(varied), sort_keys=True)
    assert fingerprint("a-name-on-the-hub") == hashlib.sha256(text.encode("utf8")).hexdigest()


def test_trained_shuffled_reads_the_same_posts_with_pictures_of_others(config, nlp, tmp_path):
    rows = {FULL: {}, TRAINED_SHUFFLED: shuffle_corpora(config, tmp_path / "shuffled")}
    runs = plan_runs(config, rows, [0], tmp_path)
    own, others = (
        list(DocBin().from_disk(run.config["corpora"]["dev"]["path"]).get_docs(nlp.vocab))
        for run in runs
    )
    assert [[e.label_ for e in doc.ents] for doc in own] == [
        [e.label_ for e in doc.ents] for doc in others
    ]
    assert sorted(doc._.image for doc in own) == sorted(doc._.image for doc in others)
    assert [doc._.image for doc in own] != [doc._.image for doc in others]


# What comes of the results


def write_result(run, f1, counts):
    scores = {"ents_f": f1, "ents_p": f1, "ents_r": f1, "ents_per_type": {"PER": {"f": f1}}}
    scores |= {"seen": {"f": 1.0}, "unseen": {"f": f1 / 2}}
    measures = {"parameters": 2_500_000, "trainable_parameters": 10, "machine": {"cores": 2}}
    run.folder.mkdir(parents=True, exist_ok=True)
    result = {
        **run.identity,
        **measures,
        "dev": {**scores, "post_counts": counts[:20]},
        "test": {**scores, "post_counts": counts},
        "seconds_per_step": 0.25,
        "peak_mb": None,
        "steps": 8,
        "best_step": 4,
        "curve": [(4, f1), (8, 0.5)],
        "seconds": 60.4,
    }
    srsly.write_json(run.folder / running.RESULT, result)


@pytest.fixture
def runs(config, tmp_path):
    """Three rows of two seeds: all of the first has ended, half of the second."""
    rows = {row: all_rows(config)[row] for row in (FULL, "text_only", "joint_text")}
    runs = plan_runs(config, rows, [0, 1], tmp_path)
    right, wrong = [[1, 1, 1]] * 30, [[1, 1, 1]] * 10 + [[0, 1, 1]] * 20
    for run in runs:
        if run.row == FULL:
            write_result(run, 0.9 if run.seed else 0.8, right)
        elif run.row == "text_only" and run.seed == 1:
            write_result(run, 0.4, wrong)
    return runs


@pytest.fixture
def collated(runs):
    return collate(runs)


def test_a_row_is_the_mean_and_standard_deviation_over_its_seeds(collated):
    full, text_only = collated
    assert full["row"] == FULL
    assert full["seeds"] == [0, 1]
    assert full["f1"] == pytest.approx({"mean": 0.85, "sd": 0.5**0.5 / 10})
    assert full["f1_per_type"]["PER"] == full["f1"]
    assert full["peak_mb"]["mean"] is None
    assert text_only["seeds"] == [1]
    assert text_only["f1"] == {"mean": 0.4, "sd": None}


def test_a_row_is_compared_with_the_full_model_by_the_seeds_of_both(collated):
    full, text_only = collated
    assert full["difference"] is None
    assert text_only["difference"]["f1"] == pytest.approx(-2 / 3)
    assert text_only["difference"]["p"] < 0.01
    # Of the dev posts, the rival is right on the first ten of twenty.
    assert text_only["dev_difference"]["f1"] == pytest.approx(-1 / 2)


def test_every_run_has_a_row(runs):
    rows = list_runs(runs)
    assert [(row["row"], row["seed"]) for row in rows] == [(FULL, 0), (FULL, 1), ("text_only", 1)]
    assert rows[1]["test_f1"] == 0.9
    assert (rows[1]["steps"], rows[1]["best_step"], rows[1]["seconds"]) == (8, 4, 60.4)


def test_the_page_tells_what_the_figures_are_of(runs, collated):
    report = {
        "rows": collated,
        "runs": list_runs(runs),
        "scored": "test",
        "command": "python -m spacy msvse ablate",
        "seeds": [0, 1],
        "data": {"train": {"file": "train.spacy", "sha256": "c0ffee", "label_map": {}}},
        "machines": [{"cores": 2}],
        "failed": ["joint_text, seed 0"],
        "left_out": ["tags_only"],
    }
    page = to_markdown(report)
    (row,) = (line for line in page.splitlines() if line.startswith("| text_only |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["text_only", "1", "40.00"]
    assert cells[3].startswith("-50.00 (")
    assert cells[4:8] == ["40.00"] * 4
    assert cells[8:10] == ["100.00", "20.00"]
    assert cells[10].startswith("-66.67 (-83.33 to ")
    assert cells[12:] == ["2.50", "0.00", "0.250", "-"]
    for fact in ("msvse ablate", "seeds: 0, 1", "sha256 c0ffee", "cores 2", "joint_text, seed 0"):
        assert fact in page
    assert "| full | 2 | 85.00 ± 7.07 |" in page
    assert "| full, seed 1 | 90.00 | 90.00 | 8 | 4 | 0.250 | - | 60 | 4: 90.00, 8: 50.00 |" in page


# A run's process


def test_the_record_times_steps_alone_and_names_the_step_that_is_kept(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(running.time, "perf_counter", lambda: clock[0])
    logged = []

    def logger(nlp, stdout, stderr):
        return logged.append, lambda: logged.append("end")

    path = tmp_path / "training.json"
    set_up = running.create_training_record(str(path), logger)
    log_step, finish = set_up(None, io.StringIO(), io.StringIO())
    # An evaluation every third step, which takes long; of equal scores spaCy keeps the last.
    scores = [(0.5, 0), (0.75, 3), (0.75, 6)]
    for step in range(8):
        clock[0] += 2.0 if step % 3 else 100.0
        info = None if step % 3 else {"checkpoints": scores[: step // 3 + 1]}
        log_step(info)
    finish()
    assert srsly.read_json(path) == {
        "steps": 8,
        "best_step": 6,
        "curve": [[0, 0.5], [3, 0.75], [6, 0.75]],
        "seconds_per_step": 2.0,
    }
    assert len(logged) == 9


def test_a_run_ends_when_its_parent_does(monkeypatch):
    reading, writing = os.pipe()
    status = []
    monkeypatch.setattr(running.os, "_exit", status.append)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(running.sys, "stdin", stdin)
        thread = threading.Thread(target=running.end_with_parent)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        os.close(writing)
        thread.join(5)
    assert status == [1]
