"""Training configs for users to start from, rendered from one template."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from spacy.util import load_config_from_str, load_model_from_config

from ..component.factory import DEFAULT_CONFIG, DEFAULT_VIEWS, EXTRACTED_VIEWS
from ..errors import Errors, MsvseError
from ..network.pretrained import PACKAGED_ENCODERS

Optimize = Literal["accuracy", "speed", "cpu"]
Method = Literal["msvse", "text-crf"]

#: The view of the text in a picture. It is read only on request.
OCR = "ocr"

#: Every view that can be requested. The text is always read.
VIEWS = ("text", *DEFAULT_VIEWS, OCR)

#: The setting of the visual extractor that reads the text in pictures.
OCR_SETTING = "texts"


def make_config(
    *,
    encoder: str | None = None,
    views: Collection[str] | None = None,
    optimize: Optimize = "cpu",
    language: str = "en",
    method: Method | None = None,
) -> str:
    """Write a training config with comments.

    encoder (str): A packaged encoder, a local folder or a name on the hub. Defaults to None, which
        chooses one for `optimize` and `language`.
    views (Collection[str]): The views to read, of `VIEWS`. Defaults to None: those of the default
        config, or the text alone for the method "text-crf".
    optimize (str): "accuracy", "speed" or "cpu".
    language (str): Language of the posts.
    method (str): "msvse" or "text-crf". Defaults to None: "text-crf" if only the text is read.
    RETURNS (str): The config. It is valid: spaCy has filled it and made the pipeline.
    RAISES (MsvseError): For an unknown choice, or a view that the method cannot read (MSVSE-E040).
    RAISES (ImportError): For a language that spaCy does not know or has no tokenizer for.
    """
    if views is None:
        views = () if method == "text-crf" else DEFAULT_VIEWS
    method = method or ("text-crf" if set(views) <= {"text"} else "msvse")
    read = [view for view in VIEWS[1:] if view in views]
    known_views = VIEWS if method == "msvse" else [view for view in VIEWS if view != "regions"]
    for name, values, choices in (
        ("method", [method], get_args(Method)),
        ("view", views, known_views),
        ("choice to optimize for", [optimize], get_args(Optimize)),
    ):
        for value in values:
            if value not in choices:
                listed = ", ".join(choices)
                raise MsvseError(Errors.E040.format(name=name, value=value, choices=listed))
    joint_views = read
    if method == "msvse":
        # A joint view makes the text longer, and the prefixes read it as well.
        default_joint = () if optimize == "speed" else DEFAULT_CONFIG["model"]["joint_views"]
        joint_views = [view for view in default_joint if view in read]
    environment = Environment(
        loader=PackageLoader("spacy_msvse", "cli"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    chosen = encoder or default_encoder(optimize, language)
    text = environment.get_template("training_config.jinja").render(
        default=DEFAULT_CONFIG,
        method=method,
        optimize=optimize,
        language=language,
        views=read,
        joint_views=joint_views,
        extractors=_choose_extractors(read),
        encoder=chosen,
        named_encoder=encoder is not None,
        source=_source_of(chosen),
        ocr_setting=OCR_SETTING,
    )
    load_model_from_config(load_config_from_str(text), auto_fill=True, validate=True)
    return text


def default_encoder(optimize: Optimize, language: str) -> str:
    """Choose an encoder.

    optimize (str): "accuracy", "speed" or "cpu".
    language (str): Language of the posts.
    RETURNS (str): The packaged encoder or a name on the hub.
    """
    if optimize == "accuracy":
        return "roberta-base" if language == "en" else "xlm-roberta-base"
    return DEFAULT_CONFIG["model"]["encoder"]


def _choose_extractors(views: Collection[str]) -> dict[str, dict[str, Any] | None]:
    """The extractors for views, by setting; None for one that is not needed. Empty without any."""
    # The default caption is made of the tags.
    needed = {*views, *(("tags",) if "caption" in views else ())}
    defaults = DEFAULT_CONFIG["vision"]
    extractors = {view: defaults[view] if view in needed else None for view in EXTRACTED_VIEWS}
    if OCR in views:
        extractors[OCR_SETTING] = {"@misc": "spacy-msvse.RapidOcr.v1"}
    return extractors if any(extractors.values()) else {}


def _source_of(encoder: str) -> Literal["package", "folder", "hub"]:
    if encoder in PACKAGED_ENCODERS:
        return "package"
    return "folder" if Path(encoder).is_dir() else "hub"
