"""Every config that is shipped or written works with spaCy's own commands and methods.

spaCy resolves [training.optimizer] alone in `nlp.create_optimizer`, `nlp.resume_training` and
`nlp.initialize`, and it does not fill a config in `debug data` and `debug model`.
"""

from itertools import islice, takewhile
from pathlib import Path
from typing import get_args

import pytest
import spacy
from spacy.cli._util import app
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import DocBin
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import warmup_linear as thincs_warmup_linear
from typer.testing import CliRunner

from spacy_msvse.cli.training_config import METHODS, Optimize, make_config
from spacy_msvse.component.schedules import warmup_linear
from spacy_msvse.errors import MsvseError

from ..tiny import ambiguous_examples, save_encoder, tiny_pipeline

# The posts of these tests have no pictures. Configs that read texts about them find some.
pytestmark = pytest.mark.filterwarnings("ignore:.*MSVSE-W009")

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.cfg"))
WRITTEN = [(optimize, method) for optimize in get_args(Optimize) for method in METHODS]


def names(value) -> str:
    return value.name if isinstance(value, Path) else "-".join(map(str, value))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return save_encoder(tmp_path_factory.mktemp("configs") / "encoder")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("posts") / "posts.spacy"
    examples = ambiguous_examples(spacy.blank("en"), copies=10)
    for example in examples:
        example.reference._.image_texts = {"knowledge": "jordan is a person"}
    DocBin(docs=[example.reference for example in examples], store_user_data=True).to_disk(path)
    return path


@pytest.fixture(scope="module", params=[*CONFIGS, *WRITTEN], ids=names)
def config_path(request, tmp_path_factory) -> Path:
    if isinstance(request.param, Path):
        return request.param
    optimize, method = request.param
    path = tmp_path_factory.mktemp("written") / "config.cfg"
    path.write_text(make_config(optimize=optimize, method=method))
    return path


def load(path: Path, **overrides):
    config = load_config(path, overrides=overrides, interpolate=False)
    return load_model_from_config(config, auto_fill=True)


def rates(optimizer, count: int = 2000) -> list[float]:
    return [optimizer.learn_rate, *islice(optimizer.schedules["learn_rate"], count - 1)]


@pytest.mark.parametrize("max_steps", [None, 20, 1000])
def test_the_learning_rates_follow_max_steps(config_path, max_steps):
    """They are those of Thinc's schedule with the same number."""
    overrides = {} if max_steps is None else {"training.max_steps": max_steps}
    config = load(config_path, **overrides).config.interpolate()["training"]
    schedule = config["optimizer"]["learn_rate"]
    optimizer = registry.resolve(config, schema=ConfigSchemaTraining)["optimizer"]
    settings = {name: schedule[name] for name in ("initial_rate", "warmup_steps")}
    total = config["max_steps"] if max_steps is None else max_steps
    expected = thincs_warmup_linear(**settings, total_steps=total)
    assert rates(optimizer) == list(islice(expected, 2000))


@pytest.mark.parametrize("max_steps", [None, 20])
def test_the_block_of_the_optimizer_resolves_alone(config_path, max_steps):
    """In a training of unknown length, the rate stays after the warmup."""
    overrides = {} if max_steps is None else {"training.max_steps": max_steps}
    optimizer = load(config_path, **overrides).create_optimizer()
    schedule = load_config(config_path)["training"]["optimizer"]["learn_rate"]
    made = rates(optimizer)
    warmup = list(takewhile(lambda rate: rate < schedule["initial_rate"], made))
    assert len(warmup) == schedule["warmup_steps"]
    assert set(made[len(warmup) :]) == {schedule["initial_rate"]}


@pytest.mark.parametrize("command", ["data", "model"])
def test_spacys_debug_commands_work(command, config_path, corpus, encoder):
    path = str(config_path)
    settings = {"paths.train": corpus, "paths.dev": corpus, "system.gpu_allocator": "null"}
    settings["training.max_steps"] = 20
    settings["components.msvse_ner.model.encoder"] = encoder
    settings["components.msvse_ner.model.transformer_config"] = "{}"
    if load_config(path)["components"]["msvse_ner"].get("vision", {}) is not None:
        settings["components.msvse_ner.vision"] = "null"
    given = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    component = ["msvse_ner"] if command == "model" else []
    result = CliRunner().invoke(app, ["debug", command, path, *component, *given])
    assert result.exit_code == 0, result.output
    assert ("model looks good" if component else "checks passed") in result.output


def test_a_loaded_pipeline_can_be_trained_further(config_path, encoder, tmp_path):
    """With the methods that are documented for it, none of which fills variables."""
    tiny = tiny_pipeline(encoder)
    examples = ambiguous_examples(tiny)
    tiny.initialize(lambda: examples)
    tiny.config["training"] = load(config_path).config["training"]
    tiny.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    schedule = nlp.config["training"]["optimizer"]["learn_rate"]
    assert schedule["total_steps"] == "${training.max_steps}"
    for optimizer in (nlp.create_optimizer(), nlp.resume_training()):
        for _ in range(2):
            losses = nlp.update(examples[:3], sgd=optimizer)
        assert losses["msvse_ner"] > 0
    nlp = spacy.load(tmp_path)
    assert nlp.initialize(lambda: examples).learn_rate == 0.0


@pytest.mark.parametrize("total", [None, 0, "${training.max_steps}", "${vars.steps}"])
def test_without_a_total_the_rate_stays_after_the_warmup(total):
    """A training without a limit of steps (0) has no last step."""
    made = list(islice(warmup_linear(0.1, 4, total), 100))
    assert made == pytest.approx([0.0, 0.025, 0.05, 0.075, *[0.1] * 96])


def test_a_total_that_is_neither_a_number_nor_a_variable_is_a_coded_error():
    with pytest.raises(MsvseError) as error:
        warmup_linear(0.1, 4, "all")
    assert error.value.code == "E007"
