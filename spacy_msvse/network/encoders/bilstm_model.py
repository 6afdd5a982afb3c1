"""The BiLSTM as classes of transformers, so that it is saved and loaded like any encoder."""

from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class BiLstmConfig(PretrainedConfig):
    """Sizes of a BiLSTM.

    Args:
        vocab_size (int): Number of vectors.
        hidden_size (int): Width of a vector and of the output of a layer. Each direction has half.
        num_hidden_layers (int): Number of layers.
        max_position_embeddings (int): Maximum length of a window of text. An LSTM has no limit of
            its own, but its time grows with the length.
        hidden_dropout_prob (float): Dropout probability on vectors and on the output of each layer.
            The dropout of `[training]` overrides it, as for every encoder.
        num_attention_heads (int): Number of heads in the interaction with visual features. The LSTM
            itself has none.
        settings (Any): Further settings of `PretrainedConfig`.
    """

    model_type = "bilstm"

    def __init__(
        self,
        vocab_size: int = 5,
        hidden_size: int = 300,
        num_hidden_layers: int = 1,
        max_position_embeddings: int = 512,
        hidden_dropout_prob: float = 0.1,
        num_attention_heads: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.max_position_embeddings = max_position_embeddings
        self.hidden_dropout_prob = hidden_dropout_prob
        self.num_attention_heads = num_attention_heads


class BiLstmModel(PreTrainedModel):
    """Vectors and layers, which `BiLstmEncoder` runs. Layers that a folder does not contain get
    random weights when it is loaded."""

    config_class = BiLstmConfig

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embeddings = nn.Embedding(config.vocab_size, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(
            nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
            for _ in range(config.num_hidden_layers)
        )
        PreTrainedModel.post_init(self)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.LSTM):
            module.reset_parameters()
