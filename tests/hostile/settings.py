"""Hostile values of every setting, found by introspection of the registered functions.

A value that makes no sense is refused when the pipeline is made. A value that is accepted works:
the pipeline initialises, learns and predicts with finite numbers.
"""

import inspect
import math
import random
import types
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import spacy
from confection import ConfigValidationError
from spacy.training import Example
from spacy.util import registry

from spacy_msvse import make_doc
from spacy_msvse.component.defaults import DEFAULT_CONFIG
from spacy_msvse.errors import MsvseError

from .. import tiny
from .scene import NAME, finite
from .verdicts import CRASH, WRONG, Case, coded, coded_warnings, expect

#: The registries of the functions of this package that a config of the component can name.
GROUPS = {
    "spacy_architectures": "architectures",
    "spacy_misc": "misc",
    "spacy_span_getters": "span_getters",
}

#: A value that a setting cannot have.
REFUSED = "refused"
#: A value that may be refused, or must work.
EITHER = "either"


@dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
        owner (str): The registered function; empty for the component.
        group (str): Its registry.
        name (str): The name of the setting.
        default (Any): Its default value.
        annotation (Any): Its type, as far as it is known.
    """

    owner: str
    group: str
    name: str
    default: Any
    annotation: Any

    @property
    def path(self) -> str:
        return f"{self.owner or 'component'}.{self.name}"


def registered() -> list[tuple[str, str]]:
    """Registry and name of every function of this package that a config can name."""
    found = []
    for group, name in GROUPS.items():
        for point in entry_points(group=group):
            if point.value.startswith("spacy_msvse."):
                found.append((name, point.name))
    return sorted(found)


@cache
def find_settings() -> tuple[Setting, ...]:
    """Every setting of the component, the architectures, the span getters and the extractors."""
    found = []
    for name, default in DEFAULT_CONFIG.items():
        if name not in ("model", "vision", "scorer"):
            found.append(Setting("", "", name, default, type(default)))
    for group, owner in registered():
        function = getattr(registry, group).get(owner)
        declared = _declared_types(function)
        for name, one in inspect.signature(function).parameters.items():
            if name.startswith("_") or one.kind not in (
                one.POSITIONAL_OR_KEYWORD,
                one.KEYWORD_ONLY,
            ):
                continue
            annotation = declared.get(name, one.annotation)
            found.append(Setting(owner, group, name, one.default, annotation))
    return tuple(found)


def _declared_types(function: Any) -> dict[str, Any]:
    """The annotations of the arguments, which are hidden from the config system."""
    target = inspect.unwrap(function)
    target = inspect.unwrap(target.__init__) if inspect.isclass(target) else target
    return {name: one.annotation for name, one in inspect.signature(target).parameters.items()}


def kinds_of(setting: Setting) -> set[type]:
    """The types that a setting may have."""
    annotation = setting.annotation
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    found = {typing.get_origin(option) or option for option in options}
    if setting.default not in (None, inspect.Parameter.empty):
        found.add(type(setting.default))
    return {one for one in found if isinstance(one, type)}


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def hostile_values(setting: Setting) -> list[tuple[Any, str]]:
    """Values to try, each with what is expected."""
    kinds = kinds_of(setting)
    numeric = bool(kinds & {int, float}) and bool not in kinds
    values: list[tuple[Any, str]] = []
    if numeric:
        # A config file has no other form of these numbers than a text.
        values += [(value, REFUSED) for value in ("NaN", "Infinity", "-Infinity", "1e400")]
        whole = float not in kinds
        values += [
            (value, REFUSED) for value in (-1, -5, math.nan, math.inf, -math.inf, [], {}, "x")
        ]
        values += [(value, EITHER) for value in (0, 1, 2, 10**6, 10**9, 2**70, True)]
        values += [(0.5, REFUSED if whole else EITHER), (1e30, REFUSED if whole else EITHER)]
        if not whole and isinstance(setting.default, float) and _is_share(setting.name):
            values += [(2.0, REFUSED), (1.5, REFUSED)]
    elif bool in kinds:
        values += [(value, REFUSED) for value in ("x", 3, -1, 0.5, [], {}, math.nan)]
        values += [(value, EITHER) for value in (True, False)]
    elif str in kinds:
        values += [
            (value, REFUSED)
            for value in (3, [], {}, math.nan, True, "", "misspelt", "\0", "x" * 5000)
        ]
        values += [("../../x", REFUSED), ("http://127.0.0.1:1/x", REFUSED)]
        if setting.name in ("spans_key", "prompt"):  # free texts
            values = [(v, EITHER if isinstance(v, str) else e) for v, e in values]
    if kinds & {list, tuple} or "Sequence" in str(setting.annotation):
        values += [
            (value, REFUSED) for value in (3, "regions", [3], [None], [[]], {"a": 1}, math.nan)
        ]
        # Names of classes may repeat: those of COCO have several "N/A".
        values += [(["a", "a"], EITHER), ([""], EITHER), ([], EITHER)]
        if "views" in setting.name:
            values += [([""], REFUSED)]
            values += [(["regoins", "tags"], REFUSED), (["captoin"], REFUSED), (["text"], REFUSED)]
            values += [
                (["tags", "tags"], REFUSED),
                (["regions", "tags", "caption", "tag"], REFUSED),
            ]
    if dict in kinds or "dict" in str(setting.annotation):
        values += [(value, REFUSED) for value in (3, "x", ["a"], math.nan, {"nonsense": "x"})]
        values += [({}, EITHER)]
        if "config" in setting.name:
            values += [
                ({"trust_remote_code": True}, REFUSED),
                ({"trust_remote_code": "yes"}, REFUSED),
            ]
            values += [({"code_revision": "main"}, EITHER), ({"num_hidden_layers": -1}, REFUSED)]
        if "factors" in setting.name:
            numbers = (-1.0, math.nan, math.inf, "x", None, [], 1e30)
            values += [({"encoder": number}, REFUSED) for number in numbers]
            values += [
                ({"encodr": 0.1}, REFUSED),
                ({"crv": 5.0}, REFUSED),
                ({"encoder": 0}, EITHER),
            ]
        if setting.name == "lora":
            values += [({"r": number}, REFUSED) for number in (0, -1, "x", 0.5)]
            values += [
                ({"r": 2, "lora_dropout": 7.0}, REFUSED),
                ({"r": 2, "lora_alpha": math.nan}, REFUSED),
            ]
    if not values:
        values += [(value, EITHER) for value in (3, "x", [], {}, math.nan)]
    # A default may also be null; nothing else may.
    values.append(
        (None, EITHER if setting.default is None or _is_union(setting.annotation) else REFUSED)
    )
    return values


def _is_share(name: str) -> bool:
    return any(
        part in name
        for part in ("share", "confidence", "score", "depth", "threshold", "joint_decoding")
    )


@cache
def all_cases() -> tuple[tuple[Setting, Any, str], ...]:
    """Every setting with every value, and every name misspelt."""
    found: list[tuple[Setting, Any, str]] = []
    for setting in find_settings():
        found += [(setting, value, expected) for value, expected in hostile_values(setting)]
        for wrong in (setting.name + "s", setting.name[:-1], setting.name.title()):
            misspelt = Setting(
                setting.owner, setting.group, wrong, setting.default, setting.annotation
            )
            default = None if setting.default is inspect.Parameter.empty else setting.default
            found.append((misspelt, default, REFUSED))
    found += [(find_settings()[0], {"window": w, "stride": s}, e) for w, s, e in SPANS]
    return tuple(found)


#: Windows and strides of the span getter.
SPANS = [
    *((w, s, REFUSED) for w, s in ((4, 5), (128, 129), (0, 0), (0, 1), (1, 0), (-1, -2), (4, -1))),
    *((w, s, REFUSED) for w, s in (("a", 1), (4, "a"), (math.nan, 1), (4, math.inf), ([], 1))),
    *(
        (w, s, EITHER)
        for w, s in ((1, 1), (10**9, 10**9), (10**9, 1), (4, 4), (2.5, 1), (True, True))
    ),
]


def config_of(setting: Setting, value: Any, case: Case) -> dict[str, Any]:
    """The config of a component with one hostile setting."""
    model: dict[str, Any] = {
        "@architectures": "spacy-msvse.MSVSE.v1",
        "encoder": case.scene.encoder,
    }
    vision: dict[str, Any] = {
        "@misc": "spacy-msvse.VisualExtractor.v1",
        "regions": {"@misc": "tests.MeanColour.v1"},
        "tags": {"@misc": "tests.MeanColour.v1"},
        "caption": {"@misc": "spacy-msvse.TagCaption.v1"},
    }
    config: dict[str, Any] = {"model": model, "vision": vision, "min_view_share": 0.0}
    if isinstance(value, dict) and "window" in value:
        model["get_spans"] = {"@span_getters": "spacy-msvse.strided_spans.v1", **value}
    elif setting.group == "architectures":
        method = getattr(registry.architectures.get(setting.owner), "method", None)
        model |= tiny.METHOD_SETTINGS.get(getattr(method, "__name__", ""), {})
        model |= {"@architectures": setting.owner, setting.name: value}
    elif setting.group == "span_getters":
        model["get_spans"] = {"@span_getters": setting.owner, "window": 4, "stride": 2}
        model["get_spans"][setting.name] = value
    elif setting.owner == "spacy-msvse.VisualExtractor.v1":
        vision[setting.name] = value
    elif setting.group == "misc":
        function = registry.misc.get(setting.owner)
        fills = getattr(function, "fills", None)
        view = fills[0] if isinstance(fills, tuple) and fills else "regions"
        vision[view] = {"@misc": setting.owner, setting.name: value}
    else:
        config[setting.name] = value
    return config


def order(seed: int) -> list[int]:
    """The order in which a seed tries all values, so that no value comes twice before all came."""
    numbers = list(range(len(all_cases())))
    random.Random(seed).shuffle(numbers)
    return numbers


def hostile_setting(case: Case) -> None:
    """Try a value of a setting."""
    numbers = order(case.seed)
    setting, value, expected = all_cases()[numbers[case.number % len(numbers)]]
    case.say(f"{setting.path} = {value!r} ({expected})")
    try_setting(case, setting, value, expected)


def try_setting(case: Case, setting: Setting, value: Any, expected: str) -> None:
    """Make a pipeline with a value, and use it."""
    nlp = spacy.blank("xx")
    config = config_of(setting, value, case)
    before: Callable[..., Any] = nlp.add_pipe
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            before("msvse_ner", name=NAME, config=config)
    except MsvseError as error:
        expect(coded(error), CRASH, error)
        return
    except ValueError as error:
        # Numbers that JSON does not have cannot be in a config.
        if "[E961]" in str(error):
            return
        if not isinstance(error, ConfigValidationError):
            raise
        # spaCy checks types and names by the signature of a function. Its error names the place.
        expect(setting.name.split(".")[0] in str(error) or setting.group == "", CRASH, error)
        return
    warned = coded_warnings(given)
    if setting.group == "misc" and setting.owner != "spacy-msvse.VisualExtractor.v1":
        # Other extractors need weights, which a campaign does not have: only their settings count.
        expect(
            expected == EITHER or _late(setting, value),
            WRONG,
            f"{setting.name}: {value!r} is accepted",
        )
        return
    use(case, nlp, setting, value, warned, expected)


def _late(setting: Setting, value: Any) -> bool:
    """Whether a value can only be judged when weights are loaded: names of weights and the like."""
    return isinstance(value, str) and isinstance(setting.default, str)


def use(
    case: Case, nlp: Any, setting: Setting, value: Any, warned: list[str], expected: str
) -> None:
    """Initialise, learn, predict; the value must be refused, named in a warning, or work."""
    examples = []
    for number, label in enumerate(tiny.COLOURS):
        doc = make_doc(nlp, "saw jordan today", image=tiny.picture(label, seed=number))
        examples.append(Example.from_dict(doc, {"entities": [(4, 10, label)]}))
    component = nlp.get_pipe(NAME)
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            optimizer = nlp.initialize(lambda: examples)
            early = _early(given)
            nlp.update(examples, sgd=optimizer)
            doc = component(examples[0].predicted.copy())
    except MsvseError as error:
        expect(coded(error), CRASH, error)
        # Some values can only be judged with the weights of the encoder.
        late = setting.name in ("encoder", "lora", "tokenizer_config", "transformer_config")
        parts = [part for part in value if isinstance(part, str)] if isinstance(value, list) else []
        named = (
            setting.name in str(error) or any(f"'{part}'" in str(error) for part in parts) or late
        )
        expect(named, WRONG, f"the error does not name {setting.name}: {error}")
        return
    warned = warned + early
    for name, values in component.require_network().state_dict().items():
        expect(np.isfinite(values.float().numpy()).all(), WRONG, f"{name} is not finite")
    expect(finite(doc._.visual_entities or {}), WRONG, "the answer is not finite")
    states = (doc._.image_status or {}).values()
    expect("unreadable" not in states, WRONG, f"good pictures are refused: {doc._.image_problems}")
    if expected == REFUSED:
        expect(warned, WRONG, f"{setting.name}: {value!r} is accepted")


def _early(given: Any) -> list[str]:
    return [str(one.message) for one in given if "MSVSE-W" in str(one.message)]
