"""Runs and their results belong to a config, its data and a seed."""

from functools import partial

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.util import load_model_from_config

from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.controls import clear_corpus, shuffle_corpus
from spacy_msvse.evaluation.experiments import rows as rows_module
from spacy_msvse.evaluation.experiments.plan import (
    component_name,
    copy_corpora,
    describe_data,
    make_plan,
    plan_runs,
)
from spacy_msvse.evaluation.experiments.rows import FULL, TRAINED_SHUFFLED, vary
from spacy_msvse.evaluation.experiments.train_run import RESULT
from spacy_msvse.network.methods.msvse import Msvse

from ...tiny import save_encoder

#: The rows of MSVSE, besides those of every method.
choose_rows = partial(rows_module.choose_rows, method_rows=Msvse.rows)


MODEL = "components.msvse_ner.model"


def test_equal_rows_share_a_run(config, tmp_path):
    rows, _ = choose_rows(
        config, "msvse_ner", ["joint_views"], [FULL, "joint_text", "joint_text_caption"]
    )
    runs = plan_runs(config, rows, [0, 1], tmp_path)
    assert [(run.seed, run.row) for run in runs] == [(s, row) for s in (0, 1) for row in rows]
    assert [run.folder.relative_to(tmp_path).as_posix() for run in runs] == [
        f"{row}/{seed}" for seed in (0, 1) for row in (FULL, "joint_text", FULL)
    ]


def test_a_result_belongs_to_its_config_and_data(config, tmp_path):
    def plan(**overrides):
        (run,) = plan_runs(vary(config, overrides), {FULL: {}}, [0], tmp_path)
        return run

    run = plan()
    assert run.result() is None
    run.folder.mkdir(parents=True)
    srsly.write_json(run.folder / RESULT, run.identity)
    assert plan().result() == run.identity
    assert plan(**{"training.max_steps": 7}).result() is None
    other = tmp_path / "other.spacy"
    DocBin().to_disk(other)
    moved = vary(config, {"corpora.train.path": str(other)})
    assert plan_runs(moved, {FULL: {}}, [0], tmp_path)[0].result() is None


def test_a_result_belongs_to_the_files_of_an_encoder_folder(config, tmp_path):
    def fingerprint(name):
        varied = vary(config, {f"{MODEL}.encoder": name})
        (run,) = plan_runs(varied, {FULL: {}}, [0], tmp_path)
        return run.fingerprint

    folder = save_encoder(tmp_path / "encoder")
    first = fingerprint(folder)
    assert fingerprint(folder) == first
    (tmp_path / "encoder" / "config.json").write_text("{}")
    assert fingerprint(folder) != first


def test_trained_shuffled_has_the_same_posts_with_the_pictures_of_others(config, nlp, tmp_path):
    rows = {FULL: {}, TRAINED_SHUFFLED: copy_corpora(config, tmp_path, shuffle_corpus)}
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


def test_posts_without_pictures_are_the_same_posts(config, nlp, tmp_path):
    paths = copy_corpora(config, tmp_path, clear_corpus)
    assert paths.keys() == {"corpora.train.path", "corpora.dev.path"}
    own, cleared = (
        list(DocBin().from_disk(path).get_docs(nlp.vocab))
        for path in (config["corpora"]["dev"]["path"], paths["corpora.dev.path"])
    )
    assert [doc.to_json()["ents"] for doc in own] == [doc.to_json()["ents"] for doc in cleared]
    assert any(doc._.image for doc in own)
    assert not any(doc._.image for doc in cleared)


def plan_rows(config, tmp_path, **settings):
    nlp = load_model_from_config(config, auto_fill=True)
    return make_plan(nlp, tmp_path / "config.cfg", tmp_path, seeds=1, **settings).runs


def test_a_method_that_reads_pictures_is_trained_without_them_too(config, tmp_path):
    only = ["full", "UMT", "UMT_without_pictures", "TextCrf"]
    umt, without = plan_rows(config, tmp_path, matrices=["methods"], only=only)[2:]
    assert (umt.row, without.row) == ("UMT", "UMT_without_pictures")
    model = {"components": umt.config["components"]}
    assert without.config["components"] == model["components"]
    assert without.config["corpora"] != umt.config["corpora"]
    with pytest.raises(MsvseError, match="MSVSE-E040"):
        plan_rows(config, tmp_path, matrices=["methods"], only=["TextCrf_without_pictures"])


def test_a_row_may_have_a_config_of_its_own(config, tmp_path):
    """Also one of another component of spaCy, which is no method."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    foreign = vary(nlp.config, {"corpora": config["corpora"]})
    own = vary(config, {"training.max_steps": 7})
    runs = plan_rows(
        config,
        tmp_path,
        matrices=["controls"],
        only=["full", "ner", "own"],
        configs={"ner": foreign, "own": own},
    )
    assert [run.row for run in runs] == ["full", "ner", "own"]
    assert [run.config["training"]["max_steps"] for run in runs][2] == 7
    assert list(runs[1].config["components"]) == ["ner"]
    rows = [
        run.row
        for run in plan_rows(
            config, tmp_path, matrices=["controls"], configs={"ner": foreign, "own": own}
        )
    ]
    assert rows == ["full", "text_only", "trained_shuffled", "ner", "own", "own_without_pictures"]


def test_a_config_without_component_or_posts_is_refused(config):
    with pytest.raises(MsvseError, match="MSVSE-E120"):
        component_name(vary(config, {"components": {}}), "config.cfg")
    with pytest.raises(MsvseError, match="MSVSE-E121"):
        describe_data(vary(config, {"corpora.dev.path": None}))
