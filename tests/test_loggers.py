"""Training is recorded by Weights & Biases and by MLflow, in a local folder."""

import sys

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config

from .tiny import ambiguous_examples, save_encoder, tiny_pipeline

# Both warn of their own dependencies.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


@pytest.fixture
def config(tmp_path):
    """A training config of four steps, evaluated twice."""
    nlp = tiny_pipeline(save_encoder(tmp_path / "encoder"))
    docs = DocBin(store_user_data=True)
    for example in ambiguous_examples(nlp):
        doc = example.predicted
        doc.set_ents(
            [doc.char_span(e.start_char, e.end_char, e.label_) for e in example.reference.ents]
        )
        docs.add(doc)
    docs.to_disk(tmp_path / "posts.spacy")
    config = nlp.config
    corpus = {"@readers": "spacy-msvse.Corpus.v1", "path": str(tmp_path / "posts.spacy")}
    config["corpora"] |= {"train": corpus, "dev": corpus}
    config["training"] |= {"max_steps": 4, "eval_frequency": 2, "patience": 0}
    return config


def run(config, tmp_path):
    config.to_disk(tmp_path / "config.cfg")
    (tmp_path / "out").mkdir()
    nlp = init_nlp(load_config(tmp_path / "config.cfg"), use_gpu=-1)
    train(nlp, tmp_path / "out", use_gpu=-1, stdout=sys.stdout, stderr=sys.stderr)
    assert spacy.load(tmp_path / "out" / "model-last").pipe_names == ["msvse_ner"]


def test_weights_and_biases_records_scores_losses_and_settings(config, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    config["training"]["logger"] = {
        "@loggers": "spacy.WandbLogger.v5",
        "project_name": "posts",
        "remove_config_values": ["paths.train"],
    }
    run(config, tmp_path)
    wandb.teardown()
    (recorded,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = recorded.read_bytes()
    assert b"loss_msvse_ner" in content
    assert b"ents_f" in content
    assert b"spacy-msvse.MSVSE.v1" in content


def test_mlflow_records_scores_losses_and_settings(config, tmp_path, monkeypatch):
    reason = "mlflow is not installed, or does not fit the installed packages"
    mlflow = pytest.importorskip("mlflow", reason=reason, exc_type=ImportError)
    monkeypatch.chdir(tmp_path)  # where the artifacts go
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # It asks for a database; a folder of files gets no new features.
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    config["training"]["logger"] = {"@loggers": "spacy.MLflowLogger.v2", "run_name": "posts"}
    run(config, tmp_path)
    (record,) = mlflow.search_runs(output_format="list")
    assert record.data.metrics["ents_f"] >= 0
    assert record.data.metrics["loss_msvse_ner"] > 0
    assert record.data.params["components.msvse_ner.model.architectures"] == "spacy-msvse.MSVSE.v1"
