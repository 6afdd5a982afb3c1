"""The adapter of each encoder family."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...errors import Errors, MsvseError
from ...settings import wrong_setting
from .base import Encoder
from .bert import BertEncoder, RobertaEncoder
from .bert_layers import BertLayers, is_light
from .bilstm import BiLstmEncoder
from .deberta import DebertaV2Encoder
from .distilbert import DistilBertEncoder
from .modernbert import ModernBertEncoder
from .mpnet import MPNetEncoder

#: Code that comes with weights is never run, and transformers does not ask for permission.
NO_CODE = {"trust_remote_code": False}

#: Adapters by the `model_type` of transformers. BERTweet is of type "roberta", DeBERTa-v3 of type
#: "deberta-v2".
FAMILIES: dict[str, type[Encoder]] = {
    "bert": BertEncoder,
    "camembert": RobertaEncoder,
    "deberta-v2": DebertaV2Encoder,
    "distilbert": DistilBertEncoder,
    "electra": BertEncoder,
    "modernbert": ModernBertEncoder,
    "mpnet": MPNetEncoder,
    "roberta": RobertaEncoder,
    "xlm-roberta": RobertaEncoder,
}

#: Adapters of encoders without self-attention, which accept no prefixes.
RECURRENT: dict[str, type[Encoder]] = {"bilstm": BiLstmEncoder}

#: A configuration of more layers is damaged. To build the layers would take hours.
MAX_LAYERS = 1000

#: The attention that models are loaded with. The encoder replaces it; every family has this one.
ATTENTION = "eager"


def make_encoder(model: nn.Module) -> Encoder:
    """Wrap a Hugging Face model in the adapter of its family.

    Args:
        model (PreTrainedModel): The model.

    Returns:
        Encoder: The encoder.

    Raises:
        MsvseError: If the family has no adapter, or if layers of BERT have relative positions
            (MSVSE-E002).
    """
    config: Any = model.config
    adapter = find_adapter(config.model_type)
    positions = getattr(config, "position_embedding_type", "absolute")
    if issubclass(adapter, BertEncoder) and positions != "absolute":
        raise _unsupported(f"{config.model_type} with {positions} positions")
    return adapter(model)


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """Build an encoder with random weights.

    Args:
        config (Mapping): A Hugging Face model configuration with its `model_type`.

    Returns:
        Encoder: The encoder.

    Raises:
        MsvseError: If the family or its positions are not supported (MSVSE-E002), or if the
            configuration cannot be used (MSVSE-E007).
    """
    configs, models = auto_classes()
    find_adapter(config.get("model_type", "bert"))
    try:
        model_config = _make_config(configs, config)
        model = models.from_config(model_config, attn_implementation=ATTENTION, **NO_CODE)
    except Exception as error:  # transformers and torch raise errors of many types
        reason = " ".join(str(error).split()).rstrip(".")
        expected = f"a configuration that transformers accepts ({reason})"
        raise wrong_setting("encoder", dict(config), expected) from error
    return make_encoder(model)


def build_light_encoder(config: Mapping[str, Any]) -> Encoder | None:
    """Build an encoder whose weights are loaded afterwards, without the model classes of
    transformers. Their import would take most of the time to load a pipeline.

    Args:
        config (Mapping): A Hugging Face model configuration with its `model_type`.

    Returns:
        Encoder: The encoder; None if its family needs transformers, or if the configuration cannot
            be used.
    """
    if not is_light(config):
        return None
    from transformers import AutoConfig

    try:
        return make_encoder(BertLayers(_make_config(AutoConfig, config)))
    except Exception:  # `build_encoder` gives the reason
        return None


def _make_config(configs: Any, config: Mapping[str, Any]) -> Any:
    """The configuration of a model, from its settings. Raises an error for an unusual number of
    layers, as transformers does for other settings."""
    model_config = configs.for_model(**{"model_type": "bert", **config})
    if not 1 <= model_config.num_hidden_layers <= MAX_LAYERS:
        raise ValueError(f"{model_config.num_hidden_layers} layers")
    return model_config


def auto_classes() -> tuple[Any, Any]:
    """The classes that find a configuration and a model by the family.

    Returns:
        tuple: `AutoConfig` and `AutoModel` of transformers. The BiLSTM is registered there.
    """
    from transformers import AutoConfig, AutoModel

    from .bilstm_model import BiLstmConfig, BiLstmModel

    AutoConfig.register(BiLstmConfig.model_type, BiLstmConfig, exist_ok=True)
    AutoModel.register(BiLstmConfig, BiLstmModel, exist_ok=True)
    return AutoConfig, AutoModel


def find_adapter(model_type: str) -> type[Encoder]:
    """The adapter of a family.

    Args:
        model_type (str): The family's name in transformers.

    Returns:
        type: The adapter.

    Raises:
        MsvseError: If the family has no adapter (MSVSE-E002).
    """
    adapters = {**FAMILIES, **RECURRENT}
    if model_type not in adapters:
        raise _unsupported(model_type)
    return adapters[model_type]


def _unsupported(model_type: str) -> MsvseError:
    supported = ", ".join(sorted([*FAMILIES, *RECURRENT]))
    return MsvseError(Errors.E002.format(model_type=model_type, supported=supported))
