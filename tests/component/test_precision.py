"""`precision = "auto"`: bfloat16 where the machine computes in it by itself, else float32."""

import pytest
import spacy
import srsly
import torch

from spacy_msvse.component.architectures import get_shim
from spacy_msvse.component.precision import choose_precision, computes_bfloat16
from spacy_msvse.evaluation.experiments.plan import make_plan
from spacy_msvse.evaluation.scores import evaluate

from ..tiny import ambiguous_examples, tiny_pipeline, train


@pytest.fixture(params=[True, False])
def native(request, monkeypatch) -> bool:
    """A processor that has the instructions, or not."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: request.param)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return request.param


def test_the_processor_decides(native):
    assert choose_precision("auto", "cpu") == ("bfloat16" if native else "float32")
    assert [choose_precision(name, "cpu") for name in ("float32", "bfloat16")] == [
        "float32",
        "bfloat16",
    ]


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True)])
def test_the_generation_of_a_gpu_decides(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert computes_bfloat16(torch.device("cuda")) is expected


def test_other_devices_and_versions_of_torch_compute_in_single_precision(monkeypatch):
    assert not computes_bfloat16(torch.device("mps"))
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not computes_bfloat16(torch.device("cpu"))


def test_a_pipeline_says_what_it_computes_with(encoder, native, tmp_path):
    nlp = tiny_pipeline(encoder, model={"precision": "auto"})
    train(nlp, ambiguous_examples(nlp), steps=2)
    expected = "bfloat16" if native else "float32"
    fixed = tiny_pipeline(encoder, model={"precision": expected})
    train(fixed, ambiguous_examples(fixed), steps=2)
    weights, others = (
        get_shim(one.get_pipe("msvse_ner").model).network.state_dict() for one in (nlp, fixed)
    )
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    scores = evaluate(nlp, ambiguous_examples(nlp))
    assert scores["precisions"] == {"msvse_ner": expected}
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded.config["components"]["msvse_ner"]["model"]["precision"] == "auto"
    assert loaded.get_pipe("msvse_ner").precision == expected


def test_runs_of_an_experiment_name_the_precision_of_the_machine(monkeypatch, tmp_path, encoder):
    """A run of a machine with another precision is not a run of the same experiment."""
    from spacy.tokens import DocBin

    nlp = tiny_pipeline(encoder, model={"precision": "auto"})
    docs = [example.reference for example in ambiguous_examples(nlp)]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "posts.spacy")
    for split in ("train", "dev"):
        nlp.config["corpora"][split] = {
            "@readers": "spacy-msvse.Corpus.v1",
            "path": str(tmp_path / "posts.spacy"),
        }
    runs = {}
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        path, output = tmp_path / "config.cfg", tmp_path / "out"
        plan = make_plan(nlp, path, output, seeds=1, matrices=["controls"], only=["full"])
        (runs[native],) = plan.runs
    models = [run.config["components"]["msvse_ner"]["model"] for run in runs.values()]
    assert [model["precision"] for model in models] == ["bfloat16", "float32"]
    assert runs[True].fingerprint != runs[False].fingerprint
    assert srsly.json_dumps(runs[True].overrides) == srsly.json_dumps(runs[False].overrides)
