"""A bidirectional LSTM over static vectors: the text encoder before there were transformers."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..inputs import WordPieces
from .base import Encoder, PrefixAttention


class BiLstmEncoder(Encoder):
    """The encoder of the rival "GloVe-BiLSTM-CRF" (Table 8). It has no self-attention that a prefix
    could enter; views reach it only behind the text."""

    adapted = ()

    @property
    def mixes_neighbours(self) -> bool:
        return True

    @property
    def takes_prefixes(self) -> bool:
        return False

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.layers

    def embed(self, pieces: WordPieces) -> Tensor:
        return self.model.dropout(self.model.embeddings(pieces.ids))

    def attention_dropout(self, layer: Any) -> nn.Dropout:
        return self.model.dropout

    def run_layer(self, layer: Any, hidden: Tensor, attend: PrefixAttention, shared: Any) -> Tensor:
        # Padding stands at the end: the backward direction starts at the last word piece.
        lengths = attend.text_mask(hidden.shape[1]).sum(dim=1).cpu()
        packed = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
        output, _ = pad_packed_sequence(
            layer(packed)[0], batch_first=True, total_length=hidden.shape[1]
        )
        return self.model.dropout(output)
