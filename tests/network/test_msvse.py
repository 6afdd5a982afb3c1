"""The network: absent views, ablations, size, and a plain PyTorch training loop."""

from dataclasses import replace

import pytest
import torch

from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import token_vectors
from spacy_msvse.network.build import build_network
from spacy_msvse.network.decoder import tied_losses
from spacy_msvse.network.inputs import Regions, Targets, to_device
from spacy_msvse.network.methods.msvse import Msvse, MsvseConfig
from spacy_msvse.network.views import ViewFeatures

from .conftest import TINY_ENCODER, make_inputs, make_targets, tiny_config, tiny_network

ABLATIONS = {
    "without attention": {"attention": False},
    "without gate": {"gate": False},
    "without attention and gate": {"attention": False, "gate": False},
    "without multi-task decoder": {"multitask": False},
    "without visual entity classifier": {"visual_classifier": False},
    "without prefixes": {"prefixes": False},
    "joint text": {"joint_views": []},
    "joint text + tags": {"joint_views": ["tags"]},
    "joint text + tags + caption": {"joint_views": ["tags", "caption"]},
    "prefix regions": {"prefix_views": ["regions"]},
    "prefix regions + tags": {"prefix_views": ["regions", "tags"]},
    "prefix regions + caption": {"prefix_views": ["regions", "caption"]},
    "tags only": {"prefix_views": ["tags"], "joint_views": ["tags"]},
    "encoded views": {"view_layers": 2},
    "shared layers": {"shared_depth": 0.67},
    "interaction with a lower layer": {"interaction_depth": 0.34},
    "one pass": {"shared_depth": 0.67, "interaction_depth": 0.67},
}


#: The depths of one pass in prediction: the interaction reads a shared layer.
ONE_PASS = {"shared_depth": 0.67, "interaction_depth": 0.67}


@pytest.mark.parametrize("settings", [{}, {"shared_depth": 0.67}, ONE_PASS])
def test_all_views_absent_equals_the_plain_encoder(settings):
    network = tiny_network(**settings)
    inputs = make_inputs([5, 3], [0, 0], [0, 0], [0, 0])
    outputs = network(inputs)
    plain = network.multimodal_decoder(
        token_vectors(network.encoder(inputs.text), inputs), inputs.token_mask
    )
    mask = inputs.token_mask
    torch.testing.assert_close(
        outputs.answer.emissions[mask], plain.emissions[mask], atol=1e-5, rtol=0
    )
    assert not torch.stack([*outputs.present.values()]).any()


@pytest.mark.parametrize("settings", [{}, {"view_layers": 2}, {"shared_depth": 0.67}, ONE_PASS])
def test_a_post_in_a_mixed_batch_equals_that_post_alone(settings):
    """A view that a post does not have contributes nothing, even if other posts have it."""
    network = tiny_network(**settings)
    lengths, regions, tags, caption = [5, 3, 7, 4], [4, 0, 2, 3], [3, 0, 0, 2], [6, 0, 0, 0]
    inputs = make_inputs(lengths, regions, tags, caption)
    together = network(inputs)
    for row, length in enumerate(lengths):
        alone = network(select(inputs, row, regions=regions[row]))
        torch.testing.assert_close(
            alone.answer.emissions[0, :length],
            together.answer.emissions[row, :length],
            atol=1e-5,
            rtol=0,
        )
        for view, logits in alone.view_types.items():
            assert alone.present[view][0] == together.present[view][row]
            if alone.present[view][0]:
                torch.testing.assert_close(
                    logits[0], together.view_types[view][row], atol=1e-5, rtol=0
                )


def select(inputs, row: int, regions: int):
    """One post of a batch, padding cut off; a view that it does not have is left out."""
    index = torch.tensor([row])
    length = int(inputs.token_mask[row].sum())
    kept = {}
    if regions:
        whole = inputs.vectors["regions"]
        kept["regions"] = replace(
            whole,
            vectors=whole.vectors[index, :regions],
            boxes=whole.boxes[index, :regions],
            mask=whole.mask[index, :regions],
        )
    return replace(
        inputs,
        text=inputs.text.rows(index),
        joint=inputs.joint.rows(index),
        window_post=torch.tensor([0]),
        token_window=torch.zeros(1, length, dtype=torch.long),
        token_piece=inputs.token_piece[index, :length],
        token_mask=inputs.token_mask[index, :length],
        joint_spans={name: spans[index] for name, spans in inputs.joint_spans.items()},
        texts={name: pieces.rows(index) for name, pieces in inputs.texts.items()},
        vectors=kept,
    )


def test_every_view_changes_the_scores(inputs):
    network = tiny_network()
    full = network(inputs).answer.emissions[0, :5]
    regions = inputs.vectors["regions"]
    region_mask = regions.mask.clone()
    region_mask[0] = False
    without = {"regions": replace(inputs, vectors={"regions": replace(regions, mask=region_mask)})}
    for name in ("tags", "caption"):
        mask = inputs.texts[name].mask.clone()
        mask[0] = False
        pieces = replace(inputs.texts[name], mask=mask)
        without[name] = replace(inputs, texts={**inputs.texts, name: pieces})
    for name, changed in without.items():
        assert (network(changed).answer.emissions[0, :5] - full).abs().max() > 1e-4, name


def test_no_view_present_gives_no_nan_and_prefixes_of_zero():
    network = tiny_network().train()
    inputs = make_inputs([4, 2], [0, 0], [0, 0], [0, 0])
    loss = network.loss(network(inputs), make_targets(inputs))
    loss.total.backward()
    assert loss.total.isfinite()
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    absent, mask = network.absent_view(len(inputs.token_mask))
    prefixes = network.prefixes(ViewFeatures(absent, mask, (1,)))
    assert not prefixes.values.any()


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_every_ablation_is_a_setting_and_trains(name, inputs):
    network = tiny_network(**ABLATIONS[name]).train()
    loss = network.loss(network(inputs), make_targets(inputs))
    loss.total.backward()
    assert loss.total.isfinite()
    unused = [n for n, p in network.named_parameters() if p.grad is None]
    assert not unused, "an ablation leaves no dead parameters behind"


def test_ablations_differ_from_the_full_network():
    full = {name for name, _ in tiny_network().named_parameters()}
    for name in ("without attention", "without gate", "without multi-task decoder"):
        settings = ABLATIONS[name]
        assert {n for n, _ in tiny_network(**settings).named_parameters()} < full, name


def test_encoder_is_shared_by_text_tags_and_caption(inputs):
    network = tiny_network()
    seen = []
    network.encoder.model.embeddings.register_forward_hook(lambda *_: seen.append(1))
    network(inputs)
    assert len(seen) == 3, "tags, caption, and text with caption read one embedding table"


def count_runs(network, inputs) -> list[int]:
    """How often each layer of the encoder runs."""
    seen = [0] * network.encoder.num_layers
    for number, layer in enumerate(network.encoder.layers):

        def count(*_, number=number):
            seen[number] += 1

        layer.attention.self.query.register_forward_hook(count)
    network(inputs)
    return seen


@pytest.mark.parametrize(
    ("depth", "runs"), [(0.0, [2, 2, 2]), (0.34, [1, 2, 2]), (0.67, [1, 1, 2])]
)
def test_shared_layers_run_once_for_text_and_joint_encoding(inputs, depth, runs):
    network = tiny_network(shared_depth=depth)
    assert count_runs(network, inputs) == runs
    assert network.prefixes.num_layers == sum(run == 2 for run in runs)


@pytest.mark.parametrize(
    ("settings", "predicting", "training"),
    [
        ({}, [1, 1, 1], [1, 1, 2]),
        ({"interaction_depth": 0.34}, [1, 1, 1], [1, 1, 2]),
        ({"interaction_depth": 0.0}, [1, 1, 1], [1, 1, 2]),
        ({"shared_depth": 0.34}, [1, 2, 1], [1, 2, 2]),
        ({"shared_depth": 0.0, "interaction_depth": 0.0}, [1, 1, 1], [2, 2, 2]),
        ({"joint_decoding_weight": 0.5}, [1, 1, 2], [1, 1, 2]),
        ({"multitask": False}, [1, 1, 1], [1, 1, 1]),
        # The interaction reads the last layer, and there is none.
        ({"interaction_depth": 1.0}, [1, 1, 2], [1, 1, 2]),
        ({"interaction_depth": 1.0, "prefix_views": []}, [1, 1, 1], [1, 1, 2]),
    ],
)
def test_a_prediction_runs_the_text_alone_only_as_far_as_something_reads_it(
    inputs, settings, predicting, training
):
    settings = ONE_PASS | settings
    assert count_runs(tiny_network(**settings), inputs) == predicting
    assert count_runs(tiny_network(**settings).train(), inputs) == training


@pytest.mark.parametrize("depth", [0.0, 0.34, 0.67])
@pytest.mark.parametrize("shared_depth", [0.0, 0.34, 0.67])
def test_one_pass_predicts_what_the_network_was_trained_to_compute(inputs, depth, shared_depth):
    network = tiny_network(shared_depth=shared_depth, interaction_depth=depth)
    predicted = network(inputs)
    network.train().set_dropout(0.0)
    trained = network(inputs)
    mask = inputs.token_mask
    torch.testing.assert_close(
        predicted.answer.emissions[mask], trained.answer.emissions[mask], atol=1e-5, rtol=0
    )
    for view, present in trained.present.items():
        torch.testing.assert_close(
            predicted.view_types[view][present],
            trained.view_types[view][present],
            atol=1e-5,
            rtol=0,
        )
    assert set(predicted.others) == set()
    assert set(trained.others) == {"text"}


def test_the_depths_survive_saving(inputs):
    network = tiny_network(**ONE_PASS)
    again = Msvse.build(network.config.to_dict()).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(inputs).answer.emissions, network(inputs).answer.emissions)
    assert count_runs(again, inputs) == [1, 1, 1]


@pytest.mark.parametrize("shared_depth", [0.0, 0.34, 0.67])
def test_the_interaction_reads_the_text_after_the_layers_of_its_depth(inputs, shared_depth):
    read = []
    for depth, layers in ((0.0, 0), (0.34, 1), (0.67, 2), (1.0, 3)):
        network = tiny_network(shared_depth=shared_depth, interaction_depth=depth)
        network.interaction.register_forward_pre_hook(lambda _, given: read.append(given[1]))
        network(inputs)
        expected = network.encoder(inputs.text, num_layers=layers)
        mask = inputs.text.mask
        torch.testing.assert_close(read[-1][mask], expected[mask], atol=1e-5, rtol=0)


@pytest.mark.parametrize("depth", [0.0, 0.67])
def test_the_text_features_do_not_depend_on_the_picture(inputs, depth):
    """Text and caption share layers, but the text does not attend to the caption."""
    network = tiny_network(shared_depth=depth)
    plain = network.text_decoder(
        token_vectors(network.encoder(inputs.text), inputs), inputs.token_mask
    )
    torch.testing.assert_close(
        network(inputs).others["text"].emissions, plain.emissions, atol=1e-5, rtol=0
    )


def test_paper_configuration_has_the_parameters_of_table_7():
    """119.27 M trainable parameters within 1%, BERT-base and 2048-wide regions."""
    config = MsvseConfig(
        types=("PER", "LOC", "ORG", "MISC"),
        encoder={"model_type": "bert"},
        region_dim=2048,
        shared_depth=0.0,
    )
    with torch.device("meta"):
        network = build_network(config)
    count = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert count == pytest.approx(119.27e6, rel=0.01)


def test_accumulated_sub_batches_equal_one_batch():
    """Every term is a mean within a post and a sum over posts, divided by a constant."""
    network = tiny_network(dropout=0.0).double()
    lengths, regions, tags, caption = [5, 3, 7, 4], [4, 0, 2, 3], [3, 0, 0, 2], [6, 0, 0, 0]
    inputs = make_inputs(lengths, regions, tags, caption)
    single = inputs.vectors["regions"]
    inputs.vectors["regions"] = replace(
        single, vectors=single.vectors.double(), boxes=single.boxes.double()
    )
    targets = make_targets(inputs)
    targets.entity_types = targets.entity_types.double()
    network.loss(network(inputs), targets).total.backward()
    whole = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()
    for row, length in enumerate(lengths):
        target = Targets(
            targets.allowed[row : row + 1, :length],
            targets.entity_types[row : row + 1],
            targets.types_known[row : row + 1],
        )
        network.loss(network(select(inputs, row, regions[row])), target).total.backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], atol=1e-6, rtol=1e-6, msg=name)


def test_tie_trains_only_the_text_decoder(inputs):
    network = tiny_network().train()
    network.loss(network(inputs), make_targets(inputs)).terms["tie"].backward()
    assert network.text_decoder.emissions.weight.grad.any()
    assert not network.multimodal_decoder.emissions.weight.grad.any()


def test_tie_is_zero_between_equal_lattices_and_positive_otherwise(inputs):
    outputs, allowed = tiny_network()(inputs), make_targets(inputs).allowed
    answer, text = outputs.answer, outputs.others["text"]
    assert tied_losses(text, text, allowed)[2].abs().max() < 1e-6
    assert (tied_losses(answer, text, allowed)[2] > 0).all()


def test_joint_decoding_reads_one_lattice(inputs):
    outputs = tiny_network()(inputs)
    for weight, expected in ((0.0, outputs.answer), (1.0, outputs.others["text"])):
        network = tiny_network(joint_decoding_weight=weight)
        lattice = network.answer(outputs)
        torch.testing.assert_close(lattice.emissions, expected.emissions)


def test_views_are_counted_in_training_alone(inputs):
    network = tiny_network()
    network(inputs)
    assert network.view_shares() == {}
    network.train()(inputs)
    shares = network.view_shares()
    assert shares == pytest.approx({"regions": 2 / 3, "tags": 1 / 3, "caption": 1 / 3})


def test_posts_longer_than_a_window_read_each_token_from_one_window():
    """Two windows of one post: its tokens come from both, its views reach both."""
    network = tiny_network()
    inputs = make_inputs([4, 4], [2, 2], [2, 2], [3, 3])
    regions = inputs.vectors["regions"]
    one_post = replace(
        inputs,
        window_post=torch.tensor([0, 0]),
        token_window=torch.tensor([[0, 0, 0, 1, 1, 1]]),
        token_piece=torch.tensor([[1, 2, 3, 2, 3, 4]]),
        token_mask=torch.ones(1, 6, dtype=torch.bool),
        texts={name: pieces.rows(torch.tensor([0])) for name, pieces in inputs.texts.items()},
        vectors={"regions": Regions(regions.vectors[:1], regions.boxes[:1], regions.mask[:1])},
    )
    outputs = network(one_post)
    assert outputs.answer.emissions.shape == (1, 6, 5)
    assert {logits.shape for logits in outputs.view_types.values()} == {(1, 2)}


def test_dropout_reaches_the_network():
    network = tiny_network()
    network.set_dropout(0.0)
    inputs = make_inputs([5], [4], [3], [6])
    network.train()
    first, second = network(inputs), network(inputs)
    torch.testing.assert_close(first.answer.emissions, second.answer.emissions)
    network.set_dropout(0.5)
    assert not torch.equal(network(inputs).answer.emissions, network(inputs).answer.emissions)


@pytest.mark.parametrize(
    "settings",
    [
        {"joint_views": ["regions"]},
        {"prefix_length": 0},
        {"shared_depth": 1.0},
        {"interaction_depth": 1.5},
        {"interaction_depth": -0.1},
        {"joint_decoding_weight": 1.5},
        {"joint_decoding_weight": 0.5, "multitask": False},
        {"prefix_views": ["tags", "tags"]},
    ],
)
def test_bad_settings_are_a_coded_error(settings):
    with pytest.raises(MsvseError, match="MSVSE-E007"):
        tiny_config(**settings)


def test_a_plain_pytorch_loop_trains_the_network():
    """No spaCy, no Thinc: build, compare, differentiate, decode."""
    torch.manual_seed(0)
    network = build_network(
        {
            "types": ["PER", "LOC"],
            "encoder": TINY_ENCODER,
            "region_dim": 6,
            "prefix_length": 2,
            "prefix_width": 8,
            "shared_depth": 0.0,
        }
    )
    inputs = to_device(make_inputs([5, 3, 6], [2, 3, 0], [2, 0, 2], [3, 0, 4]), "cpu")
    targets = to_device(make_targets(inputs), "cpu")
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    network.set_dropout(0.0)
    for _ in range(60):
        network.train()
        loss = network.loss(network(inputs), targets)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        labels = network.answer(network(inputs)).best_labels()
    gold = targets.allowed.long().argmax(dim=2)
    assert torch.equal(labels[inputs.token_mask], gold[inputs.token_mask])
