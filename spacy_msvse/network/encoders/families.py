"""Which adapter serves which encoder family."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...errors import Errors
from .base import Encoder
from .bert import BertEncoder, RobertaEncoder
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
    from transformers import AutoConfig, AutoModel

    settings = dict(config)
    model_type = settings.pop("model_type", "bert")
    find_adapter(model_type)
    model_config = AutoConfig.for_model(model_type, **settings)
    return make_encoder(AutoModel.from_config(model_config, attn_implementation=ATTENTION))


def find_adapter(model_type: str) -> type[Encoder]:
    """The adapter of a family.

    model_type (str): The family, as transformers calls it.
    RETURNS (type): The adapter.
    RAISES (ValueError): For a family without one (MSVSE-E002).
    """
    if model_type not in FAMILIES:
        raise _unsupported(model_type)
    return FAMILIES[model_type]


def _unsupported(model_type: str) -> ValueError:
    supported = ", ".join(sorted(FAMILIES))
    return ValueError(Errors.E002.format(model_type=model_type, supported=supported))
