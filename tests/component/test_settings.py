"""Settings of the component: checked, shown in the config, saved, and overridden."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import spacy
from pydantic import Field
from thinc.api import Config as ThincConfig

from spacy_msvse.component.architectures import make_model
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.base import Network, NetworkConfig
from spacy_msvse.network.methods.msvse import Msvse
from spacy_msvse.network.pretrained import TOKENIZER_SETTINGS
from spacy_msvse.settings import Share

from ..tiny import ambiguous_examples, tiny_pipeline
from .test_serialization import via_bytes

VALUES = {
    "overwrite": True,
    "on_missing_image": "ignore",
    "min_view_share": 0.25,
    "view_dropout": {"tags": 0.5},
    "max_batch_tokens": 512,
    "min_confidence": 0.5,
    "spans_key": "mine",
}


@spacy.registry.misc("tests.Gazette.v1")
class Gazette:
    """An extractor of a textual view of its own."""

    fills, region_dim, fingerprint, reads = ("gazette",), 0, "gazette", "text"

    def extract(self, texts, known):
        return [{"gazette": text} for text in texts]


@pytest.fixture
def nlp(encoder):
    nlp = tiny_pipeline(encoder)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


def component(nlp):
    return nlp.get_pipe("msvse_ner")


def config(nlp):
    return nlp.config["components"]["msvse_ner"]


def test_a_value_set_in_python_is_shown_and_saved(nlp, tmp_path):
    for name, value in VALUES.items():
        setattr(component(nlp), name, value)
        assert config(nlp)[name] == value
    nlp.to_disk(tmp_path)
    assert ThincConfig().from_disk(tmp_path / "config.cfg")["components"]["msvse_ner"][
        "min_confidence"
    ] == pytest.approx(0.5)
    for loaded in (spacy.load(tmp_path), via_bytes(nlp, tmp_path)):
        assert {name: getattr(component(loaded), name) for name in VALUES} == VALUES
        assert {name: config(loaded)[name] for name in VALUES} == VALUES


def test_an_argument_of_load_and_an_edited_config_have_priority(nlp, tmp_path):
    component(nlp).min_confidence = 0.5
    nlp.to_disk(tmp_path)
    override = {"components": {"msvse_ner": {"min_confidence": 0.75}}}
    assert component(spacy.load(tmp_path, config=override)).min_confidence == 0.75
    override = {"components": {"msvse_ner": {"min_confidence": 0.0}}}
    assert component(spacy.load(tmp_path, config=override)).min_confidence == 0.0
    text = (tmp_path / "config.cfg").read_text()
    (tmp_path / "config.cfg").write_text(text.replace("overwrite = false", "overwrite = true"))
    loaded = component(spacy.load(tmp_path))
    assert (loaded.overwrite, loaded.min_confidence) == (True, 0.5)


def test_a_sourced_component_keeps_what_is_set_in_python(nlp, tmp_path):
    """The config of the second pipeline does not show it, but its folder has it."""
    other = spacy.blank("en")
    other.add_pipe("msvse_ner", source=nlp)
    component(other).min_confidence = 0.5
    other.to_disk(tmp_path)
    assert component(spacy.load(tmp_path)).min_confidence == 0.5


def test_an_edited_setting_of_the_network_has_priority_or_is_named(nlp, tmp_path):
    nlp.to_disk(tmp_path)

    def load(**settings):
        return spacy.load(tmp_path, config={"components": {"msvse_ner": {"model": settings}}})

    with pytest.warns(UserWarning, match=r"MSVSE-W052.*joint_decoding_weight"):
        loaded = component(load(joint_decoding_weight=0.5))
    assert loaded.model.shims[0].network.config.joint_decoding_weight == 0.5
    with pytest.raises(MsvseError, match=r"MSVSE-E027.*prefix_length \(saved: 2\)"):
        load(prefix_length=3)


def set_up(encoder, **model):
    """Make and initialise a pipeline with settings of the network."""
    nlp = tiny_pipeline(encoder, model=model)
    nlp.initialize(lambda: ambiguous_examples(nlp))
    return nlp


@pytest.mark.parametrize("factor", ["encodr", "prefixs", "crff"])
def test_a_learning_rate_factor_that_no_parameter_has_is_named_with_the_nearest(encoder, factor):
    nearest = {"encodr": "encoder", "prefixs": "prefixes", "crff": "crf"}[factor]
    message = rf"MSVSE-E180.*components\.msvse_ner\.model\.learning_rate_factors.*'{factor}'"
    with pytest.raises(MsvseError, match=f"{message}.* nearest name is '{nearest}'"):
        set_up(encoder, learning_rate_factors={factor: 0.5})


def test_a_wrong_learning_rate_factor_is_named_when_the_pipeline_is_made(encoder):
    with pytest.raises(MsvseError, match=r"\.learning_rate_factors\.crf is -1, .* from 0 to 1000"):
        tiny_pipeline(encoder, model={"learning_rate_factors": {"encoder": 1, "crf": -1}})


def test_a_misspelt_learning_rate_factor_is_named_when_a_pipeline_is_loaded(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    model = {"learning_rate_factors": {"encodr": 0.5}}
    with pytest.raises(MsvseError, match=r"MSVSE-E180.*'encodr'"):
        spacy.load(tmp_path, config={"components": {"msvse_ner": {"model": model}}})


def test_every_part_of_a_name_and_every_default_may_have_a_factor(encoder):
    set_up(encoder, learning_rate_factors={"embeddings": 0.0, "2": 2.0, "backbone": 1.0})


def test_a_network_of_which_no_part_trains_is_refused(encoder):
    names = [
        name
        for name, _ in set_up(encoder)
        .get_pipe("msvse_ner")
        .model.shims[0]
        .network.named_parameters()
    ]
    factors = {name.split(".")[0]: 0.0 for name in names}
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*learning_rate_factors is .*above 0"):
        set_up(encoder, learning_rate_factors=factors)


@pytest.mark.parametrize("setting", ["prefix_views", "joint_views"])
@pytest.mark.parametrize(
    ("view", "nearest"), [("captoin", "caption"), ("tag", "tags"), ("ocrr", "ocr")]
)
def test_a_misspelt_view_is_refused_when_the_pipeline_is_made(encoder, setting, view, nearest):
    with pytest.raises(MsvseError, match=f"MSVSE-E181.*'{view}'.* nearest name is '{nearest}'"):
        tiny_pipeline(encoder, model={setting: [view]})


def test_a_numbered_view_beside_the_view_of_that_name_is_no_misspelling(encoder):
    tiny_pipeline(encoder, model={"joint_views": ["ocr", "ocr2"]})


def test_the_name_of_a_view_in_the_extractors_counts(encoder):
    """An extractor of one's own, for a view of one's own."""
    vision = {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "views": {"gazette": {"@misc": "tests.Gazette.v1"}},
    }
    nlp = spacy.blank("en")
    config = {"vision": vision, "model": {"joint_views": ["gazete"], "prefix_views": []}}
    with pytest.raises(MsvseError, match=r"MSVSE-E181.*'gazete'.* nearest name is 'gazette'"):
        nlp.add_pipe("msvse_ner", config=config)
    config["model"]["joint_views"] = ["gazette"]
    nlp.add_pipe("msvse_ner", config=config)


def test_a_view_that_no_extractor_and_no_training_post_gives_is_refused(encoder):
    nlp = tiny_pipeline(encoder, model={"joint_views": ["comments"]})
    examples = ambiguous_examples(nlp)
    with pytest.raises(MsvseError, match=r"MSVSE-E181.*'comments'.*components\.msvse_ner\.model"):
        nlp.initialize(lambda: examples)
    examples[3].predicted._.image_texts = {"comments": "nice"}
    nlp.initialize(lambda: examples)


def test_more_than_the_encoder_has_is_refused(encoder):
    """The tiny encoder has 3 layers and 64 positions."""
    set_up(encoder, view_layers=3, prefix_length=64)
    for setting, value in {"view_layers": 4, "prefix_length": 65}.items():
        message = rf"MSVSE-E007.*components\.msvse_ner\.model\.{setting} is {value}.*this encoder"
        with pytest.raises(MsvseError, match=message):
            set_up(encoder, **{setting: value})


@pytest.mark.parametrize("setting", [{"target_modules": ["no such layer"]}, {"bias": "no such"}])
def test_adapters_that_do_not_fit_the_encoder_are_a_coded_error(encoder, setting):
    pytest.importorskip("peft")
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*model\.lora is .*no such"):
        set_up(encoder, lora={"r": 2, **setting})


@pytest.mark.parametrize(
    "settings",
    [{"labels": "PER"}, {"labels": [5]}, {"labels": ["PER", "PER"]}, {"feature_store": 5}],
)
def test_wrong_arguments_of_initialize_are_refused(encoder, settings):
    nlp = tiny_pipeline(encoder)
    (setting,) = settings
    with pytest.raises(
        MsvseError, match=rf"MSVSE-E007.*initialize\.components\.msvse_ner\.{setting}"
    ):
        component(nlp).initialize(lambda: ambiguous_examples(nlp), nlp=nlp, **settings)


def test_a_method_of_a_user_declares_its_settings(encoder):
    @dataclass(frozen=True)
    class Config(NetworkConfig):
        depth: Annotated[int, Field(ge=1, le=4)] = 2
        rate: float = 0.5
        share: Share = 0.5

    class Method(Network):
        pass

    Method.Config = Config
    assert Config(types=["PER"], depth=4, rate=2).rate == 2.0
    for wrong in ({"depth": 5}, {"depth": 0}, {"depth": True}, {"rate": "1"}, {"share": 1.1}):
        (setting,) = wrong
        with pytest.raises(MsvseError, match=rf"MSVSE-E007.*components\.\*\.model\.{setting}"):
            make_model(Method, **wrong)
    with pytest.raises(MsvseError, match=r"MSVSE-E015.*nearest name is 'depth'"):
        make_model(Method, dept=1)


def test_a_wrong_value_that_is_long_is_shortened():
    with pytest.raises(MsvseError, match="MSVSE-E007") as error:
        make_model(Msvse, max_view_words="a" * 10**6)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"num_hidden_layers": 0},
            r"E007.*model\.transformer_config\.num_hidden_layers is 0, .* to 3",
        ),
        ({"num_hidden_layers": 4}, r"E007.*num_hidden_layers is 4, but must be from 1 to 3"),
        ({"num_hiden_layers": 2}, r"E015.*model\.transformer_config.* is 'num_hidden_layers'"),
    ],
)
def test_a_setting_of_the_encoder_that_would_be_ignored_is_refused(encoder, config, message):
    """More layers than the encoder has would have random weights."""
    with pytest.raises(MsvseError, match=message):
        set_up(encoder, transformer_config=config)


@pytest.mark.parametrize("name", TOKENIZER_SETTINGS)
def test_a_wrong_setting_of_the_tokenizer_is_refused(encoder, name):
    message = rf"MSVSE-E007.*components\.msvse_ner\.model\.tokenizer_config\.{name} is "
    for value in ("x", -1, None):
        with pytest.raises(MsvseError, match=message):
            set_up(encoder, tokenizer_config={name: value})
