"""Each row changes what it is named after."""

from functools import partial

import pytest
import spacy
from spacy.util import load_model_from_config

from spacy_msvse.component.architectures import make_model
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.experiments import rows as rows_module
from spacy_msvse.evaluation.experiments.rows import (
    ENCODERS,
    FULL,
    GENERIC,
    TRAINED_SHUFFLED,
    method_names,
    swap_method,
    vary,
)
from spacy_msvse.network.methods.msvse import Msvse
from spacy_msvse.network.methods.text_crf import TextCrf

from ...tiny import ambiguous_examples

#: The rows of MSVSE, besides those of every method.
choose_rows = partial(rows_module.choose_rows, method_rows=Msvse.rows)


COMPONENT = "components.msvse_ner"
MODEL = f"{COMPONENT}.model"


def all_rows(config):
    return choose_rows(config, "msvse_ner", [*GENERIC, *Msvse.rows])[0]


NAMES = [
    "bfloat16",
    "view_dropout_0.3",
    "encoder_rate_6e-5",
    "minilm",
    "minilm_text_only",
    "text_only",
]
NAMES += [FULL, TRAINED_SHUFFLED, *sorted({row for rows in Msvse.rows.values() for row in rows})]


@pytest.mark.parametrize("row", NAMES)
def test_every_row_builds_the_network_that_it_is_named_after(row, config, encoder):
    overrides = all_rows(config)[row]
    varied = vary(config, overrides)["components"]["msvse_ner"]["model"]
    assert varied["encoder"] == ENCODERS.get(row.removesuffix("_text_only"), encoder)
    nlp = load_model_from_config(vary(config, {**overrides, f"{MODEL}.encoder": encoder}))
    examples = ambiguous_examples(nlp)
    nlp.initialize(lambda: examples)
    component = nlp.get_pipe("msvse_ner")
    network = component.require_network()
    for name, value in overrides.items():
        setting = name.removeprefix(f"{MODEL}.")
        if hasattr(network.config, setting) and setting != "encoder":
            built = getattr(network.config, setting)
            assert (list(built) if isinstance(built, tuple) else built) == value
    parts = {name.split(".")[0] for name, _ in network.named_parameters()}
    if row.endswith("text_only"):
        assert parts == {"encoder", "decoder"}
        assert component.vision is None
    else:
        assert ("text_decoder" in parts) == (row != "without_multitask")
        assert ("visual_classifier" in parts) == (row != "without_visual_classifier")
        assert ("prefixes" in parts) == (row != "without_prefixes")
    assert nlp(examples[0].predicted).has_annotation("ENT_IOB")


def test_the_encoder_has_the_learning_rate_that_its_row_is_named_after(config):
    for schedule in (2e-3, {"@schedules": "warmup_linear.v1", "initial_rate": 5e-4}):
        base = 2e-3 if isinstance(schedule, float) else 5e-4
        varied = vary(config, {"training.optimizer.learn_rate": schedule})
        rows, _ = choose_rows(varied, "msvse_ner", ["learning_rates"])
        assert len(rows) == 7
        for row, overrides in rows.items():
            if row != FULL:
                (factor,) = overrides.values()
                assert factor * base == pytest.approx(float(row.removeprefix("encoder_rate_")))


def test_a_schedule_without_a_rate_is_refused_only_for_learning_rates(config):
    schedule = {"@schedules": "cyclic_triangular.v1", "max_lr": 1e-3}
    varied = vary(config, {"training.optimizer.learn_rate": schedule})
    choose_rows(varied, "msvse_ner", ["structure"])
    with pytest.raises(MsvseError, match="MSVSE-E122"):
        choose_rows(varied, "msvse_ner", ["learning_rates"])


def test_a_bilstm_is_a_text_only_row_with_the_learning_rate_of_the_rest(config, tmp_path):
    frozen = {f"{MODEL}.learning_rate_factors.embeddings": 0.0}
    varied = vary(config, frozen)
    rows, _ = choose_rows(varied, "msvse_ner", ["controls"], ["bilstm_crf"], bilstm=tmp_path)
    (overrides,) = rows.values()
    component = vary(varied, overrides)["components"]["msvse_ner"]
    assert component["vision"] is None
    assert component["model"]["encoder"] == str(tmp_path)
    factors = component["model"]["learning_rate_factors"]
    assert factors["encoder"] == factors["embeddings"] == 1.0
    with pytest.raises(MsvseError, match="MSVSE-E040"):
        choose_rows(config, "msvse_ner", ["encoders"], ["bilstm_crf"])


def test_the_embeddings_of_another_encoder_are_trained(config):
    frozen = vary(config, {f"{MODEL}.learning_rate_factors.embeddings": 0.0})
    own = (FULL, "text_only", TRAINED_SHUFFLED)
    for varied in (config, frozen):
        rows, _ = choose_rows(varied, "msvse_ner", ["controls", "encoders"])
        for row, overrides in rows.items():
            model = vary(varied, overrides)["components"]["msvse_ner"]["model"]
            expected = 0.0 if row in own and varied is frozen else 1.0
            assert model["learning_rate_factors"].get("embeddings", 1.0) == expected, row


def test_rows_with_views_that_the_config_does_not_have_are_left_out(config):
    varied = vary(config, {f"{MODEL}.prefix_views": ["tags"], f"{MODEL}.joint_views": []})
    rows, left_out = choose_rows(varied, "msvse_ner", ["joint_views", "single_views"])
    assert list(rows) == [FULL, "joint_text", "joint_text_tags", "tags_only", "without_prefixes"]
    assert left_out[:2] == ["joint_text_tags_caption", "joint_text_caption"]
    assert left_out[2:] == ["regions_only", "caption_only"]


def test_unknown_names_are_refused(config):
    for matrices, only in ((["structures"], []), (["structure"], ["text_only"])):
        with pytest.raises(MsvseError, match="MSVSE-E040"):
            choose_rows(config, "msvse_ner", matrices, only)
    with pytest.raises(MsvseError, match="MSVSE-E040"):
        choose_rows(config, "msvse_ner", ["methods"], methods=["tests.NoMethod.v1"])


def test_a_method_brings_its_own_rows(config):
    own = {"sizes": {"small": {"model.prefix_width": 8}}}
    rows, _ = choose_rows(config, "msvse_ner", ["sizes"], method_rows=own)
    assert rows == {FULL: {}, "small": {f"{MODEL}.prefix_width": 8}}
    with pytest.raises(MsvseError, match="MSVSE-E040"):
        choose_rows(config, "msvse_ner", ["structure"], method_rows=own)


# Other methods


@pytest.fixture
def method():
    """A method of fewer settings than MSVSE: its joint CRF."""

    @spacy.registry.architectures("tests.JointCrf.v1")
    def make(
        encoder, get_spans, learning_rate_factors, joint_views=(), tokenizer_config=None, depth=1
    ):
        return make_model(
            TextCrf,
            encoder=encoder,
            get_spans=get_spans,
            learning_rate_factors=learning_rate_factors,
            joint_views=list(joint_views),
        )

    return "tests.JointCrf.v1"


def test_a_swapped_method_keeps_the_settings_that_both_have_in_common(config, method, encoder):
    varied = vary(config, {f"{MODEL}.learning_rate_factors": {"encoder": 0.5}})
    (settings,) = swap_method(varied, "msvse_ner", method).values()
    own = varied["components"]["msvse_ner"]["model"]
    assert settings == {
        "@architectures": method,
        "encoder": encoder,
        "get_spans": own["get_spans"],
        "learning_rate_factors": {"encoder": 0.5},
        "tokenizer_config": own["tokenizer_config"],
    }
    settings["learning_rate_factors"]["encoder"] = 0.1
    assert own["learning_rate_factors"] == {"encoder": 0.5}, "the config is not changed"


def test_the_settings_to_keep_can_be_chosen(config, method, encoder):
    settings = swap_method(config, "msvse_ner", method, keep=("encoder", "prefix_width"))
    assert settings == {"model": {"@architectures": method, "encoder": encoder}}


def test_a_row_of_another_method_trains(config, method):
    rows, _ = choose_rows(config, "msvse_ner", ["methods"], methods=[method])
    assert list(rows) == [FULL, "full_without_pictures", method]
    nlp = load_model_from_config(vary(config, rows[method]), auto_fill=True)
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    assert nlp.update(examples, sgd=optimizer)["msvse_ner"] > 0
    assert not nlp.get_pipe("msvse_ner").require_network().config.views


def test_the_rates_of_view_dropout_are_for_all_views_of_the_config(config):
    rows, _ = choose_rows(config, "msvse_ner", ["view_dropout"])
    rates = rows["view_dropout_0.3"][f"{COMPONENT}.view_dropout"]
    assert rates == {"caption": 0.3, "regions": 0.3, "tags": 0.3}
    assert set(rows["view_dropout_0.0"][f"{COMPONENT}.view_dropout"].values()) == {0.0}


def test_no_method_reads_a_view_that_the_config_does_not_read(config):
    varied = vary(config, {f"{MODEL}.prefix_views": ["tags"], f"{MODEL}.joint_views": []})
    rows, left_out = choose_rows(varied, "msvse_ner", ["methods"])
    assert rows["ITA"][MODEL]["joint_views"] == ["tags"], "without caption and OCR"
    assert {"TextCrf", "ITA", "MSB", "ITA_without_pictures"} < set(rows)
    assert {"PGIM", "UMT", "HvpNet"} < set(left_out)
    assert not {"PGIM", "UMT", "TextCrf_without_pictures"} & set(rows)


def test_the_methods_of_this_package_are_known_by_their_entry_points():
    assert method_names() == sorted(method_names())
    assert {"spacy-msvse.MSVSE.v1", "spacy-msvse.TextCrf.v1"} < set(method_names())


def test_varying_a_config_leaves_the_settings_as_they_are(config):
    overrides = {MODEL: {"encoder": "a", "factors": {}}, f"{MODEL}.factors.encoder": 0.1}
    varied = vary(config, overrides)
    assert varied["components"]["msvse_ner"]["model"]["factors"] == {"encoder": 0.1}
    assert overrides[MODEL] == {"encoder": "a", "factors": {}}
