"""`annotate` in Python: the pipeline is as before when all rows are done."""

from pathlib import Path

import pytest

from spacy_msvse.corpus.annotate import annotate
from spacy_msvse.corpus.rows import Row

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline


@pytest.fixture(scope="module")
def nlp(tmp_path_factory):
    nlp = tiny_pipeline(save_encoder(tmp_path_factory.mktemp("annotate") / "encoder"))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


@pytest.mark.parametrize("n_process", [0, 1])
def test_the_settings_of_the_pipeline_stay(nlp, tmp_path, n_process):
    component = nlp.get_pipe("msvse_ner")
    before = (component.image_root, component.on_missing_image, nlp.default_error_handler)
    rows = [Row(Path("posts.jsonl"), 1, {"text": "saw jordan", "image": "gone.jpg"})]
    (row,) = annotate(nlp, rows, image_root=tmp_path, n_process=n_process)
    assert "gone.jpg" in row.values["error"]
    after = (component.image_root, component.on_missing_image, nlp.default_error_handler)
    assert after == before
    config = nlp.config["components"]["msvse_ner"]
    assert config["on_missing_image"] == "warn"
