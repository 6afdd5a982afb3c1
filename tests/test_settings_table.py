"""Every setting has one declaration with a range, and refuses every other value when it is given.

The settings are found by introspection: a new one without a declaration fails the first test.
"""

import inspect
import math
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import spacy
from confection import ConfigValidationError
from spacy.util import registry

import spacy_msvse.component.span_getters  # noqa: F401  (makes the registry)
from spacy_msvse.cli import app
from spacy_msvse.component.architectures import get_network, make_model
from spacy_msvse.component.defaults import DEFAULT_CONFIG
from spacy_msvse.component.pipe import MsvseNer
from spacy_msvse.component.settings import Attribute, Setting
from spacy_msvse.corpus.reader import Corpus
from spacy_msvse.errors import MsvseError
from spacy_msvse.evaluation.experiments.rows import method_names
from spacy_msvse.network.base import Network
from spacy_msvse.network.encoders.lora import RANGES
from spacy_msvse.network.methods.msvse import Msvse
from spacy_msvse.network.methods.text_crf import TextCrf
from spacy_msvse.settings import Declaration, _describe, declarations

from .tiny import METHOD_SETTINGS, MeanColour, ambiguous_examples, save_encoder, tiny_pipeline

ROOT = Path(__file__).parents[1]

GROUPS = {
    "spacy_architectures": "architectures",
    "spacy_misc": "misc",
    "spacy_readers": "readers",
    "spacy_span_getters": "span_getters",
    "thinc_schedules": "schedules",
    "spacy_loggers": "loggers",
}
FUNCTIONS = {
    f"@{registry_name} = {point.name}": point.load()
    for group, registry_name in GROUPS.items()
    for point in entry_points(group=group)
    if point.value.startswith("spacy_msvse")
}
MAKE_MODEL: Any = inspect.unwrap(make_model)
METHODS: dict[str, Any] = {n: registry.architectures.get(n).method for n in method_names()}

#: The tiny encoder has fewer layers and positions than others, and a test has less memory.
LARGEST = {
    "view_layers": 3,
    "prefix_length": 64,
    "cells": 4,
    "fusion_layers": 4,
    "fusion_width": 64,
    "fusion_heads": 16,
    "fusion_inner_width": 64,
    "samples": 20,
    "label_width": 64,
    "refining_layers": 4,
    "latent_width": 64,
}

#: Arguments without a default.
REQUIRED: dict[str, dict[str, Any]] = {
    "DetectedCrops": {"detector": MeanColour(), "encoder": MeanColour()},
    "JoinedTags": {"first": MeanColour(), "main": MeanColour()},
    "TrainableBackbone": {"backbone": None},
    "ZeroShotTags": {"labels": ["a"]},
    "Corpus": {"path": "."},
    "strided_spans": {"window": 8, "stride": 4},
    "warmup_linear": {"initial_rate": 0.1, "warmup_steps": 1},
    "TrainingRecord": {"path": "record.json", "logger": print},
}

#: Sections whose content belongs to a library, which checks it.
OPEN_SECTIONS = {"encoder", "lora", "tokenizer_config", "transformer_config"}


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory) -> str:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def declared(name: str) -> dict[str, Declaration]:
    """The declarations of the arguments of a registered function."""
    for method, cls in METHODS.items():
        if name.endswith(method):
            return {**declarations(cls.Config), **declarations(MAKE_MODEL)}
    function = inspect.unwrap(FUNCTIONS[name])
    if function.__name__ == "create_corpus":
        function = Corpus
    if inspect.isclass(function) and not hasattr(function, "__dataclass_fields__"):
        return declarations(inspect.unwrap(function.__init__))
    return declarations(function)


#: Each setting of a registered function: its block in a config, its name, its declaration.
REGISTERED = [
    (name, setting, declared(name).get(setting))
    for name, function in FUNCTIONS.items()
    for setting in inspect.signature(function).parameters
]
COMPONENT = {
    name: value.declaration for name, value in vars(MsvseNer).items() if isinstance(value, Setting)
}


def unbounded(schema: dict[str, Any], name: str) -> list[str]:
    """The parts of a declaration that have a type but no range."""
    if "description" in schema:
        return []
    if "anyOf" in schema:
        return [part for one in schema["anyOf"] for part in unbounded(one, name)]
    kind = schema.get("type")
    if kind in ("integer", "number"):
        low = {"minimum", "exclusiveMinimum"} & schema.keys()
        high = {"maximum", "exclusiveMaximum"} & schema.keys()
        return [] if low and high else [kind]
    if kind == "string":
        return [] if {"minLength", "enum", "const", "pattern"} & schema.keys() else [kind]
    if kind == "array":
        return unbounded(schema["items"], name)
    if kind == "object":
        values = schema.get("additionalProperties")
        open_ended = not isinstance(values, dict) and name not in OPEN_SECTIONS
        return ["object"] if open_ended else unbounded(values, name) if values is not True else []
    return [] if kind in ("boolean", "null") else ["any"]


def wrong_values(schema: dict[str, Any], name: str) -> list[Any]:
    """Values that a declaration must refuse: too small, too large, of a wrong type, and None."""
    branches = schema.get("anyOf", [schema])
    kinds = {branch.get("type") for branch in branches}
    found: list[Any] = [] if "null" in kinds else [None]
    for branch in branches:
        kind = branch.get("type")
        if kind in ("integer", "number"):
            step = 1 if kind == "integer" else 1e-3
            if "minimum" in branch:
                found += [branch["minimum"] - step, -(10**9) - 1]
            if "exclusiveMinimum" in branch:
                found += [branch["exclusiveMinimum"], -1.0]
            if "maximum" in branch:
                found += [branch["maximum"] + step, 10**18]
            if "exclusiveMaximum" in branch:
                found += [branch["exclusiveMaximum"], 10**18]
            found += [True, "0.5", "1", math.nan, math.inf, -math.inf, [1], {}]
            if kind == "integer":
                found += [1.5, 1.0]
        elif kind == "boolean":
            found += ["true", 1, 0.0, []]
        elif kind == "string" and "format" not in branch:
            found += [True, ["a"], "" if "minLength" in branch else "no such value"]
            found += [] if "integer" in kinds else [5]
        elif kind == "array":
            of_numbers = branch.get("items", {}).get("type") == "integer"
            found += ["tags", 5, [0] if of_numbers else [5], [""], {"tags": 1}, [None]]
            found += [["a", "a"]] if "distinct" in branch.get("description", "") else []
            found += [[]] if branch.get("minItems") else []
        elif kind == "object":
            found += [5, "a", ["a"], {5: 1.0}]
            if isinstance(values := branch.get("additionalProperties"), dict):
                wrong = 5 if values.get("type") == "string" else "x"
                found += [{"a": value} for value in (wrong, True, None, math.nan)]
        elif kind != "null":  # an extractor, a function, a path
            found += [5, 1.5, {}]
    return found


def call(name: str, settings: dict[str, Any]) -> Any:
    """Resolve a block of a config."""
    key, _, function = name.partition(" = ")
    short = function.split(".")[1]
    return registry.resolve({"block": {key: function, **REQUIRED.get(short, {}), **settings}})


def refused(function: Callable[..., Any], *args: Any, **settings: Any) -> str:
    """Call a function with a wrong value. Returns the path that the error names."""
    try:
        function(*args, **settings)
    except MsvseError as error:
        found = re.search(r"MSVSE-E007\] Setting (\S+) is .*, but must be \w.*\. Corr", str(error))
        return found[1] if found else str(error)
    return "accepted"


@pytest.mark.parametrize(("name", "setting", "declaration"), REGISTERED)
def test_every_setting_is_declared_with_a_range(name, setting, declaration):
    assert declaration is not None
    assert unbounded(declaration.schema, setting) == []


@pytest.mark.parametrize("cls", METHODS.values())
def test_every_setting_of_a_method_is_declared_with_a_range(cls):
    for setting, declaration in declarations(cls.Config).items():
        assert unbounded(declaration.schema, setting) == [], setting


def ends(cls: type[Network]) -> list[tuple[str, Any]]:
    """The least and the largest value of each number among the settings of a method."""
    found = []
    for setting, declaration in {**declarations(cls.Config), **declarations(MAKE_MODEL)}.items():
        for key in ("minimum", "maximum", "exclusiveMaximum"):
            if key in declaration.schema:
                inside = 1e-3 if key == "exclusiveMaximum" else 0
                found.append((setting, declaration.schema[key] - inside))
    # The pipeline sets these.
    return [end for end in found if end[0] not in ("region_dim", "dropout")]


@pytest.mark.parametrize(
    ("architecture", "setting", "value"),
    [(name, *end) for name, cls in METHODS.items() for end in ends(cls)],
)
def test_a_network_trains_at_both_ends_of_each_range(tiny_encoder, architecture, setting, value):
    fitting = METHOD_SETTINGS.get(METHODS[architecture].__name__, {})
    value = min(value, LARGEST.get(setting, value))
    model: dict[str, Any] = {"@architectures": architecture, **fitting, setting: value}
    if setting == "fusion_width":
        model["fusion_heads"] = 1
    nlp = tiny_pipeline(tiny_encoder, model=model)
    examples = ambiguous_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(2):
        assert math.isfinite(nlp.update(examples, sgd=optimizer)["msvse_ner"])
    network = get_network(nlp.get_pipe("msvse_ner").model)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_every_setting_of_the_component_is_declared_with_a_range():
    attributes = {n for n, value in vars(MsvseNer).items() if isinstance(value, Attribute)}
    assert DEFAULT_CONFIG.keys() <= attributes | {"model", "scorer"}
    for setting, declaration in COMPONENT.items():
        assert unbounded(declaration.schema, setting) == [], setting


@pytest.mark.parametrize(("name", "setting", "declaration"), REGISTERED)
def test_a_wrong_value_in_a_config_is_refused_when_the_config_is_resolved(
    name, setting, declaration
):
    for value in wrong_values(declaration.schema, setting):
        if setting == "path" and value is None and "Corpus" in name:
            continue  # an error of its own, for an empty [paths]
        assert setting in refused(call, name, {setting: value}).split("."), value


@pytest.mark.parametrize(("name", "setting", "declaration"), REGISTERED)
def test_a_misspelt_setting_in_a_config_is_named(name, setting, declaration):
    with pytest.raises((ConfigValidationError, MsvseError), match=f"{setting}x"):
        call(name, {f"{setting}x": 1})


def is_json(value) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(one) for key, one in value.items())
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("setting", COMPONENT)
def test_a_wrong_value_of_the_component_is_refused_in_a_config_and_later(setting):
    nlp = spacy.blank("en")
    component = nlp.add_pipe("msvse_ner", name="ner")
    before = getattr(component, setting)
    path = f"components.ner.{setting}"
    for value in wrong_values(COMPONENT[setting].schema, setting):
        assert refused(setattr, component, setting, value).startswith(path), value
        assert getattr(component, setting) == before
        if setting == "spans_key" and value is None:
            continue  # the name of the component
        if not is_json(value):
            continue  # spaCy itself refuses such a config
        made = partial(spacy.blank("en").add_pipe, "msvse_ner", name="ner")
        assert refused(made, config={setting: value}).startswith(path), value


@pytest.mark.parametrize("setting", ["vision", "image_root", "fetch"])
def test_a_wrong_part_of_the_component_is_refused(setting):
    component = spacy.blank("en").add_pipe("msvse_ner")
    with pytest.raises(MsvseError, match=rf"MSVSE-E007.*components\.msvse_ner\.{setting} is 5"):
        setattr(component, setting, 5)


@pytest.mark.parametrize("setting", ["vision", "model", "scorer"])
def test_a_section_of_another_kind_is_refused(setting):
    with pytest.raises(MsvseError, match=rf"MSVSE-E007.*components\.msvse_ner\.{setting} is 5"):
        spacy.blank("en").add_pipe("msvse_ner", config={setting: 5})


def test_a_misspelt_setting_of_the_component_is_named():
    for setting in COMPONENT:
        with pytest.raises(ConfigValidationError, match=f"{setting}x"):
            spacy.blank("en").add_pipe("msvse_ner", config={f"{setting}x": 1})


def test_a_misspelt_argument_in_python_is_named_with_the_nearest():
    for function, name, nearest in (
        (FUNCTIONS["@misc = spacy-msvse.RapidOcr.v1"], "min_scor", "min_score"),
        (FUNCTIONS["@readers = spacy-msvse.Corpus.v1"], "limt", "limit"),
        (FUNCTIONS["@architectures = spacy-msvse.MSVSE.v1"], "prefix_lenght", "prefix_length"),
        (Msvse.Config.from_dict, "prefix_lenght", "prefix_length"),
    ):
        with pytest.raises(MsvseError, match=rf"MSVSE-E015.*nearest name is '{nearest}'"):
            function({name: 1}) if function == Msvse.Config.from_dict else function(**{name: 1})


@pytest.mark.parametrize("setting", RANGES)
def test_a_wrong_setting_of_adapters_is_refused_when_the_model_is_made(setting):
    for value in wrong_values(RANGES[setting].schema, setting):
        with pytest.raises(MsvseError, match=rf"MSVSE-E007.*\.model\.lora\.{setting} is "):
            FUNCTIONS["@architectures = spacy-msvse.MSVSE.v1"](lora={setting: value})


def test_a_misspelt_setting_of_adapters_is_refused_when_the_model_is_made():
    pytest.importorskip("peft")
    with pytest.raises(MsvseError, match=r"MSVSE-E007.*\.model\.lora is .*rank"):
        FUNCTIONS["@architectures = spacy-msvse.MSVSE.v1"](lora={"rank": 8})


def numeric_options() -> list[tuple[str, Any]]:
    """The numeric options of all commands."""
    from typer.main import get_command

    found, groups = [], [("", get_command(app))]
    while groups:
        path, command = groups.pop()
        groups += [
            (f"{path} {n}".strip(), one) for n, one in getattr(command, "commands", {}).items()
        ]
        for parameter in command.params:
            # Typer's own class of parameters from 0.29 on, click's before.
            limits = getattr(parameter, "type", None) or parameter
            annotation = getattr(parameter, "type_descriptor", None)
            numeric = getattr(limits, "name", "") in (
                "integer",
                "float",
                "integer range",
                "float range",
            )
            if numeric or (annotation and annotation.annotation in (int, float)):
                found.append((f"{path} {parameter.opts[0]}", limits))
    return found


def test_the_numeric_options_are_found():
    assert {"annotate --n-process", "ablate --jobs", "extract --workers"} <= {
        name for name, _ in numeric_options()
    }


@pytest.mark.parametrize(("name", "limits"), numeric_options())
def test_every_numeric_option_has_a_range(name, limits):
    assert limits.min is not None
    assert limits.max is not None


def documented_ranges() -> list[tuple[dict[str, Declaration], str, str]]:
    """Each setting of the settings page: the declarations of its owner, its name, its range."""
    owners = {
        "[components.msvse_ner]": COMPONENT,
        "[components.msvse_ner.model]": {**declarations(Msvse.Config), **declarations(MAKE_MODEL)},
        "setting of TextCrf": {**declarations(TextCrf.Config), **declarations(MAKE_MODEL)},
    }
    found, owner = [], COMPONENT
    for line in (ROOT / "docs" / "settings.md").read_text(encoding="utf8").splitlines():
        for heading in owners:
            owner = owners[heading] if line.strip("#| `").startswith(heading) else owner
        if line.startswith("| `"):
            names, ranges = re.findall("`([^`]+)`", line.split("|")[1]), line.split("|")[3]
            cells = [cell.strip() for cell in ranges.split(";")]
            cells = cells if len(cells) == len(names) else cells * len(names)
            pairs = zip(names, cells, strict=True)
            found += [(owner, name, cell) for name, cell in pairs if name in owner]
    return found


def test_the_settings_page_has_the_range_of_every_number():
    ranges = documented_ranges()
    assert len(ranges) > 30
    for owner, name, written in ranges:
        schema = owner[name].schema
        values = schema.get("additionalProperties")
        words = _describe(values if isinstance(values, dict) else schema)
        assert written == re.sub("^a (whole )?number ", "", words) * ("number" in words), name
