"""A config of the tiny pipeline, with posts, and results of its rows."""

import pytest
import srsly
from spacy.tokens import DocBin

from spacy_msvse.evaluation.experiments.plan import plan_runs
from spacy_msvse.evaluation.experiments.rows import FULL, choose_rows, vary
from spacy_msvse.evaluation.experiments.train_run import RESULT

from ...tiny import ambiguous_examples, save_encoder, tiny_pipeline


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def config(encoder, tmp_path_factory):
    """A config with train and dev posts."""
    nlp = tiny_pipeline(encoder)
    docs = []
    for example in ambiguous_examples(nlp):
        example.reference._.image = example.predicted._.image
        docs.append(example.reference)
    path = tmp_path_factory.mktemp("data") / "posts.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    corpus = {"@readers": "spacy-msvse.Corpus.v1", "path": str(path)}
    return vary(nlp.config, {"corpora.train": corpus, "corpora.dev": corpus})


def write_result(run, f1, counts):
    scores = {"ents_f": f1, "ents_p": f1, "ents_r": f1, "ents_per_type": {"PER": {"f": f1}}}
    scores |= {"posts": len(counts), "entities": {"gold": sum(gold for *_, gold in counts)}}
    scores |= {"seen": {"f": 1.0}, "unseen": {"f": f1 / 2}}
    measures = {"parameters": 2_500_000, "trainable_parameters": 10}
    measures |= {"extractor_parameters": 4_000_000, "machine": {"cores": 2}}
    run.folder.mkdir(parents=True, exist_ok=True)
    result = {
        **run.identity,
        **measures,
        "dev": {**scores, "post_counts": counts[:20]},
        "test": {**scores, "post_counts": counts},
        "controls": {},
        "slices": {},
        "seconds_per_step": 0.25,
        "peak_mb": None,
        "steps": 8,
        "best_step": 4,
        "curve": [(4, f1), (8, 0.5)],
        "seconds": 60.4,
    }
    srsly.write_json(run.folder / RESULT, result)


@pytest.fixture
def runs(config, tmp_path):
    """Three rows of two seeds. Both runs of the first have ended, and one of the second."""
    names = [FULL, "text_only", "bfloat16"]
    rows, _ = choose_rows(config, "msvse_ner", ["controls", "precision"], names)
    runs = plan_runs(config, rows, [0, 1], tmp_path)
    right, wrong = [[1, 1, 1]] * 30, [[1, 1, 1]] * 10 + [[0, 1, 1]] * 20
    for run in runs:
        if run.row == FULL:
            write_result(run, 0.9 if run.seed else 0.8, right)
        elif run.row == "text_only" and run.seed == 1:
            write_result(run, 0.4, wrong)
    return runs
