"""Tests that need a GPU. `pytest -m gpu` runs only these; without a GPU they are skipped."""

import pytest
import spacy
import torch

from spacy_msvse import make_doc
from spacy_msvse.component.architectures import get_shim

from .tiny import COLOURS, ambiguous_examples, picture, save_encoder, tiny_pipeline, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.fixture(scope="module")
def gpu():
    """Use the GPU in spaCy for the tests of this file only."""
    from thinc.api import get_current_ops, set_current_ops

    pytest.importorskip("cupy")
    ops = get_current_ops()
    spacy.require_gpu()
    yield
    set_current_ops(ops)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    spacy.util.fix_random_seed(0)
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def answers(nlp) -> dict:
    docs = {label: make_doc(nlp, "saw jordan today", image=picture(label)) for label in COLOURS}
    return {label: nlp(doc) for label, doc in docs.items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_from_pictures(gpu, encoder, precision):
    nlp = tiny_pipeline(encoder, model={"precision": precision})
    train(nlp, ambiguous_examples(nlp, copies=2))
    assert next(get_shim(nlp.get_pipe("msvse_ner").model).network.parameters()).is_cuda
    for label, doc in answers(nlp).items():
        assert [ent.label_ for ent in doc.ents] == [label]


def test_averages_and_accumulation_work(gpu, encoder):
    nlp = tiny_pipeline(encoder)
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.averages = {}
    for _ in range(2):
        nlp.update(examples[:6], sgd=False)
        nlp.update(examples[6:], sgd=optimizer)
    network = get_shim(nlp.get_pipe("msvse_ner").model).network
    weight = network.multimodal_decoder.emissions.weight
    last = weight.detach().clone()
    with nlp.use_params(optimizer.averages):
        assert not torch.equal(weight, last)
    assert torch.equal(weight, last)


def test_a_pipeline_trained_here_answers_the_same_on_the_cpu(gpu, encoder):
    from thinc.api import get_current_ops, set_current_ops

    nlp = tiny_pipeline(encoder)
    train(nlp, ambiguous_examples(nlp, copies=2))
    expected = answers(nlp)
    saved, config, ops = nlp.to_bytes(), nlp.config, get_current_ops()
    try:
        spacy.require_cpu()
        copy = spacy.util.load_model_from_config(config).from_bytes(saved)
        assert get_shim(copy.get_pipe("msvse_ner").model).device.type == "cpu"
        for label, doc in answers(copy).items():
            assert [ent.label_ for ent in doc.ents] == [ent.label_ for ent in expected[label].ents]
            assert doc.ents[0]._.confidence == pytest.approx(
                expected[label].ents[0]._.confidence, abs=1e-4
            )
    finally:
        set_current_ops(ops)
