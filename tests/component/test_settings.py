"""Settings of the component: checked, shown in the config, saved, and overridden."""

import pytest
import spacy
from thinc.api import Config

from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, tiny_pipeline
from .test_serialization import via_bytes

VALUES = {
    "overwrite": True,
    "on_missing_image": "ignore",
    "min_view_share": 0.25,
    "max_batch_tokens": 512,
    "min_confidence": 0.5,
    "spans_key": "mine",
}


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
    assert Config().from_disk(tmp_path / "config.cfg")["components"]["msvse_ner"][
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


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("overwrite", "yes"),
        ("on_missing_image", "explode"),
        ("min_view_share", -1),
        ("min_view_share", 2),
        ("max_batch_tokens", 0),
        ("max_batch_tokens", 1.5),
        ("min_confidence", 1.5),
        ("min_confidence", True),
        ("spans_key", ""),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_in_the_config(nlp, setting, value):
    before = getattr(component(nlp), setting)
    with pytest.raises(MsvseError, match=rf"MSVSE-E007.*components\.msvse_ner\.{setting}"):
        setattr(component(nlp), setting, value)
    assert getattr(component(nlp), setting) == before
