"""Training configs for users to start from, rendered from one template."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from spacy.util import get_lang_class, load_config_from_str, load_model_from_config, registry

from ..component.architectures import ENCODER, default_views, network_config
from ..component.defaults import DEFAULT_CONFIG
from ..errors import Errors, MsvseError
from ..network.pretrained import PACKAGED_ENCODERS

Optimize = Literal["accuracy", "speed", "cpu"]

#: Short names of architectures. Other methods are named by their registered architecture.
METHODS = {"msvse": "spacy-msvse.MSVSE.v1", "text-crf": "spacy-msvse.TextCrf.v1"}

#: The view of the text in a picture, which is read on request, and its extractor.
OCR, OCR_EXTRACTOR = "ocr", {"@misc": "spacy-msvse.RapidOcr.v1"}

#: The view of a text about the post that a language model has written. Posts give it.
KNOWLEDGE = "knowledge"

#: The share of the posts that are trained without it. The pipeline then serves such posts, too.
KNOWLEDGE_DROPOUT = 0.3


def make_config(
    *,
    encoder: str | None = None,
    views: Collection[str] | None = None,
    optimize: Optimize = "cpu",
    language: str = "en",
    method: str | None = None,
) -> str:
    """Write a training config with comments.

    Args:
        encoder (str): A packaged encoder, a local folder or a name on the hub. Defaults to None,
            which chooses one for `optimize` and `language`.
        views (Collection[str]): The views to read: those of the default config, "ocr", "knowledge",
            and those that the method reads by default. The text is always read. Defaults to None:
            those that the method reads by default.
        optimize (str): "accuracy", "speed" or "cpu".
        language (str): Language of the posts.
        method (str): One of `METHODS`, or the name of a registered architecture. Defaults to None:
            "text-crf" if the only view is "text", otherwise "msvse".

    Returns:
        str: The config. It is valid: spaCy has filled it and made the pipeline.

    Raises:
        MsvseError: For an unknown choice, or a view that the method cannot read (MSVSE-E040).
        ImportError: For a language that spaCy does not know or has no tokenizer for.
    """
    if method is None:
        method = "text-crf" if views is not None and set(views) <= {"text"} else "msvse"
    architecture = METHODS.get(method, method)
    if not registry.has("architectures", architecture):
        choices = ", ".join(METHODS)
        raise MsvseError(Errors.E040.format(name="method", value=method, choices=choices))
    chosen = encoder or default_encoder(optimize, language)
    block = {"model": {"@architectures": architecture, "encoder": chosen}}
    model = registry.fill(block, validate=False)["model"]
    reads = network_config(registry.resolve(block)["model"])
    # Views that the method reads by default may be its own: posts or an extractor give them.
    readable = [*dict.fromkeys((*default_views(), OCR, KNOWLEDGE, *reads.views))]
    if not reads.reads.vectors:
        readable.remove("regions")
    if views is None:
        views = [view for view in reads.views if view in readable]
    for name, values, known in (
        ("view", views, ["text", *readable]),
        ("choice to optimize for", [optimize], get_args(Optimize)),
    ):
        for value in values:
            if value not in known:
                choices = ", ".join(known)
                raise MsvseError(Errors.E040.format(name=name, value=value, choices=choices))
    read = [view for view in readable if view in views]
    joint_views = read
    if "prefix_views" in model:
        # A joint view makes the text longer, and it may be a prefix view as well.
        joint_views = [] if optimize == "speed" else [v for v in model["joint_views"] if v in read]
        # A text about the post is long, and pays where the text can read it word by word.
        joint_views += [view for view in read if view == KNOWLEDGE]
    environment = Environment(
        loader=PackageLoader("spacy_msvse", "cli"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("training_config.jinja").render(
        default=DEFAULT_CONFIG,
        model=model,
        method=method,
        ours=architecture in METHODS.values(),
        architecture=architecture,
        optimize=optimize,
        language=language,
        tokenizer=get_lang_class(language).default_config["nlp"]["tokenizer"],
        views=read,
        prefix_views=[view for view in read if view != KNOWLEDGE],
        dropped={KNOWLEDGE: KNOWLEDGE_DROPOUT} if KNOWLEDGE in read else {},
        joint_views=joint_views,
        extractors=_choose_extractors(read),
        encoder=chosen,
        named_encoder=encoder is not None,
        source=_source_of(chosen),
    )
    load_model_from_config(load_config_from_str(text), auto_fill=True, validate=True)
    return text


def default_encoder(optimize: Optimize, language: str) -> str:
    """Choose an encoder.

    Args:
        optimize (str): "accuracy", "speed" or "cpu".
        language (str): Language of the posts.

    Returns:
        str: The packaged encoder or a name on the hub.
    """
    if optimize == "accuracy":
        return "roberta-base" if language == "en" else "xlm-roberta-base"
    return ENCODER


def _choose_extractors(views: Collection[str]) -> dict[str, dict[str, Any] | None]:
    """The extractor of each view; None for one that is not needed. Empty if none is needed."""
    # The default caption is built from the tags.
    needed = {*views, *(("tags",) if "caption" in views else ())}
    extractors: dict[str, dict[str, Any] | None] = {
        view: extractor if view in needed else None
        for view, extractor in DEFAULT_CONFIG["vision"].items()
        if isinstance(extractor, dict)
    }
    if OCR in views:
        extractors[OCR] = OCR_EXTRACTOR
    return extractors if any(extractors.values()) else {}


def _source_of(encoder: str) -> Literal["package", "folder", "hub"]:
    if encoder in PACKAGED_ENCODERS:
        return "package"
    return "folder" if Path(encoder).is_dir() else "hub"
