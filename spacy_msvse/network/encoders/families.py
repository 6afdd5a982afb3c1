"""Which adapter serves which encoder family."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...errors import Errors
from .base import Encoder
from .bert import BertEncoder, RobertaEncoder
from .bilstm import BiLstmEncoder
from .deberta import DebertaV2Encoder
from .distilbert import DistilBertEncoder
from .modernbert import ModernBertEncoder
from .mpnet import MPNetEncoder

#: Adapters by the `model_type` of transformers. BERTweet is a RoBERTa, DeBERTa-v3 a DeBERTa-v2.
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

#: Adapters of what is no transformer, so that no prefix can enter it.
RECURRENT: dict[str, type[Encoder]] = {"bilstm": BiLstmEncoder}

#: The layers' own attention is replaced, so the plainest is loaded: every family has it.
ATTENTION = "eager"


def make_encoder(model: nn.Module) -> Encoder:
    """Put the adapter of its family around a Hugging Face model.

    model (PreTrainedModel): The model.
    RETURNS (Encoder): The encoder.
    RAISES (ValueError): For a family without an adapter, or for BERT's layers with relative
        positions (MSVSE-E002).
    """
    config: Any = model.config
    adapter = find_adapter(config.model_type)
    positions = getattr(config, "position_embedding_type", "absolute")
    if issubclass(adapter, BertEncoder) and positions != "absolute":
        raise _unsupported(f"{config.model_type} with {positions} positions")
    return adapter(model)


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """Build an encoder with random weights.

    config (Mapping): A Hugging Face model configuration with its `model_type`.
    RETURNS (Encoder): The encoder.
    RAISES (ValueError): As in `make_encoder`.
    """
    configs, models = auto_classes()
    settings = dict(config)
    model_type = settings.pop("model_type", "bert")
    find_adapter(model_type)
    model_config = configs.for_model(model_type, **settings)
    return make_encoder(models.from_config(model_config, attn_implementation=ATTENTION))


def auto_classes() -> tuple[Any, Any]:
    """What finds a configuration and a model by the family.

    RETURNS (tuple): `AutoConfig` and `AutoModel` of transformers, which know `RECURRENT` too.
    """
    from transformers import AutoConfig, AutoModel

    from .bilstm_model import BiLstmConfig, BiLstmModel

    AutoConfig.register(BiLstmConfig.model_type, BiLstmConfig, exist_ok=True)
    AutoModel.register(BiLstmConfig, BiLstmModel, exist_ok=True)
    return AutoConfig, AutoModel


def find_adapter(model_type: str) -> type[Encoder]:
    """The adapter of a family.

    model_type (str): The family, as transformers calls it.
    RETURNS (type): The adapter.
    RAISES (ValueError): For a family without one (MSVSE-E002).
    """
    adapters = {**FAMILIES, **RECURRENT}
    if model_type not in adapters:
        raise _unsupported(model_type)
    return adapters[model_type]


def _unsupported(model_type: str) -> ValueError:
    supported = ", ".join(sorted([*FAMILIES, *RECURRENT]))
    return ValueError(Errors.E002.format(model_type=model_type, supported=supported))
