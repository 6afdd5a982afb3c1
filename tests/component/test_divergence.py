"""A loss or gradients that are not finite change no weight, are named, and end a training."""

import warnings

import pytest
import torch

from spacy_msvse.component.architectures import get_network
from spacy_msvse.component.divergence import SkippedBatches
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, tiny_pipeline


@pytest.fixture
def nlp(encoder):
    nlp = tiny_pipeline(encoder)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


def network_of(nlp):
    return get_network(nlp.get_pipe("msvse_ner").model)


def weights(nlp) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network_of(nlp).parameters()]


def is_same(nlp, before: list[torch.Tensor]) -> bool:
    after = network_of(nlp).parameters()
    return all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def spoil_loss(nlp, monkeypatch) -> None:
    component = nlp.get_pipe("msvse_ner")
    get_loss = component.get_loss

    def spoiled(examples, outputs):
        _, total = get_loss(examples, outputs)
        return float("nan"), total * float("nan")

    monkeypatch.setattr(component, "get_loss", spoiled)


def spoil_gradients(nlp, monkeypatch) -> None:
    parameter = next(p for p in network_of(nlp).parameters() if p.requires_grad)
    parameter.register_hook(lambda gradient: gradient * float("inf"))


@pytest.mark.parametrize("spoil", [spoil_loss, spoil_gradients])
def test_a_batch_that_is_not_finite_changes_nothing_and_is_named(nlp, monkeypatch, spoil):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    before = weights(nlp)
    spoil(nlp, monkeypatch)
    text = examples[0].predicted.text
    with pytest.warns(UserWarning, match=f"MSVSE-W050.*1 of 1 batches.*{text}"):
        losses = nlp.update(examples, sgd=optimizer)
    assert is_same(nlp, before)
    assert losses["msvse_ner"] >= 0  # not NaN


@pytest.mark.parametrize("spoil", [spoil_loss, spoil_gradients])
def test_a_training_ends_after_ten_such_batches_in_a_row(nlp, monkeypatch, spoil):
    examples = ambiguous_examples(nlp)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    before = weights(nlp)
    spoil(nlp, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(9):
            nlp.update(examples, sgd=optimizer)
        with pytest.raises(MsvseError, match=r"MSVSE-E211.*10 of 10 batches"):
            nlp.update(examples, sgd=optimizer)
    assert is_same(nlp, before)


def test_a_training_ends_if_more_than_one_percent_is_skipped():
    batches = SkippedBatches("ner")
    for number in range(1, 2000):
        batches.begin("a post")
        if number % 99:
            batches.finish()
        elif batches.skipped < 9:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batches.skip("loss", float("nan"))
        else:
            with pytest.raises(MsvseError, match="MSVSE-E211"):
                batches.skip("loss", float("nan"))
            return
    pytest.fail("the training did not end")


def test_rare_batches_that_are_not_finite_do_not_end_a_training():
    batches = SkippedBatches("ner")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(1, 20000):
            batches.begin("a post")
            if number % 150:
                batches.finish()
            else:
                batches.skip("loss", float("nan"))
    assert batches.skipped == 133
    assert len(caught) == 8  # at 1, 2, 4, ... 128


def test_updates_at_a_learning_rate_of_0_are_named(nlp):
    """spaCy's training loop steps the schedules. A loop of one's own must do it too."""
    examples = ambiguous_examples(nlp)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.0
    nlp.update(examples, sgd=optimizer)
    nlp.update(examples, sgd=optimizer)
    with pytest.warns(UserWarning, match=r"MSVSE-W051.*step_schedules"):
        nlp.update(examples, sgd=optimizer)
    nlp.update(examples, sgd=optimizer)  # once
