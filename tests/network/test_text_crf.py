"""The text tagger, and the methods that are settings of it: MSB, ITA and PGIM."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.component.architectures import (
    create_ita_model,
    create_msb_model,
    create_pgim_model,
    network_config,
)
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.inputs import Inputs, WordPieces
from spacy_msvse.network.methods.text_crf import TextCrf

from .conftest import (
    TINY_ENCODER,
    make_inputs,
    make_targets,
    text_crf,
    text_only,
    tiny_network,
)

ARCHITECTURES = {"MSB": create_msb_model, "ITA": create_ita_model, "PGIM": create_pgim_model}


@pytest.fixture(params=ARCHITECTURES)
def named(request) -> TextCrf:
    """The network of a registered method, with a tiny encoder."""
    return make_named(request.param)


def make_named(name: str, **settings) -> TextCrf:
    torch.manual_seed(0)
    create = ARCHITECTURES[name]
    values = {"types": ("PER", "LOC"), "encoder": TINY_ENCODER, "dropout": 0.0, **settings}
    return TextCrf.build(replace(network_config(create()), **values)).eval()


def behind(inputs: Inputs) -> torch.Tensor:
    """Which word pieces of the joint encoding are not of the text."""
    text = inputs.text.mask
    return inputs.joint.mask & ~torch.nn.functional.pad(
        text, (0, inputs.joint.mask.shape[1] - text.shape[1])
    )


def test_the_tagger_equals_msvse_with_every_view_absent():
    msvse = tiny_network()
    tagger = text_crf()
    tagger.encoder.load_state_dict(msvse.encoder.state_dict())
    tagger.decoder.load_state_dict(msvse.multimodal_decoder.state_dict())
    inputs = make_inputs([5, 3], [0, 0], [0, 0], [0, 0])
    mask = inputs.token_mask
    torch.testing.assert_close(
        tagger(inputs).answer.emissions[mask],
        msvse(inputs).answer.emissions[mask],
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"joint_views": ["caption"]},
        {"joint_views": ["caption"], "text_view": True},
        {"joint_views": ["caption"], "text_view": True, "shared_decoder": True},
        {"joint_views": ["caption"], "text_view": True, "tie_temperature": 4.0},
    ],
)
def test_every_form_of_the_tagger_trains_without_dead_parameters(inputs, settings):
    network = text_crf(**settings).train()
    loss = network.loss(network(inputs), make_targets(inputs))
    loss.total.backward()
    assert loss.total.isfinite()
    assert not [name for name, p in network.named_parameters() if p.grad is None]


def test_views_after_the_text_change_the_answer_and_an_absent_one_does_not(inputs):
    network = text_crf(joint_views=["caption"])
    without = replace(inputs, joint=inputs.text)
    mask = inputs.token_mask
    changed = network(inputs).answer.emissions - network(without).answer.emissions
    assert changed[0][mask[0]].abs().max() > 1e-4
    assert changed[1:][mask[1:]].abs().max() < 1e-5


@pytest.mark.parametrize("shared", [True, False])
def test_the_tie_reaches_the_encoder_only_through_the_text_alone(inputs, shared):
    """ITA: the joint encoding is the teacher, and the text alone is the student."""
    network = text_crf(joint_views=["caption"], text_view=True, shared_decoder=shared).train()
    outputs = network(inputs)
    tie = network.loss(outputs, make_targets(inputs)).terms["tie"]
    (joint,) = torch.autograd.grad(tie, outputs.answer.emissions, retain_graph=True)
    (text,) = torch.autograd.grad(tie, outputs.others["text"].emissions, retain_graph=True)
    assert not joint.any()
    assert text.any()
    tie.backward()
    if not shared:  # the transitions of the teacher's CRF get no gradient either
        gradients = [parameter.grad for parameter in network.decoder.parameters()]
        assert not any(one is not None and one.any() for one in gradients)


@pytest.mark.parametrize(
    "settings",
    [
        {"text_view": True},
        {"shared_decoder": True, "joint_views": ["caption"]},
        {"joint_views": ["regions"]},
    ],
)
def test_bad_settings_of_the_tagger_are_a_coded_error(settings):
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        text_crf(**settings)


def test_the_registered_methods_read_their_views():
    views = {name: make_named(name).views for name in ARCHITECTURES}
    assert views == {
        "MSB": ("tags",),
        "ITA": ("tags", "caption", "ocr"),
        "PGIM": ("knowledge",),
    }


def test_other_words_behind_the_text_change_its_scores(named, inputs):
    other = replace(inputs.joint, ids=inputs.joint.ids + behind(inputs))
    before, after = named(inputs), named(replace(inputs, joint=other))
    changed = (before.answer.emissions != after.answer.emissions).any(dim=2)
    assert changed[0, :5].all()
    assert not changed[1:].any()  # these have no words behind the text


def test_without_words_behind_the_text_the_scores_are_those_of_a_text_tagger(named, inputs):
    absent = replace(inputs, joint=inputs.text)
    mask = inputs.token_mask
    torch.testing.assert_close(
        named(absent).answer.emissions[mask],
        text_only(named)(absent).answer.emissions[mask],
        atol=1e-5,
        rtol=0,
    )


def test_only_the_tokens_of_the_text_are_labelled(named, inputs):
    """In the authors' code of PGIM, the words behind the text have labels too."""
    assert behind(inputs).any()
    answer = named(inputs).answer
    assert torch.equal(answer.mask, inputs.token_mask)
    assert answer.emissions.shape == (3, 7, 5)


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_decoder_scores_equal_encodings_equally(inputs, shared):
    network = text_crf(joint_views=["caption"], text_view=True, shared_decoder=shared)
    outputs = network(replace(inputs, joint=inputs.text))
    text = outputs.others["text"].emissions
    assert torch.allclose(outputs.answer.emissions, text, atol=1e-5) == shared


def caption_posts(posts: list[tuple[int, int]]) -> tuple[Inputs, torch.Tensor]:
    """Posts of a name between two words, and the type of the name in the caption; gold labels."""
    names, types = torch.tensor(posts).unbind(dim=1)
    count = len(posts)
    inputs = make_inputs([3] * count, [0] * count, [0] * count, [1] * count)
    text = torch.tensor([1, 10, 0, 11, 2]).repeat(count, 1)
    text[:, 2] = names
    joint = torch.cat([text, 50 + types[:, None]], dim=1)
    labels = torch.zeros(count, 3, dtype=torch.long)
    labels[:, 1] = 1 + 2 * types
    inputs = replace(
        inputs,
        text=WordPieces(text, inputs.text.mask, inputs.text.token_types),
        joint=WordPieces(joint, inputs.joint.mask, inputs.joint.token_types),
    )
    return inputs, labels


def test_the_tie_teaches_the_text_alone_what_only_the_caption_says():
    """Labelled names have both types. New names have one type each and no labels: only the caption
    says their type."""
    labelled = [(name, kind) for name in range(20, 32) for kind in (0, 1)]
    new = [(name, name % 2) for name in range(40, 48)]
    inputs, labels = caption_posts(labelled + new)
    targets = make_targets(inputs)
    targets.allowed = torch.nn.functional.one_hot(labels, 5).bool()
    targets.allowed[len(labelled) :] = True
    asked, gold = caption_posts(new)
    asked = replace(asked, joint=asked.text)
    found = []
    for weight in (1.0, 0.0):
        network = make_named("ITA", tie_loss_weight=weight).train()
        network.set_dropout(0.0)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        for _ in range(120):
            optimizer.zero_grad()
            network.loss(network(inputs), targets).total.backward()
            optimizer.step()
        labels = network.eval()(asked).answer.best_labels()
        found.append((labels == gold)[:, 1].float().mean().item())
    with_tie, without = found
    assert with_tie == 1.0
    assert without <= 0.75
