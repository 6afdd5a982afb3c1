"""A bidirectional LSTM over static vectors."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class BiLstmEncoder(Encoder):
    """The encoder of the baseline "GloVe-BiLSTM-CRF" (Table 8). It has no self-attention, so it
    accepts no prefixes. It reads views only as text after the post."""

    adapted = ()

    @property
    def mixes_neighbours(self) -> bool:
        return True

    @property
    def takes_prefixes(self) -> bool:
        return False

    @property
    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.layers
        return layers

    def embed(self, pieces: WordPieces) -> Tensor:
        hidden: Tensor = self.model.dropout(self.model.embeddings(pieces.ids))
        return hidden

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        dropout: nn.Dropout = self.model.dropout
        return dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        # Padding is at the end. The backward direction must start at the last word piece.
        lengths = attend.text_mask(hidden.shape[1]).sum(dim=1).cpu()
        packed = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            layer(packed)[0], batch_first=True, total_length=hidden.shape[1]
        )
        output: Tensor = self.model.dropout(states)
        return output
