"""Folders of a BiLSTM over static vectors, which `load_pretrained` reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import Errors, MsvseError
from ..util import replaced_when_done
from .pretrained import load_pretrained

PAD, UNKNOWN, START, SEPARATOR = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def save_bilstm(
    words: Sequence[str], vectors: Tensor, folder: str | Path, num_layers: int = 1
) -> None:
    """Save the vectors of words and the sizes of a BiLSTM. The weights of the BiLSTM are not saved:
    they are random whenever the folder is loaded, so each training seed has its own. A word without
    a vector gets the mean of all vectors. If no word has a capital letter, words are looked up in
    lower case.

    Args:
        words (Sequence[str]): W distinct words.
        vectors (Tensor): float of shape (W, d).
        folder (Path): The folder to write, with its tokenizer. An older one is replaced.
        num_layers (int): Number of layers.

    Raises:
        MsvseError: If the width of the vectors is odd or 0 (MSVSE-E018).
    """
    from tokenizers import Tokenizer, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    vectors = vectors.float()
    kept = [row for row, word in enumerate(words) if word not in SPECIAL]
    vocabulary = [*SPECIAL, *(words[row] for row in kept)]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN)
    )
    if all(word == word.lower() for word in words):
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {SEPARATOR}",
        pair=f"{START} $A {SEPARATOR} $B:1 {SEPARATOR}:1",
        special_tokens=[(token, SPECIAL.index(token)) for token in (START, SEPARATOR)],
    )
    special = vectors.new_zeros(len(SPECIAL), vectors.shape[1])
    if len(vectors):
        special[SPECIAL.index(UNKNOWN)] = vectors.mean(dim=0)
    _save(
        torch.cat([special, vectors[kept]]),
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token=PAD,
            unk_token=UNKNOWN,
            cls_token=START,
            sep_token=SEPARATOR,
        ),
        folder,
        num_layers,
    )


def save_bilstm_of_encoder(name: str, folder: str | Path, num_layers: int = 1) -> None:
    """Save the word piece embeddings of an encoder and the sizes of a BiLSTM. The weights of the
    BiLSTM are random whenever the folder is loaded.

    Args:
        name (str): A packaged encoder, a local folder or a name on the hub.
        folder (Path): The folder to write, with the encoder's tokenizer. An older one is replaced.
        num_layers (int): Number of layers.

    Raises:
        MsvseError: If the encoder cannot be loaded (MSVSE-E001), its family is not supported
            (MSVSE-E002) or its width is odd (MSVSE-E018).
    """
    encoder, tokenizer = load_pretrained(name)
    vectors = encoder.model.get_input_embeddings().weight.detach()
    _save(vectors, tokenizer, folder, num_layers)


def _save(vectors: Tensor, tokenizer: Any, folder: str | Path, num_layers: int) -> None:
    from .encoders.bilstm_model import BiLstmConfig, BiLstmModel

    count, width = vectors.shape
    if not width or width % 2:
        raise MsvseError(Errors.E018.format(width=width))
    config = BiLstmConfig(
        vocab_size=count,
        hidden_size=width,
        num_hidden_layers=num_layers,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = BiLstmModel(config)
    with torch.no_grad():
        model.embeddings.weight.copy_(vectors)
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced_when_done(folder) as new:
        model.save_pretrained(new, state_dict={"embeddings.weight": model.embeddings.weight})
        tokenizer.save_pretrained(new)
