"""Weights rounded to bfloat16 take half the space. Saving never rounds: it loses nothing."""

import pytest
import spacy
import torch
from safetensors.torch import load_file

from spacy_msvse.component.architectures import get_network
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, tiny_pipeline
from .test_serialization import answers, via_bytes, via_disk, via_pickle, via_source

FILE = "msvse_ner/network.safetensors"


@pytest.fixture
def full(trained):
    """A trained pipeline with weights in single precision."""
    return via_bytes(trained, None)


@pytest.fixture
def rounded(full):
    full.get_pipe("msvse_ner").round_weights()
    return full


def weights(nlp) -> dict[str, torch.Tensor]:
    """The weights of a pipeline in memory."""
    return {
        k: v.clone() for k, v in get_network(nlp.get_pipe("msvse_ner").model).state_dict().items()
    }


def assert_equal(first, second) -> None:
    """Check that weights are equal to the last bit, and of one type."""
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert torch.equal(tensor, second[name]), name


def saved_size(nlp, folder) -> int:
    nlp.to_disk(folder)
    return (folder / FILE).stat().st_size


def test_rounding_halves_the_file_of_the_weights(full, tmp_path):
    before = saved_size(full, tmp_path / "full")
    full.get_pipe("msvse_ner").round_weights()
    # The names and shapes of so few weights are a quarter of the file.
    assert saved_size(full, tmp_path / "rounded") < 0.65 * before
    stored = load_file(tmp_path / "rounded" / FILE)
    floats = {name: one for name, one in stored.items() if one.is_floating_point()}
    assert {one.dtype for one in floats.values()} == {torch.bfloat16}


def test_rounding_changes_each_weight_by_less_than_half_a_per_cent(full):
    before = weights(full)
    full.get_pipe("msvse_ner").round_weights()
    after = weights(full)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert any("encoder" in name for name in changed)
    for name in changed:
        assert after[name].dtype == torch.float32
        torch.testing.assert_close(after[name], before[name], rtol=2**-8, atol=0)


@pytest.mark.parametrize("via", [via_disk, via_bytes, via_pickle, via_source])
def test_a_copy_of_a_rounded_pipeline_is_equal_to_the_last_bit(rounded, tmp_path, via):
    copy = via(rounded, tmp_path)
    assert_equal(weights(copy), weights(rounded))
    assert answers(copy) == answers(rounded)
    assert {p.dtype for p in get_network(copy.get_pipe("msvse_ner").model).parameters()} == {
        torch.float32
    }


@pytest.mark.parametrize("via", [via_disk, via_bytes, via_pickle])
def test_saving_does_not_round_weights_that_were_not_rounded(full, tmp_path, via):
    assert_equal(weights(via(full, tmp_path)), weights(full))


def test_a_rounded_pipeline_that_is_trained_on_is_saved_in_full(rounded, tmp_path):
    size = saved_size(rounded, tmp_path / "rounded")
    nlp = via_disk(rounded, tmp_path)
    examples = ambiguous_examples(nlp)
    nlp.update(examples, sgd=nlp.resume_training())
    assert saved_size(nlp, tmp_path / "trained") > 1.3 * size
    assert_equal(weights(via_disk(nlp, tmp_path)), weights(nlp))


def test_saving_twice_writes_the_same_bytes(rounded, tmp_path):
    rounded.to_disk(tmp_path / "first")
    via_disk(rounded, tmp_path).to_disk(tmp_path / "second")
    assert (tmp_path / "first" / FILE).read_bytes() == (tmp_path / "second" / FILE).read_bytes()


def test_a_changed_byte_of_rounded_weights_is_a_coded_error(rounded, tmp_path):
    rounded.to_disk(tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(MsvseError, match="MSVSE-E006"):
        spacy.load(tmp_path)


def test_numbers_that_bfloat16_does_not_hold_are_kept(full):
    network = get_network(full.get_pipe("msvse_ner").model)
    parameter = next(network.parameters())
    with torch.no_grad():
        parameter[0] = float("nan")
        parameter[1] = float("inf")
        parameter[2] = -0.0
    copy = get_network(via_bytes(full, None).get_pipe("msvse_ner").model)
    assert torch.equal(
        next(copy.parameters()).view(torch.int32), parameter.detach().view(torch.int32)
    )


def test_rounding_resets_a_calibration_and_says_so(full):
    ner = full.get_pipe("msvse_ner")
    ner.temperature = 1.5
    with pytest.warns(UserWarning, match=r"MSVSE-W065.*1\.500"):
        ner.round_weights()
    assert ner.temperature == 1.0
    ner.round_weights()


def test_rounding_before_there_are_weights_is_a_coded_error(encoder):
    with pytest.raises(MsvseError, match="MSVSE-E003"):
        tiny_pipeline(encoder).get_pipe("msvse_ner").round_weights()
