"""The modules of BERT and RoBERTa under the names of transformers, for weights that are loaded.

To import a model class of transformers takes longer than to import torch and spaCy. A pipeline that
is loaded needs only these modules.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: The families, by the `model_type` of transformers, and whether their positions begin after the
#: id of the padding.
LIGHT_FAMILIES = {"bert": False, "camembert": True, "roberta": True, "xlm-roberta": True}

#: The activations of the feed-forward layers, by their names in transformers.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}


def is_light(config: Mapping[str, Any]) -> bool:
    """Whether these modules are those of a model.

    Args:
        config (Mapping): A Hugging Face model configuration with its `model_type`.

    Returns:
        bool: True if so.
    """
    return (
        config.get("model_type") in LIGHT_FAMILIES
        and config.get("hidden_act", "gelu") in ACTIVATIONS
        and config.get("position_embedding_type", "absolute") == "absolute"
    )


class BertLayers(nn.Module):
    """The embeddings and layers of a BERT or a RoBERTa.

    Args:
        config (PretrainedConfig): The configuration of the model.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _named(
            layer=nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        )


class _Embeddings(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        after_padding = LIGHT_FAMILIES[config.model_type]
        self.padding = config.pad_token_id if after_padding else None
        self.word_embeddings = nn.Embedding(
            config.vocab_size, width, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, width, padding_idx=self.padding
        )
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        if self.padding is None:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        else:
            inside = input_ids != self.padding
            positions = inside.cumsum(dim=1) * inside + self.padding
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        embedded = self.word_embeddings(input_ids) + self.token_type_embeddings(types)
        embedded = self.LayerNorm(embedded + self.position_embeddings(positions))
        dropped: Tensor = self.dropout(embedded)
        return dropped


class _Layer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        projections = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        dropout = nn.Dropout(config.attention_probs_dropout_prob)
        # "self" is the name of a module in transformers.
        self.attention = _named(
            **{"self": _named(**projections, dropout=dropout), "output": _Added(width, config)}
        )
        self.intermediate = _named(dense=nn.Linear(width, inner))
        self.output = _Added(inner, config)
        self.activate = ACTIVATIONS[config.hidden_act]

    def feed_forward_chunk(self, hidden: Tensor) -> Tensor:
        added: Tensor = self.output(self.activate(self.intermediate.dense(hidden)), hidden)
        return added


class _Added(nn.Module):
    """A linear layer whose output is added to the input of the block, and normalised."""

    def __init__(self, inner: int, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, inner: Tensor, hidden: Tensor) -> Tensor:
        added: Tensor = self.LayerNorm(self.dropout(self.dense(inner)) + hidden)
        return added


def _named(**modules: nn.Module) -> Any:
    """A module with these modules as attributes."""
    holder = nn.Module()
    for name, module in modules.items():
        holder.add_module(name, module)
    return holder
