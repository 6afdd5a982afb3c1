"""Runs and their results belong to a config, its data and a seed."""

from functools import partial

import pytest
import srsly
from spacy.tokens import DocBin

from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.experiments import rows as rows_module
from spacy_msvse.evaluation.experiments.plan import (
    component_name,
    describe_data,
    plan_runs,
    shuffle_corpora,
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


def test_a_config_without_component_or_posts_is_refused(config):
    with pytest.raises(MsvseError, match="MSVSE-E120"):
        component_name(vary(config, {"components": {}}), "config.cfg")
    with pytest.raises(MsvseError, match="MSVSE-E121"):
        describe_data(vary(config, {"corpora.dev.path": None}))
