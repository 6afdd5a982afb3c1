"""From vectors of a spaCy pipeline to a trained BiLSTM-CRF."""

import numpy as np
import pytest
import spacy
from spacy.cli._util import app
from spacy.training import Example
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)
from spacy_msvse import make_doc

from ..tiny import WORDS, entities, save_encoder, tiny_pipeline, train


def init_bilstm(*arguments, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["msvse", "init-bilstm", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """What `spacy init vectors` writes."""
    nlp = spacy.blank("en")
    rows = np.random.default_rng(0).normal(size=(len(WORDS), 16)).astype("float32")
    for word, row in zip(WORDS, rows, strict=True):
        nlp.vocab.set_vector(word, row)
    folder = tmp_path_factory.mktemp("vectors")
    nlp.to_disk(folder)
    return folder


@pytest.mark.parametrize("kind", ["vectors", "encoder"])
def test_it_learns_and_is_saved_and_loaded(kind, vectors, tmp_path):
    source = vectors if kind == "vectors" else save_encoder(tmp_path / "encoder")
    init_bilstm(source, tmp_path / "bilstm", "--layers", 2)
    settings = {"prefix_views": [], "joint_views": [], "multitask": False}
    settings |= {"visual_classifier": False, "shared_depth": 0.0}
    spacy.util.fix_random_seed(0)
    nlp = tiny_pipeline(str(tmp_path / "bilstm"), vision=None, model=settings)
    posts = {"saw jordan today": ("jordan", 4, "PER"), "visit the amazon": ("amazon", 10, "LOC")}
    examples = [
        Example.from_dict(make_doc(nlp, text), {"entities": [(start, start + len(entity), label)]})
        for text, (entity, start, label) in posts.items()
    ]
    train(nlp, examples, steps=60, rate=1e-2)
    nlp.to_disk(tmp_path / "model")
    for pipeline in (nlp, spacy.load(tmp_path / "model")):
        for text, (entity, _, label) in posts.items():
            assert entities(pipeline(make_doc(pipeline, text))) == [(entity, label)]


def test_a_pipeline_without_vectors_is_a_coded_error(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    output = init_bilstm(tmp_path / "blank", tmp_path / "bilstm", status=1)
    assert "MSVSE-E043" in output


def test_an_unknown_encoder_is_a_coded_error(tmp_path):
    output = init_bilstm(tmp_path / "nowhere", tmp_path / "bilstm", status=1)
    assert "MSVSE-E001" in output
