"""`python -m spacy msvse shrink`: a smaller copy of a pipeline."""

import pytest
import spacy
import srsly
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_msvse.cli  # noqa: F401  (joins the commands to spaCy's)

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    nlp = tiny_pipeline(save_encoder(folder / "encoder"))
    nlp.initialize(lambda: ambiguous_examples(nlp))
    nlp.meta["performance"] = {"ents_f": 0.9}
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


def shrink(*arguments, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["msvse", "shrink", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return " ".join(result.output.split())


def test_the_copy_has_smaller_weights_and_the_original_stays(pipeline, tmp_path):
    file = "msvse_ner/network.safetensors"
    before = (pipeline / file).read_bytes()
    printed = shrink(pipeline, tmp_path / "new" / "small")
    assert "MB, instead of" in printed
    assert (pipeline / file).read_bytes() == before
    assert (tmp_path / "new/small" / file).stat().st_size < 0.65 * len(before)
    assert spacy.load(tmp_path / "new/small").pipe_names == ["msvse_ner"]


def test_the_copy_has_neither_scores_nor_a_temperature_of_the_original(pipeline, tmp_path):
    settings = pipeline.parent / "calibrated"
    nlp = spacy.load(pipeline)
    nlp.get_pipe("msvse_ner").temperature = 1.5
    nlp.to_disk(settings)
    with pytest.warns(UserWarning, match="MSVSE-W065"):
        shrink(settings, tmp_path / "small")
    assert srsly.read_json(tmp_path / "small/meta.json")["performance"] == {}
    assert spacy.load(tmp_path / "small").get_pipe("msvse_ner").temperature == 1.0
